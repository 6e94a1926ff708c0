"""Networks that a library publishes weights for, whole and as they are: for methods that look through one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.backbones import Backbone, Published
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
            ConfigError: If no library publishes weights of it, it has no parts that follow each other, there is no
                such file of weights, or a folder is called so too.
        """
        name, equals, file = value.partition("=")
        if name not in MODELS.names():
            return None
        if not equals and Path(name).is_dir():
            raise ConfigError(key, f"{name!r} is a network and a folder", f"./{name} for the folder")
        if cls(name).published is None:
            raise ConfigError(
                key, f"no library publishes weights of {name!r}", "another network, or a folder of weights"
            )
        if not equals:
            return cls(name)
        if not Path(file).is_file() or Path(file).suffix not in SUFFIXES:
            raise ConfigError(key, f"{file!r} is no file of weights", f"{name}=FILE ({', '.join(SUFFIXES)})")
        return cls(name, Path(file))

    @property
    def published(self) -> Published | None:
        """What its library publishes; None also where its parts are no maps that follow each other."""
        network = without_memory(self.name, _CLASSES, 3, {}, lambda error: None)
        return network.published if isinstance(network, Backbone) else None

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
        if self.file is not None:
            return {"file": self.file.name, "sha256": sha256_of(self.file), "terms": f"the terms of {self.file.name}"}
        published = self.published
        return {} if published is None else {"file": published.address, "terms": published.terms}

    @property
    def key(self) -> str:
        """What tells its weights from others: the checksum of their file, or where they are published."""
        if self.file is not None:
            return f"{self.name}={sha256_of(self.file)}"
        published = self.published
        return f"{self.name} {'' if published is None else published.address}"
