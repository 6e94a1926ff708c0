"""The chain that Mien is for, in ten lines: fit, evaluate, audit, report. Begin reading here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.audit import AnnotatorError
from mien.config import ExperimentConfig
from mien.errors import ConfigError
from mien.evaluate import evaluate
from mien.judging import Progress, audit_run
from mien.report import render_report, save_curves
from mien.runs import Run
from mien.train import train


def run_experiment(
    config: ExperimentConfig,
    out: Path | str,
    *,
    on: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress | None = None,
) -> Run:
    """Train, evaluate, audit and report one experiment; what an earlier call finished is not done again.

    Args:
        config: The experiment.
        out: The run folder.
        on: ``STORE:split`` to evaluate on; the run's own test faces by default.
        force: Throw away a run that is there.
        say: Receives lines for the user.
        progress: Called with training steps done and in all.

    Returns:
        The run, with predictions, audit and report in its folder.

    Raises:
        ConfigError: If the audit asks for an attribute that the store does not have; before training.
    """
    if config.labels.attributes:
        raise ConfigError(
            "labels.attributes",
            "a study evaluates and audits expressions",
            "no attributes",
            "Call 'mien train', then 'mien annotator RUN'.",
        )
    for path in config.audit.annotator_error.values():
        AnnotatorError.load(path)  # a slip is told before the training, not after
    run = train(config, out, force=force, finished_ok=True, say=say, progress=progress)
    save_curves(run)
    evaluation = evaluate(run, on, features=config.audit.leakage)
    say(f"accuracy on {evaluation.on}: {evaluation.all['accuracy']}")
    if config.audit.by:
        say(audit_run(run, evaluation.name, config.audit, config.seed).verdict)
    say(f"report: {render_report(run)}")
    return run
