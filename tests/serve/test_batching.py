from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mien.serve.batching import Batcher, Rate, Room
from mien.web.refusals import Refused


def crops(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1)


def answers(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    v = images.reshape(len(images), 1).astype(float)
    return np.concatenate([v, 1 - v], axis=1), v * 2


def test_an_idle_worker_begins_at_once_and_faces_gather_while_it_works() -> None:
    begun, go, sizes = threading.Event(), threading.Event(), []

    def slow(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(images))
        begun.set()
        assert go.wait(10)
        return answers(images)

    async def ask() -> list[tuple[np.ndarray, np.ndarray]]:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(slow, pool, workers=1, most=8)
            first = asyncio.create_task(batcher.answers(crops(1)))
            await asyncio.to_thread(begun.wait, 10)
            others = [asyncio.create_task(batcher.answers(crops(i, i + 1))) for i in range(2, 12)]
            await asyncio.sleep(0.01)
            go.set()
            return await asyncio.gather(first, *others)

    found = asyncio.run(ask())
    assert sizes == [1, 8, 8, 4]
    for i, (probs, numbers) in zip(range(2, 12), found[1:], strict=True):
        assert probs[:, 0].tolist() == [i, i + 1]  # each has its own
        assert numbers[:, 0].tolist() == [2 * i, 2 * i + 2]


def test_more_faces_than_a_batch_holds_go_alone() -> None:
    async def ask() -> tuple[np.ndarray, np.ndarray]:
        with ThreadPoolExecutor(1) as pool:
            return await Batcher(answers, pool, most=4).answers(crops(*range(20)))

    assert len(asyncio.run(ask())[0]) == 20


def test_a_failure_reaches_those_whose_faces_it_was_and_no_others() -> None:
    def failing(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.max() == 9:
            raise ValueError("nine")
        return answers(images)

    async def ask() -> list[object]:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(failing, pool, most=1)
            return await asyncio.gather(*(batcher.answers(crops(i)) for i in (1, 9, 2)), return_exceptions=True)

    one, nine, two = asyncio.run(ask())
    assert isinstance(nine, ValueError)
    assert [one[0][0, 0], two[0][0, 0]] == [1, 2]  # type: ignore[index]


def test_whoever_goes_away_costs_the_others_nothing() -> None:
    async def ask() -> tuple[np.ndarray, np.ndarray]:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(answers, pool, most=8)
            gone, stays = (asyncio.create_task(batcher.answers(crops(i))) for i in (1, 2))
            await asyncio.sleep(0)
            gone.cancel()
            return await stays

    assert asyncio.run(ask())[0][0, 0] == 2


def test_the_room_is_given_back_whatever_happens() -> None:
    room = Room(3)
    with room.taking(2):
        with pytest.raises(Refused) as full, room.taking(2):
            pass
        assert (full.value.status, full.value.retry_s) == (503, 1)
        with room.taking(1):
            assert room.taken == 3
    with pytest.raises(KeyError), room.taking(3):
        raise KeyError
    assert (room.taken, room.refused) == (0, 1)


def test_one_address_never_takes_all_of_the_room() -> None:
    room = Room(4, each=2)
    with room.taking(2, "a"):
        with pytest.raises(Refused), room.taking(1, "a"):
            pass
        with room.taking(2, "b"):
            assert room.taken == 4
    with room.taking(2, "a"):
        assert room.taken == 2
    assert not room.theirs


def test_a_bucket_fills_with_time() -> None:
    rate = Rate(2.0)  # holds twenty
    rate.take("a", 20, now=0.0)
    with pytest.raises(Refused) as full:
        rate.take("a", 4, now=1.0)  # two have come
    assert (full.value.status, full.value.retry_s) == (429, 1)
    rate.take("b", 20, now=1.0)  # somebody else
    rate.take("a", 4, now=2.0)
    with pytest.raises(Refused):
        rate.take("a", 1, now=2.0)
    rate.take("a", 20, now=1000.0)
    rate.take("c", 100, now=0.0)  # more than it ever holds: once, and then it is in debt
    with pytest.raises(Refused):
        rate.take("c", 1, now=10.0)
    Rate(float("inf")).take("a", 10**9, now=0.0)


@pytest.mark.parametrize("per_s", [0.05, 0.5, 1.0, 3.0, 20.0])
def test_a_request_of_more_than_the_bucket_holds_is_let_in_where_it_is_full(per_s: float) -> None:
    rate, now = Rate(per_s), 0.0
    for n in (1, 10, 32):
        rate.take("a", 1, now)  # as a request is charged: one before its body is read, the others after
        rate.take("a", n - 1, now + 0.01, taken=1)
        now += 1e4


def test_addresses_are_forgotten_the_quietest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rate, "_ADDRESSES", 2)
    rate = Rate(1.0)
    for address in ("a", "b", "a", "c"):
        rate.take(address, 1, now=0.0)
    assert list(rate.left) == ["a", "c"]
