"""The page of a run: what was trained, how well it does, the audit, sample faces and the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.audit import Audit, class_results, summary_estimates
from mien.data.images import INFO, Store
from mien.metrics import calibration_table
from mien.records import Estimate, Predictions, RunRecord
from mien.report import audit_sections as parts
from mien.report import words
from mien.report.audit_page import attribute_sections
from mien.report.blocks import (
    Block,
    Box,
    Drawing,
    Face,
    FaceRow,
    Faces,
    Figures,
    Items,
    Page,
    Section,
    Text,
)
from mien.report.figures import inline, save_png
from mien.report.metric_tables import class_table, estimates_table
from mien.report.montage import ClassFaces, rows_in_store, sample_faces
from mien.report.page import check_out, notice, write_page
from mien.report.run_plots import class_bars, confusion_plot, learning_curves, reliability_plot
from mien.report.run_record import model_words, record_section
from mien.runs import AUDITS, CURVES, REPORT, Run

_NOT_EVALUATED = (
    "This run has not been evaluated: there are no predictions, so nothing can be said about how well it does."
)
_FIRST, _LAST = ("test",), ("validation", "train", "training")


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
    record, names = run.record, _evaluation_names(run, run.record)
    several = len(names) > 1
    evaluations = [Evaluation(run, name, f"e{i}", several, store, faces) for i, name in enumerate(names, 1)]
    verdicts = [b for e in evaluations for b in e.verdict()] or [Box("verdict", [Text(_NOT_EVALUATED, "lead")])]
    figures = [b for e in evaluations for b in e.key_figures()] or [Text("There are none without an evaluation.")]
    sections = [
        Section("In short", "short", [*verdicts, *_before_training(record)]),
        Section("Key figures", "figures", figures),
        _curves(run),
        *(s for e in evaluations for s in e.sections()),
        record_section(record),
        Section("Method", "method", [Items(_METHOD), *(b for e in evaluations for b in e.method())]),
        notice(any(e.faces for e in evaluations), str(record.data.get("terms") or "")),
    ]
    status = words.STATUS_WORDS.get(record.status, f"Status: {record.status}.")
    model = model_words(record.model) or "not recorded"
    return write_page(out, Page(f"Report of {record.name}", [Text(f"{status} {model}.")], sections))


def save_curves(run: Run) -> Path | None:
    """Draw ``RUN/curves.png`` from the run's history; None where no epoch has ended."""
    return None if run.history.empty else save_png(learning_curves(run.history, _best(run)), run.path / CURVES)


def _best(run: Run) -> int | None:
    best = run.record.best.get("epoch")
    return None if best is None else int(best)


def _before_training(record: RunRecord) -> list[Block]:
    notes = record.data.get("notes")
    return [Section("Before training", "", [Items(list(map(str, notes)))])] if notes else []


def _curves(run: Run) -> Section:
    history, title = run.history, ("Learning curves", "curves")
    panels = [p for p in ("loss", "accuracy") if {f"train_{p}", f"val_{p}"} & set(history.columns)]
    if history.empty or "epoch" not in history or not panels:
        return Section(*title, [Text("There is no history: the run stopped before an epoch ended.")])
    drawn = [Drawing(inline(learning_curves(history, _best(run), [p]), f"curve-{p}")) for p in panels]
    note = (
        f"{len(history)} {'epoch' if len(history) == 1 else 'epochs'}. Training values are taken while the weights "
        "still move, on altered pictures (where augmentation is on), so they may lie below the validation values."
    )
    return Section(*title, [Figures(drawn), Text(note, "muted")])


def _evaluation_names(run: Run, record: RunRecord) -> list[str]:
    """Everything evaluated or audited: ``test`` first, the faces that training saw last."""
    audits = [p.parent.name for p in (run.path / AUDITS).glob("*/audit.json")]
    names = sorted({*run.predictions, *record.estimates, *audits})
    return sorted(names, key=lambda n: -1 if n in _FIRST else 1 if n in _LAST else 0)


class Evaluation:
    """One set of predictions of a run, and all there is about it; what is missing is None or empty.

    Args:
        run: The run.
        name: Name of the predictions.
        anchor: Start of its ids on the page.
        several: Whether the page has more than one.
        store: The image store, where the user named one.
        faces: Whether to show sample faces.
    """

    def __init__(self, run: Run, name: str, anchor: str, several: bool, store: Store | None, faces: bool) -> None:
        record, path = run.record, run.predictions.get(name)
        self.name, self.anchor, self.several = name, anchor, several
        self.pred = Predictions.load(path, record.model.get("classes")) if path else None
        self.stored = record.estimates.get(name, {})
        self.estimates = _estimates(self.stored, "all")
        if self.pred is not None and not self.estimates:
            self.estimates = summary_estimates(self.pred)
        self.without_copies = _estimates(self.stored, "without_copies")
        audited = run.path / AUDITS / name / "audit.json"
        self.audit = Audit.load(audited) if audited.is_file() else None
        # ``/long/way/to/STORE:split`` is shown as ``STORE:split``.
        on = self.stored.get("on") or (self.audit.source if self.audit else "") or name
        self.on = Path(on).name or on
        self.n = int(self.stored.get("n") or (self.audit.n if self.audit else 0))
        self.faces: list[ClassFaces] = []
        self.faces_missing = "The predictions are not in the run folder."
        if self.pred is not None:
            self.n = len(self.pred)
            self.faces_missing = "Pictures were left out on request."
            if faces:
                on = str(self.stored.get("on", ""))
                self.faces, self.faces_missing = _faces(self.pred, record, on, store)

    def verdict(self) -> list[Block]:
        """What stands first."""
        none = "None was made of these predictions, so nothing can be said about groups of people."
        said = [
            Text(_lead(self.estimates, self.n, self.on), "lead"),
            Text(" ".join(_verdict(self.name, self.stored, self.without_copies, self.pred))),
            Text(self.audit.verdict if self.audit else none, strong="Audit."),
        ]
        return [Box("verdict", said, self.name if self.several else "")]

    def key_figures(self) -> list[Block]:
        """Every metric over all faces."""
        blocks: list[Block] = [Text(f"No metrics are recorded for {self.name}.")]
        if self.estimates:
            caption = f"Every metric over the faces of {self.on}, with its interval"
            blocks = [estimates_table(self.estimates, caption, self.without_copies)]
        return [Section(self.name, "", blocks)] if self.several else blocks

    def sections(self) -> list[Section]:
        """Results by class, the audit, and sample faces."""
        on = f" on {self.name}" if self.several else ""
        blocks: list[Block] = [Text(f"{self.n:,} faces of {self.on}.", "muted")]
        if self.pred is None:
            missing = f"The predictions of {self.name} are not in the run folder, so there are no details by class."
            blocks.append(Text(missing))
        else:
            blocks += [_classes(self.pred, self.anchor), _confidence(self.pred, self.anchor)]
        audited: list[Block] = [Text("No audit was made of these predictions.")]
        if self.audit is not None:
            audited = _audit_blocks(self.audit, self.anchor, self.pred)
        return [
            Section(f"Results on {self.name}", self.anchor, blocks),
            Section(f"Audit{on}", f"{self.anchor}-audit", audited, entry=f"Audit{on}"),
            Section(f"Faces right and wrong{on}", "", _face_blocks(self.faces, self.faces_missing)),
        ]

    def method(self) -> list[Block]:
        """How the audit was made."""
        if self.audit is None:
            return []
        on = f" on {self.name}" if self.several else ""
        return [Section(f"Method of the audit{on}", "", [Items(parts.method_notes(self.audit))])]


def _estimates(stored: dict[str, Any], which: str) -> dict[str, Estimate]:
    return {k: Estimate.from_json(e) for k, e in stored.get(which, {}).items()}


def _audit_blocks(audit: Audit, anchor: str, pred: Predictions | None) -> list[Block]:
    blocks: list[Block] = []
    if pred is not None and audit.n != len(pred):
        counts = f"{audit.n:,} faces, but the predictions now hold {len(pred):,}"
        blocks.append(Text(f"This audit is of {counts}: audit them again.", "warning"))
    headline = (g for a in audit.attributes for g in a.gaps if g.family == "headline")
    blocks += [Text(words.gap_share(headline, "headline")), *parts.overview(audit, anchor)]
    return [*blocks, *attribute_sections(audit, anchor), parts.untested_section(audit, f"{anchor}-t1")]


def _face_blocks(classes: Sequence[ClassFaces], missing: str) -> list[Block]:
    if not classes:
        return [Text(missing)]
    intro = (
        "For each annotated class, some faces drawn at random that are right, and some that are wrong: the most "
        "confident mistakes first. The number is the probability that the model gives its answer. A mistake may also "
        "be the annotators'."
    )
    return [Text(intro), *(Section(c.name, "", [_class_faces(c)]) for c in classes)]


def _class_faces(c: ClassFaces) -> Block:
    if not c.right and not c.wrong:
        return Text("No face is annotated with it.")
    rows = []
    for kind, found, n in (("right", c.right, c.n_right), ("wrong", c.wrong, c.n_wrong)):
        count = f"{len(found)} of {n:,} {kind}" if found else f"None is {kind}."
        shown = [Face(f.uri, f.caption, f"Face, {f.caption}", kind == "wrong") for f in found]
        rows.append(FaceRow("", count, shown))
    return Faces(rows)


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


def _classes(pred: Predictions, anchor: str) -> Section:
    names, results = [str(c) for c in pred.classes], class_results(pred)
    confusion = Drawing(
        inline(confusion_plot(pred.confusion(), names), f"{anchor}-confusion"),
        "Which expressions are taken for which: of the faces annotated with a class (row), the share and number "
        "predicted as each class (column). The diagonal is right.",
        wide=True,
    )
    bars = class_bars(names, [r.recall for r in results], [r.precision for r in results])
    caption = (
        "Recall: share of a class's faces that are found. Precision: share of its predictions that are right. Lines: "
        "95 % intervals."
    )
    figures = Figures([confusion, Drawing(inline(bars, f"{anchor}-bars"), caption)])
    return Section("Class by class", f"{anchor}-classes", [figures, class_table(results)])


def _confidence(pred: Predictions, anchor: str) -> Section:
    title = ("Confidence", f"{anchor}-confidence")
    if pred.probs is None:
        missing = "The predictions hold no probabilities, so nothing can be said about confidence."
        return Section(*title, [Text(missing)])
    confidence, right = float(pred.probs.max(1).mean()), float((pred.probs.argmax(1) == pred.labels).mean())
    points = 100 * (confidence - right)
    more = f"{'too sure' if points > 0 else 'not sure enough'}, by {abs(points):.1f} points"
    said = (
        f"On average the model gives its answer a probability of {words.percent(confidence)}, and it is right for "
        f"{words.percent(right)}: on the whole it is {'about as sure as it is right' if abs(points) < 1 else more}."
    )
    drawing = Drawing(
        inline(reliability_plot(calibration_table(pred.probs, pred.labels)), f"{anchor}-reliability"),
        "Faces in bins of the model's confidence: how many of them it gets right, with 95 % intervals (faces taken as "
        "independent). On the dashed line, confidence can be taken at its word; below it, the model is too sure.",
    )
    return Section(*title, [Text(said), Figures([drawing])])


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


_METHOD = (
    "Accuracy and the results of a class count each face once. Recall, precision and accuracy have Wilson's interval "
    "where faces are independent; F1 values, and everything where pictures or persons repeat, have bootstrap intervals "
    "over independent units.",
    "The intervals say how far a number could be off by the choice of faces from this corpus. They do not cover other "
    "cameras, other people or other annotators.",
    "Undefined values are called undefined, never 0.",
)
