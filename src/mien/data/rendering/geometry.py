"""From a face at rest and its action units to the geometry that is drawn."""

from __future__ import annotations

import numpy as np

from mien.data.rendering.parameters import Values


def geometry(p: Values) -> Values:
    """Add to ``p`` (identity, action units, capture) the moved geometry, and return all of it."""
    out = dict(p)
    out |= _eyes(p)
    out |= _nose_and_mouth(p)
    out |= _surface(p)
    return {k: np.asarray(v, dtype=np.float32) for k, v in out.items()}


def _eyes(p: Values) -> Values:
    au1, au2, au4, au5, au6, au7, au9 = (p[f"au{k}"] for k in (1, 2, 4, 5, 6, 7, 9))
    droop = p["au41"]
    squeeze = np.clip(0.42 * au6 + 0.42 * au7 + 0.52 * au9, 0, 0.85)
    up = p["eye_up"] * np.clip(1 + 0.62 * au5 - 0.5 * squeeze - 0.42 * droop - 0.12 * au4, 0.16, 2)
    return {
        "lid_up": up,
        "lid_low": p["eye_low"] * np.clip(1 + 0.25 * au5 - 1.15 * squeeze, -0.1, 2),
        # Anger cuts the inner upper lid, grief lets the outer one hang.
        "lid_skew": p["eye_tilt"] * -0.6 + 0.022 * droop + 0.018 * au1 * (au4 > 0.2) - 0.028 * au4 * (1 - 0.8 * au1),
        "brow_y": p["eye_y"] - p["brow_gap"] + 0.060 * au4 * (1 - 0.55 * au1) + 0.050 * au9 - 0.048 * au2 - 0.02 * au1,
        "brow_inner": -0.095 * au1 + 0.060 * au4 * (1 - 0.75 * np.clip(au1, 0, 1)) + 0.020 * au9,
        "brow_outer": -0.082 * au2 - 0.012 * au4 * (1 - au1) + 0.030 * droop,
        "brow_pull": 0.040 * au4 + 0.02 * au9,
        "crease_forehead": np.clip(
            0.75 * np.minimum(au1, au2 + 0.35) * (0.35 + 0.65 * au2) + 0.30 * p["wrinkles"], 0, 1
        ),
        "crease_glabella": np.clip(0.85 * au4 + 0.25 * au9 + 0.15 * p["wrinkles"], 0, 1),
        "crease_crow": np.clip(0.75 * au6 * (0.5 + 0.5 * p["wrinkles"]) + 0.45 * p["wrinkles"], 0, 1),
        "crease_bag": np.clip(0.45 * au6 + 0.3 * au7 + 0.3 * au9 + 0.45 * p["wrinkles"], 0, 1),
        "crease_nose": np.clip(au9, 0, 1),
    }


def _nose_and_mouth(p: Values) -> Values:
    au9, au10, au12, au15, au17, au20 = (p[f"au{k}"] for k in (9, 10, 12, 15, 17, 20))
    tight, press, part, jaw, stretch = (p[f"au{k}"] for k in (23, 24, 25, 26, 27))
    thin = np.clip(1 - 0.30 * au12 - 0.40 * tight - 0.50 * press - 0.2 * au20, 0.15, 1)
    drop = 0.105 * jaw + 0.09 * stretch
    opening = np.clip(part, 0, None)
    return {
        "nose_at": p["nose_y"] - 0.042 * au9 - 0.015 * au10,
        "nostril": p["nose_w"] * (1 + 0.20 * au9 + 0.10 * au10 + 0.08 * au12),
        "mouth_at": p["mouth_y"] - 0.036 * au10 - 0.018 * au17 + 0.25 * drop - 0.01 * au12,
        "mouth_half": p["mouth_w"]
        * np.clip(1 + 0.30 * au12 + 0.28 * au20 - 0.24 * jaw - 0.12 * stretch + 0.02 * au10 - 0.08 * press, 0.55, 1.5),
        "corner": -0.012 - 0.112 * au12 + 0.090 * au15 + 0.030 * au20 + 0.022 * au10,
        "corner_flat": 0.012 * au17 + 0.038 * au10,
        "open_up": 0.022 * opening + 0.012 * au20 * opening + 0.040 * jaw + 0.035 * au10 * np.clip(2 * opening, 0, 1),
        "open_low": (0.030 + 0.070 * np.clip(au12, 0, 1)) * opening
        + 0.125 * jaw
        + 0.10 * stretch
        + 0.045 * au20 * opening
        + 0.02 * au10 * opening,
        "open_square": np.clip(1.15 * au20 + 0.9 * au10 + 0.5 * tight, 0, 1.2),
        "lip_upper": p["lip_up"] * thin * (1 - 0.25 * np.clip(au10, 0, 1)),
        "lip_lower": p["lip_low"] * thin + 0.012 * au17 * (1 - press * 0.7),
        "teeth_upper": np.clip(1.0 * au12 + 0.75 * au10 + 0.55 * au20 + 0.5 * tight - 0.35 * stretch, 0.12, 0.95),
        "teeth_lower": np.clip(0.55 * au20 + 0.8 * tight * opening - 0.2 * au12 - 0.3 * jaw, 0, 0.5),
        "chin_drop": drop * 0.9 - 0.02 * au17,
        "crease_fold": np.clip(0.62 * au12 + 0.62 * au10 + 0.40 * au9 + 0.42 * p["wrinkles"] + 0.06, 0, 1),
        "fold_bow": 0.055 * au12 - 0.02 * au15 + 0.01,
        "crease_chin": np.clip(0.7 * au17 + 0.12, 0, 1),
        "crease_corner": np.clip(0.7 * au15 + 0.35 * p["wrinkles"], 0, 1),
    }


def _surface(p: Values) -> Values:
    au6, au9, au10, au12 = (p[f"au{k}"] for k in (6, 9, 10, 12))
    return {
        "cheek_h": p["cheek"] + 0.035 * au6 + 0.025 * au12 + 0.012 * au9,
        "cheek_y": 0.20 - 0.045 * np.clip(au6 + 0.5 * au12, 0, 1.4) - 0.015 * au10,
        "brow_ridge": 0.018 + 0.022 * p["au4"],
        "chin_h": p["chin"] + 0.02 * p["au17"],
    }
