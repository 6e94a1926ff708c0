"""Mien's own annotator: one small network with a head each for perceived race, gender and age."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.annotators import ANNOTATORS
from mien.annotators.base import MERGES, Images, Perceived, Progress, with_merged
from mien.annotators.holdout import Holdout, holdout_of
from mien.demographics import AGE, AGE_YEARS, Head
from mien.errors import DataError, WeightsError
from mien.samples import SampleTable

ABOUT, HOLDOUT = "annotator.json", "holdout.parquet"
BUNDLED = Path(__file__).parent / "fairface_mienet"
VIEWS = ("colour_96", "colour_48", "grey_96", "grey_48")
_SMALL = 64  # pictures of up to so many pixels a side are like those of 48
_BATCH = 128
Calibration = dict[str, list[float]]


@dataclass(frozen=True)
class About:
    """What an annotator's folder says beside its weights and their card.

    Attributes:
        version: Of the weights.
        source: One line: trained on what.
        terms: Terms of the weights.
        calibrations: View -> attribute -> ``scale`` and ``offset`` of each group, applied to its logits.
        holdout: Which faces its errors were counted on.
    """

    version: str
    source: str
    terms: str
    calibrations: dict[str, dict[str, Calibration]]
    holdout: str

    @classmethod
    def load(cls, folder: Path) -> About:
        """Read ``annotator.json``.

        Raises:
            WeightsError: If it cannot be read.
        """
        try:
            return cls(**json.loads((folder / ABOUT).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(
                str(folder / ABOUT), f"cannot be read ({error})", "an annotator", "Make one with 'mien annotator'."
            ) from error


class MienAnnotator:
    """An annotator made by :func:`mien.annotators.packing.pack_annotator`.

    Args:
        folder: Its folder.
        device: Where to compute.
        mirrored: Average over the face and its mirror image, as its errors were counted; else half the
            work, for measuring only.
    """

    name = "mien"

    def __init__(self, folder: Path, device: str = "cpu", mirrored: bool = True) -> None:
        from mien.models.weights import Classifier  # torch: other annotators do without

        self.folder, self.mirrored = folder, mirrored
        self.about = About.load(folder)
        self.classifier = Classifier.load(folder, device)
        self.version, self.source, self.terms = self.about.version, self.about.source, self.about.terms
        self.trained = tuple(Head(name, tuple(groups)) for name, groups in self.classifier.card.heads.items())
        self.heads = merged_heads(self.trained)

    def logits(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """``(n, K)`` over all trained heads, before any calibration."""
        import torch

        from mien.models.weights import bf16_is_fast

        out = np.empty((len(images), len(self.classifier.card.classes)), dtype=np.float32)
        module, device = self.classifier.module, self.classifier.device
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=bf16_is_fast(device))
        with torch.inference_mode(), bf16:
            for start in range(0, len(images), _BATCH):
                x = self.classifier.tensor(images[start : start + _BATCH])
                z = module(x).float()
                if self.mirrored:
                    z = (z + module(x.flip(3)).float()) / 2
                out[start : start + len(x)] = z.cpu().numpy()
                if progress:
                    progress(start + len(x), len(images))
        return out

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive some faces, calibrated as for pictures like theirs.

        Args:
            images: ``(n, H, W, C)`` uint8, C = 1 or 3 (RGB); a corpus is grey or in colour as a whole.
            progress: Called with faces done and in all.
        """
        calibrations = self.about.calibrations[view_of(images)]
        return perceived(self.logits(images, progress), self.trained, calibrations)

    def holdout(self, images: Images) -> Holdout:
        """What it said of its held-out faces, seen as these pictures are: grey or in colour, small or not."""
        return self.holdout_view(view_of(images))

    def holdout_view(self, view: str) -> Holdout:
        """What it said of its held-out faces in one of the views.

        Raises:
            DataError: If its file cannot be read.
        """
        path = self.folder / HOLDOUT
        try:
            table = pd.read_parquet(path)
            probs = {
                head.name: table[[f"{view}_{head.name}_{g}" for g in head.groups]].to_numpy(np.float32)
                for head in self.trained
            }
            truth = {head.name: table[head.name].astype(object).to_numpy() for head in self.trained}
            cluster = table["cluster"].to_numpy(np.int64)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "an annotator's held-out faces") from error
        source = f"{self.about.holdout}, {view.replace('_', ' ')} px"
        return holdout_of(truth, Perceived(merged(probs, self.trained)), self.heads, cluster, source)

    def unlearnt(self, table: SampleTable) -> NDArray[np.bool_]:
        """``(n,)`` whether each face is known to be none that it learnt from.

        Of its own corpus, or where faces are among its held-out ones, only these are; it keeps no list
        of the faces that it learnt from. Of any other table all are.

        Raises:
            DataError: If its held-out faces cannot be read.
        """
        path = self.folder / HOLDOUT
        try:
            held = set(pd.read_parquet(path, columns=["sample_id"])["sample_id"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "an annotator's held-out faces") from error
        among = table.frame["sample_id"].isin(held).to_numpy(dtype=bool)
        own = among.any() or table.name == self.classifier.card.data.get("corpus")
        return among if own else np.ones(len(table), dtype=bool)


def merged_heads(trained: tuple[Head, ...]) -> tuple[Head, ...]:
    """What was learnt, and what can be merged from it: a head of the usual name may have other groups."""
    return trained + tuple(m.head for m in MERGES if m.of in trained)


def perceived(
    logits: NDArray[np.float32], trained: tuple[Head, ...], calibrations: Mapping[str, Calibration]
) -> Perceived:
    """Probabilities of every head, merged ones too, and the expected age."""
    probs, start = {}, 0
    for head in trained:
        fitted = calibrations[head.name]
        block = logits[:, start : start + len(head.groups)] * fitted["scale"] + fitted["offset"]
        exponents = np.exp(block - block.max(1, keepdims=True))
        probs[head.name] = (exponents / exponents.sum(1, keepdims=True)).astype(np.float32)
        start += len(head.groups)
    years = probs[AGE.name] @ np.array(AGE_YEARS, dtype=np.float32) if AGE in trained else None
    return Perceived(merged(probs, trained), years)


def merged(probs: Mapping[str, NDArray[np.float32]], trained: tuple[Head, ...]) -> dict[str, NDArray[np.float32]]:
    """Probabilities of all heads that :func:`merged_heads` names."""
    wanted = {h.name for h in merged_heads(trained)}
    usual = {h.name: probs[h.name] for h in trained if any(m.of == h for m in MERGES)}
    return {**probs, **{name: values for name, values in with_merged(usual).items() if name in wanted}}


def view_of(images: Images) -> str:
    """Which of the measured views pictures are like, from their size and some of their pixels."""
    some: NDArray[Any] = np.asarray(images[:: max(1, len(images) // 50)])
    grey = some.shape[3] == 1 or bool((some == some[..., :1]).all())
    return f"{'grey' if grey else 'colour'}_{48 if images.shape[1] <= _SMALL else 96}"


@ANNOTATORS.register("mien")
def mien(*, weights: str | Path | None = None, device: str = "cpu") -> MienAnnotator:
    """The annotator in the box: MieNet, learnt from FairFace; race, gender and age as people perceive them.

    Args:
        weights: Folder of another annotator made by ``mien annotator``; by default the one in the box.
        device: Where to compute: cpu, cuda.

    Raises:
        WeightsError: If a file is missing or does not match its card.
    """
    return MienAnnotator(Path(weights) if weights is not None else BUNDLED, device)
