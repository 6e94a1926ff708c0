"""Sample faces: which ones, how they look, and where they may not be shown."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report_simulation import make_predictions, make_store

from mien.errors import DataError
from mien.report import sample_faces
from mien.report.montage import MAX_FACES, face_uri, pick_faces, rows_in_store


def decode(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_picks_are_right_and_wrong_and_confident_ones_come_first(pred):
    confidence = pred.probs.max(1)
    for c, picks in enumerate(pick_faces(pred, 4, 6, seed=1)):
        assert (pred.labels[picks.right] == c).all()
        assert (pred.predicted[picks.right] == c).all()
        assert (pred.labels[picks.wrong] == c).all()
        assert (pred.predicted[picks.wrong] != c).all()
        assert len(set(picks.wrong)) == len(picks.wrong)
        wrong = (pred.labels == c) & (pred.predicted != c)
        if wrong.any():
            assert confidence[picks.wrong[0]] == confidence[wrong].max()


def test_picks_follow_the_seed(pred):
    def flat(seed):
        return [i for p in pick_faces(pred, seed=seed) for i in (*p.right, *p.wrong)]

    assert flat(0) == flat(0) != flat(1)


def test_picks_without_probabilities_and_without_mistakes(pred):
    perfect = replace(pred, probs=None, predicted=pred.labels)
    picks = pick_faces(perfect)
    assert all(len(p.wrong) == 0 for p in picks)
    assert picks[-1].n_right == 0


@pytest.mark.parametrize("shape", [(48, 48), (48, 48, 1), (112, 96, 3)])
def test_faces_are_small_png(shape):
    picture = decode(face_uri(np.full(shape, 90, dtype=np.uint8)))
    assert max(picture.size) == 72
    assert picture.format == "PNG"


def test_captions(pred, store):
    face = sample_faces(pred, store)[0].wrong[0]
    assert face.caption == f"labelled {face.labelled}, predicted {face.predicted} {face.confidence:.2f}"
    assert replace(face, confidence=float("nan")).caption.endswith(face.predicted)


def test_number_of_faces_is_bounded(tmp_path):
    pred = make_predictions(900, tuple(f"c{i}" for i in range(40)), absent=False)
    shown = sample_faces(pred, make_store(tmp_path / "s", 900))
    assert 0 < sum(len(c.right) + len(c.wrong) for c in shown) <= MAX_FACES


def test_faces_of_another_store_are_refused(pred, store, tmp_path):
    with pytest.raises(DataError, match="does not hold these faces"):
        sample_faces(pred, make_store(tmp_path / "s", 10))
    shifted = replace(pred, image=pred.image + 1)
    assert rows_in_store(shifted, store) is None
    assert (rows_in_store(pred, store) == pred.image).all()
