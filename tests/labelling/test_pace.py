from __future__ import annotations

import contextlib

import pytest

from mien.labelling.pace import FROM_ONE, Allowance, JoinPace, network_of
from mien.web.refusals import Refused


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def joined(pace: JoinPace, address: str, tries: int) -> int:
    n = 0
    for _ in range(tries):
        with contextlib.suppress(Refused):
            pace.take(address)
            n += 1
    return n


def test_a_class_behind_one_address_joins_at_once() -> None:
    assert joined(JoinPace(clock=Clock()), "192.0.2.1", 50) == 50


def test_thousands_of_invented_names_take_days() -> None:
    clock = Clock()
    pace = JoinPace(clock=clock)
    n = 0
    for _ in range(3600):
        n += joined(pace, "192.0.2.1", 3)
        clock.now += 1
    assert n == pytest.approx(FROM_ONE.at_once + 3600 / FROM_ONE.every_s, abs=2)
    assert joined(pace, "192.0.2.2", 40) == 40  # nobody else waits for them


def test_whoever_waits_as_long_as_is_said_may_join() -> None:
    clock = Clock()
    pace = JoinPace(Allowance(2, 7.0), Allowance(100, 1.0), clock)
    assert joined(pace, "a", 5) == 2
    with pytest.raises(Refused) as error:
        pace.take("a")
    assert (error.value.status, error.value.retry_s) == (429, 7)
    clock.now += 7
    assert joined(pace, "a", 5) == 1


def test_many_addresses_share_what_there_is() -> None:
    clock = Clock()
    pace = JoinPace(Allowance(10, 10.0), Allowance(30, 2.0), clock)
    assert sum(joined(pace, f"192.0.2.{i}", 1) for i in range(200)) == 30
    clock.now += 20
    assert sum(joined(pace, f"198.51.100.{i}", 1) for i in range(200)) == 10
    assert len(pace._whole_again) <= 40


def test_addresses_that_one_person_changes_at_will_are_one() -> None:
    pace = JoinPace(Allowance(3, 10.0), clock=Clock())
    assert sum(joined(pace, f"2001:db8::{i:x}", 1) for i in range(100)) == 3
    assert joined(pace, "2001:db8:0:1::1", 1) == 1
    assert network_of("fe80::1%eth0") == "fe80::"
    assert network_of("a name") == "a name"
    assert network_of("") == ""


def test_who_asks_again_is_not_counted() -> None:
    pace = JoinPace(Allowance(2, 10.0), clock=Clock())
    for _ in range(50):
        pace.take("a")
        pace.give_back("a")
    pace.give_back("b")
    assert joined(pace, "a", 5) == 2
