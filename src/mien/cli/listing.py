"""The verb that lists what can be named, and what each of it can be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from mien.cli.app import app
from mien.errors import UsageError
from mien.shown import tell

if TYPE_CHECKING:
    from mien.registry import Registry

Kind = Literal[
    "datasets",
    "labels",
    "splits",
    "models",
    "losses",
    "mitigations",
    "postprocessors",
    "metrics",
    "adapters",
    "annotators",
    "detectors",
    "config",
    "all",
]


@app.command(name="list")
def list_(kind: Kind = "all", name: str | None = None, /) -> None:
    """List what can be named in a configuration; 'config' prints one with every key at its default.

    Parameters
    ----------
    kind
        Which catalogue.
    name
        One of its entries: what it is, where it comes from, and every option with what it may be, its
        default and its meaning.
    """
    catalogues = _catalogues()
    if name is not None:
        if kind not in catalogues:
            raise UsageError(f"mien list {kind}", f"has nothing called {name!r}", f"one of {', '.join(catalogues)}")
        _tell_entry(catalogues[kind], name)
        return
    for title, registry in catalogues.items():
        if kind in (title, "all"):
            _tell_names(title, registry)
    if kind == "config":
        from mien.config import explain_config, parse_config

        tell(*explain_config(parse_config({"data": {"store": "STORE"}})).splitlines())


def _tell_names(title: str, registry: Registry) -> None:
    lines = {name: registry.summary(name) for name in registry}
    lines |= {n: f"needs the package {f.package!r}. {f.error(n).fix}" for n, f in registry.hidden().items()}
    unread = {f: m.package for f, m in registry.missing.items() if m.registers and not m.names}
    tell(f"{title}:", *(f"  {name:24s} {line}" for name, line in sorted(lines.items())))
    tell(*(f"  ({file}.py needs the package {package!r})" for file, package in unread.items()))


def _tell_entry(registry: Registry, name: str) -> None:
    from mien.docstrings import prose
    from mien.registry import options_of

    entry = registry.get(name)
    options = options_of(entry, registry.given)
    tell(name, *(f"  {line}".rstrip() for line in prose(entry).split("\n")), "")
    tell("options:" if options else "It takes no options.")
    for option in options:
        default = "must be given" if option.required else f"by default {json.dumps(option.default, default=str)}"
        tell(f"  {option.name}: {option.wants}; {default}", *([f"      {option.about}"] if option.about else []))
    if registry.kind == "model" and (parts := _parts(registry, name)):
        tell("", f"parts, for model.freeze: {', '.join(parts)}")


def _parts(models: Registry, name: str) -> list[str]:
    """The parts of a network with its default options, or with those of its smallest variant where some are needed."""
    from mien.models.shapes import without_memory
    from mien.registry import options_of

    needed = any(option.required for option in options_of(models.get(name), models.given))
    model = without_memory(name, 7, 1, models.tiny(name) if needed else {}, lambda error: None)
    return [] if model is None else list(model.parts())


def _catalogues() -> dict[str, Registry]:
    from mien.adapters import ADAPTERS
    from mien.annotators import ANNOTATORS
    from mien.data.datasets import DATASETS
    from mien.data.splits import SPLITS
    from mien.faces import DETECTORS
    from mien.labels import SCHEMES
    from mien.losses import LOSSES
    from mien.metrics import METRICS
    from mien.mitigation import MITIGATIONS
    from mien.models import MODELS
    from mien.postprocessing import POSTPROCESSORS

    return {
        "datasets": DATASETS,
        "labels": SCHEMES,
        "splits": SPLITS,
        "models": MODELS,
        "losses": LOSSES,
        "mitigations": MITIGATIONS,
        "postprocessors": POSTPROCESSORS,
        "metrics": METRICS,
        "adapters": ADAPTERS,
        "annotators": ANNOTATORS,
        "detectors": DETECTORS,
    }
