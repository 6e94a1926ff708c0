"""Faces that an annotator learnt from, errors that cannot be corrected, and names that tell annotators apart."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mien.annotators.annotate import annotate, measured, uncorrectable
from mien.annotators.base import Perceived
from mien.annotators.card import annotator_card, not_corrected
from mien.annotators.holdout import Holdout
from mien.annotators.mien import VIEWS, MienAnnotator
from mien.annotators.packing import pack_annotator
from mien.audit import audit
from mien.cli import app
from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.data.labelled import labelled_faces
from mien.demographics import GENDER
from mien.errors import DataError
from mien.models import MODELS
from mien.models.weights import WeightCard, save_weights
from mien.records import RunRecord
from mien.runs import Run
from mien.samples import SampleTable
from mien.stats.settings import Settings

OPTIONS = {"widths": [8], "depths": [1], "stem": 8, "stem_stride": 2}


def faces(folder: Path, ids: list[str], corpus: str = "learnt", channels: int = 3, side: int = 96) -> Store:
    """A store with two expressions, some faces of which show none, and an annotated gender that no picture shows."""
    n = len(ids)
    rng = np.random.default_rng(n)
    votes = rng.choice(3, n, p=[0.4, 0.5, 0.1])
    frame = pd.DataFrame(
        {"sample_id": ids, "image": np.arange(n), "split": "", "identity": "", "cluster": np.arange(n)}
    )
    for i, word in enumerate(("happy", "sad", "nf")):
        frame[f"votes_{word}"] = (votes == i).astype(int)
    frame["gender"] = np.array(GENDER.groups)[rng.integers(0, 2, n)]
    with StoreWriter(folder) as writer:
        writer.append(rng.integers(0, 256, (n, side, side, channels)).astype(np.uint8))
        return writer.commit(SampleTable(frame, corpus, ("happy", "sad", "nf"), ("gender",)), {"corpus": corpus})


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return faces(tmp_path_factory.mktemp("store") / "store", [f"f{i}" for i in range(80)])


def as_run(store: Store, folder: Path, seed: int = 0) -> Run:
    """A run whose network was never trained and holds out every other face."""
    folder.mkdir()
    config = parse_config({"data": {"store": str(store.path)}, "labels": {"attributes": ["gender"]}})
    torch.manual_seed(seed)
    classes = ("gender=Male", "gender=Female")
    data = {"corpus": store.table.name, "fingerprint": store.fingerprint}
    card = WeightCard(
        model="mienet",
        options=OPTIONS,
        classes=classes,
        size=32,
        in_channels=3,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        data=data,
        heads={"gender": list(GENDER.groups)},
    )
    save_weights(MODELS.get("mienet")(2, 3, **OPTIONS), card, folder)
    split = np.where(np.arange(len(store.table)) % 2, "train", "validation")
    store.table.frame[["sample_id", "cluster"]].assign(split=split).to_parquet(folder / "splits.parquet")
    known = {"store": str(store.path), "fingerprint": store.fingerprint, "training_faces": 40}
    RunRecord(name="run", config=config.model_dump(mode="json"), data=known).save(folder / "record.json")
    return Run.open(folder)


@pytest.fixture(scope="module")
def run(learnt: Store, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return as_run(learnt, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def blind(run: Run, tmp_path_factory: pytest.TempPathFactory) -> MienAnnotator:
    """An annotator of a gender that cannot be seen."""
    return pack_annotator(run, tmp_path_factory.mktemp("packed") / "annotator")


def test_an_annotator_is_called_by_its_weights_unless_it_is_named(learnt: Store, blind: MienAnnotator, tmp_path: Path):
    assert blind.version == blind.classifier.card.sha256[:8]
    other = pack_annotator(as_run(learnt, tmp_path / "run", seed=1), tmp_path / "other")
    assert other.version != blind.version
    assert annotate(learnt, tmp_path / "seen", other).store.info["annotator"]["version"] == other.version


def test_errors_are_counted_only_on_faces_that_are_new_to_the_annotator(
    learnt: Store, blind: MienAnnotator, tmp_path: Path
):
    said: list[str] = []
    known = measured(blind, learnt, say=said.append)
    assert len(known) == 40
    assert known.source == "40 faces of learnt"
    assert said == [
        "40 of 80 hold-out faces are left out: the annotator learnt from learnt, "
        "and only the faces held out from it are known to be new to it"
    ]
    renamed = faces(tmp_path / "renamed", [f"f{i}" for i in range(0, 80, 4)] + ["f1", "g0"], corpus="renamed")
    assert len(measured(blind, renamed)) == 20
    strange = faces(tmp_path / "strange", ["a", "b", "c"], corpus="another")
    said.clear()
    assert len(measured(blind, strange, say=said.append)) == 3
    assert not said


@pytest.mark.parametrize("ids", [["f1", "f3"], ["x", "y"]])
def test_no_error_is_counted_where_no_face_is_new(ids: list[str], blind: MienAnnotator, tmp_path: Path):
    with pytest.raises(DataError, match=r"no face of 2 is known to be new to the annotator.*Without --holdout"):
        measured(blind, faces(tmp_path / "old", ids))


def test_a_split_is_cut_by_what_the_whole_store_tells(learnt: Store, blind: MienAnnotator, tmp_path: Path):
    """A split without a held-out face belongs to the corpus all the same."""
    frame = learnt.table.frame.assign(split=np.where(np.arange(80) % 2, "odd", "even"))
    table = replace(learnt.table, frame=frame, name="renamed")
    store = Store(learnt.path, table, learnt.images, learnt.info)
    assert len(measured(blind, store, "even")) == 40
    with pytest.raises(DataError, match="split 'odd': no face of 40"):
        measured(blind, store, "odd")


def _holdout(counts: list[list[int]]) -> Holdout:
    cells = [(t, s) for t, row in enumerate(counts) for s, k in enumerate(row) for _ in range(k)]
    truth, said = np.array(cells).T
    return Holdout(
        (GENDER,), {"gender": truth}, {"gender": np.eye(2, dtype=np.float32)[said]}, np.arange(len(truth)), ""
    )


class Guesser:
    """Perceives a gender at random."""

    name, version, source, terms, heads = "guesser", "1", "a stand-in", "none", (GENDER,)

    def annotate(self, images, progress=None) -> Perceived:
        return Perceived({"gender": np.eye(2, dtype=np.float32)[np.arange(len(images)) // 2 % 2]})

    def holdout(self, images) -> None:
        return None


def test_what_cannot_be_corrected_is_what_the_audit_refuses(learnt: Store, tmp_path: Path):
    for counts, fine in (([[60, 40], [40, 60]], True), ([[52, 48], [49, 51]], False)):
        known = _holdout(counts)
        why = uncorrectable(known.errors())
        assert bool(why) != fine
        made = annotate(learnt, tmp_path / f"seen{fine}", Guesser(), holdout=known)
        assert made.uncorrectable == why
        labelled = labelled_faces(made.store.table, "majority", where="toy")
        predictions = labelled.predictions(labelled.targets * 0.8 + 0.1, "toy")
        found = (
            audit(predictions, ["perceived_gender"], settings=Settings(n_boot=100, n_perm=100)).attributes[0].inferred
        )
        assert found is not None
        assert (found.annotator is not None) == fine
    assert "hardly tells the groups apart (condition number" in why["perceived_gender"]
    assert uncorrectable(_holdout([[50, 0], [0, 0]]).errors()) == {"perceived_gender": "row 'Female' has no face"}


@pytest.mark.parametrize("blind_in", [("grey_96", "grey_48"), VIEWS, ()])
def test_a_card_says_what_cannot_be_corrected(
    blind_in: tuple[str, ...], run: Run, blind: MienAnnotator, tmp_path: Path
):
    folder = tmp_path / "annotator"
    shutil.copytree(blind.folder, folder)
    held = pd.read_parquet(folder / "holdout.parquet")
    female = (held["gender"] == "Female").to_numpy()
    guessed = np.arange(len(held)) % 2 == 1
    for truth in (False, True):  # half of each group, so that nothing is told
        guessed[female == truth] = np.arange((female == truth).sum()) % 2 == 1
    for view in VIEWS:
        said = np.where(guessed if view in blind_in else female, 0.9, 0.1)
        held[f"{view}_gender_Female"], held[f"{view}_gender_Male"] = said, 1 - said
    held.to_parquet(folder / "holdout.parquet")
    blind.about.save(folder)
    annotator = MienAnnotator(folder)
    text, lines = annotator_card(annotator, run.record), not_corrected(annotator)
    assert ("To audit a corpus" in text) == (blind_in != VIEWS)
    assert "To order a queue" in text
    assert len(lines) == bool(blind_in)
    for line in lines:
        where = "" if blind_in == VIEWS else " on pictures of grey 96 px, grey 48 px"
        assert line.startswith(f"perceived_gender cannot be corrected{where}: the annotator hardly tells the groups")
        assert f"\n- {line}\n" in text


def test_a_card_leaves_out_what_the_annotator_does_not_perceive(run: Run, blind: MienAnnotator):
    text = annotator_card(blind, run.record)
    assert "which gender they have" in text
    for absent in ("race", "age_years", "Age in years", "Accuracy within the groups of the other"):
        assert absent not in text


def test_the_costs_of_a_threshold_name_expressions_only(learnt: Store, blind: MienAnnotator, tmp_path: Path):
    made = annotate(learnt, tmp_path / "seen", blind)
    assert {name for t in made.thresholds for name in t.by_class} == {"happy", "sad"}


def test_hold_out_pictures_of_another_kind_are_named_to_the_end(
    blind: MienAnnotator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    grey = faces(tmp_path / "grey", [f"g{i}" for i in range(6)], corpus="grey", channels=1, side=48)
    colour = faces(tmp_path / "colour", [f"h{i}" for i in range(20)], corpus="colour")

    def command(name: str, holdout: Store) -> tuple[str, str]:
        words = ["annotate", grey.path, "--out", tmp_path / name, "--option", f"weights={blind.folder}"]
        with contextlib.suppress(SystemExit):
            app([str(w) for w in [*words, "--holdout", holdout.path]], exit_on_error=False, print_error=False)
        captured = capsys.readouterr()
        return captured.out, captured.err

    out, err = command("one", colour)
    assert "hold-out pictures are of another kind (colour 96 px) than these (grey 48 px)" in err
    assert "errors counted on 20 faces of colour, colour 96 px where these are grey 48 px" in out
    errors = Store.open(tmp_path / "one").table.annotator_errors
    assert errors["perceived_gender"]["source"].endswith("colour 96 px where these are grey 48 px")
    out, err = command("two", grey)
    assert "another kind" not in err
    assert "where these are" not in out
