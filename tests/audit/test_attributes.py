import numpy as np
import pandas as pd
import pytest
from audit_simulation import predictions

from mien.audit.attributes import candidate_attributes, resolve_attribute, resolve_attributes
from mien.errors import DataError, UsageError


def table(**columns):
    n = len(next(iter(columns.values())))
    return predictions(np.zeros(n), np.zeros(n), columns, n_classes=2)


def test_codes_and_unknown_values():
    a = resolve_attribute(table(gender=["f", None, "m", "", "Unknown", "f"]), "gender")
    assert a.groups == ("f", "m")
    assert a.codes.tolist() == [0, -1, 1, -1, -1, 0]
    assert (a.label, a.source) == ("gender", "not stated")


def test_groups_in_a_natural_order():
    assert resolve_attribute(table(age=["10-19", "3-9", "60+", "0-2"]), "age").groups == ("0-2", "3-9", "10-19", "60+")
    ordered = pd.Categorical(["old", "young"], categories=["young", "middle", "old"])
    assert resolve_attribute(table(age=ordered), "age").groups == ("young", "old")
    assert resolve_attribute(table(glasses=[True, False]), "glasses").groups == ("False", "True")


def test_intersections_keep_empty_groups():
    a = resolve_attribute(table(g=["f", "f", "m", None], r=["x", "y", "x", "y"]), "g * r".replace(" ", ""))
    assert a.groups == ("f*x", "f*y", "m*x", "m*y")
    assert a.codes.tolist() == [0, 1, 2, -1]


def test_sources_and_confidence():
    pred = table(
        gender=["f", "m", None],
        gender_source=["perceived", "perceived", "annotated"],  # of a missing value, which does not count
        gender_confidence=[0.8, 0.6, 0.1],
        age=["old", "young", "old"],
        age_source=["annotated"] * 3,
        perceived_race=["x", "y", "x"],
    )
    gender = resolve_attribute(pred, "gender")
    assert (gender.label, gender.source) == ("perceived gender", "perceived")
    assert gender.confidence == pytest.approx(0.7)
    assert resolve_attribute(pred, "perceived_race").label == "perceived race"
    both = resolve_attribute(pred, "gender*age")
    assert (both.label, both.source) == ("perceived gender * age", "perceived")
    assert candidate_attributes(pred) == ["gender", "age", "perceived_race"]


def test_mixed_sources_are_refused():
    pred = table(gender=["f", "m"], gender_source=["perceived", "annotated"])
    with pytest.raises(DataError, match="mixes annotated and perceived"):
        resolve_attribute(pred, "gender")
    with pytest.raises(DataError, match="holds 'guess'"):
        resolve_attribute(table(gender=["f", "m"], gender_source=["guess"] * 2), "gender")


def test_refused_columns_say_what_to_do():
    pred = table(age=np.arange(60), name=[f"p{i}" for i in range(60)], one=["x"] * 60, none=[None] * 60)
    for column, found in (
        ("age", "holds numbers.*age:3 makes three"),
        ("name", "60 distinct values.*Merge"),
        ("one", "one group only.*Leave it out"),
        ("none", "is empty"),
    ):
        with pytest.raises(DataError, match=found):
            resolve_attribute(pred, column)
    wide = table(**{c: [f"{c}{i}" for i in range(21)] for c in "ab"})
    with pytest.raises(DataError, match="441 intersections"):
        resolve_attribute(wide, "a*b")


def test_wrong_names():
    pred = table(gender=["f", "m"], age=["1", "2"])
    with pytest.raises(UsageError, match="Did you mean 'gender'"):
        resolve_attribute(pred, "gendr")
    with pytest.raises(UsageError, match="candidates: gender, age"):
        resolve_attributes(pred, [])
    with pytest.raises(UsageError, match="no column that could be one"):
        resolve_attributes(table(x=np.arange(3)), [])
    with pytest.raises(UsageError, match="twice"):
        resolve_attribute(pred, "gender*gender")
    assert [a.name for a in resolve_attributes(pred, ["gender", "gender", "gender * age"])] == ["gender", "gender*age"]


def test_parts_of_a_column_of_numbers():
    values = np.array([0.1, 0.9, 0.5, np.nan, 0.2, 0.8, 0.4])
    pred = table(brightness=values, gender=list("fmfmfmf"), flat=[1.0] * 7)
    a = resolve_attribute(pred, "brightness:3")
    assert (a.groups, a.source) == (("low", "middle", "high"), "measured")
    assert a.codes.tolist() == [0, 2, 1, -1, 0, 2, 1]
    assert resolve_attribute(pred, "brightness:2").groups == ("low", "high")
    assert resolve_attribute(pred, "brightness:5").groups == ("1", "2", "3", "4", "5")
    both = resolve_attribute(pred, "gender*brightness:2")
    assert both.groups == ("f*low", "f*high", "m*low", "m*high")
    assert both.source == "not stated"
    with pytest.raises(DataError, match="does not hold numbers"):
        resolve_attribute(pred, "gender:3")
    with pytest.raises(DataError, match="too few distinct values"):
        resolve_attribute(pred, "flat:3")
    with pytest.raises(UsageError, match="1 parts"):
        resolve_attribute(pred, "brightness:1")
    with pytest.raises(UsageError, match="no such column"):
        resolve_attribute(pred, "sharpness:3")


def test_probabilities_of_groups_are_no_attributes():
    pred = table(gender=["f", "m"], gender_prob_f=[0.9, 0.2], gender_prob_m=[0.1, 0.8], mood_prob_x=["u", "v"])
    assert candidate_attributes(pred) == ["gender", "mood_prob_x"]


@pytest.mark.parametrize("values", [[None] * 4, [np.nan] * 4, [""] * 4, [" ", None, "", None], pd.array([pd.NA] * 4)])
def test_an_empty_column_is_called_empty(values):
    with pytest.raises(DataError, match="column 'ward': is empty: no face has a value there"):
        resolve_attribute(table(ward=values), "ward")
    assert candidate_attributes(table(ward=values)) == []


@pytest.mark.parametrize("word", ["unknown", "not known", "Undefined", "unspecified", "Not Available"])
def test_a_column_of_words_for_missing_has_no_known_value(word):
    with pytest.raises(DataError, match="no known value"):
        resolve_attribute(table(ward=[word] * 4), "ward")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("label", "is the annotation"),
        ("Label", "is the annotation"),
        ("pred", "is the model's prediction"),
        ("identity", "names persons"),
        ("cluster", "one unit"),
        ("sample_id", "names each face"),
        ("gender*label", "is the annotation"),
    ],
)
def test_columns_that_have_another_role_are_no_attributes(name, said):
    pred = table(gender=["f", "m", "f", "m"])
    with pytest.raises(UsageError, match=f"{said}.*Columns that could be: gender"):
        resolve_attributes(pred, [name])


def test_a_column_of_ones_own_may_be_called_so():
    assert resolve_attribute(table(Label=["a", "b"]), "Label").groups == ("a", "b")


def test_two_intersections_of_one_name_are_refused():
    pred = table(g=["a", "a*b", "a", "a*b"], r=["b*c", "c", "c", "b*c"])
    with pytest.raises(DataError, match=r"two intersections are both called 'a\*b\*c'"):
        resolve_attribute(pred, "g*r")


def test_a_group_that_was_taken_for_missing_is_told():
    with pytest.raises(DataError, match=r"one group only.*Taken for missing: 'NA' \(2 rows\)"):
        resolve_attribute(table(g=["NA", "EU", "NA", "EU"]), "g")
