"""How the verbs of studies and mitigations take one: options that all of them have to be told alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mien.cli.app import pair_of

_SET = "Override a setting of all cells: train.epochs=5."
_STORE = "Where a store lies that the study calls NAME: NAME=FOLDER."
_WEIGHTS = "Begin with a file in place of the weights that a network's library publishes: NETWORK=FILE."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class As:
    """The options that say which cells a study comes to here; another value of one means other cells."""

    scale: Annotated[
        Literal["tiny", "small", "full"], Parameter(help="How large; each study says what a scale shrinks.")
    ] = "full"
    set: Annotated[tuple[str, ...], Parameter(help=_SET, negative=())] = ()
    store: Annotated[tuple[str, ...], Parameter(help=_STORE, negative=())] = ()
    weights: Annotated[tuple[str, ...], Parameter(help=_WEIGHTS, negative=())] = ()

    def words(self) -> list[str]:
        """The words of a command that takes it the same way."""
        named = (("--set", self.set), ("--store", self.store), ("--weights", self.weights))
        return ["--scale", self.scale, *repeated(named)]

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value."""
        from mien.config import overrides_of

        return overrides_of(self.set)

    @property
    def stores(self) -> Mapping[str, str]:
        """Name of a store -> its folder."""
        return dict(pair_of("--store", text) for text in self.store)

    @property
    def published(self) -> Mapping[str, str]:
        """Name of a network -> the file that it begins with."""
        return dict(pair_of("--weights", text) for text in self.weights)


AS_WRITTEN = As()


def repeated(named: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """The words of options that are given once a value."""
    return [word for name, values in named for value in values for word in (name, value)]
