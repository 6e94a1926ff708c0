"""A study as it is written: a base experiment, what its cells change in it, and what was published of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mien.config.files import load_section
from mien.config.section import Section
from mien.errors import ConfigError
from mien.registry import nearest
from mien.studies.columns import LEAKAGE, RUN, SHARE, bounds_of, column_of
from mien.values import Unfit, shown
from mien.wording import listed
from mien.yaml_files import read_yaml

Scale = Literal["tiny", "small", "full"]
SCALES: tuple[Scale, ...] = ("tiny", "small", "full")
Settings = dict[str, Any]  # dotted key of an experiment -> value
_EXPECTED = "a study: a YAML with name, base and cells or grid"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # also a folder's


class ScaleConfig(Section):
    """What a scale shrinks."""

    set: Settings = Field({}, description="Dotted key of the experiment -> value, after those of the cells.")
    cells: dict[str, Settings] = Field({}, description="Cell -> what the scale changes in it alone.")
    seeds: int | None = Field(None, ge=1, description="Seeds at this scale; those of the study if absent.")
    says: str = Field("", description="What is smaller than in the source, in words.")


def scale_of(study: str, scales: Mapping[Scale, ScaleConfig], scale: Scale) -> ScaleConfig:
    """What a scale of a study shrinks; nothing at the full one.

    Raises:
        ConfigError: If the study does not say: the whole of it would bear the name of something smaller.
    """
    if scale != "full" and scale not in scales:
        expected = f"one of {', '.join([*scales, 'full'])}"
        raise ConfigError(f"{study}: --scale {scale}", "the study has no such scale", expected)
    return scales.get(scale, ScaleConfig())


class CellConfig(Section):
    """One row of the table: what it changes, what it begins with, what was published."""

    set: Settings = Field({}, description="Dotted key of the experiment -> value.")
    before: tuple[Settings, ...] = Field((), description="More of these, one after the other, before `set`.")
    base: str | None = Field(None, description="Another base experiment than the study's.")
    start: str | None = Field(None, description="Cell of this study whose weights the body begins with.")
    judged: bool = Field(True, description="false for one that others begin with, and that is no row of the table.")
    theirs: dict[str, float] = Field({}, description="Published values: metric, or evaluation.metric -> value.")
    label: str = Field("", description="What the table calls it; its id if absent.")
    note: str = Field("", description="What a reader must know of the row.")


class MeanConfig(Section):
    """A row that is the mean of others: of one experiment on several folds."""

    of: tuple[str, ...] = Field((), description="Its cells; all that are rows of the table if absent.")
    theirs: dict[str, float] = Field({}, description="Published values: metric, or evaluation.metric -> value.")
    label: str = Field("", description="What the table calls it; its name if absent.")
    note: str = Field("", description="What a reader must know of the row.")


class ClaimConfig(Section):
    """One published sentence that the records can answer."""

    says: str = Field(min_length=1, description="The claim, in one sentence.")
    where: str = Field("", description="Where it stands in the source; empty for a claim of our own.")
    metric: str = Field("accuracy", description="Metric, or evaluation.metric.")
    better: str | None = Field(None, description="Cell that is said to be better ...")
    than: str | None = Field(None, description="... than this one.")
    than_metric: str | None = Field(None, description="What of that one, where it is another: the same on other faces.")
    by: float | None = Field(None, description="Published difference, for the reader.")
    within: float | None = Field(None, gt=0, description="Or: the two are said to differ by no more than this.")
    no_worse_by: float | None = Field(None, gt=0, description="Or: better is said to be worse by no more than this.")
    cell: str | None = Field(None, description="Or: a cell whose published value is said to be reached ...")
    value: float | None = Field(None, description="... of at least this.")
    reason: str = Field("", description="Why it holds or does not, once that is known.")

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells that it is about."""
        return tuple(name for name in (self.better, self.than, self.cell) if name is not None)

    @model_validator(mode="after")
    def _one_kind(self) -> ClaimConfig:
        compares, reaches = (self.better, self.than), (self.cell, self.value)
        if all(v is not None for v in compares) == all(v is not None for v in reaches) or (
            any(v is not None for v in compares) and any(v is not None for v in reaches)
        ):
            raise ValueError("a claim compares better with than, or says that a cell reaches a value")
        beside = [name for name in ("within", "no_worse_by", "than_metric") if getattr(self, name) is not None]
        if self.cell is not None and beside:
            raise ValueError(f"{beside[0]} goes with better and than")
        if self.within is not None and self.no_worse_by is not None:
            raise ValueError("a claim has within or no_worse_by")
        if self.better is not None and self.better == self.than and self.than_metric in (None, self.metric):
            raise ValueError(f"a claim compares {self.better!r} with itself")
        return self


class FigureConfig(Section):
    """One picture of the study's page, or a table of what training wrote epoch by epoch (``epochs``)."""

    kind: Literal["values", "lines", "curves", "confusion", "epochs"]
    title: str = ""
    metric: str = Field(
        "accuracy", description="values and lines: metric, or evaluation.metric; curves and epochs: a column."
    )
    also: tuple[str, ...] = Field((), description="Further metrics of the same figure, drawn dashed.")
    cells: tuple[str, ...] = Field((), description="Cells that take part; all if absent.")
    theirs: dict[str, tuple[float, ...]] = Field(
        {}, description="epochs: column -> what was published of it, epoch by epoch."
    )

    @model_validator(mode="after")
    def _few(self) -> FigureConfig:
        if self.kind == "confusion" and not 1 <= len(self.cells) <= 4:
            raise ValueError("a confusion figure names one to four cells")
        if self.kind == "epochs" and not 1 <= len(self.cells) <= 4:
            raise ValueError("a table of epochs names one to four cells")
        if self.theirs and self.kind != "epochs":
            raise ValueError("only a table of epochs has published values of its own")
        if unknown := sorted(set(self.theirs) - {self.metric, *self.also}):
            raise ValueError(f"published values of {unknown[0]}, which is not among metric and also")
        return self


class StudyConfig(Section):
    """A published table and how it is made again; unknown keys are refused."""

    name: str = Field(pattern=_NAME, max_length=60)
    title: str = ""
    source: str = Field("", description="The publication.")
    about: str = Field("", description="What differs from the source, and why; Markdown.")
    base: str = Field(min_length=1, description="The experiment that cells change, beside this file.")
    set: Settings = Field({}, description="What all cells change in it.")
    grid: dict[str, dict[str, Settings]] = Field({}, description="Axis -> level -> what it changes; all combinations.")
    cells: dict[str, CellConfig] = Field({}, description="Cell -> more of one of the grid, or one of its own.")
    means: dict[str, MeanConfig] = Field({}, description="Name -> a row that is the mean of cells, over folds.")
    seeds: int = Field(1, ge=1, le=100)
    evaluate: tuple[str, ...] = Field(
        ("test",), min_length=1, description="Evaluations: parts of the run's store, or STORE:part."
    )
    metrics: tuple[str, ...] = Field(("accuracy",), description="Columns of the table: metric or evaluation.metric.")
    tolerance: float | None = Field(None, ge=0, description="How near to the published value counts as the same.")
    theirs_are: str = Field("", description="What the published values are, where it is not what ours are; a sentence.")
    scales: dict[Scale, ScaleConfig] = {}
    figures: tuple[FigureConfig, ...] = ()
    claims: tuple[ClaimConfig, ...] = ()

    @field_validator("grid", mode="before")
    @classmethod
    def _levels(cls, grid: Any) -> Any:
        """``{n: {labels.train.options.n: [1, 2]}}`` stands for a level a value."""
        if not isinstance(grid, dict):
            return grid
        return {axis: _levels_of(levels) for axis, levels in grid.items()}

    @model_validator(mode="after")
    def _fits(self) -> StudyConfig:
        levels = ["-".join(told) for told in itertools.product(*self.grid.values())] if self.grid else []
        if len(set(levels)) < len(levels):
            raise ValueError("two combinations of the grid have one name: call their levels otherwise")
        known = set(self.rows())
        if not known:
            raise ValueError("a study has cells, a grid, or both")
        for name in known:
            if len(name) > 100 or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
                raise ValueError(f"{name!r} is no name of a cell: letters, digits, dots, - and _ (it is a folder's)")
        for what, name in self._named():
            if name not in known and not (what in ("a claim", "a figure") and name in self.means):
                raise ValueError(f"{what} names the cell {name!r}, which the study does not have")
        for name, cell in self.cells.items():
            seen, at = {name}, cell.start
            while at is not None:
                if at in seen:
                    raise ValueError(f"cell {name!r} starts from itself")
                seen.add(at)
                at = self.cells[at].start if at in self.cells else None
            if not cell.judged and (where := [c for c in self.claims if name in c.cells]):
                raise ValueError(f"a claim is about {name!r}, which is not judged: {where[0].says}")
        for name, theirs in self._published():
            if strange := sorted(set(theirs) - set(self.metrics)):
                raise ValueError(f"{name} has a published {strange[0]}, which is no column (metrics)")
        for column in sorted({*self.metrics, *self._columns()}):
            try:
                found = column_of(column, self.evaluate)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if found.evaluation not in (RUN, *self.evaluate):
                raise ValueError(f"{column!r}: {nearest(found.evaluation, [*self.evaluate, RUN])}")
        for claim in self.claims:
            if column_of(claim.metric, self.evaluate).metric == "overconfidence" and claim.within is None:
                what = "has a sign, and of two neither the smaller nor the larger is the better one: use ece, or within"
                raise ValueError(f"claim {claim.says!r}: overconfidence {what}")
        self._check_means()
        self._check_values()
        self._check_grid(levels)
        return self

    def _check_grid(self, levels: Sequence[str]) -> None:
        """Refuse axes that undo each other, and cells that are meant to be one of the grid's and are none."""
        told = [(key, axis) for axis, found in self.grid.items() for key in {k for s in found.values() for k in s}]
        keys = Counter(key for key, _ in told)
        if double := [key for key, n in keys.items() if n > 1]:
            raise ValueError(f"two axes of the grid set {double[0]}: the later would win, and rows would be alike")
        for name, cell in self.cells.items():
            own = cell.set or cell.before or cell.start is not None or cell.base is not None
            if self.grid and not own and name not in levels:
                raise ValueError(
                    f"cell {name!r} changes nothing and is none of the grid. {nearest(name, list(levels))}"
                )

    def _check_means(self) -> None:
        """Refuse means of one cell, and claims that set one beside another row; cells._check_means has the rest."""
        rows = self.rows()
        for name in self.means:
            if name in rows:
                raise ValueError(f"the mean {name!r} has the name of a cell")
            of = self.cells_of_mean(name)
            if len(of) < 2 or len(set(of)) < len(of):
                raise ValueError(f"the mean {name!r} is of {listed(of) or 'no cell'}, expected several different cells")
            if away := [cell for cell in of if not rows[cell].judged]:
                raise ValueError(f"the mean {name!r} is of {away[0]!r}, which is not judged")
        for claim in self.claims:
            if not any(name in self.means for name in claim.cells):
                continue
            if len(set(claim.cells)) > 1:
                raise ValueError(f"a claim compares a mean over folds with another row: {claim.says}")
            if any(column_of(c, self.evaluate).over for c in (claim.metric, claim.than_metric) if c is not None):
                raise ValueError(f"a claim is of a gap of a mean over folds, which is none: {claim.says}")

    def _published(self) -> Iterable[tuple[str, dict[str, float]]]:
        yield from ((f"cell {name!r}", cell.theirs) for name, cell in self.cells.items())
        yield from ((f"the mean {name!r}", mean.theirs) for name, mean in self.means.items())

    def _check_values(self) -> None:
        """Published values are shares where the metric is one: 0.86, and not 86."""
        given = [(name, c, v, 0.0) for name, theirs in self._published() for c, v in theirs.items()]
        for claim in self.claims:
            named = (("value", claim.value, 0.0), ("by", claim.by, -1.0), ("within", claim.within, 0.0),
                     ("no_worse_by", claim.no_worse_by, 0.0))  # fmt: skip
            given += [(f"a claim's {what}", claim.metric, v, least) for what, v, least in named if v is not None]
        for what, column, value, least in given:
            if bounds_of(column_of(column, self.evaluate).metric) == SHARE and not least <= value <= 1:
                raise ValueError(f"{what}: {column} of {value:g}, expected a share: from {least:g} to 1")
        shares = all(bounds_of(column_of(column, self.evaluate).metric) == SHARE for column in self.metrics)
        if self.tolerance is not None and self.tolerance > 1 and shares:
            raise ValueError(f"tolerance of {self.tolerance:g}, expected a share: from 0 to 1")

    def _columns(self) -> Iterable[str]:
        for claim in self.claims:
            yield from filter(None, (claim.metric, claim.than_metric))
        for figure in self.figures:
            if figure.kind in ("values", "lines"):
                yield from (figure.metric, *figure.also)

    def _named(self) -> Iterable[tuple[str, str]]:
        yield from ((f"cell {n!r}", c.start) for n, c in self.cells.items() if c.start is not None)
        yield from ((f"scale {scale!r}", name) for scale, told in self.scales.items() for name in told.cells)
        yield from ((f"the mean {n!r}", cell) for n, mean in self.means.items() for cell in mean.of)
        for claim in self.claims:
            yield from (("a claim", n) for n in claim.cells)
        for figure in self.figures:
            yield from (("a figure", name) for name in figure.cells)

    @property
    def probes(self) -> bool:
        """Whether a column reads features, which are kept beside the predictions then."""
        columns = {*self.metrics, *self._columns()}
        return any(column_of(column, self.evaluate).metric == LEAKAGE for column in columns)

    def rows(self) -> dict[str, CellConfig]:
        """Cell -> what it is, the combinations of the grid first, in their order."""
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, CellConfig]:
        found: dict[str, CellConfig] = {}
        if self.grid:
            for levels in itertools.product(*(axis.items() for axis in self.grid.values())):
                name = "-".join(level for level, _ in levels)
                found[name] = CellConfig(set={k: v for _, settings in levels for k, v in settings.items()})
        for name, cell in self.cells.items():
            both = found[name].set | cell.set if name in found else cell.set
            found[name] = cell.model_copy(update={"set": both})
        return found

    def cells_of_mean(self, name: str) -> tuple[str, ...]:
        """The cells that a mean is of."""
        return self.means[name].of or tuple(cell for cell, told in self.rows().items() if told.judged)

    def levels(self, cell: str) -> dict[str, str]:
        """Axis -> level of a cell of the grid; empty for others."""
        for levels in itertools.product(*self.grid.values()) if self.grid else ():
            if "-".join(levels) == cell:
                return dict(zip(self.grid, levels, strict=True))
        return {}

    def at(self, scale: Scale) -> ScaleConfig:
        """What a scale shrinks; nothing at the full one.

        Raises:
            ConfigError: If the study does not say: the whole of it would bear the name of something smaller.
        """
        return scale_of(self.name, self.scales, scale)


def _levels_of(levels: Any) -> Any:
    if isinstance(levels, dict) and len(levels) == 1:
        ((key, values),) = levels.items()
        if isinstance(values, list):
            found = {_level(value): {key: value} for value in values}
            if len(found) < len(values):
                raise Unfit(shown(values), "values with different names")
            return found
    return levels


def _level(value: Any) -> str:
    return str(value).replace(" ", "").replace("[", "").replace("]", "").replace(",", "_").replace("/", "_")


def load_study(path: Path | str) -> StudyConfig:
    """Read a study.

    Raises:
        ConfigError: If it cannot be read; with every mistake and its key.
    """
    below: dict[str, type[Section]] = {
        "cells": CellConfig,
        "scales": ScaleConfig,
        "claims": ClaimConfig,
        "means": MeanConfig,
        "figures": FigureConfig,
    }
    try:
        return load_section(path, StudyConfig, _EXPECTED, below)
    except ConfigError:
        content = read_yaml(Path(path), _EXPECTED)
        if isinstance(content, dict) and {"baseline", "methods"} <= set(content):  # the mistakes would hide the cause
            fix = f"mien mitigate {path}"
            raise ConfigError(str(path), "is a study of mitigations", _EXPECTED, fix) from None
        raise
