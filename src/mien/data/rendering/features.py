"""The features that carry the expression: brows, eyes, nose, mouth, creases, beard."""

from __future__ import annotations

import numpy as np

from mien.data.rendering.canvas import Canvas
from mien.data.rendering.shapes import Field, between, bump, cover, ellipse, ramp, stroke

_f = np.float32


def draw_brows(c: Canvas) -> None:
    """Tapered brows whose inner and outer ends move on their own."""
    t = (c.au - (c["eye_x"] - c["brow_pull"]) - _f(0.015)) / (c["eye_w"] * _f(1.28))
    inner = np.square(np.clip((1 - t) * _f(0.5), 0.0, 1.0))
    outer = np.clip((t + 1) * _f(0.5), 0.0, 1.0)
    y = c["brow_y"] + c["brow_inner"] * inner * _f(1.2) + c["brow_outer"] * outer + c["asymmetry"] * c.side * _f(0.012)
    rise = t - _f(0.35)
    y = (
        y
        - c["brow_arch"] * (1 - np.square(rise) * np.where(rise < 0, _f(0.38), _f(1.0)))
        + _f(0.045) * np.square(np.maximum(t - _f(0.3), 0.0))
    )
    thick = c["brow_t"] * (1 - _f(0.62) * ramp(-0.1, 1.1, t))
    mask = between(c.v, y - thick, y + thick, c.aa * _f(1.5)) * ramp(-1.12, -0.88, t) * ramp(1.15, 0.85, t)
    hair = c.colour("hair_rgb") * _f(0.55) + c.colour("skin_rgb") * _f(0.10)
    c.paint(np.asarray(mask * c["brow_dark"], np.float32), hair)


def draw_eyes(c: Canvas) -> None:
    """Sclera, iris, pupil and glint between two lids, the lids' lines and the crease above."""
    ex = (c.au - c["eye_x"]) / c["eye_w"]
    ey = c.v - c["eye_y"] + c["eye_tilt"] * ex
    arc = np.maximum(1 - np.square(ex), 0.0)
    within = ramp(1.06, 0.98, np.abs(ex))
    top = -c["lid_up"] * arc ** _f(0.8) + c["lid_skew"] * ex
    low = c["lid_low"] * arc
    low = np.maximum(low, top)
    # Soft shade of the socket and of the lid above the eye.
    lid = bump(ex, ey - top + _f(0.035), 1.25, 0.075)
    c.shade(1 - _f(0.20) * lid)
    eye = between(ey, top, low, c.aa) * within
    white = c.constant((0.90, 0.88, 0.86)) * (1 - _f(0.18) * np.square(np.clip(ex, -1, 1)))[:, None]
    c.paint(eye, white)
    ix, iy = c.au - c["eye_x"] - c["gaze_x"] * c.side, c.v - c["eye_y"] - c["gaze_y"] + _f(0.010)
    radius = c["iris_r"]
    c.paint(cover(ellipse(ix, iy, radius, radius), c.aa) * eye, c.colour("iris_rgb"))
    rim = stroke(ellipse(ix, iy, radius, radius) + _f(0.006), 0.016, c.pixel)
    dark = np.maximum(cover(ellipse(ix, iy, radius * _f(0.48), radius * _f(0.48)), c.aa), _f(0.6) * rim)
    # The upper lid throws a shadow on the eyeball.
    shadow = ramp(0.045, 0.0, ey - top) * _f(0.45)
    c.paint(np.maximum(dark, shadow) * eye, c.constant((0.05, 0.04, 0.04)))
    glint = bump(c.u - c.side * c["eye_x"] - _f(0.022), iy + _f(0.022), 0.026, 0.026)
    c.paint(glint * eye, c.constant((1.0, 1.0, 1.0)))
    _draw_lids(c, ex, ey, top, low, within)


def _draw_lids(c: Canvas, ex: Field, ey: Field, top: Field, low: Field, within: Field) -> None:
    reach = ramp(1.14, 0.98, np.abs(ex))
    lash = stroke(ey - top + _f(0.004), _f(0.017) + _f(0.013) * c["lash"], c.pixel) * reach
    lash *= _f(0.72) + _f(0.22) * np.clip(ex, -1, 1)
    c.paint(np.minimum(lash * _f(1.2), 1.0), c.constant((0.07, 0.05, 0.05)))
    under = stroke(ey - low - _f(0.006), 0.013, c.pixel) * within
    c.shade(1 - _f(0.42) * under)
    fold = stroke(ey - top + _f(0.040) + _f(0.02) * c["au5"], 0.016, c.pixel) * ramp(1.2, 0.7, np.abs(ex))
    c.shade(1 - _f(0.30) * fold * (1 - _f(0.4) * np.clip(c["au4"], 0, 1)))


def draw_nose(c: Canvas) -> None:
    """Nostrils, wings and the wrinkles of a wrinkled nose; the relief does the rest."""
    u = c.u - c["yaw"] * _f(0.10)
    au = np.abs(u)
    y = c.v - c["nose_at"]
    nostril = bump(au - c["nostril"] * _f(0.50), y - _f(0.026), c["nostril"] * _f(0.42), 0.026)
    c.shade(1 - _f(0.72) * np.minimum(nostril * _f(1.5), 1.0))
    wing = stroke(ellipse(au - c["nostril"] * _f(0.62), y, c["nostril"] * _f(0.48), 0.055), 0.016, c.pixel)
    c.shade(1 - _f(0.34) * wing * ramp(0.55, 0.9, au / c["nostril"]) * ramp(0.07, 0.03, np.abs(y)))
    base = stroke(y - _f(0.040) + _f(0.16) * au, 0.018, c.pixel) * ramp(1.0, 0.6, au / c["nostril"])
    c.shade(1 - _f(0.25) * base)
    across = np.sin((c.v - c["eye_y"] + _f(0.75) * au) * _f(58))
    wrinkle = np.maximum(across, 0.0) * bump(u, c.v - c["eye_y"] - _f(0.03), 0.17, 0.17)
    c.shade(1 - _f(0.60) * np.asarray(wrinkle, np.float32) * c["crease_nose"])


def draw_mouth(c: Canvas) -> None:
    """Lips, the line between them, or the open mouth with teeth and tongue."""
    half = c["mouth_half"]
    mx = (c.u - c["yaw"] * _f(0.05)) / half
    ax = np.minimum(np.abs(mx), _f(1.2))
    y = c.v - c["mouth_at"]
    square = np.square(ax)
    power = _f(2.0) + _f(2.2) * c["open_square"]
    arc = np.maximum(1 - ax**power, 0.0)
    lean = (_f(0.012) + _f(0.035) * c["au10"]) * c["asymmetry"] * mx
    middle = c["corner"] * (ax ** _f(1.8) - _f(0.30)) - c["corner_flat"] * (1 - square) + lean
    top, low = middle - c["open_up"] * arc, middle + c["open_low"] * arc
    rounded = np.maximum(1 - square, 0.0)
    bow = 1 - _f(0.30) * np.square(np.maximum(1 - _f(5.0) * ax, 0.0)) - _f(0.15) * ax
    lip_top = top - c["lip_upper"] * rounded ** _f(0.75) * bow
    lip_low = low + c["lip_lower"] * rounded ** _f(0.7)
    within = ramp(1.08, 0.97, ax)
    red = c.colour("lip_rgb")
    strength = np.minimum(c["lip_red"] + _f(0.25), 1.0)
    upper = between(y, lip_top, top, c.aa) * within * strength
    lower = between(y, low, lip_low, c.aa) * within * strength
    c.paint(upper, red * _f(0.84))
    c.paint(lower, red * _f(1.06))
    shine = bump(mx, y - low - c["lip_lower"] * _f(0.45), 0.5, 0.022) * (lower > 0)
    c.shade(1 + _f(0.16) * shine)
    _draw_mouth_inside(c, mx, y, top, low, within)
    edge = stroke(y - lip_low - _f(0.012), 0.024, c.pixel) * ramp(0.85, 0.4, ax)
    c.shade(1 - _f(0.26) * edge)


def _draw_mouth_inside(c: Canvas, mx: Field, y: Field, top: Field, low: Field, within: Field) -> None:
    gap = low - top
    inside = between(y, top, low, c.aa) * within
    c.paint(inside, c.constant((0.16, 0.05, 0.05)))
    tongue = bump(mx, y - low + gap * _f(0.05), 0.75, np.maximum(gap * _f(0.45), _f(0.02)))
    c.paint(inside * tongue * _f(0.75), c.constant((0.62, 0.27, 0.26)))
    ivory = c.constant((0.95, 0.93, 0.88)) * (1 - _f(0.30) * np.square(mx) ** 2)[:, None]
    height = np.minimum(c["teeth_upper"] * gap, _f(0.085))
    c.paint(between(y, top, top + height, c.aa) * inside * _f(0.96), ivory)
    lower_height = np.minimum(c["teeth_lower"] * gap, _f(0.055))
    c.paint(between(y, low - lower_height, low, c.aa) * inside * _f(0.9), ivory * _f(0.9))
    line = stroke(y - (top + low) * _f(0.5), _f(0.018), c.pixel) * within
    closed = ramp(0.045, 0.010, gap)
    c.paint(line * closed * _f(0.85), c.constant((0.20, 0.08, 0.08)))
    corner = bump(np.abs(mx) - 1, y - top, 0.14, 0.03)
    c.shade(1 - _f(0.45) * corner)


def draw_creases(c: Canvas) -> None:
    """Wrinkles and folds of age and of the moving face."""
    dark = _upper_creases(c)
    dark += _lower_creases(c)
    np.clip(dark, 0.0, 0.75, out=dark)
    c.shade(1 - dark * c.head)


def _upper_creases(c: Canvas) -> Field:
    w = _f(0.022)
    lines = np.zeros_like(c.u)
    raised = c["brow_y"] - c.v
    for gap, reach in ((0.115, 0.42), (0.19, 0.36), (0.265, 0.28)):
        line = raised - _f(gap) - _f(0.018) * np.cos(c.u * 9) - c["brow_inner"] * _f(0.6) * bump(c.u, c.u * 0, 0.3, 1.0)
        lines += stroke(line, w, c.pixel) * ramp(reach, reach - 0.14, c.au)
    dark = lines * c["crease_forehead"] * _f(0.40)
    between_brows = stroke(c.au - _f(0.048) + _f(0.10) * (c.v - c["brow_y"]), 0.020, c.pixel)
    between_brows *= bump(c.u, c.v - c["brow_y"] - c["brow_inner"] - _f(0.01), 0.3, 0.12)
    dark += between_brows * c["crease_glabella"] * _f(0.85)
    ex, ey = c.au - c["eye_x"] - c["eye_w"] * _f(1.1), c.v - c["eye_y"]
    fan = np.maximum(np.sin(np.arctan2(ey, ex + _f(0.06)) * _f(9)), 0.0) * bump(
        ex - _f(0.07), ey - _f(0.01), 0.09, 0.11
    )
    dark += np.asarray(fan, np.float32) * c["crease_crow"] * _f(0.5)
    bx = (c.au - c["eye_x"] + _f(0.01)) / _f(0.17)
    bag = stroke(ey - c["lid_low"] - _f(0.055) + _f(0.045) * np.square(bx), 0.024, c.pixel) * ramp(1.0, 0.6, np.abs(bx))
    dark += bag * c["crease_bag"] * _f(0.42)
    return np.asarray(dark, np.float32)


def _lower_creases(c: Canvas) -> Field:
    y0, y1 = c["nose_at"] - _f(0.03), c["mouth_at"] + c["corner"] * _f(0.7) + _f(0.05)
    t = (c.v - y0) / (y1 - y0)
    tc = np.clip(t, 0.0, 1.0)
    x = c["nostril"] + _f(0.02) + (c["mouth_half"] + _f(0.045) - c["nostril"] - _f(0.02)) * tc
    x = x + c["fold_bow"] * _f(4.0) * tc * (1 - tc)
    fold = stroke(c.au - x, 0.034, c.pixel) * ramp(-0.12, 0.12, t) * ramp(1.12, 0.75, t)
    dark = fold * c["crease_fold"] * _f(0.42)
    cx, cy = c.au - c["mouth_half"] - _f(0.02), c.v - c["mouth_at"] - c["corner"]
    marionette = stroke(cx - _f(0.25) * cy, 0.024, c.pixel) * bump(cx, cy - _f(0.07), 0.3, 0.10)
    dark += marionette * c["crease_corner"] * _f(0.55)
    below = c.v - c["mouth_at"] - c["open_low"] - c["lip_lower"] - _f(0.055)
    arch = stroke(below - _f(0.9) * np.square(c.u), 0.032, c.pixel) * ramp(0.20, 0.08, c.au)
    dark += arch * c["crease_chin"] * _f(0.45)
    return np.asarray(dark, np.float32)


def draw_beard(c: Canvas) -> None:
    """Stubble or beard along the jaw and a moustache, under the lips."""
    jaw = ramp(0.10, 0.50, c.v + _f(0.55) * c.au - _f(0.10))
    ring = 1 - bump(c.u, c.v - c["mouth_at"] - _f(0.02), c["mouth_half"] * _f(1.55), 0.17) * _f(1.1)
    cheeks = ramp(-0.05, 0.18, c.v - _f(0.62) + c.au * _f(0.9))
    hairs = _f(0.90) + _f(0.10) * np.sin(c.u * 70 + 3 * np.sin(c.v * 31 + c["strand_phase"]))
    beard = jaw * np.clip(ring, 0.0, 1.0) * cheeks * c["beard"]
    lip = c["mouth_at"] + c["corner"] * _f(-0.25) - c["open_up"] - c["lip_upper"] - _f(0.028)
    stache = bump(c.u, c.v - lip - _f(0.35) * np.square(c.u), c["mouth_half"] * _f(1.15), 0.052)
    mask = np.maximum(beard, np.minimum(stache * _f(1.4), 1.0) * c["moustache"]) * hairs * c.head
    c.paint(np.asarray(mask, np.float32), c.colour("hair_rgb") * _f(0.8))
