"""What a request holds: one picture, several, or a table."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from mien.errors import MissingExtra
from mien.web.refusals import Refused

try:
    from fastapi import Request
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser
except ModuleNotFoundError as error:
    raise MissingExtra("serving", "serve", error.name or "fastapi") from error

_LONGEST_NAME = 200
_MOST_FIELD = 1024  # bytes of a field of a form that is no file
_MOST_MARKS = 10_000  # of JSON's own, of which a request of the most pictures needs a few hundred; base64 has none
_MARKS = (b"[", b"{", b",", b'"')


@dataclass(frozen=True)
class Sent:
    """One picture that was sent.

    Attributes:
        name: What its sender calls it; never opened as a path.
        data: The bytes of the file.
    """

    name: str
    data: bytes


async def pictures_of(request: Request, most: int, most_bytes: int, pool: Executor) -> list[Sent]:
    """The pictures of a request: the body of one, a form with files, or JSON with base64.

    Args:
        request: The request.
        most: Pictures.
        most_bytes: That the body may have; nothing of it is written to a disk.
        pool: Where JSON is read.

    Raises:
        Refused: If it holds none, too many, or is none of these (400, 413, 415).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = await _of_form(request, most, most_bytes)
    elif kind == "application/json":
        # On a thread: base64 of a large body takes a while.
        found = await asyncio.get_running_loop().run_in_executor(pool, _of_json, await request.body(), most)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        body = await request.body()
        found = [Sent("picture", body)] if body else []
    else:
        expected = "a picture (image/jpeg), a form with files (multipart/form-data) or application/json"
        raise Refused(415, f"The content type is {kind or 'not given'}: send {expected}.")
    if not found:
        raise Refused(400, "The request holds no picture.")
    return found


async def _of_form(request: Request, most: int, most_bytes: int) -> list[Sent]:
    try:
        # Fields that are no files are not used; they are decoded as they say, which some charsets make long work.
        parser = MultiPartParser(
            request.headers, request.stream(), max_files=most, max_fields=most, max_part_size=_MOST_FIELD
        )
        parser.spool_max_size = most_bytes  # in memory: what is spooled would lie on a disk
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Refused(413, f"A request may hold {most} pictures.") from None
        raise Refused(400, f"The form cannot be read: {error.message}") from None
    except (KeyError, ValueError, AssertionError) as error:  # a boundary that is none
        raise Refused(400, f"The form cannot be read: {error}.") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [Sent(_name(file.filename, i), await file.read()) for i, file in enumerate(files)]
    finally:
        await form.close()


def _of_json(body: bytes, most: int) -> list[Sent]:
    # Reading millions of empty lists takes seconds in which no other thread runs, and half a gigabyte.
    if sum(map(body.count, _MARKS)) > _MOST_MARKS:
        raise Refused(400, f"The body has more than {_MOST_MARKS:,} brackets, commas and quotation marks.")
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is no JSON.") from None
    pictures = content.get("pictures") if isinstance(content, dict) else None
    if not isinstance(pictures, list):
        raise Refused(400, 'The body must be {"pictures": [{"name": "a.jpg", "data": "base64"}]}.')
    if len(pictures) > most:
        raise Refused(413, f"A request may hold {most} pictures.")
    found = []
    for i, picture in enumerate(pictures):
        data = picture.get("data") if isinstance(picture, dict) else None
        if not isinstance(data, str):
            raise Refused(400, f"pictures.{i}.data: must be text, the picture in base64.")
        name = picture.get("name")
        try:
            found.append(Sent(_name(name if isinstance(name, str) else None, i), base64.b64decode(data, validate=True)))
        except (binascii.Error, ValueError):
            raise Refused(400, f"pictures.{i}.data: is no base64.") from None
    return found


def _name(given: str | None, i: int = 0) -> str:
    """What a picture is called in its rows; halves of characters, which are no text, are written out."""
    name = (given or f"picture-{i}")[:_LONGEST_NAME]
    return name.encode(errors="backslashreplace").decode()
