"""From a run that learnt attributes to an annotator: calibrated, half the size, its errors counted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from mien.annotators.card import annotator_card
from mien.annotators.mien import ABOUT, CARD_TEXT, HOLDOUT, PARTS, VIEWS, About, Calibration, MienAnnotator, perceived
from mien.data.images import Store
from mien.data.splits import VALIDATION
from mien.demographics import Head
from mien.errors import DataError, UsageError
from mien.inference import Progress
from mien.outputs import FolderWriter, Kind, write_text
from mien.runs import Run

ANNOTATOR_FOLDER = Kind("an annotator", ABOUT, "calibrations", PARTS)
_PENALTY = 1e-3
_MOST = 7.0  # largest logarithm of a factor of the logits
_PARTS = 10


def pack_annotator(
    run: Run,
    out: Path | str,
    *,
    version: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> MienAnnotator:
    """Make an annotator of a run's weights and its validation faces.

    The weights are kept in half precision. The validation faces are looked at as they are, small,
    grey, and small and grey; for each view every attribute is calibrated (:func:`fit_scaling`), and
    what the annotator then says of each face is kept beside the face's annotated groups: card,
    thresholds and corrections are all counted from that one file.

    Args:
        run: A run with ``labels.attributes``.
        out: Folder of the annotator.
        version: Stands in every column that the annotator fills; by default the first eight characters of
            the weights' checksum, so that no two annotators share a name.
        force: Replace what is there.
        progress: Called with faces done and in all.

    Raises:
        UsageError: If the run learnt expressions, or ``out`` exists.
        DataError: If the run's store is not what it was.
    """
    import torch

    from mien.models.weights import Classifier, save_weights

    out = Path(out)
    folder = FolderWriter(out, ANNOTATOR_FOLDER, force=force)
    classifier = Classifier.load(run.path)
    if not classifier.card.heads:
        raise UsageError(str(run.path), "learnt expressions", "a run with labels.attributes")
    store, rows = _held_out(run)
    with folder as partial:
        module = classifier.module.to(torch.float16)
        card = save_weights(module, classifier.card, partial)
        corpus, n = store.info["corpus"], len(rows)
        about = About(
            version or card.sha256[:8],
            f"{classifier.card.model} trained with Mien on {corpus}",
            classifier.card.terms,
            {},
            f"{n:,} validation faces of {corpus} ({run.config.split.name} split)",
        )
        about.save(partial)
        about = _measure(MienAnnotator(partial), about, store, rows, partial, progress)
        about.save(partial)
        write_text(partial / CARD_TEXT, annotator_card(MienAnnotator(partial), run.record))
        about.save(partial)  # once more, for now all is there that it vouches for
        folder.commit()
    return MienAnnotator(out)


def _held_out(run: Run) -> tuple[Store, NDArray[np.int64]]:
    """The run's store and the rows of its validation faces."""
    place, fingerprint = run.trained_on
    store = Store.open(place)
    if store.fingerprint != fingerprint:
        raise DataError(str(store.path), "is not the store that the run was trained on", fingerprint)
    splits = run.splits
    held = set(splits.loc[splits["split"] == VALIDATION, "sample_id"])
    table = store.table.frame
    known = table["sample_id"].isin(held) & table[list(run.config.labels.attributes)].notna().all(axis=1)
    return store, np.flatnonzero(known.to_numpy())


def _measure(
    annotator: MienAnnotator,
    about: About,
    store: Store,
    rows: NDArray[np.int64],
    folder: Path,
    progress: Progress | None,
) -> About:
    """Fit the calibrations and write the held-out faces; returns what is then known."""
    faces = store.table.frame.iloc[rows]
    images = store.images[faces["image"].to_numpy(np.int64)]  # a table need not have its pictures' order
    columns: dict[str, Any] = {
        "sample_id": faces["sample_id"].to_numpy(),
        "cluster": faces["cluster"].to_numpy(np.int32),
    }
    columns |= {h.name: pd.Categorical(faces[h.name], categories=list(h.groups)) for h in annotator.trained}
    calibrations: dict[str, dict[str, Calibration]] = {}
    for i, view in enumerate(VIEWS):

        def done(n: int, total: int | None, before: int = i * len(rows)) -> None:
            if progress:
                progress(before + n, len(VIEWS) * len(rows))

        logits = annotator.logits(as_seen(images, view), done)
        calibrations[view] = _calibrations(logits, annotator.trained, faces)
        probs = _cross_fitted(logits, annotator.trained, faces)
        for head in annotator.trained:
            block = probs[head.name].astype(np.float16)
            columns |= {f"{view}_{head.name}_{g}": block[:, k] for k, g in enumerate(head.groups)}
    pd.DataFrame(columns).to_parquet(folder / HOLDOUT, index=False, compression="zstd")
    return About(**{**asdict(about), "calibrations": calibrations})


def _cross_fitted(
    logits: NDArray[np.float32], heads: tuple[Head, ...], faces: pd.DataFrame
) -> dict[str, NDArray[np.float32]]:
    """Probabilities of each tenth of the faces (copies together) with the calibration of the others."""
    part = np.unique(faces["cluster"].to_numpy(), return_inverse=True)[1] % _PARTS
    out = {h.name: np.empty((len(logits), len(h.groups)), dtype=np.float32) for h in heads}
    for k in range(_PARTS):
        applied = part == k
        said = perceived(logits[applied], heads, _calibrations(logits[~applied], heads, faces[~applied]))
        for head in heads:
            out[head.name][applied] = said.probs[head.name]
    return out


def as_seen(images: NDArray[np.uint8], view: str) -> NDArray[np.uint8]:
    """``(n, H, W, 3)`` pictures as they would be in another corpus: grey, or of 48 px a side.

    Args:
        images: The pictures.
        view: ``colour_96`` leaves them as they are.
    """
    import torch

    from mien.data.augment import greyed
    from mien.pictures.tensors import resized

    colour, side = view.split("_")
    if colour == "colour" and side == "96":
        return images
    out = []
    for start in range(0, len(images), 512):
        x = torch.from_numpy(images[start : start + 512].copy()).permute(0, 3, 1, 2).float()
        x = greyed(x) if colour == "grey" else x
        if side == "48":
            x = resized(x, (48, 48))
        out.append(x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    pictures = np.concatenate(out)
    return pictures[..., :1] if colour == "grey" else pictures


def _calibrations(logits: NDArray[np.float32], heads: tuple[Head, ...], faces: pd.DataFrame) -> dict[str, Calibration]:
    """For each head the scaling under which its held-out faces are most likely."""
    found, start = {}, 0
    for head in heads:
        block = logits[:, start : start + len(head.groups)].astype(np.float64)
        start += len(head.groups)
        codes = pd.Categorical(faces[head.name], categories=list(head.groups)).codes.astype(np.int64)
        found[head.name] = fit_scaling(block, codes)
    return found


def fit_scaling(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Calibration:
    """Vector scaling (Guo et al. 2017): a factor and an offset for each group, by the likelihood.

    One temperature for all groups leaves ages too sure of the middle bins. A small penalty keeps
    offsets of groups with few faces from running away.

    Args:
        logits: ``(n, G)``.
        labels: ``(n,)``.
    """
    n, size = logits.shape
    hot = np.eye(size)[labels]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, offset = np.exp(parameters[:size]), parameters[size:]
        z = logits * scale + offset
        z -= z.max(1, keepdims=True)
        total = np.log(np.exp(z).sum(1))
        wrong = (np.exp(z - total[:, None]) - hot) / n
        value = float((total - (z * hot).sum(1)).mean() + _PENALTY * (offset**2).sum())
        slope = np.concatenate([(wrong * logits).sum(0) * scale, wrong.sum(0) + 2 * _PENALTY * offset])
        return value, slope

    # Logits that tell nothing would be scaled without end.
    bounds = [(-_MOST, _MOST)] * size + [(None, None)] * size
    best = minimize(loss, np.zeros(2 * size), jac=True, method="L-BFGS-B", bounds=bounds).x
    return {"scale": np.exp(best[:size]).tolist(), "offset": best[size:].tolist()}
