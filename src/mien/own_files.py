"""Files that Mien wrote itself, read as if somebody else had: JSON, records, Parquet, checksums.

A store, a card or a record travels: it is copied in part, edited by hand, cut by a full disk, or sent by
somebody who wishes ill. So every reader of such a file goes through here. Whatever is wrong with one is
one sentence with the file and the key, and costs no more memory than an honest file of its size.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from mien.errors import DataError, MienError, WeightsError, reason
from mien.inputs import check_regular, read_small
from mien.values import shown

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

MOST_BYTES = 1 << 24  # of a card, a record or a description: they have some thousand
_DEEPEST = 64  # values inside values; Mien's own have about ten
_LONGEST_NUMBER = 20  # digits: the largest seeds have 19
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# Rows of a Parquet file: equal values take no room in it, so that a small file can stand for any number of
# them. But each of Mien's has an id in each row, which takes some bits even when it is packed.
_FEW_ROWS, _ROWS_A_BYTE = 100_000, 4
_MOST_COLUMNS = 10_000
_LONGEST_TEXT = 4096  # characters of a cell: ids are paths at most

TEXT, WHOLE, NUMBER, ANY = "text", "whole numbers", "numbers", "text or numbers"
_IS: dict[str, Callable[[pa.DataType], bool]] = {
    TEXT: lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_null(t),
    WHOLE: lambda t: pa.types.is_integer(t) and t not in (pa.uint64(),),
    NUMBER: lambda t: pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_boolean(t),
    ANY: lambda t: _IS[TEXT](t) or _IS[NUMBER](t),
}


def holds(kind: str, found: pa.DataType) -> bool:
    """Whether a column of this type holds values of a kind, such as :data:`TEXT`."""
    return _IS[kind](found)


class _Faulty(ValueError):
    """What is wrong with a value in JSON, in words."""


def read_json(
    path: Path | str, expected: str, *, error: type[MienError] = DataError, fix: str = "", most: int = MOST_BYTES
) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        path: The file, in UTF-8.
        expected: What should stand there, for the messages.
        error: What to raise.
        fix: What to do about it, for the messages.
        most: Most bytes that it may have.

    Raises:
        MienError: Of the given kind, with the line or the key: see :func:`parse_json`.
    """
    try:
        content = read_small(path, expected, most=most, error=error)
    except MienError as fault:
        raise error(fault.where, fault.found, fault.expected, fault.fix or fix) from fault.__cause__
    return parse_json(content, str(path), expected, error=error, fix=fix)


def card_beside(model: Path) -> tuple[Path, dict[str, Any]]:
    """Where the card beside an exported model lies, and what it says; nothing where there is none.

    Args:
        model: The ONNX file.

    Raises:
        WeightsError: If it cannot be read.
    """
    beside = model.with_suffix(".json")
    there = beside.is_file()
    return beside, read_json(beside, "the card of the model beside it", error=WeightsError) if there else {}


def parse_json(
    content: bytes | str,
    where: str,
    expected: str,
    *,
    error: type[MienError] = DataError,
    fix: str = "",
    nan: bool = False,
) -> dict[str, Any]:
    """Read JSON that is one object; arguments as for :func:`read_json`.

    Args:
        content: The JSON.
        where: Where it stands, for the messages.
        expected: What should stand there, for the messages.
        error: What to raise.
        fix: What to do about it, for the messages.
        nan: Whether NaN may stand for a number that is not known.

    Raises:
        MienError: Of the given kind, if it is not UTF-8, no JSON, or no object; if a key stands twice, or if it
            holds NaN, a number beyond all bounds, half a character or too many values inside each other.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        found = json.loads(
            text,
            object_pairs_hook=_each_once,
            parse_constant=_constant if nan else _refused,
            parse_float=_finite,
            parse_int=_whole,
        )
        if not isinstance(found, dict):
            raise _Faulty(f"holds {_kind(found)}")
        if _SURROGATE.search(text):
            # Half a character can be neither written nor shown, unless it stands for a byte of a file's name.
            json.dumps(found, ensure_ascii=False).encode(errors="surrogateescape")
        _check_depth(found, text)
    except _Faulty as fault:
        raise error(where, str(fault), expected, fix) from None
    except json.JSONDecodeError as fault:
        raise error(f"{where} line {fault.lineno}", f"is no whole JSON ({fault.msg})", expected, fix) from None
    except UnicodeDecodeError as fault:
        found_byte = f"the byte 0x{fault.object[fault.start]:02x} is not UTF-8"
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise error(f"{where} line {line}", found_byte, expected, fix) from None
    except UnicodeEncodeError:
        raise error(where, "holds half a character (a lone surrogate)", expected, fix) from None
    except RecursionError:
        raise error(where, "holds too many values inside each other", expected, fix) from None
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Faulty(f"the key {shown(twice)} stands twice")
    return found


def _refused(name: str) -> Any:
    raise _Faulty(f"holds {name}, which is no number")


def _constant(name: str) -> float:
    return float(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Faulty(f"holds the number {shown(text)[1:-1]}, which is beyond all bounds")
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _Faulty(f"holds a number of {len(text)} digits")
    return int(text)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else "one value"


def _check_depth(content: Any, text: str) -> None:
    """Refuse what is nested so deep that whoever walks through it would come to an end of the stack."""
    if text.count("{") + text.count("[") <= _DEEPEST:
        return
    level = [content]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise _Faulty(f"holds more than {_DEEPEST} values inside each other")


def as_record(
    cls: type[T], content: Mapping[str, Any], where: str, *, error: type[MienError] = DataError, fix: str = ""
) -> T:
    """A dataclass from what JSON says of it: its fields by name, each of the kind that its annotation says.

    Args:
        cls: The dataclass.
        content: Field -> value.
        where: The file, for the messages.
        error: What to raise.
        fix: What to do about it, for the messages.

    Raises:
        MienError: Of the given kind, with file and key, if a field is missing, unknown or of another kind.
    """
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            raise error(f"{where}: {shown(key)[1:-1]}", "unknown key", "", fix)
    return cast(T, as_kind(cls, content, where, error=error, fix=fix))


def as_kind(
    kind: Any, content: Any, where: str, key: str = "", *, error: type[MienError] = DataError, fix: str = ""
) -> Any:
    """A value from JSON as an annotation says: ``list[str]``, or a dataclass (its unknown keys are passed over).

    Args:
        kind: The annotation.
        content: The value.
        where: The file, for the messages.
        key: Under which key it stands there.
        error: What to raise.
        fix: What to do about it, for the messages.

    Raises:
        MienError: Of the given kind, with file and dotted key, where the value is of another kind.
    """
    try:
        # Through JSON, for only there the strict check takes a list for a tuple.
        return _adapter(kind).validate_json(json.dumps(content), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        path = ".".join(filter(None, [key, *(shown(str(part))[1:-1] for part in first["loc"])]))
        place = f"{where}: {path}" if path else where
        if first["type"] == "missing":
            raise error(place, "is missing", "a value", fix) from None
        wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise error(place, shown(first["input"]), wanted, fix) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_parquet(
    path: Path | str,
    columns: Mapping[str, str],
    expected: str,
    *,
    others: bool = False,
    rows: int | None = None,
    error: type[MienError] = DataError,
    fix: str = "",
) -> pa.Table:
    """Read a table of Mien's own: header first, then no more than it may hold.

    Args:
        path: The file.
        columns: The columns that must be there -> what each holds: :data:`TEXT`, :data:`WHOLE`, :data:`NUMBER` or
            :data:`ANY`.
        expected: What the file should be, for the messages.
        others: Read the other columns too, whatever they hold.
        rows: How many rows it must have.
        error: What to raise.
        fix: What to do about it, for the messages.

    Raises:
        MienError: Of the given kind, if the file cannot be read, a column is missing, stands twice or holds something
            else, or a cell has no end.
    """
    check_regular(path, expected, error=error)
    try:
        with pq.ParquetFile(path) as file:
            schema, n = file.schema_arrow, file.metadata.num_rows
        _check_header(str(path), schema, columns, expected, error, fix)
        most = max(_FEW_ROWS, _ROWS_A_BYTE * Path(path).stat().st_size)
        if n > most if rows is None else n != rows:
            raise error(str(path), f"{n:,} rows", f"{rows or 0:,}" if rows is not None else f"at most {most:,}", fix)
        names = [name for name in schema.names if others or name in columns]
        text = [name for name in names if holds(TEXT, schema.field(name).type)]
        # As codes, so that a long text in every row takes its room once until its length is known.
        table = pq.read_table(path, columns=names, read_dictionary=text)
        table.validate(full=True)
        for name in text:
            table = _with_text(table, name, schema, str(path), error, fix)
    except MienError:
        raise
    except Exception as fault:  # Arrow raises nearly every kind on files that are damaged
        raise error(str(path), f"cannot be read ({reason(fault)})", expected, fix) from fault
    return table


def _check_header(
    where: str, schema: pa.Schema, columns: Mapping[str, str], expected: str, error: type[MienError], fix: str
) -> None:
    seen: set[str] = set()
    if len(schema.names) > _MOST_COLUMNS:
        raise error(where, f"{len(schema.names):,} columns", f"at most {_MOST_COLUMNS:,}", fix)
    for name in schema.names:
        if name in seen:
            raise error(where, f"the column {shown(name)} stands twice", "each column once", fix)
        seen.add(name)
    missing = [name for name in columns if name not in seen]
    if missing:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise error(where, f"the column {shown(missing[0])}{more} missing", expected, fix)
    for name, kind in columns.items():
        found = schema.field(name).type
        plain = found.value_type if pa.types.is_dictionary(found) else found
        if not holds(kind, plain):
            raise error(where, f"the column {shown(name)} holds {found}", kind, fix)


def _with_text(table: pa.Table, name: str, schema: pa.Schema, where: str, error: type[MienError], fix: str) -> pa.Table:
    """The table with a column as text again, none of whose cells is longer than any honest one."""
    at, column = table.schema.get_field_index(name), table.column(name)
    for chunk in column.chunks:
        words = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        longest = pc.max(pc.binary_length(words)).as_py() if not pa.types.is_null(words.type) else 0
        if (longest or 0) > 4 * _LONGEST_TEXT:
            raise error(
                where, f"the column {shown(name)} has a cell of {longest:,} bytes", f"{_LONGEST_TEXT:,} at most", fix
            )
    return table.set_column(at, schema.field(name), column.cast(schema.field(name).type))


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_content(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain content, however its JSON is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


SUMS = "checksums"


def with_checksums(content: Mapping[str, Any], name: str, sums: Mapping[str, str]) -> dict[str, Any]:
    """Plain content that vouches for itself and for the files beside it; checksums that it brings are replaced.

    Args:
        content: What the file says.
        name: Its name.
        sums: File beside it -> SHA-256.
    """
    own = {k: v for k, v in content.items() if k != SUMS}
    return {**own, SUMS: {**sums, name: sha256_of_content(own)}}


def checksums_of(
    content: Mapping[str, Any], path: Path, files: Collection[str], *, error: type[MienError] = DataError, fix: str = ""
) -> dict[str, str]:
    """The checksums that a description brings, after it has been held to its own; empty where it brings none.

    Args:
        content: What :func:`with_checksums` gave.
        path: The description's file.
        files: The files beside it that it must vouch for.
        error: What to raise.
        fix: What to do about it, for the messages.

    Raises:
        MienError: Of the given kind, if it is not what was written, or a file has no checksum.
    """
    if SUMS not in content:
        return {}
    sums = content[SUMS]
    for name in (path.name, *files):
        if not isinstance(sums, dict) or not is_sha256(sums.get(name)):
            raise error(f"{path}: {SUMS}", f"has none of {name}", "a SHA-256 of each file", fix)
    found = sha256_of_content({k: v for k, v in content.items() if k != SUMS})
    check_sum(path, found, sums[path.name], error=error, fix=fix)
    return {str(k): str(v) for k, v in sums.items() if k != path.name}


def check_file_sum(path: Path, due: str, *, error: type[MienError] = DataError, fix: str = "") -> None:
    """Hold a file to its checksum.

    Raises:
        MienError: Of the given kind, if it is missing or not what was written.
    """
    check_regular(path, "the file as written", error=error)  # a pipe would be waited for
    try:
        found = sha256_of(path)
    except OSError as fault:
        raise error(str(path), f"cannot be read ({fault.strerror or fault})", "the file as written", fix) from fault
    check_sum(path, found, due, error=error, fix=fix)


def check_sum(path: Path, found: str, due: str, *, error: type[MienError] = DataError, fix: str = "") -> None:
    """Refuse a file whose checksum is not the one that is due.

    Raises:
        MienError: Of the given kind.
    """
    if found != due:
        raise error(str(path), f"is not what was written (checksum {found[:12]}...)", f"{due[:12]}...", fix)


_SAID: set[str] = set()


def say_unchecked(path: Path, what: str, fix: str) -> None:
    """One line on stderr, once a process: nobody can tell whether a folder still holds what was written.

    Args:
        path: The folder.
        what: What would not be noticed.
        fix: What to do about it, as a full sentence.
    """
    where = os.path.realpath(path)
    if where not in _SAID:
        _SAID.add(where)
        name = shown(str(path))[1:-1]
        _LOG.warning("%s was made by an older version and has no checksums: %s. %s", name, what, fix)


def is_sha256(value: Any) -> bool:
    """Whether a value is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
