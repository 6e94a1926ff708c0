"""Conditions on an audit that stop a build."""

from mien.audit.gate.checks import (
    FAILED,
    PASSED,
    UNDECIDED,
    Gate,
    GateResult,
    check_gate,
    check_gates,
    parse_gate,
)
from mien.audit.gate.junit import junit_xml

__all__ = [
    "FAILED",
    "PASSED",
    "UNDECIDED",
    "Gate",
    "GateResult",
    "check_gate",
    "check_gates",
    "junit_xml",
    "parse_gate",
]
