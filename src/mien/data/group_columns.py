"""The group of each face of a table, by an attribute or by an intersection of several."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mien.samples import SampleTable
from mien.spellings import BETWEEN


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
        joined = joined + BETWEEN + column.astype(str)
    return joined.where(known, None)
