"""The folder of a run: what in it is Mien's, what may be taken up or taken away, and who works on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from mien.audit.results import AUDIT_FOLDER
from mien.config import ExperimentConfig, parse_config
from mien.data.images import Store
from mien.errors import MienError, RunBusy, RunError, UsageError
from mien.models.weights import CARD, WEIGHTS
from mien.records import RunRecord
from mien.runs import (
    AUDITS,
    CHECKPOINT,
    CONFIG,
    CURVES,
    FEATURES,
    HISTORY,
    LOG,
    PREDICTIONS,
    RECORD,
    REPORT,
    SPLITS,
    TOLD,
    read_splits,
)
from mien.train.start import weights_key

LOCK = ".lock"
# What is made from the weights, and what a run begins with; '*' stands for one name or several.
_DERIVED = (
    f"{PREDICTIONS}/*.parquet",
    f"{FEATURES}/*.npz",
    f"{TOLD}/*.parquet",
    *(f"{AUDITS}/*/{name}" for name in (AUDIT_FOLDER.sign, *AUDIT_FOLDER.names)),
    REPORT,
    CURVES,
)
_BEGUN = (RECORD, CONFIG, SPLITS, HISTORY, LOG, WEIGHTS, CARD, f"{Path(CHECKPOINT).parent}/*", "tensorboard/*")


def others(out: Path) -> list[str]:
    """Paths in a run folder of what is not Mien's: the user's own notes and pictures, wherever they lie."""
    return [p for p in _files(out) if not _matches(p, (*_DERIVED, *_BEGUN)) and p != LOCK]


def clear(out: Path, everything: bool) -> None:
    """Remove results of weights that are about to change, or all of an earlier run; what is not Mien's stays."""
    patterns = (*_DERIVED, *_BEGUN) if everything else _DERIVED
    for path in _files(out):
        if _matches(path, patterns):
            (out / path).unlink()
    for folder in sorted((p for p in out.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True):
        if folder.relative_to(out).parts[0] in (PREDICTIONS, FEATURES, TOLD, AUDITS, "tensorboard", "checkpoints"):
            with suppress(OSError):  # it holds something of the user's
                folder.rmdir()


def _files(out: Path) -> list[str]:
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir() or p.is_symlink())


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    path = path.removesuffix(".partial")  # what a kill leaves of a file
    return any(fnmatch(path, pattern) for pattern in patterns)


def previous_run(out: Path, config: ExperimentConfig) -> RunRecord | None:
    """The record of a run to take up; None where a new one begins.

    Raises:
        UsageError: If the folder holds what is not Mien's and no run.
        RunError: If it holds a run of another configuration.
    """
    if not (out / RECORD).is_file():
        # A run that was killed before it had a record leaves nothing but Mien's own files.
        foreign = others(out) if out.is_dir() else []
        if foreign:
            raise UsageError(str(out), f"is not empty and not a run folder: it holds {foreign[0]}", "a new folder")
        return None
    record = RunRecord.load(out / RECORD)
    # Read anew, so that settings which an older version did not have are at their defaults.
    begun = parse_config(record.config, str(out / RECORD)).model_dump(mode="json")
    bound = config.train.monitor in ("val_worst_class", "val_worst_group")
    asked = config.model_dump(mode="json")
    if begun["data"]["store"] != asked["data"]["store"] and _same_faces(record, config):
        begun["data"] = asked["data"]  # the store lies elsewhere now
    if begun["model"]["weights"] != asked["model"]["weights"] and _same_weights(record, config):
        begun["model"]["weights"] = asked["model"]["weights"]
    differs = _first_difference(begun, asked, bound=bound)
    if differs:
        raise RunError(
            str(out), f"was begun with another {differs}", "the same configuration", "Use another folder, or --force."
        )
    return record


def _same_faces(record: RunRecord, config: ExperimentConfig) -> bool:
    """Whether the store of a configuration holds the faces that a run was begun on."""
    try:
        return Store.open(config.data.store).fingerprint == record.data.get("fingerprint")
    except MienError:
        return False


def _same_weights(record: RunRecord, config: ExperimentConfig) -> bool:
    """Whether a run began with the weights that a configuration names, by another path."""
    began = (record.data.get("started_from") or {}).get("sha256", "")
    try:
        return bool(began) and began == weights_key(config)
    except MienError:
        return False


def check_same_faces(out: Path, fingerprint: str, previous: RunRecord, faces: pd.DataFrame) -> None:
    """Refuse to go on with other pictures, labels or splits: training faces could become test faces.

    Raises:
        RunError: If they are others.
    """
    same = previous.data.get("fingerprint") == fingerprint
    if same and (out / SPLITS).is_file():
        begun = read_splits(out)  # of an older version, without the attributes that are learnt
        same = set(begun.columns) <= set(faces.columns) and begun.equals(faces[list(begun.columns)])
    if not same:
        raise RunError(
            str(out), "was begun on other faces or splits", "the store as it was", "Use another folder, or --force."
        )


def check_store(out: Path, config: ExperimentConfig, previous: RunRecord) -> None:
    """Refuse to call a run finished whose store holds other faces now; one that is gone tells nothing.

    Raises:
        RunError: If it does.
    """
    try:
        fingerprint = Store.open(config.data.store).fingerprint
    except MienError:
        return
    if fingerprint != previous.data.get("fingerprint"):
        raise RunError(
            str(out), "was trained on other faces or labels", "the store as it was", "Use another folder, or --force."
        )


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep a second process out of the folder.

    Raises:
        RunBusy: If another process is training there.
    """
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunBusy(
            str(out), "another process is training there", "one at a time", "Wait for it, or use another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "", bound: bool = True) -> str:
    """Dotted key of the first difference that matters.

    How long a sitting may last and what it is reckoned with may change, and what is asked of the finished model, but
    not which groups and classes are large enough to choose an epoch by.
    """
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if found := _first_difference(a, b, f"{prefix}{key}.", bound):
                return found
        elif a != b and not _may_change(prefix + key, bound):
            return f"{prefix}{key} ({a!r}, now {b!r})"
    return ""


def _may_change(key: str, bound: bool) -> bool:
    """``bound``: whether an epoch is chosen by groups and classes that are large enough."""
    least = bound and key in ("audit.min_n", "audit.min_class_n")
    # Neither changes what comes out: what a run is called, and what it is reckoned with.
    free = ("name", "train.max_minutes", "train.threads", "model.cache_gib")
    return key in free or (key.startswith("audit.") and not least)
