import numpy as np
import pytest
from audit_simulation import noisy, predictions, two_groups

from mien.audit import DISPARITY, audit
from mien.stats.intervals import wilson_estimate
from mien.stats.pooling import pooled_estimates
from mien.stats.settings import Settings


def test_pooled_intervals_cover_and_are_shorter_than_each_alone():
    rng = np.random.default_rng(0)
    n = np.array([8, 12, 20, 30, 60, 200])
    covered, width, alone, error, raw_error = [], [], [], [], []
    for _ in range(150):
        truth = rng.beta(14, 6, len(n))
        hits = rng.binomial(n, truth)
        single = [wilson_estimate(float(k), int(m)) for k, m in zip(hits, n, strict=True)]
        pooled = pooled_estimates(single, n.tolist(), rng)
        covered.append([e.low <= t <= e.high for e, t in zip(pooled, truth, strict=True)])
        width.append([e.high - e.low for e in pooled])
        alone.append([e.high - e.low for e in single])
        error.append([(e.value - t) ** 2 for e, t in zip(pooled, truth, strict=True)])
        raw_error.append([(e.value - t) ** 2 for e, t in zip(single, truth, strict=True)])
    assert 0.92 < np.mean(covered) < 0.98
    assert np.mean(np.array(width)[:, 0]) < 0.8 * np.mean(np.array(alone)[:, 0])
    assert np.mean(error) < 0.7 * np.mean(raw_error)


def test_alike_groups_are_pooled_and_unlike_ones_are_not():
    rng = np.random.default_rng(1)
    alike = [wilson_estimate(k, 40) for k in (26, 30, 28, 27, 29)]
    found = pooled_estimates(alike, [40] * 5, rng)
    assert np.ptp([e.value for e in found]) < 0.5 * np.ptp([e.value for e in alike])
    apart = [wilson_estimate(k, 400) for k in (40, 360, 200, 120, 300)]
    found = pooled_estimates(apart, [400] * 5, rng)
    np.testing.assert_allclose([e.value for e in found], [e.value for e in apart], atol=0.01)
    nobody = pooled_estimates([*alike, wilson_estimate(0, 0)], [40] * 5 + [0], rng)[-1]
    assert nobody.low < 0.7 < nobody.high
    assert pooled_estimates(alike[:2], [40, 40], rng) == [None, None]


def unequal(rng, sizes, recalls):
    group = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, 3, len(group))
    return predictions(labels, noisy(rng, labels, np.asarray(recalls)[group], 3), {"g": group.astype(str)}, n_classes=3)


@pytest.mark.parametrize(("sizes", "share"), [((150, 150), 0.7), ((400, 80), 0.9)])
def test_the_verdict_names_a_detectable_gap_four_times_in_five(sizes, share):
    """All adjustments included, with the group served worse that is said to be hardest."""

    rng, said = np.random.default_rng(2), []
    for seed in range(6):
        found = audit(
            unequal(rng, sizes, [share] * 2), "g", settings=Settings(n_boot=5, n_perm=600, seed=seed)
        ).attribute("g")
        said.append([g.detectable for g in found.groups])
    group = int(np.argmax(np.mean(said, 0)))
    recalls = np.full(2, share)
    recalls[group] -= np.mean(said, 0)[group]
    named = [
        audit(unequal(rng, sizes, recalls), "g", settings=Settings(n_boot=5, n_perm=400, seed=i), power=False)
        .attribute("g")
        .gap("accuracy")
        .verdict
        for i in range(200)
    ]
    assert np.mean(np.array(named) == DISPARITY) == pytest.approx(0.8, abs=0.09)


def test_groups_that_take_no_part_have_no_detectable_gap():
    rng = np.random.default_rng(0)
    found = audit(unequal(rng, (200, 10, 200), [0.7] * 3), "g", settings=Settings(n_boot=20, n_perm=100)).attribute("g")
    assert np.isnan([g.detectable for g in found.groups]).tolist() == [False, True, False]
    gap = found.gap("accuracy")
    assert gap.detectable == min(found.groups[i].detectable for i in (0, 2))
    assert gap.detectable_high == max(found.groups[i].detectable for i in (0, 2))
    assert all(np.isnan(g.detectable) for g in found.gaps if g.family != "headline")


def test_many_groups_are_interpolated_by_size():
    rng = np.random.default_rng(0)
    sizes = np.linspace(60, 400, 24).astype(int)
    found = audit(unequal(rng, sizes, [0.7] * 24), "g", settings=Settings(n_boot=10, n_perm=200)).attribute("g")
    detectable = np.array([g.detectable for g in found.groups])
    order = np.argsort([g.n for g in found.groups])
    assert not np.isnan(detectable).any()
    assert (np.diff(detectable[order]) < 0.03).all()
    assert detectable[order][0] > 1.1 * detectable[order][-1]


def test_the_audit_says_what_it_could_have_shown():
    small, large = (
        audit(two_groups(np.random.default_rng(4), n=n), "gender", settings=Settings(n_boot=50, n_perm=400))
        for n in (200, 5000)
    )
    gaps = [a.attribute("gender").gap("accuracy") for a in (small, large)]
    assert gaps[0].detectable > 3 * gaps[1].detectable > 0
    assert f"gap below {100 * gaps[1].detectable_high:.1f} points could have stayed hidden" in large.verdict
