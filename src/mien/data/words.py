"""Words in the columns of a corpus: what is missing, and which spellings are one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from mien.missing import missing_mask
from mien.spellings import folded


def joined_spellings(what: str, words: Iterable[str], form: Callable[[str], str] = folded) -> dict[str, Any]:
    """Which words are written in more than one way, for the history: ``{what: {"male": "MALE, Male"}}``; else empty.

    Args:
        what: What the words are.
        words: The words, each as often as it occurs.
        form: The form under which two are one.
    """
    found = {first: ", ".join(others) for first, *others in _ways(words, form) if others}
    return {what: {name: f"also written {others}" for name, others in found.items()}} if found else {}


def join_spellings(column: pd.Series[str]) -> pd.Series[str]:
    """Words of one form under their commonest spelling (of equally common ones, the first in the alphabet)."""
    renamed = {other: first for first, *others in _ways(column[column.notna()]) for other in others}
    return column.replace(renamed) if renamed else column


def without_missing(column: pd.Series[str], *, group: bool = False) -> pd.Series[str]:
    """Words stripped of blanks, NaN where one means missing.

    Args:
        column: ``(n,)`` text.
        group: It holds groups, where ``none`` is an answer; a column of numbers beside ``none`` holds none.
    """
    plain = column.str.strip()
    words = list(plain.unique())
    gone = {w for w, missing in zip(words, missing_mask(words, group=group), strict=True) if missing}
    if group:
        numbers = pd.to_numeric(pd.Series([w for w in words if w not in gone and w.lower() != "none"]), errors="coerce")
        if len(numbers) and numbers.notna().all():
            gone |= {w for w in words if w.lower() == "none"}
    return plain.mask(plain.isin(gone))


def _ways(words: Iterable[str], form: Callable[[str], str] = folded) -> list[list[str]]:
    """Spellings of each form, the commonest first."""
    counts = Counter(words)
    ways: dict[str, list[str]] = {}
    for word in sorted(counts, key=lambda w: (-counts[w], w)):
        ways.setdefault(form(word), []).append(word)
    return list(ways.values())
