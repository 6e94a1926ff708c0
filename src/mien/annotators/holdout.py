"""What an annotator says of faces whose groups people have annotated: where all its errors are counted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.annotators.base import MERGES, Perceived
from mien.demographics import Head, Merge
from mien.errors import DataError

PREFIX = "perceived_"
_COARSE = 4  # attributes of at most so many groups are counted within each other, and crossed


@dataclass(frozen=True)
class Holdout:
    """Annotated and perceived groups of the same n faces, none of which the annotator was trained on.

    Attributes:
        heads: The attributes that are both annotated and perceived.
        truth: Attribute -> ``(n,)`` annotated group, -1 where unknown.
        probs: Attribute -> ``(n, G)`` the annotator's probabilities; rows of NaN where it found no face.
        cluster: ``(n,)`` independent units.
        source: Which faces these are, for messages and reports.
    """

    heads: tuple[Head, ...]
    truth: dict[str, NDArray[np.int64]]
    probs: dict[str, NDArray[np.float32]]
    cluster: NDArray[np.int64]
    source: str

    def __len__(self) -> int:
        return len(self.cluster)

    def perceived(self, name: str, least: float = 0.0) -> NDArray[np.int64]:
        """``(n,)`` perceived group; -1 where no face was found or the confidence is under ``least``."""
        return codes_of(self.probs[name], least)

    def counts(self, name: str, least: float = 0.0, where: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """``(G, G)`` faces by annotated (rows) and perceived group (columns).

        Args:
            name: The attribute.
            least: Only faces perceived with at least this confidence.
            where: ``(n,)`` only these faces.
        """
        size = self.probs[name].shape[1]
        return _counts(self.truth[name], self.perceived(name, least), size, where)

    def errors(
        self, least: Mapping[str, float] | None = None, mixes: Mapping[str, NDArray[np.floating]] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Perceived attribute -> its errors as plain content, as :class:`mien.samples.SampleTable` keeps them.

        Coarse attributes (up to four groups) are also counted ``within`` each group of the other
        coarse ones, and crossed with them: ``perceived_gender*perceived_age_group``.

        Args:
            least: Attribute -> least confidence, where a threshold leaves faces out.
            mixes: Fine attribute -> ``(G,)`` shares of its groups among the faces to be corrected. How a
                merged group is mistaken depends on which of its parts are there: White faces of
                ``race4`` that include many Middle Eastern ones are perceived otherwise than those
                that include none. Merged attributes then get ``rates`` for these proportions, with
                the number ``n`` of faces that would give them as precisely, in place of counts.
        """
        asked = dict(least or {})
        coarse = [h for h in self.heads if len(h.groups) <= _COARSE]
        out: dict[str, dict[str, Any]] = {}
        for head in self.heads:
            bar = asked.get(head.name, 0.0)
            within = {
                PREFIX + other.name: {
                    group: self.counts(head.name, bar, self.truth[other.name] == g).tolist()
                    for g, group in enumerate(other.groups)
                }
                for other in coarse
                if other.name != head.name
            }
            counts = self.counts(head.name, bar)
            if counts.sum():
                source = self._source(bar)
                merge = next((m for m in MERGES if m.head == head and m.of.name in (mixes or {})), None)
                known: dict[str, Any] = {"counts": counts.tolist(), "source": source}
                if merge is not None and mixes is not None and merge.of.name in self.truth:
                    known = self._remixed(merge, np.asarray(mixes[merge.of.name], dtype=np.float64), bar)
                out[PREFIX + head.name] = {"groups": list(head.groups), **known, "within": within}
        for a, b in permutations(coarse, 2):
            crossed = self._crossed(a, b, asked)
            if crossed["counts"] and np.sum(crossed["counts"]):
                out[f"{PREFIX}{a.name}*{PREFIX}{b.name}"] = crossed
        return out

    def _remixed(self, merge: Merge, mix: NDArray[np.float64], least: float) -> dict[str, Any]:
        """Rates of a merged attribute for faces whose finer groups have these shares."""
        fine, size = self.truth[merge.of.name], len(merge.head.groups)
        said = self.perceived(merge.head.name, least)
        mask = (fine >= 0) & (said >= 0)
        counts = np.bincount(fine[mask] * size + said[mask], minlength=len(merge.of.groups) * size)
        counts = counts.reshape(-1, size).astype(np.float64)
        n = counts.sum(1)
        to = np.array([merge.head.groups.index(merge.to[g]) for g in merge.of.groups])
        rates, faces = np.zeros((size, size)), np.zeros(size)
        for g in range(size):
            parts = np.flatnonzero((to == g) & (n > 0))
            weights = mix[parts] if mix[parts].sum() > 0 else n[parts]
            weights = weights / weights.sum()
            rates[g] = weights @ (counts[parts] / n[parts, None])
            faces[g] = 1 / (weights**2 / n[parts]).sum()
        source = f"{self._source(least)}, {merge.of.name} mixed as here"
        return {"rates": rates.tolist(), "n": faces.tolist(), "source": source}

    def _crossed(self, a: Head, b: Head, least: Mapping[str, float]) -> dict[str, Any]:
        def joined(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.where((first < 0) | (second < 0), -1, first * len(b.groups) + second)

        truth = joined(self.truth[a.name], self.truth[b.name])
        bars = least.get(a.name, 0.0), least.get(b.name, 0.0)
        said = joined(self.perceived(a.name, bars[0]), self.perceived(b.name, bars[1]))
        groups = [f"{g}*{h}" for g in a.groups for h in b.groups]
        return {
            "groups": groups,
            "counts": _counts(truth, said, len(groups), None).tolist(),
            "source": self._source(max(bars)),
        }

    def _source(self, least: float) -> str:
        return self.source + (f", confidence of at least {least:g}" if least else "")


def group_mix(probs: NDArray[np.floating], prior: NDArray[np.floating], steps: int = 1000) -> NDArray[np.float64]:
    """Shares of the true groups among faces with these probabilities, by the EM of Saerens et al. (2002).

    Probabilities calibrated where the groups have shares ``prior`` are re-weighted until their mean is
    the prior that they were re-weighted with.

    Args:
        probs: ``(n, G)``; rows of NaN take no part.
        prior: ``(G,)`` shares where the probabilities were calibrated.
        steps: Most steps.

    Returns:
        ``(G,)``; the prior itself where no face is left.
    """
    known = probs[~np.isnan(probs).any(1)].astype(np.float64)
    if not len(known):
        return np.asarray(prior, dtype=np.float64)
    floor = np.maximum(prior, 1e-6)
    mix = np.asarray(floor, dtype=np.float64)
    for _ in range(steps):
        weighted = known * (mix / floor)
        better = (weighted / weighted.sum(1, keepdims=True)).mean(0)
        moved = float(np.abs(better - mix).max())
        mix = better
        if moved < 1e-6:
            break
    return mix


def codes_of(probs: NDArray[np.float32], least: float = 0.0) -> NDArray[np.int64]:
    """``(n,)`` most probable group; -1 for rows of NaN, and where its probability is under ``least``."""
    best = np.nan_to_num(probs, nan=-1.0)
    codes = best.argmax(1)
    sure = best[np.arange(len(best)), codes]
    return np.where((sure >= 0) & (sure >= least), codes, -1).astype(np.int64)


def holdout_of(
    truth: Mapping[str, NDArray[Any]], perceived: Perceived, heads: tuple[Head, ...], cluster: Any, source: str
) -> Holdout:
    """Set annotated groups beside perceived ones; coarser attributes are made on both sides.

    Args:
        truth: Attribute -> ``(n,)`` annotated groups as text, missing where unknown.
        perceived: What the annotator says of these faces.
        heads: What it perceives.
        cluster: ``(n,)`` independent units.
        source: Which faces these are.

    Raises:
        DataError: If no attribute is both annotated and perceived, or a group is not the annotator's.
    """
    codes: dict[str, NDArray[np.int64]] = {}
    for head in heads:
        if head.name in truth:
            codes[head.name] = _codes(truth[head.name], head, source)
    for merge in MERGES:
        wanted = next((h for h in heads if h.name == merge.head.name), None)
        if wanted is not None and wanted.name not in codes and merge.of.name in truth:
            fine = _codes(truth[merge.of.name], merge.of, source)
            to = np.array([merge.head.groups.index(merge.to[g]) for g in merge.of.groups] + [-1])
            codes[wanted.name] = to[fine].astype(np.int64)
    if not codes:
        raise DataError(
            source,
            f"annotates {', '.join(truth) or 'no attribute'}",
            f"one of {', '.join(h.name for h in heads)}, which the annotator perceives",
        )
    known = tuple(h for h in heads if h.name in codes)
    return Holdout(known, codes, {h.name: perceived.probs[h.name] for h in known}, np.asarray(cluster), source)


def _codes(values: NDArray[Any], head: Head, source: str) -> NDArray[np.int64]:
    index = {group: i for i, group in enumerate(head.groups)}
    out = np.full(len(values), -1, dtype=np.int64)
    for i, value in enumerate(values):
        if value is None or value != value or value == "":
            continue
        if value not in index:
            raise DataError(source, f"{head.name} {str(value)!r}", ", ".join(head.groups), "Rename the groups.")
        out[i] = index[value]
    return out


def _counts(
    truth: NDArray[np.int64], said: NDArray[np.int64], size: int, where: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    mask = (truth >= 0) & (said >= 0)
    if where is not None:
        mask &= where
    return np.bincount(truth[mask] * size + said[mask], minlength=size * size).reshape(size, size)
