"""No mitigation: the loss alone."""

from __future__ import annotations

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Mitigation

MITIGATIONS.register("none")(Mitigation)
