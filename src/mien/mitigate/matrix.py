"""Methods against kinds of bias that are known: which brought the gap down, and whether that is as it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mien.mitigate.definition import BASELINE, ROWS, MitigationConfig, in_words
from mien.mitigate.figures import draw_matrix
from mien.mitigate.known import words_of
from mien.mitigate.leakage import hidden_table
from mien.mitigate.measures import KNOWN, MEASURES, WORSE, Comparison
from mien.mitigate.page import PAGE, UNSHOWN, Told, told_of
from mien.mitigate.run import Found
from mien.mitigate.tables import costly, share_of_time
from mien.mitigate.verdicts import Judgement, Reduction, judgement, reduction
from mien.outputs import write_text
from mien.report.figures import save_png
from mien.stats.settings import Settings
from mien.studies.tables import table
from mien.wording import listed


def write_matrix(
    founds: Sequence[Found],
    out: Path,
    settings: Settings = Settings(n_boot=1000),
    told: Mapping[str, Told] | None = None,
) -> Path:
    """Write methods against settings: how far each brought the disparity down, and whether that is as it claims.

    Settings in which the baseline is alone have no column: what its disparity is without a bias stands above them.

    Args:
        founds: The settings of one study.
        out: The folder.
        settings: Level, replicates, seed.
        told: Setting -> what :func:`told_of` told of it, where that is known already.

    Returns:
        The page.
    """
    known = dict(told or {})
    for found in founds:
        if found.setting not in known:
            known[found.setting] = told_of(found, settings)
    alone = [found for found in founds if not found.config.methods]
    columns = [found for found in founds if found.config.methods]
    config = (columns or founds)[0].config
    # A setting may name its own methods: those of all of them, in the order of the first that has each.
    config = config.model_copy(update={"methods": {n: m for found in columns for n, m in found.config.methods.items()}})
    names = [name for name in config.methods if any(name in found.tried for found in columns)]
    fell = {
        (name, found.setting): (
            reduction(known[found.setting].comparison, BASELINE, name, found.config.disparity),
            judgement(known[found.setting].comparison, BASELINE, name),
        )
        for found in columns
        for name in names
        if name in known[found.setting].comparison.methods
    }
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"# {config.title or config.name}", "", _legend(config, len(fell), known), ""]
    lines += ["The baseline's, and what is measured:", "", *(f"- {_before(f, known)}" for f in columns), ""]
    if alone:
        lines += ["The baseline's where nothing is done to the faces: what of a gap no bias made.", ""]
        lines += [*(f"- {_before(f, known)}" for f in alone), ""]
    lines += ["What was found:", ""]
    for found in columns:
        here = {n: fell[n, found.setting] for n in names if (n, found.setting) in fell}
        said = summary(here, config.label) + _worse_side(found, known[found.setting].comparison)
        lines.append(f"- {in_words(found.setting)}: {said}")
    lines += ["", *_matrix(config, names, columns, fell), ""]
    lines += [*_costs(columns), *_perceived(config, known), *_missing(config, founds)]
    lines += hidden_table(columns, {setting: each.probes for setting, each in known.items()}, settings.level)
    if fell:
        save_png(draw_matrix(config, names, [found.setting for found in columns], fell), out / "matrix.png", dpi=110)
        lines += ["![change of the disparity](matrix.png)", ""]
    lines += ["Each has a page: " + listed([f"[{in_words(f.setting)}]({f.setting}/{PAGE})" for f in founds]) + ".", ""]
    if founds[0].scale != "full":
        lines += [f"**Scale: {founds[0].scale}**{': ' + founds[0].says if founds[0].says else ''}.", ""]
    lines += [config.about.strip(), ""] if config.about else []
    write_text(out / PAGE, "\n".join(lines))
    return out / PAGE


def _legend(config: MitigationConfig, n: int, known: Mapping[str, Told]) -> str:
    claims = any(method.claims for method in config.methods.values())
    said = [
        "Change of the disparity between groups, as a share of the baseline's (-100 % closes it, -200 % turns it "
        "round), with the verdict of the groups, and where the accuracy of all fell, that it did; in points where the "
        "baseline's own is not clear of 0, of which a share says nothing. Bold: the interval of the change lies wholly "
        f"on one side of 0, as one cell in twenty does by chance, about {max(1, round(n / 20))} of these {n}; and the "
        "cells of a column depend on each other, for all are held against the same runs of the baseline.",
        "A method that claims a kind of bias must leave no more than 70 % of the disparity, whichever way round, with "
        "such an interval."
        if claims
        else "",
        *dict.fromkeys(
            f"{config.label(name)} is held against {config.label(other)}."
            for told in known.values()
            for name, other in told.comparison.held.items()
        ),
    ]
    return " ".join(filter(None, said))


def _worse_side(found: Found, comparison: Comparison) -> str:
    """Which methods raised the classes and groups that a known gap is at the cost of; empty of a gap between groups."""
    if not found.config.known_by_class:
        return ""
    changes = {name: method.overall[WORSE].change for name, method in comparison.methods.items() if name not in ROWS}
    rose = [found.config.label(name) for name, change in changes.items() if change is not None and change.low > 0]
    return f" The side of the known gap that is served worse gained by {listed(rose) or 'none'}."


def _before(found: Found, known: Mapping[str, Told]) -> str:
    """The baseline's disparity in a setting, and what that is."""
    measure = found.config.disparity
    value = known[found.setting].comparison.methods[BASELINE].overall[measure].value
    what = f": {words_of(found.config)}" if measure == KNOWN else ""
    return f"{in_words(found.setting)}: {MEASURES[measure][0]} {value}{what}"


def _matrix(
    config: MitigationConfig,
    names: Sequence[str],
    founds: Sequence[Found],
    fell: Mapping[tuple[str, str], tuple[Reduction | None, Judgement]],
) -> list[str]:
    rows = []
    for name in names:
        row = [config.label(name)]
        for found in founds:
            one = fell.get((name, found.setting))
            row.append(UNSHOWN if one is None else _matrix_cell(*one, found.setting in config.methods[name].claims))
        rows.append([*row, _claimed(config, name, fell), _time(name, founds)])
    if not rows:
        return []
    header = ["method", *(in_words(found.setting) for found in founds), "as it claims?", "time"]
    return [
        *_without_empty(header, rows), "",
        "*Time* is that of training and of what is fitted after it, in times of the baseline's, from the bias where it "
        "is least to where it is most.",
    ]  # fmt: skip


def _costs(founds: Sequence[Found]) -> list[str]:
    """Methods that cost more than may be expected; mostly nothing."""
    over = {in_words(found.setting): costly(found) for found in founds}
    said = "; ".join(f"{setting}: {listed(each)}" for setting, each in over.items() if each)
    return (
        [
            f"More than twice the baseline's time, three times of a method that fits twice, as the runs took, whatever "
            f"else the machine did meanwhile: {said}.",
            "",
        ]
        if said
        else []
    )


def _missing(config: MitigationConfig, founds: Sequence[Found]) -> list[str]:
    """What the page lacks: settings of the study, and methods of a setting; mostly nothing."""
    lines = []
    if lost := [in_words(setting) for setting in config.settings if setting not in {found.setting for found in founds}]:
        lines.append(f"- Not on this page, for their baseline is not done or they cannot be judged: {listed(lost)}.")
    for found in founds:
        label = found.config.label
        untried = [label(name) for name in found.lacking]
        failed = [label(name) for name in found.config.methods if name in found.tried and not found.tried[name].best]
        here = [f"not run yet, or held against one that is not: {listed(untried)}"] if untried else []
        here += [f"no candidate could be made, as its page says: {listed(failed)}"] if failed else []
        lines += [f"- {in_words(found.setting)}: {'; '.join(here)}."] if here else []
    return ["What is missing:", "", *lines, ""] if lines else []


def summary(told: Mapping[str, tuple[Reduction | None, Judgement]], label: Callable[[str], str] = str) -> str:
    """What methods did to one kind of bias: to the disparity, to the group served worst, and to the others.

    Args:
        told: Method -> how far it brought the disparity down, and its verdict.
        label: What people call a method.
    """
    fell = {name: one for name, (one, _) in told.items() if one is not None}
    judged = {name: verdict.verdict for name, (_, verdict) in told.items() if verdict.verdict != "cannot be judged"}
    lists = {
        "brought down by 30 % or more by": [name for name, one in fell.items() if one.enough],
        "brought down by less by": [
            n for n, one in fell.items() if one.shown and not (one.enough or one.turned or one.grew)
        ],
        "turned round by": [name for name, one in fell.items() if one.shown and one.turned],
        "made larger by": [name for name, one in fell.items() if one.grew and not one.turned],
    }
    said = [f"{words} {listed([label(name) for name in found])}" for words, found in lists.items() if found]
    nothing = "changed by no method by more than chance explains" if fell else "not measured"
    if not judged:
        return f"the disparity was {'; '.join(said) or nothing}. No method could be judged by its groups."
    helped = [label(name) for name, (_, verdict) in told.items() if name in judged and verdict.worst in verdict.gained]
    hurt = sum(verdict == "hurt" for verdict in judged.values())
    return (
        f"the disparity was {'; '.join(said) or nothing}. The group served worst gained by {listed(helped) or 'none'}; "
        f"{hurt} of {len(judged)} methods were judged to hurt."
    )


def _without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table without the columns that say nothing in any row."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return table([header[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _perceived(config: MitigationConfig, known: Mapping[str, Told]) -> list[str]:
    """Which methods are measured otherwise than the others, and against another baseline; mostly nothing."""
    names = dict.fromkeys(name for told in known.values() for name in told.comparison.as_perceived)
    if not names:
        return []
    who = listed([config.label(name) for name in names])
    return [f"{who}: by groups as perceived, and held against the baseline's disparity as perceived.", ""]


def _time(name: str, founds: Sequence[Found]) -> str:
    told = [share_of_time(found, name) for found in founds if name in found.tried and found.tried[name].best]
    ends = list(dict.fromkeys(f"{t:.1f}" for t in (min(told, default=0.0), max(told, default=0.0))))
    return " to ".join(ends) if told else UNSHOWN


def _matrix_cell(fell: Reduction | None, told: Judgement, claimed: bool) -> str:
    words = {"no change that can be told": "no change", "levelled down": "levelled down"}.get(
        told.verdict, told.verdict
    )
    if fell is None:
        return words
    words += ", less accurate" if told.less_accurate and told.verdict != "hurt" else ""
    clear = fell.change.high < 0 or fell.change.low > 0
    share = fell.told
    return f"{'**' + share + '**' if clear else share}, {words}{' (claimed)' if claimed else ''}"


def _claimed(
    config: MitigationConfig, name: str, told: Mapping[tuple[str, str], tuple[Reduction | None, Judgement]]
) -> str:
    if not config.methods[name].claims:
        return "claims none of these" if any(method.claims for method in config.methods.values()) else ""
    claims = [s for s in config.methods[name].claims if (name, s) in told]
    if not claims:
        return "not run"
    fell = {in_words(s): told[name, s][0] for s in claims}
    lists = {
        "yes": [s for s, one in fell.items() if one is not None and one.enough],
        "not": [s for s, one in fell.items() if one is not None and one.some and not one.enough],
        "nothing to bring down": [s for s, one in fell.items() if one is None or not one.some],
    }
    return "; ".join(f"{word} for {listed(found)}" for word, found in lists.items() if found)
