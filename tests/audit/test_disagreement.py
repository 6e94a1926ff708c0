import numpy as np
import pytest
from audit_simulation import predictions
from test_confounders import check_plain

from mien.audit.disagreement import (
    AGREEMENT,
    EDGES,
    ONE_VOTE,
    agreement,
    annotator_ceiling,
    disagreement_analysis,
)
from mien.errors import DataError, UsageError
from mien.stats.settings import Settings

K = 3
TOP = np.arange(4, 11)  # votes of ten for the annotated class


def ten_votes(rng, labels, top):
    """Ten votes, ``top`` of them for the annotated class, the others for one or both other classes."""
    first = rng.binomial(10 - top, 0.5)
    first = np.where(np.maximum(first, 10 - top - first) >= top, (10 - top) // 2, first)
    votes = np.zeros((len(labels), K))
    rows = np.arange(len(labels))
    votes[rows, labels] = top
    votes[rows, (labels + 1) % K] = first
    votes[rows, (labels + 2) % K] = 10 - top - first
    return votes


def annotated(rng, n=1500, *, mixes=None, gap=0.0, clustered=False):
    """Two groups; the chance to be right rises with agreement and is ``gap`` less in the second group."""
    group = rng.integers(0, 2, n)
    mixes = np.full((2, len(TOP)), 1 / len(TOP)) if mixes is None else np.asarray(mixes)
    top = TOP[(mixes[group].cumsum(1) > rng.random((n, 1))).argmax(1)]
    labels = rng.integers(0, K, n)
    right = rng.random(n) < 0.45 + 0.05 * top - gap * group
    predicted = np.where(right, labels, (labels + rng.integers(1, K, n)) % K)
    cluster = rng.integers(0, n // 2, n) if clustered else None
    return predictions(
        labels, predicted, {"age": np.array(["a", "b"])[group]}, cluster, K, votes=ten_votes(rng, labels, top)
    )


CLEAR, UNCLEAR = [0.02, 0.02, 0.06, 0.1, 0.2, 0.25, 0.35], [0.25, 0.25, 0.2, 0.1, 0.1, 0.05, 0.05]


def test_agreement():
    assert agreement(np.array([[7, 3], [5, 5], [0.2, 0.8]])).tolist() == [0.7, 0.5, 0.8]
    assert np.isnan(agreement(np.zeros((1, 2)))[0])


def brute_force(votes):
    ballots = [k for k, m in enumerate(votes) for _ in range(int(m))]
    chance = 0.0
    for i, mine in enumerate(ballots):
        others = np.bincount(ballots[:i] + ballots[i + 1 :], minlength=len(votes))
        modes = np.flatnonzero(others == others.max())
        chance += (mine in modes) / len(modes)
    return chance / len(ballots)


def test_ceiling_against_each_annotator_left_out():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(rng.integers(2, 11, 60), [0.5, 0.3, 0.15, 0.05]).astype(float)
    np.testing.assert_allclose(annotator_ceiling(votes), [brute_force(v) for v in votes])
    known = annotator_ceiling(np.array([[10.0, 0], [1, 1], [5, 5], [2, 1], [1, 0], [0, 0]]))
    # Of two who differ each meets the other only; of five against five the majority is always the others'.
    np.testing.assert_allclose(known[:4], [1, 0, 0, 1 / 3])
    assert np.isnan(known[4:]).all()


def test_a_drawn_annotator_reaches_the_ceiling():
    """One annotator more, against the majority of the rest: as often right as the ceiling of all says."""
    rng = np.random.default_rng(1)
    n = 40_000
    chances = rng.dirichlet([2, 1, 1], n)
    votes = rng.multinomial(9, chances)
    one = (chances.cumsum(1) > rng.random((n, 1))).argmax(1)
    top = votes == votes.max(1, keepdims=True)
    agrees = (top[np.arange(n), one] / top.sum(1)).mean()
    all_ten = votes.copy()
    all_ten[np.arange(n), one] += 1
    assert annotator_ceiling(all_ten.astype(float)).mean() == pytest.approx(agrees, abs=0.01)


def test_wrong_and_ambiguous_by_hand():
    votes = np.array([[6, 3, 1], [6, 2, 2], [9, 1, 0], [10, 0, 0], [5, 5, 0], [4, 4, 2]] * 20, dtype=float)
    predicted = np.array([1, 2, 1, 2, 1, 0] * 20)  # two votes or more: ambiguous; one or none: wrong
    group = np.repeat(["a", "b"], 60)
    result = disagreement_analysis(
        predictions(np.zeros(120), predicted, {"age": group}, votes=votes, n_classes=3),
        "age",
        settings=Settings(n_boot=100),
    )
    one = result.groups[0]
    assert (one.n, one.too_few) == (60, False)
    assert (one.right.value, one.ambiguous.value, one.wrong.value) == pytest.approx((1 / 6, 3 / 6, 2 / 6))
    assert one.agreement.value == pytest.approx(np.mean([0.6, 0.6, 0.9, 1, 0.5, 0.4]))
    assert one.ceiling.value == pytest.approx(np.mean([brute_force(v) for v in votes[:6]]))
    assert one.above_ceiling.value == pytest.approx(one.right.value - one.ceiling.value)
    assert result.wrong_gap.value == 0
    strict = disagreement_analysis(
        predictions(np.zeros(120), predicted, {"age": group}, votes=votes, n_classes=3),
        "age",
        ambiguous=0.3,
        settings=Settings(n_boot=100),
    )
    assert strict.groups[0].wrong.value == pytest.approx(3 / 6)


def test_bins_hold_the_upper_end_and_are_merged_where_few():
    rng = np.random.default_rng(2)
    top = np.repeat(TOP, [40, 40, 40, 4, 40, 40, 40])
    labels = np.zeros(len(top), dtype=int)
    group = np.array(["a", "b"])[np.arange(len(top)) % 2]
    votes = ten_votes(rng, labels, top)
    pred = predictions(labels, labels, {"age": group}, votes=votes, n_classes=K)
    result = disagreement_analysis(pred, "age", settings=Settings(n_boot=50))
    # Two faces a group with seven votes go to a neighbour: those with six (the smaller one below, or equal).
    assert [(b.low, b.high) for b in result.bins] == [(0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1)]
    assert [b.accuracy["a"].n for b in result.bins] == [40, 22, 20, 20, 20]
    coarse = disagreement_analysis(pred, "age", edges=(0.7, 1), settings=Settings(n_boot=50))
    assert [b.accuracy["a"].n for b in coarse.bins] == [62, 60]
    assert coarse.gap.strata == "2 bins of agreement"


@pytest.mark.parametrize(("gap", "mixes"), [(0.0, [CLEAR, UNCLEAR]), (0.12, None), (0.1, [CLEAR, UNCLEAR])])
def test_the_share_that_disagreement_explains(gap, mixes):
    """Ambiguous faces, a worse model, or both: what remains is the model's part."""
    rng = np.random.default_rng(3)
    n_sims, covered, raw, remaining = 120, 0, [], []
    for seed in range(n_sims):
        found = disagreement_analysis(
            annotated(rng, mixes=mixes, gap=gap), "age", settings=Settings(n_boot=150, seed=seed)
        ).gap
        covered += found.adjusted.low <= gap <= found.adjusted.high
        raw.append(found.raw.value)
        remaining.append(found.remaining.value)
    assert covered / n_sims >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sims)
    assert np.mean(remaining) == pytest.approx(gap, abs=0.012)
    truth = 0.0 if mixes is None else 0.05 * ((np.array(CLEAR) - UNCLEAR) @ TOP)
    assert np.mean(raw) == pytest.approx(gap + truth, abs=0.012)


def test_what_people_read():
    result = disagreement_analysis(annotated(np.random.default_rng(4), 6000, mixes=[CLEAR, UNCLEAR], gap=0.1), "age")
    gap = result.gap
    share = gap.shares[AGREEMENT]
    assert 0.3 < share.low < share.value < share.high < 0.8
    split, errors, ceiling = result.sentences
    assert split.startswith(f"Of the accuracy gap of {gap.compared.value:.3f} (b below a), {gap.parts[AGREEMENT]}")
    assert f"({share.value:.0%}) goes with the annotators' own disagreement" in split
    assert split.endswith("remains among faces on which they agree alike.")
    assert (result.wrong_most, result.wrong_least) == ("b", "a")
    assert result.wrong_gap.value == pytest.approx(result.groups[1].wrong.value - result.groups[0].wrong.value)
    assert f"a gap of {result.wrong_gap}" in errors
    assert "less often than a single annotator" in ceiling
    for one in result.groups:
        assert one.right.value + one.ambiguous.value + one.wrong.value == pytest.approx(1)
    check_plain(result)


def test_an_unclear_gap_is_not_split():
    result = disagreement_analysis(annotated(np.random.default_rng(5), 500), "age", settings=Settings(n_boot=100))
    assert "not clearly away from 0, so it is not split" in result.sentences[0]
    assert np.isnan(result.gap.shares[AGREEMENT].value)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_order_of_rows_does_not_matter(clustered):
    rng = np.random.default_rng(6)
    pred = annotated(rng, 700, gap=0.15, clustered=clustered)
    one = disagreement_analysis(pred, "age", settings=Settings(n_boot=100))
    other = disagreement_analysis(pred.select(rng.permutation(700)), "age", settings=Settings(n_boot=100))
    pairs = [(one.gap.remaining, other.gap.remaining), (one.wrong_gap, other.wrong_gap)]
    pairs += [(one.groups[0].above_ceiling, other.groups[0].above_ceiling)]
    for x, y in pairs:
        assert (x.value, x.low, x.high) == pytest.approx((y.value, y.low, y.high), abs=1e-9)


def test_one_annotator_shows_no_disagreement():
    rng = np.random.default_rng(7)
    labels = rng.integers(0, K, 200)
    group = np.array(["a", "b"])[np.arange(200) % 2]
    pred = predictions(labels, labels, {"age": group}, votes=np.eye(K)[labels], n_classes=K)
    result = disagreement_analysis(pred, "age", settings=Settings(n_boot=50))
    assert (result.n, result.n_single, result.sentences) == (0, 200, [ONE_VOTE])
    assert result.gap is None
    assert np.isnan([result.wrong_gap.value, result.groups[0].right.value, result.groups[0].ceiling.value]).all()


def test_faces_without_votes_and_small_groups():
    pred = annotated(np.random.default_rng(8), 400, gap=0.1)
    pred.votes[:30] = 0
    pred.votes[30:40] = [1, 0, 0]
    pred.groups["age"] = pred.groups["age"].where(np.arange(400) >= 60, "child").where(np.arange(400) < 395)
    result = disagreement_analysis(pred, "age", settings=Settings(n_boot=50))
    assert (result.n, result.n_without, result.n_single) == (395 - 40, 30, 10)
    assert [(g.name, g.too_few) for g in result.groups] == [("a", False), ("b", False), ("child", True)]
    assert [g.name for g in result.gap.groups] == ["a", "b"]
    assert "child" in result.bins[0].accuracy
    alone = disagreement_analysis(pred, "age", settings=Settings(min_n=300, n_boot=50))
    assert alone.gap is None
    assert alone.wrong_gap.note == "fewer than two groups with enough faces"
    assert alone.sentences == ["Fewer than two groups have enough faces to compare."]


def test_shares_of_votes_have_no_ceiling():
    pred = annotated(np.random.default_rng(9), 600)
    counts = disagreement_analysis(pred, "age", settings=Settings(n_boot=50))
    pred.votes[:] /= 10
    shares = disagreement_analysis(pred, "age", settings=Settings(n_boot=50))
    assert shares.groups[0].wrong.value == counts.groups[0].wrong.value
    assert [b.accuracy["a"].n for b in shares.bins] == [b.accuracy["a"].n for b in counts.bins]
    assert shares.groups[0].ceiling.note == "the votes are shares, not counts"
    assert np.isnan(shares.groups[0].above_ceiling.value)
    assert len(shares.sentences) == 2
    assert any("shares, not counts" in note for note in shares.notes)


def test_few_votes_a_face_are_noted():
    rng = np.random.default_rng(10)
    votes = rng.multinomial(3, [0.6, 0.3, 0.1], 300).astype(float)
    pred = predictions(votes.argmax(1), np.zeros(300), {"age": ["a", "b"] * 150}, votes=votes, n_classes=K)
    assert any(
        "one vote is 20%" in note for note in disagreement_analysis(pred, "age", settings=Settings(n_boot=50)).notes
    )
    assert not any(
        "one vote" in n for n in disagreement_analysis(annotated(rng, 300), "age", settings=Settings(n_boot=50)).notes
    )


def test_refusals():
    pred = annotated(np.random.default_rng(11), 100)
    bare = predictions(pred.labels, pred.predicted, {"age": pred.groups["age"]}, n_classes=K)
    with pytest.raises(DataError, match="no annotators' votes.*votes_<class>"):
        disagreement_analysis(bare, "age")
    with pytest.raises(UsageError, match="edges"):
        disagreement_analysis(pred, "age", edges=(0.5, 0.9))
    with pytest.raises(UsageError, match="edges"):
        disagreement_analysis(pred, "age", edges=(0.9, 0.5, 1))
    with pytest.raises(UsageError, match="ambiguous"):
        disagreement_analysis(pred, "age", ambiguous=0)
    with pytest.raises(UsageError, match="n_boot"):
        disagreement_analysis(pred, "age", settings=Settings(n_boot=0))
    assert EDGES[-1] == 1
