"""Warnings come before findings: how a verdict, a text and a page say both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RESERVE = "If the table is right all the same:"


def said_first(warnings: Sequence[str], finding: str) -> str:
    """The verdict: whatever puts the finding in doubt, then the finding, under that reserve."""
    return " ".join([*warnings, f"{_RESERVE} {finding}"]) if warnings else finding


def finding_of(verdict: str, warnings: Sequence[str]) -> str:
    """The verdict without what :func:`said_first` said first."""
    return verdict.removeprefix(" ".join(warnings)).lstrip() if warnings else verdict


def headline(warnings: Sequence[str]) -> str:
    """The sentence above warnings; empty without any."""
    if not warnings:
        return ""
    what = "Something is" if len(warnings) == 1 else f"{len(warnings)} things are"
    return f"Read this first. {what} wrong with the table, so that everything below may be wrong too:"


def warning_lines(warnings: Sequence[str]) -> list[str]:
    """Warnings in Markdown, with an empty line after them; no lines without any."""
    return [f"**{headline(warnings)}**", "", *(f"- {w}" for w in warnings), ""] if warnings else []


def of_models(warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """Each warning once, with the models whose tables it is about.

    Args:
        warnings: Model -> its warnings.

    >>> of_models({"A": ["Rows repeat."], "B": ["Rows repeat.", "Splits are mixed."]})
    ['A and B: Rows repeat.', 'B: Splits are mixed.']
    """
    models: dict[str, list[str]] = {}
    for model, sentences in warnings.items():
        for sentence in sentences:
            models.setdefault(sentence, []).append(model)
    return [f"{' and '.join(names)}: {sentence}" for sentence, names in models.items()]
