"""What a face is before it is drawn: identity, facial action units, capture.

Expressions follow the facial action coding system: a class is a set of action units (AU) after the
EMFACS prototypes (Ekman & Friesen 1983), each face has its own intensity, and every unit moves the
geometry on its own. Weak faces are therefore truly ambiguous, and classes that share units (fear and
surprise, disgust and anger) are truly alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels import FER2013_CLASSES

Values = dict[str, NDArray[np.float32]]

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 24, 25, 26, 27, 41)
"""Units drawn; 41 is the drooping upper lid (now coded as a low AU43)."""

PROTOTYPES: Mapping[str, tuple[Mapping[int, float], ...]] = {
    "angry": (
        {4: 1.0, 5: 0.55, 7: 0.75, 23: 0.8, 24: 1.0, 17: 0.35},
        {4: 1.0, 5: 0.60, 7: 0.60, 10: 0.45, 23: 0.6, 25: 0.9, 20: 0.25},
    ),
    "disgust": (
        {9: 1.0, 10: 0.9, 4: 0.15, 7: 0.5, 15: 0.45, 17: 0.6},
        {9: 0.95, 10: 1.1, 4: 0.15, 7: 0.5, 6: 0.2, 15: 0.5, 25: 0.7},
    ),
    "fear": (
        {1: 1.0, 2: 0.5, 4: 0.65, 5: 1.0, 20: 1.0, 25: 0.75},
        {1: 0.95, 2: 0.55, 4: 0.55, 5: 1.0, 7: 0.2, 20: 0.9, 25: 0.6, 26: 0.35},
    ),
    "happy": (
        {6: 0.85, 12: 1.0, 25: 0.9},
        {6: 0.95, 12: 1.0, 25: 1.0, 26: 0.35},
        {6: 0.6, 12: 0.9},
    ),
    "sad": (
        {1: 1.0, 4: 0.55, 15: 1.0, 17: 0.75, 41: 0.6},
        {1: 0.85, 4: 0.7, 15: 0.9, 17: 0.4, 41: 0.8},
    ),
    "surprise": (
        {1: 1.0, 2: 1.0, 5: 0.85, 25: 0.5, 26: 1.0},
        {1: 1.0, 2: 1.0, 5: 0.9, 25: 0.5, 26: 0.8, 27: 0.6},
    ),
    "neutral": ({},),
}

GROUPS: Mapping[str, tuple[str, ...]] = {
    "gender": ("female", "male"),
    "age": ("child", "adult", "older"),
    "skin": ("light", "medium", "dark"),
    "glasses": ("no", "yes"),
}
"""Attribute -> groups. ``gender`` is a *drawn presentation* (hair, brows, jaw, beard, lips), no more."""

SHARES: Mapping[str, tuple[float, ...]] = {
    "gender": (0.5, 0.5),
    "age": (0.2, 0.5, 0.3),
    "skin": (1 / 3, 1 / 3, 1 / 3),
    "glasses": (0.78, 0.22),
}

HAIR_STYLES = ("bald", "short", "parted", "curly", "bob", "long", "tied", "fringe")

_SKIN = np.array(
    [(246, 214, 192), (235, 194, 164), (214, 165, 128), (182, 130, 94), (140, 94, 66), (108, 72, 52), (84, 56, 43)],
    dtype=np.float32,
) / np.float32(255)
_HAIR = np.array(
    [(26, 22, 22), (48, 33, 26), (84, 56, 37), (128, 66, 38), (170, 128, 78), (216, 184, 126)], dtype=np.float32
) / np.float32(255)
_IRIS = np.array([(48, 30, 20), (84, 54, 30), (92, 96, 60), (80, 112, 140)], dtype=np.float32) / np.float32(255)


class Draws:
    """Random columns of ``n`` values in a fixed order: face ``i`` of a block depends on nothing but its place."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng, self.n = rng, n

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """Uniform values between ``low`` and ``high``."""
        return (low + (high - low) * self.rng.random(self.n)).astype(np.float32)

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> NDArray[np.float32]:
        """Normal values, cut at 2.2 standard deviations so that no face falls apart."""
        return (mean + sd * np.clip(self.rng.standard_normal(self.n), -2.2, 2.2)).astype(np.float32)

    def chance(self, probability: float | NDArray[np.float32]) -> NDArray[np.bool_]:
        """True with the given probability."""
        return np.asarray(self.rng.random(self.n) < probability)

    def pick(self, shares: NDArray[np.floating] | Sequence[float]) -> NDArray[np.int64]:
        """Index drawn from ``shares``, ``(k,)`` or ``(n, k)``."""
        shares = np.asarray(shares, dtype=np.float64)
        cumulative = np.cumsum(shares, axis=-1)
        cumulative = cumulative / cumulative[..., -1:]
        u = self.rng.random(self.n)[:, None]
        return np.asarray((u >= cumulative[..., :-1]).sum(axis=-1), dtype=np.int64)


def _along(palette: NDArray[np.float32], position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colour at ``position`` (0 to 1) along a palette: ``(n, 3)``."""
    scaled = np.clip(position, 0, 1) * (len(palette) - 1)
    lower = np.minimum(scaled.astype(np.int64), len(palette) - 2)
    t = (scaled - lower)[:, None]
    return np.asarray(palette[lower] * (1 - t) + palette[lower + 1] * t, dtype=np.float32)


def identity_values(draws: Draws, groups: Mapping[str, NDArray[np.int64]]) -> Values:
    """Shape, skin, hair and glasses of ``n`` people.

    Args:
        draws: Source of randomness.
        groups: Attribute -> ``(n,)`` index into :data:`GROUPS`.
    """
    female = (groups["gender"] == 0).astype(np.float32)
    child = (groups["age"] == 0).astype(np.float32)
    older = (groups["age"] == 2).astype(np.float32)
    # Presentation is a soft tendency: the trait moves with the group but overlaps.
    soft = np.clip(female + draws.normal(0, 0.22), -0.2, 1.2)
    values = _shape(draws, soft, child, older)
    values |= _skin_and_hair(draws, groups, female, child, older)
    values |= _accessories(draws, groups)
    return {k: np.asarray(v, dtype=np.float32) for k, v in values.items()}


def _shape(d: Draws, soft: NDArray[np.float32], child: NDArray[np.float32], older: NDArray[np.float32]) -> Values:
    adult_male = (1 - soft) * (1 - child)
    return {
        "head_w": d.normal(0.610, 0.022) + 0.02 * child + 0.012 * adult_male,
        "head_up": d.normal(0.74, 0.02),
        "head_low": d.normal(0.82, 0.025) - 0.10 * child + 0.02 * adult_male,
        "jaw_square": d.normal(0.35, 0.2) + 0.55 * adult_male - 0.2 * child,
        "jaw_taper": d.normal(0.22, 0.05) + 0.07 * soft - 0.06 * child - 0.04 * older,
        "chin": d.normal(0.05, 0.015) * (1 - 0.5 * child) + 0.02 * adult_male,
        "neck_w": d.normal(0.30, 0.02) + 0.07 * adult_male - 0.06 * child,
        "ear": d.normal(0.10, 0.012) + 0.015 * older,
        "eye_x": d.normal(0.262, 0.012),
        "eye_y": d.normal(-0.06, 0.012) + 0.075 * child,
        "eye_w": d.normal(0.148, 0.008) + 0.018 * child + 0.006 * soft - 0.008 * older,
        "eye_up": d.normal(0.070, 0.007) + 0.022 * child + 0.008 * soft - 0.010 * older,
        "eye_low": d.normal(0.046, 0.004) + 0.008 * child,
        "eye_tilt": d.normal(0.012, 0.012) - 0.014 * older,
        "iris_r": d.normal(0.066, 0.003) + 0.008 * child,
        "lash": np.clip(d.normal(0.35, 0.15) + 0.5 * soft, 0.1, 1.2),
        "brow_gap": d.normal(0.162, 0.010) + 0.015 * soft - 0.015 * adult_male,
        "brow_t": np.clip(d.normal(0.032, 0.005) + 0.012 * adult_male - 0.008 * soft - 0.006 * child, 0.016, 1),
        "brow_arch": d.normal(0.030, 0.012) + 0.015 * soft,
        "brow_dark": d.normal(0.80, 0.07) - 0.15 * child - 0.12 * older,
        "nose_y": d.normal(0.235, 0.014) + 0.015 * child,
        "nose_w": d.normal(0.098, 0.010) + 0.012 * adult_male - 0.012 * child,
        "nose_h": d.normal(0.115, 0.015) - 0.045 * child + 0.01 * older,
        "mouth_y": d.normal(0.455, 0.014) - 0.015 * child,
        "mouth_w": d.normal(0.215, 0.014) - 0.022 * child,
        "lip_up": np.clip(d.normal(0.043, 0.006) + 0.010 * soft - 0.013 * older, 0.02, 1),
        "lip_low": np.clip(d.normal(0.062, 0.007) + 0.012 * soft - 0.017 * older, 0.03, 1),
        "lip_red": np.clip(d.normal(0.42, 0.12) + 0.25 * soft * (1 - child), 0.1, 0.95),
        "wrinkles": np.clip(older * d.uniform(0.55, 1.0) + (1 - older) * (1 - child) * d.uniform(0, 0.2), 0, 1),
        "cheek": d.normal(0.045, 0.012) + 0.02 * child,
        "asymmetry": d.normal(0, 0.35),
        "freckle": d.uniform(0, 1) ** 2,
    }


def _skin_and_hair(
    d: Draws,
    groups: Mapping[str, NDArray[np.int64]],
    female: NDArray[np.float32],
    child: NDArray[np.float32],
    older: NDArray[np.float32],
) -> Values:
    bounds = np.array([(0.0, 0.24), (0.36, 0.58), (0.72, 1.0)], dtype=np.float32)[groups["skin"]]
    tone = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * d.uniform()
    skin = _along(_SKIN, tone) * (1 + d.normal(0, 0.02))[:, None]
    # Dark hair is possible with any skin; fair hair fades out as the tone darkens.
    hair = _along(_HAIR, d.uniform() ** 1.4 * np.clip(1.05 - 1.3 * tone, 0.12, 1.0))
    grey = np.clip(older * d.uniform(0.25, 1.15), 0, 1)[:, None]
    hair = hair * (1 - grey) + grey * d.uniform(0.55, 0.85)[:, None] * np.array([1, 0.99, 0.97], dtype=np.float32)
    iris = _along(_IRIS, d.uniform() ** 1.2 * np.clip(1.0 - 1.4 * tone, 0.1, 1.0))
    lip_base = skin * np.array([0.86, 0.60, 0.58], dtype=np.float32)
    shares = np.where(
        female[:, None] > 0,
        np.array([0.01, 0.07, 0.06, 0.14, 0.22, 0.26, 0.12, 0.12]),
        np.array([0.12, 0.36, 0.26, 0.14, 0.02, 0.04, 0.01, 0.05]),
    )
    shares[:, 0] = np.where(child > 0, 0.0, shares[:, 0] * (1 + 1.2 * older))
    style = d.pick(shares)
    beard_u, beard_kind = d.uniform(), d.uniform()
    bearded = (female == 0) & (child == 0) & (beard_u < 0.42)
    return {
        "tone": tone,
        "skin_rgb": skin,
        "lip_rgb": lip_base,
        "hair_rgb": hair,
        "iris_rgb": iris,
        "style": style.astype(np.float32),
        "hair_volume": d.uniform(0.6, 1.3),
        "hairline": d.normal(-0.46, 0.03) - 0.10 * (older * (1 - female)) * d.uniform(),
        "part": d.normal(0, 0.5),
        "strand_phase": d.uniform(0, 6.28),
        "strand_frequency": d.uniform(14, 30),
        "beard": np.where(bearded & (beard_kind > 0.45), d.uniform(0.6, 0.95), np.where(bearded, 0.28, 0)),
        "moustache": np.where(bearded, d.uniform(0.3, 0.9), 0.0),
    }


def _accessories(d: Draws, groups: Mapping[str, NDArray[np.int64]]) -> Values:
    cloth = np.stack([d.uniform(0.08, 0.85) for _ in range(3)], axis=1)
    frame = np.stack([d.uniform(0.03, 0.3)] * 3, axis=1) * np.array([1.2, 1.0, 0.9], dtype=np.float32)
    return {
        "cloth_rgb": cloth,
        "glasses": (groups["glasses"] == 1).astype(np.float32),
        "frame_rgb": frame,
        "frame_round": d.uniform(0.3, 1.0),
        "frame_t": d.uniform(0.016, 0.032),
    }


def expression_values(
    draws: Draws, expression: NDArray[np.int64], cues: NDArray[np.float32]
) -> tuple[Values, NDArray[np.float32]]:
    """Action units of ``n`` faces.

    Args:
        draws: Source of randomness.
        expression: ``(n,)`` index into ``FER2013_CLASSES``.
        cues: ``(n,)`` factor on the intensity (1 where no bias removes cues).

    Returns:
        ``au1`` ... ``au41``, 0 to about 1.2, and the intensity of the expression, ``(n,)``.
    """
    intensity = 0.38 + 0.72 * np.sqrt(draws.uniform()) * draws.uniform(0.75, 1.0)
    intensity = np.where(expression == FER2013_CLASSES.index("neutral"), 1.0, intensity * cues).astype(np.float32)
    variant = draws.uniform()
    table = np.zeros((len(FER2013_CLASSES), 3, len(ACTION_UNITS)), dtype=np.float32)
    n_variants = np.array([len(PROTOTYPES[c]) for c in FER2013_CLASSES])
    for k, name in enumerate(FER2013_CLASSES):
        for j, prototype in enumerate(PROTOTYPES[name]):
            for unit, strength in prototype.items():
                table[k, j, ACTION_UNITS.index(unit)] = strength
    chosen = table[expression, (variant * n_variants[expression]).astype(np.int64)]
    values: Values = {}
    for j, unit in enumerate(ACTION_UNITS):
        jitter = draws.uniform(0.78, 1.22)
        # Nobody's face is at rest: every unit has a trace of activity of its own.
        trace = np.square(draws.uniform()) * (0.10 if unit < 25 else 0.03)
        values[f"au{unit}"] = np.asarray(chosen[:, j] * intensity * jitter + trace, dtype=np.float32)
    return values, np.asarray(intensity, dtype=np.float32)


def capture_values(
    draws: Draws, nuisance: float, extra_blur: NDArray[np.float32], extra_noise: NDArray[np.float32]
) -> Values:
    """Pose, lighting, background, occlusion, blur and noise of ``n`` pictures.

    Args:
        draws: Source of randomness.
        nuisance: Scales everything that does not belong to the face; 0 gives a passport photograph.
        extra_blur: ``(n,)`` further blur, as a standard deviation in hundredths of the picture's width.
        extra_noise: ``(n,)`` further sensor noise, as a standard deviation in grey levels (0 to 255).
    """
    d, k = draws, np.float32(nuisance)
    background = np.stack([d.uniform(0.12, 0.9)] * 3, axis=1) + np.stack([d.normal(0, 0.035) for _ in range(3)], axis=1)
    light_x, light_y = d.normal(0, 0.42) * k, -0.35 + d.normal(0, 0.22) * k
    occluded = d.chance(0.07 * nuisance)
    values = {
        "yaw": d.normal(0, 0.115) * k,
        "pitch": d.normal(0, 0.05) * k,
        "roll": d.normal(0, 0.09) * k,
        "zoom": 1.14 + d.normal(0, 0.045) * k,
        "shift_x": d.normal(0, 0.03) * k,
        "shift_y": 0.03 + d.normal(0, 0.03) * k,
        "light_x": light_x,
        "light_y": light_y,
        "ambient": np.clip(0.50 + d.normal(0, 0.08) * k, 0.3, 0.7),
        "exposure": np.clip(1.0 + d.normal(0, 0.12) * k, 0.72, 1.4),
        "background_rgb": np.clip(background, 0.03, 0.97),
        "background_tilt": d.uniform(-1, 1),
        "background_x": d.uniform(-1, 1),
        "gaze_x": d.normal(0, 0.009),
        "gaze_y": d.normal(0, 0.006),
        "occlusion": np.where(occluded, 1 + np.floor(d.uniform(0, 3)), 0),
        "occlusion_at": d.uniform(),
        "occlusion_side": np.where(d.uniform() < 0.5, -1, 1),
        "blur": np.square(d.uniform()) * 1.1 * k + extra_blur,
        "noise": np.square(d.uniform()) * 7.0 * k + extra_noise,
    }
    return {name: np.asarray(v, dtype=np.float32) for name, v in values.items()}
