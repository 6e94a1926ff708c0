"""What means *missing*: one list of words for tables, frames, manifests and votes, and nowhere else.

Tools write "no value" in many ways, and each reader of files (pandas, Arrow, Excel) has a list of its
own. A word that one reader takes for missing and another for a group gives two audits of the same rows;
a person called ``unknown`` who owns a third of all faces makes a gap vanish. So every column is looked
at with :func:`is_missing`, whatever file it came from.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Words that mean missing in every column, in any case and with any blanks around them.
MISSING_WORDS = frozenset(
    {
        "",
        "-",
        "--",
        "?",
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "#n/a",
        "#na",
        "<na>",
        "nan",
        "-nan",
        "nat",
        "null",
        "missing",
        "unknown",
        "not known",
        "undefined",
        "unspecified",
        "not available",
        "\u2013",  # the dashes of word processors
        "\u2014",
    }
)
#: What a rater says who does not know: in answers of people it means missing, elsewhere it may be a class.
UNSURE_WORDS = frozenset(
    {"don't know", "dont know", "do not know", "don\u2019t know", "not sure", "unsure", "no idea", "idk", "dk"}
    | {"can't tell", "cannot tell", "can\u2019t tell", "can't say", "cannot say"}
)
#: Missing in every column but those of groups, where "none" is an answer: no glasses, no beard, no mask.
NO_NAME = "none"
#: Numbers that clustering tools give to what belongs to nobody.
NOBODY = frozenset({"-1", "-1.0"})


def is_missing(word: str, *, group: bool = False, cluster: bool = False) -> bool:
    """Whether a cell's text means that there is no value.

    Args:
        word: The text; case and blanks around it do not matter.
        group: The column holds groups (an attribute): there ``none`` is a group.
        cluster: The column holds numbers of clusters: there ``-1`` is nobody.

    >>> is_missing(" N.A. "), is_missing("None"), is_missing("None", group=True), is_missing("-1", cluster=True)
    (True, True, False, True)
    """
    plain = word.strip().lower()
    return plain in MISSING_WORDS or (not group and plain == NO_NAME) or (cluster and plain in NOBODY)


def is_unsure(word: str) -> bool:
    """Whether a rater's answer says that the rater did not know.

    >>> is_unsure("Don't know"), is_unsure("not_sure"), is_unsure("confused")
    (True, True, False)
    """
    return " ".join(word.lower().replace("_", " ").split()).strip(".!?") in UNSURE_WORDS


def missing_mask(values: Iterable[object], *, group: bool = False, cluster: bool = False) -> NDArray[np.bool_]:
    """Which values are missing: ``(n,)``; None, NaN and NaT are, and whatever :func:`is_missing` says of their text.

    Args:
        values: ``(n,)`` values of any type; few distinct ones at best (codes' words), for each is looked at.
        group: As for :func:`is_missing`.
        cluster: As for :func:`is_missing`.
    """
    found = [bool(pd.isna(v)) or is_missing(str(v), group=group, cluster=cluster) for v in values]  # type: ignore[call-overload]
    return np.array(found, dtype=np.bool_)
