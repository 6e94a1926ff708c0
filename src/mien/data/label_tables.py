"""Tables beside pictures that may say what the pictures show: a CSV or JSON with their names and labels.

Where folders are called like expressions they are the labels, unless a table beside them says otherwise of many
pictures. Where they are not (``images/``), a table that names the pictures and has labels is what people meant, and a
store without it would have lost them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mien.data.csv_files import read_rows
from mien.data.folder_names import is_expression
from mien.errors import DataError
from mien.spellings import canonical, folded

_ENDINGS = (".csv", ".tsv", ".json")
_LABEL = frozenset({"label", "labels", "class", "classes", "expression", "emotion", "emotions", "target", "category"})
_LARGEST = 1 << 26  # bytes: larger files are no tables of labels that anybody wrote by hand
_ENOUGH = 0.5  # of the pictures' names
_TWICE = 0.1  # of the rows name a picture that another has named
_AGREE = 0.9  # of the rows say what the folders say


def check_tables(root: Path, pictures: Sequence[Path], folders: Sequence[str]) -> None:
    """Refuse pictures whose folders say one thing and a table beside or above them another.

    Args:
        root: The corpus.
        pictures: All pictures.
        folders: ``(n,)`` the name of the folder of each, which would be its class.

    Raises:
        DataError: With the table, which is what to prepare.
    """
    if sum(is_expression(f) for f in set(folders)) > 1:
        _check_contradictions(root, pictures, folders)
        return
    by_name = {p.name: canonical(f) for p, f in zip(pictures, folders, strict=True)}
    by_stem = {p.stem: canonical(f) for p, f in zip(pictures, folders, strict=True)}
    for path in _tables(root, pictures):
        table = _read(path)
        labels = [] if table is None else _labels(table)
        if table is None or not (labels or len(set(folders)) == 1):
            continue
        for named in (by_name, by_stem):
            column = _naming(table, named, len(named))
            if column and not _same(table, labels, column, named):
                raise _refusal(root, path, column, sorted(set(folders)), labels)


def _check_contradictions(root: Path, pictures: Sequence[Path], folders: Sequence[str]) -> None:
    """Refuse folders of expressions whose pictures a table labels otherwise: a copy of AffectNet is such."""
    told = _Told(pictures, folders)
    for path in _tables(root, pictures):
        table = _read(path)
        if table is None:
            continue
        labels = [c for c in table.columns if folded(str(c)) in _LABEL]
        for column in table.columns:
            due = table[column].map(told.of)
            there = due.notna()
            if there.sum() < max(2, _ENOUGH * len(pictures)):
                continue
            for label in labels:
                said = table[label][there]
                if said.map(is_expression).mean() < _AGREE:
                    continue  # codes, of which nobody knows what they stand for
                if table[column][there].duplicated().mean() > _TWICE:
                    continue  # raters one by one, of whom the folders may hold the majority
                other = int((said.map(canonical) != due[there]).sum())
                if other > (1 - _AGREE) * len(said):
                    found = f"{path.name} labels {other:,} of {len(said):,} pictures otherwise than their folders"
                    fix = (
                        f"Prepare the table, with its columns called 'path' and 'label' (here {column!r} and "
                        f"{label!r}); paths are relative to it. Where the folders are right, pass --option vocabulary="
                        f"{','.join(sorted(set(folders))[:3])},..."
                    )
                    raise DataError(str(root), found, "folders and a table that say the same", fix)


class _Told:
    """What the folder of a picture says, by its name with the folder's, and by its name alone where it is one only."""

    def __init__(self, pictures: Sequence[Path], folders: Sequence[str]) -> None:
        self.by_place: dict[str, str] = {}
        self.by_name: dict[str, str | None] = {}
        for p, f in zip(pictures, folders, strict=True):
            for name in {p.name, p.stem}:  # with its ending or without
                self.by_place[f"{p.parent.name}/{name}"] = canonical(f)
                self.by_name[name] = None if name in self.by_name else canonical(f)

    def of(self, text: str) -> str | None:
        """The class of the picture that a cell names; None where it names none."""
        place = "/".join(text.strip().replace("\\", "/").split("/")[-2:])
        return self.by_place.get(place) or self.by_name.get(_base(text))


def table_of_labels(folder: Path, pictures: Sequence[Path]) -> str:
    """The name of a table right in a folder that names the pictures and has labels; '' where there is none."""
    named = {p.name: "" for p in pictures} | {p.stem: "" for p in pictures}
    for path in _in(folder):
        table = _read(path)
        if table is not None and _labels(table) and (_naming(table, named, len(named) // 2)):
            return path.name
    return ""


def _refusal(root: Path, path: Path, column: str, folders: Sequence[str], labels: Sequence[str]) -> DataError:
    says = f" and has the column {labels[0]!r}" if labels else ""
    rename = "" if folded(column) == "path" else f", which must be called 'path' (here it is {column!r})"
    if labels and folded(labels[0]) != "label":
        rename += f", and that of the labels 'label' (here it is {labels[0]!r})"
    packed = path.suffix.lower() == ".json"
    more = ",..." if len(folders) > 3 else ""
    return DataError(
        str(root),
        f"the pictures lie in folders called {', '.join(folders[:3])}, and {path.name} names them{says}",
        "folders for the expressions, or a table",
        f"{'Save it as CSV, and prepare' if packed else 'Prepare'} the table: mien prepare "
        f"{path.with_suffix('.csv') if packed else path} (paths in it are relative to it{rename}); if the folders are "
        f"the classes, pass --option vocabulary={','.join(folders[:3])}{more}.",
    )


def _tables(root: Path, pictures: Sequence[Path]) -> list[Path]:
    """Tables in the folders of the pictures and above them, up to the one that holds the corpus."""
    places = dict.fromkeys((root.resolve().parent, root))
    for folder in dict.fromkeys(p.parent for p in pictures):
        places |= dict.fromkeys(f for f in (folder, *folder.parents) if f != root and f.is_relative_to(root))
    return [path for place in places for path in _in(place)]


def _in(folder: Path) -> list[Path]:
    """The tables right in a folder."""
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _ENDINGS and p.name[0] != ".")
        return [p for p in found if p.is_file() and p.stat().st_size <= _LARGEST]
    except OSError:
        return []  # above the corpus people may have no right to look


def _read(path: Path) -> pd.DataFrame | None:
    """A table as text; None where it is none that can be read."""
    try:
        return _json(path) if path.suffix.lower() == ".json" else read_rows(path, "a table").astype(str)
    except (DataError, ValueError, OSError, TypeError, AttributeError, RecursionError):
        return None


def _json(path: Path) -> pd.DataFrame | None:
    content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and content and all(isinstance(v, str) for v in content.values()):
        content = [{"path": name, "label": word} for name, word in content.items()]
    elif isinstance(content, dict) and content and all(isinstance(v, dict) for v in content.values()):
        content = [{"path": name, **entry} for name, entry in content.items()]
    if not isinstance(content, list) or not all(isinstance(e, dict) for e in content):
        return None
    return pd.DataFrame(content).astype(str)


def _labels(table: pd.DataFrame) -> list[str]:
    """Columns that hold labels, by their name or by two expressions in them."""
    named = [str(c) for c in table.columns if folded(str(c)) in _LABEL or str(c).startswith("votes_")]
    words = [str(c) for c in table.columns if sum(map(is_expression, set(table[c].iloc[:1000]))) > 1]
    return list(dict.fromkeys([*named, *words]))


def _naming(table: pd.DataFrame, named: dict[str, str], n: int) -> str | None:
    """The column that names at least half of ``n`` pictures, and at least two; None where none does."""
    for column in table.columns:
        found = {_base(v) for v in table[column]} & set(named)
        if len(found) >= max(min(2, n), _ENOUGH * n):
            return str(column)
    return None


def _same(table: pd.DataFrame, labels: Sequence[str], column: str, named: dict[str, str]) -> bool:
    """Whether a column of labels says what the folders say."""
    due = table[column].map(lambda v: named.get(_base(v)))
    there = due.notna()
    return any((table[c][there].map(canonical) == due[there]).mean() >= _AGREE for c in labels)


def _base(text: str) -> str:
    return text.strip().replace("\\", "/").rstrip("/").rpartition("/")[2]  # a table may have a million paths
