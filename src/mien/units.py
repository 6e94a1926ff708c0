"""Independent units: faces that share a picture or a person stand or fall together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mien.missing import missing_mask


def joined_units(columns: Sequence[pd.Series[Any]]) -> NDArray[np.int64]:
    """Number the rows so that rows which agree in any column, directly or through others, share a number.

    Args:
        columns: Each ``(n,)``, e.g. picture clusters and identities; a missing value, or a word that means
            missing, agrees with nothing, and neither does -1 in a column called ``cluster``.

    Returns:
        ``(n,)`` units from 0.
    """
    n = len(columns[0])
    rows, nodes, n_nodes = [], [], n
    for column in columns:
        codes, names = pd.factorize(column)
        codes = np.where(np.append(_absent(names, column.name == "cluster"), True)[codes], -1, codes)
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        nodes.append(n_nodes + codes[known])
        n_nodes += len(names)
    # Rows and values are nodes, each known value an edge; a unit is what hangs together.
    edges = (np.concatenate(rows), np.concatenate(nodes))
    graph = coo_matrix((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
    components = connected_components(graph, directed=False)[1][:n]
    return np.unique(components, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _absent(names: Any, cluster: bool) -> NDArray[np.bool_]:
    """Which distinct values of a column mean that nobody is known; of numbers none but -1 in ``cluster``."""
    if pd.api.types.is_numeric_dtype(names):
        return np.asarray(names == -1, dtype=np.bool_) if cluster else np.zeros(len(names), dtype=np.bool_)
    return missing_mask(names, cluster=cluster)
