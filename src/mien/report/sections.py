"""What the page shows, section by section: numbers, sentences and drawn figures, ready for the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from mien.audit import Audit, ClassResult, class_results, summary_estimates
from mien.data.images import INFO, Store
from mien.metrics import calibration_table
from mien.records import Estimate, Predictions, RunRecord
from mien.report import words
from mien.report.audit_section import AuditSection, audit_section
from mien.report.figures import inline
from mien.report.montage import ClassFaces, rows_in_store, sample_faces
from mien.report.plots import class_bars, confusion_plot, learning_curves, reliability_plot
from mien.runs import Run

AUDIT_FOLDER = "audit"
_FIRST, _LAST = ("test",), ("validation", "train", "training")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One set of predictions; what is missing is None or empty.

    Attributes:
        name: Its name in the run.
        anchor: Start of its ids on the page.
        on: What was evaluated: store and split.
        n: Faces.
        lead: The verdict's first sentence.
        sentences: The rest of the verdict.
        estimates: Metric -> Estimate over all faces.
        without_copies: The same without copies of training faces.
        classes: Results of every class.
        confusion: Figure.
        bars: Figure.
        reliability: Figure.
        calibration: What the figure says.
        audit: The audit.
        faces: Sample faces of every class.
        faces_missing: Why there are none.
    """

    name: str
    anchor: str
    on: str
    n: int
    lead: str
    sentences: list[str]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    without_copies: dict[str, Estimate] = field(default_factory=dict)
    classes: list[ClassResult] = field(default_factory=list)
    confusion: Markup | None = None
    bars: Markup | None = None
    reliability: Markup | None = None
    calibration: str = ""
    audit: AuditSection | None = None
    faces: list[ClassFaces] = field(default_factory=list)
    faces_missing: str = ""


def curves(history: pd.DataFrame, best: int | None) -> list[Markup]:
    """The learning curves, a figure a panel; empty if no epoch ended."""
    panels = [p for p in ("loss", "accuracy") if {f"train_{p}", f"val_{p}"} & set(history.columns)]
    if not len(history) or "epoch" not in history:
        return []
    return [inline(learning_curves(history, best, [p]), f"curve-{p}") for p in panels]


def evaluation_names(run: Run, record: RunRecord) -> list[str]:
    """Everything evaluated or audited: ``test`` first, the faces that training saw last."""
    audits = [p.parent.name for p in (run.path / AUDIT_FOLDER).glob("*/audit.json")]
    names = sorted({*run.predictions, *record.estimates, *audits})
    return sorted(names, key=lambda n: -1 if n in _FIRST else 1 if n in _LAST else 0)


def evaluation(run: Run, record: RunRecord, name: str, anchor: str, store: Store | None, faces: bool) -> Evaluation:
    """Gather and draw all there is about one set of predictions."""
    path = run.predictions.get(name)
    classes = record.model.get("classes")
    pred = Predictions.load(path, classes) if path else None
    stored = record.estimates.get(name, {})
    estimates = {k: Estimate.from_json(e) for k, e in stored.get("all", {}).items()}
    if pred is not None and not estimates:
        estimates = summary_estimates(pred)
    without = {k: Estimate.from_json(e) for k, e in stored.get("without_copies", {}).items()}
    section = _audit_of(run, name, anchor, pred)
    on = stored.get("on") or (section.audit.source if section else "") or name
    n = len(pred) if pred is not None else int(stored.get("n") or (section.audit.n if section else 0))
    lead, sentences = _lead(estimates, n, _short(on)), _verdict(name, stored, without, pred)
    out = Evaluation(
        name=name,
        anchor=anchor,
        on=_short(on),
        n=n,
        lead=lead,
        sentences=sentences,
        estimates=estimates,
        without_copies=without,
        audit=section,
    )
    if pred is None:
        return replace(out, faces_missing="The predictions are not in the run folder.")
    out = replace(out, **_drawn(pred, anchor))
    if not faces:
        return replace(out, faces_missing="Pictures were left out on request.")
    shown, why = _faces(pred, record, str(stored.get("on", "")), store)
    return replace(out, faces=shown, faces_missing=why)


def _audit_of(run: Run, name: str, anchor: str, pred: Predictions | None) -> AuditSection | None:
    path = run.path / AUDIT_FOLDER / name / "audit.json"
    if not path.is_file():
        return None
    section = audit_section(Audit.load(path), anchor)
    if pred is not None and section.audit.n != len(pred):
        counts = f"{section.audit.n:,} faces, but the predictions now hold {len(pred):,}"
        warning = f"This audit is of {counts}: audit them again."
        return replace(section, warning=warning)
    return section


def _short(on: str) -> str:
    """``/long/way/to/STORE:split`` as ``STORE:split``."""
    return Path(on).name or on


def _lead(estimates: dict[str, Estimate], n: int, on: str) -> str:
    accuracy = estimates.get("accuracy")
    if accuracy is None:
        return f"The accuracy on {on} is not recorded."
    share = words.percent_interval(accuracy)
    return f"The model names the annotated expression for {share} of the {n:,} faces of {on}."


def _verdict(
    name: str,
    stored: dict[str, Any],
    without: dict[str, Estimate],
    pred: Predictions | None,
) -> list[str]:
    """The sentences after the first: copies, the share that no skill reaches, what to mind."""
    out = []
    if "n_copies" in stored:
        out.append(_copies(int(stored["n_copies"]), int(stored.get("n", 0)), without))
        if not stored.get("near_copies_known", True):
            out.append("This is another store than the one trained on: only byte-for-byte copies are found there.")
    else:
        out.append("Whether some of these faces are copies of training faces was not looked for.")
    if pred is not None:
        counts = np.bincount(pred.labels, minlength=len(pred.classes))
        most = int(counts.argmax())
        always = f"always answering the commonest class, {pred.classes[most]},"
        out.append(f"For comparison: {always} would be right for {words.percent(counts[most] / len(pred))}.")
    if stored.get("n_dropped"):
        out.append(f"{int(stored['n_dropped']):,} more faces have no label under the label scheme and are not counted.")
    chosen_on = int(stored.get("n_validation", stored.get("n", 0) if name == "validation" else 0))
    if chosen_on:
        out.append(f"The weights were chosen by their results on {chosen_on:,} of these faces: those are optimistic.")
    if name in ("train", "training"):
        out.append("The model was trained on these faces: the numbers say nothing about new ones.")
    return out


def _copies(n_copies: int, n: int, without: dict[str, Estimate]) -> str:
    if n_copies == 0:
        return "No copy of a training face was found among them (a shifted or mirrored copy can be missed)."
    if n_copies >= n > 0:
        return "All of these faces are training faces or copies of them: the accuracy says nothing about new faces."
    verb = "face is a copy" if n_copies == 1 else "faces are copies"
    text = f"{n_copies:,} {verb} of training faces; "
    accuracy = without.get("accuracy")
    if accuracy is None:
        return text + "the accuracy without them is not recorded."
    return text + f"without them the accuracy is {words.percent_interval(accuracy)}."


def _drawn(pred: Predictions, anchor: str) -> dict[str, Any]:
    """Per-class results and the figures of one set of predictions."""
    names = [str(c) for c in pred.classes]
    results = class_results(pred)
    out: dict[str, Any] = {
        "classes": results,
        "confusion": inline(confusion_plot(pred.confusion(), names), f"{anchor}-confusion"),
        "bars": inline(
            class_bars(names, [r.recall for r in results], [r.precision for r in results]), f"{anchor}-bars"
        ),
    }
    if pred.probs is None:
        return out
    out["reliability"] = inline(reliability_plot(calibration_table(pred.probs, pred.labels)), f"{anchor}-reliability")
    confidence, right = float(pred.probs.max(1).mean()), float((pred.probs.argmax(1) == pred.labels).mean())
    points = 100 * (confidence - right)
    more = f"{'too sure' if points > 0 else 'not sure enough'}, by {abs(points):.1f} points"
    out["calibration"] = (
        f"On average the model gives its answer a probability of {words.percent(confidence)}, and it is right for "
        f"{words.percent(right)}: on the whole it is {'about as sure as it is right' if abs(points) < 1 else more}."
    )
    return out


def _faces(pred: Predictions, record: RunRecord, on: str, store: Store | None) -> tuple[list[ClassFaces], str]:
    """Sample faces, or why there are none."""
    known, sorry = record.data.get("fingerprint"), "so no pictures can be shown."
    if store is None:
        place = Path(record.data.get("store") or "none")
        if not (place / INFO).is_file():
            return [], f"The image store is not here, {sorry}"
        store = Store.open(place)
        if _other_store(on, record) or (known and store.fingerprint != known):
            return [], f"The image store of these predictions was not given, {sorry}"
    elif _other_store(on, record) != (bool(known) and store.fingerprint != known):
        return [], f"The image store {store.path.name} is not the one of these predictions, {sorry}"
    if rows_in_store(pred, store) is None:
        return [], f"The image store {store.path.name} does not hold these faces, {sorry}"
    return sample_faces(pred, store), ""


def _other_store(on: str, record: RunRecord) -> bool:
    """Whether predictions were made on another store than the run's own."""
    own = str(record.data.get("store", ""))
    return bool(on) and on != own and not on.startswith(own + ":")


def record_rows(record: RunRecord) -> list[tuple[str, str]]:
    """The run record as a table of names and values."""
    data, model = record.data, record.model
    best = record.best.get("epoch")
    used = {k: data[f"{k}_faces"] for k in ("training", "validation") if f"{k}_faces" in data}
    kept = {k: words.number(v) for k, v in record.best.items() if k != "epoch"}
    rows: Sequence[tuple[str, Any]] = [
        ("Run", record.name),
        ("Status", record.status),
        ("Started", words.moment(record.started)),
        ("Training time", words.duration(record.seconds)),
        ("Resumed", _resumed(record)),
        ("Seed", record.seed),
        ("Model", _model(model)),
        ("Weights kept", "" if best is None else f"epoch {best + 1}; {words.details(kept)}"),
        ("Device", words.details(record.device)),
        ("Versions", ", ".join(f"{k} {v}" for k, v in record.versions.items())),
        ("Corpus", data.get("corpus", "")),
        ("Store", data.get("store", "")),
        ("Data fingerprint", data.get("fingerprint", "")),
        ("Faces of each split", words.details(data.get("splits", {}))),
        ("Faces used", words.details(used)),
        ("Faces without a label", _dropped(data.get("dropped_by_labels", {}))),
        ("Training faces of each class", words.details(data.get("training_classes", {}))),
        ("Terms of the data", data.get("terms") or "not stated"),
    ]
    return [(name, str(value) if str(value) else "not recorded") for name, value in rows]


def _resumed(record: RunRecord) -> str:
    if not record.resumed:
        return "never"
    times = ((words.moment(str(r.get("at", ""))), r.get("after_epoch", "?")) for r in record.resumed)
    return "; ".join(f"{at} after epoch {epoch}" for at, epoch in times)


def _model(model: dict[str, Any]) -> str:
    if not model:
        return ""
    size = " x ".join(str(v) for v in model.get("input", []))
    parameters = model.get("parameters")
    counted = f"{parameters:,} parameters" if isinstance(parameters, int) else ""
    return ", ".join(filter(None, [str(model.get("name", "")), counted, f"input {size}" if size else ""]))


def _dropped(dropped: dict[str, Any]) -> str:
    parts = ((split, words.details(v) if isinstance(v, dict) else v) for split, v in dropped.items())
    return "; ".join(f"{split}: {text}" for split, text in parts) or "none"


def table_history(record: RunRecord) -> list[tuple[str, int | None, int | None, str]]:
    """Each step that made the table of faces: name, rows before, rows after, details."""
    steps = []
    for step in record.data.get("history", []):
        rest = {k: v for k, v in step.items() if k not in ("step", "before", "after") and v not in ({}, [], None)}
        steps.append((str(step.get("step", "")), step.get("before"), step.get("after"), words.details(rest)))
    return steps
