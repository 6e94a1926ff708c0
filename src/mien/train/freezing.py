"""Which parts of a network stand still, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.errors import ConfigError
from mien.models.backbones import matching
from mien.models.blocks import ExpressionModel
from mien.values import shown


@dataclass(frozen=True)
class Freezing:
    """The parts that stand still when a run begins, and how often another one of them begins to move.

    Attributes:
        parts: Their names, in the order in which a picture passes through them.
        every: Epochs after which the last one that still stands begins to move, again and again; None for never.
    """

    parts: tuple[str, ...] = ()
    every: int | None = None

    def at(self, epoch: int) -> tuple[str, ...]:
        """What stands still in an epoch of the run, from 0: this follows from its number and from nothing else."""
        return self.parts if self.every is None else self.parts[: max(0, len(self.parts) - epoch // self.every)]


def freezing_of(model: ExpressionModel, freeze: int | Sequence[str], every: int | None, where: str) -> Freezing:
    """What ``model.freeze`` and ``model.unfreeze_every`` mean for a network.

    Args:
        model: The network.
        freeze: How many of its leading parts stand still, or how the names of those that do begin.
        every: See :class:`Freezing`.
        where: Dotted key, for messages.

    Raises:
        ConfigError: If it has not so many parts, or none of such a name.
    """
    names = list(model.parts())
    known = f"the parts are {', '.join(names)}"
    if isinstance(freeze, int):
        if freeze > len(names):
            raise ConfigError(where, shown(freeze), f"at most {len(names)}", f"{known[0].upper()}{known[1:]}.")
        return Freezing(tuple(names[:freeze]), every)
    for wanted in freeze:
        if not matching(names, [wanted]):
            raise ConfigError(where, f"no part begins with {wanted!r}", known)
    return Freezing(matching(names, freeze), every)
