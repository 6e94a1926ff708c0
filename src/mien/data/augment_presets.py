"""What published sources augmented with, by name; values of ``augment`` in a configuration. Needs no torch.

Everything that a source does not name is off. Where it names an operation and not its range, the value is ours and
the line says so.
"""

from __future__ import annotations

from typing import Any, Literal

Preset = Literal["education", "duan", "angioni", "olate", "latent", "ferplus", "dan", "dan_affectnet"]

#: No augmentation at all.
NOTHING: dict[str, Any] = {
    "flip": 0.0,
    "rotation": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erasing": 0.0,
}

#: Preset -> the values that it fills in; those that stand in the configuration go before them.
PRESETS: dict[str, dict[str, Any]] = {
    # Samii, Shaikh, Amrollahibioki 2023: mirrored with probability 1/2, turned by U(-10, 10) degrees. Their code did
    # so with test faces too, which is never done here.
    "education": NOTHING | {"flip": 0.5, "rotation": 10.0},
    # Duan 2022: copies in place of draws: the face, its mirror image, turned by 20 degrees either way, the best of
    # the angles in their table 2.
    "duan": NOTHING | {"copies": {"flip": True, "rotation": [20.0, 20.0]}},
    # Angioni and Cani name no augmentation. Their median filter is one of ``preprocess``.
    "angioni": NOTHING,
    # Olate 2025: mirrored, +-10 degrees, brightness and contrast +-10 %, zoom, random erasing. Ranges of the last two
    # are not stated: ours are 10 % of size, and those of Zhong et al. 2020 at half the faces.
    "olate": NOTHING
    | {
        "flip": 0.5,
        "rotation": 10.0,
        "gain": 0.1,
        "contrast": 0.1,
        "zoom": [0.9, 1.1],
        "erasing": 0.5,
        "erasing_area": [0.02, 0.4],
        "erasing_ratio": [0.3, 3.33],
        "erasing_inside": True,
        "erasing_fill": "noise",
    },
    # Rizvi, Seth, Narang 2024: mirrored with probability 1/2, turned by up to 15 degrees.
    "latent": NOTHING | {"flip": 0.5, "rotation": 15.0},
    # Barsoum et al. 2016 (FER+), their code: all in one affine transform, and mirrored.
    "ferplus": NOTHING | {"flip": 0.5, "rotation": 20.0, "stretch": 0.05, "shift": 0.08, "skew": 0.05},
    # Wen et al. 2021 (DAN), their code for RAF-DB: with probability 0.2 turned by up to 20 degrees and cropped from a
    # border of 32 of 224 pixels, black beyond the edge; erasing 0.02 to 0.25 of the picture. How often is not stated:
    # half the faces is ours.
    "dan": NOTHING
    | {
        "flip": 0.5,
        "affine": 0.2,
        "rotation": 20.0,
        "crop": 32 / 224,
        "padding": "zeros",
        "erasing": 0.5,
        "erasing_area": [0.02, 0.25],
        "erasing_ratio": [0.3, 3.33],
        "erasing_inside": True,
    },
    # The same for AffectNet: with probability 0.7 turned, moved by up to 0.2 of the side, shrunk to 0.8 of the size.
    "dan_affectnet": NOTHING
    | {"flip": 0.5, "affine": 0.7, "rotation": 20.0, "shift": 0.2, "zoom": [0.8, 1.0], "padding": "zeros"},
}
