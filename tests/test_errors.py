from __future__ import annotations

import pickle

import pytest

from mien.errors import (
    ConfigError,
    DataError,
    LabelError,
    MienError,
    MissingExtra,
    RunError,
    UsageError,
    WeightsError,
    reason,
)


def test_the_four_parts_make_the_documented_sentence():
    error = DataError(
        "fer2013.csv line 28710",
        "'pixels' has 2303 values",
        "2304 (48x48)",
        'Restore the file, or pass on_bad_row="drop".',
    )
    assert str(error) == (
        "fer2013.csv line 28710: 'pixels' has 2303 values, expected 2304 (48x48). "
        'Restore the file, or pass on_bad_row="drop".'
    )
    assert (error.where, error.found) == ("fer2013.csv line 28710", "'pixels' has 2303 values")
    assert (error.expected, error.fix) == ("2304 (48x48)", 'Restore the file, or pass on_bad_row="drop".')


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("a", "b"), "a: b."),
        (("a", "b."), "a: b."),
        (("a", "b", "c."), "a: b, expected c."),
        (("a", "b", "", "Do d."), "a: b. Do d."),
    ],
)
def test_parts_left_out_leave_no_trace(parts, text):
    assert str(MienError(*parts)) == text


@pytest.mark.parametrize("kind", [DataError, LabelError, ConfigError, UsageError, RunError, WeightsError])
def test_survives_the_way_between_processes(kind):
    error = kind("here", "this", "that", "Do it.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_missing_extra_names_the_command_and_survives_pickling():
    error = MissingExtra("training", "train", "torch")
    assert "'torch' is not installed" in str(error)
    assert "pip install 'mien[train]'" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.missing) == (str(error), "torch")


def test_a_users_own_mistakes_exit_with_2_and_bad_data_with_1():
    assert {k.__name__: k.exit_code for k in (ConfigError, UsageError, DataError, RunError)} == {
        "ConfigError": 2,
        "UsageError": 2,
        "DataError": 1,
        "RunError": 1,
    }
    assert all(issubclass(k, MienError) for k in (ConfigError, UsageError, DataError, RunError, MissingExtra))


def test_what_a_library_says_is_one_line_of_200_characters():
    assert reason(ValueError("a\n  b\tc")) == "a b c"
    assert reason(KeyError()) == "KeyError"  # no empty brackets in a message
    assert reason(RuntimeError("x" * 200)) == "x" * 200
    assert reason(RuntimeError("x" * 201)) == "x" * 197 + "..."
