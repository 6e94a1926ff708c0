"""What two annotators say of the same faces, against counts by hand, sklearn and a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, ttest_rel
from sklearn.metrics import cohen_kappa_score

from mien.annotators.base import with_merged
from mien.annotators.comparison import compare_annotators
from mien.annotators.comparison_numbers import pearson
from mien.annotators.comparison_text import comparison_text
from mien.demographics import RACE
from mien.errors import DataError, UsageError
from mien.samples import SampleTable
from mien.stats.settings import Settings

GENDERS = np.array(["Male", "Female"], dtype=object)


def table(columns, n, cluster=None, votes=None, name="faces", attributes=None):
    """A table of ``n`` faces; ``votes`` are (n,) codes of happy and sad."""
    frame = pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "image": np.arange(n),
            "split": "",
            "identity": "",
            "cluster": np.arange(n) if cluster is None else cluster,
        }
    )
    vocabulary = () if votes is None else ("happy", "sad")
    for i, word in enumerate(vocabulary):
        frame[f"votes_{word}"] = (np.asarray(votes) == i).astype(int)
    frame = frame.assign(**columns)
    parts = ("_confidence", "_annotator", "_source")
    found = [c for c in columns if not c.endswith(parts) and "_prob_" not in c]
    return SampleTable(frame, name, vocabulary, tuple(attributes or found))


def gender(codes, confidence=None, annotator=None):
    """The columns of a perceived gender; -1 is a face that was not found."""
    codes = np.asarray(codes)
    columns = {"perceived_gender": np.where(codes < 0, None, GENDERS[codes])}
    if confidence is not None:
        columns["perceived_gender_confidence"] = confidence
    if annotator:
        columns["perceived_gender_annotator"] = annotator
    return columns


def two_annotators(rng, n, shares=(0.3, 0.7), noise=0.2):
    """Codes of gender by two annotators that see the same truth, each with its own mistakes."""
    truth = rng.choice(2, n, p=shares)
    return [np.where(rng.random(n) < noise, 1 - truth, truth) for _ in range(2)]


def test_counts_agreement_kappa_and_shares():
    a, b = two_annotators(np.random.default_rng(0), 200)
    a[:3], b[2:7] = -1, -1
    found = compare_annotators(
        table(gender(a, annotator="mien 1"), 200),
        table(gender(b, annotator="deepface 0.0.103"), 200),
        settings=Settings(n_boot=1000),
    )
    assert (found.a, found.b, found.n, found.clusters) == ("mien 1", "deepface 0.0.103", 200, 200)
    (g,) = found.attributes
    assert (g.name, g.groups) == ("gender", ["Male", "Female"])
    assert (g.n_only_a, g.n_only_b, g.n_neither) == (4, 2, 1)
    both = (a >= 0) & (b >= 0)
    assert g.counts == [[int(((a == i) & (b == j)).sum()) for j in (0, 1)] for i in (0, 1)]
    assert g.agreement.value == pytest.approx((a == b)[both].mean())
    assert g.agreement.n == both.sum() == 193
    assert g.kappa.value == pytest.approx(cohen_kappa_score(a[both], b[both]))
    for i in (0, 1):
        assert g.shares_a[i].value == pytest.approx((a[both] == i).mean())
        assert g.shares_b[i].value == pytest.approx((b[both] == i).mean())
        assert g.differences[i].value == pytest.approx((a[both] == i).mean() - (b[both] == i).mean())
    for e in (g.agreement, g.kappa, *g.shares_a, *g.shares_b, *g.differences):
        assert e.low < e.value < e.high
    # The difference is one of pairs: its error comes from the faces on which the two differ.
    (_, only_a), (only_b, _) = g.counts
    spread = np.sqrt(only_a + only_b - (only_a - only_b) ** 2 / 193) / 193
    assert g.differences[0].high - g.differences[0].low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert g.by_class == g.by_confidence_a == g.by_confidence_b == []


def test_neither_order_of_rows_nor_of_tables_matters():
    rng = np.random.default_rng(1)
    a, b = two_annotators(rng, 120)
    cluster, votes = rng.integers(0, 60, 120), rng.integers(0, 2, 120)
    first = table(gender(a, rng.random(120)), 120, cluster, votes)
    second = table(gender(b, rng.random(120)), 120, cluster, votes)

    def shuffled(t):
        return SampleTable(t.frame.sample(frac=1, random_state=3), t.name, t.vocabulary, t.attributes)

    found = compare_annotators(first, second, settings=Settings(n_boot=100))
    assert repr(compare_annotators(shuffled(first), second, settings=Settings(n_boot=100))) == repr(found)
    assert repr(compare_annotators(first, shuffled(second), settings=Settings(n_boot=100))) == repr(found)
    turned = compare_annotators(second, first, settings=Settings(n_boot=100)).attributes[0]
    assert turned.counts == np.transpose(found.attributes[0].counts).tolist()
    assert turned.kappa.value == pytest.approx(found.attributes[0].kappa.value)


def test_intervals_hold_the_truth_also_with_dependent_faces():
    rng = np.random.default_rng(2)
    kappa_0 = cohen_kappa_score(*two_annotators(rng, 400_000))
    truth = {"agreement": 0.8**2 + 0.2**2, "kappa": kappa_0, "share": 0.3 * 0.8 + 0.7 * 0.2, "difference": 0.0}
    held = dict.fromkeys(truth, 0)
    for _ in range(160):
        copies = rng.integers(1, 4, 100)  # one to three copies of each picture, which both see alike
        a, b = (np.repeat(codes, copies) for codes in two_annotators(rng, 100))
        cluster = np.repeat(np.arange(100), copies)
        n = len(a)
        g = compare_annotators(
            table(gender(a), n, cluster),
            table(gender(b), n, cluster),
            settings=Settings(n_boot=150, seed=int(rng.integers(1e6))),
        ).attributes[0]
        estimates = {
            "agreement": g.agreement, "kappa": g.kappa, "share": g.shares_a[0], "difference": g.differences[0]
        }  # fmt: skip
        for name, e in estimates.items():
            held[name] += e.low <= truth[name] <= e.high
        assert g.agreement.clusters == 100
    # Intervals of 95 % hold the truth fewer than 142 times of 160, or always, less than once in a thousand.
    assert all(142 <= count < 160 for count in held.values()), held


def test_full_agreement_is_not_taken_for_certain():
    a = np.arange(50) % 2
    g = compare_annotators(table(gender(a), 50), table(gender(a), 50), settings=Settings(n_boot=50)).attributes[0]
    assert g.agreement.value == g.kappa.value == 1
    assert 0.8 < g.kappa.low < 0.9
    assert (g.differences[0].value, g.differences[0].note) == (0, "no face differs")
    assert np.isnan(g.differences[0].low)


def test_kappa_is_undefined_where_there_is_one_group():
    n = 40
    g = compare_annotators(
        table(gender([0] * n), n), table(gender([0] * n), n), settings=Settings(n_boot=20)
    ).attributes[0]
    assert np.isnan(g.kappa.value)
    assert "one and the same group" in g.kappa.note
    assert g.agreement.value == 1


def test_no_face_with_a_group_from_both():
    found = compare_annotators(table(gender([0, -1]), 2), table(gender([-1, 1]), 2), settings=Settings(n_boot=20))
    g = found.attributes[0]
    assert (g.n_only_a, g.n_only_b) == (1, 1)
    for e in (g.agreement, g.kappa, *g.shares_a, *g.differences):
        assert np.isnan(e.value)
        assert e.note == "no face has a group from both"
    assert "nan" not in comparison_text(found)


def test_by_confidence_and_by_class():
    rng = np.random.default_rng(4)
    n = 400
    a = rng.integers(0, 2, n)
    confidence = rng.uniform(0.5, 1, n)
    confidence[:5] = np.nan
    votes = rng.integers(0, 2, n)
    votes[:4] = 9  # no votes
    b = np.where(confidence >= 0.9, a, rng.integers(0, 2, n))
    b[10:30] = -1
    both = b >= 0
    found = compare_annotators(
        table(gender(a, confidence), n, votes=votes),
        table(gender(b, np.ones(n)), n, votes=1 - votes),
        settings=Settings(n_boot=50),
    )
    g = found.attributes[0]
    assert [p.name for p in g.by_confidence_a] == ["below 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 and above"]
    none, low, _, high = (p.agreement for p in g.by_confidence_a)
    assert np.isnan(none.value)
    assert none.note == "no faces"
    unsure = both & (confidence >= 0.5) & (confidence < 0.7)
    assert low.n == unsure.sum()
    assert low.value == pytest.approx((a == b)[unsure].mean())
    assert high.value == 1
    assert high.n == (both & (confidence >= 0.9)).sum()
    assert high.low < 0.99
    assert g.by_confidence_b == []  # always 1: a choice, no confidence
    assert [p.name for p in g.by_class] == ["happy", "sad"]  # those of the first table
    for code, part in enumerate(g.by_class):
        assert part.agreement.value == pytest.approx((a == b)[both & (votes == code)].mean())
        assert part.agreement.n == (both & (votes == code)).sum()
    text = comparison_text(found)
    assert "| confidence of the first | faces | agreement | note |" in text
    assert "the second gives no confidence for this attribute" in text
    assert "| happy |" in text


def test_few_faces_are_noted():
    rng = np.random.default_rng(5)
    votes = np.array([0] * 60 + [1] * 8)
    a, b = two_annotators(rng, 68)
    g = compare_annotators(
        table(gender(a), 68, votes=votes), table(gender(b), 68), settings=Settings(n_boot=50)
    ).attributes[0]
    assert [p.agreement.note for p in g.by_class] == ["", "fewer than 30 faces"]


def race_columns(probs, name):
    """Columns of a head as an annotator fills them."""
    groups = with_merged({"race": probs}) if name == "race" else None
    columns = {f"perceived_{name}": np.array(RACE.groups, dtype=object)[probs.argmax(1)]}
    columns |= {f"perceived_{name}_prob_{g}": groups["race"][:, i] for i, g in enumerate(RACE.groups)}
    return {**columns, f"perceived_{name}_confidence": probs.max(1)}


def test_a_coarser_attribute_is_merged_from_the_probabilities_of_a_finer_one():
    probs = np.random.default_rng(6).dirichlet(np.ones(7), 60)
    probs[0] = np.nan
    seven = race_columns(np.nan_to_num(probs), "race")
    seven["perceived_race"][0] = None
    for column in [c for c in seven if "_prob_" in c]:
        seven[column][0] = np.nan
    # One Asian group of the summed probabilities, which need not be that of the likeliest group.
    six = np.column_stack([probs[:, :3], probs[:, 3] + probs[:, 4], probs[:, 5:]])
    names = np.array(["White", "Black", "Latino_Hispanic", "Asian", "Indian", "Middle Eastern"], dtype=object)
    said = names[np.nan_to_num(six).argmax(1)]
    first, second = table(seven, 60, attributes=["perceived_race"]), table({"perceived_race6": said}, 60)
    found = compare_annotators(first, second, settings=Settings(n_boot=20))
    assert [c.name for c in found.attributes] == ["race6"]
    assert found.attributes[0].groups == list(names)
    assert found.attributes[0].agreement.value == 1
    assert found.attributes[0].agreement.n == 59
    assert found.attributes[0].n_only_b == 1
    assert [p.agreement.n for p in found.attributes[0].by_confidence_a][0] == (six[1:].max(1) < 0.5).sum()


def test_faces_of_one_table_only_are_counted_and_left_out():
    first, second = table(gender([0, 1, 0, 1]), 4), table(gender([0, 1, 1, 1, 0, 0]), 6)
    second = second.where(second.frame["sample_id"].to_numpy() != "f0", "some")
    found = compare_annotators(first, second, settings=Settings(n_boot=20))
    assert (found.n, found.n_only_a, found.n_only_b) == (3, 1, 2)
    assert found.attributes[0].counts == [[0, 1], [0, 2]]
    assert "1 only in the table of the first, 2 only in the table of the second" in comparison_text(found)


def test_groups_outside_the_vocabulary_are_kept():
    a, b = gender([0, 1, 0]), gender([0, 1, 1])
    b["perceived_gender"][0] = "unsure"
    g = compare_annotators(table(a, 3), table(b, 3), settings=Settings(n_boot=20)).attributes[0]
    assert g.groups == ["Male", "Female", "unsure"]
    assert g.counts == [[0, 1, 1], [0, 1, 0], [0, 0, 0]]


def test_what_cannot_be_compared_is_refused():
    a = table(gender([0, 1]), 2)
    with pytest.raises(UsageError, match="'gendre' is not perceived in both tables. Did you mean 'gender'"):
        compare_annotators(a, a, attributes=["gendre"])
    with pytest.raises(DataError, match="share no perceived attribute"):
        compare_annotators(a, table({"gender": ["f", "m"]}, 2))
    other = table(gender([0, 1]), 2)
    other.frame["sample_id"] = ["x", "y"]
    with pytest.raises(DataError, match="share no sample_id"):
        compare_annotators(a, other)
    with pytest.raises(UsageError, match="level: is 2"):
        compare_annotators(a, a, settings=Settings(level=2))


def test_the_text_says_perceived_and_what_agreement_is_not():
    a, b = two_annotators(np.random.default_rng(7), 80)
    text = comparison_text(compare_annotators(table(gender(a), 80), table(gender(b), 80), settings=Settings(n_boot=50)))
    assert text.startswith("# What the first and the second perceive\n\n80 shared faces in 80 independent units")
    assert "## Perceived gender" in text
    assert "Agreement is not accuracy" in text
    assert "| the first (rows), the second (columns) | Male | Female |" in text


def years(values):
    return {"perceived_age_years": np.asarray(values, dtype=np.float32)}


def test_numbers_are_compared_as_numbers():
    rng = np.random.default_rng(8)
    a = rng.normal(30, 8, 400)
    b = a + rng.normal(2, 4, 400)
    a[:3], b[2:7] = np.nan, np.nan
    first = table({**gender(rng.integers(0, 2, 400)), **years(a)}, 400)
    second = table({**gender(rng.integers(0, 2, 400)), **years(b)}, 400)
    found = compare_annotators(first, second, settings=Settings(n_boot=20))
    assert [c.name for c in found.attributes] == ["gender"]
    (number,) = found.numbers
    assert (number.name, number.n_only_a, number.n_only_b, number.n_neither) == ("age_years", 4, 2, 1)
    both = np.isfinite(a) & np.isfinite(b)
    assert number.mean_a.value == pytest.approx(a[both].mean(), rel=1e-5)
    assert number.mean_b.value == pytest.approx(b[both].mean(), rel=1e-5)
    low, high = ttest_rel(a[both], b[both]).confidence_interval()
    assert (number.difference.low, number.difference.high) == pytest.approx((low, high), rel=1e-4)
    by_hand = pearsonr(a[both], b[both])
    assert number.correlation.value == pytest.approx(by_hand.statistic, abs=1e-6)
    low, high = by_hand.confidence_interval()  # Fisher's, for normal faces that are independent
    assert (number.correlation.low, number.correlation.high) == pytest.approx((low, high), abs=0.015)
    text = comparison_text(found)
    assert text.count("age_years") == 1
    assert len(text) < 3000
    asked = compare_annotators(first, second, attributes=["perceived_age_years"], settings=Settings(n_boot=20))
    assert not asked.attributes
    assert asked.numbers == [number]


def test_a_number_beside_groups_is_no_number_in_common():
    a, b = table(years([1, 2]), 2), table({"perceived_age_years": ["1", "2"]}, 2)
    with pytest.raises(DataError, match="share no perceived attribute"):
        compare_annotators(a, b)


def test_the_interval_of_a_correlation_holds_it_with_copies():
    """Nominal 95 %: of 300 samples 272 to 297 must hold it (1 in 1,000); taken for independent, they do not."""
    rng, held, naive, r = np.random.default_rng(9), 0, 0, 0.8
    for _ in range(300):
        copies = rng.integers(1, 8, 120)
        x = rng.normal(size=120)
        y = r * x + np.sqrt(1 - r**2) * rng.normal(size=120)
        unit = np.repeat(np.arange(120), copies)
        found = pearson(x[unit], y[unit], unit)
        alone = pearson(x[unit], y[unit], np.arange(len(unit)))
        held += found.low <= r <= found.high
        naive += alone.low <= r <= alone.high
    assert 272 <= held <= 297
    assert naive < 250


def test_a_correlation_without_spread_is_undefined():
    x = np.arange(5.0)
    assert np.isnan(pearson(x, np.ones(5), np.arange(5)).value)
    assert pearson(x, 2 * x, np.arange(5)).value == pytest.approx(1)
    assert np.isnan(pearson(x[:0], x[:0], np.arange(0)).value)
