"""Metrics that somebody registers are audited as those in the box are: to the last digit, where they are the same."""

from dataclasses import replace

import numpy as np
import pytest
from audit_simulation import noisy, predictions, two_groups
from sklearn.metrics import cohen_kappa_score

from mien.audit import DISPARITY, TOO_FEW, Audit, audit, render_text, summary_estimates
from mien.errors import ConfigError, DataError, UsageError
from mien.metrics import METRICS
from mien.metrics.counts import CountMetric
from mien.records import Predictions
from mien.stats.settings import Settings

HOW = Settings(n_boot=200, n_perm=199)


def share_right(confusion):
    """Accuracy, written anew; takes stacks of tables."""
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-2, -1))


def right_one_by_one(confusion):
    """Accuracy of one table only."""
    return float(confusion.trace()) / float(confusion.sum())


def recall_of_the_first(confusion):
    """Recall of the first class: a share of some faces."""
    return confusion[..., 0, 0] / confusion[..., 0, :].sum(-1)


def kappa(confusion):
    """Cohen's kappa: no share, and it may be negative."""
    total = confusion.sum((-2, -1))
    chance = (confusion.sum(-1) * confusion.sum(-2)).sum(-1) / total**2
    observed = np.trace(confusion, axis1=-2, axis2=-1) / total
    return (observed - chance) / (1 - chance)


def second_best(labels, probs):
    """Top-2, written anew: one value a face."""
    return (np.argsort(-probs, axis=1)[:, :2] == labels[:, None]).any(1).astype(float)


def surprise(labels, probs):
    """Minus the log of the probability of the label: one value a face, the lower the better."""
    return -np.log(probs[np.arange(len(labels)), labels])


def largest(probs):
    """One number of all faces together."""
    return probs.max()


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for function in (share_right, right_one_by_one, recall_of_the_first, kappa, second_best, surprise, largest):
        METRICS.names()
        monkeypatch.setitem(METRICS._entries, function.__name__, function)
    monkeypatch.setattr(METRICS, "_lower", {"surprise"})


@pytest.fixture(scope="module", params=[False, True], ids=["faces", "persons"])
def pred(request):
    rng = np.random.default_rng(3)
    n, k = 900, 4
    cluster = np.repeat(np.arange(n // 3), 3) if request.param else None
    group = np.repeat(rng.integers(0, 2, n // 3), 3)
    labels = rng.integers(0, k, n)
    predicted = noisy(rng, labels, np.where(group, 0.8, 0.6), k)
    probs = rng.dirichlet(np.ones(k), n) * 0.4
    probs[np.arange(n), predicted] += 0.6
    return predictions(labels, predicted, {"gender": np.array(["f", "m"])[group]}, cluster, k, probs)


def numbers(estimate):
    return estimate.value, estimate.low, estimate.high, estimate.method, estimate.n, estimate.clusters


@pytest.mark.parametrize("name", ["share_right", "right_one_by_one"])
def test_accuracy_written_anew_has_the_numbers_of_accuracy(pred, name):
    result = audit(pred, ["gender"], settings=HOW, metrics=[name]).attribute("gender")
    for group in result.groups:
        assert numbers(group.metrics[name]) == numbers(group.metrics["accuracy"])
    own, usual = result.gap(name), result.gap("accuracy")
    assert numbers(own.value) == numbers(usual.value)
    assert (own.worst, own.best, own.expected, own.expected_high, own.p) == (
        usual.worst,
        usual.best,
        usual.expected,
        usual.expected_high,
        usual.p,
    )
    assert own.family == "further"
    overall = summary_estimates(pred, settings=HOW)
    assert numbers(overall[name]) == numbers(overall["accuracy"])


def test_a_share_of_some_faces_is_that_of_the_class(pred):
    result = audit(pred, ["gender"], settings=HOW, metrics="recall_of_the_first").attribute("gender")
    for group in result.groups:
        own, usual = group.metrics["recall_of_the_first"], group.recall["c0"]
        assert own.value == usual.value
        assert own.n == usual.n
        if usual.clusters == usual.n:
            assert (own.low, own.high) == (usual.low, usual.high)
    own, usual = result.gap("recall_of_the_first"), result.gap("recall", "c0")
    assert own.value.value == usual.value.value
    assert own.p == usual.p


def test_top_2_written_anew_has_the_numbers_of_top_2(pred):
    result = audit(pred, ["gender"], settings=HOW, metrics=["second_best"]).attribute("gender")
    for group in result.groups:
        assert numbers(group.metrics["second_best"]) == numbers(group.metrics["top2"])
    assert result.gap("second_best").value.value == result.gap("top2").value.value
    assert result.gap("second_best").p == pytest.approx(result.gap("top2").p, abs=0.05)  # other draws
    assert numbers(summary_estimates(pred, settings=HOW)["second_best"]) == numbers(
        summary_estimates(pred, settings=HOW)["top2"]
    )


def test_no_share_has_an_interval_a_gap_and_its_sign(pred):
    result = audit(pred, ["gender"], settings=HOW, metrics=["kappa", "surprise"]).attribute("gender")
    for name in ("f", "m"):
        of_group = pred.select((pred.groups["gender"] == name).to_numpy())
        estimate = result.group(name).metrics["kappa"]
        assert estimate.value == pytest.approx(cohen_kappa_score(of_group.labels, of_group.predicted))
        assert estimate.low < estimate.value < estimate.high
        mean = surprise(of_group.labels, of_group.probs).mean()
        assert result.group(name).metrics["surprise"].value == pytest.approx(mean, rel=1e-5)
    assert (result.gap("kappa").worst, result.gap("kappa").verdict) == ("f", DISPARITY)
    assert result.gap("surprise").worst == "f"  # the lower the better
    assert result.gap("kappa").value.low > 0


def test_intervals_of_a_registered_metric_hold_and_its_test_keeps_its_level():
    """Kappa where nothing differs: 95 % intervals of one group, and p below 0.05 one time in twenty."""
    truth, held, rejected, many = (0.7 - 0.325) / 0.675, 0, 0, 120
    # Three classes, recall 0.7, errors spread evenly: kappa is (0.7 - 1/3) / (2/3).
    truth = (0.7 - 1 / 3) / (2 / 3)
    for seed in range(many):
        faces = two_groups(np.random.default_rng(seed), n=400)
        result = audit(faces, ["gender"], settings=replace(HOW, seed=seed), metrics=["kappa"], power=False)
        estimate = result.attribute("gender").group("f").metrics["kappa"]
        held += estimate.low <= truth <= estimate.high
        rejected += result.attribute("gender").gap("kappa").p < 0.05
    assert held / many > 0.89  # three deviations below 0.95
    assert rejected / many < 0.11  # three above 0.05


def test_a_metric_of_all_faces_together_has_an_interval_and_no_groups(pred):
    estimate = summary_estimates(pred, settings=HOW)["largest"]
    assert estimate.value == pred.probs.max()
    assert estimate.low <= estimate.value
    assert estimate.method == "bootstrap percentiles" or "percentile" in estimate.method
    with pytest.raises(UsageError, match=r"metric 'largest': gives one number of all faces together"):
        audit(pred, ["gender"], settings=HOW, metrics=["largest"])


def test_what_is_asked_for_stands_in_files_and_text(pred, tmp_path):
    result = audit(pred, ["gender"], settings=HOW, metrics=["kappa"])
    result.save(tmp_path / "out")
    assert Audit.load(tmp_path / "out").attribute("gender").gap("kappa").p == result.attribute("gender").gap("kappa").p
    assert "kappa" in (tmp_path / "out" / "gaps.csv").read_text()
    assert "kappa" in render_text(result)


def test_nothing_changes_where_nothing_is_asked_for(pred, monkeypatch):
    asked = audit(pred, ["gender"], settings=HOW, metrics=["kappa", "accuracy", "top2"]).attribute("gender")
    plain = audit(pred, ["gender"], settings=HOW).attribute("gender")
    assert [g.metric for g in asked.gaps if g.metric != "kappa"] == [g.metric for g in plain.gaps]
    for gap in plain.gaps:
        assert numbers(asked.gap(gap.metric, gap.class_name).value) == numbers(gap.value)


def test_what_cannot_be_audited_is_told(pred):
    with pytest.raises(ConfigError, match=r"unknown metric 'kapa'. Did you mean 'kappa'"):
        audit(pred, ["gender"], settings=HOW, metrics=["kapa"])
    with pytest.raises(DataError, match=r"metric 'surprise': reads what these predictions do not have"):
        audit(replace(pred, probs=None), ["gender"], settings=HOW, metrics=["surprise"])
    METRICS._entries["recall"] = kappa
    try:
        with pytest.raises(UsageError, match="the audit has a measure of this name"):
            audit(pred, ["gender"], settings=HOW, metrics=["recall"])
    finally:
        del METRICS._entries["recall"]


def test_undefined_is_visible_and_out_of_the_gap(pred):
    few = pred.select(np.flatnonzero((pred.groups["gender"] == "f") | (np.arange(len(pred)) < 30)))
    result = audit(few, ["gender"], settings=replace(HOW, min_n=60), metrics=["kappa"]).attribute("gender")
    assert result.gap("kappa").verdict == TOO_FEW
    one_class = pred.select(np.flatnonzero(pred.labels != 0))
    found = audit(one_class, ["gender"], settings=HOW, metrics=["recall_of_the_first"]).attribute("gender")
    assert all(np.isnan(g.metrics["recall_of_the_first"].value) for g in found.groups)
    assert np.isnan(found.gap("recall_of_the_first").value.value)


def test_one_number_a_table_and_no_more(pred, monkeypatch):
    monkeypatch.setitem(METRICS._entries, "rows", lambda confusion: confusion.sum(-1))
    with pytest.raises((UsageError, ConfigError), match="numbers for one matrix"):
        CountMetric("rows", 3)


def test_shares_are_told_from_other_functions():
    assert CountMetric("share_right", 3).cells.tolist() == np.eye(3).tolist()
    assert CountMetric("kappa", 3).cells is None
    assert CountMetric("macro_f1", 3).cells is None
    first = CountMetric("recall_of_the_first", 2)
    np.testing.assert_array_equal(first.cells, [[1, 0], [np.nan, np.nan]])
    tables = np.array([[[3, 1], [5, 2]], [[0, 0], [5, 2]]])
    np.testing.assert_array_equal(first.values(tables), [0.75, np.nan])
    hits, trials = first.counted(tables)
    assert (hits.tolist(), trials.tolist()) == ([3, 0], [4, 0])
    assert isinstance(Predictions, type)


def test_a_metric_that_writes_changes_nothing_of_the_audit(pred, monkeypatch):
    def without_hits(confusion):
        np.fill_diagonal(confusion, 0)
        return float(confusion.sum())

    def clipped(probs):
        return np.clip(probs, 0.2, 0.8, out=probs)[:, 0]

    monkeypatch.setitem(METRICS._entries, "without_hits", without_hits)
    plain = audit(pred, ["gender"], settings=HOW).attribute("gender")
    asked = audit(pred, ["gender"], settings=HOW, metrics=["without_hits"]).attribute("gender")
    assert numbers(asked.gap("accuracy").value) == numbers(plain.gap("accuracy").value)
    before = pred.probs.copy()
    monkeypatch.setitem(METRICS._entries, "clipped", clipped)
    with pytest.raises(UsageError, match="metric 'clipped': fails"):
        audit(pred, ["gender"], settings=HOW, metrics=["clipped"])
    np.testing.assert_array_equal(pred.probs, before)


def test_a_metric_that_fails_or_is_infinite_is_named(pred, monkeypatch):
    def broken(confusion):
        raise ValueError("no idea")

    def picky(confusion):
        if (confusion.sum(-1) == 0).any():
            raise ValueError("a class is missing")
        return float(np.trace(confusion) / confusion.sum())

    def endless(probs):
        return np.where(np.arange(len(probs)) == 3, np.inf, probs.max(1))

    for function in (broken, picky, endless):
        monkeypatch.setitem(METRICS._entries, function.__name__, function)
    with pytest.raises(UsageError, match=r"metric 'broken': fails \(no idea\)"):
        audit(pred, ["gender"], settings=HOW, metrics=["broken"])
    with pytest.raises(UsageError, match="infinite value for the face '3'"):
        audit(pred, ["gender"], settings=HOW, metrics=["endless"])
    few = replace(pred, labels=np.where(pred.labels == 0, 1, pred.labels), predicted=pred.predicted, soft_targets=None)
    monkeypatch.delitem(METRICS._entries, "broken")
    found = audit(few, ["gender"], settings=HOW, metrics=["picky"]).attribute("gender")
    assert all(np.isnan(g.metrics["picky"].value) for g in found.groups)


def test_gates_know_which_metrics_are_the_better_the_lower(pred):
    from mien.audit import check_gate

    found = audit(pred, ["gender"], settings=HOW, metrics=["surprise"])
    worst = found.attribute("gender").group("f").metrics["surprise"].value
    assert check_gate(found, f"worst(surprise, by=gender) > {worst - 0.01:.4f}").status != "passed"
