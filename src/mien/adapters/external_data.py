"""Where an ONNX file keeps its weights: refused before the runtime opens it, if that is outside of its folder.

A tensor of an ONNX file may name another file that holds its values. A path that leads out of the model's folder
lets a model that somebody sent read any file of whoever runs it, and give its content out as predictions; runtimes
before 1.24.1 do so. The few fields that matter are read here, without the ``onnx`` package: see ``onnx.proto``.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from mien.errors import WeightsError
from mien.inputs import check_regular
from mien.values import shown

_EXPECTED = "an ONNX model"
_MOST_FIELDS = 2_000_000  # those of a large network are some ten thousand, for values of a tensor are one
_MOST_BYTES = 1 << 31  # the format's own bound
_RUNTIMES_OWN = "_ORT_MEM_ADDR_"  # with it, onnxruntime takes a number in the file for an address in memory

# Message -> number of a field -> message in it, as far as a tensor may lie inside.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


class _Broken(ValueError):
    """What is wrong with the file."""


def check_external_data(path: Path) -> None:
    """Refuse an ONNX file that keeps weights elsewhere than in files beside it or in folders below.

    Raises:
        WeightsError: If it does, or is no ONNX file.
    """
    check_regular(path, _EXPECTED, most=_MOST_BYTES, error=WeightsError)
    try:
        locations = external_locations(path)
    except (_Broken, OSError, ValueError) as error:
        raise WeightsError(str(path), f"cannot be read ({error})", _EXPECTED) from error
    # A cache may keep a model and its data under links, side by side in another folder.
    folders = {Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent}
    for raw in locations:
        location = raw.decode(errors="backslashreplace")
        windows = PureWindowsPath(location)
        there = Path(os.path.realpath(path.parent / location.replace("\0", "")))
        if (
            "\0" in location
            or windows.drive
            or windows.root
            or ".." in windows.parts
            or "\\" in location
            or _RUNTIMES_OWN in location
            or not any(there.is_relative_to(folder) for folder in folders)
        ):
            raise WeightsError(
                str(path),
                f"keeps weights in {shown(location)}, outside of its folder",
                "weights in the file, or in files beside it",
                "Do not use it, unless you know who made it and why.",
            )
        check_regular(there, "the weights of an ONNX model", error=WeightsError)
        if not there.is_file():
            raise WeightsError(str(path), f"keeps weights in {shown(location)}, which is missing", "the file beside it")


def external_locations(path: Path) -> list[bytes]:
    """Paths, as they stand in the file, of the files that hold values of its tensors.

    Raises:
        ValueError: If it is no ONNX file.
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise _Broken("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[4:8] == b"ORTM":
                raise _Broken("it is in the format of onnxruntime, which can name other files too")
            return _locations(content, size)


def _locations(content: mmap.mmap, size: int) -> list[bytes]:
    found: dict[bytes, None] = {}
    left = _MOST_FIELDS
    has_graph = False
    inside = [("model", 0, size)]
    while inside:
        message, start, end = inside.pop()
        entry: dict[int, list[bytes]] = {1: [], 2: []}
        for number, at, stop in _fields(content, start, end):
            left -= 1
            if not left:
                raise _Broken(f"it has more than {_MOST_FIELDS:,} parts")
            has_graph |= message == "model" and number == 7
            if message == "entry":
                entry.setdefault(number, []).append(content[at:stop])
            elif number in _FIELDS[message]:
                inside.append((_FIELDS[message][number], at, stop))
        # However often key and value are written in one entry: no reader's choice among them can get past.
        if b"location" in entry[1]:
            found |= dict.fromkeys(entry[2])
    if not has_graph:
        raise _Broken("it holds no graph")
    return list(found)


def _fields(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a message whose value has a length; others are passed over."""
    while at < end:
        tag, at = _number(content, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _, at = _number(content, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _number(content, at, end)
            if number and at + length <= end:
                yield number, at, at + length
            at += length
        if kind not in (0, 1, 2, 5) or not 0 < number < 1 << 29 or at > end:
            raise _Broken("its parts do not fit each other")


def _number(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of up to ten bytes, seven bits in each, and where the next part begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _Broken("it ends in the middle of a number")
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _Broken("it holds a number without end")
