from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from voting import CLASSES, round_trip, team_votes

from mien.agreement import Votes, exchange_p, find_outliers
from mien.agreement.exchange import LOWEST_P
from mien.agreement.summary import summarise, summary_text
from mien.errors import UsageError
from mien.stats.settings import Settings

HONEST = [0.8] * 10


def gone_through(pools, own):
    """The p-value with every exchange gone through."""
    choices = [row[~np.isnan(row)] for row in pools]
    sums = [sum(c) for c in product(*choices)]
    return np.mean(np.array(sums) <= own.sum() + 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_exchange_is_exact(seed):
    rng = np.random.default_rng(seed)
    pools = rng.integers(0, 4, (6, 4)) / 3 if seed % 2 else rng.random((6, 4))
    pools[:2, 3] = np.nan
    own = pools[:, seed % 3]
    rounding = 0.0 if seed % 2 else 0.02  # scores without a common unit are rounded
    assert exchange_p(pools, own) == pytest.approx(gone_through(pools, own), abs=1e-9 + rounding)


def test_exchange_of_many_faces_is_normal():
    rng = np.random.default_rng(0)
    pools = rng.integers(0, 3, (5000, 5)) / 2.0
    sd = np.sqrt(pools.var(1).sum())
    for z in (-3.0, -1.0, 0.0, 2.0):
        own = pools.mean(1) + z * sd / 5000
        own = pools[np.arange(5000), np.abs(pools - own[:, None]).argmin(1)]
        exact = (own.sum() - pools.mean(1).sum()) / sd
        assert exchange_p(pools, own) == pytest.approx(NormalDist().cdf(exact), abs=0.01)
    assert exchange_p(pools, pools.min(1)) == LOWEST_P
    assert exchange_p(pools, pools.max(1)) == pytest.approx(1)
    assert exchange_p(np.ones((5, 3)), np.ones(5)) == 1
    assert exchange_p(np.zeros((0, 3)), np.zeros(0)) == 1


def test_p_values_are_uniform_at_most_where_all_are_alike():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(400):
        votes = rng.integers(0, 3, (25, 4)) == rng.integers(0, 3, (25, 1))
        scores = ((votes[:, :, None] == votes[:, None, :]).sum(2) - 1) / 3
        p.append(exchange_p(scores, scores[:, 0]))
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p) <= level) < level + 3 * np.sqrt(level * (1 - level) / 400)
    assert 0.5 < np.mean(p) < 0.66  # sums take few values, so the test is a little cautious


def test_honest_annotators_are_left_alone_and_odd_ones_found():
    alarms, found = 0, 0
    for seed in range(25):
        votes, _ = team_votes(np.random.default_rng(seed), 150, HONEST, m=4)
        honest = find_outliers(votes, margin=0.0, settings=Settings(n_boot=2), n_fits=0)
        alarms += bool(honest.flagged)
        votes, _ = team_votes(np.random.default_rng(seed), 150, [*HONEST[1:], 0.3], m=4)
        result = find_outliers(votes, settings=Settings(n_boot=2), n_fits=0)
        alarms += any(a.name != "a9" for a in result.flagged)
        found += any(a.name == "a9" and a.flags == ["agreement"] for a in result.flagged)
    assert alarms <= 6  # 50 chances at 5 % at most
    assert found >= 24


def test_reasons_and_intervals():
    rng = np.random.default_rng(3)
    votes, _ = team_votes(rng, 300, HONEST, m=4, unknown=0.03, seconds=True)
    who = np.array(votes.annotators)[votes.named()]
    rows, seconds = votes.votes.copy(), votes.seconds.copy()
    rows[(who == "a1") & (rng.random(len(who)) < 0.3)] = np.eye(5)[4]
    seconds[who == "a2"] /= 4
    seconds[who == "a3"] = np.nan
    result = find_outliers(
        Votes.from_rows(votes.face, who, rows, votes.vocabulary, seconds=seconds),
        settings=Settings(n_boot=200),
        n_fits=20,
    )
    by_name = {a.name: a for a in result.annotators}
    assert {a.name: a.flags for a in result.flagged} == {"a1": ["unknown"], "a2": ["speed"]}
    assert by_name["a1"].unknown_difference.low > 0.15
    assert by_name["a2"].pace.low < 0.25 < by_name["a2"].pace.high
    assert by_name["a4"].seconds.value == pytest.approx(np.e, rel=0.15)
    assert np.isnan(by_name["a3"].pace.value)
    assert "speed" not in by_name["a3"].p
    assert result.n_tests == 29
    held = [a.accuracy.low <= 0.8 <= a.accuracy.high for a in result.annotators]
    assert sum(held) >= 7
    assert all(a.difference.low < 0.05 for a in result.annotators if a.name != "a1")
    assert round_trip(result)


def test_agreement_by_hand():
    votes = Votes.from_rows(
        [0, 0, 0, 1, 1, 2], ["x", "y", "z", "x", "y", "z"],
        [[1, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 0]], ("a", "b"),
    )  # fmt: skip
    result = find_outliers(votes, settings=Settings(n_boot=10), n_fits=5)
    x, y, z = result.annotators
    assert x.agreement.value == pytest.approx((0.5 + 0.75) / 2)
    assert y.agreement.value == pytest.approx((0.5 + 0.75) / 2)
    assert z.agreement.value == 0
    assert x.difference.value == pytest.approx((0.5 - 0.25 + 0.0) / 2)
    assert z.difference.value == pytest.approx(-0.5)
    assert (z.n, z.n_shared) == (2, 1)
    assert all(a.too_few and not a.p and not a.flags for a in result.annotators)
    assert "Too few shared faces to test the agreement (fewer than 20): x, y, z." in result.notes
    assert np.isnan(x.unknown.value)
    assert x.unknown.note == "nobody could vote for it"


def test_nobody_is_accurate_on_faces_that_nobody_else_judged():
    votes = Votes.from_rows([0, 0, 1, 1, 2, 3], list("xyxyzz"), np.eye(2)[[0, 0, 1, 1, 0, 1]], ("a", "b"))
    x, _, z = find_outliers(votes, settings=Settings(n_boot=10), n_fits=5).annotators
    assert (z.n, z.n_shared) == (2, 0)
    assert np.isnan(z.accuracy.value)
    assert z.accuracy.note == "no shared face"
    assert x.accuracy.value > 0.5


def test_two_annotators_cannot_be_told_apart():
    votes, _ = team_votes(np.random.default_rng(0), 200, [0.95, 0.1])
    result = find_outliers(votes, settings=Settings(n_boot=10), n_fits=5)
    assert not result.flagged
    assert [a.p["agreement"] for a in result.annotators] == [1.0, 1.0]
    assert any("who of two" in note for note in result.notes)


def test_copies_enter_the_tests_once():
    votes, _ = team_votes(np.random.default_rng(5), 60, [*HONEST[:5], 0.5], m=4)
    who, word = np.array(votes.annotators)[votes.named()], votes.votes
    once = find_outliers(votes, settings=Settings(n_boot=50), n_fits=0)
    twice = Votes.from_rows(
        np.concatenate([votes.face, votes.face + 1000]), np.tile(who, 2), np.tile(word, (2, 1)), CLASSES,
        cluster=np.tile(votes.face, 2),
    )  # fmt: skip
    copied = find_outliers(twice, settings=Settings(n_boot=50), n_fits=0)
    assert [a.p for a in copied.annotators] == [pytest.approx(a.p) for a in once.annotators]
    assert copied.annotators[0].agreement.clusters == once.annotators[0].agreement.clusters


def test_settings_are_checked():
    votes, _ = team_votes(np.random.default_rng(0), 5, [0.9, 0.9])
    for wrong in ({"alpha": 0}, {"margin": -0.1}, {"pace": 0}, {"min_faces": 1}):
        with pytest.raises(UsageError):
            find_outliers(votes, **wrong)


def test_who_always_says_unknown_is_said_to(tmp_path):
    """Such a rater shares few judged faces: the agreement cannot be tested, and the share of unknown can."""
    face, who, word = [], [], []
    for f in range(60):
        for name in ("A", "B", "C", "D"):
            face.append(f)
            who.append(name)
            word.append("unknown" if name == "D" and f < 50 else ("joy", "calm")[f % 2])
    votes = Votes.from_choices(face, who, word, ("joy", "calm", "unknown"))
    found = find_outliers(votes, settings=Settings(n_boot=20), n_fits=0)
    odd = found.annotators[3]
    assert odd.too_few
    assert odd.flags == ["unknown"]
    text = summary_text(summarise(votes, "mine", settings=Settings(n_boot=20)))
    row = next(line for line in text.splitlines() if line.startswith("| D "))
    assert row.rstrip(" |").endswith("unknown")
