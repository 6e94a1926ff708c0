"""The canvas: a batch of images being painted, with the coordinates in which a face is drawn.

Units: the picture spans -1 to 1 both ways, x to the right, y down. ``hx, hy`` are head coordinates
(roll, shift and zoom undone); ``u, v`` lie on the front of the face (yaw and pitch undone), so that
a feature is drawn at one place whatever the pose.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mien.data.rendering.shapes import Field
from mien.pictures.pixels import LUMA

ParameterArrays = Mapping[str, NDArray[np.float32]]


class Canvas:
    """A batch of ``b`` unfinished pictures.

    Args:
        parameters: Name -> ``(b,)`` values or ``(b, 3)`` colours.
        size: Height and width in pixels.
        channels: 1 (grey) or 3 (colour).

    Attributes:
        image: ``(b, C, H, W)`` float32, 0 to 1.
        head: ``(b, H, W)`` coverage of the head, set when the head is drawn.
    """

    def __init__(self, parameters: ParameterArrays, size: int, channels: int) -> None:
        self._parameters = parameters
        self.size = size
        self.channels = channels
        n = len(next(iter(parameters.values())))
        self.image: Field = np.zeros((n, channels, size, size), dtype=np.float32)
        self.head: Field = np.zeros((n, size, size), dtype=np.float32)
        axis = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0 / size) - np.float32(1.0))[None]
        self.px, self.py = axis[:, None, :], axis[:, :, None]
        cos, sin = np.cos(self["roll"]), np.sin(self["roll"])
        dx, dy = self.px - self["shift_x"], self.py - self["shift_y"]
        self.hx: Field = (dx * cos + dy * sin) / self["zoom"]
        self.hy: Field = (dy * cos - dx * sin) / self["zoom"]
        # The pose moves what lies deep on the front of the head most, and the outline not at all.
        depth = np.float32(1.0) - np.square(self.hx / np.float32(0.86)) - np.square(self.hy / np.float32(1.1))
        depth = np.sqrt(np.maximum(depth, 0.0))
        self.u: Field = self.hx - self["yaw"] * depth
        self.v: Field = self.hy - self["pitch"] * depth
        self.au: Field = np.abs(self.u)
        self.side: Field = np.sign(self.u)
        self.pixel: Field = np.float32(2.0 / size) / self["zoom"]
        self.aa: Field = self.pixel * np.float32(1.25)

    def __getitem__(self, name: str) -> Field:
        """The parameter ``name`` as ``(b, 1, 1)``."""
        return self._parameters[name][:, None, None]

    def colour(self, name: str) -> Field:
        """The colour ``name`` as ``(b, C, 1, 1)``; grey pictures get its luma."""
        rgb = self._parameters[name]
        if self.channels == 1:
            rgb = (rgb @ LUMA)[:, None]
        return rgb[:, :, None, None]

    def constant(self, rgb: tuple[float, float, float]) -> Field:
        """One colour for all pictures, ``(1, C, 1, 1)``."""
        value = np.array([rgb], dtype=np.float32)
        if self.channels == 1:
            value = value @ LUMA[:, None]
        return value[:, :, None, None]

    def paint(self, mask: Field, colour: Field) -> None:
        """Lay ``colour`` over the pictures where ``mask`` (``(b, H, W)``, 0 to 1) covers them."""
        change = colour - self.image
        change *= mask[:, None]
        self.image += change

    def shade(self, factor: Field) -> None:
        """Multiply the pictures by ``factor``, ``(b, H, W)``."""
        self.image *= factor[:, None]
