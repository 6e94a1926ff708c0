"""What the names of folders say: classes, splits, persons, a copy of a folder, a slip of the pen.

Any folder can hold pictures, and a corpus made of its names alone is wrong in silence: all faces "images",
or as many classes as persons. What may be meant is asked about; a class that only we do not know is not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from mien.errors import DataError
from mien.prediction_tables.class_columns import EXPRESSIONS
from mien.prediction_tables.distributions import NO_CLASS
from mien.spellings import canonical, folded, known_words

_SPLITS = frozenset(
    {"train", "training", "trn", "val", "valid", "validation", "vali", "dev", "development", "test", "testing"}
    | {"tst", "eval", "evaluation", "holdout", "publictest", "privatetest"}
)
_PARTS = re.compile(r"(fold|split|part|cv|kfold)[ _-]?\d+", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")
_COPY = re.compile(r"(?P<of>.+?)(\s*\(\d+\)|[\s_-]+(copy|kopie|copie|copia)(\s*\(?\d+\)?)?)", re.IGNORECASE)
_PERSON = re.compile(
    r"(subject|subj|sub|person|participant|identity|user|proband|patient|actor|speaker|volunteer|face_?id)"
    r"[ _-]*\d+|[sp][ _-]?0\d+",
    re.IGNORECASE,
)
_MOST_CLASSES = 50  # more folders than this are persons, films or days
_LOOKS_ALIKE = 0.85  # of difflib, as in tables: one slip in a word of seven letters
_GIVEN = "pass the classes: --option vocabulary="


def is_split(name: str) -> bool:
    """Whether a folder is called like a split, in capitals or not.

    >>> [is_split(n) for n in ("Train", "FER2013Valid", "test_images", "fold_3", "S01", "female", "contest")]
    [True, True, True, True, False, False, False]
    """
    words = {w.lower() for w in _WORD.findall(name)} | {name.lower().removeprefix("fer2013").strip("_- ")}
    return bool(words & _SPLITS) or bool(_PARTS.fullmatch(name.strip()))


def is_expression(name: str) -> bool:
    """Whether a word is an expression that everybody knows, or what annotators say of no expression."""
    return canonical(name) in EXPRESSIONS | NO_CLASS


def given_classes(vocabulary: Sequence[str] | None) -> list[str] | None:
    """The classes that somebody gave, as a list or between commas; None where nobody did."""
    if isinstance(vocabulary, str):
        return [word.strip() for word in vocabulary.split(",") if word.strip()]
    return [str(word) for word in vocabulary] if vocabulary else None


def check_above(root: Path, above: Iterable[str], classes: Iterable[str]) -> None:
    """Refuse folders above the classes that are no splits: persons and groups would pass for splits.

    Args:
        root: The corpus.
        above: Names of the folders above.
        classes: Names of the folders below.

    Raises:
        DataError: With the folders, and the ways out.
    """
    names, below = sorted(set(above)), set(classes)
    odd = [n for n in names if not is_split(n)]
    if not odd:
        return
    if any(is_expression(n) for n in names) and not any(is_expression(c) for c in below):
        found = f"the folder {next(n for n in names if is_expression(n))!r} has folders such as {min(below)!r} in it"
        fix = f"Turn them round ({min(below)}/{odd[0]}), or {_MANIFEST}."
        raise DataError(str(root), found, "<split>/<class>/picture: the class last", fix)
    found = f"the folders above the classes are called {_few(odd)}, which {_are(odd)} no split"
    fix = (
        "If they are persons, pass --option above=identity; if they are groups, the name of the attribute "
        f"(--option above=gender); if they are splits, --option above=split; or {_MANIFEST}."
    )
    raise DataError(str(root), found, "folders called train, val, test", fix)


_MANIFEST = "write a CSV with path, label and any other column, and prepare that"


def check_classes(root: Path, folders: Iterable[str]) -> None:
    """Refuse folders that look like no classes, or like one class twice, where nobody said what the classes are.

    Args:
        root: The corpus.
        folders: Names of the folders with the pictures.

    Raises:
        DataError: With the folders, and the way out.
    """
    names = sorted(set(folders))
    _refuse_one(root, names)
    _refuse_persons(root, names)
    check_slips(str(root), names, "folder")


def _refuse_one(root: Path, names: Sequence[str]) -> None:
    if len(names) != 1 or is_expression(names[0]):
        return
    raise DataError(
        str(root),
        f"all pictures lie in one folder, {names[0]!r}, which would be the only class",
        "a folder for each expression",
        f"Where nobody has labelled them, prepare the folder itself ({_below(root, names[0])}); where a table says "
        f"what they show, prepare that; if {names[0]!r} is the class, {_GIVEN}{names[0]}.",
    )


def _below(root: Path, name: str) -> str:
    """The folder of that name, where it lies right below the corpus."""
    return f"mien prepare {root / name}" if (root / name).is_dir() else f"the one called {name}"


def _refuse_persons(root: Path, names: Sequence[str]) -> None:
    if any(is_expression(n) for n in names):
        return
    persons = len(names) > 2 and all(_PERSON.fullmatch(n.strip()) for n in names)
    if not persons and len(names) <= _MOST_CLASSES:
        return
    raise DataError(
        str(root),
        f"{len(names)} folders such as {_few(names)} look like {'persons' if persons else 'no classes'}",
        "a folder for each expression",
        f"Put what they hold into a CSV with path, label (if there is one) and identity, and prepare that; if they "
        f"are the classes, {_GIVEN}{','.join(names[:2])},...",
    )


def check_parts(root: Path, splits: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse a split whose pictures lie in folders that are no expressions, where those of the others do.

    Args:
        root: The corpus.
        splits: ``(n,)`` the split of each picture.
        classes: ``(n,)`` its folder.

    Raises:
        DataError: With the split, and the ways out.
    """
    below: dict[str, set[str]] = {}
    for split, name in set(zip(splits, classes, strict=True)):
        below.setdefault(split, set()).add(name)
    known = {name for names in below.values() for name in names if is_expression(name)}
    for split, names in sorted(below.items()):
        others = set().union(*(other for part, other in below.items() if part != split))
        if len(known) > 1 and not names & known and not names & others:
            raise DataError(
                str(root),
                f"the pictures of {split!r} lie in {_few(sorted(names))}, which is no class of the others",
                f"folders called {_few(sorted(known))} in every split",
                f"Where nobody has labelled them, move {split!r} elsewhere and prepare it alone; if they are classes, "
                f"{_GIVEN}...",
            )


def check_slips(where: str, words: Iterable[str], what: str) -> None:
    """Refuse a class that looks like another, or like a known one, and is not known to be it.

    Args:
        where: The corpus, for the message.
        words: The classes as they are written.
        what: ``folder`` or ``label``.

    Raises:
        DataError: With both words.
    """
    names = sorted(set(words))
    for name in names:
        copied = _COPY.fullmatch(name.strip())
        of = copied.group("of") if copied else ""
        if of and (is_expression(of) or any(folded(of) == folded(n) for n in names)):
            fix = f"Put its pictures where they belong, or move it elsewhere; if it is a class, {_GIVEN}..."
            raise DataError(where, f"the {what} {name!r} looks like a copy of {of!r}", "each class once", fix)
    for odd, other in _slips(names):
        fix = f"Give both one name; if they are two classes, {_GIVEN}{odd},..."
        raise DataError(where, f"the {what} {odd!r} looks like {other!r}", "one spelling of each class", fix)


def _slips(names: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Words that differ by a slip of the pen: of two such words the unknown one first."""
    unknown = [n for n in names if not is_expression(n)]
    yield from ((b, a) for a, b in combinations(unknown, 2) if _alike(a, b))
    # Words of other languages are near the English ones ("disgusto", "neutraal"): only among these is one a slip.
    english = 2 * (len(names) - len(unknown)) >= len(names)
    for odd in unknown if english else ():
        known = [n for n in names if n not in unknown] + sorted(known_words())
        yield from ((odd, other) for other in known if _alike(odd, other))


def _alike(a: str, b: str) -> bool:
    """Whether one word may be the other with a slip; ``unfocused`` and ``focused``, ``au1`` and ``au2`` are two."""
    a, b = folded(a), folded(b)
    if canonical(a) == canonical(b) or a.endswith(b) or b.endswith(a):
        return False
    if re.findall(r"\d+", a) != re.findall(r"\d+", b):
        return False
    parts, others = (re.findall(r"[^\W_]+", w) for w in (a, b))
    if len(parts) == len(others) > 1:  # "class_a" and "class_b": what differs must look alike itself
        return all(x == y or (len(x) > 3 and _near(x, y)) for x, y in zip(parts, others, strict=True))
    return _near(a, b)


def _near(a: str, b: str) -> bool:
    same = a.endswith(b) or b.endswith(a)
    return not same and difflib.SequenceMatcher(None, a, b).ratio() >= _LOOKS_ALIKE


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
