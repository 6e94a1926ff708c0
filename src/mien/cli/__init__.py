"""The ``mien`` command: each verb calls the function of its name. Data on stdout, progress on stderr."""

from mien.cli import (
    annotating,
    auditing,
    labelling,
    listing,
    mitigating,
    models,
    predicting,
    serving,
    stores,
    studying,
    training,
)
from mien.cli.app import app, main

__all__ = [
    "annotating",
    "app",
    "auditing",
    "labelling",
    "listing",
    "main",
    "mitigating",
    "models",
    "predicting",
    "serving",
    "stores",
    "studying",
    "training",
]
