"""``train``: from a configuration to a run folder; takes up a broken run where it stopped."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric

from mien.config import ExperimentConfig
from mien.errors import UsageError
from mien.models.weights import WEIGHTS, save_weights
from mien.outputs import check_folder, replace_folder, settle, staging, whole, writing
from mien.records import RunRecord
from mien.runs import CHECKPOINT, LOG, RECORD, SPLITS, Run, code_versions, machine
from mien.train.build import Built, build, make_fabric, precision_of, processes, sources
from mien.train.checkpoints import load_checkpoint
from mien.train.components import check_components
from mien.train.folder import check_same_faces, check_store, clear, locked, others, previous_run
from mien.train.keep import Diary
from mien.train.loop import Loop, Progress
from mien.train.numbers import numbers_of
from mien.train.start import check_start, pictures_of, started_from
from mien.train.stopping import StopSignals, TrainingStopped
from mien.train.targets import EXPRESSION, TrainingData, class_names, load_training_data, mitigated


def train(
    config: ExperimentConfig,
    out: Path | str,
    *,
    force: bool = False,
    finished_ok: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
    threads: int | None = None,
) -> Run:
    """Train as configured; under ``torchrun`` on all of its processes together.

    A run that was cut off, by whatever, goes on from the last epoch that was written when ``train`` is called again
    with the same configuration, and ends with the weights of an unbroken run. That is the last whole epoch, unless
    writing takes long (:class:`mien.train.checkpoints.Sparing`).

    Args:
        config: The experiment.
        out: The run folder.
        force: Begin anew where there is a run; that one stays until the new one has its first epoch, and what
            is not Mien's in its folder stays altogether.
        finished_ok: Return a finished run of this configuration as it is.
        progress: Called with steps done and steps in all.
        say: Receives lines for the user (also written to ``train.log``).
        threads: Processor threads of all processes of this machine together, where the configuration gives none
            (``train.threads`` are those of each); a run goes on with those it began with.

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
    with _quiet():
        fabric = make_fabric(config)
        fabric.launch()
        if fabric.is_global_zero:
            settle(out)
        fabric.barrier()  # all processes read; then the first one alone writes to the folder
        replaces = force and (out / RECORD).is_file()
        previous = None if replaces else previous_run(out, config)
        if previous is not None and previous.status == "finished":
            if finished_ok:
                check_store(out, config, previous)
                _take_note(Run(out), previous, config)
                return Run(out)
            raise UsageError(str(out), "the run is finished", "a new folder", "Pass --force to train it again.")
        data = load_training_data(config)
        faces = _faces(data)
        if previous is not None:
            check_same_faces(out, data.store.fingerprint, previous, faces)
        else:
            check_start(config, data.table, pictures_of(data.store))
        sitting = _Sitting(
            config=config,
            data=data,
            fabric=fabric,
            faces=faces,
            out=out,
            say=say,
            progress=progress if fabric.is_global_zero else None,
            threads=threads,
        )
        # A model that cannot be built is told before anything is made.
        begun = None if replaces else sitting.begin(previous)
        fabric.barrier()
        out.mkdir(parents=True, exist_ok=True)
        with writing(out, mixed=True), locked(out) if fabric.is_global_zero else nullcontext():
            if begun is not None:
                sitting.run(begun)
            elif _first_epoch(sitting, out) and Run(out).record.status != "finished":
                sitting.run(sitting.begin(Run(out).record, goes_on=True))
        fabric.barrier()
        return Run(out)


@dataclass(frozen=True, kw_only=True)
class _Sitting:
    """What every sitting of a run is made of."""

    config: ExperimentConfig
    data: TrainingData
    fabric: Fabric
    faces: pd.DataFrame
    out: Path
    say: Callable[[str], None]
    progress: Progress | None
    threads: int | None

    def begin(self, previous: RunRecord | None, *, first_epoch: bool = False, goes_on: bool = False) -> _Begun:
        """Make everything ready, and touch nothing.

        Args:
            previous: The record of the run so far; None where it begins.
            first_epoch: Train one epoch only.
            goes_on: It goes on from an epoch just trained, without a word.
        """
        checkpoint = self.out / CHECKPOINT
        state = load_checkpoint(checkpoint) if previous and checkpoint.is_file() else None
        self._use_threads(previous)  # first, for the record is written anew
        record = _record(self.config, self.data, previous)
        begun = record.data["started_from"]
        config = _as_begun(self.config, previous)
        built = build(config, self.data, self.fabric, _terms(record), resumed=state is not None, begun=begun)
        _describe(record, built)
        said = ""
        if previous is not None and not goes_on:
            done = 0 if state is None else state["epoch"]
            said = f"resuming {self.out} after epoch {done} of {built.all_epochs}"
            said = said if state else f"restarting {self.out}: no epoch had ended"
            record.resumed.append({"at": _now(), "after_epoch": done})
        return _Begun(
            built=built,
            run=Run(self.out),
            record=record,
            state=state,
            first_epoch=first_epoch,
            new=previous is None,
            silent=goes_on,
            said=said,
            tell=_teller(self.out, self.say) if self.fabric.is_global_zero else _mute,
        )

    def _use_threads(self, previous: RunRecord | None) -> None:
        """As many as the run began with: sums of another number of threads differ in the last digit."""
        begun = previous.device.get("threads") if previous is not None else None
        own = max(1, self.threads // processes()[1]) if self.threads else None
        threads = self.config.train.threads or (begun if isinstance(begun, int) else None) or own
        if threads:
            torch.set_num_threads(threads)

    def run(self, begun: _Begun) -> None:
        """Train; earlier results go only now, when nothing of the user's can be wrong any more."""
        if self.fabric.is_global_zero:
            clear(self.out, everything=begun.new)
            begun.run.save_record(begun.record)
            with whole(self.out / SPLITS) as partial:
                self.faces.to_parquet(partial, index=False)
        if begun.said:
            begun.tell(begun.said)
        if not begun.silent:
            begun.introduce()
        begun.run_until_done(self.progress)


@dataclass(kw_only=True)
class _Begun:
    """A sitting that is ready.

    Attributes:
        built: What it works on.
        run: The folder.
        record: Its record.
        state: The checkpoint to go on from.
        first_epoch: Whether it ends after one epoch.
        new: Whether the run begins with it.
        silent: Whether to leave unsaid what is trained on what.
        said: What to say of the beginning.
        tell: Receives lines for the user.
    """

    built: Built
    run: Run
    record: RunRecord
    state: dict[str, Any] | None
    first_epoch: bool
    new: bool
    silent: bool
    said: str
    tell: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    before: float = 0.0

    def introduce(self) -> None:
        """Say what is trained on what."""
        data, name = self.built.data, self.built.config.model.name
        self.tell(
            f"{len(data.train)} training and {len(data.validation)} validation faces, "
            f"{len(self.built.card.classes)} classes, {name} with {self.built.parameters / 1e6:.2f} M parameters, "
            f"{precision_of(self.built.config)}"
        )
        for note in (*data.notes, *self.built.notes):
            self.tell(f"note: {note}")
        if self.built.variants is not None:
            sets = "; ".join(f"{n:,} {what}" for what, n in self.built.variants.sets.items())
            self.tell(f"{len(self.built.variants.faces):,} pictures an epoch with the copies of faces: {sets}")

    def run_until_done(self, progress: Progress | None) -> None:
        """Fit; whatever ends it, leave weights, history and record in order."""
        self.began, self.before = time.monotonic(), self.record.seconds
        built, status, signals = self.built, "failed", StopSignals()
        diary = Diary(self.run.path, built.card, self.tell, built.all_epochs, built.fabric.is_global_zero)
        loop = Loop(
            built,
            diary,
            self.run.path / CHECKPOINT,
            check=signals.check,
            after_epoch=lambda: self._keep("running", loop),
            progress=progress,
        )
        try:
            with signals:
                done = loop.run(self.state, self._more)
            status = "finished" if done else "running" if self.first_epoch else "stopped"
            if status == "stopped":
                minutes = built.config.train.max_minutes
                self.tell(f"stopped: train.max_minutes={minutes:g} have passed; the same command goes on")
        except TrainingStopped:
            status = "stopped"
            self.tell("stopped: the run can be resumed with the same command")
            raise
        finally:
            diary.close()
            # What failed may well be the card or the disk: then that is told, and not that the weights are lost too.
            with suppress(Exception) if status == "failed" else nullcontext():
                loop.write_best()
            if status != "failed" and built.fabric.is_global_zero and not (self.run.path / WEIGHTS).is_file():
                self.tell("no epoch ended: the weights kept are those of the moment, not validated")
                save_weights(loop.judged, built.card, self.run.path)
            self._keep(status, loop)

    def _more(self) -> bool:
        """Whether this sitting goes on with another epoch."""
        minutes = self.built.config.train.max_minutes
        return not self.first_epoch and (minutes is None or time.monotonic() - self.began <= 60 * minutes)

    def _keep(self, status: str, loop: Loop) -> None:
        """Bring the record on disk up to date; called after every epoch."""
        if not self.built.fabric.is_global_zero:
            return
        self.record.status = status
        self.record.seconds = self.before + time.monotonic() - self.began
        self.record.best = dict(loop.written) or self.record.best
        self.record.estimates = self.run.record.estimates  # somebody may evaluate a run while it goes on
        self.run.save_record(self.record)


def _first_epoch(sitting: _Sitting, out: Path) -> bool:
    """Train the first epoch of a new run beside an older one, and put it in its place; what is not Mien's stays.

    Returns:
        Whether an epoch ended; otherwise the older run is as it was.
    """
    fabric = sitting.fabric
    beside = Path(fabric.broadcast(str(staging(out.resolve()))))
    anew = replace(sitting, out=beside)
    begun = anew.begin(None, first_epoch=True)
    if fabric.is_global_zero:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    fabric.barrier()
    try:
        with locked(beside) if fabric.is_global_zero else nullcontext():
            anew.run(begun)
            fabric.barrier()
            ended = (beside / CHECKPOINT).is_file()
            fabric.barrier()
            if ended and fabric.is_global_zero:
                replace_folder(beside, out, others(out))
            fabric.barrier()
            return ended
    finally:
        if fabric.is_global_zero:
            shutil.rmtree(beside, ignore_errors=True)


def _faces(data: TrainingData) -> pd.DataFrame:
    """What a run remembers of its faces."""
    columns = ["sample_id", "split", "cluster", "hash"] + (["fold"] if "fold" in data.table.frame else [])
    faces = data.table.frame[columns].reset_index(drop=True)
    # Votes are part of the store's fingerprint, attributes are not: a run goes on with those that it began with.
    learnt = data.heads if list(data.heads) != [EXPRESSION] else ()
    asked = (part.strip() for spec in (*data.train.attributes, *data.validation.attributes) for part in spec.split("*"))
    for name in dict.fromkeys((*learnt, *asked)):
        groups = data.table.frame[name].reset_index(drop=True).astype(object)
        faces[name] = groups.where(groups.notna(), "").astype(faces["split"].dtype)
    numbers = numbers_of(data.table, data.numbers)
    for i, column in enumerate(column for head in data.numbers for column in head.columns):
        faces[column] = numbers[:, i]  # type: ignore[index]
    return faces


def _as_begun(config: ExperimentConfig, previous: RunRecord | None) -> ExperimentConfig:
    """With the precision in which a run began, where that is left to the machine: another would end otherwise."""
    begun = previous.device.get("precision") if previous is not None else None
    if config.train.precision != "auto" or begun not in ("bf16", "fp32"):
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": begun})})


def _record(config: ExperimentConfig, data: TrainingData, previous: RunRecord | None) -> RunRecord:
    record = previous or RunRecord(name=config.name, config={}, started=_now())
    begun = record.data.get("started_from") or started_from(config, data.store.images.shape[3])
    record.config = config.model_dump(mode="json")
    record.versions = code_versions("torch", "lightning-fabric", "numpy")
    record.device = machine()
    record.seed = config.seed
    record.status, record.estimates = "running", {}
    record.data = {
        "store": str(data.store.path),
        "corpus": data.table.name,
        "terms": data.store.info.get("terms", ""),
        "started_from": begun,
        "fingerprint": data.store.fingerprint,
        "pictures": pictures_of(data.store),
        "splits": data.table.splits,
        "training_faces": len(data.train),
        "validation_faces": len(data.validation),
        "dropped_by_labels": data.dropped,
        "notes": list(data.notes),
        "training_classes": dict(zip(class_names(data.heads), data.train.first_classes().tolist(), strict=True)),
        "training_targets": dict(zip(class_names(data.heads), map(float, data.train.targets.sum(0)), strict=True)),
        "history": [{"step": s.name, "before": s.n_before, "after": s.n_after, **s.detail} for s in data.table.history],
    }
    if data.prior:  # fitted to the training votes; what is given stands in the configuration
        record.data["label_prior"] = {"classes": list(data.prior), "concentrations": list(data.prior.values())}
    return record


def _terms(record: RunRecord) -> str:
    """Terms of the corpus, and of the weights that the body began with."""
    found = record.data["terms"], record.data["started_from"].get("terms", "")
    return "; ".join(dict.fromkeys(filter(None, found)))


def _describe(record: RunRecord, built: Built) -> None:
    """Say in the record what is trained, and on what."""
    card, mitigation = built.card, built.config.mitigation
    record.model = {
        "name": card.model,
        "parameters": built.parameters,
        "input": [card.in_channels, card.size, card.size],
        "classes": list(card.classes),
    }
    if card.numbers:
        record.model["numbers"] = list(card.numbers)
    if built.variants is not None:
        record.data["augmented_copies"] = {"pictures": len(built.variants.faces), "faces": built.variants.sets}
    if mitigation.name != "none":
        record.model["mitigation"] = mitigation.name
        record.data["mitigation_groups"] = sources(mitigated(built.config), built.data)
    record.device |= {"precision": precision_of(built.config), "threads": torch.get_num_threads()}
    if built.fabric.world_size > 1:
        record.device["processes"] = built.fabric.world_size
    if torch.cuda.is_available():
        record.device["accelerator"] = torch.cuda.get_device_name()


def _take_note(run: Run, record: RunRecord, config: ExperimentConfig) -> None:
    """Another audit may be asked of a finished run: the record says which."""
    wanted = config.model_dump(mode="json")
    if record.config["audit"] != wanted["audit"]:
        record.config = wanted
        run.save_record(record)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the trainer's hints (worker counts, hardware lists) from the user; errors still raise."""
    loggers = [logging.getLogger(n) for n in ("lightning_fabric", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning_fabric")
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


def _mute(line: str) -> None:
    """What the other processes say."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
