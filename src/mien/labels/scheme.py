"""What a label scheme is: from votes to training targets, for any vocabulary of expressions.

A scheme turns an ``(n, V)`` array of votes into ``(n, K)`` float targets, so that every loss has
one signature. The votes' columns follow a *vocabulary*; a scheme finds its columns by name, and
the usual spellings of one expression (``angry`` and ``anger``) count as the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import LabelError
from mien.labels.cleaning import Clean, cleaned_away
from mien.labels.ties import drawn_order
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

Votes = NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """What a scheme makes of ``n`` rows of votes.

    Attributes:
        probs: ``(n, K)`` float32; each kept row sums to 1, each dropped row is all zero.
        keep: ``(n,)`` bool; False where the scheme has no label for the row.
        dropped: Reason -> number of rows dropped for it.
        n_modes: ``(n,)`` how many expressions share the most votes: 2 or more where a label was drawn or
            could have been another; 0 without votes.
    """

    probs: NDArray[np.float32]
    keep: NDArray[np.bool_]
    dropped: dict[str, int]
    n_modes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def counts(self) -> NDArray[np.int64]:
        """Kept rows whose largest target is class k: ``(K,)``."""
        k = self.probs.shape[1]
        return np.bincount(self.probs[self.keep].argmax(1), minlength=k).astype(np.int64)


# A rule sees one row of votes (ordered as the scheme asks) and returns targets or a reason to drop it. Of a
# scheme with a seed it also sees the place that each entry drew among those with as many votes, (S,) from 0.
Rule = Callable[..., "Votes | str"]
# From the (m, S) votes of the training faces to the rule, and to what was learnt: of each source, a number.
Fit = Callable[[Votes], "tuple[Rule, dict[str, float]]"]


@dataclass(frozen=True)
class LabelScheme:
    """Classes, the vote columns they are made from, and the rule between the two.

    Attributes:
        name: Its name in a configuration.
        classes: The K classes, in order of the targets' columns.
        sources: Vote columns that the rule reads, in its order; missing ``optional`` ones count 0.
        rule: Row of votes -> K targets that sum to 1, or the reason why the row has no label.
        optional: Sources that a vocabulary may lack.
        made_of: Of each source, the vote columns that it sums; empty where each is the column of its name.
        voted: Of each class, the vote columns that are votes for it; None where those of its name are, empty
            where a rule derives the classes.
        clean: Which faces are left out for their votes for ``unknown`` and ``nf``, before the rule is asked.
        seed: Where the rule breaks ties by lot, the seed of the lot; None where it does not.
        fit: Where the rule is learnt from the votes of the training faces, what learns it; such a scheme
            encodes nothing before :meth:`fitted`.
        learnt: Of a fitted scheme, what it learnt: source -> number. For a record; nothing is reckoned with it.
    """

    name: str
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    rule: Rule
    optional: tuple[str, ...] = NOT_EXPRESSIONS
    _: KW_ONLY
    made_of: tuple[tuple[str, ...], ...] = ()
    voted: tuple[tuple[str, ...], ...] | None = None
    clean: Clean = "none"
    seed: int | None = None
    fit: Fit | None = None
    learnt: dict[str, float] = field(default_factory=dict)

    def select(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> Votes:
        """Bring the columns of ``votes`` into the order of :attr:`sources`.

        Raises:
            LabelError: If a column that the scheme needs is not in the vocabulary, or two name one expression.
        """
        return self._sums(votes, vocabulary, self.made_of or tuple((s,) for s in self.sources))

    def _sums(self, votes: NDArray[np.generic], vocabulary: Sequence[str], columns: Sequence[Sequence[str]]) -> Votes:
        """``(n, len(columns))``: each the sum of some vote columns."""
        known = {canonical(name): i for i, name in enumerate(vocabulary)}
        if len(known) < len(vocabulary):
            raise LabelError("votes", f"columns {', '.join(vocabulary)}", "each expression once, under any spelling")
        if votes.ndim != 2 or votes.shape[1] != len(vocabulary):
            raise LabelError("votes", f"an array of shape {votes.shape}", f"(n, {len(vocabulary)}), one column a word")
        counts, out = votes.astype(np.float64), np.zeros((len(votes), len(columns)))
        for j, column in ((j, column) for j, summed in enumerate(columns) for column in summed):
            i = known.get(canonical(column))
            if i is not None:
                out[:, j] += counts[:, i]
            elif column not in self.optional:
                raise LabelError(
                    f"label scheme {self.name!r}",
                    f"the votes have no column {column!r} (they have {', '.join(vocabulary)})",
                    f"the columns {', '.join(self.sources)}",
                    "Choose a scheme for these votes ('majority' and 'distribution' fit any).",
                )
        return out

    def fitted(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> LabelScheme:
        """The scheme with what it learns from the votes of the training faces; itself where it learns nothing.

        Args:
            votes: ``(m, V)`` votes of training faces and no others: what is fitted to faces that judge
                would know their labels.
            vocabulary: The V names of the columns.

        Raises:
            LabelError: If no face is left to learn from, or the votes do not tell what is to be learnt.
        """
        if self.fit is None:
            return self
        ordered, reasons = self._ordered(votes, vocabulary)
        rule, learnt = self.fit(ordered[reasons == ""])
        return replace(self, rule=rule, fit=None, learnt=learnt)

    def _ordered(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> tuple[Votes, NDArray[np.object_]]:
        """Votes of the sources, and why a face was cleaned away, each checked to be a count."""
        votes = np.asarray(votes)
        ordered = self.select(votes, vocabulary)
        bad = ~np.isfinite(ordered).all(1) | (ordered < 0).any(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise LabelError(f"votes row {row}", f"{ordered[row].tolist()}", "finite counts of 0 or more")
        unknown, nf = self._sums(votes, vocabulary, [(word,) for word in NOT_EXPRESSIONS]).T
        return ordered, cleaned_away(unknown, nf, self.clean)

    def targets(
        self,
        votes: NDArray[np.generic],
        vocabulary: Sequence[str],
        faces: Sequence[object] | NDArray[np.generic] | None = None,
    ) -> Targets:
        """Encode votes.

        Args:
            votes: ``(n, V)`` vote counts, no negatives.
            vocabulary: The V names of the columns.
            faces: ``(n,)`` what tells each face (``SampleTable.faces``), for schemes that break ties by
                lot: a face draws alike in every table of the same words in the same order, and in every part of one,
                and so do copies of a picture. The row numbers if absent: then a part of a table draws otherwise than
                the whole.

        Returns:
            Targets of ``n`` rows.

        Raises:
            LabelError: On a missing column, a negative or non-finite vote, or a scheme that is yet to be fitted.
        """
        if self.fit is not None:
            fix = "Train on it (labels.train) and name another for labels.evaluate, or tell it what it would learn."
            raise LabelError(f"label scheme {self.name!r}", "learns from training votes", "a scheme that judges", fix)
        ordered, cleaned = self._ordered(votes, vocabulary)
        seen = [ordered, np.unique(cleaned, return_inverse=True)[1].reshape(-1, 1)]
        if self.seed is not None:
            seen.append(drawn_order(ordered, np.arange(len(ordered)) if faces is None else faces, self.seed))
        # Few rows of votes differ, and a rule is asked once for each.
        _, first, inverse, counts = np.unique(
            np.concatenate(seen, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        probs = np.zeros((len(first), len(self.classes)), dtype=np.float32)
        keep = np.ones(len(first), dtype=bool)
        dropped: Counter[str] = Counter()
        for i, row in enumerate(first):
            result = cleaned[row] or self.rule(ordered[row], *(part[row] for part in seen[2:]))
            if isinstance(result, str):
                dropped[result] += int(counts[i])
                keep[i] = False
            else:
                probs[i] = result
        inverse = inverse.reshape(-1)
        return Targets(probs[inverse], keep[inverse], dict(dropped), self._modes(ordered))

    def _modes(self, ordered: Votes) -> NDArray[np.int64]:
        """How many of the sources that are expressions share the most votes: ``(n,)``."""
        votes = ordered[:, [canonical(s) not in NOT_EXPRESSIONS for s in self.sources]]
        return np.asarray(((votes == votes.max(1, initial=0)[:, None]) & (votes > 0)).sum(1), dtype=np.int64)

    def class_votes(self, votes: NDArray[np.generic], vocabulary: Sequence[str]) -> Votes | None:
        """The votes for the scheme's own classes, ``(n, K)``; None where classes are derived by a rule."""
        if self.voted is not None:
            return self._sums(np.asarray(votes), vocabulary, self.voted) if self.voted else None
        names = [canonical(s) for s in self.sources]
        if any(canonical(c) not in names for c in self.classes):
            return None
        ordered = self.select(np.asarray(votes), vocabulary)
        return ordered[:, [names.index(canonical(c)) for c in self.classes]]
