"""``mien list``: every catalogue as a table, and of every entry what it can be told."""

from __future__ import annotations

import pytest

from mien.cli.listing import _catalogues, list_
from mien.config import explain_config, parse_config
from mien.errors import ConfigError, UsageError
from mien.registry import options_of

ENTRIES = [(kind, name) for kind, registry in _catalogues().items() for name in registry]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    list_(*words)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("kind", _catalogues())
def test_a_catalogue_is_a_table_of_one_line_each(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    title, *rows = printed(capsys, kind)
    assert title == f"{kind}:"
    registry = _catalogues()[kind]
    # What needs a package that is not installed here is listed with what it needs.
    assert sorted(row.split()[0] for row in rows) == sorted([*registry.names(), *registry.hidden()])
    assert all(len(row.split(maxsplit=1)) == 2 for row in rows)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_says_what_each_of_its_options_is(kind: str, name: str) -> None:
    registry = _catalogues()[kind]
    assert registry.summary(name)
    silent = [o.name for o in options_of(registry.get(name), registry.given) if not o.about]
    assert not silent, f"{kind} {name}: the docstring says nothing of {', '.join(silent)}"


def test_an_entry_is_told_with_its_source_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(printed(capsys, "mitigations", "reweighting"))
    assert "Kamiran and Calders 2012" in text
    assert "  exponent: a number from 0 to 1; by default 1.0\n" in text
    assert "faces:" not in text
    assert "  weights: text or a path; must be given" in printed(capsys, "annotators", "fairface")
    assert printed(capsys, "mitigations", "none")[-1] == "It takes no options."


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mienet'"):
        list_("models", "minet")
    with pytest.raises(UsageError, match="mien list config"):
        list_("config", "model")


def test_the_configuration_names_where_options_are_seen() -> None:
    text = explain_config(parse_config({"data": {"store": "s"}, "labels": {"evaluate": "majority"}}))
    for kind in ("models", "losses", "splits", "mitigations", "labels"):
        assert f"options: {{}}  # See: mien list {kind} NAME" in text


def test_a_network_names_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    list_("models", "resnet18")
    assert "parts, for model.freeze: stem, layer1, layer2, layer3, layer4" in capsys.readouterr().out
    list_("models", "mienet")
    assert "parts, for model.freeze: " in capsys.readouterr().out
    list_("models", "conditioned")  # which needs options
    assert "attributes" in capsys.readouterr().out.splitlines()[-1]
