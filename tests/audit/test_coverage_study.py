"""A quick version of benchmarks/coverage.py: the same code, few samples, wide margins."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_study", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_study"] = module
    spec.loader.exec_module(module)
    module._WORLDS |= {loss: module.World(loss, n=4000) for loss in (0.0, 0.2)}
    return module


def shares(coverage, design, n_sims=40):
    found = coverage.study((design, n_sims, 0))
    return {name: float(np.mean(values)) for name, values in found.items()}, found


@pytest.mark.parametrize("n", [30, 300])
def test_intervals_hold_and_nothing_is_made_of_chance(coverage, n):
    held, found = shares(coverage, coverage.Design("two", "FER+ mix", 2, n))
    for name, share in held.items():
        if name.startswith(("interval", "gap")):
            assert share > 0.86, (name, share)
    assert held["interval accuracy"] < 1  # it can miss
    assert np.mean(np.array(found["p accuracy"]) <= 0.05) < 0.2
    assert 0.3 < np.mean(found["p accuracy"]) < 0.75


def test_copies_are_not_taken_for_faces(coverage):
    design = coverage.Design("copies", "even mix", 2, 300, copies=0.5)
    held, _ = shares(coverage, design, 30)
    assert held["interval accuracy"] > 0.85
    assert held["gap accuracy"] > 0.85


def test_a_large_gap_is_shown(coverage):
    held, found = shares(coverage, coverage.Design("gap", "even mix", 2, 300, loss=0.2), 20)
    assert np.mean(np.array(found["p accuracy"]) <= 0.05) > 0.9
    assert held["gap accuracy"] > 0.8
    assert np.mean(found["detectable"]) < 0.2
