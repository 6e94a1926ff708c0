"""N-hot labels, cleaning, classes of one's own, complexity, posterior means: by hand, and the sources' counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.data.datasets.ferplus import read_votes
from mien.errors import LabelError
from mien.labels import FER2013_CLASSES, FERPLUS_CLASSES, FERPLUS_VOCABULARY, label_scheme, scheme_names
from mien.labels.cleaning import cleaned_away
from mien.labels.complexity import complexity, n_modes, vote_columns
from mien.labels.posterior import dirichlet_multinomial, fitted_prior
from mien.labels.ties import drawn_order

ABC = ("a", "b", "c", "d")


def encode(name, rows, vocabulary=ABC, faces=None, **options):
    return label_scheme(name, vocabulary, options).targets(np.array(rows, dtype=float), vocabulary, faces)


def ferplus(**counts):
    return [float(counts.get(word, 0)) for word in FERPLUS_VOCABULARY]


# --- N-hot ------------------------------------------------------------------------------------------


def test_n_hot_keeps_the_largest_and_divides_by_their_sum():
    row = [[5, 3, 2, 0]]
    np.testing.assert_allclose(encode("n_hot", row, n=1).probs, [[1, 0, 0, 0]])
    np.testing.assert_allclose(encode("n_hot", row, n=2).probs, [[5 / 8, 3 / 8, 0, 0]], atol=1e-7)
    for n in (3, 4, 8):
        np.testing.assert_allclose(encode("n_hot", row, n=n).probs, [[0.5, 0.3, 0.2, 0]], atol=1e-7)
    assert encode("n_hot", [[0, 0, 0, 0]]).dropped == {"no votes": 1}


def test_ties_at_the_cut_are_drawn_once_a_face_and_a_seed():
    faces = [f"face {i}" for i in range(3000)]
    rows = [[4, 2, 2, 2]] * 3000
    drawn = encode("n_hot", rows, faces=faces, n=2)
    np.testing.assert_allclose(drawn.probs[:, 0], 4 / 6, atol=1e-6)
    chosen = drawn.probs[:, 1:].argmax(1)
    assert ((drawn.probs > 0).sum(1) == 2).all()
    # 1000 each, standard deviation 25.8
    assert np.abs(np.bincount(chosen) - 1000).max() < 110
    np.testing.assert_array_equal(encode("n_hot", rows, faces=faces, n=2).probs, drawn.probs)
    other = encode("n_hot", rows, faces=faces, n=2, seed=1).probs[:, 1:].argmax(1)
    assert 0.27 < (other == chosen).mean() < 0.40
    order = np.random.default_rng(0).permutation(3000)[:500]
    part = encode("n_hot", [rows[i] for i in order], faces=[faces[i] for i in order], n=2)
    np.testing.assert_array_equal(part.probs, drawn.probs[order])
    assert len(np.unique(encode("n_hot", rows, faces=["one picture"] * 3000, n=1).probs, axis=0)) == 1


def test_the_number_of_modes_is_told():
    found = encode("n_hot", [[3, 3, 1, 0], [5, 0, 0, 0], [2, 2, 2, 2], [0, 0, 0, 0]], n=1)
    assert found.n_modes.tolist() == [2, 1, 4, 0]
    assert (found.probs[:3].max(1) == 1).all()
    assert encode("majority", [[3, 3, 1, 0]]).n_modes.tolist() == [2]


def test_places_are_drawn_among_equals_only():
    place = drawn_order(np.array([[3.0, 1, 3, 0, 0], [2, 2, 2, 1, 5]]), ["x", "y"], seed=4)
    assert sorted(place[0, [0, 2]].tolist()) == [0, 1]
    assert place[0, [1, 3, 4]].tolist() == [0, 0, 0]
    assert sorted(place[1, :3].tolist()) == [0, 1, 2]
    assert place[1, 3:].tolist() == [0, 0]


# --- Cleaning ---------------------------------------------------------------------------------------


def test_cleaning_by_hand():
    unknown, nf = np.array([0, 5, 4, 2, 1, 4, 0.0]), np.array([1, 0, 0, 2, 2, 1, 4.0])
    kept = {
        c: (cleaned_away(unknown, nf, c) == "").astype(int).tolist() for c in ("none", "education", "sum", "either")
    }
    assert kept == {
        "none": [1] * 7,
        "education": [0, 0, 1, 0, 0, 0, 0],
        "sum": [1, 0, 0, 0, 1, 0, 0],
        "either": [1, 0, 0, 1, 1, 0, 0],
    }


def test_cleaning_comes_before_the_rule_and_is_counted():
    rows = [ferplus(happiness=6, unknown=2, nf=2), ferplus(happiness=7, unknown=3), ferplus(nf=10)]
    for name in ("majority", "distribution", "n_hot", "multi_target", "posterior_mean"):
        options = {"prior": 0.1} if name == "posterior_mean" else {}
        found = encode(name, rows, FERPLUS_VOCABULARY, clean="sum", **options)
        assert found.keep.tolist() == [False, True, False], name
        assert found.dropped == {"more than three unknown or not-a-face votes": 2}, name


# --- Classes ----------------------------------------------------------------------------------------


def test_some_classes_in_an_order_of_ones_own():
    rows = [[6, 3, 1, 0], [1, 7, 2, 0], [0, 0, 9, 1], [4, 0, 0, 4]]
    found = encode("distribution", rows, classes=["c", "a"])
    np.testing.assert_allclose(found.probs, [[1 / 7, 6 / 7], [0, 0], [1, 0], [0, 1]], atol=1e-6)
    assert found.dropped == {"labelled b, which is none of the classes": 1}
    assert encode("majority", rows, classes=["c", "a"]).dropped == {
        "labelled b, which is none of the classes": 1,
        "tied votes": 1,
    }


def test_labels_or_votes_are_joined():
    # Two for each of two joined classes, three for a third.
    row, classes = [[2, 2, 3, 0]], {"ab": ["a", "b"], "c": ["c"]}
    after, before = (encode("majority", row, classes=classes, map=m) for m in ("labels", "votes"))
    np.testing.assert_array_equal(after.probs, [[0, 1]])
    np.testing.assert_array_equal(before.probs, [[1, 0]])
    # Not named, d still takes part in the vote.
    found = encode("majority", [[2, 2, 1, 5]], classes=classes, map="votes")
    assert found.dropped == {"labelled d, which is none of the classes": 1}
    # A tie of two that are joined is a tie of labels and none of votes.
    assert encode("majority", [[4, 4, 2, 0]], classes=classes).dropped == {"tied votes": 1}
    np.testing.assert_array_equal(encode("majority", [[4, 4, 2, 0]], classes=classes, map="votes").probs, [[1, 0]])


def test_votes_joined_before_n_hot_leave_no_tie_to_draw():
    found = encode("n_hot", [[3, 3, 4, 0]], n=1, classes={"ab": ["a", "b"], "c": "c"}, map="votes")
    np.testing.assert_array_equal(found.probs, [[1, 0]])
    assert found.n_modes.tolist() == [1]


def test_ferplus_rules_on_joined_votes_see_single_votes_after_joining():
    row = [ferplus(fear=1, anger=1, neutral=3, surprise=5)]
    classes = {"negative": ["fear", "anger", "sadness", "disgust", "contempt"], "calm": ["neutral"], "up": ["surprise"]}
    after, before = (
        encode("ferplus_distribution", row, FERPLUS_VOCABULARY, classes=classes, map=m) for m in ("labels", "votes")
    )
    # S = 8: 5 + 3 are all of it. Joined first, S = 10 and 5 + 3 = 8 >= 7.5: the two votes are not reached either.
    np.testing.assert_allclose(after.probs, [[0, 3 / 8, 5 / 8]], atol=1e-6)
    np.testing.assert_allclose(before.probs, after.probs, atol=1e-6)
    row = [ferplus(fear=1, anger=1, sadness=1, surprise=3, unknown=4)]
    assert encode("ferplus_majority", row, FERPLUS_VOCABULARY, classes=classes).dropped == {"unknown or not a face": 1}
    # Three of ten for each: no entry has more than half.
    joined = encode("ferplus_majority", row, FERPLUS_VOCABULARY, classes=classes, map="votes")
    assert joined.dropped == {"no majority": 1}


def test_votes_for_joined_classes_are_summed_and_derived_classes_have_none():
    rows = np.array([[1.0, 2, 3, 4]])
    for joined in ("labels", "votes"):
        scheme = label_scheme("majority", ABC, {"classes": {"x": ["d", "a"], "y": ["b"]}, "map": joined})
        assert scheme.classes == ("x", "y")
        np.testing.assert_array_equal(scheme.class_votes(rows, ABC), [[5, 2]])
    part = label_scheme("edu_code", FERPLUS_VOCABULARY, {"classes": ["angry", "neutral"]})
    assert part.class_votes(np.ones((1, 10)), FERPLUS_VOCABULARY) is None


def test_every_scheme_takes_classes():
    named = {"binary_happy_sad", "four_class"}
    for name in set(scheme_names()) - named:
        vocabulary = FER2013_CLASSES if name == "fer2013" else FERPLUS_VOCABULARY
        own = label_scheme(name, vocabulary).classes
        scheme = label_scheme(name, vocabulary, {"classes": {"one": own[1:], "other": own[:1]}})
        assert scheme.classes == ("one", "other"), name


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "bb"], r"'bb' is none of the classes of 'majority'\. Did you mean 'b'"),
        ({"x": ["a"], "y": ["a", "b"]}, "'a' is in 'x' and in 'y', expected each in one class"),
        ({"x": []}, "one or more classes, each of one or more"),
        ([], "one or more classes"),
        (["a", "A"], "a, A, expected each class once, under any spelling"),
    ],
)
def test_impossible_classes_are_refused(classes, message):
    with pytest.raises(LabelError, match=message):
        label_scheme("majority", ABC, {"classes": classes})


def test_source_2s_tasks_on_fer2013s_own_labels():
    found = encode("binary_happy_sad", np.eye(7), FER2013_CLASSES)
    assert label_scheme("binary_happy_sad", FER2013_CLASSES).classes == ("happy", "sad")
    assert found.keep.tolist() == [c in ("happy", "sad") for c in FER2013_CLASSES]
    four = encode("four_class", np.eye(7), FER2013_CLASSES)
    assert four.probs.argmax(1)[four.keep].tolist() == [0, 1, 2, 3]
    assert label_scheme("four_class", FERPLUS_VOCABULARY).classes == ("angry", "fear", "happy", "sad")


def test_multi_target_with_single_votes_struck_out_is_ferpluss():
    rng = np.random.default_rng(3)
    rows = [rng.multinomial(10, p) for p in rng.dirichlet(np.full(10, 0.3), 500)]
    own = encode("ferplus_multi_target", rows, FERPLUS_VOCABULARY)
    ours = encode("multi_target", rows, FERPLUS_VOCABULARY, outliers=1)
    np.testing.assert_array_equal(own.probs, ours.probs)
    assert own.dropped == ours.dropped
    np.testing.assert_allclose(encode("multi_target", [[5, 3, 2, 0]]).probs, [[5 / 8, 3 / 8, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(encode("multi_target", [[5, 3, 2, 0]], share=0.2).probs, [[0.5, 0.3, 0.2, 0]], atol=1e-6)


# --- Complexity -------------------------------------------------------------------------------------


def test_complexity_counts_expressions_and_no_unknown():
    rows = np.array([ferplus(happiness=4, fear=4, unknown=1, nf=1), ferplus(nf=10), ferplus(neutral=10)])
    assert complexity(rows, FERPLUS_VOCABULARY).tolist() == [2, 0, 1]
    assert n_modes(rows, FERPLUS_VOCABULARY).tolist() == [2, 0, 1]
    assert set(vote_columns(rows, FERPLUS_VOCABULARY)) == {"complexity", "n_modes"}
    assert vote_columns(np.eye(7), FER2013_CLASSES) == {}  # one label a face says nothing


# --- Posterior means ----------------------------------------------------------------------------------


def test_the_posterior_mean_by_hand():
    found = encode("posterior_mean", [[6, 3, 1, 0], [0, 0, 0, 0]], prior=0.5)
    np.testing.assert_allclose(found.probs[0], np.array([6.5, 3.5, 1.5, 0.5]) / 12, atol=1e-6)
    assert found.dropped == {"no votes": 1}
    by_name = encode("posterior_mean", [[1, 0, 0, 0]], prior={"a": 1, "b": 2, "d": 1, "c": 4})
    np.testing.assert_allclose(by_name.probs[0], np.array([2, 2, 4, 1]) / 9, atol=1e-6)
    with pytest.raises(LabelError, match="names a, b, expected each of a, b, c, d"):
        label_scheme("posterior_mean", ABC, {"prior": {"a": 1, "b": 1}})


def test_the_fitted_prior_is_the_one_that_drew_the_votes_and_no_other_is_likelier():
    rng = np.random.default_rng(0)
    truth = np.array([1.2, 0.6, 0.3, 0.1])
    votes = np.array([rng.multinomial(10, p) for p in rng.dirichlet(truth, 8000)], dtype=float)
    prior = fitted_prior(votes)
    np.testing.assert_allclose(prior, truth, rtol=0.08)
    best = dirichlet_multinomial(votes, prior, np.ones(len(votes)))
    for k in range(4):
        for factor in (0.99, 1.01):
            other = prior.copy()
            other[k] *= factor
            assert dirichlet_multinomial(votes, other, np.ones(len(votes))) < best


@pytest.mark.parametrize("strength", [1, 50, 500])
def test_the_prior_is_found_also_where_faces_hardly_differ(strength):
    rng = np.random.default_rng(0)
    mean = np.array([0.4, 0.3, 0.2, 0.1])
    votes = np.array([rng.multinomial(10, p) for p in rng.dirichlet(mean * strength, 3000)], dtype=float)
    prior, each = fitted_prior(votes), np.ones(len(votes))
    best = dirichlet_multinomial(votes, prior, each)
    # The likelihood is nearly flat along the sum, and what the votes tell of it is little where it is large.
    assert all(dirichlet_multinomial(votes, prior * f, each) < best for f in (0.98, 0.995, 1.005, 1.02))
    np.testing.assert_allclose(prior / prior.sum(), mean, atol=0.02)
    assert strength / 1.3 < prior.sum() < strength * 1.3 or strength > 100


def test_a_prior_is_fitted_to_training_votes_or_not_at_all():
    scheme = label_scheme("posterior_mean", ABC)
    rows = np.array([[5, 5, 0, 0], [9, 1, 0, 0], [2, 2, 3, 3], [0, 1, 1, 8.0]])
    with pytest.raises(LabelError, match=r"learns from training votes.*labels\.evaluate"):
        scheme.targets(rows, ABC)
    fitted = scheme.fitted(rows, ABC)
    prior = fitted_prior(rows)
    np.testing.assert_allclose(fitted.targets(rows, ABC).probs, (rows + prior) / (10 + prior.sum()), atol=1e-6)
    assert fitted.fitted(rows[:1], ABC) is fitted
    assert fitted.learnt == dict(zip(ABC, prior.tolist(), strict=True))
    assert scheme.learnt == label_scheme("posterior_mean", ABC, {"prior": 0.3}).fitted(rows, ABC).learnt == {}
    part = label_scheme("posterior_mean", ABC, {"classes": ["b", "a"]}).fitted(rows, ABC)
    first = (rows[0] + prior)[[1, 0]]
    np.testing.assert_allclose(part.targets(rows, ABC).probs[0], first / first.sum(), atol=1e-6)
    assert part.learnt == fitted.learnt  # it is fitted to all votes, and cut afterwards
    with pytest.raises(LabelError, match="no face has two votes.*Give the prior"):
        scheme.fitted(np.eye(4), ABC)


# --- The sources' counts --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_votes(real_data: Path):
    frame = read_votes(real_data / "fer2013new.csv")
    return frame["usage"].to_numpy(), frame[[f"votes_{v}" for v in FERPLUS_VOCABULARY]].to_numpy(float)


@pytest.mark.real_data
def test_cleaning_keeps_the_sources_numbers(real_votes):
    usage, rows = real_votes
    kept = {
        clean: encode("distribution", rows, FERPLUS_VOCABULARY, clean=clean).keep
        for clean in ("education", "sum", "either")
    }
    assert {clean: int(k.sum()) for clean, k in kept.items()} == {"education": 35_459, "sum": 35_393, "either": 35_402}
    by_usage = [int(kept["sum"][usage == u].sum()) for u in ("Training", "PublicTest", "PrivateTest")]
    assert by_usage == [28_317, 3_541, 3_535]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("clean", "counts"),
    [("sum", [9_298, 13_300, 8_340, 3_459, 874, 118, 4]), ("either", [9_299, 13_305, 8_342, 3_460, 874, 118, 4])],
)
def test_complexity_has_the_sources_histogram(real_votes, clean, counts):
    kept = encode("distribution", real_votes[1], FERPLUS_VOCABULARY, clean=clean).keep
    assert np.bincount(complexity(real_votes[1][kept], FERPLUS_VOCABULARY)).tolist() == [0, *counts]


@pytest.mark.real_data
def test_n_hot_changes_as_many_faces_as_have_more_expressions(real_votes):
    rows = real_votes[1]
    whole = encode("distribution", rows, FERPLUS_VOCABULARY, clean="sum")
    changed = []
    for n in range(1, 9):
        found = encode("n_hot", rows, FERPLUS_VOCABULARY, n=n)
        np.testing.assert_array_equal(found.keep, whole.keep)
        changed.append(int((np.abs(found.probs - whole.probs).max(1) > 1e-6).sum()))
    assert changed == [26_095, 12_795, 4_455, 996, 122, 4, 0, 0]
    tied = whole.n_modes[whole.keep] > 1
    complex_faces = complexity(rows, FERPLUS_VOCABULARY)[whole.keep] > 3
    assert (round(tied.mean(), 3), round(tied[complex_faces].mean(), 3)) == (0.046, 0.136)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "options", "counts", "total"),
    [
        ("edu_text", {}, (3_055, 3_818, 4_553, 3_962), 15_388),
        ("edu_table", {}, (3_049, 3_818, 4_553, 3_962), 15_382),
        ("edu_code", {"angry_above": 1}, (5_103, 3_606, 4_553, 3_898), 17_160),
        ("edu_code", {}, (3_954, 3_789, 4_553, 3_960), 16_256),
        ("edu_code", {"contempt": True}, (3_946, 3_789, 4_501, 3_960), 16_196),
        ("edu_code", {"neutral_above": 0}, (3_954, 7_084, 4_553, 2_886), 18_477),
    ],
)
def test_readings_of_the_education_rules(real_votes, name, options, counts, total):
    found = encode(name, real_votes[1], FERPLUS_VOCABULARY, **options)
    assert tuple(found.counts().tolist()) == counts  # angry, neutral, focused, bored
    assert found.keep.sum() == total


@pytest.mark.real_data
def test_the_prior_of_ferpluss_training_votes(real_votes):
    usage, rows = real_votes
    prior = fitted_prior(rows[usage == "Training"][:, : len(FERPLUS_CLASSES)])
    np.testing.assert_allclose(prior, [0.3006, 0.1716, 0.1059, 0.1566, 0.0827, 0.0326, 0.0524, 0.0384], atol=2e-4)
