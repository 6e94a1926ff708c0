"""What stands between the face and the picture: glasses, occlusion, exposure, blur, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from mien.data.rendering.canvas import Canvas
from mien.data.rendering.shapes import cover, ramp, rounded_box, stroke

_f = np.float32


def draw_glasses(c: Canvas) -> None:
    """Frames with a bridge, temples and a faint glare."""
    on = c["glasses"]
    if not on.any():
        return
    ex, ey = c.au - c["eye_x"] - _f(0.008), c.v - c["eye_y"] - _f(0.020)
    half_w, half_h = (
        np.minimum(c["eye_w"] * _f(1.38), c["eye_x"] - _f(0.045)),
        c["eye_w"] * (_f(0.72) + _f(0.26) * c["frame_round"]),
    )
    d = rounded_box(ex, ey, half_w, half_h, half_h * (_f(0.35) + _f(0.62) * c["frame_round"]))
    frame = np.minimum(stroke(d, c["frame_t"] * _f(1.25), c.pixel) * _f(1.5), 1.0)
    bridge = stroke(ey + _f(0.03) - _f(0.5) * np.square(c.u), c["frame_t"], c.pixel)
    bridge *= ramp(0.0, -0.02, np.asarray(c.au - c["eye_x"] + half_w, np.float32))
    temple = stroke(ey + _f(0.035), c["frame_t"], c.pixel) * ramp(0.0, 0.02, d) * ramp(0.0, 0.02, ex) * c.head
    mask = np.maximum(np.maximum(frame, bridge * _f(1.2)), temple)
    glare = cover(d, c.aa) * np.maximum(np.sin((c.u + c.v) * _f(11)), 0.0) * _f(0.10)
    c.paint(np.asarray(glare * on, np.float32), c.constant((1.0, 1.0, 1.0)))
    c.paint(np.minimum(mask, 1.0) * on, c.colour("frame_rgb"))


def draw_occlusion(c: Canvas) -> None:
    """A dark bar, a hand or a scarf over a part of the face."""
    kind = c["occlusion"]
    if not kind.any():
        return
    at, side = c["occlusion_at"], c["occlusion_side"]
    bar_y = c.hy - (_f(-0.15) + _f(0.65) * at)
    bar = cover(np.abs(bar_y + _f(0.2) * side * c.hx) - _f(0.11), c.aa) * (kind == 1)
    c.paint(bar, c.constant((0.07, 0.07, 0.08)))
    _draw_hand(c)
    edge = _f(0.16) + _f(0.16) * at + _f(0.10) * np.square(c.u)
    folds = _f(0.86) + _f(0.10) * np.sin(c.v * 15 + side * c.u * 7 + at * 6) - _f(0.35) * np.square(c.hx)
    scarf = np.maximum(edge - c.v, np.abs(c.hx) - _f(0.62) - _f(0.25) * np.maximum(c.hy - _f(0.45), 0.0))
    c.paint(cover(scarf, c.aa) * (kind == 3), c.colour("cloth_rgb") * folds[:, None])


def _draw_hand(c: Canvas) -> None:
    """Four fingers and the back of a hand, laid over the mouth and one cheek from below."""
    at, side = c["occlusion_at"], c["occlusion_side"]
    x, y = c.hx - side * (_f(0.12) + _f(0.22) * at), c.hy - _f(0.52)
    x = (x + _f(0.35) * y * side) * side
    mask = cover(rounded_box(x, y - _f(0.42), 0.27, 0.30, 0.12), c.aa)
    tone = np.full_like(x, 0.80)
    for k, length in enumerate((0.27, 0.33, 0.35, 0.30)):
        across = x - _f(0.132 * (k - 1.5))
        finger = cover(rounded_box(across, y - _f(0.06), 0.064, length, 0.062), c.aa)
        round_tone = _f(1.0) - _f(0.42) * np.square(across / _f(0.066))
        tone += finger * (round_tone - tone)
        mask = np.maximum(mask, finger)
    c.paint(mask * (c["occlusion"] == 2), c.colour("skin_rgb") * tone[:, None])


def expose(c: Canvas, contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Exposure, vignette and contrast: ``(b, C, H, W)``, 0 to 1.

    Args:
        c: The finished drawing.
        contrast: ``(b,)`` factor on the distance from the picture's own mean.
    """
    corner = np.square(c.px) + np.square(c.py)
    image = c.image * (c["exposure"] * (1 - _f(0.07) * corner))[:, None]
    np.clip(image, 0.0, 1.0, out=image)
    # Only the pictures concerned: rounding must not touch the others.
    for i in np.flatnonzero(contrast != 1):
        mean = image[i].mean(axis=(1, 2), keepdims=True)
        image[i] = mean + (image[i] - mean) * contrast[i]
    return np.asarray(image, np.float32)


def blur(image: NDArray[np.float32], amount: NDArray[np.float32]) -> None:
    """Blur in place; ``amount`` is a standard deviation in hundredths of the picture's width."""
    sigma = amount * _f(image.shape[-1] / 100)
    for i in np.flatnonzero(sigma > 0.25):
        for channel in image[i]:
            ndimage.gaussian_filter(channel, float(sigma[i]), output=channel, mode="nearest", truncate=2.5)


def sense(image: NDArray[np.float32], noise: NDArray[np.float32], grain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Add sensor noise and quantise.

    Args:
        image: ``(b, C, H, W)``, 0 to 1.
        noise: ``(b,)`` standard deviation in grey levels.
        grain: ``(b, C, H, W)`` standard normal values.

    Returns:
        ``(b, H, W)`` for one channel, ``(b, H, W, 3)`` for three, uint8.
    """
    out = image * _f(255)
    out += grain * noise[:, None, None, None]
    out += _f(0.5)
    np.clip(out, 0.0, 255.0, out=out)
    pixels = out.astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
