import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien import metrics as m

faces = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=25)


def test_by_hand():
    confidence, hit = [0.9, 0.8, 0.7, 0.6], [True, False, True, False]
    coverage, risk = m.risk_coverage(confidence, hit)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 1 / 2])
    assert m.area_under_risk_coverage(confidence, hit) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert m.risk_at_coverage(confidence, hit, 0.75) == pytest.approx(1 / 3)
    assert m.risk_at_coverage(confidence, hit, 0.51) == pytest.approx(1 / 3)
    assert m.risk_at_coverage(confidence, hit, 0.01) == 0
    assert m.coverage_and_risk(confidence, hit, 0.8) == (0.5, 0.5)
    coverage, risk = m.coverage_and_risk(confidence, hit, 0.95)
    assert coverage == 0
    assert np.isnan(risk)


def test_without_ties_the_area_is_the_mean_of_the_running_error():
    rng = np.random.default_rng(0)
    confidence, hit = rng.random(500), rng.random(500) < 0.7
    running = np.cumsum(~hit[np.argsort(-confidence)]) / np.arange(1, 501)
    assert m.area_under_risk_coverage(confidence, hit) == pytest.approx(running.mean())
    for asked in (0.1, 0.8, 1.0):
        assert m.risk_at_coverage(confidence, hit, asked) == pytest.approx(running[round(asked * 500) - 1])


@settings(max_examples=80, deadline=None)
@given(faces, st.randoms(use_true_random=False))
def test_ties_are_blocks_and_order_does_not_matter(rows, random):
    confidence, hit = (np.array(x) for x in zip(*rows, strict=True))
    shuffled = list(rows)
    random.shuffle(shuffled)
    again = tuple(np.array(x) for x in zip(*shuffled, strict=True))
    coverage, risk = m.risk_coverage(confidence, hit)
    assert len(coverage) == len(np.unique(confidence))
    for point, threshold in enumerate(np.unique(confidence)[::-1]):
        accepted = confidence >= threshold
        assert (coverage[point], risk[point]) == pytest.approx((accepted.mean(), 1 - hit[accepted].mean()))
        assert m.coverage_and_risk(*again, threshold) == pytest.approx((coverage[point], risk[point]))
    np.testing.assert_array_equal(m.risk_coverage(*again), (coverage, risk))
    assert m.area_under_risk_coverage(*again) == m.area_under_risk_coverage(confidence, hit)
    at = m.risk_at_coverage(confidence, hit, 0.5)
    assert at == pytest.approx(risk[np.flatnonzero(coverage >= 0.5)[0]])


def test_confidence_that_knows_nothing_and_that_knows_all():
    rng = np.random.default_rng(1)
    hit = rng.random(4000) < 0.8
    assert m.area_under_risk_coverage(np.ones(4000), hit) == pytest.approx(1 - hit.mean())
    assert m.area_under_risk_coverage(rng.random(4000), hit) == pytest.approx(0.2, abs=0.02)
    # all errors come last: the integral of max(0, c - 0.8) / c over the coverage c
    assert m.area_under_risk_coverage(hit, hit) == pytest.approx((1 - hit.mean()) ** 2)
    assert m.area_under_risk_coverage(hit + rng.random(4000), hit) == pytest.approx(0.2 + 0.8 * np.log(0.8), abs=0.01)


def test_rounding_does_not_ask_for_one_face_more():
    confidence, hit = np.arange(10, 0, -1), np.array([True] * 7 + [False] * 3)
    assert m.risk_at_coverage(confidence, hit, 0.7) == 0
    assert m.risk_at_coverage(confidence, hit, 0.1 + 0.2 + 0.4) == 0


def test_nothing_to_go_by():
    coverage, risk = m.risk_coverage([], [])
    assert len(coverage) == len(risk) == 0
    assert np.isnan(m.area_under_risk_coverage([], []))
    assert np.isnan(m.risk_at_coverage([], [], 0.5))
    assert np.isnan(m.coverage_and_risk([], [], 0.5)).all()
    known = m.area_under_risk_coverage([0.9, 0.8, 0.7], [1, 0, 1])
    assert m.area_under_risk_coverage([0.9, 0.8, np.nan, 0.7, 0.75], [1, 0, 0, 1, np.nan]) == known


def test_refusals():
    with pytest.raises(ValueError, match="shapes"):
        m.risk_coverage([0.1, 0.2], [True])
    for coverage in (0, 1.2, float("nan")):
        with pytest.raises(ValueError, match="share"):
            m.risk_at_coverage([0.1], [True], coverage)
