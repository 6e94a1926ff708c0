"""The table of a study as text, Markdown, LaTeX or CSV: ours beside theirs, the scale always told."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from mien.records import Estimate
from mien.studies.cells import Plan
from mien.studies.claims import Judged
from mien.studies.columns import RUN
from mien.studies.estimates import Value, at, less_is_better
from mien.studies.results import Row
from mien.wording import listed

NOISE = (
    "*Seeds*: the standard deviation that training anew gives one training's figure, the faces apart. *Faces*: the "
    "standard error that other faces of the kind would give the mean, the trainings apart; – where it is not known."
)
#: What a reader must be told of a metric.
_WORDS = {
    "tie_accuracy": "the share of faces answered with any of the expressions that most annotators chose",
    "kl": "the divergence of the answer from the annotators' shares",
    "nll": "the mean logarithm of the probability that the right class lacked",
    "top2": "the share of faces whose class is one of the two likeliest",
}


def header_of(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """Titles of the columns."""
    found = ["row" if plan.as_published else f"row ({plan.called})"]
    for metric in plan.study.metrics:
        found += [f"{metric} (less is better)" if less_is_better(at(plan, metric)) else metric]
        if _has_theirs(rows, metric):
            found += ["theirs" if plan.as_published else "theirs (full)"]
            found += ["the same?"] if _compared(plan) else []
    return [*found, "seeds", "parameters", "epochs", "minutes"]


def cells_of(plan: Plan, row: Row, rows: Sequence[Row]) -> list[str]:
    """One line of the table."""
    found = [row.label]
    for metric in plan.study.metrics:
        value = row.values.get(metric)
        found.append(str(value.mean) if value else _missing(row))
        if _has_theirs(rows, metric):
            theirs = row.theirs.get(metric)
            found.append("" if theirs is None else _published(theirs))
            found += [_same(plan, value)] if _compared(plan) else []
    seeds = f"{row.seeds}" if row.seeds == row.wanted else f"{row.seeds} of {row.wanted}"
    seeds += " folds" if row.folds else ""
    if not row.seeds:
        return [*found, seeds, "", "", ""]
    return [*found, seeds, f"{row.parameters:,}", f"{row.epochs:g}", f"{row.minutes:.1f}"]


def _published(value: float) -> str:
    """A published value with its digits, three at least and four at most."""
    return f"{value:.3f}" if abs(value - round(value, 3)) < 5e-6 else f"{value:.4f}"


def _compared(plan: Plan) -> bool:
    return plan.as_published and plan.study.tolerance is not None


def _same(plan: Plan, value: Value | None) -> str:
    """Whether our interval lies as near to the published value as the study asks, or wholly farther away."""
    if value is None or math.isnan(value.theirs):
        return ""
    ours, tolerance = value.mean, plan.study.tolerance or 0.0
    if len(value.seeds) == 1 or math.isnan(ours.low) or math.isnan(ours.high):
        return "cannot be told"
    if ours.low >= value.theirs - tolerance and ours.high <= value.theirs + tolerance:
        return "yes"
    if ours.high < value.theirs - tolerance:
        return "lower"
    return "higher" if ours.low > value.theirs + tolerance else "cannot be told"


def _missing(row: Row) -> str:
    return "failed" if "failed" in row.states else "not measured" if row.seeds else "not run"


def _seeded(value: Value | None) -> bool:
    return value is not None and not math.isnan(value.seed_spread)


def _has_theirs(rows: Sequence[Row], metric: str) -> bool:
    return any(metric in row.theirs for row in rows)


def markdown_of(plan: Plan, rows: Sequence[Row]) -> str:
    """The table, with a sentence of what its numbers are."""
    lines = table(header_of(plan, rows), [cells_of(plan, row, rows) for row in rows])
    titles, noise = noise_of(plan, rows)
    more = ["", *table(titles, noise), "", NOISE] if noise else []
    return "\n".join([*lines, "", caption_of(plan, rows), *more])


def noise_of(plan: Plan, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """What training anew, and what other faces would change each figure by: header and lines; none of single seeds."""
    metrics = [m for m in plan.study.metrics if any(_seeded(row.values.get(m)) for row in rows)]
    lines = []
    for row in rows:
        values = [row.values.get(metric) for metric in metrics]
        if any(_seeded(value) for value in values):
            told = [f"{_spread(v.seed_spread)}, {_spread(v.sampling_error)}" if v else "" for v in values]
            lines.append([row.label, *told])
    return ["seeds, faces", *metrics], lines


def _spread(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def caption_of(plan: Plan, rows: Sequence[Row]) -> str:
    """What the numbers are: evaluation, intervals, seeds, scale."""
    columns = {at(plan, metric).metric for metric in plan.study.metrics}
    study, level = plan.study, next((v.mean.level for row in rows for v in row.values.values()), 0.95)
    said = [
        f"Ours are on {listed([f'*{part}*' for part in study.evaluate])}; a metric that names no part is on the first. "
        f"Intervals are {100 * level:.0f} %: with several seeds for all faces and all seeds, with one for the faces "
        "alone, and pictures with their copies count once."
    ]
    if any(at(plan, metric).evaluation == RUN for metric in plan.study.metrics):
        said.append("Figures of *run* are of the training itself: their intervals are for the seeds alone.")
    said += [f"*{metric}* is {words}." for metric, words in _WORDS.items() if metric in columns]
    if any(row.folds for row in rows):
        said.append(
            "The interval of a mean over folds is Student's over the folds, wider by what their training faces have in "
            "common (Nadeau and Bengio 2003)."
        )
    if any(row.seeds < row.wanted for row in rows if row.seeds):
        said.append("*Seeds*: those that are done, of those that the study asks for.")
    if any(_seeded(v) for row in rows for v in row.values.values()):
        said.append("What of it is seeds and what faces stands in a table of its own.")
    said.append("*Minutes* are of one training, with whatever else the machine did.")
    if _compared(plan) and any(row.theirs for row in rows):
        said.append(f"*The same?* asks whether our whole interval lies within {study.tolerance:g} of theirs.")
    said += [study.theirs_are] if study.theirs_are else []
    if not plan.as_published:
        more = study.at(plan.scale).says
        published = " What was published is at the full scale." if plan.claims or any(r.theirs for r in rows) else ""
        said.append(f"**Scale: {plan.called}**{': ' + more if more else ''}.{published}")
    return " ".join(said)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines in Markdown."""
    return [line_of(header), line_of(["---"] * len(header)), *map(line_of, rows)]


def line_of(cells: Sequence[str]) -> str:
    """One line of a table in Markdown."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def csv_of(plan: Plan, rows: Sequence[Row]) -> str:
    """One line a row and metric, numbers as they are."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    first, last = "row metric mean low high level theirs_at_full_scale seeds folds", "parameters epochs minutes note"
    writer.writerow([*first.split(), "seed_spread", "sampling_error", "scale", *last.split()])
    for row in rows:
        for metric, v in row.values.items():
            numbers = [v.mean.value, v.mean.low, v.mean.high, v.mean.level, v.theirs]
            counted = ["", row.seeds] if row.folds else [row.seeds, ""]
            more = [v.seed_spread, v.sampling_error]
            writer.writerow([row.name, metric, *map(_number, numbers), *counted, *map(_number, more), plan.called,
                             row.parameters, _number(row.epochs), _number(row.minutes), row.note])  # fmt: skip
    return out.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def latex_of(plan: Plan, rows: Sequence[Row]) -> str:
    """A ``tabular`` with ``booktabs``' rules."""
    titles, noise = noise_of(plan, rows)
    lines = [
        f"% {plan.study.name}, scale {plan.called}; needs \\usepackage{{booktabs}}",
        *_tabular(header_of(plan, rows), [cells_of(plan, row, rows) for row in rows]),
        *(f"% {row.label}: {row.note}" for row in rows if row.note),
        *([f"% {NOISE.replace('*', '')}", *_tabular(titles, noise)] if noise else []),
    ]
    return "\n".join(lines) + "\n"


def _tabular(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        "\\toprule",
        " & ".join(map(_escaped, header)) + r" \\",
        "\\midrule",
        *(" & ".join(map(_escaped, row)) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def claims_of(judged: Sequence[Judged], study: str = "") -> str:
    """The claims as a table: what was said, what we found, the verdict; the study before each, where it is named."""
    header = ["claim", "where", "theirs", "ours", "seeds", "scale", "verdict", "reason"]
    if study:
        header = ["study", *header]
    lines = [[study, *claim_cells(each)] if study else claim_cells(each) for each in judged]
    return "\n".join(table(header, lines))


def claim_cells(judged: Judged) -> list[str]:
    """One line of the claims' table."""
    claim = judged.claim
    theirs = claim.value if claim.cell is not None else claim.by
    reason = "; ".join(filter(None, (judged.why, claim.reason)))
    return [
        claim.says,
        claim.where,
        "" if theirs is None else f"{theirs:g}",
        _signed(judged.ours, claim.cell is None),
        str(judged.seeds) if judged.seeds else "",
        judged.scale,
        f"**{judged.verdict}**",
        reason,
    ]


def _signed(ours: Estimate | None, difference: bool) -> str:
    if ours is None:
        return ""
    text = str(ours)
    return f"+{text}" if difference and ours.value > 0 else text
