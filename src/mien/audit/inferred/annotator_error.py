"""What an annotator of perceived groups gets wrong: its confusion matrix, counted on faces whose group is known."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import DataError, UsageError
from mien.inputs import read_small
from mien.missing import is_missing
from mien.own_files import MOST_BYTES, read_json
from mien.registry import nearest
from mien.spellings import folded
from mien.spreadsheets import without_marks
from mien.values import shown

Array = NDArray[np.float64]
MAX_CONDITION = 20.0
PRIOR_FACES = 1.0  # a row's prior, shared equally by its cells: too little to blur a matrix of many groups
_SIZE_COLUMN = "n"
_PERCEIVED_WORDS = ("perceived", "predicted", "prediction", "pred", "guess", "guessed", "annotator", "estimated")
_TRUE_WORDS = ("true", "truth", "annotated", "actual", "real", "stated", "reference", "known", "self", "target")
_COLUMN_WORDS, _ROW_WORDS = {"column", "columns"}, {"row", "rows"}
_LAYOUT = "first column the true group, one column for each perceived group"


@dataclass(frozen=True)
class AnnotatorError:
    """How often an annotator perceives each group as each other one, counted on faces whose group is known.

    Attributes:
        groups: The G groups.
        counts: G rows of G counts of that validation set: rows the true group, columns the perceived
            one. They are counts and not rates so that the matrix's own sampling error is known.
        source: Where the counts come from.
        note: What to know of them, e.g. which groups a merged one holds, or in which mix.
    """

    groups: list[str]
    counts: list[list[float]]
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _check(self.where, self.groups, self.counts)

    @classmethod
    def from_rates(
        cls, groups: Sequence[str], rates: ArrayLike, n: ArrayLike, source: str = "annotator error"
    ) -> AnnotatorError:
        """From rates and the number of validation faces behind them.

        Args:
            groups: The G groups.
            rates: ``(G, G)``; each row sums to 1, or to 100 for per cent.
            n: ``(G,)`` validation faces of each true group, or one number for all.
            source: Where they come from.

        Raises:
            DataError: If a row sums to neither, or a number of faces is not positive.
        """
        table = _numbers(source, rates)
        if table.ndim != 2 or not len(table):
            raise DataError(source, f"rates have {table.ndim} dimensions", f"a table: {_LAYOUT}")
        sums = table.sum(-1)
        for scale in (1.0, 100.0):
            # Published rates are rounded.
            if np.abs(sums - scale).max() <= 0.02 * scale:
                break
        else:
            raise DataError(source, f"rows of rates sum to {_short(sums)}", "1 in each row")
        sizes = _numbers(source, n)
        if sizes.shape not in ((), sums.shape):
            raise DataError(source, f"n has the shape {sizes.shape}", "a number for each true group, or one for all")
        sizes = np.broadcast_to(sizes, sums.shape)
        if not (np.isfinite(sizes).all() and (sizes > 0).all()):
            raise DataError(source, f"validation faces are {_short(sizes)}", "a positive number for each true group")
        return cls([str(g) for g in groups], (table / sums[:, None] * sizes[:, None]).tolist(), source)

    @classmethod
    def load(cls, path: Path | str) -> AnnotatorError:
        """Read a CSV or a JSON file.

        CSV: first column the true group, one column for each perceived group, counts; or rates and a
        column ``n`` with the validation faces of each true group. The first cell may say what the rows are
        (``true``, ``perceived``, ``perceived\\true``): where these are the perceived groups, the table is
        turned, and :attr:`note` says so. JSON: ``groups``, ``counts`` (or ``rates`` and ``n``), optionally ``source``.

        Raises:
            DataError: If the file cannot be read, names differ between rows and columns, the first cell says that
                rows and columns are the same side, or the counts cannot serve: see the class.
        """
        path = Path(path)
        expected = "a CSV or JSON table of counts"
        if path.suffix.lower() == ".json":
            return cls.from_content(read_json(path, expected), str(path))
        try:
            text = read_small(path, expected, most=MOST_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(str(path), f"cannot be read ({error})", expected) from error
        return _from_csv(text, str(path))

    @classmethod
    def from_content(cls, content: Any, where: str) -> AnnotatorError:
        """From plain content, as it stands in JSON or comes with a table: see :meth:`load`; ``note`` is optional.

        Raises:
            DataError: If it cannot serve: see the class.
        """
        error = _from_json(content, where)
        return replace(error, note=str(content.get("note") or ""))

    @property
    def where(self) -> str:
        """Name of the matrix in messages."""
        return self.source or "annotator error"

    @property
    def n(self) -> Array:
        """``(G,)`` validation faces of each true group."""
        return np.asarray(np.asarray(self.counts, dtype=np.float64).sum(1))

    @property
    def rates(self) -> Array:
        """``(G, G)`` shares: entry (g, h) is how often a face of g is perceived as h."""
        return np.asarray(np.asarray(self.counts, dtype=np.float64) / self.n[:, None], dtype=np.float64)

    @property
    def condition(self) -> float:
        """Condition number of the rates: 1 for a perfect annotator, 1 / (1 - 2e) for error e in two groups."""
        return float(np.linalg.cond(self.rates))

    def matched(self, groups: Sequence[str]) -> AnnotatorError:
        """The same matrix in the order of ``groups``, followed by those that nobody is perceived as.

        Raises:
            DataError: If a group is not in the matrix.
        """
        place = {folded(g): i for i, g in enumerate(self.groups)}
        for group in groups:
            if folded(group) not in place:
                raise DataError(
                    self.where,
                    f"has no group {group!r}",
                    "every group that the attribute has",
                    nearest(group, list(self.groups)),
                )
        order = [place[folded(g)] for g in groups]
        order += [i for i in range(len(self.groups)) if i not in order]
        names = [*groups, *(self.groups[i] for i in order[len(groups) :])]
        return AnnotatorError(names, [[self.counts[i][j] for j in order] for i in order], self.source, self.note)

    def drawn(self, n_draws: int, rng: np.random.Generator) -> Array:
        """Matrices as plausible as the validation set leaves them: ``(n_draws, G, G)`` rates.

        Each row is drawn from its Dirichlet posterior: the counts plus one face spread over the row.
        """
        posterior = np.asarray(self.counts, dtype=np.float64) + PRIOR_FACES / len(self.groups)
        parts = rng.standard_gamma(posterior, size=(n_draws, *posterior.shape))
        return np.asarray(parts / parts.sum(-1, keepdims=True))


def refusal(content: Any, attribute: str, groups: Sequence[str]) -> str:
    """Why an annotator's errors that came with the predictions cannot be used; empty if they can, or none came.

    Args:
        content: The errors as plain content; None if none came.
        attribute: The attribute that they are of.
        groups: The groups that it has.
    """
    if content is None:
        return ""
    try:
        AnnotatorError.from_content(content, f"annotator error of {attribute}").matched(groups)
    except DataError as error:
        return str(error)
    return ""


def matched_pair(
    error: AnnotatorError | None, error_if_wrong: AnnotatorError | None, groups: Sequence[str]
) -> tuple[AnnotatorError | None, AnnotatorError | None]:
    """Both matrices of an annotator in one order of groups; see :meth:`AnnotatorError.matched`.

    Raises:
        UsageError: If the second is given alone.
        DataError: If they are of different groups, or a group is missing.
    """
    if error is None:
        if error_if_wrong is not None:
            raise UsageError("error_if_wrong", "is given alone", "'error' too, for faces that the model gets right")
        return None, None
    error = error.matched(groups)
    if error_if_wrong is None:
        return error, None
    error_if_wrong = error_if_wrong.matched(error.groups)
    if error_if_wrong.groups != error.groups:
        more = ", ".join(g for g in error_if_wrong.groups if g not in error.groups)
        raise DataError(error_if_wrong.where, f"has groups that {error.where} lacks ({more})", "the same groups")
    return error, error_if_wrong


def _from_json(content: Any, where: str) -> AnnotatorError:
    fields = content if isinstance(content, dict) else {}
    if "groups" not in fields or not {"counts", "rates"} & set(fields):
        raise DataError(where, "has no 'groups' and 'counts'", "'groups' and 'counts' (or 'rates' and 'n')")
    if not isinstance(fields["groups"], list) or not all(isinstance(g, str | int | float) for g in fields["groups"]):
        raise DataError(f"{where}: groups", shown(fields["groups"]), "a list of names")
    groups, source = [str(g) for g in fields["groups"]], str(fields.get("source") or where)
    if "counts" in fields:
        counts = _numbers(where, fields["counts"])
        _refuse_fractions(where, counts)
        return AnnotatorError(groups, counts.tolist(), source)
    if fields.get("n") is None:
        _refuse_fractions(where, np.asarray([[0.5]]))
    return AnnotatorError.from_rates(groups, fields["rates"], fields["n"], source)


def _from_csv(text: str, where: str) -> AnnotatorError:
    lines = [[without_marks(cell.strip()) for cell in line] for line in csv.reader(text.splitlines()) if any(line)]
    if len(lines) < 2:
        raise DataError(where, f"has {len(lines)} lines", f"a table: {_LAYOUT}")
    header, body = lines[0], lines[1:]
    for number, line in enumerate(body, start=2):
        if len(line) != len(header):
            raise DataError(f"{where} line {number}", f"has {len(line)} cells", f"{len(header)}, as the header")
    rows, columns = [line[0] for line in body], header[1:]
    sized = _SIZE_COLUMN in columns and _SIZE_COLUMN not in rows
    groups = [c for c in columns if not (sized and c == _SIZE_COLUMN)]
    _check_names(where, rows, groups)
    table = {row: dict(zip(columns, line[1:], strict=True)) for row, line in zip(rows, body, strict=True)}
    values = _numbers(where, [[table[g][h] for h in groups] for g in groups])
    turned = _rows_are_perceived(header[0], where)
    sizes = _numbers(where, [table[g][_SIZE_COLUMN] for g in groups]) if sized else values.sum(1)
    if not sized or np.array_equal(values.sum(1), sizes):
        _refuse_fractions(where, values)
        return _turned(groups, values, where) if turned else AnnotatorError(groups, values.tolist(), where)
    if turned:
        # Shares of a perceived group and how many faces were perceived so: counts, which can be turned.
        counts = np.asarray(AnnotatorError.from_rates(groups, values, sizes, where).counts)
        return _turned(groups, counts, where)
    return AnnotatorError.from_rates(groups, values, sizes, where)


def _turned(groups: list[str], counts: Array, where: str) -> AnnotatorError:
    note = "The first cell of the table says that its rows are the perceived groups: it was turned."
    return AnnotatorError(groups, counts.T.tolist(), where, note)


def _rows_are_perceived(corner: str, where: str) -> bool:
    r"""Whether the first cell says that rows are perceived groups; ``a\b``, ``a/b`` and ``a vs b`` name the rows first.

    Raises:
        DataError: If it names one side twice.
    """
    words = re.findall(r"[a-z]+", folded(corner))
    sides = [word in _PERCEIVED_WORDS for word in words if word in (*_PERCEIVED_WORDS, *_TRUE_WORDS)]
    if len(sides) > 1 and len(set(sides)) == 1:
        side = "perceived" if sides[0] else "true"
        raise DataError(f"{where} first cell", f"holds {corner!r}: {side} groups on both sides", _LAYOUT)
    if len(sides) == 1 and set(words) & _COLUMN_WORDS and not set(words) & _ROW_WORDS:
        return not sides[0]  # "perceived in columns"
    return bool(sides) and sides[0]


def _check_names(where: str, rows: list[str], columns: list[str]) -> None:
    """Rows and columns must name the same groups, in any order."""
    odd = sorted(set(rows) ^ set(columns))
    if not odd:
        return
    side, other, known = ("row", "column", columns) if odd[0] in rows else ("column", "row", rows)
    raise DataError(
        where,
        f"{side} {odd[0]!r} has no {other} of that name",
        _LAYOUT,
        "Leave out the faces to which the annotator gave no group." if is_missing(odd[0]) else nearest(odd[0], known),
    )


def _check(where: str, groups: Sequence[str], counts: Sequence[Sequence[float]]) -> None:
    if len(groups) < 2 or len(set(groups)) < len(groups):
        raise DataError(where, f"names the groups {', '.join(groups)}", "two or more different groups")
    table = _numbers(where, counts)
    if table.shape != (len(groups), len(groups)):
        shape = " x ".join(map(str, table.shape))
        raise DataError(where, f"counts are {shape}", f"{len(groups)} x {len(groups)}: {_LAYOUT}")
    if not np.isfinite(table).all() or (table < 0).any():
        row = int(np.flatnonzero(~np.isfinite(table).all(1) | (table < 0).any(1))[0])
        raise DataError(f"{where} row {groups[row]!r}", f"holds {_short(table[row])}", "counts of 0 or more")
    empty = np.flatnonzero(table.sum(1) == 0)
    if len(empty):
        raise DataError(
            f"{where} row {groups[empty[0]]!r}",
            "has no face",
            "validation faces of every group",
            "Validate the annotator on faces of this group, or merge it with another.",
        )
    if np.allclose(table.sum(1), 1, atol=0.02):
        _refuse_fractions(where, np.asarray([[0.5]]))
    condition = np.linalg.cond(table / table.sum(1, keepdims=True))
    if not condition <= MAX_CONDITION:
        raise DataError(
            where,
            f"the annotator hardly tells the groups apart (condition number {condition:.0f})",
            f"at most {MAX_CONDITION:.0f}",
            "No correction can be trusted: merge the groups that it confuses, or use a better annotator.",
        )


def _refuse_fractions(where: str, values: Array) -> None:
    if (values % 1 != 0).any() or np.allclose(values.sum(-1), 1):
        raise DataError(
            where,
            "holds rates",
            "counts of validation faces: how sure the rates are depends on them",
            "Give the counts, or say on how many faces each rate rests: 'n', the validation faces of each true group "
            "(a column of the CSV, a field of the JSON).",
        )


def _numbers(where: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(where, f"holds something that is not a number ({error})", "a table of numbers") from error


def _short(values: Array) -> str:
    return ", ".join(f"{v:g}" for v in values)
