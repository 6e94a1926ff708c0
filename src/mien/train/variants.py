"""Copies of training faces, mirrored or turned, that are learnt beside them: which, and in what order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.config import AdaptiveConfig, AugmentConfig, CopiesConfig
from mien.data.augment.inclination import by_eyes, by_symmetry
from mien.errors import ConfigError
from mien.train.targets import TrainingData

_AS_IT_IS = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Variants:
    """The m pictures of an epoch: each of the n training faces as it is, and its copies, side by side.

    Attributes:
        faces: ``(m,)`` number of the face, ascending.
        changes: ``(m, 2)`` float32: 1 where it is mirrored, and degrees by which it is turned counter-clockwise.
        sets: Which copies were made -> faces, for people.
    """

    faces: NDArray[np.int64]
    changes: NDArray[np.float32]
    sets: dict[str, int]

    def order(self, asked: NDArray[np.int64] | None, seed: int, epoch: int) -> NDArray[np.int64]:
        """Numbers of the m pictures in the order of an epoch.

        Args:
            asked: Numbers of faces, some perhaps several times, where a mitigation orders the epoch. Each of them is
                shown as often as the mean face has pictures (rounded up), one picture after the other from one drawn;
                the order is kept, round after round.
            seed: Of the run.
            epoch: From 0.
        """
        rng = np.random.default_rng([seed, epoch])
        if asked is None:
            return rng.permutation(len(self.faces))
        n = int(self.faces[-1]) + 1
        counts = np.bincount(self.faces, minlength=n)
        first = np.concatenate([[0], counts.cumsum()[:-1]])
        begin = rng.integers(0, counts[asked])
        rounds = -(-len(self.faces) // n)
        return np.concatenate([first[asked] + (begin + k) % counts[asked] for k in range(rounds)])


def variants_of(augment: AugmentConfig, data: TrainingData, seed: int) -> Variants | None:
    """The copies that a configuration asks for; None where it asks for none.

    Raises:
        ConfigError: If faces are to be judged by their eyes and the store knows none.
    """
    if not augment.enabled or (augment.copies is None and augment.adaptive is None):
        return None
    if augment.copies is not None:
        return _copied(augment.copies, len(data.train), seed)
    assert augment.adaptive is not None
    return _adapted(augment.adaptive, _inclination(augment.adaptive, data))


def _copied(copies: CopiesConfig, n: int, seed: int) -> Variants:
    """Base, mirrored, turned by the angle either way (Duan 2022): four times the faces."""
    low, high = copies.rotation
    # One angle a face for the whole run: copies are made once, as if they lay in a folder.
    angles = np.random.default_rng([seed, n]).uniform(low, high, n)
    none, one = np.zeros(n), np.ones(n)
    columns = [(none, none)]
    if copies.flip:
        columns.append((one, none))
    if high > 0:
        columns += [(none, angles), (none, -angles)]
    changes = np.stack([np.stack(c, axis=1) for c in columns], axis=1)  # (n, copies, 2)
    names = ["as it is", *(["mirrored"] if copies.flip else []), *(["turned both ways"] if high > 0 else [])]
    return Variants(
        faces=np.repeat(np.arange(n), len(columns)),
        changes=changes.reshape(-1, 2).astype(np.float32),
        sets={", ".join(names): n},
    )


def _adapted(adaptive: AdaptiveConfig, leaning: NDArray[np.float64]) -> Variants:
    """Copies by the lean of each face, ``(n,)`` degrees; of one that is not known, the ordinary four.

    Duan 2022, adaptive augmentation: below X1 base and both turns; from X1 to X2 base, mirrored and both turns; above
    X2 base, mirrored, and the turn that takes the lean back. Turns are of the face as it stands, so that no sign
    changes with the mirrored one.
    """
    r = adaptive.rotation
    both, mirrored = [(0.0, r), (0.0, -r)], [(1.0, 0.0)]
    known, size = ~np.isnan(leaning), np.abs(np.nan_to_num(leaning))
    upright, far = known & (size < adaptive.low), known & (size > adaptive.high)
    faces: list[int] = []
    changes: list[tuple[float, float]] = []
    for i, angle in enumerate(leaning):
        if upright[i]:
            own = [_AS_IT_IS, *both]
        elif far[i]:
            own = [_AS_IT_IS, *mirrored, (0.0, -r if angle > 0 else r)]
        else:
            own = [_AS_IT_IS, *mirrored, *both]
        faces += [i] * len(own)
        changes += own
    sets = {
        f"lean below {adaptive.low:g} degrees (turned both ways)": int(upright.sum()),
        f"lean of {adaptive.low:g} to {adaptive.high:g} degrees (mirrored, turned both ways)": int(
            (known & ~upright & ~far).sum()
        ),
        f"lean above {adaptive.high:g} degrees (mirrored, turned back)": int(far.sum()),
        "lean not known (mirrored, turned both ways)": int((~known).sum()),
    }
    return Variants(faces=np.array(faces, np.int64), changes=np.array(changes, np.float32), sets=sets)


def _inclination(adaptive: AdaptiveConfig, data: TrainingData) -> NDArray[np.float64]:
    """``(n,)`` degrees by which the training faces lean, computed once a sitting."""
    rows = data.train.rows
    found = np.full(len(rows), np.nan)
    if adaptive.criterion != "symmetry":
        frame = data.table.frame.set_index("image")
        found = by_eyes(frame.loc[rows])
        if adaptive.criterion == "landmarks" and np.isnan(found).all():
            expected = "columns landmark_0_x, landmark_0_y, landmark_1_x and landmark_1_y of the store's table"
            raise ConfigError(
                "augment.adaptive.criterion", "landmarks, but no eye is known", expected, "Or criterion: symmetry."
            )
    if adaptive.criterion != "landmarks":
        lost = np.isnan(found)
        found[lost] = by_symmetry(data.store.images, rows[lost])
    return found
