"""What is probed: inputs that belong to the faces, checked, brought into one order and dealt into folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.leakage.folds import canonical_order, choose_units, deal_folds
from mien.audit.leakage.probes import Floats, standardised
from mien.audit.leakage.results import EXPRESSION, FEATURES, LINEAR, MLP, PROBABILITIES
from mien.errors import DataError, UsageError
from mien.inputs import check_regular
from mien.records import Predictions
from mien.registry import nearest
from mien.stats.cells import Ints
from mien.stats.settings import Settings

PROBES = (LINEAR, MLP)
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(Settings):
    """Settings of a leakage probe.

    Attributes:
        probes: ``linear`` (shrunk discriminant) and ``mlp`` (one hidden layer).
        n_folds: Folds.
        n_perm: Permutations of the linear probe.
        n_perm_mlp: Permutations of the MLP, which takes longer.
        max_n: Faces to probe at most; of more, large groups are thinned by whole units.
    """

    probes: tuple[str, ...] = PROBES
    n_folds: int = 5
    n_perm: int = 500
    n_perm_mlp: int = 50
    max_n: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.probes:
            if name not in PROBES:
                raise UsageError("probes", f"unknown probe {name!r}", ", ".join(PROBES), nearest(name, list(PROBES)))
        if not self.probes:
            raise UsageError("probes", "none was given", ", ".join(PROBES))
        for name, least in {"n_folds": 2, "n_perm_mlp": 1, "min_n": 1, "max_n": 2 * self.n_folds}.items():
            if getattr(self, name) < least:
                raise UsageError(name, f"is {getattr(self, name)}", f"{least} or more")

    @classmethod
    def of(cls, settings: Settings) -> ProbeSettings:
        """Those of an audit; its permutations are not the probe's, which fits anew in each."""
        return cls(level=settings.level, n_boot=settings.n_boot, min_n=settings.min_n, seed=settings.seed)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The faces probed, in an order that their contents give.

    Attributes:
        inputs: Name -> ``(n, D)`` standardised.
        group: ``(n,)`` codes below the number of groups.
        label: ``(n,)`` annotated classes from 0, or None.
        unit: ``(n,)`` codes of independent units from 0.
        fold: ``(n,)`` folds; a unit stands in one.
        groups: The groups.
        attribute: The attribute's name.
        n_available: Faces before thinning.
    """

    inputs: dict[str, Floats]
    group: Ints
    label: Ints | None
    unit: Ints
    fold: Ints
    groups: tuple[str, ...]
    attribute: str
    n_available: int

    @property
    def n_units(self) -> int:
        """Independent units."""
        return int(self.unit.max()) + 1


def leakage_inputs(pred: Predictions, features: NDArray[Any] | None = None) -> dict[str, NDArray[Any]]:
    """What an attribute may be read from: the features where there are some, and the model's probabilities.

    Probabilities are taken as logarithms (of at least 1e-6): sure answers differ in them by orders
    of magnitude, which a probe on shares of one would not see.
    """
    inputs: dict[str, NDArray[Any]] = {} if features is None else {FEATURES: features}
    if pred.probs is not None:
        inputs[PROBABILITIES] = np.log(np.clip(pred.probs, _LEAST_PROBABILITY, 1.0))
    return inputs


def load_features(path: Path | str, sample_id: Sequence[Any] | NDArray[Any]) -> Floats:
    """Read features and bring them into the order of the predictions.

    Args:
        path: An ``.npz`` file with ``sample_id`` ``(m,)`` text and ``features`` ``(m, D)``. Nothing is unpickled.
        sample_id: ``(n,)`` ids wanted.

    Returns:
        ``(n, D)`` float32.

    Raises:
        DataError: If the file cannot be read or lacks an id.
    """
    expected = "an .npz file with 'sample_id' (text) and 'features' (one row an id)"
    check_regular(path, expected)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            ids, features = content["sample_id"].astype(str), content["features"].astype(np.float32)
    except Exception as error:  # a damaged archive fails in as many ways as its members
        raise DataError(str(path), f"cannot be read ({error})", expected) from error
    if features.ndim != 2 or ids.shape != features.shape[:1]:
        raise DataError(str(path), f"sample_id has shape {ids.shape}, features {features.shape}", expected)
    row = {name: i for i, name in enumerate(ids.tolist())}
    wanted = [str(s) for s in sample_id]
    missing = [s for s in wanted if s not in row]
    if missing or len(row) < len(ids):
        found = (
            f"has no features of {len(missing)} of {len(wanted)} faces, such as {missing[0]!r}"
            if missing
            else f"names {len(ids) - len(row)} faces a second time"
        )
        raise DataError(str(path), found, "each face once", "Evaluate again with features.")
    return np.asarray(features[[row[s] for s in wanted]])


def checked_arrays(
    inputs: Mapping[str, NDArray[Any]], n: int, labels: Ints | None, cluster: Ints | None
) -> dict[str, Floats]:
    """The inputs as ``(n, D)`` float32; refuses what does not belong together or is not finite."""
    if not inputs:
        raise UsageError(
            "leakage",
            "nothing to read from",
            "features or probabilities",
            "Evaluate with features, or add prob_<class>.",
        )
    if EXPRESSION in inputs:
        raise UsageError("inputs", f"one is called {EXPRESSION!r}", "another name", "Pass annotated classes as labels.")
    for name, vector in (("labels", labels), ("cluster", cluster)):
        if vector is not None and np.shape(vector) != (n,):
            raise DataError(name, f"has shape {np.shape(vector)}", f"({n},) as the attribute has")
    out = {}
    for name, values in inputs.items():
        try:
            with np.errstate(over="ignore"):
                array = np.asarray(values).astype(np.float32)
        except (ValueError, TypeError) as error:
            raise DataError(name, f"holds what is no number ({error})", f"({n}, D) numbers") from error
        if array.ndim != 2 or len(array) != n or not array.shape[1]:
            raise DataError(name, f"has shape {array.shape}", f"({n}, D): one row a face")
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
            raise DataError(f"{name} row {row}", "holds NaN or infinity", "finite numbers")
        out[name] = array
    return out


def draw_sample(
    arrays: dict[str, Floats],
    attribute: Attribute,
    kept: list[int],
    unit: Ints,
    labels: Ints | None,
    names: NDArray[Any] | None,
    settings: ProbeSettings,
) -> Sample:
    """The faces to probe and their folds; depends on what the rows hold, or are called, not on how they are ordered."""
    new_code = np.full(len(attribute.groups) + 1, -1, dtype=np.int64)  # a last entry serves the code -1
    new_code[kept] = np.arange(len(kept))
    group = new_code[attribute.codes]
    rows = np.flatnonzero(group >= 0)
    columns: list[NDArray[Any]] = [
        group[rows],
        *([] if labels is None else [np.asarray(labels)[rows]]),
        *([a[rows] for a in arrays.values()] if names is None else [np.asarray(names).astype(str)[rows]]),
    ]
    rows = rows[canonical_order(columns, _recoded(unit[rows]))]
    n_available = len(rows)
    rng = settings.stream(attribute.name, "leakage sample")
    rows = rows[choose_units(group[rows], _recoded(unit[rows]), settings.max_n, rng)]
    code = _recoded(unit[rows])
    return Sample(
        inputs={name: standardised(a[rows]) for name, a in arrays.items()},
        group=group[rows],
        label=None if labels is None else np.unique(np.asarray(labels)[rows], return_inverse=True)[1].reshape(-1),
        unit=code,
        fold=deal_folds(group[rows], code, settings.n_folds, settings.stream(attribute.name, "leakage folds")),
        groups=tuple(attribute.groups[g] for g in kept),
        attribute=attribute.name,
        n_available=n_available,
    )


def _recoded(unit: Ints) -> Ints:
    """Codes of units from 0 without holes, in order of appearance."""
    _, first, inverse = np.unique(unit, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
