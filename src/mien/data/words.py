"""Words in the columns of a corpus: what is missing, and which spellings are one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from mien.missing import missing_mask
from mien.spellings import canonical, folded


def joined_classes(what: str, words: Iterable[str], classes: Sequence[str]) -> dict[str, Any]:
    """Classes that are written in more than one way, for the history; empty where none is.

    Args:
        what: Where they are written: ``labels``, ``folders``.
        words: The words, as often as they occur.
        classes: The names under which they are kept.
    """
    names = {canonical(c): c for c in classes}
    found = [ways for ways in _ways(words, canonical) if len(ways) > 1]
    said = {names[canonical(w[0])]: f"({', '.join(w)})" for w in found if canonical(w[0]) in names}
    return {f"{what} read as one class": said} if said else {}


def joined_groups(column: str, words: Iterable[str]) -> dict[str, Any]:
    """Groups of a column that are written in more than one way, for the history; see :func:`join_spellings`."""
    said = {ways[0]: f"({', '.join(ways)})" for ways in _ways(words, folded) if len(ways) > 1}
    return {f"{column}, spellings read as one": said} if said else {}


def join_spellings(column: pd.Series[str]) -> pd.Series[str]:
    """Words of one form under their commonest spelling (of equally common ones, the first in the alphabet)."""
    renamed = {other: first for first, *others in _ways(column[column.notna()], folded) for other in others}
    return column.replace(renamed) if renamed else column


def without_missing(column: pd.Series[str], *, group: bool = False, cluster: bool = False) -> pd.Series[str]:
    """Words stripped of blanks, NaN where one means missing.

    Args:
        column: ``(n,)`` text.
        group: It holds groups, where ``none`` is an answer; a column of numbers beside ``none`` holds none.
        cluster: It holds persons or clusters, of which ``-1`` is nobody's.
    """
    plain = column.str.strip()
    words = list(plain.unique())
    gone = {w for w, missing in zip(words, missing_mask(words, group=group, cluster=cluster), strict=True) if missing}
    if group:
        numbers = pd.to_numeric(pd.Series([w for w in words if w not in gone and w.lower() != "none"]), errors="coerce")
        if len(numbers) and numbers.notna().all():
            gone |= {w for w in words if w.lower() == "none"}
    return plain.mask(plain.isin(gone))


def _ways(words: Iterable[str], form: Callable[[str], str]) -> list[list[str]]:
    """Spellings of each form, the commonest first."""
    counts = Counter(words)
    ways: dict[str, list[str]] = {}
    for word in sorted(counts, key=lambda w: (-counts[w], w)):
        ways.setdefault(form(word), []).append(word)
    return list(ways.values())
