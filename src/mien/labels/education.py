"""The four education labels (Samii et al. 2023), derived from FER+'s ten columns of votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.labels import SCHEMES
from mien.labels.scheme import EDUCATION_CLASSES, FERPLUS_VOCABULARY, LabelScheme, Rule

_NEUTRAL, _HAPPY, _SAD, _ANGER, _FEAR = 0, 1, 3, 4, 6


def _education_rule(reading: str) -> Rule:
    """The four education labels in one of three readings of the source.

    All readings drop faces with any not-a-face vote, then those with five or more unknown votes,
    and compare seven expressions (contempt never enters). First match wins: angry, focused,
    neutral, bored. They differ in the rule for *angry*: ``code`` (the source's published counts)
    takes dominance **or** more than two votes, ``table`` dominance and more than two votes,
    ``text`` dominance and at least two.
    """

    def rule(votes: NDArray[np.float64]) -> NDArray[np.float64] | str:
        if votes[9] > 0:
            return "not a face"
        if votes[8] >= 5:
            return "five or more unknown votes"
        v = votes[:7]

        def dominant(k: int) -> bool:
            return bool((v[k] > np.delete(v, k)).all())

        anger_dominant = dominant(_ANGER)
        angry = {
            "code": anger_dominant or v[_ANGER] > 2,
            "table": anger_dominant and v[_ANGER] > 2,
            "text": anger_dominant and v[_ANGER] >= 2,
        }[reading]
        neutral_dominant = dominant(_NEUTRAL)
        if angry:
            label = 0
        elif neutral_dominant and v[_SAD] == 0 and v[_ANGER] == 0:
            label = 2
        elif neutral_dominant and v[_NEUTRAL] > 6:
            label = 1
        elif v[_SAD] and v[_NEUTRAL] and not v[_HAPPY] and not v[_FEAR] and v[_ANGER] + 2 < v[_SAD]:
            label = 3
        else:
            return "no education rule matches"
        return np.asarray(np.eye(4)[label])

    return rule


def _scheme(reading: str) -> LabelScheme:
    return LabelScheme(f"edu_{reading}", EDUCATION_CLASSES, FERPLUS_VOCABULARY, _education_rule(reading))


@SCHEMES.register("edu_code")
def edu_code(vocabulary: Sequence[str]) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's code and its published counts have them."""
    return _scheme("code")


@SCHEMES.register("edu_table")
def edu_table(vocabulary: Sequence[str]) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's table has them."""
    return _scheme("table")


@SCHEMES.register("edu_text")
def edu_text(vocabulary: Sequence[str]) -> LabelScheme:
    """Angry, neutral, focused, bored, as the source's text has them."""
    return _scheme("text")
