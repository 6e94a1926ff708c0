"""The report: one self-contained HTML page of a run, or of an audit alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mien import __version__
from mien.audit import Audit
from mien.audit.warned import headline
from mien.data.images import Store
from mien.errors import UsageError
from mien.outputs import check_file, write_text
from mien.report import sections, words
from mien.report.audit_section import audit_section
from mien.report.figures import save_png
from mien.report.plots import learning_curves
from mien.runs import REPORT, Run
from mien.shown import visible

AUDIT_PAGE = "audit.html"


def render_report(run: Run, *, store: Store | None = None, out: Path | None = None, faces: bool = True) -> Path:
    """Write a run's report: one file that loads nothing else.

    Whatever is missing (history, predictions, audit, store) is said in a sentence instead.

    Args:
        run: The run; audits are read from ``RUN/audit/<name>/audit.json``, by the names of the predictions.
        store: The image store of the evaluated faces; by default the run's own, if it is still there.
        out: The file; by default ``report.html`` in the run folder.
        faces: Show sample faces. The file then holds pictures of people.

    Returns:
        The file written.

    Raises:
        DataError: If a file of the run cannot be read.
        UsageError: If ``out`` is a folder or its folder does not exist.
    """
    out = check_out(out or run.path / REPORT)
    record = run.record
    best = record.best.get("epoch")
    names = sections.evaluation_names(run, record)
    evaluations = [sections.evaluation(run, record, name, f"e{i}", store, faces) for i, name in enumerate(names, 1)]
    return write_page(
        out,
        "template.html.j2",
        title=f"Report of {record.name}",
        record=record,
        status=words.STATUS_WORDS.get(record.status, f"Status: {record.status}."),
        evaluations=evaluations,
        curves=sections.curves(run.history, None if best is None else int(best)),
        n_epochs=len(run.history),
        rows=sections.record_rows(record),
        steps=sections.table_history(record),
        config=words.as_yaml(record.config),
        has_faces=any(e.faces for e in evaluations),
        terms=str(record.data.get("terms") or ""),
    )


def save_curves(run: Run) -> Path | None:
    """Draw ``RUN/curves.png`` from the run's history; None where no epoch has ended."""
    history = run.history
    if history.empty:
        return None
    best = run.record.best.get("epoch")
    return save_png(learning_curves(history, None if best is None else int(best)), run.path / "curves.png")


def render_audit(audit: Audit, out: Path) -> Path:
    """Write the page of an audit alone, for whoever holds only a table of predictions.

    Args:
        audit: The audit.
        out: The file, or a folder that then holds ``audit.html``.

    Returns:
        The file written.

    Raises:
        UsageError: If the folder does not exist.
    """
    out = Path(out)
    return write_page(
        check_out(out / AUDIT_PAGE if out.is_dir() else out),
        "audit.html.j2",
        title="Audit of " + (Path(audit.source).name or "predictions"),
        section=audit_section(audit, "audit"),
        facts=words.audit_facts(audit),
    )


def check_out(out: Path) -> Path:
    """Refuse a place that cannot be written, before any work is done."""
    out = Path(out)
    if out.is_dir() or not out.parent.is_dir():
        found = "is a folder" if out.is_dir() else f"the folder {out.parent} does not exist"
        raise UsageError(str(out), found, "a file in a folder that exists")
    return check_file(out)


def write_page(out: Path, template: str, **content: Any) -> Path:
    """Render to ``out``, at once or not at all."""
    text = page_environment().get_template(template).render(version=__version__, **content)
    write_text(out, text)
    return out


def _shown(value: Any) -> Any:
    """What a template shows: signs that would turn the direction of writing are written out; markup is Mien's own."""
    return visible(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def page_environment() -> Environment:
    """The templates, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("mien.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "p_value": words.p_value,
        "interval": words.interval,
        "remark": words.remark,
        "percent": words.percent,
        "provenance": words.provenance,
        "metric_title": lambda name: words.metric_words(name)[0],
        "metric_about": lambda name: words.metric_words(name)[1],
        "verdict_words": words.verdict_words,
        "capital": words.capital,
        "headline": headline,
        "in_order": words.in_order,
    }
    return environment
