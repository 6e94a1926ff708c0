"""Alpha and kappa against the worked examples of their authors, pairs counted by hand, and simulated truth."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from voting import CLASSES, PREVALENCE, round_trip, spread_votes

from mien.agreement import Votes, cohen_kappa, fleiss_kappa, krippendorff_alpha
from mien.errors import DataError, UsageError
from mien.stats.intervals import wilson
from mien.stats.resampling import bootstrap_estimates, mean_estimates
from mien.stats.settings import Settings

TWO = Settings(n_boot=2)
FEW = Settings(n_boot=20)
SOME = Settings(n_boot=50)

# Krippendorff (2011), section C: four observers, twelve units, 0 is missing.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)
# Fleiss (1971), table 1: the diagnoses 1 to 5 that six psychiatrists gave each of 30 patients.
DIAGNOSES = """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
    333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"""


def observed(rows=OBSERVERS):
    a, n = rows.shape
    choice = [None if v == 0 else int(v) for v in rows.ravel()]
    return Votes.from_choices(np.tile(np.arange(n), a), np.repeat(list("ABCDEFGH")[:a], n), choice, tuple("12345"))


def diagnoses():
    digits = np.array([[int(d) for d in patient] for patient in DIAGNOSES.split()])
    return np.stack([(digits == k).sum(1) for k in range(1, 6)], axis=1)


@pytest.mark.parametrize(("metric", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_example(metric, value):
    result = krippendorff_alpha(observed(), metric, settings=SOME)
    assert result.alpha.value == pytest.approx(value, abs=5e-4)
    assert (result.n, result.n_left_out, result.n_judgements, result.n_annotators) == (11, 1, 40, 4)
    assert "only 11 independent faces" in result.alpha.note


def test_krippendorffs_example_of_two_observers():
    binary = observed(np.array([[1, 2, 1, 1, 1, 1, 1, 1, 2, 1], [2, 2, 2, 1, 1, 2, 1, 1, 1, 1]]))
    assert krippendorff_alpha(binary, settings=FEW).alpha.value == pytest.approx(0.095, abs=5e-4)
    words = ["aabbdcccedda", "babbbccceddd"]
    votes = Votes.from_choices(list(range(12)) * 2, ["x"] * 12 + ["y"] * 12, list("".join(words)), tuple("abcde"))
    assert krippendorff_alpha(votes, settings=FEW).alpha.value == pytest.approx(0.692, abs=5e-4)


def by_pairs(face, shares, difference):
    """Alpha with every pair of judgements gone through."""
    sizes = np.bincount(face)
    use = sizes[face] >= 2
    face, shares = face[use], shares[use]
    apart = np.array([[difference(p, q) for q in shares] for p in shares])
    same = face[:, None] == face[None, :]
    within = (apart * same / (sizes[face] - 1)[:, None]).sum() / len(face)
    return 1 - within / (apart.sum() / (len(face) * (len(face) - 1)))


@pytest.mark.parametrize("metric", ["nominal", "interval"])
def test_spread_votes_by_pairs(metric):
    face, annotator, rows = spread_votes(np.random.default_rng(0), 12, 4)
    keep = np.random.default_rng(1).random(len(face)) < 0.8
    words = ("0", "1", "2", "5")
    votes = Votes.from_rows(face[keep], annotator[keep], rows[keep], words)
    scale = np.array([0.0, 1, 2, 5])

    def rao(p, q):
        """Rao's dissimilarity, from the differences of single values."""
        d = (scale[:, None] - scale) ** 2 if metric == "interval" else 1.0 - np.eye(4)
        return p @ d @ q - 0.5 * (p @ d @ p + q @ d @ q)

    result = krippendorff_alpha(votes, metric, settings=FEW)
    assert result.alpha.value == pytest.approx(by_pairs(votes.face, votes.shares, rao))
    assert "one judgement" in result.notes[0]


def test_annotators_who_spread_alike_agree():
    face, annotator, rows = spread_votes(np.random.default_rng(0), 10, 1)
    votes = Votes.from_rows(np.tile(face, 2), ["x"] * 10 + ["y"] * 10, np.tile(rows, (2, 1)), CLASSES)
    for metric_votes in (
        votes,
        Votes.from_rows(np.tile(face, 2), ["x"] * 10 + ["y"] * 10, np.tile(rows, (2, 1)) * 3, CLASSES),
    ):
        assert krippendorff_alpha(metric_votes, settings=FEW).alpha.value == pytest.approx(1)


def test_ordinal_and_nominal_are_one_for_two_values():
    votes = observed(np.clip(OBSERVERS, 0, 2))
    alphas = [
        krippendorff_alpha(votes, metric, settings=FEW).alpha.value for metric in ("nominal", "ordinal", "interval")
    ]
    assert alphas == pytest.approx([alphas[0]] * 3)


def test_fleiss_example():
    result = fleiss_kappa(Votes.from_counts(diagnoses(), tuple("12345")), settings=Settings(n_boot=100))
    assert result.kappa.value == pytest.approx(0.4302445, abs=1e-6)
    assert result.agreement.value == pytest.approx(0.5556, abs=1e-4)
    assert result.chance.value == pytest.approx(0.220, abs=5e-4)
    by_class = [e.value for e in result.by_class.values()]
    assert by_class == pytest.approx([0.24476, 0.24476, 0.52, 0.47113, 0.56612], abs=1e-5)
    assert result.kappa.low < 0.43 < result.kappa.high
    assert result.notes == []


def test_unequal_numbers_of_votes():
    counts = np.array([[2, 0], [1, 2], [0, 4], [1, 0], [0, 0]])
    result = fleiss_kappa(Votes.from_counts(counts, ("a", "b")), settings=FEW)
    agreement, p = (1 + 1 / 3 + 1) / 3, (1 + 1 / 3 + 0 + 1) / 4
    chance = p**2 + (1 - p) ** 2
    assert result.agreement.value == pytest.approx(agreement)
    assert result.chance.value == pytest.approx(chance)
    # Each part is the mean over its own faces.
    assert result.kappa.value == pytest.approx((agreement - chance) / (1 - chance))
    assert (result.n, result.n_left_out, result.fewest, result.most) == (3, 2, 2, 4)
    assert "2 to 4 votes" in result.notes[0]


def test_kappa_nears_alpha_with_many_faces():
    counts = np.random.default_rng(0).multinomial(5, [0.5, 0.3, 0.2], 3000)
    votes = Votes.from_counts(counts, ("a", "b", "c"))
    alpha, kappa = (
        krippendorff_alpha(votes, settings=FEW),
        fleiss_kappa(votes, settings=FEW),
    )
    assert alpha.alpha.value == pytest.approx(kappa.kappa.value, abs=2e-4)
    assert abs(kappa.kappa.value) < 0.03  # votes at random


def test_kappa_refuses_spread_votes():
    votes = Votes.from_rows(*spread_votes(np.random.default_rng(0), 5, 2), CLASSES)
    with pytest.raises(DataError, match="Use krippendorff_alpha"):
        fleiss_kappa(votes)


def test_undefined_is_nan_with_a_reason():
    alike = Votes.from_counts([[3, 0]] * 5, ("a", "b"))
    alpha, kappa = (
        krippendorff_alpha(alike, settings=FEW),
        fleiss_kappa(alike, settings=FEW),
    )
    assert np.isnan(alpha.alpha.value)
    assert "nothing to agree on" in alpha.alpha.note
    assert np.isnan(alpha.by_class["a"].value)
    assert np.isnan(kappa.kappa.value)
    assert kappa.agreement.value == 1
    single = Votes.from_counts([[1, 0], [0, 1]], ("a", "b"))
    for result in (
        krippendorff_alpha(single, settings=FEW).alpha,
        fleiss_kappa(single, settings=FEW).kappa,
    ):
        assert np.isnan(result.value)
        assert result.note.startswith("no face has two")
    nothing = Votes.from_counts(np.zeros((0, 2)), ("a", "b"))
    assert np.isnan(krippendorff_alpha(nothing, "nominal", settings=FEW).alpha.value)
    rare = Votes.from_counts([[3, 1, 0], [4, 0, 0], [2, 2, 0]] * 10, ("a", "b", "c"))
    assert np.isnan(fleiss_kappa(rare, settings=FEW).by_class["c"].value)
    with pytest.raises(UsageError, match="metric"):
        krippendorff_alpha(rare, "ratio")


def test_a_class_that_no_two_annotators_of_a_face_judge_is_undefined():
    counts = np.array([[3, 0, 0], [2, 1, 0], [0, 3, 0], [1, 2, 0], [0, 0, 1], [0, 0, 1]])
    votes = Votes.from_counts(counts, ("joy", "calm", "fear"))
    kappa, alpha = (
        fleiss_kappa(votes, settings=FEW),
        krippendorff_alpha(votes, settings=FEW),
    )
    for found in (kappa.by_class["fear"], alpha.by_class["fear"]):
        assert np.isnan(found.value)
        assert found.note
    # Disagreement of joy (0 + 1/3 + 0 + 1/3) / 4 on faces with two votes or more, its share 1/3 on all.
    assert kappa.by_class["joy"].value == pytest.approx(1 - (1 / 6) / (2 / 9))
    # Only faces with one vote have another class: nothing says whether people agree on either.
    lone = Votes.from_counts([[3, 0], [2, 0], [0, 1]], ("joy", "calm"))
    kappa = fleiss_kappa(lone, settings=FEW)
    for found in (kappa.kappa, *kappa.by_class.values(), krippendorff_alpha(lone, settings=FEW).alpha):
        assert np.isnan(found.value)
    assert kappa.kappa.note == "all votes are for one class"


def test_ordinal_words_ascend_as_they_are_listed():
    bins = ("0-9", "10-19", "20-29", "30+")
    rng = np.random.default_rng(3)
    counts = rng.multinomial(5, [0.4, 0.3, 0.2, 0.1], 40)
    numbers = krippendorff_alpha(Votes.from_counts(counts, tuple("0123")), "ordinal", settings=FEW)
    words = krippendorff_alpha(Votes.from_counts(counts, bins), "ordinal", settings=FEW)
    assert words == numbers
    other = krippendorff_alpha(Votes.from_counts(counts[:, ::2], bins[::2]), "ordinal", settings=FEW)
    assert other.alpha.value != words.alpha.value
    with pytest.raises(UsageError, match="expected numbers"):
        krippendorff_alpha(Votes.from_counts(counts, bins), "interval")


def test_nothing_depends_on_the_order_of_rows():
    rng = np.random.default_rng(2)
    counts = rng.multinomial(6, [0.5, 0.3, 0.2], 60)
    order = rng.permutation(60)
    cluster = rng.integers(0, 40, 60)
    first = Votes.from_counts(counts, ("a", "b", "c"), cluster=cluster)
    second = Votes.from_counts(counts[order], ("a", "b", "c"), cluster=cluster[order])
    settings = Settings(n_boot=50, seed=3)
    for measure in (krippendorff_alpha, fleiss_kappa):
        assert measure(first, settings=settings) == measure(second, settings=settings)
    face, annotator, rows = spread_votes(rng, 30, 3)
    order = rng.permutation(90)
    third = Votes.from_rows(face, annotator, rows, tuple("1234"))
    fourth = Votes.from_rows(face[order], annotator[order], rows[order], tuple("1234"))
    for metric in ("nominal", "ordinal"):
        assert krippendorff_alpha(third, metric, settings=SOME) == krippendorff_alpha(fourth, metric, settings=SOME)


def test_copies_as_one_unit_leave_the_interval_as_it_was():
    counts = np.random.default_rng(0).multinomial(6, [0.5, 0.3, 0.2], 80)
    once = fleiss_kappa(Votes.from_counts(counts, ("a", "b", "c")), settings=Settings(n_boot=200))
    twice = np.repeat(counts, 2, axis=0)
    joined = Votes.from_counts(twice, ("a", "b", "c"), cluster=np.repeat(np.arange(80), 2))
    found = fleiss_kappa(joined, settings=Settings(n_boot=200))
    assert (found.kappa.low, found.kappa.high) == pytest.approx((once.kappa.low, once.kappa.high))
    assert (found.kappa.n, found.kappa.clusters) == (160, 80)
    apart = fleiss_kappa(Votes.from_counts(twice, ("a", "b", "c")), settings=Settings(n_boot=200)).kappa
    assert apart.high - apart.low < 0.85 * (once.kappa.high - once.kappa.low)


def test_intervals_hold_the_truth():
    def faces(rng, n):
        return np.array([rng.multinomial(5, p) for p in rng.dirichlet(PREVALENCE * 3, n)])

    population = Votes.from_counts(faces(np.random.default_rng(99), 40_000), CLASSES)
    truth = [
        krippendorff_alpha(population, settings=TWO).alpha.value,
        fleiss_kappa(population, settings=TWO).kappa.value,
    ]
    held = []
    for seed in range(100):
        votes = Votes.from_counts(faces(np.random.default_rng(seed), 60), CLASSES)
        found = [
            krippendorff_alpha(votes, settings=Settings(n_boot=200, seed=seed)).alpha,
            fleiss_kappa(votes, settings=Settings(n_boot=200, seed=seed)).kappa,
        ]
        held.append([e.low <= t <= e.high for e, t in zip(found, truth, strict=True)])
    share = np.mean(held, axis=0)
    assert (share > 0.88).all(), share
    assert (share < 1).all(), share


def test_results_survive_json():
    assert round_trip(krippendorff_alpha(observed(), settings=FEW))
    assert round_trip(fleiss_kappa(Votes.from_counts([[1, 0], [0, 1]], ("a", "b")), settings=FEW))


def test_bootstrap_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(2.0, 1.0, (400, 1))
    found = mean_estimates(values, None, Settings(n_boot=4000), "test")[0]
    reach = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.012)
    # Draws of numbers of alike units follow the same law as draws of units.
    rounded = np.round(values)
    few = mean_estimates(rounded, None, Settings(n_boot=4000), "test")[0]
    reach = 1.96 * rounded.std() / 20
    assert (few.low, few.high) == pytest.approx((rounded.mean() - reach, rounded.mean() + reach), abs=0.012)


def test_intervals_where_nothing_varies():
    how = Settings(n_boot=50)
    share = mean_estimates(np.zeros((30, 1)), None, how, "test", shares=True)[0]
    assert (share.low, share.high) == pytest.approx(wilson(0.0, 30, 0.95))
    assert share.high == pytest.approx(0.1135, abs=1e-4)
    plain_mean = mean_estimates(np.full((30, 1), 0.4), None, how, "test")[0]
    assert np.isnan(plain_mean.low)
    assert "alike" in plain_mean.note
    assert "one unit" in mean_estimates(np.ones((3, 1)), np.zeros(3, dtype=np.int64), how, "test")[0].note
    lost = bootstrap_estimates(
        np.eye(8), None, lambda s: np.where(s[:, :1] > 0, s[:, :1] / s.sum(1)[:, None], np.nan), how, "test"
    )
    assert "replicates are undefined" in lost[0].note
    with pytest.raises(UsageError, match="level"):
        Settings(level=1.5)
    with pytest.raises(UsageError, match="n_boot"):
        Settings(n_boot=0)


def two(a, b, cluster=None):
    """Votes of two for the words a, b and c; None is none."""
    n = len(a)
    units = None if cluster is None else np.tile(cluster, 2)
    return Votes.from_choices([*range(n)] * 2, ["x"] * n + ["y"] * n, [*a, *b], tuple("abc"), cluster=units)


def large_sample_error(p, n):
    """Standard error of Cohen's kappa: Fleiss, Cohen and Everitt (1969), equation 13."""
    row, column, agreed = p.sum(1), p.sum(0), np.trace(p)
    chance = row @ column
    main = (np.diag(p) * ((1 - chance) - (row + column) * (1 - agreed)) ** 2).sum()
    rest = (1 - agreed) ** 2 * ((p - np.diag(np.diag(p))) * (column[:, None] + row[None]) ** 2).sum()
    variance = main + rest - (agreed * chance - 2 * chance + agreed) ** 2
    return np.sqrt(variance / n) / (1 - chance) ** 2


def test_cohens_kappa_is_sklearns_over_the_faces_that_both_judged():
    rng = np.random.default_rng(0)
    a = rng.choice(list("abc"), 150)
    b = np.where(rng.random(150) < 0.7, a, rng.choice(list("abc"), 150, p=[0.6, 0.2, 0.2]))
    a, b = a.astype(object), b.astype(object)
    a[:4], b[3:9] = None, None
    found = cohen_kappa(two(a, b), settings=Settings(n_boot=400))
    both = [i for i in range(150) if a[i] and b[i]]
    assert found.value == pytest.approx(cohen_kappa_score(list(a[both]), list(b[both])))
    assert found.n == found.clusters == 141
    assert found.low < found.value < found.high
    p = np.array([[np.mean((a[both] == i) & (b[both] == j)) for j in "abc"] for i in "abc"])
    assert found.high - found.low == pytest.approx(2 * 1.96 * large_sample_error(p, 141), rel=0.15)
    twice = cohen_kappa(two(np.repeat(a, 2), np.repeat(b, 2), np.repeat(np.arange(150), 2)), settings=SOME)
    assert twice.clusters == 141
    assert twice.value == pytest.approx(found.value)


def test_cohens_kappa_where_all_agree_or_nothing_can_be_told():
    full = cohen_kappa(two("abab" * 10, "abab" * 10), settings=SOME)
    assert full.value == full.high == 1
    low = wilson(40, 40)[0]
    assert full.low == pytest.approx((low - 0.5) / 0.5)
    assert np.isnan(cohen_kappa(two("aaa", "aaa"), settings=SOME).value)
    assert cohen_kappa(two([None, "a"], ["b", None]), settings=SOME).note == "no face was judged by both"
    with pytest.raises(UsageError, match="of 4 annotators, expected those of two"):
        cohen_kappa(observed())
    with pytest.raises(DataError, match="spread their votes"):
        cohen_kappa(Votes.from_rows([0, 0], ["x", "y"], [[1, 1], [0, 2]], ("a", "b")))
