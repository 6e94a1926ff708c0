"""Gaps whose sign is known beforehand: which group is served better than which, in all classes or in some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.mitigate.definition import KnownGapConfig, MitigationConfig
from mien.registry import nearest
from mien.spellings import canonical, same_groups
from mien.wording import listed

Array = NDArray[np.float64]
CLASS_FACES = 10  # of a class in a group, for its rate to take part


@dataclass(frozen=True)
class KnownGap:
    """One of them, by the places of groups and classes; no classes stand for the study's metric."""

    better: int
    worse: int
    classes: tuple[int, ...]


def known_gaps(
    told: Sequence[KnownGapConfig], groups: Sequence[str], classes: Sequence[str], where: str
) -> tuple[KnownGap, ...]:
    """Find groups and classes by their names, in whatever spelling.

    Args:
        told: As the study has them.
        groups: Those of the judged faces.
        classes: Those of the judged faces.
        where: What an error names.

    Raises:
        ConfigError: If there is none of that name.
    """
    named = [name for gap in told for name in (gap.better, gap.worse)]
    place = same_groups(named, groups)
    class_of = {canonical(c): i for i, c in enumerate(classes)}
    for name in named:
        if name not in place:
            found = f"{name!r} is no group of the judged faces"
            raise ConfigError(f"{where}: known", found, "", nearest(name, list(groups)))
    for gap in told:
        for name in gap.classes:
            if canonical(name) not in class_of:
                raise ConfigError(f"{where}: known", f"{name!r} is no class", "", nearest(name, list(classes)))
    return tuple(
        KnownGap(place[gap.better], place[gap.worse], tuple(class_of[canonical(c)] for c in gap.classes))
        for gap in told
    )


def too_few(
    gaps: Sequence[KnownGap], annotated: NDArray[Any], groups: Sequence[str], classes: Sequence[str], min_n: int
) -> str:
    """What is too rare for a known gap to be told, in words; empty if nothing is.

    Args:
        gaps: The gaps.
        annotated: ``(G, K)`` faces of each group and class; of perceived groups no more than are behind them.
        groups: Names of the groups.
        classes: Names of the classes.
        min_n: Fewest faces of a group.
    """
    for gap in gaps:
        for g in (gap.better, gap.worse):
            if (n := int(annotated[g].sum())) < min_n:
                return f"{groups[g]} has {n} labelled faces, of {min_n} that are needed"
            for k in gap.classes:
                if (n := int(annotated[g, k])) < CLASS_FACES:
                    return f"{groups[g]} has {n} faces of {classes[k]}, of {CLASS_FACES} that are needed"
    return ""


def known_sides(recall: Array, rates: Array, gaps: Sequence[KnownGap]) -> tuple[Array, Array]:
    """The mean over gaps of the better group's rate, and of the worse group's.

    Their difference is the known gap, below 0 where it is the other way round. It is linear in the rates, so that noise
    alone makes it neither larger nor smaller, as it makes the largest gap over groups larger. It may close from either
    side: these tell from which.

    Args:
        recall: ``(..., G, K)`` of each class.
        rates: ``(..., G)`` each group's figure, which a gap without classes is told by.
        gaps: The gaps; one of several classes is the mean of its recalls.

    Returns:
        Two of ``(...)``; NaN where a group has no face of a class.
    """

    def mean(groups: Sequence[int]) -> Array:
        each = [
            recall[..., group, list(gap.classes)].mean(-1) if gap.classes else rates[..., group]
            for group, gap in zip(groups, gaps, strict=True)
        ]
        return np.asarray(np.mean(each, 0))

    return mean([gap.better for gap in gaps]), mean([gap.worse for gap in gaps])


def words_of(config: MitigationConfig) -> str:
    """What the known gap of a study is, in words; empty where it has none."""
    said = [
        f"{f'recall of {listed(gap.classes)}' if gap.classes else config.metric.replace('_', ' ')}, "
        f"{gap.better} less {gap.worse}"
        for gap in config.known
    ]
    return "; ".join(said) + (" (their mean)" if len(said) > 1 else "")
