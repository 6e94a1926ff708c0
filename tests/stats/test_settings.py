"""What every analysis shares is checked once, and its streams depend on names alone."""

import numpy as np
import pytest

from mien.errors import UsageError
from mien.stats.settings import MOST, Settings, random_stream


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 1.0},
        {"level": 0.0},
        {"n_boot": 0},
        {"n_perm": 0},
        {"seed": -1},
        {"n_boot": MOST + 1},
        {"n_perm": 10**10},
    ],
)
def test_what_cannot_work_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Settings(**wrong)
    Settings(n_boot=MOST, n_perm=1)


def test_streams_depend_on_seed_and_names():
    first = Settings(seed=4).stream("age", "null").random(3)
    np.testing.assert_array_equal(first, random_stream(4, "age", "null").random(3))
    for other in (
        Settings(seed=5).stream("age", "null"),
        Settings(seed=4).stream("null", "age"),
        Settings(seed=4).stream("age"),
    ):
        assert not np.array_equal(first, other.random(3))
