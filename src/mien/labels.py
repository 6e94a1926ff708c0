"""Label schemes: from votes to training targets, for any vocabulary of expressions.

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
from mien.registry import nearest
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


# --- FER+ (Barsoum et al. 2016, the processing of the authors' released code) -------------------


def _ferplus_finish(kept: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Drop rows whose top entry is unknown or not-a-face, cut both columns, renormalise."""
    if kept.argmax() >= len(FERPLUS_CLASSES):
        return "unknown or not a face"
    expressions = kept[: len(FERPLUS_CLASSES)]
    return np.asarray(expressions / expressions.sum())


def ferplus_majority_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Single votes are outliers; the largest remaining entry counts if it holds over half the votes."""
    votes = np.where(votes <= 1, 0.0, votes)
    if votes.max() <= 0.5 * votes.sum():
        return "no majority"
    kept = np.zeros_like(votes)
    kept[votes.argmax()] = votes.max()
    return _ferplus_finish(kept)


def ferplus_distribution_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Take entries from the largest down, ties together, until 75 % of the votes or three labels.

    Reaching unknown or not-a-face stops: it is kept out unless it came first. Rows with half the
    votes or fewer, or with more than three labels, are dropped. The mode that FER+ calls
    ``probability`` and ``crossentropy``.
    """
    votes = np.where(votes <= 1, 0.0, votes)
    total = votes.sum()
    kept = np.zeros_like(votes)
    remaining, seen, n_labels, valid = votes.copy(), 0.0, 0, True
    while seen < 0.75 * total and n_labels < 3 and valid:
        top = remaining.max()
        for i in np.flatnonzero(remaining == top):
            kept[i] = top
            remaining[i] = 0.0
            seen += top
            n_labels += 1
            if i >= len(FERPLUS_CLASSES):
                valid = False
                if kept.sum() > top:
                    kept[i] = 0.0
                    n_labels -= 1
                break
    if kept.sum() <= 0.5 * total or n_labels > 3:
        return "too little agreement"
    return _ferplus_finish(kept)


def ferplus_multi_target_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Keep entries with at least 30 % of the votes; drop rows where they hold half or less together."""
    votes = np.where(votes <= 1, 0.0, votes)
    total = votes.sum()
    kept = np.where(votes >= 0.3 * total, votes, 0.0)
    if kept.sum() <= 0.5 * total:
        return "too little agreement"
    return _ferplus_finish(kept)


# --- Education labels (Samii et al. 2023) -------------------------------------------------------

_NEUTRAL, _HAPPY, _SAD, _ANGER, _FEAR = 0, 1, 3, 4, 6


def _education_rule(reading: str) -> Rule:
    """The four education labels in one of three readings of the source.

    All readings drop faces with any not-a-face vote, then those with five or more unknown votes,
    and compare seven expressions (contempt never enters). First match wins: angry, focused,
    neutral, bored. They differ in the rule for *angry*: ``code`` (the source's published counts)
    takes dominance **or** more than two votes, ``table`` dominance and more than two votes,
    ``text`` dominance and at least two.
    """

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
        if votes[9] > 0:
            return "not a face"
        if votes[8] >= 5:
            return "five or more unknown votes"
        v = votes[:7]

        def dominant(k: int) -> bool:
            return bool((v[k] > np.delete(v, k)).all())

        anger_dominant = dominant(_ANGER)
        angry = {
            "code": anger_dominant or v[_ANGER] > 2,
            "table": anger_dominant and v[_ANGER] > 2,
            "text": anger_dominant and v[_ANGER] >= 2,
        }[reading]
        neutral_dominant = dominant(_NEUTRAL)
        if angry:
            label = 0
        elif neutral_dominant and v[_SAD] == 0 and v[_ANGER] == 0:
            label = 2
        elif neutral_dominant and v[_NEUTRAL] > 6:
            label = 1
        elif v[_SAD] and v[_NEUTRAL] and not v[_HAPPY] and not v[_FEAR] and v[_ANGER] + 2 < v[_SAD]:
            label = 3
        else:
            return "no education rule matches"
        return np.asarray(np.eye(4)[label])

    return rule


# --- Schemes for any vocabulary ------------------------------------------------------------------


def majority_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """The class with most votes; a tie has no label."""
    top = votes == votes.max()
    if votes.sum() == 0:
        return "no votes"
    if top.sum() > 1:
        return "tied votes"
    return np.asarray(top, dtype=np.float64)


def distribution_rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
    """Votes divided by their sum."""
    if votes.sum() == 0:
        return "no votes"
    return np.asarray(votes / votes.sum())


_FIXED = {
    s.name: s
    for s in (
        LabelScheme("fer2013", FER2013_CLASSES, FER2013_CLASSES, majority_rule),
        LabelScheme("ferplus_majority", FERPLUS_CLASSES, FERPLUS_VOCABULARY, ferplus_majority_rule),
        LabelScheme("ferplus_distribution", FERPLUS_CLASSES, FERPLUS_VOCABULARY, ferplus_distribution_rule),
        LabelScheme("ferplus_multi_target", FERPLUS_CLASSES, FERPLUS_VOCABULARY, ferplus_multi_target_rule),
        LabelScheme("edu_code", EDUCATION_CLASSES, FERPLUS_VOCABULARY, _education_rule("code")),
        LabelScheme("edu_table", EDUCATION_CLASSES, FERPLUS_VOCABULARY, _education_rule("table")),
        LabelScheme("edu_text", EDUCATION_CLASSES, FERPLUS_VOCABULARY, _education_rule("text")),
    )
}
_GENERIC: dict[str, Rule] = {"majority": majority_rule, "distribution": distribution_rule}


def scheme_names() -> list[str]:
    """Names that :func:`label_scheme` knows."""
    return sorted([*_FIXED, *_GENERIC])


def label_scheme(name: str, vocabulary: Sequence[str]) -> LabelScheme:
    """Return the scheme called ``name``.

    Args:
        name: One of :func:`scheme_names`.
        vocabulary: The corpus's vote columns; ``majority`` and ``distribution`` take their classes
            from it (without ``unknown`` and ``nf``).

    Raises:
        LabelError: If there is no such scheme.
    """
    if name in _GENERIC:
        classes = tuple(c for c in vocabulary if canonical(c) not in NOT_EXPRESSIONS)
        return LabelScheme(name, classes, classes, _GENERIC[name])
    if name not in _FIXED:
        raise LabelError("labels", f"unknown label scheme {name!r}", "", nearest(name, scheme_names()))
    return _FIXED[name]
