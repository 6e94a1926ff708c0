import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from audit_simulation import noisy, predictions
from scipy.stats import t

from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.plain_results import from_plain
from mien.audit.seeds import seed_audit
from mien.audit.seeds.noise import Spread, gap_noise, spreads_of
from mien.audit.seeds.results import CANNOT_TELL, REAL, WITHIN, SeedAudit
from mien.audit.vocabulary import TOO_FEW
from mien.errors import DataError, UsageError
from mien.records import plain
from mien.stats.cells import Rows, bootstrap_tables
from mien.stats.settings import Settings


def trained(rng, n, lower, spread, k, classes=3, copies=1):
    """k runs on groups of ``n`` faces: ``lower`` is what each group lacks in accuracy, ``spread`` its seed noise."""
    group = np.repeat(np.arange(len(n)), n)
    labels = rng.integers(0, classes, len(group))
    ease = rng.uniform(0.55, 0.95, len(group)) - np.asarray(lower)[group]
    again = np.repeat(np.arange(len(group)), copies)
    unit = again if copies > 1 else None
    out = []
    for _ in range(k):
        seed = np.clip(rng.normal(size=len(n)) * spread + 0.01 * rng.normal(), -0.05, 0.05)
        predicted = noisy(rng, labels, ease + seed[group], classes)[again]
        out.append(Rows(group[again], labels[again], predicted, unit, len(n), classes))
    return out


def tables(runs):
    """The same as predictions."""
    names = np.array([f"g{i}" for i in runs[0].group])
    return [predictions(r.label, r.predicted, {"group": names}, r.cluster, r.n_classes) for r in runs]


# --- where the noise comes from ---


@pytest.mark.parametrize("copies", [1, 3])
def test_noise_of_faces_is_the_bootstrap_s(copies):
    """Faces and flips together are what a bootstrap over units shows for the mean of fixed runs."""
    rng = np.random.default_rng(0)
    runs = trained(rng, [300, 500], [0.0, 0.1], 0.02, 3, copies=copies)
    spreads = spreads_of(runs)
    unit = np.arange(len(runs[0])) if runs[0].cluster is None else runs[0].cluster
    # Three runs as three groups' worth of rows of one unit: drawn together.
    joint = Rows(
        np.concatenate([r.group + 2 * s for s, r in enumerate(runs)]),
        np.concatenate([r.label for r in runs]),
        np.concatenate([r.predicted for r in runs]),
        np.concatenate([unit] * 3),
        6,
        3,
    )
    drawn = np.concatenate(list(bootstrap_tables(joint, 4000, rng))).reshape(4000, 3, 2, 3, 3)
    for metric, function in HEADLINE_METRICS.items():
        values = function(drawn)
        spread = spreads[metric, 0]
        own = np.sqrt(np.diag(spread.sampling) + spread.flips / 3)
        np.testing.assert_allclose(own, values.mean(1).std(0), rtol=0.06)
        apart = (values - values.mean(1, keepdims=True)).var(0).sum(0) / 2
        np.testing.assert_allclose(np.sqrt(spread.flips), np.sqrt(apart), rtol=0.06)
    recall = spreads["recall", 1]
    np.testing.assert_allclose(
        recall.values, [[r.tables()[g, 1, 1] / r.tables()[g, 1].sum() for g in (0, 1)] for r in runs]
    )


def test_seed_noise_and_face_noise_are_told_apart():
    rng = np.random.default_rng(1)
    seed, faces, true_faces = [], [], 0.4 / np.sqrt(12 * 2000)  # uniform over 0.4
    for _ in range(24):
        group = seed_audit(
            tables(trained(rng, [2000, 2000], [0, 0], 0.015, 5)), ["group"], settings=Settings(n_boot=20)
        ).attributes[0]
        value = group.group("g0").metrics["accuracy"]
        seed.append(value.seed_spread**2)
        faces.append(value.sampling_error)
        assert value.run_spread >= value.seed_spread
    assert np.sqrt(np.mean(seed)) == pytest.approx(np.hypot(0.015, 0.01), rel=0.2)
    assert np.mean(faces) == pytest.approx(true_faces, rel=0.1)


def test_identical_runs_have_the_variance_of_a_share():
    rows = trained(np.random.default_rng(0), [40, 70], [0, 0.1], 0.0, 1)[0]
    spread = spreads_of([rows, rows])["accuracy", 0]
    hits = [(rows.predicted == rows.label)[rows.group == g] for g in (0, 1)]
    assert np.diag(spread.sampling) == pytest.approx([h.var(ddof=1) / len(h) for h in hits], rel=1e-6)
    assert (spread.flips == 0).all()


def test_units_in_several_groups_tie_their_noise():
    """Each face stands in both groups, so what it adds leaves the gap as it is."""
    rng = np.random.default_rng(0)
    label = np.repeat(rng.integers(0, 2, 400), 2)
    runs = []
    for _ in range(2):
        ease = np.repeat(rng.random(400) < 0.8, 2)
        predicted = np.where(ease, label, 1 - label)
        runs.append(Rows(np.tile([0, 1], 400), label, predicted, np.repeat(np.arange(400), 2), 2, 2))
    together = spreads_of([runs[0], runs[0]])["accuracy", 0].sampling
    assert together[0, 1] == pytest.approx(together[0, 0])
    apart = replace_cluster(runs[0])
    assert spreads_of([apart, apart])["accuracy", 0].sampling[0, 1] == 0


def replace_cluster(rows):
    return replace(rows, cluster=None)


# --- the procedure's gap ---


def gaussian(rng, mean, faces, tau, k, flips=0.002):
    """A spread whose sources are normal with known variances."""
    g = len(mean)
    values = mean + rng.normal(size=g) * faces + rng.normal(size=(k, g)) * tau + rng.normal(size=(k, 1)) * 0.01
    return Spread(values + rng.normal(size=(k, g)) * flips, np.eye(g) * faces**2, np.full(g, flips**2))


@pytest.mark.parametrize("k", [3, 5, 10])
@pytest.mark.parametrize("gap", [0.0, 0.06])
def test_coverage_and_false_alarms(k, gap):
    rng = np.random.default_rng(k)
    mean = 0.75 - gap * (np.arange(5) == 2)
    tau = np.array([0.005, 0.005, 0.01, 0.01, 0.015])
    found = [gap_noise(gaussian(rng, mean, 0.005, tau, k), 0.95, 200, rng) for _ in range(250)]
    covered = np.mean([f.low <= gap <= f.high for f in found])
    alarms = np.mean([f.p < 0.05 for f in found])
    error = 3 * np.sqrt(0.05 * 0.95 / 250)
    assert covered >= 0.95 - error
    if not gap:
        assert alarms <= 0.05 + error
    elif k > 3:
        assert alarms > 0.8


def test_faces_alone_would_take_seed_noise_for_a_gap():
    rng = np.random.default_rng(0)
    ours, alone = 0, 0
    for _ in range(100):
        spread = gaussian(rng, np.full(4, 0.75), 0.002, 0.01, 5)
        ours += gap_noise(spread, 0.95, 200, rng).p < 0.05
        still = Spread(np.repeat(spread.values.mean(0)[None], 5, 0), spread.sampling, np.zeros(4))
        alone += gap_noise(still, 0.95, 200, rng).p < 0.05
    assert ours <= 12
    assert alone > 60


def test_a_group_has_its_own_seed_noise_or_the_pooled_one():
    values = np.array([[0.70, 0.70, 0.71], [0.80, 0.70, 0.69], [0.60, 0.70, 0.70]])
    flips = np.array([0.0, 0.0, 1e-4])
    found = gap_noise(Spread(values, np.zeros((3, 3)), flips), 0.95, 50, np.random.default_rng(0))
    residual = values - values.mean(0)
    residual -= residual.mean(1, keepdims=True)
    own = (residual**2).sum(0) / 2 * 3 / 2
    pooled = (own - flips).mean() + flips
    assert own[0] > pooled[0]
    assert own[1] < pooled[1]
    assert found.runs == pytest.approx([own[0], pooled[1], pooled[2]])


def test_a_common_shift_of_a_seed_leaves_the_gap_alone():
    rng = np.random.default_rng(0)
    spread = gaussian(rng, np.array([0.7, 0.8]), 0.005, 0.005, 4)
    shifted = replace(spread, values=spread.values + np.array([[0.1], [-0.1], [0.05], [0.0]]))
    one, two = (gap_noise(s, 0.95, 300, np.random.default_rng(1)) for s in (spread, shifted))
    assert (two.p, two.expected) == pytest.approx((one.p, one.expected))
    assert two.high - two.low == pytest.approx(one.high - one.low)


def test_two_runs_of_two_groups_are_student_s_with_one_degree_of_freedom():
    """Without noise of faces: the difference of the runs' differences is all there is."""
    values = np.array([[0.70, 0.78], [0.72, 0.76]])
    found = gap_noise(Spread(values, np.zeros((2, 2)), np.zeros(2)), 0.95, 200_000, np.random.default_rng(0))
    differences = values[:, 1] - values[:, 0]
    ratio = differences.mean() / (differences.std(ddof=1) / np.sqrt(2))
    assert found.p == pytest.approx(2 * t.sf(ratio, 1), rel=0.02)
    assert found.seed_gap == pytest.approx(np.sqrt(2 / np.pi) * differences.std(ddof=1), rel=0.02)


# --- the audit ---


def test_numbers_of_the_runs():
    rng = np.random.default_rng(0)
    runs = trained(rng, [400, 300, 200], [0, 0.1, 0.05], 0.01, 4)
    found = seed_audit(tables(runs), ["group"], settings=Settings(n_boot=200))
    accuracy = np.array([[(r.predicted == r.label)[r.group == g].mean() for g in range(3)] for r in runs])
    gap = found.attribute("group").gap("accuracy")
    assert gap.gaps == pytest.approx(np.ptp(accuracy, axis=1).tolist())
    assert gap.run_gap.value == pytest.approx(np.ptp(accuracy, axis=1).mean())
    assert gap.value.value == pytest.approx(np.ptp(accuracy.mean(0)))
    assert gap.run_gap.value >= gap.value.value
    assert (gap.worst, gap.best) == ("g1", "g0")
    assert gap.worst_by_run == [f"g{i}" for i in accuracy.argmin(1)]
    assert gap.same_worst == (len(set(gap.worst_by_run)) == 1)
    values = [found.attribute("group").group(f"g{g}").metrics["accuracy"] for g in range(3)]
    np.testing.assert_allclose([v.runs for v in values], accuracy.T)
    assert [v.mean.value for v in values] == pytest.approx(accuracy.mean(0).tolist())
    flips = np.sqrt(spreads_of(runs)["accuracy", 0].flips)
    assert [v.run_spread for v in values] == pytest.approx(np.maximum(accuracy.std(0, ddof=1), flips).tolist())
    for value, flip in zip(values, flips, strict=True):
        assert value.seed_spread**2 == pytest.approx(value.run_spread**2 - flip**2, abs=1e-12)
    assert found.overall.metrics["accuracy"].runs == pytest.approx([(r.predicted == r.label).mean() for r in runs])


def test_verdicts():
    rng = np.random.default_rng(2)
    real = seed_audit(tables(trained(rng, [2000] * 3, [0, 0, 0.12], 0.005, 5)), ["group"])
    gap = real.attribute("group").gap("accuracy")
    assert (gap.verdict, gap.same_worst) == (REAL, True)
    assert "g2 came last in all 5 runs" in gap.sentence
    assert gap.sentence in real.verdict

    within = seed_audit(tables(trained(rng, [4000] * 3, [0, 0, 0], 0.03, 10)), ["group"])
    gap = within.attribute("group").gap("accuracy")
    assert gap.verdict == WITHIN
    assert gap.value.high <= gap.seed_gap_high

    unknown = seed_audit(tables(trained(rng, [300] * 3, [0, 0, 0.05], 0.01, 2)), ["group"])
    gap = unknown.attribute("group").gap("accuracy")
    assert gap.verdict == CANNOT_TELL.format(2) == "cannot tell with 2 seeds"
    assert "cannot be told from noise with 2 seeds" in gap.sentence


def test_seeds_needed_weigh_seed_noise_against_face_noise():
    rng = np.random.default_rng(0)
    few, many = (
        np.median(
            [
                seed_audit(tables(trained(rng, [n] * 2, [0, 0], 0.02, 6)), ["group"], settings=Settings(n_boot=20))
                .attributes[0]
                .gaps[0]
                .seeds_needed
                for _ in range(5)
            ]
        )
        for n in (300, 6000)
    )
    # Per run 0.02^2 and flips of 0.174 / n, faces 0.0133 / n; at 6,000 faces the seeds weigh most.
    assert 12 <= few <= 60
    assert 90 <= many <= 500


def test_order_of_rows_and_runs_changes_nothing():
    rng = np.random.default_rng(0)
    runs = tables(trained(rng, [100, 120], [0, 0.1], 0.01, 3, copies=2))
    order = rng.permutation(len(runs[0]))
    moved = [runs[i].select(order if i else np.arange(len(order))) for i in (2, 0, 1)]
    one, two = (
        seed_audit(r, ["group"], settings=Settings(n_boot=100)).attributes[0].gap("macro_f1") for r in (runs, moved)
    )
    assert (two.value.low, two.value.high, two.p) == pytest.approx((one.value.low, one.value.high, one.p))
    assert sorted(two.gaps) == pytest.approx(sorted(one.gaps))


def test_undefined_stays_undefined_and_edges_keep_a_width():
    rng = np.random.default_rng(0)
    labels = np.r_[rng.integers(0, 2, 300), 2]
    group = np.repeat(["f", "m", "x"], (140, 140, 21))
    runs = [predictions(labels, np.where(group == "f", labels, noisy(rng, labels, 0.6, 3)), {"g": group}) for _ in "ab"]
    found = seed_audit(runs, ["g"], settings=Settings(n_boot=50)).attributes[0]
    assert found.group("x").verdict == TOO_FEW
    assert np.isnan(found.group("f").recall["c2"].mean.value)
    assert found.gap("recall", "c2").verdict == TOO_FEW
    assert found.gap("accuracy").n_groups == 2
    perfect = found.group("f").metrics["accuracy"]
    assert perfect.mean.value == perfect.mean.high == 1
    assert 0.9 < perfect.mean.low < 0.99
    assert perfect.run_spread == 0


def test_what_cannot_be_audited_is_refused():
    runs = tables(trained(np.random.default_rng(0), [60, 60], [0, 0], 0.01, 2))
    with pytest.raises(UsageError, match="two or more"):
        seed_audit(runs[:1], ["group"])
    with pytest.raises(UsageError, match="names"):
        seed_audit(runs, ["group"], names=["one"])
    with pytest.raises(UsageError, match="no such column"):
        seed_audit(runs, ["gender"])
    with pytest.raises(DataError, match="annotated"):
        seed_audit([runs[0], replace(runs[1], labels=(runs[1].labels + 1) % 3)], ["group"])


def test_one_run_given_twice_is_noticed():
    runs = tables(trained(np.random.default_rng(0), [60, 60], [0, 0], 0.01, 2))
    found = seed_audit([*runs, runs[0]], ["group"], settings=Settings(n_boot=20))
    assert sum("predict the same for every face" in note for note in found.method_notes) == 1


def test_an_audit_of_seeds_goes_to_json_and_back():
    found = seed_audit(
        tables(trained(np.random.default_rng(0), [60, 20], [0, 0], 0.01, 2)), ["group"], settings=Settings(n_boot=20)
    )
    again = from_plain(SeedAudit, json.loads(json.dumps(plain(asdict(found)))))
    assert repr(again) == repr(found)
