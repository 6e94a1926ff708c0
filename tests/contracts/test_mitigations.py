"""What every mitigation must do: two real steps, missing groups included, and a plain network at the end."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.mitigation import MITIGATIONS
from mien.models.weights import Classifier, load_card
from mien.train import train

NAMES = MITIGATIONS.names()


@pytest.fixture(scope="module")
def gaps(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The easy store, with every fifth face of unknown gender."""
    store, path = Store.open(easy_store), tmp_path_factory.mktemp("gaps") / "store"
    frame = store.table.frame.copy()
    frame.loc[::5, "gender"] = None
    with StoreWriter(path) as writer:
        writer.copy(store)
        writer.commit(store.table.derive("gaps", frame), store.info)
    return str(path)


def options(name: str) -> dict[str, Any]:
    takes_groups = "by" in inspect.signature(MITIGATIONS.get(name)).parameters
    return {**MITIGATIONS.tiny(name), **({"by": ["gender"]} if takes_groups else {})}


#: Methods that ask for a network of their own.
NETWORKS: dict[str, dict[str, Any]] = {
    "attribute_aware": {
        "name": "conditioned",
        "options": {
            "trunk": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
            "attributes": {"gender": 2},
        },
    },
    "latent_alignment": {
        "name": "latent_mbconv",
        "options": {"encoder_widths": [8, 8], "latent": 8, "widths": [8, 16]},
    },
    "domain_discriminative": {
        "name": "joint_head",
        "options": {
            "trunk": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
            "groups": 2,
        },
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_leaves_a_plain_network(name: str, gaps: str, settings: dict[str, Any], tmp_path: Path) -> None:
    content = settings | {"data": {"store": gaps}, "mitigation": {"name": name, "options": options(name)}}
    content["train"] |= {"epochs": 1}
    content["model"] = NETWORKS.get(name, content["model"])
    run = train(parse_config(content), tmp_path / "run")
    assert run.record.status == "finished"
    probs = Classifier.load(run.path).face_model().probabilities(Store.open(gaps).images[:5])
    assert probs.shape == (5, 3)
    if name != "none":
        wanted = {"name": name, "groups": {"gender": "annotated"} if "by" in options(name) else {}}
        said = load_card(run.path).data["mitigation"]
        assert {key: said[key] for key in wanted} == wanted
    assert not [k for k in torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)["average"]["model"]
                if "mitigation" in k]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_names_every_option(name: str) -> None:
    entry = MITIGATIONS.get(name)
    said = inspect.getdoc(entry) or ""
    for option in inspect.signature(entry).parameters:
        assert f"{option}:" in said
