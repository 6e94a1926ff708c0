"""Run folders: where training, evaluation, audit and report leave what they make, and find each other's."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pandas as pd

from mien import __version__
from mien.audit.results import AttributeResult, Audit
from mien.config import ExperimentConfig, dump_config, parse_config
from mien.errors import RunError
from mien.inputs import read_small
from mien.outputs import write_text
from mien.own_files import MOST_BYTES, TEXT, read_parquet
from mien.records import MOST_EPOCHS, Estimate, RunRecord
from mien.registry import nearest

RECORD, CONFIG, SPLITS, HISTORY, LOG = "record.json", "config.yaml", "splits.parquet", "history.csv", "train.log"
COPY_COLUMN = "copy_of_training"  # an attribute that evaluation adds to the predictions
PREDICTIONS, AUDITS, CHECKPOINT = "predictions", "audit", "checkpoints/last.ckpt"
FEATURES = "features"
TOLD = "told"  # predictions of a run that was told the groups of the faces
REPORT, CURVES = "report.html", "curves.png"

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: The folder: ``config.yaml``, ``record.json``, ``splits.parquet``, ``history.csv``,
            ``model.safetensors`` with ``model.json``, ``checkpoints/last.ckpt`` (to resume),
            ``predictions/<split>.parquet``, ``features/<split>.npz`` (if asked for), ``audit/``, ``report.html``.
    """

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open a run that was at least begun.

        Raises:
            RunError: If there is none.
        """
        path = Path(path)
        if not (path / RECORD).is_file():
            raise RunError(str(path), f"holds no {RECORD}", "a run folder", "Make one with 'mien train'.")
        return cls(path)

    @property
    def record(self) -> RunRecord:
        """The run's record as it stands on disk."""
        return RunRecord.load(self.path / RECORD)

    @property
    def config(self) -> ExperimentConfig:
        """The resolved configuration."""
        return parse_config(self.record.config, str(self.path / RECORD))

    @property
    def trained_on(self) -> tuple[str, str]:
        """Folder of the store that it was trained on, and the fingerprint of that.

        Raises:
            RunError: If the record does not say.
        """
        data = self.record.data
        for key in ("store", "fingerprint"):
            if not data.get(key):
                raise RunError(f"{self.path / RECORD}: data.{key}", "is missing", "what the run was trained on")
        return data["store"], data["fingerprint"]

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: losses, accuracies, rate, seconds; empty if no epoch ended.

        Raises:
            RunError: If it holds anything else.
        """
        path = self.path / HISTORY
        if not path.is_file():
            return pd.DataFrame()
        text = read_small(path, "the history of a run", most=MOST_BYTES, error=RunError)
        try:
            found = pd.read_csv(BytesIO(text))
        except (ValueError, pd.errors.ParserError) as error:  # an empty one and bytes that are no UTF-8 are the former
            reason = str(error).splitlines()[0]
            raise RunError(str(path), f"cannot be read ({reason})", "the history of a run") from error
        wrong = [str(c) for c in found.columns if not pd.api.types.is_numeric_dtype(found[c])]
        if "epoch" not in found.columns or wrong:
            what = f"the column {wrong[0]!r} holds text" if wrong else "has no column 'epoch'"
            raise RunError(str(path), what, "one row of numbers an epoch")
        if not found["epoch"].between(0, MOST_EPOCHS).all():
            raise RunError(str(path), "a number of the column 'epoch' is no epoch", "one row of numbers an epoch")
        return found

    @property
    def splits(self) -> pd.DataFrame:
        """``sample_id``, ``split``, ``cluster`` and ``hash`` of every face that the run may have used."""
        return read_splits(self.path)

    @property
    def predictions(self) -> dict[str, Path]:
        """Name -> file of the predictions made so far."""
        return {p.stem: p for p in sorted((self.path / PREDICTIONS).glob("*.parquet"))}

    @property
    def features(self) -> dict[str, Path]:
        """Name -> file of the features, of the predictions that were made with them."""
        return {p.stem: p for p in sorted((self.path / FEATURES).glob("*.npz"))}

    def audit(self, name: str) -> Audit:
        """The audit of an evaluation.

        Raises:
            DataError: If there is none, or it cannot be read.
        """
        return Audit.load(self.path / AUDITS / name)

    def estimate(self, name: str, metric: str, by: str | None = None) -> Estimate:
        """One number of the run, with its interval.

        Args:
            name: The evaluation: ``test``.
            metric: ``accuracy``, ``macro_f1``, ...
            by: None for all faces; ``gender=female`` for a group of the audit; ``gender`` for the gap.

        Raises:
            RunError: If there is no such evaluation, attribute, group or metric; with those there are.
        """
        if by is None:
            found = self._known("evaluation", name, self.record.estimates)["all"]
            return Estimate.from_json(self._known(f"metric of {name!r}", metric, found))
        attribute, separator, group = by.partition("=")
        results = self._known(f"attribute in the audit of {name!r}", attribute, self._audited(name))
        if separator:
            groups = {g.name: g for g in results.groups}
            return self._known("metric", metric, self._known(f"group of {attribute!r}", group, groups).metrics)
        return self._known("gap", metric, {g.metric: g for g in results.gaps if not g.class_name}).value

    def _audited(self, name: str) -> dict[str, AttributeResult]:
        return {a.name: a for a in self.audit(name).attributes}

    def _known(self, kind: str, name: str, there: Mapping[str, T]) -> T:
        if name not in there:
            raise RunError(str(self.path), f"no {kind} {name!r}", "", nearest(name, list(there)))
        return there[name]

    def save_record(self, record: RunRecord) -> None:
        """Write record and configuration."""
        record.save(self.path / RECORD)
        write_text(self.path / CONFIG, dump_config(parse_config(record.config)))


def read_splits(folder: Path) -> pd.DataFrame:
    """The faces that a run, or the run in some folder, may have used; see :attr:`Run.splits`.

    Raises:
        RunError: If the file is missing or holds anything else.
    """
    kinds = {"sample_id": TEXT, "split": TEXT}
    expected = "the splits of a run"
    found: pd.DataFrame = read_parquet(folder / SPLITS, kinds, expected, others=True, error=RunError).to_pandas()
    return found


def code_versions(*packages: str) -> dict[str, str]:
    """Versions of Mien, Python and some packages, and the commit where Mien runs from a checkout."""
    versions = {"mien": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    versions |= {"commit": commit} if (commit := _commit()) else {}
    return versions


def _commit() -> str:
    """Commit of the checkout that this file stands in, '+' for uncommitted changes; '' elsewhere."""
    here = Path(__file__).resolve().parent
    if not (here.parent.parent / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip()[:12] + ("+" if dirty.stdout.strip() else "")


def machine() -> dict[str, object]:
    """Processor and threads, for the record."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return {"processor": name, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}
