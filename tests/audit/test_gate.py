import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from audit_simulation import noisy, predictions

from mien.audit import ClassResult, audit
from mien.audit.gate import FAILED, PASSED, UNDECIDED, GateResult, check_gate, check_gates, junit_xml, parse_gate
from mien.audit.vocabulary import LOWER_IS_BETTER, TOO_FEW
from mien.errors import UsageError
from mien.records import Estimate
from mien.stats.limits import at_level
from mien.stats.settings import Settings


@pytest.fixture(scope="module")
def found():
    """Group f is served 12 points worse; five babies are too few."""
    rng = np.random.default_rng(11)
    n, k = 1600, 4
    gender = np.array(["f", "m"])[np.arange(n) % 2]
    labels = rng.integers(0, k, n)
    predicted = noisy(rng, labels, np.where(gender == "f", 0.7, 0.82), k)
    probs = rng.dirichlet(np.ones(k), n) * 0.4
    probs[np.arange(n), predicted] += 0.6
    age = np.array(["child", "10-19", "old age"])[rng.integers(0, 3, n)]
    age[:5] = "baby"
    pred = predictions(labels, predicted, {"gender": gender, "age": age}, probs=probs, n_classes=k)
    return audit(pred, ["gender", "age", "gender*age"], settings=Settings(n_boot=60, n_perm=199))


def status(found, text):
    return check_gate(found, text).status


def recalls(found, attribute, group):
    return {c: e.value for c, e in found.attribute(attribute).group(group).recall.items()}


def picked(found, attribute, metric):
    """The interval of the smallest of several true values: all of them hold at once (Bonferroni)."""
    groups = found.attribute(attribute).groups
    if metric == "recall":
        cells = [e for g in groups for e in g.recall.values()]
    else:
        cells = [g.metrics[metric] for g in groups]
    each = [at_level(e, 1 - 0.05 / len(cells)) for e in cells]
    return min(e.low for e in each), min(e.high for e in each)


def test_the_worst_class_of_the_worst_group(found):
    worst = min(min(recalls(found, "gender", g).values()) for g in "fm")
    c, value = min(recalls(found, "gender", "f").items(), key=lambda pair: pair[1])
    assert value == worst
    assert status(found, f"worst(recall, by=gender) < {worst + 1e-6}") == FAILED
    assert status(found, f"worst(recall, by=gender) < {worst - 1e-6}") == PASSED
    assert status(found, f"worst(recall, by=gender) < {worst!r}") == PASSED
    assert status(found, f"worst(recall, by=gender) <= {worst!r}") == FAILED
    result = check_gate(found, "worst(recall, by=gender) < 0.70")
    estimate = found.attribute("gender").group("f").recall[c]
    assert result.expression == "worst(recall, by=gender) < 0.70"
    low, high = picked(found, "gender", "recall")
    assert result.reason == (
        f"worst(recall, by=gender) is {estimate.value:.3f} [{low:.3f}, {high:.3f}], below 0.70 "
        f"(recall of {c}, gender = f, {estimate.n} faces)."
    )
    assert low < estimate.low
    assert high > estimate.high  # of the eight it was picked from
    best = max(max(recalls(found, "gender", g).values()) for g in "fm")
    assert status(found, f"best(recall, by=gender) == {best!r}") == FAILED
    one = min(recalls(found, "gender", g)["c2"] for g in "fm")
    assert status(found, f"worst(recall[c2], by=gender) == {one!r}") == FAILED
    assert status(found, f"group(recall['c2'], by=gender, is=m) == {recalls(found, 'gender', 'm')['c2']!r}") == FAILED


def test_precision_and_f1_where_groups_have_them(found):
    for metric in ("precision", "f1"):
        cells = [e.value for g in found.attribute("gender").groups for e in getattr(g, metric).values()]
        assert status(found, f"worst({metric}, by=gender) == {min(cells)!r}") == FAILED


def test_of_losses_the_worst_is_the_largest(found):
    for metric in LOWER_IS_BETTER & set(found.attribute("gender").group("f").metrics):
        values = [g.metrics[metric].value for g in found.attribute("gender").groups]
        assert status(found, f"worst({metric}, by=gender) == {max(values)!r}") == FAILED, metric
        assert status(found, f"best({metric}, by=gender) == {min(values)!r}") == FAILED, metric
    values = [g.metrics["accuracy"].value for g in found.attribute("gender").groups]
    assert status(found, f"worst(accuracy, by=gender) == {min(values)!r}") == FAILED


def test_overall_values(found):
    value = found.overall["accuracy"].value
    assert status(found, f"accuracy == {value!r}") == FAILED
    assert status(found, f"accuracy != {value!r}") == PASSED
    assert status(found, f"accuracy >= {value!r} and accuracy <= {value!r}") == FAILED
    assert status(found, "accuracy > 0.99 or macro_f1 > 0.99") == PASSED


def test_gaps_ratios_and_p_values(found):
    gender = found.attribute("gender")
    gap = gender.gap("accuracy")
    assert status(found, f"gap(accuracy, by=gender) == {gap.value.value!r}") == FAILED
    assert status(found, f"p(accuracy, by=gender) == {gap.p_adjusted!r}") == FAILED
    recall = [g for g in gender.gaps if g.metric == "recall"]
    assert status(found, f"gap(recall, by=gender) == {max(g.value.value for g in recall)!r}") == FAILED
    assert status(found, f"p(recall, by=gender) == {min(g.p_adjusted for g in recall)!r}") == FAILED
    assert status(found, f"gap(recall[c1], by=gender) == {gender.gap('recall', 'c1').value.value!r}") == FAILED
    fairness = gender.gap("equal_odds_fairness").value
    assert status(found, f"ratio(equal_odds_fairness, by=gender) == {fairness.value!r}") == FAILED
    result = check_gate(found, "gap(accuracy, by=gender) > 0.05")
    assert "gender = f against m, 1600 faces" in result.reason
    assert f"[{gap.value.low:.3f}, {gap.value.high:.3f}]" in result.reason


def test_ends_of_intervals(found):
    estimate = found.attribute("gender").group("f").metrics["accuracy"]
    low, high = picked(found, "gender", "accuracy")
    assert status(found, f"upper(worst(accuracy, by=gender)) == {high!r}") == FAILED
    assert status(found, f"lower(worst(accuracy, by=gender)) == {low!r}") == FAILED
    assert status(found, f"upper(group(accuracy, by=gender, is=f)) == {estimate.high!r}") == FAILED  # nothing picked
    assert f"is {estimate.value:.3f} [" in check_gate(found, "upper(worst(accuracy, by=gender)) < 0.1").reason
    bare = replace(found, overall={"accuracy": Estimate(0.5, n=10)})
    result = check_gate(bare, "upper(accuracy) < 0.7")
    assert result.status == UNDECIDED
    assert "accuracy has no interval" in result.reason
    assert status(bare, "accuracy < 0.7") == FAILED


def test_a_sound_model_passes():
    """Ten groups of seven classes, every recall truly 0.72: the worst is seen far below 0.70, and is not."""
    rng, failed = np.random.default_rng(7), []
    for seed in range(40):
        labels = rng.integers(0, 7, 4000)
        groups = {"gender": np.repeat([f"g{i}" for i in range(10)], 400)}
        sound = audit(
            predictions(labels, noisy(rng, labels, 0.72, 7), groups),
            "gender",
            settings=Settings(n_boot=5, n_perm=5, seed=seed),
            power=False,
        )
        failed.append(status(sound, "upper(worst(recall, by=gender)) < 0.70") == FAILED)
        assert status(sound, "worst(recall, by=gender) < 0.70") == FAILED
    assert np.mean(failed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)


def test_fewer_than_two_groups_decide_nothing(found):
    """One group with enough faces is no comparison: neither the worst nor the best of groups."""
    gender = found.attribute("gender")
    small = replace(gender, groups=[gender.groups[0], replace(gender.groups[1], verdict=TOO_FEW)])
    lone = replace(found, attributes=[small])
    for text in ("worst(accuracy, by=gender) < 0.1", "best(recall, by=gender) > 0", "upper(worst(f1, by=gender)) < 1"):
        result = check_gate(lone, text)
        assert result.status == UNDECIDED, text
        assert "fewer than two groups" in result.reason
    assert status(lone, "group(accuracy, by=gender, is=f) <= 1") == FAILED  # one group is asked for
    assert status(lone, "n(by=gender) > 0") == FAILED
    assert status(lone, "not worst(accuracy, by=gender) < 0.1") == UNDECIDED


def test_faces(found):
    groups = found.attribute("age").groups
    old = next(g for g in groups if g.name == "old age")
    assert status(found, f"n(by=age, is='old age') == {old.n}") == FAILED
    assert status(found, "n() == 1600 and n(by=age) == 1600") == FAILED
    assert check_gate(found, "n(by=age, is=baby) < 30").reason == "n(by=age, is=baby) is 5, below 30."


def test_intersections_and_odd_names(found):
    cells = [g.metrics["accuracy"].value for g in found.attribute("gender*age").groups if g.verdict != TOO_FEW]
    for name in ("gender*age", "gender * age", "'gender*age'", "age*gender"):
        assert status(found, f"worst(accuracy, by={name}) == {min(cells)!r}") == FAILED
    assert status(found, "group(accuracy, by=gender*age, is=f*child) <= 1") == FAILED
    assert status(found, "group(accuracy, by=age, is='10-19') <= 1") == FAILED
    assert status(found, 'group(accuracy, by=age, is="old age") <= 1') == FAILED
    binned = replace(found, attributes=[replace(found.attributes[0], name="brightness:3")])
    assert status(binned, "gap(accuracy, by=brightness:3) <= 1") == FAILED


def test_too_few_take_no_part_and_are_counted(found):
    result = check_gate(found, "worst(accuracy, by=age) < 0.0")
    assert "left out: 1 group with too few faces (baby)" in result.reason
    age = found.attribute("age")
    first = age.groups[1] if age.groups[0].name == "baby" else age.groups[0]
    rare = {c: replace(e, value=0.0, note=TOO_FEW) for c, e in list(first.recall.items())[:2]}
    gone = {"c3": Estimate(float("nan"), note="nobody annotated with it")}
    groups = [replace(g, recall=g.recall | rare | gone) if g.name == first.name else g for g in age.groups]
    changed = replace(found, attributes=[replace(age, groups=groups)])
    result = check_gate(changed, "worst(recall, by=age) < 0.1")
    assert result.status == PASSED
    assert "2 classes of a group with too few faces, 1 undefined value" in result.reason


def test_undefined_is_never_a_pass(found):
    for text in (
        "group(accuracy, by=age, is=baby) < 0.9",
        "group(accuracy, by=age, is=baby) > 0.9",
        "not group(accuracy, by=age, is=baby) < 0.9",
        "group(accuracy, by=age, is=baby) != 0.9",
        "1 / 0 > 1",
        "0.5 < group(recall, by=age, is=baby) - 1",
        "accuracy > 1 or group(accuracy, by=age, is=baby) < 0.9",
        "accuracy <= 1 and group(accuracy, by=age, is=baby) < 0.9",
    ):
        result = check_gate(found, text)
        assert result.status == UNDECIDED, text
        assert "undefined" in result.reason
    # but the rest may decide
    assert status(found, "accuracy <= 1 or group(accuracy, by=age, is=baby) < 0.9") == FAILED
    assert status(found, "group(accuracy, by=age, is=baby) < 0.9 and accuracy > 1") == PASSED
    few = replace(found.attribute("gender").gap("accuracy"), value=Estimate(float("nan"), note="fewer than two groups"))
    alone = replace(
        found, attributes=[replace(found.attribute("gender"), gaps=[replace(few, p_adjusted=float("nan"))])]
    )
    for text in ("gap(accuracy, by=gender) > 0.1", "p(accuracy, by=gender) < 0.05"):
        assert check_gate(alone, text).status == UNDECIDED
        assert "fewer than two groups" in check_gate(alone, text).reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 == 7", FAILED),
        ("(1 + 2) * 3 == 9", FAILED),
        ("-2 + 3 == 1", FAILED),
        ("7 - 2 - 1 == 4", FAILED),
        ("8 / 4 / 2 == 1", FAILED),
        ("2 * -3 < -5", FAILED),
        ("1.5e-1 == .15", FAILED),
        ("0.1 + 0.2 == 0.3", FAILED),
        ("0.1 + 0.2 > 0.3", PASSED),
        ("not 1 <= 1", PASSED),
        ("not not 1 <= 1", FAILED),
        ("1 < 2 or 1 < 2 and 2 < 1", FAILED),
        ("(1 < 2 or 1 <= 1) and 2 < 1", PASSED),
        ("not 2 < 1 and 2 < 1", PASSED),
        ("1 < 2 AND 1 <= 1", FAILED),
        ("  1\n<\t2  ", FAILED),
    ],
)
def test_precedence(found, text, expected):
    assert status(found, text) == expected


def test_a_value_close_to_the_limit_shows_on_which_side_it_is(found):
    changed = replace(found, overall={"accuracy": Estimate(0.69996)})
    assert "accuracy is 0.699960, below 0.70" in check_gate(changed, "accuracy < 0.70").reason


def test_recall_over_all_faces_where_the_audit_has_it(found):
    with pytest.raises(UsageError, match="by groups only.*worst"):
        check_gate(found, "selection_rate[c1] < 0.7")
    assert status(found, f"recall[c1] == {found.per_class[1].recall.value!r}") == FAILED
    estimates = [Estimate(0.6, n=9), Estimate(0.8, n=9), Estimate(0.7, n=9), Estimate(0.9, n=9)]
    by_class = [
        ClassResult(name=f"c{i}", n=9, n_predicted=9, recall=e, precision=e, f1=e, mistaken_for="", mistaken_share=0.0)
        for i, e in enumerate(estimates)
    ]
    whole = replace(found, per_class=by_class)
    assert status(whole, "recall[c1] == 0.8 and recall == 0.6") == FAILED
    assert "recall of c0, 9 faces" in check_gate(whole, "recall < 0.7").reason
    with pytest.raises(UsageError, match="no class 'c8'"):
        check_gate(whole, "recall[c8] < 0.7")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("worst(recall by=gender) < 0.7", 14, "'by' stands there, expected '\\)'"),
        ("worst(recall, by=gender) = 0.7", 26, "Write '=='"),
        ("worst(recall, by=gender)", 1, "is a number, expected a condition"),
        ("worst(recall, by=gender", 24, "the end stands there"),
        ("worst(recall) < 0.7", 1, "worst lacks by"),
        ("worst(recall, precision, by=gender) < 1", 15, "a second metric"),
        ("worst(recall, by=gender, is=f) < 1", 26, "'is' stands there"),
        ("worst(recall, by=gender, by=age) < 1", 26, "a second 'by'"),
        ("wurst(recall, by=gender) < 1", 1, "Did you mean 'worst'"),
        ("n(is=f) < 3", 1, "without 'by'"),
        ("n(by=age, is=10-19) < 3", 16, "needs quotes"),
        ("0.1 < accuracy < 0.2", 16, "Join two with 'and'"),
        ("accuracy < 70 %", 15, "'%' stands there"),
        ("accuracy < 'x", 12, "quotation mark"),
        ("accuracy <", 11, "the end stands there"),
        ("accuracy < )", 12, r"'\)' stands there"),
        ("accuracy < 1 accuracy", 14, "'accuracy' follows"),
        ("upper(p(recall, by=gender)) < 1", 7, "has no interval"),
        ("upper(0.3) < 1", 7, "has no interval"),
        ("(accuracy < 1) + 2 < 3", 1, "is a condition, expected a number"),
        ("accuracy and macro_f1 < 1", 1, "is a number"),
        ("not accuracy", 5, "is a number"),
        ("recall[fear < 1", 13, "'<' stands there"),
        ("group(recall, by=age, is=) < 1", 26, "expected a group"),
        ("", 1, "the end stands there"),
    ],
)
def test_errors_point_at_the_place(text, place, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_gate(text)
    assert caught.value.where == f"gate, character {place}"
    line, caret = str(caught.value).split("\n")[-2:]
    assert line == f"  {text}"
    assert caret.index("^") == place + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worst(recal, by=gender) < 1", "no metric 'recal'. Did you mean 'recall'. Known: accuracy, "),
        ("worst(recall, by=gendre) < 1", "no attribute 'gendre'. Did you mean 'gender'. Known: gender, age, gender"),
        ("worst(recall[c9], by=gender) < 1", "no class 'c9'. Known: c0, c1"),
        ("worst(accuracy[c1], by=gender) < 1", "not known for each class"),
        ("accuracy[c1] < 1", "not known for each class"),
        ("group(recall, by=gender, is=x) < 1", "no group of gender 'x'. Known: f, m"),
        ("accurcy < 1", "Did you mean 'accuracy'"),
        ("gap(equal_odds_fairness, by=gender) < 1", r"expected ratio\(equal_odds_fairness, by=gender\)"),
        ("ratio(accuracy, by=gender) < 1", r"expected gap\(accuracy, by=gender\)"),
        ("p(nothing, by=gender) < 1", "no p of 'nothing'. Known: accuracy"),
        ("gap(accuracy[c1], by=gender) < 1", "not known for each class"),
        # whatever decides beside it
        ("accuracy < 1 or accurcy < 1", "Did you mean 'accuracy'"),
    ],
)
def test_unknown_names(found, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_gate(found, text)
    assert caught.value.where == f"gate {text!r}"


def test_several_gates_are_read_before_the_first_is_checked(found):
    results = check_gates(found, ["accuracy < 0.1", "accuracy < 0.9"])
    assert [r.status for r in results] == [PASSED, FAILED]
    with pytest.raises(UsageError, match="character 11"):
        check_gates(found, ["nothing < 1", "accuracy < "])


def test_junit_xml():
    results = [
        GateResult("a < 1", PASSED, "a is 2 & fine."),
        GateResult("worst(recall, by='<\"&x') < 0.7", FAILED, "below \x00 \x1b[31m 0.7"),
        GateResult("c > 1", UNDECIDED, "c is undefined"),
    ]
    root = ElementTree.fromstring(junit_xml(results, "audit <1>", 3.0).encode())
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "3", "1", "1")
    suite = root.find("testsuite")
    assert suite.attrib == root.attrib
    cases = suite.findall("testcase")
    assert [c.get("name") for c in cases] == [r.expression for r in results]
    assert all(c.get("classname") == "audit <1>" and c.get("time") == "1.000" for c in cases)
    assert [[e.tag for e in c] for c in cases] == [["system-out"], ["failure"], ["error"]]
    assert cases[0][0].text == "a is 2 & fine."
    assert cases[1][0].get("message") == "below \ufffd \ufffd[31m 0.7"
    lenient = ElementTree.fromstring(junit_xml(results, "audit", allow_undecided=True))
    assert (lenient.get("errors"), lenient.get("skipped")) == ("0", "1")
    assert ElementTree.fromstring(junit_xml([], "audit")).get("tests") == "0"


def test_the_largest_gap_of_several_classes_is_picked_too(found):
    gaps = [g.value for g in found.attribute("gender").gaps if g.metric == "recall"]
    largest = max(gaps, key=lambda e: e.value)
    text = check_gate(found, "lower(gap(recall, by=gender)) > 0.9").reason
    widened = [at_level(e, 1 - 0.05 / len(gaps)) for e in gaps]
    assert f"is {largest.value:.3f} [{max(e.low for e in widened):.3f}, {max(e.high for e in widened):.3f}]" in text
    one = found.attribute("gender").gap("recall", "c2").value
    assert f"[{one.low:.3f}, {one.high:.3f}]" in check_gate(found, "lower(gap(recall[c2], by=gender)) > 0.9").reason


def test_no_gate_passes_where_the_classes_do_not_fit(found):
    doubt = replace(found, classes_in_doubt=True)
    result = check_gate(doubt, "worst(accuracy, by=gender) < 0.1")
    assert result.status == UNDECIDED
    assert "do not fit together" in result.reason
    assert status(doubt, "worst(accuracy, by=gender) < 0.99") == FAILED


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("gap(accuracy, by=gender) > 5", "0.05"),
        ("upper(worst(recall, by=gender)) < 70", "0.7"),
        ("accuracy < 80 or macro_f1 < 0.1", "0.8"),
        ("not 1.5 < accuracy", "0.015"),
    ],
)
def test_a_share_is_not_compared_with_what_it_cannot_be(text, fix):
    with pytest.raises(UsageError, match="a number from 0 to 1") as told:
        parse_gate(text)
    assert fix in told.value.fix


def test_other_numbers_may_be_compared_with_any():
    for text in ("n(by=gender) < 100", "worst(kl, by=gender) > 2", "gap(accuracy, by=gender) * 100 > 5"):
        parse_gate(text)
