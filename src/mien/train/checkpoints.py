"""Checkpoints: written at once or not at all, and read as if somebody else had written them.

Nothing is unpickled, and what is wrong is one sentence.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mien.errors import MienError, RunError, reason
from mien.inputs import check_regular
from mien.models.weights import file_errors
from mien.outputs import whole
from mien.values import shown

_KINDS: dict[str, tuple[type, str]] = {
    "stage": (int, "a whole number"),
    "epoch": (int, "a whole number"),
    "stage_epoch": (int, "a whole number"),
    "step": (int, "a whole number"),
    "network": (dict, "the network's weights"),
    "average": (dict, "the averaged weights"),
    "optimizers": (list, "a list of states"),
    "schedules": (list, "a list of states"),
    "best": (dict, "the best epoch"),
    "rows": (list, "one row an epoch"),
    "state": (dict, "the weights of the best epoch"),
}
_ANEW = "Begin anew with --force."
_SHARE = 0.1  # of a run's time that goes into writing, at most
_AT_ONCE = 1.0  # seconds of writing that nobody minds


class Sparing:
    """When to write what a run goes on from: after every epoch, unless that takes long.

    A network of 300 M parameters with its optimiser is 4 GB, written in as many seconds as a graphics card needs for
    two epochs. So a second writing waits until nine times as long as the first one took has passed, and a run that is
    killed loses as much at most.
    """

    def __init__(self) -> None:
        self._took, self._ended = 0.0, time.monotonic()

    def due(self) -> bool:
        """Whether to write now."""
        return self._took < _AT_ONCE or time.monotonic() - self._ended >= self._took * (1 / _SHARE - 1)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Around the writing of an epoch."""
        began = time.monotonic()
        yield
        self._ended = time.monotonic()
        self._took = self._ended - began


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint beside its place and move it there: a kill leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, file_errors():
        torch.save(content, partial)


def load_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint and check that everything is there, of the right kind.

    Raises:
        RunError: If it is none: no file of torch's, packed (so that a small file could fill the memory), or without
            what a run goes on with.
    """
    check_regular(checkpoint, "a checkpoint", error=RunError)
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
        if packed:
            raise RunError(str(checkpoint), "is packed", "a checkpoint as Mien writes it", _ANEW)
        state: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except RunError:
        raise
    except Exception as error:  # a broken file fails in many ways, and all mean the same
        raise RunError(str(checkpoint), f"cannot be read ({reason(error)})", "a checkpoint", _ANEW) from error
    if not isinstance(state, dict):
        raise RunError(str(checkpoint), f"holds {shown(type(state).__name__)}", "a checkpoint", _ANEW)
    if "pytorch-lightning_version" in state:
        found = "was written by an earlier version of Mien, which alone can go on with it"
        raise RunError(str(checkpoint), found, "a checkpoint of this version", _ANEW)
    for key, (kind, expected) in _KINDS.items():
        if not isinstance(state.get(key), kind) or isinstance(state[key], bool):
            found = shown(state[key]) if key in state else "is missing"
            raise RunError(f"{checkpoint}: {key}", found, expected, _ANEW)
    for key in ("stage", "epoch", "stage_epoch", "step"):
        if not 0 <= state[key] < 2**40:
            raise RunError(f"{checkpoint}: {key}", shown(state[key]), "0 or more", _ANEW)
    return state


@contextmanager
def taking_up(checkpoint: Path) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint is taken up into one sentence.

    Raises:
        RunError: If what it holds is not of this network, these optimisers or this history.
    """
    try:
        yield
    except MienError:
        raise
    except Exception as error:
        expected = "a checkpoint of this very run"
        raise RunError(str(checkpoint), f"cannot be taken up ({reason(error)})", expected, _ANEW) from error
