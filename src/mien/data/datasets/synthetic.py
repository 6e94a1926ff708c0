"""Drawn faces with a known truth: expressions, annotators, groups, and a bias of chosen size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from mien.data.corpus import BadRows, Chunk, Corpus
from mien.data.datasets import DATASETS
from mien.data.rendering import (
    GROUPS,
    SHARES,
    Draws,
    Values,
    capture_values,
    expression_values,
    identity_values,
    render,
)
from mien.data.rendering.annotators import cast_votes, replace_labels
from mien.data.rendering.bias import Bias, read_biases, read_splits
from mien.errors import ConfigError
from mien.labels import FER2013_CLASSES

__all__ = ["Bias", "detect", "synthetic"]

ATTRIBUTES = tuple(GROUPS)
TERMS = "Drawn by this program; CC0 1.0 (public domain)"

_LIMITS: Mapping[str, tuple[int, int]] = {
    "n": (1, 10_000_000),
    "size": (16, 512),
    "seed": (0, 2**63 - 1),
    "annotators": (1, 10_000),
    "faces_per_identity": (1, 10_000),
    "threads": (1, 256),
}
_BLOCK = 64  # faces that share a random stream; part of what a seed means, so never change it
_BLOCKS_PER_CHUNK = 8
_IDENTITY, _EXPRESSION, _CAPTURE, _LABEL, _GRAIN = range(5)
_K = len(FER2013_CLASSES)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The options of one corpus, checked."""

    n: int
    size: int
    channels: int
    seed: int
    splits: Mapping[str, float]
    biases: tuple[Bias, ...]
    annotators: int
    faces_per_identity: int
    nuisance: float


@dataclass(frozen=True)
class _People:
    """The identities of one block: shape, groups and split."""

    values: Values
    groups: Mapping[str, NDArray[np.int64]]
    split: NDArray[np.str_]


def _within(name: str) -> Any:
    """The bounds of an option as configurations and ``mien list`` read them; :func:`_check` holds callers to them."""
    low, high = _LIMITS[name]
    return Field(ge=low, le=high)


def detect(root: Path) -> bool:
    """Whether ``root`` holds this corpus: never, it is drawn."""
    return False


@DATASETS.register("synthetic", tiny={"n": 20, "size": 32})
def synthetic(
    root: Path | None = None,
    *,
    n: Annotated[int, _within("n")] = 10_000,
    size: Annotated[int, _within("size")] = 64,
    channels: Literal[1, 3] = 1,
    seed: Annotated[int, _within("seed")] = 0,
    splits: Mapping[str, float] | None = None,
    bias: Bias | Mapping[str, Any] | Sequence[Bias | Mapping[str, Any]] | None = None,
    annotators: Annotated[int, _within("annotators")] = 10,
    faces_per_identity: Annotated[int, _within("faces_per_identity")] = 1,
    nuisance: Annotated[float, Field(ge=0, le=2)] = 1.0,
    threads: Annotated[int, _within("threads")] = 2,
) -> Corpus:
    """Drawn faces with seven expressions, simulated annotators and a bias of chosen size.

    Face ``i`` depends on ``seed``, ``i`` and the options about faces only: a corpus of 100 is the
    beginning of a corpus of 10,000, whatever the number of threads. A bias changes the faces it
    names and leaves all other random choices as they were, so that two corpora can be compared
    face by face. Another processor or numpy may round a pixel in another way.

    ``gender`` is a drawn presentation (hair, brows, jaw, beard, lips: soft tendencies that overlap);
    ``skin`` cuts a continuous tone in three. No bias does not mean that all groups are equally easy:
    frames cover part of a brow, wrinkles look like creases, dark hair on dark skin has less contrast.
    Where groups must be alike, compare with the same seed without the bias.

    The frames also hold the truth: ``true_expression``, ``true_intensity`` (0 to about 1.1, NaN for
    neutral) and ``label_replaced`` (by label noise). These columns are no attributes.

    Args:
        root: Not used; there is nothing to read.
        n: Number of faces.
        size: Height and width in pixels, 16 to 512.
        channels: 1 (grey) or 3 (colour).
        seed: Seed of everything, 0 or more.
        splits: Split -> share; shares sum to 1. An identity lies in one split.
            Without it 70 % ``train``, 15 % ``valid``, 15 % ``test``.
        bias: One :class:`Bias` or several, or the same as mappings (from a configuration).
        annotators: Votes a face. With 1 there is no disagreement: the vote is the true expression
            (unless label noise replaces it).
        faces_per_identity: Faces that share one drawn person.
        nuisance: Scales pose, light, occlusion, blur and noise; 0 gives frontal, evenly lit faces.
        threads: Threads that draw; they change the speed, never a pixel.

    Returns:
        A corpus whose ``detail`` holds these options with the injected bias.

    Raises:
        ConfigError: If an option has a wrong value, or a bias names what does not exist.
    """
    counts = {"n": n, "size": size, "seed": seed, "annotators": annotators, "faces_per_identity": faces_per_identity}
    _check(counts | {"threads": threads}, channels, nuisance)
    shares = read_splits(splits)
    plan = _Plan(
        n=n,
        size=size,
        channels=channels,
        seed=seed,
        splits=shares,
        biases=read_biases(bias, shares),
        annotators=annotators,
        faces_per_identity=faces_per_identity,
        nuisance=float(nuisance),
    )
    detail = counts | {
        "channels": channels,
        "splits": dict(shares),
        "bias": [b.as_dict() for b in plan.biases],
        "nuisance": plan.nuisance,
    }
    return Corpus(
        name="synthetic",
        vocabulary=FER2013_CLASSES,
        attributes=ATTRIBUTES,
        terms=TERMS,
        chunks=partial(_chunks, plan, threads),
        n_rows=n,
        detail=detail,
    )


def _check(counts: Mapping[str, Any], channels: Any, nuisance: Any) -> None:
    for name, value in counts.items():
        low, high = _LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(name, f"{value!r}", f"a whole number from {low} to {high}")
    if channels not in (1, 3):
        raise ConfigError("channels", f"{channels!r}", "1 (grey) or 3 (colour)")
    if isinstance(nuisance, bool) or not isinstance(nuisance, (int, float)) or not 0 <= nuisance <= 2:
        raise ConfigError("nuisance", f"{nuisance!r}", "a number from 0 to 2")


def _chunks(plan: _Plan, threads: int, bad: BadRows) -> Iterator[Chunk]:
    """Draw block after block; at most a few blocks are in memory at a time."""
    n_blocks = -(-plan.n // _BLOCK)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Chunk]] = deque()
        ready: list[Chunk] = []
        try:
            for block in range(n_blocks):
                waiting.append(pool.submit(_draw_block, plan, block))
                if len(waiting) > 2 * threads:
                    ready.append(waiting.popleft().result())
                if len(ready) == _BLOCKS_PER_CHUNK:
                    yield _join(ready)
                    ready = []
            while waiting:
                ready.append(waiting.popleft().result())
                if len(ready) == _BLOCKS_PER_CHUNK or not waiting:
                    yield _join(ready)
                    ready = []
        finally:
            for future in waiting:
                future.cancel()


def _join(parts: Sequence[Chunk]) -> Chunk:
    return Chunk(np.concatenate([p.images for p in parts]), pd.concat([p.frame for p in parts], ignore_index=True))


def _rng(plan: _Plan, stream: int, block: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, stream, block])


def _draw_block(plan: _Plan, block: int) -> Chunk:
    """The faces of one block, with their rows; always draws the random numbers of a whole block."""
    index = np.arange(block * _BLOCK, (block + 1) * _BLOCK)
    identity = index // plan.faces_per_identity
    people = _gather(plan, identity)
    labels = _expressions(plan, block, people)
    effect = _effects(plan, people)
    draws = Draws(_rng(plan, _EXPRESSION, block), _BLOCK)
    units, intensity = expression_values(draws, labels, effect["cues"])
    draws = Draws(_rng(plan, _CAPTURE, block), _BLOCK)
    values = people.values | units | capture_values(draws, plan.nuisance, effect["blur"], effect["noise"])
    keep = min(_BLOCK, plan.n - block * _BLOCK)
    images = render(values, plan.size, plan.channels, _rng(plan, _GRAIN, block), effect["contrast"], keep)
    frame = _frame(plan, block, people, identity, labels, intensity)
    return Chunk(images, frame.iloc[:keep].reset_index(drop=True))


def _gather(plan: _Plan, identity: NDArray[np.int64]) -> _People:
    """The people behind the faces of a block, wherever their own random streams lie."""
    blocks = [_people(plan, int(b)) for b in np.unique(identity // _BLOCK)]
    at = identity - (identity[0] // _BLOCK) * _BLOCK
    return _People(
        {k: np.concatenate([p.values[k] for p in blocks])[at] for k in blocks[0].values},
        {k: np.concatenate([p.groups[k] for p in blocks])[at] for k in blocks[0].groups},
        np.concatenate([p.split for p in blocks])[at],
    )


def _people(plan: _Plan, block: int) -> _People:
    identity = np.arange(block * _BLOCK, (block + 1) * _BLOCK)
    # Steps of the golden ratio fill every stretch of identities evenly, whatever their number.
    position = np.modf((identity + 0.5) * 0.6180339887498949)[0]
    bounds = np.cumsum(list(plan.splits.values()))[:-1]
    split = np.array(list(plan.splits))[np.searchsorted(bounds, position, side="right")]
    draws = Draws(_rng(plan, _IDENTITY, block), _BLOCK)
    groups = {}
    for attribute in GROUPS:
        shares = np.tile(np.asarray(SHARES[attribute], dtype=np.float64), (_BLOCK, 1))
        for bias in plan.biases:
            if bias.attribute == attribute and bias.share is not None:
                rows = bias.in_splits(split)
                g = GROUPS[attribute].index(bias.group)
                others = np.delete(np.arange(shares.shape[1]), g)
                rest = shares[np.ix_(rows, others)]
                shares[np.ix_(rows, others)] = rest / rest.sum(1, keepdims=True) * (1 - bias.share)
                shares[rows, g] = bias.share
        groups[attribute] = draws.pick(shares)
    return _People(identity_values(draws, groups), groups, split)


def _members(bias: Bias, people: _People) -> NDArray[np.bool_]:
    group = people.groups[bias.attribute] == GROUPS[bias.attribute].index(bias.group)
    return np.asarray(group & bias.in_splits(people.split))


def _expressions(plan: _Plan, block: int, people: _People) -> NDArray[np.int64]:
    """The true expression of each face: uniform, tilted in the groups that a bias names."""
    shares = np.full((_BLOCK, _K), 1 / _K)
    for bias in plan.biases:
        tilt = np.array([bias.class_tilt.get(c, 1.0) for c in FER2013_CLASSES])
        shares[_members(bias, people)] *= tilt
    return Draws(np.random.default_rng([plan.seed, _EXPRESSION, block, 1]), _BLOCK).pick(shares)


def _effects(plan: _Plan, people: _People) -> dict[str, NDArray[np.float32]]:
    """What the biases do to the pictures, per face; several biases on one face combine."""
    effect = {k: np.full(_BLOCK, v, dtype=np.float32) for k, v in _NO_EFFECT.items()}
    for bias in plan.biases:
        rows = _members(bias, people)
        effect["cues"][rows] *= bias.cues
        effect["contrast"][rows] *= bias.contrast
        effect["blur"][rows] = np.hypot(effect["blur"][rows], bias.blur)
        effect["noise"][rows] = np.hypot(effect["noise"][rows], bias.noise)
    return effect


_NO_EFFECT = {"cues": 1.0, "contrast": 1.0, "blur": 0.0, "noise": 0.0}


def _votes(
    plan: _Plan, block: int, people: _People, labels: NDArray[np.int64], intensity: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Votes ``(_BLOCK, K)`` and where label noise replaced the label."""
    votes = cast_votes(labels, intensity, plan.annotators, _rng(plan, _LABEL, block))
    replaced = np.zeros(_BLOCK, dtype=bool)
    for j, bias in enumerate(plan.biases):
        hit_u, choice_u = np.random.default_rng([plan.seed, _LABEL, block, j + 1]).random((2, _BLOCK))
        hit = _members(bias, people) & (hit_u < bias.label_noise) & ~replaced
        target = None if bias.label_noise_to is None else FER2013_CLASSES.index(bias.label_noise_to)
        replaced |= replace_labels(votes, hit, target, choice_u)
    return votes, replaced


def _frame(
    plan: _Plan,
    block: int,
    people: _People,
    identity: NDArray[np.int64],
    labels: NDArray[np.int64],
    intensity: NDArray[np.float32],
) -> pd.DataFrame:
    votes, replaced = _votes(plan, block, people, labels, intensity)
    columns: dict[str, Any] = {
        "sample_id": [f"synthetic-{i:07d}" for i in range(block * _BLOCK, (block + 1) * _BLOCK)],
        "split": people.split.astype(object),
        "identity": [f"person-{i:07d}" for i in identity],
    }
    columns |= {f"votes_{c}": votes[:, k] for k, c in enumerate(FER2013_CLASSES)}
    for attribute, codes in people.groups.items():
        columns[attribute] = np.array(GROUPS[attribute], dtype=object)[codes]
        columns[f"{attribute}_source"] = "annotated"
    neutral = labels == FER2013_CLASSES.index("neutral")
    columns["true_expression"] = np.array(FER2013_CLASSES, dtype=object)[labels]
    columns["true_intensity"] = np.where(neutral, np.nan, intensity)
    columns["label_replaced"] = replaced
    return pd.DataFrame(columns)
