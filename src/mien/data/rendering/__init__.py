"""Parametric faces in numpy: identity, action units and capture in, pictures out.

``parameters`` says what a face is, ``geometry`` moves it, ``canvas``, ``shapes``, ``head``, ``features``
and ``capture`` paint it, ``draw`` puts them in order. Around the picture, ``annotators`` simulates who
labels it and ``bias`` says what is done to a group; :mod:`mien.data.datasets.synthetic` makes a corpus of it.
"""

from mien.data.rendering.draw import montage, render
from mien.data.rendering.parameters import (
    ACTION_UNITS,
    GROUPS,
    PROTOTYPES,
    SHARES,
    Draws,
    Values,
    capture_values,
    expression_values,
    identity_values,
)

__all__ = [
    "ACTION_UNITS",
    "GROUPS",
    "PROTOTYPES",
    "SHARES",
    "Draws",
    "Values",
    "capture_values",
    "expression_values",
    "identity_values",
    "montage",
    "render",
]
