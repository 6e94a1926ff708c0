"""What every catalogue must do, whatever is in it."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from mien.cli.listing import _catalogues
from mien.errors import ConfigError
from mien.registry import options_of

Share = Annotated[float, Field(ge=0, lt=1)]
NOTHING = ", or nothing (null)"
CATALOGUES = _catalogues()
ENTRIES = [(kind, name) for kind, registry in CATALOGUES.items() for name in registry]


@pytest.mark.parametrize("kind", CATALOGUES)
def test_every_file_is_read_where_all_extras_are(kind: str) -> None:
    # A slip in the name of a package would hide a file, as its absence does.
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs the extra 'train'")
    assert CATALOGUES[kind].missing == {}
    assert len(CATALOGUES[kind].names()) > 0


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_unknown_options_and_those_of_the_caller_are_refused(kind: str, name: str) -> None:
    registry = CATALOGUES[kind]
    registry.check_options(name, registry.tiny(name))
    for option in ("surely_no_option", *registry.given):
        with pytest.raises(ConfigError, match=f"{name}' has no such option"):
            registry.check_options(name, {option: 1})


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_defaults_are_values_that_may_be_given(kind: str, name: str) -> None:
    registry = CATALOGUES[kind]
    about = inspect.signature(registry.get(name)).parameters.values()
    defaults = {p.name: p.default for p in about if p.default is not p.empty and p.name not in registry.given}
    read = registry.check_options(name, defaults)
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in read.items()} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()
    }


def test_a_name_means_one_thing_in_a_catalogue_and_reads_as_one_word() -> None:
    for kind, name in ENTRIES:
        assert name == name.lower(), (kind, name)
        assert name.replace("_", "").isalnum(), (kind, name)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_option_says_what_it_may_be(kind: str, name: str) -> None:
    unread = without_kind(CATALOGUES[kind].get(name), CATALOGUES[kind].given)
    assert not unread, f"{kind} {name}: an annotation, such as Annotated[int, Field(ge=1)], for {', '.join(unread)}"


def without_kind(entry: Callable[..., Any], given: Sequence[str]) -> list[str]:
    """Options of which 'mien list' could only say 'a value'."""
    return [o.name for o in options_of(entry, given) if o.wants.removesuffix(NOTHING) == "a value"]


def test_an_option_without_annotation_is_found() -> None:
    def entry(x: int, *, width=32, depth: Any = 1, kind: Literal["a", "b"] = "a", share: Share = 0.5) -> None:  # type: ignore[no-untyped-def]
        """An entry."""

    assert without_kind(entry, ["x"]) == ["width", "depth"]


# Readers of corpora look themselves at the size and colour that a user asks for.
@pytest.mark.parametrize(("kind", "name"), [e for e in ENTRIES if e[0] != "datasets" or e[1] == "synthetic"])
def test_every_number_has_bounds(kind: str, name: str) -> None:
    # What a list of numbers may hold (mean and deviation of an ONNX file's input) is for the component to say.
    registry = CATALOGUES[kind]
    for option in options_of(registry.get(name), registry.given):
        wanted = option.wants.removesuffix(NOTHING)
        assert wanted not in ("a whole number", "a number"), option.name
