"""Leakage: whether an attribute can be read from a model's features, beyond what the expression gives away."""

from mien.audit.leakage.probe import leakage_probe
from mien.audit.leakage.results import LEAKAGE, NO_LEAKAGE, LeakageResult, ProbeResult
from mien.audit.leakage.sample import PROBES, ProbeSettings, leakage_inputs, load_features

__all__ = [
    "LEAKAGE",
    "NO_LEAKAGE",
    "PROBES",
    "LeakageResult",
    "ProbeResult",
    "leakage_inputs",
    "ProbeSettings",
    "leakage_probe",
    "load_features",
]
