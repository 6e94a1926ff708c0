import json
from dataclasses import asdict, replace
from statistics import NormalDist

import numpy as np
import pytest
from audit_simulation import predictions
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from mien.audit.attributes import Attribute
from mien.audit.leakage import (
    LEAKAGE,
    NO_LEAKAGE,
    LeakageResult,
    ProbeSettings,
    leakage_inputs,
    leakage_probe,
    load_features,
)
from mien.audit.leakage import probes as probes_module
from mien.audit.leakage.folds import choose_units, deal_folds
from mien.audit.leakage.permutations import GroupPermutations
from mien.audit.leakage.probes import class_probe, linear_probe, mlp_probe, standardised
from mien.audit.plain_results import from_plain
from mien.errors import DataError, UsageError
from mien.records import plain

QUICK = ProbeSettings(probes=("linear",), n_perm=39, n_boot=200)


def attribute(codes, names="abcdef", source="annotated"):
    codes = np.asarray(codes, dtype=np.int64)
    return Attribute(name="team", label="team", source=source, groups=tuple(names[: codes.max() + 1]), codes=codes)


def probe(x, codes, cluster=None, labels=None, progress=None, **options):
    settings = replace(QUICK, **options)
    return leakage_probe(
        {"features": x}, attribute(codes), cluster, labels=labels, settings=settings, progress=progress
    )


def stream(fold):
    return np.random.default_rng([7, fold])


def unequal_groups(rng, n=400, d=6, shares=(0.6, 0.3, 0.1)):
    """Three groups on one line, so that regression on indicators would overlook the middle one."""
    codes = rng.choice(3, n, p=shares)
    x = rng.standard_normal((n, d))
    x[:, 0] += 1.5 * codes
    x[:, 1] += x[:, 0]
    return standardised(x), codes.astype(np.int8)


def test_the_linear_probe_is_the_shrunk_discriminant_with_equal_priors():
    rng = np.random.default_rng(0)
    x, codes = unequal_groups(rng)
    fold = deal_folds(codes.astype(np.int64), np.arange(len(x)), 5, rng)
    several = np.stack([codes, rng.permutation(codes)])
    found = linear_probe(x, several, fold, 3)
    s = max(ledoit_wolf_shrinkage(x, assume_centered=True), 1e-4)
    for groups, predicted in zip(several, found, strict=True):
        for k in range(5):
            train, test = x[fold != k].astype(np.float64), x[fold == k].astype(np.float64)
            g = groups[fold != k]
            means = np.array([train[g == i].mean(0) for i in range(3)])
            within = np.cov((train - means[g]).T, bias=True)
            ridge = s * np.trace(np.cov(train.T, bias=True)) / x.shape[1]
            inverse = np.linalg.inv((1 - s) * within + ridge * np.eye(x.shape[1]))
            scores = test @ inverse @ means.T - 0.5 * np.einsum("gd,de,ge->g", means, inverse, means)
            np.testing.assert_array_equal(predicted[fold == k], scores.argmax(1))


@pytest.mark.parametrize("read", [linear_probe, mlp_probe])
def test_probes_are_no_worse_than_logistic_regression(read):
    rng = np.random.default_rng(1)
    x, codes = unequal_groups(rng, n=1500)
    fold = deal_folds(codes.astype(np.int64), np.arange(len(x)), 5, rng)
    more = () if read is linear_probe else (np.arange(len(x)), stream)
    ours = read(x, codes[None], fold, 3, *more)[0]
    theirs = np.empty_like(codes)
    for k in range(5):
        model = LogisticRegression(class_weight="balanced").fit(x[fold != k], codes[fold != k])
        theirs[fold == k] = model.predict(x[fold == k])
    assert balanced_accuracy_score(codes, ours) > balanced_accuracy_score(codes, theirs) - 0.03


def test_the_gradients_of_the_mlp_are_those_of_its_loss():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((12, 3))
    groups = rng.integers(0, 3, (2, 12)).astype(np.int8)
    weights = rng.random((2, 3)) + 0.5
    nets = [rng.standard_normal((2, *shape)) for shape in ((3, 16), (1, 16), (16, 3), (1, 3))]
    row_weights = np.take_along_axis(weights, groups.astype(np.int64), 1)

    def loss():
        return probes_module._weighted_loss(x, groups, weights, nets) * row_weights.sum(1) / 12

    for parameters, gradient in zip(nets, probes_module._gradients(x, groups, weights, nets), strict=True):
        for index in [(0, 0, 1), (1, parameters.shape[1] - 1, 2)]:
            kept = parameters[index]
            parameters[index] = kept + 1e-5
            above = loss()[index[0]]
            parameters[index] = kept - 1e-5
            slope = (above - loss()[index[0]]) / 2e-5
            parameters[index] = kept
            assert gradient[index] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_networks_trained_together_end_as_they_would_alone(monkeypatch):
    rng = np.random.default_rng(3)
    x, codes = unequal_groups(rng, n=200)
    several = np.stack([codes, *(rng.permutation(codes) for _ in range(4))])
    fold, unit = np.arange(200) % 3, np.arange(200)
    together = mlp_probe(x, several, fold, 3, unit, stream)
    monkeypatch.setattr(probes_module, "_NETS", 2)
    np.testing.assert_array_equal(mlp_probe(x, several, fold, 3, unit, stream), together)
    np.testing.assert_array_equal(mlp_probe(x, several[3:4], fold, 3, unit, stream)[0], together[3])


def test_class_frequencies_by_hand():
    label = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    codes = np.array([[0, 0, 1, 0, 0, 0, 1, 1]], dtype=np.int8)
    fold = np.repeat([0, 1], 4)
    # Fold 0 learns from fold 1: class 0 is all of group 0, class 1 all of group 1. Fold 1 learns that
    # class 0 holds 2/3 of group 0 and none of group 1, class 1 holds 1/3 and all.
    np.testing.assert_array_equal(class_probe(label, codes, fold, 2), [[0, 0, 1, 1, 0, 0, 1, 1]])


def test_folds_are_stratified_and_never_split_a_unit():
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(100), rng.integers(1, 6, 100))
    group = (np.arange(100) < 20).astype(np.int64)[unit]
    fold = deal_folds(group, unit, 5, rng)
    assert all(len(np.unique(fold[unit == u])) == 1 for u in range(100))
    counts = np.array([np.bincount(fold[group == g], minlength=5) for g in range(2)])
    assert (np.ptp(counts, axis=1) <= 5).all()


def test_thinning_keeps_small_groups_and_whole_units():
    rng = np.random.default_rng(5)
    unit = np.repeat(np.arange(1000), 2)
    group = np.repeat([0, 1, 2], [1600, 340, 60])
    chosen = choose_units(group, unit, 500, rng)
    np.testing.assert_array_equal(np.bincount(group[chosen]), [220, 220, 60])
    assert (chosen[::2] == chosen[1::2]).all()
    assert choose_units(group, unit, 2000, rng).all()


def test_permutations_keep_the_groups_of_each_fold_and_class():
    rng = np.random.default_rng(6)
    group, label, fold = rng.integers(0, 3, 300), rng.integers(0, 4, 300), np.arange(300) % 5
    drawn = GroupPermutations(group, np.arange(300), fold, label).draw(50, rng)
    cell = fold * 4 + label

    def table(groups):
        return np.bincount(cell * 3 + groups, minlength=60)

    assert all((table(d) == table(group)).all() for d in drawn)
    assert (drawn != group).any(0).mean() > 0.95
    alone = GroupPermutations(group, np.arange(300), fold, group)
    assert alone.fixed == 1
    assert (alone.draw(5, rng) == group).all()


def test_permutations_move_whole_units_and_split_those_of_several_groups():
    rng = np.random.default_rng(7)
    unit = np.repeat(np.arange(60), 3)
    group, fold, label = (unit % 2), unit % 3, rng.integers(0, 3, 180)
    drawn = GroupPermutations(group, unit, fold, label).draw(200, rng)
    by_unit = drawn.reshape(200, 60, 3)
    assert (by_unit == by_unit[..., :1]).all()
    for k in range(3):
        assert (drawn[:, fold == k].sum(1) == group[fold == k].sum()).all()
    mixed = group.copy()
    mixed[0] = 1 - mixed[0]
    assert (GroupPermutations(mixed, unit, fold, label).draw(50, rng)[:, 1:3].std(1) == 0).all()


def test_exchange_by_model_keeps_what_the_classes_tell_of_the_group():
    rng = np.random.default_rng(8)
    unit = np.repeat(np.arange(400), 8)
    group = rng.integers(0, 2, 400)[unit]
    label = (rng.random(3200) < np.where(group == 1, 0.6, 0.4)).astype(np.int64)
    permutations = GroupPermutations(group, unit, unit % 5, label)
    # Of eight faces in two classes many have their like: look at the units exchanged by the model alone.
    rare = np.isin(permutations._part, permutations._swapped)
    assert 0.2 < permutations.modelled == rare.mean()
    drawn = permutations.draw(200, rng)[:, rare]
    share = [(d * label[rare]).sum() / d.sum() for d in drawn]
    assert np.mean(share) == pytest.approx((group * label)[rare].sum() / group[rare].sum(), abs=0.02)
    assert (drawn != group[rare]).mean() > 0.1


@pytest.mark.parametrize("clustered", [False, True])
def test_without_leakage_p_values_are_uniform_and_intervals_hold_chance(clustered):
    p, covered = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        size = rng.integers(1, 5, 80) if clustered else np.ones(200, dtype=np.int64)
        unit = np.repeat(np.arange(len(size)), size)
        codes = rng.choice(2, len(size), p=[0.7, 0.3])[unit]
        x = rng.standard_normal((len(size), 12))[unit] + 0.3 * rng.standard_normal((len(unit), 12))
        found = probe(x, codes, unit if clustered else None, seed=seed).probes[0]
        p.append(found.p)
        covered.append(found.balanced_accuracy.low <= 0.5 <= found.balanced_accuracy.high)
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) <= 0.1) < 0.2
    assert np.mean(covered) > 0.88


def test_persons_with_many_faces_whose_groups_differ_in_expression_alone_show_no_leakage():
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        unit = np.repeat(np.arange(60), rng.integers(2, 7, 60))
        codes = rng.integers(0, 2, 60)[unit]
        labels = (np.array([[0.6, 0.8], [0.2, 0.5]])[codes] < rng.random((len(unit), 1))).sum(1)
        x = rng.standard_normal((60, 5))[unit] + 2 * np.eye(3, 5)[labels]
        p.append(probe(x, codes, unit, labels=labels, seed=seed).probes[0].p)
    assert 0.38 < np.mean(p) < 0.62
    assert np.mean(np.array(p) <= 0.1) < 0.25


def test_a_shift_is_read_as_well_as_can_be():
    rng = np.random.default_rng(9)
    codes = rng.choice(2, 2500, p=[0.8, 0.2])
    x = rng.standard_normal((2500, 10))
    x[:, 3] += 2 * codes
    best = NormalDist().cdf(1)
    result = probe(x, codes, probes=("linear", "mlp"), n_perm=60, n_perm_mlp=9)
    for found in result.probes:
        assert found.balanced_accuracy.value == pytest.approx(best, abs=0.03)
        assert found.balanced_accuracy.low < best < found.balanced_accuracy.high
        assert found.expected == pytest.approx(0.5, abs=0.02)
        assert found.p == 1 / (1 + found.n_perm)
        assert found.p_adjusted == 2 * found.p
        assert set(found.recall) == {"a", "b"}
    assert result.verdict == LEAKAGE
    assert result.sentence.startswith("Team can be read from the features with balanced accuracy 0.8")
    assert result.sentence.endswith("chance is 0.50.")


def test_an_exclusive_or_is_read_by_the_mlp_alone():
    rng = np.random.default_rng(10)
    x = rng.standard_normal((800, 4))
    codes = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    result = probe(x, codes, probes=("linear", "mlp"), n_perm_mlp=39)
    linear, mlp = result.probes
    assert linear.balanced_accuracy.value < 0.6
    assert mlp.balanced_accuracy.value > 0.9
    assert result.verdict == LEAKAGE
    assert "MLP probe" in result.sentence


def test_copies_are_kept_together_or_they_would_look_like_leakage():
    rng = np.random.default_rng(11)
    unit = np.repeat(np.arange(60), 5)
    codes = rng.integers(0, 2, 60)[unit]
    x = rng.standard_normal((60, 50))[unit]
    together, apart = probe(x, codes, unit), probe(x, codes)
    assert apart.probes[0].balanced_accuracy.value > 0.9
    assert apart.verdict == LEAKAGE
    assert together.probes[0].balanced_accuracy.low < 0.5 < together.probes[0].balanced_accuracy.high
    assert together.verdict == NO_LEAKAGE
    assert together.n_clusters == 60
    assert any("taken as independent" in note for note in apart.notes)
    assert not any("taken as independent" in note for note in together.notes)


def test_what_expression_alone_gives_away_is_set_apart():
    rng = np.random.default_rng(12)
    codes = rng.integers(0, 2, 1500)
    labels = (rng.random(1500) < np.where(codes == 1, 0.7, 0.3)).astype(np.int64)
    x = rng.standard_normal((1500, 6))
    x[:, 0] += 3 * labels
    given, free = probe(x, codes, labels=labels), probe(x, codes)
    assert free.verdict == LEAKAGE
    assert given.verdict == NO_LEAKAGE
    assert "beyond the annotated expression" in given.sentence
    assert "from the annotated expression alone 0.69." in given.sentence
    features, alone = given.probe("features", "linear"), given.probe("expression", "frequencies")
    assert features.given_expression
    assert features.p > 0.05
    assert features.expected == pytest.approx(features.balanced_accuracy.value, abs=0.03)
    assert alone.balanced_accuracy.value == pytest.approx(0.7, abs=0.04)
    assert not alone.given_expression
    assert alone.p == 1 / 40
    assert alone.expected == pytest.approx(0.5, abs=0.03)
    assert alone.beyond_expression is None
    x[:, 1] += 1.5 * codes
    more = probe(x, codes, labels=labels)
    beyond = more.probes[0].beyond_expression
    assert more.verdict == LEAKAGE
    difference = more.probes[0].balanced_accuracy.value - alone.balanced_accuracy.value
    assert beyond.value == pytest.approx(difference)
    assert 0 < beyond.low < beyond.value < beyond.high
    assert features.beyond_expression.low < 0.01


def test_neither_the_order_of_rows_nor_the_names_of_units_change_a_number():
    rng = np.random.default_rng(13)
    unit = np.repeat(np.arange(150), 2)
    codes, labels = rng.integers(0, 2, 150)[unit], rng.integers(0, 3, 300)
    x = rng.standard_normal((300, 5)) + codes[:, None]
    options = {"probes": ("linear", "mlp"), "n_perm_mlp": 3, "max_n": 200}
    one = probe(x, codes, unit, labels=labels, **options)
    order = rng.permutation(300)
    other = probe(x[order], codes[order], (1000 - unit)[order], labels=labels[order], **options)
    assert one == other
    assert one.n == 200 < one.n_available == 300
    assert any(note.startswith("200 of 300 faces were probed") for note in one.notes)
    assert probe(x, codes, unit, labels=labels, seed=1, **options) != one


def test_models_of_the_same_faces_are_read_on_the_same_ones_if_their_names_are_given():
    rng = np.random.default_rng(6)
    x, codes = unequal_groups(rng, n=900)
    names = np.array([f"face-{i}" for i in rng.permutation(900)])
    nearly = x + 1e-4 * rng.standard_normal(x.shape)
    order = rng.permutation(900)

    def read(x, codes, names):
        settings = replace(QUICK, max_n=300)
        return leakage_probe({"features": x}, attribute(codes), names=names, settings=settings).probes[0]

    first = read(x, codes, names)
    assert read(x[order], codes[order], names[order]) == first
    told = [read(x + 1e-4 * rng.standard_normal(x.shape), codes, names).balanced_accuracy.value for _ in range(5)]
    assert np.ptp(told) < 0.01  # without names other faces would be drawn each time
    assert abs(read(nearly, codes, None).balanced_accuracy.value - read(x, codes, None).balanced_accuracy.value) > 0.01


def test_a_perfect_leak_has_an_interval_and_goes_through_json():
    codes = np.tile([0, 1, 2], 40)
    result = probe(np.eye(3)[codes] * 10, codes, labels=np.zeros(120, dtype=np.int64))
    value = result.probes[0].balanced_accuracy
    assert value.value == value.high == 1
    assert 0.9 < value.low < 1
    assert result.chance == pytest.approx(1 / 3)
    assert from_plain(LeakageResult, json.loads(json.dumps(plain(asdict(result))))) == result


def test_features_without_content_and_more_features_than_faces():
    codes = np.arange(80) % 2
    flat = probe(np.full((80, 3), 0.1), codes, probes=("linear", "mlp"), n_perm_mlp=3)
    assert all(f.balanced_accuracy.value == pytest.approx(0.5, abs=0.1) and f.p > 0.2 for f in flat.probes)
    x = np.random.default_rng(14).standard_normal((80, 300))
    x[:, :100] += codes[:, None]
    assert probe(x, codes).probes[0].balanced_accuracy.value > 0.9
    assert probe(x[:, :1], codes).probes[0].balanced_accuracy.value > 0.5


def test_small_groups_are_left_out_and_named():
    rng = np.random.default_rng(15)
    codes = np.repeat([0, 1, 2, 3, -1], [100, 100, 29, 40, 20])
    unit = np.where(codes == 3, 0, np.arange(1, 290))
    result = probe(rng.standard_normal((289, 3)), codes, unit, probes=("linear",))
    assert result.left_out == {"c": "29 faces, fewer than 30", "d": "1 independent units, fewer than 5"}
    assert result.n_per_group == {"a": 100, "b": 100}
    assert result.n == 200
    assert any(note.startswith("Left out: c") for note in result.notes)
    nothing = probe(rng.standard_normal((289, 3)), codes, unit, min_n=101)
    assert nothing.verdict == "too few"
    assert nothing.probes == []
    assert np.isnan(nothing.chance)
    assert "fewer than two groups" in nothing.sentence


def test_perceived_groups_and_progress():
    rng = np.random.default_rng(16)
    codes, steps = np.arange(100) % 2, []
    result = leakage_probe(
        {"features": rng.standard_normal((100, 3)), "probabilities": rng.standard_normal((100, 2))},
        attribute(codes, source="perceived"),
        settings=ProbeSettings(n_perm=5, n_perm_mlp=2, n_boot=20),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(i, 12) for i in range(1, 13)]
    assert any("perceived" in note for note in result.notes)
    assert [(p.input, p.probe) for p in result.probes] == [
        ("features", "linear"),
        ("features", "mlp"),
        ("probabilities", "linear"),
        ("probabilities", "mlp"),
    ]


def test_what_can_be_read_from():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]])
    pred = predictions([0, 1], [0, 1], {"team": ["a", "b"]}, probs=probs)
    assert set(leakage_inputs(pred, np.zeros((2, 3)))) == {"features", "probabilities"}
    np.testing.assert_allclose(leakage_inputs(pred)["probabilities"], np.log([[1, 1e-6], [0.5, 0.5]]))
    without = predictions([0, 1], [0, 1], {"team": ["a", "b"]})
    with pytest.raises(UsageError, match="nothing to read from"):
        leakage_probe(leakage_inputs(without), attribute([0, 1]))


def test_features_are_brought_into_the_order_of_the_predictions(tmp_path):
    path = tmp_path / "f.npz"
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(path, sample_id=np.array(["a", "b", "c"]), features=x)
    np.testing.assert_array_equal(load_features(path, ["c", "a"]), x[[2, 0]])
    with pytest.raises(DataError, match="no features of 1 of 2 faces, such as 'd'"):
        load_features(path, ["a", "d"])
    np.savez(path, sample_id=np.array(["a", "a", "c"]), features=x)
    with pytest.raises(DataError, match="1 faces a second time"):
        load_features(path, ["a"])
    np.savez(path, sample_id=np.array(["a", "b"]), features=x)
    with pytest.raises(DataError, match="shape"):
        load_features(path, ["a"])
    np.savez(path, sample_id=np.array(["a", None], dtype=object), features=x[:2])
    with pytest.raises(DataError, match="cannot be read"):
        load_features(path, ["a"])
    path.write_text("no archive")
    for broken in (path, tmp_path / "none.npz"):
        with pytest.raises(DataError, match="cannot be read"):
            load_features(broken, ["a"])


def test_what_does_not_belong_together_is_refused():
    codes, x = np.arange(80) % 2, np.zeros((80, 2))
    for values, message in (
        (x[:79], r"\(79, 2\)"),
        (x[:, :0], r"\(80, 0\)"),
        (np.where(np.arange(160).reshape(80, 2) == 7, np.nan, 0.0), "features row 3: holds NaN"),
        (x + 1e300, "features row 0: holds NaN or infinity"),
        (np.full((80, 2), "x"), "no number"),
    ):
        with pytest.raises(DataError, match=message):
            probe(values, codes)
    with pytest.raises(DataError, match="labels"):
        probe(x, codes, labels=codes[:5])
    with pytest.raises(UsageError, match="Did you mean 'linear'"):
        probe(x, codes, probes=("liner",))
    with pytest.raises(UsageError, match="one is called 'expression'"):
        leakage_probe({"expression": x}, attribute(codes))
    for option in ({"probes": ()}, {"n_folds": 1}, {"n_perm_mlp": 0}, {"max_n": 3}, {"min_n": 0}, {"level": 1.0}):
        with pytest.raises(UsageError):
            probe(x, codes, **option)
