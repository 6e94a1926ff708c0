from __future__ import annotations

import math

import pytest

from mien.predict import FaceRow
from mien.predict.tracks import Tracks

CLASSES = ("happy", "sad")


def row(left: float, *, top: float = 0, side: float = 100, happy: float = 0.5, abstained: bool = False) -> FaceRow:
    return FaceRow(
        image="film.mp4",
        face=0,
        box=(left, top, left + side, top + side),
        probabilities={"happy": happy, "sad": 1 - happy},
        top="happy" if happy > 0.5 else "sad",
        abstained=abstained,
        reason="cut" if abstained else "",
    )


def test_a_face_keeps_its_number_while_it_moves_and_two_keep_theirs() -> None:
    tracks = Tracks()
    for i in range(20):
        one, other = row(10 * i), row(600 - 10 * i, top=300)
        order = [one, other] if i % 2 else [other, one]  # whichever the detector is surer of
        of = {r.box[1]: r.track for r in tracks.add(order, i / 10) if r.box}
        assert of == {0: of[0], 300: of[300]}
        if i:
            assert of == before  # noqa: F821
        before = of  # noqa: F841
    assert sorted(of.values()) == [1, 2]


def test_a_fast_face_is_found_where_it_was_going() -> None:
    tracks = Tracks()
    for i, left in enumerate((0, 90, 180, 400, 620)):  # at 400 it lies two sides beside where it was
        times = (0, 0.1, 0.2, 0.45, 0.7)
        (told,) = tracks.add([row(left)], times[i])
        assert told.track == 1


@pytest.mark.parametrize(("away", "side", "number"), [(90, 100, 1), (140, 100, 2), (90, 200, 2)])
def test_what_is_far_or_of_another_size_is_another_face(away: float, side: float, number: int) -> None:
    tracks = Tracks()
    tracks.add([row(0)], 0)
    (told,) = tracks.add([row(50 + away - side / 2, top=50 - side / 2, side=side)], 0.1)
    assert told.track == number


def test_the_one_that_overlaps_goes_before_the_one_that_is_near() -> None:
    tracks = Tracks()
    tracks.add([row(0), row(120)], 0)
    told = tracks.add([row(60), row(110)], 0.1)  # the first lies between both, the second on the second
    assert [r.track for r in told] == [1, 2]


@pytest.mark.parametrize(("gap", "number"), [(1.0, 1), (1.01, 2)])
def test_a_face_that_was_away_for_longer_than_a_second_is_a_new_one(gap: float, number: int) -> None:
    tracks = Tracks()
    tracks.add([row(0)], 5)
    tracks.add([], 5 + gap / 2)
    (told,) = tracks.add([row(0)], 5 + gap)
    assert told.track == number


@pytest.mark.parametrize(("gap", "number"), [(4.9, 1), (5.1, 2)])
def test_where_looks_are_rare_a_face_keeps_its_number_from_one_to_the_next(gap: float, number: int) -> None:
    tracks = Tracks()
    tracks.add([row(0)], 0)
    (told,) = tracks.add([row(30)], gap)
    assert told.track == number


def test_smoothing_is_by_time_and_not_by_frames() -> None:
    """A step from 0 to 1 has risen to 1 - exp(-1) after half a second, at 5 frames a second as at 50."""
    for rate in (5, 50):
        tracks = Tracks()
        tracks.add([row(0, happy=0)], 0)
        for i in range(1, rate + 1):
            (told,) = tracks.add([row(0, happy=1)], i / rate)
            if i == rate // 2 and rate == 50:
                assert told.smoothed["happy"] == pytest.approx(1 - math.exp(-1))
        assert told.smoothed["happy"] == pytest.approx(1 - math.exp(-2))
        assert sum(told.smoothed.values()) == pytest.approx(1)


def test_what_is_abstained_from_does_not_count() -> None:
    tracks = Tracks()
    (first,) = tracks.add([row(0, happy=0.9, abstained=True)], 0)
    assert first.smoothed == {}
    tracks.add([row(0, happy=0.2)], 0.1)
    (last,) = tracks.add([row(0, happy=0.9, abstained=True)], 0.2)
    assert last.smoothed["happy"] == 0.2


def test_a_moment_without_a_face_has_its_time() -> None:
    (told,) = Tracks().add([FaceRow(image="film.mp4", abstained=True, reason="no face was found")], 2.5)
    assert (told.time_s, told.track, told.smoothed) == (2.5, None, {})
