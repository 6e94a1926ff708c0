"""The chain that Mien is for, in ten lines: fit, evaluate, audit, report. Begin reading here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.audit import Audit, audit
from mien.config import ExperimentConfig
from mien.evaluate import evaluate
from mien.records import Predictions
from mien.report import render_report
from mien.runs import AUDITS, Run
from mien.train import train

Progress = Callable[[int, int | None], None]


def run_experiment(
    config: ExperimentConfig,
    out: Path | str,
    *,
    on: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress | None = None,
) -> Run:
    """Train, evaluate, audit and report one experiment.

    Args:
        config: The experiment.
        out: The run folder.
        on: ``STORE:split`` to evaluate on; the run's own test faces by default.
        force: Throw away a run that is there.
        say: Receives lines for the user.
        progress: Called with training steps done and in all.

    Returns:
        The run, with predictions, audit and report in its folder.
    """
    run = train(config, out, force=force, say=say, progress=progress)
    evaluation = evaluate(run, on)
    say(f"accuracy on {evaluation.on}: {evaluation.all['accuracy']}")
    if config.audit.by:
        found = audit_predictions(run, evaluation.name, config)
        say(found.verdict)
    report = render_report(run)
    say(f"report: {report}")
    return run


def audit_predictions(run: Run, name: str, config: ExperimentConfig, by: tuple[str, ...] = ()) -> Audit:
    """Audit one set of a run's predictions by the configured attributes and leave it in the run folder."""
    settings = config.audit
    predictions = Predictions.load(run.predictions[name])
    found = audit(
        predictions,
        by or settings.by,
        level=settings.level,
        n_boot=settings.n_boot,
        n_perm=settings.n_perm,
        min_n=settings.min_n,
        seed=config.seed,
    )
    found.save(run.path / AUDITS / name)
    return found
