"""Networks that a library publishes weights for, whole and as they are: for methods that look through one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.backbones import LibraryModel
from mien.models.blocks import ExpressionModel
from mien.models.pretrained import IMAGENET, SUFFIXES, classes_of, described, load_pretrained, published_file
from mien.models.shapes import without_memory
from mien.own_files import sha256_of

_CLASSES = 1000  # of ImageNet: the head of a published network, which nobody here looks at


@dataclass(frozen=True)
class LibraryNetwork:
    """A network by its name, with the weights that its library publishes or those of a file.

    Attributes:
        name: What Mien calls it.
        file: The file of its weights; None for those that are published.
    """

    name: str
    file: Path | None = None

    @classmethod
    def read(cls, value: str, key: str) -> LibraryNetwork | None:
        """From ``NAME`` or ``NAME=FILE``; None where it names no network, as the path of a folder.

        Raises:
            ConfigError: If its library publishes no weights, or there is no such file of weights.
        """
        name, equals, file = value.partition("=")
        if name not in MODELS.names():
            return None
        if not equals:
            network = without_memory(name, _CLASSES, 3, {}, lambda error: None)
            if not isinstance(network, LibraryModel) or network.published is None:
                raise ConfigError(key, f"no library publishes weights of {name!r}", f"{name}=FILE, or another network")
            return cls(name)
        if not Path(file).is_file() or Path(file).suffix not in SUFFIXES:
            raise ConfigError(key, f"{file!r} is no file of weights", f"{name}=FILE ({', '.join(SUFFIXES)})")
        return cls(name, Path(file))

    def load(self, channels: int) -> tuple[ExpressionModel, Mapping[str, Any]]:
        """The network for pictures of 1 or 3 channels, and what is known of it, as :func:`described` has it.

        Raises:
            WeightsError: If its weights are neither here nor can be downloaded, or are of another network.
        """
        module: ExpressionModel = MODELS.get(self.name)(_CLASSES, channels)
        path = self.file or published_file(module, self.name)
        load_pretrained(module, path)
        weights = IMAGENET if self.file is None else str(path)
        return module, described(module, path, weights, classes_of(module, path), channels)

    def told(self) -> dict[str, Any]:
        """What a card says of its weights: ``file``, ``terms`` and where the file is here ``sha256``."""
        network = without_memory(self.name, _CLASSES, 3, {}, lambda error: None)
        published = network.published if isinstance(network, LibraryModel) else None
        if self.file is not None:
            return {"file": self.file.name, "sha256": sha256_of(self.file), "terms": f"the terms of {self.file.name}"}
        return {} if published is None else {"file": published.address, "terms": published.terms}

    @property
    def key(self) -> str:
        """What tells its weights from others: their checksum, or that they are the published ones."""
        return self.name if self.file is None else f"{self.name}={sha256_of(self.file)}"
