"""Fewer classes than a scheme has: some of them, or several as one, in an order of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mien.errors import LabelError
from mien.labels.scheme import NOT_EXPRESSIONS, LabelScheme, Rule, Votes
from mien.registry import nearest
from mien.spellings import canonical

#: ``[happy, sad]``, or ``{positive: [happy], negative: [sad, angry]}``.
Classes = Mapping[str, Sequence[str]] | Sequence[str] | None
#: Whether votes are joined before the rule sees them, or the labels that it gives afterwards.
Joined = Literal["votes", "labels"]


def expressions_of(vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words of a vocabulary that are expressions."""
    return tuple(word for word in vocabulary if canonical(word) not in NOT_EXPRESSIONS)


def in_classes(
    make: Callable[[tuple[str, ...]], LabelScheme],
    expressions: Sequence[str],
    classes: Classes,
    joined: Joined = "labels",
) -> LabelScheme:
    """A scheme in the asked classes.

    Args:
        make: The scheme over some expressions, its classes.
        expressions: The expressions of the votes.
        classes: The classes wanted; None for the expressions themselves.
        joined: ``labels`` joins what the rule says (two votes for each of two joined classes and three for
            a third make a label of the third). ``votes`` joins the votes (they make one of the joined
            class); expressions that are not named still take part in the vote.

    Raises:
        LabelError: If a class is not one of the expressions, or stands twice.
    """
    if classes is None or joined == "labels":
        return chosen(make(tuple(expressions)), classes)
    groups = _groups(classes, tuple(expressions), "the expressions of the votes")
    named = {i for group in groups.values() for i in group}
    rest = [i for i in range(len(expressions)) if i not in named]
    parts = [*groups.values(), *([i] for i in rest)]
    scheme = make((*groups, *(expressions[i] for i in rest)))
    columns = [tuple(expressions[i] for i in part) for part in parts]
    # What follows the expressions among the sources (unknown, nf) stays as it is.
    made_of = (*columns, *((source,) for source in scheme.sources[len(columns) :]))
    joined_first = replace(scheme, made_of=made_of, voted=tuple(columns))
    return _cut(joined_first, list(groups), [[i] for i in range(len(groups))])


def chosen(scheme: LabelScheme, classes: Classes) -> LabelScheme:
    """The scheme with its labels in the asked classes; see :func:`in_classes`, ``joined="labels"``.

    A face is left out where a class that is not named has the largest target of all, and what remains of
    the targets of the others is brought to sum 1. As large a target as a named class has is not larger.
    """
    if classes is None:
        return scheme
    groups = _groups(classes, scheme.classes, f"the classes of {scheme.name!r}")
    return _cut(scheme, list(groups), list(groups.values()))


def _cut(scheme: LabelScheme, names: Sequence[str], groups: Sequence[Sequence[int]]) -> LabelScheme:
    """Classes as sums of the scheme's own, those in none of them left out."""
    rest = [i for i in range(len(scheme.classes)) if all(i not in group for group in groups)]

    def cut(rule: Rule) -> Rule:
        def joined(votes: Votes, *order: object) -> Votes | str:
            own = rule(votes, *order)
            if isinstance(own, str):
                return own
            shares = np.array([own[list(group)].sum() for group in groups])
            others = own[rest]
            # Sums of the same shares in another order may differ in their last digit.
            if len(rest) and others.max() > shares.max() + 1e-9:
                return f"labelled {scheme.classes[rest[int(others.argmax())]]}, which is none of the classes"
            return np.asarray(shares / shares.sum())

        return joined

    voted = scheme.voted or tuple((c,) for c in scheme.classes)
    own_votes = scheme.voted is not None or {canonical(c) for c in scheme.classes} <= {
        canonical(s) for s in scheme.sources
    }
    # Of classes that a rule derives nobody cast votes; a class of that name must not find any.
    sums = tuple(tuple(c for i in group for c in voted[i]) for group in groups)
    fit = scheme.fit

    def refit(votes: Votes) -> tuple[Rule, dict[str, float]]:
        rule, learnt = fit(votes)  # type: ignore[misc]  # None is no fit at all
        return cut(rule), learnt

    return replace(
        scheme,
        classes=tuple(names),
        rule=cut(scheme.rule),
        voted=sums if own_votes else (),
        fit=None if fit is None else refit,
    )


def _groups(
    classes: Mapping[str, Sequence[str]] | Sequence[str], known: tuple[str, ...], of: str
) -> dict[str, list[int]]:
    """Class -> places of what it joins."""
    asked = classes if isinstance(classes, Mapping) else {name: [name] for name in classes}
    if len({canonical(name) for name in classes}) < len(classes):
        raise LabelError("classes", ", ".join(classes), "each class once, under any spelling")
    place = {canonical(word): i for i, word in enumerate(known)}
    groups: dict[str, list[int]] = {}
    taken: dict[int, str] = {}
    for name, words in asked.items():
        groups[name] = []
        for word in [words] if isinstance(words, str) else words:
            i = place.get(canonical(word))
            if i is None:
                raise LabelError("classes", f"{word!r} is none of {of}", "", nearest(word, list(known)))
            if i in taken:
                raise LabelError("classes", f"{word!r} is in {taken[i]!r} and in {name!r}", "each in one class")
            taken[i] = name
            groups[name].append(i)
    if not groups or not all(groups.values()):
        raise LabelError("classes", f"{asked!r}", "one or more classes, each of one or more of the scheme's")
    return groups
