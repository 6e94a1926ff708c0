import json
import re
from dataclasses import asdict, fields, is_dataclass, replace

import numpy as np
import pytest
from audit_simulation import noisy, predictions
from scipy.optimize import minimize

from mien.audit import audit, render_text
from mien.audit.attributes import resolve_attribute
from mien.audit.gaps import HEADLINE_METRICS
from mien.audit.inferred import infer_gaps
from mien.audit.inferred.annotator_error import AnnotatorError
from mien.audit.inferred.correction import corrected
from mien.audit.inferred.margins import Counted, GapOf, margins_of, metric_values
from mien.audit.inferred.membership import face_confidence, group_probabilities, weighted_margins
from mien.audit.inferred.quotes import METHODS, left_out, not_possible, pair, quotable
from mien.audit.inferred.sensitivity import erasing_shares, erasure_curve, even_error_curves, even_errors
from mien.errors import DataError, UsageError
from mien.metrics import per_class_recall
from mien.records import Estimate, plain
from mien.stats.cells import Rows
from mien.stats.mixture import inverted_counts, true_counts
from mien.stats.settings import Settings

RNG = np.random.default_rng
ACCURACY = GapOf("accuracy", "", 0, np.ones(2, dtype=bool))
NAMES = np.array(["f", "m", "x", "y", "z"])


def matrix(rates, n=400):
    rates = np.asarray(rates)
    return AnnotatorError(NAMES[: len(rates)].tolist(), np.round(rates * n).tolist(), "validation")


def even(error, n_groups=2, n=400):
    return matrix(even_errors(n_groups, error), n)


def perceived(rng, n, accuracies, rates, k=3, shares=None, cluster=None, **columns):
    """Faces of known accuracy by true group, and the group that an annotator with these rates names."""
    n_groups = len(accuracies)
    group = rng.choice(n_groups, n, p=shares)
    labels = rng.integers(0, k, n)
    predicted = noisy(rng, labels, np.asarray(accuracies)[group], k)
    named = (np.asarray(rates)[group].cumsum(1) > rng.random((n, 1))).argmax(1)
    frame = {"perceived_g": NAMES[named]} | {c: v(group, named) for c, v in columns.items()}
    return predictions(labels, predicted, frame, cluster=cluster, n_classes=k)


def constant(value):
    return lambda group, named: np.full(len(named), value)


def counted(tables, n_boot=50, level=0.95):
    margins = margins_of(np.asarray(tables, dtype=float)[None])
    rng = RNG(0)
    return Counted(margins, rng.poisson(margins, (n_boot, *margins.shape[1:])).astype(float), 1.0, level, 0)


# The matrix


def write(tmp_path, text, name="errors.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_matrix_from_csv_in_any_order(tmp_path):
    error = AnnotatorError.load(write(tmp_path, "true,m,f\nf,30,70\n\nm,90,10\n"))
    assert error.groups == ["m", "f"]
    assert error.counts == [[90, 10], [30, 70]]
    np.testing.assert_allclose(error.rates, [[0.9, 0.1], [0.3, 0.7]])
    assert error.condition == pytest.approx(np.linalg.cond([[0.9, 0.1], [0.3, 0.7]]))
    assert error.matched(["f"]).groups == ["f", "m"]
    assert error.matched(["f", "m"]).counts == [[70, 30], [10, 90]]


@pytest.mark.parametrize("cells", ["0.7,0.3,200\nm,0.1,0.9,50", "70,30,200\nm,10,90,50", "140,60,200\nm,5,45,50"])
def test_matrix_from_rates_with_their_size(tmp_path, cells):
    error = AnnotatorError.load(write(tmp_path, f"true,f,m,n\nf,{cells}\n"))
    np.testing.assert_allclose(error.counts, [[140, 60], [5, 45]])


def test_matrix_from_json(tmp_path):
    counts = {"groups": ["f", "m"], "counts": [[7, 3], [1, 9]], "source": "card 3"}
    error = AnnotatorError.load(write(tmp_path, json.dumps(counts), "e.json"))
    assert (error.counts, error.source) == ([[7, 3], [1, 9]], "card 3")
    rates = {"groups": ["f", "m"], "rates": [[0.7, 0.3], [0.1, 0.9]], "n": [100, 10]}
    np.testing.assert_allclose(
        AnnotatorError.load(write(tmp_path, json.dumps(rates), "e.json")).counts, [[70, 30], [1, 9]]
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("true,f,m\nf,0.7,0.3\nm,0.1,0.9\n", "holds rates.*'n'"),
        ("true,f,m\nf,70.5,29.5\nm,10,90\n", "holds rates"),
        ("true,f,m\nf,70,30\nwoman,10,90\n", "column 'm' has no row"),
        ("true,f,m,unknown\nf,70,30,5\nm,10,90,5\n", "Leave out the faces"),
        ("true,f,m\nf,70,-3\nm,10,90\n", "row 'f': holds 70, -3"),
        ("true,f,m\nf,70,30\nm,0,0\n", "row 'm': has no face"),
        ("true,f,m\nf,70,30\nm,x,90\n", "not a number"),
        ("true,f,m\nf,52,48\nm,50,50\n", "hardly tells the groups apart .condition number 50"),
        ("true,f,m\nf,50,50\nm,50,50\n", "hardly tells the groups apart"),
        ("true,f,m\nf,70\nm,10,90\n", "line 2: has 2 cells"),
        ("true,f,m,n\nf,0.7,0.5,10\nm,0.1,0.9,10\n", "rows of rates sum to 1.2"),
        ("true,f,m,n\nf,0.7,0.3,0\nm,0.1,0.9,10\n", "validation faces are 0, 10"),
        ("true,f\nf,70\n", "names the groups f"),
        ("", "0 lines"),
    ],
)
def test_unusable_matrices(tmp_path, text, found):
    with pytest.raises(DataError, match=found):
        AnnotatorError.load(write(tmp_path, text))


def test_unusable_json_and_missing_files(tmp_path):
    flat = json.dumps({"groups": ["f", "m"], "rates": [1.0], "n": 5})
    for content in ("[1]", "{", flat, json.dumps({"groups": ["f", "m"], "rates": [[0.7, 0.3], [0.1, 0.9]]})):
        with pytest.raises(DataError):
            AnnotatorError.load(write(tmp_path, content, "e.json"))
    with pytest.raises(DataError, match="cannot be read"):
        AnnotatorError.load(tmp_path / "none.csv")
    with pytest.raises(DataError, match="2 x 3"):
        AnnotatorError(["f", "m"], [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(DataError, match="holds rates"):
        AnnotatorError(["f", "m"], [[0.7, 0.3], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"groups": 5, "counts": [[1]]}', r"e\.json: groups: 5, expected a list of names"),
        ('{"groups": "fm", "counts": [[7, 3], [1, 9]]}', r"groups: 'fm', expected a list of names"),
        ('{"groups": [[], {}], "counts": [[7, 3], [1, 9]]}', r"groups: \[\[\], \{\}\]"),
        ('{"groups": ["f", "m"], "groups": ["m", "f"], "counts": [[7, 3], [1, 9]]}', "the key 'groups' stands twice"),
        ('{"groups": ["f", "m"], "counts": [[7, NaN], [1, 9]]}', "holds NaN"),
        ('{"groups": ["f", "m"], "counts": [[7, ' + "9" * 400 + "], [1, 9]]}", "a number of 400 digits"),
        ('{"groups": ["f", "m"], "rates": [[0.7, 0.3], [0.1, 0.9]], "n": [1, 2, 3]}', r"n has the shape \(3,\)"),
        ("[" * 5000, "too many values"),
    ],
)
def test_json_of_another_kind_is_one_sentence(tmp_path, text, found):
    with pytest.raises(DataError, match=found) as caught:
        AnnotatorError.load(write(tmp_path, text, "e.json"))
    assert "\n" not in str(caught.value)


def test_drawn_matrices_vary_as_their_counts_allow():
    error = AnnotatorError(["f", "m"], [[70, 30], [1000, 9000]])
    drawn = error.drawn(20_000, RNG(0))
    np.testing.assert_allclose(drawn.sum(-1), 1)
    np.testing.assert_allclose(drawn.mean(0), error.rates, atol=0.003)
    np.testing.assert_allclose(drawn[:, 0, 0].std(), np.sqrt(0.7 * 0.3 / 102), rtol=0.03)
    np.testing.assert_allclose(drawn[:, 1, 0].std(), np.sqrt(0.1 * 0.9 / 10_002), rtol=0.03)


# The correction


def test_true_counts_invert_what_the_annotator_does():
    rng = RNG(0)
    for n_groups in (2, 3, 5):
        rates = rng.dirichlet(np.ones(n_groups), (4, n_groups)) * 0.4 + 0.6 * np.eye(n_groups)
        true = rng.integers(5, 100, (4, n_groups, 6)).astype(float)
        seen = np.swapaxes(rates, 1, 2) @ true
        np.testing.assert_allclose(true_counts(seen, rates), true)
        np.testing.assert_allclose(true_counts(seen[:1], rates[:1]), true[:1])


def test_true_counts_by_hand():
    # 65 of 100 + 100 perceived as f with errors of 20 %: (0.8 * 65 - 0.2 * 135) / 0.6.
    out = true_counts(np.array([[[65.0], [135.0]]]), even_errors(2, 0.2)[None])
    np.testing.assert_allclose(out[0, :, 0], [25 / 0.6, 95 / 0.6])
    # 10 of 100 are fewer than the errors on the others alone: none are left.
    out = true_counts(np.array([[[10.0], [90.0]]]), even_errors(2, 0.2)[None])
    np.testing.assert_allclose(out[0, :, 0], [0, 100])
    assert (true_counts(np.zeros((1, 3, 2)), even_errors(3, 0.2)[None]) == 0).all()


def test_negative_solutions_become_the_most_likely_counts():
    rng = RNG(1)
    rates = rng.dirichlet(np.ones(3), 3) * 0.5 + 0.5 * np.eye(3)
    seen = np.array([[60.0, 3.0, 1.0], [1.0, 40.0, 2.0], [3.0, 5.0, 30.0]]).T @ np.eye(3)
    assert (inverted_counts(seen[None], rates[None]) < 0).any(1).any()
    out = true_counts(seen[None], rates[None])[0]
    assert (out >= 0).all()
    np.testing.assert_allclose(out.sum(0), seen.sum(0))
    for c in range(3):

        def loss(n, m=seen[:, c]):
            expected = rates.T @ n
            return float(expected.sum() - (m * np.log(expected)).sum())

        best = minimize(loss, np.full(3, seen[:, c].sum() / 3), bounds=[(1e-9, None)] * 3, tol=1e-12)
        assert loss(out[:, c]) == pytest.approx(best.fun, abs=1e-3)
        np.testing.assert_allclose(out[:, c], best.x, atol=0.1)


def test_thin_cells_do_not_pull_the_groups_together():
    """Correcting each of the K x K cells loses a tenth of this gap: margins are corrected instead."""
    rng = RNG(0)
    rates, k = even_errors(2, 0.3), 8
    by_margin, by_cell = [], []
    for _ in range(60):
        pred = perceived(rng, 2000, (0.6, 0.8), rates, k)
        group = resolve_attribute(pred, "perceived_g").codes
        tables = Rows(group, pred.labels, pred.predicted, None, 2, k).tables().astype(float)
        cells = true_counts(tables.reshape(1, 2, -1), rates[None]).reshape(1, 2, k, k)
        by_cell.append(np.diff(metric_values(margins_of(cells), "accuracy")[0])[0])
        by_margin.append(np.diff(metric_values(true_counts(margins_of(tables[None]), rates[None]), "accuracy")[0])[0])
    assert abs(np.mean(by_margin) - 0.2) < 0.015
    assert np.mean(by_cell) < 0.185


def test_metrics_of_margins_are_those_of_the_tables():
    tables = RNG(0).poisson(1.5, (20, 3, 4, 4))
    tables[0, 0, 1] = tables[1, 0, :] = 0
    margins = margins_of(tables)
    for name, metric in HEADLINE_METRICS.items():
        np.testing.assert_allclose(metric_values(margins, name), metric(tables))
    for k in range(4):
        np.testing.assert_allclose(metric_values(margins, "recall", k), per_class_recall(tables)[..., k])


# Probabilities


def test_confidence_and_what_the_others_share():
    pred = perceived(RNG(0), 50, (0.7, 0.7, 0.7), np.eye(3), perceived_g_confidence=constant(0.7))
    attribute = resolve_attribute(pred, "perceived_g")
    confidence = face_confidence(pred, attribute, attribute.groups)
    equal = group_probabilities(pred, attribute, attribute.groups, confidence, np.ones((3, 3)))
    np.testing.assert_allclose(equal[np.arange(50), attribute.codes], 0.7)
    np.testing.assert_allclose(np.sort(equal, axis=1)[:, :2], 0.15)
    shares = np.array([[9.0, 2.0, 1.0], [1.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    known = group_probabilities(pred, attribute, attribute.groups, confidence, shares)
    for h, row in enumerate([[0.7, 0.2, 0.1], [0.3, 0.7, 0.0], [0.15, 0.15, 0.7]]):
        np.testing.assert_allclose(known[attribute.codes == h], np.tile(row, ((attribute.codes == h).sum(), 1)))


def test_stated_probabilities_win_and_are_checked():
    rng = RNG(0)
    columns = {"perceived_g_prob_f": constant(0.8), "perceived_g_prob_m": constant(0.2)}
    pred = perceived(rng, 60, (0.7, 0.7), np.eye(2), **columns)
    attribute = resolve_attribute(pred, "perceived_g")
    confidence = face_confidence(pred, attribute, attribute.groups)
    np.testing.assert_allclose(confidence, np.where(attribute.codes == 0, 0.8, 0.2))
    member = group_probabilities(pred, attribute, attribute.groups, None, np.ones((2, 2)))
    np.testing.assert_allclose(member, np.tile([0.8, 0.2], (60, 1)))
    for change, found in (
        ({"perceived_g_prob_m": 0.3}, "sum to 1.1"),
        ({"perceived_g_prob_m": 1.2}, "is 1.2"),
        ({"perceived_g_prob_m": "sure"}, "is sure"),
    ):
        with pytest.raises(DataError, match=found):
            infer_gaps(replace(pred, groups=pred.groups.assign(**change)), "perceived_g", settings=Settings(n_boot=10))
    with pytest.raises(DataError, match="no column 'perceived_g_prob_m'"):
        infer_gaps(
            replace(pred, groups=pred.groups.drop(columns="perceived_g_prob_m")),
            "perceived_g",
            settings=Settings(n_boot=10),
        )


def weighted(member, labels, predicted, cluster=None, n_boot=400, seed=0):
    return weighted_margins(member, labels, predicted, cluster, 3, n_boot, RNG(seed))


def test_weighted_margins_are_weighted_sums():
    rng = RNG(0)
    labels, predicted, group = (rng.integers(0, 3, 300) for _ in range(3))
    tables = Rows(group, labels, predicted, None, 3, 3).tables()
    np.testing.assert_allclose(weighted(np.eye(3)[group], labels, predicted)[0], margins_of(tables[None]))
    member = rng.dirichlet(np.ones(2), 300)
    point, _ = weighted(member, labels, predicted)
    np.testing.assert_allclose(point[0, :, 0], member[labels == predicted].sum(0))
    np.testing.assert_allclose(point[0, :, 2 + 3 + 1], member[(labels == 1) & (predicted != 1)].sum(0))


@pytest.mark.parametrize("n", [1500, 20_000])
@pytest.mark.parametrize("copies", [1, 2])
def test_weighted_bootstrap_varies_as_units_do(n, copies):
    """Beyond 4,000 units they are drawn in blocks; copies of a face add no information."""
    rng = RNG(0)
    labels, predicted = rng.integers(0, 3, n), rng.integers(0, 3, n)
    member = rng.dirichlet((1.0, 3.0), n)
    value = member[:, 0] * (labels == predicted)
    again = np.tile(np.arange(n), copies)
    cluster = None if copies == 1 else again
    _, drawn = weighted(member[again], labels[again], predicted[again], cluster, n_boot=1500)
    np.testing.assert_allclose(drawn[:, 0, 0].mean(), copies * value.sum(), rtol=0.01)
    np.testing.assert_allclose(drawn[:, 0, 0].std(), copies * value.std() * np.sqrt(n), rtol=0.07)


# The three estimates


def test_thresholded_is_what_the_audit_finds():
    pred = perceived(RNG(0), 700, (0.6, 0.8), even_errors(2, 0.2))
    ours = infer_gaps(pred, "perceived_g", settings=Settings(n_boot=400), curves=False).method("thresholded")
    theirs = audit(pred, ["perceived_g"], settings=Settings(n_boot=400, n_perm=10)).attribute("perceived_g")
    for metric in HEADLINE_METRICS:
        gap = theirs.gap(metric).value
        assert ours.gap(metric).value.value == pytest.approx(gap.value)
        assert (ours.gap(metric).value.low, ours.gap(metric).value.high) == pytest.approx((gap.low, gap.high), abs=0.02)
        assert ours.group("f").metrics[metric].value == pytest.approx(theirs.group("f").metrics[metric].value)
    for mine, other in (
        (ours.group("f").metrics["accuracy"], theirs.group("f").metrics["accuracy"]),
        (ours.group("m").recall["c1"], theirs.group("m").recall["c1"]),
    ):
        assert (mine.low, mine.high) == pytest.approx((other.low, other.high))
        assert mine.method == "wilson"
    assert ours.gap("recall", "c1").value.value == pytest.approx(theirs.gap("recall", "c1").value.value)
    assert ours.gap("accuracy").worst == theirs.gap("accuracy").worst == "f"


def test_a_perfect_annotator_changes_nothing():
    pred = perceived(RNG(0), 700, (0.6, 0.8), np.eye(2), perceived_g_confidence=constant(1.0))
    error = AnnotatorError(["f", "m"], [[100_000, 0], [0, 100_000]])
    result = infer_gaps(pred, "perceived_g", error, settings=Settings(n_boot=400), curves=False)
    assert [m.name for m in result.methods] == ["thresholded", "weighted", "corrected"]
    gaps = result.side_by_side("accuracy")
    for gap in gaps.values():
        assert gap.value == pytest.approx(gaps["thresholded"].value)
        assert (gap.low, gap.high) == pytest.approx((gaps["thresholded"].low, gaps["thresholded"].high), abs=0.02)
    assert "annotator's error drawn" in gaps["corrected"].method


def test_the_known_gap_is_recovered_where_the_naive_one_misses_more_than_half():
    truth, n_sims = 0.2, 60
    rates = even_errors(2, 0.3)
    found = {m: [] for m in ("thresholded", "weighted", "corrected")}
    for seed in range(n_sims):
        rng = RNG(seed)
        pred = perceived(rng, 2000, (0.6, 0.8), rates, perceived_g_confidence=constant(0.7))
        error = AnnotatorError(["f", "m"], [rng.multinomial(150, r).tolist() for r in rates])
        result = infer_gaps(pred, "perceived_g", error, settings=Settings(n_boot=200, seed=seed), curves=False)
        for method, gap in result.side_by_side("accuracy").items():
            found[method].append((gap.value, gap.low <= truth <= gap.high))
    value, held = ({m: np.mean([f[i] for f in rows]) for m, rows in found.items()} for i in (0, 1))
    assert value["thresholded"] < truth / 2
    assert value["weighted"] < value["thresholded"]
    assert abs(value["corrected"] - truth) < 0.04
    assert held["thresholded"] < 0.05
    assert held["corrected"] >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sims)


def test_without_a_gap_the_corrected_interval_reaches_zero():
    rates, held = even_errors(2, 0.25), []
    for seed in range(40):
        rng = RNG(seed)
        pred = perceived(rng, 1000, (0.7, 0.7), rates)
        error = AnnotatorError(["f", "m"], [rng.multinomial(60, r).tolist() for r in rates])
        gap = infer_gaps(pred, "perceived_g", error, settings=Settings(n_boot=200), curves=False).side_by_side(
            "accuracy"
        )["corrected"]
        held.append(gap.low == 0)
    assert np.mean(held) > 0.85


def test_fewer_validation_faces_make_wider_intervals():
    pred = perceived(RNG(0), 3000, (0.6, 0.8), even_errors(2, 0.25))
    widths = []
    for n in (100_000, 200, 50):
        gap = infer_gaps(pred, "perceived_g", even(0.25, n=n), curves=False).side_by_side("accuracy")["corrected"]
        widths.append(gap.high - gap.low)
    assert widths[0] * 1.1 < widths[1] < widths[2] / 1.3


def test_copies_count_once():
    pred = perceived(RNG(0), 800, (0.6, 0.8), even_errors(2, 0.2), perceived_g_confidence=constant(0.8))
    twice = replace(pred.select(np.tile(np.arange(800), 2)), cluster=np.tile(np.arange(800), 2))
    twice = replace(twice, sample_id=np.arange(1600).astype(str))
    one, two = (
        infer_gaps(p, "perceived_g", even(0.2), settings=Settings(n_boot=800), curves=False) for p in (pred, twice)
    )
    for method in ("thresholded", "weighted", "corrected"):
        a, b = (r.method(method).gap("accuracy").value for r in (one, two))
        assert b.value == pytest.approx(a.value)
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.12)
        assert (b.n, b.clusters) == (1600, 800)
        e, f = (r.method(method).group("f").metrics["accuracy"] for r in (one, two))
        assert f.high - f.low == pytest.approx(e.high - e.low, rel=0.12)


def test_errors_that_follow_the_models_mistakes_need_a_matrix_of_their_own():
    """Both fail on the same faces: one matrix shows a gap where there is none, two do not."""
    rng = RNG(0)
    n, right_error, wrong_error = 60_000, 0.1, 0.35
    group = (rng.random(n) > 0.3).astype(int)
    labels = rng.integers(0, 3, n)
    predicted = noisy(rng, labels, np.full(n, 0.7), 3)
    right = labels == predicted
    named = np.where(rng.random(n) < np.where(right, right_error, wrong_error), 1 - group, group)
    pred = predictions(labels, predicted, {"perceived_g": NAMES[named]}, n_classes=3)
    mixed = even(0.7 * right_error + 0.3 * wrong_error, n=20_000)
    alone = infer_gaps(pred, "perceived_g", mixed, settings=Settings(n_boot=200), curves=False)
    apart = infer_gaps(
        pred, "perceived_g", even(right_error, n=20_000), even(wrong_error, n=20_000), settings=Settings(n_boot=200)
    )
    assert alone.side_by_side("accuracy")["corrected"].low > 0.05
    assert apart.side_by_side("accuracy")["corrected"].low == 0
    assert apart.side_by_side("accuracy")["corrected"].value < 0.03
    assert "gap where there is none" in alone.method("corrected").note
    assert "gap where there is none" not in apart.method("corrected").note
    assert sum("on faces predicted wrong" in note for note in apart.notes) == 1


def test_confused_faces_add_up():
    tables = RNG(0).poisson(30, (2, 3, 3))
    counts = counted(tables)
    for second in (None, even(0.3)):
        correction = corrected(counts, even(0.2), second, RNG(0))
        np.testing.assert_allclose(correction.confused.sum(0), tables.sum((1, 2)))
        np.testing.assert_allclose(correction.confused.sum(1), correction.counted.observed[0, :, :2].sum(-1))


# Thresholds, groups and notes


def test_a_threshold_leaves_faces_out_and_says_which():
    labels = np.array([0] * 60 + [1] * 40)
    frame = {
        "perceived_g": np.tile(["f", "m"], 50),
        "perceived_g_confidence": np.where(labels == 0, 0.9, np.tile([0.5, 0.9], 50)),
    }
    pred = predictions(labels, labels, frame, n_classes=2)
    result = infer_gaps(
        pred, "perceived_g", even(0.1), threshold=0.8, settings=Settings(n_boot=50, min_n=5), curves=False
    )
    assert result.coverage.overall.value == 0.8
    assert {g: e.value for g, e in result.coverage.by_group.items()} == {"f": 0.6, "m": 1.0}
    assert {c: e.value for c, e in result.coverage.by_class.items()} == {"c0": 1.0, "c1": 0.5}
    assert [g.n for g in result.method("thresholded").groups] == [30, 50]
    assert sum(g.n for g in result.method("corrected").groups) == pytest.approx(100)
    assert any("f keeps least (60%)" in note for note in result.notes)
    nothing = infer_gaps(pred, "perceived_g", threshold=0.95, settings=Settings(n_boot=50))
    assert np.isnan(nothing.side_by_side("accuracy")["thresholded"].value)


def test_settings_that_cannot_work():
    pred = perceived(RNG(0), 100, (0.6, 0.8), np.eye(2))
    with pytest.raises(UsageError, match="has no confidences"):
        infer_gaps(pred, "perceived_g", threshold=0.5)
    with pytest.raises(UsageError, match="below 1"):
        infer_gaps(pred, "perceived_g", threshold=1.5)
    with pytest.raises(UsageError, match="'error' too"):
        infer_gaps(pred, "perceived_g", None, even(0.2))
    with pytest.raises(DataError, match="has no group 'f'.*Known: woman, man"):
        infer_gaps(pred, "perceived_g", AnnotatorError(["woman", "man"], [[9, 1], [1, 9]]))
    with pytest.raises(DataError, match="lacks .x."):
        infer_gaps(pred, "perceived_g", even(0.2), even(0.2, 3))


def test_without_a_matrix_the_rest_still_stands():
    pred = perceived(RNG(0), 300, (0.6, 0.8), np.eye(2))
    result = infer_gaps(pred, "perceived_g", settings=Settings(n_boot=50))
    assert [m.name for m in result.methods] == ["thresholded"]
    assert result.annotator is None
    assert result.erasure
    assert result.even_errors
    assert any("no interval holds its error" in note for note in result.notes)
    assert any("no weighted estimate" in note for note in result.notes)


def test_a_group_that_nobody_is_perceived_as():
    pred = perceived(RNG(0), 2000, (0.6, 0.8), even_errors(2, 0.1), perceived_g_confidence=constant(0.8))
    error = AnnotatorError(["f", "m", "x"], [[90, 8, 2], [8, 90, 2], [10, 10, 80]])
    result = infer_gaps(pred, "perceived_g", error, settings=Settings(n_boot=50))
    assert result.groups == ["f", "m", "x"]
    empty = result.method("thresholded").group("x")
    assert empty.n == 0
    assert np.isnan(empty.metrics["accuracy"].value)
    assert (empty.metrics["accuracy"].note, empty.in_gaps) == ("no faces", False)
    assert result.method("weighted").group("x").n > 0
    assert result.method("corrected").gap("accuracy").n_groups == 2
    assert any("fewer are perceived as x" in note for note in result.notes)


def test_notes_on_matrices_that_say_little():
    pred = perceived(RNG(0), 500, (0.6, 0.8), even_errors(2, 0.2), perceived_g_confidence=constant(0.99))
    few = infer_gaps(
        pred, "perceived_g", AnnotatorError(["f", "m"], [[7, 3], [3, 7]]), settings=Settings(n_boot=200), curves=False
    ).notes
    assert any("Fewer than 30 validation faces of f, m" in note for note in few)
    assert any("hardly tells the groups apart" in note for note in few)
    (sure,) = [note for note in few if "99% sure on average" in note]
    assert "another mix" in sure  # either may be right: neither is blamed
    turned = infer_gaps(
        pred, "perceived_g", AnnotatorError(["f", "m"], [[30, 70], [5, 95]]), settings=Settings(n_boot=50), curves=False
    )
    assert any("Most faces of f are perceived as m" in note for note in turned.notes)
    sound = infer_gaps(pred, "perceived_g", even(0.2), settings=Settings(n_boot=50), curves=False).notes
    assert not any("hardly tells" in note or "Fewer than" in note or "does not fit" in note for note in sound)


def test_the_note_of_a_matrix_goes_with_it(tmp_path):
    content = {"groups": ["m", "f"], "rates": [[0.9, 0.1], [0.2, 0.8]], "n": [207.738, 1741.62], "note": "f holds x, y"}
    error = AnnotatorError.load(write(tmp_path, json.dumps(content), "e.json"))
    assert error.note == error.matched(["f", "m"]).note == "f holds x, y"
    pred = perceived(RNG(0), 300, (0.6, 0.8), even_errors(2, 0.2))
    result = infer_gaps(pred, "perceived_g", error, settings=Settings(n_boot=30), curves=False)
    assert result.annotator_note == result.notes[0] == "f holds x, y"
    assert any("as 1,949 faces of known group show them (f 1,742, m 208)" in note for note in result.notes)
    assert result.refused == ""


def refused(pred, **more):
    content = {"groups": ["f", "m"], "counts": [[52, 48], [50, 50]]} | more
    return replace(pred, annotator_errors={"perceived_g": content})


def test_a_matrix_that_came_and_cannot_be_used_is_called_known():
    pred = refused(perceived(RNG(0), 300, (0.6, 0.8), np.eye(2)), note="m holds x")
    found = audit(pred, ["perceived_g"], settings=Settings(n_boot=30, n_perm=10))
    result = found.attributes[0].inferred
    assert "condition number 50" in result.refused
    assert result.annotator_note == "m holds x"
    assert "condition number 50" in not_possible(result)["corrected"]
    text = render_text(found)
    assert "no confusion matrix" not in text
    assert "came with the predictions, but cannot be used" in text
    assert "- m holds x" in text
    assert text.count("condition number 50") == 2  # beside the gap, and under the method
    without = audit(replace(pred, annotator_errors={}), ["perceived_g"], settings=Settings(n_boot=30, n_perm=10))
    assert "no confusion matrix of the annotator was given" in render_text(without)
    assert without.attributes[0].inferred.refused == ""


# What may be quoted


def test_text_shows_the_gap_by_each_method_between_its_own_groups():
    """Few are perceived as x, and fewer are x: the corrected gap lies between others."""
    rates = np.array([[0.9, 0.095, 0.005], [0.1, 0.895, 0.005], [0.0, 0.0, 1.0]])
    pred = perceived(
        RNG(3), 4000, (0.5, 0.65, 1.0), rates, shares=(0.5, 0.495, 0.005), perceived_g_confidence=constant(0.8)
    )
    error = AnnotatorError(["f", "m", "x"], (rates * 10_000).tolist())
    found = audit(
        pred, ["perceived_g"], settings=Settings(n_boot=60, n_perm=20), annotator_errors={"perceived_g": error}
    )
    result, text = found.attributes[0].inferred, render_text(found)
    for name in METHODS:
        gap = result.method(name).gap("accuracy")
        value = found.attributes[0].gap("accuracy").value if name == "thresholded" else gap.value
        low, high = f"{value.low:.3f}", f"{value.high:.3f}"
        assert f"| {METHODS[name]} | {value.value:.3f} [{low}, {high}] | {gap.worst} below {gap.best} |" in text
    assert pair(result.method("thresholded").gap("accuracy")) == "f below x"
    assert pair(result.method("corrected").gap("accuracy")) == "f below m"
    (sentence,) = [s for s in left_out(result) if "corrected" in s]
    assert re.match(r"x: \d+ faces corrected for the annotator's mistakes, \d+ as perceived", sentence)
    assert f"- {sentence}" in text
    assert text.count(quotable(result)) == 1
    gaps = found.tables()["gaps"].set_index("metric")
    row, corrected = gaps.loc["accuracy"], result.method("corrected").gap("accuracy")
    assert (row["gap_corrected"], row["low_corrected"]) == (corrected.value.value, corrected.value.low)
    assert (row["worst_corrected"], row["best_corrected"], row["best"]) == ("f", "m", "x")
    assert gaps.loc["min_max_accuracy", "gap_corrected"] != gaps.loc["min_max_accuracy", "gap_corrected"]


def test_only_a_corrected_gap_without_doubts_may_be_quoted_as_corrected():
    pred = perceived(RNG(0), 2000, (0.6, 0.8), even_errors(2, 0.2), perceived_g_confidence=constant(0.8))
    result = infer_gaps(pred, "perceived_g", even(0.2), settings=Settings(n_boot=60), curves=False)
    values = {name: f"{gap.value:.3f}" for name, gap in result.side_by_side("accuracy").items()}
    assert len(set(values.values())) == 3
    may, may_not = quotable(result).split("You may not say: ")
    assert values["corrected"] in may
    assert values["thresholded"] not in may
    assert values["thresholded"] in may_not
    assert values["weighted"] in may_not
    for other in (
        replace(result, doubts=["odd"]),
        infer_gaps(pred, "perceived_g", settings=Settings(n_boot=60), curves=False),
    ):
        may, may_not = quotable(other).split("You may not say: ")
        assert values["thresholded"] in may
        assert "not corrected" in may
        assert values["corrected"] not in may
        assert ("in doubt" in may_not) == bool(other.doubts)
    assert "faces with a group" not in quotable(result)
    assert "among the 2,000 of 2,500 faces with a group" in quotable(replace(result, n_unknown=500))
    assert (
        quotable(
            infer_gaps(pred.select(np.arange(30)), "perceived_g", even(0.2), settings=Settings(n_boot=20), curves=False)
        )
        == ""
    )


def test_a_matrix_that_does_not_fit_is_a_doubt():
    pred = perceived(RNG(0), 2000, (0.6, 0.8), np.eye(2), shares=(0.05, 0.95))
    result = infer_gaps(pred, "perceived_g", even(0.2), settings=Settings(n_boot=60), curves=False)
    assert ["fewer are perceived as f" in d for d in result.doubts] == [True]
    assert set(result.doubts) <= set(result.notes)


@pytest.mark.parametrize(
    ("unknown", "said"), [(200, "200 of 1,000 faces have no perceived g and took no part."), (50, "")]
)
def test_the_verdict_says_how_many_took_no_part(unknown, said):
    pred = perceived(RNG(0), 1000, (0.7, 0.7), np.eye(2))
    pred.groups.loc[: unknown - 1, "perceived_g"] = "unknown"
    found = audit(pred, ["perceived_g"], settings=Settings(n_boot=20, n_perm=10))
    assert found.attributes[0].n_unknown == unknown
    assert found.verdict.endswith(said)
    assert ("took no part" in found.verdict) == bool(said)


def test_the_verdict_names_each_attribute_that_many_took_no_part_in():
    pred = perceived(RNG(0), 500, (0.7, 0.7), np.eye(2))
    groups = {f"a{i}": np.where(np.arange(500) < 100 + i, "unknown", NAMES[np.arange(500) % 2]) for i in range(6)}
    pred = replace(pred, groups=pred.groups.assign(**groups))
    verdict = audit(pred, ["a0", "a1", "perceived_g"], settings=Settings(n_boot=20, n_perm=10)).verdict
    assert verdict.endswith("101 of 500 faces have no a1 and 100 no a0: they took no part there.")
    verdict = audit(pred, list(groups), settings=Settings(n_boot=20, n_perm=10)).verdict
    assert "102 no a2 and 2 more attributes lack some: they took no part there." in verdict


def test_faces_without_confidence_leave_the_weighted_estimate_only():
    pred = perceived(RNG(0), 300, (0.6, 0.8), np.eye(2), perceived_g_confidence=constant(0.9))
    pred.groups.loc[:9, "perceived_g_confidence"] = np.nan
    result = infer_gaps(pred, "perceived_g", settings=Settings(n_boot=50), curves=False)
    assert sum(g.n for g in result.method("weighted").groups) == pytest.approx(290)
    assert sum(g.n for g in result.method("thresholded").groups) == 300
    assert any("10 faces" in note for note in result.notes)


def test_undefined_values_stay_undefined():
    labels = np.array([0, 1] * 30 + [0] * 60)
    pred = predictions(labels, labels, {"perceived_g": ["f"] * 60 + ["m"] * 60}, n_classes=3)
    result = infer_gaps(pred, "perceived_g", even(0.001, n=100_000), settings=Settings(n_boot=50))
    for method in result.methods:
        recall = method.group("f").recall
        assert np.isnan(recall["c2"].value)
        assert recall["c2"].note == "nobody annotated with it"
        assert np.isnan(method.gap("recall", "c2").value.value)
        assert np.isnan(method.gap("recall", "c1").value.value)  # m has too few
        assert recall["c0"].value == 1
        assert recall["c0"].low < 0.95


# Sensitivity


def test_erasing_share_against_its_formula():
    tables = RNG(0).poisson(20, (50, 2, 3, 3))
    margins = margins_of(tables)
    order = np.argsort(metric_values(margins, "accuracy"), axis=1)
    margins = np.take_along_axis(margins, order[..., None], axis=1)
    h, m = margins[..., 0].T, margins[..., 1].T
    expected = (h[1] * m[0] - h[0] * m[1]) / (m[0] * (h[0] + h[1]))
    got = erasing_shares(margins, ACCURACY)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert (erasing_shares(margins[:, ::-1], ACCURACY) == 0).all()


def test_erasure_finds_the_errors_that_made_a_gap():
    """Equal groups of 60 right and 40 wrong faces; 20 of the best's 40 mistakes are perceived as the worst."""
    worst, best = np.diag([30, 30]), np.diag([30, 30])
    worst[0, 1], worst[1, 0] = 30, 30  # 40 of its own and 20 of the best
    best[0, 1], best[1, 0] = 10, 10
    curve = erasure_curve(counted([worst, best]), ACCURACY, ["f", "m"])
    assert (curve.worst, curve.best) == ("f", "m")
    assert curve.erased_at.value == pytest.approx(1 / 3, abs=1e-5)
    assert curve.of_group == pytest.approx(20 / 120, abs=1e-5)
    assert curve.points[0].gap.value == pytest.approx(60 / 80 - 60 / 120)
    assert curve.points[-1].gap.value == pytest.approx(60 / 140 - 1)
    assert "33% of the faces perceived as f that the model got wrong would have to be in truth m" in curve.sentence
    lows = {p.error: p.gap.low for p in curve.points}
    assert 0 < curve.uncertain_at < curve.erased_at.value
    assert lows[round(np.ceil(curve.uncertain_at * 20) / 20, 10)] <= 0 < lows[0.0]
    assert curve.erased_at.low < 1 / 3 < curve.erased_at.high


def test_the_curve_crosses_zero_where_the_gap_is_erased():
    """The best group is small: the difference bends long before a twentieth of the mistakes has moved."""
    worst, best = np.diag([1100, 1100]), np.diag([33, 33])
    worst[0, 1] = worst[1, 0] = 170
    best[0, 1] = 1
    curve = erasure_curve(counted([worst, best]), ACCURACY, ["f", "m"])
    at, gaps = [p.error for p in curve.points], [p.gap.value for p in curve.points]
    assert 0 < curve.erased_at.value < 0.05
    assert np.interp(0, gaps[::-1], at[::-1]) == pytest.approx(curve.erased_at.value, rel=0.01)
    assert f"{100 * curve.erased_at.value:.1f}% of the faces perceived as f" in curve.sentence


def test_errors_of_the_annotator_cannot_erase_every_gap():
    curve = erasure_curve(
        counted([[[0, 60], [60, 0]], [[50, 10], [10, 50]]]),
        ACCURACY,
        ["f", "m"],
    )
    assert np.isnan(curve.erased_at.value)
    assert "could not erase" in curve.sentence
    same = counted([[[50, 10], [10, 50]]] * 2)
    assert erasure_curve(same, ACCURACY, ["f", "m"]) is None


def test_even_errors_only_widen_gaps_of_shares():
    pred = perceived(RNG(0), 3000, (0.6, 0.8), even_errors(2, 0.25))
    result = infer_gaps(pred, "perceived_g", even(0.25, n=10**6), settings=Settings(n_boot=200))
    curves = {(c.metric, c.class_name): c for c in result.even_errors}
    for key in [("accuracy", ""), ("recall", "c0"), ("recall", "c1"), ("recall", "c2")]:
        values = [p.gap.value for p in curves[key].points]
        assert (np.diff(values) > 0).all()
    points = {round(p.error, 3): p.gap for p in curves["accuracy", ""].points}
    assert points[0.0].value == pytest.approx(result.side_by_side("accuracy")["thresholded"].value)
    assert points[0.25].value == pytest.approx(result.side_by_side("accuracy")["corrected"].value, abs=1e-3)
    assert points[0.25].high == pytest.approx(result.side_by_side("accuracy")["corrected"].high, abs=0.02)


def test_even_errors_end_where_a_group_would_be_used_up():
    tables = [np.diag([20, 20]) + 5, np.diag([200, 200]) + 50]
    (curve,) = even_error_curves(counted(tables), [ACCURACY], ["f", "m"], 1)
    # 60 of 660 faces are perceived as f: with an error of 60 / 660 on m none of them would be f.
    assert curve.points[-1].error < 60 / 660
    assert curve.points[-1].error > 60 / 660 - 0.03
    assert "too few faces are perceived as f" in curve.note
    # However short the curve, it can be drawn.
    (short,) = even_error_curves(counted([np.diag([5, 5]) + 1, np.diag([400, 400]) + 50]), [ACCURACY], ["f", "m"], 1)
    assert short.points[-1].error < 0.02
    assert len(short.points) > 5
    assert short.note.startswith(f"ends at {short.points[-1].error:.1%}: ")


# The whole


def test_the_order_of_rows_does_not_matter():
    rng = RNG(0)
    pred = perceived(
        rng,
        600,
        (0.6, 0.7, 0.8),
        even_errors(3, 0.2),
        cluster=rng.integers(0, 450, 600),
        perceived_g_confidence=lambda g, named: rng.uniform(0.4, 1.0, len(named)).round(3),
    )
    shuffled = pred.select(rng.permutation(600))
    shuffled = replace(shuffled, cluster=450 - shuffled.cluster)
    one, two = (
        infer_gaps(p, "perceived_g", even(0.2, 3), settings=Settings(n_boot=60, seed=4)) for p in (pred, shuffled)
    )
    assert plain(asdict(one)) == plain(asdict(two))
    other = infer_gaps(pred, "perceived_g", even(0.2, 3), settings=Settings(n_boot=60, seed=5))
    assert plain(asdict(other)) != plain(asdict(one))


def test_results_are_plain():
    """Only what a generic JSON reader can rebuild."""
    pred = perceived(RNG(0), 200, (0.6, 0.8), even_errors(2, 0.2), perceived_g_confidence=constant(0.8))

    def check(value, where):
        if is_dataclass(value):
            for f in fields(value):
                check(getattr(value, f.name), f"{where}.{f.name}")
        elif type(value) is list:
            for v in value:
                check(v, f"{where}[]")
        elif type(value) is dict:
            for k, v in value.items():
                assert type(k) is str, where
                check(v, f"{where}[{k}]")
        else:
            assert value is None or type(value) in (str, int, float, bool, Estimate), (where, type(value))

    check(infer_gaps(pred, "perceived_g", even(0.2), settings=Settings(n_boot=30), threshold=0.5), "result")


def test_stated_probabilities_may_be_rounded_per_cent_or_spelt_otherwise():
    rng = RNG(1)
    first = rng.uniform(0.05, 0.95, 60)
    exact = {"perceived_g_prob_f": first, "perceived_g_prob_m": 1 - first}
    pred = perceived(rng, 60, (0.7, 0.7), np.eye(2), **{k: constant(v) for k, v in exact.items()})
    attribute = resolve_attribute(pred, "perceived_g")

    def told(**columns):
        kept = pred.groups.drop(columns=list(exact))
        changed = replace(pred, groups=kept.assign(**columns))
        return group_probabilities(changed, attribute, attribute.groups, None, np.ones((2, 2)))

    expected = np.column_stack([first, 1 - first])
    np.testing.assert_allclose(told(**exact), expected)
    np.testing.assert_allclose(told(**{k: 100 * v for k, v in exact.items()}), expected)
    rounded = told(perceived_g_prob_f=np.floor(first * 100) / 100, perceived_g_prob_m=np.floor((1 - first) * 100) / 100)
    np.testing.assert_allclose(rounded, expected, atol=0.02)
    np.testing.assert_allclose(rounded.sum(1), 1)
    spelt = told(perceived_g_prob_F=first, perceived_g_prob_M=1 - first)
    np.testing.assert_allclose(spelt, expected)
    with pytest.raises(DataError, match=r"face '.*': 'perceived_g_prob_\*' values sum to .*leave these columns out"):
        told(perceived_g_prob_f=first, perceived_g_prob_m=first / 2 + 0.001234)
