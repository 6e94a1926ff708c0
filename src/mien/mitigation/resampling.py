"""Epochs in which faces of rare cells come several times, or faces of common cells seldom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.errors import ConfigError
from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation, Needs
from mien.mitigation.faces import Faces
from mien.mitigation.reweighting import Reweighting
from mien.spellings import same_groups


@MITIGATIONS.register("resampling")
class Resampling(Mitigation):
    """How often a face comes in an epoch goes by the size n of its cell: n^-exponent.

    A cell is a class, a group, or a class of a group, as for ``reweighting``, whose weights these are: with the
    exponent 1 every cell comes equally often. How long an epoch is then, ``size`` says: ``up`` shows each face of the
    largest cell once and the others more often; ``down`` shows each face of the smallest cell once and others seldom,
    other ones in every epoch; ``same`` shows as many faces as there are; ``mixture`` lies half way between up and down
    (the geometric mean), which is said to bear long training better than either.

    How often a face comes, and how many of a cell, is as near to its share as whole numbers allow: 2.3 is two or three
    times. Copies are
    augmented anew each time.

    With ``batches: balanced`` every batch holds each cell in the share that it has in the epoch, give or take a face or
    two, in place of what a random order brings: with the exponent 1 as many of each, if a batch has room for all. A
    face counts for the class and group of its largest shares there, one of unknown group for a cell of its own.

    Or ``times`` says it: how often faces of some groups come in an epoch, all others once.

    Source: class and group balance as in Idrissi et al. 2022, "Simple data balancing achieves competitive
    worst-group-accuracy" (SUBG is ``down``, by class and group); the mixture as in LaBonte et al. 2024, "The
    group robustness is in the details", whose ratio is theirs to choose; ``times`` as in Samii, Shaikh and
    Amrollahibioki 2023, section 3.2, where every picture of a child comes four times.

    Args:
        faces: The training faces.
        by: Attributes whose groups make cells; none for classes alone.
        classes: Whether classes make cells too.
        exponent: 0 to 1.
        size: ``up``, ``down``, ``same`` or ``mixture``.
        clip: Largest weight beside a mean of 1, which bounds how often a face comes; None for no limit.
        times: Group -> how often its faces come, in place of what the sizes of cells say; of the one attribute of
            ``by``. A face of unknown group comes once, one of a perceived group by its shares.
        batches: Faces of an epoch in ``random`` order, or spread so that every batch is ``balanced``.
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: tuple[str, ...] = (),
        classes: bool = True,
        exponent: Annotated[float, Field(ge=0, le=1)] = 1.0,
        size: Literal["up", "down", "same", "mixture"] = "up",
        clip: Annotated[float | None, Field(ge=1)] = None,
        times: Mapping[str, Annotated[float, Field(gt=0, le=1000)]] | None = None,
        batches: Literal["random", "balanced"] = "random",
    ) -> None:
        super().__init__(faces)
        self.cells, self.batches = _cells(faces, by, classes), batches
        if times is not None:
            idle = {"exponent": exponent != 1.0, "classes": not classes, "size": size != "up", "clip": clip is not None}
            if set_too := [name for name, given in idle.items() if given]:
                where, found = f"mitigation.options.{set_too[0]}", "does nothing beside times, which says how often"
                raise ConfigError(where, found, "one of the two")
            self.times = self._given(by, times)
            return
        weighing = Reweighting(faces, by=by, classes=classes, exponent=exponent, clip=clip)
        weights = weighing.sample_weights().astype(np.float64)
        unit = {
            "up": weights.min(),
            "down": weights.max(),
            "same": weights.mean(),
            "mixture": np.sqrt(weights.min() * weights.max()),
        }[size]
        self.times = weights / unit

    def _given(self, by: tuple[str, ...], times: Mapping[str, float]) -> NDArray[np.float64]:
        """``(n,)`` how often each face comes.

        Raises:
            ConfigError: If ``by`` names not one attribute, or a group is none of it.
        """
        if len(by) != 1:
            raise ConfigError("mitigation.options.by", f"names {len(by)} attributes", "one, whose groups times names")
        groups = self.faces.attributes[by[0]]
        place = same_groups(list(times), groups)
        if strange := [name for name in times if name not in place]:
            found, expected = f"{strange[0]!r} is no group of {by[0]!r}", f"of {', '.join(groups)}"
            raise ConfigError("mitigation.options.times", found, expected)
        factors = np.ones(len(groups))
        for name, factor in times.items():
            factors[place[name]] = factor
        belongs = self.faces.groups[:, self.faces.blocks[by[0]]].astype(np.float64)
        found_times: NDArray[np.float64] = belongs @ factors + (1 - belongs.sum(1))
        return found_times

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Faces of an epoch, each about :attr:`times` often, in random order."""
        rng = np.random.default_rng([seed, epoch, 0x5A3])
        mixed = rng.permutation(len(self.times))
        mixed = mixed[np.argsort(self.cells[mixed], kind="stable")]
        total = max(2, round(float(self.times.sum())))
        # Systematic sampling, cell by cell: the sum is the same in every epoch, and no face and no cell is off its
        # share by one or more.
        ends = np.cumsum(self.times[mixed])
        marks = np.floor(ends * (total / ends[-1]) + rng.random())
        marks[-1] = total  # which rounding may have missed
        counts = np.diff(marks, prepend=0.0).astype(np.int64)
        found: NDArray[np.int64] = rng.permutation(np.repeat(mixed, counts)).astype(np.int64)
        return found if self.batches == "random" else found[_spread(self.cells[found], rng)]


def _cells(faces: Faces, by: tuple[str, ...], classes: bool) -> NDArray[np.int64]:
    """``(n,)`` number of each face's cell: its first class (of each head) and first groups."""
    parts = [faces.targets[:, block].argmax(1) for block in faces.heads.values()] if classes else []
    for name in by:
        block = faces.groups[:, faces.blocks[name]]
        parts.append(np.where(block.any(1), block.argmax(1), block.shape[1]))
    if not parts:
        return np.zeros(len(faces), np.int64)
    codes: NDArray[np.int64] = np.unique(np.column_stack(parts), axis=0, return_inverse=True)[1].reshape(-1)
    return codes.astype(np.int64)


def _spread(cells: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """An order in which each cell comes at even distances, from a start of its own."""
    place = np.empty(len(cells))
    for cell in np.unique(cells):
        own = np.flatnonzero(cells == cell)
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    order: NDArray[np.int64] = np.argsort(place, kind="stable")
    return order
