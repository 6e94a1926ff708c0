"""What an audit did not test: as important as what it found, and easily forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mien.audit import TOO_FEW, AttributeResult, Audit
from mien.report.words import listed


@dataclass(frozen=True)
class UntestedSection:
    """All that was not tested.

    Attributes:
        items: One sentence or two each.
    """

    title: ClassVar[str] = "What was not tested"
    template: ClassVar[str] = "untested.html.j2"
    items: list[str]


def untested_section(audit: Audit, anchor: str) -> UntestedSection:
    """The audit's own list, what was too rare in it, and what no audit of this kind sees."""
    return UntestedSection([*audit.not_tested, *_combinations(audit), *_rare_classes(audit), *_never()])


def _combinations(audit: Audit) -> Iterator[str]:
    labels = [a.label for a in audit.attributes]
    if len(labels) > 1 and not any("*" in a.name for a in audit.attributes):
        yield (
            f"Combinations of attributes, such as {' * '.join(labels[:2])}: none was asked for. Each attribute alone "
            "can look even where a combination is served badly."
        )


def _rare_classes(audit: Audit) -> Iterator[str]:
    """Classes that do not enter a gap everywhere, attribute by attribute."""
    found = [f"by {a.label}: {listed(rare)}" for a in audit.attributes if (rare := list(_rare(a)))]
    if found:
        yield (
            f"Classes too rare in a group, with fewer than {audit.min_class_n} faces there: the group stays out of "
            f"that class's gap ({'; '.join(found)})."
        )


def _rare(attribute: AttributeResult) -> Iterator[str]:
    """Each class that some group, large enough to take part, has too few faces of."""
    groups = [g for g in attribute.groups if not g.verdict]
    for name in groups[0].recall if groups else ():
        few = [g.name for g in groups if g.recall[name].note == TOO_FEW or not g.n_per_class[name]]
        if few:
            yield f"{name} in {'every group' if len(few) == len(groups) else listed(few, 3)}"


def _never() -> list[str]:
    return [
        "Whether the annotations are right: if annotators judge the faces of a group differently, that is not seen.",
        "What people feel: the classes are expressions as others perceive them.",
    ]
