"""What became of a study of mitigations: what was trained, and what is fitted after it.

What is fitted after training takes seconds and is fitted anew whenever a page is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import resolve_attribute
from mien.data.group_columns import memberships_of
from mien.data.images import Store
from mien.data.splits import FIT, VALIDATION, split_units
from mien.errors import ConfigError, DataError, MienError, RunError
from mien.mitigate.behind import faces_behind
from mien.mitigate.definition import BASELINE, ROWS, UNTUNED, MethodConfig, MitigationConfig
from mien.mitigate.phases import (
    SOFT,
    Phase,
    Places,
    baseline_phase,
    methods_phase,
)
from mien.mitigate.selection import BY_GROUPS, CLASS_FACES, choice, merit, shared_classes
from mien.mitigate.told import said_of
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import Judged, PostProcessor
from mien.records import Predictions
from mien.spellings import BETWEEN, same_groups
from mien.studies.cells import Cell
from mien.studies.definition import Settings
from mien.studies.features import features_of
from mien.studies.standing import standing_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run, or one rule fitted to a run, said.

    Attributes:
        validation: Of the faces that choose.
        judged: Of the faces that count.
        seconds: Of training, and of the fit after it.
        cell: The run.
    """

    validation: Predictions
    judged: Predictions
    seconds: float
    cell: Cell


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A method with its candidates.

    Attributes:
        name: The method.
        outcomes: For each candidate, one a seed; empty for one that failed.
        merits: For each candidate, one a seed: what it was chosen by.
        chosen: The candidate.
        failures: Candidate -> why it could not be made.
    """

    name: str
    outcomes: Sequence[Sequence[Outcome]]
    merits: Sequence[Sequence[float]]
    chosen: int
    failures: Mapping[int, str] = field(default_factory=dict)

    @property
    def best(self) -> Sequence[Outcome]:
        """The chosen candidate's, one a seed; empty where all failed."""
        return self.outcomes[self.chosen]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a setting of a study came to.

    Attributes:
        config: The study.
        setting: The setting.
        scale: What it was run at, in words.
        tried: Method -> its candidates, the baseline first; only those of which all seeds are done.
        lacking: Methods of which something is still to be run, or that are held against one that is not there.
        says: What the scale shrinks.
    """

    config: MitigationConfig
    setting: str
    scale: str
    tried: Mapping[str, Tried]
    lacking: tuple[str, ...]
    says: str = ""


def found_of(config: MitigationConfig, setting: str, places: Places) -> Found:
    """Everything that is done of a setting; what is fitted after training is fitted here.

    Raises:
        RunError: If the baseline is not done.
    """
    study, first = config, baseline_phase(config, setting, places)
    config = study.within(setting)
    baseline = _trained(config, BASELINE, first)
    if baseline is None:
        raise _not_done(setting, places)
    tried, lacking = {BASELINE: baseline} | _untuned(baseline), []
    second = methods_phase(study, setting, places, baseline.chosen)
    for name, method in config.methods.items():
        if method.after is None:
            found = _trained(config, name, second)
            if found is None:
                lacking.append(name)
            else:
                tried[name] = found
    for name, method in config.methods.items():
        if method.after is not None:
            if method.of in tried:
                tried[name] = _fitted(config, name, method, tried[method.of].best)
            else:
                lacking.append(name)
    for name, method in config.methods.items():
        other = tried.get(method.against)
        if name in tried and (other is None or not other.best):  # nothing could be said of it
            del tried[name]
            lacking.append(name)
    ordered = {name: tried[name] for name in (*ROWS, *config.methods) if name in tried}
    says = config.at(places.scale).says
    return Found(
        config=config, setting=setting, scale=first.plan.called, tried=ordered, lacking=tuple(lacking), says=says
    )


def _untuned(baseline: Tried) -> dict[str, Tried]:
    """The baseline's first candidate, for a row of its own: what tuning alone was worth. Empty where it was chosen."""
    if baseline.chosen == 0 or not baseline.outcomes[0]:
        return {}
    first, merits = baseline.outcomes[:1], baseline.merits[:1]
    return {UNTUNED: Tried(name=UNTUNED, outcomes=first, merits=merits, chosen=0)}


def chosen_baseline(config: MitigationConfig, setting: str, places: Places) -> int:
    """The baseline's candidate that the validation faces choose.

    Raises:
        RunError: If not all of its runs are done.
    """
    found = _trained(config.within(setting), BASELINE, baseline_phase(config, setting, places))
    if found is None:
        raise _not_done(setting, places)
    return found.chosen


def _not_done(setting: str, places: Places) -> RunError:
    found, fix = (
        f"the baseline of {setting!r} is not done",
        "Its failures stand in cells/*/failure.txt; --retry tries again.",
    )
    return RunError(str(places.out), found, "its runs", fix)


def _trained(config: MitigationConfig, name: str, phase: Phase) -> Tried | None:
    """A method's runs; None where one is still to be done. A candidate of which a seed failed is none any more."""
    n = len(config.methods[name].candidates if name in config.methods else config.baseline.candidates)
    outcomes: list[list[Outcome]] = []
    failures: dict[int, str] = {}
    for i in range(n):
        cells = phase.plan.of(phase.rows[name, i])
        standing = [standing_of(cell) for cell in cells]
        failed = [each.error for each in standing if each.state == "failed"]
        if failed:
            failures[i] = failed[0]
            outcomes.append([])
            continue
        if any(each.state != "done" for each in standing):
            return None
        for cell in cells:
            _check_apart(config, cell)
        outcomes.append([
            Outcome(
                validation=said_of(cell, "validation"),
                judged=said_of(cell, config.judged),
                seconds=cell.run.record.seconds,
                cell=cell,
            )
            for cell in cells
        ])  # fmt: skip
    if len(failures) == n and name == BASELINE:
        return None
    merits = _merits(config, name, outcomes)
    return Tried(name=name, outcomes=outcomes, merits=merits, chosen=choice(merits), failures=failures)


def _merits(config: MitigationConfig, name: str, outcomes: Sequence[Sequence[Outcome]]) -> list[list[float]]:
    """What each candidate is chosen by, one a seed.

    Raises:
        DataError: If the rule can tell nothing of any of them.
    """
    merits = [[_merit(config, each.validation) for each in seeds] or [float("nan")] for seeds in outcomes]
    if all(np.isnan(np.mean(each)) for each in merits) and any(outcomes):
        first = next(seeds[0].validation for seeds in outcomes if seeds)
        raise DataError(f"{config.name}: {name}", _unselectable(config, first), f"groups to select by {config.select}",
                        "Hold out more faces, lower min_n of the study, or select: accuracy.")  # fmt: skip
    return merits


def _unselectable(config: MitigationConfig, validation: Predictions) -> str:
    """Why groups of validation faces can choose nothing."""
    large = tables_of(validation, config.attribute)[:-1][_eligible(config, validation)]
    if len(large) > 1 and config.metric == "balanced_accuracy" and not shared_classes(large.sum(-1)).any():
        return f"no class has {CLASS_FACES} validation faces in every group of {config.attribute!r}"
    return (
        f"fewer than two groups of {config.attribute!r} have {config.min_n} validation faces (of a perceived group no "
        "more than are behind it)"
    )


def _check_apart(config: MitigationConfig, cell: Cell) -> None:
    """Refuse to judge on faces that choose or fit, on copies of them, or on other pictures of their persons.

    Of another store only copies are known, byte for byte. Faces that are copies of learnt ones are told on the page;
    :func:`mien.mitigate.checks.check_faces` refuses learnt ones themselves.

    Raises:
        DataError: If some do both.
    """
    judged = said_of(cell, config.judged)
    known, units = _units(cell.place_of(config.judged).rpartition(":")[0], cell.config.data.store)
    splits = cell.run.splits
    used = splits[splits["split"].isin((VALIDATION, FIT))]
    theirs = {known[face] for face in used["sample_id"].astype(str) if face in known} if units else set(used["hash"])
    n = sum(known[str(face)] in theirs for face in judged.sample_id)
    if n:
        found = f"{n:,} faces of {config.judged!r} choose or fit in {cell.name}"
        raise DataError(
            f"{config.name}: judged", found, "faces that do neither", "Set a share of training aside to validate."
        )


@lru_cache(maxsize=8)
def _units(store: str, own: str) -> tuple[Mapping[str, Any], bool]:
    """Face of a store -> its unit; or, of another store than a run's own, the checksum of its picture.

    Returns:
        And whether it is units.
    """
    table = Store.open(store).table
    same = Store.open(own).fingerprint == Store.open(store).fingerprint
    values = split_units(table) if same else table.frame["hash"]
    return dict(zip(table.frame["sample_id"].astype(str), values, strict=True)), same


def _merit(config: MitigationConfig, predictions: Predictions) -> float:
    if config.select not in BY_GROUPS:
        return merit(tables_of(predictions, None), config.select, config.metric, np.zeros(0, dtype=bool))
    eligible = _eligible(config, predictions)
    return merit(tables_of(predictions, config.attribute), config.select, config.metric, eligible)


def _eligible(config: MitigationConfig, predictions: Predictions) -> NDArray[np.bool_]:
    """``(G,)`` which groups select: one that judges nothing, because hardly a face is behind it, does not either."""
    return np.asarray(faces_behind(predictions, config.attribute) >= config.min_n)


def tables_of(predictions: Predictions, spec: str | None) -> NDArray[np.float64]:
    """``(G + 1, K, K)`` confusion counts of each group; the last table of faces of unknown group.

    Args:
        predictions: What was said.
        spec: The attribute; None for no groups, so that the one table is of all faces.
    """
    k = len(predictions.classes)
    if spec is None:
        g, group = 0, np.zeros(len(predictions), dtype=np.int64)
    else:
        attribute = resolve_attribute(predictions, spec)
        g = len(attribute.groups)
        group = np.where(attribute.codes < 0, g, attribute.codes)
    code = (group * k + predictions.labels) * k + predictions.predicted
    return np.bincount(code, minlength=(g + 1) * k * k).reshape(g + 1, k, k).astype(np.float64)


def _fitted(config: MitigationConfig, name: str, method: MethodConfig, models: Sequence[Outcome]) -> Tried:
    """Rules fitted to the chosen runs of another method, candidate by candidate and seed by seed."""
    outcomes: list[list[Outcome]] = []
    failures: dict[int, str] = {}
    for i, options in enumerate(method.candidates):
        try:
            outcomes.append([_after(config, method, options, model) for model in models])
        except ConfigError:  # a misspelt class is no finding
            raise
        except MienError as error:  # such as a minimum that no answers reach: a finding, and no reason to stop
            failures[i] = str(error)
            outcomes.append([])
    merits = _merits(config, name, outcomes)
    return Tried(name=name, outcomes=outcomes, merits=merits, chosen=choice(merits), failures=failures)


def _after(config: MitigationConfig, method: MethodConfig, options: Settings, model: Outcome) -> Outcome:
    """One rule: fitted to faces of the part that is kept for it, and asked of the others."""
    after = method.after
    if after is None:
        raise ValueError("a method that trains is not fitted afterwards")
    maker: PostProcessor = POSTPROCESSORS.get(after.name)(**{**after.options, **options})
    groups = maker.fits_groups or maker.asks_groups
    # Features are made once, and kept: no part of the fit.
    fit = judged_faces(config, model.cell, method.part, maker.features, None if groups else (), after.soft)
    began = time.monotonic()
    rule = maker.fit(fit)
    seconds = model.seconds + time.monotonic() - began
    said = []
    for part in ("validation", config.judged):
        predictions = said_of(model.cell, part)
        probs = rule(judged_faces(config, model.cell, part, maker.features, fit.names, after.soft))
        said.append(replace(predictions, probs=probs, predicted=probs.argmax(1).astype(np.int64)))
    return Outcome(validation=said[0], judged=said[1], seconds=seconds, cell=model.cell)


def judged_faces(
    config: MitigationConfig,
    cell: Cell,
    part: str,
    features: bool,
    names: Sequence[str] | None = None,
    soft: bool = False,
) -> Judged:
    """What a run said of a part, as methods after training take it.

    Args:
        config: The study.
        cell: The run.
        part: The part.
        features: Whether features are needed; where they are not kept yet they are made.
        names: Groups in the order of the columns; those of the part if None, and if there are none no face's is asked.
        soft: Whether perceived groups are the annotator's probabilities.
    """
    said = said_of(cell, part)
    if said.probs is None:
        raise DataError(f"{cell.name} on {part}", "no probabilities", "probabilities of the classes")
    groups, memberships = _memberships(said, config.attribute, names, soft)
    data = cell.run.record.data
    counts = data.get("training_targets") or data["training_classes"]
    prior = np.array([counts.get(c, 0) for c in said.classes], dtype=np.float64)
    prior = np.where(prior > 0, np.maximum(prior, 1.0), 0.0)  # less than one face counts as one, as in training
    return Judged(
        probs=np.asarray(said.probs, dtype=np.float64),
        labels=said.labels,
        groups=memberships,
        names=groups,
        classes=said.classes,
        features=features_of(cell, part, said.sample_id) if features else None,
        prior=prior / prior.sum() if prior.sum() else None,
    )


def _memberships(
    said: Predictions, spec: str, names: Sequence[str] | None, soft: bool = False
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Groups in the order of the columns, and ``(n, G)`` whose each face is, as :func:`judged_faces` has them.

    With ``soft`` they are the annotator's probabilities, as they stood in the store when the run was judged.
    """
    if names is not None and not len(names):
        return (), np.zeros((len(said), 0))
    attribute = resolve_attribute(said, spec)
    groups = tuple(attribute.groups) if names is None else tuple(names)
    place = same_groups(attribute.groups, groups)
    belongs = np.zeros((len(said), len(attribute.groups)))
    known = np.flatnonzero(attribute.codes >= 0)
    belongs[known, attribute.codes[known]] = 1
    if soft:
        # An intersection's groups are "male*adult" among predictions and "male * adult" in a store.
        stored = [BETWEEN.join(g.split("*")) if "*" in spec else g for g in attribute.groups]
        belongs[known] = memberships_of(said.groups, {spec: stored}, soft=True, where=SOFT)[known]
    found = np.zeros((len(said), len(groups)))
    for i, group in enumerate(attribute.groups):
        if group in place:
            found[:, place[group]] += belongs[:, i]
    return groups, found
