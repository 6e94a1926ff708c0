"""Independent units: faces that share a picture or a person stand or fall together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def joined_units(columns: Sequence[pd.Series[Any]]) -> NDArray[np.int64]:
    """Number the rows so that rows which agree in any column, directly or through others, share a number.

    Args:
        columns: Each ``(n,)``, e.g. picture clusters and identities; a missing or empty value
            agrees with nothing.

    Returns:
        ``(n,)`` units from 0.
    """
    n = len(columns[0])
    rows, nodes, n_nodes = [], [], n
    for column in columns:
        codes, names = pd.factorize(column.where(column.astype(str) != ""))
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        nodes.append(n_nodes + codes[known])
        n_nodes += len(names)
    # Rows and values are nodes, each known value an edge; a unit is what hangs together.
    edges = (np.concatenate(rows), np.concatenate(nodes))
    graph = coo_matrix((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
    components = connected_components(graph, directed=False)[1][:n]
    return np.unique(components, return_inverse=True)[1].reshape(-1).astype(np.int64)
