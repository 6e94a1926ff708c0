"""Weights by the size of cells, against what one reckons by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.mitigation.faces import Faces
from mien.mitigation.reweighting import Reweighting
from mien.stats.memberships import cell_weights


def faces(labels: list[int], groups: list[int | None] | None = None, k: int = 2, g: int = 2) -> Faces:
    shares = np.zeros((len(labels), 0 if groups is None else g), np.float32)
    for i, group in enumerate(groups or []):
        if group is not None:
            shares[i, group] = 1
    return Faces(
        rows=np.arange(len(labels)),
        targets=np.eye(k, dtype=np.float32)[labels],
        classes={"expression": tuple("abcdef"[:k])},
        groups=shares,
        attributes={} if groups is None else {"gender": tuple("fmxyz"[:g])},
    )


@pytest.mark.parametrize(("exponent", "common", "rare"), [(1, 2 / 3, 2), (0.5, 0.845299, 1.464102), (0, 1, 1)])
def test_six_and_two(exponent: float, common: float, rare: float) -> None:
    weights = Reweighting(faces([0] * 6 + [1] * 2), exponent=exponent).sample_weights()
    np.testing.assert_allclose(weights, [common] * 6 + [rare] * 2, rtol=1e-6)


def test_class_and_group_each_by_itself() -> None:
    # Olate 2025: N / (K n) of the class, 2/3 or 2, times that of the group, 2/3 or 2; their mean is 8/9.
    told = faces([0, 1, 0, 0], [0, 0, 0, 1])
    np.testing.assert_allclose(
        Reweighting(told, by=("gender",), product=True).sample_weights(), [0.5, 1.5, 0.5, 1.5], rtol=1e-6
    )
    limited = Reweighting(told, by=("gender",), product=True, least=0.9, clip=1.1).sample_weights()
    np.testing.assert_allclose(limited, [0.9, 1.1, 0.9, 1.1], rtol=1e-6)
    unknown = Reweighting(faces([0, 0, 0, 0], [0, 0, 1, None]), by=("gender",), product=True).sample_weights()
    np.testing.assert_allclose(unknown / unknown[3], [0.75, 0.75, 1.5, 1], rtol=1e-6)  # the mean of the known


def test_a_class_counts_once_whatever_the_number_of_attributes() -> None:
    # Two classes of 900 and 100; gender and race are independent, in halves.
    labels = np.array([0] * 900 + [1] * 100)
    gender, race = np.arange(1000) % 2, np.arange(1000) // 2 % 2
    told = Faces(
        rows=np.arange(1000),
        targets=np.eye(2, dtype=np.float32)[labels],
        classes={"expression": ("a", "b")},
        groups=np.concatenate([np.eye(2, dtype=np.float32)[gender], np.eye(2, dtype=np.float32)[race]], 1),
        attributes={"gender": ("f", "m"), "race": ("x", "y")},
    )
    weights = Reweighting(told, by=("gender", "race")).sample_weights()
    assert weights[labels == 0].sum() == pytest.approx(500, rel=1e-5)
    assert weights[labels == 1].sum() == pytest.approx(500, rel=1e-5)
    alone = Reweighting(told, by=("gender", "race"), exponent=0.5).sample_weights()
    assert alone[labels == 1].sum() / alone[labels == 0].sum() == pytest.approx(1 / 3, rel=1e-5)


def test_cells_of_class_and_group_weigh_the_same_together() -> None:
    labels, groups = [0] * 6 + [1] * 4, [0, 0, 0, 0, 0, 1, 0, 1, 1, 1]
    weights = Reweighting(faces(labels, groups), by=("gender",)).sample_weights()
    cells = {(c, g): weights[(np.array(labels) == c) & (np.array(groups) == g)].sum() for c in (0, 1) for g in (0, 1)}
    np.testing.assert_allclose(list(cells.values()), 2.5, rtol=1e-6)
    alone = Reweighting(faces(labels, groups), by=("gender",), classes=False).sample_weights()
    assert alone[np.array(groups) == 0].sum() == pytest.approx(5)
    assert alone[np.array(groups) == 1].sum() == pytest.approx(5)


def test_a_face_of_no_known_group_weighs_as_its_class_does() -> None:
    weights = Reweighting(faces([0, 0, 0, 1, 0], [0, 0, 1, 1, None]), by=("gender",)).sample_weights()
    # Four faces of class 0 in cells as its three known ones: 8/3, 4/3 and 1 faces weigh 3/8, 3/4, 1; its mean is 1/2.
    np.testing.assert_allclose(weights / weights[0], [1, 1, 2, 8 / 3, 4 / 3], rtol=1e-6)
    nobody = Reweighting(faces([0, 0, 1], [None, None, None]), by=("gender",)).sample_weights()
    np.testing.assert_allclose(nobody, 1)


@pytest.mark.parametrize("known", [200, 100, 20, 2, 0])
def test_a_class_is_no_rarer_for_its_groups_being_less_often_known(known: int) -> None:
    classes, groups = np.repeat(np.eye(2), 200, axis=0), np.tile(np.eye(2), (200, 1))
    groups[200 + known :] = 0
    weights = cell_weights(classes, groups, 1.0)
    assert weights[:200].sum() == pytest.approx(weights[200:].sum())
    # A rare class stays rare: one in ten of the faces, one of ten of whose groups is known.
    classes, groups = np.repeat(np.eye(2), [360, 40], axis=0), np.tile(np.eye(2), (200, 1))
    groups[364:] = 0
    weights = cell_weights(classes, groups, 1.0)
    assert weights[360:].mean() / weights[:360].mean() == pytest.approx(9)


def test_soft_targets_and_groups_belong_to_cells_by_their_shares() -> None:
    # Two faces that are half of each class are one face of each.
    weights = cell_weights(np.array([[1.0, 0], [0.5, 0.5], [0.5, 0.5]]), np.ones((3, 1)), 1.0)
    np.testing.assert_allclose(weights / weights[0], [1, 1.5, 1.5], rtol=1e-9)  # n = (2, 1): 1/2, and (1/2 + 1) / 2


def test_the_largest_weight_is_clipped() -> None:
    weights = Reweighting(faces([0] * 99 + [1]), clip=2.0).sample_weights()
    assert weights[-1] / weights[0] == pytest.approx(2 / (100 / 198), rel=1e-5)
    assert weights.mean() == pytest.approx(1, rel=1e-5)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, 0, 1, 2])), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_weights_are_positive_and_of_mean_one(rows: list[tuple[int, int | None]], exponent: float) -> None:
    some = faces([c for c, _ in rows], [g for _, g in rows], k=4, g=3)
    weights = Reweighting(some, by=("gender",), exponent=exponent).sample_weights()
    assert (weights > 0).all()
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    order = np.random.default_rng(0).permutation(len(rows))
    turned = faces([rows[i][0] for i in order], [rows[i][1] for i in order], k=4, g=3)
    again = Reweighting(turned, by=("gender",), exponent=exponent).sample_weights()
    np.testing.assert_allclose(again, weights[order], rtol=1e-5)


def test_a_tenth_of_a_face_weighs_no_more_than_a_face() -> None:
    targets = np.zeros((4000, 3))
    targets[:, 0] = 1
    targets[2000:, :2] = [0, 1]
    targets[0] = [0.9, 0, 0.1]  # the only share of the third class
    weights = cell_weights(targets, np.ones((4000, 1)), 1.0)
    assert weights[0] / weights[1] == pytest.approx((0.9 / 1999.9 + 0.1) * 1999.9, rel=1e-6)


def test_of_several_heads_a_class_is_one_of_each_together() -> None:
    heads = [(0, 0)] * 3 + [(0, 1)] + [(1, 0)] * 2 + [(1, 2)] * 2
    targets = np.array([[*np.eye(2)[a], *np.eye(3)[b]] for a, b in heads], np.float32)
    both = Faces(
        rows=np.arange(8),
        targets=targets,
        classes={"gender": ("f", "m"), "age": ("young", "middle", "old")},
        groups=np.zeros((8, 0), np.float32),
    )
    # Four combinations of 3, 1, 2 and 2 faces share the weight 8: 2 each, whatever the number of classes.
    np.testing.assert_allclose(Reweighting(both).sample_weights(), [2 / 3] * 3 + [2] + [1] * 4, rtol=1e-6)
