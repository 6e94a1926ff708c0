"""SampleTable: one row a face, and the history of how the rows came to be."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.errors import DataError
from mien.own_files import ANY, NUMBER, TEXT, WHOLE, as_record, holds, parse_json, read_parquet

CORE_COLUMNS = ("sample_id", "image", "split", "identity", "cluster")
ANNOTATED, PERCEIVED = "annotated", "perceived"
VOTES_EACH = "votes_each"  # in a history: votes that one person spreads over a face
MERGE = "merge"  # the step that makes one table of several corpora
SUGGESTED = "suggestions_shown"  # in a history: whether people saw what a model says of a face
_KINDS = {"sample_id": TEXT, "image": WHOLE, "split": TEXT, "identity": TEXT, "cluster": WHOLE}


_NUMBER = re.compile(r" \d+$")


def sources_in(frame: pd.DataFrame, attribute: str) -> set[str]:
    """Where the groups of an attribute come from: all sources that stand beside them, in a table or in predictions."""
    sources = frame.get(f"{attribute}_source")
    return set() if sources is None else {str(source) for source in sources.dropna().unique()}


def with_corpus(names: pd.Series[Any], corpus: str) -> pd.Series[Any]:
    """Names of faces with their corpus in front: alike in a corpus and where it was merged.

    Args:
        names: ``(n,)`` names.
        corpus: Its name; empty where they are of a merged table and have it in front, perhaps with the number of a
            second store of that name.
    """
    whole = f"{corpus}/" + names.astype(str) if corpus else names.astype(str)
    return whole.str.replace(r"^([^/]*?) \d+/", r"\1/", regex=True).map(_innermost)


def _innermost(name: str) -> str:
    """A name under the corpus alone, of a face that was merged more than once: ``a+b/a/1.png`` is ``a/1.png``."""
    outer, _, rest = name.partition("/")
    while "+" in outer and (inner := rest.partition("/")[0]) and _NUMBER.sub("", inner) in outer.split("+"):
        name = _NUMBER.sub("", inner) + rest[len(inner) :]
        outer, _, rest = name.partition("/")
    return name


@dataclass(frozen=True)
class Step:
    """One step in a table's history: what was done, with which options, and what it did to the rows."""

    name: str
    n_before: int
    n_after: int
    options: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleTable:
    """A frozen table of faces. Steps return new tables; images live in a store, never here.

    Attributes:
        frame: Columns ``sample_id`` (unique str), ``image`` (row in the packed store), ``split``,
            ``identity`` (empty where unknown), ``cluster`` (copies of one picture share a number),
            ``votes_<class>`` for each word of the vocabulary, then for each attribute
            ``<attribute>`` (str, missing where unknown), and optionally ``<attribute>_source``
            (``annotated`` or ``perceived``) and ``<attribute>_confidence`` (0 to 1).
        name: The corpus.
        vocabulary: The words that annotators could vote for, in column order.
        attributes: Names of the attribute columns.
        history: The steps so far.
        annotator_errors: Perceived attribute -> what its annotator gets wrong, as plain content: ``groups``,
            ``counts`` (true group in rows, perceived in columns) or ``rates`` and ``n``, ``source``, and
            ``within``: other attribute -> its group -> the same. An audit corrects with it.
    """

    frame: pd.DataFrame
    name: str
    vocabulary: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    history: tuple[Step, ...] = ()
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = [*CORE_COLUMNS, *(f"votes_{v}" for v in self.vocabulary), *self.attributes]
        missing = [c for c in needed if c not in self.frame.columns]
        if missing:
            raise DataError(f"table {self.name!r}", f"columns {missing} are missing", ", ".join(needed))
        twice = self.frame["sample_id"].duplicated()
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            raise DataError(
                f"table {self.name!r} row {row}",
                f"sample_id {self.frame['sample_id'].iloc[row]!r} occurs twice",
                "each sample_id once",
            )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def votes(self) -> NDArray[np.float64]:
        """``(n, V)`` votes in the order of :attr:`vocabulary`."""
        return self.frame[[f"votes_{v}" for v in self.vocabulary]].to_numpy(dtype=np.float64)

    @property
    def faces(self) -> NDArray[np.object_]:
        """``(n,)`` what tells each face in any table: the hash of its picture, else its ``sample_id``.

        Labels that are drawn are drawn by it, so that copies of a picture, byte for byte, draw alike.
        """
        return self.frame["hash" if "hash" in self.frame else "sample_id"].to_numpy(dtype=object)

    @property
    def whole_names(self) -> pd.Series[Any]:
        """``(n,)`` names of the faces with their corpus in front: see :func:`with_corpus`."""
        merged = any(step.name == MERGE for step in self.history)
        return with_corpus(self.frame["sample_id"], "" if merged else self.name)

    def new_to(self, held: Collection[str], corpus: str) -> NDArray[np.bool_]:
        """``(n,)`` whether each face is known to be none of those that a corpus, less these, consists of.

        Args:
            held: Names of the faces of the corpus that are not meant.
            corpus: Its name. Faces of another are new; so are none of a table without its name that has some of
                ``held``.
        """
        whole, names = self.whole_names, pd.Series(list(held), dtype=object)
        known = {*with_corpus(names, corpus), *with_corpus(names, "")}  # those of a merged corpus have theirs in front
        among = self.frame["sample_id"].isin(held) | whole.isin(known)
        # A merged corpus is of all that its name says: of one of them there may be no held face at all.
        parts = {corpus, *(corpus.split("+") if "+" in corpus else ())}
        parts |= set(names.str.partition("/")[0] if "+" in corpus and len(names) else ())
        theirs = whole.str.partition("/")[0].isin([_NUMBER.sub("", part) for part in parts])
        if among.any() and not theirs.any():
            theirs[:] = True  # the corpus by another name
        return np.asarray(among | ~theirs, dtype=bool)

    @property
    def votes_each(self) -> int:
        """Votes that each person may have spread over a face: above 1 they are not those of as many people."""
        return next((int(s.detail[VOTES_EACH]) for s in reversed(self.history) if VOTES_EACH in s.detail), 1)

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of faces, in order of first appearance."""
        return {str(k): int(v) for k, v in self.frame["split"].value_counts(sort=False).items()}

    @property
    def attribute_columns(self) -> list[str]:
        """Each attribute's column, then those that belong to it: source, confidence, annotator, probabilities."""
        return [c for a in self.attributes for c in self.columns_of(a)]

    def is_perceived(self, attribute: str) -> bool:
        """Whether a model or onlookers guessed some of its groups."""
        return PERCEIVED in sources_in(self.frame, attribute)

    def columns_of(self, attribute: str) -> list[str]:
        """The columns of one attribute."""
        own = (attribute, *(f"{attribute}_{part}" for part in ("source", "confidence", "annotator")))
        return [c for c in self.frame.columns if c in own or c.startswith(f"{attribute}_prob_")]

    def derive(
        self,
        step: str,
        frame: pd.DataFrame,
        options: dict[str, Any] | None = None,
        detail: dict[str, Any] | None = None,
        attributes: Sequence[str] | None = None,
    ) -> SampleTable:
        """A new table with ``frame`` and one more step of history."""
        record = Step(step, len(self), len(frame), dict(options or {}), dict(detail or {}))
        return replace(
            self,
            frame=frame.reset_index(drop=True),
            history=(*self.history, record),
            attributes=self.attributes if attributes is None else tuple(attributes),
        )

    def where(self, mask: NDArray[np.bool_], step: str, **options: Any) -> SampleTable:
        """Keep the rows where ``mask`` is True."""
        return self.derive(step, self.frame[np.asarray(mask)], options)

    def in_split(self, split: str) -> SampleTable:
        """The rows of one split.

        Raises:
            DataError: If no row has it; the message lists those there are.
        """
        mask = (self.frame["split"] == split).to_numpy()
        if not mask.any():
            raise DataError(f"table {self.name!r}", f"no face in split {split!r}", f"one of {sorted(self.splits)}")
        return self.where(mask, "split", split=split)

    def save(self, path: Path) -> None:
        """Write one Parquet file; name, vocabulary, attributes and history stand in its metadata."""
        meta = {
            "name": self.name,
            "vocabulary": self.vocabulary,
            "attributes": self.attributes,
            "history": [asdict(s) for s in self.history],
            "annotator_errors": self.annotator_errors,
        }
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        merged = {
            **(table.schema.metadata or {}),
            b"mien": json.dumps(meta, ensure_ascii=False).encode(errors="replace"),
        }
        pq.write_table(table.replace_schema_metadata(merged), path)

    @classmethod
    def load(cls, path: Path, *, rows: int | None = None) -> SampleTable:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            rows: How many rows it must have.

        Raises:
            DataError: If the file is missing or is not such a table, with the column and the row.
        """
        table = read_parquet(path, _KINDS, "a Parquet table of samples", others=True, rows=rows)
        meta = (table.schema.metadata or {}).get(b"mien")
        if meta is None:
            raise DataError(str(path), "has no 'mien' metadata", "a table written by 'mien prepare'")
        where = f"{path}: its metadata"
        info = as_record(_Meta, parse_json(meta, where, "what 'mien prepare' wrote", nan=True), where)
        _check_values(path, table, info)
        try:
            frame = table.to_pandas()
        except Exception as error:  # what other programs wrote of its types, pandas reads in many ways
            raise DataError(str(path), f"cannot be read ({error})", "a Parquet table of samples") from error
        return cls(frame, info.name, info.vocabulary, info.attributes, info.history, info.annotator_errors)


@dataclass(frozen=True)
class _Meta:
    """What a table's file says beside its columns."""

    name: str
    vocabulary: tuple[str, ...]
    attributes: tuple[str, ...]
    history: tuple[Step, ...]
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)


def _check_values(path: Path, table: pa.Table, info: _Meta) -> None:
    """What kinds alone do not say: nothing missing where there must be a value, each vote a number of votes."""
    votes = [f"votes_{word}" for word in info.vocabulary]
    for names, least in ((info.vocabulary, "its vocabulary"), (info.attributes, "its attributes")):
        if len(set(names)) < len(names):
            raise DataError(str(path), f"names a word twice in {least}", "each once")
    for name in [*votes, *info.attributes]:
        if name not in table.column_names:
            raise DataError(str(path), f"the column {name!r} is missing", "a column for each vote and attribute")
    for name in ("sample_id", "image", "cluster", *votes):
        column = table.column(name)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise DataError(f"{path} row {row}", f"{name!r} is missing", "a value in each row")
    for attribute in info.attributes:
        own = {attribute: ANY, f"{attribute}_source": TEXT, f"{attribute}_confidence": NUMBER}
        own |= {name: NUMBER for name in table.column_names if name.startswith(f"{attribute}_prob_")}
        for name in own.keys() & set(table.column_names):
            _check_kind(path, table, name, own[name])
    for name in votes:
        _check_kind(path, table, name, NUMBER)
        values = table.column(name).to_numpy().astype(np.float64)
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(f"{path} row {row}", f"{name!r} is {values[row]}", "a number of votes, 0 or more")


def _check_kind(path: Path, table: pa.Table, name: str, kind: str) -> None:
    found = table.schema.field(name).type
    if not holds(kind, found.value_type if pa.types.is_dictionary(found) else found):
        raise DataError(str(path), f"the column {name!r} holds {found}", kind)
