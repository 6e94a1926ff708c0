"""What every section of a configuration is: strict, frozen, its values read as the options of components are."""

from __future__ import annotations

import typing
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from mien.values import Unfit, read_value, shown


class Section(BaseModel):
    """A section; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """Hold values to the same rules as the options of components: ``yes`` is no number, ``"0.1"`` is one."""
        about = cls.model_fields[info.field_name or ""]
        section = _section_of(about.annotation)
        if section is not None and not (value is None and section is not about.annotation):
            if issubclass(section, Component) and isinstance(value, str):
                return {"name": value}
            if not isinstance(value, dict | BaseModel):
                known = ", ".join(list(section.model_fields)[:3])
                raise Unfit(shown(value), f"a section with keys such as {known}")
            return value
        return read_value(Annotated[(about.annotation, *about.metadata)] if about.metadata else about.annotation, value)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation names, by itself or where there may be none; not one that it has several of."""
    if typing.get_origin(annotation) in (tuple, list, dict):
        return None
    for kind in (annotation, *typing.get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


class Component(Section):
    """A component by name, with its options; a name alone stands for one without options."""

    name: str = Field(min_length=1)
    options: dict[str, Any] = {}
