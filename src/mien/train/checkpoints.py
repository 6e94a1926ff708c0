"""Checkpoints, read as if somebody else had written them: nothing is unpickled, and what is wrong is one sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch

from mien.errors import MienError, RunError
from mien.inputs import check_regular
from mien.values import shown

_KINDS: dict[str, tuple[type, str]] = {
    "epoch": (int, "a whole number"),
    "global_step": (int, "a whole number"),
    "state_dict": (dict, "the network's weights"),
    "optimizer_states": (list, "a list of states"),
    "lr_schedulers": (list, "a list of states"),
    "loops": (dict, "the state of the loops"),
    "callbacks": (dict, "the states of the callbacks"),
}
_ANEW = "Begin anew with --force."


def epochs_done(checkpoint: Path) -> int:
    """How many epochs a checkpoint stands for.

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
        raise RunError(str(checkpoint), f"cannot be read ({_reason(error)})", "a checkpoint", _ANEW) from error
    if not isinstance(state, dict):
        raise RunError(str(checkpoint), f"holds {shown(type(state).__name__)}", "a checkpoint", _ANEW)
    for key, (kind, expected) in _KINDS.items():
        if not isinstance(state.get(key), kind) or isinstance(state[key], bool):
            found = shown(state[key]) if key in state else "is missing"
            raise RunError(f"{checkpoint}: {key}", found, expected, _ANEW)
    for key in ("epoch", "global_step"):
        if not 0 <= state[key] < 2**40:
            raise RunError(f"{checkpoint}: {key}", shown(state[key]), "0 or more", _ANEW)
    for name, tensor in state["state_dict"].items():
        if not isinstance(tensor, torch.Tensor):
            raise RunError(f"{checkpoint}: state_dict.{shown(name)[1:-1]}", shown(tensor), "a tensor", _ANEW)
    return int(state["epoch"]) + 1


@contextmanager
def resuming(checkpoint: Path | None, trainer: L.Trainer) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint is taken up, before any step, into one sentence.

    Args:
        checkpoint: The checkpoint; None where a run begins.
        trainer: What takes it up.

    Raises:
        RunError: If what it holds is not of this network, this optimizer or these callbacks.
    """
    begun = _Begun()
    if checkpoint is not None:
        trainer.callbacks.append(begun)  # type: ignore[attr-defined]  # last: when all others have their states
    try:
        yield
    except MienError:
        raise
    except Exception as error:
        if checkpoint is None or begun.yes:
            raise
        expected = "a checkpoint of this very run"
        raise RunError(str(checkpoint), f"cannot be taken up ({_reason(error)})", expected, _ANEW) from error


class _Begun(L.Callback):
    """Whether training has begun, and all states were taken up."""

    yes = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.yes = True


def _reason(error: Exception) -> str:
    """The first words of what torch says, which goes on for pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
