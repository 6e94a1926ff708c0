"""The card of an annotator: what it is for, what it is not for, and how often it errs on whom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mien.annotators.annotate import uncorrectable
from mien.annotators.holdout import Holdout
from mien.annotators.mien import VIEWS, MienAnnotator
from mien.audit.markdown import plain, table
from mien.config import parse_config
from mien.demographics import AGE, AGE_STARTS, AGE_YEARS, Head
from mien.metrics.probability import calibration_errors, confidence_bins, ece_interval, expected_calibration_error
from mien.records import Estimate, RunRecord
from mien.stats.intervals import clustered_share, mean_estimate, wilson_estimate
from mien.stats.settings import Settings

_BINS = 15
_AUDIT = """\
To audit a corpus or a model of facial expressions where nobody annotated who is in the pictures: group shares and
gaps *as perceived*, corrected with the errors counted below. """
_QUEUE = "To order a queue of faces for people to look at."
_NOT_FOR = """\
- To say of a person which {attributes} they have. It repeats how the annotators of its corpus described
  pictures of strangers; nobody in them was asked. The groups are that corpus's words, not what people are.
- To decide anything about a person, to sort or find persons, or to identify them.
"""
_LAW = """\
- To categorise individual persons by race or other sensitive traits: Article 5(1)(g) of the EU AI Act prohibits
  biometric categorisation that deduces them. It excepts the labelling of lawfully acquired sets of pictures, which is
  what this annotator is for.
"""
_UNLIKE = """\
- On pictures unlike its own (aligned or loosely cropped faces of 40 px and more) without counting its errors anew.
"""
_MIND = """\
- The errors below were counted on faces of the corpus that it learnt from. An audit that corrects with them takes the
  annotator to err alike on the pictures at hand; strong expressions, occlusion and old photographs may make that wrong.
- Errors by expression are not counted.
"""
_YEARS = """\
- Where age is known in bins, `perceived_age_years` is the expected middle of the bins, drawn towards the thirties.
"""
_NOT_SENSITIVE = ("gender", "age")
_CHOSEN = {
    True: "- No epoch was chosen on the held-out faces, ",
    False: "- The epoch was chosen on the held-out faces too, which makes the accuracies a little optimistic, ",
}
_FITTED = """but the calibration was fitted on them; all figures
  below are cross-fitted: each tenth of the faces with the calibration of the others. Where several attempts were
  compared on these faces, the one that was kept looks a little better than it is.
"""


def annotator_card(annotator: MienAnnotator, record: RunRecord) -> str:
    """The card as Markdown, every number counted from the annotator's held-out faces.

    Args:
        annotator: The annotator.
        record: The run that it was made of.
    """
    views = {v: annotator.holdout_view(v) for v in VIEWS}
    first = next(iter(views.values()))
    size = sum(p.numel() for p in annotator.classifier.module.parameters())
    lines = [
        f"# Annotator: {plain(annotator.source)}, version {plain(annotator.version)}",
        "",
        f"{size / 1e6:.2f} M parameters, input {annotator.classifier.card.size} px in colour (grey and smaller "
        f"pictures are brought to it); each face is averaged with its mirror image. Perceives "
        f"{plain(', '.join(h.name for h in annotator.heads))}.",
        "",
        f"Data: {plain(annotator.terms)}. Trained on {record.data.get('training_faces', 0):,} faces, "
        f"seed {record.seed}, commit {plain(record.versions.get('commit', 'unknown'))}. "
        f"All figures below: {plain(annotator.about.holdout)}, 95 % intervals.",
        "",
        *_use(annotator, views),
        _CHOSEN[parse_config(record.config).train.monitor == "last"] + _FITTED,
        "## Accuracy",
        "",
        *table(["attribute", *(v.replace("_", " ") + " px" for v in VIEWS)], list(_accuracies(views, first.heads))),
        "## Expected calibration error (15 bins)",
        "",
        *table(
            ["attribute", *(v.replace("_", " ") + " px" for v in VIEWS)],
            list(_calibration_errors(views, first.heads)),
        ),
    ]
    if AGE in annotator.trained:
        lines += [
            "## Age in years",
            "",
            *table(["view", "within the annotated bin", "years outside it, mean"], list(_years(views))),
        ]
    for view in ("colour_96", "grey_48"):
        lines += _by_group(views[view], view)
    return "\n".join(lines).rstrip() + "\n"


def _use(annotator: MienAnnotator, views: dict[str, Holdout]) -> list[str]:
    """What the annotator is for and what not, without what it does not perceive."""
    names = [head.name for head in annotator.trained]
    listed = plain(" or ".join(filter(None, [", ".join(names[:-1]), names[-1]])))
    wrong = _uncorrectable(views)
    useless = all(len(errors) == len(views[view].heads) for view, errors in wrong.items())
    law = _LAW if set(names) - set(_NOT_SENSITIVE) else ""
    return [
        "## What it is for",
        "",
        ("" if useless else _AUDIT) + _QUEUE,
        "",
        *(plain(f"- {line}") for line in _not_corrected(wrong)),
        *([""] if any(wrong.values()) else []),
        "## What it must not be used for",
        "",
        _NOT_FOR.format(attributes=listed) + law + _UNLIKE,
        "## What to mind",
        "",
        (_MIND + (_YEARS if AGE in annotator.trained else "")).rstrip(),
    ]


def not_corrected(annotator: MienAnnotator) -> list[str]:
    """A line for each attribute whose errors no audit can correct with, and on which pictures."""
    return _not_corrected(_uncorrectable({view: annotator.holdout_view(view) for view in VIEWS}))


def _uncorrectable(views: dict[str, Holdout]) -> dict[str, dict[str, str]]:
    return {view: uncorrectable(holdout.errors()) for view, holdout in views.items()}


def _not_corrected(wrong: dict[str, dict[str, str]]) -> list[str]:
    lines = []
    for name in dict.fromkeys(name for errors in wrong.values() for name in errors):
        where = [view for view, errors in wrong.items() if name in errors]
        kinds = ", ".join(f"{view.replace('_', ' ')} px" for view in where)
        pictures = "" if len(where) == len(wrong) else f" on pictures of {kinds}"
        lines.append(f"{name} cannot be corrected{pictures}: {wrong[where[0]][name]}")
    return lines


def _accuracies(views: dict[str, Holdout], heads: Iterable[Head]) -> Iterable[list[str]]:
    for head in heads:
        yield [head.name, *(str(holdout.accuracy(head.name)) for holdout in views.values())]


def _calibration_errors(views: dict[str, Holdout], heads: Iterable[Head]) -> Iterable[list[str]]:
    for head in heads:
        yield [head.name, *(str(calibration_error(*known_faces(holdout, head.name))) for holdout in views.values())]


def _years(views: dict[str, Holdout]) -> Iterable[list[str]]:
    """How far the expected age lies outside the annotated bin."""
    starts = np.array([*AGE_STARTS, np.inf])
    for view, holdout in views.items():
        known = holdout.truth[AGE.name] >= 0
        bins = holdout.truth[AGE.name][known]
        years = holdout.probs[AGE.name][known].astype(np.float64) @ np.array(AGE_YEARS)
        outside = np.maximum(starts[bins] - years, 0) + np.maximum(years - starts[bins + 1], 0)
        inside = clustered_share(outside == 0, holdout.cluster[known])
        yield [view.replace("_", " ") + " px", str(inside), str(mean_estimate(outside, holdout.cluster[known]))]


def known_faces(holdout: Holdout, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``(n, G)`` probabilities and ``(n,)`` groups of the held-out faces whose group of an attribute is known."""
    known = holdout.truth[name] >= 0
    return holdout.probs[name][known].astype(np.float64), holdout.truth[name][known]


def calibration_error(
    probs: NDArray[np.float64], labels: NDArray[np.int64], settings: Settings = Settings(n_boot=1000)
) -> Estimate:
    """Expected calibration error of the named group; its interval can reach 0, see :func:`ece_interval`.

    Args:
        probs: ``(n, G)``.
        labels: ``(n,)``.
        settings: Replicates, seed.
    """
    top, n = probs.max(1), len(labels)
    hit = probs.argmax(1) == labels
    bins = _bins(top)
    parts = np.stack([bins.sum(0), top @ bins, hit @ bins])
    weights = np.random.default_rng(settings.seed).poisson(1.0, (settings.n_boot, n))
    replicates = weights @ (bins * (top - hit)[:, None]) / weights.sum(1, keepdims=True)
    low, high = ece_interval((parts[1] - parts[2]) / n, replicates, least_errors=calibration_errors(parts))
    value = expected_calibration_error(probs, labels, _BINS)
    return Estimate(value, low, high, level=0.95, method="ece_interval, bootstrap", n=n, clusters=n, seed=settings.seed)


def least_calibration_error(probs: NDArray[np.float64], n_draws: int = 200, seed: int = 0) -> float:
    """Calibration error that as many faces would show, on average, if the probabilities were exactly right.

    Args:
        probs: ``(n, G)``.
        n_draws: How often the faces' groups are drawn from the probabilities.
        seed: Of the draws.
    """
    top = probs.max(1)
    hits = np.random.default_rng(seed).random((n_draws, len(top))) < top
    return float(np.abs((top - hits) @ _bins(top)).sum(1).mean() / len(top))


def _bins(top: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, 15)`` which bin of confidence each face is in."""
    return np.asarray(np.eye(_BINS)[confidence_bins(top, _BINS)])


def _by_group(holdout: Holdout, view: str) -> list[str]:
    lines = [f"## Errors by group, {view.replace('_', ' ')} px", ""]
    for head in holdout.heads:
        counts = holdout.counts(head.name)
        rows = []
        for g, group in enumerate(head.groups):
            n = int(counts[g].sum())
            others = [t for t in np.argsort(-counts[g], kind="stable") if t != g and counts[g, t]]
            mistaken = ", ".join(f"{head.groups[t]} {counts[g, t] / n:.0%}" for t in others[:2])
            precision = wilson_estimate(float(counts[g, g]), int(counts[:, g].sum()))
            rows.append([group, str(n), str(wilson_estimate(float(counts[g, g]), n)), str(precision), mistaken])
        lines += [f"### {plain(head.name)}", ""]
        lines += table(["annotated", "faces", "perceived so", "right where perceived", "else perceived as"], rows)
    return lines + (_within(holdout) if len(holdout.heads) > 1 else [])


def _within(holdout: Holdout) -> list[str]:
    """Accuracy of each attribute within the groups of the others."""
    rows = []
    for other in holdout.heads:
        for g, group in enumerate(other.groups):
            where = holdout.truth[other.name] == g
            cells = [
                "" if head.name == other.name else str(holdout.accuracy(head.name, where=where))
                for head in holdout.heads
            ]
            rows.append([f"{other.name} {group}", *cells])
    return [
        "### Accuracy within the groups of the other attributes",
        "",
        *table(["faces annotated as", *(h.name for h in holdout.heads)], rows),
    ]
