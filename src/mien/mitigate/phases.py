"""What a study of mitigations trains: the baseline's candidates, then the methods' on top of the chosen one.

Both phases are studies as any other (:mod:`mien.studies`): their cells are kept, shared and gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.group_columns import all_perceived, group_column, memberships_of
from mien.data.images import Store
from mien.data.splits import TRAIN, VALIDATION
from mien.errors import ConfigError, DataError, MienError
from mien.labels import label_scheme
from mien.mitigate.behind import sizes_behind
from mien.mitigate.definition import BASELINE, MitigationConfig
from mien.mitigate.known import known_gaps, too_few
from mien.mitigate.selection import BY_GROUPS
from mien.mitigate.told import asks_groups
from mien.postprocessing import POSTPROCESSORS
from mien.registry import nearest
from mien.samples import SampleTable, sources_in
from mien.spellings import attribute_name
from mien.studies.cells import Cell, Plan
from mien.studies.definition import Scale, Settings, StudyConfig
from mien.studies.execute import check_parts
from mien.studies.planning import check_named, plan_study
from mien.train.targets import split_table

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
    config = config.within(setting)
    below = [config.baseline.set, *_smaller(config, places)]
    layers = {(BASELINE, i): [*below, each] for i, each in enumerate(config.baseline.candidates)}
    return _phase(config, setting, places, layers)


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
    config = config.within(setting)
    scale = config.at(places.scale)
    below = [config.baseline.set, *_smaller(config, places), config.baseline.candidates[chosen]]
    layers = {
        (name, i): [*below, method.set, scale.cells.get(name, {}), each]
        for name, method in config.methods.items()
        if method.after is None
        for i, each in enumerate(method.candidates)
    }
    return _phase(config, setting, places, layers)


def _phase(
    config: MitigationConfig, setting: str, places: Places, layers: Mapping[tuple[str, int], Sequence[Settings]]
) -> Phase:
    rows = {key: f"{key[0]}-{key[1]}" for key in layers}
    fitted = any(method.part == "fit" for method in config.methods.values() if method.after is not None)
    aside = {"split.fit": config.fit} if fitted else {}
    study = StudyConfig.model_validate({
        "name": f"{config.name}_{setting}",
        "base": config.base,
        "set": {**aside, **config.set, **config.settings[setting]},
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


def check_names(config: MitigationConfig, settings: Sequence[str], places: Places) -> None:
    """Refuse a store or a network of the caller's that no run of the study names, in whichever setting.

    Args:
        config: The study.
        settings: Those that are asked for. Of the others stores may be missing, and then nothing can be told.
        places: Where it lies.

    Raises:
        UsageError: If there is one.
    """
    if not places.stores and not places.published:
        return
    plans = []
    for setting in config.settings:
        try:
            plans += [baseline_phase(config, setting, places).plan, methods_phase(config, setting, places, 0).plan]
        except MienError:
            if setting in settings:
                raise
            return
    check_named(places.stores, places.published, plans, "the study")


def check_faces(config: MitigationConfig, setting: str, places: Places) -> None:
    """Refuse, before anything is trained, a study that could not be judged.

    Raises:
        ConfigError: If the store has not the attribute, or not its probabilities and a rule after training asks for
            soft groups.
        DataError: If there is no such part to judge on, its faces are learnt, fewer than two of its groups have
            ``min_n`` faces, or there is no group to select by.
    """
    cell = baseline_phase(config, setting, places).plan.cells[0]
    config = config.within(setting)
    table = split_table(cell.config)
    _check_attribute(config, table)
    check_parts(cell)
    fitted = {method.part for method in config.methods.values() if method.after is not None}
    for part in (VALIDATION, *sorted(fitted)):
        if len(faces := table.in_split(part)):
            _check_groups(config, faces, part)
    if config.select in BY_GROUPS:
        counts = group_column(table.in_split(VALIDATION), config.attribute).dropna().value_counts()
        sizes = {str(group): int(n) for group, n in counts.items()}
        behind = sizes_behind(sizes, table.annotator_errors.get(config.attribute), config.attribute)
        if sum(n >= config.min_n for n in behind.values()) < 2:  # of one group there is no worst
            n = sorted(behind.values())[-2] if len(behind) > 1 else 0
            told = " behind it, its annotator's errors counted" if behind != sizes else ""
            most = f"the second largest group of {config.attribute!r} has {n:.0f} validation faces{told}"
            fix = "Hold out more faces, lower min_n of the study, or select: accuracy."
            raise DataError(f"{config.name}: select", most, f"{config.min_n} or more to select by {config.select}", fix)
    _check_judged(config, cell, table)
    _check_asking(config, cell, methods_phase(config, setting, places, 0), table)


def _check_asking(config: MitigationConfig, baseline: Cell, phase: Phase, table: SampleTable) -> None:
    """Refuse methods that ask for groups where the faces have none, and rules on features that were told none.

    Args:
        config: The study within its setting.
        baseline: A run of the baseline.
        phase: The runs of its methods, on whichever candidate of the baseline.
        table: The faces of the run in their parts.

    Raises:
        ConfigError: If a rule after training reads features of such a method: they are those without the group.
        DataError: If no face of a part has a known group.
    """
    asking = {name: cell for (name, _), row in phase.rows.items() if asks_groups(cell := phase.plan.of(row)[0])}
    asking |= {BASELINE: baseline} if asks_groups(baseline) else {}
    for name, method in config.methods.items():
        reads = method.after is not None and getattr(POSTPROCESSORS.get(method.after.name), "features", False)
        if reads and method.of in asking:
            found = f"reads features, and those of {method.of!r} are seen without the group that it is told"
            raise ConfigError(f"{config.name}: {name}", found, "a rule on probabilities, or another method")
    for name, cell in asking.items():
        for part in config.parts:
            faces, _ = _faces_of(cell, part, table)
            for spec in cell.config.mitigation.options["by"]:
                absent = [a for a in attribute_name(spec).split("*") if a not in faces.attributes]
                if absent or group_column(faces, spec).isna().all():
                    found = f"no face of {part!r} has a known group of {spec!r}, which {name} asks for"
                    raise DataError(f"{config.name}: {name}", found, "groups of the judged faces too")


def _check_attribute(config: MitigationConfig, table: SampleTable) -> None:
    for name in config.attribute.split("*"):
        if name not in table.attributes:
            found = f"the store has no attribute {name!r}"
            raise ConfigError(f"{config.name}: attribute", found, "", nearest(name, list(table.attributes)))


def _check_groups(config: MitigationConfig, faces: SampleTable, part: str) -> None:
    """Refuse faces whose groups nobody could choose or judge by: of two sources at once, or without what soft asks.

    Raises:
        ConfigError: If they are so.
    """
    for name in config.attribute.split("*"):
        if len(sources := sources_in(faces.frame[faces.frame[name].notna()], name)) > 1:
            found = f"{name!r} of {part!r} mixes {' and '.join(sorted(sources))}"
            raise ConfigError(f"{config.name}: attribute", found, "groups of one source", "Take one corpus of them.")
    if any(method.after is not None and method.after.soft for method in config.methods.values()):
        _check_soft(config, faces)


def _check_soft(config: MitigationConfig, faces: SampleTable) -> None:
    """Refuse soft groups of an attribute that no annotator told: named groups would be taken for them in silence.

    Raises:
        ConfigError: If it is not perceived, or the store lacks the probabilities of a group.
    """
    if not all_perceived(faces.frame, config.attribute):
        raise ConfigError(SOFT, f"{config.attribute!r} is not perceived", "a perceived attribute", "Leave soft out.")
    groups = sorted(group_column(faces, config.attribute).dropna().unique())
    memberships_of(faces.frame, {config.attribute: groups}, soft=True, where=SOFT)


def _faces_of(cell: Cell, asked: str, table: SampleTable) -> tuple[SampleTable, bool]:
    """The faces that a run is judged on, and whether they are of its own store.

    Args:
        cell: The run.
        asked: A part of it, or STORE:part.
        table: The faces of the run in their parts.
    """
    path, _, part = cell.place_of(asked).rpartition(":")
    store = Store.open(path)
    own = store.fingerprint == Store.open(cell.config.data.store).fingerprint
    faces = table if own and asked in set(table.frame["split"]) else store.table
    return faces.in_split(part), own


def _check_judged(config: MitigationConfig, cell: Cell, table: SampleTable) -> None:
    """Refuse a part that is learnt, whatever it is called, and one of which nothing could be said.

    Args:
        config: The study within its setting.
        cell: A run of it.
        table: The faces of the run in their parts.
    """
    judged, own = _faces_of(cell, config.judged, table)
    _check_attribute(config, judged)
    _check_groups(config, judged, config.judged)
    key = ["sample_id"] if own else ["sample_id", "hash"]
    learnt = pd.MultiIndex.from_frame(table.in_split(TRAIN).frame[key])
    if n := int(pd.MultiIndex.from_frame(judged.frame[key]).isin(learnt).sum()):
        found = f"{n:,} of the {len(judged):,} faces of {config.judged!r} are learnt"
        raise DataError(f"{config.name}: judged", found, "faces that nothing learns", "Name another part.")
    counts = {str(g): int(n) for g, n in group_column(judged, config.attribute).dropna().value_counts().items()}
    sizes = sizes_behind(counts, judged.annotator_errors.get(config.attribute), config.attribute)
    if sum(n >= config.min_n for n in sizes.values()) < 2:
        found = ", ".join(f"{group} {n:.0f}" for group, n in sizes.items()) or "no face with a known group"
        counted = ", its annotator's errors counted," if sizes != counts else ""
        raise DataError(
            f"{config.name}: judged",
            f"{found}{counted} in {config.judged!r}",
            f"two groups of {config.attribute!r} with {config.min_n} faces or more",
            "Name a larger part, or lower min_n of the study.",
        )
    if config.disparity == "known":
        _check_known(config, cell, judged)


def _check_known(config: MitigationConfig, cell: Cell, judged: SampleTable) -> None:
    """Refuse a known gap of groups or classes that the judged faces do not have, or hardly.

    Raises:
        ConfigError: If there is none of such a name.
        DataError: If there are too few faces of it with a label.
    """
    labels = cell.config.labels.judged
    scheme = label_scheme(labels.name, judged.vocabulary, labels.options)
    groups = group_column(judged, config.attribute)
    names = sorted(map(str, groups.dropna().unique()))
    gaps = known_gaps(config.known, names, scheme.classes, config.name)
    told = scheme.targets(judged.votes, judged.vocabulary, judged.faces)
    kept = told.keep & groups.notna().to_numpy()
    annotated = np.zeros((len(names), len(scheme.classes)), dtype=np.int64)
    rows = pd.Categorical(groups[kept].astype(str), categories=names).codes
    np.add.at(annotated, (rows, told.probs[kept].argmax(1)), 1)
    if lacking := too_few(gaps, annotated, names, scheme.classes, config.min_n):
        raise DataError(f"{config.name}: known", lacking, "faces enough to tell the gap", "Name a larger part.")
