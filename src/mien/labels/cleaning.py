"""Which faces a scheme does not label at all, by their votes for ``unknown`` and ``nf`` (not a face)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: ``none``; ``education`` (Samii et al. 2023): any vote for not-a-face, then five or more for unknown;
#: ``sum`` and ``either`` (Duan 2022: "labelled by more than three taggers as unknown or NF"): more than
#: three of both together, or of one of them. The source's figure shows the sum, its caption says either.
Clean = Literal["none", "education", "sum", "either"]


def cleaned_away(unknown: NDArray[np.float64], nf: NDArray[np.float64], clean: Clean) -> NDArray[np.object_]:
    """Why each face has no label, or an empty text.

    Args:
        unknown: ``(n,)`` votes for unknown; zeros where nobody could vote so.
        nf: ``(n,)`` votes for not a face.
        clean: The rule. Of FERPlus's 35,887 rows ``education`` keeps 35,459, ``sum`` 35,393 and ``either`` 35,402.

    Returns:
        ``(n,)`` reasons.
    """
    reasons = np.full(len(unknown), "", dtype=object)
    if clean == "education":
        reasons[unknown >= 5] = "five or more unknown votes"
        reasons[nf > 0] = "not a face"  # asked first by the source
    elif clean == "sum":
        reasons[unknown + nf > 3] = "more than three unknown or not-a-face votes"
    elif clean == "either":
        reasons[(unknown > 3) | (nf > 3)] = "more than three unknown or not-a-face votes"
    return reasons
