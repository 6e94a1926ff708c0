"""The votes of annotators on faces: what every measure of agreement reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mien.errors import DataError, UsageError
from mien.labels import NOT_EXPRESSIONS
from mien.samples import SampleTable
from mien.spellings import canonical

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MISSING, CLASS = "missing", "class"
MOST_VOTES = 100_000  # of one face; more are a slip, and every vote is counted by itself
_CLOSE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Who voted for what on which face. Make one with a ``from_`` method, which checks and sorts.

    An annotator judges a face once. Ten votes that one annotator spreads over the classes are one
    judgement, a distribution, and weigh as much as one vote of another.

    Attributes:
        vocabulary: The K words that could be voted for.
        faces: ``(n,)`` names of the faces, in ascending order where they were given.
        annotators: Names of the annotators, ascending; empty where they are not known.
        face: ``(m,)`` codes of faces, ascending.
        annotator: ``(m,)`` codes of annotators, or None where they are not known: then a face has one
            row with the counts of its votes, each vote taken for another annotator's.
        votes: ``(m, K)`` votes as given.
        cluster: ``(n,)`` codes of independent units, or None where each face is its own.
        seconds: ``(m,)`` seconds that a judgement took, NaN where unknown; or None.
    """

    vocabulary: tuple[str, ...]
    faces: NDArray[np.object_]
    annotators: tuple[str, ...]
    face: Ints
    annotator: Ints | None
    votes: Array
    cluster: Ints | None = None
    seconds: Array | None = None

    def __len__(self) -> int:
        return len(self.faces)

    @classmethod
    def from_rows(
        cls,
        face: ArrayLike,
        annotator: ArrayLike,
        votes: ArrayLike,
        vocabulary: Sequence[str],
        *,
        cluster: ArrayLike | None = None,
        seconds: ArrayLike | None = None,
        source: str = "votes",
    ) -> Votes:
        """From one row a judgement.

        Args:
            face: ``(m,)`` names of faces.
            annotator: ``(m,)`` names of annotators.
            votes: ``(m, K)`` votes, one or many a row.
            vocabulary: The K names of the columns.
            cluster: ``(m,)`` independent unit of each row's face (copies of a picture, faces of a person).
            seconds: ``(m,)`` seconds that a judgement took; missing where unknown.
            source: Name of the votes in messages.

        Raises:
            DataError: On a name that is missing, votes that are negative or none at all, an annotator
                twice on a face, a face in two units, or columns of other lengths.
        """
        table = _checked_votes(votes, vocabulary, source)
        empty = np.flatnonzero(table.sum(1) <= 0)
        if len(empty):
            raise DataError(f"{source} row {empty[0]}", "no vote", "a vote or more a row", "Leave such rows out.")
        who, annotators = _codes(annotator, len(table), f"{source} annotator")
        where, faces = _codes(face, len(table), f"{source} face")
        order = np.lexsort((who, where))
        twice = np.flatnonzero((np.diff(where[order]) == 0) & (np.diff(who[order]) == 0))
        if len(twice):
            i = order[twice[0] + 1]
            found = f"annotator {annotators[who[i]]!r} judged face {faces[where[i]]!r} twice"
            raise DataError(f"{source} row {i}", found, "one row a face and annotator", "Keep the last one.")
        unit = None if cluster is None else _units(cluster, where, faces, source)
        time = None if seconds is None else _column(seconds, len(table), f"{source} seconds")[order]
        names = tuple(str(a) for a in annotators)
        return cls(
            vocabulary=tuple(vocabulary),
            faces=faces,
            annotators=names,
            face=where[order],
            annotator=who[order],
            votes=table[order],
            cluster=unit,
            seconds=time,
        )

    @classmethod
    def from_choices(
        cls,
        face: ArrayLike,
        annotator: ArrayLike,
        choice: ArrayLike,
        vocabulary: Sequence[str],
        *,
        cluster: ArrayLike | None = None,
        seconds: ArrayLike | None = None,
        source: str = "votes",
    ) -> Votes:
        """From one chosen word a row; a missing choice is left out.

        Intensities are choices too: ``vocabulary=("0", "1", "2", "3", "4", "5")`` and numbers as choices.

        Raises:
            DataError: On a word that is not in the vocabulary, and as :meth:`from_rows` does.
        """
        words = {word: k for k, word in enumerate(vocabulary)}
        given = pd.Series(np.asarray(choice, dtype=object))
        known = given.notna().to_numpy()
        codes = np.array([words.get(word_of(v), -1) for v in given[known]], dtype=np.int64)
        if (codes < 0).any():
            row = int(np.flatnonzero(known)[codes < 0][0])
            raise DataError(f"{source} row {row}", f"choice {given[row]!r}", f"one of {', '.join(vocabulary)}")
        kept = [None if c is None else np.asarray(c)[known] for c in (face, annotator, cluster, seconds)]
        return cls.from_rows(
            kept[0],  # type: ignore[arg-type]
            kept[1],  # type: ignore[arg-type]
            np.eye(len(words))[codes],
            vocabulary,
            cluster=kept[2],
            seconds=kept[3],
            source=source,
        )

    @classmethod
    def from_counts(
        cls,
        counts: ArrayLike,
        vocabulary: Sequence[str],
        *,
        faces: ArrayLike | None = None,
        cluster: ArrayLike | None = None,
        source: str = "votes",
    ) -> Votes:
        """From the counts of a face's votes where nobody knows who cast them, such as FERPlus.

        Args:
            counts: ``(n, K)`` whole numbers; a face may have none.
            vocabulary: The K names of the columns.
            faces: ``(n,)`` names; row numbers by default.
            cluster: ``(n,)`` independent unit of each face.
            source: Name of the votes in messages.

        Raises:
            DataError: If counts are not whole, or a name is missing or occurs twice.
        """
        table = _checked_votes(counts, vocabulary, source)
        check_counts(table, lambda row: f"{source} row {row}")
        n = len(table)
        names = np.arange(n).astype(object) if faces is None else np.asarray(faces, dtype=object)
        codes, distinct = _codes(names, n, f"{source} face")
        if len(distinct) < n:
            raise DataError(f"{source} faces", f"{n - len(distinct)} names occur more than once", "each face once")
        unit = None if cluster is None else _units(cluster, codes, distinct, source)
        return cls(
            vocabulary=tuple(vocabulary),
            faces=distinct,
            annotators=(),
            face=np.arange(n),
            annotator=None,
            votes=table[np.argsort(codes)],
            cluster=unit,
        )

    @classmethod
    def from_table(cls, table: SampleTable, source: str = "votes", *, cluster: ArrayLike | None = None) -> Votes:
        """From a store's table, whose votes are counts; see :meth:`from_counts`.

        Args:
            table: The faces.
            source: Name of the votes in messages.
            cluster: ``(n,)`` independent unit of each face.

        Raises:
            UsageError: If it holds no votes, or people spread several votes each: taken for those of as many
                people, they would agree too well and too surely.
        """
        if not table.vocabulary:
            raise UsageError(source, "holds no votes", "a store of a corpus with expressions")
        each = table.votes_each
        if each > 1:
            raise UsageError(
                source,
                f"each person gave {each} votes a face, and the store does not say which are whose",
                "votes of one person each",
                "Ask the database that they come from, which knows: 'mien agreement DATABASE'.",
            )
        ids = table.frame["sample_id"].to_numpy(dtype=object)
        return cls.from_counts(table.votes, table.vocabulary, faces=ids, cluster=cluster, source=source)

    @property
    def whole(self) -> bool:
        """Whether each annotator chose one class a face: no votes are spread."""
        return self.annotator is None or bool(((self.votes > 0).sum(1) == 1).all())

    @property
    def shares(self) -> Array:
        """``(m, K)`` each judgement as shares that sum to 1.

        Raises:
            UsageError: If the annotators are not known.
        """
        self.named()
        return np.asarray(self.votes / self.votes.sum(1, keepdims=True))

    def named(self) -> Ints:
        """``(m,)`` codes of annotators.

        Raises:
            UsageError: If they are not known.
        """
        if self.annotator is None:
            raise UsageError("votes", "have no annotators", "named annotators", "Make them with Votes.from_rows.")
        return self.annotator

    @property
    def n_votes(self) -> Ints:
        """``(n,)`` judgements of each face."""
        if self.annotator is None:
            return np.asarray(np.rint(self.votes.sum(1)), dtype=np.int64)
        return np.bincount(self.face, minlength=len(self)).astype(np.int64)

    @property
    def totals(self) -> Array:
        """``(n, K)`` sums of a face's judgements, each of weight 1."""
        return self.votes if self.annotator is None else self.by_face(self.shares)

    def by_face(self, values: Array) -> Array:
        """Sum rows over their faces: ``(m, D)`` -> ``(n, D)``."""
        out = np.zeros((len(self), values.shape[1]))
        if len(values):
            starts = np.flatnonzero(np.diff(self.face, prepend=-1))
            out[self.face[starts]] = np.add.reduceat(values, starts, axis=0)
        return out

    def with_unknown(self, unknown: str) -> Votes:
        """The votes with ``unknown`` and ``nf`` (not a face) read as asked.

        Args:
            unknown: ``class``: they are answers like any other. ``missing``: they say nothing about the
                expression, and are taken away with their columns; an annotator who voted for nothing
                else has not judged the face, one who spread votes keeps the rest. Faces stay.

        Raises:
            UsageError: On another word.
        """
        if unknown not in (MISSING, CLASS):
            raise UsageError("unknown", f"is {unknown!r}", f"{MISSING!r} or {CLASS!r}")
        columns = self.expressions
        if unknown == CLASS or columns.all():
            return self
        votes = self.votes[:, columns]
        words = tuple(w for w, c in zip(self.vocabulary, columns, strict=True) if c)
        if self.annotator is None:
            return replace(self, vocabulary=words, votes=votes)
        keep = votes.sum(1) > 0
        time = None if self.seconds is None else self.seconds[keep]
        return replace(
            self,
            vocabulary=words,
            face=self.face[keep],
            annotator=self.annotator[keep],
            votes=votes[keep],
            seconds=time,
        )

    @property
    def expressions(self) -> NDArray[np.bool_]:
        """``(K,)`` False for ``unknown`` and ``nf``, under any spelling."""
        return np.array([canonical(w) not in NOT_EXPRESSIONS for w in self.vocabulary], dtype=bool)

    def scale(self) -> Array:
        """``(K,)`` the vocabulary as numbers.

        Raises:
            UsageError: If a word is no number.
        """
        try:
            return np.array([float(w) for w in self.vocabulary])
        except ValueError as error:
            raise UsageError(
                "votes", f"the vocabulary {', '.join(self.vocabulary)}", "numbers, such as intensities '0' to '5'"
            ) from error


def word_of(value: Any) -> str:
    """A name as text; a number with all its digits, and without a trailing ``.0``.

    >>> word_of(1000001.0), word_of(0.5), word_of(3), word_of(" a ")
    ('1000001', '0.5', '3', 'a')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def check_counts(counts: Array, place: Callable[[int], str]) -> None:
    """Refuse what cannot be counts of votes.

    Args:
        counts: ``(n, K)`` numbers.
        place: Row -> where it stands, for the message.

    Raises:
        DataError: With the first row that is negative, no whole number, or more than :data:`MOST_VOTES`.
    """
    wrong = np.flatnonzero(((counts < 0) | (counts != np.round(counts))).any(1))
    if len(wrong):
        found, fix = f"{counts[wrong[0]].tolist()}", "Give counts, not shares."
        raise DataError(place(int(wrong[0])), found, "whole numbers of votes, 0 or more", fix)
    crowded = np.flatnonzero(counts.sum(1) > MOST_VOTES)
    if len(crowded):
        found = f"has {counts[crowded[0]].sum():,.0f} votes"
        raise DataError(place(int(crowded[0])), found, f"at most {MOST_VOTES:,} of one face")


def _checked_votes(votes: ArrayLike, vocabulary: Sequence[str], source: str) -> Array:
    table = np.asarray(votes, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(vocabulary):
        raise DataError(source, f"an array of shape {table.shape}", f"(m, {len(vocabulary)}), one column a word")
    if len({canonical(w) for w in vocabulary}) < len(vocabulary) or len(vocabulary) < 2:
        raise DataError(source, f"columns {', '.join(vocabulary)}", "two words or more, each once under any spelling")
    bad = np.flatnonzero(~np.isfinite(table).all(1) | (table < 0).any(1))
    if len(bad):
        raise DataError(f"{source} row {bad[0]}", f"{table[bad[0]].tolist()}", "finite numbers of 0 or more")
    return table


def _codes(names: ArrayLike, n: int, where: str) -> tuple[Ints, NDArray[np.object_]]:
    """Codes of names in ascending order, and the names; whole numbers ascend as numbers."""
    given = np.asarray(names)
    if given.shape != (n,):
        raise DataError(where, f"an array of shape {given.shape}", f"({n},), one name a row")
    missing = np.flatnonzero(pd.isna(given) | (given.astype(str) == ""))
    if len(missing):
        raise DataError(f"{where}, row {missing[0]}", "the name is missing", "a name")
    if given.dtype == object and not all(isinstance(v, int | np.integer) for v in given):
        given = given.astype(str)
    distinct, codes = np.unique(given, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), np.array([str(v) for v in distinct], dtype=object)


def _units(cluster: ArrayLike, face: Ints, faces: NDArray[np.object_], source: str) -> Ints | None:
    """``(n,)`` unit of each face; None where no unit has two faces."""
    codes, _ = _codes(cluster, len(face), f"{source} cluster")
    out = np.zeros(len(faces), dtype=np.int64)
    out[face] = codes
    torn = np.flatnonzero(out[face] != codes)
    if len(torn):
        found = f"face {faces[face[torn[0]]]!r} is in two units"
        raise DataError(f"{source} row {torn[0]}", found, "one cluster a face")
    distinct, units = np.unique(out, return_inverse=True)
    return None if len(distinct) == len(faces) else units.reshape(-1).astype(np.int64)


def _column(values: ArrayLike, n: int, where: str) -> Array:
    out = np.asarray(values, dtype=np.float64)
    if out.shape != (n,):
        raise DataError(where, f"an array of shape {out.shape}", f"({n},), one number a row")
    bad = np.flatnonzero(out < 0)
    if len(bad):
        raise DataError(f"{where}, row {bad[0]}", f"{out[bad[0]]}", "0 or more")
    return out
