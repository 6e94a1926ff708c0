"""The chain that Mien is for, in ten lines: fit, evaluate, audit, report. Begin reading here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.audit import AnnotatorError, Audit
from mien.config import ExperimentConfig
from mien.data.images import Store
from mien.data.labelled import parse_on
from mien.done import Stages
from mien.errors import ConfigError
from mien.evaluate import evaluate
from mien.judging import Progress, audit_run
from mien.report import render_report, save_curves
from mien.runs import Run
from mien.train import is_first, train


def run_experiment(
    config: ExperimentConfig,
    out: Path | str,
    *,
    on: str | None = None,
    force: bool = False,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
    progress: Progress | None = None,
    threads: int | None = None,
    audited: Callable[[Audit], None] = lambda audit: None,
) -> Run:
    """Train, evaluate, audit and report one experiment; what is done, and would come out the same, is not done again.

    Args:
        config: The experiment.
        out: The run folder.
        on: ``STORE:split`` to evaluate on; the run's own test faces by default.
        force: Throw away a run that is there.
        device: Where to evaluate.
        say: Receives lines for the user.
        progress: Called with training steps done and in all.
        threads: Processor threads of the training where the configuration gives none.
        audited: Receives the audit, also one that an earlier call made.

    Returns:
        The run, with predictions, audit and report in its folder.

    Raises:
        ConfigError: If the audit asks for an attribute that the store does not have; before training.
    """
    _check(config, on)
    run = train(config, out, force=force, finished_ok=True, say=say, progress=progress, threads=threads)
    if not is_first():  # of several processes that trained together the first one goes on
        return run

    def evaluated() -> str:
        found = evaluate(run, on, device=device, features=config.audit.leakage)
        if found.renamed:
            say(found.renamed)
        return found.name

    stages = Stages(run, config)
    name = stages.evaluation(on, evaluated)
    say(f"accuracy on {run.record.estimates[name]['on']}: {run.estimate(name, 'accuracy')}")
    if config.audit.by:
        stages.audit(name, lambda: audit_run(run, name, config.audit, config.seed))
        found = run.audit(name)
        say(found.verdict)
        audited(found)
    say(f"report: {stages.report(lambda: (save_curves(run), render_report(run)))}")
    return run


def _check(config: ExperimentConfig, on: str | None) -> None:
    """A slip is told before the training, not after."""
    if config.labels.attributes:
        raise ConfigError(
            "labels.attributes",
            "an experiment evaluates and audits expressions",
            "no attributes",
            "Call 'mien train', then 'mien annotator RUN'.",
        )
    for path in config.audit.annotator_error.values():
        AnnotatorError.load(path)
    if on is not None:
        Store.open(parse_on(on)[0])
