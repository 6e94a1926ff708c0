"""Where cells stand, as their folders tell it, and what is noted there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mien.errors import RunError
from mien.models.card import CARD, load_card
from mien.outputs import write_text
from mien.own_files import read_json
from mien.records import plain, write_json
from mien.runs import PREDICTIONS, RECORD, code_versions
from mien.studies.cells import Cell
from mien.studies.hold import Holder, holder_of

CELL, TRACE = "cell.json", "failure.txt"
State = Literal["absent", "running", "failed", "done"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a cell stands.

    Attributes:
        state: absent, running, failed or done.
        holder: Who works on it, while it runs.
        stale: Whether it was made by another commit than this one, or one with changes.
        error: What it failed of, in a line.
        failed_at: When, in seconds as ``time.time`` counts them.
    """

    state: State
    holder: Holder | None = None
    stale: bool = False
    error: str = ""
    failed_at: float = 0.0


def standing_of(cell: Cell) -> Standing:
    """Where a cell stands now, from its folder alone."""
    holder = holder_of(cell.folder)
    if holder is not None and holder.alive:
        return Standing(state="running", holder=holder)
    return resting(cell)


def resting(cell: Cell) -> Standing:
    """Where a cell stands if nobody works on it: for who holds it."""
    told = _noted(cell)
    if told.get("state") == "done" and _judged(cell, told):
        return Standing(state="done", stale=is_stale(cell))
    if told.get("state") == "failed":
        return Standing(
            state="failed", error=str(told.get("error", "")), failed_at=(cell.folder / CELL).stat().st_mtime
        )
    return Standing(state="absent")


def _judged(cell: Cell, told: Mapping[str, Any]) -> bool:
    """Whether it was judged wherever it is to be; a study may ask for more than it did, or on a store made anew."""
    found = told.get("evaluations", {})
    return all(found.get(part, {}).get("fingerprint") == asked.fingerprint for part, asked in cell.on.items())


def done_of(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that are done."""
    return [cell for cell in cells if standing_of(cell).state == "done"]


def is_stale(cell: Cell) -> bool:
    """Whether other code than this trained its run, or the cell that it began with was trained anew since."""
    if not (cell.run.path / RECORD).is_file():
        return False
    record = cell.run.record
    made_by = (record.versions.get("mien", ""), record.versions.get("commit", ""))
    if made_by != here() or made_by[1].endswith("+"):
        return True
    if cell.start is None or not (cell.start.run.path / CARD).is_file():
        return False
    begun = (record.data.get("started_from") or {}).get("sha256")
    return begun is not None and begun != load_card(cell.start.run.path).sha256


@cache
def here() -> tuple[str, str]:
    """Version and commit of this code; the commit ends in ``+`` where something is not committed."""
    versions = code_versions()
    return versions.get("mien", ""), versions.get("commit", "")


def _noted(cell: Cell) -> dict[str, Any]:
    path = cell.folder / CELL
    if not path.is_file():
        return {}
    found = read_json(path, "the note of a cell", error=RunError)
    if not isinstance(found, dict) or found.get("key") != cell.key:
        what = "is of another cell, whose key begins alike" if isinstance(found, dict) else "is no note of a cell"
        raise RunError(str(path), what, f"the key {cell.key[:16]}...", "Use another --out.")
    return found


def epochs_of(cell: Cell) -> int:
    """Epochs that ended."""
    return len(cell.run.history) if (cell.run.path / RECORD).is_file() else 0


def note_begun(cell: Cell) -> int:
    """Note that a cell is begun again, and return how often in a row that was so without an epoch more."""
    told, epochs = _noted(cell), epochs_of(cell)
    times = int(told.get("begun", 0)) + 1 if told.get("epochs") == epochs and told.get("state") == "begun" else 1
    _note(cell, "begun", begun=times, epochs=epochs)
    return times


def note_done(cell: Cell, evaluations: Mapping[str, str]) -> None:
    """Note that a cell is done: what the study calls each evaluation -> its name in the run."""
    (cell.folder / TRACE).unlink(missing_ok=True)
    found = {part: {"name": name, "fingerprint": cell.on[part].fingerprint} for part, name in evaluations.items()}
    _note(cell, "done", evaluations=found)


def note_failed(cell: Cell, error: str, trace: str) -> None:
    """Note what a cell failed of; the whole of it lies beside."""
    write_text(cell.folder / TRACE, trace)
    _note(cell, "failed", error=error)


def evaluations_of(cell: Cell) -> dict[str, str]:
    """An evaluation as the study has it, ``STORE:part`` too -> its name in the run."""
    return {part: found["name"] for part, found in _noted(cell).get("evaluations", {}).items()}


def predictions_file(cell: Cell, part: str) -> Path:
    """Where the predictions of an evaluation stand, as the study has it or by its name in the run."""
    return cell.run.path / PREDICTIONS / f"{evaluations_of(cell).get(part, part)}.parquet"


def _note(cell: Cell, state: str, **more: Any) -> None:
    content = {
        "format": 1,
        "state": state,
        "row": cell.row,
        "seed": cell.seed,
        "scale": cell.scale,
        "key": cell.key,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": code_versions("torch", "numpy"),
        "config": cell.config.model_dump(mode="json"),
    }
    write_json(cell.folder / CELL, plain(content | more))
