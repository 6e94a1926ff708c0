"""Do gaps between perceived groups recover a known gap? Simulations with an annotator of known error.

    python benchmarks/inferred.py [--simulations 200] [--quick]

Two groups (or five) have a known accuracy each. An annotator sees a noisy score of the group, names one
and states a calibrated confidence; its confusion matrix is counted on a validation set of its own. For
each scenario: the mean accuracy gap by each method, how much of the true gap that is, how often the
95 % interval holds the true gap, and the mean width of the interval.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from mien.audit.inferred import infer_gaps
from mien.audit.inferred.annotator_error import AnnotatorError
from mien.records import Predictions
from mien.stats.settings import Settings

N_CLASSES = 7
METHODS = ("thresholded", "weighted", "corrected")


@dataclass(frozen=True)
class Scenario:
    """A world with a known gap, and an annotator.

    ``error`` is the annotator's error on the audited faces, ``error_if_wrong`` that on faces that the
    model gets wrong (None: the same), ``validation_error`` that on the validation faces (None: the same).
    ``apart``: the matrix is counted apart for validation faces that the model gets right and wrong.
    """

    title: str
    accuracies: tuple[float, ...] = (0.6, 0.8)
    shares: tuple[float, ...] = (0.5, 0.5)
    error: float = 0.25
    validated: int = 500
    n: int = 4000
    error_if_wrong: float | None = None
    validation_error: float | None = None
    sharpened: float = 1.0
    apart: bool = False


SCENARIOS = (
    Scenario("20 % error", error=0.20),
    Scenario("25 % error", error=0.25),
    Scenario("30 % error", error=0.30),
    Scenario("30 % error, 100 validation faces a group", error=0.30, validated=100),
    Scenario("30 % error, 50 validation faces a group", error=0.30, validated=50),
    Scenario("20 % error, minority of 20 %", error=0.20, shares=(0.2, 0.8), validated=200),
    Scenario("25 % error, confidence too sure", error=0.25, sharpened=3.0),
    Scenario("five groups, 25 % error", (0.6, 0.65, 0.7, 0.75, 0.8), (0.2,) * 5, 0.25, 200, 6000),
    Scenario("no gap, 30 % error, 100 validation faces", (0.7, 0.7), error=0.30, validated=100),
    Scenario("broken: 15 % error where the model is right, 35 % where it is wrong", error=0.15, error_if_wrong=0.35),
    Scenario("the same, matrix counted apart for right and wrong", error=0.15, error_if_wrong=0.35, apart=True),
    Scenario("broken in the same way, no gap, minority of 30 %", (0.7, 0.7), (0.3, 0.7), 0.15, error_if_wrong=0.35),
    Scenario("the same, matrix counted apart", (0.7, 0.7), (0.3, 0.7), 0.15, error_if_wrong=0.35, apart=True),
    Scenario("broken: 30 % error, validated on easy faces with 15 %", error=0.30, validation_error=0.15),
)


def named(rng: np.random.Generator, group: np.ndarray, error: np.ndarray, n_groups: int) -> np.ndarray:
    """The group that the annotator names: mistaken with probability ``error``, evenly."""
    other = (group + rng.integers(1, n_groups, len(group))) % n_groups
    return np.where(rng.random(len(group)) < error, other, group)


def simulate(s: Scenario, seed: int) -> tuple[Predictions, list[AnnotatorError]]:
    """Predictions with a perceived group and confidence, and the annotator's validated matrix, or two."""
    rng = np.random.default_rng([seed, 1])
    n_groups = len(s.shares)
    group = rng.choice(n_groups, s.n, p=s.shares)
    label = rng.choice(N_CLASSES, s.n, p=np.arange(N_CLASSES, 0, -1) / np.arange(N_CLASSES, 0, -1).sum())
    right = rng.random(s.n) < np.asarray(s.accuracies)[group]
    predicted = np.where(right, label, (label + rng.integers(1, N_CLASSES, s.n)) % N_CLASSES)
    error_if_wrong = s.error if s.error_if_wrong is None else s.error_if_wrong
    error = np.where(right, s.error, error_if_wrong)
    if n_groups == 2 and s.error_if_wrong is None:
        # A score with normal noise: the group named is its sign, the confidence its posterior.
        distance = NormalDist().inv_cdf(1 - s.error)
        score = rng.normal(distance * (2 * group - 1), 1.0)
        perceived = (score > 0).astype(int)
        odds = s.sharpened * (2 * distance * score + np.log(s.shares[1] / s.shares[0]))
        confidence = 1 / (1 + np.exp(np.where(perceived == 1, -odds, odds)))
    else:
        perceived = named(rng, group, error, n_groups)
        hits = np.bincount(perceived[perceived == group], minlength=n_groups)
        confidence = (hits / np.maximum(np.bincount(perceived, minlength=n_groups), 1))[perceived]
    names = np.array([f"group {g + 1}" for g in range(n_groups)])
    frame = pd.DataFrame({"perceived_group": names[perceived], "perceived_group_confidence": confidence})
    pred = Predictions(
        sample_id=np.arange(s.n).astype(str),
        classes=tuple(f"class {k + 1}" for k in range(N_CLASSES)),
        labels=label.astype(np.int64),
        predicted=predicted.astype(np.int64),
        probs=None,
        soft_targets=np.eye(N_CLASSES)[label],
        votes=None,
        groups=frame,
    )
    true = np.repeat(np.arange(n_groups), s.validated)
    easy = s.error if s.validation_error is None else s.validation_error
    validation_right = rng.random(len(true)) < np.asarray(s.accuracies)[true]
    if s.error_if_wrong is not None:
        errors = np.where(validation_right, s.error, s.error_if_wrong)
    else:
        errors = np.full(len(true), easy)
    seen = named(rng, true, errors, n_groups)
    matrices = []
    for part in (validation_right, ~validation_right) if s.apart else (np.ones(len(true), dtype=bool),):
        counts = np.bincount((true * n_groups + seen)[part], minlength=n_groups**2).reshape(n_groups, n_groups)
        matrices.append(AnnotatorError(names.tolist(), counts.tolist(), "simulation"))
    return pred, matrices


def run(s: Scenario, simulations: int, replicates: int) -> dict[str, np.ndarray]:
    """Method -> ``(simulations, 3)``: gap, whether the interval holds the truth, width."""
    truth = max(s.accuracies) - min(s.accuracies)
    out: dict[str, list[tuple[float, bool, float]]] = {m: [] for m in METHODS}
    for seed in range(simulations):
        pred, matrices = simulate(s, seed)
        result = infer_gaps(
            pred, "perceived_group", *matrices, settings=Settings(n_boot=replicates, seed=seed), curves=False
        )
        for method, e in result.side_by_side("accuracy").items():
            out[method].append((e.value, e.low <= truth <= e.high, e.high - e.low))
    return {m: np.array(rows, dtype=float) for m, rows in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="40 simulations with 200 replicates")
    args = parser.parse_args()
    simulations, replicates = (40, 200) if args.quick else (args.simulations, args.replicates)
    print(f"{simulations} simulations a scenario, {replicates} replicates each, {N_CLASSES} classes\n")
    print("| scenario | true gap | method | mean gap | of the true one | 95 % interval holds it | width |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    start = time.perf_counter()
    for s in SCENARIOS:
        truth = max(s.accuracies) - min(s.accuracies)
        for method, rows in run(s, simulations, replicates).items():
            mean, held, width = rows.mean(0)
            share = f"{mean / truth:.0%}" if truth else "–"
            cells = (s.title, f"{truth:.2f}", method, f"{mean:.3f}", share, f"{held:.1%}", f"{width:.3f}")
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
