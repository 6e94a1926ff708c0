"""Do the audit's intervals hold the truth, and are its p-values uniform? `python benchmarks/coverage.py`.

Faces are drawn from a model of a classifier whose every metric is known (confusion probabilities,
class mix, confidences), in groups without a disparity or with a known one; each sample goes through
`mien.audit.audit` as a user's would. Counted are the intervals that hold the truth, the p-values
below 0.05 (and their whole distribution), and how often a known gap is shown.

Full size (1,000 samples a design) takes about half an hour on two cores; `--quick` 20 samples each.
Writes `coverage.json`, `coverage.md` and `coverage.png` into `--out` (docs/results/coverage).
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mien.audit import audit
from mien.metrics import per_class_f1, per_class_precision, per_class_recall, weighted_f1
from mien.records import Predictions
from mien.runs import code_versions

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
MIXES = {
    "FER+ mix": np.array([0.36, 0.26, 0.12, 0.12, 0.09, 0.01, 0.03, 0.01]),
    "even mix": np.full(8, 0.125),
}
SIZES = (30, 100, 300, 1000, 5000)
N_REPLICATES = 500
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
    """

    name: str
    mix: str
    n_groups: int
    n: int
    loss: float = 0.0
    copies: float = 0.0
    tilt: bool = False


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

    def __init__(self, loss: float, n: int = 60_000, seed: int = 99) -> None:
        rng = np.random.default_rng(seed)
        k = len(CLASSES)
        lift = np.array([2.9, 3.2, 2.7, 2.2, 2.4, 2.0, 1.8, 1.6])[:, None]
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
        self.probs = probs
        predicted = probs.argmax(2)
        self.confusion = np.stack([np.bincount(p, minlength=k) for p in predicted]) / n

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


_WORLDS: dict[float, World] = {}
_TRUTHS: dict[tuple[float, str, bytes], dict[str, float]] = {}


def world(loss: float) -> World:
    """The world of a loss, made once a process."""
    if loss not in _WORLDS:
        _WORLDS[loss] = World(loss)
    return _WORLDS[loss]


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
    for g, mix in enumerate(mixes_of(design)):
        source = world(design.loss if g == 0 else 0.0).probs
        n_pictures = round(design.n / (1 + design.copies))
        label = rng.choice(len(CLASSES), n_pictures, p=mix)
        index = np.arange(n_pictures)
        twice = rng.choice(n_pictures, design.n - n_pictures, replace=False)
        index = np.concatenate([index, twice])
        row = rng.integers(0, source.shape[1], n_pictures)
        labels.append(label[index])
        probs.append(source[label, row][index])
        group.append(np.full(len(index), f"g{g}", dtype=object))
        unit.append(index + g * n_pictures)
    label, prob = np.concatenate(labels), np.concatenate(probs)
    n = len(label)
    return Predictions(
        np.arange(n).astype(str), CLASSES, label.astype(np.int64), prob.argmax(1).astype(np.int64), prob, None, None,
        pd.DataFrame({"group": np.concatenate(group)}),
        np.concatenate(unit).astype(np.int64) if design.copies else None, None, "simulated",
    )  # fmt: skip


def study(job: tuple[Design, int, int]) -> tuple[Design, dict[str, list[float]]]:
    """Audit `n_sims` samples of one design; returns lists of 0 and 1, and of p-values."""
    design, n_sims, seed = job
    found: dict[str, list[float]] = defaultdict(list)
    with threadpool_limits(1):
        for i in range(n_sims):
            pred = sample(design, np.random.default_rng([seed, i]))
            result = audit(pred, ["group"], n_boot=N_REPLICATES, n_perm=N_REPLICATES, seed=i, min_n=1)
            _note_intervals(design, result, found)
            _note_gaps(design, result, found)
    return design, found


def _note_intervals(design: Design, result: object, found: dict[str, list[float]]) -> None:
    for g, (group, mix) in enumerate(zip(result.attributes[0].groups, mixes_of(design), strict=True)):
        present = np.array([n > 0 for n in group.n_per_class.values()])
        loss = design.loss if g == 0 else 0.0
        key = (loss, mix.tobytes().hex(), present.tobytes())
        truth = _TRUTHS.setdefault(key, None) or world(loss).truth(mix, present)
        _TRUTHS[key] = truth
        by_class = {f"{m}:{c}": e for m in ("recall", "precision", "f1") for c, e in getattr(group, m).items()}
        for metric, e in (group.metrics | by_class).items():
            if metric not in truth or e.low != e.low or e.note == "too few":
                continue
            found[f"interval {metric.split(':')[0]}"].append(float(e.low <= truth[metric] <= e.high))


def _note_gaps(design: Design, result: object, found: dict[str, list[float]]) -> None:
    found["p group"] += [g.p for g in result.attributes[0].groups]
    for gap in result.attributes[0].gaps:
        name = gap.metric
        if gap.p != gap.p:
            continue
        if name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "kl", "top2", "ece", "overconfidence",
                    "risk", "equal_odds_fairness", "equalized_odds_difference", "statistical_parity", "recall",
                    "min_max_accuracy", "demographic_parity_difference"):  # fmt: skip
            found[f"p {name}"].append(gap.p)
        comparable = name == "recall" or (design.mix == "even mix" and name in ("balanced_accuracy", "macro_f1"))
        # Other class mixes make a true gap in accuracy, though nobody is served worse.
        if (name == "accuracy" and not design.tilt) or comparable:
            found[f"gap {name}"].append(float(gap.value.low - 1e-12 <= design.loss <= gap.value.high + 1e-12))
        if name == "min_max_accuracy" and not design.loss and not design.tilt:
            found["gap min_max_accuracy"].append(float(gap.value.high >= 1 - 1e-12))
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
                row["mean"] = float(np.nanmean(x))
            rows.append(row)
    return rows


def outside(rows: list[dict[str, object]], low: float = 0.93, high: float = 0.97) -> str:
    """How many kinds of interval hold the truth 93 to 97 % of the time, and which do not."""
    table = pd.DataFrame(rows)
    part = table[(table.loss == 0) & table.kind.isin(["interval", "gap"])]
    good = part[part["mean"].between(low, high)]
    few, many = part[part["mean"] < low], part[part["mean"] > high]
    listed = "; ".join(f"{r.kind} of {r.metric}, {r['name']}, {r.n:,}: {r['mean']:.3f}" for _, r in few.iterrows())
    wide = ", ".join(f"{metric} ({count})" for metric, count in many.metric.value_counts().items())
    return (
        f"Without a gap, {len(good)} of {len(part)} kinds of interval hold the truth 93 % to 97 % of the time. "
        f"Below 93 %: {listed or 'none'}. Above 97 %, wider than they need be: {wide or 'none'}."
    )


def markdown(rows: list[dict[str, object]], n_sims: int, command: str) -> str:
    """The tables of the docs."""
    table = pd.DataFrame(rows)
    made = rows[0]["made"]
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
    null = table[(table.loss == 0)]
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


def plot(rows: list[dict[str, object]], path: Path) -> None:
    """Coverage and false alarms against the size of the groups."""
    from mien.report.figures import BLUE, GREEN, GREY, INK, ORANGE, figure_style, new_figure, save_png

    table = pd.DataFrame(rows)
    null = table[(table.loss == 0) & (table.name != "2 groups of other class mixes")]
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
                    ax.plot(block.n, block[column], "o-", color=colours[name], markersize=4 if strong else 2.5,
                            linewidth=2 if strong else 0.7, alpha=1 if strong else 0.5,
                            label=name if strong else None)  # fmt: skip
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
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true", help="tables and plot from coverage.json as it is")
    options = parser.parse_args()
    if options.again:
        rows = json.loads((options.out / "coverage.json").read_text())
        _write(rows, options.out, options.sims, "python benchmarks/coverage.py")
        return
    n_sims = 20 if options.quick else options.sims
    jobs = [
        (d, max(n_sims // 10, 1), 1000 * i + part)
        for i, d in enumerate(designs(tuple(options.sizes)))
        for part in range(min(10, n_sims))
    ]
    merged: dict[Design, dict[str, list[float]]] = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for done, (design, found) in enumerate(pool.map(study, jobs), 1):
            into = merged.setdefault(design, defaultdict(list))
            for name, values in found.items():
                into[name] += values
            if done % 10 == 0:
                print(f"{done} of {len(jobs)} parts", flush=True)
    rows = summarise(list(merged.items()))
    made = ", ".join(f"{k} {v}" for k, v in code_versions("numpy", "scipy").items())
    rows = [row | {"made": made} for row in rows]
    _write(rows, options.out, n_sims, "python benchmarks/coverage.py" + (" --quick" if options.quick else ""))


def _write(rows: list[dict[str, object]], out: Path, n_sims: int, command: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "coverage.json").write_text(json.dumps(rows, indent=0) + "\n")
    (out / "coverage.md").write_text(markdown(rows, n_sims, command))
    plot(rows, out / "coverage.png")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
