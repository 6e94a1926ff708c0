"""The cells of a study: one run each, in a folder whose name says by its key what it was made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from mien.config import ExperimentConfig, config_key, parse_config
from mien.data.images import Store
from mien.errors import ConfigError, MienError, RunError, UsageError, noted
from mien.models.card import CARD, load_card
from mien.outputs import write_text
from mien.own_files import read_json
from mien.records import plain, write_json
from mien.runs import RECORD, Run, code_versions
from mien.studies.definition import Scale, StudyConfig, settled
from mien.studies.hold import Holder, holder_of
from mien.train.components import check_components
from mien.train.start import keyed, weights_key
from mien.values import shown
from mien.yaml_files import read_yaml

CELLS, CELL, RUN, TRACE = "cells", "cell.json", "run", "failure.txt"
State = Literal["absent", "running", "failed", "done"]
_DEFAULT_SPLIT = ExperimentConfig.model_fields["split"].default.name
_LETTERS = 10  # of the key in a folder's name


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Faces that cells are judged on.

    Attributes:
        place: ``STORE:part``, where it lies here; a part alone is of the run's own store.
        fingerprint: That of the store; empty for the run's own.
    """

    place: str
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run that a study asks for.

    Attributes:
        row: The row of the table.
        seed: Its number among the seeds of the row, from 0.
        config: The experiment, at the scale of the plan.
        key: What tells it from every other; see :func:`mien.config.config_key`.
        folder: Where it lies; the run is in the folder ``run`` within.
        start: The cell that it begins with, of the same seed.
        on: An evaluation as the study has it -> what it is; empty for a cell that is not judged.
        scale: Of the plan.
    """

    row: str
    seed: int
    config: ExperimentConfig
    key: str
    folder: Path
    start: Cell | None
    on: Mapping[str, Evaluated]
    scale: Scale

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.row} seed {self.seed}"

    @property
    def id(self) -> str:
        """Name of its folder: row and seed of the first cell that is this experiment, and its key."""
        return self.folder.name

    def place_of(self, part: str) -> str:
        """``STORE:part`` of one of its evaluations."""
        place = self.on[part].place
        return place if ":" in place else f"{self.config.data.store}:{place}"

    @property
    def run(self) -> Run:
        """Its run; see :func:`standing_of` for whether there is one."""
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
        failed_at: When, in seconds as ``time.time`` counts them.
    """

    state: State
    holder: Holder | None = None
    stale: bool = False
    error: str = ""
    failed_at: float = 0.0


#: Settings that change nothing of what comes out.
NEUTRAL = ("data.store", "train.threads", "train.max_minutes", "model.cache_gib", "name")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cells of a study at a scale.

    Attributes:
        study: The study.
        scale: Its scale.
        out: Its folder.
        cells: In the order in which they are run: a cell after the one that it begins with.
        settings: What the caller changed in all cells.
        stores: Names of the stores that the study names.
    """

    study: StudyConfig
    scale: Scale
    out: Path
    cells: tuple[Cell, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    stores: tuple[str, ...] = ()

    @property
    def as_published(self) -> bool:
        """Whether its figures may stand beside published ones without a word: full, and as the study is written."""
        return self.called == "full"

    @property
    def called(self) -> str:
        """The scale, with whatever the caller changed in it."""
        changed = {k: v for k, v in self.settings.items() if k not in NEUTRAL}
        return ", ".join([self.scale, *(f"{k}={v}" for k, v in changed.items())])

    def only(self, ids: Sequence[str]) -> Plan:
        """The plan of some cells, by how their ids (or row and seed) begin, and of those that they begin with.

        Raises:
            UsageError: If there is none of an id.
        """
        called = {id(cell): (cell.id, f"{cell.row}-s{cell.seed}-") for cell in self.cells}
        for asked in ids:
            if not any(name.startswith(asked) for names in called.values() for name in names):
                raise UsageError(f"--cell {asked}", "is no cell of the study", "an id that --list-cells prints")
        chosen = [c for c in self.cells if any(name.startswith(tuple(ids)) for name in called[id(c)])]
        wanted = {each.id for cell in chosen for each in lineage(cell)}
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
    *,
    other_stores: bool = False,
) -> Plan:
    """Make out what a study asks for.

    All seeds of a row have the faces of the first one in each part: ``split.options.seed`` is the base experiment's
    seed unless the study says otherwise. What differs between seeds is then the training alone.

    Args:
        study: The study.
        folder: Where it lies: base experiments are named from there.
        out: Where its cells go.
        scale: How large.
        settings: Dotted key -> value for all cells, last.
        stores: Name of a store, that is of its folder -> where it lies here.
        other_stores: Whether there may be stores that the study does not name.

    Raises:
        ConfigError: With every mistake of every cell, before anything is trained.
        UsageError: If the study names no such store.
    """
    planner = _Planner(study, folder, out, scale, settings or {}, stores or {})
    rows, mistakes = study.rows(), list[MienError]()
    on = {part: planner.evaluated(part) for part in study.evaluate}
    cells: dict[tuple[str, int], Cell] = {}
    for row in sorted(rows, key=lambda name: _depth(study, name)):
        for seed in range(study.at(scale).seeds or study.seeds):
            start = cells.get((rows[row].start or "", seed))
            if rows[row].start and start is None:
                continue  # that one has a mistake, which is told
            with noted(mistakes):
                cells[row, seed] = planner.cell(row, seed, start, on if rows[row].judged else {})
    if mistakes:
        # Of several seeds it is the same.
        raise ConfigError.joined(study.name, list({str(m): m for m in mistakes}.values()))
    _check_means(study, {row: cell for (row, seed), cell in cells.items() if seed == 0})
    if (strange := sorted(set(planner.stores) - planner.named)) and not other_stores:
        raise UsageError(
            f"--store {strange[0]}", "is no store of the study", f"one of {', '.join(sorted(planner.named))}"
        )
    order = {row: i for i, row in enumerate(rows)}
    found = sorted(cells.values(), key=lambda c: (c.seed, _depth(study, c.row), order[c.row]))
    named = tuple(sorted(planner.named))
    return Plan(
        study=study, scale=scale, out=out, cells=tuple(_shared(found)), settings=dict(settings or {}), stores=named
    )


def _shared(cells: Sequence[Cell]) -> list[Cell]:
    """Rows that come to the same experiment share one run, which is judged wherever one of them is to be."""
    first: dict[Path, Cell] = {}
    for cell in cells:
        there = first.setdefault(cell.folder, cell)
        first[cell.folder] = replace(there, on={**there.on, **cell.on})
    return [replace(first[cell.folder], row=cell.row, seed=cell.seed, start=cell.start) for cell in cells]


def _check_means(study: StudyConfig, cells: Mapping[str, Cell]) -> None:
    """Refuse means of other than folds of one experiment.

    Args:
        study: The study.
        cells: Row -> its cell of the first seed, as it is at the scale, with what the caller changed.

    Raises:
        ConfigError: If the cells of a mean differ in more than ``split``, or two of them do not differ.
    """
    for name in study.means:
        found = {row: cells[row] for row in study.cells_of_mean(name) if row in cells}
        told = {row: cell.config.model_dump(exclude={"split", "name"}) for row, cell in found.items()}
        first, *others = told
        for row in others:
            if told[row] != told[first]:
                key = next(k for k, v in told[row].items() if v != told[first][k])
                raise ConfigError(
                    f"{study.name}: means.{name}", f"{row} differs from {first} in {key}", "in split alone"
                )
        for row, other in combinations(found, 2):
            if found[row].key == found[other].key:
                what = f"{row} and {other} are one experiment"
                raise ConfigError(f"{study.name}: means.{name}", what, "cells with other parts of the faces each")


class _Planner:
    """What planning the cells of one study remembers."""

    def __init__(
        self,
        study: StudyConfig,
        folder: Path,
        out: Path,
        scale: Scale,
        settings: Mapping[str, Any],
        stores: Mapping[str, str],
    ) -> None:
        self.study, self.folder, self.out, self.scale = study, folder, out, scale
        self.settings, self.stores = settings, stores
        self.named: set[str] = set()  # stores that the study names
        self.folders: dict[str, Path] = {}
        self.fingerprints: dict[str, str] = {}
        self.weights: dict[str, str] = {}

    def cell(self, row: str, seed: int, start: Cell | None, on: Mapping[str, Evaluated]) -> Cell:
        """One cell.

        Raises:
            MienError: If its experiment cannot be.
        """
        where, about, told = f"cell {row}", self.study.rows()[row], self.study.at(self.scale)
        base = _base(self.folder / (about.base or self.study.base))
        layers = [self.study.set, *about.before, about.set, told.set, told.cells.get(row, {}), self.settings]
        content = settled(base, layers, where)
        first = content.get("seed", 0)
        if not isinstance(first, int) or isinstance(first, bool):
            raise ConfigError(f"{where}: seed", shown(first), "a whole number")
        split = _section(content, "split", where)
        content["split"] = {"name": _DEFAULT_SPLIT, **split, "options": {"seed": first, **(split.get("options") or {})}}
        content |= {"seed": first + seed, "name": f"{row}-s{seed}"}
        data = _section(content, "data", where)
        if "store" in data:
            content["data"] = {**data, "store": self.placed(data["store"])}
        if start is not None:
            content["model"] = {**_section(content, "model", where), "weights": str(start.folder / RUN)}
        config = check_components(parse_config(content, where), where)
        began = start.key if start else self.weights_of(config)
        key = config_key(keyed(config), self.fingerprint(config.data.store), began)
        place = self.folders.setdefault(key, self.out / CELLS / f"{row}-s{seed}-{key[:_LETTERS]}")
        return Cell(row=row, seed=seed, config=config, key=key, folder=place, start=start, on=on, scale=self.scale)

    def placed(self, store: Any) -> Any:
        """Where a store lies here."""
        if not isinstance(store, str):
            return store
        self.named.add(Path(store).name)
        return self.stores.get(Path(store).name, store)

    def evaluated(self, part: str) -> Evaluated:
        """What an evaluation of the study is."""
        store, colon, name = part.rpartition(":")
        if not colon:
            return Evaluated(place=part)
        place = self.placed(store)
        return Evaluated(place=f"{place}:{name}", fingerprint=self.fingerprint(place))

    def fingerprint(self, store: str) -> str:
        """That of a store, which is opened once."""
        if store not in self.fingerprints:
            self.fingerprints[store] = Store.open(store).fingerprint
        return self.fingerprints[store]

    def weights_of(self, config: ExperimentConfig) -> str:
        """What tells the weights that a run begins with, whose file is read once."""
        asked = f"{config.model.name} {config.model.weights}"
        if asked not in self.weights:
            self.weights[asked] = weights_key(config)
        return self.weights[asked]


def _base(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "an experiment")
    if not isinstance(content, dict):
        raise ConfigError(str(path), "holds no keys", "an experiment, as in experiments/")
    return content


def _section(content: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    section = content.get(name) or {}
    if isinstance(section, str) and name != "data":
        return {"name": section}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}: {name}", shown(section), "a section with keys")
    return dict(section)


def _depth(study: StudyConfig, row: str) -> int:
    """How many cells lie before a cell."""
    start = study.rows()[row].start
    return 0 if start is None else 1 + _depth(study, start)


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
    if not (cell.folder / RUN / RECORD).is_file():
        return False
    record = cell.run.record
    made_by = (record.versions.get("mien", ""), record.versions.get("commit", ""))
    if made_by != here() or made_by[1].endswith("+"):
        return True
    if cell.start is None or not (cell.start.folder / RUN / CARD).is_file():
        return False
    begun = (record.data.get("started_from") or {}).get("sha256")
    return begun is not None and begun != load_card(cell.start.folder / RUN).sha256


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
    return len(cell.run.history) if (cell.folder / RUN / RECORD).is_file() else 0


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
