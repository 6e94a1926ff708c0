"""``train``: from a configuration to a run folder; takes up a broken run where it stopped."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from mien.config import ExperimentConfig
from mien.errors import ConfigError, UsageError
from mien.models.blocks import ExpressionModel
from mien.models.weights import WEIGHTS, WeightCard, bf16_is_fast, load_card, save_weights
from mien.outputs import check_folder, replace_folder, settle, staging, whole, writing
from mien.records import RunRecord
from mien.runs import CHECKPOINT, LOG, RECORD, SPLITS, Run, code_versions, machine
from mien.train.callbacks import (
    AtomicCheckpoints,
    AveragedWeights,
    BestWeights,
    CapturedNetwork,
    Clock,
    FirstEpoch,
    Patience,
    Plateau,
    Progress,
    StepProgress,
)
from mien.train.checkpoints import epochs_done, resuming
from mien.train.components import check_components
from mien.train.data import (
    EXPRESSION,
    TrainingData,
    check_start,
    class_names,
    head_slices,
    load_training_data,
    train_loader,
    validation_loader,
)
from mien.train.folder import check_same_faces, clear, locked, others, previous_run
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
        force: Begin anew where there is a run; that one stays until the new one has its first epoch, and what
            is not Mien's in its folder stays altogether.
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
    check_folder(out)
    settle(out)
    replaces = force and (out / RECORD).is_file()
    previous = None if replaces else previous_run(out, config)
    if previous is not None and previous.status == "finished":
        if finished_ok:
            return Run(out)
        raise UsageError(str(out), "the run is finished", "a new folder", "Pass --force to train it again.")
    data = load_training_data(config)
    faces = _faces(data)
    if previous is not None:
        check_same_faces(out, data.store.fingerprint, previous, faces)
    else:
        check_start(config, data.table)
    sitting = _Sitting(config, data, faces, out, say, progress)
    # A model that cannot be built is told before anything is made.
    begun = None if replaces else sitting.begin(previous)
    out.mkdir(parents=True, exist_ok=True)
    with writing(out, mixed=True), locked(out):
        if begun is not None:
            sitting.run(begun)
        elif _first_epoch(sitting, out) and Run(out).record.status != "finished":
            sitting.run(sitting.begin(Run(out).record, goes_on=True))
    return Run(out)


@dataclass(frozen=True)
class _Sitting:
    """What every sitting of a run is made of."""

    config: ExperimentConfig
    data: TrainingData
    faces: pd.DataFrame
    out: Path
    say: Callable[[str], None]
    progress: Progress | None

    def begin(self, previous: RunRecord | None, *, first_epoch: bool = False, goes_on: bool = False) -> _Begun:
        """Make everything ready, and touch nothing.

        Args:
            previous: The record of the run so far; None where it begins.
            first_epoch: Train one epoch only.
            goes_on: It goes on from an epoch just trained, without a word.
        """
        resume = self.out / CHECKPOINT if previous and (self.out / CHECKPOINT).is_file() else None
        done, record = epochs_done(resume) if resume else 0, _record(self.config, self.data, previous)
        tell = _teller(self.out, self.say)
        fit = _Fit(
            self.config,
            self.data,
            Run(self.out),
            record,
            say=tell,
            progress=self.progress,
            resumed=resume is not None,
            first_epoch=first_epoch,
        )
        said = ""
        if previous is not None and not goes_on:
            said = f"resuming {self.out} after epoch {done} of {self.config.train.epochs}"
            said = said if resume else f"restarting {self.out}: no epoch had ended"
            record.resumed.append({"at": _now(), "after_epoch": done})
        return _Begun(fit, resume, new=previous is None, silent=goes_on, said=said)

    def run(self, begun: _Begun) -> None:
        """Train; earlier results go only now, when nothing of the user's can be wrong any more."""
        clear(self.out, everything=begun.new)
        begun.fit.run.save_record(begun.fit.record)
        with whole(self.out / SPLITS) as partial:
            self.faces.to_parquet(partial, index=False)
        if begun.said:
            begun.fit.say(begun.said)
        if not begun.silent:
            begun.fit.introduce()
        begun.fit.run_until_done(begun.resume)


@dataclass(frozen=True)
class _Begun:
    """A sitting that is ready.

    Attributes:
        fit: The trainer and what it works on.
        resume: The checkpoint to go on from.
        new: Whether the run begins with it.
        silent: Whether to leave unsaid what is trained on what.
        said: What to say of the beginning.
    """

    fit: _Fit
    resume: Path | None
    new: bool
    silent: bool
    said: str


def _first_epoch(sitting: _Sitting, out: Path) -> bool:
    """Train the first epoch of a new run beside an older one, and put it in its place; what is not Mien's stays.

    Returns:
        Whether an epoch ended; otherwise the older run is as it was.
    """
    beside = staging(out.resolve())
    anew = replace(sitting, out=beside)
    begun = anew.begin(None, first_epoch=True)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        with locked(beside):
            anew.run(begun)
            if (beside / CHECKPOINT).is_file():
                replace_folder(beside, out, others(out))
                return True
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return False


class _Fit:
    """One sitting of a run."""

    def __init__(
        self,
        config: ExperimentConfig,
        data: TrainingData,
        run: Run,
        record: RunRecord,
        *,
        say: Callable[[str], None],
        progress: Progress | None,
        resumed: bool,
        first_epoch: bool,
    ) -> None:
        self.config, self.data, self.run, self.record, self.say = config, data, run, record, say
        self._began, self._before = 0.0, record.seconds
        self.first_epoch = FirstEpoch() if first_epoch else None
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        channels = data.store.images.shape[3]
        classes = class_names(data.heads)
        model = build_model(config, len(classes), channels, resumed=resumed)
        size = _input_size(model, config.model.size, data.store.images.shape[1])
        self.loader = train_loader(data, config)
        self.card = WeightCard(
            model=config.model.name,
            options=config.model.options,
            classes=classes,
            size=size,
            in_channels=channels,
            mean=data.mean,
            std=data.std,
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
        if torch.cuda.is_available():
            self.record.device["accelerator"] = torch.cuda.get_device_name()
        self.trainer = self._trainer(progress)

    def _trainer(self, progress: Progress | None) -> L.Trainer:
        train = self.config.train
        callbacks: list[L.Callback] = [self.best]  # before the averaged weights: see BestWeights
        if train.ema is not None:
            callbacks.append(AveragedWeights(train.ema))
        dtype = torch.bfloat16 if self.precision == "bf16" else None
        callbacks.append(CapturedNetwork(self.loader.batch_size or 1, dtype, self.say))
        if train.early_stopping is not None:
            mode = "max" if train.monitor == "val_accuracy" else "min"
            callbacks.append(Patience(train.monitor, patience=train.early_stopping, mode=mode))
        if train.schedule.name == "plateau":
            callbacks.append(Plateau(train))
        if self.first_epoch is not None:
            callbacks.append(self.first_epoch)
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

    def introduce(self) -> None:
        """Say what is trained on what."""
        n_train, n_validation = len(self.data.train[0]), len(self.data.validation[0])
        self.say(
            f"{n_train} training and {n_validation} validation faces, {len(self.card.classes)} classes, "
            f"{self.config.model.name} with {self.record.model['parameters'] / 1e6:.2f} M parameters, {self.precision}"
        )
        for note in self.data.notes:
            self.say(f"note: {note}")

    def run_until_done(self, resume: Path | None) -> None:
        """Fit; whatever ends it, leave weights, history and record in order."""
        self._began = time.monotonic()
        status = "failed"
        try:
            with self.signals, _quiet(), resuming(resume, self.trainer):
                self.trainer.fit(
                    self.module,
                    self.loader,
                    validation_loader(self.data, self.config),
                    ckpt_path=resume,
                    weights_only=True,
                )
            status = "running" if self.first_epoch is not None and self.first_epoch.more else "finished"
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


def _faces(data: TrainingData) -> pd.DataFrame:
    """What a run remembers of its faces."""
    columns = ["sample_id", "split", "cluster", "hash"] + (["fold"] if "fold" in data.table.frame else [])
    faces = data.table.frame[columns].reset_index(drop=True)
    # Votes are part of the store's fingerprint, attributes are not: a run goes on with those that it began to learn.
    for name in data.heads if list(data.heads) != [EXPRESSION] else ():
        groups = data.table.frame[name].reset_index(drop=True).astype(object)
        faces[name] = groups.where(groups.notna(), "").astype(faces["split"].dtype)
    return faces


def _record(config: ExperimentConfig, data: TrainingData, previous: RunRecord | None) -> RunRecord:
    record = previous or RunRecord(name=config.name, config={}, started=_now())
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
