"""The page of a study of mitigations: which to use, what it costs whom, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.evaluate import GIVEN
from mien.inference import Progress
from mien.metrics.learnt import nothing_learnt_by, nothing_of
from mien.mitigate.definition import BASELINE, MIN_N, ROWS, in_words
from mien.mitigate.figures import draw_trade
from mien.mitigate.leakage import probe_table, probed
from mien.mitigate.measures import (
    ACCURACY,
    KNOWN,
    WORST,
    Comparison,
    compare_methods,
)
from mien.mitigate.run import Found, Tried
from mien.mitigate.selection import RULES
from mien.mitigate.tables import (
    asks,
    asks_where_used,
    by_group_of,
    calibration_table,
    candidates_table,
    change_of,
    further_table,
    groups_table,
    main_table,
    overall_change,
    seconds_of,
    signed,
    times,
)
from mien.mitigate.verdicts import Judgement, Reduction, judgement, reduction
from mien.outputs import write_text
from mien.records import Estimate, plain, write_json
from mien.report.figures import save_png
from mien.runs import code_versions
from mien.stats.settings import Settings
from mien.studies.standing import evaluations_of
from mien.wording import listed, percent, plural

PAGE, RECORDS = "README.md", "records.json"
UNSHOWN = "-"
_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the judged faces and fresh probes say of a setting.

    Attributes:
        comparison: All methods.
        probes: What :func:`probed` read; empty where the study asks for none.
    """

    comparison: Comparison
    probes: Mapping[str, Mapping[str, Any]]


def told_of(
    found: Found,
    settings: Settings = Settings(n_boot=1000),
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Told:
    """Compare the methods of a setting, and read their features: what its page and the matrix are made of.

    Args:
        found: What the setting came to.
        settings: Level, replicates, seed.
        jobs: Processes side by side.
        progress: Called with methods whose features were read and all of them.
    """
    probes = probed(found, settings, jobs, progress) if found.config.probes else {}
    return Told(comparison=compared(found, settings), probes=probes)


def compared(found: Found, settings: Settings = Settings(n_boot=1000)) -> Comparison:
    """The chosen candidates of all methods on the judged faces."""
    runs = {name: [each.judged for each in tried.best] for name, tried in found.tried.items() if tried.best}
    config = found.config
    return compare_methods(
        runs,
        BASELINE,
        config.attribute,
        metric=config.metric,
        min_n=config.min_n,
        asking=[name for name in runs if asks_where_used(found, name)],
        known=config.known if config.disparity == KNOWN else (),
        held={name: m.against for name, m in config.methods.items() if m.against != BASELINE},
        settings=settings,
    )


def write_page(found: Found, out: Path, settings: Settings = Settings(n_boot=1000), told: Told | None = None) -> Path:
    """Write the page of one setting, its figure, and the records behind it: no faces, no weights, no paths.

    Args:
        found: What the setting came to.
        out: The folder.
        settings: Level, replicates, seed.
        told: What :func:`told_of` told of it, if that is known already.

    Returns:
        The page.
    """
    told = told or told_of(found, settings)
    config, comparison, probes = found.config, told.comparison, told.probes
    judged = {name: judgement(comparison, BASELINE, name) for name in comparison.methods if name not in ROWS}
    out.mkdir(parents=True, exist_ok=True)
    title = config.title or in_words(config.name)
    lines = [f"# {title}" + (f": {found.setting.replace('_', ' ')}" if len(config.settings) > 1 else ""), ""]
    lines += [f"{config.source}", ""] if config.source else []
    lines += [_protocol(found, comparison, settings), "", *_unlearnt(found), "## Which to use", ""]
    lines += _advice(found, comparison, judged)
    lines += [""]
    if not np.isnan(comparison.methods[BASELINE].overall[WORST].value.value):
        save_png(draw_trade(found, comparison, judged), out / "trade.png", dpi=110)
        lines += ["![accuracy of all against the worst group](trade.png)", ""]
    lines += ["## All methods", "", *main_table(found, comparison, judged), ""]
    lines += ["## Further figures", "", *further_table(found, comparison), ""]
    lines += ["## Every group", "", *groups_table(found, comparison), ""]
    how = "How sure" if config.metric == "accuracy" else "How right and how sure"
    lines += [f"## {how}, by group", "", *calibration_table(found, comparison), ""]
    if probes:
        perceived = comparison.attribute.source == "perceived"
        lines += [
            "## What the features tell of the group",
            "",
            *probe_table(config, probes, settings.level, perceived),
            "",
        ]
    lines += ["## Candidates", "", *candidates_table(found), ""]
    lines += [*_notes(found), ""] if _notes(found) else []
    lines += ["## What a reader must know", "", config.about.strip(), ""] if config.about else []
    lines += [_made_of(found), ""]
    write_text(out / PAGE, "\n".join(lines))
    write_json(out / RECORDS, plain(_records(found, comparison, judged, probes)))
    return out / PAGE


def _protocol(found: Found, comparison: Comparison, settings: Settings) -> str:
    config, base = found.config, found.tried[BASELINE].best
    n, methods = len(config.baseline.candidates), sum(name not in ROWS for name in found.tried)
    fitted = any(m.after is not None and m.part == "fit" for m in config.methods.values())
    beside = f"{plural(methods, 'method')} beside the baseline" if methods else "The baseline alone"
    tuned = "The baseline was tuned first" if n > 1 else "With one candidate nothing was tuned"
    begins = (", and every" if n > 1 else ". Every") + " method begins with the baseline's settings" if methods else ""
    said = [
        f"{beside}, {plural(n, 'candidate')}{' each' if methods else ''}, {len(base)} seeds each. {tuned}{begins}. "
        "Candidates are chosen on "
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
        "the same seed on the same faces, and those of the groups hold together. They are of the candidates that were "
        "chosen: that other faces might have chosen others is no part of them.",
        f"Groups with fewer than {config.min_n} faces are shown and neither choose nor judge."
        if len(comparison.eligible) < len(comparison.sizes) or config.min_n != MIN_N
        else "",
        "Groups are perceived, and the judged faces' counts corrected for what the annotator gets wrong; candidates "
        "are chosen by groups as perceived."
        if comparison.corrected
        else "",
        f"What {listed([config.label(name) for name in comparison.as_perceived])} says depends on whom the annotator "
        "took a face for, which no correction allows: its figures, and what its changes are against, are of the groups "
        "as perceived."
        if comparison.as_perceived
        else "",
        " ".join(
            f"{config.label(name)} is held against {config.label(other)}, and no other changes are."
            for name, other in comparison.held.items()
        ),
        "The protocol asks for three seeds or more." if len(base) < _SEEDS else "",
        ""
        if not methods or any(m.after is not None for m in config.methods.values())
        else "No row is of a baseline that is post-processed: what is that cheap was not tried.",
        "Intervals do not hold together over methods: of those that do nothing, up to one in forty is said to have "
        "helped, and where one is, others are likelier to be, for all are held against the same few runs of the "
        "baseline."
        if methods
        else "",
        f"{comparison.note[:1].upper()}{comparison.note[1:]}." if comparison.note else "",
        f"**Scale: {found.scale}**{': ' + found.says if found.says else ''}." if found.scale != "full" else "",
    ]
    return " ".join(filter(None, said))


def _unlearnt(found: Found) -> list[str]:
    """What must be known of a baseline whose answers tell nothing: nothing that follows means anything."""
    base = found.tried[BASELINE].best
    n = sum(nothing_of(each.judged.confusion()) for each in base)
    return [f"**{nothing_learnt_by(n, f'{len(base)} seeds of the baseline')}. Train longer first.**", ""] if n else []


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
    values = {g: base.groups[g].value for g in known}
    if alike := [g for g in known if g != worst and not _apart(values[worst], values[g])]:
        lines.append(
            f"- That {worst} is served worst may be chance: {listed(alike)} {'is' if len(alike) == 1 else 'are'} not "
            "clear of it. With other faces or seeds the verdicts, which ask what the worst group gained, might be "
            "about another."
        )
    helped = [name for name, told in judged.items() if told.verdict == "helped"]
    for name in sorted(helped, key=lambda m: -change_of(comparison, m, worst).value):
        asked = asks(found, name)
        least = judged[name].worst or worst  # of what reads the perceived group, as perceived
        other = f" (against {config.label(comparison.held[name])})" if name in comparison.held else ""
        moved = [f"{group} {signed(change_of(comparison, name, group))}" for group in (least, best)]
        lines.append(
            f"- **{config.label(name)}**{other} {judged[name].words}: {', '.join(moved)}, "
            f"all {signed(overall_change(comparison, name, ACCURACY))}; "
            f"{times(found, name)} times the baseline's time" + (f"; asks for groups {asked}." if asked else ".")
        )
    raised = {name: told for name, told in judged.items() if told.worst in told.gained}
    for name in [name for name in raised if name not in helped]:
        lines.append(f"- {config.label(name)} raised {raised[name].worst}, but: {raised[name].words}.")
    if not raised and judged:
        lines.append(
            "- No method raised the worst group by more than chance explains on these faces. That is no proof that "
            "none does: how large a gain could have been missed stands in the intervals of every group."
        )
    merits = {name: float(np.mean(tried.merits[tried.chosen])) for name, tried in found.tried.items() if tried.best}
    if passed := [name for name in helped if merits[name] < merits[comparison.held.get(name, BASELINE)]]:
        lines.append(
            f"- The validation faces would have preferred the baseline to {listed([config.label(n) for n in passed])} "
            f"(by {config.select.replace('_', ' ')}): they are as the training faces are. Between methods choose on "
            "faces that are as those of use."
        )
    untold = {
        name: told
        for name, told in judged.items()
        if told.verdict == "no change that can be told" and name not in raised
    }
    for less, said in ((False, "No change that can be told"), (True, "No change of a group, and less accuracy of all")):
        names = [config.label(name) for name, told in untold.items() if told.less_accurate == less]
        lines += [f"- {said}: {listed(names)}."] if names else []
    for verdict, said in (
        ("levelled down", "Levelled down (a smaller gap because the better groups lost)"),
        ("hurt", "Hurt"),
        ("cannot be judged", "Cannot be judged (fewer than two groups, or undefined)"),
    ):
        names = [config.label(name) for name, told in judged.items() if told.verdict == verdict]
        lines += [f"- {said}: {listed(names)}."] if names else []
    return lines


def _apart(one: Estimate, other: Estimate) -> bool:
    """Whether two groups' figures differ by more than chance explains, as of faces of their own each."""
    half = np.hypot(one.high - one.value, other.value - other.low)
    return bool(other.value - one.value > half)


def _notes(found: Found) -> list[str]:
    config = found.config
    notes = [f"- {config.label(name)}: {config.methods[name].note}" for name in found.tried
             if name in config.methods and config.methods[name].note]  # fmt: skip
    copies = _copies(found)
    notes += [copies] if copies else []
    for name, tried in found.tried.items():
        notes += [f"- {config.label(name)}, candidate {i + 1}: {why}" for i, why in tried.failures.items()]
        notes += [f"- {config.label(name)}: {said}" for said in _said_of(tried)] if name != BASELINE else []
    if found.lacking:
        notes.append(
            f"- Not run yet, or held against one that is not: {listed([config.label(name) for name in found.lacking])}."
        )
    return notes


def _said_of(tried: Tried) -> list[str]:
    """What must be known of a method's runs: seeds that learnt nothing, and how much of a latent is alive."""
    said = []
    if len(tried.merits) > 1 and not tried.failures and len({tuple(each) for each in tried.merits}) == 1:
        said.append("its candidates are alike to the rule that chooses, and the first was taken: it had one chance.")
    if n := sum(nothing_of(each.judged.confusion()) for each in tried.best):
        said.append(f"{nothing_learnt_by(n, plural(len(tried.best), 'seed'))}.")
    histories = [each.cell.run.history for each in tried.best]
    alive = [h["alive"].dropna().iloc[-1] for h in histories if "alive" in h and h["alive"].notna().any()]
    said += list(dict.fromkeys(note for each in tried.best for note in each.judged.notes if GIVEN in note))
    if alive:
        said.append(
            f"{percent(float(np.mean(alive)))} of the latent's channels are alive (mean over seeds); one that tells "
            "nothing would hide the group too."
        )
    return said


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
            if name not in ROWS
            else None,
            "seconds": seconds_of(tried),
            "merits": [list(m) for m in tried.merits],
            "chosen": tried.chosen,
            "failures": dict(tried.failures),
            "keys": [outcome.cell.key for outcome in tried.best],
            "made": _made(found, name),
            "by_group": by_group_of(found, name, comparison.eligible) if tried.best else {},
        }
    return {
        "study": found.config.name, "setting": found.setting, "scale": found.scale,
        "attribute": comparison.attribute.name, "disparity": found.config.disparity,
        "sizes": dict(comparison.sizes), "eligible": list(comparison.eligible),
        "corrected": comparison.corrected, "held": dict(comparison.held),
        "as_perceived": {name: asdict(base) for name, base in comparison.as_perceived.items()},
        "methods": methods, "probes": probes,
    }  # fmt: skip


def _made(found: Found, name: str) -> dict[str, Any]:
    """What a method's chosen candidate is: kind, name and options."""
    method, tried = found.config.methods.get(name), found.tried[name]
    if method is None or method.after is None:
        told = tried.best[0].cell.config.mitigation if tried.best else None
        return {} if told is None else {"kind": "mitigation", "name": told.name, "options": dict(told.options)}
    options = {**method.after.options, **method.candidates[tried.chosen]}
    return {"kind": "postprocessor", "name": method.after.name, "options": options}


def _plain_reduction(told: Reduction | None) -> dict[str, Any] | None:
    return None if told is None else asdict(told)
