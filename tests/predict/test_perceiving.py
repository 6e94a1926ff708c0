"""Perceived attributes of detected faces: only where somebody asks, named as in an annotated store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("torch")

from mien.audit.attributes import resolve_attribute
from mien.cli.predicting import predict
from mien.errors import DataError, UsageError
from mien.faces.base import Faces
from mien.pictures.whole import WholePicture, read_picture
from mien.predict import Predictor
from mien.predict.films import follow, watch
from mien.predict.perceiving import Perceiver
from mien.predict.rows import columns
from mien.records import Predictions
from photographs import HOPPER, group_photograph


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(perceived=True)


def test_nobody_is_told_who_did_not_ask() -> None:
    plain = Predictor.load()
    (row,) = plain.predict([HOPPER])
    assert plain.heads == ()
    assert not row.perceived
    assert "perceived" not in json.dumps(row.as_json())
    assert not any(name.startswith("perceived") for name in columns(plain.model.classes))


def test_what_is_perceived_stands_beside_the_expression(predictor: Predictor) -> None:
    (row,) = predictor.predict([HOPPER])
    assert set(row.perceived) == {"race", "gender", "age", "race6", "race4", "age_group"}
    for groups in row.perceived.values():
        assert sum(groups.values()) == pytest.approx(1, abs=1e-5)
    # A woman of about seventy in uniform is taken for a man: what is perceived is no fact about anybody.
    assert row.perceived["gender"]["Male"] > 0.5
    assert row.perceived["age_group"]["adult"] > 0.9
    assert row.age_years is not None
    assert 55 < row.age_years < 80
    # The expression is what it is without.
    assert row.probabilities == Predictor.load().predict([HOPPER])[0].probabilities


def test_faces_of_a_picture_are_perceived_alone_as_together(predictor: Predictor) -> None:
    perceiver = predictor.perceiver
    assert perceiver is not None
    people = WholePicture("five", group_photograph())
    looked = predictor.look(people)
    (rows,) = predictor.told([looked])
    assert len(rows) == len(looked.seen) == 5
    for row, crop in zip(rows, looked.seen, strict=True):
        (alone,) = perceiver.told([crop])
        for name, groups in row.perceived.items():
            assert groups == pytest.approx(alone.attributes[name], abs=0.02)


def test_pictures_are_seen_in_the_size_and_colour_that_they_have(predictor: Predictor) -> None:
    perceiver = predictor.perceiver
    assert perceiver is not None
    colour = read_picture(HOPPER)
    grey = WholePicture("grey", np.asarray(Image.fromarray(colour.pixels).convert("L").convert("RGB")))
    faces = predictor.detector.find(colour.pixels) if predictor.detector else Faces.none()
    small = np.asarray(Image.fromarray(colour.pixels).resize((120, 141)))
    shapes = [perceiver.crops(each, faces)[0].shape for each in (colour, grey)]
    assert shapes == [(96, 96, 3), (96, 96, 1)]
    assert perceiver.crops(WholePicture("small", small[20:64, 40:84]), None)[0].shape == (64, 64, 3)
    # All of them in one call, in their order.
    crops = [*perceiver.crops(grey, faces), *perceiver.crops(colour, faces)]
    together = perceiver.told(crops)
    for crop, said in zip(crops, together, strict=True):
        assert said.attributes["gender"] == pytest.approx(perceiver.told([crop])[0].attributes["gender"], abs=0.02)
    assert perceiver.told([]) == []


def test_a_picture_without_a_face_tells_nothing(predictor: Predictor) -> None:
    (row,) = predictor.predict([WholePicture("wall", np.full((80, 80, 3), 128, dtype=np.uint8))])
    assert row.face is None
    assert not row.perceived


def test_its_table_is_audited_as_perceived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(group_photograph()[:, : 60 + 60 * i]).save(folder / f"{i}.png")
    out = tmp_path / "rows.csv"
    predict((str(folder),), perceived=True, out=out)
    capsys.readouterr()
    rows = pd.read_csv(out)
    faces = rows[rows["face"].notna()].assign(label="neutral")
    assert set(faces["perceived_gender_source"]) == {"perceived"}
    assert set(faces["perceived_gender_annotator"]) == {"mien 2"}
    faces["perceived_gender"] = (["Female", "Male"] * 9)[: len(faces)]  # both, whatever was perceived
    faces.rename(columns={"top": "pred"}).to_csv(out, index=False)
    read = Predictions.load(out)
    assert resolve_attribute(read, "perceived_gender").source == "perceived"


def test_who_walks_past_a_camera_is_not_sorted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--perceived"):
        predict(camera="0", perceived=True)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"")
    with pytest.raises(UsageError, match="--perceived"):
        predict((str(film),), perceived=True)


def test_every_detector_has_its_rule() -> None:
    assert Perceiver.load("blazeface").rule != Perceiver.load("mtcnn").rule
    assert Perceiver.load(None).rule == Perceiver.load("mtcnn").rule


def test_a_file_is_gone_on_with_as_it_was_begun(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    predict((str(HOPPER), str(HOPPER)), out=out)
    with pytest.raises(DataError, match="tells no perceived attributes, expected those of mien"):
        predict((str(HOPPER), str(HOPPER)), out=out, resume=True, perceived=True)
    out.unlink()
    predict((str(HOPPER), str(HOPPER)), out=out, perceived=True)
    with pytest.raises(DataError, match="tells perceived attributes, expected none"):
        predict((str(HOPPER), str(HOPPER)), out=out, resume=True)
    assert predict((str(HOPPER), str(HOPPER)), out=out, resume=True, perceived=True) == 0
    assert all("perceived" in json.loads(line) for line in out.read_text().splitlines())


def test_films_and_cameras_perceive_nobody_from_python_either(predictor: Predictor) -> None:
    for told in (follow(predictor, iter(())), watch(predictor, iter(()))):
        with pytest.raises(UsageError, match="does not go with films and cameras"):
            next(told)
