"""The settings of an audit, and the random streams that follow from its seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError

MOST = 1_000_000  # replicates or permutations


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How sure and how fine: what every analysis shares, and the random streams that follow from the seed.

    Attributes:
        level: Coverage that the intervals aim at.
        n_boot: Bootstrap replicates.
        n_perm: Permutations.
        min_n: Least faces of a group to enter gaps.
        min_class_n: Least independent faces (units) of a class in a group to enter that class's gaps.
        seed: Seed of everything drawn.

    Raises:
        UsageError: On a level outside 0.01 to 0.9999, fewer than one replicate or a negative seed.

    >>> Settings(n_boot=500).level
    0.95
    """

    level: float = 0.95
    n_boot: int = 2000
    n_perm: int = 2000
    min_n: int = 30
    min_class_n: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.01 <= self.level <= 0.9999:
            raise UsageError("level", f"is {self.level}", "a number between 0.01 and 0.9999, such as 0.95")
        for name, least in (("n_boot", 1), ("n_perm", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(name, f"is {getattr(self, name)}", f"{least} or more")
        for name in ("n_boot", "n_perm"):
            if getattr(self, name) > MOST:
                raise UsageError(name, f"is {getattr(self, name):,}", f"at most {MOST:,}: more change no digit shown")

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

    def stream(self, *names: str) -> np.random.Generator:
        """A generator of its own for each purpose, or attribute and purpose: their order does not matter.

        >>> bool(Settings().stream("age", "null").random() == Settings().stream("age", "null").random())
        True
        """
        return random_stream(self.seed, *names)


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """See :meth:`Settings.stream`."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
