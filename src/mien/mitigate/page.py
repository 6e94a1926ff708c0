"""The page of a study of mitigations: which to use, what it costs whom, and what that rests on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mien.audit.attributes import resolve_attribute
from mien.audit.leakage import ProbeSettings, leakage_inputs, leakage_probe
from mien.audit.seeds.noise import interval_over_seeds
from mien.metrics import expected_calibration_error, nll_rows
from mien.mitigate.definition import BASELINE, MIN_N, MitigationConfig
from mien.mitigate.figures import draw_trade
from mien.mitigate.measures import (
    ACCURACY,
    EQUAL,
    FAIRNESS,
    GAP,
    MACRO,
    MEASURES,
    ODDS,
    PARITY,
    WORST,
    Comparison,
    Figure,
    compare_methods,
)
from mien.mitigate.run import Found, Tried, features_of
from mien.mitigate.selection import RULES
from mien.mitigate.verdicts import Judgement, Reduction, judgement, reduction
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Needs
from mien.outputs import write_text
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import PostProcessor
from mien.records import Estimate, plain, thousandths, write_json
from mien.report.figures import save_png
from mien.runs import code_versions
from mien.stats.settings import Settings
from mien.studies.standing import evaluations_of
from mien.studies.tables import line_of
from mien.wording import listed

PAGE, RECORDS = "README.md", "records.json"
UNSHOWN = "-"


def compared(found: Found, settings: Settings = Settings(n_boot=1000)) -> Comparison:
    """The chosen candidates of all methods on the judged faces."""
    runs = {name: [each.judged for each in tried.best] for name, tried in found.tried.items() if tried.best}
    config = found.config
    return compare_methods(
        runs, BASELINE, config.attribute, metric=config.metric, min_n=config.min_n, settings=settings
    )


def write_page(
    found: Found, out: Path, settings: Settings = Settings(n_boot=1000), comparison: Comparison | None = None
) -> Path:
    """Write the page of one setting, its figure, and the records behind it: no faces, no weights, no paths.

    Args:
        found: What the setting came to.
        out: The folder.
        settings: Level, replicates, seed.
        comparison: What :func:`compared` told of it, if that is known already.

    Returns:
        The page.
    """
    config, comparison = found.config, comparison or compared(found, settings)
    judged = {name: judgement(comparison, BASELINE, name) for name in comparison.methods if name != BASELINE}
    probes = _probed(found, settings) if config.probes else {}
    out.mkdir(parents=True, exist_ok=True)
    title = config.title or config.name.replace("_", " ")
    lines = [f"# {title}" + (f": {found.setting.replace('_', ' ')}" if len(config.settings) > 1 else ""), ""]
    lines += [f"{config.source}", ""] if config.source else []
    lines += [_protocol(found, comparison, settings), "", *_unlearnt(found), "## Which to use", ""]
    lines += _advice(found, comparison, judged)
    lines += [""]
    if not np.isnan(comparison.methods[BASELINE].overall[WORST].value.value):
        save_png(draw_trade(found, comparison, judged), out / "trade.png", dpi=110)
        lines += ["![accuracy of all against the worst group](trade.png)", ""]
    lines += ["## All methods", "", *_main_table(found, comparison, judged), ""]
    lines += ["## Further figures", "", *_further_table(found, comparison), ""]
    lines += ["## Every group", "", *_groups_table(found, comparison), ""]
    lines += ["## How sure, by group", "", *_calibration(found, comparison), ""]
    if probes:
        lines += ["## What the features tell of the group", "", *probe_table(config, probes, settings.level), ""]
    lines += ["## Candidates", "", *_candidates(found), ""]
    lines += [*_notes(found), ""] if _notes(found) else []
    lines += ["## What a reader must know", "", config.about.strip(), ""] if config.about else []
    lines += [_made_of(found), ""]
    write_text(out / PAGE, "\n".join(lines))
    write_json(out / RECORDS, plain(_records(found, comparison, judged, probes)))
    return out / PAGE


def _protocol(found: Found, comparison: Comparison, settings: Settings) -> str:
    config, base = found.config, found.tried[BASELINE].best
    n = len(config.baseline.candidates)
    fitted = any(m.after is not None and m.part == "fit" for m in config.methods.values())
    said = [
        f"{len(found.tried) - 1} methods beside the baseline, {n} {'candidate' if n == 1 else 'candidates'} each, "
        f"{len(base)} seeds each. "
        + ("The baseline was tuned first, and every" if n > 1 else "With one candidate nothing was tuned. Every")
        + " method begins with the baseline's settings. Candidates are chosen on "
        f"{len(base[0].validation):,} validation faces "
        f"by {RULES[config.select]}" + ("; what is fitted after training has faces of its own." if fitted else "."),
        f"All were then judged once, on {len(base[0].judged):,} faces of *{_last(config.judged)}*, by "
        f"{config.metric.replace('_', ' ')} of the groups of {comparison.attribute.label}"
        + (
            f", without {listed(comparison.dropped)}, of which a group has too few faces."
            if comparison.dropped
            else "."
        ),
        f"Intervals are {100 * settings.level:.0f} % for all faces and all seeds; changes are against the baseline of "
        "the same seed on the same faces, and those of the groups hold together.",
        f"Groups with fewer than {config.min_n} faces are shown and neither choose nor judge."
        if len(comparison.eligible) < len(comparison.sizes) or config.min_n != MIN_N
        else "",
        "Groups are perceived, and the judged faces' counts corrected for what the annotator gets wrong; candidates "
        "are chosen by groups as perceived."
        if comparison.corrected
        else "",
        "They do not hold together over methods: of those that do nothing, up to one in forty is said to have helped.",
        f"{comparison.note[:1].upper()}{comparison.note[1:]}." if comparison.note else "",
        f"**Scale: {found.scale}**{': ' + found.says if found.says else ''}." if found.scale != "full" else "",
    ]
    return " ".join(filter(None, said))


def _unlearnt(found: Found) -> list[str]:
    """What must be known of a baseline that gives one answer to all: nothing that follows means anything."""
    one = [o for o in found.tried[BASELINE].best if len(np.unique(o.judged.predicted)) == 1]
    if not one:
        return []
    seeds = f"{len(one)} of {len(found.tried[BASELINE].best)} seeds"
    return [f"**The baseline has learnt nothing in {seeds}: it gives all faces one class. Train longer first.**", ""]


def _last(part: str) -> str:
    return part.rpartition(":")[2]


def _advice(found: Found, comparison: Comparison, judged: Mapping[str, Judgement]) -> list[str]:
    """Sentences for whoever asks which to use, best first."""
    config, base = found.config, comparison.methods[BASELINE]
    known = [g for g in comparison.eligible if not np.isnan(base.groups[g].value.value)]
    worst = min(known, key=lambda g: base.groups[g].value.value, default="")
    best = max(known, key=lambda g: base.groups[g].value.value, default="")
    if not worst or worst == best:
        return ["Fewer than two groups have faces enough: nothing can be said."]
    lines = [
        f"The baseline serves **{worst}** worst, {base.groups[worst].value}, and **{best}** best, "
        f"{base.groups[best].value}."
    ]
    helped = [name for name, told in judged.items() if told.verdict == "helped"]
    for name in sorted(helped, key=lambda m: -_change(comparison, m, worst).value):
        asked = _asks(found, name)
        lines.append(
            f"- **{config.label(name)}** {judged[name].words}: {worst} {_signed(_change(comparison, name, worst))}, "
            f"{best} {_signed(_change(comparison, name, best))}, all {_signed(_overall(comparison, name, ACCURACY))}; "
            f"{_times(found, name)} times the baseline's time" + (f"; asks for groups {asked}." if asked else ".")
        )
    if not helped:
        lines.append(
            "- No method raised the worst group by more than chance explains on these faces. That is no proof that "
            "none does: how large a gain could have been missed stands in the intervals of every group."
        )
    for verdict, said in (
        ("no change that can be told", "No change that can be told"),
        ("levelled down", "Levelled down (a smaller gap because the better groups lost)"),
        ("hurt", "Hurt"),
        ("cannot be judged", "Cannot be judged (fewer than two groups, or undefined)"),
    ):
        names = [config.label(name) for name, told in judged.items() if told.verdict == verdict]
        lines += [f"- {said}: {listed(names)}."] if names else []
    return lines


def _change(comparison: Comparison, name: str, group: str) -> Estimate:
    change = comparison.methods[name].groups[group].change
    return change if change is not None else Estimate(float("nan"))


def _overall(comparison: Comparison, name: str, measure: str) -> Estimate:
    change = comparison.methods[name].overall[measure].change
    return change if change is not None else Estimate(float("nan"))


def _signed(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "undefined"
    sign = "+" if estimate.value > 0 else ""
    interval = "" if np.isnan(estimate.low) else f" [{thousandths(estimate.low)}, {thousandths(estimate.high)}]"
    return f"{sign}{thousandths(estimate.value)}{interval}"


def _seconds(tried: Tried) -> float:
    """The median over seeds: what else the machine did in one of them plays no part."""
    return float(np.median([each.seconds for each in tried.best]))


def _times(found: Found, name: str) -> str:
    return f"{_seconds(found.tried[name]) / max(_seconds(found.tried[BASELINE]), 1e-9):.2f}"


def _asks(found: Found, name: str) -> str:
    """Where a method asks for the groups of faces; empty where it never does."""
    method = found.config.methods.get(name, found.config.baseline)
    said = []
    mitigation = found.tried[name].best[0].cell.config.mitigation
    takes = inspect.signature(MITIGATIONS.get(mitigation.name)).parameters
    needs: Needs = getattr(MITIGATIONS.get(mitigation.name), "needs", Needs())
    if mitigation.options.get("by") or (needs.training and "by" not in takes):
        said.append("in training")
    if method.after is not None:
        options = {**method.after.options, **method.candidates[found.tried[name].chosen]}
        maker: PostProcessor = POSTPROCESSORS.get(method.after.name)(**options)
        said += ["after training"] if maker.fits_groups else []
        said += ["where it is used"] if maker.asks_groups else []
    elif needs.prediction:
        said.append("where it is used")
    return listed(said)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines in Markdown."""
    return [line_of(header), line_of(["---"] * len(header)), *map(line_of, rows)]


def _with_change(figure: Figure) -> str:
    return str(figure.value) if figure.change is None else f"{figure.value}; {_signed(figure.change)}"


def _main_table(found: Found, comparison: Comparison, judged: Mapping[str, Judgement]) -> list[str]:
    shown = list(dict.fromkeys([ACCURACY, WORST, GAP, found.config.disparity]))
    header = ["method", *(title for m in shown for title in (MEASURES[m][0], "change")), "time", "asks for groups",
              "verdict"]  # fmt: skip
    rows = []
    for name, method in comparison.methods.items():
        told = [cell for m in shown for cell in _apart(method.overall[m])]
        verdict = f"**{judged[name].words}**" if name in judged else ""
        asks = _asks(found, name) or "no"
        rows.append([found.config.label(name), *told, f"{_times(found, name)} x", asks, verdict])
    after = (
        "Change: against the baseline. *Accuracy* has the groups as they come in the judged faces. *Worst group* and "
        "*largest gap* are of the mean rates over seeds: noise makes the one lower and the other larger than they are, "
        "so that their intervals, and those of their changes, are what a band about all groups at once leaves, and "
        "wide. What happened to each group tells more. *Time* is that of training and of what is fitted after it, the "
        "median over seeds."
    )
    return [*table(header, rows), "", after]


def _apart(figure: Figure) -> tuple[str, str]:
    return str(figure.value), "" if figure.change is None else _signed(figure.change)


def _further_table(found: Found, comparison: Comparison) -> list[str]:
    shown = [m for m in (EQUAL, MACRO, ODDS, PARITY, FAIRNESS) if m != found.config.disparity]
    header = ["method", *(MEASURES[m][0] for m in shown)]
    rows = [
        [found.config.label(name), *(_with_change(method.overall[m]) for m in shown)]
        for name, method in comparison.methods.items()
    ]
    after = (
        "After the semicolon: the change against the baseline. *Mean over groups* counts every group alike, "
        "*balanced accuracy* every class. Equalised odds and demographic parity: the largest gap of a rate over the "
        "classes (Hardt et al. 2016). F: the smallest over the largest mean recall of the groups (Xu et al. 2020)."
    )
    return [*table(header, rows), "", after]


def _groups_table(found: Found, comparison: Comparison) -> list[str]:
    groups = list(comparison.sizes)
    header = ["method", *(f"{g} ({comparison.sizes[g]:,} faces)" for g in groups)]
    rows = [
        [found.config.label(name), *(_with_change(method.groups[g]) for g in groups)]
        for name, method in comparison.methods.items()
    ]
    return table(header, rows)


def _calibration(found: Found, comparison: Comparison) -> list[str]:
    """Log loss and calibration error of each group, means over seeds."""
    groups = list(comparison.eligible)
    header = ["method", *(f"log loss, {g}" for g in groups), *(f"calibration error, {g}" for g in groups)]
    rows, without = [], list[str]()
    for name, tried in found.tried.items():
        if not _calibrated(found, name):
            without.append(found.config.label(name))
            continue
        losses, errors = [], []
        for outcome in tried.best:
            said = outcome.judged
            if said.probs is None:
                continue
            attribute = resolve_attribute(said, found.config.attribute)
            masks = [attribute.codes == list(attribute.groups).index(g) for g in groups]
            losses.append([float(nll_rows(said.probs[m], said.labels[m]).mean()) for m in masks])
            errors.append([expected_calibration_error(said.probs[m], said.labels[m]) for m in masks])
        if losses:
            cells = [f"{v:.3f}" for v in (*np.mean(losses, 0), *np.mean(errors, 0))]
            rows.append([found.config.label(name), *cells])
    what = "Means over seeds, by group as perceived." if comparison.corrected else "Means over seeds."
    if without:
        what += f" No row of {listed(without)}: what they return decides by its largest value and is no probability."
    return [*table(header, rows), "", what]


def _calibrated(found: Found, name: str) -> bool:
    """Whether what a method says is meant as probabilities."""
    method = found.config.methods.get(name, found.config.baseline)
    return method.after is None or bool(getattr(POSTPROCESSORS.get(method.after.name), "calibrated", True))


def _probed(found: Found, settings: Settings) -> dict[str, dict[str, Any]]:
    """Method -> what fresh probes read of the group from its features, means over seeds."""
    n, out = len(found.tried[BASELINE].best), {}  # runs, over which the permutations are shared out
    asked = ProbeSettings(
        n_perm=-(-50 // n), n_perm_mlp=-(-5 // n), max_n=3000, n_boot=200, min_n=found.config.min_n, seed=settings.seed
    )
    for name, tried in found.tried.items():
        if found.config.methods.get(name, found.config.baseline).after is not None:
            continue  # the features are those of the model that it was fitted to
        read: dict[str, list[tuple[float, float]]] = {}
        for outcome in tried.best:
            said = outcome.judged
            attribute = resolve_attribute(said, found.config.attribute)
            inputs = leakage_inputs(said, features_of(outcome.cell, found.config.judged))
            result = leakage_probe(inputs, attribute, said.cluster, labels=said.labels, settings=asked)
            for probe in result.probes:
                told = read.setdefault(f"{probe.input}, {probe.probe}", [])
                told.append((probe.balanced_accuracy.value, probe.expected))
        out[name] = {
            key: {"read": [a for a, _ in told], "permuted": float(np.mean([b for _, b in told]))}
            for key, told in read.items()
        }
    return out


def probe_table(config: MitigationConfig, probes: Mapping[str, Mapping[str, Any]], level: float) -> list[str]:
    """What fresh probes read of the group from the features of each method, and how much less than of the baseline."""
    keys = list(next(iter(probes.values())))
    rows = [
        [
            config.label(name),
            *(
                _probe_cell(told.get(key), None if name == BASELINE else probes[BASELINE].get(key), level)
                for key in keys
            ),
        ]
        for name, told in probes.items()
    ]
    what = (
        "Balanced accuracy of a probe that is fitted anew to each run, mean over seeds; in brackets the same probe on "
        "groups permuted among faces of one class. Then its change against the baseline of the same seed, with "
        "Student's interval over seeds, for these faces; bold where it lies wholly on one side of 0. *expression* is "
        "what the annotated class alone tells. A method fitted after training has the features of the model that it "
        "was fitted to, and no row."
    )
    return [*table(["method", *keys], rows), "", what]


def _probe_cell(told: Mapping[str, Any] | None, base: Mapping[str, Any] | None, level: float) -> str:
    """What a probe reads of a method, and how much less than of the baseline, in pairs of seeds."""
    if told is None:
        return ""
    cell = f"{np.mean(told['read']):.3f} ({told['permuted']:.3f})"
    if base is None or len(told["read"]) != len(base["read"]) or len(base["read"]) < 2:
        return cell
    change = np.subtract(told["read"], base["read"])
    low, high = interval_over_seeds(float(change.mean()), 0.0, float(change.var(ddof=1)), len(change), level)
    said = f"{change.mean():+.3f} [{low:.3f}, {high:.3f}]"
    return f"{cell}; **{said}**" if low > 0 or high < 0 else f"{cell}; {said}"


def _candidates(found: Found) -> list[str]:
    config, rows = found.config, []
    for name, tried in found.tried.items():
        method = config.methods.get(name, config.baseline)
        for i, (told, merits) in enumerate(zip(method.candidates, tried.merits, strict=True)):
            settings = ", ".join(f"{k} {v}" for k, v in told.items()) or "as it is"
            figure = "failed" if i in tried.failures else f"{abs(float(np.mean(merits))):.4f}"
            mark = "chosen" if i == tried.chosen and tried.best else ""
            rows.append([config.label(name), settings, figure, mark])
    return [*table(["method", "candidate", f"by {config.select.replace('_', ' ')}", ""], rows), "",
            f"Mean over seeds of {RULES[config.select]}."]  # fmt: skip


def _notes(found: Found) -> list[str]:
    config = found.config
    notes = [f"- {config.label(name)}: {config.methods[name].note}" for name in found.tried
             if name in config.methods and config.methods[name].note]  # fmt: skip
    copies = _copies(found)
    notes += [copies] if copies else []
    for name, tried in found.tried.items():
        notes += [f"- {config.label(name)}, candidate {i + 1}: {why}" for i, why in tried.failures.items()]
    if found.lacking:
        notes.append(f"- Not run yet: {listed([config.label(name) for name in found.lacking])}.")
    return notes


def _copies(found: Found) -> str:
    """What to say of judged faces that were learnt; mostly nothing."""
    cell = found.tried[BASELINE].best[0].cell
    told = cell.run.record.estimates[evaluations_of(cell)[found.config.judged]]
    if not told["n_copies"]:
        return ""
    return f"- Of {told['n']:,} judged faces {told['n_copies']:,} were learnt or are copies of such."


def _made_of(found: Found) -> str:
    cells = {o.cell.id: o.cell for tried in found.tried.values() for seeds in tried.outcomes for o in seeds}
    records = [cell.run.record for cell in cells.values()]
    data = sorted({f"{r.data['training_faces']:,} training faces of {r.data['corpus']}" for r in records})
    devices = sorted({str(r.device.get("accelerator") or f"{r.device['cores']} cores, {r.device['processor']}")
                      for r in records})  # fmt: skip
    commits = sorted({r.versions.get("commit", "unknown") for r in records})
    return (
        f"Written by `mien mitigate` from the study {found.config.name}. {len(records)} runs, "
        f"{sum(r.seconds for r in records) / 3600:.1f} hours of training in all; {'; '.join(data)}; "
        f"{', '.join(devices)}; commit {', '.join(commits)}, page by {code_versions().get('commit', 'unknown')}. "
        f"Records: [{RECORDS}]({RECORDS})."
    )


def _records(
    found: Found, comparison: Comparison, judged: Mapping[str, Judgement], probes: Mapping[str, Any]
) -> dict[str, Any]:
    methods = {}
    for name, method in comparison.methods.items():
        tried = found.tried[name]
        methods[name] = {
            "overall": {m: asdict(f) for m, f in method.overall.items()},
            "groups": {g: asdict(f) for g, f in method.groups.items()},
            "verdict": asdict(judged[name]) | {"words": judged[name].words} if name in judged else None,
            "reduction": _plain_reduction(reduction(comparison, BASELINE, name, found.config.disparity))
            if name != BASELINE
            else None,
            "seconds": _seconds(tried),
            "merits": [list(m) for m in tried.merits],
            "chosen": tried.chosen,
            "failures": dict(tried.failures),
            "keys": [outcome.cell.key for outcome in tried.best],
        }
    return {
        "study": found.config.name, "setting": found.setting, "scale": found.scale,
        "attribute": comparison.attribute.name, "sizes": dict(comparison.sizes), "corrected": comparison.corrected,
        "methods": methods, "probes": probes,
    }  # fmt: skip


def _plain_reduction(told: Reduction | None) -> dict[str, Any] | None:
    return None if told is None else asdict(told)
