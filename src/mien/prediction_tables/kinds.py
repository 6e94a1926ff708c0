"""What kind of file somebody handed over, told from its first bytes and not from its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mien.errors import DataError
from mien.prediction_tables.dialects import encoding_of, first_bytes

PARQUET, CSV, JSON, ARRAY, ARRAYS = "Parquet", "CSV", "JSON", "npy", "npz"
_WANTED = "a CSV, Parquet, JSON, .npy or .npz file of predictions"
_LARGEST = 1 << 32  # bytes; a few thousand of zeros, packed, may stand for many more
_SAVE_AS_CSV = "In Excel choose File, Save As, type 'CSV UTF-8', and give that file."
#: First bytes -> what it is, and what to do.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook", _SAVE_AS_CSV),
    (b"ARROW1", "is a Feather file", "Save the table as Parquet or CSV."),
    (b"\x89HDF", "is an HDF5 file", "Save the table in it as Parquet or CSV."),
    (b"\x80", "is a pickle, which can run any code when it is opened", "Save the table as Parquet or CSV."),
    (b"version https://git-lfs", "is a placeholder of Git LFS and not the file itself", "Fetch it with: git lfs pull"),
)


def kind_of(path: Path) -> str:
    """``Parquet``, ``CSV``, ``JSON``, ``npy`` or ``npz``.

    Raises:
        DataError: If it is nothing that holds a table of predictions; with what to do.
    """
    start, _ = first_bytes(path, 4096)
    if not start.strip():
        raise DataError(str(path), "is empty", _WANTED)
    if start.startswith(b"PAR1"):
        return PARQUET
    if start.startswith(b"\x93NUMPY"):
        return ARRAY
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    for magic, found, fix in _OTHERS:
        if start.startswith(magic):
            raise DataError(str(path), found, _WANTED, fix)
    text = start.decode(encoding_of(start), errors="replace").lstrip().lower()
    if text.startswith(("<!doctype", "<html", "<?xml")):
        fix = "Was a page saved in place of the file that it offers?"
        raise DataError(str(path), "is a web page or XML", _WANTED, fix)
    if path.suffix.lower() == ".parquet":
        raise DataError(str(path), "cannot be read: it has the name of a Parquet file and is none", _WANTED)
    return JSON if text.startswith(("[", "{")) else CSV


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.namelist()
            size = sum(member.file_size for member in packed.infolist())
    except zipfile.BadZipFile as error:
        raise DataError(str(path), f"cannot be read ({error})", _WANTED) from error
    if members and all(m.endswith(".npy") for m in members):
        if size > _LARGEST:
            raise DataError(str(path), f"unpacks to {size:,} bytes", f"arrays of at most {_LARGEST:,} bytes")
        return ARRAYS
    if any(m.startswith("xl/") for m in members):
        raise DataError(str(path), "is an Excel workbook", _WANTED, _SAVE_AS_CSV)
    raise DataError(str(path), "is a ZIP archive", _WANTED, "Unpack it and give the table in it.")
