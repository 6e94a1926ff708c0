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
        below: Whether the group that is served worst now stands below where the baseline's worst group was.
        gain: Change of the group that the baseline serves worst.
        accuracy: Change of the accuracy of all, which the verdict does not go by and its words tell of.
    """

    verdict: Verdict
    worst: str
    now_worst: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    gap: Estimate | None
    accuracy: Estimate | None = None
    below: bool = False
    gain: Estimate | None = None

    @property
    def less_accurate(self) -> bool:
        """Whether the accuracy of all fell by more than chance explains."""
        return self.accuracy is not None and self.accuracy.high < 0

    @property
    def words(self) -> str:
        """The verdict, and at whose cost."""
        costs = [*self.lost, *(["the accuracy of all"] if self.less_accurate else [])]
        wider = self.gap is not None and self.gap.low > 0
        said = [f"{self.now_worst} is served worst now"] if self.now_worst != self.worst else []
        said += ["the gap is larger"] if wider else []
        if self.verdict == "helped":
            cost = f", at the cost of {listed(costs)}" if costs else ""
            return "; ".join([f"helped{cost}", *said])
        if self.verdict == "no change that can be told" and (self.gained or self.less_accurate or wider):
            more = [f"{', '.join(self.gained)} gained"] if self.gained else []
            more += ["all together are less accurate"] if self.less_accurate else []
            if self.worst in self.gained and self.below:
                said[:1] = [f"{self.now_worst} may be served worse now than {self.worst} was"]
                return f"no verdict: {'; '.join([*more, *said])}"
            of = "the worst group" if self.gained else "a group"
            return f"no change of {of} that can be told; {'; '.join([*more, *said])}"
        if self.verdict == "hurt" and self.worst not in self.lost:
            if self.now_worst in self.lost:
                return f"hurt: {self.now_worst} is served worst now"
            if self.lost and self.gain is not None and self.gain.high > 0 and self.worst not in self.gained:
                return f"hurt: {listed(self.lost)} lost, and no gain of {self.worst} can be told"
        return self.verdict


def judgement(comparison: Comparison, baseline: str, name: str) -> Judgement:
    """Judge a method.

    *Helped*: the group that the baseline serves worst gained, and no group stands below where it was. *Levelled
    down*: it neither gained nor lost, some group lost, the largest gap shrank, and none that lost fell below the
    baseline's worst. *Hurt*: it lost, or another that lost fell below it, or some group lost and neither a gain of it
    nor a smaller gap can be told. *No change that can be told* otherwise; so where it gained and another that did not
    clearly lose stands below it now. Only intervals that lie wholly on one side count (but whether a group is now
    below the baseline's worst goes by the figures); those of the groups hold together. Groups with few faces never
    judge. With fewer than two groups, or figures that are undefined, it *cannot be judged*.

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
    below = bool(now_worst) and method.groups[now_worst].value.value < base.groups[worst].value.value
    fell = any(method.groups[g].value.value < base.groups[worst].value.value for g in lost if g in known and g != worst)
    verdict: Verdict = "no change that can be told"
    if len(known) < 2 or any(math.isnan(changes[g].low) for g in known if g in changes):
        verdict = "cannot be judged"
    elif worst in gained:
        if fell or (least is not None and least.high < 0):
            verdict = "hurt"
        elif not below:
            verdict = "helped"
    elif worst in lost:
        verdict = "hurt"
    elif lost:
        verdict = "levelled down" if shrank and not fell else "hurt"
    return Judgement(
        verdict=verdict, worst=worst, now_worst=now_worst, gained=gained, lost=lost, gap=gap,
        accuracy=method.overall[ACCURACY].change, below=below, gain=changes.get(worst),
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
        left: What is left of it, as a share of the baseline's and without its sign: a known gap that is turned round
            is no smaller for it.
        shown: Whether the interval lies wholly below 0, of a disparity that was there.
        enough: Whether no more is left than a claim asks, and that it fell is shown.
        some: Whether the baseline's disparity is clear of 0: of one that is not a share says nothing.
        turned: Whether what is left of a known gap lies wholly below 0: the other group is served worse now.
        grew: Whether it is larger than it was, whichever way round, and the change clear of 0.
    """

    share: float
    change: Estimate
    shown: bool
    enough: bool
    left: float = math.nan
    some: bool = True
    turned: bool = False
    grew: bool = False

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
    left = abs(after.value.value) / before.value if some else math.nan
    shown, turned = some and change.high < 0, some and after.value.high < 0
    grew = abs(after.value.value) > abs(before.value) and (change.low > 0 if after.value.value > 0 else change.high < 0)
    enough = shown and left <= 1 - least and not turned
    return Reduction(
        share=share, change=change, shown=shown, enough=enough, left=left, some=some, turned=turned, grew=grew
    )
