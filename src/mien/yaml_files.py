"""YAML as people write it: every slip with its line, no key twice, and ``1e-1`` is a number.

YAML keeps the last of two equal keys without a word, and its version 1.1, which Python's reader follows,
takes ``1e-1`` for text because it has no point. Both have cost people hours of training with settings
that were not theirs.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mien.errors import ConfigError
from mien.inputs import read_small

_EXPONENT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
_FLOAT = "tag:yaml.org,2002:float"
MOST_BYTES = 1 << 18  # of a configuration, which has some thousand: the reader takes a second for as many
_MOST_VALUES = 50_000  # once all references (*name) are written out
_DEEPEST = 50  # sections inside sections
_LONGEST_NUMBER = 100  # signs; 1:59:59:... is a number too, and takes time that grows with the square
_HALVES = re.compile("[\ud800-\udfff]")


class _DuplicateKey(yaml.YAMLError):
    def __init__(self, key: object, first: int, second: int) -> None:
        super().__init__(key)
        self.key, self.first, self.second = key, first, second


class _Beyond(yaml.YAMLError):
    """What no configuration has."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, node.start_mark.line + 1


class _Reader(yaml.SafeLoader):
    """The safe reader, which also refuses a key that stands twice in one section."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A section; checked before ``<<`` brings in keys of another one, which may be overridden."""
        self._refuse_twice(node)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number of a bearable length."""
        if len(node.value) > _LONGEST_NUMBER:
            raise _Beyond(f"a number of {len(node.value):,} signs", node)
        return int(super().construct_yaml_int(node))

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, Hashable):  # the base class says what is wrong with another
                if key in seen:
                    raise _DuplicateKey(key, seen[key], line)
                seen[key] = line


class _Writer(yaml.SafeDumper):
    """The safe writer, which puts text in quotes that :class:`_Reader` would take for a number."""


_Reader.add_constructor("tag:yaml.org,2002:int", _Reader.construct_yaml_int)
_Reader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
_Writer.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))


def read_yaml(path: Path | str, expected: str = "a YAML file") -> Any:
    """Read a YAML file.

    Args:
        path: The file, in UTF-8 (or UTF-16 with its mark).
        expected: What should stand there, for the messages.

    Returns:
        What it says; None if it says nothing.

    Raises:
        ConfigError: If it cannot be read, with the line.
    """
    content = read_small(path, expected, most=MOST_BYTES, error=ConfigError)
    return parse_yaml(_decoded(str(path), content), str(path), expected)


def parse_yaml(text: str, where: str, expected: str = "YAML") -> Any:
    """Read YAML from a text; arguments and errors as for :func:`read_yaml`."""
    try:
        reader = _Reader(text)  # the reader is a safe one
        node = reader.get_single_node()
        if node is None:
            return None
        _size(node, {}, 0)  # before a value is made of anything
        return reader.construct_document(node)
    except _Beyond as error:
        raise ConfigError(f"{where} line {error.line}", error.problem, expected) from None
    except _DuplicateKey as error:
        found = f"the key {error.key!r} stands twice, in line {error.first} and in line {error.second}"
        raise ConfigError(where, found, "each key once", "Keep one of them, or put both sections together.") from None
    except yaml.YAMLError as error:
        raise ConfigError(*_place(where, text, error), expected, _advice(text, error)) from error
    except (ValueError, OverflowError) as error:  # a date or a number that is none, such as 2024-13-45
        raise ConfigError(where, f"is not YAML ({error})", expected, "Put the value in quotes.") from error
    except RecursionError:
        raise ConfigError(where, "has too many sections inside each other", expected) from None


def _size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many values a node stands for once its references are written out; refuses what is beyond any use.

    Nine lines of nine references each to the line before stand for as many values as there are grains in a truck
    of sand, and take no room until somebody looks at them.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise _Beyond("a section that stands in itself", node)
        return known[id(node)]
    known[id(node)] = 0
    if depth > _DEEPEST:
        raise _Beyond(f"has more than {_DEEPEST} sections inside each other", node)
    n = 1
    if isinstance(node, yaml.ScalarNode):
        if _HALVES.search(node.value):
            raise _Beyond("half a character (a lone surrogate)", node)
    else:
        for inner in node.value:
            for part in inner if isinstance(inner, tuple) else (inner,):
                n += _size(part, known, depth + 1)
    if n > _MOST_VALUES:
        raise _Beyond(f"stands for more than {_MOST_VALUES:,} values", node)
    known[id(node)] = n
    return n


def dump_yaml(content: Any) -> str:
    """Plain content as YAML that :func:`parse_yaml` reads back as it was."""
    return str(yaml.dump(content, Dumper=_Writer, sort_keys=False, allow_unicode=True))


def _decoded(where: str, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        raise ConfigError(f"{where} line {line}", found, "text in UTF-8", "Save the file as UTF-8.") from error


def _place(where: str, text: str, error: yaml.YAMLError) -> tuple[str, str]:
    """File and line of an error, and what is wrong there."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is not None and problem:
        return f"{where} line {mark.line + 1}", f"is not YAML ({problem})"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        number = error.character if isinstance(error.character, int) else ord(error.character)
        return f"{where} line {line}", f"the character U+{number:04X} cannot stand in YAML"
    return where, "is not YAML"


def _advice(text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = text.split("\n")
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return "YAML indents with blanks, not with tabs."
    if "\0" in text[:8]:
        return "Save the file as UTF-8."
    return ""
