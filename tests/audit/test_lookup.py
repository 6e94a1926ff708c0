"""Parts of results by name: all four families find them alike, and say what there is."""

import doctest

import numpy as np
import pytest
from audit_simulation import predictions

import mien.audit.lookup
from mien.audit import audit
from mien.audit.compare.results import AttributeChange, Comparison, GapChange
from mien.audit.inferred.results import InferredGap, InferredMethod
from mien.audit.lookup import GroupsAndGaps, TitledGap, WholeResult
from mien.audit.results import AttributeResult, Audit, GapResult
from mien.audit.seeds.results import SeedAttribute, SeedAudit, SeedGap
from mien.errors import UsageError
from mien.records import Estimate
from mien.stats.settings import Settings


def test_the_examples_hold():
    found = doctest.testmod(mien.audit.lookup)
    assert found.attempted
    assert not found.failed


def test_all_families_share_them():
    assert all(issubclass(c, TitledGap) for c in (GapResult, GapChange, SeedGap, InferredGap))
    assert all(issubclass(c, GroupsAndGaps) for c in (AttributeResult, AttributeChange, SeedAttribute, InferredMethod))
    assert all(issubclass(c, WholeResult) for c in (Audit, Comparison, SeedAudit))


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    pred = predictions(labels, labels, {"gender": np.array(["female", "male"])[rng.integers(0, 2, 300)]}, n_classes=3)
    return audit(pred, "gender", settings=Settings(n_boot=20, n_perm=19))


def test_parts_by_name(found):
    attribute = found.attribute("gender")
    assert attribute.group("male").name == "male"
    assert attribute.gap("macro_f1").title == "macro F1"
    assert attribute.gap("recall", "c1").title == "recall of c1"


def test_what_is_not_there_is_said_with_what_is(found):
    attribute = found.attribute("gender")
    for look, message in (
        (lambda: found.attribute("age"), r"attribute: there is no 'age'\. Known: gender\."),
        (lambda: attribute.group("mael"), r"group: there is no 'mael'\. Did you mean 'male'\?"),
        (lambda: attribute.gap("acuracy"), r"gap: there is no 'acuracy'\. Did you mean 'accuracy'\?"),
        (lambda: attribute.gap("recall"), r"class of the gap of recall: there is no ''\. Known: c0, c1, c2\."),
        (lambda: attribute.gap("accuracy", "c1"), r"class of the gap of accuracy: there is no 'c1'"),
    ):
        with pytest.raises(UsageError, match=message):
            look()


def test_a_method_without_gaps_says_so():
    method = InferredMethod("corrected", [], [InferredGap("accuracy", "", Estimate(0.1), "a", "b", 2)], "")
    assert method.gap("accuracy").title == "accuracy"
    with pytest.raises(UsageError, match="group: there is no 'a'. There is none"):
        method.group("a")
