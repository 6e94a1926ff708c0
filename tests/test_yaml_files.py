"""YAML as people write it: no key twice, numbers as numbers, and every slip with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mien.errors import ConfigError
from mien.yaml_files import dump_yaml, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("train: {epochs: 3}\nname: x\ntrain: {batch_size: 64}\n", "'train' stands twice, in line 1 and in line 3"),
        ("train:\n  epochs: 3\n  epochs: 5\n", "'epochs' stands twice, in line 2 and in line 3"),
        ("a: [{b: 1,\n  b: 2}]", "'b' stands twice, in line 1 and in line 2"),
        ("a: {b: {c: {d: 1, d: 2}}}", "'d' stands twice, in line 1 and in line 1"),
        ('a: 1\n"a": 2', "'a' stands twice"),
        ("yes: 1\ntrue: 2", "stands twice"),
        ("a: &k {b: 1, b: 2}\nc: *k", "'b' stands twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(text: str, lines: str) -> None:
    with pytest.raises(ConfigError, match=rf"^c\.yaml: the key .*{lines}"):
        parse_yaml(text, "c.yaml")


def test_a_key_may_replace_one_that_a_merge_brings_in() -> None:
    assert parse_yaml("a: &k {b: 1, d: 3}\nc:\n  <<: *k\n  b: 2", "c")["c"] == {"b": 2, "d": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-1", 0.1), ("1E5", 1e5), ("-3.e+2", -300.0), (".5e3", 500.0), ("5e-2", 0.05), ("'1e-1'", "1e-1"), ("1e", "1e")]
    + [("e5", "e5"), ("1e-x", "1e-x"), ("0.1", 0.1), ("7", 7), ("yes", True)],
)
def test_numbers_with_an_exponent_are_numbers(text: str, value: Any) -> None:
    found = parse_yaml(f"a: {text}", "c")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: caf\xe9\n", r"line 1: the byte 0xe9 is not UTF-8.*Save the file as UTF-8"),
        (b"a: 1\r\nb: \xff\r\n", "line 2: the byte 0xff is not UTF-8"),
        (b"a:\n\tb: 1\n", "line 2: is not YAML.*with blanks, not with tabs"),
        (b"\ta: 1\n", "line 1: is not YAML.*with blanks, not with tabs"),
        (b"a: b: c\n", "line 1: is not YAML"),
        (b"x: 1\na: [1\n", "line 3: is not YAML"),
        (b"a: 1\n---\nb: 2\n", "line 2: is not YAML .*another document"),
        (b"a: 1\nb: \x00\n", r"line 2: the character U\+0000 cannot stand in YAML"),
        (b"a: !!python/object:os.system x\n", "line 1: is not YAML .*constructor"),
        (b"? [1]\n: 2\n", "line 1: is not YAML .*unhashable"),
        (b"a: 2024-13-45\n", "is not YAML .*month must be.*in quotes"),
        (b"{" * 5000, "too many sections"),
        (b"x: 1\na: " + b"[" * 60 + b"]" * 60, "line 2: has more than 50 sections inside each other"),
        (b"a: &a [*a]\n", "line 1: a section that stands in itself"),
        (b"x: 1\na: &a\n  b: *a\n", "line 2: a section that stands in itself"),
        (b"a: &a\n  <<: *a\n", "line 1: a section that stands in itself"),
        (b"seed: " + b"9" * 5000, "line 1: a number of 5,000 signs"),
        (b"a: 1\nseed: 0x" + b"f" * 5000, "line 2: a number of 5,002 signs"),
        (b"seed: " + b":".join([b"59"] * 50_000), "line 1: a number of 149,999 signs"),
        (b'x: 1\nname: "\\ud800"\n', r"line 2: half a character"),
        ("a: 1\n".encode("utf-16-le"), r"line 1: the character U\+0000 cannot stand in YAML.*Save the file as UTF-8"),
        ("a: 1\n".encode("utf-32"), r"line 1: the character U\+0000 cannot stand in YAML.*Save the file as UTF-8"),
        (b"\xff\xfea", "line 1: the byte 0x61 is not UTF-8"),
        ("name: Zürich\n".encode("cp1252"), "line 1: the byte 0xfc is not UTF-8.*Save the file as UTF-8"),
        (b"a" * 300_000, "has 300,000 bytes, expected a configuration of at most 262,144 bytes"),
        (b"a: !!binary '****'\nb: !!python/name:os.system\n", "is not YAML"),
    ],
)
def test_every_slip_is_one_sentence_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"c\.yaml.*{message}") as caught:
        read_yaml(tmp_path / "c.yaml", "a configuration")
    assert "\n" not in str(caught.value)


def laughs(first: str, each: str) -> bytes:
    """Nine references to the line before, seven times: nine lines for 43 million values."""
    lines = [f"a0: &a0 {first}", *(f"a{i}: &a{i} {each.format(','.join([f'*a{i - 1}'] * 9))}" for i in range(1, 9))]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("content", [laughs("[ha]", "[{}]"), laughs("{k: ha}", "{{<<: [{}]}}")])
def test_references_to_references_are_counted_before_they_are_written_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.yaml line \d: stands for more than 50,000 values"):
        read_yaml(tmp_path / "c.yaml")


def test_references_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: &a [1, 2]\nb: *a\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "c.yaml") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "c.yaml").write_bytes("name: Zürich\r\n".encode(encoding))
    assert read_yaml(tmp_path / "c.yaml") == {"name": "Zürich"}


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match=r"cannot be read \(.*\), expected a YAML file"):
            read_yaml(path)
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe.yaml", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(ConfigError, match=f"is {kind}, expected a YAML file"):
            read_yaml(path)


def test_what_is_written_reads_back_as_it_was() -> None:
    content = {"a": "1e-1", "b": 0.1, "c": 1e-7, "d": "yes", "e": [1, None], "f": "Zürich", "g": "5"}
    assert parse_yaml(dump_yaml(content), "c") == content
