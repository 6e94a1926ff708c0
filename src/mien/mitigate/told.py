"""What a run says of faces whose group it is told: of methods that ask for it where they are used."""

from __future__ import annotations

from mien.errors import DataError
from mien.evaluate import evaluate_given
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Needs
from mien.records import Predictions
from mien.runs import TOLD
from mien.studies.cells import Cell
from mien.studies.columns import Column
from mien.studies.estimates import predictions_of
from mien.studies.standing import evaluations_of


def asks_groups(cell: Cell) -> bool:
    """Whether what a run says depends on the group that somebody takes a face for."""
    return bool(getattr(MITIGATIONS.get(cell.config.mitigation.name), "needs", Needs()).prediction)


def said_of(cell: Cell, part: str) -> Predictions:
    """What a run said of a part; told the groups of the faces if it asks for them, which is done once and kept."""
    if not asks_groups(cell):
        return predictions_of(cell, Column(name=part, evaluation=part, metric="accuracy"))
    path = cell.run.path / TOLD / f"{evaluations_of(cell)[part]}.parquet"
    if not path.is_file():
        by = cell.config.mitigation.options["by"]
        found = evaluate_given(cell.run, cell.place_of(part), {name: name for name in by})
        _check_groups(cell, part, found)
        path.parent.mkdir(exist_ok=True)
        found.save(path)
    return Predictions.load(path)


def _check_groups(cell: Cell, part: str, found: Predictions) -> None:
    """Refuse to tell a run other groups than those of its faces when it was judged.

    Raises:
        DataError: If the store was annotated anew since.
    """
    own = predictions_of(cell, Column(name=part, evaluation=part, metric="accuracy")).groups
    for name in dict.fromkeys(n.strip() for spec in cell.config.mitigation.options["by"] for n in spec.split("*")):
        now, then = (frame[name].astype(object).where(frame[name].notna(), None) for frame in (found.groups, own))
        if now.tolist() != then.tolist():
            what = f"its faces have other groups of {name!r} than when {cell.name} was judged"
            raise DataError(cell.place_of(part), what, "the same groups", "Make the runs anew in another folder.")
