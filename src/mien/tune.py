"""``tune``: a search over settings with Optuna, on validation figures alone; what is killed goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from mien.config import ExperimentConfig, config_key, parse_config
from mien.config.section import Section
from mien.data.images import Store
from mien.errors import ConfigError, MienError, MissingExtra, RunError, UsageError
from mien.outputs import check_folder
from mien.runs import Run
from mien.studies.cells import RUN
from mien.studies.definition import settled
from mien.studies.hold import holder_of, holding
from mien.train import train
from mien.train.components import check_components
from mien.train.start import weights_key
from mien.yaml_files import read_yaml

JOURNAL, TRIALS = "journal.log", "trials"
#: What a trial can be chosen by, from the epoch that it kept: name in the record, and whether more is better.
OBJECTIVES = {
    "accuracy": ("val_accuracy", True),
    "loss": ("val_loss", False),
    "worst_class": ("val_worst_class", True),
    "worst_group": ("val_worst_group", True),
}
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
    path = Path(path)
    content = read_yaml(path, "a search: name, base and space")
    try:
        return TuneConfig.model_validate(content)
    except ValidationError as error:
        mistakes: list[MienError] = [
            ConfigError(
                ": ".join((path.name, ".".join(map(str, e["loc"])))), str(e.get("ctx", {}).get("error") or e["msg"])
            )
            for e in error.errors()
        ]
        raise ConfigError.joined(path.name, mistakes) from None


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
    shared = {**search.set, **(settings or {})}
    for end in (0, -1):  # what the ends of all ranges make of the experiment is told before anything is trained
        _config(base, shared, {key: _end(about, end) for key, about in search.space.items()})
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(out / JOURNAL)))
        study = optuna.create_study(
            storage=storage,
            study_name=search.name,
            directions=["maximize" if OBJECTIVES[o][1] else "minimize" for o in search.objectives],
            load_if_exists=True,
        )
        # A search that goes on must not draw again what it drew when it began.
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(study.trials), multivariate=True)
    told = study.user_attrs.get("search")
    asked = {"space": {k: r.model_dump(mode="json") for k, r in search.space.items()},
             "objectives": list(search.objectives)}  # fmt: skip
    if told is None:
        study.set_user_attr("search", asked)
    elif told != asked:
        raise UsageError(str(out), f"holds another search called {search.name!r}", "the same space and objectives",
                         "Use another --out.")  # fmt: skip
    complete, fail, running = (getattr(optuna.trial.TrialState, n) for n in ("COMPLETE", "FAIL", "RUNNING"))
    for trial in study.trials:
        if trial.state == running and _is_dead(trial.user_attrs.get("path")):
            # The same settings are the same folder, in which the run goes on.
            study.tell(trial.number, state=fail)
            study.enqueue_trial(trial.params)

    def objective(trial: Any) -> tuple[float, ...]:
        chosen = {key: _ask(trial, key, about) for key, about in search.space.items()}
        try:
            config = _config(base, shared, chosen)
            key = config_key(config, Store.open(config.data.store).fingerprint, weights_key(config))
            path = out / TRIALS / key[:12]
            trial.set_user_attr("path", str(path))
            values = _run(config, path, search.objectives, threads)
        except MienError as error:
            trial.set_user_attr("failed", str(error))
            say(f"trial {trial.number}: failed: {error}")
            raise
        say(f"trial {trial.number}: {_told(values)}  {_told(chosen)}")
        return tuple(values.values())

    def ended() -> int:
        # What failed counts too: a search whose settings cannot work must end. What was broken off does not.
        return sum(t.state == complete or (t.state == fail and "failed" in t.user_attrs) for t in study.trials)

    while ended() < (trials or search.trials):
        study.optimize(objective, n_trials=1, catch=(MienError,))
    best = {trial.number for trial in study.best_trials}
    return [
        Trial(
            number=trial.number,
            settings=trial.params,
            values=dict(zip(search.objectives, trial.values, strict=True)),
            path=Path(trial.user_attrs["path"]) / RUN,
            best=trial.number in best,
        )
        for trial in study.trials
        if trial.state == complete
    ]


def _run(
    config: ExperimentConfig, path: Path, objectives: Sequence[Objective], threads: int | None
) -> dict[str, float]:
    with holding(path) as held:
        if not held:
            raise RunError(str(path), "another process trains there", "one search at a time for the same settings")
        run = train(config, path / RUN, finished_ok=True, threads=threads)
    if run.record.status != "finished":
        raise RunError(str(path), f"is {run.record.status}", "a finished run", "Give train.max_minutes more.")
    return _values(run, objectives)


def _is_dead(path: str | None) -> bool:
    """Whether nobody works on a trial that its journal calls running; one that has no place yet is."""
    holder = holder_of(Path(path)) if path is not None else None
    return holder is None or not holder.alive


def _config(base: Any, shared: Mapping[str, Any], chosen: Mapping[str, Any]) -> ExperimentConfig:
    return check_components(parse_config(settled(base, {**shared, **chosen}, "tune"), "tune"), "tune")


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
    return {o: float(best[OBJECTIVES[o][0]]) for o in objectives}


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
