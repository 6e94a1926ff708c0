"""The chain that Mien is for, in ten lines: fit, evaluate, audit, report. Begin reading here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mien.audit import Audit, audit
from mien.config import AuditConfig, ExperimentConfig
from mien.evaluate import evaluate
from mien.records import Predictions
from mien.report import render_audit, render_report, save_curves
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
    run = train(config, out, force=force, finished_ok=True, say=say, progress=progress)
    save_curves(run)
    evaluation = evaluate(run, on)
    say(f"accuracy on {evaluation.on}: {evaluation.all['accuracy']}")
    if config.audit.by:
        say(audit_run(run, evaluation.name, config.audit, config.seed).verdict)
    say(f"report: {render_report(run)}")
    return run


def audit_run(run: Run, name: str, settings: AuditConfig, seed: int) -> Audit:
    """Audit one set of a run's predictions; tables and page go to ``RUN/audit/NAME``."""
    predictions = Predictions.load(run.predictions[name])
    found = audit(predictions, settings.by, seed=seed, **settings.model_dump(exclude={"by"}))
    folder = run.path / AUDITS / name
    found.save(folder)
    render_audit(found, folder / "audit.html")
    return found
