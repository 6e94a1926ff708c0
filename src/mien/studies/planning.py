"""What a study asks for: all its cells at a scale, every mistake told before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from mien.config import ExperimentConfig, config_key, parse_config
from mien.config.settled import settled
from mien.data.images import Store
from mien.errors import ConfigError, MienError, UsageError, noted
from mien.models.pretrained import IMAGENET
from mien.studies.cells import CELLS, Cell, Evaluated, Plan
from mien.studies.definition import Scale, StudyConfig
from mien.train.components import check_components
from mien.train.start import keyed, weights_key
from mien.values import shown
from mien.yaml_files import read_yaml

_DEFAULT_SPLIT = ExperimentConfig.model_fields["split"].default.name
_LETTERS = 10  # of the key in a folder's name


def plan_study(
    study: StudyConfig,
    folder: Path,
    out: Path,
    scale: Scale = "full",
    settings: Mapping[str, Any] | None = None,
    stores: Mapping[str, str] | None = None,
    published: Mapping[str, str] | None = None,
    *,
    of_several: bool = False,
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
        published: Name of a network -> the file that its cells begin with in place of what its library publishes.
        of_several: Whether there may be stores and networks that the study does not name: see :func:`check_named`.

    Raises:
        ConfigError: With every mistake of every cell, before anything is trained.
        UsageError: If the study names no such store, or begins with no such network's weights.
    """
    planner = _Planner(study, folder, out, scale, settings or {}, stores or {}, published or {})
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
    order = {row: i for i, row in enumerate(rows)}
    found = sorted(cells.values(), key=lambda c: (c.seed, _depth(study, c.row), order[c.row]))
    plan = Plan(
        study=study,
        scale=scale,
        out=out,
        cells=tuple(_shared(found)),
        settings=dict(settings or {}),
        stores=tuple(sorted(planner.named)),
        networks=tuple(sorted(planner.networks)),
        files=tuple(sorted(planner.networks & set(planner.published))),
    )
    if not of_several:
        check_named(planner.stores, planner.published, [plan], "the study")
    return plan


def check_named(stores: Collection[str], published: Collection[str], plans: Sequence[Plan], of: str) -> None:
    """Refuse a store or a network that none of the studies names: a name that was misspelt would be passed over.

    Args:
        stores: Names of stores, as of :func:`plan_study`.
        published: Names of networks.
        plans: The studies.
        of: What messages call them.

    Raises:
        UsageError: If there is one.
    """
    known = sorted({name for plan in plans for name in plan.stores})
    for name in sorted(set(stores) - set(known)):
        raise UsageError(f"--store {name}", f"is no store of {of}", f"one of {', '.join(known)}")
    known = sorted({name for plan in plans for name in plan.networks})
    for name in sorted(set(published) - set(known)):
        found = f"is no network of {of} that begins with weights of its library"
        raise UsageError(f"--weights {name}", found, f"one of {', '.join(known)}" if known else "no --weights")


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
        published: Mapping[str, str],
    ) -> None:
        self.study, self.folder, self.out, self.scale = study, folder, out, scale
        self.settings, self.stores, self.published = settings, stores, published
        self.named: set[str] = set()  # stores that the study names
        self.networks: set[str] = set()  # that cells begin with as their library publishes them
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
        model, brought = _section(content, "model", where), ""
        if start is not None:
            content["model"] = {**model, "weights": str(start.run.path)}
        elif model.get("weights") == IMAGENET:
            network = _begun_with(model)
            self.networks.add(network)
            brought = self.published.get(network, "")
            content["model"] = {**model, "weights": brought or IMAGENET}
        config = check_components(parse_config(content, where), where)
        began = start.key if start else self.weights_of(config)
        key = config_key(keyed(config), self.fingerprint(config.data.store), began)
        place = self.folders.setdefault(key, self.out / CELLS / f"{row}-s{seed}-{key[:_LETTERS]}")
        name = Path(brought).name
        return Cell(row=row, seed=seed, config=config, key=key, folder=place, start=start, on=on, scale=self.scale,
                    brought=name)  # fmt: skip

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
        asked = config.model.model_dump_json()  # around another trunk a network begins with other weights
        if asked not in self.weights:
            self.weights[asked] = weights_key(config)
        return self.weights[asked]


def _begun_with(model: Mapping[str, Any]) -> str:
    """The network that published weights are of: a model that stands around a trunk has the trunk's."""
    options = model.get("options")
    trunk = options.get("trunk") if isinstance(options, Mapping) else None
    if trunk is None:
        return str(model.get("name", ""))
    return _begun_with(trunk if isinstance(trunk, Mapping) else {"name": trunk})


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
