"""``train``: from a configuration to a run folder; takes up a broken run where it stopped."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from mien.config import ExperimentConfig
from mien.errors import RunError, UsageError
from mien.models.weights import WEIGHTS, WeightCard, save_weights
from mien.records import RunRecord
from mien.runs import CHECKPOINT, HISTORY, LOG, RECORD, SPLITS, Run, code_versions, machine
from mien.train.callbacks import AveragedWeights, BestWeights, Clock, Plateau, Progress, StepProgress
from mien.train.data import TrainingData, load_training_data, train_loader, validation_loader
from mien.train.module import ExpressionModule, build_model, check_components


class TrainingStopped(BaseException):
    """Ctrl-C or SIGTERM; the run folder is whole and can be resumed."""


def train(
    config: ExperimentConfig,
    out: Path | str,
    *,
    force: bool = False,
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
        progress: Called with steps done and steps in all.
        say: Receives lines for the user (also written to ``train.log``).

    Returns:
        The finished run.

    Raises:
        TrainingStopped: On Ctrl-C or SIGTERM, once the folder is in order.
        RunError: If the folder holds a run of another configuration or other data.
        UsageError: If the run is finished already and ``force`` is not given.
    """
    out = Path(out)
    check_components(config)
    previous = _previous(out, config, force)
    data = load_training_data(config)
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out)
    tell = _teller(out, say)
    resume = out / CHECKPOINT if previous and (out / CHECKPOINT).is_file() else None
    record = _record(config, data, previous)
    if previous and previous.data.get("fingerprint") != data.store.fingerprint:
        raise RunError(
            str(out),
            "was begun on other data",
            f"fingerprint {previous.data.get('fingerprint')}",
            "Use another folder.",
        )
    fit = _Fit(config, data, run, record, tell, progress)
    if previous:
        done = _epochs_done(resume)
        tell(
            f"resuming {out} after epoch {done} of {config.train.epochs}"
            if resume
            else f"restarting {out}: no epoch had ended"
        )
        record.resumed.append({"at": _now(), "after_epoch": done})
    run.save_record(record)
    columns = ["sample_id", "split", "cluster", "hash"] + (["fold"] if "fold" in data.table.frame else [])
    data.table.frame[columns].to_parquet(out / SPLITS, index=False)
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
    ) -> None:
        self.config, self.data, self.run, self.record, self.say = config, data, run, record, say
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        channels, size = data.store.images.shape[3], data.store.images.shape[1]
        model = build_model(config, len(data.scheme.classes), channels)
        self.loader = train_loader(data, config)
        self.card = WeightCard(
            config.model.name,
            config.model.options,
            data.scheme.classes,
            size,
            channels,
            data.mean,
            data.std,
            labels=config.labels.train,
            data={"corpus": data.table.name, "fingerprint": data.store.fingerprint, "run": config.name},
            terms=data.store.info.get("terms", ""),
        )
        self.module = ExpressionModule(model, self.card, config, len(self.loader))
        self.best = BestWeights(run.path, self.card, config.train.monitor, say)
        self.record.model = {
            "name": config.model.name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "input": [channels, size, size],
            "classes": list(data.scheme.classes),
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
            callbacks.append(EarlyStopping(train.monitor, patience=train.early_stopping, mode=mode))
        if train.schedule.name == "plateau":
            callbacks.append(Plateau(train))
        self.clock = Clock(train.max_minutes) if train.max_minutes is not None else None
        if self.clock is not None:
            callbacks.append(self.clock)
        if progress is not None:
            callbacks.append(StepProgress(progress))
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
            f"{n_train} training and {n_validation} validation faces, {len(self.data.scheme.classes)} classes, "
            f"{self.config.model.name} with {self.record.model['parameters'] / 1e6:.2f} M parameters, {self.precision}"
        )
        began, before = time.monotonic(), self.record.seconds
        status = "failed"
        try:
            with _stop_signals(), _quiet():
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
            self.record.status = status
            self.record.seconds = before + time.monotonic() - began
            self.record.best = dict(self.best.best)
            self.run.save_record(self.record)


def _previous(out: Path, config: ExperimentConfig, force: bool) -> RunRecord | None:
    """The record of a run to take up; None where a new one begins."""
    if not (out / RECORD).is_file():
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(str(out), "is not empty and not a run folder", "a new folder")
        return None
    if force:
        for name in (RECORD, WEIGHTS, "model.json", HISTORY, CHECKPOINT, LOG, "report.html"):
            (out / name).unlink(missing_ok=True)
        return None
    record = RunRecord.load(out / RECORD)
    differs = _first_difference(record.config, config.model_dump(mode="json"))
    if differs:
        raise RunError(
            str(out), f"was begun with another {differs}", "the same configuration", "Use another folder, or --force."
        )
    if record.status == "finished":
        raise UsageError(str(out), "the run is finished", "a new folder", "Pass --force to train it again.")
    return record


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    """Dotted key of the first difference that matters; ``max_minutes`` may change between sittings."""
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if found := _first_difference(a, b, f"{prefix}{key}."):
                return found
        elif a != b and key not in ("max_minutes", "threads"):
            return f"{prefix}{key} ({a!r}, now {b!r})"
    return ""


def _record(config: ExperimentConfig, data: TrainingData, previous: RunRecord | None) -> RunRecord:
    record = previous or RunRecord(config.name, {}, started=_now())
    record.config = config.model_dump(mode="json")
    record.versions = code_versions("torch", "lightning", "numpy")
    record.device = machine()
    record.seed = config.seed
    record.status = "running"
    record.data = {
        "store": str(data.store.path),
        "corpus": data.table.name,
        "terms": data.store.info.get("terms", ""),
        "fingerprint": data.store.fingerprint,
        "splits": data.table.splits,
        "training_faces": len(data.train[0]),
        "validation_faces": len(data.validation[0]),
        "dropped_by_labels": data.dropped,
        "training_classes": dict(
            zip(
                data.scheme.classes,
                np.bincount(data.train[1].argmax(1), minlength=len(data.scheme.classes)).tolist(),
                strict=True,
            )
        ),
        "history": [{"step": s.name, "before": s.n_before, "after": s.n_after, **s.detail} for s in data.table.history],
    }
    return record


def _precision(config: ExperimentConfig) -> str:
    """``bf16`` where the machine multiplies it in hardware, unless the configuration decides."""
    if config.train.precision != "auto":
        return config.train.precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "fp32"


def _epochs_done(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(state["epoch"]) + 1


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into TrainingStopped while the fit runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TrainingStopped(signal.Signals(number).name)

    old = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


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
