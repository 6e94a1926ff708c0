"""Any function on the faces of a store."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mien.adapters.loading import load_model
from mien.adapters.predictions import predictions_from
from mien.audit import audit
from mien.errors import ConfigError, DataError, LabelError, UsageError
from mien.inference import FaceModel
from mien.records import Predictions
from mien.stats.settings import Settings

SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def by_brightness(images, k=7):
    """A distribution that depends on the pixels only."""
    level = images.reshape(len(images), -1)[:, :k].astype(float) + 1
    return level / level.sum(1, keepdims=True)


def test_a_function_on_a_split(store):
    seen = []
    pred = predictions_from(
        by_brightness, store, "test", classes=SEVEN, batch_size=16, progress=lambda done, n: seen.append((done, n))
    )
    kept = store.table.frame.query("split == 'test' and votes_contempt == 0")
    assert pred.sample_id.tolist() == kept["sample_id"].tolist()
    assert pred.classes == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert seen == [(16, 35), (32, 35), (35, 35)]
    direct = by_brightness(np.asarray(store.images[kept["image"]]))
    np.testing.assert_allclose(pred.probs, direct[:, [0, 1, 2, 3, 6, 4, 5]])
    assert np.array(pred.classes)[pred.labels].tolist() == [f"{c}" for c in labels_of(kept)]
    assert pred.groups["gender"].tolist() == kept["gender"].tolist()
    assert pred.image.tolist() == kept["image"].tolist()
    assert pred.undetected is None
    # Two faces of a person are one unit; persons who lost a face keep the other.
    assert len(set(pred.cluster)) == kept["identity"].nunique()


def labels_of(frame):
    votes = frame[[c for c in frame if c.startswith("votes_")]]
    return votes.idxmax(axis=1).str.removeprefix("votes_")


def test_faces_of_a_class_that_the_model_lacks_are_left_out_and_counted(store):
    pred = predictions_from(by_brightness, store, "test", classes=SEVEN)
    assert len(pred) == 35
    assert pred.notes == ("5 faces labelled contempt are left out: not a class of by_brightness.",)
    assert pred.votes.shape == (35, 7)
    np.testing.assert_array_equal(pred.targets.sum(1), 1)


def test_a_class_that_only_the_model_knows_stays_a_wrong_answer(store):
    def model(images):
        return np.tile([0.1, 0.2, 0.7], (len(images), 1))

    pred = predictions_from(model, store, "test", classes=("happy", "sad", "bored"))
    assert pred.classes == ("happiness", "sadness", "bored")
    assert set(pred.predicted) == {2}
    assert "No face is labelled bored: answering so counts as wrong." in pred.notes
    narrow = predictions_from(model, store, "test", classes=("happy", "sad", "bored"), only=("sadness", "Happy"))
    assert narrow.classes == ("happiness", "sadness")
    np.testing.assert_allclose(narrow.probs, np.tile([1 / 3, 2 / 3], (10, 1)))
    assert narrow.notes[-1] == "model could also answer bored: its probabilities of the others were rescaled."
    assert "5 faces labelled anger are left out: not among the classes asked for." in narrow.notes


def test_a_face_without_probability_in_the_classes_asked_for_is_left_out(store):
    def model(images):
        sure = images[:, 0, 0, 0] % 2 == 0
        return np.where(sure[:, None], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5])

    pred = predictions_from(model, store, "test", classes=("happy", "sad", "fear"), only=("happy", "sad"))
    faces = store.table.frame.iloc[:40].query("votes_happiness + votes_sadness > 0")
    known = store.images[faces["image"]][:, 0, 0, 0] % 2 == 1
    assert 0 < known.sum() < 10
    assert pred.sample_id.tolist() == faces["sample_id"][known].tolist()
    assert len(pred.groups) == len(pred.cluster) == len(pred.targets) == known.sum()
    silent = f"{10 - known.sum()} faces are left out: model gave no probability to any of the classes asked for."
    assert silent in pred.notes


def test_two_tools_give_the_same_faces_and_can_be_audited(store, tmp_path):
    first = predictions_from(by_brightness, store, classes=SEVEN)
    second = predictions_from(lambda x: by_brightness(255 - x), store, classes=SEVEN[::-1])
    assert first.classes == second.classes
    assert first.sample_id.tolist() == second.sample_id.tolist()
    np.testing.assert_array_equal(first.labels, second.labels)
    first.save(tmp_path / "p.parquet")
    again = Predictions.load(tmp_path / "p.parquet")
    assert again.notes == first.notes
    result = audit(again, ["gender"], settings=Settings(n_boot=20, n_perm=20, min_n=5))
    assert [g.name for g in result.attributes[0].groups] == ["female", "male"]


def test_faces_that_the_model_does_not_find_stand_apart(store):
    def model(images):
        probs = by_brightness(images, 8)
        probs[images[:, 0, 0, 0] < 100] = np.nan
        return probs

    eight = FaceModel("finder", store.table.vocabulary, model, detects=True)
    pred = predictions_from(eight, store, "test", batch_size=7)
    lost = store.images[:40][:, 0, 0, 0] < 100
    assert 0 < lost.sum() < 40
    assert len(pred) == 40 - lost.sum()
    assert pred.undetected["sample_id"].tolist() == store.table.frame["sample_id"][:40][lost].tolist()
    assert pred.undetected["image"].tolist() == np.flatnonzero(lost).tolist()
    assert pred.notes == (f"finder found no face in {lost.sum()} of 40 crops.",)
    assert np.isfinite(pred.probs).all()


def test_logits_and_tensors(store):
    torch = pytest.importorskip("torch")
    weights = torch.arange(7.0, requires_grad=True)

    def model(images):
        return torch.from_numpy(images.reshape(len(images), -1)[:, :7].astype(np.float32)) * weights

    pred = predictions_from(model, store, "test", classes=SEVEN, logits=True)
    np.testing.assert_allclose(pred.probs.sum(1), 1)
    raw = store.images[pred.image].reshape(35, -1)[:, :7] * np.arange(7.0)
    assert pred.predicted.tolist() == raw[:, [0, 1, 2, 3, 6, 4, 5]].argmax(1).tolist()


@pytest.mark.parametrize(
    ("function", "options", "error", "message"),
    [
        (lambda x: np.ones((len(x), 6)), {}, DataError, r"returned an array of shape \(35, 6\), expected \(35, 7\)"),
        (lambda x: np.ones(len(x)), {}, DataError, r"shape \(35,\)"),
        (lambda x: np.ones((len(x), 7)), {}, DataError, r"\(35 such rows of 35\).*these are logits, pass logits"),
        (lambda x: np.full((len(x), 7), np.nan), {}, DataError, "returned .nan"),
        (lambda x: np.full((len(x), 7), np.inf), {"logits": True}, DataError, "returned .inf"),
        (by_brightness, {"classes": ()}, UsageError, "by_brightness: has no classes.*Pass classes"),
        (by_brightness, {"classes": ("a", "b")}, LabelError, "share 0 with by_brightness"),
        (by_brightness, {"classes": ("sad", "sadness", "fear")}, LabelError, "expected each class once"),
        (by_brightness, {"only": ("anger", "contempt")}, UsageError, "only: names contempt, expected two or more"),
        (by_brightness, {"only": ("anger",)}, UsageError, "only: names fewer than two"),
        (by_brightness, {"batch_size": 0}, UsageError, "batch_size: is 0"),
        (by_brightness, {"labels": "majorty"}, LabelError, "Did you mean 'majority'"),
        (
            lambda x: np.eye(7)[np.zeros(len(x), int)],
            {"only": ("fear", "sadness")},
            DataError,
            "gave no face any probability in fear, sadness",
        ),
    ],
)  # fmt: skip
def test_what_is_no_classifier_is_refused(store, function, options, error, message):
    with pytest.raises(error, match=message):
        predictions_from(function, store, "test", **{"classes": SEVEN, "batch_size": 64, **options})


def test_nothing_found_anywhere(store):
    model = FaceModel("finder", SEVEN, lambda x: np.full((len(x), 7), np.nan), detects=True)
    with pytest.raises(DataError, match="no face was found in any picture"):
        predictions_from(model, store)


# --- Where a model is -----------------------------------------------------------------------------------


def test_a_function_is_found_in_a_file_or_module(store, tmp_path, monkeypatch):
    (tmp_path / "mine_tool.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "@dataclass\n"
        "class Halves:\n"
        "    classes: tuple = ('happy', 'sad')\n"
        "    def __call__(self, images):\n"
        "        return np.full((len(images), 2), 0.5)\n"
        "halves = Halves()\n"
    )
    model = load_model(f"{tmp_path / 'mine_tool.py'}:halves")
    assert model.classes == ("happy", "sad")
    assert len(predictions_from(model, store, "test")) == 10
    monkeypatch.syspath_prepend(tmp_path)
    assert load_model("mine_tool:halves", {"classes": "a, b"}).classes == ("a", "b")


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        ("deepfase", {}, UsageError, "is no folder and no adapter.*Did you mean 'deepface'"),
        ("deepface", {"detct": True}, ConfigError, "adapter 'deepface' has no such option.*'detect'"),
        ("json:lods", {}, UsageError, "there is no 'lods' in json.*Did you mean 'loads'"),
        ("json:loads", {}, UsageError, "has no classes"),
        ("json:__name__", {"classes": ["a", "b"]}, UsageError, "is a str, expected a function"),
        ("no_such_module:f", {}, UsageError, "cannot import 'no_such_module'"),
        ("nowhere.py:f", {}, UsageError, "there is no file nowhere.py"),
        (":f", {}, UsageError, "names no function"),
    ],
)
def test_what_is_no_model(spec, options, error, message):
    with pytest.raises(error, match=message):
        load_model(spec, options)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"holds no model\.json"):
        load_model(tmp_path)


def test_a_run_gives_what_its_classifier_gives(tmp_path):
    torch = pytest.importorskip("torch")
    from mien.models import MODELS
    from mien.models.weights import Classifier, WeightCard, save_weights

    options = MODELS.tiny("mienet")
    module = MODELS.get("mienet")(3, 1, **options)
    save_weights(
        module,
        WeightCard(
            model="mienet", options=options, classes=("a", "b", "c"), size=24, in_channels=1, mean=(0.5,), std=(0.25,)
        ),
        tmp_path,
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 1), dtype=np.uint8)
    model = load_model(tmp_path)
    assert model.classes == ("a", "b", "c")
    logits = torch.from_numpy(Classifier.load(tmp_path).logits(images))
    np.testing.assert_allclose(model.probabilities(images), logits.softmax(1), rtol=1e-6)
    with pytest.raises(UsageError, match="takes no option"):
        load_model(tmp_path, {"size": 3})


def test_frames_of_a_store_have_a_split_of_their_own(store):
    with pytest.raises(DataError, match="no face in split 'valid'"):
        predictions_from(by_brightness, store, "valid", classes=SEVEN)
    assert isinstance(predictions_from(by_brightness, store, classes=SEVEN).groups, pd.DataFrame)
