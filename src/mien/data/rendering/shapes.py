"""Analytic shapes over a coordinate grid: every function broadcasts ``(b, 1, 1)`` against ``(b, H, W)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Number = float | np.floating[Any] | Field


def cover(distance: Field, softness: Field) -> Field:
    """Anti-aliased coverage, 0 to 1, of a shape given its signed distance (negative inside).

    Args:
        distance: Signed distance in face units.
        softness: Width of the edge in face units, about one pixel.
    """
    out = np.divide(distance, -softness)
    out += np.float32(0.5)
    return np.asarray(np.clip(out, 0.0, 1.0, out=out))


def between(value: Field, low: Field, high: Field, softness: Field) -> Field:
    """Coverage of the band ``low < value < high``; thin bands fade out instead of breaking up."""
    top = value - low
    top /= softness
    top += np.float32(0.5)
    np.clip(top, 0.0, 1.0, out=top)
    bottom = high - value
    bottom /= softness
    bottom += np.float32(0.5)
    np.clip(bottom, 0.0, 1.0, out=bottom)
    top += bottom
    top -= np.float32(1.0)
    return np.asarray(np.maximum(top, 0.0, out=top))


def ramp(low: Number, high: Number, value: Field) -> Field:
    """Smoothstep: 0 below ``low``, 1 above ``high`` (also with ``low > high``)."""
    t = (value - np.float32(low)) / np.float32(high - low) if isinstance(low, float) else (value - low) / (high - low)
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (np.float32(3.0) - np.float32(2.0) * t))


def bump(dx: Field, dy: Field, rx: Number, ry: Number) -> Field:
    """A smooth hill of height 1 with compact support: an ellipse of radii ``rx``, ``ry``."""
    q = np.square(dx / _f(rx))
    q = q + np.square(dy / _f(ry))
    np.subtract(np.float32(1.0), q, out=q)
    np.maximum(q, 0.0, out=q)
    return np.asarray(np.multiply(q, q, out=q))


def ellipse(dx: Field, dy: Field, rx: Number, ry: Number) -> Field:
    """Approximate signed distance to an ellipse, in face units (exact on the outline)."""
    rx, ry = _f(rx), _f(ry)
    q = np.sqrt(np.square(dx / rx) + np.square(dy / ry))
    q -= np.float32(1.0)
    q *= np.minimum(rx, ry)
    return np.asarray(q)


def stroke(offset: Field, width: Number, pixel: Field) -> Field:
    """Profile of a drawn line at distance ``offset`` from its middle.

    A line thinner than a pixel is drawn one pixel wide and fainter, so that its darkness does not
    depend on where it falls between the samples.
    """
    width = _f(width)
    drawn = np.maximum(width, pixel)
    q = np.square(offset / drawn)
    np.subtract(np.float32(1.0), q, out=q)
    np.maximum(q, 0.0, out=q)
    q *= width / drawn
    return np.asarray(q)


def rounded_box(dx: Field, dy: Field, rx: Number, ry: Number, corner: Number) -> Field:
    """Signed distance to a rectangle of half sides ``rx``, ``ry`` with rounded corners."""
    corner = _f(corner)
    qx = np.abs(dx) - (_f(rx) - corner)
    qy = np.abs(dy) - (_f(ry) - corner)
    outside = np.sqrt(np.square(np.maximum(qx, 0.0)) + np.square(np.maximum(qy, 0.0)))
    outside += np.minimum(np.maximum(qx, qy), 0.0)
    outside -= corner
    return np.asarray(outside)


def _f(value: Number) -> Field:
    return np.asarray(value, dtype=np.float32)
