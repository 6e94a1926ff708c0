"""``annotate``: a store's faces with the attributes that an annotator perceives in them, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.annotators.base import MERGES, Annotator, Perceived
from mien.annotators.holdout import Holdout, codes_of, holdout_of
from mien.annotators.mien import MienAnnotator
from mien.annotators.mixes import Mix, mix_of
from mien.audit.inferred import AnnotatorError
from mien.data.images import Store, StoreWriter
from mien.data.splits import split_units
from mien.demographics import PREFIX, Head
from mien.errors import ConfigError, DataError
from mien.inference import Progress
from mien.labels import NOT_EXPRESSIONS
from mien.records import Estimate
from mien.registry import nearest
from mien.samples import PERCEIVED, SampleTable
from mien.spellings import canonical
from mien.stats.intervals import clustered_share

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
YEARS = PREFIX + "age_years"


@dataclass(frozen=True)
class Threshold:
    """What a least confidence costs and buys.

    Attributes:
        attribute: The perceived attribute.
        least: Least confidence.
        kept: Share of the faces that are perceived with it.
        by_class: Annotated class -> share kept.
        by_group: Perceived group -> share kept.
        accuracy: Share of the held-out faces above it that are perceived as annotated, in the mix of groups
            that they have; None where nobody counted.
    """

    attribute: str
    least: float
    kept: Estimate
    by_class: dict[str, Estimate]
    by_group: dict[str, Estimate]
    accuracy: Estimate | None


@dataclass(frozen=True)
class Annotation:
    """What :func:`annotate` made.

    Attributes:
        store: The new store.
        attributes: The perceived attributes.
        n_undetected: Faces that the annotator could not find.
        thresholds: What least confidences would leave, and how right the rest would be.
        corrected: Whether the table carries the annotator's errors.
        uncorrectable: Perceived attribute -> why an audit cannot correct with its errors.
    """

    store: Store
    attributes: list[str]
    n_undetected: int
    thresholds: list[Threshold]
    corrected: bool
    uncorrectable: dict[str, str]


def annotate(
    store: Store,
    out: Path | str,
    annotator: Annotator,
    *,
    holdout: Holdout | None = None,
    least: Mapping[str, float] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Annotation:
    """Write a store with the same faces and an annotator's attributes.

    For each attribute: ``perceived_<attribute>``, its ``_confidence``, ``_source``, ``_annotator`` (name
    and version) and ``_prob_<group>``; and ``perceived_age_years`` where it tells an age. What stands
    under those names already is replaced, other perceived attributes stay. With a holdout, the
    annotator's errors go with the columns, and an audit corrects with them.

    Args:
        store: The faces.
        out: Folder of the new store.
        annotator: The annotator.
        holdout: Faces on which its errors are known.
        least: Attribute (without ``perceived_``) -> least confidence under which the group is left missing.
        force: Replace a store that is there.
        progress: Called with faces done and in all.

    Raises:
        ConfigError: If a threshold names no attribute of the annotator, or is no share.
        UsageError: If ``out`` exists.
    """
    bars = check_least(least or {}, annotator)
    with StoreWriter(Path(out), force) as writer:  # refuses the place before hours are spent
        said = _in_order(annotator.annotate(store.images, progress), store.table.frame["image"].to_numpy(np.int64))
        frame, attributes = _with_columns(store.table, annotator, said, bars)
        filled = {PREFIX + head.name for head in annotator.heads}
        errors = {k: v for k, v in store.table.annotator_errors.items() if not filled & set(k.split("*"))}
        counted = holdout.errors(bars, _mixes(holdout, said)) if holdout is not None else {}
        errors |= counted
        options = {"annotator": f"{annotator.name} {annotator.version}", "least_confidence": bars}
        undetected = 0 if said.undetected is None else int(said.undetected.sum())
        table = store.table.derive("annotate", frame, options, {"faces not found": undetected}, attributes)
        table = SampleTable(table.frame, table.name, table.vocabulary, table.attributes, table.history, errors)
        info = store.description
        info = info | {
            "attributes": list(attributes),
            "annotator": {
                "name": annotator.name,
                "version": annotator.version,
                "source": annotator.source,
                "terms": annotator.terms,
                "errors_counted_on": holdout.source if holdout else None,
            },
        }
        writer.copy(store)
        made = writer.commit(table, info)
    named = [PREFIX + head.name for head in annotator.heads]
    costs = thresholds(store.table, annotator.heads, said, holdout)
    return Annotation(made, named, undetected, costs, holdout is not None, uncorrectable(counted))


def uncorrectable(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Which errors an audit will refuse to correct with, by its own check: perceived attribute -> why.

    Args:
        errors: As :meth:`mien.annotators.holdout.Holdout.errors` gives them; crossed attributes are left out.
    """
    out = {}
    for name in (name for name in errors if "*" not in name):
        try:
            AnnotatorError.from_content({**errors[name], "source": name}, name)
        except DataError as error:
            out[name] = f"{error.where.removeprefix(name)} {error.found}".strip()
    return out


def measured(
    annotator: Annotator,
    store: Store,
    split: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Holdout:
    """Count an annotator's errors on a store whose attributes people have annotated.

    Args:
        annotator: The annotator; faces that one of Mien's learnt from, or may have, are left out. Nobody
            can tell for the others: they must not have been trained on these faces.
        store: The store; only its annotated attributes serve.
        split: A split of it; all faces by default.
        progress: Called with faces done and in all.
        say: Receives a line on faces that are left out.

    Raises:
        DataError: If the split is not there, no attribute is both annotated and perceived, or the
            annotator learnt from all faces.
    """
    table = _unlearnt(annotator, store.table, split, say)
    rows = table.frame["image"].to_numpy(np.int64)
    truth = {}
    for name in table.attributes:
        if not table.is_perceived(name):
            truth[name] = table.frame[name].astype(object).to_numpy()
    said = annotator.annotate(store.images[rows], progress)
    source = f"{len(table):,} faces of {table.name}" + (f", split {split}" if split else "")
    return holdout_of(truth, said, annotator.heads, split_units(table), source)


def _unlearnt(annotator: Annotator, whole: SampleTable, split: str | None, say: Callable[[str], None]) -> SampleTable:
    """The faces of a split without those that the annotator learnt from, where that can be known."""
    table = whole.in_split(split) if split else whole
    if not isinstance(annotator, MienAnnotator):
        return table
    fresh = whole.frame.loc[annotator.unlearnt(whole), "sample_id"]
    keep = table.frame["sample_id"].isin(set(fresh)).to_numpy(dtype=bool)
    left = int((~keep).sum())
    if not left:
        return table
    if not keep.any():
        raise DataError(
            f"hold-out {table.name!r}" + (f", split {split!r}" if split else ""),
            f"no face of {len(table):,} is known to be new to the annotator",
            "faces that it did not learn from",
            "Without --holdout its errors come from the faces that were held out from it.",
        )
    corpus = annotator.classifier.card.data.get("corpus")
    say(
        f"{left:,} of {len(table):,} hold-out faces are left out: the annotator learnt from {corpus}, "
        "and only the faces held out from it are known to be new to it"
    )
    return table.where(keep, "new to the annotator")


def _mixes(holdout: Holdout, said: Perceived) -> dict[str, Mix]:
    """Shares among these faces of the groups that others are merged from."""
    return {
        merge.of.name: mix_of(
            np.bincount(codes[codes >= 0], minlength=len(merge.of.groups)), holdout.counts(merge.of.name)
        )
        for merge in MERGES
        if merge.of in holdout.heads
        for codes in [codes_of(said.probs[merge.of.name])]
    }


def _in_order(said: Perceived, rows: NDArray[np.int64]) -> Perceived:
    """What was said of the pictures, in the order of the table's rows."""
    return Perceived(
        {name: probs[rows] for name, probs in said.probs.items()},
        None if said.years is None else said.years[rows],
        None if said.undetected is None else said.undetected[rows],
    )


def check_least(least: Mapping[str, float], annotator: Annotator) -> dict[str, float]:
    """Least confidences by the annotator's own names.

    Raises:
        ConfigError: If one names no attribute of the annotator, or is no share.
    """
    names = [h.name for h in annotator.heads]
    bars = {}
    for key, bar in least.items():
        name = key.removeprefix(PREFIX)
        if name not in names:
            raise ConfigError(f"least confidence of {key!r}", "the annotator has no such one", "", nearest(name, names))
        if not 0 <= bar <= 1:
            raise ConfigError(f"least confidence of {key!r}", str(bar), "a share from 0 to 1")
        bars[name] = float(bar)
    return bars


def _with_columns(
    table: SampleTable, annotator: Annotator, said: Perceived, bars: Mapping[str, float]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    stale = [a for a in table.attributes if a in {YEARS, *(PREFIX + head.name for head in annotator.heads)}]
    own = [c for a in stale for c in table.columns_of(a)]
    columns: dict[str, Any] = {}
    names = []
    for head in annotator.heads:
        probs, name = said.probs[head.name], PREFIX + head.name
        codes = codes_of(probs, bars.get(head.name, 0.0))
        columns[name] = pd.Categorical.from_codes(codes, pd.Index(head.groups))
        columns[f"{name}_confidence"] = probs.max(1)
        columns[f"{name}_source"] = PERCEIVED
        columns[f"{name}_annotator"] = f"{annotator.name} {annotator.version}"
        columns |= {f"{name}_prob_{group}": probs[:, k] for k, group in enumerate(head.groups)}
        names.append(name)
    if said.years is not None:
        columns[YEARS] = said.years
        columns[f"{YEARS}_source"] = PERCEIVED
        names.append(YEARS)
    kept = table.frame.drop(columns=own)
    frame = pd.concat([kept, pd.DataFrame(columns, index=kept.index)], axis=1)
    return frame, (*(a for a in table.attributes if a not in stale), *names)


def thresholds(
    table: SampleTable, heads: tuple[Head, ...], said: Perceived, holdout: Holdout | None
) -> list[Threshold]:
    """What each of the usual least confidences leaves of these faces, by class and by group."""
    classes, units = _majority(table), split_units(table)
    out = []
    for head in heads:
        probs = said.probs[head.name]
        codes, sure = codes_of(probs), np.nan_to_num(probs, nan=0.0).max(1)
        for bar in THRESHOLDS:
            kept = (codes >= 0) & (sure >= bar)
            out.append(
                Threshold(
                    PREFIX + head.name,
                    bar,
                    clustered_share(kept, units),
                    {
                        c: clustered_share(kept[classes == i], units[classes == i])
                        for i, c in enumerate(table.vocabulary)
                        if (classes == i).any() and canonical(c) not in NOT_EXPRESSIONS
                    },
                    {
                        g: clustered_share(kept[codes == k], units[codes == k])
                        for k, g in enumerate(head.groups)
                        if (codes == k).any()
                    },
                    _right(holdout, head.name, bar),
                )
            )
    return out


def _right(holdout: Holdout | None, name: str, bar: float) -> Estimate | None:
    if holdout is None or name not in holdout.truth:
        return None
    return holdout.accuracy(name, bar)


def _majority(table: SampleTable) -> NDArray[np.int64]:
    """``(n,)`` the class with most votes; -1 without votes."""
    if not table.vocabulary:
        return np.full(len(table), -1)
    votes = table.votes
    return np.where(votes.sum(1) > 0, votes.argmax(1), -1)
