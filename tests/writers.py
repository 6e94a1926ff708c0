"""Tiny corpora in the layouts in which people download the real ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mien.labels import FER2013_CLASSES

FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FERPLUS_FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def close_folders(monkeypatch, name):
    """Let folders of a name be such as may not be read, which root cannot make."""
    real = os.scandir

    def scandir(path):
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def faces(n, side=48, channels=1, seed=0):
    """``(n, side, side[, 3])`` uint8: smooth, high-contrast pictures, no two alike."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, side, side, channels))
    smooth = gaussian_filter(noise, (0, side / 16, side / 16, 0), mode="wrap")
    smooth = (smooth - smooth.mean((1, 2, 3), keepdims=True)) / smooth.std((1, 2, 3), keepdims=True)
    pictures = (smooth * 45 + 128).clip(0, 255).astype(np.uint8)
    return pictures[..., 0] if channels == 1 else pictures


def usages(n):
    """``n`` usages in the challenge's order: about three fifths Training, then the two tests."""
    parts = np.array(["Training", "PublicTest", "PrivateTest"])
    return parts[np.searchsorted([0.6 * n, 0.8 * n], np.arange(n), side="right")].tolist()


def write_challenge(path: Path, images, emotions, usage, newline="\n"):
    """``fer2013.csv``: emotion,pixels,Usage."""
    rows = [f"{e},{' '.join(map(str, image.ravel()))},{u}" for e, image, u in zip(emotions, images, usage, strict=True)]
    path.write_bytes((newline.join(["emotion,pixels,Usage", *rows]) + newline).encode())


def write_fer2013_folders(root: Path, images, emotions, usage):
    """``train|test/<expression>/<Usage>_<number>.png``; returns the paths in order of the images."""
    paths = []
    for i, (image, emotion, use) in enumerate(zip(images, emotions, usage, strict=True)):
        folder = root / ("train" if use == "Training" else "test") / FER2013_CLASSES[emotion]
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / f"{use}_{i:05d}.png")
        Image.fromarray(image).save(paths[-1])
    return paths


def write_votes(path: Path, votes, usage):
    """``fer2013new.csv``; the image name is empty where all ten votes are NF."""
    lines = [FERPLUS_HEADER]
    for i, (row, use) in enumerate(zip(votes, usage, strict=True)):
        name = "" if row[9] == 10 else f"fer{i:07d}.png"
        lines.append(",".join([use, name, *map(str, row)]))
    path.write_text("\n".join(lines) + "\n")


def write_ferplus_folders(root: Path, images, votes, usage):
    """``FER2013Train|Valid|Test/fer0000000.png`` beside the votes; rows that are no face have no picture."""
    root.mkdir(parents=True, exist_ok=True)
    write_votes(root / "fer2013new.csv", votes, usage)
    for i, (image, row, use) in enumerate(zip(images, votes, usage, strict=True)):
        if row[9] < 10:
            (root / FERPLUS_FOLDERS[use]).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / FERPLUS_FOLDERS[use] / f"fer{i:07d}.png")


def write_ferplus_labels(root: Path, images, votes, usage):
    """FER+'s own copy: ``FER2013Train/label.csv`` (picture, box, ten votes; no header) beside ``fer0000000.png``."""
    for i, (image, row, use) in enumerate(zip(images, votes, usage, strict=True)):
        if row[9] < 10:
            folder = root / FERPLUS_FOLDERS[use]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"fer{i:07d}.png")
            with open(folder / "label.csv", "a") as file:
                file.write(f'fer{i:07d}.png,"(0, 0, 48, 48)",{",".join(map(str, row))}\n')


def random_votes(n, seed=0):
    """``(n, 10)`` FER+ votes that sum to ten; each seventh row is unanimously no face."""
    rng = np.random.default_rng(seed)
    votes = np.array([rng.multinomial(10, p) for p in rng.dirichlet(np.full(9, 0.3), n)])
    votes = np.concatenate([votes, np.zeros((n, 1), dtype=int)], axis=1)
    votes[6::7] = [0] * 9 + [10]
    return votes


def write_manifest(path: Path, rows, images=None):
    """A CSV of dictionaries with the pictures they name, lossless, beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row, image in zip(rows, images if images is not None else [], strict=False):
        (path.parent / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path.parent / row["path"])


FAIRFACE_AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
FAIRFACE_RACES = (
    "White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"
)  # fmt: skip


def write_fairface(root: Path, images, split="train", service_test=True, seed=0):
    """``<split>/1.jpg``, ... and ``fairface_label_<split>.csv``, as the archive has them; returns the rows."""
    rng = np.random.default_rng(seed)
    (root / split).mkdir(parents=True, exist_ok=True)
    rows = []
    for i, image in enumerate(images, start=1):
        row = {
            "file": f"{split}/{i}.jpg",
            "age": FAIRFACE_AGES[rng.integers(9)],
            "gender": ("Male", "Female")[rng.integers(2)],
            "race": FAIRFACE_RACES[rng.integers(7)],
        }
        rows.append({**row, "service_test": str(bool(rng.integers(2)))} if service_test else row)
        Image.fromarray(image).save(root / row["file"], quality=92)
    with open(root / f"fairface_label_{split}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def replace_line(path: Path, line, edit):
    """Change line number ``line`` (from 1) of a text file by ``edit(text)``; None deletes it."""
    lines = path.read_text().split("\n")
    changed = edit(lines[line - 1])
    lines[line - 1 : line] = [] if changed is None else [changed]
    path.write_text("\n".join(lines))


def read_all(corpus, bad=None):
    """All images and rows of a corpus."""
    import pandas as pd

    from mien.data.corpus import BadRows

    bad = bad or BadRows()
    chunks = list(corpus.chunks(bad))
    bad.finish()
    return np.concatenate([c.images for c in chunks]), pd.concat([c.frame for c in chunks], ignore_index=True)
