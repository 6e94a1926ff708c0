"""The cells of a study: one run each, in a folder whose name says by its key what it was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mien.config import ExperimentConfig, parse_value
from mien.errors import ConfigError, UsageError
from mien.runs import Run
from mien.studies.definition import ClaimConfig, Scale, StudyConfig

CELLS, RUN = "cells", "run"  # folders


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
        brought: Name of the caller's file that it begins with in place of what a library publishes; mostly empty.
    """

    row: str
    seed: int
    config: ExperimentConfig
    key: str
    folder: Path
    start: Cell | None
    on: Mapping[str, Evaluated]
    scale: Scale
    brought: str = ""

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


def brought_to(cells: Sequence[Cell]) -> list[str]:
    """Files of the caller's that cells go back to in place of what a library publishes, in a sentence each."""
    names = {each.brought: None for cell in cells for each in lineage(cell) if each.brought}
    return [f"It begins with {name} in place of what a library publishes." for name in names]


#: Settings that change nothing of what comes out.
NEUTRAL = ("train.threads", "train.max_minutes", "model.cache_gib", "name")


_PLACES = ("store", "weights", "style_network")  # settings that may be paths


def _written(key: str, value: Any) -> str:
    """A value as ``--set`` reads it back; of a path its name alone, for where it lies is nobody's business."""
    told = _without_place(key.rpartition(".")[2], value)
    try:
        same = isinstance(told, str) and parse_value(key, told) == told
    except ConfigError:
        same = False
    return told if same else json.dumps(told)


def _without_place(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_place(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_place(name, each) for each in value]
    if not isinstance(value, str) or name not in _PLACES:
        return value
    network, equals, path = value.rpartition("=")  # vgg16=FILE
    return network + equals + (re.findall(r"[^/\\]+", path) or [path])[-1]


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
        networks: Names of the networks that cells begin with as their libraries publish them.
        files: Of these, those that begin with a file of the caller's in their place.
        taken: What the caller took some cells by, of a plan that is not whole.
    """

    study: StudyConfig
    scale: Scale
    out: Path
    cells: tuple[Cell, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        """How many the study asks for, whatever was taken of it."""
        return self.study.at(self.scale).seeds or self.study.seeds

    @property
    def claims(self) -> tuple[ClaimConfig, ...]:
        """The study's claims about rows of which something is here."""
        rows = {cell.row for cell in self.cells}
        means = {mean for mean in self.study.means if rows.issuperset(self.study.cells_of_mean(mean))}
        return tuple(claim for claim in self.study.claims if (rows | means).issuperset(claim.cells))

    @property
    def as_published(self) -> bool:
        """Whether its figures may stand beside published ones without a word: full, and as the study is written."""
        return self.called == "full"

    @property
    def called(self) -> str:
        """The scale, with whatever the caller changed in it."""
        return ", ".join([self.scale, *self.changed])

    @property
    def changed(self) -> list[str]:
        """What the caller changed of what comes out, each as ``KEY=VALUE``, which ``--set`` reads back; no paths."""
        return [f"{key}={_written(key, value)}" for key, value in self.settings.items() if key not in NEUTRAL]

    def only(self, ids: Sequence[str]) -> Plan:
        """The plan of some cells, by their rows or by how their ids begin, and of those that they begin with.

        What is the name of a row is that row alone: ``10`` does not take ``10_30`` along.

        Raises:
            UsageError: If there is none of an id.
        """
        rows = {cell.row for cell in self.cells}

        def takes(asked: str, cell: Cell) -> bool:
            if asked in rows:
                return cell.row == asked
            return any(name.startswith(asked) for name in (cell.id, f"{cell.row}-s{cell.seed}-"))

        for asked in ids:
            if not any(takes(asked, cell) for cell in self.cells):
                raise UsageError(
                    f"--cell {asked}", "is no cell of the study", "a row, or an id that --list-cells prints"
                )
        chosen = [cell for cell in self.cells if any(takes(asked, cell) for asked in ids)]
        wanted = {each.id for cell in chosen for each in lineage(cell)}
        return replace(self, cells=tuple(cell for cell in self.cells if cell.id in wanted), taken=tuple(ids))

    def of(self, row: str) -> tuple[Cell, ...]:
        """The cells of a row, one a seed."""
        return tuple(cell for cell in self.cells if cell.row == row)
