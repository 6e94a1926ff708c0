"""Weights and their card (:mod:`mien.models.card`): safetensors, checked on loading, and the networks they make."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mien.errors import ConfigError, UsageError, WeightsError, reason
from mien.inference import FaceModel, Wants, on_scales
from mien.models import MODELS
from mien.models.backbones import LibraryModel
from mien.models.blocks import ExpressionModel, only_linear
from mien.models.card import CARD, WEIGHTS, WeightCard, load_card
from mien.models.shapes import MOST_OPTIONS, too_large, without_memory
from mien.outputs import whole
from mien.own_files import sha256_of, with_checksums
from mien.pictures.pixels import Images, as_stored
from mien.pictures.tensors import images_to_tensor, normalised, preprocessed, resized
from mien.records import plain, write_json
from mien.values import shown

__all__ = [
    "CARD",
    "WEIGHTS",
    "Classifier",
    "WeightCard",
    "bf16_is_fast",
    "device_of",
    "file_errors",
    "load_body",
    "load_card",
    "load_whole",
    "normalise",
    "refuse_attributes",
    "save_weights",
]
_BATCH = 256  # faces at a time


def save_weights(module: nn.Module, card: WeightCard, folder: Path) -> WeightCard:
    """Write weights and card, each at once or not at all; returns the card with its checksum."""
    # Both are whole before either takes its place, so that hardly any time lies between the two.
    with whole(folder / CARD) as described, whole(folder / WEIGHTS) as weights:
        with file_errors():
            save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, weights)
        full = WeightCard(**{**asdict(card), "sha256": sha256_of(weights)})
        write_json(described, with_checksums(plain(asdict(full)), CARD, {WEIGHTS: full.sha256}))
        shutil.copymode(described, weights)  # safetensors lets nobody else read what it writes
    return full


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn what torch and safetensors raise when a file cannot be written into an OSError, as all others do.

    Neither says with a type or a number what went wrong; safetensors has the number in its text.
    """
    try:
        yield
    except SafetensorError as error:
        known = re.search(r"os error (\d+)", str(error))
        if known is None:
            raise
        raise OSError(int(known[1]), os.strerror(int(known[1]))) from error
    except RuntimeError as error:
        if "inline_container" not in str(error) and "file write failed" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def load_whole(module: ExpressionModel, folder: Path | str, classes: Sequence[str]) -> int:
    """Start a network from other weights of the same network, head and all.

    Args:
        module: The network; changed in place.
        folder: A run or weights folder.
        classes: What its outputs are.

    Returns:
        How many tensors were taken.

    Raises:
        WeightsError: If the weights cannot be read, or are of another network or for other classes.
    """
    folder = Path(folder)
    card = load_card(folder)
    if tuple(card.classes) != tuple(classes):
        found = f"tells {', '.join(card.classes)}"
        raise WeightsError(str(folder / CARD), found, ", ".join(classes), "Leave model.keep_head out.")
    stored, own = _checked_weights(folder, card), module.state_dict()
    for name in sorted({*stored, *own}):
        if name not in stored or name not in own or stored[name].shape != own[name].shape:
            fix = f"The weights are of {card.model} with {card.options}."
            raise WeightsError(str(folder / WEIGHTS), f"{name} does not fit", "weights of the same network", fix)
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in stored.items()})
    return len(own)


def load_body(module: ExpressionModel, folder: Path | str) -> int:
    """Start a network's body, all but its head, from other weights of the same architecture, or of its trunk.

    A network built on one of a library takes that one's weights, of a run too (``dan`` those of ``resnet18``), and
    begins with the rest as drawn.

    A stem for colour serves grey pictures too: a grey face is one whose three channels are equal, so that its
    kernels can be summed over them, exactly, where its channels share mean and deviation.

    Args:
        module: The network; changed in place.
        folder: A run, weights or annotator folder.

    Returns:
        How many tensors were taken.

    Raises:
        WeightsError: If the weights cannot be read, a tensor of the body is missing or of another shape, or a
            stem for colour whose channels are normalised differently is to serve grey pictures; or if the weights
            have tensors that this network has not.
    """
    folder = Path(folder)
    card = load_card(folder)
    everything = _checked_weights(folder, card)
    stored = _body_of({k: v.float() for k, v in everything.items()})
    own = _body_of(module.state_dict())
    other = MODELS.get(card.model) is not type(module)
    fix = "give the model these options."
    if other:
        fix = "a network begins with weights of its own kind, or with those of the one it is built on."
    advice = f"The weights are of {card.model} with {card.options}: {fix}"
    if other and isinstance(module, LibraryModel):
        source = _module_of(card, everything, folder)
        if isinstance(source, LibraryModel) and type(source) is not type(module):
            theirs = {source.published_keys[name]: t for name, t in stored.items() if name in source.published_keys}
            ours = {theirs: name for name, theirs in module.published_keys.items()}
            stored = {ours.get(name, name): t for name, t in theirs.items()}
            own = {name: t for name, t in own.items() if name in module.published_keys}
    for name, tensor in own.items():
        found = stored.get(name)
        if found is not None and found.ndim == 4 and tensor.shape[1] == 1 and found.shape[1] == 3:
            if len(set(zip(card.mean, card.std, strict=True))) > 1:
                # At the borders, where zeros stand for pixels, no other kernel gives the same.
                expected = "one mean and one deviation for all three, so that a stem for grey follows from them"
                told = f"the channels have the means {shown(list(card.mean))}, the deviations {shown(list(card.std))}"
                raise WeightsError(str(folder / CARD), told, expected, "Train on faces in colour.")
            found = stored[name] = found.sum(1, keepdim=True)
        if found is None or found.shape != tensor.shape:
            shape = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise WeightsError(
                str(folder / WEIGHTS),
                f"{name} is {shape}",
                f"{tuple(tensor.shape)}",
                advice,
            )
    if strange := sorted(set(stored) - set(own)):
        raise WeightsError(str(folder / WEIGHTS), f"{strange[0]} is no tensor of this network", "", advice)
    module.load_state_dict({**module.state_dict(), **{k: stored[k].to(own[k].dtype) for k in own}})
    return len(own)


def _body_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}


def _checked_weights(folder: Path, card: WeightCard) -> dict[str, Tensor]:
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(str(folder / WEIGHTS), "no such file", "the weights that belong to the card")
    found = sha256_of(folder / WEIGHTS)
    if found != card.sha256:
        raise WeightsError(str(folder / WEIGHTS), f"checksum {found[:12]}...", f"{card.sha256[:12]}... as on its card")
    try:
        return load_file(folder / WEIGHTS)
    except Exception as error:  # the library and torch raise many kinds on files that are not theirs
        found = f"cannot be read ({reason(error)})"
        raise WeightsError(str(folder / WEIGHTS), found, "weights in safetensors") from error


def _module_of(card: WeightCard, stored: dict[str, Tensor], folder: Path) -> ExpressionModel:
    """The network that a card describes, with the weights.

    It is made without memory first and compared: a card can ask for a network of any size.
    """
    where = f"{folder / CARD}: options"

    def refuse(error: Exception) -> NoReturn:
        found = f"make no {card.model} ({str(error).splitlines()[0]})"
        raise WeightsError(where, found, "those of a network") from error

    try:
        options = MODELS.check_options(card.model, card.options, "options")
        if large := too_large(options):
            raise WeightsError(where, large, MOST_OPTIONS)
        empty = without_memory(card.model, card.outputs, card.in_channels, options, refuse)
    except ConfigError as error:
        raise WeightsError(f"{folder / CARD}: {error.where}", error.found, error.expected, error.fix) from error
    wanted = {name: tuple(t.shape) for name, t in empty.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in stored.items()}
    for name in [*wanted, *found]:
        if wanted.get(name) != found.get(name):
            told = f"{name} is {'missing' if name not in found else f'of shape {found[name]}'}"
            due = f"of shape {wanted[name]}" if name in wanted else "no such tensor"
            fix = f"The weights do not fit {card.model} with the options on their card."
            raise WeightsError(str(folder / WEIGHTS), told, due, fix)
    module: ExpressionModel = MODELS.get(card.model)(card.outputs, card.in_channels, **options)
    module.load_state_dict(stored)
    return module


class Classifier:
    """A network with its card, on a device: what :class:`mien.inference.FaceModel` is made of.

    Args:
        module: The network.
        card: Its card.
        device: Where to run it.
    """

    def __init__(self, module: ExpressionModel, card: WeightCard, device: torch.device | str = "cpu") -> None:
        self.card, self.device = card, device_of(device)
        self.module = module.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> Classifier:
        """Load from a run or weights folder; nothing is unpickled.

        Raises:
            WeightsError: If a file is missing, or the checksum or the shapes do not match the card.
        """
        folder = Path(folder)
        card = load_card(folder)
        stored = _checked_weights(folder, card)
        return cls(_module_of(card, stored, folder), card, device)

    def tensor(self, images: Images) -> Tensor:
        """``(B, H, W, C)`` uint8 -> ``(B, C, size, size)`` normalised, on the device."""
        card = self.card
        if card.store_size:
            images = as_stored(images, card.store_size, card.in_channels, card.resampling[0])
        return normalise(images_to_tensor(images, card.in_channels, self.device), card)

    def logits(self, images: Images) -> NDArray[np.float64]:
        """``(B, H, W, C)`` uint8 -> ``(B, K)``, all at once."""
        return self._outputs(images)[:, : len(self.card.classes)]

    def numbers(self, images: Images) -> NDArray[np.float64]:
        """``(B, H, W, C)`` uint8 -> ``(B, M)`` numbers, in the order of the card's; all at once."""
        return self._answers(images)[:, len(self.card.classes) :]

    def _answers(self, images: Images) -> NDArray[np.float64]:
        """``(B, K + M)``: logits, then numbers on their scales, by one pass through the network."""
        outputs, k = self._outputs(images), len(self.card.classes)
        return np.concatenate([outputs[:, :k], on_scales(outputs[:, k:], list(self.card.numbers.values()))], axis=1)

    @torch.inference_mode()
    def _outputs(self, images: Images) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.module(self.tensor(images)).double().cpu().numpy()
        return found

    @torch.inference_mode()
    def features(self, images: Images) -> NDArray[np.float32]:
        """``(B, H, W, C)`` uint8 -> ``(B, D)`` what the model's head sees, all at once; 0 where it looks away.

        A feature whose every weight in the head is 0 changes no answer: what a probe reads from it leaks nowhere.
        Mitigations that keep a part of the features for the attributes leave such ones.
        """
        features = self.module.features(self.tensor(images)).float()
        layer = only_linear(self.module.head)
        if layer is not None and layer.in_features == features.shape[1]:
            features = features * (layer.weight != 0).any(0)
        found: NDArray[np.float32] = features.cpu().numpy()
        return found

    def face_model(self, name: str = "") -> FaceModel:
        """The model as everything that classifies faces.

        Args:
            name: For messages and reports; the name of its architecture by default.
        """
        card = self.card
        return FaceModel(
            name or card.model,
            card.classes,
            self._answers,
            logits=True,
            embed=self.features,
            wants=Wants(card.store_size or card.size, card.in_channels, card.resampling[0]),
            batch_size=_BATCH,
            numbers=tuple(card.numbers),
        )


def refuse_attributes(classifier: Classifier, folder: Path) -> None:
    """Refuse a model of attributes where one of expressions is needed.

    Raises:
        UsageError: If the model's card has heads of attributes.
    """
    if classifier.card.heads:
        raise UsageError(
            str(folder),
            f"learnt attributes ({', '.join(classifier.card.heads)})",
            "a model of expressions",
            "Make an annotator of the run with 'mien annotator RUN --out FOLDER'.",
        )


def device_of(name: torch.device | str) -> torch.device:
    """A device by its name.

    Raises:
        UsageError: If it is not there.
    """
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        expected = "'cpu', or a machine that has one"
        raise UsageError("device", f"{str(name)!r}, but there is no CUDA device here", expected)
    return device


def bf16_is_fast(device: torch.device | str = "cpu") -> bool:
    """Whether the device multiplies bf16 in hardware."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def normalise(x: Tensor, card: WeightCard) -> Tensor:
    """Bring ``(B, C, H, W)`` of 0 to 1 to the card's size, through its steps, to its mean and deviation."""
    x = preprocessed(resized(x, (card.size, card.size), card.resampling[1]), card.preprocess)
    return normalised(x, card.mean, card.std)
