import numpy as np
import pytest
from audit_simulation import predictions

from mien.audit import audit, summary_estimates
from mien.metrics import calibration_table, expected_calibration_error
from mien.stats.settings import Settings


def faces(rng, n, drop=0.0):
    """Five classes; right ``drop * (top - 0.2)`` less often than the confidence says."""
    top = 0.2 + 0.8 * rng.beta(3, 1.3, n)
    probs = np.column_stack([top, np.tile((1 - top[:, None]) / 4, 4)])
    labels = np.where(rng.random(n) < top - drop * (top - 0.2), 0, 1)
    group = np.array(["a", "b"])[np.arange(n) % 2]
    return predictions(labels, np.zeros(n), {"g": group}, n_classes=5, probs=probs)


def test_bins_and_abstention_equal_the_metrics():
    pred = faces(np.random.default_rng(0), 801)
    found = audit(pred, "g", settings=Settings(n_boot=20, n_perm=20)).attribute("g")
    for name, result in zip(("a", "b"), found.calibration, strict=True):
        own = pred.select((pred.groups["g"] == name).to_numpy())
        table = calibration_table(own.probs, own.labels)
        np.testing.assert_array_equal([b.n for b in result.bins], table["n"])
        np.testing.assert_allclose([b.accuracy for b in result.bins], table["accuracy"], atol=1e-6)
        np.testing.assert_allclose([b.confidence for b in result.bins], table["confidence"], atol=1e-6)
        ece = found.group(name).metrics["ece"].value
        assert ece == pytest.approx(expected_calibration_error(own.probs, own.labels), abs=1e-6)
        for point in result.abstention:
            accepted = own.probs.max(1).astype(np.float32) >= np.float32(point.threshold)
            risk = (own.labels != own.predicted)[accepted].mean()
            assert (point.coverage, point.risk) == pytest.approx((accepted.mean(), risk))
        assert result.abstention[0].coverage == 1
        at = {p.answered: p for p in result.abstention}[0.8]
        assert found.group(name).metrics["coverage"].value == pytest.approx(at.coverage)
        assert found.group(name).metrics["risk"].value == pytest.approx(at.risk, abs=1e-6)


@pytest.mark.parametrize("n", [50, 400])
@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_intervals_cover_the_population_calibration_error(drop, n):
    population = drop * 0.8 * 3 / 4.3  # the mean of the beta is 3 / 4.3; all bins err to one side
    rng = np.random.default_rng(n)
    found = [summary_estimates(faces(rng, n, drop), settings=Settings(n_boot=200, level=0.9))["ece"] for _ in range(80)]
    assert np.mean([e.low <= population <= e.high for e in found]) > 0.83
    assert all(e.low <= e.value <= e.high for e in found)


def test_over_and_underconfidence_have_a_sign():
    over = summary_estimates(faces(np.random.default_rng(1), 2000, 0.3), settings=Settings(n_boot=50))["overconfidence"]
    assert over.low < 0.3 * 0.8 * 3 / 4.3 < over.high
    calibrated = summary_estimates(faces(np.random.default_rng(1), 2000), settings=Settings(n_boot=50))[
        "overconfidence"
    ]
    assert calibrated.low < 0 < calibrated.high


def test_bins_do_not_hang_on_the_number_format():
    """0.6 as float32 is 0.60000002, which leaves the bin (8/15, 9/15] by a rounding."""
    probs = np.zeros((400, 3))
    probs[:200], probs[200:] = [0.6, 0.3, 0.1], [0.59, 0.31, 0.1]
    labels = np.repeat([0, 1, 0, 1], [160, 40, 80, 120])
    groups = {"g": np.array(["a", "b"])[np.arange(400) % 2]}
    by_hand = abs(0.6 - 0.595)  # one bin holds all: 240 of 400 right, surest by 0.595
    for dtype in (np.float64, np.float32):
        pred = predictions(labels, np.zeros(400), groups, n_classes=3, probs=probs.astype(dtype))
        assert expected_calibration_error(pred.probs, labels) == pytest.approx(by_hand, abs=1e-6)
        assert audit(pred, "g", settings=Settings(n_boot=5, n_perm=5)).overall["ece"].value == pytest.approx(
            by_hand, abs=1e-6
        )


def test_gap_of_two_calibrated_groups_of_unequal_sizes():
    """The error is biased upwards by more the fewer faces: the observed gap is 0.1 where there is none."""
    held, width = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pred = faces(rng, 3060)
        order = np.array(["a", "b"])[(np.arange(3060) >= 3000).astype(int)]
        pred.groups["g"] = order
        gap = audit(pred, "g", settings=Settings(n_boot=200, n_perm=20, seed=seed)).attribute("g").gap("ece")
        assert gap.value.value > 0.02
        held += gap.value.low <= 1e-12
        width.append(gap.value.high)
    assert held >= 36
    assert np.mean(width) < 0.4
