"""What of a run is done: each stage after the fit knows it from what it was made of, and from what it made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien import __version__
from mien.audit.results import AUDIT_FOLDER
from mien.config import ExperimentConfig
from mien.data.images import TABLE, Store
from mien.data.labelled import parse_on
from mien.models.weights import load_card
from mien.own_files import sha256_of, sha256_of_content
from mien.records import plain
from mien.runs import AUDITS, CURVES, FEATURES, HISTORY, PREDICTIONS, REPORT, Run


@dataclass(frozen=True)
class Stages:
    """The stages of a run whose weights stand.

    A stage is done if it was made of the same things (weights, pictures, settings, version of Mien), its file is as
    it left it, and what it made beside that is there. The first two stand in the record, under the stage's name.

    Attributes:
        run: The run.
        config: Its configuration, whose audit may have changed since.
    """

    run: Run
    config: ExperimentConfig

    def evaluation(self, on: str | None, make: Callable[[], str]) -> str:
        """The name of the evaluation ``on`` a store and split, made if need be."""
        path, split = (self.run.trained_on[0], None) if on is None else parse_on(on)
        made_of = {
            "weights": load_card(self.run.path).sha256,
            "store": Store.open(path).fingerprint,
            "table": sha256_of(Path(path) / TABLE),  # attributes are no part of the fingerprint
            "split": split,
            "labels": self.config.labels.judged.model_dump(),
            "features": self.config.audit.leakage,
        }
        stage = f"evaluate {on or 'the held-out faces'}"
        wanted = {n: [self._features(n)] if self.config.audit.leakage else [] for n in self.run.predictions}
        names = [n for n, b in wanted.items() if self._is_done(stage, made_of, self._predictions(n), b, n)]
        if names:
            return names[0]
        name = make()
        self._note(stage, made_of, self._predictions(name), name)
        return name

    def audit(self, name: str, make: Callable[[], object]) -> None:
        """The audit of an evaluation, made if need be."""
        files = {path: sha256_of(Path(path)) for path in self.config.audit.annotator_error.values()}
        made_of = {
            "predictions": sha256_of(self._predictions(name)),
            "audit": self.config.audit.model_dump(mode="json"),
            "annotators": files,
            "seed": self.config.seed,
        }
        out = self.run.path / AUDITS / name / AUDIT_FOLDER.sign
        if not self._is_done(f"audit {name}", made_of, out, [out.with_name(n) for n in AUDIT_FOLDER.names]):
            make()
            self._note(f"audit {name}", made_of, out)

    def report(self, make: Callable[[], object]) -> Path:
        """The page, made if need be."""
        record = self.run.record
        audits = {str(p.parent.name): sha256_of(p) for p in self.run.path.glob(f"{AUDITS}/*/{AUDIT_FOLDER.sign}")}
        made_of = {
            "estimates": record.estimates,
            "config": record.config,
            "best": record.best,
            "seconds": record.seconds,
            "audits": audits,
        }
        out = self.run.path / REPORT
        # Without a history there is nothing to draw.
        curves = [self.run.path / CURVES] if (self.run.path / HISTORY).is_file() else []
        if not self._is_done("report", made_of, out, curves):
            make()
            self._note("report", made_of, out)
        return out

    def _predictions(self, name: str) -> Path:
        return self.run.path / PREDICTIONS / f"{name}.parquet"

    def _features(self, name: str) -> Path:
        return self.run.path / FEATURES / f"{name}.npz"

    def _is_done(
        self, stage: str, made_of: dict[str, Any], out: Path, beside: Sequence[Path] = (), name: str = ""
    ) -> bool:
        if not all(path.is_file() for path in (out, *beside)):
            return False
        noted = self.run.record.done.get(stage, {})
        return noted == {"name": name, "of": _key(made_of), "made": sha256_of(out)}

    def _note(self, stage: str, made_of: dict[str, Any], out: Path, name: str = "") -> None:
        record = self.run.record
        record.done[stage] = {"name": name, "of": _key(made_of), "made": sha256_of(out)}
        self.run.save_record(record)


def _key(made_of: dict[str, Any]) -> str:
    return sha256_of_content(plain({"mien": __version__, **made_of}))
