"""Which cell or row a rule chooses by validation figures; and, named so, which one the judged faces would choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mien.errors import DataError, RunError, UsageError
from mien.stats.settings import Settings
from mien.studies.cells import Cell, Plan
from mien.studies.columns import RUN
from mien.studies.estimates import at, less_is_better, value_of
from mien.studies.standing import done_of

Rule = Literal["accuracy", "loss", "worst_class", "worst_group", "distance"]
#: What a run can be chosen by, of the epoch that it kept: name in the record, and whether more is better.
OBJECTIVES = {
    "accuracy": ("val_accuracy", True),
    "loss": ("val_loss", False),
    "worst_class": ("val_worst_class", True),
    "worst_group": ("val_worst_group", True),
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a rule makes of the rows of a study.

    Attributes:
        merits: Row -> its validation figure, the mean over seeds; of ``loss`` and ``distance`` less is better.
        judged: Row -> the study's first metric on the judged faces, the mean over seeds.
        chosen: The row that the rule chooses.
        oracle: The row that the judged faces would choose: an upper bound on what choosing can reach, and no result,
            for what is chosen on faces flatters itself on them.
        metric: That metric.
        lacking: Rows of which a seed is not done, which took no part.
    """

    merits: dict[str, float]
    judged: dict[str, float]
    chosen: str
    oracle: str
    metric: str
    lacking: tuple[str, ...] = ()


def merit(cell: Cell, rule: str) -> float:
    """The validation figure of the epoch that a cell kept.

    Args:
        cell: A cell that is done.
        rule: ``accuracy``, ``loss``, ``worst_class``, ``worst_group``, or ``distance``: the Euclidean distance of
            (accuracy, worst group) from (1, 1).

    Raises:
        DataError: If the record has not what the rule reads.
    """
    best = cell.run.record.best
    read = ["val_accuracy", "val_worst_group"] if rule == "distance" else [OBJECTIVES[rule][0]]
    if absent := [name for name in read if best.get(name) is None]:
        fix = "Name the groups before training: train.watch." if "val_worst_group" in absent else ""
        raise DataError(f"{cell.name}: record.json", f"has no {absent[0]} of the epoch that it kept", rule, fix)
    values = [float(best[name]) for name in read]
    return float(np.hypot(*(1 - np.array(values)))) if rule == "distance" else values[0]


def more_is_better(rule: str) -> bool:
    """Whether a rule chooses the largest figure."""
    return rule != "distance" and OBJECTIVES[rule][1]


def choose(cells: Sequence[Cell], rule: str) -> Cell | None:
    """The cell that a rule chooses; None where none is done. The earlier cell wins ties.

    Args:
        cells: Candidates.
        rule: As in :func:`merit`.

    Raises:
        DataError: If a record has not what the rule reads.
    """
    sign = 1 if more_is_better(rule) else -1
    return max(done_of(cells), key=lambda cell: sign * merit(cell, rule), default=None)


def choose_row(plan: Plan, rule: Rule) -> Choice:
    """The row that a rule chooses among those of which all seeds are done; the earlier row wins ties.

    Args:
        plan: The study.
        rule: As in :func:`merit`.

    Raises:
        UsageError: If rows have other faces or labels to validate or to be judged on, so that nothing between them
            can be chosen, or the study judges no faces.
        RunError: If no row is done.
        DataError: If a record has not what the rule reads.
    """
    metric = next((m for m in plan.study.metrics if at(plan, m).evaluation != RUN), None)
    if metric is None:
        raise UsageError(plan.study.name, "has no metric of judged faces", "a study that judges some")
    rows = [name for name, cell in plan.study.rows().items() if cell.judged]
    done = {row: cells for row in rows if (cells := done_of(plan.of(row))) and len(cells) == len(plan.of(row))}
    faces = {row: _faces(cells[0]) for row, cells in done.items()}
    if other := [row for row in faces if faces[row] != next(iter(faces.values()))]:
        found = f"{next(iter(faces))} and {other[0]} have other faces or labels to validate or to be judged on"
        raise UsageError(plan.study.name, found, "rows that differ in how they learn")
    values = {row: value_of(plan, cells, metric, Settings()) for row, cells in done.items()}
    judged = {row: value.mean.value for row, value in values.items() if value is not None}
    if not judged:
        raise RunError(str(plan.out), "no row has all of its seeds", "rows to choose from", "mien study run first.")
    merits = {row: float(np.mean([merit(cell, rule) for cell in done[row]])) for row in judged}
    sign, less = (1 if more_is_better(rule) else -1), less_is_better(at(plan, metric))
    return Choice(
        merits=merits,
        judged=judged,
        chosen=max(merits, key=lambda row: sign * merits[row]),
        oracle=max(judged, key=lambda row: (-1 if less else 1) * judged[row]),
        metric=metric,
        lacking=tuple(row for row in rows if row not in judged),
    )


def _faces(cell: Cell) -> dict[str, Any]:
    """What a run validates and is judged on: store, split and labels; how many learn may differ."""
    config = cell.config
    split = config.split.model_dump(mode="json")
    split["options"] = {k: v for k, v in split["options"].items() if k not in ("cap", "capped")}
    return {"store": config.data.store, "split": split, "labels": config.labels.judged.model_dump(mode="json")}
