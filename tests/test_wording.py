"""One estimate reads alike wherever it is printed."""

from __future__ import annotations

import math

import pytest

from mien.records import Estimate
from mien.wording import ends, interval, listed, number, p_words, percent_interval, plural, spoken, unbroken

NAN = float("nan")
KNOWN, POINT, NONE = Estimate(0.7123, 0.69, 0.7331), Estimate(0.7123), Estimate(NAN)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (interval, ("0.712 [0.690, 0.733]", "0.712", "–")),
        (spoken, ("0.712 (0.690 to 0.733)", "0.712", "undefined")),
        (ends, ("0.690 to 0.733", "", "")),
        (percent_interval, ("71.2 % (69.0 to 73.3 %)", "71.2 %", "undefined")),
    ],
)
def test_a_value_with_an_interval_without_one_and_undefined(way, said):
    assert tuple(way(e) for e in (KNOWN, POINT, NONE)) == said


def test_what_rounds_to_zero_has_no_minus():
    assert [number(v) for v in (-0.0004, -0.0006, 0.0)] == ["0.000", "-0.001", "0.000"]
    assert interval(Estimate(0.01, -0.0001, 0.02), "+.3f") == "+0.010 [+0.000, +0.020]"
    assert number(None, undefined="undefined") == "undefined"


def test_p_values_below_a_thousandth_are_not_called_equal_to_anything():
    assert p_words(0.00099) == "p < 0.001"
    assert p_words(0.001) == "p = 0.001"
    assert p_words(0.25, "") == "= 0.250"
    assert p_words(math.nan) == "p = undefined"


def test_lists_counts_and_spaces():
    assert listed(["a", "b"], 2) == "a and b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert plural(2, "box", "boxes") == "2 boxes"
    assert unbroken("84.3 % of a % b") == "84.3\u00a0% of a % b"
