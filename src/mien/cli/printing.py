"""Rows of predict on their way out: into a file, or as JSON on stdout while they come."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.shown import tell

if TYPE_CHECKING:
    from mien.predict import FaceRow, Predictor

Write = Callable[[Sequence["FaceRow"]], None]
#: How rows are printed: a table at the end, one JSON list, or a JSON object a line.
Printed = Literal["table", "list", "lines"]
STDOUT = Path("-")


@contextmanager
def rows_out(
    predictor: Predictor,
    out: Path | None,
    printed: Printed,
    keep: Write,
    *,
    film: bool = False,
    resume: bool = False,
) -> Iterator[Write]:
    """What takes the rows of one picture or frame after the other, and holds none of them back.

    Args:
        predictor: Whose rows they are.
        out: A file; None for stdout.
        printed: How, where there is no file.
        keep: Takes them where they are printed as a table, later.
        film: They are of films.
        resume: Go on where the file ends.
    """
    from mien.predict.writers import writer

    if out is not None:
        model = predictor.model
        with writer(out, model.classes, model.numbers, resume=resume, film=film, heads=predictor.heads) as made:
            yield made.write
    elif printed == "table":
        yield keep
    elif printed == "lines":
        yield _print_lines
    else:
        yield from _list()


def _print_lines(rows: Sequence[FaceRow]) -> None:
    tell(*map(_as_line, rows))
    sys.stdout.flush()  # whoever reads waits for them


def _list() -> Iterator[Write]:
    before = "["

    def write(rows: Sequence[FaceRow]) -> None:
        nonlocal before
        for row in rows:
            tell(before + _as_line(row))
            before = ","

    try:
        yield write
    finally:  # a list that ends, whatever ended the work
        tell("[]" if before == "[" else "]")


def _as_line(row: FaceRow) -> str:
    # JSON writes all but ASCII as \u escapes; of ASCII only the delete character is left.
    return json.dumps(row.as_json()).replace("\x7f", "\\u007f")
