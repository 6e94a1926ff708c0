"""The chain that Mien is for, in ten lines: fit, evaluate, audit, report. Begin reading here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mien.audit import AnnotatorError, Audit, audit, compare_many, load_features, render_text, seed_audit
from mien.audit.compare.markdown import comparison_text
from mien.audit.seeds.markdown import seed_text
from mien.config import AuditConfig, ExperimentConfig
from mien.errors import ConfigError
from mien.evaluate import evaluate
from mien.records import Predictions, plain, write_json
from mien.report import render_audit, render_comparison, render_report, render_seeds, save_curves
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
    if config.labels.attributes:
        raise ConfigError(
            "labels.attributes",
            "a study evaluates and audits expressions",
            "no attributes",
            "Call 'mien train', then 'mien annotator RUN'.",
        )
    run = train(config, out, force=force, finished_ok=True, say=say, progress=progress)
    save_curves(run)
    evaluation = evaluate(run, on, features=config.audit.leakage)
    say(f"accuracy on {evaluation.on}: {evaluation.all['accuracy']}")
    if config.audit.by:
        say(audit_run(run, evaluation.name, config.audit, config.seed).verdict)
    say(f"report: {render_report(run)}")
    return run


def audit_run(run: Run, name: str, settings: AuditConfig, seed: int) -> Audit:
    """Audit one set of a run's predictions; tables and page go to ``RUN/audit/NAME``."""
    table = Predictions.load(run.predictions[name])
    features = load_features(run.features[name], table.sample_id) if settings.leakage and name in run.features else None
    return audit_predictions(table, settings, seed, run.path / AUDITS / name, features=features)


def audit_predictions(
    table: Predictions,
    settings: AuditConfig,
    seed: int,
    out: Path | None = None,
    *,
    features: NDArray[Any] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit a table of predictions as a configuration says.

    Args:
        table: The predictions.
        settings: Attributes, confounders, annotators' errors, replicates.
        seed: Seed of everything drawn.
        out: Folder for tables, Markdown and page; nothing is written by default.
        features: ``(n, D)`` the model's features, for the leakage probe.
        progress: Called with attributes done and in all.

    Raises:
        DataError: If the predictions or an annotator's confusion cannot serve.
        UsageError: If an attribute does not exist.
    """
    found = audit(
        table,
        settings.by,
        confounders=settings.confounders,
        annotator_errors={a: AnnotatorError.load(path) for a, path in settings.annotator_error.items()},
        leakage=settings.leakage,
        features=features,
        level=settings.level,
        n_boot=settings.n_boot,
        n_perm=settings.n_perm,
        min_n=settings.min_n,
        min_class_n=settings.min_class_n,
        seed=seed,
        progress=progress,
    )
    if out is not None:
        found.save(out)
        (out / "audit.md").write_text(render_text(found))
        render_audit(found, out / "audit.html")
    return found


def compare_predictions(
    tables: Sequence[Predictions], names: Sequence[str], by: Sequence[str], out: Path | None = None, **settings: Any
) -> tuple[Any, str]:
    """Compare models with the first of them; JSON, Markdown and page go to ``out``.

    Args:
        tables: Their predictions.
        names: What they are called.
        by: Attributes.
        out: Folder; nothing is written by default.
        **settings: See :func:`mien.audit.compare_many`.

    Returns:
        Plain content for JSON, and Markdown.
    """
    found = compare_many(tables, names, by, **settings)
    content, text = (
        {"kind": "mien comparison", "comparisons": plain([asdict(c) for c in found])},
        comparison_text(found),
    )
    if out is not None:
        _write(out, "comparison", content, text)
        render_comparison(found, out / "comparison.html")
    return content, text


def seed_predictions(
    tables: Sequence[Predictions], names: Sequence[str], by: Sequence[str], out: Path | None = None, **settings: Any
) -> tuple[Any, str]:
    """Audit one model trained with several seeds; arguments and results as :func:`compare_predictions`."""
    found = seed_audit(tables, by, names=names, **settings)
    content, text = {"kind": "mien seed audit", **plain(asdict(found))}, seed_text(found)
    if out is not None:
        _write(out, "seeds", content, text)
        render_seeds(found, out / "seeds.html")
    return content, text


def _write(out: Path, name: str, content: Any, text: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{name}.json", content)
    (out / f"{name}.md").write_text(text)
