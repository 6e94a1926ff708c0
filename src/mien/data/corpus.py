"""What a reader of a corpus gives: chunks of decoded images with their rows, and the rows it could not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.shown import visible

OnBadRow = Literal["error", "drop"]


@dataclass(frozen=True)
class Chunk:
    """Some faces of a corpus.

    Attributes:
        images: ``(n, H, W)`` grey or ``(n, H, W, 3)`` colour, uint8; H and W never change within a corpus.
        frame: ``n`` rows with ``sample_id``, ``split``, ``votes_<class>`` and the attributes
            (``identity`` if known).
    """

    images: NDArray[np.uint8]
    frame: pd.DataFrame


class BadRows:
    """Collects rows that cannot be read, so that one pass reports them all.

    Args:
        policy: ``error`` refuses the corpus in the end; ``drop`` leaves the rows out and counts them.
        limit: After this many bad rows, ``error`` stops reading: the file is another kind of file.
    """

    def __init__(self, policy: OnBadRow = "error", limit: int = 100) -> None:
        self.policy = policy
        self.limit = limit
        self.errors: list[DataError] = []

    def add(self, error: DataError) -> None:
        """Note one bad row.

        Raises:
            DataError: With all bad rows so far, once ``limit`` is reached under ``error``.
        """
        self.errors.append(error)
        if self.policy == "error" and len(self.errors) >= self.limit:
            self._refuse(f"At least {self.limit} bad rows, reading stopped")

    def finish(self) -> None:
        """Raise one error that names the first bad rows, unless the policy is ``drop`` or there is none.

        Raises:
            DataError: Under ``error``, if any row was bad.
        """
        if self.policy == "error" and self.errors:
            self._refuse(f"{len(self.errors)} bad rows in all")

    def _refuse(self, count: str) -> None:
        first = self.errors[0]
        if len(self.errors) == 1:
            raise DataError(first.where, first.found, first.expected, _fix(first))
        shown = "".join("\n  " + visible(f"{e.where}: {e.found}") for e in self.errors[1:10])
        more = f"\n  and {len(self.errors) - 10} more" if len(self.errors) > 10 else ""
        raise DataError(
            first.where,
            first.found,
            first.expected,
            f"{_fix(first)} {count}; after the first:{shown}{more}",
        )


def _fix(error: DataError) -> str:
    return (error.fix + " " if error.fix else "") + 'Restore the file, or pass on_bad_row="drop" (--on-bad-row drop).'


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus as its reader opened it; nothing is read until :attr:`chunks` is called.

    Attributes:
        name: Name of the corpus.
        vocabulary: Words of the votes, in column order.
        attributes: Attribute columns of the chunks' frames.
        terms: Licence or terms of use, one line.
        chunks: Given the collector of bad rows, yields the faces in order.
        n_rows: Rows to expect, for the progress bar; None where unknown.
        detail: Facts for the history (rows without a picture, splits that are absent).
    """

    name: str
    vocabulary: tuple[str, ...]
    attributes: tuple[str, ...]
    terms: str
    chunks: Callable[[BadRows], Iterator[Chunk]]
    n_rows: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
