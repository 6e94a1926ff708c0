"""The pages of docs/methods are what benchmarks/methods.py writes from docstrings, tables and records."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mien.mitigation import MITIGATIONS
from mien.postprocessing import POSTPROCESSORS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def methods() -> ModuleType:
    spec = importlib.util.spec_from_file_location("method_pages", ROOT / "benchmarks" / "methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_as_the_records_have_them(methods: ModuleType) -> None:
    found = methods.pages()
    folder = ROOT / "docs" / "methods"
    assert sorted(found) == sorted(path.name for path in folder.iterdir())
    for name, text in found.items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"python benchmarks/methods.py: {name} has changed"


def test_every_method_stands_in_the_overview_and_has_a_page(methods: ModuleType) -> None:
    said = methods._overview()
    for name in {*MITIGATIONS.names(), *POSTPROCESSORS.names()} - {methods.NONE}:
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
        assert said[name]["what it does"], name
        assert "**When it hurts**" in page, name


def test_what_is_set_beside_mitigations_has_a_page_with_what_it_did(methods: ModuleType) -> None:
    for name in methods.BESIDE:
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
        assert "**When it hurts**" in page, name
        assert "drawn faces: classes go with groups in training" in page, name
