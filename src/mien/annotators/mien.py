"""Mien's own annotator: one small network with a head each for perceived race, gender and age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.annotators import ANNOTATORS
from mien.annotators.base import MERGES, Perceived, with_merged
from mien.annotators.holdout import Holdout, holdout_of
from mien.demographics import AGE, AGE_YEARS, Head
from mien.errors import ConfigError, DataError, WeightsError
from mien.inference import Progress, batches, softmax
from mien.own_files import (
    NUMBER,
    SUMS,
    TEXT,
    WHOLE,
    as_record,
    check_file_sum,
    checksums_of,
    read_json,
    read_parquet,
    say_unchecked,
    sha256_of,
    with_checksums,
)
from mien.pictures.pixels import Images
from mien.records import plain, write_json
from mien.registry import nearest
from mien.samples import SampleTable
from mien.values import shown

ABOUT, HOLDOUT, CARD_TEXT = "annotator.json", "holdout.parquet", "card.md"
PARTS = ("model.safetensors", "model.json", HOLDOUT, CARD_TEXT)  # what lies beside ABOUT
_HELD_OUT = "an annotator's held-out faces"
_RESTORE = "Restore the file, or make the annotator again with 'mien annotator'."
_ROUNDED = 0.05  # probabilities are kept in half precision
BUNDLED = Path(__file__).parent / "fairface_mienet"
VIEWS = ("colour_96", "colour_48", "grey_96", "grey_48")
SMALL = 64  # pictures of up to so many pixels a side are like those of 48
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
        checksums: File of the folder -> SHA-256; none in annotators of older versions.
    """

    version: str
    source: str
    terms: str
    calibrations: dict[str, dict[str, Calibration]]
    holdout: str
    checksums: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> About:
        """Read ``annotator.json``, and hold it and the files beside it to their checksums.

        Raises:
            WeightsError: If it cannot be read, a key is not what it should be, or a file not what was written.
        """
        path = folder / ABOUT
        content = read_json(path, "an annotator", error=WeightsError, fix="Make one with 'mien annotator'.")
        sums = checksums_of(content, path, PARTS, error=WeightsError, fix=_RESTORE)
        if not sums and (folder / CARD_TEXT).is_file():  # it comes last: without it, one is being made
            say_unchecked(folder, "changes of its files would not be noticed", "Make the annotator again to have them.")
        about = as_record(cls, content, str(path), error=WeightsError)
        for name, due in sums.items():
            if name in PARTS:
                check_file_sum(folder / name, due, error=WeightsError, fix=_RESTORE)
        return about

    def save(self, folder: Path) -> None:
        """Write ``annotator.json``, with the checksums of what already lies beside it."""
        sums = {name: sha256_of(folder / name) for name in PARTS if (folder / name).is_file()}
        content = {k: v for k, v in plain(asdict(self)).items() if k != SUMS}
        # A folder that is not whole yet vouches for nothing.
        write_json(folder / ABOUT, with_checksums(content, ABOUT, sums) if len(sums) == len(PARTS) else content)


class MienAnnotator:
    """An annotator made by :func:`mien.annotators.packing.pack_annotator`.

    Args:
        folder: Its folder.
        device: Where to compute.
        mirrored: Average over the face and its mirror image, as its errors were counted; else half the
            work, for measuring only.
        view: Which of the measured views all pictures are like; told from the pictures by default.

    Raises:
        ConfigError: If there is no such view.
    """

    name = "mien"

    def __init__(self, folder: Path, device: str = "cpu", mirrored: bool = True, view: str | None = None) -> None:
        from mien.models.weights import Classifier  # torch: other annotators do without

        if view is not None and view not in VIEWS:
            raise ConfigError("annotator 'mien': view", repr(view), "", nearest(view, list(VIEWS)))
        self.folder, self.mirrored, self.view = folder, mirrored, view
        self.about = About.load(folder)
        self.classifier = Classifier.load(folder, device)
        self.version, self.source, self.terms = self.about.version, self.about.source, self.about.terms
        self.trained = tuple(Head(name, tuple(groups)) for name, groups in self.classifier.card.heads.items())
        self.heads = merged_heads(self.trained)
        self._check_calibrations()

    def _check_calibrations(self) -> None:
        """Every group of every attribute needs its two numbers; while an annotator is made, there are none."""
        where = f"{self.folder / ABOUT}: calibrations"
        for view, fitted in self.about.calibrations.items():
            for head in self.trained:
                found = fitted.get(head.name, {})
                for part in ("scale", "offset"):
                    if len(found.get(part, ())) != len(head.groups):
                        key = f"{where}.{view}.{head.name}.{part}"
                        raise WeightsError(key, shown(found.get(part)), f"{len(head.groups)} numbers", _RESTORE)

    def logits(self, images: Images, progress: Progress | None = None) -> NDArray[np.float32]:
        """``(n, K)`` over all trained heads, before any calibration."""
        import torch

        from mien.models.weights import bf16_is_fast

        out = np.empty((len(images), len(self.classifier.card.classes)), dtype=np.float32)
        module, device = self.classifier.module, self.classifier.device
        bf16 = torch.autocast(device.type, torch.bfloat16, enabled=bf16_is_fast(device))
        with torch.inference_mode(), bf16:
            for part, crops in batches(images, batch_size=_BATCH, progress=progress):
                x = self.classifier.tensor(crops)
                z = module(x).float()
                if self.mirrored:
                    z = (z + module(x.flip(3)).float()) / 2
                out[part] = z.cpu().numpy()
        return out

    def annotate(self, images: Images, progress: Progress | None = None) -> Perceived:
        """Perceive some faces, calibrated as for pictures like theirs.

        Args:
            images: ``(n, H, W, C)`` uint8, C = 1 or 3 (RGB); a corpus is grey or in colour as a whole.
            progress: Called with faces done and in all.

        Raises:
            WeightsError: If it was not calibrated for such pictures.
        """
        view = self.view or view_of(images)
        calibrations = self.about.calibrations.get(view)
        if calibrations is None:
            where = f"{self.folder / ABOUT}: calibrations"
            raise WeightsError(where, f"has none for {view}", ", ".join(VIEWS), _RESTORE)
        return perceived(self.logits(images, progress), self.trained, calibrations)

    def holdout(self, images: Images) -> Holdout:
        """What it said of its held-out faces, seen as these pictures are: grey or in colour, small or not."""
        return self.holdout_view(self.view or view_of(images))

    def holdout_view(self, view: str) -> Holdout:
        """What it said of its held-out faces in one of the views.

        Raises:
            DataError: If its file cannot be read.
        """
        path = self.folder / HOLDOUT
        said = {head.name: [f"{view}_{head.name}_{g}" for g in head.groups] for head in self.trained}
        kinds = dict.fromkeys((name for names in said.values() for name in names), NUMBER)
        kinds |= {"cluster": WHOLE, **{head.name: TEXT for head in self.trained}}
        table = read_parquet(path, kinds, _HELD_OUT, fix=_RESTORE).to_pandas()
        probs = {name: table[names].to_numpy(np.float32) for name, names in said.items()}
        for name, values in probs.items():
            sums = values.sum(axis=1, dtype=np.float64)
            wrong = ~(np.isnan(values).all(1) | ((np.abs(sums - 1) < _ROUNDED) & (values >= 0).all(1)))
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                found = f"probabilities of {name} add up to {sums[row]:.3g}"
                raise DataError(f"{path} row {row}", found, "1", _RESTORE)
        if table["cluster"].isna().any():
            raise DataError(str(path), "a cluster is missing", "a number in each row", _RESTORE)
        truth = {head.name: table[head.name].astype(object).to_numpy() for head in self.trained}
        cluster = table["cluster"].to_numpy(np.int64)
        source = f"{self.about.holdout}, {view.replace('_', ' ')} px"
        return holdout_of(truth, Perceived(merged(probs, self.trained)), self.heads, cluster, source)

    def unlearnt(self, table: SampleTable) -> NDArray[np.bool_]:
        """``(n,)`` whether each face is known to be none that it learnt from.

        Of its own corpus, merged with others or not, or where faces are among its held-out ones, only these are; it
        keeps no list of the faces that it learnt from. All faces of other corpora are.

        Raises:
            DataError: If its held-out faces cannot be read.
        """
        path = self.folder / HOLDOUT
        held = set(read_parquet(path, {"sample_id": TEXT}, _HELD_OUT, fix=_RESTORE).column(0).to_pylist())
        return table.new_to(held, str(self.classifier.card.data.get("corpus")))


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
        probs[head.name] = softmax(block).astype(np.float32)
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
    return f"{'grey' if grey else 'colour'}_{48 if images.shape[1] <= SMALL else 96}"


@ANNOTATORS.register("mien")
def mien(*, weights: str | Path | None = None, device: str = "cpu", view: str | None = None) -> MienAnnotator:
    """The annotator in the box: MieNet, learnt from FairFace; race, gender and age as people perceive them.

    Args:
        weights: Folder of another annotator made by ``mien annotator``; by default the one in the box.
        device: Where to compute: cpu, cuda.
        view: What pictures are like, which decides the calibration: grey_48, colour_48, grey_96 or colour_96; told
            from the pictures by default.

    Raises:
        ConfigError: If there is no such view.
        WeightsError: If a file is missing or does not match its card.
    """
    return MienAnnotator(Path(weights) if weights is not None else BUNDLED, device, view=view)
