import json
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from audit_simulation import noisy, predictions
from scipy.stats import binom
from sklearn.metrics import balanced_accuracy_score, f1_score

from mien.audit.compare import compare, compare_many
from mien.audit.compare.paired_statistics import change_of_extreme, paired_share_difference, sign_flip_p
from mien.audit.compare.results import (
    BEST_GAINED,
    BEST_LOST,
    BOTH_ENDS,
    GAINED,
    GREW,
    LOST,
    NO_CHANGE,
    SHRANK,
    WORST_GAINED,
    WORST_LOST,
    Comparison,
)
from mien.audit.compare.shared_faces import shared_faces
from mien.audit.plain_results import from_plain
from mien.audit.vocabulary import TOO_FEW
from mien.errors import DataError, UsageError
from mien.metrics import equal_odds_fairness, kl_rows, top_k_hits
from mien.records import plain
from mien.stats.settings import Settings


def pair(rng, recalls_a, recalls_b, n=600, k=3, cluster=None):
    """Two models on two groups ``f`` and ``m`` of ``n`` faces, with a recall for each."""
    group = np.arange(2 * n) % 2
    labels = rng.integers(0, k, 2 * n)
    predicted = [noisy(rng, labels, np.asarray(r)[group], k) for r in (recalls_a, recalls_b)]
    groups = {"gender": np.array(["f", "m"])[group]}
    return tuple(predictions(labels, p, groups, cluster, k) for p in predicted)


# --- McNemar ---


@pytest.mark.parametrize(("only_a", "only_b"), [(3, 11), (0, 5), (7, 7), (40, 61), (0, 1)])
def test_independent_faces_give_mcnemar_mid_p(only_a, only_b):
    n, least = only_a + only_b, min(only_a, only_b)
    by_hand = 2 * binom.cdf(least, n, 0.5) - binom.pmf(least, n, 0.5)
    if only_a == only_b:
        by_hand = 1 - binom.pmf(least, n, 0.5) / 2
    net = np.repeat([-1, 1, 0], [only_a, only_b, 20])
    assert sign_flip_p(net) == pytest.approx(by_hand, rel=1e-9)


def test_units_give_the_law_of_all_signs():
    net = np.array([3, -1, 2, 2, 0, 1, -1, 4])
    sums = np.array([abs(np.dot(signs, np.abs(net))) for signs in product((-1, 1), repeat=len(net))])
    by_hand = (sums > abs(net.sum())).mean() + (sums == abs(net.sum())).mean() / 2
    assert sign_flip_p(net) == pytest.approx(by_hand)
    assert sign_flip_p(-net) == pytest.approx(by_hand)
    assert sign_flip_p(np.zeros(9)) == 1.0
    assert 0 < sign_flip_p(np.ones(20_000)) < 1e-9


def test_false_alarms_of_dependent_faces():
    """Persons whom only one of two equally good models gets: a test of faces rejects too often."""
    rng = np.random.default_rng(0)
    units, faces = [], []
    for _ in range(400):
        odd = rng.binomial(8, 0.4, 60)
        b_only = rng.binomial(odd, rng.choice((0.1, 0.9), 60))
        units.append(sign_flip_p(2 * b_only - odd))
        faces.append(sign_flip_p(np.repeat((1, -1), (b_only.sum(), (odd - b_only).sum()))))
    assert np.mean(np.array(units) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(np.array(units) < 0.5) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.array(faces) < 0.05) > 0.1


# --- differences of shares ---


def test_independent_pairs_give_bonett_and_price():
    difference = np.repeat([1, -1, 0], [9, 4, 37])
    p12, p21, n = 10 / 52, 5 / 52, 52
    half = 1.959964 * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / n)
    found = paired_share_difference(difference, None)
    assert found.value == pytest.approx(5 / 50)
    assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half), abs=1e-6)


def test_copies_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    difference = rng.choice([-1, 0, 0, 1], 80)
    one = paired_share_difference(difference, None)
    three = paired_share_difference(np.repeat(difference, 3), np.repeat(np.arange(80), 3))
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))
    assert (three.n, three.clusters) == (240, 80)


def test_agreement_still_has_a_width_and_no_face_is_undefined():
    same = paired_share_difference(np.zeros(40), None)
    assert same.value == 0
    assert -0.1 < same.low < -0.02 < 0.02 < same.high < 0.1
    nobody = paired_share_difference(np.zeros(0), None)
    assert np.isnan(nobody.value)
    assert nobody.note


@pytest.mark.parametrize(("n_units", "size"), [(40, 1), (60, 6)])
def test_coverage_of_the_difference(n_units, size):
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        person = rng.random(n_units)[:, None]
        a, b = (
            np.where(rng.random((n_units, size)) < 0.5, person, rng.random((n_units, size))) < p for p in (0.7, 0.8)
        )
        found = paired_share_difference((b.astype(int) - a).ravel(), np.repeat(np.arange(n_units), size))
        covered += found.low <= 0.1 <= found.high
    assert covered / 400 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)


# --- extremes ---


def drawn_accuracies(rng, p_a, p_b, n, agreement=0.5, b=300):
    """Observed ``(2, G)`` accuracies of two models that agree more than by chance, and their bootstrap."""
    both = p_a * p_b + agreement * np.sqrt(p_a * (1 - p_a) * p_b * (1 - p_b))
    law = np.stack([both, p_a - both, p_b - both, 1 - p_a - p_b + both], axis=1)
    counts = np.stack([rng.multinomial(n, q) for q in law])
    again = np.stack([rng.multinomial(n, c / n, size=b) for c in counts], axis=1)
    return tuple(np.stack([c[..., 0] + c[..., 1], c[..., 0] + c[..., 2]], -2) / n for c in (counts, again))


EVEN = np.full(7, 0.75)
LOW = np.where(np.arange(7) == 0, 0.6, 0.75)
OTHER = np.where(np.arange(7) == 1, 0.6, 0.75)


@pytest.mark.parametrize(
    ("p_a", "p_b", "change"),
    [(EVEN, EVEN, 0.0), (LOW, OTHER, 0.0), (LOW, LOW + (LOW < 0.7) * 0.1, -0.1), (EVEN, LOW, 0.15)],
    ids=["no gap", "another worst group", "shrinks", "opens"],
)
def test_coverage_of_a_changed_gap(p_a, p_b, change):
    rng = np.random.default_rng(3)
    covered, alarms, bootstrap = 0, 0, 0
    for _ in range(200):
        values, replicates = drawn_accuracies(rng, p_a, p_b, 400)
        found, p = change_of_extreme(values, replicates)
        covered += found.low <= change <= found.high
        alarms += p < 0.05
        low, high = np.quantile(np.ptp(replicates[:, 1], axis=1) - np.ptp(replicates[:, 0], axis=1), (0.025, 0.975))
        bootstrap += low <= change <= high
    assert covered / 200 >= 0.9
    if change == 0:
        assert alarms / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    else:
        assert alarms / 200 > 0.7
    if p_a is EVEN and p_b is LOW:
        assert bootstrap / 200 < 0.9  # why percentiles were not taken


def test_extremes_by_hand():
    values = np.array([[0.6, 0.8, 0.9], [0.7, 0.6, 0.8]])
    replicates = values + 0.01 * np.random.default_rng(0).standard_normal((500, 2, 3))
    changes = {s: change_of_extreme(values, replicates, s)[0].value for s in ("gap", "worst", "best", "ratio")}
    assert changes == pytest.approx({"gap": -0.1, "worst": 0.0, "best": -0.1, "ratio": 0.75 - 2 / 3})
    narrow, wide = (change_of_extreme(values, replicates, floor=np.full(3, f))[0] for f in (0.0, 0.1))
    assert wide.high - wide.low > 2 * 1.9 * np.sqrt(2) * 0.1 > narrow.high - narrow.low
    nothing, p = change_of_extreme(values, np.repeat(values[None], 9, axis=0))
    assert np.isnan([nothing.low, p]).all()
    assert nothing.note


# --- the comparison ---


def test_values_are_those_of_each_model_and_differences_theirs():
    a, b = pair(np.random.default_rng(0), (0.6, 0.8), (0.7, 0.8), n=200)
    group = compare(a, b, ["gender"], settings=Settings(n_boot=100)).attribute("gender").group("f")
    own = (a.groups["gender"] == "f").to_numpy()
    labels, told = a.labels[own], (a.predicted[own], b.predicted[own])
    by_hand = {
        "accuracy": [(labels == t).mean() for t in told],
        "balanced_accuracy": [balanced_accuracy_score(labels, t) for t in told],
        "macro_f1": [f1_score(labels, t, average="macro") for t in told],
        "weighted_f1": [f1_score(labels, t, average="weighted") for t in told],
    }
    for metric, (of_a, of_b) in by_hand.items():
        change = group.metrics[metric]
        assert (change.a.value, change.b.value) == pytest.approx((of_a, of_b))
        assert change.difference.value == pytest.approx(of_b - of_a)
        assert change.difference.low < of_b - of_a < change.difference.high
    recall = group.recall["c1"]
    assert recall.difference.value == pytest.approx(
        (told[1][labels == 1] == 1).mean() - (told[0][labels == 1] == 1).mean()
    )
    right = [labels == t for t in told]
    assert (group.only_a, group.only_b) == ((right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum())


def test_a_rare_class_that_all_agree_on_widens_balanced_accuracy():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [90, 90, 4])
    group = np.tile(["f", "m"], 92)
    a, b = (predictions(labels, np.where(labels == 2, 2, noisy(rng, labels, 0.8, 3)), {"g": group}) for _ in range(2))
    found = compare(a, b, ["g"], settings=Settings(n_boot=300)).overall
    metrics, rare = found.metrics, found.recall["c2"].difference
    assert rare.value == 0
    width = metrics["balanced_accuracy"].difference.high - metrics["balanced_accuracy"].difference.low
    assert width > (rare.high - rare.low) / 3
    assert width > 1.3 * (metrics["accuracy"].difference.high - metrics["accuracy"].difference.low)


def test_paired_intervals_are_narrower_than_the_models_apart():
    rng = np.random.default_rng(0)
    a, _ = pair(rng, (0.7, 0.7), (0.7, 0.7))
    b = replace(a, predicted=np.where(rng.random(len(a)) < 0.05, rng.integers(0, 3, len(a)), a.predicted))
    change = compare(a, b, ["gender"], settings=Settings(n_boot=200)).overall.metrics
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        width = change[metric].difference.high - change[metric].difference.low
        assert width < 0.6 * (change[metric].a.high - change[metric].a.low)


def test_a_gap_is_the_difference_of_its_ends():
    a, b = pair(np.random.default_rng(1), (0.6, 0.8), (0.7, 0.75))
    for gap in compare(a, b, ["gender"], settings=Settings(n_boot=100)).attributes[0].gaps:
        assert gap.gap.difference.value == pytest.approx(gap.gap.b.value - gap.gap.a.value)
        assert gap.gap.a.value == pytest.approx(gap.best.a.value - gap.worst.a.value)
        assert gap.gap.difference.value == pytest.approx(gap.best.difference.value - gap.worst.difference.value)


@pytest.mark.parametrize(
    ("recalls_a", "recalls_b", "verdict", "cause", "words"),
    [
        ((0.6, 0.9), (0.6, 0.65), SHRANK, BEST_LOST, "because m lost"),
        ((0.6, 0.9), (0.85, 0.9), SHRANK, WORST_GAINED, "because f gained"),
        ((0.6, 0.9), (0.72, 0.78), SHRANK, BOTH_ENDS, " and f gained"),
        ((0.6, 0.65), (0.6, 0.9), GREW, BEST_GAINED, "because m gained"),
        ((0.85, 0.9), (0.6, 0.9), GREW, WORST_LOST, "because f lost"),
        ((0.7, 0.8), (0.7, 0.8), NO_CHANGE, "", "may be chance"),
    ],
)
def test_what_moved_a_gap_is_said(recalls_a, recalls_b, verdict, cause, words):
    a, b = pair(np.random.default_rng(4), recalls_a, recalls_b, n=1500)
    found = compare(a, b, ["gender"], settings=Settings(n_boot=300))
    gap = found.attribute("gender").gap("accuracy")
    assert (gap.verdict, gap.cause) == (verdict, cause)
    assert words in gap.sentence
    assert gap.sentence in found.verdict
    if cause == BEST_LOST:
        assert "not because f gained" in gap.sentence or "mostly because" in gap.sentence


def test_groups_that_lose_are_named():
    a, b = pair(np.random.default_rng(0), (0.7, 0.7), (0.8, 0.6))
    found = compare(a, b, ["gender"], names=("old", "new"), settings=Settings(n_boot=100))
    assert {g.name: g.verdict for g in found.attributes[0].groups} == {"f": GAINED, "m": LOST}
    assert "Groups that lost accuracy with new: gender = m (-0.1" in found.verdict


def test_equal_models_show_nothing():
    a, _ = pair(np.random.default_rng(0), (0.7, 0.8), (0.7, 0.8), n=100)
    found = compare(a, a, ["gender"], settings=Settings(n_boot=50))
    assert found.overall.p == 1.0
    assert found.overall.metrics["accuracy"].difference.value == 0
    assert {gap.verdict for gap in found.attributes[0].gaps} == {NO_CHANGE}
    assert found.attributes[0].gap("accuracy").gap.difference.high > 0.005  # agreement on 200 faces is not certainty


def test_rows_in_another_order_and_classes_in_another_order_change_nothing():
    rng = np.random.default_rng(0)
    a, b = (
        replace(run, probs=rng.dirichlet(np.ones(3), 300))
        for run in pair(rng, (0.6, 0.8), (0.7, 0.8), n=150, cluster=np.arange(300) // 2)
    )
    found = compare(a, b, ["gender"], settings=Settings(n_boot=60))
    place = np.array([2, 0, 1])  # c0 now stands third
    moved = replace(
        b,
        classes=("c1", "c2", "c0"),
        labels=place[b.labels],
        predicted=place[b.predicted],
        soft_targets=b.soft_targets[:, [1, 2, 0]],
        probs=b.probs[:, [1, 2, 0]],
    ).select(rng.permutation(300))
    again = compare(a.select(rng.permutation(300)), moved, ["gender"], settings=Settings(n_boot=60))
    for one, two in zip(found.attributes[0].gaps, again.attributes[0].gaps, strict=True):
        ends = [[g.gap.difference.low, g.gap.difference.high, g.p] for g in (one, two)]
        assert ends[0] == pytest.approx(ends[1])
    for metric in ("macro_f1", "kl", "top2"):
        one, two = (c.overall.metrics[metric].difference for c in (found, again))
        assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high), rel=1e-5)
    assert again.overall.p == pytest.approx(found.overall.p)


def test_faces_of_one_table_only_are_left_out_and_counted():
    a, b = pair(np.random.default_rng(0), (0.6, 0.8), (0.7, 0.8), n=100)
    shared = shared_faces([a.select(np.arange(150)), b.select(np.arange(20, 200))], ["A", "B"])
    assert shared.n_left_out == [20, 50]
    assert [len(run) for run in shared.runs] == [130, 130]
    assert (shared.runs[0].sample_id == shared.runs[1].sample_id).all()


def test_groups_and_clusters_of_either_table_serve_both():
    a, b = pair(np.random.default_rng(0), (0.6, 0.8), (0.7, 0.8), n=100)
    bare = replace(a, groups=a.groups[[]])
    clustered = replace(b, cluster=np.arange(200) // 4)
    found = compare(bare, clustered, ["gender"], settings=Settings(n_boot=50))
    assert found.attribute("gender").group("f").n == 100
    assert (found.n, found.n_clusters) == (200, 50)
    other = replace(b, groups=b.groups.assign(gender=np.where(np.arange(200) < 3, "x", b.groups["gender"])))
    assert any(
        "3 faces have another gender in B" in note
        for note in compare(a, other, ["gender"], settings=Settings(n_boot=9)).method_notes
    )


def test_without_attributes_all_faces_are_compared():
    a, b = pair(np.random.default_rng(0), (0.6, 0.6), (0.9, 0.9), n=200)
    found, grouped = (
        compare(a, b, settings=Settings(n_boot=100)),
        compare(a, b, ["gender"], settings=Settings(n_boot=100)),
    )
    assert found.attributes == []
    assert found.overall.metrics["accuracy"] == grouped.overall.metrics["accuracy"]
    assert found.overall.p == grouped.overall.p
    said = next(note for note in found.method_notes if note.startswith("No groups were compared"))
    assert "attributes that could serve: gender" in said
    assert "B is better" in found.verdict


def test_what_cannot_be_compared_is_refused():
    a, b = pair(np.random.default_rng(0), (0.6, 0.8), (0.7, 0.8), n=100)
    relabelled = replace(b, labels=np.where(np.arange(200) == 7, (b.labels + 1) % 3, b.labels))
    with pytest.raises(DataError, match=r"face '7'.*\(1 such faces of 200\)"):
        compare(a, relabelled, ["gender"])
    with pytest.raises(DataError, match="c0, c1, other"):
        compare(a, replace(b, classes=("c0", "c1", "other")), ["gender"])
    with pytest.raises(DataError, match="share 29 faces"):
        compare(a, b.select(np.arange(29)), ["gender"])
    with pytest.raises(DataError, match="twice"):
        compare(a, b.select(np.r_[0, np.arange(199)]), ["gender"])
    with pytest.raises(UsageError, match="names"):
        compare(a, b, ["gender"], names=("same", "same"))
    with pytest.raises(UsageError, match="two or more"):
        compare_many([a], ["A"], ["gender"])


def test_too_few_faces_are_shown_and_judged_nowhere():
    rng = np.random.default_rng(0)
    labels = np.r_[rng.integers(0, 2, 300), 2]
    group = np.repeat(["f", "m", "x"], (140, 140, 21))
    tables = [predictions(labels, noisy(rng, labels, r, 3), {"g": group}, n_classes=3) for r in (0.5, 0.9)]
    found = compare(*tables, ["g"], settings=Settings(n_boot=100)).attributes[0]
    few = found.group("x")
    assert few.verdict == TOO_FEW
    assert few.p < 0.05
    assert np.isnan(few.p_adjusted)
    assert found.gap("accuracy").n_groups == 2
    assert found.gap("recall", "c2").verdict == TOO_FEW
    assert np.isnan(found.group("f").recall["c2"].difference.value)
    assert found.group("f").note == "nobody annotated with c2: macro values leave these out"
    assert found.fairness.a.note == "without c2: too rare in some group"


def test_fairness_is_the_metric():
    a, b = pair(np.random.default_rng(1), (0.6, 0.8), (0.75, 0.8))
    found = compare(a, b, ["gender"], settings=Settings(n_boot=200)).attributes[0].fairness
    for run, estimate in ((a, found.a), (b, found.b)):
        own = [run.select((run.groups["gender"] == g).to_numpy()).confusion() for g in ("f", "m")]
        assert estimate.value == pytest.approx(equal_odds_fairness(np.stack(own)))
        assert estimate.low < estimate.value < estimate.high
    assert found.difference.low < 0.93 - 0.75 < found.difference.high


def test_scores_of_probabilities_are_paired():
    rng = np.random.default_rng(0)
    a, b = pair(rng, (0.6, 0.8), (0.7, 0.8), n=100)
    probs = [rng.dirichlet(np.ones(3), 200) for _ in range(2)]
    votes = rng.integers(1, 5, (200, 3)).astype(float)
    a, b = replace(a, probs=probs[0]), replace(b, probs=probs[1], votes=votes)
    group = compare(a, b, ["gender"], settings=Settings(n_boot=20)).attributes[0].group("f")
    own = np.arange(200) % 2 == 0
    kl = [kl_rows(p, a.targets, votes)[own].mean() for p in probs]
    hits = [top_k_hits(p, a.labels)[own].mean() for p in probs]
    for name, (of_a, of_b) in {"kl": kl, "top2": hits}.items():
        change = group.metrics[name]
        found = (change.a.value, change.b.value, change.difference.value)
        assert found == pytest.approx((of_a, of_b, of_b - of_a), abs=1e-6)
        assert change.difference.low < of_b - of_a < change.difference.high
    assert "kl" not in compare(a, replace(b, probs=None), ["gender"], settings=Settings(n_boot=20)).overall.metrics


def test_many_models_share_their_faces_and_their_adjustment():
    rng = np.random.default_rng(0)
    a, b = pair(rng, (0.7, 0.7), (0.75, 0.7), n=300)
    c = replace(a, predicted=noisy(rng, a.labels, 0.7, 3)).select(np.arange(500))
    first, second = compare_many([a, b, c], ["A", "B", "C"], ["gender"], settings=Settings(n_boot=50))
    assert (first.n, second.n) == (500, 500)
    assert (first.names, second.names) == (["A", "B"], ["A", "C"])
    assert (first.n_left_out, second.n_left_out) == ([100, 100], [100, 0])
    p = sorted(g.p for x in (first, second) for g in (x.overall, *x.attributes[0].groups))
    lowest = min(g.p_adjusted for x in (first, second) for g in (x.overall, *x.attributes[0].groups))
    assert lowest == pytest.approx(min(q * 6 / (i + 1) for i, q in enumerate(p)))


def test_faces_that_a_model_did_not_find_are_mentioned():
    a, b = pair(np.random.default_rng(0), (0.7, 0.7), (0.7, 0.7), n=100)
    missed = pd.DataFrame({"sample_id": b.sample_id[:5], "label": "c0", "gender": "f"})
    found = compare(
        a, replace(b.select(np.arange(5, 200)), undetected=missed), ["gender"], settings=Settings(n_boot=20)
    )
    assert any("B did not find 5 faces" in note for note in found.method_notes)


def test_a_comparison_goes_to_json_and_back():
    a, b = pair(np.random.default_rng(0), (0.7, 0.7), (0.7, 0.7), n=40)
    found = compare(a, b, ["gender"], settings=Settings(n_boot=20))
    again = from_plain(Comparison, json.loads(json.dumps(plain(asdict(found)))))
    assert repr(again) == repr(found)
