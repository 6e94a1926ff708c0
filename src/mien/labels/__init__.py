"""Label schemes, one file a family: from votes to ``(n, K)`` targets, so that every loss has one signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.errors import LabelError
from mien.labels.scheme import (
    EDUCATION_CLASSES,
    FER2013_CLASSES,
    FERPLUS_CLASSES,
    FERPLUS_VOCABULARY,
    NOT_EXPRESSIONS,
    LabelScheme,
    Rule,
    Targets,
)
from mien.registry import Registry, nearest

__all__ = [
    "EDUCATION_CLASSES",
    "FER2013_CLASSES",
    "FERPLUS_CLASSES",
    "FERPLUS_VOCABULARY",
    "NOT_EXPRESSIONS",
    "SCHEMES",
    "LabelScheme",
    "Rule",
    "Targets",
    "label_scheme",
    "scheme_names",
]

SCHEMES = Registry("label scheme", "mien.labels", given=("vocabulary",))


def scheme_names() -> list[str]:
    """Names that :func:`label_scheme` knows."""
    return SCHEMES.names()


def label_scheme(name: str, vocabulary: Sequence[str], options: Mapping[str, Any] | None = None) -> LabelScheme:
    """Return the scheme called ``name``.

    Args:
        name: One of :func:`scheme_names`.
        vocabulary: The corpus's vote columns; ``majority`` and ``distribution`` take their classes
            from it (without ``unknown`` and ``nf``).
        options: Options of the scheme.

    Raises:
        LabelError: If there is no such scheme.
    """
    if name not in SCHEMES:
        raise LabelError("labels", f"unknown label scheme {name!r}", "", nearest(name, scheme_names()))
    scheme: LabelScheme = SCHEMES.get(name)(vocabulary, **(options or {}))
    return scheme
