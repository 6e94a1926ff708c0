"""Ties broken by lot: once a face and a seed, whatever the order of the table and however often it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def lots(faces: Iterable[object], n: int, seed: int) -> NDArray[np.uint64]:
    """Draw ``n`` numbers a face.

    They come from a hash of seed and face: no stream that another order, or a part of the table, would shift.

    Args:
        faces: What tells each face, such as the hash of its picture; equal ones draw alike.
        n: Numbers a face.
        seed: Another seed draws others.

    Returns:
        ``(len(faces), n)`` numbers, uniform from 0 to 2^64 - 1.
    """
    drawn = b"".join(hashlib.shake_128(f"{seed}:{face}".encode(errors="replace")).digest(8 * n) for face in faces)
    return np.frombuffer(drawn, dtype="<u8").astype(np.uint64).reshape(-1, n)


def drawn_order(
    votes: NDArray[np.float64], faces: Sequence[object] | NDArray[np.generic], seed: int
) -> NDArray[np.int64]:
    """The place that each entry draws among the entries of its row with as many votes.

    Args:
        votes: ``(n, S)`` votes.
        faces: ``(n,)`` what tells each face.
        seed: Seed of the lot.

    Returns:
        ``(n, S)`` places from 0; 0 where no other entry has as many votes, and where there are none.
    """
    n, s = votes.shape
    place = np.zeros((n, s), dtype=np.int64)
    if not n or not s:
        return place
    order = np.lexsort((lots(faces, s, seed), votes), axis=-1)  # by votes, equal ones by lot
    in_order = np.take_along_axis(votes, order, axis=1)
    new = np.ones((n, s), dtype=bool)
    new[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    at = np.broadcast_to(np.arange(s), (n, s))
    np.put_along_axis(place, order, at - np.maximum.accumulate(np.where(new, at, 0), axis=1), axis=1)
    return np.where(votes > 0, place, 0)
