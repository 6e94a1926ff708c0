"""Every mitigation under one protocol: a tuned baseline first, as many configurations for each method, one page."""

from mien.mitigate.definition import MethodConfig, MitigationConfig, load_mitigation
from mien.mitigate.page import write_matrix, write_page
from mien.mitigate.run import Found, Phase, baseline_phase, found_of, methods_phase

__all__ = [
    "Found",
    "MethodConfig",
    "MitigationConfig",
    "Phase",
    "baseline_phase",
    "found_of",
    "load_mitigation",
    "methods_phase",
    "write_matrix",
    "write_page",
]
