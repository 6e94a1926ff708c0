"""Each face's probability of each group, and the bootstrap of counts weighted by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.audit.attributes import Attribute
from mien.audit.inferred.margins import joined_margins
from mien.errors import DataError
from mien.records import Estimate, Predictions
from mien.spellings import folded
from mien.stats.cells import chunk_sizes
from mien.stats.intervals import mean_estimate, wilson_estimate

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
_CONFIDENCE = "_confidence"
_BLOCKS = 4000  # random blocks of units: their number leaves 1 % error on a standard error


@dataclass(frozen=True)
class ConfidenceCoverage:
    """What share of the faces a confidence threshold leaves; leaving faces out is biased where these differ.

    Attributes:
        threshold: Least confidence.
        overall: Share of all faces of a known group.
        by_group: Perceived group -> share.
        by_class: Annotated class -> share.
    """

    threshold: float
    overall: Estimate
    by_group: dict[str, Estimate]
    by_class: dict[str, Estimate]


def probability_columns(pred: Predictions, name: str) -> list[str]:
    """Groups for which the predictions have a column ``<name>_prob_<group>``."""
    prefix = f"{name}_prob_"
    return [str(c).removeprefix(prefix) for c in pred.groups.columns if str(c).startswith(prefix)]


def face_confidence(pred: Predictions, attribute: Attribute, groups: Sequence[str]) -> Array | None:
    """How sure the annotator is of the group that it names.

    Column ``<attribute>_confidence``, else the probability of the named group in the columns
    ``<attribute>_prob_<group>``.

    Returns:
        ``(n,)``, NaN where missing; None without such columns.

    Raises:
        DataError: If a value is not a number from 0 to 1, or the probabilities are not ones.
    """
    column = attribute.name + _CONFIDENCE
    if column in pred.groups.columns:
        return _share_column(pred, column)
    probabilities = _stated_probabilities(pred, attribute.name, groups)
    if probabilities is None:
        return None
    named = probabilities[np.arange(len(pred)), np.maximum(attribute.codes, 0)]
    return np.asarray(np.where(attribute.codes < 0, np.nan, named))


def group_probabilities(
    pred: Predictions, attribute: Attribute, groups: Sequence[str], confidence: Array | None, shares: Array
) -> Array | None:
    """Each face's probability of each group.

    From the columns ``<attribute>_prob_<group>`` where they stand; else the named group has the
    annotator's confidence and the others share the remainder.

    Args:
        pred: The predictions.
        attribute: The perceived attribute.
        groups: The G groups, those of the attribute first.
        confidence: What :func:`face_confidence` gives.
        shares: ``(G, G)``: row h says how the others share what a face named h leaves; only the
            proportions count, the diagonal does not.

    Returns:
        ``(n, G)`` that sum to 1, NaN rows where the group or the confidence is missing; None without
        such columns.

    Raises:
        DataError: If a value is not a number from 0 to 1, or the probabilities of a face do not sum
            to 1, or a group has no column.
    """
    known = attribute.codes >= 0
    out = _stated_probabilities(pred, attribute.name, groups)
    if out is None and confidence is not None:
        rest = shares * (1 - np.eye(len(groups)))
        total = rest.sum(1, keepdims=True)
        # A group that is never named by mistake leaves equal shares.
        rest = np.where(total > 0, rest / np.where(total > 0, total, 1), (1 - np.eye(len(groups))) / (len(groups) - 1))
        codes = np.maximum(attribute.codes, 0)
        out = (1 - confidence)[:, None] * rest[codes]
        out[np.arange(len(out)), codes] = confidence
    if out is not None:
        out[~known] = np.nan
    return out


def _stated_probabilities(pred: Predictions, name: str, groups: Sequence[str]) -> Array | None:
    named = {folded(g): g for g in probability_columns(pred, name)}
    if not named:
        return None
    missing = [g for g in groups if folded(g) not in named]
    if missing:
        raise DataError(
            pred.source or "predictions",
            f"has probabilities of {', '.join(named.values())} but no column '{name}_prob_{missing[0]}'",
            "one column for each group",
            "Add it, or leave these columns out: then groups count as they are named.",
        )
    columns = [f"{name}_prob_{named[folded(g)]}" for g in groups]
    raw = np.stack([_numbers(pred.groups[c]) for c in columns], axis=1)
    sums = raw[np.isfinite(raw).all(1)].sum(1)
    hundred = bool(len(sums)) and bool((np.abs(sums - 100) <= 0.5 * len(groups) + 1e-9).all())
    out = np.stack([_share_column(pred, c, percent=hundred) for c in columns], axis=1)
    off = np.flatnonzero(np.abs(out.sum(1) - 1) > _rounding(out) + 1e-9)
    if len(off):
        row = int(off[0])
        raise DataError(
            _place(pred, row),
            f"'{name}_prob_*' values sum to {out[row].sum():.4f} ({len(off)} such rows)",
            "probabilities that sum to 1",
            "Write all groups of a face, or leave these columns out: then groups count as they are named.",
        )
    return np.asarray(out / out.sum(1, keepdims=True))


def _rounding(shares: Array) -> float:
    """How far rows of ``(n, G)`` shares may miss 1 because their values were rounded."""
    known = shares[np.isfinite(shares)]
    for decimals in range(2, 7):
        scaled = known * 10.0**decimals
        if len(known) and np.abs(scaled - np.round(scaled)).max() < 1e-6:
            return float(max(1e-3, 0.5 * 10.0**-decimals * shares.shape[1]))
    return 1e-3


def _place(pred: Predictions, row: int) -> str:
    """Which face a row is: lines of the file are no longer known, for faces that were not found are set aside."""
    return f"{pred.source or 'predictions'} face {str(pred.sample_id[row])!r}"


def _numbers(column: pd.Series[Any]) -> Array:
    """``(n,)`` NaN where a value is missing or none."""
    found: Array = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return found


def _share_column(pred: Predictions, column: str, *, percent: bool | None = None) -> Array:
    """``(n,)`` shares from 0 to 1; per cent if so told, or if that is not known and most of them are above 1."""
    raw = pred.groups[column]
    values = _numbers(raw)
    known = values[np.isfinite(values)]
    if percent is None:
        percent = bool(len(known)) and float(np.median(known)) > 1
    most = 100.0 if percent else 1.0
    bad = np.flatnonzero((np.isnan(values) & raw.notna().to_numpy()) | (values < 0) | (values > most))
    if len(bad):
        raise DataError(
            _place(pred, int(bad[0])),
            f"{column!r} is {raw.iloc[int(bad[0])]} ({len(bad)} such rows)",
            f"a number from 0 to {most:g}",
            "Mend these values, or leave the column out.",
        )
    return values / most


def confidence_coverage(
    pred: Predictions,
    attribute: Attribute,
    groups: Sequence[str],
    kept: NDArray[np.bool_],
    threshold: float,
    level: float,
) -> ConfidenceCoverage:
    """Shares of the faces with a perceived group that a threshold keeps: overall, by group, by class.

    Args:
        pred: The predictions.
        attribute: The perceived attribute.
        groups: The G groups, those of the attribute first.
        kept: ``(n,)`` the faces kept.
        threshold: Least confidence.
        level: Coverage that the intervals aim at.
    """

    def share(where: NDArray[np.bool_]) -> Estimate:
        inside = kept[where]
        if pred.cluster is None:
            return wilson_estimate(float(inside.sum()), len(inside), level)
        return mean_estimate(inside.astype(np.float64), pred.cluster[where], level)

    known = attribute.codes >= 0
    return ConfidenceCoverage(
        threshold,
        share(known),
        {name: share(attribute.codes == g) for g, name in enumerate(groups)},
        {str(c): share(known & (pred.labels == k)) for k, c in enumerate(pred.classes)},
    )


def weighted_margins(
    member: Array,
    label: Ints,
    predicted: Ints,
    cluster: Ints | None,
    n_classes: int,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Margins in which each face adds its probability of each group, and their bootstrap over units.

    Up to 4,000 independent units are drawn with replacement one by one. More are first dealt at
    random into 4,000 blocks, and whole blocks are drawn: the variance of a sum over blocks is that
    over units in expectation, and the cost no longer depends on the number of faces.

    Args:
        member: ``(n, G)`` probabilities.
        label: ``(n,)`` annotated classes.
        predicted: ``(n,)`` predicted classes.
        cluster: ``(n,)`` codes of independent units from 0; None where each face is its own.
        n_classes: K.
        n_boot: Replicates.
        rng: Source of randomness; the order of the rows does not matter.

    Returns:
        ``(1, G, 2 + 3K)`` and ``(n_boot, G, 2 + 3K)``; see :func:`mien.audit.inferred.margins.margins_of`.
    """
    order, unit = _canonical_order(member, label * n_classes + predicted, cluster, n_classes)
    n_units = int(unit[-1]) + 1
    n_blocks = min(n_units, _BLOCKS)
    block = (rng.permutation(n_units) % n_blocks)[unit]
    blocks = _block_margins(member[order], label[order], predicted[order], block, n_blocks, n_classes)
    flat = blocks.reshape(n_blocks, -1)
    drawn = []
    for b in chunk_sizes(n_boot, 4 * n_blocks):
        picks = rng.integers(0, n_blocks, size=(b, n_blocks)) + n_blocks * np.arange(b)[:, None]
        times = np.bincount(picks.ravel(), minlength=b * n_blocks).reshape(b, n_blocks)
        drawn.append(times.astype(np.float64) @ flat)
    return blocks.sum(0)[None], np.concatenate(drawn).reshape(n_boot, *blocks.shape[1:])


def _canonical_order(
    member: Array, pairs: Ints, cluster: Ints | None, n_classes: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """An order of the rows that depends on their content alone, and each ordered row's unit, counted from 0."""
    fixed = np.random.default_rng(0)
    key = np.asarray(fixed.random(n_classes**2))[pairs]
    weights = np.asarray(fixed.random(member.shape[1]))
    for g in range(len(weights)):
        key = key + weights[g] * member[:, g]
    order = np.argsort(key, kind="stable")
    if cluster is None:
        return order, np.arange(len(order))
    # Summed in the order of content, so that the last bits do not depend on the rows' order either.
    totals = np.bincount(cluster[order], weights=key[order])
    order = np.lexsort((key, cluster, totals[cluster]))
    return order, np.cumsum(np.diff(cluster[order], prepend=cluster[order[:1]]) != 0)


def _block_margins(member: Array, label: Ints, predicted: Ints, block: Ints, n_blocks: int, k: int) -> Array:
    """``(n_blocks, G, 2 + 3K)`` margins of each block."""
    right = label == predicted

    def summed(classes: Ints, where: NDArray[np.bool_]) -> Array:
        code: NDArray[Any] = block[where] * k + classes[where]
        columns = [np.bincount(code, member[where, g], n_blocks * k) for g in range(member.shape[1])]
        stacked = np.stack(columns, axis=1).astype(np.float64)
        return np.asarray(stacked.reshape(n_blocks, k, -1).swapaxes(1, 2))

    return joined_margins(summed(label, right), summed(label, ~right), summed(predicted, ~right))
