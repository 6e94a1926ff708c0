"""The verb that lists what can be named."""

from __future__ import annotations

from typing import Any, Literal

from mien.cli.app import app
from mien.errors import MissingExtra
from mien.shown import tell

Kind = Literal[
    "datasets",
    "labels",
    "splits",
    "models",
    "losses",
    "mitigations",
    "metrics",
    "adapters",
    "annotators",
    "config",
    "all",
]


@app.command(name="list")
def list_(kind: Kind = "all", /) -> None:
    """List what can be named in a configuration; 'config' prints one with every key at its default.

    Parameters
    ----------
    kind
        Which catalogue.
    """
    for name, registry in _registries().items():
        if kind in (name, "all"):
            tell(f"{name}:")
            try:
                for entry in registry.names():
                    tell(f"  {entry:24s} {registry.summary(entry)}")
            except MissingExtra as error:
                tell(f"  ({error})")
    if kind == "config":
        from mien.config import explain_config, parse_config

        tell(*explain_config(parse_config({"data": {"store": "STORE"}})).splitlines())


def _registries() -> dict[str, Any]:
    from mien.adapters import ADAPTERS
    from mien.annotators import ANNOTATORS
    from mien.data.datasets import DATASETS
    from mien.data.splits import SPLITS
    from mien.labels import SCHEMES
    from mien.losses import LOSSES
    from mien.metrics import METRICS
    from mien.mitigation import MITIGATIONS
    from mien.models import MODELS

    return {
        "datasets": DATASETS,
        "labels": SCHEMES,
        "splits": SPLITS,
        "models": MODELS,
        "losses": LOSSES,
        "mitigations": MITIGATIONS,
        "metrics": METRICS,
        "adapters": ADAPTERS,
        "annotators": ANNOTATORS,
    }
