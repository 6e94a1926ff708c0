"""Every mitigation under one protocol: a tuned baseline first, as many configurations for each method, one page."""

from mien.mitigate.definition import MethodConfig, MitigationConfig, load_mitigation
from mien.mitigate.matrix import write_matrix
from mien.mitigate.page import Told, compared, told_of, write_page
from mien.mitigate.phases import Phase, baseline_phase, methods_phase
from mien.mitigate.run import Found, found_of

__all__ = [
    "Found",
    "MethodConfig",
    "MitigationConfig",
    "Phase",
    "Told",
    "baseline_phase",
    "compared",
    "found_of",
    "load_mitigation",
    "methods_phase",
    "told_of",
    "write_matrix",
    "write_page",
]
