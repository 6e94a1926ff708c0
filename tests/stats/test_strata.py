import numpy as np
import pytest

from mien.stats.cells import bootstrap_counts
from mien.stats.intervals import student_share, wilson
from mien.stats.settings import Settings
from mien.stats.shares import share_of_rows
from mien.stats.strata import Inference, Strata, adjusted_gap, share_gap, units_of_groups
from mien.stats.stratify import N_FOLDS, common_support, large_groups, prognostic_score, quantile_bins, units_per_cell


def inference(seed=0, n_boot=400):
    return Inference(Settings(n_boot=n_boot, seed=seed), np.random.default_rng(seed))


def faces(counts, hits):
    """Faces from ``(G, S)`` tables of faces and of hits."""
    group, stratum, hit = [], [], []
    for g, row in enumerate(counts):
        for s, n in enumerate(row):
            group += [g] * n
            stratum += [s] * n
            hit += [i < hits[g][s] for i in range(n)]
    return np.array(group), np.array(stratum), np.array(hit)


MIX = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
HIT = np.array([[0.9, 0.8, 0.7, 0.5], [0.85, 0.75, 0.65, 0.45], [0.9, 0.8, 0.7, 0.5]])


def draw(rng, n, clustered):
    """Three groups of known mixes and hits, faces alone or in units of one to three alike."""
    size = rng.integers(1, 4, n) if clustered else np.ones(n, dtype=int)
    unit = np.repeat(np.arange(n), size)
    group = rng.integers(0, 3, n)[unit]
    luck = np.where(rng.random(len(unit)) < 0.6 * clustered, rng.random(n)[unit], rng.random(len(unit)))
    stratum = (MIX[group].cumsum(1) > rng.random((len(unit), 1))).argmax(1)
    return Strata(group, luck < HIT[group, stratum], [stratum], unit if clustered else None, list("abc"))


def test_by_hand():
    counts, hits = [[40, 20], [10, 50]], [[36, 12], [8, 25]]
    group, stratum, hit = faces(counts, hits)
    gap = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "two strata", inference())
    weight = np.array([50, 70]) / 120
    x, y = weight @ [36 / 40, 12 / 20], weight @ [8 / 10, 25 / 50]
    assert [g.adjusted.value for g in gap.groups] == pytest.approx([x, y])
    assert [g.raw.value for g in gap.groups] == pytest.approx([48 / 60, 33 / 60])
    assert (gap.raw.value, gap.adjusted.value) == pytest.approx((15 / 60, x - y))
    assert (gap.worst, gap.best, gap.adjusted_worst, gap.adjusted_best) == ("y", "x", "y", "x")
    assert (gap.n, gap.n_strata, gap.left_out) == (120, 2, 0)
    # Two groups of equal size: Kitagawa's (1955) two components, with the mean mix and mean rates.
    mix, rate = np.array(counts) / 60, np.array(hits) / np.array(counts)
    assert gap.parts["mix"].value == pytest.approx(((mix[0] - mix[1]) * rate.mean(0)).sum())
    assert gap.remaining.value == pytest.approx((mix.mean(0) * (rate[0] - rate[1])).sum())
    assert gap.shares["mix"].value == pytest.approx(gap.parts["mix"].value / gap.compared.value)


def test_expected_hits_correct_within_strata():
    """Within each stratum the groups differ in a number that hits depend on; the correction takes it out."""
    rng = np.random.default_rng(0)
    n = 20_000
    group = rng.integers(0, 2, n)
    x = rng.normal(size=n) + group
    hit = rng.random(n) < np.clip(0.6 + 0.1 * x, 0, 1)
    half = (x > 0.5).astype(int)
    coarse = adjusted_gap(Strata(group, hit, [half], None, ["x", "y"]), ["x"], "", inference())
    fine = adjusted_gap(Strata(group, hit, [half], None, ["x", "y"], 0.1 * x - 3), ["x"], "", inference())
    assert coarse.raw.value > 0.08
    assert coarse.remaining.value > 0.03
    assert abs(fine.remaining.value) < 0.015
    overall = sum(g.n * g.raw.value for g in fine.groups) / n
    assert np.mean([g.adjusted.value for g in fine.groups]) == pytest.approx(overall, abs=0.01)


def test_layers_split_the_explained_part():
    rng = np.random.default_rng(1)
    strata = draw(rng, 3000, clustered=False)
    coarse = strata.layers[0] // 2
    nested = Strata(strata.group, strata.hit, [coarse, strata.layers[0]], None, strata.names)
    two, one = (adjusted_gap(s, p, "", inference()) for s, p in ((nested, ["c", "f"]), (strata, ["f"])))
    assert two.parts["c"].value + two.parts["f"].value == pytest.approx(one.parts["f"].value)
    assert sum(p.value for p in two.parts.values()) + two.remaining.value == pytest.approx(two.compared.value)
    only = adjusted_gap(Strata(strata.group, strata.hit, [coarse], None, strata.names), ["c"], "", inference())
    assert two.parts["c"].value == pytest.approx(only.parts["c"].value)


@pytest.mark.parametrize("clustered", [False, True])
def test_errors_against_the_bootstrap(clustered):
    strata = draw(np.random.default_rng(2), 1500, clustered)
    cells = (strata.group * 4 + strata.layers[0]) * 2 + strata.hit
    boot = np.concatenate(list(bootstrap_counts(cells, strata.cluster, 24, 3000, np.random.default_rng(0))))
    counts = boot.reshape(-1, 3, 4, 2)
    n = counts.sum(-1)
    adjusted = (counts[..., 1] / n * (n.sum(1) / n.sum((1, 2))[:, None])[:, None]).sum(-1)
    gap = adjusted_gap(strata, ["mix"], "", inference())
    raw = counts[..., 1].sum(-1) / n.sum(-1)
    names = list("abc")
    difference = adjusted[:, names.index(gap.best)] - adjusted[:, names.index(gap.worst)]
    part = raw[:, names.index(gap.best)] - raw[:, names.index(gap.worst)] - difference
    for estimate, drawn in ((gap.remaining, difference), (gap.parts["mix"], part)):
        assert (estimate.high - estimate.low) / (2 * 1.959964) == pytest.approx(drawn.std(), rel=0.06)
    assert gap.remaining.clusters == len(np.unique(strata.cluster)) if clustered else len(cells)


@pytest.mark.parametrize("clustered", [False, True])
def test_coverage(clustered):
    raw, adjusted = (MIX * HIT).sum(1), HIT @ MIX.mean(0)
    covered, n_sims = dict.fromkeys(["raw", "adjusted", "part", "remaining", "share"], 0), 300
    rng = np.random.default_rng(3)
    for seed in range(n_sims):
        gap = adjusted_gap(draw(rng, 900, clustered), ["mix"], "", inference(seed, 200))
        best, worst = "abc".index(gap.best), "abc".index(gap.worst)
        remaining = adjusted[best] - adjusted[worst]
        truth = {"raw": np.ptp(raw), "adjusted": np.ptp(adjusted), "remaining": remaining}
        truth["part"] = raw[best] - raw[worst] - remaining
        truth["share"] = truth["part"] / (raw[best] - raw[worst])
        found = {"raw": gap.raw, "adjusted": gap.adjusted, "remaining": gap.remaining}
        found |= {"part": gap.parts["mix"], "share": gap.shares["mix"]}
        for name, estimate in found.items():
            covered[name] += np.isnan(estimate.value) or estimate.low <= truth[name] <= estimate.high
    least = 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sims)
    assert min(covered.values()) / n_sims >= least, covered
    for name in ("part", "remaining"):
        assert covered[name] / n_sims < 0.995


def test_only_shared_strata_are_compared():
    group, stratum, hit = faces([[30, 30, 40], [30, 40, 9]], [[20, 20, 40], [20, 20, 0]])
    gap = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "", inference())
    assert (gap.n_strata, [g.n_compared for g in gap.groups]) == (2, [60, 70])
    assert gap.left_out == pytest.approx(49 / 179)
    assert gap.compared.value == pytest.approx(40 / 60 - 40 / 70)
    assert gap.raw.value == pytest.approx(80 / 100 - 40 / 79)
    less = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "", inference(), least=0.8)
    assert (less.n_strata, less.raw.value) == (0, gap.raw.value)
    # Of dependent faces the units count: ten faces of two persons are not ten.
    unit = np.arange(len(group))
    third = np.flatnonzero((group == 0) & (stratum == 1))
    unit[third] = third[0] + np.arange(len(third)) % 2
    assert common_support(group, stratum, 2, unit).tolist() == [True, False, False]
    assert units_per_cell(group, stratum, 2, 3, unit).tolist() == [[30, 2, 40], [30, 40, 9]]


def test_nothing_in_common():
    group, stratum, hit = faces([[30, 0], [0, 30]], [[20, 0], [0, 10]])
    gap = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "", inference(), note="first")
    assert gap.raw.value == pytest.approx(1 / 3)
    assert np.isnan([gap.adjusted.value, gap.remaining.value, gap.groups[0].adjusted.value]).all()
    assert (gap.worst, gap.parts, gap.left_out) == ("", {}, 1.0)
    assert gap.note == "first; too few faces lie in strata that every group shares"


def test_no_share_of_a_gap_that_is_not_clear():
    group, stratum, hit = faces([[50, 50], [50, 50]], [[40, 30], [40, 29]])
    gap = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "", inference())
    assert gap.compared.low == 0
    assert gap.shares["mix"].note == "the gap is not clearly away from 0"
    assert gap.parts["mix"].value == pytest.approx(0, abs=1e-12)


def test_groups_that_are_always_right_still_have_intervals():
    group, stratum, hit = faces([[20, 20], [20, 20]], [[20, 20], [20, 20]])
    gap = adjusted_gap(Strata(group, hit, [stratum], None, ["x", "y"]), ["mix"], "", inference())
    assert gap.groups[0].adjusted.low == pytest.approx(wilson(40, 40)[0])
    assert (gap.adjusted.value, gap.adjusted.low) == (0, 0)
    assert 0.02 < gap.adjusted.high < 0.3


def test_rows_and_units_may_come_in_any_order():
    rng = np.random.default_rng(4)
    strata = draw(rng, 600, clustered=True)
    order = rng.permutation(len(strata.group))
    names = rng.permutation(600)
    shuffled = Strata(
        strata.group[order], strata.hit[order], [strata.layers[0][order]], names[strata.cluster][order], strata.names
    )
    a, b = (adjusted_gap(s, ["mix"], "", inference()) for s in (strata, shuffled))
    for one, two in ((a.adjusted, b.adjusted), (a.shares["mix"], b.shares["mix"]), (a.remaining, b.remaining)):
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=1e-9)


def test_shares_of_rows():
    hits = np.arange(50) < 30
    alone = share_of_rows(hits, None)
    assert (alone.low, alone.high, alone.method) == (*wilson(30, 50), "wilson")
    twice = share_of_rows(np.repeat(hits, 2), np.repeat(np.arange(50) * 7, 2))
    # What two faces each of fifty persons tell, less what is not known of their variance (Korn and Graubard 1998).
    worth = float(student_share(50, 1.959964))
    assert (twice.low, twice.high) == pytest.approx(wilson(30 * worth, 50 * worth), abs=0.003)
    assert (twice.n, twice.clusters) == (100, 50)
    edge = share_of_rows(np.ones(100, bool), np.repeat(np.arange(50), 2))
    assert (edge.low, edge.high) == pytest.approx(wilson(50 * worth, 50 * worth))


def test_shares_of_few_units_hold_their_level():
    # Five persons of twenty faces each, who differ: 95 in 100 intervals must hold the truth.
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        rates = rng.beta(0.7 * (1 / 0.3 - 1), 0.3 * (1 / 0.3 - 1), 5)
        found = share_of_rows(rng.random(100) < np.repeat(rates, 20), np.repeat(np.arange(5), 20))
        held += found.low <= 0.7 <= found.high
    assert held / 400 > 0.91  # without Student's factor it is 0.88
    assert share_of_rows(np.zeros(0, bool), None).note == "no faces"


def test_share_gaps():
    group, _, hit = faces([[50], [50], [50]], [[40], [30], [35]])
    shares, gap = share_gap(group, hit, None, 3, inference())
    assert [e.value for e in shares] == [0.8, 0.6, 0.7]
    assert gap.value == pytest.approx(0.2)
    assert gap.low < 0.05 < 0.35 < gap.high


def test_bins():
    codes, edges = quantile_bins(np.arange(100.0), 4)
    assert np.bincount(codes).tolist() == [25, 25, 25, 25]
    assert edges.tolist() == [24, 49, 74]
    codes, edges = quantile_bins(np.array([0, 0, 0, 0, 0, 1, 2.0]), 3)
    assert codes.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert quantile_bins(np.ones(5), 3)[0].tolist() == [0] * 5
    mask, codes, names = large_groups(np.array([0, 1, 2, 2, 0]), ("a", "b", "c"), 2)
    assert (mask.tolist(), codes.tolist(), names) == ([True, False, True, True, True], [0, 1, 1, 0], ("a", "c"))


def test_the_score_knows_nothing_of_groups_and_of_its_own_fold():
    rng = np.random.default_rng(5)
    n = 6000
    group, label, fold = rng.integers(0, 3, n), rng.integers(0, 4, n), rng.integers(0, N_FOLDS, n)
    x = np.column_stack([rng.normal(size=n) + group, rng.normal(size=n)])
    chance = np.clip(0.6 - 0.15 * group + 0.1 * x[:, 0] - 0.08 * x[:, 1] ** 2 + 0.05 * label, 0, 1)
    hit = rng.random(n) < chance
    score = prognostic_score(x, label, group, hit, fold, False)
    without = np.clip(0.6 + 0.1 * x[:, 0] - 0.08 * x[:, 1] ** 2, 0, 1)
    assert np.corrcoef(score, without)[0, 1] > 0.95
    assert np.polyfit(without, score, 1)[0] == pytest.approx(1, abs=0.15)
    assert score.mean() == pytest.approx(0, abs=1e-3)
    with_class = prognostic_score(x, label, group, hit, fold, True)
    by_class = np.array([(with_class - score)[label == k].mean() for k in range(4)])
    assert np.diff(by_class) == pytest.approx(0.05, abs=0.04)
    changed = np.where(fold == 2, ~hit, hit)
    np.testing.assert_array_equal(prognostic_score(x, label, group, changed, fold, False)[fold == 2], score[fold == 2])


def test_units_are_counted_in_each_group():
    """Ten persons of ten faces beside 200 single ones are ten units, not a hundred."""
    group = np.repeat([0, 1], [100, 200])
    cluster = np.concatenate([np.repeat(np.arange(10), 10), 10 + np.arange(200)])
    assert units_of_groups(group, cluster, 3).tolist() == [10, 200, 0]
    assert units_of_groups(group, None, 2).tolist() == [100, 200]
    hit = np.concatenate([np.ones(100, bool), np.arange(200) < 170])
    strata = Strata(group, hit, [np.zeros(300, dtype=np.int64)], cluster, ("a", "b"))
    found = adjusted_gap(strata, ["mix"], "", inference())
    assert found.groups[0].adjusted.clusters == 10
    assert found.groups[0].adjusted.low < 0.8  # ten of ten
    assert found.compared.low < 0.03
