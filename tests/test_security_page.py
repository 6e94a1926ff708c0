"""What SECURITY.md points to is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_test_and_document_that_is_named_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.]+)`", text) + re.findall(r"\]\((docs/[\w/.]+)\)", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_it_says_how_to_report_and_what_is_not_promised() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert re.findall("(?m)^## (.+)$", text) == [
        "Report a hole",
        "Supported versions",
        "What is promised",
        "What is not promised",
    ]
    assert "Report a vulnerability" in text
    assert "SECURITY.md" in (ROOT / "README.md").read_text(encoding="utf-8")
