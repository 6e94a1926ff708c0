"""What passes between the stages: Predictions, Estimate, RunRecord."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.outputs import whole, write_text
from mien.own_files import as_kind, as_record, read_json
from mien.prediction_tables.fields import fields_of
from mien.prediction_tables.number_columns import NUMBER
from mien.prediction_tables.reading import read_frame, read_table, write_parquet
from mien.spreadsheets import write_csv
from mien.values import shown


def thousandths(value: float) -> str:
    """Three decimals, and no minus before a zero."""
    return f"{round(value, 3) + 0.0:.3f}"


@dataclass(frozen=True)
class Estimate:
    """A number that says how sure it is. No bare numbers in a report.

    Attributes:
        value: The point estimate; NaN where undefined.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
        level: Coverage that the interval aims at, e.g. 0.95.
        method: How the interval was made: ``bootstrap percentile``, ``wilson``, ``none``.
        n: Faces behind the value.
        clusters: Independent units behind it (copies of a picture, or faces of a person, are one).
        seed: Seed of the resampling; None where nothing was drawn.
        note: Why the value is undefined or not to be relied on; empty otherwise.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    _: KW_ONLY
    level: float = 0.95
    method: str = "none"
    n: int = 0
    clusters: int = 0
    seed: int | None = None
    note: str = ""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Estimate:
        """Read what JSON made of an estimate: null is NaN again; keys that it does not know are passed over."""
        numbers = {k: float("nan") if content.get(k) is None else float(content[k]) for k in ("value", "low", "high")}
        known = {k: v for k, v in content.items() if k in cls.__dataclass_fields__}
        return cls(**{**known, **numbers})

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"undefined ({self.note})" if self.note else "undefined"
        text = thousandths(self.value)
        if not (np.isnan(self.low) or np.isnan(self.high)):
            text += f" [{thousandths(self.low)}, {thousandths(self.high)}]"
        return text + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """One row a face: what it is, what a model said, and to which groups it belongs.

    A tool may fail to find a face at all. Such faces are no predictions: they stand in
    :attr:`undetected`, apart from all arrays, so that the failures can be counted by group and
    enter no other metric.

    Attributes:
        sample_id: ``(n,)`` unique str; an object array, or pandas' Arrow text where they were read from a table.
        classes: The K classes.
        labels: ``(n,)`` int, the annotated class.
        predicted: ``(n,)`` int, the model's class.
        probs: ``(n, K)`` floats that sum to 1 (float32 where the table has float32), or None where
            only names were given.
        soft_targets: ``(n, K)`` floats that sum to 1, the annotated distribution; None where only
            the labels were given. :attr:`targets` serves both.
        votes: ``(n, K)`` annotators' votes, or None.
        groups: ``(n, A)`` frame of attribute columns, missing where unknown.
        cluster: ``(n,)`` int codes of independent units (pictures or persons), or None.
        image: ``(n,)`` int rows of the image store, or None.
        source: Where the predictions come from, for messages and reports.
        undetected: The m faces that the tool did not find: ``sample_id``, ``label`` (the class's
            name), ``cluster`` and ``image`` where :attr:`cluster` and :attr:`image` are given, and the columns
            of :attr:`groups`. No rows where all were found, None where the table does not say.
        numbers: ``(n, M)`` frame of the numbers that the model told beside the classes (valence, intensities), NaN
            where missing; None where it tells none. Columns ``number_<name>`` of a file; Parquet files keep which
            they are, while in CSV they are columns as any other.
        notes: What a reader must know of these rows, in sentences; Parquet files keep them, CSV does not.
        warnings: What puts every finding about these rows in doubt (rows that repeat, a person who is a third of the
            faces), in sentences that an audit says first; kept as :attr:`notes` are.
        annotator_errors: Perceived attribute -> what its annotator gets wrong; see
            :class:`mien.samples.SampleTable`. Parquet files keep it, CSV does not.
    """

    sample_id: Any
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probs: NDArray[Any] | None
    soft_targets: NDArray[Any] | None
    votes: NDArray[np.float64] | None
    groups: pd.DataFrame
    cluster: NDArray[np.int64] | None = None
    image: NDArray[np.int64] | None = None
    source: str = ""
    undetected: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    annotator_errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    numbers: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def targets(self) -> NDArray[Any]:
        """``(n, K)`` annotated distribution; one-hot rows, made anew at each call, where only labels were given."""
        if self.soft_targets is not None:
            return self.soft_targets
        return np.eye(len(self.classes), dtype=np.float32)[self.labels]

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
        """The rows of a boolean mask or of an index array; faces that were not found are left behind."""

        def cut(a: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if a is None else a[mask]

        def rows(frame: pd.DataFrame) -> pd.DataFrame:
            return (frame[mask] if mask.dtype == bool else frame.iloc[mask]).reset_index(drop=True)

        return Predictions(
            sample_id=self.sample_id[mask],
            classes=self.classes,
            labels=self.labels[mask],
            predicted=self.predicted[mask],
            probs=cut(self.probs),
            soft_targets=cut(self.soft_targets),
            votes=cut(self.votes),
            groups=rows(self.groups),
            cluster=cut(self.cluster),
            image=cut(self.image),
            source=self.source,
            notes=self.notes,
            annotator_errors=self.annotator_errors,
            warnings=self.warnings,
            numbers=None if self.numbers is None else rows(self.numbers),
        )

    def confusion(self) -> NDArray[np.int64]:
        """``(K, K)`` counts, rows annotated, columns predicted."""
        k = len(self.classes)
        return np.bincount(self.labels * k + self.predicted, minlength=k * k).reshape(k, k).astype(np.int64)

    def to_frame(self) -> pd.DataFrame:
        """The documented columns: see :meth:`from_frame`."""
        columns: dict[str, Any] = {"sample_id": self.sample_id}
        if self.image is not None:
            columns["image"] = self.image
        if self.cluster is not None:
            columns["cluster"] = self.cluster
        names = np.array(self.classes, dtype=object)
        columns["label"], columns["pred"] = names[self.labels], names[self.predicted]
        for prefix, values in (("target_", self.soft_targets), ("prob_", self.probs), ("votes_", self.votes)):
            if values is not None:
                columns |= {f"{prefix}{c}": values[:, k] for k, c in enumerate(self.classes)}
        if self.numbers is not None:
            columns |= {f"{NUMBER}{name}": self.numbers[name].to_numpy() for name in self.numbers}
        if self.undetected is not None:
            columns["detected"] = np.ones(len(self), dtype=np.int64)
        found = pd.concat([pd.DataFrame(columns), self.groups.reset_index(drop=True)], axis=1)
        if self.undetected is None or not len(self.undetected):
            return found
        return pd.concat([found, self.undetected.assign(detected=0)], ignore_index=True)

    def save(self, path: Path) -> None:
        """Write CSV or Parquet, by the ending of ``path``; a half-written file is never left behind.

        CSV is for people: names that a spreadsheet would take for formulas are marked (:mod:`mien.spreadsheets`),
        and :meth:`load` takes the marks away. Parquet holds every name as it is.
        """
        with whole(path) as partial:
            if path.suffix == ".parquet":
                said: dict[str, Any] = {"notes": list(self.notes), "warnings": list(self.warnings)}
                said |= {} if self.numbers is None else {"numbers": list(self.numbers)}
                write_parquet(self.to_frame(), partial, {**said, "annotator_errors": self.annotator_errors})
            else:
                write_csv(self.to_frame(), partial)

    @classmethod
    def load(
        cls, path: Path | str, classes: Sequence[str] | None = None, *, annotations: Path | str | None = None
    ) -> Predictions:
        """Read CSV or Parquet with the columns of :meth:`from_frame`, or what other tools write.

        CSV may have commas, semicolons or tabs, any usual encoding, and be packed; JSON of deepface and of
        Hugging Face's pipelines, tables of fer, py-feat and timm, and arrays (``.npy``, ``.npz``) are read too.
        Ten million rows of Parquet take seconds and about their own size in memory. An empty cell is a
        missing value, and so is every word of :data:`mien.missing.MISSING_WORDS`. A CSV column of numbers
        only is numeric, and no attribute.

        Args:
            path: The file.
            classes: As for :meth:`from_frame`; of an array, the classes of its columns.
            annotations: Another such file, with the labels and groups of the same pictures, where the tool's
                own file has none; see :func:`mien.prediction_tables.annotations.joined`.

        Raises:
            DataError: If the file cannot be read or a column is wrong; with the line in a CSV file,
                with the row (from 0) in a Parquet file.
        """
        other = None if annotations is None else Path(annotations)
        return cls(**fields_of(read_table(Path(path), annotations=other, classes=classes), classes))

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, classes: Sequence[str] | None = None, source: str = "predictions"
    ) -> Predictions:
        """Read predictions of any tool.

        Columns: ``sample_id`` (or ``id``; row numbers where absent); the truth as ``label`` (a class
        name) or ``target_<class>``; the prediction as ``pred`` (a class name) or ``prob_<class>``
        (they sum to 1); where both stand, the name is the label or prediction and the numbers its
        distribution (a threshold may make them differ); optionally ``votes_<class>``, and
        ``identity`` or ``cluster`` for rows that are not independent; optionally ``detected`` (1 or
        0): where it is 0 the tool did not find the face, ``pred`` and ``prob_<class>`` may be
        missing, and the row goes to :attr:`undetected`. Every other column is an attribute.

        Spellings of one class are joined, words that mean missing are missing, and rows that repeat
        earlier ones in every column count once: :attr:`notes` and :attr:`warnings` say so.

        Args:
            frame: The table.
            classes: The classes, in order; by default those of the ``prob_`` or ``target_`` columns,
                else the sorted union of ``label`` and ``pred``.
            source: Name of the table in messages.

        Raises:
            DataError: With the row and the column, on anything that cannot be read.
        """
        return cls(**fields_of(read_frame(frame, source), classes))


MOST_EPOCHS = 1_000_000  # of any run: what is beyond it is no epoch


@dataclass(kw_only=True)
class RunRecord:
    """What a reader needs to trust and to repeat a run; written to ``record.json``.

    Attributes:
        name: The run.
        config: The resolved configuration.
        versions: ``mien``, Python, the main packages, and the commit where the code is a checkout.
        device: Processor, threads, precision.
        data: Store, fingerprint, splits and the table's history.
        seed: The run's seed.
        status: ``running``, ``finished``, ``stopped`` (by the user) or ``failed``.
        started: UTC time, ISO 8601.
        seconds: Training time of all sittings together.
        resumed: One entry for each resumption: when, and from which epoch.
        best: Epoch and monitored value of the weights kept.
        model: Name, parameters, input.
        estimates: Evaluation -> metric -> Estimate, as dictionaries.
        done: Stage after the fit -> what it was made of and what it made, as checksums; see :mod:`mien.done`.
    """

    name: str
    config: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    status: str = "running"
    started: str = ""
    seconds: float = 0.0
    resumed: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    estimates: dict[str, Any] = field(default_factory=dict)
    done: dict[str, dict[str, str]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write JSON, at once or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: If the file is missing or is not a record; with the key that is not what it should be.
        """
        record = as_record(cls, read_json(path, "the record of a run"), str(path))
        # What stands inside, as far as readers rely on it; the values themselves stay as they are.
        for key, kind in (
            ("data", _TrainedOn),
            ("model", _Network),
            ("best", _Kept),
            ("best", dict[str, float | None]),
        ):
            as_kind(kind, getattr(record, key), str(path), key)
        if not 0 <= (record.best.get("epoch") or 0) < MOST_EPOCHS:
            raise DataError(f"{path}: best.epoch", shown(record.best["epoch"]), "an epoch from 0")
        as_kind(dict[str, _Evaluated], record.estimates, str(path), "estimates")
        as_kind(list[_Resumed], record.resumed, str(path), "resumed")
        return record


@dataclass
class _Past:
    step: str = ""
    before: int | None = None
    after: int | None = None


@dataclass
class _Prior:
    classes: list[str] = field(default_factory=list)
    concentrations: list[float] = field(default_factory=list)


@dataclass(kw_only=True)
class _TrainedOn:
    store: str = ""
    corpus: str = ""
    terms: str = ""
    fingerprint: str = ""
    splits: dict[str, int] = field(default_factory=dict)
    training_faces: int = 0
    validation_faces: int = 0
    training_classes: dict[str, int] = field(default_factory=dict)
    dropped_by_labels: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    history: list[_Past] = field(default_factory=list)
    started_from: dict[str, Any] = field(default_factory=dict)
    label_prior: _Prior | None = None


@dataclass
class _Network:
    name: str = ""
    classes: list[str] = field(default_factory=list)
    parameters: int = 0
    input: list[int] = field(default_factory=list)


@dataclass
class _Kept:
    epoch: int | None = None


@dataclass
class _Resumed:
    at: str = ""
    after_epoch: int = 0


@dataclass(kw_only=True)
class _Estimated:
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    n: int = 0
    clusters: int = 0
    seed: int | None = None
    note: str = ""


@dataclass(kw_only=True)
class _Evaluated:
    on: str = ""
    n: int = 0
    n_copies: int = 0
    n_validation: int = 0
    n_dropped: int = 0
    near_copies_known: bool = False
    fingerprint: str = ""
    all: dict[str, _Estimated] = field(default_factory=dict)
    without_copies: dict[str, _Estimated] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)


def write_json(path: Path, content: Any) -> None:
    """Write JSON at once or not at all; NaN becomes null, numpy values become plain ones."""
    write_text(path, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Plain JSON values: NaN and infinity become None, numpy and paths plain Python."""
    if isinstance(value, dict):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, Path | str):
        # A name that is no UTF-8 holds halves of characters, which no JSON may: they are written out.
        return str(value).encode("utf-8", "backslashreplace").decode()
    return value
