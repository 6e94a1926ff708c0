"""What passes between the stages: Predictions, Estimate, RunRecord."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import DataError
from mien.registry import nearest
from mien.units import joined_units

_RESERVED = ("sample_id", "id", "label", "pred", "cluster", "identity", "image", "split")
_PREFIXES = ("target_", "prob_", "votes_")


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
    level: float = 0.95
    method: str = "none"
    n: int = 0
    clusters: int = 0
    seed: int | None = None
    note: str = ""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Estimate:
        """Read what JSON made of an estimate: null is NaN again."""
        numbers = {k: float("nan") if content.get(k) is None else float(content[k]) for k in ("value", "low", "high")}
        return cls(**{**content, **numbers})

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"undefined ({self.note})" if self.note else "undefined"
        text = f"{self.value:.3f}"
        if not (np.isnan(self.low) or np.isnan(self.high)):
            text += f" [{self.low:.3f}, {self.high:.3f}]"
        return text + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Predictions:
    """One row a face: what it is, what a model said, and to which groups it belongs.

    Attributes:
        sample_id: ``(n,)`` unique str.
        classes: The K classes.
        labels: ``(n,)`` int, the annotated class.
        predicted: ``(n,)`` int, the model's class.
        probs: ``(n, K)`` float that sum to 1, or None where only labels were given.
        targets: ``(n, K)`` float that sum to 1 (one-hot where only labels were given).
        votes: ``(n, K)`` annotators' votes, or None.
        groups: ``(n, A)`` frame of attribute columns, missing where unknown.
        cluster: ``(n,)`` int codes of independent units (pictures or persons), or None.
        image: ``(n,)`` int rows of the image store, or None.
        source: Where the predictions come from, for messages and reports.
    """

    sample_id: NDArray[Any]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probs: NDArray[np.float64] | None
    targets: NDArray[np.float64]
    votes: NDArray[np.float64] | None
    groups: pd.DataFrame
    cluster: NDArray[np.int64] | None = None
    image: NDArray[np.int64] | None = None
    source: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
        """The rows of a boolean mask or of an index array."""

        def cut(a: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if a is None else a[mask]

        return Predictions(
            self.sample_id[mask],
            self.classes,
            self.labels[mask],
            self.predicted[mask],
            cut(self.probs),
            self.targets[mask],
            cut(self.votes),
            self.groups[mask].reset_index(drop=True)
            if mask.dtype == bool
            else self.groups.iloc[mask].reset_index(drop=True),
            cut(self.cluster),
            cut(self.image),
            self.source,
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
        for prefix, values in (("target_", self.targets), ("prob_", self.probs), ("votes_", self.votes)):
            if values is not None:
                columns |= {f"{prefix}{c}": values[:, k] for k, c in enumerate(self.classes)}
        return pd.concat([pd.DataFrame(columns), self.groups.reset_index(drop=True)], axis=1)

    def save(self, path: Path) -> None:
        """Write CSV or Parquet, by the ending of ``path``; a half-written file is never left behind."""
        partial = path.with_name(path.name + ".partial")
        if path.suffix == ".parquet":
            self.to_frame().to_parquet(partial, index=False)
        else:
            self.to_frame().to_csv(partial, index=False, float_format="%.6g")
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, classes: Sequence[str] | None = None) -> Predictions:
        """Read CSV or Parquet with the columns of :meth:`from_frame`.

        Raises:
            DataError: If the file cannot be read or a column is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(str(path), "no such file", "a CSV or Parquet file of predictions")
        try:
            frame = (
                pd.read_parquet(path)
                if path.suffix == ".parquet"
                else pd.read_csv(path, dtype={"sample_id": str, "id": str, "label": str, "pred": str})
            )
        except (ValueError, OSError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "a CSV or Parquet table") from error
        return cls.from_frame(frame, classes, source=str(path))

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, classes: Sequence[str] | None = None, source: str = "predictions"
    ) -> Predictions:
        """Read predictions of any tool.

        Columns: ``sample_id`` (or ``id``; row numbers where absent); the truth as ``label`` (a class
        name) or ``target_<class>``; the prediction as ``pred`` (a class name) or ``prob_<class>``
        (they sum to 1); where both stand, the name is the label or prediction and the numbers its
        distribution (a threshold may make them differ); optionally ``votes_<class>``, and
        ``identity`` or ``cluster`` for rows that are not independent. Every other column is an attribute.

        Args:
            frame: The table.
            classes: The classes, in order; by default those of the ``prob_`` or ``target_`` columns,
                else the sorted union of ``label`` and ``pred``.
            source: Name of the table in messages.

        Raises:
            DataError: With the row and the column, on anything that cannot be read.
        """
        if len(frame) == 0:
            raise DataError(source, "has no rows", "one row a face")
        frame = frame.reset_index(drop=True)
        found = _find_classes(frame, classes, source)
        index = {c: k for k, c in enumerate(found)}
        probs = _block(frame, "prob_", found, source)
        targets = _block(frame, "target_", found, source)
        votes = _block(frame, "votes_", found, source, distribution=False)
        if targets is None or "label" in frame:
            labels = _class_codes(frame, "label", index, source)
        else:
            labels = targets.argmax(1)
        if targets is None:
            targets = np.eye(len(found))[labels]
        named = probs is None or "pred" in frame
        predicted = _class_codes(frame, "pred", index, source) if named or probs is None else probs.argmax(1)
        attributes = [
            c for c in frame.columns if c not in _RESERVED and not any(str(c).startswith(p) for p in _PREFIXES)
        ]
        units = [frame[c] for c in ("cluster", "identity") if c in frame]
        return cls(
            _ids(frame, source),
            found,
            labels.astype(np.int64),
            predicted.astype(np.int64),
            probs,
            targets,
            votes,
            frame[attributes].copy(),
            joined_units(units) if units else None,
            _image_rows(frame, source),
            source,
        )


def _ids(frame: pd.DataFrame, source: str) -> NDArray[Any]:
    column = next((c for c in ("sample_id", "id") if c in frame), None)
    if column is None:
        return np.arange(len(frame)).astype(str)
    absent = frame[column].isna()
    if absent.any():
        row = int(np.flatnonzero(absent)[0])
        raise DataError(f"{source} row {row}", f"{column} is missing", "an id for each face")
    ids = frame[column].astype(str)
    twice = ids.duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise DataError(
            f"{source} row {row}",
            f"{column} {ids.iloc[row]!r} stands there a second time ({int(twice.sum())} repeats in all)",
            "each face exactly once",
            "Remove the repeats; distributed samplers pad with them.",
        )
    return ids.to_numpy(dtype=object)


def _image_rows(frame: pd.DataFrame, source: str) -> NDArray[np.int64] | None:
    if "image" not in frame:
        return None
    if not pd.api.types.is_integer_dtype(frame["image"]):
        raise DataError(
            source,
            f"column 'image' holds {frame['image'].iloc[0]!r}",
            "row numbers of an image store",
            "Rename the column, or drop it.",
        )
    return frame["image"].to_numpy(np.int64)


def _find_classes(frame: pd.DataFrame, classes: Sequence[str] | None, source: str) -> tuple[str, ...]:
    if classes:
        return tuple(classes)
    for prefix in ("prob_", "target_"):
        named = tuple(str(c)[len(prefix) :] for c in frame.columns if str(c).startswith(prefix))
        if named:
            return named
    missing = [c for c in ("label", "pred") if c not in frame]
    if missing:
        raise DataError(
            source,
            f"no column {' and no column '.join(repr(m) for m in missing)}"
            f" (it has {', '.join(map(str, frame.columns))})",
            "'label' or 'target_<class>' columns, and 'pred' or 'prob_<class>' columns",
            "Rename the columns.",
        )
    used = {c: {str(v) for v in frame[c].dropna().unique()} for c in ("label", "pred")}
    _check_spelling(used["label"], used["pred"], source)
    return tuple(sorted(used["label"] | used["pred"]))


def _check_spelling(labels: set[str], predicted: set[str], source: str) -> None:
    """Refuse classes that look like two spellings of one: they would count as always wrong."""
    if not labels & predicted:
        raise DataError(
            source,
            f"'label' ({', '.join(sorted(labels)[:4])}) and 'pred' ({', '.join(sorted(predicted)[:4])}) share no class",
            "the same names in both columns",
        )
    # A class of both columns is taken at its word; one of a single column may be a slip of the pen.
    for odd in sorted(labels ^ predicted):
        others = (labels | predicted) - {odd}
        plain_names = {c.strip().lower().removesuffix(".0"): c for c in others}
        close = difflib.get_close_matches(odd.strip().lower().removesuffix(".0"), plain_names, n=1, cutoff=0.85)
        if close:
            column = "label" if odd in labels else "pred"
            raise DataError(
                source,
                f"class {odd!r} stands in {column!r} only and looks like {plain_names[close[0]]!r}",
                "one spelling of each class",
                "Mend the rows; if the two do differ, give one another name.",
            )


def _class_codes(frame: pd.DataFrame, column: str, index: dict[str, int], source: str) -> NDArray[np.int64]:
    if column not in frame:
        other = "target_<class>" if column == "label" else "prob_<class>"
        raise DataError(source, f"no column {column!r}", f"{column!r} or {other!r} columns")
    values = frame[column].astype(object).where(frame[column].notna(), "").map(str)
    codes = values.map(index)
    if codes.isna().any():
        row = int(np.flatnonzero(codes.isna())[0])
        raise DataError(
            f"{source} row {row}",
            f"unknown class {values.iloc[row]!r} in column {column!r}",
            "one of the classes",
            nearest(values.iloc[row], list(index)),
        )
    return np.asarray(codes, dtype=np.int64)


def _block(
    frame: pd.DataFrame, prefix: str, classes: tuple[str, ...], source: str, distribution: bool = True
) -> NDArray[np.float64] | None:
    present = [str(c) for c in frame.columns if str(c).startswith(prefix)]
    wanted = [f"{prefix}{c}" for c in classes]
    if not present or (prefix == "votes_" and set(present) != set(wanted)):
        return None
    if set(present) != set(wanted):
        raise DataError(
            source, f"columns {sorted(set(present) ^ set(wanted))} do not match the classes", ", ".join(wanted)
        )
    try:
        values = frame[wanted].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(source, f"a {prefix}* column holds {error}", "numbers") from error
    bad = ~np.isfinite(values).all(1) | (values < 0).any(1)
    if distribution:
        bad |= np.abs(values.sum(1) - 1) > 1e-3
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{source} row {row}",
            f"{prefix}* values {values[row].round(4).tolist()} sum to {values[row].sum():.4f}"
            f" ({int(bad.sum())} such rows)",
            "numbers of 0 or more that sum to 1" if distribution else "counts of 0 or more",
            "Pass softmax outputs, not logits." if distribution else "",
        )
    return values


@dataclass
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

    def save(self, path: Path) -> None:
        """Write JSON, at once or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: If the file is missing or is not a record.
        """
        try:
            return cls(**json.loads(Path(path).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "the record of a run") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON at once or not at all; NaN becomes null, numpy values become plain ones."""
    partial = Path(path).with_name(Path(path).name + ".partial")
    partial.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n")
    os.replace(partial, path)


def plain(value: Any) -> Any:
    """Plain JSON values: NaN and infinity become None, numpy and paths plain Python."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
