"""Memberships of faces in cells of class and group, hard or soft, as tensors of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def cells_of(targets: Tensor, groups: Tensor, *, classes: bool) -> Tensor:
    """``(B, C)`` memberships: of each group, or of each class of each group (class first).

    Args:
        targets: ``(B, K)`` shares of classes.
        groups: ``(B, G)`` memberships; zeros where the group is missing, and the face is then in no cell.
        classes: Whether classes make cells.
    """
    if not classes:
        return groups
    return (targets[:, :, None] * groups[:, None, :]).flatten(1)


def n_cells(targets: Tensor, groups: Tensor, *, classes: bool) -> Tensor:
    """``(C,)`` faces of each cell, shares of faces added up; without the memory of all their cells."""
    return (targets.T @ groups).flatten() if classes else groups.sum(0)


def weighted_means(values: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """``(C, D)`` means of ``(B, D)`` values over cells, and ``(C,)`` the faces in each; 0 where there is none."""
    mass = cells.sum(0)
    return (cells.T @ values) / mass.clamp(min=1e-12)[:, None], mass


def pairs_of(mass: Tensor, n_groups: int, least: float) -> list[tuple[int, int]]:
    """Pairs of cells that differ in their group alone, both with so many faces or more.

    Args:
        mass: ``(C,)`` faces of each cell, group by group within a class.
        n_groups: G.
        least: Faces.
    """
    found = []
    enough = (mass >= least).tolist()
    for first in range(0, len(enough), n_groups):
        there = [i for i in range(first, first + n_groups) if enough[i]]
        found += [(i, j) for k, i in enumerate(there) for j in there[k + 1 :]]
    return found


def squared_distances(x: Tensor) -> Tensor:
    """``(B, B)`` squared Euclidean distances of rows, none below 0."""
    return torch.cdist(x, x).square()
