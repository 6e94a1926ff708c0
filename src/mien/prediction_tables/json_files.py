"""JSON and JSON lines of deepface, Hugging Face's pipelines, fer and others, one row a picture.

What these tools return is saved as it is: a list with one entry a picture, or a dictionary from the
picture's name to its entry. An entry is a face (deepface, fer), a list of faces, of which the largest
counts, or a list of labels with scores (Hugging Face). Any other list of flat records is a table.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.errors import DataError
from mien.inputs import read_small
from mien.prediction_tables.dialects import encoding_of, first_bytes
from mien.prediction_tables.table import PREFIXES, PredictionTable, table_of
from mien.prediction_tables.tool_tables import PICTURES

_SCORES = ("emotion", "emotions", "scores", "probs", "probabilities")
_ENTRIES = ("results", "result", "predictions", "faces", "output", "outputs", "data")
_NUMBERED = re.compile(r"LABEL_(\d+)")
_LARGEST = 1 << 29  # bytes; parsed it takes ten times as much, and a million pictures of deepface have less
_NO_FACE = "Where the tool found no face, write an empty list."
_WANTED = "what deepface, fer or a pipeline of Hugging Face returned, or a list of rows"


def read_json(path: Path, classes: Sequence[str] | None = None) -> PredictionTable:
    """Read JSON, or one JSON value a line.

    Args:
        path: The file.
        classes: Names of the classes that Hugging Face calls ``LABEL_0`` and so on, in this order.

    Raises:
        DataError: If it is no JSON, or none of these layouts, or its classes have no names.
    """
    content = _parsed(path)
    table = _as_table(content)
    if table is not None:
        return table_of(table, str(path))
    entries = _entries(content)
    if not entries:
        raise DataError(str(path), "has no entries", _WANTED)
    rows = [_row(name, entry, f"{path} entry {i}") for i, (name, entry) in enumerate(entries, start=1)]
    return _gathered(_with_names(rows, path, classes), path)


def _with_names(rows: list[dict[str, Any]], path: Path, classes: Sequence[str] | None) -> list[dict[str, Any]]:
    """Rows whose classes are words, where the model's configuration named none."""
    numbers = {c: _NUMBERED.fullmatch(c) for r in rows for c in r["scores"] or ()}
    if not numbers or not all(numbers.values()):
        return rows
    called = {c: int(found.group(1)) for c, found in numbers.items() if found}
    fix = "Give them in the order of the model's outputs: --classes CLASS1,CLASS2,..."
    if classes is None:
        found = f"calls its classes {', '.join(sorted(called)[:3])}, ...: the model does not know their names"
        raise DataError(str(path), found, "", fix)
    n = max(called.values()) + 1
    if n > len(classes):
        found = f"has labels up to LABEL_{n - 1}, and {len(classes)} classes are given ({', '.join(classes)})"
        raise DataError(str(path), found, f"{n} classes", fix)
    return [{**r, "scores": r["scores"] and {classes[called[c]]: v for c, v in r["scores"].items()}} for r in rows]


def _parsed(path: Path) -> Any:
    start, packing = first_bytes(path)
    if packing:
        raise DataError(str(path), f"is packed JSON ({packing})", "plain JSON", "Unpack it.")
    text = read_small(path, "JSON", most=_LARGEST).decode(encoding_of(start))
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError as error:
        raise DataError(str(path), "is nested too deep", _WANTED) from error
    except _Twice as error:
        raise DataError(str(path), f"has the key {str(error)!r} twice", "each picture once") from error
    except json.JSONDecodeError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise DataError(str(path), f"is no whole JSON ({whole})", _WANTED) from whole
    out = []
    for i, line in enumerate(lines, start=1):
        try:
            out.append(json.loads(line))
        except RecursionError as error:
            raise DataError(f"{path} line {i}", "is nested too deep", _WANTED) from error
        except json.JSONDecodeError as error:
            found = f"is neither JSON nor JSON lines ({error.msg})"
            raise DataError(f"{path} line {i}", found, "one JSON value on each line") from error
    return out


class _Twice(Exception):
    """A key stands twice in a JSON object, of which Python would keep the last in silence."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise _Twice(next(name for name, n in times.items() if n > 1))
    return found


def _as_table(content: Any) -> pd.DataFrame | None:
    """A data frame as pandas writes it (records, split, columns, index), or None."""
    if isinstance(content, dict) and {"columns", "data"} <= set(content) and isinstance(content["data"], list):
        return pd.DataFrame(content["data"], columns=content["columns"])
    if isinstance(content, list) and content and all(isinstance(e, dict) and _flat(e) for e in content):
        return None if all({"label", "score"} == set(e) for e in content) else pd.DataFrame(content)
    if isinstance(content, dict) and content and all(isinstance(e, dict) and e for e in content.values()):
        inner = list(content.values())
        if all(_flat(e) for e in inner) and not all(_numeric(e) for e in inner):
            named = {"label", "pred", "filename", "gender"} & set(content)
            if named or any(k.startswith(PREFIXES) for k in content):
                return pd.DataFrame(content).reset_index(drop=True)
            frame = pd.DataFrame.from_dict(content, orient="index")
            numbered = list(frame.index) == [str(i) for i in range(len(frame))]
            return (
                frame.reset_index(drop=True) if numbered or "filename" in frame else frame.reset_index(names="filename")
            )
    return None


def _flat(entry: dict[str, Any]) -> bool:
    return all(not isinstance(v, dict | list) for v in entry.values())


def _numeric(entry: dict[str, Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in entry.values())


def _entries(content: Any) -> list[tuple[str | None, Any]]:
    """``(name, entry)`` of each picture; no name where the file has none."""
    if isinstance(content, dict):
        wrapped = next((content[k] for k in _ENTRIES if k in content and len(content) == 1), None)
        if wrapped is not None:
            return _entries(wrapped)
        if any(k in content for k in _SCORES):
            return [(None, content)]
        return [(str(name), entry) for name, entry in content.items()]
    if isinstance(content, list) and _one_picture(content):
        return [(None, content)]
    return [(None, entry) for entry in content] if isinstance(content, list) else []


def _one_picture(content: list[Any]) -> bool:
    """Whether a list of labels with scores is one picture's, and not the best label of several."""
    if not all(isinstance(e, dict) and set(e) == {"label", "score"} for e in content):
        return False
    labels = {str(e["label"]) for e in content}
    return len(labels) == len(content) > 1 and abs(sum(_number(e["score"]) for e in content) - 1) < 0.01


def _row(name: str | None, entry: Any, where: str) -> dict[str, Any]:
    """One picture's row: its name, ``scores``, how many faces, and what else is said of it."""
    kept: dict[str, Any] = {}
    if isinstance(entry, dict) and not any(k in entry for k in _SCORES):
        # {"image": "a.jpg", "result": [...]}: the picture's own words, and the tool's answer within.
        inside = next((k for k in _ENTRIES if isinstance(entry.get(k), list | dict | None) and k in entry), None)
        if inside is not None:
            kept, entry = {k: v for k, v in entry.items() if k != inside and _plain(v)}, entry[inside]
        elif len(entry) == 1 and isinstance(next(iter(entry.values())), list | dict | None):
            return _row(*next(iter(entry.items())), where)  # {"a.jpg": [...]} on a line of its own
        elif _numeric(entry):
            entry = {"scores": entry}
    faces = entry if isinstance(entry, list) else [] if entry is None else [entry]
    if faces and all(isinstance(f, dict) and {"label", "score"} <= set(f) for f in faces):
        faces = [{"scores": {str(f["label"]): f["score"] for f in faces}}]
    elif len(faces) == 1 and isinstance(faces[0], list):
        return _row(name, faces[0], where)
    if not all(isinstance(f, dict) for f in faces):
        fix = _NO_FACE if any(isinstance(f, str) for f in faces) else ""
        raise DataError(where, f"is {str(entry)[:60]!r}", _WANTED, fix)
    row: dict[str, Any] = {"name": name, "scores": None, "n_faces": len(faces), "kept": kept}
    if faces:
        face = max(faces, key=_area)
        key = next((k for k in _SCORES if isinstance(face.get(k), dict | list)), None)
        if key is None:
            raise DataError(where, f"has no scores of emotions (it has {', '.join(face)})", _WANTED, _NO_FACE)
        row["scores"] = _scores(face[key], where)
        row["kept"] |= {k: v for k, v in face.items() if k != key and _plain(v)}
    for key in PICTURES if name is None else ():
        if isinstance(row["kept"].get(key), str):
            row["name"] = row["kept"].pop(key)
            break
    return row


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _scores(given: Any, where: str) -> dict[str, float]:
    """Class -> score; numbers saved as text (``json.dump(..., default=str)``) are read."""
    try:
        pairs = list(given.items()) if isinstance(given, dict) else [(f["label"], f["score"]) for f in given]
        return {str(c): _number(v) for c, v in pairs}
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(where, f"has a score that is no number ({error})", "numbers") from error


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _area(face: dict[str, Any]) -> float:
    """Area of a face's box: deepface's ``region``, fer's and others' ``box``."""
    region = face.get("region") or face.get("facial_area") or face.get("box") or {}
    if isinstance(region, dict):
        width, height = (
            region.get(short) or region.get(long) or 0 for short, long in (("w", "width"), ("h", "height"))
        )
    else:
        width, height = list(region)[2:4] if len(region) == 4 else (0, 0)
    try:
        return float(width) * float(height)
    except (TypeError, ValueError):
        return 0.0


def _gathered(rows: list[dict[str, Any]], path: Path) -> PredictionTable:
    classes = tuple(dict.fromkeys(c for r in rows for c in r["scores"] or ()))
    if not classes:
        raise DataError(str(path), "no entry has scores", _WANTED)
    columns: dict[str, Any] = {}
    if all(r["name"] is not None for r in rows):
        columns["filename"] = [r["name"] for r in rows]
    columns |= _words_of(rows)
    lost, notes = [not r["scores"] for r in rows], []
    whole = all(len(r["scores"]) == len(classes) for r in rows if r["scores"])
    if whole:
        columns |= {f"prob_{c}": [(r["scores"] or {}).get(c, np.nan) for r in rows] for c in classes}
    else:
        best = [max(r["scores"], key=r["scores"].__getitem__) if r["scores"] else None for r in rows]
        columns["pred"] = best
        notes.append(
            f"{path.name} has the scores of the best classes only, so that calibration is not audited "
            "(pipeline(..., top_k=None) gives all)."
        )
    if any(lost):
        columns["detected"] = [0 if gone else 1 for gone in lost]
        notes.append(f"The tool found no face in {sum(lost):,} of {len(rows):,} pictures of {path.name}.")
    several = sum(r["n_faces"] > 1 for r in rows)
    if several:
        notes.append(f"In {several:,} of {len(rows):,} pictures the tool found several faces: the largest counts.")
    table = table_of(pd.DataFrame(columns), str(path))
    return replace(table, notes=(*table.notes, *notes), where=lambda row: f"{path} entry {row + 1}")


def _words_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What else entries say: annotations and groups that somebody added, and what the tool perceived."""
    names: Iterable[str] = dict.fromkeys(k for r in rows for k in r["kept"] if k != "name")
    return {name: [r["kept"].get(name) for r in rows] for name in names}
