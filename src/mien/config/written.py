"""A configuration as text: its key, its explanation, its YAML."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from mien.config.experiment import ExperimentConfig
from mien.config.section import Component, Section
from mien.own_files import sha256_of_content
from mien.yaml_files import dump_yaml

# Section of a component -> what 'mien list' calls its catalogue.
_LISTED = {
    "labels.train": "labels",
    "labels.evaluate": "labels",
    "split": "splits",
    "model": "models",
    "loss": "losses",
    "mitigation": "mitigations",
}
_KEY_FORMAT = 1  # goes up when a key stands for something else than before


def config_key(config: ExperimentConfig, fingerprint: str, weights: str = "") -> str:
    """What tells two experiments apart: all settings that change their results.

    Names, paths, threads and minutes are not part of it, and neither is what ``train.precision: auto`` comes to on a
    machine, which the record says. Some that change nothing are, such as what an audit is asked for. Settings left out
    are the same as their defaults, options of components are as they are written. The code is not part of it either: a
    record says which commit made it.

    Args:
        config: The experiment.
        fingerprint: That of its store, for whose path it stands.
        weights: Checksum of the weights that its body begins with, for whose path it stands.

    Returns:
        64 hexadecimal digits.
    """
    content = config.model_dump(mode="json")
    del content["name"], content["data"]["store"], content["train"]["threads"], content["train"]["max_minutes"]
    content["model"]["weights"] = weights
    del content["model"]["cache_gib"]  # what is kept is what would be computed anew
    for key in ("freeze", "unfreeze_every", "keep_head"):  # keys of runs of versions without them stay theirs
        if not content["model"][key]:
            del content["model"][key]
    for section, key in (("split", "fit"), ("mitigation", "soft")):  # as are those of versions that had not these
        if not content[section][key]:
            del content[section][key]
    content["labels"]["evaluate"] = config.labels.judged.model_dump(mode="json")
    content["audit"]["annotator_error"] = sorted(content["audit"]["annotator_error"])
    return sha256_of_content({"format": _KEY_FORMAT, "data": fingerprint, "config": content})


def explain_config(config: ExperimentConfig) -> str:
    """The configuration as YAML that says of each key what it is and what it may be."""
    return "\n".join(_explained(config)) + "\n"


def _explained(section: BaseModel, indent: str = "", called: str = "") -> Iterator[str]:
    for name, about in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _explained(value, indent + "  ", f"{called}.{name}".lstrip("."))
            continue
        choices = [str(c) for c in typing.get_args(about.annotation) if isinstance(c, str)]
        notes = [about.description or "", f"One of {', '.join(choices)}." if choices else ""]
        if isinstance(section, Component) and name in Component.model_fields:
            notes = [f"See: mien list {_LISTED[called]}{' NAME' if name == 'options' else ''}"]
        comment = " ".join(filter(None, notes))
        shown = value if isinstance(value, str) else json.dumps(value)
        yield f"{indent}{name}: {shown}" + (f"  # {comment}" if comment else "")


def dump_config(config: ExperimentConfig) -> str:
    """The resolved configuration as YAML."""
    return dump_yaml(config.model_dump(mode="json"))
