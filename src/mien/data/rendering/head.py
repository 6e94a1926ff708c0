"""Everything around the features: background, hair, neck, ears, the head and its light."""

from __future__ import annotations

import numpy as np

from mien.data.rendering.canvas import Canvas
from mien.data.rendering.parameters import HAIR_STYLES
from mien.data.rendering.shapes import Field, bump, cover, ellipse, ramp

_Y0 = np.float32(-0.05)


def _is(c: Canvas, *names: str) -> Field:
    style = c["style"]
    return np.asarray(sum((style == HAIR_STYLES.index(n)).astype(np.float32) for n in names), dtype=np.float32)


def draw_background(c: Canvas) -> None:
    """A wall with a gradient and a soft patch of light or furniture."""
    c.image[:] = c.colour("background_rgb")
    tilt = c.px * c["background_tilt"] * 0.18 - c.py * np.float32(0.10)
    patch = bump(c.px - c["background_x"], c.py + np.float32(0.3), 0.8, 1.2)
    c.shade(np.asarray(1 + tilt + (c["background_tilt"] * np.float32(0.22)) * patch, dtype=np.float32))


def hair_strands(c: Canvas) -> Field:
    """Brightness of hair along its strands, about 1."""
    f, phase = c["strand_frequency"], c["strand_phase"]
    curly = _is(c, "curly")
    bend = c.hx * (f + np.float32(5) * c.hy) + np.float32(0.8) * np.sin(c.hy * 6 + phase)
    straight = np.sin(bend + phase)
    straight += np.sin(bend * np.float32(2.1) + np.float32(2) * phase) * np.float32(0.7)
    f = f * np.float32(0.9)
    rings = np.sin(f * c.hx + 2 * np.sin(f * np.float32(0.8) * c.hy + phase))
    rings = rings * np.sin(f * c.hy + 2 * np.sin(f * np.float32(0.7) * c.hx - phase)) * np.float32(1.5)
    texture = straight + (rings - straight) * curly
    shine = bump(c.hx - c["light_x"] * np.float32(0.5), c.hy + np.float32(0.68), 0.6, 0.24) * (1 - curly)
    return np.asarray(1 + np.float32(0.11) * texture + np.float32(0.40) * shine - np.float32(0.18) * c.hy, np.float32)


def hair_outline(c: Canvas) -> Field:
    """Signed distance to the silhouette of the hair: a cap on the skull, for long hair with what falls from it."""
    volume = c["hair_volume"]
    curly, bald, bob, long = _is(c, "curly"), _is(c, "bald"), _is(c, "bob"), _is(c, "long")
    thick = np.float32(0.05) * volume + np.float32(0.10) * curly * volume - np.float32(0.03) * bald
    thick = thick + np.float32(0.03) * (bob + long)
    ragged = np.sin(c.hx * 23 + c["strand_phase"]) * np.sin(c.hy * 21 - c["strand_phase"])
    cap = ellipse(c.hx, c.hy + np.float32(0.14), c["head_w"] + thick, c["head_up"] - np.float32(0.09) + thick)
    cap = cap + (np.float32(0.006) + np.float32(0.014) * curly) * ragged
    reach = ramp(-0.14, 0.5, c.hy)
    width = c["head_w"] + thick + np.float32(0.06) * volume * reach * (1 + long)
    width = width + np.float32(0.014) * np.sin(c.hy * 10 + c["strand_phase"]) * reach
    length = np.float32(0.66) * bob + np.float32(1.6) * long
    fall = np.maximum(np.abs(c.hx) - width, np.float32(-0.14) - c.hy)
    # The ends of a bob curl in towards the neck.
    fall = np.maximum(fall, c.hy - length + np.float32(0.3) * np.square(c.hx))
    return np.asarray(np.where(bob + long > 0, np.minimum(cap, fall), cap), np.float32)


def draw_hair_behind(c: Canvas, strands: Field, outline: Field) -> None:
    """Hair that falls behind the neck, and a bun."""
    mask = cover(outline, c.aa) * np.minimum(_is(c, "bob", "long"), 1)
    bun = ellipse(c.hx - np.float32(0.1) * c["part"], c.hy + np.float32(0.84), 0.25, 0.2)
    mask = np.maximum(mask, cover(bun, c.aa) * _is(c, "tied"))
    inside = ramp(0.62, 0.42, np.abs(c.hx)) * ramp(0.35, 0.6, c.hy)
    dark = strands * (np.float32(0.88) - np.float32(0.35) * inside)
    c.paint(mask, c.colour("hair_rgb") * dark[:, None])


def draw_neck(c: Canvas) -> None:
    """Neck in the shadow of the chin, collar and shoulders."""
    lean = c["yaw"] * np.float32(0.4)
    x = np.abs(c.hx - lean)
    y = c.hy
    neck = cover(x - (c["neck_w"] + np.float32(0.9) * np.square(np.maximum(y - np.float32(0.72), 0.0))), c.aa)
    neck *= ramp(0.2, 0.3, y)
    shadow = np.float32(0.50) + np.float32(0.25) * ramp(0.75, 1.1, y) - np.float32(0.12) * ramp(0.15, 0.42, x)
    c.paint(neck, c.colour("skin_rgb") * shadow[:, None])
    collar = np.float32(0.99) - np.float32(0.20) * ramp(0.10, 0.42, x) + np.float32(0.22) * np.square(x)
    cloth = cover(np.asarray(collar - y, np.float32), c.aa * 1.5)
    fold = np.float32(1.0) - np.float32(0.25) * np.square(x) + np.float32(0.06) * np.sin(x * 17 + y * 6)
    c.paint(cloth, c.colour("cloth_rgb") * np.asarray(fold, np.float32)[:, None])


def head_distance(c: Canvas) -> Field:
    """Signed distance to the outline of the face, skull to chin; negative inside."""
    low = c["head_low"] + c["chin_drop"]
    t = c.hy - _Y0
    yn = np.where(t < 0, t / c["head_up"], t / low).astype(np.float32)
    below = np.maximum(yn, 0.0)
    x = c.hx - c["yaw"] * np.float32(0.55) * np.square(below)
    width = c["head_w"] * (1 - c["jaw_taper"] * np.square(below))
    q = np.square(x / width)
    q += np.abs(yn) ** (np.float32(2.1) + np.float32(0.9) * c["jaw_square"] * (below > 0))
    return np.asarray((np.sqrt(q) - 1) * np.float32(0.62), dtype=np.float32)


def draw_ears(c: Canvas) -> None:
    """Ears at the outline; the one that the head turns away from the viewer slips behind it."""
    side = np.sign(c.hx)
    hidden = np.maximum(side * c["yaw"], 0.0) * np.float32(0.9)
    ex = np.abs(c.hx) - (c["head_w"] + np.float32(0.015) - hidden)
    ey = c.hy - np.float32(0.02)
    covered = 1 - _is(c, "long", "bob") * np.float32(0.999)
    mask = cover(ellipse(ex, ey, c["ear"] * np.float32(0.78), c["ear"] * np.float32(1.5)), c.aa) * covered
    inner = bump(ex - np.float32(0.01), ey, c["ear"] * np.float32(0.55), c["ear"] * np.float32(1.2))
    tone = np.float32(0.86) - np.float32(0.38) * inner
    c.paint(mask, c.colour("skin_rgb") * tone[:, None])


def draw_head(c: Canvas) -> None:
    """Skin of the face: base colour, flushed cheeks and nose, freckles."""
    c.head = cover(head_distance(c), c.aa)
    c.paint(c.head, c.colour("skin_rgb"))
    flush = bump(c.au - np.float32(0.30), c.v - np.float32(0.20), 0.24, 0.2) * np.float32(0.30)
    flush += bump(c.u, c.v - c["nose_at"], 0.16, 0.14) * np.float32(0.22)
    warm = c.colour("skin_rgb") * c.constant((1.0, 0.80, 0.76))
    c.paint(flush * c.head, warm)
    spots = np.sin(c.u * 67 + c["strand_phase"]) * np.sin(c.v * 71 + c["strand_phase"] * 3)
    spots = ramp(0.55, 0.9, np.asarray(spots, np.float32)) * bump(
        c.au - np.float32(0.2), c.v - np.float32(0.14), 0.3, 0.2
    )
    c.shade(1 - np.float32(0.14) * spots * c["freckle"])


def _height(c: Canvas) -> Field:
    """Relief of the face towards the viewer, in face units."""
    yaw = c["yaw"]
    q = np.square(c.hx / np.float32(0.70)) + np.square((c.hy - np.float32(0.0)) / np.float32(0.98))
    h = np.sqrt(np.maximum(np.float32(1.06) - q, 0.05)) * np.float32(0.52)
    nose_u = c.u - yaw * np.float32(0.10)
    ridge_top, tip = c["eye_y"] - np.float32(0.02), c["nose_at"] - np.float32(0.03)
    along = ramp(0.0, 1.0, (c.v - ridge_top) / (tip - ridge_top)) * ramp(1.0, 0.0, (c.v - tip) / np.float32(0.085))
    ridge = c["nose_w"] * (np.float32(0.62) + np.float32(0.35) * along)
    h += c["nose_h"] * (np.float32(0.28) + np.float32(0.55) * along) * bump(nose_u, c.v - np.float32(0.09), ridge, 0.36)
    h += c["nose_h"] * np.float32(0.42) * bump(nose_u, c.v - tip, c["nose_w"] * np.float32(1.15), 0.10)
    wing = np.abs(nose_u) - c["nostril"] * np.float32(0.86)
    h += np.float32(0.036) * bump(wing, c.v - c["nose_at"], 0.052, 0.052)
    socket_y = c.v - (c["eye_y"] - np.float32(0.01))
    h -= np.float32(0.050) * bump(c.au - c["eye_x"] * np.float32(0.92), socket_y, 0.22, 0.135)
    h += c["brow_ridge"] * bump(c.au - np.float32(0.22), c.v - c["brow_y"] - np.float32(0.015), 0.28, 0.10)
    h += c["cheek_h"] * bump(c.au - np.float32(0.33), c.v - c["cheek_y"], 0.24, 0.21)
    h += c["chin_h"] * bump(c.u, c.v - (np.float32(0.70) + c["chin_drop"]), 0.22, 0.15)
    h += np.float32(0.030) * bump(c.u, c.v - c["mouth_at"], 0.34, 0.19)
    below = c.v - (c["mouth_at"] + c["open_low"] + c["lip_lower"] + np.float32(0.045))
    h -= np.float32(0.018) * bump(c.u, below, 0.17, 0.055)
    return np.asarray(h, np.float32)


def light_head(c: Canvas) -> None:
    """Lambert light with a soft highlight over the relief; only the head receives it."""
    h = _height(c)
    step = c.pixel * 2
    dx, dy = np.zeros_like(h), np.zeros_like(h)
    dx[:, :, 1:-1] = (h[:, :, 2:] - h[:, :, :-2]) / step
    dy[:, 1:-1] = (h[:, 2:] - h[:, :-2]) / step
    inverse = 1 / np.sqrt(1 + dx * dx + dy * dy)
    lx, ly = c["light_x"], c["light_y"]
    norm = 1 / np.sqrt(1 + lx * lx + ly * ly)
    lambert = np.maximum((1 - dx * lx - dy * ly) * inverse * norm, 0.0)
    frontal = norm
    ambient = c["ambient"]
    light = ambient + (1 - ambient) * lambert / frontal * np.float32(0.98)
    shine = np.maximum(lambert - np.float32(0.93), 0.0) * np.float32(2.2)
    light = light + shine
    side = np.abs(np.abs(c.u - c["yaw"] * np.float32(0.10)) - c["nostril"] * np.float32(0.80))
    light -= np.float32(0.13) * bump(side, c.v - c["nose_at"] + np.float32(0.09), 0.055, 0.15)
    # Hollows see less of the sky: beside the bridge of the nose, under it, and along the outline.
    light -= np.float32(0.20) * bump(c.au - np.float32(0.115), c.v - c["eye_y"] + np.float32(0.03), 0.09, 0.11)
    light -= np.float32(0.22) * bump(c.u, c.v - c["nose_at"] - np.float32(0.055), 0.12, 0.06)
    c.shade(np.asarray(1 + c.head * (light - 1), np.float32))


def _hairline(c: Canvas) -> Field:
    """Height (in ``v``) down to which hair covers the face."""
    fringe, parted, bald, long = _is(c, "fringe"), _is(c, "parted"), _is(c, "bald"), _is(c, "long", "bob")
    line = c["hairline"] + np.float32(0.15) * fringe - np.float32(0.18) * bald
    line = line + np.float32(0.05) * c["part"] * c.u * (1 + parted * 3)
    tips = np.sin(c.u * c["strand_frequency"] * np.float32(1.6) + c["strand_phase"])
    line = line + (np.float32(0.006) + fringe * np.float32(0.014)) * tips
    # The line climbs into the temples' corners, then falls along the sideburns.
    line = (
        line
        - np.float32(0.05) * ramp(0.12, 0.36, c.au) * (1 - fringe)
        + np.float32(0.45) * np.square(c.au) * (1 - fringe)
    )
    # Long hair is parted: it runs from the parting down along the cheeks.
    drop = ramp(0.0, 0.62, np.abs(c.u - np.float32(0.10) * c["part"])) * np.float32(0.30) * long
    side_y = np.float32(0.05) + np.float32(0.95) * long - np.float32(0.14) * _is(c, "tied") - np.float32(0.10) * bald
    temple = ramp(0.44, 0.62, c.au + c["yaw"] * c.side * np.float32(0.3) - np.float32(0.05) * np.maximum(c.v, 0.0))
    line = line + drop * (1 - fringe)
    return np.asarray(line + (side_y - line) * temple, np.float32)


def draw_hair_front(c: Canvas, strands: Field, outline: Field) -> None:
    """Hair over the forehead and temples, and its shadow on the skin."""
    bald = _is(c, "bald")
    d = np.maximum(outline, c.v - _hairline(c))
    # Cropped hair on a bald head is a shade on the skull rather than a shape.
    mask = cover(np.asarray(d, np.float32), c.aa * 1.6) * (1 - bald * (1 - np.float32(0.4) * c.head))
    cast = cover(np.asarray(d - np.float32(0.035), np.float32), np.full_like(c.aa, 0.09)) * c.head
    c.shade(1 - np.float32(0.22) * cast * (1 - bald))
    c.paint(mask, c.colour("hair_rgb") * strands[:, None])
