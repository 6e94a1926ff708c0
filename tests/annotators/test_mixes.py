"""Merged groups: how they are mistaken hangs on the mix of their parts, and on how surely that is known."""

from __future__ import annotations

import numpy as np
import pytest

from mien.annotators.base import Perceived, with_merged
from mien.annotators.holdout import Holdout, holdout_of
from mien.annotators.mixes import Mix, group_mix, mix_of
from mien.audit import AnnotatorError
from mien.audit.inferred.shares import corrected_shares
from mien.demographics import GENDER, RACE, RACE4
from mien.stats.settings import Settings

WHITE, MIDDLE_EASTERN = RACE.groups.index("White"), RACE.groups.index("Middle Eastern")


def test_the_mix_of_groups_is_found_behind_often_confused_ones() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([[0.6, 0.4, 0.0], [0.3, 0.4, 0.3], [0.0, 0.5, 0.5]])
    mix = np.array([0.2, 0.1, 0.7])
    perceived = rng.multinomial(2_000_000, mix @ rates)
    np.testing.assert_allclose(group_mix(perceived, 1000 * rates), mix, atol=0.02)
    assert abs(perceived[2] / 2_000_000 - mix[2]) > 0.2  # counting does not find it
    never = np.array([[10, 0], [0, 0]])
    np.testing.assert_allclose(group_mix(np.array([3, 1]), never), [0.75, 0.25])


def _of_parts() -> Holdout:
    """Two parts of 'White' err differently."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, 14_000)
    gender = rng.integers(0, 2, 14_000)
    wrong = rng.random(14_000) < np.where(truth == RACE.groups.index("Middle Eastern"), 0.4, 0.05)
    said = np.where(wrong, RACE.groups.index("Indian"), truth)
    probs = {"race": np.eye(7, dtype=np.float32)[said], "gender": np.eye(2, dtype=np.float32)[gender]}
    names = {"race": np.array(RACE.groups, dtype=object)[truth], "gender": np.array(GENDER.groups, object)[gender]}
    return holdout_of(names, Perceived(with_merged(probs)), (RACE, RACE4.head, GENDER), np.arange(14_000), "toy")


def test_how_a_merged_group_is_mistaken_follows_its_parts() -> None:
    known = _of_parts()
    plain = np.array(known.errors()["perceived_race4"]["counts"], dtype=float)
    plain /= plain.sum(1, keepdims=True)
    mix = np.eye(7)[RACE.groups.index("White")] * 0.7 + np.eye(7)[RACE.groups.index("Black")] * 0.3
    errors = known.errors(None, {"race": Mix(mix, np.stack([mix] * 3), True)})
    here = AnnotatorError.from_content(errors["perceived_race4"], "toy")
    assert here.groups == list(RACE4.head.groups)
    assert plain[0, 3] == pytest.approx(0.05 + 0.35 / 3, abs=0.02)
    assert here.rates[0, 3] == pytest.approx(0.05, abs=0.015)
    assert here.n[0] == pytest.approx((known.truth["race"] == 0).sum())
    np.testing.assert_allclose(here.rates[2], plain[2], atol=0.01)  # nobody of 'Asian' is there: as counted
    crossed = AnnotatorError.from_content(errors["perceived_gender*perceived_race4"], "toy")
    assert crossed.rates[0, 3] == pytest.approx(0.05, abs=0.02)
    within = errors["perceived_race4"]["within"]["perceived_gender"]["Male"]
    assert within["rates"][0][3] == pytest.approx(0.05, abs=0.02)
    assert "counts" in errors["perceived_gender"]


def test_merged_shares_hold_the_truth_where_the_mix_differs() -> None:
    """With counts as they are the intervals would be of another mix of White faces."""
    known = _of_parts()
    rng = np.random.default_rng(1)
    mix = np.array([0.75, 0.1, 0.0, 0.05, 0.0, 0.1, 0.0])
    truth = rng.choice(7, 8000, p=mix)
    said = np.where(rng.random(8000) < 0.05, RACE.groups.index("Indian"), truth)
    confusion = known.counts("race")
    found = mix_of(np.bincount(said, minlength=7), confusion)
    assert found.told
    np.testing.assert_allclose(found.shares, mix, atol=0.02)
    np.testing.assert_allclose(found.draws.mean(0), mix, atol=0.02)
    coarse = np.array([RACE4.head.groups.index(RACE4.to[g]) for g in RACE.groups])[said]
    for mixes, holds in (({"race": found}, True), ({}, False)):
        error = AnnotatorError.from_content(known.errors(None, mixes)["perceived_race4"], "toy")
        share = corrected_shares(coarse, error, settings=Settings(n_boot=300))["White"]
        assert (share.low <= 0.75 <= share.high) == holds


def test_a_mix_that_cannot_be_told_leaves_every_mix_open() -> None:
    known = _of_parts()
    confusion = known.counts("race")
    # Nobody is perceived as Indian, which no mix explains: of every group 5 % are, at the least.
    found = mix_of(np.array([1500, 500, 0, 0, 0, 0, 0]), confusion)
    assert not found.told
    errors = known.errors(None, {"race": found})["perceived_race4"]
    row = AnnotatorError.from_content(errors, "toy")
    # Equal parts of White (5 % wrong), Latino_Hispanic (5 %) and Middle Eastern (40 %) on average ...
    assert row.rates[0, 3] == pytest.approx(0.5 / 3, abs=0.02)
    # ... and any share of them: uniform mixes of three parts have a third of (1/3)(2/3)/2 as variance.
    spread = 0.35**2 * (1 / 3) * (2 / 3) / 4
    assert row.n[0] == pytest.approx(row.rates[0, 3] * (1 - row.rates[0, 3]) / spread, rel=0.35)
    assert row.n[1] == pytest.approx((known.truth["race"] == 1).sum())  # Black is made of one part
    assert "in any mix, which widens the intervals, for the mix of race here cannot be told" in errors["note"]
    assert "White holds White, Latino_Hispanic, Middle Eastern" in errors["note"]


def test_groups_that_are_hardly_told_apart_leave_every_mix_open() -> None:
    blurred = np.array([[520, 480], [480, 520]])  # condition number 25
    assert not mix_of(np.array([5000, 5000]), blurred).told
    assert mix_of(np.array([5000, 5000]), np.array([[900, 100], [100, 900]])).told


def test_an_uncertain_mix_widens_what_follows_from_it() -> None:
    known = _of_parts()
    sure = np.eye(7)[WHITE]
    swayed = np.stack([sure, 0.5 * sure + 0.5 * np.eye(7)[MIDDLE_EASTERN]] * 20)
    errors = [known.errors(None, {"race": Mix(sure, d, True)})["perceived_race4"] for d in (swayed, swayed[::2])]
    open_, closed = (AnnotatorError.from_content(e, "toy") for e in errors)
    np.testing.assert_allclose(open_.rates, closed.rates)
    assert open_.n[0] < 20 < 1000 < closed.n[0]
    assert "whose uncertainty is counted in" in errors[0]["note"]


def test_intervals_of_merged_shares_hold_when_few_faces_tell_the_mix() -> None:
    """120 faces a race to count errors on: with the mix taken as known, too narrow."""
    rng = np.random.default_rng(3)
    rates = np.full((7, 7), 0.06) + np.eye(7) * 0.58
    rates[MIDDLE_EASTERN] = 0.1
    rates[MIDDLE_EASTERN, [MIDDLE_EASTERN, RACE.groups.index("Indian")]] = 0.25
    rates /= rates.sum(1, keepdims=True)
    mix = np.array([0.35, 0.15, 0.05, 0.05, 0.05, 0.1, 0.25])
    held = {"known": 0, "drawn": 0}
    coarse_of = np.array([RACE4.head.groups.index(RACE4.to[g]) for g in RACE.groups])
    truth_share = mix[coarse_of == 0].sum()
    for _ in range(60):
        truth = np.repeat(np.arange(7), 120)
        said = (rng.random((len(truth), 1)) > rates[truth].cumsum(1)).sum(1).clip(0, 6)
        names = {"race": np.array(RACE.groups, dtype=object)[truth]}
        probs = with_merged({"race": np.eye(7, dtype=np.float32)[said]})
        known = holdout_of(names, Perceived(probs), (RACE, RACE4.head), np.arange(len(truth)), "toy")
        here = rng.choice(7, 1500, p=mix)
        seen = (rng.random((1500, 1)) > rates[here].cumsum(1)).sum(1).clip(0, 6)
        found = mix_of(np.bincount(seen, minlength=7), known.counts("race"))
        for name, given in (("drawn", found), ("known", Mix(found.shares, found.draws[:0], True))):
            error = AnnotatorError.from_content(known.errors(None, {"race": given})["perceived_race4"], "toy")
            share = corrected_shares(coarse_of[seen], error, settings=Settings(n_boot=300))["White"]
            held[name] += share.low <= truth_share <= share.high
    assert held["drawn"] >= 52
    assert held["drawn"] > held["known"]
