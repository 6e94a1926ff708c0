"""The group of each face of a table, by an attribute or by an intersection of several, named or in shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.samples import PERCEIVED, SampleTable, sources_in
from mien.spellings import BETWEEN


def group_column(table: SampleTable, spec: str) -> pd.Series:
    """The group of each face as text, whatever the column holds; None where it is missing.

    Args:
        table: The faces.
        spec: An attribute, or several with ``*`` between them: ``gender*age`` has groups such as ``male * adult``, and
            none where one of them is missing.
    """
    return groups_in(table.frame, spec)


def groups_in(frame: pd.DataFrame, spec: str) -> pd.Series:
    """The same of the columns of attributes alone, such as predictions have."""
    names = [name.strip() for name in spec.split("*")]
    columns = [frame[name].astype(object) for name in names]
    known = np.all([column.notna() for column in columns], axis=0)
    joined = columns[0].astype(str)
    for column in columns[1:]:
        joined = joined + BETWEEN + column.astype(str)
    return joined.where(known, None)


def all_perceived(frame: pd.DataFrame, spec: str) -> bool:
    """Whether some groups of an attribute, or of all parts of an intersection, are perceived."""
    return all(PERCEIVED in sources_in(frame, name.strip()) for name in spec.split("*"))


def memberships_of(
    frame: pd.DataFrame, attributes: Mapping[str, Sequence[str]], *, soft: bool = False, where: str = "mitigation.soft"
) -> NDArray[np.float32]:
    """``(n, G)``: one-hot blocks side by side; all zero where an attribute is missing.

    With ``soft`` those of perceived attributes are the annotator's probabilities, where it gave a face some: faces of
    a merged store whose own corpus annotated them keep what it says.

    Args:
        frame: The columns of the n faces.
        attributes: An attribute, or an intersection -> its groups, in the order of the columns.
        soft: Whether perceived groups are probabilities.
        where: The setting that asks for these, for messages.

    Raises:
        ConfigError: If they are asked for and there are none of a group, or a row of them is no distribution.
    """
    found = []
    for spec, groups in attributes.items():
        words = groups_in(frame, spec).to_numpy(dtype=object)
        block = (words[:, None] == np.array(groups, dtype=object)).astype(np.float32)
        if soft and all_perceived(frame, spec):
            told = _probabilities(frame, spec, groups, where)
            block = np.where((block.any(1) & told.any(1))[:, None], told, block)
        found.append(block.astype(np.float32))
    return np.concatenate(found, axis=1) if found else np.zeros((len(frame), 0), np.float32)


def _probabilities(frame: pd.DataFrame, spec: str, groups: Sequence[str], where: str) -> NDArray[np.float64]:
    """``(n, G)`` the annotator's probabilities; of an intersection the products of those of its parts.

    Raises:
        ConfigError: If a group has no column, or a row of them is no distribution.
    """
    parts = [name.strip() for name in spec.split("*")]
    found = np.ones((len(frame), len(groups)))
    for i, name in enumerate(parts):
        for g, group in enumerate(groups):
            column = f"{name}_prob_{group.split(BETWEEN)[i]}"
            if column not in frame:
                expected = f"the annotator's probabilities of {name!r}"
                raise ConfigError(where, f"there is no column {column!r}", expected, "Leave soft out.")
            found[:, g] *= frame[column].to_numpy(np.float64, na_value=np.nan)
    found = np.nan_to_num(found)
    total = found.sum(1, keepdims=True)
    # Less than 1 where some have a chance of groups that nobody is named; more, or below 0, is no distribution.
    if (total > 1.05).any() or (found < 0).any():
        raise ConfigError(where, f"probabilities of {spec!r} sum to {total.max():.3f}", "a sum of 1")
    return np.asarray(np.divide(found, total, out=np.zeros_like(found), where=total > 0))
