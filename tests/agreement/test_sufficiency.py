from itertools import combinations

import numpy as np
import pytest
from voting import CLASSES, round_trip, spread_votes, team_votes

from mien.agreement import Votes, vote_sufficiency
from mien.errors import UsageError
from mien.stats.settings import Settings

TWO = Settings(n_boot=2)
FEW = Settings(n_boot=20)

FIELDS = ("agreement_all", "kl_all", "distance_all", "agreement_others", "distance_others", "agreement_next", "tied")


def tops(votes):
    return votes >= votes.max() - 1e-9


def by_subsets(judgements, t, r):
    """All numbers of one face with every subset of annotators gone through."""
    m = len(judgements)
    every = judgements.sum(0) / m
    found = {f: [] for f in FIELDS}
    for drawn in combinations(range(m), t):
        p = judgements[list(drawn)].sum(0) / t
        a = tops(p)
        found["agreement_all"].append((a & tops(every)).sum() / a.sum())
        found["kl_all"].append(sum(x * np.log(x / y) for x, y in zip(p, every, strict=True) if x > 0))
        found["distance_all"].append(0.5 * np.abs(p - every).sum())
        found["tied"].append(a.sum() > 1)
        rest = [i for i in range(m) if i not in drawn]
        for others in combinations(rest, r):
            q = judgements[list(others)].sum(0) / r
            found["agreement_others"].append((a & tops(q)).sum() / a.sum())
            found["distance_others"].append(0.5 * np.abs(p - q).sum())
        found["agreement_next"] += [(a & tops(judgements[i])).sum() / a.sum() for i in rest]
    return {f: np.mean(v) if v else np.nan for f, v in found.items()}


def test_exact_values_are_those_of_all_subsets():
    counts = np.array([[3, 1, 1, 0], [2, 2, 1, 0], [5, 0, 0, 0], [0, 2, 1, 2], [0, 0, 0, 2]])
    result = vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=FEW)
    assert (result.m, result.r, result.n, result.n_left_out, result.exact) == (5, 2, 4, 1, True)
    faces = [np.repeat(np.eye(4), c, axis=0) for c in counts[:4]]
    for p in result.points:
        expected = [by_subsets(f, p.t, 2) for f in faces]
        for field in FIELDS:
            value = np.mean([e[field] for e in expected])
            assert getattr(p, field).value == pytest.approx(value, nan_ok=True), (p.t, field)


def test_drawn_orders_are_near(monkeypatch):
    counts = np.random.default_rng(0).multinomial(6, [0.4, 0.3, 0.2, 0.1], 40)
    exact = vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=FEW)
    monkeypatch.setattr("mien.agreement.sufficiency._MOST_PAIRS", 0)
    drawn = vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=FEW)
    assert exact.exact
    assert not drawn.exact
    for p, q in zip(exact.points, drawn.points, strict=True):
        for field in FIELDS:
            assert getattr(q, field).value == pytest.approx(getattr(p, field).value, abs=0.015, nan_ok=True)
    order = np.random.default_rng(1).permutation(40)
    assert vote_sufficiency(Votes.from_counts(counts[order], CLASSES), settings=FEW).points == drawn.points


def test_spread_votes_are_subsets_of_annotators():
    face, annotator, rows = spread_votes(np.random.default_rng(1), 30, 4)
    votes = Votes.from_rows(face, annotator, rows, CLASSES)
    result = vote_sufficiency(votes, settings=FEW)
    assert not result.exact
    faces = votes.shares.reshape(30, 4, 4)
    for p in result.points:
        expected = [by_subsets(f, p.t, 2) for f in faces]
        for field in FIELDS:
            value = np.mean([e[field] for e in expected])
            assert getattr(p, field).value == pytest.approx(value, abs=0.04, nan_ok=True), (p.t, field)
    variance = np.mean([f.var(0, ddof=1).sum() for f in faces])
    assert result.points[1].squared_error.value == pytest.approx(variance / 2)


def test_squared_error_is_unbiased_and_reaches_beyond_the_last_vote():
    rng = np.random.default_rng(2)
    taste = rng.dirichlet(np.ones(4), 20_000)
    counts = np.array([rng.multinomial(5, p) for p in taste])
    result = vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=Settings(n_boot=50))
    for t, e in ((5, result.points[4].squared_error), (3, result.points[2].squared_error)):
        votes = counts if t == 5 else np.array([rng.multinomial(3, p) for p in taste])
        assert e.value == pytest.approx(((votes / t - taste) ** 2).sum(1).mean(), rel=0.03)
    sixth = ((np.array([rng.multinomial(6, p) for p in taste]) / 6 - taste) ** 2).sum(1).mean()
    assert result.points[4].squared_error.value - result.next_gain.value == pytest.approx(sixth, rel=0.03)


def test_other_votes_do_not_flatter():
    """Votes at random agree with all of which they are part, and with others by chance only."""
    counts = np.random.default_rng(3).multinomial(10, np.full(4, 0.25), 2000)
    points = vote_sufficiency(Votes.from_counts(counts, CLASSES), settings=Settings(n_boot=50)).points
    assert points[8].agreement_all.value > 0.8
    assert points[9].agreement_all.value == 1
    assert points[9].agreement_all.note == "by construction"
    assert [p.agreement_next.value for p in points[:9]] == pytest.approx([0.25] * 9, abs=0.01)
    others = [p.agreement_others.value for p in points[:5]]
    assert others == pytest.approx([others[0]] * 5, abs=0.01)
    assert np.isnan(points[5].agreement_others.value)
    assert points[5].agreement_others.note == "not enough other votes"


def test_two_votes_are_worth_one():
    votes, _ = team_votes(np.random.default_rng(4), 60, [0.7] * 5)
    one, two = vote_sufficiency(votes, settings=Settings(n_boot=50)).points[:2]
    for field in ("agreement_all", "agreement_others", "agreement_next"):
        assert getattr(one, field).value == pytest.approx(getattr(two, field).value)


def test_intervals_hold_the_truth():
    def sample(rng, n):
        return Votes.from_counts([rng.multinomial(5, p) for p in rng.dirichlet(np.ones(4), n)], CLASSES)

    def numbers(result):
        return [result.points[2].agreement_others, result.points[2].kl_all, result.next_gain, result.last_gain]

    truth = [e.value for e in numbers(vote_sufficiency(sample(np.random.default_rng(99), 10_000), settings=TWO))]
    held = []
    for seed in range(60):
        found = numbers(
            vote_sufficiency(sample(np.random.default_rng(seed), 60), settings=Settings(n_boot=200, seed=seed))
        )
        held.append([e.low <= t <= e.high for e, t in zip(found, truth, strict=True)])
    share = np.mean(held, axis=0)
    assert (share > 0.86).all(), share
    assert share.mean() < 1


def test_which_faces_count():
    words = (*CLASSES, "unknown")
    counts = [[3, 0, 0, 0, 0], [2, 1, 0, 0, 0], [2, 0, 0, 0, 1], [0, 0, 0, 0, 3]]
    missing = vote_sufficiency(Votes.from_counts(counts, words), settings=FEW)
    assert (missing.m, missing.n, missing.n_left_out) == (3, 2, 1)
    assert any("harder" in note for note in missing.notes)
    every = vote_sufficiency(Votes.from_counts(counts, words), unknown="class", settings=FEW)
    assert (every.n, every.n_left_out) == (4, 0)
    assert np.isnan(every.last_gain.value)
    assert round_trip(every)
    with pytest.raises(UsageError, match="0 faces have so many votes"):
        vote_sufficiency(Votes.from_counts(counts, words), 7)
    with pytest.raises(UsageError):
        vote_sufficiency(Votes.from_counts([[1, 0]], ("a", "b")))
