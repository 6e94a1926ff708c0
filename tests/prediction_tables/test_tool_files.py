"""What deepface, Hugging Face, fer, py-feat, EmotiEffLib, timm and Keras write, joined with annotations."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from written import CLASSES, PROBS, annotations, answers, faces, pictures

from mien.errors import DataError
from mien.records import Predictions

N = 60
P = faces(N)[PROBS].to_numpy()
NAMES = pictures(N)
BEST = [CLASSES[k] for k in P.argmax(1)]
ORDER = np.argsort(-P, axis=1)
EXPECTED = answers(Predictions.from_frame(faces(N)))


def deepface_face(i, **changes):
    """One face as ``DeepFace.analyze`` returns it."""
    face = {
        "emotion": {c: 100 * P[i, k] for k, c in enumerate(CLASSES)},
        "dominant_emotion": BEST[i],
        "region": {"x": 3, "y": 4, "w": 40, "h": 40, "left_eye": None, "right_eye": None},
        "face_confidence": 0.9,
        "age": 31,
        "gender": {"Man": 99.0, "Woman": 1.0},
        "dominant_gender": "Man",
    }
    return face | changes


DEEPFACE = [[deepface_face(i)] for i in range(N)]
PIPELINE = [[{"label": CLASSES[k], "score": P[i, k]} for k in ORDER[i]] for i in range(N)]
FER = [[{"box": [1, 2, 30, 30], "emotions": dict(zip(CLASSES, P[i], strict=True))}] for i in range(N)]


def bare(names):
    return [name.split("/")[-1] for name in names]


def written(tmp_path, content, name="tool.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def in_order(tmp_path):
    path = tmp_path / "in_order.csv"
    faces(N)[["label", "gender", "brightness"]].assign(path=NAMES).to_csv(path, index=False)
    return path


# --- JSON ----------------------------------------------------------------------------------------------------

NAMED = {
    "deepface by path": dict(zip(NAMES, DEEPFACE, strict=True)),
    "deepface by name": dict(zip(bare(NAMES), DEEPFACE, strict=True)),
    "deepface from Windows": dict(zip([f"C:\\faces\\{n}" for n in bare(NAMES)], DEEPFACE, strict=True)),
    "deepface in records": [{"image": n, "result": f} for n, f in zip(NAMES, DEEPFACE, strict=True)],
    "deepface with a path": [{"img_path": n, **f[0]} for n, f in zip(NAMES, DEEPFACE, strict=True)],
    "pipeline by path": dict(zip(NAMES, PIPELINE, strict=True)),
    "pipeline in records": [{"file": n, "predictions": r} for n, r in zip(NAMES, PIPELINE, strict=True)],
    "fer by path": dict(zip(NAMES, FER, strict=True)),
    "scores by path": {n: dict(zip(CLASSES, p, strict=True)) for n, p in zip(NAMES, P.tolist(), strict=True)},
    "results wrapped": {"results": dict(zip(NAMES, DEEPFACE, strict=True))},
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("lines", [False, True])
def test_json_that_names_its_pictures_is_joined_by_the_names(tmp_path, name, lines):
    content = NAMED[name]
    if lines:
        content = content.get("results", content) if isinstance(content, dict) else content
        entries = content if isinstance(content, list) else [{n: entry} for n, entry in content.items()]
        content = "\n".join(map(json.dumps, entries))
    found = Predictions.load(written(tmp_path, content), annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert answers(found) == EXPECTED
    assert found.warnings == ()


@pytest.mark.parametrize("content", [DEEPFACE, [f[0] for f in DEEPFACE], PIPELINE, FER])
def test_json_without_names_is_joined_by_place_with_a_warning(tmp_path, content):
    found = Predictions.load(written(tmp_path, content), annotations=in_order(tmp_path))
    assert answers(found) == EXPECTED
    assert len(found.warnings) == 1
    assert "tool.json does not name its pictures: its first entry was taken for the first row" in found.warnings[0]
    with pytest.raises(DataError, match="names no pictures and has 59 entries, .*in_order.csv has 60 rows.*Save the"):
        Predictions.load(written(tmp_path, content[:-1]), annotations=in_order(tmp_path))


@pytest.mark.parametrize("content", [DEEPFACE, PIPELINE, FER, NAMED["scores by path"]])
def test_predictions_alone_ask_for_annotations(tmp_path, content):
    with pytest.raises(DataError, match=r"tool\.json: holds predictions, but no column 'label'.*--annotations FILE"):
        Predictions.load(written(tmp_path, content))


def test_labels_within_json_need_no_annotations(tmp_path):
    rows = faces(N)
    entries = [
        {"img_path": n, "label": a, "site": g, **f[0]}
        for n, a, g, f in zip(NAMES, rows["label"], rows["gender"], DEEPFACE, strict=True)
    ]
    found = Predictions.load(written(tmp_path, entries))
    assert found.groups["site"].tolist() == rows["gender"].tolist()
    assert found.groups["perceived_gender"].tolist() == ["Man"] * N
    assert "dominant_gender" not in found.groups


def test_pictures_without_a_face_and_with_two(tmp_path):
    content = dict(zip(NAMES, DEEPFACE, strict=True))
    content[NAMES[3]], content[NAMES[4]] = [], None
    content[NAMES[5]] = [deepface_face(5, face_confidence=0)]
    content[NAMES[6]] = [deepface_face(7, region={"x": 0, "y": 0, "w": 3, "h": 3}), deepface_face(6)]
    found = Predictions.load(written(tmp_path, content), annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert sorted(found.undetected["sample_id"]) == sorted(NAMES[3:6])
    frame = faces(N)
    frame.loc[3:5, PROBS] = np.nan
    assert answers(found) == answers(Predictions.from_frame(frame))
    said = " ".join(found.notes)
    assert "found no face in 2 of 60 pictures" in said
    assert "In 1 of 60 pictures the tool found several faces: the largest counts." in said
    assert "In 1 of 60 pictures deepface found no face and judged the whole picture" in said


def test_a_detector_that_was_told_to_skip_finds_every_face(tmp_path):
    content = [[deepface_face(i, face_confidence=0)] for i in range(N)]
    assert len(Predictions.load(written(tmp_path, content), annotations=in_order(tmp_path))) == N


def test_the_best_classes_only_give_the_class_and_no_probabilities(tmp_path):
    for content in ([r[:5] for r in PIPELINE], [r[0] for r in PIPELINE]):
        found = Predictions.load(written(tmp_path, content), annotations=in_order(tmp_path))
        assert answers(found) == EXPECTED
        assert found.probs is None
        assert any("best classes only" in note for note in found.notes)


def test_classes_without_names_are_asked_for(tmp_path):
    content = [[{"label": f"LABEL_{k}", "score": p} for k, p in enumerate(row)] for row in P.tolist()]
    path = written(tmp_path, content)
    with pytest.raises(DataError, match="calls its classes LABEL_0, LABEL_1, LABEL_2.*--classes"):
        Predictions.load(path, annotations=in_order(tmp_path))
    assert answers(Predictions.load(path, CLASSES, annotations=in_order(tmp_path))) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "entry 1: is '1', expected what deepface"),
        ({"a.jpg": [{"region": {}}]}, "entry 1: has no scores of emotions.*write an empty list"),
        ([[{"emotion": {"sad": "much"}}]], "entry 1: has a score that is no number"),
        ([None, []], "no entry has scores"),
        ('{"a.jpg": [{"emotion": {"sad": 1}}], "a.jpg": []}', "has the key 'a.jpg' twice"),
        ("[" * 9999 + "]" * 9999, "is nested too deep"),
    ],
)
def test_other_json_is_refused_with_the_entry(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        Predictions.load(written(tmp_path, content))


# --- Tables ----------------------------------------------------------------------------------------------------


def py_feat():
    boxes = dict.fromkeys(("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"), 30.0)
    return pd.DataFrame(
        {
            "input": NAMES,
            "frame": range(N),
            **boxes,
            "FaceScore": 0.9,
            "AU01": 0.1,
            **dict(zip(CLASSES, P.T, strict=True)),
        }
    )


def emotieff():
    capitals = [c.capitalize() for c in sorted(CLASSES)]
    scores = P[:, [CLASSES.index(c) for c in sorted(CLASSES)]]
    return pd.DataFrame(scores, columns=capitals).assign(path=NAMES, valence=0.1, arousal=0.2)


def timm(top, *, lists=False, kind="label"):
    scores = np.take_along_axis(P, ORDER, axis=1)[:, :top]
    answer = np.array(CLASSES, dtype=object)[ORDER[:, :top]]
    frame = pd.DataFrame({"filename": bare(NAMES)})
    if top == 1:
        return frame.assign(**{kind: answer[:, 0], "prob": scores[:, 0]})
    if lists:
        return frame.assign(label=list(answer), prob=list(scores.astype(np.float32)))
    for j in range(top):
        frame[f"{kind}_{j}"], frame[f"prob_{j}"] = answer[:, j], scores[:, j]
    return frame


TABLES = {
    "py-feat": py_feat(),
    "EmotiEffLib": emotieff(),
    "timm, best": timm(1),
    "timm, three": timm(3),
    "timm, all": timm(7),
    "timm, three in a cell": timm(3, lists=True),
    "timm, all in a cell": timm(7, lists=True),
    "deepface's frame": pd.DataFrame([f[0] for f in DEEPFACE]).assign(path=NAMES),
    "deepface's frame, flat": pd.json_normalize([f[0] for f in DEEPFACE]).assign(path=NAMES),
    "scores": pd.DataFrame({"image": NAMES, **{f"score_{c}": P[:, k] for k, c in enumerate(CLASSES)}}),
    "per cent": pd.DataFrame({"image": NAMES, **{f"{c}_pct": 100 * P[:, k] for k, c in enumerate(CLASSES)}}),
    "scikit-learn": pd.DataFrame({"file": NAMES, "y_pred": BEST}),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_tools_table_is_joined_with_annotations(tmp_path, name):
    TABLES[name].to_csv(tmp_path / "tool.csv")
    found = Predictions.load(tmp_path / "tool.csv", annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert answers(found) == EXPECTED
    assert found.warnings == ()
    assert (found.probs is not None) == (
        name not in ("timm, best", "timm, three", "timm, three in a cell", "scikit-learn")
    )


@pytest.mark.parametrize("orient", ["index", "split", "records", "parquet"])
def test_timms_other_formats(tmp_path, orient):
    frame, path = timm(1), tmp_path / "tool.json"
    if orient == "index":
        frame.set_index("filename").to_json(path, indent=4, orient="index")
    elif orient == "split":
        frame.to_json(path, indent=4, orient="split", index=False)
    elif orient == "records":
        frame.to_json(path, lines=True, orient="records")
    else:
        frame.set_index("filename").to_parquet(path)
    found = Predictions.load(path, annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert answers(found) == EXPECTED


def test_timms_column_label_is_never_taken_for_an_annotation(tmp_path):
    timm(1).to_csv(tmp_path / "tool.csv", index=False)
    with pytest.raises(DataError, match=r"holds predictions, but no column 'label'"):
        Predictions.load(tmp_path / "tool.csv")
    timm(1).rename(columns={"prob": "logit"}).to_csv(tmp_path / "tool.csv", index=False)
    with pytest.raises(DataError, match="--output-type prob"):
        Predictions.load(tmp_path / "tool.csv")


def test_a_video_table_of_fer(tmp_path):
    rows = [{"box0": np.array([1, 2, 30, 30]), **{f"{c}0": P[i, k] for k, c in enumerate(CLASSES)}} for i in range(N)]
    rows[3] = {}  # a frame without a face: a line of commas
    small = {f"{c}0": P[5, k] for k, c in enumerate(CLASSES)}
    large = {f"{c}1": P[4, k] for k, c in enumerate(CLASSES)}
    rows[4] = {"box0": [0, 0, 5, 5], **small, "box1": [0, 0, 50, 50], **large}
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    found = Predictions.load(tmp_path / "data.csv", annotations=in_order(tmp_path))
    frame = faces(N)
    frame.loc[3, PROBS] = np.nan
    assert answers(found) == answers(Predictions.from_frame(frame))
    assert len(found.undetected) == 1
    assert any("found several faces: the largest counts" in note for note in found.notes)


def test_several_faces_of_py_feat_count_once_and_rows_keep_their_line(tmp_path):
    frame = py_feat().assign(label=faces(N)["label"], gender=faces(N)["gender"])
    small = frame.iloc[[4]].assign(FaceRectWidth=3.0, **dict(zip(CLASSES, P[5], strict=True)))
    both = pd.concat([frame.iloc[:4], small, frame.iloc[4:]])
    both.to_csv(tmp_path / "fex.csv", index=False)
    assert answers(Predictions.load(tmp_path / "fex.csv")) == EXPECTED
    both.iloc[20, both.columns.get_loc("anger")] = 3.0
    both.to_csv(tmp_path / "fex.csv", index=False)
    with pytest.raises(DataError, match="line 22: prob_"):
        Predictions.load(tmp_path / "fex.csv")


def test_columns_of_logits_are_called_logits():
    frame = faces().rename(columns={f"prob_{c}": f"logit_{c}" for c in CLASSES})
    with pytest.raises(DataError, match="are logits, expected probabilities"):
        Predictions.from_frame(frame)
    assert Predictions.from_frame(frame.assign(pred=BEST)).probs is None


@pytest.mark.parametrize("name", ["{}", "{}0", "score_{}", "{}_prob", "emotion.{}", "P({})"])
def test_columns_of_classes_under_any_name(name):
    found = Predictions.from_frame(faces().rename(columns={f"prob_{c}": name.format(c) for c in CLASSES}))
    assert answers(found) == EXPECTED


def test_counts_of_votes_are_votes_and_other_numbers_are_left_alone():
    rng = np.random.default_rng(0)
    counts = dict(zip((*CLASSES, "NF"), rng.multinomial(10, np.ones(8) / 8, size=N).T, strict=True))
    found = Predictions.from_frame(pd.DataFrame({"label": BEST, "pred": BEST, **counts}))
    np.testing.assert_array_equal(found.votes[:, found.classes.index("fear")], counts["fear"])
    assert found.probs is None
    intensities = pd.DataFrame(
        {"label": BEST, "pred": BEST, **dict(zip(CLASSES, rng.normal(size=(7, N)), strict=True))}
    )
    assert set(CLASSES) <= set(Predictions.from_frame(intensities).groups.columns)


# --- Arrays ----------------------------------------------------------------------------------------------------


def test_an_array_needs_its_classes(tmp_path):
    np.save(tmp_path / "p.npy", P.astype(np.float32))
    with pytest.raises(DataError, match="has 7 columns and does not say of which classes.*--classes"):
        Predictions.load(tmp_path / "p.npy", annotations=in_order(tmp_path))
    with pytest.raises(DataError, match="has 7 columns, and 6 classes are given"):
        Predictions.load(tmp_path / "p.npy", CLASSES[:6], annotations=in_order(tmp_path))
    found = Predictions.load(tmp_path / "p.npy", CLASSES, annotations=in_order(tmp_path))
    assert answers(found) == EXPECTED
    assert found.probs.dtype == np.float32


def test_several_arrays_may_hold_all_there_is(tmp_path):
    labels = np.array([CLASSES.index(c) for c in faces(N)["label"]])
    np.savez(tmp_path / "p.npz", probs=P, classes=np.array(CLASSES), labels=labels)
    found = Predictions.load(tmp_path / "p.npz")
    assert [found.classes[k] for k in found.labels] == faces(N)["label"].tolist()
    np.savez(tmp_path / "p.npz", predictions=P, class_names=np.array(CLASSES), filenames=np.array(NAMES))
    joined = Predictions.load(tmp_path / "p.npz", annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert answers(joined) == EXPECTED
    assert joined.warnings == ()


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "p.npz", probs=P, classes=np.array(CLASSES, dtype=object))
    with pytest.raises(DataError, match="Save names as text"):
        Predictions.load(tmp_path / "p.npz")


# --- Joining ---------------------------------------------------------------------------------------------------


def test_faces_in_one_table_only_are_counted(tmp_path):
    py_feat().iloc[:50].to_csv(tmp_path / "tool.csv", index=False)
    table = faces(N)[["label", "gender"]].assign(path=NAMES).iloc[5:]
    table.to_csv(tmp_path / "a.csv", index=False)
    found = Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")
    assert len(found) == 45
    assert "5 of 50 predictions have no annotation and did not count." in found.notes
    assert len(found.warnings) == 1
    assert "10 of 55 annotated faces have no prediction in tool.csv" in found.warnings[0]


def test_ids_that_number_rows_are_doubted_and_names_go_before_them(tmp_path):
    frame = py_feat().rename(columns={"input": "filename"}).assign(id=range(N))
    table = faces(N)[["label", "gender"]].assign(path=NAMES, id=range(N)).iloc[::-1]
    table.to_csv(tmp_path / "a.csv", index=False)
    frame.drop(columns="filename").to_csv(tmp_path / "tool.csv", index=False)
    found = Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")
    assert len(found.warnings) == 1
    assert "'id' only numbers the rows of tool.csv" in found.warnings[0]
    frame.assign(id=range(N - 1, -1, -1)).to_csv(tmp_path / "tool.csv", index=False)
    found = Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")
    assert answers(found) == EXPECTED
    assert found.warnings == ()


def test_what_another_model_said_stays_out(tmp_path):
    py_feat().to_csv(tmp_path / "tool.csv", index=False)
    table = faces(N).assign(path=NAMES, pred="neutral", detected=1)
    table.to_parquet(tmp_path / "a.parquet")
    assert answers(Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.parquet")) == EXPECTED


def test_labels_of_both_tables_are_those_of_the_annotations(tmp_path):
    py_feat().assign(label="neutral").to_csv(tmp_path / "tool.csv", index=False)
    found = Predictions.load(tmp_path / "tool.csv", annotations=annotations(tmp_path / "a.csv", faces(N)))
    assert answers(found) == EXPECTED
    assert "label of tool.csv gave way to that of a.csv." in found.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), r"a\.csv line 62: path 'imgs/a0\.jpg' stands there a second time"),
        (lambda t: t.drop(columns="label"), r"a\.csv: has no column 'label' \(it has gender, path\)"),
        (
            lambda t: t.assign(path="x" + t["path"].str.replace("a", "b")),
            r"names none of the pictures of .*'imgs/a0\.jpg'",
        ),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path, change, message):
    py_feat().to_csv(tmp_path / "tool.csv", index=False)
    change(faces(N)[["label", "gender"]].assign(path=NAMES)).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=message):
        Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")


def test_two_folders_with_one_name_are_told_apart_or_refused(tmp_path):
    frame = py_feat().assign(input=[f"{'train' if i % 2 else 'test'}/a{i // 2}.jpg" for i in range(N)])
    frame.to_csv(tmp_path / "tool.csv", index=False)
    table = faces(N)[["label", "gender"]].assign(path=frame["input"])
    table.to_csv(tmp_path / "a.csv", index=False)
    assert answers(Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")) == EXPECTED
    table.assign(path=[f"/data/{p}" for p in frame["input"]]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"path 'a0\.jpg' stands there a second time.*whole paths"):
        Predictions.load(tmp_path / "tool.csv", annotations=tmp_path / "a.csv")
