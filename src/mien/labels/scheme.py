"""What a label scheme is: from votes to training targets, for any vocabulary of expressions.

A scheme turns an ``(n, V)`` array of votes into ``(n, K)`` float targets, so that every loss has
one signature. The votes' columns follow a *vocabulary*; a scheme finds its columns by name, and
the usual spellings of one expression (``angry`` and ``anger``) count as the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import LabelError
from mien.spellings import canonical

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FERPLUS_VOCABULARY = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "nf",
)
FERPLUS_CLASSES = FERPLUS_VOCABULARY[:8]
EDUCATION_CLASSES = ("angry", "neutral", "focused", "bored")
NOT_EXPRESSIONS = ("unknown", "nf")


@dataclass(frozen=True)
class Targets:
    """What a scheme makes of ``n`` rows of votes.

    Attributes:
        probs: ``(n, K)`` float32; each kept row sums to 1, each dropped row is all zero.
        keep: ``(n,)`` bool; False where the scheme has no label for the row.
        dropped: Reason -> number of rows dropped for it.
    """

    probs: NDArray[np.float32]
    keep: NDArray[np.bool_]
    dropped: dict[str, int]

    def counts(self) -> NDArray[np.int64]:
        """Kept rows whose largest target is class k: ``(K,)``."""
        k = self.probs.shape[1]
        return np.bincount(self.probs[self.keep].argmax(1), minlength=k).astype(np.int64)


# A rule sees one row of votes (ordered as the scheme asks) and returns targets or a reason to drop it.
Rule = Callable[[NDArray[np.float64]], "NDArray[np.float64] | str"]


@dataclass(frozen=True)
class LabelScheme:
    """Classes, the vote columns they are made from, and the rule between the two.

    Attributes:
        name: Its name in a configuration.
        classes: The K classes, in order of the targets' columns.
        sources: Vote columns that the rule reads, in its order; missing ``optional`` ones count 0.
        rule: Row of votes -> K targets that sum to 1, or the reason why the row has no label.
        optional: Sources that a vocabulary may lack.
    """

    name: str
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    rule: Rule
    optional: tuple[str, ...] = NOT_EXPRESSIONS

    def select(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> NDArray[np.float64]:
        """Bring the columns of ``votes`` into the order of :attr:`sources`.

        Raises:
            LabelError: If a column that the scheme needs is not in the vocabulary, or two name one expression.
        """
        known = {canonical(name): i for i, name in enumerate(vocabulary)}
        if len(known) < len(vocabulary):
            raise LabelError("votes", f"columns {', '.join(vocabulary)}", "each expression once, under any spelling")
        if votes.ndim != 2 or votes.shape[1] != len(vocabulary):
            raise LabelError("votes", f"an array of shape {votes.shape}", f"(n, {len(vocabulary)}), one column a word")
        out = np.zeros((len(votes), len(self.sources)))
        for j, source in enumerate(self.sources):
            i = known.get(canonical(source))
            if i is not None:
                out[:, j] = votes[:, i]
            elif source not in self.optional:
                raise LabelError(
                    f"label scheme {self.name!r}",
                    f"the votes have no column {source!r} (they have {', '.join(vocabulary)})",
                    f"the columns {', '.join(self.sources)}",
                    "Choose a scheme for these votes ('majority' and 'distribution' fit any).",
                )
        return out

    def targets(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> Targets:
        """Encode votes.

        Args:
            votes: ``(n, V)`` vote counts, no negatives.
            vocabulary: The V names of the columns.

        Returns:
            Targets of ``n`` rows.

        Raises:
            LabelError: On a missing column, or a negative or non-finite vote.
        """
        ordered = self.select(np.asarray(votes), vocabulary)
        bad = ~np.isfinite(ordered).all(1) | (ordered < 0).any(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise LabelError(f"votes row {row}", f"{ordered[row].tolist()}", "finite counts of 0 or more")
        unique, inverse = np.unique(ordered, axis=0, return_inverse=True)
        probs = np.zeros((len(unique), len(self.classes)), dtype=np.float32)
        reasons = [""] * len(unique)
        for i, row_votes in enumerate(unique):
            result = self.rule(row_votes)
            if isinstance(result, str):
                reasons[i] = result
            else:
                probs[i] = result
        inverse = inverse.reshape(-1)
        keep_unique = np.array([not r for r in reasons], dtype=bool)
        counts = np.bincount(inverse, minlength=len(unique))
        dropped: Counter[str] = Counter()
        for reason, count in zip(reasons, counts, strict=True):
            if reason:
                dropped[reason] += int(count)
        return Targets(probs[inverse], keep_unique[inverse], dict(dropped))

    def class_votes(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> NDArray[np.float64] | None:
        """The votes for the scheme's own classes, ``(n, K)``; None where classes are derived by a rule."""
        names = [canonical(s) for s in self.sources]
        if any(canonical(c) not in names for c in self.classes):
            return None
        ordered = self.select(np.asarray(votes), vocabulary)
        return ordered[:, [names.index(canonical(c)) for c in self.classes]]
