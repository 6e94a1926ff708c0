"""ONNX files that name other files: only those beside them are opened, whatever the runtime's version."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.adapters.external_data import _FIELDS, check_external_data, external_locations
from mien.adapters.onnx import onnx_model
from mien.errors import MienError, WeightsError

onnx = pytest.importorskip("onnx")
CLASSES = ("happy", "sad")


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def part(number: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(location: str, name: str = "w") -> Any:
    out = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[64, 2])
    out.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(64 * 2 * 4))):
        out.external_data.add(key=key, value=value)
    return out


def model(path: Path, *initializers: Any, nodes: tuple[Any, ...] = ()) -> Path:
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"]), *nodes],
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        initializers or [onnx.numpy_helper.from_array(np.ones((64, 2), np.float32), "w")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret.bin").write_bytes(np.ones(128, np.float32).tobytes())
    return tmp_path / "secret.bin"


@pytest.mark.parametrize("location", ["w.bin", "data/w.bin", "./w.bin", "data/./w.bin", "Wörter.bin"])
def test_weights_beside_the_model_are_read(tmp_path: Path, location: str) -> None:
    path = model(tmp_path / "m" / "m.onnx", tensor(location))
    (path.parent / location).parent.mkdir(exist_ok=True)
    (path.parent / location).write_bytes(np.ones(128, np.float32).tobytes())
    assert external_locations(path) == [location.encode()]
    onnx_model(path, classes=CLASSES, logits=True).predict(np.zeros((2, 8, 8, 1), np.uint8))


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "data/../../secret.bin",
        "data/../w.bin",
        "..\\secret.bin",
        "C:\\secret.bin",
        "c:secret.bin",
        "\\\\server\\secret.bin",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "*/_ORT_MEM_ADDR_/*",
        "link",
        "folder/secret.bin",
        "nul\0.bin",
        "",
    ],
)
def test_weights_elsewhere_are_refused_before_anything_is_opened(tmp_path: Path, secret: Path, location: str) -> None:
    path = model(tmp_path / "m" / "m.onnx", tensor(location))
    (path.parent / "data").mkdir()
    (path.parent / "link").symlink_to(secret)
    (path.parent / "folder").symlink_to(tmp_path)
    with pytest.raises(WeightsError, match=r"m\.onnx: .*|m: is a folder") as caught:
        onnx_model(path, classes=CLASSES)
    if location:
        assert "outside of its folder" in str(caught.value)
        assert "\0" not in str(caught.value)


def test_weights_in_a_pipe_or_missing_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", tensor("w.bin"))
    with pytest.raises(WeightsError, match=r"m\.onnx: keeps weights in 'w\.bin', which is missing"):
        onnx_model(path, classes=CLASSES)
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(WeightsError, match=r"w\.bin: is a pipe"):
        onnx_model(path, classes=CLASSES)


def test_a_cache_of_links_may_keep_both_elsewhere(tmp_path: Path) -> None:
    model(tmp_path / "blobs" / "1a", tensor("w.bin"))
    (tmp_path / "blobs" / "2b").write_bytes(np.ones(128, np.float32).tobytes())
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "m.onnx").symlink_to(tmp_path / "blobs" / "1a")
    (tmp_path / "snapshot" / "w.bin").symlink_to(tmp_path / "blobs" / "2b")
    check_external_data(tmp_path / "snapshot" / "m.onnx")


def bad() -> Any:
    return tensor("../secret.bin", "bad")


def attribute(**content: Any) -> Any:
    out = onnx.AttributeProto(name="a")
    for key, value in content.items():
        field = getattr(out, key)
        field.extend([value]) if key in ("tensors", "graphs", "sparse_tensors") else field.CopyFrom(value)
    return out


def places() -> dict[str, Any]:
    """A model with the tensor in each place where one may stand."""
    graph = onnx.GraphProto(initializer=[bad()])
    sparse = onnx.SparseTensorProto(values=bad())
    attributes = {
        "t": attribute(t=bad()),
        "tensors": attribute(tensors=bad()),
        "g": attribute(g=graph),
        "graphs": attribute(graphs=graph),
        "sparse_tensor": attribute(sparse_tensor=sparse),
        "sparse_tensors": attribute(sparse_tensors=onnx.SparseTensorProto(indices=bad())),
    }
    found = {
        name: onnx.ModelProto(graph=onnx.GraphProto(node=[onnx.NodeProto(attribute=[a])]))
        for name, a in attributes.items()
    }
    node = onnx.NodeProto(attribute=[attributes["g"]])
    found["initializer"] = onnx.ModelProto(graph=graph)
    found["sparse_initializer"] = onnx.ModelProto(graph=onnx.GraphProto(sparse_initializer=[sparse]))
    found["function"] = onnx.ModelProto(graph=onnx.GraphProto(), functions=[onnx.FunctionProto(node=[node])])
    found["default"] = onnx.ModelProto(
        graph=onnx.GraphProto(), functions=[onnx.FunctionProto(attribute_proto=[attributes["t"]])]
    )
    for name in ("initialization", "algorithm"):
        training = onnx.TrainingInfoProto(**{name: graph})
        found[name] = onnx.ModelProto(graph=onnx.GraphProto(), training_info=[training])
    return found


@pytest.mark.parametrize("place", places())
def test_a_tensor_is_found_wherever_one_may_stand(tmp_path: Path, place: str) -> None:
    (tmp_path / "m.onnx").write_bytes(places()[place].SerializeToString())
    assert external_locations(tmp_path / "m.onnx") == [b"../secret.bin"]


def test_every_way_to_a_tensor_in_the_format_is_walked() -> None:
    """Against the format's own description, so that a new place for tensors is not forgotten."""
    names = {
        "model": onnx.ModelProto,
        "training": onnx.TrainingInfoProto,
        "function": onnx.FunctionProto,
        "graph": onnx.GraphProto,
        "node": onnx.NodeProto,
        "attribute": onnx.AttributeProto,
        "sparse": onnx.SparseTensorProto,
        "tensor": onnx.TensorProto,
        "entry": onnx.StringStringEntryProto,
    }
    called = {kind.DESCRIPTOR.full_name: name for name, kind in names.items()}
    for name, kind in names.items():
        ways = {f.number: called.get(f.message_type.full_name) for f in kind.DESCRIPTOR.fields if f.message_type}
        known = {n: m for n, m in ways.items() if m is not None and (m != "entry" or name == "tensor")}
        if name == "tensor":
            known = {n: m for n, m in known.items() if kind.DESCRIPTOR.fields_by_number[n].name == "external_data"}
        assert known == _FIELDS.get(name, {})


def test_what_is_written_twice_or_in_pieces_is_found(tmp_path: Path) -> None:
    entry = part(1, b"offset") + part(2, b"w.bin") + part(1, b"location") + part(2, b"../secret.bin")
    two_graphs = part(7, b"") + part(7, part(5, part(13, entry)))
    (tmp_path / "m.onnx").write_bytes(two_graphs)
    assert set(external_locations(tmp_path / "m.onnx")) == {b"w.bin", b"../secret.bin"}
    overlong = b"\xba\x80\x00" + varint(len(part(5, part(13, entry)))) + part(5, part(13, entry))  # 7, in three bytes
    (tmp_path / "m.onnx").write_bytes(overlong)
    assert b"../secret.bin" in external_locations(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x3a", "ends in the middle of a number"),
        (b"\x3a\xff", "ends in the middle of a number"),
        (b"\x3a" + b"\xff" * 12, "a number without end"),
        (b"\x3a\x05ab", "do not fit each other"),
        (b"\x3b\x3c", "do not fit each other"),
        (b"\x00\x00", "do not fit each other"),
        (b"\x08\x07", "holds no graph"),
        (b"hello, world", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "cannot be read"),
        (b"\x18\0\0\0ORTM" + bytes(50), "in the format of onnxruntime"),
    ],
)
def test_what_is_no_model_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"m\.onnx: cannot be read \(.*{message}|{message}"):
        onnx_model(tmp_path / "m.onnx", classes=CLASSES)


def test_a_file_of_nothing_but_parts_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.adapters.external_data._MOST_FIELDS", 10_000)
    (tmp_path / "m.onnx").write_bytes(part(7, part(1, b"") * 20_000))
    with pytest.raises(WeightsError, match="more than 10,000 parts"):
        check_external_data(tmp_path / "m.onnx")


def test_changed_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    good = model(tmp_path / "good.onnx").read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        content = bytearray(good[: rng.choice([len(good), rng.randrange(len(good))])])
        for _ in range(rng.randrange(1, 6)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "m.onnx").write_bytes(bytes(content))
        with suppress(MienError):
            onnx_model(tmp_path / "m.onnx", classes=CLASSES, logits=True).predict(np.zeros((2, 8, 8, 1), np.uint8))


def test_a_model_that_fails_on_its_input_is_one_sentence(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", onnx.numpy_helper.from_array(np.ones((63, 2), np.float32), "w"))
    with pytest.raises(WeightsError, match=r"m\.onnx: cannot be r.*") as caught:
        onnx_model(path, classes=CLASSES).predict(np.zeros((2, 8, 8, 1), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ('{"classes": "happy"}', r"m\.json: classes: 'happy', expected a valid array"),
        ('{"classes": ["a"], "size": "48"}', r"m\.json: size: '48', expected a valid integer"),
        ('{"classes": ["a"], "mean": ["x"]}', r"m\.json: mean.*: \['x'\]|'x', expected"),
        ('{"classes": ["a"], "logits": 1}', r"m\.json: logits: 1, expected a valid boolean"),
        ('{"classes": ["a"], "size": 1, "size": 2}', r"m\.json: the key 'size' stands twice"),
        ("[1]", r"m\.json: holds a list"),
        ("{" * 9999, r"m\.json"),
        ('{"classes": ["a", "b"], "size": 100000000}', r"m\.onnx size: 100000000, expected 1 to 4096 pixels"),
        ('{"classes": ["a", "b"], "std": 0}', r"m\.onnx std: \[0\.0\], expected numbers other than 0"),
        ('{"classes": ["a", "b"], "scale": 0}', r"m\.onnx scale: \[0\.0\], expected numbers other than 0"),
    ],
)
def test_a_card_of_the_wrong_kind_is_refused_with_its_key(tmp_path: Path, card: str, message: str) -> None:
    path = model(tmp_path / "m.onnx")
    (tmp_path / "m.json").write_text(card)
    with pytest.raises(MienError, match=message):
        onnx_model(path)
