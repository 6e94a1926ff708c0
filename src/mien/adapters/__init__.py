"""Models and tools of other people as predictions: one file a tool.

An adapter is called with its options and gives a :class:`mien.inference.FaceModel`; the tool's
own package is imported only then. :func:`mien.adapters.predictions.predictions_from` runs one on the
faces of a store.
"""

from mien.registry import Registry

ADAPTERS = Registry("adapter", "mien.adapters", given=("path", "target"))
