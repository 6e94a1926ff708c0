"""What adapters and annotators of other people's tools share: importing them, and reading what they answer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mien.errors import DataError, MissingTool

LARGEST_SIDE = 4096  # pixels
# What options of adapters and annotators may be.
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
Threads = Annotated[int, Field(ge=0, le=1024)]
BatchSize = Annotated[int, Field(ge=1, le=65536)]


def import_tool(module: str, adapter: str, install: str) -> ModuleType:
    """Import a tool's module.

    Args:
        module: The module to import.
        adapter: The adapter that needs it, for the message.
        install: What to give to ``pip install``.

    Raises:
        MissingTool: If it, or something that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingTool(
            f"adapter {adapter!r}", f"cannot import {module!r} ({error})", "", f"Install it: pip install {install}"
        ) from error


def versioned(package: str) -> str:
    """``deepface 0.0.103``; the bare name where the version is not known."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def by_class(found: dict[str, Any], classes: Sequence[str], where: str) -> list[float]:
    """A tool's dictionary of scores in the order of ``classes``, brought to sum 1.

    Raises:
        DataError: If the tool's classes are others, as in a version that the adapter does not know.
    """
    if set(found) != set(classes):
        raise DataError(
            where,
            f"returned the classes {', '.join(found)}",
            ", ".join(classes),
            "The adapter was written for another version: see docs/adapters.md.",
        )
    scores = np.array([float(found[c]) for c in classes])
    return list(scores / scores.sum())


def largest(boxes: Sequence[Sequence[float]]) -> int:
    """Index of the box ``(x, y, width, height)`` of the largest area."""
    return int(np.argmax([float(b[2]) * float(b[3]) for b in boxes]))
