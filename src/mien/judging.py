"""Audits, comparisons and seed audits of tables of predictions: worked out, and written whole.

Never needs torch; and what draws pages is loaded only where one is written, for it takes as long as a small audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mien.audit import AnnotatorError, Audit, audit, compare_many, load_features, render_text, seed_audit
from mien.audit.brief import comparison_brief, seed_brief
from mien.audit.compare.markdown import comparison_text
from mien.audit.results import AUDIT_FOLDER
from mien.audit.seeds.markdown import seed_text
from mien.config import AuditConfig
from mien.outputs import Kind, check_place, whole_folder, write_text
from mien.records import Predictions, plain, write_json
from mien.runs import AUDITS, Run
from mien.stats.settings import Settings

COMPARISON_FOLDER = Kind("a comparison", "comparison.json", "mien comparison", ("comparison.md", "comparison.html"))
SEEDS_FOLDER = Kind("an audit of seeds", "seeds.json", "mien seed audit", ("seeds.md", "seeds.html"))
Progress = Callable[[int, int | None], None]


def audit_run(run: Run, name: str, config: AuditConfig, seed: int) -> Audit:
    """Audit one set of a run's predictions; tables and page go to ``RUN/audit/NAME``."""
    table = Predictions.load(run.predictions[name])
    features = load_features(run.features[name], table.sample_id) if config.leakage and name in run.features else None
    place = run.path / AUDITS / name
    return audit_predictions(table, config, seed, place, features=features, force=True, keep=True)


def audit_predictions(
    table: Predictions,
    config: AuditConfig,
    seed: int,
    out: Path | None = None,
    *,
    features: NDArray[Any] | None = None,
    progress: Progress | None = None,
    force: bool = False,
    keep: bool = False,
    beside: Sequence[str] = (),
) -> Audit:
    """Audit a table of predictions as a configuration says.

    Args:
        table: The predictions.
        config: Attributes, confounders, annotators' errors, replicates.
        seed: Seed of everything drawn.
        out: Folder for tables, Markdown and page; nothing is written by default.
        features: ``(n, D)`` the model's features, for the leakage probe.
        progress: Called with attributes done and in all.
        force: Replace an audit that is there.
        keep: What else lies in the folder stays, and is no reason to refuse it: for a run's own.
        beside: Names of files that the caller puts into the folder too: older ones go with an older audit.

    Raises:
        DataError: If the predictions or an annotator's confusion cannot serve.
        UsageError: If an attribute does not exist.
    """
    kind = replace(AUDIT_FOLDER, names=(*AUDIT_FOLDER.names, *beside))
    if out is not None:
        check_place(out, kind, force=force, keep=keep)
    found = audit(
        table,
        config.by,
        settings=config.settings(seed),
        confounders=config.confounders,
        annotator_errors={a: AnnotatorError.load(path) for a, path in config.annotator_error.items()},
        leakage=config.leakage,
        features=features,
        metrics=config.metrics,
        progress=progress,
    )
    if out is not None:
        from mien.report import render_audit

        with whole_folder(out, kind, force=force, keep=keep) as folder:
            found.save(folder)
            write_text(folder / "audit.md", render_text(found))
            render_audit(found, folder / "audit.html")
    return found


def compare_predictions(
    tables: Sequence[Predictions],
    names: Sequence[str],
    by: Sequence[str],
    out: Path | None = None,
    *,
    settings: Settings = Settings(),
    force: bool = False,
    full: bool = True,
) -> tuple[Any, str]:
    """Compare models with the first of them; JSON, Markdown and page go to ``out``.

    Args:
        tables: Their predictions.
        names: What they are called.
        by: Attributes.
        out: Folder; nothing is written by default.
        settings: Coverage, replicates, least faces to enter gaps, seed.
        force: Replace a comparison that is there.
        full: Return the whole Markdown, as it is written, or else what fits on a screen.

    Returns:
        Plain content for JSON, and Markdown.
    """
    if out is not None:
        check_place(out, COMPARISON_FOLDER, force=force)
    found = compare_many(tables, names, by, settings=settings)
    content, text = (
        {"kind": "mien comparison", "comparisons": plain([asdict(c) for c in found])},
        comparison_text(found),
    )
    if out is not None:
        from mien.report import render_comparison

        with _written(out, COMPARISON_FOLDER, content, text, force) as folder:
            render_comparison(found, folder / "comparison.html")
    return content, text if full else comparison_brief(found)


def seed_predictions(
    tables: Sequence[Predictions],
    names: Sequence[str],
    by: Sequence[str],
    out: Path | None = None,
    *,
    settings: Settings = Settings(),
    force: bool = False,
    full: bool = True,
) -> tuple[Any, str]:
    """Audit one model trained with several seeds; arguments and results as :func:`compare_predictions`."""
    if out is not None:
        check_place(out, SEEDS_FOLDER, force=force)
    found = seed_audit(tables, by, names=names, settings=settings)
    content, text = {"kind": "mien seed audit", **plain(asdict(found))}, seed_text(found)
    if out is not None:
        from mien.report import render_seeds

        with _written(out, SEEDS_FOLDER, content, text, force) as folder:
            render_seeds(found, folder / "seeds.html")
    return content, text if full else seed_brief(found)


@contextmanager
def _written(out: Path, kind: Kind, content: Any, text: str, force: bool) -> Iterator[Path]:
    """A folder with JSON and Markdown, for a page beside them; all of them appear in ``out``, or none."""
    with whole_folder(out, kind, force=force) as folder:
        write_json(folder / kind.sign, content)
        write_text((folder / kind.sign).with_suffix(".md"), text)
        yield folder
