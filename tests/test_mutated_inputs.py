"""A short campaign of benchmarks/mutations.py: damaged inputs of every kind are read or refused in one sentence."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "mutations.py"


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module
    spec.loader.exec_module(module)
    return module


def test_damaged_inputs_are_read_or_refused_in_one_sentence(mutations: ModuleType, tmp_path: Path) -> None:
    said: list[str] = []
    faults = mutations.campaign(tmp_path, 130, first=10_000, say=said.append)
    assert not faults, "\n".join(faults)
    assert len(said) > 15
    assert all("refused" in line or "bad" in line for line in said), said  # the damage is not harmless


def test_a_fault_would_be_found(mutations: ModuleType) -> None:
    def make(folder: Path) -> None:
        (folder / "x.txt").write_text("1")

    def raises(folder: Path) -> None:
        raise ZeroDivisionError

    def never_ends(folder: Path) -> None:
        while True:
            pass

    mutations.SECONDS = 1
    assert mutations.attempt(mutations.Reader("raises", make, raises), 0)[0] == "fault"
    assert mutations.attempt(mutations.Reader("never ends", make, never_ends), 0)[0] == "fault"
    assert mutations.attempt(mutations.Reader("reads", make, lambda folder: None), 0)[0] == "read"


def test_damage_is_repeatable_and_changes_something(mutations: ModuleType) -> None:
    honest = b'{"key": 1, "other": [2.5, "words"]}\n' * 20
    again = [[mutations.damage(honest, random.Random(seed)) for seed in range(200)] for _ in range(2)]
    assert again[0] == again[1]
    assert sum(content != honest for content in again[0]) > 170
