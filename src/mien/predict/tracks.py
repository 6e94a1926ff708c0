"""Which face of one moment is which of the next, and its expression over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mien.faces.base import overlaps
from mien.predict.rows import FaceRow

Box = tuple[float, float, float, float]

_OVERLAP = 0.3  # of two boxes over their union, from which they are taken for one face
_NEAR = 1.0  # sides of a face by which it may lie beside where it was expected, where nothing overlaps
_ALIKE = 1.8  # how many times larger one of two boxes may be, then
_PATIENCE_S = 1.0  # for which a face that was looked for and not found keeps its number
_LONGEST_S = 5.0  # between two looks, from which every face is a new one
_SMOOTH_S = 0.5  # after which two thirds of a new expression count


@dataclass
class _Track:
    number: int
    box: Box
    seen: float
    speed: tuple[float, float] = (0.0, 0.0)  # pixels a second, of the middle
    told: float = 0.0
    smoothed: dict[str, float] = field(default_factory=dict)
    missed: bool = False  # at the last look

    def expected(self, time: float) -> Box:
        """Where it is, had it gone on as before."""
        dx, dy = (v * (time - self.seen) for v in self.speed)
        left, top, right, bottom = self.box
        return left + dx, top + dy, right + dx, bottom + dy


class Tracks:
    """Numbers faces by where they are: a face is the one whose box overlaps most with where it was or was going, and
    where none does, the nearest of about its size. A face that was missed and comes back after more than a second is a
    new one, and two that cross may change numbers: whose face it is, nobody asks.

    A track's expression is its rows' mean with weights that halve every 0.35 seconds (exp(-t / 0.5 s)), whatever the
    times between them; what was abstained from does not count.
    """

    def __init__(self) -> None:
        self._known: list[_Track] = []
        self._next = 1

    def add(self, rows: Sequence[FaceRow], time: float) -> list[FaceRow]:
        """Rows with ``time_s``, ``track`` and ``smoothed``.

        Args:
            rows: Of one moment.
            time: Seconds; never before those of the rows before.
        """
        self._known = [one for one in self._known if time - one.seen <= (_PATIENCE_S if one.missed else _LONGEST_S)]
        for one in self._known:
            one.missed = True
        of = self._matched(rows, time)
        found = []
        for i, row in enumerate(rows):
            if row.box is None:
                found.append(replace(row, time_s=time))
                continue
            one = of[i] if i in of else self._begun(row.box, time)
            _moved(one, row.box, time)
            if not row.abstained:
                _update(one, row.probabilities, time)
            found.append(replace(row, time_s=time, track=one.number, smoothed=dict(one.smoothed)))
        return found

    def _begun(self, box: Box, time: float) -> _Track:
        one = _Track(self._next, box, time)
        self._next += 1
        self._known.append(one)
        return one

    def _matched(self, rows: Sequence[FaceRow], time: float) -> dict[int, _Track]:
        """Row -> its track: first those that overlap, the most first; then those that are near, the nearest first."""
        overlapping, near = [], []
        for i, row in enumerate(rows):
            if row.box is None:
                continue
            for j, one in enumerate(self._known):
                places = (one.box, one.expected(time))
                share = float(overlaps(np.array(row.box), np.array(places)).max())
                if share >= _OVERLAP:
                    overlapping.append((-share, i, j))
                away = min(_away(row.box, place) for place in places)
                if away <= _NEAR:
                    near.append((away, i, j))
        of: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, i, j in [*sorted(overlapping), *sorted(near)]:
            if i not in of and j not in taken:
                of[i] = self._known[j]
                taken.add(j)
        return of


def _moved(one: _Track, box: Box, time: float) -> None:
    passed = time - one.seen
    if passed > 0:
        was, now = _middle(one.box), _middle(box)
        one.speed = ((now[0] - was[0]) / passed, (now[1] - was[1]) / passed)
    one.box, one.seen, one.missed = box, time, False


def _update(one: _Track, probabilities: dict[str, float], time: float) -> None:
    share = -math.expm1(-max(0.0, time - one.told) / _SMOOTH_S) if one.smoothed else 1.0
    before = one.smoothed or probabilities
    one.smoothed = {name: before[name] + share * (p - before[name]) for name, p in probabilities.items()}
    one.told = time


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _away(a: Box, b: Box) -> float:
    """How far two middles lie apart, in sides of the smaller box; infinite for boxes that are not alike in size."""
    small, large = sorted((math.sqrt(_area(a)), math.sqrt(_area(b))))
    if not small or large > _ALIKE * small:
        return math.inf
    return math.dist(_middle(a), _middle(b)) / small
