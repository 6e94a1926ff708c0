"""The group of each face of a table, by an attribute or by an intersection of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mien.samples import SampleTable
from mien.spellings import folded

_BETWEEN = " * "  # the groups of an intersection


def group_column(table: SampleTable, spec: str) -> pd.Series:
    """The group of each face as text, whatever the column holds; None where it is missing.

    Args:
        table: The faces.
        spec: An attribute, or several with ``*`` between them: ``gender*age`` has groups such as ``male * adult``, and
            none where one of them is missing.
    """
    names = [name.strip() for name in spec.split("*")]
    columns = [table.frame[name].astype(object) for name in names]
    known = np.all([column.notna() for column in columns], axis=0)
    joined = columns[0].astype(str)
    for column in columns[1:]:
        joined = joined + _BETWEEN + column.astype(str)
    return joined.where(known, None)


def same_groups(words: Iterable[str], groups: Sequence[str]) -> dict[str, int]:
    """Which of some groups each word is, in another spelling perhaps; a word that is none of them is left out.

    Args:
        words: Groups of another table, each once.
        groups: The groups. Where two of them are spellings of one word, each is only what it is to the letter.

    >>> same_groups(["Male", "male ", "20 - 29", "1.0", "m"], ["male", "20-29", "1"])
    {'Male': 0, 'male ': 0, '20 - 29': 1, '1.0': 2}
    >>> same_groups(["Male", "MALE"], ["male", "Male"]), same_groups(["Male * Old"], ["male * old"])
    ({'Male': 1}, {'Male * Old': 0})
    """
    exact = {group: i for i, group in enumerate(groups)}
    forms = [_form(group) for group in groups]
    alike = {form: i for i, form in enumerate(forms) if forms.count(form) == 1}
    found = {word: exact.get(word, alike.get(_form(word))) for word in words}
    return {word: i for word, i in found.items() if i is not None}


def _form(group: str) -> str:
    return _BETWEEN.join(folded(part) for part in group.split(_BETWEEN))
