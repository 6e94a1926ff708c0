"""The tables of a study of mitigations: each method's figures, changes, cost and candidates."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.audit.attributes import resolve_attribute
from mien.metrics import expected_calibration_error, nll_rows
from mien.mitigate.definition import BASELINE, ROWS, UNTUNED
from mien.mitigate.known import words_of
from mien.mitigate.measures import (
    ACCURACY,
    BETTER,
    EQUAL,
    FAIRNESS,
    GAP,
    KNOWN,
    LEAST,
    MACRO,
    MEASURES,
    ODDS,
    PARITY,
    WORSE,
    WORST,
    Comparison,
    Figure,
)
from mien.mitigate.run import Found, Tried
from mien.mitigate.selection import RULES
from mien.mitigate.told import asks_groups
from mien.mitigate.verdicts import Judgement
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Needs
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import PostProcessor
from mien.records import Estimate, thousandths
from mien.studies.tables import table
from mien.wording import listed

FIT_TWICE = ("latent_alignment", "upweighted_errors")


def change_of(comparison: Comparison, name: str, group: str) -> Estimate:
    """The change of one group under a method; NaN where it is undefined."""
    change = comparison.methods[name].groups[group].change
    return change if change is not None else Estimate(float("nan"))


def overall_change(comparison: Comparison, name: str, measure: str) -> Estimate:
    """The change of a measure of all faces under a method; NaN where it is undefined."""
    change = comparison.methods[name].overall[measure].change
    return change if change is not None else Estimate(float("nan"))


def signed(estimate: Estimate) -> str:
    """A change with its sign and interval."""
    if np.isnan(estimate.value):
        return "undefined"
    sign = "+" if estimate.value > 0 else ""
    interval = "" if np.isnan(estimate.low) else f" [{thousandths(estimate.low)}, {thousandths(estimate.high)}]"
    return f"{sign}{thousandths(estimate.value)}{interval}"


def seconds_of(tried: Tried) -> float:
    """The median over seeds: what else the machine did in one of them plays no part."""
    return float(np.median([each.seconds for each in tried.best]))


def share_of_time(found: Found, name: str) -> float:
    """A method's training time over the baseline's."""
    return seconds_of(found.tried[name]) / max(seconds_of(found.tried[BASELINE]), 1e-9)


def costly(found: Found) -> list[str]:
    """Names and times of methods that cost more than may be expected: twice the baseline's time, or three times where
    they fit twice.
    """
    told = {name: share_of_time(found, name) for name, tried in found.tried.items() if tried.best and name not in ROWS}
    fits = {name: found.tried[name].best[0].cell.config.mitigation.name for name in told}
    over = {name: t for name, t in told.items() if t > (3 if fits[name] in FIT_TWICE else 2)}
    return [f"{found.config.label(name)} ({t:.1f} times)" for name, t in over.items()]


def times(found: Found, name: str) -> str:
    """A method's training time, in times of the baseline's."""
    return f"{share_of_time(found, name):.2f}"


def asks(found: Found, name: str) -> str:
    """Where a method asks for the groups of faces; empty where it never does."""
    said = []
    mitigation = found.tried[name].best[0].cell.config.mitigation
    takes = inspect.signature(MITIGATIONS.get(mitigation.name)).parameters
    needs: Needs = getattr(MITIGATIONS.get(mitigation.name), "needs", Needs())
    if mitigation.options.get("by") or (needs.training and "by" not in takes):
        said.append("in training")
    if (maker := _maker_of(found, name)) is not None and maker.fits_groups:
        said.append("after training")
    return listed([*said, *(["where it is used"] if asks_where_used(found, name) else [])])


def asks_where_used(found: Found, name: str) -> bool:
    """Whether a method's answer depends on the group that somebody takes a face for."""
    maker = _maker_of(found, name)
    told = asks_groups(found.tried[name].best[0].cell)
    return told or (maker is not None and maker.asks_groups)


def _maker_of(found: Found, name: str) -> PostProcessor | None:
    """What is fitted after training for a method's chosen candidate; None where it trains."""
    method = found.config.methods.get(name, found.config.baseline)
    if method.after is None:
        return None
    options = {**method.after.options, **method.candidates[found.tried[name].chosen]}
    maker: PostProcessor = POSTPROCESSORS.get(method.after.name)(**options)
    return maker


def _with_change(figure: Figure) -> str:
    return str(figure.value) if figure.change is None else f"{figure.value}; {signed(figure.change)}"


def main_table(found: Found, comparison: Comparison, judged: Mapping[str, Judgement]) -> list[str]:
    """Each method's accuracy, worst group, gap and chosen disparity, their changes, cost and verdict."""
    shown = list(dict.fromkeys([ACCURACY, WORST, GAP, found.config.disparity]))
    header = ["method", *(title for m in shown for title in (MEASURES[m][0], "change")), "time", "asks for groups",
              "verdict"]  # fmt: skip
    rows = []
    for name, method in comparison.methods.items():
        told = [cell for m in shown for cell in _apart(method.overall[m])]
        verdict = f"**{judged[name].words}**" if name in judged else ""
        asked = asks(found, name) or "no"
        rows.append([found.config.label(name), *told, f"{times(found, name)} x", asked, verdict])
    after = (
        "Change: against the baseline. *Accuracy* has the groups as they come in the judged faces. *Worst group* and "
        "*largest gap* are of the mean rates over seeds: noise makes the one lower and the other larger than they are, "
        "so that their intervals, and those of their changes, are what a band about all groups at once leaves, and "
        "wide. What happened to each group tells more. *Time* is that of training and of what is fitted after it, the "
        "median over seeds; a pass over the faces for features that are kept is not in it."
    )
    if found.config.disparity == KNOWN:
        after += f" *Known gap*: {words_of(found.config)}; below 0 where it is the other way round."
    if over := costly(found):
        after += (
            " More than twice the baseline's (three times of a method that fits twice), whatever else the machine did "
            f"meanwhile: {listed(over)}."
        )
    return [*table(header, rows), "", after]


def _apart(figure: Figure) -> tuple[str, str]:
    return str(figure.value), "" if figure.change is None else signed(figure.change)


def further_table(found: Found, comparison: Comparison) -> list[str]:
    """The disparities that did not choose, and means that count groups or classes alike."""
    shown = [m for m in (EQUAL, MACRO, ODDS, PARITY, FAIRNESS, LEAST) if m != found.config.disparity]
    shown += [BETTER, WORSE] if found.config.known_by_class else []
    header = ["method", *(MEASURES[m][0] for m in shown)]
    rows = [
        [found.config.label(name), *(_with_change(method.overall[m]) for m in shown)]
        for name, method in comparison.methods.items()
    ]
    after = (
        "After the semicolon: the change against the baseline. *Accuracy, groups counted alike* is that of people with "
        "as many of each group, *balanced accuracy* counts every class alike. Equalised odds and demographic parity: "
        "the largest gap of a rate over the classes (Hardt et al. 2016). F: the smallest over the largest mean recall "
        "of the groups (Xu et al. 2020). *Least recall*: of all classes in all groups, of which there are ten faces or "
        "more."
    )
    if found.config.known_by_class:
        after += " *Better* and *worse side*: the mean recalls whose difference the known gap is; either may close it."
    return [*table(header, rows), "", after]


def groups_table(found: Found, comparison: Comparison) -> list[str]:
    """Each group's rate under each method, and its change."""
    groups = list(comparison.sizes)
    header = ["method", *(f"{g} ({comparison.sizes[g]:,} faces)" for g in groups)]
    rows = [
        [found.config.label(name), *(_with_change(method.groups[g]) for g in groups)]
        for name, method in comparison.methods.items()
    ]
    what = f"By {found.config.metric.replace('_', ' ')}"
    what += f", without {listed(comparison.dropped)}" if comparison.dropped else ""
    return [*table(header, rows), "", f"{what}; after the semicolon the change against the baseline."]


def calibration_table(found: Found, comparison: Comparison) -> list[str]:
    """Log loss and calibration error of each group, and its accuracy where groups go by another metric."""
    groups = list(comparison.eligible)
    kinds = {"accuracy": "accuracy", "nll": "log loss", "ece": "calibration error"}
    bias = "ece_if_calibrated"
    if found.config.metric == "accuracy":  # it stands in the table of groups, with its interval
        del kinds["accuracy"]
    header = ["method", *(f"{words}, {g}" for words in kinds.values() for g in groups)]
    rows, without = [], list[str]()
    for name in found.tried:
        told = by_group_of(found, name, groups)
        if not _calibrated(found, name):
            without.append(found.config.label(name))
        cells = [(told[g].get(kind), told[g].get(bias) if kind == "ece" else None) for kind in kinds for g in groups]
        if any(v is not None for v, _ in cells):
            words = ["" if v is None else f"{v:.3f}{'' if b is None else f' ({b:.3f})'}" for v, b in cells]
            rows.append([found.config.label(name), *words])
    what = "Means over seeds, by group as perceived." if comparison.corrected else "Means over seeds."
    what += (
        " In brackets: the calibration error that as many faces show of a model whose probabilities are right, for it "
        "is never below 0 and larger of fewer faces. Groups of unequal size are compared by how far they lie above it."
    )
    if without:
        what += f" No row of {listed(without)}: what they return decides by its largest value and is no probability."
    return [*table(header, rows), "", what]


def by_group_of(found: Found, name: str, groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """Group -> accuracy, and of probabilities ``nll``, ``ece`` and ``ece_if_calibrated``, means over seeds; by groups
    as they stand.
    """
    told: dict[str, dict[str, list[float]]] = {g: {} for g in groups}
    for outcome in found.tried[name].best:
        said = outcome.judged
        attribute = resolve_attribute(said, found.config.attribute)
        for g in groups:
            mask = attribute.codes == list(attribute.groups).index(g)
            each = told[g]
            each.setdefault("accuracy", []).append(float((said.predicted[mask] == said.labels[mask]).mean()))
            if said.probs is not None and _calibrated(found, name):
                probs, labels = said.probs[mask], said.labels[mask]
                each.setdefault("nll", []).append(float(nll_rows(probs, labels).mean()))
                each.setdefault("ece", []).append(expected_calibration_error(probs, labels))
                each.setdefault("ece_if_calibrated", []).append(_if_calibrated(probs))
    return {g: {kind: float(np.mean(values)) for kind, values in each.items()} for g, each in told.items()}


def _if_calibrated(probs: NDArray[np.float64], draws: int = 20) -> float:
    """The calibration error that a model shows on average if classes come as often as it says."""
    rng = np.random.default_rng(0)
    ends = (probs / probs.sum(1, keepdims=True)).cumsum(1)
    drawn = [np.minimum((rng.random((len(probs), 1)) > ends).sum(1), probs.shape[1] - 1) for _ in range(draws)]
    return float(np.mean([expected_calibration_error(probs, labels) for labels in drawn]))


def _calibrated(found: Found, name: str) -> bool:
    """Whether what a method says is meant as probabilities."""
    method = found.config.methods.get(name, found.config.baseline)
    return method.after is None or bool(getattr(POSTPROCESSORS.get(method.after.name), "calibrated", True))


def candidates_table(found: Found) -> list[str]:
    """What each candidate reached on the validation faces, and which was chosen."""
    config, rows = found.config, []
    for name, tried in found.tried.items():
        if name == UNTUNED:  # a candidate of the baseline
            continue
        method = config.methods.get(name, config.baseline)
        for i, (told, merits) in enumerate(zip(method.candidates, tried.merits, strict=True)):
            settings = ", ".join(f"{k} {v}" for k, v in told.items()) or "as it is"
            figure = "failed" if i in tried.failures else f"{abs(float(np.mean(merits))):.4f}"
            mark = "chosen" if i == tried.chosen and tried.best else ""
            rows.append([config.label(name), settings, figure, mark])
    return [*table(["method", "candidate", f"by {config.select.replace('_', ' ')}", ""], rows), "",
            f"Mean over seeds of {RULES[config.select]}."]  # fmt: skip
