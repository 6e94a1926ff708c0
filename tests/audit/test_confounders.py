import json
from dataclasses import asdict, is_dataclass, replace

import numpy as np
import pandas as pd
import pytest
from audit_simulation import noisy, predictions

from mien.audit import audit
from mien.audit.attributes import resolve_attribute
from mien.audit.confounders import EXPRESSIONS, MAX_BINS, candidate_confounders, confounder_analysis
from mien.audit.table_checks import table_notes
from mien.errors import DataError, UsageError
from mien.records import Estimate, Predictions, plain
from mien.stats.settings import Settings

K = 4


def photographs(rng, n=1000, *, darker=0.0, gap=0.0, slope=1.0, mixes=None, n_groups=2, clustered=False):
    """Groups whose pictures are ``darker`` (in standard deviations) and less well read (by ``gap``).

    The gaps are between the first and the last group; accuracy rises with brightness by ``slope``.
    """
    group = rng.integers(0, n_groups, n)
    place = np.linspace(0, 1, n_groups)[group]
    mixes = np.full((n_groups, K), 1 / K) if mixes is None else np.asarray(mixes)
    labels = (mixes[group].cumsum(1) > rng.random((n, 1))).argmax(1)
    brightness = rng.normal(size=n) - darker * place
    chance = 1 / (1 + np.exp(-1.2 - slope * brightness)) - gap * place
    names = np.array(["light", "dark"] if n_groups == 2 else [f"g{i}" for i in range(n_groups)])
    groups = {"skin": names[group], "brightness": brightness, "yaw": rng.normal(size=n)}
    cluster = rng.integers(0, n // 2, n) if clustered else None
    return predictions(labels, noisy(rng, labels, np.clip(chance, 0, 1), K), groups, cluster, K)


def reordered(pred: Predictions, order):
    return pred.select(np.asarray(order, dtype=np.int64))


def only(pred, columns="brightness", n_bins=MAX_BINS, **options):
    settings = Settings(**{"n_boot": 200} | options)
    return confounder_analysis(pred, "skin", columns, n_bins=n_bins, settings=settings).confounders[0].gap


@pytest.mark.parametrize(
    ("darker", "gap", "n"), [(1.0, 0.0, 1000), (0.0, 0.12, 1000), (0.8, 0.1, 1000), (1.0, 0.0, 4000)]
)
def test_darker_photographs_are_told_from_darker_skin(darker, gap, n):
    rng = np.random.default_rng(int(100 * darker + n))
    n_sims = 150 if n < 2000 else 60
    covered, raws, remains = 0, [], []
    for seed in range(n_sims):
        found = only(photographs(rng, n, darker=darker, gap=gap), seed=seed)
        covered += found.adjusted.low <= gap <= found.adjusted.high
        raws.append(found.raw.value)
        remains.append(found.remaining.value * (1 if found.worst == "dark" else -1))
    assert covered / n_sims >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sims)
    error = np.std(remains) / np.sqrt(n_sims)
    assert np.mean(remains) == pytest.approx(gap, abs=3 * error + 0.004)
    if darker:
        assert np.mean(raws) > gap + 0.12
    else:
        assert np.mean(raws) == pytest.approx(gap, abs=0.01)


def test_several_confounders_at_once():
    """Each of two confounders accounts for a part, both together for the whole."""
    rng = np.random.default_rng(7)
    n = 8000
    group = rng.integers(0, 3, n)
    labels = rng.integers(0, K, n)
    x = rng.normal(size=(n, 2)) - 0.4 * group[:, None]
    # Accuracy falls off on both sides of the best size: bins and polynomials see that.
    chance = np.clip(0.75 + 0.1 * x[:, 0] - 0.05 * (x[:, 1] - 0.5) ** 2, 0.05, 0.98)
    groups = {"skin": np.array(["a", "b", "c"])[group], "brightness": x[:, 0], "size": x[:, 1]}
    pred = predictions(labels, noisy(rng, labels, chance, K), groups, n_classes=K)
    result = confounder_analysis(pred, "skin", ["brightness", "size"], settings=Settings(n_boot=300))
    alone = [c.gap.remaining.value for c in result.confounders]
    assert min(alone) > 0.05
    assert result.joint.gap.remaining.low < 0 < result.joint.gap.remaining.high
    assert abs(result.joint.gap.remaining.value) < 0.03
    assert result.joint.gap.adjusted.low == 0
    assert result.joint.gap.shares["brightness and size"].value > 0.8
    assert "bins of the score of brightness and size" in result.joint.gap.strata
    assert result.joint.means == {}
    assert result.sentence == result.joint.sentence


def test_what_people_read():
    pred = photographs(np.random.default_rng(1), 3000, darker=1.0, gap=0.08)
    result = confounder_analysis(pred, "skin", ["brightness"], settings=Settings(n_boot=300))
    one = result.confounders[0]
    assert result.joint is None
    assert one.title == "brightness"
    assert one.means["dark"].high < -0.8 < -0.1 < one.means["light"].low
    accuracy = [b.accuracy.value for b in one.bins]
    assert len(accuracy) == 5
    assert np.all(np.diff(accuracy) > 0)
    assert one.bins[0].high <= one.bins[1].low
    assert one.strength.value == pytest.approx(accuracy[-1] - accuracy[0])
    assert one.strength.low > 0.3
    parts = one.gap.parts
    assert list(parts) == [EXPRESSIONS, "brightness"]
    total = sum(p.value for p in parts.values()) + one.gap.remaining.value
    assert total == pytest.approx(one.gap.compared.value)
    assert result.sentence.startswith(f"Of the accuracy gap of {one.gap.compared.value:.3f} (dark below light)")
    assert f"{parts['brightness']} goes with brightness (on average -0.9" in result.sentence
    assert result.sentence.endswith(f"{one.gap.remaining} remains among pictures alike.")
    assert any("associations, not causes" in note for note in result.notes)
    assert any("darker skin makes the face region darker" in note for note in result.notes)


def test_class_mix_is_held_common():
    """One group shows the hard class more often: that goes with the expressions, not with brightness."""
    rng = np.random.default_rng(2)
    n = 6000
    group = rng.integers(0, 2, n)
    labels = (np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.1, 0.1, 0.6]])[group].cumsum(1) > rng.random((n, 1))).argmax(1)
    predicted = noisy(rng, labels, np.array([0.9, 0.8, 0.8, 0.6])[labels], K)
    pred = predictions(labels, predicted, {"skin": np.array(["x", "y"])[group], "brightness": rng.normal(size=n)})
    result = confounder_analysis(pred, "skin", ["brightness"], settings=Settings(n_boot=200))
    gap = result.confounders[0].gap
    for found in (gap, result.by_class):
        assert found.raw.low > 0.08
        assert found.adjusted.low == 0
        assert found.parts[EXPRESSIONS].value == pytest.approx(found.compared.value, abs=0.03)
    assert abs(gap.parts["brightness"].value) < 0.01


def test_a_mix_that_hides_a_gap():
    pred = photographs(np.random.default_rng(3), 4000, darker=-0.8, gap=0.25)
    gap = only(pred)
    assert gap.remaining.value > gap.compared.value + 0.05
    assert gap.parts["brightness"].high < 0
    sentence = confounder_analysis(pred, "skin", "brightness", settings=Settings(n_boot=100)).sentence
    assert "more is hidden by brightness" in sentence


def test_few_faces_make_one_score():
    mixes = [[0.7, 0.2, 0.07, 0.03]] * 4
    pred = photographs(np.random.default_rng(4), 240, darker=0.5, mixes=mixes, n_groups=4)
    gap = only(pred)
    assert gap.strata.endswith("bins of the score of annotated class and brightness")
    assert list(gap.parts) == [f"{EXPRESSIONS} and brightness"]
    assert gap.left_out <= 0.2
    assert len(gap.groups) == 4


def test_groups_that_share_no_pictures():
    rng = np.random.default_rng(5)
    pred = photographs(rng, 600, darker=40.0)
    gap = only(pred)
    assert np.isnan(gap.adjusted.value)
    assert "too few faces lie in strata that every group shares" in gap.note
    result = confounder_analysis(pred, "skin", "brightness", settings=Settings(n_boot=100))
    assert "cannot be adjusted" in result.sentence
    assert result.confounders[0].gap.raw.value > 0.2
    # A score of several columns does not see it by itself.
    assert np.isnan(
        confounder_analysis(
            pred, "skin", ["brightness", "yaw"], settings=Settings(n_boot=100)
        ).joint.gap.remaining.value
    )


def test_small_groups_and_missing_values():
    rng = np.random.default_rng(6)
    pred = photographs(rng, 800)
    pred.groups["skin"] = pred.groups["skin"].where(np.arange(800) >= 12, "other").where(np.arange(800) < 790)
    pred.groups.loc[100:199, "brightness"] = np.nan
    pred.groups.loc[200, "brightness"] = np.inf
    result = confounder_analysis(pred, "skin", ["brightness"], settings=Settings(n_boot=100))
    one = result.confounders[0]
    assert (result.n, result.too_few, one.n_missing) == (790, ["other"], 101)
    assert sum(g.n for g in one.gap.groups) == 790 - 101 - 12
    assert one.means["other"].n == 12
    few = confounder_analysis(pred, "skin", ["brightness"], settings=Settings(min_n=600, n_boot=100))
    assert few.by_class is None
    assert few.confounders[0].gap is None
    assert few.sentence == "Fewer than two groups have enough faces to compare."


def test_an_unclear_gap_is_not_split():
    result = confounder_analysis(
        photographs(np.random.default_rng(8), 600), "skin", "brightness", settings=Settings(n_boot=200)
    )
    assert "is not clearly away from 0, so it is not split" in result.sentence
    assert np.isnan(result.confounders[0].gap.shares["brightness"].value)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_order_of_rows_and_columns_does_not_matter(clustered):
    rng = np.random.default_rng(9)
    pred = photographs(rng, 900, darker=0.6, gap=0.1, clustered=clustered)
    one = confounder_analysis(
        pred, resolve_attribute(pred, "skin"), ["brightness", "yaw"], settings=Settings(n_boot=100)
    )
    other = confounder_analysis(
        reordered(pred, rng.permutation(900)), "skin", ["yaw", "brightness"], settings=Settings(n_boot=100)
    )
    for a, b in ((one.joint.gap, other.joint.gap), (one.confounders[1].gap, other.confounders[0].gap)):
        for x, y in ((a.adjusted, b.adjusted), (a.remaining, b.remaining), (a.raw, b.raw)):
            assert (x.value, x.low, x.high) == pytest.approx((y.value, y.low, y.high), abs=1e-9)
        assert a.strata.split(" of ")[0] == b.strata.split(" of ")[0]
    if clustered:
        assert one.joint.gap.raw.clusters < 900


def test_candidates():
    n = 10
    columns = {
        "skin": ["a", "b"] * 5,
        "brightness": np.arange(n),
        "face_size": pd.array([1, 2, None, 3, 1, 1, 1, 1, 1, 1], dtype="Int64"),
        "head_yaw": np.linspace(-1, 1, n),
        "contrast": np.ones(n),
        "blur": ["low", "high"] * 5,
        "noise": [True, False] * 5,
        "years": np.arange(n),
        "brightness_confidence": np.arange(n),
    }
    pred = predictions(np.zeros(n), np.zeros(n), columns, n_classes=2)
    assert candidate_confounders(pred) == ["brightness", "face_size", "head_yaw"]


def test_refusals():
    pred = photographs(np.random.default_rng(10), 200)
    pred.groups["flat"] = 1.0
    with pytest.raises(UsageError, match="no such column.*brightness"):
        confounder_analysis(pred, "skin", ["brightnes"])
    with pytest.raises(DataError, match="numbers"):
        confounder_analysis(pred, "skin", ["skin"])
    with pytest.raises(DataError, match="1 distinct values"):
        confounder_analysis(pred, "skin", ["flat"])
    with pytest.raises(UsageError, match="no column was given"):
        confounder_analysis(pred, "skin", [])
    with pytest.raises(UsageError, match="n_bins"):
        confounder_analysis(pred, "skin", ["brightness"], n_bins=1)
    with pytest.raises(UsageError, match="level"):
        confounder_analysis(pred, "skin", ["brightness"], settings=Settings(level=95))


def check_plain(value):
    """Only what a generic JSON reader can rebuild."""
    if is_dataclass(value):
        for name in value.__dataclass_fields__:
            check_plain(getattr(value, name))
    elif isinstance(value, dict):
        for key, entry in value.items():
            assert type(key) is str
            check_plain(entry)
    elif isinstance(value, list):
        for entry in value:
            check_plain(entry)
    else:
        assert type(value) in (str, int, float, bool, type(None)), repr(value)


def test_results_are_plain():
    pred = photographs(np.random.default_rng(11), 700, darker=0.5, clustered=True)
    result = confounder_analysis(pred, "skin", ["brightness", "yaw"], settings=Settings(n_boot=50))
    check_plain(result)
    content = json.loads(json.dumps(plain(asdict(result)), allow_nan=False))
    again = Estimate.from_json(content["joint"]["gap"]["adjusted"])
    assert again == result.joint.gap.adjusted


def test_values_that_take_no_part_are_counted():
    pred = photographs(np.random.default_rng(3), 300)
    brightness = pred.groups["brightness"].to_numpy(float).copy()
    brightness[:20], brightness[20:24] = np.inf, 1e308
    spoilt = replace(pred, groups=pred.groups.assign(brightness=brightness))
    assert any("'brightness' is not known for 24 of 300 faces" in note for note in table_notes(spoilt))
    empty = np.where(np.arange(300) < 24, np.nan, brightness)
    assert only(spoilt) == only(replace(pred, groups=pred.groups.assign(brightness=empty)))


def test_what_was_held_common_for_one_attribute_is_not_said_to_be_untested():
    pred = photographs(np.random.default_rng(3), 300)
    found = audit(pred, ["skin", "brightness:3"], settings=Settings(n_boot=50, n_perm=50), confounders=["brightness"])
    assert not any("held common" in said for said in found.not_tested)
    without = audit(pred, ["skin"], settings=Settings(n_boot=50, n_perm=50), confounders=[])
    assert any("held common" in said for said in without.not_tested)
