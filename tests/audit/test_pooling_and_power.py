import numpy as np
import pytest
from audit_simulation import two_groups

from mien.audit import audit
from mien.audit.intervals import wilson_estimate
from mien.audit.pooling import pooled_estimates
from mien.audit.power import detectable_gaps


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


@pytest.mark.parametrize("sizes", [(200, 200), (400, 60), (150, 150, 150, 150)])
def test_a_detectable_gap_is_detected_four_times_in_five(sizes):
    rng = np.random.default_rng(2)
    sizes = np.array(sizes)
    null = rng.binomial(sizes, 0.7, size=(4000, len(sizes))) / sizes
    critical = np.quantile(np.ptp(null, 1), 0.95)
    for g, gap in enumerate(detectable_gaps(null)):
        truth = np.full(len(sizes), 0.7)
        truth[g] -= gap
        shown = np.ptp(rng.binomial(sizes, truth, size=(4000, len(sizes))) / sizes, 1) > critical
        assert shown.mean() == pytest.approx(0.8, abs=0.04)


def test_groups_that_take_no_part_have_no_detectable_gap():
    null = np.random.default_rng(0).normal(size=(50, 3))
    null[:, 1] = np.nan
    found = detectable_gaps(null)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(detectable_gaps(null[:, :2])).all()
    worse_if_more = detectable_gaps(-null, lower_is_worse=False)
    np.testing.assert_allclose(worse_if_more, found)


def test_the_audit_says_what_it_could_have_shown():
    small, large = (
        audit(two_groups(np.random.default_rng(4), n=n), "gender", n_boot=50, n_perm=400) for n in (200, 5000)
    )
    gaps = [a.attribute("gender").gap("accuracy") for a in (small, large)]
    assert gaps[0].detectable > 3 * gaps[1].detectable > 0
    assert f"gap below {100 * gaps[1].detectable_high:.1f} points could have stayed hidden" in large.verdict
