"""What is said of a claim, from made-up answers of two rows: every verdict, and what no verdict may rest on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.audit.overall import summary_estimates
from mien.errors import DataError
from mien.records import Predictions
from mien.stats.settings import Settings
from mien.studies import claims, estimates
from mien.studies.columns import column_of
from mien.studies.definition import ClaimConfig, StudyConfig

N = 3000
STUDY = StudyConfig.model_validate({"name": "s", "base": "b.yaml", "cells": {"one": {}, "two": {}}, "seeds": 3})


def answers(right: float, seed: int, *, classes: tuple[str, ...] = ("a", "b", "c"), shift: int = 0) -> Predictions:
    """Answers of which so many are right: the same faces are hard for everybody, and each seed has a little luck."""
    labels = (np.arange(N) + shift) % 3
    luck = (np.arange(N) * 0.618034) % 1 + np.random.default_rng(seed).normal(0, 0.002, N)
    predicted = np.where(luck < right, labels, (labels + 1) % 3)
    return Predictions(
        sample_id=np.array([f"f{i}" for i in range(N)], dtype=object),
        classes=classes,
        labels=labels,
        predicted=predicted,
        probs=None,
        soft_targets=None,
        votes=None,
        groups=pd.DataFrame(index=range(N)),
        cluster=np.arange(N),
    )


def judged(
    monkeypatch: pytest.MonkeyPatch,
    one: Any,
    two: Any,
    *,
    keys: str = "ab",
    scale: str = "full",
    brought: str = "",
    **claim: Any,
) -> claims.Judged:
    """The verdict on a claim about two rows of given answers."""
    said = {("one", i): run for i, run in enumerate(one)} | {("two", i): run for i, run in enumerate(two)}
    key = dict(zip(("one", "two"), keys, strict=True))
    cells = {
        row: tuple(
            SimpleNamespace(
                row=row, seed=i, key=f"{key[row]}{i}", start=None, brought=brought if row == "one" else "", on={}
            )
            for i in range(3)
        )
        for row in ("one", "two")
    }
    plan = SimpleNamespace(study=STUDY, of=cells.__getitem__, called=scale, as_published=scale == "full", seeds=3)
    monkeypatch.setattr(claims, "done_of", lambda told: [c for c in told if (c.row, c.seed) in said])
    for module in (claims, estimates):
        monkeypatch.setattr(module, "predictions_of", lambda cell, column: said[cell.row, cell.seed])

    def measured(told: Any, column: Any, settings: Settings) -> Any:
        return [summary_estimates(said[c.row, c.seed], settings=settings)[column.metric] for c in told]

    for module in (claims, estimates):
        monkeypatch.setattr(module, "estimates_of", measured)
    about = {} if "cell" in claim else {"better": "one", "than": "two"}
    told = ClaimConfig.model_validate({"says": "x"} | about | claim)
    return claims.judge(plan, told, Settings(n_boot=200))  # type: ignore[arg-type]


def runs(right: float, first: int = 0, **more: Any) -> list[Predictions]:
    return [answers(right, first + i, **more) for i in range(3)]


@pytest.mark.parametrize(
    ("one", "two", "claim", "verdict"),
    [
        (0.8, 0.6, {}, "holds"),
        (0.6, 0.8, {}, "does not hold"),
        (0.7, 0.7, {}, "cannot be told"),
        # Of two that are as good as each other one may be better.
        (0.7, 0.7, {"within": 0.05}, "holds"),
        (0.8, 0.6, {"within": 0.05}, "does not hold"),
        (0.8, 0.6, {"no_worse_by": 0.05}, "holds"),
        (0.7, 0.7, {"no_worse_by": 0.05}, "holds"),
        (0.6, 0.8, {"no_worse_by": 0.05}, "does not hold"),
    ],
)
def test_verdicts(monkeypatch: pytest.MonkeyPatch, one: float, two: float, claim: Any, verdict: str) -> None:
    assert judged(monkeypatch, runs(one), runs(two, 10), **claim).verdict == verdict


@pytest.mark.parametrize(
    ("scale", "value", "verdict"),
    [
        ("full", 0.6, "holds"),
        ("full", 0.9, "does not hold"),
        ("small", 0.6, "holds"),
        # A shorter training that falls short says nothing of the whole one.
        ("small", 0.9, "cannot be told"),
    ],
)
def test_a_value_is_not_missed_by_less_training(
    monkeypatch: pytest.MonkeyPatch, scale: str, value: float, verdict: str
) -> None:
    found = judged(monkeypatch, runs(0.8), [], scale=scale, cell="one", value=value)
    assert found.verdict == verdict
    assert ("theirs was trained otherwise" in found.why) == (verdict == "cannot be told")
    # Which of two is better may be told at any scale, of what that scale trains.
    compared = judged(monkeypatch, runs(0.6), runs(0.8, 10), scale=scale)
    assert compared.verdict == "does not hold"
    assert compared.why == ""  # a question of our own, which nobody asked at another scale
    theirs = judged(monkeypatch, runs(0.6), runs(0.8, 10), scale=scale, where="table 1")
    assert theirs.why == ("" if scale == "full" else "told at another scale than theirs")


def test_a_file_of_the_caller_s_is_told_beside_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, runs(0.8), runs(0.6, 10), brought="mine.pth")
    assert (found.verdict, found.why) == (
        "holds",
        "one: it begins with mine.pth in place of what a library publishes",
    )


def test_a_margin_that_cannot_be_seen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, runs(0.7), runs(0.7, 10), within=0.0001)
    assert found.verdict == "cannot be told"
    assert "too few seeds and faces: we know it to ±0.00" in found.why
    assert found.why.endswith("at most 0.0001: a margin of ours")
    found = judged(monkeypatch, runs(0.75), runs(0.7, 10), within=0.05)
    assert found.verdict == "cannot be told"
    assert found.why == "the interval includes ±0.05; at most 0.05: a margin of ours"
    found = judged(monkeypatch, runs(0.8), runs(0.6, 10), no_worse_by=0.05)
    assert (found.verdict, found.why) == ("holds", "worse by at most 0.05: a margin of ours")
    found = judged(monkeypatch, runs(0.65), runs(0.7, 10), no_worse_by=0.05)
    assert found.why == "the interval includes -0.05; worse by at most 0.05: a margin of ours"
    assert judged(monkeypatch, runs(0.7), runs(0.7, 10)).why == "the interval includes 0"
    assert judged(monkeypatch, runs(0.7), [], cell="one", value=0.7).why == "the interval includes 0.7"


def test_other_classes_or_labels_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    other = judged(monkeypatch, runs(0.8), runs(0.6, classes=("a", "b", "d")))
    assert (other.verdict, other.why) == ("cannot be told", "judged by other classes")
    other = judged(monkeypatch, runs(0.8), runs(0.6, shift=1))
    assert (other.verdict, other.why) == ("cannot be told", "judged by other labels")


def test_one_experiment_under_two_names_is_not_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, runs(0.7), runs(0.7), keys="aa", within=0.05)
    assert (found.verdict, found.why) == ("cannot be told", "both rows are one experiment at this scale")


def test_seeds_that_are_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, runs(0.8), runs(0.6)[:2])
    assert (found.verdict, found.seeds, found.why) == ("holds", 2, "2 of 3 seeds")
    found = judged(monkeypatch, runs(0.8), [])
    assert (found.verdict, found.ours, found.why) == ("not run", None, "no run of two")
    assert judged(monkeypatch, runs(0.8), runs(0.6)[:1]).verdict == "cannot be told"


def test_other_faces_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    half = [run.select(np.arange(N) % 2 == 0) for run in runs(0.6)]
    found = judged(monkeypatch, runs(0.8), half)
    assert (found.verdict, found.why) == ("holds", "not on the same faces")
    sized = judged(monkeypatch, runs(0.8), runs(0.6), by=0.05)
    assert (sized.verdict, sized.why) == ("holds", "by more than theirs")


def test_a_column_of_a_class_hides_no_other_labels_and_needs_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    one = answers(0.8, 0)
    two = replace(one, labels=(one.labels + 1) % len(one.classes))

    def chosen(cell: Predictions, column: Any) -> Predictions:
        return cell.select(column.faces(cell)) if column.attribute else cell

    monkeypatch.setattr(claims, "predictions_of", chosen)
    column = column_of(f"recall@class={one.classes[0]}", ("test",))
    assert claims._judged_otherwise([one, two], column) == "judged by other labels"  # type: ignore[list-item]
    assert claims._judged_otherwise([one, one], column) == ""  # type: ignore[list-item]
    few = replace(one, labels=np.ones_like(one.labels))
    with pytest.raises(DataError, match=f"no face of 'test' is annotated {one.classes[0]}, expected some"):
        column.faces(few)
