"""``demo``: the main job on drawn faces whose bias is known, and what was injected beside what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.audit import Audit
from mien.config import parse_config
from mien.data.images import Store
from mien.errors import UsageError
from mien.experiment import run_experiment
from mien.judging import Progress
from mien.prepare import prepare
from mien.runs import AUDITS, Run

# What is done to the drawn faces. Age is left alone: an audit that finds something there is wrong.
BIAS: list[dict[str, Any]] = [
    {"attribute": "skin", "group": "dark", "share": 0.2, "contrast": 0.6, "cues": 0.5},
    {"attribute": "gender", "group": "female", "label_noise": 0.15},
]
INJECTED = {
    "gender": "15 % of the labels of female faces replaced at random",
    "skin": "dark skin: a fifth of the faces, 60 % of the contrast, expressions half as strong",
    "age": "nothing",
}


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes:
        run: The run folder, with report.
        audit: The audit of its test faces.
        rows: Attribute, what was injected, what the audit found.
    """

    run: Run
    audit: Audit
    rows: list[tuple[str, str, str]]


def demo(
    out: Path | str,
    *,
    n: int = 16_000,
    epochs: int = 7,
    seed: int = 0,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[str], Progress] | None = None,
) -> Demo:
    """Draw faces with a known bias, train for about a minute, audit, report.

    Args:
        out: Folder of the demo; ``out/store`` and ``out/run`` are written.
        n: Faces to draw.
        epochs: Epochs of training.
        seed: Seed of everything.
        force: Throw away an earlier demo.
        say: Receives lines for the user.
        progress: Given the name of a stage, returns the function that its progress goes to.

    Returns:
        The run, its audit, and what was injected beside what was found.
    """
    out = Path(out)
    bar = progress or (lambda stage: lambda done, total: None)
    store = _draw(out / "store", {"n": n, "size": 48, "seed": seed, "bias": BIAS}, force, say, bar("draw"))
    config = parse_config(
        {
            "name": "demo",
            "seed": seed,
            "data": {"store": str(store.path)},
            "labels": {"train": "distribution", "evaluate": "majority"},
            "model": {"name": "mienet", "options": {"widths": [32, 64, 128], "depths": [1, 1, 1], "dropout": 0.1}},
            "train": {"epochs": epochs, "optimizer": {"lr": 0.1}, "ema": 0.99},
            "audit": {"by": list(INJECTED)},
        }
    )
    run = run_experiment(config, out / "run", force=force, say=say, progress=bar("train"))
    found = Audit.load(run.path / AUDITS / "test")
    return Demo(run, found, [(name, INJECTED[name], _found(found, name)) for name in INJECTED])


def _draw(path: Path, options: dict[str, Any], force: bool, say: Callable[[str], None], progress: Progress) -> Store:
    """The store of an earlier demo with these options, or a new one."""
    if path.exists() and not force:
        store = Store.open(path)
        drawn = store.info["detail"]
        if any(drawn.get(k) != options[k] for k in ("n", "size", "seed")):
            found = f"holds a demo of n={drawn.get('n')}, seed={drawn.get('seed')}"
            raise UsageError(str(path.parent), found, "a new folder", "Pass --force to draw it again.")
        return store
    say(f"drawing {options['n']} faces of {options['size']}x{options['size']} with a known bias")
    return prepare("synthetic", path, force=force, progress=progress, **options)


def _found(audit: Audit, attribute: str) -> str:
    gap = audit.attribute(attribute).gap("accuracy")
    worst = gap.worst_value.value if gap.worst_value else float("nan")
    best = gap.best_value.value if gap.best_value else float("nan")
    return (
        f"{gap.verdict}: accuracy {worst:.3f} ({gap.worst}) to {best:.3f} ({gap.best}), gap {gap.value}, "
        f"chance alone {gap.expected:.3f}, adjusted p {gap.p_adjusted:.3f}"
    )
