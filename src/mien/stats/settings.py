"""The settings of an audit, and the random streams that follow from its seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Settings that every part of an audit shares.

    Attributes:
        level: Coverage that the intervals aim at.
        n_boot: Bootstrap replicates.
        n_perm: Permutations.
        min_n: Least faces of a group to enter gaps.
        min_class_n: Least independent faces (units) of a class in a group to enter that class's gaps.
        seed: Seed of everything drawn.
    """

    level: float
    n_boot: int
    n_perm: int
    min_n: int
    min_class_n: int
    seed: int

    @property
    def min_units(self) -> int:
        """Least independent units of a group to enter gaps: 2, and as many as a class needs where faces repeat.

        Thirty frames of one person are one observation; ten persons are ten.
        """
        return max(2, min(self.min_class_n, self.min_n))

    def enough(self, n: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which groups enter gaps.

        Args:
            n: ``(G,)`` faces.
            units: ``(G,)`` independent units.

        Returns:
            ``(G,)``.
        """
        return np.asarray((n >= max(self.min_n, 1)) & (units >= self.min_units))

    def stream(self, name: str, purpose: str) -> np.random.Generator:
        """The generator of an attribute and a purpose; see :func:`random_stream`."""
        return random_stream(self.seed, name, purpose)


def random_stream(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator of its own for each attribute and purpose, so that the order of attributes does not matter."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode())])


def check_settings(level: float, n_boot: int, n_perm: int = 1, seed: int = 0) -> None:
    """Refuse settings that cannot work.

    Raises:
        UsageError: On a level outside (0, 1), fewer than one replicate or a negative seed.
    """
    if not 0.01 <= level <= 0.9999:
        raise UsageError("level", f"is {level}", "a number between 0.01 and 0.9999, such as 0.95")
    for name, number, least in (("n_boot", n_boot, 1), ("n_perm", n_perm, 1), ("seed", seed, 0)):
        if number < least:
            raise UsageError(name, f"is {number}", f"{least} or more")
