"""What an annotator says of faces whose groups people have annotated: where all its errors are counted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.annotators.base import MERGES, Perceived
from mien.annotators.mixes import Mix
from mien.demographics import PREFIX, Head
from mien.errors import DataError
from mien.records import Estimate
from mien.stats.intervals import clustered_share

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

    def accuracy(self, name: str, least: float = 0.0, where: NDArray[np.bool_] | None = None) -> Estimate:
        """Share of faces perceived as they are annotated; copies of a picture are one unit.

        Args:
            name: The attribute.
            least: Only faces perceived with at least this confidence.
            where: ``(n,)`` only these faces.
        """
        truth, said = self.truth[name], self.perceived(name, least)
        known = (truth >= 0) & (said >= 0) & (True if where is None else where)
        return clustered_share((said == truth)[known], self.cluster[known])

    def errors(
        self, least: Mapping[str, float] | None = None, mixes: Mapping[str, Mix] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Perceived attribute -> its errors as plain content, as :class:`mien.samples.SampleTable` keeps them.

        Coarse attributes (up to four groups) are also counted ``within`` each group of the other
        coarse ones, and crossed with them: ``perceived_gender*perceived_age_group``.

        Args:
            least: Attribute -> least confidence, where a threshold leaves faces out.
            mixes: Fine attribute -> its mix among the faces to be corrected. The held-out faces of merged
                attributes are then weighted to it, and ``rates`` stand in place of counts, with the
                number ``n`` of equally weighted faces that would leave them as uncertain as the held-out
                faces and the mix do.
        """
        bars, mixes = dict(least or {}), mixes or {}
        weights, notes = self._weights(mixes), self._notes(mixes)
        coarse = [h for h in self.heads if len(h.groups) <= _COARSE]
        out: dict[str, dict[str, Any]] = {}
        for head in self.heads:
            others = [h for h in coarse if h.name != head.name]
            found = self._table([head], bars, weights)
            if found is None:
                continue
            within = {
                PREFIX + other.name: {
                    group: entry
                    for g, group in enumerate(other.groups)
                    if (entry := self._table([head], bars, weights, other, g)) is not None
                }
                for other in others
            }
            out[PREFIX + head.name] = {
                "groups": list(head.groups),
                **found,
                "source": self._source(bars.get(head.name, 0.0)),
                **({"note": notes[head.name]} if head.name in notes else {}),
                "within": within,
            }
        for a, b in permutations(coarse, 2):
            found = self._table([a, b], bars, weights)
            if found is not None:
                least_bar = max(bars.get(a.name, 0.0), bars.get(b.name, 0.0))
                out[f"{PREFIX}{a.name}*{PREFIX}{b.name}"] = {
                    "groups": [f"{g}*{h}" for g in a.groups for h in b.groups],
                    **found,
                    "source": self._source(least_bar),
                }
                if said := " ".join(notes[h.name] for h in (a, b) if h.name in notes):
                    out[f"{PREFIX}{a.name}*{PREFIX}{b.name}"]["note"] = said
        return out

    def _weights(self, mixes: Mapping[str, Mix]) -> dict[str, NDArray[np.float64]]:
        """Merged attribute -> ``(1 + D, n)`` weights that give its parts the shares that they have elsewhere."""
        out = {}
        for merge in MERGES:
            fine = self.truth.get(merge.of.name)
            if merge.head not in self.heads or fine is None or merge.of.name not in mixes or merge.head.name in out:
                continue  # the finest comes first
            counts = np.bincount(fine[fine >= 0], minlength=len(merge.of.groups))
            ratio = mixes[merge.of.name].within(merge, counts / max(counts.sum(), 1))
            out[merge.head.name] = np.where(fine >= 0, ratio[:, fine], 0.0)
        return out

    def _notes(self, mixes: Mapping[str, Mix]) -> dict[str, str]:
        """Merged attribute -> what its groups hold, and in which mix their errors were taken."""
        out = {}
        for merge in MERGES:
            if merge.head not in self.heads or merge.of.name not in self.truth or merge.head.name in out:
                continue
            parts = {g: [f for f in merge.of.groups if merge.to[f] == g] for g in merge.head.groups}
            held = "; ".join(f"{g} holds {', '.join(p)}" for g, p in parts.items() if len(p) > 1)
            mix = mixes.get(merge.of.name)
            if mix is None:
                how = "in the mix of the held-out faces"
            elif mix.told:
                how = "in the mix that these faces seem to have, whose uncertainty is counted in"
            else:
                how = f"in any mix, which widens the intervals, for the mix of {merge.of.name} here cannot be told"
            out[merge.head.name] = f"{held}. Its errors are taken {how}."
        return out

    def _table(
        self,
        heads: list[Head],
        bars: Mapping[str, float],
        weights: Mapping[str, NDArray[np.float64]],
        within: Head | None = None,
        group: int = 0,
    ) -> dict[str, Any] | None:
        """Counts of an attribute, or of two crossed; or rates, where one of them is merged; None without faces."""
        truth, said, size = np.zeros(len(self), np.int64), np.zeros(len(self), np.int64), 1
        weight = np.ones((1, len(self)))
        mask = np.ones(len(self), dtype=bool) if within is None else self.truth[within.name] == group
        for head in heads:
            true, perceived = self.truth[head.name], self.perceived(head.name, bars.get(head.name, 0.0))
            mask &= (true >= 0) & (perceived >= 0)
            truth, said = truth * len(head.groups) + true, said * len(head.groups) + perceived
            size *= len(head.groups)
        weighted = [h.name for h in [*heads, *([within] if within else [])] if h.name in weights]
        for name in weighted:
            weight = weight * weights[name]  # as many draws of every mix
        cell, weight = truth[mask] * size + said[mask], weight[:, mask]

        def table(values: NDArray[np.float64]) -> NDArray[np.float64]:
            summed = np.bincount(cell, weights=values, minlength=size * size)
            return summed.reshape(size, size).astype(np.float64)

        if not len(cell):
            return None
        squares = table(weight[0] ** 2).sum(1)
        if not weighted or (squares == 0).any():
            return {"counts": table(np.ones(len(cell))).astype(int).tolist()}
        sums = np.stack([table(w) for w in weight])
        totals = sums.sum(2, keepdims=True)
        rates = np.divide(sums, totals, out=np.broadcast_to(sums[:1] / totals[:1], sums.shape).copy(), where=totals > 0)
        sampling = squares / totals[0, :, 0] ** 2
        return {"rates": rates[0].tolist(), "n": (1 / (sampling + _spread(rates))).tolist()}

    def _source(self, least: float) -> str:
        return ", ".join(filter(None, [self.source, f"confidence of at least {least:g}" if least else ""]))


def _spread(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the mix leaves open of each row of ``(1 + D, G, G)`` rates: one over the faces that would leave as much."""
    if len(rates) < 3:
        return np.zeros(rates.shape[1])
    alone = (rates[0] * (1 - rates[0])).sum(1)
    variance = ((rates[1:] - rates[0]) ** 2).mean(0).sum(1)
    return np.asarray(np.divide(variance, alone, out=np.zeros_like(alone), where=alone > 0))


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
