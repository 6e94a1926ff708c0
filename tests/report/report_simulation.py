"""A run folder made of synthetic numbers: no training, no torch."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from mien.audit import audit, summary_estimates
from mien.data.images import StoreWriter
from mien.records import Predictions, RunRecord
from mien.runs import PREDICTIONS, RECORD, Run
from mien.samples import SampleTable
from mien.stats.settings import Settings

CLASSES = ("angry", "<b>bold</b>", "fear", "happy", "$x$ & y")


def make_predictions(n=600, classes=CLASSES, seed=0, absent=True, **columns):
    """Predictions with a disparity by gender; nobody is annotated with the last class if ``absent``."""
    rng = np.random.default_rng(seed)
    k = len(classes)
    labels = rng.choice(k - absent, n)
    gender = rng.choice(["female", "male"], n)
    age = rng.choice(["0-19", "20-39", "40-59", "60+"], n, p=[0.3, 0.5, 0.19, 0.01])
    logits = rng.normal(size=(n, k)) * 1.2
    logits[np.arange(n), labels] += np.where(gender == "female", 1.2, 3.0)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    groups = pd.DataFrame({"gender": gender, "gender_source": "perceived", "gender_confidence": 0.9, "age": age})
    return Predictions(
        sample_id=np.array([f"s{i:05d}" for i in range(n)], dtype=object),
        classes=tuple(classes),
        labels=labels.astype(np.int64),
        predicted=probs.argmax(1).astype(np.int64),
        probs=probs,
        soft_targets=np.eye(k)[labels],
        votes=None,
        groups=groups.assign(**columns),
        cluster=np.arange(n) // 2,
        image=np.arange(n),
        source="run on corpus:test",
    )


def make_store(path, n=600, channels=1):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sample_id": [f"s{i:05d}" for i in range(n)],
            "image": np.arange(n),
            "split": "test",
            "identity": "",
            "cluster": np.arange(n) // 2,
            "votes_a": 1,
        }
    )
    with StoreWriter(path) as writer:
        writer.append(rng.integers(0, 256, (n, 12, 12, channels), dtype=np.uint8))
        return writer.commit(SampleTable(frame, "corpus", ("a",)), {"terms": "research use"})


def make_record(store=None, **fields):
    data = {
        "store": str(store.path) if store else "/nowhere/corpus",
        "corpus": "corpus",
        "terms": "<script>alert(1)</script> research use",
        "fingerprint": store.fingerprint if store else "f" * 64,
        "splits": {"train": 3000, "test": 600},
        "training_faces": 2900,
        "dropped_by_labels": {"train": {"tied votes": 100}},
        "history": [{"step": "prepare", "before": 3700, "after": 3600, "blank pictures": 100, "dropped": {}}],
    }
    values = {
        "name": "tiny & <quick>",
        "config": {"name": "tiny", "train": {"epochs": 3}, "labels": {"train": "majority"}},
        "versions": {"mien": "0.1.0", "python": "3.11"},
        "device": {"processor": "some", "cores": 2},
        "data": data,
        "status": "finished",
        "started": "2026-11-22T01:25:41+00:00",
        "seconds": 3725.0,
        "resumed": [{"at": "2026-11-22T02:00:00+00:00", "after_epoch": 1}],
        "best": {"epoch": 1, "val_loss": 1.2, "val_accuracy": 0.5},
        "model": {"name": "mienet", "parameters": 3092664, "input": [1, 48, 48], "classes": list(CLASSES)},
    }
    return RunRecord(**{**values, **fields})


def stored_estimates(pred, n_copies=0):
    """What evaluation writes into the record."""
    every = {k: asdict(v) for k, v in summary_estimates(pred, settings=Settings(n_boot=50)).items()}
    every = {k: {f: None if v != v else v for f, v in e.items()} for k, e in every.items()}
    return {
        "on": "",
        "n": len(pred),
        "n_copies": n_copies,
        "n_dropped": 3,
        "all": every,
        "without_copies": every if 0 < n_copies < len(pred) else {},
    }


def make_run(path, pred=None, store=None, *, epochs=3, audited=True, names=("test",), n_copies=7, **fields):
    """Write a run folder; parts that are None or False are left out."""
    path.mkdir()
    record = make_record(store, **fields)
    run = Run(path)
    if epochs:
        rng = np.random.default_rng(1)
        columns = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        history = pd.DataFrame({"epoch": range(epochs)} | {c: rng.random(epochs) for c in columns})
        history.to_csv(path / "history.csv", index=False)
    for name in names if pred is not None else ():
        (path / PREDICTIONS).mkdir(exist_ok=True)
        pred.save(path / PREDICTIONS / f"{name}.parquet")
        on = record.data["store"] + ":" + name
        record.estimates[name] = stored_estimates(pred, n_copies) | {"on": on}
        if audited:
            audit(pred, ["gender", "age", "gender*age"], settings=Settings(n_boot=60, n_perm=60)).save(
                path / "audit" / name
            )
    record.save(path / RECORD)
    return run
