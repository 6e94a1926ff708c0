"""From a name and options to an annotator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.annotators import ANNOTATORS
from mien.annotators.base import Annotator


def load_annotator(name: str, options: Mapping[str, Any] | None = None) -> Annotator:
    """The annotator called ``name``.

    Raises:
        ConfigError: If there is none of that name, or it has no such option.
        MissingTool: If its tool is not installed.
        WeightsError: If its weights cannot be read.
    """
    given = dict(options or {})
    maker = ANNOTATORS.get(name, "annotator")
    ANNOTATORS.check_options(name, given)
    annotator: Annotator = maker(**given)
    return annotator
