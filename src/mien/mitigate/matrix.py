"""Methods against kinds of bias that are known: which brought the gap down, and whether that is as it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mien.mitigate.definition import BASELINE, MitigationConfig
from mien.mitigate.figures import draw_matrix
from mien.mitigate.known import words_of
from mien.mitigate.measures import KNOWN, MEASURES, Comparison
from mien.mitigate.page import PAGE, UNSHOWN, compared
from mien.mitigate.run import Found
from mien.mitigate.tables import share_of_time
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
    told: Mapping[str, Comparison] | None = None,
) -> Path:
    """Write methods against settings: how far each brought the disparity down, and whether that is as it claims.

    Args:
        founds: All settings of one study.
        out: The folder.
        settings: Level, replicates, seed.
        told: Setting -> what :func:`compared` told of it, where that is known already.

    Returns:
        The page.
    """
    config = founds[0].config
    measured = {found.setting: found.config.disparity for found in founds}
    said = {found.setting: f": {words_of(found.config)}" for found in founds if found.config.disparity == KNOWN}
    known = told or {}
    comparisons = {found.setting: known.get(found.setting) or compared(found, settings) for found in founds}
    names = [name for name in config.methods if any(name in c.methods for c in comparisons.values())]
    fell: dict[tuple[str, str], tuple[Reduction | None, Judgement]] = {}
    rows = []
    for name in names:
        row = [config.label(name)]
        for setting, comparison in comparisons.items():
            if name not in comparison.methods:
                row.append(UNSHOWN)
                continue
            one = reduction(comparison, BASELINE, name, measured[setting]), judgement(comparison, BASELINE, name)
            fell[name, setting] = one
            row.append(_matrix_cell(*one, setting in config.methods[name].claims))
        rows.append([*row, _claimed(config, name, fell), _time(name, founds)])
    out.mkdir(parents=True, exist_ok=True)
    save_png(draw_matrix(config, names, list(comparisons), fell), out / "matrix.png", dpi=110)
    before = [
        f"{s.replace('_', ' ')}: {MEASURES[measured[s]][0]} {c.methods[BASELINE].overall[measured[s]].value}"
        f"{said.get(s, '')}"
        for s, c in comparisons.items()
    ]
    lines = [
        f"# {config.title or config.name}",
        "",
        "Change of the disparity between groups, as a share of the baseline's (-100 % closes it), with the verdict of "
        "the groups, and where the accuracy of all fell, that it did; in points where the baseline's own is not clear "
        "of 0, of which a share says nothing. Bold: the interval of the change lies wholly on one side of 0."
        + (
            " A method that claims a kind of bias must bring the disparity down by 30 % with such an interval."
            if any(method.claims for method in config.methods.values())
            else ""
        ),
        "",
        "The baseline's, and what is measured:",
        "",
        *(f"- {one}" for one in before),
        "",
        "What was found:",
        "",
        *(
            f"- {s.replace('_', ' ')}: {summary({n: fell[n, s] for n in names if (n, s) in fell}, config.label)}"
            for s in comparisons
        ),
        "",
        *_without_empty(["method", *(s.replace("_", " ") for s in comparisons), "as it claims?", "time"], rows),
        "",
        "*Time* is that of training and of what is fitted after it, in times of the baseline's, from the bias where it "
        "is least to where it is most.",
        "",
        *_perceived(config, comparisons),
        "![change of the disparity](matrix.png)",
        "",
        "Each kind of bias has a page: "
        + listed([f"[{s.replace('_', ' ')}]({s}/{PAGE})" for s in comparisons]) + ".",
        "",
    ]  # fmt: skip
    if founds[0].scale != "full":
        lines += [f"**Scale: {founds[0].scale}**{': ' + founds[0].says if founds[0].says else ''}.", ""]
    lines += [config.about.strip(), ""] if config.about else []
    write_text(out / PAGE, "\n".join(lines))
    return out / PAGE


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
    helped = [label(name) for name, verdict in judged.items() if verdict == "helped"]
    hurt = sum(verdict == "hurt" for verdict in judged.values())
    return (
        f"the disparity was {'; '.join(said) or nothing}. The group served worst gained by {listed(helped) or 'none'}; "
        f"{hurt} of {len(judged)} methods were judged to hurt."
    )


def _without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table without the columns that say nothing in any row."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return table([header[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _perceived(config: MitigationConfig, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Which methods are measured otherwise than the others, and against another baseline; mostly nothing."""
    names = dict.fromkeys(name for c in comparisons.values() for name in c.as_perceived)
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
    fell = {s.replace("_", " "): told[name, s][0] for s in claims}
    lists = {
        "yes": [s for s, one in fell.items() if one is not None and one.enough],
        "not": [s for s, one in fell.items() if one is not None and one.some and not one.enough],
        "nothing to bring down": [s for s, one in fell.items() if one is None or not one.some],
    }
    return "; ".join(f"{word} for {listed(found)}" for word, found in lists.items() if found)
