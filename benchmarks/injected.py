"""Is each known bias of drawn faces found at its injected size? `python benchmarks/injected.py --out FOLDER`.

One small model is trained on drawn faces without any bias. Then, for each bias on the faces drawn as
female: the true gap is what the bias costs on `--truth` faces of one seed (female faces with it and
without it, the same faces, against male ones), and the audit sees `--n` faces of another seed. Its
interval should hold the true gap, its verdict should be a disparity where there is one, and among
pictures alike (the confounders that evaluation measures) a gap of contrast or blur should shrink.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mien.adapters.loading import load_model
from mien.adapters.predictions import predictions_from
from mien.audit import audit
from mien.config import parse_config
from mien.data.images import Store
from mien.prepare import prepare
from mien.records import Predictions
from mien.runs import Run, code_versions
from mien.train import train

ON = {"attribute": "gender", "group": "female"}
BIASES = {
    "nothing": {},
    "10 % of labels replaced": {"label_noise": 0.1},
    "20 % of labels replaced": {"label_noise": 0.2},
    "half the contrast": {"contrast": 0.5},
    "a third of the contrast": {"contrast": 0.33},
    "expressions 0.6 as strong": {"cues": 0.6},
    "blur of 3 % of the width": {"blur": 3.0},
    "noise of 30 grey levels": {"noise": 30.0},
}


def trained(out: Path, n: int, epochs: int) -> Run:
    """The model, trained on faces without a bias; kept from an earlier call."""
    if (out / "run" / "model.safetensors").is_file():
        return Run.open(out / "run")
    prepare("synthetic", out / "train", n=n, size=48, seed=0)
    content = {
        "name": "unbiased",
        "data": {"store": str(out / "train")},
        "model": {"name": "mienet", "options": {"widths": [32, 64, 128], "depths": [1, 1, 1]}},
        "train": {"epochs": epochs, "optimizer": {"lr": 0.1}, "ema": 0.99},
    }
    return train(parse_config(content), out / "run", finished_ok=True)


def predicted(run: Run, out: Path, bias: dict[str, float], n: int, seed: int) -> Predictions:
    """The model on `n` drawn faces with a bias."""
    path = out / "faces"
    prepare("synthetic", path, force=True, n=n, size=48, seed=seed, bias=[ON | bias] if bias else None)
    return predictions_from(load_model(run.path), Store.open(path))


def accuracy_of(pred: Predictions, group: str) -> float:
    """Accuracy on one group."""
    mask = (pred.groups["gender"] == group).to_numpy()
    return float((pred.labels[mask] == pred.predicted[mask]).mean())


def main() -> None:
    """Print one row a bias."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--truth", type=int, default=12_000)
    parser.add_argument("--n", type=int, default=5_000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    run = trained(options.out, options.train, options.epochs)
    made = ", ".join(f"{k} {v}" for k, v in code_versions().items())
    print(f"{options.truth:,} faces for the truth, {options.n:,} for the audit; {made}\n")
    print("| injected into faces drawn as female | true gap | gap found | held | verdict | among pictures alike |")
    print("| --- | --- | --- | --- | --- | --- |")
    held = []
    for name, bias in BIASES.items():
        truth = predicted(run, options.out, bias, options.truth, seed=11)
        gap = abs(accuracy_of(truth, "male") - accuracy_of(truth, "female"))
        seen = audit(predicted(run, options.out, bias, options.n, seed=12), "gender").attribute("gender")
        found = seen.gap("accuracy")
        held.append(found.value.low <= gap <= found.value.high)
        # The truth is a sample too: its own error is small beside the audit's.
        adjusted = seen.confounders.joint.gap.adjusted if seen.confounders and seen.confounders.joint else None
        alike = "–" if adjusted is None else str(adjusted)
        print(
            f"| {name} | {gap:.3f} | {found.value} | {'yes' if held[-1] else 'no'} | {found.verdict} | {alike} |",
            flush=True,
        )
    print(f"\n{np.sum(held)} of {len(held)} true gaps lie in their interval.")


if __name__ == "__main__":
    main()
