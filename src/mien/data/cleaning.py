"""Copies of one picture: found by exact and by perceptual hash, confirmed on the pixels, numbered as clusters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.near_copies import as_grey, join_alike

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
    joined, n_clusters = join_alike(images, first, perceptual[first], max_bits, min_correlation)
    cluster = joined[inverse.reshape(-1)]
    _, order, renumbered = np.unique(cluster, return_index=True, return_inverse=True)
    rank = np.empty(len(order), dtype=np.int64)
    rank[np.argsort(order)] = np.arange(len(order))
    return Duplicates(rank[renumbered.reshape(-1)], n - len(unique), len(unique) - n_clusters)
