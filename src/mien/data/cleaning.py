"""Copies of one picture: found by exact and by perceptual hash, confirmed on the pixels, numbered as clusters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
_SIDE, _LOW = 32, 8


def exact_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64-bit hash of each image's bytes: ``(n, ...)`` uint8 -> ``(n,)``."""
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    digests = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat)
    return np.frombuffer(digests, dtype=np.uint64)


def perceptual_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64-bit perceptual hash of each image: the signs of its low frequencies about their median.

    The picture is taken to grey and to 32x32, and of its cosine transform the 8x8 lowest
    frequencies are compared with their median (without the mean brightness). Small changes of
    brightness, size and compression leave most bits as they were.

    Args:
        images: ``(n, H, W)`` or ``(n, H, W, C)`` uint8.

    Returns:
        ``(n,)`` uint64.
    """
    grey = as_grey(images)
    rows = _low_frequencies(grey.shape[1])
    columns = _low_frequencies(grey.shape[2])
    low = np.einsum("kh,nhw,lw->nkl", rows, grey, columns, optimize=True).reshape(len(grey), -1)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False  # brightness alone does not make two pictures differ
    return np.packbits(bits, axis=1).view(np.uint64).reshape(-1)


def as_grey(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(n, H, W[, C])`` uint8 -> ``(n, H, W)`` float32, 0 to 255."""
    if images.ndim == 4:
        return np.asarray(images.mean(axis=3, dtype=np.float32))
    return images.astype(np.float32)


def _low_frequencies(side: int) -> NDArray[np.float32]:
    """``(8, side)``: linear resampling to 32 values, then the first eight rows of the cosine transform."""
    position = np.clip((np.arange(_SIDE) + 0.5) * side / _SIDE - 0.5, 0, side - 1)
    left = np.floor(position).astype(int)
    right = np.minimum(left + 1, side - 1)
    resample = np.zeros((_SIDE, side))
    np.add.at(resample, (np.arange(_SIDE), left), 1 - (position - left))
    np.add.at(resample, (np.arange(_SIDE), right), position - left)
    k, x = np.arange(_LOW)[:, None], np.arange(_SIDE)[None, :]
    return np.asarray(np.cos(np.pi * k * (2 * x + 1) / (2 * _SIDE)) @ resample, dtype=np.float32)


@dataclass(frozen=True)
class Duplicates:
    """Which faces are copies of each other.

    Attributes:
        cluster: ``(n,)`` int64; faces of one picture share a number.
        n_exact: Faces that are a byte-for-byte copy of an earlier one.
        n_near: Faces that are a copy of an earlier one by their look only.
    """

    cluster: NDArray[np.int64]
    n_exact: int
    n_near: int


def find_duplicates(
    images: NDArray[np.uint8],
    exact: NDArray[np.uint64],
    perceptual: NDArray[np.uint64],
    max_bits: int = 7,
    min_correlation: float = 0.9,
) -> Duplicates:
    """Number the pictures so that copies share a number.

    Two faces are copies if their bytes agree, or if their perceptual hashes differ in at most
    ``max_bits`` bits **and** their pixels correlate by ``min_correlation`` or more (hashes alone
    would join different faces in the same pose).

    Args:
        images: ``(n, H, W)`` or ``(n, H, W, C)`` uint8; may be memory-mapped.
        exact: ``(n,)`` from :func:`exact_hashes`.
        perceptual: ``(n,)`` from :func:`perceptual_hashes`.
        max_bits: Largest difference of two perceptual hashes, 0 to 7.
        min_correlation: Smallest correlation of two copies' grey pixels.

    Returns:
        Clusters, numbered by first appearance.
    """
    n = len(exact)
    unique, first, inverse = np.unique(exact, return_index=True, return_inverse=True)
    pairs = _close_pairs(perceptual[first], max_bits)
    pairs = pairs[_correlated(images, first[pairs], min_correlation)] if len(pairs) else pairs
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(unique), len(unique)))
    n_clusters, component = connected_components(graph, directed=False)
    cluster = component[inverse.reshape(-1)]
    _, order, renumbered = np.unique(cluster, return_index=True, return_inverse=True)
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.argsort(order)] = np.arange(len(order))
    return Duplicates(rank[renumbered.reshape(-1)], n - len(unique), len(unique) - n_clusters)


def _close_pairs(hashes: NDArray[np.uint64], max_bits: int) -> NDArray[np.int64]:
    """Pairs ``(p, 2)`` of hashes within ``max_bits``: they agree in at least one of ``max_bits + 1`` bands."""
    bounds = np.linspace(0, HASH_BITS, max_bits + 2).astype(int)
    found = []
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(band[order]) != 0])
        for bucket in np.split(order, starts[1:]):
            if len(bucket) > 1:
                found.append(_within(bucket, hashes, max_bits))
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found), axis=0)


def _within(bucket: NDArray[np.int64], hashes: NDArray[np.uint64], max_bits: int) -> NDArray[np.int64]:
    pairs = []
    values = hashes[bucket]
    for i in range(len(bucket) - 1):
        near = np.bitwise_count(values[i + 1 :] ^ values[i]) <= max_bits
        if near.any():
            others = bucket[i + 1 :][near]
            pairs.append(np.stack([np.minimum(bucket[i], others), np.maximum(bucket[i], others)], axis=1))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)


def _correlated(
    images: NDArray[np.uint8], pairs: NDArray[np.int64], min_correlation: float, chunk: int = 2048
) -> NDArray[np.bool_]:
    """``(p,)``: whether the grey pixels of each pair correlate; flat pictures never do."""
    keep = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), chunk):
        a, b = (
            as_grey(images[pairs[start : start + chunk, side]]).reshape(len(pairs[start : start + chunk]), -1)
            for side in (0, 1)
        )
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
        keep[start : start + chunk] = ((a * b).sum(1) >= min_correlation * scale) & (scale > a.shape[1])
    return keep
