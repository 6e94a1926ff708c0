"""Values as people write them, read as their annotation wants them: kinds, bounds, and what the message says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from mien.errors import ConfigError
from mien.values import Unfit, describe, read_value, shown

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=16, le=1024, multiple_of=16)]


@pytest.mark.parametrize(
    ("hint", "value", "read"),
    [
        (float, "1e-1", 0.1),
        (float, " 0.5 ", 0.5),
        (float, 3, 3.0),
        (Share, "0", 0.0),
        (Count, "3", 3),
        (Count, "3.0", 3),
        (Count, 1e2, 100),
        (Side, 32, 32),
        (bool, "yes", True),
        (bool, "Off", False),
        (bool, 0, False),
        (str, "1", "1"),
        (Path, "a/b", Path("a/b")),
        (Literal["a", 3], 3, 3),
        (Sequence[Count], [1, "2"], [1, 2]),
        (Sequence[Count], (1, 2), (1, 2)),
        (Sequence[str], "happy, sad", ["happy", "sad"]),
        (Sequence[str], [0, 1], ["0", "1"]),
        (tuple[str, ...], "worst(recall, by=age) < 0.5", ["worst(recall, by=age) < 0.5"]),
        (tuple[float, float], [1, "2"], [1.0, 2.0]),
        (str | Share | None, "0.1", "0.1"),
        (str | Share | None, 0, 0.0),
        (str | Share | None, None, None),
        (Annotated[int | None, Field(ge=16)], None, None),
        (float | Sequence[float] | None, [1, 2], [1.0, 2.0]),
        (Mapping[str, float], {"a": "1"}, {"a": 1.0}),
        (Any, object, object),
    ],
)
def test_what_is_wanted_is_read_without_loss(hint: Any, value: Any, read: Any) -> None:
    found = read_value(hint, value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize("hint", [float, Share, int, Count, Side, float | None, Sequence[float], str | Share])
@pytest.mark.parametrize("value", [True, False, math.nan, math.inf, -math.inf, {}, object(), 10**400])
def test_what_is_no_finite_number_is_none_anywhere(hint: Any, value: Any) -> None:
    if hint is int and value == 10**400:
        assert read_value(hint, value) == value
        return
    if hint is Count and value == 10**400:
        return  # large, and yet a count
    with pytest.raises(Unfit):
        read_value(hint, value)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Share, -3, "k: -3, expected a number from 0 to below 1."),
        (Share, True, "k: true (yes and on mean the same), expected a number from 0 to below 1."),
        (Share, "0,1", "k: '0,1', expected a number from 0 to below 1. Write a point, not a comma."),
        (Share, math.nan, "k: no number (.nan), expected a number from 0 to below 1."),
        (Share, "nan", "k: 'nan', expected a number from 0 to below 1."),
        (Share, [0.1], "k: [0.1], expected a number from 0 to below 1."),
        (Share, None, "k: nothing, expected a number from 0 to below 1."),
        (Count, 0.1, "k: 0.1, expected a whole number of 1 or more."),
        (Count, "0x10", "k: '0x10', expected a whole number of 1 or more."),
        (Side, 40, "k: 40, expected a whole number from 16 to 1024 and a multiple of 16."),
        (Annotated[float, Field(gt=0, le=1)], 0, "k: 0, expected a number above 0 and at most 1."),
        (Annotated[float, Field(gt=0, lt=1)], 1, "k: 1, expected a number above 0 and below 1."),
        (Annotated[float, Field(le=1)], 2, "k: 2, expected a number up to 1."),
        (Annotated[str, Field(min_length=1)], "", "k: '', expected text that is not empty."),
        (bool, "maybe", "k: 'maybe', expected true or false."),
        (str, 3, "k: 3, expected text. Put it in quotes to make it text."),
        (str, False, "k: false (no and off mean the same), expected text. Put it in quotes to make it text."),
        (str, None, "k: nothing, expected text."),
        (Literal["drop", "keep"], "dorp", "k: 'dorp', expected one of drop, keep."),
        (Literal[1, 3], True, "k: true (yes and on mean the same), expected one of 1, 3."),
        (Sequence[Count], 3, "k: 3, expected a list of whole numbers of 1 or more."),
        (Sequence[Count], "64", "k: '64', expected a list of whole numbers of 1 or more."),
        (Sequence[Count], [1, 0], "k[1]: 0, expected a whole number of 1 or more."),
        (Annotated[Sequence[Count], Field(min_length=1)], [], "k: [], expected a list of one or more whole numbers"),
        (
            Annotated[list[int], Field(min_length=1, max_length=2)],
            [1] * 3,
            "k: [1, 1, 1], expected a list of 1 to 2 whole",
        ),
        (
            Annotated[list[int], Field(max_length=2)],
            [1] * 3,
            "k: [1, 1, 1], expected a list of at most 2 whole numbers",
        ),
        (tuple[float, float], [1], "k: [1], expected a list of 2 numbers."),
        (Mapping[str, float], {"a": "x"}, "k.a: 'x', expected a number."),
        (Annotated[float | None, Field(gt=0)], "1,5", "k: '1,5', expected a number above 0, or nothing (null). Write"),
        (str | Share | None, 1.5, "k: 1.5, expected text or a number from 0 to below 1, or nothing (null)."),
        (Path, 3, "k: 3, expected a path."),
    ],
)
def test_the_message_says_what_stands_there_and_what_should(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(Unfit) as caught:
        read_value(hint, value)
    assert str(caught.value.error(ConfigError, "k")).startswith(message)


def test_long_values_are_shortened_and_stay_on_one_line() -> None:
    assert len(shown("x" * 1000)) == 100
    assert "\n" not in shown("a\nb\n" * 3)


def test_annotations_that_say_nothing_checkable_are_not_looked_at() -> None:
    assert read_value(test_long_values_are_shortened_and_stay_on_one_line, 3) == 3
    assert describe(Sequence[Any]) == "a list of values"
