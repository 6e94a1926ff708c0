"""Cards and weights that are not what Mien wrote: one sentence with file and key, in little memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mien.errors import WeightsError
from mien.models import MODELS
from mien.models.weights import CARD, WEIGHTS, Classifier, WeightCard, load_card, save_weights
from mien.own_files import sha256_of

OPTIONS = MODELS.tiny("mienet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    card = WeightCard(
        model="mienet", options=OPTIONS, classes=("sad", "happy"), size=48, in_channels=1, mean=(0.5,), std=(0.25,)
    )
    save_weights(MODELS.get("mienet")(2, 1, **OPTIONS), card, tmp_path)
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    content = json.loads((folder / CARD).read_text())
    content.pop("checksums", None)  # as an older version wrote it
    (folder / CARD).write_text(json.dumps(content | values))


def renew_checksum(folder: Path) -> None:
    change(folder, sha256=sha256_of(folder / WEIGHTS))


def test_what_was_written_loads(folder: Path) -> None:
    assert Classifier.load(folder).card.classes == ("sad", "happy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": "happy"}, r"classes: 'happy', expected a valid array"),
        ({"classes": ["sad", "sad"]}, r"classes: \['sad', 'sad'\], expected each class once"),
        ({"classes": []}, r"classes: \[\], expected each class once, and at least one"),
        ({"classes": ["sad", 5]}, r"classes\.1: 5, expected a valid string"),
        ({"size": "48"}, r"size: '48', expected a valid integer"),
        ({"size": 0}, r"size: 0, expected 1 to 4096 pixels"),
        ({"size": 10**12}, r"size: 1000000000000, expected 1 to 4096"),
        ({"size": True}, r"size: true"),
        ({"in_channels": 2}, r"in_channels: 2, expected 1 or 3"),
        ({"std": 0}, r"std: \[0\.0\], expected a number above 0 a channel"),
        ({"std": [0.2, 0.2]}, r"std: \[0\.2, 0\.2\], expected a number above 0 a channel"),
        ({"mean": [0.2, 0.2, 0.2]}, r"mean: .*expected a number a channel"),
        ({"mean": "half"}, r"mean: 'half'"),
        ({"store_size": -1}, r"store_size: -1, expected 1 to 4096 pixels, or 0"),
        ({"resampling": ["lanczos"]}, r"resampling"),
        ({"resampling": ["bilinear", "lanczos"]}, r"resampling: .*, then bilinear or bicubic"),
        ({"mean": None}, r"mean: nothing"),
        ({"options": [1]}, r"options: \[1\]"),
        ({"heads": {"age": "old"}}, r"heads\.age: 'old'"),
        ({"heads": {"age": ["old"]}}, r"heads: .*expected the groups that the classes name"),
        ({"colour": "red"}, r"colour: unknown key"),
        ({"model": "mienett"}, r"mienett.*mienet"),
        ({"model": 3}, r"model: 3"),
        ({"options": OPTIONS | {"stem": 10**9}}, r"options: add up to .*10,000 channels, units and blocks at most"),
        ({"options": OPTIONS | {"depths": [1, 9_000]}}, r"options\.depths\[1\]: 9000, expected .* from 1 to 100"),
        ({"options": {"widths": [8] * 11, "depths": [1] * 10}}, r"options\.widths: .*expected a list of 1 to 10 whole"),
        ({"options": OPTIONS | {"stem": "1" * 30}}, r"options: have a number beyond all bounds"),
        ({"options": OPTIONS | {"stem": -4}}, r"options\.stem"),
        ({"options": OPTIONS | {"stem": "a lot"}}, r"options\.stem"),
        ({"options": OPTIONS | {"turbo": 1}}, r"options\.turbo: model 'mienet' has no such option"),
        ({"options": OPTIONS | {"depths": [1]}}, r"options: make no mienet \(widths has 2 stages and depths has 1\)"),
        ({"options": OPTIONS | {"num_classes": 3}}, r"options\.num_classes"),
    ],
)
def test_a_card_that_says_something_else_is_refused_with_its_key(
    folder: Path, values: dict[str, Any], message: str
) -> None:
    change(folder, **values)
    with pytest.raises(WeightsError, match=rf"model\.json: .*{message}") as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: is no whole JSON"),
        (b"[1]", "holds a list"),
        (b"null", "holds nothing"),
        (b"{" * 20_000, "is no whole JSON"),
        (b'{"a":' * 20_000, "too many values inside each other"),
        (b'{"size": 1, "size": 2}', "the key 'size' stands twice"),
        (b'{"size": NaN}', "holds NaN, which is no number"),
        (b'{"size": 1e999}', "holds the number 1e999, which is beyond all bounds"),
        (b'{"size": ' + b"9" * 5000 + b"}", "holds a number of 5000 digits"),
        (b'{"model": "caf\xe9"}', "the byte 0xe9 is not UTF-8"),
        (b'{"model": "\\ud800"}', "half a character"),
        (b'{"model": "a"}', "options: is missing"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\0\0\0", "is no whole JSON"),
    ],
)
def test_a_card_that_is_none_is_one_sentence(folder: Path, content: bytes, message: str) -> None:
    (folder / CARD).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"model\.json.*{message}.*expected") as caught:
        load_card(folder)
    assert "\n" not in str(caught.value)


def with_header(header: bytes, length: int | None = None, data: int = 8) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        with_header(b"{}", 2**63),
        with_header(b"{}", 90_000_000),
        with_header(b"[" * 50_000),
        with_header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        with_header(b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}'),
        with_header(b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}'),
        b"\x80\x04cos\nsystem\n",
    ],
)
def test_weights_that_are_none_are_one_sentence(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors: checksum"):
        Classifier.load(folder)
    renew_checksum(folder)
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read \(") as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("head.1.weight", None, r"head\.1\.weight is missing, expected of shape \(2, 32\)"),
        ("head.1.weight", torch.zeros(3, 32), r"head\.1\.weight is of shape \(3, 32\), expected of shape \(2, 32\)"),
        ("head.1.weight", torch.zeros(64), r"head\.1\.weight is of shape \(64,\)"),
        ("other", torch.zeros(3), r"other is of shape \(3,\), expected no such tensor"),
    ],
)
def test_weights_of_another_shape_are_refused_with_the_tensor(
    folder: Path, name: str, tensor: torch.Tensor | None, message: str
) -> None:
    state = load_file(folder / WEIGHTS)
    state.pop(name, None)
    save_file(state if tensor is None else {**state, name: tensor}, folder / WEIGHTS)
    renew_checksum(folder)
    with pytest.raises(WeightsError, match=rf"model\.safetensors: {message}.*do not fit mienet") as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [{"mean": 0.4}, {"classes": ["happy", "sad"]}, {"terms": "free"}, {"results": {}}])
def test_a_card_that_was_changed_is_refused(folder: Path, values: dict[str, Any]) -> None:
    content = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(content))
    load_card(folder)  # laid out in another way it is the same
    (folder / CARD).write_text(json.dumps(content | {"terms": "to whoever asks"} | values))
    with pytest.raises(WeightsError, match=r"model\.json: is not what was written \(checksum"):
        load_card(folder)
