"""What annotators are asked: classes, votes, attributes, which faces in which order, and the texts they consent to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mien.demographics import HEADS
from mien.errors import DataError, UsageError
from mien.labels import NOT_EXPRESSIONS
from mien.registry import nearest
from mien.samples import CORE_COLUMNS, SampleTable
from mien.spellings import canonical, distinct

UNSURE = "unsure"
MAX_INTENSITY = 5
_RESERVED = (*CORE_COLUMNS, "path", "label", "hash", "phash", "fold", "id", "pred", "detected")
_RESERVED_PREFIXES = ("votes_", "prob_", "target_", "intensity_")

PURPOSE = (
    "Several people say which expressions they see in each face. Models of facial expressions are trained, "
    "and checked for disparities between groups, on what they say."
)
CONSENT = (
    "I take part of my own free will and can stop at any time. Stored are the name that I give here, my votes "
    "(also those that I take back), the faces that I skip, how long each answer took, and when it was given. "
    "Results name annotators by a pseudonym; whoever runs this task can see which votes are whose. On this page I can "
    "see, download and delete everything stored about me: deleting removes my votes from the database and from all "
    "later results, not from files exported before."
)
NOTICE = (
    "You say what you see in a picture. That is a perception, not a fact about the person: a face does not tell what "
    "somebody feels, and a perceived gender, age or ethnicity is an onlooker's guess. It is not for inferring "
    "emotions of people at workplaces or in education institutions: the EU AI Act prohibits that "
    "(Regulation (EU) 2024/1689, Art. 5(1)(f); it excepts medical and safety reasons). "
    "The pictures show people: do not copy them or pass them on."
)


@dataclass(frozen=True)
class AskedAttribute:
    """A perceived attribute that annotators are asked for.

    Attributes:
        name: Its column in the results.
        label: What the page calls it.
        groups: What can be chosen, beside "unsure".
    """

    name: str
    label: str
    groups: tuple[str, ...]


def asked_attributes(
    names: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None
) -> tuple[AskedAttribute, ...]:
    """Attributes by name, with the groups given or those of the demographic model.

    Args:
        names: Attributes, e.g. ``gender``.
        groups: Attribute -> its groups, for names that the demographic model does not have.

    Raises:
        UsageError: If an attribute has no groups.
    """
    known = {**{name: head.groups for name, head in HEADS.items()}, **(groups or {})}
    for name in names:
        if name not in known:
            raise UsageError(
                f"attribute {name!r}", "has no groups", f"one of {', '.join(known)}", nearest(name, list(known))
            )
    return tuple(AskedAttribute(n, f"Perceived {n.replace('_', ' ')}", tuple(known[n])) for n in names)


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """The settings of a labelling task. They never change once somebody has labelled.

    Attributes:
        classes: What can be voted for, beside "unknown" and "not a face".
        title: Heading of the page.
        votes_per_face: Votes that an annotator spreads over the classes of a face: 10 or 1.
        labels_per_face: Annotators whose labels each face gets, at most.
        intensity: Also ask how strong each expression is, from 0 to 5.
        attributes: Perceived attributes to ask for.
        split: Only faces of this split; all by default.
        n_faces: Only the first so many faces of the queue.
        uncertain_first: Faces first on which a model was least sure.
        thin_cells_first: Faces first whose class has fewest faces in their group.
        below: Only faces on which the model's confidence is under this.
        thin_cell: A cell of class and group is thin with at most so many faces.
        seed: Seed of the order where nothing else decides it; None is the store's order, which often
            has one class after the other and so tells annotators what to expect.
        show_suggestion: Show what the model said. It draws annotators to the model's answer and makes
            its errors theirs; votes given so must not measure the model.
        purpose: What the labels are for.
        consent: What annotators agree to.
        notice: What the labels are not.

    Raises:
        UsageError: On settings that cannot work.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)  # what is read back

    classes: tuple[str, ...]
    title: str = "Which expressions do you see?"
    votes_per_face: int = 10
    labels_per_face: int = 3
    intensity: bool = False
    attributes: tuple[AskedAttribute, ...] = ()
    split: str | None = None
    n_faces: int | None = None
    uncertain_first: bool = False
    thin_cells_first: bool = False
    below: float | None = None
    thin_cell: int = 30
    seed: int | None = 0
    show_suggestion: bool = False
    purpose: str = PURPOSE
    consent: str = CONSENT
    notice: str = NOTICE

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(distinct(self.classes)) < len(self.classes):
            raise UsageError("classes", ", ".join(self.classes) or "none", "two or more, each expression once")
        if {canonical(c) for c in self.classes} & set(NOT_EXPRESSIONS):
            raise UsageError("classes", ", ".join(self.classes), "no 'unknown' and 'nf': they are always there")
        if self.votes_per_face not in (1, 10):
            raise UsageError("votes_per_face", str(self.votes_per_face), "10 or 1")
        for name in ("labels_per_face", "n_faces", "thin_cell"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(name, str(value), "1 or more")
        if self.below is not None and not 0 < self.below <= 1:
            raise UsageError("below", str(self.below), "a confidence over 0, up to 1")
        for text in ("title", "purpose", "consent", "notice"):
            if not getattr(self, text).strip():
                raise UsageError(text, "is empty", "a text", "Annotators must know what they take part in.")
        _check_attributes(self.attributes)

    @property
    def consent_version(self) -> str:
        """Which purpose, consent and notice an annotator has read: the start of their SHA-256."""
        return hashlib.sha256("\n".join((self.purpose, self.consent, self.notice)).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for :meth:`from_json`."""
        content = asdict(self)
        content["classes"] = list(self.classes)
        content["attributes"] = [{**asdict(a), "groups": list(a.groups)} for a in self.attributes]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LabelTask:
        """Read what :meth:`to_json` gave.

        Raises:
            DataError: If it is something else.
            UsageError: If such a task cannot work.
        """
        try:
            return TypeAdapter(cls).validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "settings"
            raise DataError(f"labelling task, {where}", first["msg"], "what 'mien label' wrote") from error


def classes_of(table: SampleTable) -> tuple[str, ...]:
    """The expressions of a store's vocabulary: the default classes of a task on it."""
    return tuple(v for v in table.vocabulary if canonical(v) not in NOT_EXPRESSIONS)


def _check_attributes(attributes: Sequence[AskedAttribute]) -> None:
    names = [a.name for a in attributes]
    if len(set(names)) < len(names):
        raise UsageError("attributes", ", ".join(names), "each once")
    for attribute in attributes:
        where, name = f"attribute {attribute.name!r}", attribute.name
        taken = name in _RESERVED or name.startswith(_RESERVED_PREFIXES) or name.endswith(("_source", "_confidence"))
        if taken or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise UsageError(where, "cannot be a column of the results", "letters, digits and _, no name in use")
        groups = attribute.groups
        if len(groups) < 2 or len(set(groups)) < len(groups) or UNSURE in groups or not all(g.strip() for g in groups):
            raise UsageError(
                where, f"groups {', '.join(groups)}", f"two or more different ones, none of them {UNSURE!r}"
            )
