"""A small store to label, and what the page sends: joining, a label."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mien.data.images import Store, StoreWriter
from mien.labelling.accounts import Account, join
from mien.labelling.database import LabelDatabase
from mien.samples import SampleTable

CLASSES = ("neutral", "happiness", "sadness")


def make_store(folder: Path, n: int, side: int = 16) -> Store:
    """``n`` grey faces of noise with votes, a gender and how sure a model was of it."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (n, side, side, 1)).astype(np.uint8)
    votes = np.eye(3)[np.arange(n) % 3]
    frame = pd.DataFrame({"sample_id": [f"faces/{i:04d}" for i in range(n)], "image": np.arange(n)})
    frame["split"] = np.where(np.arange(n) % 5 == 0, "test", "train")
    frame["identity"], frame["cluster"] = "", np.arange(n)
    frame[[f"votes_{c}" for c in CLASSES]] = votes
    frame["perceived_gender"] = np.where(np.arange(n) % 7 == 0, "Female", "Male")
    frame["perceived_gender_source"] = "perceived"
    frame["perceived_gender_confidence"] = 0.5 + (np.arange(n) % 50) / 100
    table = SampleTable(frame, "noise", CLASSES, ("perceived_gender",))
    with StoreWriter(folder) as writer:
        writer.append(images)
        return writer.commit(table, {"corpus": "noise", "terms": "none", "vocabulary": CLASSES})


def label_body(sample_id: str, votes: dict[str, int], **fields: Any) -> dict[str, Any]:
    """Body of ``POST /api/labels``."""
    return {"submission_id": str(uuid.uuid4()), "sample_id": sample_id, "votes": votes, "seconds": 1.5, **fields}


def join_body(task: dict[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    """Body of ``POST /api/join`` from the answer to ``GET /api/task``."""
    read = {"task": task["id"], "consent_version": task["consent_version"]}
    return {"name": name, "consent": True, "token": secrets.token_urlsafe(32), **read, **fields}


def somebody(database: LabelDatabase, name: str) -> Account:
    """An annotator who has just joined."""
    return join(database, name, secrets.token_urlsafe(32), True)[0]
