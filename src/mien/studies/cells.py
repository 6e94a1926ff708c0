"""The cells of a study: one run each, in a folder whose name says by its key what it was made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mien.config import ExperimentConfig, config_key, parse_config
from mien.data.images import Store
from mien.errors import ConfigError, MienError, RunError, UsageError
from mien.outputs import write_text
from mien.own_files import read_json
from mien.records import plain, write_json
from mien.runs import RECORD, Run, code_versions
from mien.studies.definition import Scale, StudyConfig, settled
from mien.studies.hold import Holder, holder_of
from mien.train.components import check_components
from mien.train.start import weights_key
from mien.yaml_files import read_yaml

CELLS, CELL, RUN, TRACE = "cells", "cell.json", "run", "failure.txt"
State = Literal["absent", "running", "failed", "done"]
_LETTERS = 10  # of the key in a folder's name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run that a study asks for.

    Attributes:
        row: The row of the table.
        seed: Its seed.
        config: The experiment, at the scale of the plan.
        key: What tells it from every other; see :func:`mien.config.config_key`.
        folder: Where it lies; the run is in the folder ``run`` within.
        start: The cell that it begins with, of the same seed.
        on: Where it is judged: parts of its store, or ``STORE:part``, as the study has them; empty for one that is
            not.
        scale: Of the plan.
    """

    row: str
    seed: int
    config: ExperimentConfig
    key: str
    folder: Path
    start: Cell | None
    on: tuple[str, ...]
    scale: Scale

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.row} seed {self.seed}"

    @property
    def id(self) -> str:
        """Name of its folder: row, seed, scale's and configuration's key."""
        return self.folder.name

    @property
    def run(self) -> Run:
        """Its run; see :func:`state_of` for whether there is one."""
        return Run(self.folder / RUN)


def lineage(cell: Cell) -> list[Cell]:
    """The cells that a cell begins with, the first one first, and itself."""
    return [*(lineage(cell.start) if cell.start is not None else []), cell]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a cell stands.

    Attributes:
        state: absent, running, failed or done.
        holder: Who works on it, while it runs.
        stale: Whether it was made by another commit than this one, or one with changes.
        error: What it failed of, in a line.
    """

    state: State
    holder: Holder | None = None
    stale: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of a study at a scale.

    Attributes:
        study: The study.
        scale: Its scale.
        out: Its folder.
        cells: In the order in which they are run: a cell after the one that it begins with.
    """

    study: StudyConfig
    scale: Scale
    out: Path
    cells: tuple[Cell, ...]

    def only(self, ids: Sequence[str]) -> Plan:
        """The plan of some cells, by how their ids begin, and of those that they begin with.

        Raises:
            UsageError: If there is none of an id.
        """
        for asked in ids:
            if not any(cell.id.startswith(asked) for cell in self.cells):
                raise UsageError(f"--cell {asked}", "is no cell of the study", "an id that --list-cells prints")
        wanted = {each.id for c in self.cells if c.id.startswith(tuple(ids)) for each in lineage(c)}
        return replace(self, cells=tuple(cell for cell in self.cells if cell.id in wanted))

    def of(self, row: str) -> tuple[Cell, ...]:
        """The cells of a row, one a seed."""
        return tuple(cell for cell in self.cells if cell.row == row)


def plan_study(
    study: StudyConfig,
    folder: Path,
    out: Path,
    scale: Scale = "full",
    settings: Mapping[str, Any] | None = None,
    stores: Mapping[str, str] | None = None,
) -> Plan:
    """Make out what a study asks for.

    Args:
        study: The study.
        folder: Where it lies: base experiments are named from there.
        out: Where its cells go.
        scale: How large.
        settings: Dotted key -> value for all cells, last.
        stores: Name of a store, that is of its folder -> where it lies here.

    Raises:
        ConfigError: With every mistake of every cell, before anything is trained.
    """
    told = study.at(scale)
    on = tuple(_placed_part(part, stores) for part in study.evaluate)
    seeds = told.seeds or study.seeds
    folders: dict[str, Path] = {}  # rows that come to the same experiment share one run
    fingerprints: dict[str, str] = {}
    mistakes: list[MienError] = []
    cells: dict[tuple[str, int], Cell] = {}
    rows = study.rows()
    for row in sorted(rows, key=lambda name: _depth(study, name)):
        cell = rows[row]
        for seed in range(seeds):
            start = cells.get((cell.start, seed)) if cell.start else None
            if cell.start and start is None:
                continue  # that one has a mistake, which is told
            try:
                base = folder / (cell.base or study.base)
                content = _base(base)
                changed = {**study.set, **cell.set, **told.set, **told.cells.get(row, {}), **(settings or {})}
                changed["seed"] = changed.get("seed", content.get("seed", 0)) + seed
                content = settled(content, changed, f"cell {row}") | {"name": f"{row}-s{seed}"}
                if "store" in (content.get("data") or {}):
                    content["data"] = {**content["data"], "store": _placed(content["data"]["store"], stores)}
                if start is not None:
                    content["model"] = {**_section(content, "model"), "weights": str(start.folder / RUN)}
                config = check_components(parse_config(content, f"cell {row}"), f"cell {row}")
                store = config.data.store
                if store not in fingerprints:
                    fingerprints[store] = Store.open(store).fingerprint
                key = config_key(config, fingerprints[store], start.key if start else weights_key(config))
                place = folders.setdefault(key, out / CELLS / f"{row}-s{seed}-{key[:_LETTERS]}")
                cells[row, seed] = Cell(
                    row=row,
                    seed=seed,
                    config=config,
                    key=key,
                    folder=place,
                    start=start,
                    on=on if cell.judged else (),
                    scale=scale,
                )
            except MienError as error:
                mistakes.append(error)
                break  # of the other seeds it is the same
    if mistakes:
        raise ConfigError.joined(study.name, mistakes)
    order = {row: i for i, row in enumerate(rows)}
    found = sorted(cells.values(), key=lambda c: (c.seed, _depth(study, c.row), order[c.row]))
    return Plan(study=study, scale=scale, out=out, cells=tuple(found))


def _placed(store: Any, stores: Mapping[str, str] | None) -> Any:
    """Where a store lies here."""
    return (stores or {}).get(Path(store).name, store) if isinstance(store, str) else store


def _placed_part(on: str, stores: Mapping[str, str] | None) -> str:
    store, colon, part = on.rpartition(":")
    return f"{_placed(store, stores)}:{part}" if colon else on


def _base(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "an experiment")
    if not isinstance(content, dict):
        raise ConfigError(str(path), "holds no keys", "an experiment, as in experiments/")
    return content


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name) or {}
    return {"name": section} if isinstance(section, str) else dict(section)


def _depth(study: StudyConfig, row: str) -> int:
    """How many cells lie before a cell."""
    start = study.rows()[row].start
    return 0 if start is None else 1 + _depth(study, start)


def standing_of(cell: Cell) -> Standing:
    """Where a cell stands now, from its folder alone."""
    holder = holder_of(cell.folder)
    if holder is not None and holder.alive:
        return Standing(state="running", holder=holder)
    noted = _noted(cell)
    # A study may ask for more evaluations than it did: the run is done, and judged anew.
    if noted.get("state") == "done" and set(cell.on) <= set(noted.get("evaluations", {})):
        return Standing(state="done", stale=is_stale(cell))
    if noted.get("state") == "failed":
        return Standing(state="failed", error=str(noted.get("error", "")))
    return Standing(state="absent")


def is_stale(cell: Cell) -> bool:
    """Whether other code than this trained its run; False where there is none."""
    if not (cell.folder / RUN / RECORD).is_file():
        return False
    made_by = cell.run.record.versions.get("commit", "")
    return made_by != _commit() or made_by.endswith("+")


@cache
def _commit() -> str:
    return code_versions().get("commit", "")


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
    return len(cell.run.history) if (cell.folder / RUN / RECORD).is_file() else 0


def note_begun(cell: Cell) -> int:
    """Note that a cell is begun again, and return how often in a row that was so without an epoch more."""
    noted, epochs = _noted(cell), epochs_of(cell)
    times = int(noted.get("begun", 0)) + 1 if noted.get("epochs") == epochs and noted.get("state") == "begun" else 1
    _note(cell, "begun", begun=times, epochs=epochs)
    return times


def note_done(cell: Cell, evaluations: Mapping[str, str]) -> None:
    """Note that a cell is done: what the study calls each evaluation -> its name in the run."""
    (cell.folder / TRACE).unlink(missing_ok=True)
    _note(cell, "done", evaluations=dict(evaluations))


def note_failed(cell: Cell, error: str, trace: str) -> None:
    """Note what a cell failed of; the whole of it lies beside."""
    write_text(cell.folder / TRACE, trace)
    _note(cell, "failed", error=error)


def evaluations_of(cell: Cell) -> dict[str, str]:
    """An evaluation as the study has it, ``STORE:part`` too -> its name in the run."""
    found: dict[str, str] = _noted(cell).get("evaluations", {})
    return found


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
