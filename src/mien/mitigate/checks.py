"""What is refused before anything of a study of mitigations is trained."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mien.data.group_columns import all_perceived, group_column, memberships_of
from mien.data.images import Store
from mien.data.splits import TRAIN, VALIDATION
from mien.errors import ConfigError, DataError, MienError
from mien.labels import label_scheme
from mien.losses import LOSSES
from mien.mitigate.behind import counts_behind, sizes_behind
from mien.mitigate.definition import BASELINE, MitigationConfig
from mien.mitigate.known import known_gaps, too_few
from mien.mitigate.phases import SOFT, Phase, Places, baseline_phase, methods_phase
from mien.mitigate.run import chosen_baseline
from mien.mitigate.selection import BY_GROUPS
from mien.mitigate.told import asks_groups
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import PostProcessor
from mien.registry import nearest
from mien.samples import SampleTable, sources_in
from mien.spellings import attribute_name
from mien.studies.cells import Cell
from mien.studies.execute import check_parts
from mien.studies.planning import check_named
from mien.studies.standing import standing_of
from mien.train.rehearsal import rehearse
from mien.train.targets import split_table

_OTHER_COUNTS = ("reweighting", "resampling")  # mitigations that teach classes in other shares than the faces have


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
    baselines, phase = baseline_phase(config, setting, places).plan.cells, methods_phase(config, setting, places, 0)
    cell, config = baselines[0], config.within(setting)
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
    _check_asking(config, cell, phase, table)
    _check_rules(config, baselines, phase, table)


def check_methods(config: MitigationConfig, setting: str, places: Places, retry: bool = False) -> None:
    """Refuse a method that could not be trained, before the baseline is: what has begun already is not looked at.

    Args:
        config: The study.
        setting: Its setting.
        places: Where it lies.
        retry: Whether runs that failed are tried again.

    Raises:
        ConfigError, DataError: As its training would, with the method.
    """
    baseline = baseline_phase(config, setting, places)
    done = all(standing_of(cell).state == "done" for cell in baseline.plan.cells)
    chosen = chosen_baseline(config, setting, places) if done else 0
    for phase in (baseline, methods_phase(config, setting, places, chosen)):
        for (name, _), row in phase.rows.items():
            cell = phase.plan.of(row)[0]
            if standing_of(cell).state not in ("absent", *(["failed"] if retry else [])):
                continue
            try:
                rehearse(cell.config)
            except (ConfigError, DataError) as error:
                where = f"{config.name}: {setting}: {name}: {error.where}"
                raise type(error)(where, error.found, error.expected, error.fix) from error


def _check_rules(config: MitigationConfig, baselines: Sequence[Cell], phase: Phase, table: SampleTable) -> None:
    """Refuse rules after training that name classes which are none, or undo what the run that they follow never did.

    Raises:
        ConfigError: With the method.
    """
    labels = baselines[0].config.labels.train
    classes = label_scheme(labels.name, table.vocabulary, labels.options).classes
    for name, method in config.methods.items():
        if method.after is None:
            continue
        for options in method.candidates:
            maker: PostProcessor = POSTPROCESSORS.get(method.after.name)(**{**method.after.options, **options})
            try:
                maker.check(classes)
            except ConfigError as error:
                where = f"{config.name}: {name}: {error.where}"
                raise ConfigError(where, error.found, error.expected, error.fix) from None
        cells = [phase.plan.of(row)[0] for (other, _), row in phase.rows.items() if other == method.of] or baselines
        if method.after.name == "logit_adjustment" and (why := next(filter(None, map(_other_counts, cells)), "")):
            expected = "a run that was taught the classes as often as its faces have them"
            raise ConfigError(f"{config.name}: {name}", f"divides by the classes' shares after {why}", expected)


def _other_counts(cell: Cell) -> str:
    """What teaches a run its classes in other shares than its faces have; empty if nothing does."""
    loss, method = cell.config.loss, cell.config.mitigation
    counts = inspect.signature(LOSSES.get(loss.name)).parameters.get("class_counts")
    asked = counts is not None and counts.default is inspect.Parameter.empty
    if asked or loss.options.get("class_weights") or loss.options.get("exponent"):
        return f"the loss {loss.name!r} as it is set"
    changes = method.name in _OTHER_COUNTS and method.options.get("classes", True)
    return f"{method.name!r}" if changes and method.options.get("exponent", 1) else ""


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
    content = judged.annotator_errors.get(config.attribute)
    if lacking := too_few(
        gaps, counts_behind(annotated, names, content, config.attribute), names, scheme.classes, config.min_n
    ):
        raise DataError(f"{config.name}: known", lacking, "faces enough to tell the gap", "Name a larger part.")
