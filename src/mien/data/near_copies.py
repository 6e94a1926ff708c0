"""Pictures that look alike, joined without comparing each with each: ten thousand frames of one still are a video.

Two pictures are alike if their perceptual hashes differ in a few bits **and** their pixels correlate;
copies of copies are one cluster. The clusters are those that all pairs would give, but most pairs need
no look at their pixels: pictures of one hash are compared with the first of them, and a pair that hangs
together already is not compared at all. Pairs are told a piece at a time, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.inputs import rows_at_once

HASH_BITS = 64
_TILE = 1 << 20  # pairs of hashes compared at once
_FIRST, _MOST = 256, 1 << 20  # pairs whose pixels are compared at once: few first, for they may join the others
_DENSE = 8  # of the pairs of two lists at least every eighth is asked for: then a product of matrices is faster
_DOUBT = 1e-3  # the product of matrices rounds in another order; within this of the bound each pair is looked at

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Images = NDArray[np.uint8]


def as_grey(images: Images) -> NDArray[np.float32]:
    """``(n, H, W[, C])`` uint8 -> ``(n, H, W)`` float32, 0 to 255."""
    if images.ndim == 4:
        return np.asarray(images.mean(axis=3, dtype=np.float32))
    return images.astype(np.float32)


def join_alike(
    images: Images, rows: Ints, hashes: NDArray[np.uint64], max_bits: int, min_correlation: float
) -> tuple[Ints, int]:
    """Number the pictures so that all that hang together share a number.

    Args:
        images: ``(n, H, W)`` or ``(n, H, W, C)`` uint8; may be memory-mapped.
        rows: ``(m,)`` which of them.
        hashes: ``(m,)`` their perceptual hashes.
        max_bits: Largest difference of two hashes.
        min_correlation: Smallest correlation of their grey pixels.

    Returns:
        ``(m,)`` numbers in no order, and how many there are.
    """
    pixels = _Pixels(images, rows, min_correlation)
    stars = _stars(pixels, hashes)
    leaders = np.array([star[0] for star in stars], dtype=np.int64)
    joined = _Joined(len(stars))
    for pairs in close_pairs(hashes[leaders], max_bits, joined.label):
        _join(pairs, stars, leaders, pixels, joined)
    found = np.empty(len(rows), dtype=np.int64)
    for star, label in zip(stars, joined.label, strict=True):
        found[star] = label
    return found, len(np.unique(joined.label))


class _Joined:
    """Things that hang together share a label; the smaller part takes that of the larger."""

    def __init__(self, n: int) -> None:
        self.label = np.arange(n)
        self._members: dict[int, list[int]] = {}

    def join(self, one: int, other: int) -> None:
        a, b = int(self.label[one]), int(self.label[other])
        if a == b:
            return
        of_a, of_b = self._members.pop(a, [a]), self._members.pop(b, [b])
        if len(of_a) < len(of_b):
            a, of_a, of_b = b, of_b, of_a
        self.label[of_b] = a
        of_a += of_b
        self._members[a] = of_a

    def apart(self, pairs: Ints) -> Ints:
        """The pairs that do not hang together yet."""
        return np.asarray(pairs[self.label[pairs[:, 0]] != self.label[pairs[:, 1]]])


class _Pixels:
    """Compares the grey pixels of pictures; flat pictures are never alike."""

    def __init__(self, images: Images, rows: Ints, least: float) -> None:
        self.images, self.rows, self.least = images, rows, least
        self.n = int(np.prod(images.shape[1:3]))
        self.step = rows_at_once(4 * self.n, 4096)

    def alike(self, pairs: Ints) -> Bools:
        """``(p,)``: whether the pictures of each pair are alike."""
        (one, i), (other, j) = (_distinct(pairs[:, side], len(self.rows)) for side in (0, 1))
        if len(one) * len(other) <= _DENSE * len(pairs):
            return np.asarray(self.between(one, other)[i, j])
        return self._one_by_one(pairs)

    def between(self, one: Ints, other: Ints) -> Bools:
        """``(a, b)``: whether each of some pictures and each of others are alike."""
        found = np.empty((len(one), len(other)), dtype=bool)
        for i in range(0, len(one), self.step):
            left, left_norm = self._centred(one[i : i + self.step])
            for j in range(0, len(other), self.step):
                right, right_norm = self._centred(other[j : j + self.step])
                scale, product = np.outer(left_norm, right_norm), left @ right.T
                hit = (product >= self.least * scale) & (scale > self.n)
                doubt = np.abs(product - self.least * scale) <= _DOUBT * scale
                doubt |= np.abs(scale - self.n) <= _DOUBT * self.n
                doubt &= scale > self.n / 2  # flat pictures, of which there may be many, are in no doubt
                if doubt.any():
                    a, b = np.nonzero(doubt)
                    hit[a, b] = self._one_by_one(np.stack([one[i + a], other[j + b]], axis=1))
                found[i : i + self.step, j : j + self.step] = hit
        return found

    def any_between(self, one: Ints, other: Ints) -> bool:
        """Whether any of some pictures and any of others are alike; stops at the first."""
        return any(
            self.between(one[i : i + 64], other[j : j + self.step]).any()
            for i in range(0, len(one), 64)
            for j in range(0, len(other), self.step)
        )

    def _centred(self, which: Ints) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        grey = as_grey(self.images[self.rows[which]]).reshape(len(which), -1)
        grey -= grey.mean(1, keepdims=True)
        return grey, np.sqrt((grey * grey).sum(1))

    def _one_by_one(self, pairs: Ints) -> Bools:
        keep = np.zeros(len(pairs), dtype=bool)
        step = max(1, self.step // 2)
        for start in range(0, len(pairs), step):
            part = pairs[start : start + step]
            a, b = (as_grey(self.images[self.rows[part[:, side]]]).reshape(len(part), -1) for side in (0, 1))
            a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
            scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
            keep[start : start + step] = ((a * b).sum(1) >= self.least * scale) & (scale > self.n)
        return keep


def _stars(pixels: _Pixels, hashes: NDArray[np.uint64]) -> list[Ints]:
    """Pictures that are alike with the first one of their hash, which stands first; every other one by itself."""
    order = np.argsort(hashes, kind="stable")
    stars: list[Ints] = []
    for group in np.split(order, np.flatnonzero(np.diff(hashes[order])) + 1):
        if len(group) == 1:
            stars.append(group)
            continue
        alike = np.r_[True, pixels.between(group[:1], group[1:])[0]]
        stars += [group[alike], *group[~alike].reshape(-1, 1)]
    return stars


def _distinct(values: Ints, n: int) -> tuple[Ints, Ints]:
    """As ``np.unique`` with the inverse, for numbers below ``n``, without sorting."""
    there = np.zeros(n, dtype=bool)
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


def _join(pairs: Ints, stars: list[Ints], leaders: Ints, pixels: _Pixels, joined: _Joined) -> None:
    """Join the pairs of stars of which any two pictures are alike."""
    sizes = np.array([len(star) for star in stars])
    start, size = 0, _FIRST
    while start < len(pairs):
        piece = joined.apart(pairs[start : start + size])
        start, size = start + size, min(4 * size, _MOST)
        if not len(piece):
            continue
        alike = pixels.alike(leaders[piece])
        for a, b in piece[alike].tolist():
            joined.join(a, b)
        unlike = piece[~alike]
        for a, b in joined.apart(unlike[sizes[unlike].prod(1) > 1]).tolist():
            if joined.label[a] != joined.label[b] and pixels.any_between(stars[a], stars[b]):
                joined.join(a, b)


def close_pairs(hashes: NDArray[np.uint64], max_bits: int, label: Ints | None = None) -> Iterator[Ints]:
    """Pairs ``(p, 2)`` of hashes within ``max_bits``, each once, some at a time.

    Two such hashes agree in at least one of ``max_bits + 1`` bands.

    Args:
        hashes: ``(n,)``.
        max_bits: Largest difference.
        label: ``(n,)`` what hangs together already, which may change meanwhile: a band in which all do is left out.
    """
    bounds = np.linspace(0, HASH_BITS, max_bits + 2).astype(int)
    masks: list[np.uint64] = []
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        mask = np.uint64(((1 << int(high - low)) - 1) << int(low))
        band = hashes & mask
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            yield from _within(bucket, hashes, max_bits, masks, label)
        masks.append(mask)


def _within(
    bucket: Ints, hashes: NDArray[np.uint64], max_bits: int, earlier: list[np.uint64], label: Ints | None
) -> Iterator[Ints]:
    """The close pairs of one bucket that agree in no ``earlier`` band."""
    start = 0
    while start < len(bucket) - 1:
        if label is not None and (label[bucket] == label[bucket[0]]).all():
            return
        rest = bucket[start:]
        n = max(1, min(_TILE // len(rest), len(rest)))
        differ = hashes[rest[:n], None] ^ hashes[rest]
        i, j = np.nonzero(np.triu(np.bitwise_count(differ) <= max_bits, 1))
        if len(i):
            bits = differ[i, j]
            new = np.ones(len(i), dtype=bool)
            for mask in earlier:
                new &= (bits & mask) != 0
            if new.any():
                yield np.stack([rest[i[new]], rest[j[new]]], axis=1)
        start += n
