"""What methods did to groups, under a known truth; verdicts and choices by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.audit.attributes import resolve_attribute
from mien.audit.inferred import AnnotatorError
from mien.errors import ConfigError, DataError
from mien.mitigate.behind import faces_behind, sizes_behind
from mien.mitigate.definition import KnownGapConfig, MitigationConfig
from mien.mitigate.leakage import probe_table
from mien.mitigate.matrix import summary
from mien.mitigate.measures import (
    ACCURACY,
    BETTER,
    EQUAL,
    FAIRNESS,
    GAP,
    KNOWN,
    LEAST,
    ODDS,
    PARITY,
    WORSE,
    WORST,
    Comparison,
    Figure,
    Measured,
    compare_methods,
)
from mien.mitigate.run import tables_of
from mien.mitigate.selection import choice, merit
from mien.mitigate.verdicts import Judgement, Reduction, judgement, reduction
from mien.records import Estimate, Predictions
from mien.stats.settings import Settings

FAST = Settings(n_boot=200)
BOTH = np.array([True, True])


def told(labels: Any, predicted: Any, groups: Any, cluster: Any = None, **more: Any) -> Predictions:
    n, k = len(labels), 3
    probs = np.full((n, k), 0.1)
    probs[np.arange(n), predicted] = 0.8
    return Predictions(
        sample_id=np.array([f"face-{i}" for i in range(n)], dtype=object), classes=("a", "b", "c"),
        labels=np.asarray(labels), predicted=np.asarray(predicted), probs=probs, soft_targets=None, votes=None,
        groups=pd.DataFrame({"gender": pd.array(groups, dtype="object")}), cluster=cluster, **more,
    )  # fmt: skip


class World:
    """Faces of two groups, on which methods are right with known probabilities; the same faces for all runs."""

    def __init__(self, rng: np.random.Generator, n: int = 600, copies: int = 1, share: float = 0.3) -> None:
        self.rng, self.copies = rng, copies
        self.woman = np.repeat(rng.random(n // copies) < share, copies)
        self.labels = np.repeat(rng.integers(0, 3, n // copies), copies)
        self.luck = np.repeat(rng.random(n // copies), copies)  # how hard a face is, for every method
        self.cluster = np.arange(n) // copies

    def run(self, men: float, women: float, seed_sd: float = 0.0, own: float = 0.5) -> Predictions:
        """A run that is right on so many; ``own`` is how much of its luck is a face's alone and not shared by runs."""
        n = len(self.labels)
        mixed = np.where(self.rng.random(n // self.copies) < own, self.rng.random(n // self.copies),
                         self.luck[:: self.copies])  # fmt: skip
        right = np.repeat(mixed, self.copies) < np.where(self.woman, women, men) + self.rng.normal(0, seed_sd)
        wrong = (self.labels + 1 + self.rng.integers(0, 2, n)) % 3
        groups = np.where(self.woman, "woman", "man")
        return told(self.labels, np.where(right, self.labels, wrong), groups, self.cluster)


def test_values_and_changes_by_hand() -> None:
    labels, groups = [0, 1, 2, 0] * 20, (["man"] * 4 + ["woman"] * 4) * 10
    base = [told(labels, [0, 1, 2, 0, 0, 1, 0, 1] * 10, groups)] * 2  # men 1, women 1/2
    better = [told(labels, [0, 1, 2, 1, 0, 1, 2, 1] * 10, groups)] * 2  # men 3/4, women 3/4
    found = compare_methods({"base": base, "better": better}, "base", "gender", settings=FAST)
    assert found.sizes == {"man": 40, "woman": 40}
    one, two = found.methods["base"], found.methods["better"]
    assert one.overall[ACCURACY].value.value == pytest.approx(0.75)
    assert one.overall[ACCURACY].change is None
    assert two.overall[ACCURACY].change is not None
    assert two.overall[ACCURACY].change.value == pytest.approx(0)
    values = {m: (one.overall[m].value.value, two.overall[m].value.value) for m in one.overall}
    assert values[WORST] == pytest.approx((0.5, 0.75))
    assert values[GAP] == pytest.approx((0.5, 0))
    assert values[EQUAL] == pytest.approx((0.75, 0.75))
    assert values[LEAST] == pytest.approx((0, 0.5))  # of c in women before; of a in both afterwards
    assert two.groups["man"].change is not None
    assert two.groups["man"].change.value == pytest.approx(-0.25)
    fell = reduction(found, "base", "better")
    assert fell is not None
    assert fell.share == pytest.approx(1)
    assert fell.shown
    assert fell.enough
    verdict = judgement(found, "base", "better")
    assert verdict.words == "helped, at the cost of man; man is served worst now"
    # The mean over groups counts a small group as much as a large one.
    uneven = compare_methods({"base": [told([0] * 90, [0] * 60 + [1] * 30, ["man"] * 60 + ["woman"] * 30)] * 2}, "base",
                             "gender", settings=FAST)  # fmt: skip
    assert uneven.methods["base"].overall[ACCURACY].value.value == pytest.approx(2 / 3)
    assert uneven.methods["base"].overall[EQUAL].value.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("after", "verdict", "words"),
    [
        ((0.74, 0.50, 0.90), "hurt", "hurt: B is served worst now"),
        ((0.74, 0.64, 0.90), "hurt", "hurt: B is served worst now"),
        ((0.74, 0.72, 0.90), "helped", "helped; B is served worst now"),
        ((0.74, 0.71, 0.80), "helped", "helped, at the cost of C and the accuracy of all; B is served worst now"),
        ((0.70, 0.71, 0.80), "levelled down", "levelled down"),
        ((0.70, 0.62, 0.72), "hurt", "hurt: B is served worst now"),
    ],
)
def test_a_group_that_falls_below_the_worst_is_no_help(
    after: tuple[float, float, float], verdict: str, words: str
) -> None:
    rng, n = np.random.default_rng(0), 2000
    labels, groups = rng.integers(0, 3, 3 * n), np.repeat(["A", "B", "C"], n)
    luck = np.tile((np.arange(n) + 0.5) / n, 3)  # as many faces as the rate says are found

    def run(rates: tuple[float, float, float]) -> Predictions:
        right = luck < np.repeat(rates, n) + rng.normal(0, 0.002)
        return told(labels, np.where(right, labels, (labels + 1) % 3), groups)

    runs = {"base": [run((0.70, 0.71, 0.90)) for _ in range(5)], "other": [run(after) for _ in range(5)]}
    found = judgement(compare_methods(runs, "base", "gender", settings=FAST), "base", "other")
    assert (found.verdict, found.words, found.worst) == (verdict, words, "A")


@pytest.mark.parametrize(
    ("men", "women", "verdict"),
    [
        (0.9, 0.75, "helped"),
        (0.9, 0.5, "no change that can be told"),
        (0.6, 0.5, "levelled down"),
        (0.9, 0.3, "hurt"),
        (0.7, 0.75, "helped, at the cost of man; man is served worst now"),
        (0.4, 0.4, "hurt"),  # the gap is gone, and the worst group is worse
        (0.99, 0.5, "no change of the worst group that can be told; man gained; the gap is larger"),
    ],
)
def test_verdicts(men: float, women: float, verdict: str) -> None:
    world = World(np.random.default_rng(0), n=6000, share=0.5)
    runs = {
        "base": [world.run(0.9, 0.5, own=0.1) for _ in range(4)],
        "other": [world.run(men, women, own=0.1) for _ in range(4)],
    }
    assert judgement(compare_methods(runs, "base", "gender", settings=FAST), "base", "other").words == verdict


@pytest.mark.parametrize(("seeds", "seed_sd", "copies"), [(2, 0.0, 1), (3, 0.03, 1), (5, 0.02, 3)])
def test_intervals_hold_the_truth(seeds: int, seed_sd: float, copies: int) -> None:
    rng, inside, sound = np.random.default_rng(seeds), dict.fromkeys((ACCURACY, WORST, GAP, "woman", "both"), 0), 80
    for _ in range(sound):
        world = World(rng, copies=copies)
        runs = {
            "base": [world.run(0.8, 0.5, seed_sd) for _ in range(seeds)],
            "other": [world.run(0.75, 0.65, seed_sd) for _ in range(seeds)],
        }
        found = compare_methods(runs, "base", "gender", settings=FAST).methods["other"]
        share = world.woman.mean()
        truth = {ACCURACY: -0.05 * (1 - share) + 0.15 * share, WORST: 0.15, GAP: -0.2}
        for name, value in truth.items():
            change = found.overall[name].change
            assert change is not None
            inside[name] += change.low <= value <= change.high
        groups = {"man": -0.05, "woman": 0.15}
        held = [c.low <= groups[g] <= c.high for g in groups if (c := found.groups[g].change) is not None]
        inside["woman"] += held[1]
        inside["both"] += all(held)
    # 95 % are aimed at, of both groups together too.
    assert {name: n / sound for name, n in inside.items() if n / sound < 0.92} == {}


def test_intervals_of_extremes_hold_where_nobody_differs() -> None:
    # An interval about the value holds the true gap of 0 every second time here, and the true odds in one of ten.
    rng, sizes, k, draws = np.random.default_rng(0), (500, 300, 120, 60), 3, 40
    groups, n = np.repeat([f"group {i}" for i in range(len(sizes))], sizes), sum(sizes)
    truth = {ACCURACY: 0.7, EQUAL: 0.7, WORST: 0.7, GAP: 0.0, ODDS: 0.0, PARITY: 0.0, FAIRNESS: 1.0}
    inside = dict.fromkeys(truth, 0)
    for draw in range(draws):
        labels, luck = rng.integers(0, k, n), rng.random(n)
        runs = []
        for _ in range(3):
            right = np.where(rng.random(n) < 0.7, luck, rng.random(n)) < 0.7
            runs.append(told(labels, np.where(right, labels, (labels + rng.integers(1, k, n)) % k), groups))
        found = compare_methods({"base": runs}, "base", "gender", settings=Settings(n_boot=200, seed=draw))
        for name, value in truth.items():
            told_of = found.methods["base"].overall[name].value
            inside[name] += told_of.low <= value <= told_of.high
    assert {name: held / draws for name, held in inside.items() if held / draws < 0.9} == {}


def test_no_method_is_said_to_help_or_hurt_that_does_nothing() -> None:
    rng, said = np.random.default_rng(5), []
    for _ in range(150):
        world = World(rng)
        runs = {name: [world.run(0.8, 0.6, 0.02) for _ in range(3)] for name in ("base", "other")}
        said.append(judgement(compare_methods(runs, "base", "gender", settings=FAST), "base", "other").verdict)
    assert said.count("no change that can be told") / len(said) >= 0.92


def test_pairs_tell_more_than_either_value() -> None:
    world = World(np.random.default_rng(1))
    runs = {
        "base": [world.run(0.8, 0.5, own=0) for _ in range(3)],
        "other": [world.run(0.8, 0.6, own=0) for _ in range(3)],
    }
    found = compare_methods(runs, "base", "gender", settings=FAST).methods["other"].groups["woman"]
    assert found.change is not None
    assert found.change.high - found.change.low < 0.8 * (found.value.high - found.value.low)


def test_perceived_groups_are_corrected() -> None:
    rng = np.random.default_rng(2)
    error = AnnotatorError.from_rates(["man", "woman"], [[0.9, 0.1], [0.2, 0.8]], 4000)
    world = World(rng, n=40_000, share=0.4)
    flips = rng.random(len(world.woman))
    seen = np.where(world.woman, np.where(flips < 0.2, "man", "woman"), np.where(flips < 0.1, "woman", "man"))
    content = {"groups": error.groups, "counts": error.counts}

    def run(men: float, women: float) -> Predictions:
        p = world.run(men, women)
        return told(p.labels, p.predicted, seen, p.cluster, annotator_errors={"gender": content})

    runs = {"base": [run(0.9, 0.6) for _ in range(2)], "other": [run(0.85, 0.7) for _ in range(2)]}
    found = compare_methods(runs, "base", "gender", settings=FAST)
    assert found.corrected
    base, other = found.methods["base"], found.methods["other"]
    assert base.overall[GAP].value.value == pytest.approx(0.3, abs=0.02)
    assert other.groups["woman"].change is not None
    assert other.groups["woman"].change.low < 0.1 < other.groups["woman"].change.high
    assert other.overall[GAP].change is not None
    assert other.overall[GAP].change.low < -0.15 < other.overall[GAP].change.high
    # As perceived, the gap is smaller than it is.
    plain = {k: [told(p.labels, p.predicted, seen, p.cluster) for p in v] for k, v in runs.items()}
    assert compare_methods(plain, "base", "gender", settings=FAST).methods["base"].overall[GAP].value.value < 0.25


def test_a_group_that_is_mostly_misperceived_judges_nothing() -> None:
    """Of 65 faces perceived as women about 60 are men: what is left of them tells nothing of women."""
    rng = np.random.default_rng(4)
    error = AnnotatorError.from_rates(["man", "woman"], [[0.97, 0.03], [0.1, 0.9]], 4000)
    woman = np.arange(2000) < 6
    seen = np.where(rng.random(2000) < np.where(woman, 0.9, 0.03), "woman", "man")
    labels = rng.integers(0, 3, 2000)
    runs = [told(labels, np.where(rng.random(2000) < 0.8, labels, (labels + 1) % 3), seen,
                 annotator_errors={"gender": {"groups": error.groups, "counts": error.counts}})
            for _ in range(2)]  # fmt: skip
    found = compare_methods({"base": runs, "other": runs}, "base", "gender", settings=FAST)
    assert found.sizes["woman"] > 40
    assert found.eligible == ("man",)
    assert "faces are perceived so, and about" in found.note
    assert "woman" in found.methods["base"].groups  # shown
    assert judgement(found, "base", "other").verdict == "cannot be judged"


def test_a_method_that_reads_the_perceived_group_is_measured_as_perceived() -> None:
    """Right for 90 % of those perceived men and 70 % of women: behind an annotator, no correction tells the truth."""
    rng = np.random.default_rng(5)
    error = AnnotatorError.from_rates(["man", "woman"], [[0.9, 0.1], [0.1, 0.9]], 4000)
    truly = rng.random(40_000) < 0.5
    seen = np.where(rng.random(40_000) < 0.9, truly, ~truly)
    content = {"groups": error.groups, "counts": error.counts}
    labels = rng.integers(0, 3, 40_000)

    def run(women: float) -> Predictions:
        right = rng.random(40_000) < np.where(seen, women, 0.9)
        said = np.where(right, labels, (labels + 1) % 3)
        names = np.where(seen, "woman", "man")
        return told(labels, said, names, annotator_errors={"gender": content})

    runs = {"base": [run(0.9) for _ in range(2)], "other": [run(0.7) for _ in range(2)]}
    found = compare_methods(runs, "base", "gender", asking=["other"], settings=FAST)
    assert found.corrected
    assert list(found.as_perceived) == ["other"]
    assert found.methods["other"].groups["woman"].value.value == pytest.approx(0.7, abs=0.01)
    assert found.methods["other"].overall[GAP].value.value == pytest.approx(0.2, abs=0.01)
    assert found.against("base", "other").groups["woman"].value.value == pytest.approx(0.9, abs=0.01)
    change = found.methods["other"].groups["woman"].change
    assert change is not None
    assert change.low < -0.2 < change.high
    assert judgement(found, "base", "other").verdict == "hurt"
    # Corrected, the gap would be .25; in truth it is .16.
    wrong = compare_methods(runs, "base", "gender", settings=FAST).methods["other"].overall[GAP].value.value
    assert wrong == pytest.approx(0.25, abs=0.015)


def test_a_perceived_group_with_hardly_a_face_behind_it_neither_judges_nor_chooses() -> None:
    """Forty faces are perceived as women, about as many as the annotator takes men for."""
    error = AnnotatorError.from_rates(["man", "woman"], [[0.96, 0.04], [0.05, 0.95]], 4000)
    content = {"groups": error.groups, "counts": error.counts}
    names = ["man"] * 960 + ["woman"] * 40
    labels = np.arange(1000) % 3
    said = np.where(np.arange(1000) < 960, labels, (labels + 1) % 3)  # right on all that are perceived as men
    run = told(labels, said, names, annotator_errors={"gender": content})
    behind = faces_behind(run, "gender")
    assert behind[1] < 5
    assert behind[0] == 960  # never more than are perceived
    np.testing.assert_array_equal(faces_behind(told(labels, said, names), "gender"), [960, 40])
    tables = tables_of(run, "gender")
    assert merit(tables, "worst_group", "accuracy", BOTH) == 0
    assert np.isnan(merit(tables, "worst_group", "accuracy", behind >= 30))  # of the men alone there is no worst
    assert merit(tables, "accuracy", "accuracy", behind >= 30) == 0.96
    assert sizes_behind({"man": 960, "woman": 40}, content, "gender") == dict(
        zip(("man", "woman"), behind, strict=True)
    )
    assert sizes_behind({"man": 960, "woman": 40}, None, "gender") == {"man": 960, "woman": 40}
    found = compare_methods({"base": [run, run], "other": [run, run]}, "base", "gender", settings=FAST)
    assert found.eligible == ("man",)
    assert "woman: 40 faces are perceived so" in found.note


def test_small_and_unknown_groups() -> None:
    labels = [0, 1, 2] * 40
    groups = ["man"] * 60 + ["woman"] * 40 + ["child"] * 10 + [None] * 10
    predicted = list(labels)
    predicted[100:110] = [(x + 1) % 3 for x in predicted[100:110]]  # all children wrong: ten of them say little
    found = compare_methods({"base": [told(labels, predicted, groups)] * 2}, "base", "gender", settings=FAST)
    assert found.eligible == ("man", "woman")
    base = found.methods["base"]
    assert base.groups["child"].value.value == 0
    assert base.overall[WORST].value.value == 1
    assert base.overall[ACCURACY].value.value == pytest.approx(110 / 120)
    # The groups' order and the faces' order do not matter, other faces do.
    other = told(labels, predicted, groups)
    turned = other.select(np.arange(120)[::-1])
    assert compare_methods({"base": [other, turned]}, "base", "gender", settings=FAST).methods["base"].groups[
        "man"
    ].seeds == (1.0, 1.0)
    with pytest.raises(DataError, match="other faces"):
        compare_methods({"base": [other], "x": [other.select(np.arange(100))]}, "base", "gender", settings=FAST)
    alone = compare_methods({"base": [other] * 2, "x": [other] * 2}, "base", "gender", min_n=50, settings=FAST)
    assert judgement(alone, "base", "x").verdict == "cannot be judged"
    relabelled = told([1, *labels[1:]], predicted, groups)
    with pytest.raises(DataError, match="other labels"):
        compare_methods({"base": [other], "x": [relabelled]}, "base", "gender", settings=FAST)
    annotated_anew = told(labels, predicted, ["woman", *groups[1:]])
    with pytest.raises(DataError, match="other groups of 'gender'"):
        compare_methods({"base": [other], "x": [annotated_anew]}, "base", "gender", settings=FAST)
    with pytest.raises(DataError, match="differ between methods"):
        compare_methods({"base": [other], "x": [other, other]}, "base", "gender", settings=FAST)


def test_rules_by_hand() -> None:
    # Accuracy .9 with the worst group at .6, and .85 with .75: the second is nearer to (1, 1).
    def tables(men: float, women: float) -> Any:
        return np.array([[[men, 1000 - men], [0, 0]], [[women, 1000 - women], [0, 0]], [[0, 0], [0, 0]]], float)

    first = np.array([[[9000, 400], [0, 0]], [[360, 240], [0, 0]], [[0, 0], [0, 0]]], float)
    assert merit(first, "worst_group", "accuracy", BOTH) == pytest.approx(0.6)
    assert merit(first, "accuracy", "accuracy", BOTH) == pytest.approx(0.936)
    assert merit(first, "distance", "accuracy", BOTH) == pytest.approx(-np.hypot(0.064, 0.4))
    assert merit(tables(950, 850), "distance", "accuracy", BOTH) == pytest.approx(-np.hypot(0.1, 0.15))
    assert np.isnan(merit(first, "worst_group", "accuracy", ~BOTH))
    assert merit(np.array([[[6, 2], [4, 4]], [[0, 0], [0, 0]]], float), "worst_class", "accuracy", BOTH) == 0.5
    # One face of a class, missed or found, chooses nothing.
    rare = np.array([[[97, 3, 0], [3, 97, 0], [1, 0, 0]], np.zeros((3, 3))])
    assert merit(rare, "worst_class", "accuracy", BOTH) == pytest.approx(0.97)
    assert np.isnan(merit(rare[:, 2:, 2:] * 0, "worst_class", "accuracy", BOTH))
    # Accuracy .9 with .6, and .85 with .75: .4123 and .2915 from (1, 1).
    for right, worst, far in ((900, 60, 0.4123), (850, 75, 0.2915)):
        groups = [[[right - worst, 900 - right + worst], [0, 0]], [[worst, 100 - worst], [0, 0]], [[0, 0], [0, 0]]]
        assert merit(np.array(groups, float), "distance", "accuracy", BOTH) == pytest.approx(-far, abs=1e-4)


def test_a_group_without_the_hard_class_is_not_served_better() -> None:
    # Both groups are found alike, .9, .9 and .3; men have no face of the third class.
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.repeat([0, 1, 2], 200), np.repeat([0, 1], 200)])
    groups = np.repeat(["woman", "man"], [600, 400])
    runs = []
    for _ in range(3):
        right = rng.random(1000) < np.array([0.9, 0.9, 0.3])[labels]
        runs.append(told(labels, np.where(right, labels, (labels + 1) % 3), groups))
    found = compare_methods({"one": runs}, "one", "gender", metric="balanced_accuracy", settings=FAST)
    assert found.dropped == ("c",)
    gap = found.methods["one"].overall[GAP].value
    assert gap.low == 0.0
    assert gap.value < 0.03
    assert found.methods["one"].groups["woman"].value.value == pytest.approx(0.9, abs=0.03)
    tables = np.array(
        [[[180, 20, 0], [0, 180, 20], [140, 0, 60]], [[180, 20, 0], [0, 170, 30], [0, 0, 0]], np.zeros((3, 3))]
    )
    assert merit(tables, "worst_group", "balanced_accuracy", BOTH) == pytest.approx((0.9 + 0.85) / 2)
    assert choice([[0.1], [float("nan")], [0.3]]) == 2
    assert choice([[float("nan")], [float("nan")]]) == 0
    assert choice([[0.3], [0.3]]) == 0


def test_what_methods_did_to_a_bias_in_words() -> None:
    def one(change: float, half: float, verdict: Any) -> tuple[Reduction | None, Judgement]:
        moved = Estimate(change, change - half, change + half)
        shown = moved.high < 0
        fell = Reduction(
            share=-change / 0.1, change=moved, shown=shown, enough=shown and -change / 0.1 >= 0.3, grew=moved.low > 0
        )
        gained = ("woman",) if verdict == "helped" else ()
        return fell, Judgement(verdict=verdict, worst="woman", now_worst="woman", gained=gained, lost=(), gap=moved)

    fell = one(-0.052, 0.01, "helped")[0]
    assert fell is not None
    assert fell.told == "-52 %"
    assert replace(fell, some=False).told == "-5.2 points"  # a share of nothing says nothing
    told = {
        "a": one(-0.05, 0.01, "helped"),
        "b": one(-0.02, 0.01, "no change that can be told"),
        "c": one(0.03, 0.01, "hurt"),
        "d": one(-0.0001, 0.01, "hurt"),
        "e": (None, one(0.0, 1.0, "hurt")[1]),
    }
    assert summary(told, str.upper) == (
        "the disparity was brought down by 30 % or more by A; brought down by less by B; made larger by C. "
        "The group served worst gained by A; 3 of 5 methods were judged to hurt."
    )
    assert summary({"d": told["d"]}) == (
        "the disparity was changed by no method by more than chance explains. "
        "The group served worst gained by none; 1 of 1 methods were judged to hurt."
    )
    nobody = Judgement(verdict="cannot be judged", worst="", now_worst="", gained=(), lost=(), gap=None)
    assert summary({"a": (None, nobody)}) == "the disparity was not measured. No method could be judged by its groups."
    assert [fell.told for fell, _ in told.values() if fell is not None] == ["-50 %", "-20 %", "+30 %", "0 %"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # (value, half of the interval); a gap of which nothing is known, or that is the other way round, has no share.
        ((-0.05, 0.01), (0.00, 0.01), ""),
        ((-0.05, 0.01), (-0.12, 0.01), "made larger by"),
        ((0.02, 0.298), (-0.01, 0.01), ""),
        ((0.05, 0.015), (-0.045, 0.055), "brought down by less by"),  # by a tenth, and the other way round
        ((0.05, 0.015), (-0.20, 0.055), "turned round by"),
        ((0.05, 0.015), (0.01, 0.01), "brought down by 30 % or more by"),
        ((0.05, 0.015), (-0.01, 0.02), "brought down by 30 % or more by"),
        ((0.05, 0.015), (0.12, 0.02), "made larger by"),
        ((0.00, 0.01), (0.08, 0.01), "made larger by"),
    ],
)
def test_a_gap_is_no_smaller_for_being_turned_round(
    before: tuple[float, float], after: tuple[float, float], words: str
) -> None:
    def figure(value: float, half: float, change: float | None = None) -> Figure:
        told = None if change is None else Estimate(change, change - 0.02, change + 0.02)
        return Figure(value=Estimate(value, value - half, value + half), seeds=(value,), change=told)

    found = Comparison(
        attribute=resolve_attribute(told([0, 1], [0, 1], ["man", "woman"]), "gender"),
        sizes={},
        eligible=(),
        methods={
            "base": Measured(overall={KNOWN: figure(*before)}, groups={}),
            "other": Measured(overall={KNOWN: figure(*after, after[0] - before[0])}, groups={}),
        },
        corrected=False,
    )
    fell = reduction(found, "base", "other", KNOWN)
    assert fell is not None
    nobody = Judgement(verdict="cannot be judged", worst="", now_worst="", gained=(), lost=(), gap=None)
    said = summary({"other": (fell, nobody)})
    assert (f"{words} other" if words else "by no method by more than chance explains") in said
    assert fell.enough == words.startswith("brought down by 30")


def test_words_for_a_small_group_of_which_nothing_can_be_told() -> None:
    def run(rates: dict[str, float]) -> Predictions:
        sizes = {"A": 3000, "B": 3000, "C": 40}
        groups = np.repeat(list(sizes), list(sizes.values()))
        luck = np.concatenate([(np.arange(n) + 0.5) / n for n in sizes.values()])
        luck[-40:] = rng.permutation(luck[-40:])  # other faces of C are hard in every run
        labels = np.arange(len(groups)) % 3
        right = luck < np.repeat([rates[g] for g in sizes], list(sizes.values())) + rng.normal(0, 0.002)
        return told(labels, np.where(right, labels, (labels + 1) % 3), groups)

    def judged(before: dict[str, float], after: dict[str, float]) -> Judgement:
        runs = {"base": [run(before) for _ in range(5)], "other": [run(after) for _ in range(5)]}
        return judgement(compare_methods(runs, "base", "gender", settings=FAST), "base", "other")

    rng = np.random.default_rng(0)
    # The worst gained, and a group too small to lose clearly stands below where it was.
    said = judged({"A": 0.6, "B": 0.8, "C": 0.7}, {"A": 0.66, "B": 0.8, "C": 0.58})
    assert (said.verdict, said.gained) == ("no change that can be told", ("A",))
    assert said.words == "no verdict: A gained; C may be served worse now than A was"
    assert "The group served worst gained by other" in summary({"other": (None, said)})
    # The worst is too small to gain clearly, and another lost.
    said = judged({"A": 0.8, "B": 0.9, "C": 0.5}, {"A": 0.8, "B": 0.88, "C": 0.52})
    assert (said.verdict, said.words) == ("hurt", "hurt: B lost, and no gain of C can be told")


def test_a_method_is_held_against_the_one_that_it_names() -> None:
    world = World(np.random.default_rng(5), 3000)
    runs = {"base": [world.run(0.9, 0.8, own=0.0)] * 3, "small": [world.run(0.7, 0.5, own=0.0)] * 3,
            "helped": [world.run(0.7, 0.6, own=0.0)] * 3}  # fmt: skip
    plain = compare_methods(runs, "base", "gender", settings=FAST)
    held = compare_methods(runs, "base", "gender", held={"helped": "small"}, settings=FAST)
    assert judgement(plain, "base", "helped").verdict == "hurt"
    assert judgement(held, "base", "helped").words == "helped"
    assert held.methods["small"] == plain.methods["small"]
    assert held.held == {"helped": "small"}
    lost = {name: each for name, each in runs.items() if name != "small"}
    with pytest.raises(DataError, match="small: has no run, and another method is held against it"):
        compare_methods(lost, "base", "gender", held={"helped": "small"}, settings=FAST)
    change = held.methods["helped"].groups["woman"].change
    assert change is not None
    assert change.value == pytest.approx(0.1, abs=0.02)


def test_what_probes_read_less_by_hand() -> None:
    config = MitigationConfig.model_validate(
        {"name": "s", "base": "b.yaml", "attribute": "g", "judged": "test", "baseline": {"candidates": [{}]},
         "methods": {"a": {"set": {"seed": 1}, "candidates": [{}]}, "b": {"set": {"seed": 2}, "candidates": [{}]}}}
    )  # fmt: skip
    read = {"baseline": [0.6, 0.62], "a": [0.55, 0.58], "b": [0.5, 0.52]}
    probes = {name: {"features, linear": {"read": told, "permuted": 0.5}} for name, told in read.items()}
    lines = probe_table(config, probes, 0.95)
    # Of -0.05 and -0.04: mean -0.045, deviation 0.00707, t(1) = 12.706; of -0.1 twice there is no doubt.
    assert lines[2:5] == [
        "| baseline | 0.610 (0.500) |",
        "| a | 0.565 (0.500); -0.045 [-0.109, 0.019] |",
        "| b | 0.510 (0.500); **-0.100 [-0.100, -0.100]** |",
    ]
    # What one method alone has stands for itself, and the others have none.
    probes["b"]["latent, linear"] = {"read": [0.7, 0.72], "permuted": 0.5}
    lines = probe_table(config, probes, 0.95)
    assert lines[0] == "| method | features, linear | latent, linear |"
    assert lines[2].endswith("| 0.610 (0.500) |  |")
    assert lines[4].endswith("| 0.710 (0.500) |")
    assert "*latent* is" in lines[-1]


def gaps(*told: dict[str, Any]) -> tuple[KnownGapConfig, ...]:
    return tuple(KnownGapConfig.model_validate(one) for one in told)


MEN = gaps({"better": "man", "worse": "woman"})


def test_a_known_gap_by_hand() -> None:
    labels, groups = [0, 1, 2, 0] * 20, (["man"] * 4 + ["woman"] * 4) * 10
    base = [told(labels, [0, 1, 2, 0, 0, 1, 0, 1] * 10, groups)] * 2  # men 1, women 1/2
    turned = [told(labels, [0, 1, 0, 1, 0, 1, 2, 0] * 10, groups)] * 2  # men 1/2, women 1
    runs = {"base": base, "turned": turned}
    found = compare_methods(runs, "base", "gender", known=MEN, settings=FAST).methods
    assert found["base"].overall[KNOWN].value.value == pytest.approx(0.5)
    assert found["turned"].overall[KNOWN].value.value == pytest.approx(-0.5)  # the largest gap is 0.5 for both
    assert found["turned"].overall[KNOWN].change is not None
    assert found["turned"].overall[KNOWN].change.value == pytest.approx(-1)
    assert KNOWN not in compare_methods(runs, "base", "gender", settings=FAST).methods["base"].overall
    # Recalls: a, men 1 and women 1/2; c, men 1 and women 0. The second gap has the other sign, and no gain of c.
    both = gaps({"better": "Man", "worse": "WOMAN", "classes": ["a", "c"]},
                {"better": "woman", "worse": "man", "classes": ["b"]})  # fmt: skip
    value = compare_methods(runs, "base", "gender", known=both, settings=FAST).methods["base"].overall[KNOWN].value
    assert value.value == pytest.approx(((0.5 + 1) / 2 + 0) / 2)
    sides = compare_methods(runs, "base", "gender", known=both, settings=FAST).methods
    # b: men 1 and women 1. Better: men's a and c, women's b; worse: women's a and c, men's b.
    assert sides["base"].overall[BETTER].value.value == pytest.approx((1 + 1) / 2)
    assert sides["base"].overall[WORSE].value.value == pytest.approx(((0.5 + 0) / 2 + 1) / 2)
    moved = [sides["turned"].overall[m].change for m in (KNOWN, BETTER, WORSE)]
    assert all(change is not None for change in moved)
    assert moved[0].value == pytest.approx(moved[1].value - moved[2].value)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="'child' is no group of the judged faces"):
        compare_methods(runs, "base", "gender", known=gaps({"better": "child", "worse": "man"}), settings=FAST)
    wrong = gaps({"better": "man", "worse": "woman", "classes": ["joyful"]})
    with pytest.raises(ConfigError, match="'joyful' is no class"):
        compare_methods(runs, "base", "gender", known=wrong, settings=FAST)


def test_a_known_gap_of_an_intersection_and_of_too_few_faces() -> None:
    labels, groups = [0, 1, 2, 0] * 60, (["man"] * 4 + ["woman"] * 4) * 30
    run = told(labels, [0, 1, 2, 1, 0, 1, 0, 1] * 30, groups)
    run.groups["age"] = (["old"] * 8 + ["young"] * 8) * 15
    runs = {"base": [run] * 2, "other": [run] * 2}
    for spelling in ("man*old", "man * old", "Man *old"):
        known = gaps({"better": spelling, "worse": "woman*old"})
        found = compare_methods(runs, "base", "gender*age", known=known, settings=FAST).methods["base"]
        assert found.overall[KNOWN].value.value == pytest.approx(0.75 - 0.5)
    # A class of which a group has nine faces, and a group that is too small, tell nothing; the rest is told.
    rare = replace(
        run, labels=np.where(np.arange(len(run)) % 8 == 6, np.where(np.arange(len(run)) < 72, 2, 1), run.labels)
    )
    few = compare_methods({"base": [rare] * 2}, "base", "gender", settings=FAST,
                          known=gaps({"better": "man", "worse": "woman", "classes": ["c"]}))  # fmt: skip
    assert np.isnan(few.methods["base"].overall[KNOWN].value.value)
    assert "woman has 9 faces of c, of 10 that are needed" in few.note
    assert few.methods["base"].overall[GAP].value.value > 0
    small = compare_methods({"base": [run] * 2}, "base", "gender", min_n=500, known=MEN, settings=FAST)
    assert "man has 120 labelled faces, of 500" in small.note


def test_a_change_of_a_known_gap_may_be_larger_than_one() -> None:
    labels, groups = [0, 1] * 100, ["man", "woman"] * 100
    right, wrong = np.array(labels), 1 - np.array(labels)
    men, women = np.where(np.array(groups) == "man", right, wrong), np.where(np.array(groups) == "man", wrong, right)
    runs = {"base": [told(labels, men, groups)] * 2, "other": [told(labels, women, groups)] * 2}
    change = compare_methods(runs, "base", "gender", known=MEN, settings=FAST).methods["other"].overall[KNOWN].change
    assert change is not None
    assert change.low <= change.value == -2 <= change.high


def test_accuracy_of_groups_counted_alike_whatever_they_are_compared_by() -> None:
    # 950 men of whom 95 % are right, 50 women of whom 70 % are: .9375 as they come, .825 counted alike.
    groups = ["man"] * 950 + ["woman"] * 50
    labels = np.arange(1000) % 3
    wrong = np.r_[np.arange(950) < 47.5, np.arange(50) < 15]
    run = told(labels, np.where(wrong, (labels + 1) % 3, labels), groups)
    for metric in ("accuracy", "balanced_accuracy"):
        overall = compare_methods({"b": [run] * 2}, "b", "gender", metric=metric, settings=FAST).methods["b"].overall
        assert overall[EQUAL].value.value == pytest.approx(0.825, abs=1e-3)
        assert overall[ACCURACY].value.value == pytest.approx(0.9375, abs=1e-3)


def test_a_gap_that_is_turned_round_is_no_help_that_was_claimed() -> None:
    rng, said = np.random.default_rng(3), {}
    world = World(rng, 3000)
    runs = {"base": [world.run(0.8, 0.6) for _ in range(3)]}
    for name, (men, women) in {"closed": (0.7, 0.7), "turned": (0.6, 0.8), "little": (0.79, 0.63)}.items():
        runs[name] = [world.run(men, women) for _ in range(3)]
    found = compare_methods(runs, "base", "gender", known=MEN, settings=FAST)
    for name in runs:
        if name != "base":
            fell = reduction(found, "base", name, KNOWN)
            assert fell is not None
            said[name] = fell.shown, fell.enough
    assert said == {"closed": (True, True), "turned": (True, False), "little": (said["little"][0], False)}
    verdicts = {name: (reduction(found, "base", name, KNOWN), judgement(found, "base", name)) for name in said}
    assert "30 % or more by closed; " in summary(verdicts)
    assert "turned round by turned" in summary(verdicts)
    # Where the baseline has no such gap there is none to bring down, and nothing is claimed against it.
    none = {"base": runs["turned"], "other": runs["closed"]}
    found = compare_methods(none, "base", "gender", known=MEN, settings=FAST)
    fell = reduction(found, "base", "other", KNOWN)
    assert fell is not None
    assert (fell.some, fell.enough, fell.told[-7:]) == (False, False, " points")


def test_intervals_of_a_known_gap_hold_and_are_narrower_than_those_of_the_largest() -> None:
    rng, inside, widths = np.random.default_rng(11), {"value": 0, "change": 0}, {KNOWN: 0.0, GAP: 0.0}
    for draw in range(100):
        world = World(rng, 500, copies=2)
        runs = {"base": [world.run(0.75, 0.65, 0.03) for _ in range(5)],
                "other": [world.run(0.72, 0.68, 0.03) for _ in range(5)]}  # fmt: skip
        found = compare_methods(runs, "base", "gender", known=MEN, settings=Settings(n_boot=200, seed=draw)).methods
        value, change = found["base"].overall[KNOWN].value, found["other"].overall[KNOWN].change
        assert change is not None
        inside["value"] += value.low <= 0.10 <= value.high
        inside["change"] += change.low <= -0.06 <= change.high
        for name in widths:
            one = found["other"].overall[name].change
            assert one is not None
            widths[name] += (one.high - one.low) / 100
    assert min(inside.values()) >= 89
    assert widths[KNOWN] < 0.9 * widths[GAP]


def test_the_words_tell_of_an_accuracy_that_fell() -> None:
    def said(verdict: Any, gained: tuple[str, ...] = (), lost: tuple[str, ...] = (), high: float = -0.01) -> str:
        accuracy = Estimate(-0.12, -0.14, high)
        told = Judgement(
            verdict=verdict, worst="a", now_worst="a", gained=gained, lost=lost, gap=None, accuracy=accuracy
        )  # fmt: skip
        return told.words

    assert said("helped", ("a",)) == "helped, at the cost of the accuracy of all"
    assert said("helped", ("a",), ("b",)) == "helped, at the cost of b and the accuracy of all"
    assert said("helped", ("a",), high=0.01) == "helped"
    nothing: Any = "no change that can be told"
    assert said(nothing) == "no change of a group that can be told; all together are less accurate"
    assert said(nothing, ("b",)) == (
        "no change of the worst group that can be told; b gained; all together are less accurate"
    )
    assert said(nothing, high=0.01) == nothing


def test_a_class_of_which_hardly_a_face_is_behind_a_perceived_group_takes_no_part() -> None:
    """Twelve faces of class c are perceived as women's, and about none of them is."""
    error = AnnotatorError.from_rates(["man", "woman"], [[0.97, 0.03], [0.05, 0.95]], 4000)
    content = {"gender": {"groups": error.groups, "counts": error.counts}}
    labels = [0] * 400 + [1] * 400 + [2] * 400 + [0] * 100 + [1] * 100 + [2] * 12
    groups = ["man"] * 1200 + ["woman"] * 212
    said = [*labels[:-12], *[1] * 12]
    run = told(labels, said, groups, annotator_errors=content)
    found = compare_methods(
        {"base": [run, run], "other": [run, run]}, "base", "gender", metric="balanced_accuracy", settings=FAST
    )
    assert found.dropped == (run.classes[2],)
    assert found.methods["base"].overall[GAP].value.value == pytest.approx(0, abs=1e-9)
    plain = told(labels, said, groups)
    as_seen = compare_methods({"base": [plain] * 2}, "base", "gender", metric="balanced_accuracy", settings=FAST)
    assert as_seen.dropped == ()
    assert as_seen.methods["base"].overall[GAP].value.value == pytest.approx(1 / 3)


def test_what_a_method_that_reads_the_group_is_held_to_is_measured_as_perceived() -> None:
    """A method is held against another one that reads the perceived group: of neither a correction tells the truth."""
    rng = np.random.default_rng(7)
    error = AnnotatorError.from_rates(["man", "woman"], [[0.9, 0.1], [0.1, 0.9]], 4000)
    seen = rng.random(8000) < 0.5
    labels = rng.integers(0, 3, 8000)
    said = np.where(rng.random(8000) < np.where(seen, 0.6, 0.9), labels, (labels + 1) % 3)
    run = told(labels, said, np.where(seen, "woman", "man"),
               annotator_errors={"gender": {"groups": error.groups, "counts": error.counts}})  # fmt: skip
    runs = {"base": [run] * 2, "aware": [run] * 2, "on it": [run] * 2}
    found = compare_methods(runs, "base", "gender", asking=["aware"], held={"on it": "aware"}, settings=FAST)
    before, after = found.against("base", "on it").overall[GAP], found.methods["on it"].overall[GAP]
    assert before.value.value == after.value.value == pytest.approx(0.3, abs=0.02)
    assert found.methods["base"].overall[GAP].value.value > 0.35
    fell = reduction(found, "base", "on it")
    assert fell is not None
    assert fell.left == 1
