"""Each method after training against what one reckons by hand, and under a known truth."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mien.errors import ConfigError, DataError
from mien.postprocessing import POSTPROCESSORS
from mien.postprocessing.base import GroupScores, Judged, PostProcessor, as_probabilities, balancing, tempered
from mien.postprocessing.group_offsets import GroupOffsets
from mien.postprocessing.group_temperature import GroupTemperature
from mien.postprocessing.group_thresholds import GroupThresholds, threshold_of
from mien.postprocessing.last_layer import GroupHeads, LastLayer
from mien.postprocessing.logit_adjustment import LogitAdjustment
from mien.postprocessing.rate_constraints import Blind, EqualRates, MinimumRates, constrained, guessing
from mien.postprocessing.reject_option import RejectOption, Wavering, recalls


def judged(probs: Any, labels: Any = None, groups: Any = None, **more: Any) -> Judged:
    """Faces of groups f, m, ...; one-hot rows from codes, where -1 is not known."""
    probs = np.asarray(probs, dtype=float)
    probs = probs / probs.sum(1, keepdims=True)
    labels = np.zeros(len(probs), int) if labels is None else np.asarray(labels)
    groups = np.zeros(len(probs), int) if groups is None else np.asarray(groups)
    if groups.ndim == 1:
        groups = np.eye(max(2, groups.max() + 1))[groups] * (groups >= 0)[:, None]
    names, classes = tuple("fmxyz"[: groups.shape[1]]), tuple("abcdefg"[: probs.shape[1]])
    return Judged(probs=probs, labels=labels, groups=np.asarray(groups, float), names=names, classes=classes, **more)


def drawn(n: int, seed: int, *, k: int = 3, shift: float = 1.0) -> Judged:
    """Labels drawn from the probabilities; the first class is told less surely in the second group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    sure = np.where(group == 0, 3.0, 3.0 - shift)
    z = rng.normal(size=(n, k))
    z[np.arange(n), rng.integers(0, k, n)] += sure
    probs = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    labels = (probs.cumsum(1) > rng.random((n, 1))).argmax(1)
    return judged(probs, labels, group, features=np.log(probs), prior=np.full(k, 1 / k))


def test_logit_adjustment_flips_where_the_margin_is_below_ln_9() -> None:
    rule = LogitAdjustment(tau=1.0).fit(judged([[0.5, 0.5]], prior=np.array([0.9, 0.1])))
    for margin, answer in ((np.log(9) - 0.01, 1), (np.log(9) + 0.01, 0)):
        assert rule(judged([[np.exp(margin), 1.0]])).argmax() == answer
    same = LogitAdjustment(tau=0.0).fit(judged([[0.5, 0.5]], prior=np.array([0.9, 0.1])))
    np.testing.assert_allclose(same(judged([[0.7, 0.3]])), [[0.7, 0.3]])
    unseen = LogitAdjustment().fit(judged([[0.5, 0.3, 0.2]], prior=np.array([0.8, 0.2, 0.0])))
    np.testing.assert_allclose(unseen(judged([[0.5, 0.3, 0.2]])), [[0.5 / 1.9, 1.2 / 1.9, 0.2 / 1.9]])
    with pytest.raises(DataError, match="how common"):
        LogitAdjustment().fit(judged([[0.5, 0.5]]))


def test_a_temperature_is_found_for_each_group() -> None:
    truth = drawn(40_000, 1)
    scale = np.where(truth.groups[:, 0] > 0, 2.0, 0.5)  # overconfident in the first group, too timid in the second
    faces = judged(tempered(truth.probs, scale), truth.labels, truth.groups)
    rule = GroupTemperature().fit(faces)
    np.testing.assert_allclose(rule.scale[:2], [0.5, 2.0], rtol=0.05)
    assert (rule(faces).argmax(1) == faces.probs.argmax(1)).all()
    few = GroupTemperature(least=10**6).fit(faces)
    assert few.scale[0] == few.scale[1] == few.scale[2]


def test_offsets_are_found_for_each_group() -> None:
    truth = drawn(40_000, 2)
    offsets = np.array([[0.8, -0.4, -0.4], [-1.0, 0.5, 0.5]])
    moved = truth.probs * np.exp(-truth.groups @ offsets)
    faces = judged(moved, truth.labels, truth.groups)
    rule = GroupOffsets(balanced=False, penalty=0).fit(faces)
    found = np.log(np.diagonal(rule.matrix, axis1=1, axis2=2))
    np.testing.assert_allclose(found[:2], offsets, atol=0.06)
    strong = GroupOffsets(balanced=False, penalty=1000).fit(faces)
    assert np.abs(np.log(np.diagonal(strong.matrix, axis1=1, axis2=2))).max() < 0.02


def test_classes_that_a_group_hardly_has_keep_the_offsets_of_all() -> None:
    truth = drawn(4000, 15, k=4)
    few = (truth.labels != 3) | (truth.groups[:, 0] > 0)  # no face of the last class in the second group
    few[np.flatnonzero((truth.labels == 3) & (truth.groups[:, 1] > 0))[:3]] = True  # but three
    rule = GroupOffsets().fit(truth.part(np.flatnonzero(few)))
    factors = np.diagonal(rule.matrix, axis1=1, axis2=2)
    assert factors[1, 3] == pytest.approx(factors[2, 3])
    assert factors[0, 3] != pytest.approx(factors[2, 3])
    heads = LastLayer(decoupled=True).fit(
        truth.part(np.flatnonzero(few & ((truth.labels != 3) | (truth.groups[:, 0] > 0))))
    )
    assert isinstance(heads, GroupHeads)
    assert heads.heads[1] is heads.heads[2]  # it would never say the last class
    assert heads.heads[0] is not heads.heads[2]


@pytest.mark.parametrize("n", [0, 1, 4])
def test_others_do_not_pay_for_a_class_that_a_group_hardly_has(n: int) -> None:
    # The model is right about all groups alike: whatever is fitted to m, its recall of c must stay near what it was.
    def world(seed: int, of_c: int) -> Judged:
        rng = np.random.default_rng(seed)
        labels = np.r_[np.repeat([0, 1, 2], 300), np.repeat([0, 1], 300), np.repeat(2, of_c)]
        z = rng.normal(size=(len(labels), 3)) + 2 * np.eye(3)[labels]
        return judged(np.exp(2 * z), labels, np.r_[np.zeros(900, int), np.ones(600 + of_c, int)])

    fresh = world(99, 300)
    mine = fresh.groups[:, 1] > 0

    def found(answers: Any) -> Any:
        return [(answers[mine & (fresh.labels == c)] == c).mean() for c in range(3)]

    before = found(fresh.probs.argmax(1))
    after = np.mean([found(GroupOffsets().fit(world(seed, n))(fresh).argmax(1)) for seed in range(5)], axis=0)
    np.testing.assert_allclose(after, before, atol=0.03)


def test_rates_are_equal_also_where_the_model_is_too_sure_of_a_group() -> None:
    def unsure(seed: int, n: int) -> Judged:
        truth = drawn(n, seed, shift=1.0)
        return judged(tempered(truth.probs, np.where(truth.groups[:, 0] > 0, 1.0, 3.0)), truth.labels, truth.groups)

    fit, new = unsure(16, 4000), unsure(17, 60_000)
    said = EqualRates(within=0.0).fit(fit)(new)
    gaps = [recalls(p, new, new.groups[:, 0]) - recalls(p, new, new.groups[:, 1]) for p in (new.probs, said)]
    assert gaps[0].min() > 0.1
    assert np.abs(gaps[1]).max() < 0.05


def test_no_rate_is_asked_of_a_class_that_a_group_does_not_have() -> None:
    def without(seed: int, n: int) -> Judged:
        truth = drawn(n, seed)
        return truth.part(np.flatnonzero((truth.labels != 2) | (truth.groups[:, 0] > 0)))

    fit, new = without(18, 600), without(19, 20_000)
    second = new.groups[:, 1] > 0
    before = (new.probs.argmax(1) == 2)[second].mean()
    for method in (MinimumRates(least=0.3), EqualRates(within=0.02)):
        said = method.fit(fit)(new)
        assert (said.argmax(1) == 2)[second].mean() <= before + 0.01
    bought = MinimumRates(least=0.9, of=("c",), least_of_class=1).fit(without(18, 600))(new)
    assert np.isfinite(bought).all()


def test_balanced_offsets_of_soft_groups_are_those_of_hard_ones() -> None:
    # Nine in ten of the first group are of the first class, and of the second of the second; nothing is told of a face.
    group = np.repeat([0, 1], 500)
    labels = np.where(np.arange(1000) % 10 == 0, 1 - group, group)
    hard = GroupOffsets(penalty=0).fit(judged(np.ones((1000, 2)), labels, group))
    soft = GroupOffsets(penalty=0).fit(judged(np.ones((1000, 2)), labels, np.eye(2)[group] * 0.98 + 0.01))
    for rule in (hard, soft):
        np.testing.assert_allclose(rule(judged(np.ones((2, 2)), groups=[0, 1])), 0.5, atol=1e-3)


def test_balanced_offsets_raise_the_mean_recall() -> None:
    truth = drawn(20_000, 3)
    keep = (truth.labels != 0) | (np.arange(len(truth)) % 8 == 0)  # the first class is rare
    rare = truth.part(np.flatnonzero(keep))
    faces = judged(rare.probs * [1 / 8, 1, 1], rare.labels, rare.groups)  # as one who knows it would say
    half = np.arange(len(faces)) < len(faces) // 2
    said = GroupOffsets(penalty=0).fit(faces.part(half))(faces.part(~half))
    other, ones = faces.part(~half), np.ones(int((~half).sum()))
    assert recalls(said, other, ones).mean() > recalls(other.probs, other, ones).mean()
    assert recalls(said, other, ones)[0] > recalls(other.probs, other, ones)[0] + 0.05


def test_the_threshold_that_finds_three_of_four() -> None:
    scores = np.array([0.9, 0.6, 0.4, 0.2])
    assert threshold_of(scores, 0.75) == 0.4
    assert threshold_of(scores, 1.0) == 0.2
    assert threshold_of(scores, 0.01) == 0.9
    assert threshold_of(scores, 0.5, np.array([1, 1, 1, 5.0])) == 0.2
    # Two groups whose faces of the class are told with other scores.
    a = [[s, 1 - s] for s in (0.9, 0.6, 0.4, 0.2)]
    b = [[s, 1 - s] for s in (0.5, 0.3, 0.1, 0.05)]
    faces = judged(a + b, [0] * 8, [0] * 4 + [1] * 4)
    rule = GroupThresholds(of="a", recall=0.75, least=4).fit(faces)
    np.testing.assert_allclose(rule.thresholds[:2], [0.4, 0.1])
    assert (rule(faces).argmax(1) == 0).tolist() == [True, True, True, False] * 2
    # Unknown: the threshold of all eight.
    assert rule.thresholds[2] == 0.2
    with pytest.raises(ConfigError, match="no class 'h'"):
        GroupThresholds(of="h").fit(faces)
    with pytest.raises(DataError, match="none of the faces that fit is b"):
        GroupThresholds(of="b").fit(faces)


def test_thresholds_leave_the_order_of_the_others() -> None:
    faces = drawn(2000, 4, k=4)
    rule = GroupThresholds(of="b", recall=0.9).fit(faces)
    said = rule(faces)
    np.testing.assert_allclose(said.sum(1), 1)
    threshold = faces.groups @ rule.thresholds[:2]
    wanted = faces.probs[:, 1] >= threshold
    assert (said.argmax(1) == 1).tolist() == wanted.tolist()
    rest = faces.probs.copy()
    rest[:, 1] = -1
    assert (said.argmax(1)[~wanted] == rest.argmax(1)[~wanted]).all()
    ones = np.ones(len(faces))
    for g in range(2):
        assert recalls(said, faces, faces.groups[:, g] * ones)[1] >= 0.9


def test_the_programme_of_two_groups_by_hand() -> None:
    # Two faces a group, each a quarter of all: p = (.9, .4) and (.6, .3) of the second class.
    probs = np.array([[0.1, 0.9], [0.6, 0.4], [0.4, 0.6], [0.7, 0.3]])
    groups = np.eye(2)[[0, 0, 1, 1]]
    free = constrained(probs, groups, [(1, 1)], equal=1.0)
    np.testing.assert_allclose(free.decisions[:, 1], [1, 0, 1, 0], atol=1e-9)
    assert free.accuracy == pytest.approx(0.7)
    equal = constrained(probs, groups, [(1, 1)], equal=0.0)
    np.testing.assert_allclose(equal.decisions[:, 1], [0.962963, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(equal.rates[:, 1, 1], [2 / 3, 2 / 3], atol=1e-9)
    assert equal.accuracy == pytest.approx(0.6926, abs=5e-5)
    # The first face stands at a tie of its scores, and the others' largest scores are their decisions.
    scores = np.einsum("ij,ig,gjk->ik", probs, groups, equal.matrix) + 0.01 * probs.max(1, keepdims=True) * probs
    assert scores[0, 0] == pytest.approx(scores[0, 1])
    assert scores[1:].argmax(1).tolist() == [0, 1, 0]
    higher = constrained(probs, groups, [(1, 1)], least=0.9)
    assert (higher.rates[:, 1, 1] >= 0.9 - 1e-9).all()
    # Two classes: all faces may be called the second, and then none of the first is found.
    with pytest.raises(DataError, match="no answers reach these rates"):
        constrained(probs, groups, [(0, 0), (1, 1)], least=0.9)


@pytest.mark.parametrize("rates", ["recall", "odds"])
@pytest.mark.parametrize("soft", [False, True])
def test_prices_make_the_decisions(rates: str, soft: bool) -> None:
    faces = drawn(400, 5)
    groups = faces.groups if not soft else 0.8 * faces.groups + 0.1
    pairs = [(j, c) for j in range(3) for c in ([j] if rates == "recall" else range(3))]
    found = constrained(faces.probs, groups, pairs, equal=0.0)
    scores = np.einsum("ij,ig,gjk->ik", faces.probs, groups, found.matrix)
    scores += 0.01 * faces.probs.max(1, keepdims=True) * faces.probs
    split = (found.decisions > 1e-6).sum(1) > 1
    assert split.sum() <= 2 * len(pairs)
    assert (scores.argmax(1) == found.decisions.argmax(1))[~split].all()
    for j, c in pairs:
        np.testing.assert_allclose(found.rates[0, j, c], found.rates[1, j, c], atol=1e-6)
    free = constrained(faces.probs, groups, pairs, equal=1.0)
    assert found.accuracy <= free.accuracy + 1e-12


def test_equal_rates_hold_on_new_faces() -> None:
    fit, new = drawn(3000, 6), drawn(60_000, 7)

    def gaps(probs: Any) -> Any:
        return recalls(probs, new, new.groups[:, 0]) - recalls(probs, new, new.groups[:, 1])

    assert gaps(new.probs).min() > 0.1
    rule = EqualRates(within=0.0).fit(fit)
    assert isinstance(rule, GroupScores)
    assert np.abs(gaps(rule(new))).max() < 0.05
    # One class alone: the others' recalls are free.
    one = EqualRates(within=0.0, of=("a",)).fit(fit)(new)
    assert abs(gaps(one)[0]) < 0.05
    assert (one.argmax(1) == new.labels).mean() > (rule(new).argmax(1) == new.labels).mean()
    blind = EqualRates(within=0.0, blind=True)
    assert not blind.asks_groups
    assert EqualRates().asks_groups
    told = blind.fit(fit)
    swapped = judged(new.probs, new.labels, 1 - new.groups)
    np.testing.assert_allclose(told(new), told(swapped), atol=1e-12)


def test_a_minimum_is_reached_on_new_faces_and_levels_nobody_down() -> None:
    fit, new = drawn(4000, 8), drawn(60_000, 9)
    before = [recalls(new.probs, new, new.groups[:, g]) for g in range(2)]
    least = float(before[1].min()) + 0.05
    said = MinimumRates(least=least, of=("a",)).fit(fit)(new)
    after = [recalls(said, new, new.groups[:, g]) for g in range(2)]
    assert after[1][0] > least - 0.03
    assert after[1][0] > before[1][0] + 0.02
    assert after[0][0] > before[0][0] - 0.02


def test_groups_are_guessed_from_what_the_model_says() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(5000, 3))
    group = (rng.random(5000) < 1 / (1 + np.exp(-2 * z[:, 0]))).astype(int)
    faces = judged(np.exp(z), None, group)
    guessed = Blind(rule=EqualRates().fit(faces), weights=guessing(faces)).guessed(faces.probs)  # type: ignore[arg-type]
    assert abs(guessed[:, 1].mean() - group.mean()) < 0.01
    assert guessed[group == 1, 1].mean() > guessed[group == 0, 1].mean() + 0.2
    # Where groups are perceived, each face counts for a group by how far it belongs there.
    true = 1 / (1 + np.exp(-2 * z[:, 0]))
    shares = judged(np.exp(z), None, np.column_stack([1 - true, true]))
    by_shares, by_name = (Blind(rule=EqualRates().fit(shares), weights=guessing(told)).guessed(faces.probs)  # type: ignore[arg-type]
                          for told in (shares, judged(np.exp(z), None, (true > 0.5).astype(int))))  # fmt: skip
    errors = [((told[:, 1] - true) ** 2).mean() for told in (by_shares, by_name)]
    assert errors[0] < 0.9 * errors[1]
    assert abs(by_shares[:, 1].mean() - true.mean()) < 0.01
    three = judged(np.exp(z), None, np.where(group == 1, 2, 0))  # no face of the second of three groups
    assert Blind(rule=GroupTemperature().fit(three), weights=guessing(three)).guessed(three.probs)[:, 1].max() < 1e-9
    one = judged(np.exp(z), None, np.zeros(5000, int))
    assert guessing(one).shape == (4, 2)
    with pytest.raises(DataError, match="1 groups have 30 faces or more"):
        EqualRates().fit(one)


def test_the_weaker_of_two_near_classes_wins() -> None:
    lack = np.array([[0.2, -0.1], [0.0, 0.0], [0.0, 0.0]])
    rule = Wavering(margin=0.3, lack=lack)
    faces = judged([[0.4, 0.6], [0.2, 0.8], [0.4, 0.6], [0.5, 0.5]], None, [0, 0, 1, 0])
    np.testing.assert_allclose(rule(faces)[:3], [[0.6, 0.4], [0.2, 0.8], [0.4, 0.6]], atol=1e-8)
    assert rule(faces)[3].argmax() == 0

    # One class is told too seldom in one group: among near answers it must win there.
    def short(seed: int) -> Judged:
        truth = drawn(8000, seed)
        factors = np.where(truth.groups[:, :1] > 0, [1, 1, 1], [0.3, 1, 1])
        return judged(truth.probs * factors, truth.labels, truth.groups)

    found = RejectOption().fit(short(10))
    assert found.margin > 0.05
    truth = short(11)
    worst = [
        min(np.nanmean(recalls(p, truth, truth.groups[:, g])) for g in range(2)) for p in (truth.probs, found(truth))
    ]
    assert worst[1] > worst[0] + 0.01


def test_a_last_layer_by_hand() -> None:
    # Points -1 and +1, C = 1: sklearn's w solves w = 2 / (1 + e^w); ours is half of it for each class.
    faces = judged([[0.5, 0.5]] * 2, [0, 1], features=np.array([[-1.0], [1.0]]))
    head = LastLayer(balance="faces", c=1.0).fit(faces)
    w = head.weight[1, 0] - head.weight[0, 0]
    assert w == pytest.approx(2 / (1 + np.exp(w)), abs=1e-4)
    assert w == pytest.approx(0.674832, abs=1e-4)
    np.testing.assert_allclose(head.bias, 0, atol=1e-6)
    # By absolute values: 2 C log(1 + e^-w) + w is least where e^w = 2 C - 1.
    for c, by_hand in ((2.0, np.log(3)), (0.5, 0.0)):
        head = LastLayer(balance="faces", c=c, penalty="l1").fit(faces)
        assert head.weight[1, 0] - head.weight[0, 0] == pytest.approx(by_hand, abs=5e-3)
    assert not LastLayer().at_prediction
    with pytest.raises(DataError, match="no features"):
        LastLayer().fit(judged([[0.5, 0.5]]))
    with pytest.raises(DataError, match="of one class"):
        LastLayer().fit(judged([[0.5, 0.5]] * 3, features=np.ones((3, 1))))


def test_a_last_layer_is_sklearns_and_an_average_of_equal_ones_is_itself() -> None:
    faces = drawn(600, 12)
    x = np.asarray(faces.features)
    z = (x - x.mean(0)) / x.std(0)
    model = LogisticRegression(C=0.1, max_iter=5000).fit(z, faces.labels)
    head = LastLayer(balance="faces").fit(faces)
    np.testing.assert_allclose(head(faces), model.predict_proba(z), atol=1e-3)
    # Cells of one size: every subset is all faces.
    rows = np.concatenate([np.flatnonzero((faces.labels == c) & (faces.groups[:, g] > 0))[:30] for c in range(3)
                           for g in range(2)])  # fmt: skip
    even = faces.part(rows)
    np.testing.assert_allclose(
        LastLayer(how="subsets").fit(even).weight, LastLayer(balance="faces").fit(even).weight, atol=1e-3
    )
    # One group: cells are classes.
    alone = judged(faces.probs, faces.labels, np.zeros(len(faces), int), features=x)
    np.testing.assert_allclose(
        LastLayer(balance="cells").fit(alone).weight, LastLayer(balance="classes").fit(alone).weight, atol=1e-3
    )


def test_cells_of_a_class_whose_groups_are_less_often_known() -> None:
    groups = np.tile([0, 1], 200)
    groups[220:] = -1
    faces = judged(np.full((400, 2), 0.5), np.repeat([0, 1], 200), groups)
    weights = balancing(faces, groups=True)
    assert weights[:200].sum() == pytest.approx(weights[200:].sum())


def test_subsets_are_balanced_in_cells() -> None:
    labels, group = np.repeat([0, 0, 1, 1], (10, 4, 4, 2)), np.repeat([0, 1, 0, 1], (10, 4, 4, 2))
    faces = judged(np.ones((20, 2)), labels, group, features=np.zeros((20, 1)))
    rows = LastLayer()._subset(faces, np.ones(20), np.random.default_rng(0))
    assert len(rows) == len(set(rows.tolist())) == 8
    assert np.bincount(labels[rows] * 2 + group[rows]).tolist() == [2, 2, 2, 2]
    weights = balancing(faces, groups=True)
    for c in range(2):
        for g in range(2):
            assert weights[(labels == c) & (group == g)].sum() == pytest.approx(5)
    assert weights.mean() == pytest.approx(1)
    unknown = judged(np.ones((3, 2)), [0, 0, 1], [0, -1, 1])
    assert balancing(unknown, groups=True).tolist() == [0.75, 0.75, 1.5]  # two faces of one class, one of the other


def test_a_cell_of_less_than_a_face_counts_as_a_part_of_one() -> None:
    shares = np.array([[1.0, 0.0]] * 19 + [[0.99, 0.01]] + [[0.0, 1.0]] * 10)
    faces = judged(np.full((30, 2), 0.5), [0] * 20 + [1] * 10, shares)
    weights = balancing(faces, groups=True)
    assert weights[19] == pytest.approx(weights[0], rel=0.25)  # as if its hundredth were a whole face: 20 times
    assert weights.mean() == pytest.approx(1)


def test_heads_of_soft_groups_count_faces_by_how_far_they_are_of_them() -> None:
    rng = np.random.default_rng(0)
    labels, group = rng.integers(0, 2, 400), np.repeat([0, 1], 200)
    x = np.c_[labels * np.where(group == 0, 2, -2) + rng.normal(0, 1, 400), rng.normal(size=400)]
    hard = judged(np.full((400, 2), 0.5), labels, group, features=x)
    one = LastLayer(decoupled=True, balance="classes").fit(hard)
    own = hard.part(np.flatnonzero(group == 0))
    np.testing.assert_allclose(one.heads[0].weight, LastLayer(balance="classes").fit(own).weight, atol=1e-6)
    # Faces of three groups of which none is more than half theirs are dropped by nobody.
    soft = judged(np.full((400, 2), 0.5), labels, np.c_[np.where(group == 0, 0.4, 0.3), np.where(group == 0, 0.3, 0.4)],
                  features=x)  # fmt: skip
    found = LastLayer(decoupled=True, balance="classes").fit(soft)
    assert found.heads[0].weight[1, 0] > found.heads[-1].weight[1, 0] > found.heads[1].weight[1, 0]


def test_a_class_of_a_few_faces_does_not_lack() -> None:
    labels = np.array([0] * 40 + [1] * 3 + [0] * 40 + [1] * 40)
    probs = np.where(labels[:, None] == np.arange(2), 0.55, 0.45)
    probs[40:43] = [0.55, 0.45]  # the three faces of class 1 in group a are missed
    rule = RejectOption().fit(judged(probs, labels, [0] * 43 + [1] * 80))
    assert rule.lack[0, 1] == 0


def test_a_face_alone_chooses_no_margin() -> None:
    """In m a class of one face would be lost at a margin that finds thirty others: the thirty count."""
    sure, narrow, missed = [0.90, 0.06, 0.04], [0.46, 0.44, 0.10], [0.44, 0.46, 0.10]
    rows = [
        ("m", 0, sure, 70),
        ("m", 0, missed, 30),
        ("m", 1, [0.06, 0.90, 0.04], 100),
        ("m", 2, [0.10, 0.44, 0.46], 1),
    ]
    rows += [("f", 0, sure, 100), ("f", 1, [0.06, 0.90, 0.04], 80), ("f", 1, narrow, 20)]
    probs = np.concatenate([np.tile(p, (n, 1)) for _, _, p, n in rows])
    labels = np.repeat([c for _, c, _, _ in rows], [n for *_, n in rows])
    groups = np.repeat([["f", "m"].index(g) for g, *_ in rows], [n for *_, n in rows])
    faces = judged(probs, labels, groups)
    rule = RejectOption().fit(faces)
    after = rule(faces).argmax(1) == labels
    before = faces.probs.argmax(1) == labels
    assert after[groups == 1].mean() > before[groups == 1].mean()
    assert after[groups == 0].mean() >= before[groups == 0].mean()


@pytest.mark.parametrize("n", [1, 5, 19])
def test_a_group_with_a_handful_of_a_class_has_the_head_of_all(n: int) -> None:
    rng = np.random.default_rng(n)
    labels = np.concatenate([np.repeat([0, 1, 2], 150), np.repeat([0, 1, 2], (150, 150, n))])
    group = np.repeat([0, 1], (450, 300 + n))
    x = rng.normal(size=(len(labels), 16)) + 1.2 * np.eye(3, 16)[labels]
    faces = judged(np.ones((len(labels), 3)), labels, group, features=x)
    heads = LastLayer(decoupled=True, balance="classes").fit(faces).heads
    assert heads[1] is heads[2]  # that of all
    assert heads[0] is not heads[2]
    own = LastLayer(decoupled=True, balance="classes", least_of_class=1).fit(faces).heads
    assert own[1] is not own[2]


def test_subsets_of_soft_groups_are_those_of_hard_ones() -> None:
    rng = np.random.default_rng(2)
    labels, group = rng.integers(0, 2, 1200), np.repeat([0, 1], 600)
    x = rng.normal(size=(1200, 3)) + np.where(group == 0, 1.0, -1.0)[:, None] * np.eye(2, 3)[labels]
    hard = judged(np.ones((1200, 2)), labels, group, features=x)
    soft = judged(np.ones((1200, 2)), labels, np.where(np.eye(2)[group] > 0, 0.99, 0.01), features=x)
    for balance in ("classes", "cells"):
        rule = LastLayer(decoupled=True, how="subsets", balance=balance)  # type: ignore[arg-type]
        for one, other in zip(rule.fit(hard).heads[:2], rule.fit(soft).heads[:2], strict=True):
            np.testing.assert_allclose(other.weight, one.weight, atol=0.06)
            assert abs(one.weight).max() > 0.3


def test_idle_options_make_no_other_rule() -> None:
    def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
        return vars(LastLayer(**one)) == vars(LastLayer(**other))

    assert same({"retrains": 5}, {"retrains": 50})  # by weights there are no subsets
    assert same({"seed": 1}, {"seed": 2})
    assert same({"least": 50}, {"least": 60, "least_of_class": 3})  # nor groups' own heads
    assert same({"balance": "faces", "how": "subsets"}, {"balance": "faces"})
    assert not same({"how": "subsets", "retrains": 5}, {"how": "subsets", "retrains": 50})
    assert not same({"penalty": "l1", "seed": 1}, {"penalty": "l1", "seed": 2})
    assert not same({"decoupled": True, "least": 50}, {"decoupled": True})


def test_scores_of_unknown_and_mixed_groups() -> None:
    rule = GroupScores(scale=np.ones(3), matrix=np.stack([np.diag([2.0, 1]), np.diag([1.0, 2]), np.eye(2)]))
    faces = judged([[0.5, 0.5]] * 4, None, [[1, 0], [0, 1], [0, 0], [0.5, 0.5]])
    np.testing.assert_allclose(rule(faces)[:, 0], [2 / 3, 1 / 3, 1 / 2, 1 / 2])
    np.testing.assert_allclose(as_probabilities(np.array([[-1.0, -2.0], [1.0, -1.0]])), [[1, 0], [1, 0]])


def tiny(name: str) -> PostProcessor:
    method = POSTPROCESSORS.get(name)
    needed = [p.name for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    found: PostProcessor = method(**dict.fromkeys(needed, "a"))
    return found


@pytest.mark.parametrize("name", list(POSTPROCESSORS))
def test_every_method_keeps_probabilities_and_ignores_labels(name: str) -> None:
    fit, new = drawn(500, 13), drawn(200, 14)
    rule = tiny(name).fit(fit)
    said = rule(new)
    assert said.shape == new.probs.shape
    assert np.isfinite(said).all()
    np.testing.assert_allclose(said.sum(1), 1)
    other = judged(new.probs, np.zeros(len(new), int), new.groups, features=new.features)
    np.testing.assert_allclose(rule(other), said, atol=1e-12)
    rows = np.arange(len(new))[::-1]
    np.testing.assert_allclose(rule(new.part(rows)), said[::-1], atol=1e-12)  # no face depends on another
    import json

    assert json.loads(json.dumps(rule.as_json()))
    # Groups that are not known are judged as those of all, whatever the method.
    unknown = judged(new.probs, new.labels, np.zeros_like(new.groups), features=new.features)
    assert np.isfinite(rule(unknown)).all()
    if not tiny(name).asks_groups:
        np.testing.assert_allclose(rule(unknown), said)


def test_where_no_margin_is_better_none_is_taken() -> None:
    faces = judged([[0.9, 0.1], [0.1, 0.9]] * 40, [0, 1] * 40, [0] * 40 + [1] * 40)
    assert RejectOption().fit(faces).margin == 0


def test_a_face_that_is_hardly_of_any_group_is_in_no_cell() -> None:
    labels = np.repeat([0, 1], 20)
    groups = np.tile([[0.9, 0.1], [0.1, 0.9]], (20, 1))
    groups[:10] = [0.3, 0.1]  # more likely of none of them
    faces = judged(np.ones((40, 2)), labels, groups, features=np.zeros((40, 1)))
    rows = LastLayer(how="subsets")._subset(faces, np.ones(40), np.random.default_rng(0))
    assert rows.min() >= 10
