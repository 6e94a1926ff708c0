"""The drawn corpus: reproducible, as biased as it was told to be, and no more."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.data.corpus import BadRows
from mien.data.datasets import DATASETS
from mien.data.datasets.synthetic import Bias, detect, synthetic
from mien.data.rendering import ACTION_UNITS, PROTOTYPES, montage
from mien.data.rendering.annotators import opinions
from mien.data.rendering.parameters import Draws, expression_values
from mien.errors import ConfigError
from mien.labels import FER2013_CLASSES

VOTES = [f"votes_{c}" for c in FER2013_CLASSES]


def read(**options):
    parts = list(synthetic(**options).chunks(BadRows()))
    return np.concatenate([p.images for p in parts]), pd.concat([p.frame for p in parts], ignore_index=True)


@cache
def rows(n=1500, key="{}"):
    """Rows of a large corpus of the smallest pictures; ``key`` holds further options as JSON."""
    return read(n=n, size=16, nuisance=0, **json.loads(key))[1]


def biased(bias, n=1500, **options):
    return rows(n, json.dumps({"bias": bias, **options}))


def within(count, n, p, sigmas=4.0):
    """Whether a binomial count lies within some standard deviations of its expectation."""
    return abs(count - n * p) <= sigmas * np.sqrt(n * p * (1 - p)) + 1


# --- Pictures and rows ---------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (33, 3), (48, 1), (64, 3), (224, 1)])
def test_any_size_grey_or_colour(size, channels):
    images, frame = read(n=3, size=size, channels=channels)
    assert images.dtype == np.uint8
    assert images.shape == ((3, size, size) if channels == 1 else (3, size, size, 3))
    assert images.std() > 20
    assert len(frame) == 3


def test_registered_with_tiny_options():
    corpus = DATASETS.get("synthetic")(None, **DATASETS.tiny("synthetic"))
    frame = pd.concat([c.frame for c in corpus.chunks(BadRows())])
    assert len(frame) == corpus.n_rows == 20
    assert set(frame["split"]) == {"train", "valid", "test"}
    assert corpus.attributes == ("gender", "age", "skin", "glasses")
    assert corpus.vocabulary == FER2013_CLASSES
    assert "CC0" in corpus.terms
    assert json.loads(json.dumps(corpus.detail)) == corpus.detail
    assert not detect(None)


def test_a_small_corpus_is_the_beginning_of_a_large_one_for_any_number_of_threads():
    small, small_rows = read(n=70, size=24, threads=1)
    large, large_rows = read(n=600, size=24, threads=3)
    np.testing.assert_array_equal(small, large[:70])
    pd.testing.assert_frame_equal(small_rows, large_rows[:70])
    other, _ = read(n=70, size=24, seed=1)
    assert (other != small).mean() > 0.5


def test_chunks_stream_in_order():
    chunks = list(synthetic(n=1200, size=16).chunks(BadRows()))
    assert [len(c.images) for c in chunks] == [512, 512, 176]
    ids = pd.concat([c.frame["sample_id"] for c in chunks])
    assert list(ids) == [f"synthetic-{i:07d}" for i in range(1200)]


def test_stopping_early_is_no_error():
    stream = synthetic(n=100_000, size=16).chunks(BadRows())
    assert len(next(stream).images) == 512
    stream.close()


def test_rows_name_every_attribute_and_its_source():
    frame = rows()
    for attribute, groups in {"gender": 2, "age": 3, "skin": 3, "glasses": 2}.items():
        assert frame[attribute].nunique() == groups
        assert set(frame[f"{attribute}_source"]) == {"annotated"}
    counts = frame["true_expression"].value_counts()
    assert all(within(c, len(frame), 1 / 7) for c in counts)


def test_identity_fixes_person_and_split_but_not_expression():
    frame = rows(1000, json.dumps({"faces_per_identity": 5}))
    by_person = frame.groupby("identity")
    assert len(by_person) == 200
    for column in ("split", "gender", "age", "skin", "glasses"):
        assert (by_person[column].nunique() == 1).all()
    assert (by_person["true_expression"].nunique() > 1).mean() > 0.9


@pytest.mark.parametrize("splits", [{"train": 0.7, "valid": 0.15, "test": 0.15}, {"a": 0.5, "b": 0.5}, {"all": 1}])
def test_splits_have_their_shares(splits):
    frame = rows(1000, json.dumps({"splits": splits}))
    for name, share in splits.items():
        assert abs((frame["split"] == name).mean() - share) < 0.01


# --- Truth in the pictures -----------------------------------------------------------------------


def test_expressions_are_separable():
    images, frame = read(n=1500, size=32, nuisance=0, seed=5)
    pixels = images.reshape(-1, 16, 2, 16, 2).mean((2, 4)).reshape(len(images), -1) / 255
    truth = frame["true_expression"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-2))
    assert model.fit(pixels[:1100], truth[:1100]).score(pixels[1100:], truth[1100:]) > 0.60


def test_skin_is_in_the_pictures():
    images, frame = read(n=600, size=32)
    cheeks = images[:, 14:22, 8:24].mean((1, 2))
    by_skin = pd.Series(cheeks).groupby(frame["skin"]).mean()
    assert by_skin["light"] > by_skin["medium"] + 15 > by_skin["dark"] + 30


def test_prototypes_cover_the_classes_with_known_units():
    assert set(PROTOTYPES) == set(FER2013_CLASSES)
    assert {u for ps in PROTOTYPES.values() for p in ps for u in p} <= set(ACTION_UNITS)


def test_action_units_follow_the_class():
    n = 400
    happy = np.full(n, FER2013_CLASSES.index("happy"))
    units, intensity = expression_values(Draws(np.random.default_rng(0), n), happy, np.ones(n, np.float32))
    assert units["au12"].mean() > 0.6 > 0.2 > units["au4"].mean()
    assert np.corrcoef(units["au12"], intensity)[0, 1] > 0.7


# --- Annotators ----------------------------------------------------------------------------------


def test_votes_follow_the_opinions():
    frame = rows()
    votes = frame[VOTES].to_numpy()
    assert (votes.sum(1) == 10).all()
    truth = frame["true_expression"].map(FER2013_CLASSES.index).to_numpy()
    right = votes[np.arange(len(votes)), truth] / 10
    expected = opinions(truth, frame["true_intensity"].fillna(1).to_numpy())
    assert abs(right.mean() - expected[np.arange(len(truth)), truth].mean()) < 0.01
    np.testing.assert_allclose(expected.sum(1), 1)
    strong = frame["true_intensity"] > 0.9
    weak = frame["true_intensity"] < 0.6
    assert right[strong].mean() > right[weak].mean() + 0.1
    fear = votes[frame["true_expression"] == "fear"].mean(0)
    assert np.argsort(fear)[-2] == FER2013_CLASSES.index("surprise")


def test_one_annotator_gives_the_true_label():
    frame = rows(1000, json.dumps({"annotators": 1}))
    votes = frame[VOTES].to_numpy()
    assert (votes.sum(1) == 1).all()
    assert (np.array(FER2013_CLASSES)[votes.argmax(1)] == frame["true_expression"]).all()


# --- Bias of known size --------------------------------------------------------------------------


def test_without_bias_no_label_is_replaced():
    assert not rows()["label_replaced"].any()


def test_share_sets_the_size_of_the_group():
    frame = biased({"attribute": "skin", "group": "dark", "share": 0.1})
    assert within((frame["skin"] == "dark").sum(), len(frame), 0.1)
    rest = frame[frame["skin"] != "dark"]
    assert within((rest["skin"] == "light").sum(), len(rest), 0.5)


def test_share_can_differ_between_splits():
    group = {"attribute": "gender", "group": "female"}
    frame = biased([group | {"share": 0.2, "splits": ["train"]}, group | {"share": 0.5, "splits": ["valid", "test"]}])
    train = frame["split"] == "train"
    female = frame["gender"] == "female"
    assert within(female[train].sum(), train.sum(), 0.2)
    assert within(female[~train].sum(), (~train).sum(), 0.5)


def test_class_tilt_changes_the_classes_of_the_group_only():
    frame = biased({"attribute": "gender", "group": "female", "class_tilt": {"happy": 4, "anger": 0}})
    happy = frame["true_expression"] == "happy"
    female = frame["gender"] == "female"
    assert within(happy[female].sum(), female.sum(), 4 / 9)
    assert within(happy[~female].sum(), (~female).sum(), 1 / 7)
    assert not (frame.loc[female, "true_expression"] == "angry").any()


@pytest.mark.parametrize("annotators", [1, 10])
def test_label_noise_has_its_rate(annotators):
    frame = biased({"attribute": "age", "group": "older", "label_noise": 0.3}, annotators=annotators)
    group = frame["age"] == "older"
    assert within(frame.loc[group, "label_replaced"].sum(), group.sum(), 0.3)
    assert not frame.loc[~group, "label_replaced"].any()
    clean = rows(1500, json.dumps({"annotators": annotators}))
    changed = (frame[VOTES].to_numpy() != clean[VOTES].to_numpy()).any(1)
    assert not changed[~frame["label_replaced"]].any()
    assert (frame["true_expression"] == clean["true_expression"]).all()
    if annotators == 1:
        label = np.array(FER2013_CLASSES)[frame[VOTES].to_numpy().argmax(1)]
        np.testing.assert_array_equal(label != frame["true_expression"], frame["label_replaced"])
        replaced = label[frame["label_replaced"]]
        assert all(within((replaced == c).sum(), len(replaced), 1 / 7) for c in FER2013_CLASSES)


def test_directed_label_noise_names_one_class_in_the_named_splits():
    bias = {"attribute": "skin", "group": "dark", "label_noise": 0.5, "label_noise_to": "anger", "splits": ["train"]}
    frame = biased([bias], annotators=1)
    label = np.array(FER2013_CLASSES)[frame[VOTES].to_numpy().argmax(1)]
    reached = (frame["skin"] == "dark") & (frame["split"] == "train") & (frame["true_expression"] != "angry")
    assert within(frame.loc[reached, "label_replaced"].sum(), reached.sum(), 0.5)
    assert set(label[frame["label_replaced"]]) == {"angry"}
    assert not frame.loc[~reached, "label_replaced"].any()


def test_contrast_scales_the_pictures_of_the_group():
    clean, frame = read(n=300, size=32, nuisance=0, seed=2)
    dull, _ = read(n=300, size=32, nuisance=0, seed=2, bias=Bias(attribute="gender", group="male", contrast=0.5))
    ratio = dull.std((1, 2)) / clean.std((1, 2))
    male = (frame["gender"] == "male").to_numpy()
    np.testing.assert_allclose(ratio[male], 0.5, atol=0.02)
    np.testing.assert_array_equal(dull[~male], clean[~male])


def test_cues_scale_the_intensity_of_the_group():
    clean, faint = rows(), biased({"attribute": "age", "group": "child", "cues": 0.5})
    child = clean["age"] == "child"
    shown = clean["true_expression"] != "neutral"
    ratio = faint["true_intensity"] / clean["true_intensity"]
    np.testing.assert_allclose(ratio[child & shown], 0.5, atol=1e-6)
    np.testing.assert_allclose(ratio[~child & shown], 1.0)
    assert faint.loc[~shown, "true_intensity"].isna().all()


def test_blur_and_noise_reach_the_group_only():
    group = {"attribute": "glasses", "group": "yes"}
    clean, frame = read(n=300, size=48, nuisance=0, seed=3)
    blurred, _ = read(n=300, size=48, nuisance=0, seed=3, bias=group | {"blur": 4})
    noisy, _ = read(n=300, size=48, nuisance=0, seed=3, bias=group | {"noise": 10})
    worn = (frame["glasses"] == "yes").to_numpy()

    def edges(images):
        return np.abs(np.diff(images.astype(float), axis=2)).mean((1, 2))

    assert (edges(blurred)[worn] < 0.7 * edges(clean)[worn]).all()
    difference = noisy[worn].astype(float) - clean[worn]
    unclipped = (clean[worn] > 40) & (clean[worn] < 215)
    assert abs(difference[unclipped].std() - 10) < 0.3
    np.testing.assert_array_equal(blurred[~worn], clean[~worn])
    np.testing.assert_array_equal(noisy[~worn], clean[~worn])


def test_the_bias_stands_in_the_detail():
    corpus = synthetic(
        n=10, bias=[Bias("skin", "dark", contrast=0.7), {"attribute": "age", "group": "child", "cues": 0.5}]
    )
    assert corpus.detail["bias"] == [
        {"attribute": "skin", "group": "dark", "contrast": 0.7},
        {"attribute": "age", "group": "child", "cues": 0.5},
    ]
    again = synthetic(n=10, bias=corpus.detail["bias"])
    assert again.detail == corpus.detail


# --- Refusals ------------------------------------------------------------------------------------

SKIN = {"attribute": "skin", "group": "dark"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, ["n: 0", "whole number from 1"]),
        ({"n": 10.0}, ["n: 10.0"]),
        ({"seed": -1}, ["seed: -1", "from 0"]),
        ({"size": 8}, ["size: 8", "16 to 512"]),
        ({"channels": 2}, ["channels: 2", "1 (grey) or 3 (colour)"]),
        ({"annotators": True}, ["annotators: True"]),
        ({"nuisance": "low"}, ["nuisance: 'low'", "0 to 2"]),
        ({"splits": {"train": 0.5}}, ["splits", "sum to 0.5"]),
        ({"splits": {"train": 1.5, "test": -0.5}}, ["splits.train: 1.5"]),
        ({"splits": {}}, ["splits: {}"]),
        ({"bias": "skin"}, ["bias: 'skin'", "a list of mappings"]),
        ({"bias": {"attribute": "skin"}}, ["bias.group", "missing"]),
        ({"bias": [{"attribute": "hair", "group": "red"}]}, ["bias[0].attribute", "'hair'", "gender"]),
        ({"bias": [SKIN | {"group": "drak"}]}, ["bias[0].group", "Did you mean 'dark'?"]),
        ({"bias": SKIN | {"contrst": 0.5}}, ["bias.contrst", "Did you mean 'contrast'?"]),
        ({"bias": SKIN | {"label_noise": 1.2}}, ["bias.label_noise: 1.2", "0 to 1"]),
        ({"bias": SKIN | {"class_tilt": {"hapy": 2}}}, ["bias.class_tilt.hapy", "Did you mean 'happy'?"]),
        ({"bias": SKIN | {"class_tilt": dict.fromkeys(FER2013_CLASSES, 0)}}, ["bias.class_tilt", "above 0"]),
        ({"bias": SKIN | {"label_noise_to": "bored"}}, ["bias.label_noise_to", "'bored'"]),
        ({"bias": SKIN | {"splits": "trian"}}, ["bias.splits", "Did you mean 'train'?"]),
        ({"bias": [SKIN | {"share": 0.1}, {"attribute": "skin", "group": "light", "share": 0.2}]}, ["bias", "'skin'"]),
        (
            {
                "bias": [
                    SKIN | {"class_tilt": dict.fromkeys(FER2013_CLASSES[:4], 0)},
                    {"attribute": "age", "group": "child", "class_tilt": dict.fromkeys(FER2013_CLASSES[4:], 0)},
                ]
            },
            ["leave no class", "dark"],
        ),
        ({"bias": Bias("skin", "dark", cues=9.0)}, ["bias.cues: 9.0"]),
    ],
)
def test_wrong_options_are_refused_with_their_key(options, words):
    with pytest.raises(ConfigError) as caught:
        synthetic(**options)
    for word in words:
        assert word in str(caught.value)


def test_montage_lays_out_rows():
    images = np.stack([np.full((4, 4), k, np.uint8) for k in range(5)])
    sheet = montage(images, 3, gap=1)
    assert sheet.shape == (11, 16)
    assert sheet[1, 1] == 0
    assert sheet[6, 6] == 4
    assert sheet[6, 11] == 255
