"""One way to read the files that are made of sections: studies, searches, studies of mitigations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mien.config.mistakes import mistake_of
from mien.config.section import Section
from mien.errors import ConfigError, MienError
from mien.yaml_files import read_yaml

SectionT = TypeVar("SectionT", bound=Section)


def load_section(
    path: Path | str, root: type[SectionT], expected: str, below: Mapping[str, type[Section]] | None = None
) -> SectionT:
    """Read a YAML file as a section.

    Args:
        path: The file.
        root: What it is.
        expected: The same in words, for messages.
        below: Key at its top -> what lies below the names there, for the nearest name of a misspelt key.

    Raises:
        ConfigError: If it cannot be read; with every mistake and its key.
    """
    path = Path(path)
    content = read_yaml(path, expected)
    if not isinstance(content, dict):
        raise ConfigError(str(path), "holds no keys", expected)
    try:
        return root.model_validate(content)
    except ValidationError as error:
        found = [_mistake(path.name, each, root, below or {}) for each in error.errors()]
        raise ConfigError.joined(path.name, found) from None


def _mistake(
    where: str, error: Mapping[str, Any], root: type[Section], below: Mapping[str, type[Section]]
) -> MienError:
    """What pydantic found wrong, with its key."""
    place = ": ".join(filter(None, (where, ".".join(str(p) for p in error["loc"]))))
    section = below.get(str(error["loc"][0]), root) if len(error["loc"]) > 1 else root
    return mistake_of(error, place, list(section.model_fields))
