"""The four education labels (Samii et al. 2023), derived from FER+'s ten columns of votes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.labels import SCHEMES
from mien.labels.classes import Classes, chosen
from mien.labels.cleaning import cleaned_away
from mien.labels.scheme import EDUCATION_CLASSES, FERPLUS_VOCABULARY, LabelScheme, Rule

_NEUTRAL, _HAPPY, _SAD, _ANGER, _FEAR = 0, 1, 3, 4, 6


@dataclass(frozen=True)
class _Reading:
    """What the source's texts, table and code say differently.

    Attributes:
        angry: Whether a face is angry, from whether anger dominates and its votes.
        contempt: Whether contempt is compared when a dominant expression is looked for.
        neutral_above: Votes above which a dominant neutral is the label neutral.
    """

    angry: Callable[[bool, float], bool]
    contempt: bool = False
    neutral_above: int = 6


def _education_rule(reading: _Reading) -> Rule:
    """The four education labels in one reading of the source.

    All readings drop faces with any not-a-face vote, then those with five or more unknown votes,
    and compare seven expressions, contempt only where asked. First match wins: angry, focused, neutral,
    bored. With e dominant where it has more votes than each other expression:

    - angry: by the reading;
    - focused: neutral dominant, no sadness, no anger;
    - neutral: neutral dominant with more than ``neutral_above`` votes;
    - bored: some sadness and neutral, no happiness, no fear, anger + 2 < sadness.
    """

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
        cleaned = cleaned_away(votes[8:9], votes[9:10], "education")[0]
        if cleaned:
            return str(cleaned)
        compared = votes[: 8 if reading.contempt else 7]

        def dominant(k: int) -> bool:
            return bool((compared[k] > np.delete(compared, k)).all())

        neutral_dominant = dominant(_NEUTRAL)
        if reading.angry(dominant(_ANGER), votes[_ANGER]):
            label = 0
        elif neutral_dominant and votes[_SAD] == 0 and votes[_ANGER] == 0:
            label = 2
        elif neutral_dominant and votes[_NEUTRAL] > reading.neutral_above:
            label = 1
        elif (
            votes[_SAD]
            and votes[_NEUTRAL]
            and not votes[_HAPPY]
            and not votes[_FEAR]
            and votes[_ANGER] + 2 < votes[_SAD]
        ):
            label = 3
        else:
            return "no education rule matches"
        return np.asarray(np.eye(4)[label])

    return rule


def _scheme(name: str, reading: _Reading, classes: Classes) -> LabelScheme:
    return chosen(LabelScheme(name, EDUCATION_CLASSES, FERPLUS_VOCABULARY, _education_rule(reading)), classes)


@SCHEMES.register("edu_code")
def edu_code(
    vocabulary: Sequence[str],
    *,
    angry_above: Annotated[int, Field(ge=0, le=100)] = 2,
    neutral_above: Annotated[int, Field(ge=0, le=100)] = 6,
    contempt: bool = False,
    classes: Classes = None,
) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's code and its published counts have them.

    Angry where anger dominates **or** has more than two votes: 3,954 angry, 4,553 focused, 3,789 neutral,
    3,960 bored, 16,256 in all, the four counts that Samii, Shaikh and Amrollahibioki (2023) publish. (Their
    14,831 faces are fewer by a selection by eye that was not published.)

    Args:
        vocabulary: The words of the votes.
        angry_above: Votes for anger above which a face is angry, dominant or not; the source's README has 1.
        neutral_above: Votes above which a dominant neutral is neutral; 0 for the source's text, which names none.
        contempt: Whether contempt is compared when a dominant expression is looked for.
        classes: Some of the classes, or several as one; see ``majority``.
    """

    def angry(dominant: bool, votes: float) -> bool:
        return dominant or votes > angry_above

    return _scheme("edu_code", _Reading(angry, contempt, neutral_above), classes)


@SCHEMES.register("edu_table")
def edu_table(vocabulary: Sequence[str], *, classes: Classes = None) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's table has them: angry where anger dominates with three votes.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
    """
    return _scheme("edu_table", _Reading(lambda dominant, votes: dominant and votes > 2), classes)


@SCHEMES.register("edu_text")
def edu_text(vocabulary: Sequence[str], *, classes: Classes = None) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's text has them: angry where anger dominates with two votes.

    Args:
        vocabulary: The words of the votes.
        classes: Some of the classes, or several as one; see ``majority``.
    """
    return _scheme("edu_text", _Reading(lambda dominant, votes: dominant and votes >= 2), classes)
