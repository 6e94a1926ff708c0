"""Spellings: when two words in a table are one class or one group.

``angry`` and ``anger`` are one expression; ``Male``, ``male `` and ``MALE`` one group; ``1`` and ``1.0``
one code. Kept apart in silence, a group falls into pieces that are each too small to be judged, and a
class counts as always wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_SYNONYMS = {
    "anger": ("angry", "mad", "angriness"),
    "happiness": ("happy", "joy"),
    "sadness": ("sad",),
    "surprise": ("surprised", "suprise"),  # the second is a common slip in released label files
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "neutral": ("natural", "normal", "neutrality"),
    "contempt": ("contemptuous",),
    "nf": ("not a face", "notface", "not-face", "noface", "no face"),
}
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in words}
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def folded(word: str) -> str:
    """The form under which two spellings are compared: Unicode NFKC, no case, single blanks, no trailing ``.0``.

    >>> folded("  MALE "), folded("2.0"), folded("na\\u00efve") == folded("nai\\u0308ve")
    ('male', '2', True)
    """
    plain = " ".join(unicodedata.normalize("NFKC", word).split()).casefold()
    whole = _WHOLE.fullmatch(plain)
    return whole.group(1) if whole else plain


def canonical(name: str) -> str:
    """The one spelling under which an expression is compared.

    >>> canonical("Angry") == canonical("anger"), canonical("Natural")
    (True, 'neutral')
    """
    key = folded(name)
    return _CANONICAL.get(key, key)


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Each expression once, in order, under the spelling in which it came first."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(canonical(name), name)
    return tuple(first.values())


def commonest(ways: Mapping[str, int]) -> str:
    """The spelling that counts, of several of one word: the commonest; of two as common the plain one.

    >>> commonest({"Male": 3, "male": 3, "MALE": 3}), commonest({"Male": 4, "male": 3})
    ('male', 'Male')
    """
    return min(ways, key=lambda word: (-ways[word], word != folded(word), word))


def spellings(words: Iterable[str]) -> dict[str, list[str]]:
    """Words that are written in more than one way: folded form -> its spellings, in order of appearance.

    >>> spellings(["male", "Male", "female"])
    {'male': ['male', 'Male']}
    """
    ways: dict[str, list[str]] = {}
    for word in dict.fromkeys(words):
        ways.setdefault(folded(word), []).append(word)
    return {form: found for form, found in ways.items() if len(found) > 1}
