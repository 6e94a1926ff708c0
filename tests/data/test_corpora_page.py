"""docs/corpora.md says what the readers declare."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from mien.data.datasets import DATASETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("corpora_page", ROOT / "benchmarks" / "corpora_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(script):
    page = (ROOT / "docs" / "corpora.md").read_text()
    assert script.renewed(page) == page, "run: python benchmarks/corpora_page.py"


def test_every_published_corpus_stands_in_both_tables(script):
    named = re.findall(r"^\| `(\w+)` \|", script.tables(), re.MULTILINE)
    expected = set(DATASETS) - {"folder", "manifest", "synthetic"}
    assert {n: named.count(n) for n in named} == dict.fromkeys(expected, 2)


def test_no_cell_is_empty_that_must_be_filled(script):
    for line in script.layouts():
        assert all(cell.strip() for cell in line.strip("|").split(" | ")), line


def test_a_page_without_its_marks_is_refused(script):
    with pytest.raises(ValueError, match="no <!-- tables"):
        script.renewed("# Corpora\n")
