"""Spellings: when two words in a table are one class or one group.

``angry`` and ``anger`` are one expression; ``Male``, ``male `` and ``MALE`` one group; ``1`` and ``1.0``
one code. Kept apart in silence, a group falls into pieces that are each too small to be judged, and a
class counts as always wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

NO_FACE = "no face"
_NOT_FOUND = ("not detected", "undetected", "no face detected", "no face found", "face not found", "face not detected")
_SYNONYMS = {
    "anger": ("angry", "mad", "angriness"),
    "happiness": ("happy", "joy"),
    "sadness": ("sad",),
    "surprise": ("surprised", "suprise"),  # the second is a common slip in released label files
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "neutral": ("natural", "normal", "neutrality"),
    "contempt": ("contemptuous",),
    "nf": ("not a face", "notface", "not-face", "noface", NO_FACE, "no-face", "no_face", *_NOT_FOUND),
}
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in words}
#: Words for one group that are named, but not joined: a table may mean two things by two of them.
_GROUP_WORDS = (
    frozenset({"f", "w", "woman", "women", "female", "females"}),
    frozenset({"m", "man", "men", "male", "males"}),
)
# NFKC leaves these apart: hyphen, figure dash, en dash, em dash, bar, minus.
BETWEEN = " * "  # the groups of an intersection
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_RANGE = re.compile(r"(?<=\d) ?- ?(?=\d)")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def folded(word: str) -> str:
    """The form under which two spellings are compared: Unicode NFKC, no case, single blanks, no trailing ``.0``.

    All dashes are one, without blanks between two numbers.

    >>> folded("  MALE "), folded("2.0"), folded("na\\u00efve") == folded("nai\\u0308ve"), folded("20 \\u2013 29")
    ('male', '2', True, '20-29')
    """
    plain = " ".join(unicodedata.normalize("NFKC", word).split()).casefold()
    plain = _RANGE.sub("-", _DASHES.sub("-", plain))
    whole = _WHOLE.fullmatch(plain)
    return whole.group(1) if whole else plain


def canonical(name: str) -> str:
    """The one spelling under which an expression is compared.

    >>> canonical("Angry") == canonical("anger"), canonical("Natural")
    (True, 'neutral')
    """
    key = folded(name)
    return _CANONICAL.get(key, key)


def attribute_name(spec: str) -> str:
    """The one spelling of an attribute or an intersection: no blanks at its ends or around the stars.

    >>> attribute_name(" gender * age"), attribute_name("gender*age"), attribute_name("skin tone")
    ('gender*age', 'gender*age', 'skin tone')
    """
    return "*".join(name.strip() for name in spec.split("*"))


def known_words() -> frozenset[str]:
    """Every word whose expression is known, in the form of :func:`folded`."""
    return frozenset(_CANONICAL) | frozenset(_SYNONYMS)


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


def same_group(words: Iterable[str]) -> list[list[str]]:
    """Words of one column that may be one group, such as *F* and *female*; each form under its first spelling.

    >>> same_group(["F", "female", "Female", "M"]), same_group(["f", "w"])
    ([['F', 'female']], [])
    """
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(folded(word), word)
    found = [[word for form, word in first.items() if form in group] for group in _GROUP_WORDS]
    # Letters alone are codes of anything.
    return [group for group in found if len(group) > 1 and any(len(word.strip()) > 1 for word in group)]


def same_groups(words: Iterable[str], groups: Sequence[str]) -> dict[str, int]:
    """Which of some groups each word is, in another spelling perhaps; a word that is none of them is left out.

    Args:
        words: Groups of another table, each once.
        groups: The groups. Where two of them are spellings of one word, each is only what it is to the letter.

    >>> same_groups(["Male", "male ", "20 - 29", "1.0", "m"], ["male", "20-29", "1"])
    {'Male': 0, 'male ': 0, '20 - 29': 1, '1.0': 2}
    >>> same_groups(["Male", "MALE"], ["male", "Male"]), same_groups(["Male * Old"], ["male * old"])
    ({'Male': 1}, {'Male * Old': 0})
    >>> same_groups(["male*old"], ["Male * Old"])
    {'male*old': 0}
    """
    exact = {group: i for i, group in enumerate(groups)}
    forms = [_group_form(group) for group in groups]
    alike = {form: i for i, form in enumerate(forms) if forms.count(form) == 1}
    found = {word: exact.get(word, alike.get(_group_form(word))) for word in words}
    return {word: i for word, i in found.items() if i is not None}


def _group_form(group: str) -> str:
    # An intersection's groups are "male*old" among predictions and "male * old" in a store.
    return BETWEEN.join(folded(part) for part in group.split("*"))
