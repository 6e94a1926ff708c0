"""``tune``: a search over settings with Optuna, on validation figures alone; what is killed goes on."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import Field, model_validator

from mien.config import ExperimentConfig, config_key, parse_config
from mien.config.files import load_section
from mien.config.section import Section
from mien.config.settled import settled
from mien.data.images import Store
from mien.errors import ConfigError, MissingExtra, RunError, UsageError
from mien.outputs import check_folder
from mien.runs import Run
from mien.studies.cells import RUN
from mien.studies.choosing import OBJECTIVES
from mien.studies.hold import SILENT_S, Holder, holder_of, holding, machine, me
from mien.train import train
from mien.train.components import check_components
from mien.train.start import keyed, weights_key
from mien.train.stopping import TrainingStopped
from mien.yaml_files import read_yaml

JOURNAL, TRIALS = "journal.log", "trials"
_WAIT_S = 1.0
Objective = Literal["accuracy", "loss", "worst_class", "worst_group"]


class Range(Section):
    """What a setting may be: one of some values, or a number between two."""

    values: list[Any] = Field([], description="One of these; ...")
    low: float | None = Field(None, description="... or a number from this ...")
    high: float | None = Field(None, description="... to this.")
    log: bool = Field(False, description="Drawn on the scale of its logarithm.")
    whole: bool = Field(False, description="Whole numbers only.")

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        ends = self.low is not None and self.high is not None
        if bool(self.values) == ends or (not ends and (self.low is not None or self.high is not None)):
            raise ValueError("values, or both low and high")
        if ends and not (self.low < self.high and (not self.log or self.low > 0)):  # type: ignore[operator]
            raise ValueError("low must be below high, and above 0 with log")
        return self


class TuneConfig(Section):
    """A search; unknown keys are refused."""

    name: str = Field(min_length=1)
    base: str = Field(min_length=1, description="The experiment, beside this file.")
    set: dict[str, Any] = Field({}, description="Dotted key -> value for all trials.")
    space: dict[str, Range] = Field(min_length=1, description="Dotted key -> what it may be.")
    objectives: tuple[Objective, ...] = Field(("accuracy",), min_length=1, description="What is to be best, together.")
    trials: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, description="Of the search; the runs have the experiment's.")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial that ended.

    Attributes:
        number: In the order in which they began.
        settings: Dotted key -> value.
        values: Objective -> value.
        path: Its run.
        best: Whether no other trial is better in one objective and as good in all others.
    """

    number: int
    settings: dict[str, Any]
    values: dict[str, float]
    path: Path
    best: bool


def load_tuning(path: Path | str) -> TuneConfig:
    """Read a search.

    Raises:
        ConfigError: If it cannot be read.
    """
    return load_section(path, TuneConfig, "a search: a YAML with name, base and space")


def tune(
    search: TuneConfig,
    folder: Path,
    out: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Trial]:
    """Search; what earlier calls did in ``out`` counts, and a trial that was broken off goes on first.

    Several processes may search together. Test faces are never looked at.

    Args:
        search: What to search.
        folder: Where its file lies.
        out: Where the journal and the runs go.
        settings: Dotted key -> value for all trials, last.
        trials: How many in all; those of the search if absent.
        threads: Of a training.
        say: Receives a line a trial.

    Returns:
        All trials that ended, the best marked.

    Raises:
        MissingExtra: Without Optuna.
        ConfigError: If a setting cannot be used, before anything is trained.
        UsageError: If the place holds another search.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as error:
        raise MissingExtra("mien tune", "tune", "optuna") from error
    base = read_yaml(folder / search.base, "an experiment")
    if not isinstance(base, dict):
        raise ConfigError(str(folder / search.base), "holds no keys", "an experiment, as in experiments/")
    shared = [search.set, settings or {}]
    for end in (0, -1):  # what the ends of all ranges make of the experiment is told before anything is trained
        first = _config(base, shared, {key: _end(about, end) for key, about in search.space.items()})
    asked = {
        "space": {key: about.model_dump(mode="json") for key, about in search.space.items()},
        "objectives": list(search.objectives),
        "experiment": config_key(
            keyed(_config(base, shared, {})), Store.open(first.data.store).fingerprint, weights_key(first)
        ),
    }
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    turn = FileLock(out / ".turn")  # of several processes one looks at the journal and asks for a trial at a time
    with turn, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(out / JOURNAL))),
            study_name=search.name,
            directions=["maximize" if OBJECTIVES[o][1] else "minimize" for o in search.objectives],
            load_if_exists=True,
        )
        told = study.user_attrs.get("search")
        if told is None:
            study.set_user_attr("search", asked)
        elif told != asked:
            raise UsageError(str(out), f"holds another search called {search.name!r}",
                             "the same experiment, space and objectives", "Use another --out.")  # fmt: skip
    states = optuna.trial.TrialState
    while True:
        with turn, warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for old in study.trials:
                if old.state == states.RUNNING and not _alive(old, out):
                    # The same settings are the same folder, in which the run goes on.
                    study.tell(old.number, state=states.FAIL)
                    study.enqueue_trial(old.params)
            # What failed counts too: a search whose settings cannot work must end. What was broken off does not.
            counted = [
                t for t in study.trials if t.state in (states.COMPLETE, states.RUNNING) or "failed" in t.user_attrs
            ]
            if len(counted) >= (trials or search.trials):
                break
            # Drawn anew for each trial: a search that goes on must not draw again what it drew when it began.
            number = len(study.trials)
            drawn = (1_000_003 * search.seed + number) % 2**32  # what its generator takes
            study.sampler = optuna.samplers.TPESampler(seed=drawn, multivariate=True)
            trial = study.ask()
            trial.set_user_attr("held", me())
            chosen = {key: _ask(trial, key, about) for key, about in search.space.items()}
        try:
            values = _run(_config(base, shared, chosen), out, search.objectives, threads, trial)
        except (KeyboardInterrupt, SystemExit, TrainingStopped):
            trial.set_user_attr("held", None)  # the next call goes on with it, also in this process
            raise
        except Exception as error:  # whatever it is: a search does not end with one trial
            trial.set_user_attr("failed", f"{type(error).__name__}: {error}")
            study.tell(trial, state=states.FAIL)
            say(f"trial {trial.number}: failed: {error}")
            continue
        study.tell(trial, list(values.values()))
        say(f"trial {trial.number}: {_told(values)}  {_told(chosen)}")
    best = {trial.number for trial in study.best_trials}
    return [
        Trial(
            number=trial.number,
            settings=trial.params,
            values=dict(zip(search.objectives, trial.values, strict=True)),
            path=out / TRIALS / trial.user_attrs["folder"] / RUN,
            best=trial.number in best,
        )
        for trial in study.trials
        if trial.state == states.COMPLETE
    ]


def _alive(trial: Any, out: Path) -> bool:
    """Whether somebody works on a trial: of another machine only what its folder tells can be seen."""
    held_by = trial.user_attrs.get("held")  # noted in the same turn in which it was asked for
    if not held_by:
        return False
    holder = Holder(**held_by)
    if holder.host == machine():
        return holder.alive
    folder = trial.user_attrs.get("folder")
    found = None if folder is None else holder_of(out / TRIALS / folder)
    if found is not None:
        return found.alive
    return bool(datetime.now() - trial.datetime_start < timedelta(seconds=SILENT_S))  # it has just begun


def _run(
    config: ExperimentConfig, out: Path, objectives: Sequence[Objective], threads: int | None, trial: Any
) -> dict[str, float]:
    key = config_key(keyed(config), Store.open(config.data.store).fingerprint, weights_key(config))
    path = out / TRIALS / key[:12]
    trial.set_user_attr("folder", path.name)
    while True:
        with holding(path) as held:
            if held:
                run = train(config, path / RUN, finished_ok=True, threads=threads)
                break
        time.sleep(_WAIT_S)  # another trial drew the same settings: its run serves both
    if run.record.status != "finished":
        raise RunError(str(path), f"is {run.record.status}", "a finished run", "Give train.max_minutes more.")
    return _values(run, objectives)


def _config(base: Any, shared: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]) -> ExperimentConfig:
    return check_components(parse_config(settled(base, [*shared, chosen], "tune"), "tune"), "tune")


def _end(about: Range, end: int) -> Any:
    """The first or last of what a setting may be."""
    if about.values:
        return about.values[end]
    value = (about.low, about.high)[end]
    return int(value or 0) if about.whole else value


def _ask(trial: Any, key: str, about: Range) -> Any:
    """A value of the search's choice."""
    if about.values:
        return trial.suggest_categorical(key, about.values)
    if about.whole:
        return trial.suggest_int(key, int(about.low or 0), int(about.high or 0), log=about.log)
    return trial.suggest_float(key, about.low, about.high, log=about.log)


def _values(run: Run, objectives: Sequence[Objective]) -> dict[str, float]:
    best = run.record.best
    missing = [o for o in objectives if best.get(OBJECTIVES[o][0]) is None]
    if missing:
        fix = "Name attributes in train.watch." if missing[0] == "worst_group" else ""
        raise RunError(str(run.path), f"has no {OBJECTIVES[missing[0]][0]}", "a figure to choose by", fix)
    found: dict[str, float] = {o: float(best[OBJECTIVES[o][0]]) for o in objectives}
    if not all(map(math.isfinite, found.values())):
        raise RunError(str(run.path), f"ended with {_told(found)}", "numbers to choose by")
    return found


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
