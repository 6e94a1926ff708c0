"""Do the audit's intervals hold the truth, and are its p-values uniform? `python benchmarks/coverage.py`.

Faces are drawn from a model of a classifier whose every metric is known (confusion probabilities,
class mix, confidences), in groups without a disparity or with a known one; each sample goes through
`mien.audit.audit` as a user's would. Counted are the intervals that hold the truth, the p-values
below 0.05 (and their whole distribution), how often a known gap is shown, how often a gate fails a sound
model, and how often the verdict names the gap that it is said to be able to.

Groups are of one size, and as people have them: 5,000 against 40, fourteen of 60 to 800, one group's faces
all in copies of four, persons of few faces against persons of many, a model that is nearly always right.

Full size (1,000 samples a design) takes two hours on two cores; `--quick` 20 samples each. With `--parts DIR`
what is done is kept there: a study that was stopped goes on when it is called again, and more samples are added
to those that are there.
Writes `coverage.json`, `coverage.md` and `coverage.png` into `--out` (docs/results/coverage).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mien.audit import DISPARITY, FAILED, audit, check_gates
from mien.metrics import per_class_f1, per_class_precision, per_class_recall, weighted_f1
from mien.records import Predictions
from mien.runs import code_versions
from mien.stats.settings import Settings

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
MIXES = {
    "FER+ mix": np.array([0.36, 0.26, 0.12, 0.12, 0.09, 0.01, 0.03, 0.01]),
    "even mix": np.full(8, 0.125),
}
SIZES = (30, 100, 300, 1000, 5000)
FOURTEEN = (60, 70, 80, 90, 100, 120, 150, 180, 220, 280, 350, 450, 600, 800)
COPIES_OF = 4
HARD = 0.25  # share of persons who are hard to read
# Measures that are truly 0 between groups that are served alike and have one class mix.
ALIKE = (
    "macro_f1",
    "balanced_accuracy",
    "weighted_f1",
    "precision",
    "f1",
    "equalized_odds_difference",
    "demographic_parity_difference",
    "statistical_parity",
    "ece",
    "top2",
    "kl",
    "overconfidence",
)
POWER_LOOKED = 20  # samples of a design whose detectable gap is worked out
N_REPLICATES = 500
PART = 100  # samples of a design that are made at once
LEVEL = 0.95


@dataclass(frozen=True)
class Design:
    """One kind of sample.

    Attributes:
        name: For the tables.
        mix: Name of the class mix.
        n_groups: Groups, all of one size.
        n: Faces of a group.
        loss: How much lower every recall of the first group is.
        copies: Share of the pictures that are in the sample twice.
        tilt: Whether the groups' class mixes differ.
        sizes: Faces of each group where these differ.
        fours: Whether all faces of the first group come in copies of four, and the others' are single.
        persons: Fewest and most faces of a person, a pair for each group; a quarter of the persons are hard to read.
        ease: How much surer than usual the classifier is; at 2 it is right for 99 %.
    """

    name: str
    mix: str
    n_groups: int
    n: int
    loss: float = 0.0
    copies: float = 0.0
    tilt: bool = False
    sizes: tuple[int, ...] = ()
    fours: bool = False
    persons: tuple[tuple[int, int], ...] = ()
    ease: float = 1.0

    @property
    def faces(self) -> tuple[int, ...]:
        """Faces of each group."""
        return self.sizes or (self.n,) * self.n_groups


def uneven() -> list[Design]:
    """Groups as people have them, all without a gap."""
    return [
        Design("5,000 against 40", "FER+ mix", 2, 5000, sizes=(5000, 40)),
        Design("5,000, 200 and 40", "FER+ mix", 3, 5000, sizes=(5000, 200, 40)),
        Design("14 groups of 60 to 800", "FER+ mix", 14, 800, sizes=FOURTEEN),
        Design("one group in copies of four", "FER+ mix", 2, 400, fours=True),
        Design("persons of 8-15 faces against 4-7", "FER+ mix", 2, 500, persons=((8, 15), (4, 7))),
        Design("20 persons of 15 faces a group", "FER+ mix", 2, 300, persons=((15, 15), (15, 15))),
        Design("99 % right, 400 a group", "FER+ mix", 2, 400, ease=2.0),
        Design("99 % right, 5,000 against 40", "FER+ mix", 2, 5000, sizes=(5000, 40), ease=2.0),
    ]


def designs(sizes: tuple[int, ...]) -> list[Design]:
    """All designs of the study."""
    out = []
    for n in sizes:
        out += [Design(f"2 groups, {mix}", mix, 2, n) for mix in MIXES]
        out.append(Design("7 groups, FER+ mix", "FER+ mix", 7, n))
        out.append(Design("2 groups, half the pictures twice", "FER+ mix", 2, n, copies=0.5))
        out.append(Design("2 groups of other class mixes", "FER+ mix", 2, n, tilt=True))
        out += [Design(f"gap of {loss:.2f}", "even mix", 2, n, loss=loss) for loss in (0.02, 0.05, 0.1, 0.2)]
        out.append(Design("gap of 0.10 in one of 7 groups", "even mix", 7, n, loss=0.1))
    return out


class World:
    """A classifier whose probabilities are softmax of normal scores with a lift for the annotated class.

    Metrics are means over `n` faces of each class drawn once: the truth that samples are held to.
    """

    def __init__(self, loss: float, n: int = 60_000, seed: int = 99, ease: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        k = len(CLASSES)
        lift = np.array([2.9, 3.2, 2.7, 2.2, 2.4, 2.0, 1.8, 1.6])[:, None] * ease
        logits = rng.normal(size=(k, n, k)) + 0.5 * rng.normal(size=(k, 1, k))
        logits[np.arange(k), :, np.arange(k)] += lift
        probs = np.exp(1.3 * logits)
        probs /= probs.sum(2, keepdims=True)
        if loss:  # a share of the right answers is exchanged for the second most probable class
            order = np.argsort(probs, 2)
            right = order[:, :, -1] == np.arange(k)[:, None]
            share = loss / right.mean(1, keepdims=True)
            flip = right & (rng.random((k, n)) < share)
            for c in range(k):
                rows = np.flatnonzero(flip[c])
                first, second = order[c, rows, -1], order[c, rows, -2]
                probs[c, rows, first], probs[c, rows, second] = probs[c, rows, second], probs[c, rows, first]
        self._of(probs)

    def _of(self, probs: np.ndarray) -> None:
        self.probs = probs
        predicted = probs.argmax(2)
        self.confusion = np.stack([np.bincount(p, minlength=len(CLASSES)) for p in predicted]) / probs.shape[1]

    @classmethod
    def of_persons(cls) -> World:
        """Faces of easy persons first, then those of hard ones: as many as there are persons of either kind."""
        easy, hard = cls(0.0), cls(0.3, seed=98)
        n = easy.probs.shape[1]
        both = cls.__new__(cls)
        first = round(n * (1 - HARD))
        both._of(np.concatenate([easy.probs[:, :first], hard.probs[:, first:]], axis=1))
        return both

    def truth(self, mix: np.ndarray, present: np.ndarray) -> dict[str, float]:
        """Metric -> its value for a class mix; means over classes run over those present in the sample."""
        joint = mix[:, None] * self.confusion
        weights = mix / self.probs.shape[1]
        flat, label = self.probs, np.arange(len(mix))
        own = flat[label, :, label]
        top = flat.max(2)
        hit = flat.argmax(2) == label[:, None]
        rank = (flat > own[:, :, None]).sum(2)
        edges = np.clip(np.ceil(top * 15).astype(int) - 1, 0, 14)
        signed = np.zeros(15)
        np.add.at(signed, edges.ravel(), ((top - hit) * weights[:, None]).ravel())
        recall, f1 = per_class_recall(joint), per_class_f1(joint)
        out = {
            "accuracy": float(np.trace(joint)),
            "balanced_accuracy": float(recall[present].mean()),
            "macro_f1": float(f1[present].mean()),
            "weighted_f1": float(weighted_f1(joint)),
            "top2": float(((rank < 2) * weights[:, None]).sum()),
            "kl": float((-np.log(np.clip(own, 1e-7, 1)) * weights[:, None]).sum()),
            "overconfidence": float(((top - hit) * weights[:, None]).sum()),
            "ece": float(np.abs(signed).sum()),
        }
        per_class = {"recall": recall, "precision": per_class_precision(joint), "f1": f1}
        return out | {f"{m}:{c}": float(v[i]) for m, v in per_class.items() for i, c in enumerate(CLASSES)}


_WORLDS: dict[object, World] = {}
_TRUTHS: dict[tuple[object, str, bytes], dict[str, float]] = {}


def key_of(design: Design, group: int) -> object:
    """What tells the world of a group from others."""
    if design.persons:
        return "persons"
    loss = design.loss if group == 0 else 0.0
    return loss if design.ease == 1 else (loss, design.ease)


def world(key: object) -> World:
    """The world of a key, made once a process."""
    if key not in _WORLDS:
        if key == "persons":
            _WORLDS[key] = World.of_persons()
        else:
            loss, ease = key if isinstance(key, tuple) else (key, 1.0)
            _WORLDS[key] = World(loss, ease=ease)
    return _WORLDS[key]


def mixes_of(design: Design) -> list[np.ndarray]:
    """The class mix of each group."""
    mix = MIXES[design.mix]
    if not design.tilt:
        return [mix] * design.n_groups
    tilted = mix * np.array([0.6, 1.3, 1.0, 1.4, 1.2, 1.0, 1.2, 1.0])
    return [mix, tilted / tilted.sum()]


def sample(design: Design, rng: np.random.Generator) -> Predictions:
    """Draw one sample of a design."""
    labels, probs, group, unit = [], [], [], []
    n_units = 0
    for g, (mix, n) in enumerate(zip(mixes_of(design), design.faces, strict=True)):
        source = world(key_of(design, g)).probs
        index, owner = pictures(design, g, n, rng)
        n_pictures = int(index.max()) + 1
        label = rng.choice(len(CLASSES), n_pictures, p=mix)
        if design.persons:
            row = rows_of_persons(owner, source.shape[1], rng)
        else:
            row = rng.integers(0, source.shape[1], n_pictures)
        labels.append(label[index])
        probs.append(source[label, row][index])
        group.append(np.full(len(index), f"g{g:02d}", dtype=object))
        unit.append(owner + n_units)
        n_units += int(owner.max()) + 1
    label, prob = np.concatenate(labels), np.concatenate(probs)
    n = len(label)
    return Predictions(
        sample_id=np.arange(n).astype(str),
        classes=CLASSES,
        labels=label.astype(np.int64),
        predicted=prob.argmax(1).astype(np.int64),
        probs=prob,
        soft_targets=None,
        votes=None,
        groups=pd.DataFrame({"group": np.concatenate(group)}),
        cluster=np.concatenate(unit).astype(np.int64) if design.copies or design.fours or design.persons else None,
        image=None,
        source="simulated",
    )


def pictures(design: Design, group: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which picture each face is, and which unit it belongs to: ``(n,)`` each."""
    if design.persons:
        fewest, most = design.persons[group]
        sizes = rng.integers(fewest, most + 1, n)
        sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        return np.arange(len(owner)), owner
    if design.fours:
        index = np.repeat(np.arange(n // COPIES_OF), COPIES_OF) if group == 0 else np.arange(n)
        return index, index
    n_pictures = round(n / (1 + design.copies))
    twice = rng.choice(n_pictures, n - n_pictures, replace=False)
    index = np.concatenate([np.arange(n_pictures), twice])
    return index, index


def rows_of_persons(owner: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """A row of the world for each face: from its first part for easy persons, from its last for hard ones."""
    hard = rng.random(int(owner.max()) + 1) < HARD
    first = round(n_rows * (1 - HARD))
    easy_row, hard_row = rng.integers(0, first, len(owner)), rng.integers(first, n_rows, len(owner))
    return np.where(hard[owner], hard_row, easy_row)


def study(job: tuple[Design, int, int]) -> dict[str, list[float]]:
    """Audit `n_sims` samples of one design; returns lists of 0 and 1, and of p-values."""
    design, n_sims, seed = job
    found: dict[str, list[float]] = defaultdict(list)
    with threadpool_limits(1):
        for i in range(n_sims):
            pred = sample(design, np.random.default_rng([seed, i]))
            # Half of these samples' time would go into what could have been shown; design "detectable" looks at it.
            result = audit(
                pred,
                ["group"],
                settings=Settings(
                    n_boot=N_REPLICATES, n_perm=N_REPLICATES, seed=i, min_n=30 if design in uneven() else 1
                ),
                power=design.loss > 0 and i < POWER_LOOKED,
            )
            _note_intervals(design, result, found)
            _note_gaps(design, result, found)
    return dict(found)


SOUND = "upper(worst(recall, by=group)) < 0.70"
GATES = ((2, 150), (2, 400), (10, 150), (10, 400))  # groups and faces of each, every recall truly 0.72
SEEN = ((0.75, (300, 300)), (0.9, (300, 300)), (0.6, (300, 300)), (0.75, (100, 100)), (0.95, (200, 200)),
        (0.8, (1000, 100)), (0.75, (200,) * 5))  # fmt: skip  # accuracy and faces of the groups


def plain_sample(sizes: tuple[int, ...], recalls: list[float], rng: np.random.Generator) -> Predictions:
    """Seven classes as common as each other, one recall a group, mistakes spread evenly."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    label = rng.integers(0, 7, len(group))
    wrong = (label + rng.integers(1, 7, len(group))) % 7
    predicted = np.where(rng.random(len(group)) < np.array(recalls)[group], label, wrong)
    frame = pd.DataFrame({"group": np.array([f"g{g}" for g in range(len(sizes))], dtype=object)[group]})
    return Predictions(
        sample_id=np.arange(len(group)).astype(str),
        classes=CLASSES[:7],
        labels=label,
        predicted=predicted,
        probs=None,
        soft_targets=None,
        votes=None,
        groups=frame,
        cluster=None,
        image=None,
        source="simulated",
    )


def gate_study(job: tuple[tuple[int, int], int, int]) -> dict[str, object]:
    """How often a gate on the worst recall fails a model that is sound."""
    (groups, n), n_sims, seed = job
    with threadpool_limits(1):
        failed = []
        for i in range(n_sims):
            pred = plain_sample((n,) * groups, [0.72] * groups, np.random.default_rng([seed, i]))
            result = audit(pred, ["group"], settings=Settings(n_boot=20, n_perm=20, seed=i), power=False)
            failed.append(
                check_gates(result, [SOUND, SOUND.replace("upper(worst(recall, by=group))", "worst(recall, by=group)")])
            )
    upper, bare = ([f[i].status == FAILED for f in failed] for i in (0, 1))
    return {
        "kind": "gate",
        "n_groups": groups,
        "n": n,
        "n_values": n_sims,
        "mean": float(np.mean(upper)),
        "bare": float(np.mean(bare)),
    }


def power_study(job: tuple[tuple[float, tuple[int, ...]], int, int]) -> dict[str, object]:
    """What is said to be detectable with each group served worse, and how often the verdict names just that."""
    (accuracy, sizes), n_sims, seed = job
    with threadpool_limits(1):
        said = []
        for i in range(20):
            pred = plain_sample(sizes, [accuracy] * len(sizes), np.random.default_rng([seed, 1, i]))
            found = audit(pred, ["group"], settings=Settings(n_boot=20, n_perm=N_REPLICATES, seed=i)).attributes[0]
            said.append([g.detectable for g in found.groups])
        smallest = int(np.argmin(sizes))
        loss = float(np.mean(said, 0)[smallest])
        recalls = [accuracy] * len(sizes)
        recalls[smallest] -= loss
        gaps = []
        for i in range(n_sims):
            pred = plain_sample(sizes, recalls, np.random.default_rng([seed, 2, i]))
            found = audit(pred, ["group"], settings=Settings(n_boot=20, n_perm=N_REPLICATES, seed=i), power=False)
            gaps.append(found.attributes[0].gap("accuracy"))
    return {
        "kind": "detectable",
        "accuracy": accuracy,
        "sizes": list(sizes),
        "n_values": n_sims,
        "said": loss,
        "mean": float(np.mean([g.verdict == DISPARITY for g in gaps])),
        "raw": float(np.mean([g.p < 0.05 for g in gaps])),
    }


def _note_intervals(design: Design, result: object, found: dict[str, list[float]]) -> None:
    for g, (group, mix) in enumerate(zip(result.attributes[0].groups, mixes_of(design), strict=True)):
        present = np.array([n > 0 for n in group.n_per_class.values()])
        own = key_of(design, g)
        key = (own, mix.tobytes().hex(), present.tobytes())
        truth = _TRUTHS.setdefault(key, None) or world(own).truth(mix, present)
        _TRUTHS[key] = truth
        by_class = {f"{m}:{c}": e for m in ("recall", "precision", "f1") for c, e in getattr(group, m).items()}
        for metric, e in (group.metrics | by_class).items():
            if metric not in truth or e.low != e.low or "too few" in e.note:
                continue
            found[f"interval {metric.split(':')[0]}"].append(float(e.low <= truth[metric] <= e.high))


def _note_gaps(design: Design, result: object, found: dict[str, list[float]]) -> None:
    found["p group"] += [g.p for g in result.attributes[0].groups]
    for gap in result.attributes[0].gaps:
        name = gap.metric
        if gap.p != gap.p:
            continue
        if name in (
            "accuracy",
            "balanced_accuracy",
            "macro_f1",
            "weighted_f1",
            "kl",
            "top2",
            "ece",
            "overconfidence",
            "risk",
            "equal_odds_fairness",
            "equalized_odds_difference",
            "statistical_parity",
            "recall",
            "min_max_accuracy",
            "demographic_parity_difference",
        ):
            found[f"p {name}"].append(gap.p)
        of_loss = design.mix == "even mix" and name in ("balanced_accuracy", "macro_f1") and design.loss > 0
        comparable = name == "recall" or of_loss
        # Other class mixes make a true gap in accuracy, though nobody is served worse.
        if (name == "accuracy" and not design.tilt) or comparable:
            found[f"gap {name}"].append(float(gap.value.low - 1e-12 <= design.loss <= gap.value.high + 1e-12))
        if not design.loss and not design.tilt and gap.value.low == gap.value.low:
            if gap.kind == "ratio":
                found[f"gap {name}"].append(float(gap.value.high >= 1 - 1e-12))
            elif name in ALIKE:
                found[f"gap {name}"].append(float(gap.value.low <= 1e-12))
        if name == "accuracy":
            found["detectable"].append(gap.detectable)
            found["value"].append(gap.value.value)


def summarise(results: list[tuple[Design, dict[str, list[float]]]]) -> list[dict[str, object]]:
    """One row a design and quantity: the share, its number, and its Monte Carlo error."""
    rows = []
    for design, found in results:
        for name, values in found.items():
            x = np.array(values)
            kind, _, metric = name.partition(" ")
            row = asdict(design) | {"kind": kind, "metric": metric, "n_values": len(x)}
            if kind == "p":
                row |= {f"below_{a}": float((x <= a).mean()) for a in (0.01, 0.05, 0.1, 0.25, 0.5)}
            else:
                row["mean"] = float(np.nanmean(x)) if not np.isnan(x).all() else float("nan")
            rows.append(row)
    return rows


def made_once(part: Callable, folder: Path | None, versions: dict[str, str], job: tuple) -> object:
    """The result of a part of the study, from `folder` where the same part by the same code is there."""
    if folder is None:
        return part(job)
    described = [asdict(x) if isinstance(x, Design) else x for x in job]
    key = json.dumps([part.__name__, described, N_REPLICATES, versions])
    path = folder / f"{part.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if path.exists():
        return json.loads(path.read_text())
    result = part(job)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(result))
    unfinished.replace(path)
    return result


UNEVEN = tuple(d.name for d in uneven())
WHY = (
    "Why. Macro F1 and balanced accuracy average over the classes that a group has: forty faces lack the rare ones, "
    "5,000 have all, so part of that gap is really there and counts as a miss here. Equalised odds are the largest of "
    "sixteen differences and their ratio the smallest of as many: the interval must hold for whichever is extreme, and "
    "is too wide where most of them are far from that; with twenty persons a group, hard or easy as a whole, their "
    "spread is itself known from twenty, and it is too narrow. The calibration error is biased upwards: its interval "
    "goes down by the noise of all bins and its gap by the intervals of all groups at once, which is valid and wide. "
    "With a gap and more than two groups the interval of the largest gap holds for the largest of all pairs, and is "
    "wide for the one that is."
)


def outside(rows: list[dict[str, object]], low: float = 0.93, high: float = 0.97) -> str:
    """How many kinds of interval hold the truth 93 to 97 % of the time, which do not, and why."""
    table = pd.DataFrame(rows)
    part = table[(table.loss == 0) & table.kind.isin(["interval", "gap"]) & (table.n_values >= 100)]
    error = np.sqrt(0.95 * 0.05 / part["n_sims"].astype(float))
    good = part["mean"].between(low, high)
    near = part["mean"].between(low - 2 * error, high + error) & ~good
    few, many = part[part["mean"] < low - 2 * error], part[part["mean"] > high + error]
    listed = "; ".join(f"{r.kind} of {r.metric}, {r['name']}, {r.n:,}: {r['mean']:.3f}" for _, r in few.iterrows())
    wide = ", ".join(f"{metric} ({count})" for metric, count in many.metric.value_counts().items())
    return (
        f"Without a gap, {int(good.sum())} of {len(part)} kinds of interval hold the truth 93 % to 97 % of the time; "
        f"{int(near.sum())} more are within the Monte Carlo error of that (two errors below, one above). Below 93 %: "
        f"{listed or 'none'}. Above 97 %, wider than they need be: {wide or 'none'}.\n\n{WHY}"
    )


def markdown(rows: list[dict[str, object]]) -> str:
    """The tables of the docs."""
    table = pd.DataFrame(rows)
    n_sims = int(table["n_sims"].iloc[0])
    command = f"python benchmarks/coverage.py --sims {n_sims}"
    made = "; ".join(dict.fromkeys(table["made"]))
    lines = [
        "# Coverage of the audit's intervals, and size and power of its tests",
        "",
        f"Made by `{command}`: {n_sims} samples a design, {N_REPLICATES} bootstrap replicates and permutations each; "
        f"{made}. One standard error of a share near 0.95 is {100 * np.sqrt(0.95 * 0.05 / n_sims):.1f} points for one "
        "interval a sample (less where a sample gives several).",
        "",
        outside(rows),
        "",
    ]
    lines += _uneven_tables(table)
    null = table[(table.loss == 0) & ~table.name.isin(UNEVEN)]
    for kind, title, column in (
        ("interval", "Share of 95 % intervals of a group's metric that hold the truth", "mean"),
        ("gap", "Share of 95 % intervals of a gap that hold 0, where there is none", "mean"),
        ("p", "Share of p-values of at most 0.05 where there is no disparity", "below_0.05"),
    ):
        lines += [f"## {title}", ""]
        part = null[null.kind == kind]
        for name, block in part.groupby("name", sort=False):
            wide = block.pivot_table(index="metric", columns="n", values=column, sort=False)
            lines += [f"**{name}**", "", "| faces a group | " + " | ".join(f"{n:,}" for n in wide.columns) + " |"]
            lines += ["|" + " --- |" * (len(wide.columns) + 1)]
            for metric, values in wide.iterrows():
                cells = " | ".join("–" if v != v else f"{v:.3f}" for v in values)
                lines.append(f"| {metric} | {cells} |")
            lines.append("")
    lines += ["## A known gap in accuracy: how often it is shown (p of at most 0.05), and held by its interval", ""]
    shown = table[(table.loss > 0)]
    lines += ["| design | faces a group | shown | held | smallest gap said to be detectable |", "|" + " --- |" * 5]
    for (name, n), block in shown.groupby(["name", "n"], sort=False):
        power = block[(block.kind == "p") & (block.metric == "accuracy")]["below_0.05"].item()
        held = block[(block.kind == "gap") & (block.metric == "accuracy")]["mean"].item()
        least = block[block.kind == "detectable"]["mean"].item()
        lines.append(f"| {name} | {n:,} | {power:.3f} | {held:.3f} | {least:.3f} |")
    return "\n".join([*lines, ""])


def _uneven_tables(table: pd.DataFrame) -> list[str]:
    """The designs of unequal sizes, copies and persons: one row a measure, one column a design."""
    part = table[table.name.isin(UNEVEN)]
    lines = ["## Groups of unequal sizes, copies, persons, and a model that is nearly always right", ""]
    for kind, title, column in (
        ("gap", "Intervals of a gap that hold 0 (of a ratio: 1), where there is none", "mean"),
        ("interval", "Intervals of a group's metric that hold the truth", "mean"),
        ("p", "p-values of at most 0.05, where there is no disparity", "below_0.05"),
    ):
        wide = part[part.kind == kind].pivot_table(index="metric", columns="name", values=column, sort=False)
        wide = wide[[n for n in UNEVEN if n in wide]]
        lines += [
            f"**{title}**",
            "",
            "| | " + " | ".join(wide.columns) + " |",
            "|" + " --- |" * (len(wide.columns) + 1),
        ]
        for metric, values in wide.iterrows():
            lines.append(f"| {metric} | " + " | ".join("–" if v != v else f"{v:.3f}" for v in values) + " |")
        lines.append("")
    return lines


def further(gates: list[dict[str, object]], seen: list[dict[str, object]]) -> list[str]:
    """Gates on sound models, and gaps that were said to be detectable."""
    lines = [
        "## Gates on a sound model",
        "",
        f"Every recall is truly 0.72. How often `{SOUND}` fails the model, and how often the bare worst recall would.",
        "",
        "| groups | faces of each | fails | without `upper` | samples |",
        "|" + " --- |" * 5,
    ]
    lines += [f"| {g['n_groups']} | {g['n']} | {g['mean']:.3f} | {g['bare']:.3f} | {g['n_values']} |" for g in gates]
    lines += [
        "",
        "## Gaps that the verdict is said to name four times in five",
        "",
        "The smallest group is served worse by just what the audit says (mean of 20 audits).",
        "",
        "| accuracy | faces of the groups | said to be named | named by the verdict | p below 0.05 | samples |",
        "|" + " --- |" * 6,
    ]
    lines += [
        f"| {s['accuracy']} | {', '.join(f'{n:,}' for n in s['sizes'])} | {s['said']:.3f} | {s['mean']:.3f} | "
        f"{s['raw']:.3f} | {s['n_values']} |"
        for s in seen
    ]
    return [*lines, ""]


def plot(rows: list[dict[str, object]], path: Path) -> None:
    """Coverage and false alarms against the size of the groups."""
    from mien.report.figures import BLUE, GREEN, GREY, INK, ORANGE, figure_style, new_figure, save_png

    table = pd.DataFrame(rows)
    null = table[(table.loss == 0) & (table.name != "2 groups of other class mixes") & ~table.name.isin(UNEVEN)]
    with figure_style():
        figure = new_figure(11, 7.6, "Coverage of intervals, false alarms and power against faces a group")
        axes = figure.subplots(2, 2)
        names = list(dict.fromkeys(null.name))
        colours = dict(zip(names, (BLUE, ORANGE, GREEN, GREY), strict=False))
        panels = (
            (axes[0, 0], "interval", "mean", "Intervals of a group's metrics that hold the truth", 0.95, (0.85, 1.0)),
            (axes[0, 1], "gap", "mean", "Intervals of gaps that hold 0, where there is no gap", 0.95, (0.85, 1.0)),
            (axes[1, 0], "p", "below_0.05", "Gaps with p of at most 0.05, where there is none", 0.05, (0.0, 0.1)),
        )
        for ax, kind, column, title, aim, limits in panels:
            for name in names:
                for metric, block in null[(null.kind == kind) & (null.name == name)].groupby("metric"):
                    strong = metric == "accuracy"
                    ax.plot(
                        block.n,
                        block[column],
                        "o-",
                        color=colours[name],
                        markersize=4 if strong else 2.5,
                        linewidth=2 if strong else 0.7,
                        alpha=1 if strong else 0.5,
                        label=name if strong else None,
                    )
            ax.axhline(aim, color=INK, linewidth=1, linestyle="--")
            ax.set(xscale="log", xlabel="faces a group", ylim=limits)
            ax.set_title(title)
            ax.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
            ax.minorticks_off()
        axes[0, 0].legend(loc="lower right", title="bold: accuracy; thin: other metrics", fontsize=8.5)
        ax = axes[1, 1]
        power = table[(table.kind == "p") & (table.metric == "accuracy") & (table.loss > 0)]
        for (name, block), colour in zip(
            power.groupby("name", sort=False), (GREY, GREEN, BLUE, ORANGE, INK), strict=False
        ):
            ax.plot(block.n, block["below_0.05"], "o-", color=colour, label=name)
        ax.set(xscale="log", xlabel="faces a group", ylim=(0, 1.02))
        ax.set_title("A known gap in accuracy that is shown (power)")
        ax.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
        ax.minorticks_off()
        ax.legend(fontsize=8.5, frameon=True, framealpha=0.9, loc="lower right")
        save_png(figure, path)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/results/coverage"))
    parser.add_argument("--sims", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="20 samples a design")
    parser.add_argument("--parts", type=Path, help="folder that keeps what is done, to go on from after a stop")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true", help="tables and plot from coverage.json as it is")
    parser.add_argument("--only", nargs="+", default=[], help="designs whose name contains a text; the rest is kept")
    options = parser.parse_args()
    earlier: dict[str, list[dict[str, object]]] = {"rows": [], "gates": [], "detectable": []}
    if options.again or options.only:
        earlier = json.loads((options.out / "coverage.json").read_text())
    if options.again:
        _write(earlier, options.out)
        return
    n_sims = 20 if options.quick else options.sims
    # All designs' first samples before any design's second ones.
    jobs = [
        (d, min(PART, n_sims - PART * part), 1000 * i + part)
        for part in range(-(-n_sims // PART))
        for i, d in enumerate([*uneven(), *designs(tuple(options.sizes))])
        if not options.only or any(text in d.name for text in options.only)
    ]
    merged: dict[Design, dict[str, list[float]]] = {}  # in the order of the designs
    few = min(n_sims, 400)
    versions = code_versions("numpy", "scipy")
    if options.parts:
        options.parts.mkdir(parents=True, exist_ok=True)

    def once(part: Callable) -> Callable:
        return partial(made_once, part, options.parts, versions)

    with ProcessPoolExecutor(options.processes) as pool:
        gates, seen = earlier["gates"], earlier["detectable"]
        if not options.only:
            gates = list(pool.map(once(gate_study), [(g, few, 5000 + i) for i, g in enumerate(GATES)]))
            seen = list(pool.map(once(power_study), [(s, few, 6000 + i) for i, s in enumerate(SEEN)]))
            print("gates and detectable gaps done", flush=True)
        for done, (job, found) in enumerate(zip(jobs, pool.map(once(study), jobs), strict=True), 1):
            into = merged.setdefault(job[0], defaultdict(list))
            for name, values in found.items():
                into[name] += values
            if done % 10 == 0:
                print(f"{done} of {len(jobs)} parts", flush=True)
    rows = summarise(list(merged.items()))
    made = ", ".join(f"{k} {v}" for k, v in versions.items())
    rows = [row | {"made": made, "n_sims": n_sims} for row in rows]
    anew = {(row["name"], row["n"]) for row in rows}
    kept = [row for row in earlier["rows"] if (row["name"], row["n"]) not in anew]
    # In the order of the designs, whichever were made anew.
    order = {(d.name, d.n): i for i, d in enumerate([*uneven(), *designs(tuple(options.sizes))])}
    rows = sorted([*kept, *rows], key=lambda row: order.get((row["name"], row["n"]), len(order)))
    _write({"rows": rows, "gates": gates, "detectable": seen}, options.out)


def _write(content: dict[str, list[dict[str, object]]], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = content["rows"]
    (out / "coverage.json").write_text(json.dumps(content, indent=0) + "\n")
    text = markdown(rows)
    text += "\n" + "\n".join(further(content["gates"], content["detectable"]))
    (out / "coverage.md").write_text(text)
    plot(rows, out / "coverage.png")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
