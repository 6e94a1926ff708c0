"""A page for each mitigation: what it is, needs and costs, when it hurts, and what it did where it was measured.

    python benchmarks/methods.py [--out docs/methods]

Written from docstrings, the two tables of docs/mitigation.md and the records of the studies under docs/results; no
figure is made here.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.docstrings import first_line, prose
from mien.losses import LOSSES
from mien.mitigate.definition import MethodConfig, MitigationConfig, load_mitigation
from mien.mitigate.tables import signed
from mien.mitigation import MITIGATIONS
from mien.postprocessing import POSTPROCESSORS
from mien.records import Estimate
from mien.registry import Registry, options_of
from mien.wording import listed

NONE = "none"  # the loss alone
ROOT = Path(__file__).resolve().parents[1]
OVERVIEW = ROOT / "docs" / "mitigation.md"
#: Study -> where the records of its settings lie.
STUDIES = {"mitigate_drawn": "mitigation", "mitigate_ferplus": "mitigation_ferplus"}
#: Methods that ask for a network of their own.
NETWORKS = {
    "attribute_aware": "{name: conditioned, options: {trunk: mienet, attributes: {gender: 2}}}",
    "domain_discriminative": "{name: joint_head, options: {trunk: mienet, groups: 2}}",
    "latent_alignment": "latent_mbconv",
}
GAPS = {"known": "known gap", "gap": "largest gap"}
_THEN = "the disparity of its page"  # older records do not name it
#: What each method is for, in one sentence.
PURPOSES = {
    "attribute_aware": "groups that show a class differently, where everybody's group may be asked for and used",
    "attribute_heads": "expressions that are easier told with age, gender or race in mind; not for equality",
    "contrastive": "classes that go with groups in training and not in life",
    "cvar": "some faces served badly and nobody's group known",
    "disentangled": "features that shall not tell the group",
    "domain_discriminative": "classes that go with groups in training and not in life",
    "domain_independent": "classes that go with groups in training and not in life; no group is asked for in use",
    "feature_alignment": "classes that go with groups in training; features that shall be alike within a class",
    "gradient_reversal": "features that shall not tell the group",
    "group_dro": "a group with a higher loss, where its labels are right",
    "group_mixup": "classes that go with groups in training and not in life",
    "latent_alignment": "features that shall not tell the group, made before any expression is learnt",
    "rate_gap": "rates of the groups that must not differ, learnt rather than corrected afterwards",
    "resampling": "rare classes, rare groups, and classes that go with groups in training",
    "reweighting": "rare classes and rare groups, at no longer epoch",
    "uniform_confusion": "features that shall not tell the group",
    "upweighted_errors": "some faces served badly and nobody's group known",
    "equal_rates": "rates of the groups that must be equal, by law say, whatever it costs",
    "group_offsets": "classes answered too often or too seldom in a group, of a model that cannot be trained again",
    "group_temperature": "probabilities that shall mean the same for all groups",
    "group_thresholds": "one class that must be found as often in every group",
    "last_layer": "classes that go with groups in training, of a model whose body cannot be trained again",
    "logit_adjustment": "rare classes, of a model that cannot be trained again, and nobody's group known",
    "minimum_rates": "a rate that must not fall below a figure in any group",
    "reject_option": "two near classes of which a group's is found too seldom",
}
#: What no mitigation is and is set beside one: name -> what it is for, what it is, when it hurts, and how it is set.
BESIDE = {
    "logit_adjusted": (
        "rare classes, and classes that go with groups, where nobody's group is known",
        prose(LOSSES.get("logit_adjusted")),
        "accuracy on faces as they come falls where rare classes are as rare in use; beside weights or re-sampling "
        "rare classes are helped twice",
        "loss: {name: logit_adjusted, options: {tau: 1.0}}",
    ),
    "focal": (
        "faces that are learnt late, whoever they are of; with `reweighting` it is source 3's method",
        prose(LOSSES.get("focal")),
        "wrong labels are learnt last and weigh most; probabilities come out less sure than the faces are",
        "loss: {name: focal, options: {gamma: 2.0}}",
    ),
    "rand_augment": (
        "few training faces, and pictures in use that are worse than those of training",
        "Some operations drawn for each picture in every epoch, as strong as the magnitude (Cubuk et al. 2020), "
        "without solarising, which turns bright skin dark, and without colour on grey faces.",
        "short trainings of small networks, which learn less from harder pictures",
        "augment: {rand_augment: {operations: 2, magnitude: 9}}",
    ),
    "averaged_weights": (
        "luck of the last epochs: a model that stands between them, at no cost",
        "The exponential mean of the weights over steps, which is what is judged and kept.",
        "a decay so near 1 that the mean still holds what was learnt first",
        "train: {ema: 0.999}",
    ),
}
TITLES = {
    "imbalance": "drawn faces: one group is a tenth of the training faces",
    "class_tied_to_group": "drawn faces: classes go with groups in training",
    "label_noise": "drawn faces: two labels in five of one group are wrong in training",
    "fewer_cues": "drawn faces: half as much of the expression in one group",
    "gender": "FERPlus by perceived gender",
    "age": "FERPlus by perceived age group",
    "race": "FERPlus by perceived race",
}


@dataclass(frozen=True)
class Row:
    """One method of a study in one of its settings.

    Attributes:
        study: The study's file, without its ending.
        setting: Its setting.
        label: What the study calls the method.
        method: What is recorded of it.
        time: Seconds of training over those of the baseline.
        best: The group that the baseline serves best.
        claims: Whether the study has it claim to help against what was done to these faces.
        disparity: What it was held to; empty in records that do not say.
    """

    study: str
    setting: str
    label: str
    method: dict[str, Any]
    time: float
    best: str
    claims: bool
    disparity: str


def main() -> None:
    """Write all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "methods")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (out / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """File -> its text."""
    said, measured, found = _overview(), list(_measured()), {}
    about = "Written by `python benchmarks/methods.py`. Which one to use: [the overview](../mitigation.md)."
    index = ["# Every mitigation, a page each", "", about]
    for title, registry in (("In training", MITIGATIONS), ("After training", POSTPROCESSORS)):
        index += ["", f"## {title}", ""]
        for name in registry.names():
            if name == NONE:
                continue
            index.append(f"- [{name}]({name}.md): {first_line(registry.get(name))}")
            rows = [row for called, row in measured if called == (registry.kind, name)]
            found[f"{name}.md"] = _page(name, registry, said.get(name, {}), rows)
    index += ["", "## Beside them", ""]
    for name, (purpose, *_) in BESIDE.items():
        index.append(f"- [{name}]({name}.md): for {purpose}.")
        found[f"{name}.md"] = _beside(name, [row for called, row in measured if called == ("", name)])
    return found | {"README.md": "\n".join([*index, *_answers()]) + "\n"}


def _answers() -> list[str]:
    """For each setting: what helped or narrowed the gap, and what that did to the best group, to all, and in time."""
    about = (
        "Methods that helped the group that the baseline serves worst, then those that narrowed the gap that the study "
        "looks at without helping it: the change of that group, of the one that the baseline serves best, of the "
        "accuracy of all and of the gap, with intervals of 95 %, and the time of training. Where classes go with "
        "groups the gap is of these classes, and its worse side their mean recall in the group that had few of them. "
        "Of all others nothing good can be told. Small networks and few epochs: see the pages."
    )
    lines = ["", "## What helped, and at what price", "", about]
    for study, config, setting, recorded in _settings():
        methods = recorded["methods"]
        before = methods["baseline"]["groups"]
        judged = {name: told for name, told in methods.items() if told["verdict"]}
        if not judged:  # the baseline alone
            continue
        helped = [name for name, told in judged.items() if told["verdict"]["verdict"] == "helped"]
        worst, best = next(iter(judged.values()))["verdict"]["worst"], _best(recorded)
        ends = [f"{g} {words} ({Estimate(**before[g]['value'])})" for g, words in ((worst, "worst"), (best, "best"))]
        page = f"../results/{STUDIES[study]}/{setting}/README.md"
        title = f"**[{TITLES.get(setting, setting)}]({page})**"
        lines += ["", f"{title}: by {config.metric.replace('_', ' ')} the baseline serves {' and '.join(ends)}."]
        counts = Counter(told["verdict"]["verdict"] for told in judged.values())
        lines.append(f"Of {len(judged)} methods: {listed([f'{word}: {n}' for word, n in counts.most_common()])}.")
        for verdict in ("hurt", "levelled down"):
            named = [config.label(name) for name, told in judged.items() if told["verdict"]["verdict"] == verdict]
            lines += [f"{verdict.capitalize()}: {listed(named)}."] if named else []
        gap = recorded.get("disparity") or "gap"
        narrowed = [n for n in judged if n not in helped and (judged[n]["overall"][gap]["change"]["high"] or 0) < 0]
        sides = config.within(setting).known_by_class
        if helped or narrowed:
            header = ["method", "group served worst", "group served best", "accuracy of all", GAPS.get(gap, gap),
                      *(["its worse side"] if sides else []), "time", "verdict"]  # fmt: skip
            lines += ["", f"| {' | '.join(header)} |", "| --- " * len(header) + "|"]
        for name in [n for part in (helped, narrowed) for n in sorted(part, key=lambda m: -_change_value(judged[m]))]:
            told = judged[name]
            least = told["verdict"]["worst"]
            time = f"{_time(told, methods):.1f} x"
            now = name not in config.methods or _as_now(config.methods[name], told)
            label = _label(config, recorded, name) + ("" if now else ", of another rule than the study has now")
            cells = [label, f"{least} {_change(told['groups'][least])}",
                     f"{best} {_change(told['groups'][best])}", _change(told["overall"]["accuracy"]),
                     _change(told["overall"][gap]), *([_change(told["overall"]["known_worse"])] if sides else []),
                     time, told["verdict"]["words"]]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _time(method: dict[str, Any], methods: dict[str, Any]) -> float:
    """Seconds of training over those of the baseline."""
    return float(method["seconds"] / methods["baseline"]["seconds"])


def _best(recorded: dict[str, Any]) -> str:
    """The group that the baseline serves best, of those with faces enough."""
    groups = recorded["methods"]["baseline"]["groups"]
    served = {g: f["value"]["value"] or 0 for g, f in groups.items() if g in recorded.get("eligible", groups)}
    return str(max(served, key=lambda g: served[g]))


def _label(config: MitigationConfig, recorded: dict[str, Any], name: str) -> str:
    """What a method is called, and what it is held against where that is not the baseline."""
    other = recorded.get("held", {}).get(name)
    return config.label(name) + (f" (against {config.label(other)})" if other else "")


def _change_value(method: dict[str, Any]) -> float:
    return float(method["groups"][method["verdict"]["worst"]]["change"]["value"])


def _settings() -> Iterator[tuple[str, MitigationConfig, str, dict[str, Any]]]:
    """Each setting whose records are there: study, its file, setting, and what is recorded of it."""
    for study, folder in STUDIES.items():
        config = load_mitigation(ROOT / "studies" / f"{study}.yaml")
        for setting in config.settings:
            path = ROOT / "docs" / "results" / folder / setting / "records.json"
            if path.is_file():
                yield study, config, setting, json.loads(path.read_text(encoding="utf-8"))


def _page(name: str, registry: Registry, said: dict[str, str], rows: list[Row]) -> str:
    entry = registry.get(name)
    lines = [f"# {name}", "", f"**What it is for**: {PURPOSES[name]}.", "", prose(entry), ""]
    if said:
        lines += ["## What it needs, costs, and when it hurts", "", f"- **What it does**: {said['what it does']}."]
        for column in ("groups of training faces", "group asked for", "when it hurts"):
            lines += [f"- **{column.capitalize()}**: {said[column]}."] if said.get(column) else []
        if rows:
            low, high = min(row.time for row in rows), max(row.time for row in rows)
            times = f"{low:.2f} to {high:.2f} times the baseline's (whatever else the machine did)"
            lines.append(f"- **Training time here**: {times}.")
        lines.append("")
    lines += ["## What it did", "", *(_table(rows) if rows else ["It has been measured in no study here."]), ""]
    lines += [*_claims(rows), ""] if any(row.claims for row in rows) else []
    lines += ["## Options", "", *_options(registry, name), "", _how(registry, name), ""]
    return "\n".join(lines)


def _beside(name: str, rows: list[Row]) -> str:
    purpose, what, hurts, how = BESIDE[name]
    lines = [f"# {name}", "", f"**What it is for**: {purpose}.", "", what, ""]
    lines += ["## What it needs, costs, and when it hurts", "", "- **Groups of faces**: nowhere."]
    if rows:
        low, high = min(row.time for row in rows), max(row.time for row in rows)
        lines.append(f"- **Training time here**: {low:.2f} to {high:.2f} times the baseline's.")
    lines += [f"- **When it hurts**: {hurts}.", "", "## What it did", ""]
    lines += [*(_table(rows) if rows else ["It has been measured in no study here."]), ""]
    return "\n".join([*lines, f"In an experiment:\n\n```yaml\n{how}\n```", ""])


def _table(rows: list[Row]) -> list[str]:
    lines = ["| faces | as | accuracy of all | group served worst | group served best | gap | verdict |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in rows:
        overall, verdict = row.method["overall"], row.method["verdict"]
        gap = next(m for m in ("known", "gap") if m in overall)
        ends = [verdict["worst"] if verdict else "", row.best]
        groups = [f"{g} {_change(row.method['groups'][g])}" if g in row.method["groups"] else "" for g in ends]
        place = f"../results/{STUDIES[row.study]}/{row.setting}/README.md"
        cells = [f"[{TITLES.get(row.setting, row.setting)}]({place})", row.label, _change(overall["accuracy"]),
                 *groups, f"{GAPS[gap]} {_change(overall[gap])}",
                 verdict["words"] if verdict else "not judged"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", "Changes against the tuned baseline of the same seed on the same faces, with intervals of "
            "95 %; small networks and few epochs: the pages say how small, and the studies "
            "([drawn](../../studies/mitigate_drawn.yaml), [FERPlus](../../studies/mitigate_ferplus.yaml)) with which "
            "options"
            + ("" if all("made" in row.method for row in rows) else " (as they are now: some of the records are older)")
            + ". *Served worst* and *best*: by the "
            "baseline. A gap that shrinks has a change below 0."]  # fmt: skip


def _claims(rows: list[Row]) -> list[str]:
    """Whether it did what it is said to do: bring a known bias down by 30 %, shown by the interval."""
    lines = ["**As it claims?** What claims to help must leave no more than 70 % of a disparity, whichever way round, "
             "with an interval of the change wholly below 0:", ""]  # fmt: skip
    for row in rows:
        if row.claims:
            told, of = row.method.get("reduction"), GAPS.get(row.disparity, row.disparity) or _THEN
            if told is None or not told.get("some", True):
                verdict = "cannot be told, for the baseline's is not clear of 0"
            else:
                verdict = f"{'it does' if told['enough'] else 'it does not'} ({round(-100 * told['share']) + 0:+d} %)"
            lines.append(f"- {TITLES.get(row.setting, row.setting)}, as {row.label}, of {of}: {verdict}.")
    return lines


def _change(figure: dict[str, Any]) -> str:
    change = figure.get("change")
    return "" if change is None else signed(Estimate(**change))


def _options(registry: Registry, name: str) -> list[str]:
    options = options_of(registry.get(name), registry.given)
    if not options:
        return ["It takes none."]
    lines = ["| option | may be | default | what it is |", "| --- | --- | --- | --- |"]
    for option in options:
        default = "must be given" if option.required else f"`{json.dumps(option.default, default=str)}`"
        cells = [f"`{option.name}`", option.wants, default, option.about or ""]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _how(registry: Registry, name: str) -> str:
    entry = registry.get(name)
    needed = [o.name for o in options_of(entry, registry.given) if o.required or o.name == "by"]
    told = {"by": "[gender]"}
    options = ", ".join(f"{o}: {told.get(o, '...')}" for o in needed)
    inside = f"{{name: {name}, options: {{{options}}}}}" if options else name
    key = "mitigation" if registry is MITIGATIONS else "after"
    if name in NETWORKS:
        inside += f"\nmodel: {NETWORKS[name]}"
    where = "In an experiment" if registry is MITIGATIONS else "In a method of a study for `mien mitigate`"
    return f"{where}:\n\n```yaml\n{key}: {inside}\n```"


def _overview() -> dict[str, dict[str, str]]:
    """Method -> column -> what the overview's tables say of it."""
    found: dict[str, dict[str, str]] = {}
    header: list[str] = []
    for line in OVERVIEW.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif cells[0].startswith("`"):
            found[cells[0].strip("`")] = dict(zip(header, cells, strict=False))
    return found


def _measured() -> Iterator[tuple[tuple[str, str], Row]]:
    """What the studies' records hold: (kind, name in the catalogue) and the row."""
    for study, config, setting, recorded in _settings():
        methods, disparity = recorded["methods"], recorded.get("disparity", "")
        called = {name: _called(method) for name, method in config.methods.items()}
        for name, method in methods.items():
            for kind in called.get(name, []) if name in called and _as_now(config.methods[name], method) else []:
                claims = setting in config.methods[name].claims
                time, best, label = _time(method, methods), _best(recorded), _label(config, recorded, name)
                row = Row(study, setting, label, method, time, best, claims, disparity)
                yield kind, row


def _as_now(method: MethodConfig, recorded: dict[str, Any]) -> bool:
    """Whether a record is of the rule that the study has now; older ones do not say, and are taken at their word."""
    made = recorded.get("made")
    if method.after is None:
        return True
    if made is None:
        return "how" not in method.after.options  # which studies of that time did not set
    return bool(made["name"] == method.after.name and method.after.options.items() <= made["options"].items())


def _called(method: MethodConfig) -> list[tuple[str, str]]:
    """Kind and name of what a study's method is made of; the kind is empty of what is set beside mitigations."""
    if method.after is not None:
        return [(POSTPROCESSORS.kind, method.after.name)]
    found = []
    if (told := method.set.get("mitigation")) is not None:
        found.append((MITIGATIONS.kind, told if isinstance(told, str) else told["name"]))
    keys = {key for each in method.candidates for key in each}
    losses = (method.set.get("loss"), method.set.get("loss.name"))
    names = [loss["name"] if isinstance(loss, dict) else loss for loss in losses]
    found += [("", name) for name in names if name in BESIDE]
    found += [("", "rand_augment")] if any(key.startswith("augment.rand_augment") for key in keys) else []
    return found + ([("", "averaged_weights")] if "train.ema" in keys else [])


if __name__ == "__main__":
    main()
