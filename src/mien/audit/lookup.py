"""What the results of all kinds of audit share: their parts by name, the titles of gaps, the finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from mien.audit.vocabulary import metric_title
from mien.audit.warned import finding_of
from mien.errors import UsageError
from mien.registry import nearest

Part = TypeVar("Part")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _OfMetric(Protocol):
    @property
    def metric(self) -> str: ...

    @property
    def class_name(self) -> str: ...


Named = TypeVar("Named", bound=_Named)
Group = TypeVar("Group", bound=_Named)
Gap = TypeVar("Gap", bound=_OfMetric)


def pick(kind: str, name: str, parts: Mapping[str, Part]) -> Part:
    """One of the named parts of a result.

    Args:
        kind: What the parts are, in the singular.
        name: The name asked for.
        parts: Name -> part.

    Raises:
        UsageError: If there is none of the name, with the nearest one or all that there are.

    >>> pick("group", "femal", {"female": 1, "male": 2})
    Traceback (most recent call last):
    mien.errors.UsageError: group: there is no 'femal'. Did you mean 'female'?
    """
    if name not in parts:
        raise UsageError(kind, f"there is no {name!r}", "", nearest(name, list(parts)) if parts else "There is none.")
    return parts[name]


class TitledGap:
    """A gap of one metric, of one class where ``class_name`` is not empty."""

    metric: str
    class_name: str

    @property
    def title(self) -> str:
        """The metric in words: ``macro F1``, ``recall of fear``."""
        return metric_title(self.metric, self.class_name)


class GroupsAndGaps(Generic[Group, Gap]):
    """Groups of one attribute and the gaps between them."""

    groups: list[Group]
    gaps: list[Gap]

    def group(self, name: str) -> Group:
        """The group called ``name``.

        Raises:
            UsageError: If there is none; the message says which there are.
        """
        return pick("group", name, {g.name: g for g in self.groups})

    def gap(self, metric: str, class_name: str = "") -> Gap:
        """The gap of a metric (of ``recall``: with its class).

        Raises:
            UsageError: If there is none; the message says which there are.
        """
        gaps: dict[str, dict[str, Gap]] = {}
        for g in self.gaps:
            gaps.setdefault(g.metric, {})[g.class_name] = g
        return pick(f"class of the gap of {metric}", class_name, pick("gap", metric, gaps))


class WholeResult(Generic[Named]):
    """A result for several attributes, with its verdict and the warnings that it begins with."""

    attributes: list[Named]
    verdict: str
    warnings: list[str]

    def attribute(self, name: str) -> Named:
        """The result for an attribute.

        Raises:
            UsageError: If there is none; the message says which there are.
        """
        return pick("attribute", name, {a.name: a for a in self.attributes})

    @property
    def finding(self) -> str:
        """The verdict without the warnings before it."""
        return finding_of(self.verdict, self.warnings)
