"""Results of gates as JUnit XML, which build servers show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from mien.audit.gate.checks import FAILED, PASSED, UNDECIDED, GateResult
from mien.shown import visible

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[GateResult], name: str, seconds: float = 0.0, *, allow_undecided: bool = False) -> str:
    """The results as JUnit XML, which build servers show.

    Args:
        results: One test case each.
        name: Name of the test suite.
        seconds: Time the audit took.
        allow_undecided: Whether an undecided gate counts as skipped and not as an error.
    """
    outcomes = {FAILED: "failure", UNDECIDED: "skipped" if allow_undecided else "error", PASSED: ""}
    found = [outcomes[r.status] for r in results]
    attributes = {"tests": str(len(results)), "time": f"{seconds:.3f}"}
    attributes |= {f"{k}s": str(found.count(k)) for k in ("failure", "error")} | {
        "skipped": str(found.count("skipped"))
    }
    title = _printable(name)
    root = ElementTree.Element("testsuites", {"name": title, **attributes})
    suite = ElementTree.SubElement(root, "testsuite", {"name": title, **attributes})
    for result, outcome in zip(results, found, strict=True):
        case = {"classname": title, "name": _printable(result.expression), "time": f"{seconds / len(results):.3f}"}
        element, reason = ElementTree.SubElement(suite, "testcase", case), _printable(result.reason)
        told = {"message": reason, "type": result.status} if outcome else {}
        ElementTree.SubElement(element, outcome or "system-out", told).text = reason
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """Without the control characters that XML may not even hold escaped; those that it may are shown as text."""
    return visible(_NOT_XML.sub("\ufffd", text), lines=True)
