"""Coverage and power of the paired comparison and of the seed audit: `python benchmarks/compare.py [--quick]`.

Truth is known by simulation. Tables: differences of groups and McNemar's test through `compare`;
the change of a gap beside simpler intervals; `seed_audit`; and seconds at 35,000 rows.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from audit import synthetic_predictions
from mien.audit.compare import compare
from mien.audit.compare.paired_statistics import change_of_extreme, sign_flip_p
from mien.audit.seeds import seed_audit
from mien.audit.seeds.noise import gap_noise, spreads_of
from mien.metrics import balanced_accuracy, macro_f1, weighted_f1
from mien.records import Predictions
from mien.stats.cells import Rows
from mien.stats.settings import Settings

K = 4
SHARES = np.array((0.5, 0.3, 0.15, 0.05))
HITS = np.array(((0.85, 0.8, 0.7, 0.5), (0.87, 0.8, 0.75, 0.6)))  # models x classes
UNEVEN = np.array((3000, 2000, 1500, 1000, 800, 600, 500, 400, 300, 200, 150, 100, 60, 40))


def table(labels, predicted, group, cluster=None) -> Predictions:
    """Predictions without probabilities."""
    return Predictions(
        sample_id=np.arange(len(labels)).astype(str),
        classes=tuple(f"c{i}" for i in range(K)),
        labels=labels.astype(np.int64),
        predicted=predicted.astype(np.int64),
        probs=None,
        soft_targets=None,
        votes=None,
        groups=pd.DataFrame({"group": group}),
        cluster=cluster,
    )


def two_models(rng, n, faces_each):
    """Two models whose mistakes share a difficulty; the faces of a person share most of it."""
    person = np.arange(n) // faces_each
    labels = rng.choice(K, n, p=SHARES)
    hard, own = rng.random(n)[person], rng.random((3, n))
    difficulty = np.where(own[0] < 0.6, hard, own[1])
    other = (labels + rng.integers(1, K, n)) % K
    predicted = []
    for hits in HITS:
        z = np.where(rng.random(n) < 0.7, difficulty, rng.random(n))
        predicted.append(np.where(z < hits[labels], labels, other))
    group = np.where(person % 2, "f", "m")
    cluster = person.astype(np.int64) if faces_each > 1 else None
    return [table(labels, p, group, cluster) for p in predicted]


def differences(repeats: int) -> None:
    """Coverage of the differences of groups."""
    rng = np.random.default_rng(0)
    a, b = two_models(rng, 1_000_000, 1)
    macro = {"balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1, "weighted_f1": weighted_f1}
    truth = {m: float(f(b.confusion()) - f(a.confusion())) for m, f in macro.items()}
    truth["accuracy"] = float(SHARES @ (HITS[1] - HITS[0]))
    truth["recall of c3"] = float(HITS[1, 3] - HITS[0, 3])
    print("\nDifferences of a group: coverage at 95 % (mean width)")
    print(f"{'faces a group':<26}" + "".join(f"{m:>24}" for m in truth))
    for n, each in ((100, 1), (400, 1), (400, 8), (2000, 8)):
        covered, width = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 0.0)
        for _ in range(repeats):
            group = (
                compare(*two_models(rng, 2 * n, each), ["group"], settings=Settings(n_boot=400)).attributes[0].groups[0]
            )
            for m, true in truth.items():
                e = (group.recall["c3"] if m.startswith("recall") else group.metrics[m]).difference
                covered[m] += (e.low <= true <= e.high) / repeats
                width[m] += (e.high - e.low) / repeats
        what = f"{n}, {'independent' if each == 1 else f'{each} a person'}"
        print(f"{what:<26}" + "".join(f"{covered[m]:>15.3f} ({width[m]:.3f})" for m in truth))


def mcnemar(repeats: int) -> None:
    """False alarms of McNemar's test over units and over faces, where the models are equally good."""
    rng = np.random.default_rng(1)
    print("\nMcNemar's test between equally good models: share of p < 0.05")
    print(f"{'':<34}{'over units':>12}{'over faces':>12}")
    for units, each in ((60, 1), (500, 1), (50, 8), (400, 8), (400, 2)):
        own, faces = 0, 0
        for _ in range(repeats * 5):
            lean = rng.choice((0.1, 0.9), units)  # a person whom one of the models gets
            n_odd = rng.binomial(each, 0.3, units)
            b_only = rng.binomial(n_odd, lean if each > 1 else 0.5)
            net = 2 * b_only - n_odd
            own += sign_flip_p(net) < 0.05
            faces += sign_flip_p(np.repeat((1, -1), (b_only.sum(), n_odd.sum() - b_only.sum()))) < 0.05
        print(f"{f'{units} units of {each}':<34}{own / repeats / 5:>12.3f}{faces / repeats / 5:>12.3f}")


def shift(g: int, change: float, at: int) -> np.ndarray:
    """Accuracies of 0.75, one of them changed."""
    p = np.full(g, 0.75)
    p[at] += change
    return p


def ladder(g: int, reach: float) -> np.ndarray:
    """Accuracies in even steps."""
    return 0.75 + np.linspace(reach, -reach, g)


CHANGES = {
    "no gaps, 2 groups": (shift(2, 0, 0), shift(2, 0, 0), np.full(2, 400)),
    "no gaps, 7 groups": (shift(7, 0, 0), shift(7, 0, 0), np.full(7, 400)),
    "no gaps, 14 uneven": (shift(14, 0, 0), shift(14, 0, 0), UNEVEN),
    "0.15 stays": (shift(7, -0.15, 0), shift(7, -0.15, 0), np.full(7, 400)),
    "0.15, another group": (shift(7, -0.15, 0), shift(7, -0.15, 1), np.full(7, 400)),
    "0.1, one or three worst": (shift(7, -0.1, 0), np.repeat((0.65, 0.75), (3, 4)), np.full(7, 400)),
    "0.2 stays, 14 in steps": (ladder(14, 0.1), ladder(14, 0.1), UNEVEN),
    "0.15 to 0.05": (shift(7, -0.15, 0), shift(7, -0.05, 0), np.full(7, 400)),
    "0.15 to 0.05, 60 faces": (shift(7, -0.15, 0), shift(7, -0.05, 0), np.full(7, 60)),
    "0.15 to 0.05, 3,000 faces": (shift(7, -0.15, 0), shift(7, -0.05, 0), np.full(7, 3000)),
    "0.2 to 0.1, 14 in steps": (ladder(14, 0.1), ladder(14, 0.05), UNEVEN),
    "0 to 0.1, 2 groups": (shift(2, 0, 0), shift(2, -0.1, 0), np.full(2, 400)),
    "0 to 0.05": (shift(7, 0, 0), shift(7, -0.05, 0), np.full(7, 400)),
    "0 to 0.15": (shift(7, 0, 0), shift(7, -0.15, 0), np.full(7, 400)),
    "0 to 0.15, 14 uneven": (shift(14, 0, 0), shift(14, -0.15, 5), UNEVEN),
}


def gaps(repeats: int) -> None:
    """The change of an accuracy gap: this interval, percentiles, and exchanging the models within faces."""
    rng = np.random.default_rng(2)
    print("\nChange of a gap, 7 groups of 400 faces unless said: coverage (width) and share of p < 0.05")
    heads = ("gap", "percentiles", "worst value", "ratio", "p < 0.05", "exchange")
    print(f"{'':<28}{'true':>7}" + "".join(f"{h:>16}" for h in heads))
    for name, (p_a, p_b, n) in CHANGES.items():
        for agreement in (0.3, 0.8):
            row = _gap_row(rng, p_a, p_b, n, agreement, repeats)
            true = np.ptp(p_b) - np.ptp(p_a)
            print(f"{name:<24}{agreement:>4}{true:>7.2f}" + "".join(f"{cell:>16}" for cell in row))


def _gap_row(rng, p_a, p_b, n, agreement, repeats):
    both = np.minimum(p_a * p_b + agreement * np.sqrt(p_a * (1 - p_a) * p_b * (1 - p_b)), np.minimum(p_a, p_b) - 0.005)
    law = np.stack([both, p_a - both, p_b - both, 1 - p_a - p_b + both], axis=1)
    true = {
        "gap": np.ptp(p_b) - np.ptp(p_a),
        "worst": p_b.min() - p_a.min(),
        "ratio": p_b.min() / p_b.max() - p_a.min() / p_a.max(),
    }
    covered, width = dict.fromkeys((*true, "percentile"), 0.0), dict.fromkeys((*true, "percentile"), 0.0)
    found = exchanged = 0
    for _ in range(repeats):
        counts = np.stack([rng.multinomial(m, q) for m, q in zip(n, law, strict=True)])
        drawn = np.stack([rng.multinomial(m, c / m, size=400) for m, c in zip(n, counts, strict=True)], axis=1)
        values, replicates = _accuracies(counts, n), _accuracies(drawn, n)
        for statistic, truth in true.items():
            e, p = change_of_extreme(values, replicates, statistic)
            covered[statistic] += e.low <= truth <= e.high
            width[statistic] += e.high - e.low
            found += statistic == "gap" and p < 0.05
        change = np.ptp(replicates[:, 1], axis=1) - np.ptp(replicates[:, 0], axis=1)
        low, high = np.quantile(change, (0.025, 0.975))
        covered["percentile"] += low <= true["gap"] <= high
        width["percentile"] += high - low
        swapped = np.repeat(counts[None], 400, axis=0)
        moved = rng.binomial(counts[:, 1], 0.5, (400, len(n))), rng.binomial(counts[:, 2], 0.5, (400, len(n)))
        swapped[..., 1] += moved[1] - moved[0]
        swapped[..., 2] += moved[0] - moved[1]
        null = _accuracies(swapped, n)
        null = np.abs(np.ptp(null[:, 1], axis=1) - np.ptp(null[:, 0], axis=1))
        exchanged += (1 + (null >= abs(np.ptp(values[1]) - np.ptp(values[0])) - 1e-12).sum()) / 401 <= 0.05
    cells = [f"{covered[s] / repeats:.3f} ({width[s] / repeats:.3f})" for s in ("gap", "percentile", "worst", "ratio")]
    return [*cells, f"{found / repeats:.3f}", f"{exchanged / repeats:.3f}"]


def _accuracies(counts, n):
    """``(..., 2, G)`` from ``(..., G, 4)``: both right, only A, only B, neither."""
    return np.stack([counts[..., 0] + counts[..., 1], counts[..., 0] + counts[..., 2]], axis=-2) / n


def trained(rng, n, lower, spread, k):
    """Runs of a procedure; ``lower`` is what each group lacks, ``spread`` its seed noise (standard deviation)."""
    group = np.repeat(np.arange(len(n)), n)
    labels = rng.choice(K, len(group), p=SHARES)
    ease = rng.uniform(0.55, 0.95, len(group)) - lower[group]
    other = (labels + rng.integers(1, K, len(group))) % K
    rows = []
    for _ in range(k):
        seed = np.clip(rng.normal(size=len(n)) * spread + 0.01 * rng.normal(), -0.05, 0.05)
        predicted = np.where(rng.random(len(group)) < ease + seed[group], labels, other)
        rows.append(Rows(group, labels, predicted, None, len(n), K))
    return rows


PROCEDURES = {
    "no gap, 2 groups of 3,000": (np.full(2, 3000), np.zeros(2), np.full(2, 0.01)),
    "no gap, 7 groups of 1,000": (np.full(7, 1000), np.zeros(7), np.full(7, 0.01)),
    "no gap, 7 uneven": (UNEVEN[::2], np.zeros(7), np.linspace(0.004, 0.02, 7)),
    "no gap, 2 of 30,000": (np.full(2, 30000), np.zeros(2), np.full(2, 0.02)),
    "0.05, 2 groups of 3,000": (np.full(2, 3000), np.array((0, 0.05)), np.full(2, 0.01)),
    "0.05, 7 groups of 1,000": (np.full(7, 1000), np.eye(7)[6] * 0.05, np.full(7, 0.01)),
    "0.1, 7 uneven": (UNEVEN[::2], np.eye(7)[3] * 0.1, np.linspace(0.004, 0.02, 7)),
}


def seeds(repeats: int) -> None:
    """Coverage and verdicts of the seed audit."""
    rng = np.random.default_rng(3)
    print("\nSeed audit, accuracy gap of the procedure: coverage (width), power or false alarms, `within seed noise`")
    print(f"{'':<28}{'runs':>5}{'gap':>16}{'p < 0.05':>10}{'within':>8}{'one run':>10}{'by seed alone':>15}")
    for name, (n, lower, spread) in PROCEDURES.items():
        for k in (2, 3, 5, 10):
            out = []
            for _ in range(max(repeats * 3000 // max(int(n.sum()), 3000), 20)):
                found = spreads_of(trained(rng, n, lower, spread, k))["accuracy", 0]
                noise = gap_noise(found, 0.95, 400, rng)
                within = noise.p >= 0.05 and noise.high <= noise.seed_gap_high
                one = np.ptp(found.values, axis=1).mean()
                covered = noise.low <= np.ptp(lower) <= noise.high
                out.append((covered, noise.high - noise.low, noise.p < 0.05, within, one, noise.seed_gap_high))
            c = np.mean(out, axis=0)
            print(
                f"{name:<28}{k:>5}{f'{c[0]:.3f} ({c[1]:.3f})':>16}{c[2]:>10.3f}{c[3]:>8.3f}{c[4]:>10.3f}{c[5]:>15.3f}"
            )


def seconds() -> None:
    """Time of both at 35,000 rows, 14 groups, 8 classes and 2,000 replicates."""
    print("\nSeconds at 35,000 rows, 14 groups, 8 classes, 2,000 replicates (best of 3)")
    for copies in (0.0, 0.05):
        a, rng = synthetic_predictions(35_000, copies), np.random.default_rng(4)
        runs = [a]
        for _ in range(4):
            flipped = np.where(rng.random(len(a)) < 0.15, rng.integers(0, 8, len(a)), a.predicted)
            runs.append(replace(a, predicted=flipped))
        calls = {"compare": lambda r=runs: compare(r[0], r[1], ["gender*race"])}
        calls["seed_audit, 5 runs"] = lambda r=runs: seed_audit(r, ["gender*race"])
        for name, call in calls.items():
            best = np.inf
            for _ in range(3):
                start = time.perf_counter()
                call()
                best = min(best, time.perf_counter() - start)
            print(f"{name:<24}{f'{copies:.0%} copies':<14}{best:>6.2f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repeats: seconds, and rough numbers")
    parser.add_argument("--only", choices=("differences", "mcnemar", "gaps", "seeds", "seconds"))
    options = parser.parse_args()
    repeats = 10 if options.quick else 200
    parts = {"differences": differences, "mcnemar": mcnemar, "gaps": gaps, "seeds": seeds}
    for name, part in parts.items():
        if options.only in (None, name):
            part(repeats)
    if options.only in (None, "seconds"):
        seconds()


if __name__ == "__main__":
    main()
