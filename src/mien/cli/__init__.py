"""The ``mien`` command: each verb calls the function of its name. Data on stdout, progress on stderr."""

from mien.cli import auditing, listing, models, training
from mien.cli.app import app, main

__all__ = ["app", "auditing", "listing", "main", "models", "training"]
