"""From a name and options to an annotator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mien.annotators import ANNOTATORS
from mien.annotators.base import Annotator
from mien.errors import ConfigError


def load_annotator(name: str, options: Mapping[str, Any] | None = None) -> Annotator:
    """The annotator called ``name``.

    Raises:
        ConfigError: If there is none of that name, or it has no such option.
        MissingTool: If its tool is not installed.
        WeightsError: If its weights cannot be read.
    """
    given = dict(options or {})
    maker = ANNOTATORS.get(name, "annotator")
    given = ANNOTATORS.check_options(name, given)
    for parameter in inspect.signature(maker).parameters.values():
        if parameter.default is parameter.empty and parameter.name not in given:
            raise ConfigError(
                f"annotator {name!r}", f"needs {parameter.name!r}", "", f"Pass --option {parameter.name}=..."
            )
    annotator: Annotator = maker(**given)
    return annotator
