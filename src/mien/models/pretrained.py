"""Weights that others learnt: a file, or what a library publishes; tensors renamed to ours, nothing unpickled."""

from __future__ import annotations

import re
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file as load_safetensors
from torch import Tensor

from mien.errors import ConfigError, WeightsError
from mien.inputs import check_regular
from mien.models.backbones import LibraryModel, Published
from mien.models.blocks import ExpressionModel
from mien.outputs import whole, writing
from mien.own_files import sha256_of

IMAGENET = "imagenet"  # in place of a file: the weights that the network's library publishes
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_IMAGENET_CLASSES = 1000
_PATIENCE = 30  # seconds without an answer after which a library's server is given up
_COUNTER = "num_batches_tracked"  # of batches seen; files of old versions do not have it, and nothing depends on it
_WRAPPED = ("state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a file gave a network.

    Attributes:
        tensors: How many tensors were taken.
        head: Whether the head was among them: it has as many classes as the network.
        classes: Classes of the file's head; 0 where it has none.
    """

    tensors: int
    head: bool
    classes: int


def published_file(module: ExpressionModel, name: str) -> Path:
    """The file of the weights that a network's library publishes, downloaded where it is not kept yet.

    Args:
        module: The network.
        name: What Mien calls it, for messages.

    Raises:
        ConfigError: If its library publishes none.
        WeightsError: If it cannot be downloaded; the message says which file to bring, and from where.
    """
    published = module.published if isinstance(module, LibraryModel) else None
    if published is None:
        expected = "a file or folder of weights: for this network no library publishes any"
        raise ConfigError("model.weights", f"{IMAGENET!r} for {name!r}", expected)
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.file  # where torchvision itself keeps them
    if not path.is_file():
        _download(published, path)
    return path


def _download(published: Published, path: Path) -> None:
    """Into its place whole or not at all; torchvision's names hold the beginning of the checksum."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, open(partial, "wb") as file:
        for block in _blocks(published.address, path):
            file.write(block)
        file.flush()
        wanted, found = re.search(r"-([0-9a-f]{8,})\.", published.file), sha256_of(partial)
        if wanted and not found.startswith(wanted[1]):
            raise WeightsError(published.address, f"has the checksum {found[:12]}...", f"{wanted[1]}...")


def _blocks(address: str, path: Path) -> Iterator[bytes]:
    """A file of the network piece by piece; what goes wrong with the network is told as that, and not of the disk."""
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
            while block := answer.read(1 << 20):
                yield block
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        fix = (
            f"Bring the file from there by other means and put it at {path}, or name it in place of the published one."
        )
        raise WeightsError(address, f"cannot be downloaded ({reason})", "", fix) from error


def load_pretrained(module: ExpressionModel, path: Path | str) -> Loaded:
    """Begin with the weights of a file; the head too where it has as many classes as the network.

    A first convolution for colour serves grey pictures too: its kernels are summed over red, green and blue, so
    that a grey picture gives what its three equal channels would.

    Args:
        module: The network; changed in place.
        path: A ``.safetensors`` file, or a ``.pth``, ``.pt`` or ``.bin`` of tensors only, as torch writes them.

    Raises:
        WeightsError: If the file cannot be read, a tensor is missing or of another shape, or one is left over.
    """
    path = Path(path)
    stored = read_tensors(path)
    own = module.state_dict()
    found = _renamed(module, stored, own)
    head = [name for name in own if name.startswith("head.")]
    takes_head = bool(head) and all(name in found and found[name].shape == own[name].shape for name in head)
    added = set(own) - set(module.published_keys) if isinstance(module, LibraryModel) else set()
    added = {name for name in added if not name.startswith("head.")}
    absent = added if not added & set(found) else set()  # a file of ours has them all
    wanted = [name for name in own if (takes_head or not name.startswith("head.")) and name not in absent]
    for name in wanted:
        tensor = found.get(name)
        if tensor is not None and tensor.ndim == 4 and own[name].shape[1] == 1 and tensor.shape[1] == 3:
            tensor = found[name] = tensor.float().sum(1, keepdim=True)
        if tensor is None and name.endswith(_COUNTER):
            found[name] = own[name]
        elif tensor is None or tensor.shape != own[name].shape:
            shape = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
            raise WeightsError(
                str(path), f"{name} is {shape}", f"{tuple(own[name].shape)}", "The file is of another network or size."
            )
    strange = sorted(set(found) - set(own) - {name for name in found if name.startswith("head.")})
    if strange:
        raise WeightsError(
            str(path), f"{strange[0]} is no tensor of this network", "", f"{len(strange)} are left over."
        )
    module.load_state_dict({**own, **{name: found[name].to(own[name].dtype) for name in wanted}})
    return Loaded(tensors=len(wanted), head=takes_head, classes=_rows(found))


def classes_of(module: ExpressionModel, path: Path) -> int:
    """Classes of the head in a file of weights for a network; 0 where it has none."""
    return _rows(_renamed(module, read_tensors(path), module.state_dict()))


def _rows(found: Mapping[str, Tensor]) -> int:
    return next((len(t) for name, t in found.items() if name.startswith("head.") and t.ndim), 0)


def _renamed(module: ExpressionModel, stored: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors under our names: as they are, by the library's names, or by those of another port."""
    ways: list[Callable[[str], str]] = [lambda key: key]
    if isinstance(module, LibraryModel):
        ours = {theirs: name for name, theirs in module.published_keys.items()}
        ways.append(lambda key: ours.get(key, key))
        ways += [lambda key, way=way: ours.get(way(key), key) for way in module.dialects]  # type: ignore[misc]
    return max(({way(key): t for key, t in stored.items()} for way in ways), key=lambda d: len(set(d) & set(own)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the wrapping that training scripts put around them.

    Raises:
        WeightsError: If it is no regular file of tensors; nothing in it is run.
    """
    expected = f"a file of weights ({', '.join(SUFFIXES)})"
    if not path.is_file():
        raise WeightsError(str(path), "no such file", expected)
    check_regular(path, expected, error=WeightsError)
    try:
        content: Any = load_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except WeightsError:
        raise
    except Exception as error:  # the libraries raise many kinds on files that are not theirs
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(str(path), f"cannot be read ({reason})", f"{expected}, of tensors only") from error
    for key in _WRAPPED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(str(path), "holds something else than tensors with names", expected)
    wrapped = all(str(name).startswith("module.") for name in content)  # of several graphics cards
    return {str(name).removeprefix("module.") if wrapped else str(name): tensor for name, tensor in content.items()}


def _read_torch(path: Path) -> Any:
    """A file of torch's; one that is packed could fill the memory from a small file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise WeightsError(str(path), "is packed", "a file as torch writes it")
    return torch.load(path, map_location="cpu", weights_only=True)


def described(module: ExpressionModel, path: Path, weights: str, classes: int, channels: int) -> dict[str, Any]:
    """What the record and the card of a run say of the file that it began with.

    Args:
        module: The network.
        path: The file.
        weights: ``model.weights`` as configured.
        classes: Classes of the file's head.
        channels: 1 or 3, of the pictures.

    Returns:
        ``sha256``, ``terms``, ``data`` (file, and what it was learnt on), and where its library says it, ``mean`` and
        ``std`` a channel; for grey pictures those of grey, the means over red, green and blue.
    """
    published = module.published if isinstance(module, LibraryModel) else None
    by_library = weights == IMAGENET
    known = by_library or classes == _IMAGENET_CLASSES
    found: dict[str, Any] = {
        "file": published.address if by_library and published else path.name,
        "sha256": sha256_of(path),
        "terms": published.terms if by_library and published else f"the terms of {path.name}",
        "data": {"learnt_on": "ImageNet" if known else "not known"},
    }
    if published is not None:
        if not by_library and known:
            found["terms"] += f" (the library's own are {published.terms})"
        both = {"mean": published.mean, "std": published.std}
        found |= {k: list(v) if channels == len(v) else [sum(v) / len(v)] * channels for k, v in both.items()}
    return found
