import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from audit_simulation import noisy, predictions, two_groups
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score, recall_score

from mien.audit import (
    DISPARITY,
    NOT_SHOWN,
    NOT_TESTABLE,
    TOO_FEW,
    UNDECIDED,
    Audit,
    audit,
    check_gate,
    render_brief,
    render_text,
    summary_estimates,
)
from mien.errors import DataError, MienError, UsageError
from mien.records import Predictions, write_json
from mien.stats.settings import Settings
from mien.wording import interval

QUICK = Settings(n_boot=50, n_perm=99)


@pytest.fixture(scope="module")
def faces():
    """Two groups of 800 faces with 8 points between them, three of one size, and a small group."""
    rng = np.random.default_rng(11)
    n, k = 1600, 4
    gender = np.array(["f", "m"])[np.arange(n) % 2]
    labels = rng.integers(0, k, n)
    probs = rng.dirichlet(np.ones(k), n) * 0.4
    predicted = noisy(rng, labels, np.where(gender == "f", 0.7, 0.82), k)
    probs[np.arange(n), predicted] += 0.6
    age = np.array(["child", "adult", "old"])[rng.integers(0, 3, n)]
    known = rng.random(n) > 0.1
    known[:5], age[:5] = True, "baby"
    groups = {"gender": gender, "age": pd.Series(age).where(known)}
    groups |= {"gender_source": ["perceived"] * n, "years": rng.random(n)}
    votes = np.eye(k)[labels] * 10
    return predictions(labels, predicted, groups, probs=probs, votes=votes, n_classes=k)


@pytest.fixture(scope="module")
def result(faces):
    return audit(faces, ["gender", "age", "gender*age"], settings=Settings(n_boot=300, n_perm=999))


def test_known_gap_is_found(result):
    gap = result.attribute("gender").gap("accuracy")
    assert (gap.worst, gap.best, gap.verdict) == ("f", "m", DISPARITY)
    assert gap.value.low < 0.12 < gap.value.high
    assert gap.expected < 0.03 < gap.value.value
    assert gap.p <= gap.p_adjusted < 0.05
    assert result.verdict.startswith("Worst served: perceived gender = f. The model is right for 7")
    assert "is more than chance alone would show (" in result.verdict
    assert result.attribute("age").gap("accuracy").verdict == NOT_SHOWN


def test_small_groups_are_shown_but_in_no_gap(result):
    age = result.attribute("age")
    baby = age.group("baby")
    assert (baby.n, baby.verdict) == (5, TOO_FEW)
    assert age.gap("accuracy").n_groups == 3
    assert all("baby" not in (g.worst, g.best) for g in age.gaps)
    assert {e.note for e in baby.recall.values()} <= {TOO_FEW, "nobody annotated with it"}
    assert age.n + age.n_unknown == result.n == 1600
    assert 100 < age.n_unknown < 220
    assert sum(g.n for g in age.groups) == age.n


def test_intersections(result):
    both = result.attribute("gender*age")
    assert both.label == "perceived gender * age"
    assert len(both.groups) == 8
    assert sum(g.n for g in both.groups) == both.n


def test_values_against_fairlearn(faces, result):
    frame = MetricFrame(
        metrics={"accuracy": accuracy_score, "recall": lambda y, p: recall_score(y, p, average="macro")},
        y_true=faces.labels,
        y_pred=faces.predicted,
        sensitive_features=faces.groups["gender"],
    )
    for group, row in frame.by_group.iterrows():
        ours = result.attribute("gender").group(group).metrics
        assert ours["accuracy"].value == pytest.approx(row["accuracy"])
        assert ours["balanced_accuracy"].value == pytest.approx(row["recall"])
        assert ours["accuracy"].method == "wilson"
    difference = frame.difference(method="between_groups")["accuracy"]
    assert result.attribute("gender").gap("accuracy").value.value == pytest.approx(difference)


def test_group_numbers_are_consistent(faces, result):
    group = result.attribute("gender").group("f")
    mask = (faces.groups["gender"] == "f").to_numpy()
    np.testing.assert_array_equal(group.confusion, faces.select(mask).confusion())
    assert sum(group.n_per_class.values()) == group.n
    assert set(group.metrics) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "top2",
        "tie_accuracy",
        "kl",
        "overconfidence",
        "ece",
        "coverage",
        "risk",
    }
    for estimate in group.metrics.values():
        assert np.isnan(estimate.low) or estimate.low <= estimate.value <= estimate.high


def test_json_round_trip(result, tmp_path):
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert Audit.from_dict(content).to_dict() == result.to_dict()
    folder = result.save(tmp_path / "audit")
    assert {p.name for p in folder.iterdir()} == {
        "audit.json",
        *(f"{table}.{kind}" for table in ("groups", "gaps") for kind in ("csv", "parquet")),
    }
    again = Audit.load(folder)
    assert str(again) == str(result)  # NaN included
    groups, gaps = pd.read_csv(folder / "groups.csv"), pd.read_csv(folder / "gaps.csv")
    metrics, pooled = 4 + 7 + 4 * 4, 4 + 8
    assert len(groups) == (2 + 4 + 8) * metrics + pooled
    assert len(gaps) == 3 * (4 + 3 * 4 + 7 + 7)
    with pytest.raises(DataError, match="audit.json"):
        Audit.load(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        Audit.from_dict({"classes": []})


def test_the_brief_says_the_finding_first_and_fits_a_screen(result):
    text = render_brief(result)
    lines = text.splitlines()
    assert lines[:3] == ["# Audit", "", result.verdict]
    assert len(lines) <= 40
    gap = result.attribute("gender").gap("accuracy")
    assert f"| perceived gender | {interval(gap.value)} | {gap.expected:.3f} |" in text
    assert "baby (5" in text
    assert "You may say: " in text
    assert "--full" in lines[-1]
    assert "nan" not in text.lower().replace("annan", "")


def test_the_brief_shows_the_worst_and_counts_the_rest(result):
    many = replace(result, attributes=[replace(r, label=f"{r.label} {i}") for i in range(9) for r in result.attributes])
    text = render_brief(many)
    assert "And 15 more attributes." in text
    assert "more gaps." in text
    assert "more such lines." in text
    assert len(text.splitlines()) <= 55
    shown = [line.split(" | ")[1] for line in text.splitlines() if "of" in line and line.startswith("| perceived")]
    assert len(shown) <= 8


def test_text_reads_well(result):
    text = render_text(result)
    assert "## perceived gender" in text
    assert "nan" not in text.lower().replace("annan", "")
    assert "too few" in text
    assert all(note in text for note in result.method_notes)


def numbers_of(gaps):
    """All numbers of gaps; scores are sums of fractions, whose last bits depend on the order of the rows."""
    plain = ("expected", "expected_high", "p", "p_adjusted", "detectable", "detectable_high")
    ends = [[g.value.value, g.value.low, g.value.high, *(getattr(g, n) for n in plain)] for g in gaps]
    return np.array(ends)


def test_order_of_rows_and_of_attributes_does_not_matter(faces):
    order = np.random.default_rng(0).permutation(len(faces))
    one = audit(faces, ["gender", "age"], settings=QUICK)
    two = audit(faces.select(order), ["age", "gender"], settings=QUICK)
    for name in ("gender", "age"):
        a, b = one.attribute(name), two.attribute(name)
        np.testing.assert_allclose(numbers_of(a.gaps), numbers_of(b.gaps), rtol=1e-9, atol=1e-12)
        assert a.group(a.groups[0].name).metrics["macro_f1"] == b.group(a.groups[0].name).metrics["macro_f1"]


def test_order_of_classes_does_not_matter(faces):
    order = np.array([2, 0, 3, 1])
    frame = faces.to_frame()
    one = audit(faces, ["gender"], settings=Settings(n_boot=400, n_perm=400))
    renamed = Predictions.from_frame(frame, [faces.classes[i] for i in order])
    two = audit(renamed, ["gender"], settings=Settings(n_boot=400, n_perm=400))
    for gap in one.attribute("gender").gaps:
        other = two.attribute("gender").gap(gap.metric, gap.class_name)
        assert other.value.value == pytest.approx(gap.value.value)
        assert other.value.high == pytest.approx(gap.value.high, abs=0.03)
        assert other.expected == pytest.approx(gap.expected, abs=0.01)


def test_copies_in_one_cluster_do_not_narrow_intervals(faces):
    twice = faces.select(np.repeat(np.arange(len(faces)), 2))
    alone = predictions(
        twice.labels, twice.predicted, twice.groups, np.repeat(np.arange(len(faces)), 2), 4, twice.probs, twice.votes
    )
    one, two = (
        audit(faces, ["gender"], settings=Settings(n_boot=1000, n_perm=200)),
        audit(alone, ["gender"], settings=Settings(n_boot=1000, n_perm=200)),
    )
    for group in ("f", "m"):
        a, b = (r.attribute("gender").group(group) for r in (one, two))
        assert (b.n, b.n_clusters) == (2 * a.n, a.n)
        for metric in ("accuracy", "macro_f1", "top2", "kl"):
            width = a.metrics[metric].high - a.metrics[metric].low
            assert b.metrics[metric].high - b.metrics[metric].low == pytest.approx(width, rel=0.1), metric
    a, b = (r.attribute("gender").gap("macro_f1") for r in (one, two))
    assert (a.value.low, a.value.high) == pytest.approx((b.value.low, b.value.high), rel=0.05)
    assert a.value.low <= a.value.value <= a.value.high
    assert b.expected == pytest.approx(a.expected, rel=0.25)


def test_expected_gap_of_seven_equal_groups():
    """Seven groups of 250 at 70 %: the gap is 0.078 on average although nothing is wrong."""
    rng = np.random.default_rng(0)
    groups = {"race": np.repeat(list("abcdefg"), 250)}
    labels = np.tile(np.arange(5), 350)
    expected = []
    for _ in range(10):
        pred = predictions(labels, noisy(rng, labels, 0.7, 5), groups, n_classes=5)
        found = audit(pred, ["race"], settings=Settings(n_boot=10, n_perm=200), power=False)
        expected.append(found.attribute("race").gap("accuracy").expected)
    assert np.mean(expected) == pytest.approx(0.078, abs=0.003)


def simulated(n_sims, seed, **options):
    rng = np.random.default_rng(seed)
    for _ in range(n_sims):
        yield audit(two_groups(rng, **options), ["gender"], settings=QUICK, power=False).attribute("gender")


def assert_uniform(p, ties=0.0):
    """Uniform, or larger by ``ties`` on average: accuracies of a few hundred faces often tie, and a tie counts."""
    p = np.asarray(p)
    tolerance = 3.5 * np.sqrt(0.05 * 0.95 / len(p))
    assert np.mean(p <= 0.05) <= 0.05 + tolerance
    margin = 3.5 * np.sqrt(1 / 12 / len(p))
    assert 0.5 - margin < np.mean(p) < 0.5 + margin + ties


def test_p_values_without_disparity():
    results = list(simulated(200, 1))
    for metric in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"):
        assert_uniform([r.gap(metric).p for r in results], ties=0.03)
    assert_uniform([r.gap("recall", "c0").p for r in results], ties=0.05)


def test_class_mix_alone_is_no_disparity():
    """Equal recalls of 0.9, 0.6, 0.6 and very different mixes: accuracies differ, and that is expected."""
    rng = np.random.default_rng(2)
    mixes = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    gaps, macro = [], []
    for _ in range(200):
        group = rng.integers(0, 2, 600)
        labels = (mixes[group].cumsum(1) > rng.random((600, 1))).argmax(1)
        predicted = noisy(rng, labels, np.array([0.9, 0.6, 0.6])[labels], 3)
        pred = predictions(labels, predicted, {"gender": np.array(["f", "m"])[group]}, n_classes=3)
        found = audit(pred, ["gender"], settings=QUICK, power=False).attribute("gender")
        gaps.append(found.gap("accuracy"))
        macro.append(found.gap("macro_f1").p)
    assert np.mean([g.value.value for g in gaps]) > 0.12
    assert np.mean([g.expected for g in gaps]) > 0.12
    assert_uniform([g.p for g in gaps], ties=0.03)
    assert_uniform(macro)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    hits = dict.fromkeys(("accuracy", "balanced_accuracy", "recall", "clustered", "gap", "kl"), 0)
    n_sims = 150
    for seed in range(n_sims):
        pred = two_groups(rng, n=500, recalls=(0.65, 0.85))
        how = Settings(n_boot=300, n_perm=1, seed=seed)
        attribute = audit(pred, ["gender"], settings=how, power=False).attribute("gender")
        group = attribute.group("f")
        estimates = {
            "accuracy": (group.metrics["accuracy"], 0.65),
            "balanced_accuracy": (group.metrics["balanced_accuracy"], 0.65),
            "recall": (group.recall["c1"], 0.65),
            "gap": (attribute.gap("accuracy").value, 0.2),
        }
        unit = np.repeat(np.arange(150), 3)
        labels = rng.integers(0, 3, 150)[unit]
        hit = np.where(rng.random(150) < 0.5, rng.random(150) < 0.7, -1)[unit]  # half the units are copies
        hit = np.where(hit >= 0, hit, rng.random(450) < 0.7)
        copies = predictions(labels, np.where(hit, labels, (labels + 1) % 3), {}, unit, 3)
        estimates["clustered"] = (summary_estimates(copies, settings=Settings(n_boot=300, seed=seed))["accuracy"], 0.7)
        probs = rng.dirichlet(np.ones(3), 200)
        values = predictions(np.zeros(200), probs.argmax(1), {}, None, 3, probs)
        estimates["kl"] = (
            summary_estimates(values, settings=Settings(n_boot=1, seed=seed))["kl"],
            1.5,
        )  # E[-log Beta(1, 2)]
        for name, (estimate, truth) in estimates.items():
            hits[name] += estimate.low <= truth <= estimate.high
    for name, count in hits.items():
        assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / n_sims) <= count / n_sims, (name, count / n_sims)


def test_undefined_stays_undefined():
    labels = np.array([0] * 40 + [1] * 40 + [0] * 40)
    group = np.array(["a"] * 80 + ["b"] * 40)  # nobody in b is annotated with class 1, nobody at all with 2
    pred = predictions(labels, np.zeros(120), {"g": group}, n_classes=3)
    found = audit(pred, ["g"], settings=QUICK).attribute("g")
    b = found.group("b")
    assert np.isnan(b.recall["c1"].value)
    assert b.recall["c1"].note == "nobody annotated with it"
    assert "c1, c2" in b.note
    assert found.group("a").recall["c1"].value == 0  # present and never predicted is a real 0
    gap = found.gap("recall", "c1")
    assert (gap.verdict, gap.worst, gap.n_groups) == (TOO_FEW, "", 1)
    assert np.isnan([gap.value.value, gap.p, gap.p_adjusted, gap.expected]).all()
    assert found.gap("recall", "c2").n_groups == 0
    assert "33% of the faces have no counterpart" in " ".join(found.notes)


def test_nothing_found_and_nothing_to_say():
    rng = np.random.default_rng(4)
    pred = two_groups(rng, n=300)
    assert audit(pred, ["gender"], settings=QUICK).verdict.startswith(
        "No gap in accuracy, F1 or recall larger than chance"
    )
    assert audit(pred, ["gender"], settings=replace(QUICK, min_n=1000)).verdict.startswith("Nothing can be said")


def test_labels_alone_are_enough():
    pred = two_groups(np.random.default_rng(4), n=300)
    found = audit(pred, "gender", settings=QUICK)
    assert "kl" not in found.attribute("gender").group("f").metrics
    assert found.overall["kl"].note == "needs probabilities"
    assert any("taken as independent" in note for note in found.method_notes)
    assert any("not say whether" in note for note in found.attribute("gender").notes)


def test_too_few_permutations_for_so_many_gaps_is_said():
    pred = two_groups(np.random.default_rng(4), n=300)
    assert any(
        "use n_perm=" in note for note in audit(pred, "gender", settings=Settings(n_boot=9, n_perm=99)).method_notes
    )
    assert not any(
        "use n_perm" in note for note in audit(pred, "gender", settings=Settings(n_boot=9, n_perm=299)).method_notes
    )


def test_refusals(faces):
    with pytest.raises(UsageError, match="candidates: gender, age"):
        audit(faces)
    with pytest.raises(DataError, match="Cut it into parts"):
        audit(faces, ["years"])
    for wrong in ({"level": 1.0}, {"n_boot": 0}, {"n_perm": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            audit(faces, ["gender"], settings=Settings(**wrong))
    with pytest.raises(MienError, match="no rows"):
        audit(faces.select(np.zeros(len(faces), dtype=bool)), ["gender"])


def test_summary_estimates(faces):
    found = summary_estimates(faces, settings=Settings(n_boot=200))
    assert found["accuracy"].method == "wilson"
    assert found["macro_f1"].method.startswith("logit bootstrap")
    assert found["kl"].method.startswith("student")
    assert found["ece"].note
    for name, e in found.items():
        assert np.isnan(e.low) or e.low <= e.value <= e.high, name
        assert e.n == 1600


def test_neither_audit_nor_metrics_bring_torch():
    code = "import sys, mien.audit, mien.metrics; mien.metrics.METRICS.names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_faces_that_a_tool_does_not_find():
    rng = np.random.default_rng(0)
    n = 4000
    gender = rng.choice(["f", "m"], n)
    labels = rng.choice(["a", "b"], n)
    found = rng.random(n) > np.where(gender == "f", 0.25, 0.1)
    frame = pd.DataFrame({"label": labels, "pred": labels, "gender": gender, "detected": found.astype(int)})
    frame["brightness"] = rng.random(n)
    frame.loc[~found, "pred"] = None
    result = audit(Predictions.from_frame(frame), ["gender", "brightness:3"], settings=Settings(n_boot=200, n_perm=999))
    gap = result.attribute("gender").gap("detection_failure")
    assert (gap.worst, gap.best, gap.verdict) == ("f", "m", DISPARITY)
    assert gap.value.low < 0.15 < gap.value.high
    own = result.attribute("gender").group("f").metrics["detection_failure"]
    assert own.n == (gender == "f").sum()
    assert own.value == pytest.approx(1 - found[gender == "f"].mean())
    assert result.attribute("gender").group("f").metrics["accuracy"].n == found[gender == "f"].sum()
    assert "detection_failure" not in result.attribute("brightness:3").group("low").metrics


def test_a_group_that_the_largest_gap_hides():
    """One large group is served worse; a small one makes as large a gap by chance."""
    rng = np.random.default_rng(5)
    n = np.array([900, 900, 900, 40])
    group = np.repeat(["a", "b", "c", "tiny"], n)
    labels = rng.integers(0, 3, n.sum())
    predicted = noisy(rng, labels, np.where(group == "b", 0.72, 0.8), 3)
    result = audit(
        predictions(labels, predicted, {"g": group}, n_classes=3), "g", settings=Settings(n_boot=50, n_perm=999)
    )
    found = result.attribute("g")
    assert found.gap("accuracy").verdict == NOT_SHOWN
    b = found.group("b")
    assert (b.standing, found.group("c").standing) == ("below expectation", "")
    assert b.p <= b.p_adjusted < 0.05
    assert b.expected == pytest.approx((labels == predicted).mean(), abs=0.01)
    assert result.verdict.startswith("Worst served: g = b. The model is right for 7")
    assert f"{100 * b.expected:.1f} % would be expected" in result.verdict


def test_expected_accuracy_follows_the_class_mix():
    rng = np.random.default_rng(6)
    group = rng.integers(0, 2, 4000)
    labels = (rng.random(4000) < np.where(group, 0.8, 0.2)).astype(int)
    predicted = noisy(rng, labels, np.where(labels, 0.6, 0.9), 2)
    found = audit(
        predictions(labels, predicted, {"g": group.astype(str)}), "g", settings=Settings(n_boot=20, n_perm=400)
    ).attribute("g")
    assert found.group("0").expected == pytest.approx(0.84, abs=0.02)
    assert found.group("1").expected == pytest.approx(0.66, abs=0.02)
    assert {g.standing for g in found.groups} == {""}


def test_a_group_that_is_never_found_is_still_listed():
    rng = np.random.default_rng(1)
    gender = rng.choice(["f", "m", "x"], 900)
    labels = rng.choice(["a", "b"], 900)
    frame = pd.DataFrame({"label": labels, "pred": labels, "gender": gender, "detected": (gender != "x").astype(int)})
    frame.loc[gender == "x", "pred"] = None
    found = audit(Predictions.from_frame(frame), "gender", settings=Settings(n_boot=50, n_perm=999)).attribute("gender")
    lost = found.group("x")
    assert (lost.n, lost.verdict, lost.metrics["detection_failure"].value) == (0, TOO_FEW, 1.0)
    gap = found.gap("detection_failure")
    assert (gap.worst, gap.value.value, gap.verdict) == ("x", 1.0, DISPARITY)


def test_pairs_of_a_found_and_a_lost_face_are_one_unit():
    frame = pd.DataFrame({"label": ["a", "b"] * 200, "pred": ["a", None] * 200, "detected": [1, 0] * 200})
    frame["cluster"] = np.repeat(np.arange(200), 2)
    frame["g"] = np.repeat(["x", "y"], 200)
    found = audit(Predictions.from_frame(frame, ["a", "b"]), "g", settings=Settings(n_boot=50, n_perm=99)).attribute(
        "g"
    )
    assert found.group("x").metrics["detection_failure"].clusters == 100


def test_one_person_is_no_group():
    rng = np.random.default_rng(2)
    group = np.repeat(["many", "one"], 300)
    cluster = np.where(group == "many", np.arange(600), 1000)
    labels = rng.integers(0, 3, 600)
    pred = predictions(labels, noisy(rng, labels, 0.8, 3), {"g": group}, cluster, 3, rng.dirichlet(np.ones(3), 600))
    found = audit(pred, "g", settings=Settings(n_boot=100, n_perm=99)).attribute("g")
    assert found.group("one").verdict == TOO_FEW
    assert {g.verdict for g in found.gaps} == {TOO_FEW}
    own = found.group("one").metrics["accuracy"]
    assert own.high - own.low > 0.7


def test_p_values_of_scores_where_groups_cluster_differently():
    """One group of independent faces, one of persons with many: the null varies as each group does."""
    low = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = np.repeat(["free", "persons"], [600, 300])
        cluster = np.r_[np.arange(600), 600 + np.repeat(np.arange(20), 15)]
        hard = rng.normal(size=620)[cluster]
        own = 1 / (1 + np.exp(-(1 + hard + 0.5 * rng.normal(size=900))))
        probs = np.stack([own, 1 - own], axis=1)
        pred = predictions(np.zeros(900, dtype=int), probs.argmax(1), {"g": group}, cluster, 2, probs)
        found = audit(pred, "g", settings=Settings(n_boot=20, n_perm=200, seed=seed), power=False)
        low.append(found.attribute("g").gap("kl").p < 0.05)
    assert np.mean(low) < 0.15


def test_thirty_frames_of_one_person_are_one_observation():
    """400 faces of four persons a group: enough faces, far too few units for a finding."""
    pred = two_groups(np.random.default_rng(0), n=800)
    person = np.arange(800) // 100 * 2 + (pred.groups["gender"] == "f").to_numpy()
    few = predictions(pred.labels, pred.predicted, pred.groups, person % 8, n_classes=3)
    result = audit(few, "gender", settings=QUICK)
    assert all(g.n >= 300 and g.n_clusters == 4 and g.verdict == TOO_FEW for g in result.attribute("gender").groups)
    assert "enough different pictures or persons" in result.verdict


def test_groups_that_share_no_class_cannot_be_tested():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    groups = {"g": np.repeat(["a", "b"], 100), "other": np.array(["x", "y"])[np.arange(200) % 2]}
    result = audit(predictions(labels, noisy(rng, labels, 0.7, 2), groups), ["g", "other"], settings=QUICK)
    gap = result.attribute("g").gap("accuracy")
    assert gap.verdict == NOT_TESTABLE
    assert np.isnan([gap.p, gap.p_adjusted, gap.expected, gap.detectable]).all()
    assert all(np.isnan([g.p, g.expected, g.detectable]).all() for g in result.attribute("g").groups)
    assert "g could not be tested" in result.verdict
    assert any("annotated as a face of another group" in n for n in result.attribute("g").notes)
    nearly = np.where(np.arange(200) < 2, 1 - labels, labels)
    alone = audit(predictions(labels, nearly, {"g": groups["g"]}), "g", settings=QUICK)
    assert alone.verdict.startswith("Nothing can be said: no face of one group")
    assert check_gate(result, "p(accuracy, by=g) < 0.05").status == UNDECIDED


def test_a_model_that_is_always_right_leaves_little_hidden():
    """Of a class that is never mistaken too it is known what a loss would look like."""
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 3, 4000), {"g": np.array(["a", "b"])[np.arange(4000) % 2]}
    perfect = audit(predictions(labels, labels, groups), "g", settings=Settings(n_boot=50, n_perm=300))
    assert "of any size" not in perfect.verdict
    assert 0 < perfect.attribute("g").gap("accuracy").detectable < 0.02
    assert 0 < perfect.attribute("g").gap("recall", "c1").detectable < 0.05
    silent = audit(
        predictions(labels, noisy(rng, labels, 0.8, 3), groups),
        "g",
        power=False,
        settings=Settings(n_boot=50, n_perm=99),
    )
    assert "stayed hidden" not in silent.verdict
    assert not any("stands beside" in note and "named" in note for note in silent.method_notes)


def test_the_verdict_names_what_differs_beside_the_headlines():
    """Served alike where a face is found, but half of one group's faces are not."""
    rng = np.random.default_rng(3)
    pred = two_groups(rng, n=1200)
    frame = pred.to_frame()
    frame["detected"] = np.where((frame["gender"] == "m") & (rng.random(1200) < 0.4), 0, 1)
    missed = audit(Predictions.from_frame(frame), "gender", settings=Settings(n_boot=50, n_perm=999))
    assert "No gap in accuracy" in missed.verdict
    assert "Faces not found differ by more than chance" in missed.verdict
    assert "for m against" in missed.verdict


def test_a_small_group_that_fails_is_named():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 640)
    group = np.where(np.arange(640) < 20, "x", np.where(np.arange(640) % 2, "f", "m"))
    predicted = np.where(group == "x", (labels + 1) % 3, noisy(rng, labels, 0.8, 3))
    result = audit(predictions(labels, predicted, {"gender": group}), "gender", settings=QUICK)
    assert "gender = x (20 faces, right for 0.0 %" in result.verdict
    alike = audit(predictions(labels, noisy(rng, labels, 0.8, 3), {"gender": group}), "gender", settings=QUICK)
    assert "Too few faces to be judged" not in alike.verdict


def put(content, key, value):
    """The content with a value at a dotted key."""
    at, *rest = key.split(".")
    inner = content[int(at)] if isinstance(content, list) else content.get(at)
    new = put(inner, ".".join(rest), value) if rest else value
    if isinstance(content, list):
        return [new if i == int(at) else v for i, v in enumerate(content)]
    return content | {at: new}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n", "100", "n is '100' and not a whole number"),
        ("n", None, "n is nothing and not a whole number"),
        ("n", True, r"n is true .*and not a whole number"),
        ("level", "high", "level is 'high' and not a number"),
        ("verdict", 5, "verdict is 5 and not text"),
        ("classes", "ab", "classes is 'ab' and not a list"),
        ("classes.0", 1, r"classes\.0 is 1 and not text"),
        ("overall", [], r"overall is \[\] and not a section with keys"),
        ("overall.accuracy", 0.5, r"overall\.accuracy is 0\.5 and not a section"),
        ("overall.accuracy.value", "x", r"overall\.accuracy\.value is 'x' and not a number"),
        ("overall.accuracy", {}, r"overall\.accuracy\.value is missing"),
        ("attributes.0.groups", {}, r"attributes\.0\.groups is \{\} and not a list"),
        ("attributes.0.groups.0", None, r"attributes\.0\.groups\.0 is nothing"),
        ("classes_in_doubt", 1, "classes_in_doubt is 1 and not true or false"),
    ],
)
def test_a_value_of_another_kind_in_an_audit_is_named_with_its_key(result, tmp_path, key, value, message):
    content = result.to_dict()
    write_json(tmp_path / "audit.json", put(content, key, value))
    with pytest.raises(DataError, match=rf"audit\.json: cannot be read \({message}") as caught:
        Audit.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"n": NaN}', '{"n": 1, "n": 2}', '{"a":' * 5000, "\ufeff{}", "\udcff"])
def test_what_is_no_audit_is_one_sentence(tmp_path, content):
    (tmp_path / "audit.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"audit\.json.*expected"):
        Audit.load(tmp_path)
