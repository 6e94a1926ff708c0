"""What a study of mitigations trains: the baseline's candidates, then the methods' on top of the chosen one.

Both phases are studies as any other (:mod:`mien.studies`): their cells are kept, shared and gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mien.errors import ConfigError
from mien.mitigate.definition import BASELINE, MitigationConfig
from mien.studies.cells import Plan
from mien.studies.definition import Scale, Settings, StudyConfig
from mien.studies.planning import plan_study

SOFT = "after.soft"  # of a method


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One round of training.

    Attributes:
        plan: Its cells.
        rows: (method, candidate) -> row of the plan.
    """

    plan: Plan
    rows: Mapping[tuple[str, int], str]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a study lies and what the caller changes.

    Attributes:
        folder: That of the file: base experiments are named from there.
        out: Where its runs go.
        scale: How large.
        settings: Dotted key -> value for all runs, last.
        stores: Name of a store -> where it lies here.
        published: Name of a network -> the file that its runs begin with in place of what its library publishes.
    """

    folder: Path
    out: Path
    scale: Scale = "full"
    settings: Mapping[str, Any] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)


def baseline_phase(config: MitigationConfig, setting: str, places: Places) -> Phase:
    """The candidates of the baseline in a setting.

    Raises:
        ConfigError: With every mistake, before anything is trained.
    """
    aside, config = config.sets_aside, config.within(setting)
    below = [config.baseline.set, *_smaller(config, places)]
    layers = {(BASELINE, i): [*below, each] for i, each in enumerate(config.baseline.candidates)}
    return _phase(config, setting, places, layers, aside)


def _smaller(config: MitigationConfig, places: Places) -> list[Settings]:
    """What the scale shrinks in all runs: before candidates, whose differences it must not wipe out."""
    scale = config.at(places.scale)
    return [scale.set, scale.cells.get(BASELINE, {})]


def methods_phase(config: MitigationConfig, setting: str, places: Places, chosen: int) -> Phase:
    """The candidates of all methods that train, on top of the chosen baseline.

    Args:
        config: The study.
        setting: Its setting.
        places: Where it lies.
        chosen: The baseline's candidate.
    """
    aside, config = config.sets_aside, config.within(setting)
    scale = config.at(places.scale)
    below = [config.baseline.set, *_smaller(config, places), config.baseline.candidates[chosen]]
    layers = {
        (name, i): [*below, method.set, scale.cells.get(name, {}), each]
        for name, method in config.methods.items()
        if method.after is None
        for i, each in enumerate(method.candidates)
    }
    return _phase(config, setting, places, layers, aside)


def _phase(
    config: MitigationConfig,
    setting: str,
    places: Places,
    layers: Mapping[tuple[str, int], Sequence[Settings]],
    aside: bool,
) -> Phase:
    """The cells of some rows.

    Args:
        config: The study within its setting.
        setting: The setting.
        places: Where it lies.
        layers: (method, candidate) -> what its runs change, one on top of the other.
        aside: Whether validation faces are kept for rules after training, which methods of any setting may ask for:
            the baseline is chosen by as many faces in all of them.
    """
    rows = {key: f"{key[0]}-{key[1]}" for key in layers}
    study = StudyConfig.model_validate({
        "name": f"{config.name}_{setting}",
        "base": config.base,
        "set": {**({"split.fit": config.fit} if aside else {}), **config.set, **config.settings[setting]},
        "cells": {rows[key]: {"before": told[:-1], "set": told[-1]} for key, told in layers.items()} or {"none": {}},
        "seeds": config.seeds,
        "evaluate": config.parts,
        "scales": {name: {"seeds": told.seeds, "says": told.says} for name, told in config.scales.items()},
    })  # fmt: skip
    plan = plan_study(
        study,
        places.folder,
        places.out,
        places.scale,
        places.settings,
        places.stores,
        places.published,
        of_several=True,  # each setting has stores of its own, and a phase may begin with what the other does not
    )
    if not rows:
        plan = replace(plan, cells=())
    _check_distinct(config, plan, rows)
    return Phase(plan=plan, rows=rows)


def _check_distinct(config: MitigationConfig, plan: Plan, rows: Mapping[tuple[str, int], str]) -> None:
    """Refuse candidates that come to one experiment: what they change would be wiped out by something after them.

    Raises:
        ConfigError: With the method.
    """
    found: dict[str, set[str]] = {}
    for (method, _), row in rows.items():
        keys = found.setdefault(method, set())
        key = plan.of(row)[0].key
        if key in keys:
            expected = "candidates that differ in what is trained"
            raise ConfigError(f"{config.name}: {method}", "two candidates come to the same experiment", expected)
        keys.add(key)
