"""``train``: from a configuration to a run folder; takes up a broken run where it stopped."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from mien.config import ExperimentConfig, parse_config
from mien.errors import ConfigError, RunError, UsageError
from mien.models.blocks import ExpressionModel
from mien.models.weights import CARD, WEIGHTS, WeightCard, bf16_is_fast, load_card, save_weights
from mien.outputs import check_folder, whole, writing
from mien.records import RunRecord
from mien.runs import (
    AUDITS,
    CHECKPOINT,
    CONFIG,
    FEATURES,
    HISTORY,
    LOG,
    PREDICTIONS,
    RECORD,
    SPLITS,
    Run,
    code_versions,
    machine,
)
from mien.train.callbacks import (
    AtomicCheckpoints,
    AveragedWeights,
    BestWeights,
    Clock,
    Patience,
    Plateau,
    Progress,
    StepProgress,
)
from mien.train.components import check_components
from mien.train.data import (
    TrainingData,
    check_start,
    class_names,
    head_slices,
    load_training_data,
    train_loader,
    validation_loader,
)
from mien.train.module import ExpressionModule, build_model
from mien.train.stopping import StopSignals, TrainingStopped


def train(
    config: ExperimentConfig,
    out: Path | str,
    *,
    force: bool = False,
    finished_ok: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train as configured.

    A run that was cut off, by whatever, goes on from the last whole epoch when ``train`` is called
    again with the same configuration, and ends with the weights of an unbroken run.

    Args:
        config: The experiment.
        out: The run folder.
        force: Throw away a run that is there and begin anew.
        finished_ok: Return a finished run of this configuration as it is.
        progress: Called with steps done and steps in all.
        say: Receives lines for the user (also written to ``train.log``).

    Returns:
        The finished run (or, after ``train.max_minutes``, the stopped one).

    Raises:
        TrainingStopped: On Ctrl-C or SIGTERM, once the folder is in order.
        RunError: If the folder holds a run of another configuration or other faces, another process
            is training there, or the loss is no number any more.
        UsageError: If the run is finished already, or the folder is not a run's.
        ConfigError: If it would begin with weights that learnt its held-out faces.
    """
    out = Path(out)
    config = check_components(config)
    previous = _previous(out, config, force)
    if previous is not None and previous.status == "finished":
        if finished_ok:
            return Run(out)
        raise UsageError(str(out), "the run is finished", "a new folder", "Pass --force to train it again.")
    check_folder(out)
    data = load_training_data(config)
    if previous is not None:
        _check_same_faces(out, previous, data)
    else:
        check_start(config, data.table)
    run, tell = Run(out), _teller(out, say)
    resume = out / CHECKPOINT if previous and (out / CHECKPOINT).is_file() else None
    done = _epochs_done(resume)
    fit = _Fit(config, data, run, _record(config, data, previous), tell, progress, resumed=resume is not None)
    out.mkdir(parents=True, exist_ok=True)
    with writing(out, mixed=True), _lock(out):
        # Only now, when nothing of the user's can be wrong any more, does an earlier run go.
        _clear(out, everything=previous is None)
        if previous is not None:
            goes_on = f"resuming {out} after epoch {done} of {config.train.epochs}"
            tell(goes_on if resume else f"restarting {out}: no epoch had ended")
            fit.record.resumed.append({"at": _now(), "after_epoch": done})
        run.save_record(fit.record)
        with whole(out / SPLITS) as partial:
            _faces(data).to_parquet(partial, index=False)
        fit.run_until_done(resume)
    return run


class _Fit:
    """One sitting of a run."""

    def __init__(
        self,
        config: ExperimentConfig,
        data: TrainingData,
        run: Run,
        record: RunRecord,
        say: Callable[[str], None],
        progress: Progress | None,
        resumed: bool,
    ) -> None:
        self.config, self.data, self.run, self.record, self.say = config, data, run, record, say
        self._began, self._before = 0.0, record.seconds
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        channels = data.store.images.shape[3]
        classes = class_names(data.heads)
        model = build_model(config, len(classes), channels, resumed=resumed)
        size = _input_size(model, config.model.size, data.store.images.shape[1])
        self.loader = train_loader(data, config)
        self.card = WeightCard(
            config.model.name,
            config.model.options,
            classes,
            size,
            channels,
            data.mean,
            data.std,
            labels="" if config.labels.attributes else config.labels.train,
            data={"corpus": data.table.name, "fingerprint": data.store.fingerprint, "run": config.name},
            terms=_terms(record),
            heads={name: list(groups) for name, groups in data.heads.items()} if config.labels.attributes else {},
        )
        self.module = ExpressionModule(model, self.card, config, len(self.loader), data.heads)
        self.best = BestWeights(run.path, self.card, config.train.monitor, say, self._keep)
        self.signals = StopSignals()
        self.record.model = {
            "name": config.model.name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "input": [channels, size, size],
            "classes": list(classes),
        }
        self.precision = _precision(config)
        self.record.device |= {"precision": self.precision, "threads": torch.get_num_threads()}
        self.trainer = self._trainer(progress)

    def _trainer(self, progress: Progress | None) -> L.Trainer:
        train = self.config.train
        callbacks: list[L.Callback] = [self.best]  # before the averaged weights: see BestWeights
        if train.ema is not None:
            callbacks.append(AveragedWeights(train.ema))
        if train.early_stopping is not None:
            mode = "max" if train.monitor == "val_accuracy" else "min"
            callbacks.append(Patience(train.monitor, patience=train.early_stopping, mode=mode))
        if train.schedule.name == "plateau":
            callbacks.append(Plateau(train))
        self.clock = Clock(train.max_minutes) if train.max_minutes is not None else None
        if self.clock is not None:
            callbacks.append(self.clock)
        if progress is not None:
            callbacks.append(StepProgress(progress))
        callbacks.append(self.signals)
        folder = (self.run.path / CHECKPOINT).parent
        callbacks.append(
            ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False, monitor=None)
        )
        with _quiet():
            return L.Trainer(
                max_epochs=train.epochs,
                accelerator="auto",
                devices=1,
                precision="bf16-mixed" if self.precision == "bf16" else "32-true",
                gradient_clip_val=train.clip,
                callbacks=callbacks,
                plugins=[AtomicCheckpoints()],
                logger=TensorBoardLogger(self.run.path, name="tensorboard", version=""),
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                log_every_n_steps=50,
                use_distributed_sampler=False,
            )

    def run_until_done(self, resume: Path | None) -> None:
        """Fit; whatever ends it, leave weights, history and record in order."""
        n_train, n_validation = len(self.data.train[0]), len(self.data.validation[0])
        self.say(
            f"{n_train} training and {n_validation} validation faces, {len(self.card.classes)} classes, "
            f"{self.config.model.name} with {self.record.model['parameters'] / 1e6:.2f} M parameters, {self.precision}"
        )
        for note in self.data.notes:
            self.say(f"note: {note}")
        self._began = time.monotonic()
        status = "failed"
        try:
            with self.signals, _quiet():
                self.trainer.fit(
                    self.module,
                    self.loader,
                    validation_loader(self.data, self.config),
                    ckpt_path=resume,
                    weights_only=True,
                )
            status = "finished"
            if self.clock is not None and self.clock.rang:
                status = "stopped"
                self.say(f"stopped: train.max_minutes={self.clock.minutes:g} have passed; the same command goes on")
        except TrainingStopped:
            status = "stopped"
            self.say("stopped: the run can be resumed with the same command")
            raise
        finally:
            if status != "failed" and not (self.run.path / WEIGHTS).is_file():
                self.say("no epoch ended: the weights kept are those of the moment, not validated")
                save_weights(self.module.model, self.card, self.run.path)
            self._keep(status)

    def _keep(self, status: str = "running") -> None:
        """Bring the record on disk up to date; called after every epoch."""
        self.record.status = status
        self.record.seconds = self._before + time.monotonic() - self._began
        self.record.best = dict(self.best.best) or self.record.best
        self.record.estimates = self.run.record.estimates  # somebody may evaluate a run while it goes on
        self.run.save_record(self.record)


def _previous(out: Path, config: ExperimentConfig, force: bool) -> RunRecord | None:
    """The record of a run to take up; None where a new one begins."""
    if not (out / RECORD).is_file():
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(str(out), "is not empty and not a run folder", "a new folder")
        return None
    if force:
        return None
    record = RunRecord.load(out / RECORD)
    # Read anew, so that settings which an older version did not have are at their defaults.
    begun = parse_config(record.config, str(out / RECORD)).model_dump(mode="json")
    differs = _first_difference(begun, config.model_dump(mode="json"))
    if differs:
        raise RunError(
            str(out), f"was begun with another {differs}", "the same configuration", "Use another folder, or --force."
        )
    return record


def _check_same_faces(out: Path, previous: RunRecord, data: TrainingData) -> None:
    """Refuse to go on with other pictures, labels or splits: training faces could become test faces."""
    same = previous.data.get("fingerprint") == data.store.fingerprint
    if same and (out / SPLITS).is_file():
        same = pd.read_parquet(out / SPLITS).equals(_faces(data))
    if not same:
        raise RunError(
            str(out), "was begun on other faces or splits", "the store as it was", "Use another folder, or --force."
        )


def _faces(data: TrainingData) -> pd.DataFrame:
    """What a run remembers of its faces."""
    columns = ["sample_id", "split", "cluster", "hash"] + (["fold"] if "fold" in data.table.frame else [])
    return data.table.frame[columns].reset_index(drop=True)


# What was made from the weights, and what a run begins with.
_DERIVED = (PREDICTIONS, FEATURES, AUDITS, "report.html", "curves.png")
_BEGUN = (RECORD, CONFIG, SPLITS, HISTORY, LOG, WEIGHTS, CARD, str(Path(CHECKPOINT).parent), "tensorboard")


def _clear(out: Path, everything: bool) -> None:
    """Remove results of weights that are about to change; for a new run, all of an earlier one."""
    for name in (*_DERIVED, *(_BEGUN if everything else ())):
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep a second process out of the folder."""
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(
            str(out), "another process is training there", "one at a time", "Wait for it, or use another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    """Dotted key of the first difference that matters; ``max_minutes`` may change between sittings."""
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if found := _first_difference(a, b, f"{prefix}{key}."):
                return found
        elif a != b and prefix + key != "train.max_minutes":
            return f"{prefix}{key} ({a!r}, now {b!r})"
    return ""


def _record(config: ExperimentConfig, data: TrainingData, previous: RunRecord | None) -> RunRecord:
    record = previous or RunRecord(config.name, {}, started=_now())
    started_from = record.data.get("started_from") or _started_from(config)
    record.config = config.model_dump(mode="json")
    record.versions = code_versions("torch", "lightning", "numpy")
    record.device = machine()
    record.seed = config.seed
    record.status, record.estimates = "running", {}
    record.data = {
        "store": str(data.store.path),
        "corpus": data.table.name,
        "terms": data.store.info.get("terms", ""),
        "started_from": started_from,
        "fingerprint": data.store.fingerprint,
        "splits": data.table.splits,
        "training_faces": len(data.train[0]),
        "validation_faces": len(data.validation[0]),
        "dropped_by_labels": data.dropped,
        "notes": list(data.notes),
        "training_classes": dict(zip(class_names(data.heads), _class_counts(data), strict=True)),
        "history": [{"step": s.name, "before": s.n_before, "after": s.n_after, **s.detail} for s in data.table.history],
    }
    return record


def _terms(record: RunRecord) -> str:
    """Terms of the corpus, and of the weights that the body began with."""
    found = record.data["terms"], record.data["started_from"].get("terms", "")
    return "; ".join(dict.fromkeys(filter(None, found)))


def _started_from(config: ExperimentConfig) -> dict[str, Any]:
    """Whose weights the body begins with: folder, checksum, and terms, which bind the new weights too."""
    if config.model.weights is None:
        return {}
    card = load_card(Path(config.model.weights))
    return {"folder": config.model.weights, "sha256": card.sha256, "terms": card.terms, "data": card.data}


def _input_size(model: ExpressionModel, wanted: int | None, stored: int) -> int:
    """Side of the input: the network's own (with a hidden layer on its map), the configured, or the store's."""
    if wanted is not None and model.size not in (None, wanted):
        raise ConfigError(
            "model.size",
            f"is {wanted}, but the network is built for {model.size}",
            f"{model.size}",
            "Or model.options.",
        )
    return model.size or wanted or stored


def _class_counts(data: TrainingData) -> list[int]:
    """Training faces by their first class, head after head."""
    blocks = head_slices(data.heads).values()
    return [
        int(n)
        for block in blocks
        for n in np.bincount(data.train[1][:, block].argmax(1), minlength=block.stop - block.start)
    ]


def _precision(config: ExperimentConfig) -> str:
    """``bf16`` where the machine multiplies it in hardware, unless the configuration decides."""
    if config.train.precision != "auto":
        return config.train.precision
    return "bf16" if bf16_is_fast("cuda" if torch.cuda.is_available() else "cpu") else "fp32"


def _epochs_done(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in many ways, and all mean the same
        raise RunError(
            str(checkpoint), f"cannot be read ({error})", "a checkpoint", "Begin anew with --force."
        ) from error
    return int(state["epoch"]) + 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the trainer's hints (worker counts, hardware lists) from the user; errors still raise."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", module="torch")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _teller(out: Path, say: Callable[[str], None]) -> Callable[[str], None]:
    def tell(line: str) -> None:
        with open(out / LOG, "a") as file:
            file.write(f"{_now()} {line}\n")
        say(line)

    return tell


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
