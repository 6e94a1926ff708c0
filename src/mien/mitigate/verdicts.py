"""One verdict a method, from the absolute change of every group."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mien.mitigate.measures import ACCURACY, GAP, WORST, Comparison, Measured
from mien.records import Estimate
from mien.wording import listed

Verdict = Literal["helped", "no change that can be told", "levelled down", "hurt", "cannot be judged"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a method did.

    Attributes:
        verdict: The verdict.
        worst: The group that the baseline serves worst.
        now_worst: The group that the method serves worst.
        gained: Groups whose whole interval of the change is above 0.
        lost: Groups whose whole interval of the change is below 0.
        gap: Change of the largest gap.
        accuracy: Change of the accuracy of all, which the verdict does not go by and its words tell of.
    """

    verdict: Verdict
    worst: str
    now_worst: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    gap: Estimate | None
    accuracy: Estimate | None = None

    @property
    def less_accurate(self) -> bool:
        """Whether the accuracy of all fell by more than chance explains."""
        return self.accuracy is not None and self.accuracy.high < 0

    @property
    def words(self) -> str:
        """The verdict, and at whose cost."""
        costs = [*self.lost, *(["the accuracy of all"] if self.less_accurate else [])]
        if self.verdict == "helped" and costs:
            return f"helped, at the cost of {listed(costs)}"
        if self.verdict == "no change that can be told" and (self.gained or self.less_accurate):
            of = "the worst group" if self.gained else "a group"
            more = [f"{', '.join(self.gained)} gained"] if self.gained else []
            more += ["all together are less accurate"] if self.less_accurate else []
            return f"no change of {of} that can be told; {'; '.join(more)}"
        if self.verdict == "hurt" and self.worst not in self.lost and self.now_worst in self.lost:
            return f"hurt: {self.now_worst} is served worst now"
        return self.verdict


def judgement(comparison: Comparison, baseline: str, name: str) -> Judgement:
    """Judge a method.

    *Helped*: the group that the baseline serves worst gained, and none that lost fell below where it was. *Levelled
    down*: it neither gained nor lost, some group lost, the largest gap shrank, and none that lost fell below the
    baseline's worst. *Hurt*: it lost, or another that lost fell below it, or some group lost and the gap did not
    shrink. *No change that can be told* otherwise. Only intervals that lie wholly on one side count (but whether one
    that lost is now below the baseline's worst goes by the figures); those of the groups hold together. Groups
    with few faces never judge. With fewer than two groups, or figures that are undefined, it *cannot be judged*.

    Args:
        comparison: All methods.
        baseline: The method that others are held against.
        name: The method.
    """
    base, method = comparison.against(baseline, name), comparison.methods[name]
    known = [g for g in comparison.eligible if not math.isnan(base.groups[g].value.value)]
    worst = min(known, key=lambda g: base.groups[g].value.value, default="")
    changes = changes_of(method, comparison)
    gained = tuple(g for g, change in changes.items() if change.low > 0)
    lost = tuple(g for g, change in changes.items() if change.high < 0)
    gap, least = method.overall[GAP].change, method.overall[WORST].change
    shrank = gap is not None and gap.high < 0
    now_worst = min(known, key=lambda g: method.groups[g].value.value, default="")
    fell = any(method.groups[g].value.value < base.groups[worst].value.value for g in lost if g in known and g != worst)
    verdict: Verdict = "no change that can be told"
    if len(known) < 2 or any(math.isnan(changes[g].low) for g in known if g in changes):
        verdict = "cannot be judged"
    elif worst in gained:
        verdict = "hurt" if fell or (least is not None and least.high < 0) else "helped"
    elif worst in lost:
        verdict = "hurt"
    elif lost:
        verdict = "levelled down" if shrank and not fell else "hurt"
    return Judgement(
        verdict=verdict, worst=worst, now_worst=now_worst, gained=gained, lost=lost, gap=gap,
        accuracy=method.overall[ACCURACY].change,
    )  # fmt: skip


def changes_of(method: Measured, comparison: Comparison) -> Mapping[str, Estimate]:
    """Group -> its change, of those with faces enough."""
    found = {g: method.groups[g].change for g in comparison.eligible}
    return {g: change for g, change in found.items() if change is not None}


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """How far a disparity fell.

    Attributes:
        share: Of the baseline's; below 0 where it grew.
        change: In points, with its interval.
        shown: Whether the interval lies wholly below 0.
        enough: Whether it fell by as much as a claim asks, and that is shown, of a disparity that was there.
        some: Whether the baseline's disparity is clear of 0: of one that is not a share says nothing.
        turned: Whether what is left of a known gap lies wholly below 0: the other group is served worse now.
    """

    share: float
    change: Estimate
    shown: bool
    enough: bool
    some: bool = True
    turned: bool = False

    @property
    def told(self) -> str:
        """The change in whole per cent of the baseline's disparity, or in points where that is not clear of 0."""
        if not self.some:
            n = round(100 * self.change.value, 1) + 0.0
            return f"{n:+.1f} points" if n else "0 points"
        n = round(-100 * self.share)
        return f"{n:+d} %" if n else "0 %"


def reduction(
    comparison: Comparison, baseline: str, name: str, disparity: str = GAP, least: float = 0.3
) -> Reduction | None:
    """How far a method brought a disparity down; None where the change is undefined.

    Args:
        comparison: All methods.
        baseline: The method that others are held against.
        name: The method.
        disparity: The measure.
        least: Share by which a method that claims to help must bring it down.
    """
    before, after = (
        comparison.against(baseline, name).overall[disparity].value,
        comparison.methods[name].overall[disparity],
    )
    change = after.change
    if change is None or math.isnan(change.value) or math.isnan(before.value):
        return None
    some = before.low > 0
    share = -change.value / before.value if some else math.nan
    shown, turned = change.high < 0, after.value.high < 0
    enough = shown and some and share >= least and not turned
    return Reduction(share=share, change=change, shown=shown, enough=enough, some=some, turned=turned)
