from __future__ import annotations

import sys

import pytest

from mien.errors import ConfigError, MissingExtra
from mien.registry import Registry, nearest


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Makes a package whose files register entries, and a registry over it."""
    made = []

    def make(name, files, extra=None):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(
            f"from mien.registry import Registry\nTHINGS = Registry('thing', {name!r}, {extra!r})\n"
        )
        for file, code in files.items():
            (package / f"{file}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        made.append(name)
        return __import__(name).THINGS

    yield make
    for module in [m for m in sys.modules if m.split(".")[0] in made]:
        del sys.modules[module]


ROUND = """
from round_things import THINGS
@THINGS.register("circle", tiny={"radius": 1})
def circle(centre, *, radius=10, colour="red"):
    '''A round thing.

    With more to say.
    '''
    return centre, radius, colour
"""
SQUARE = """
from round_things import THINGS
@THINGS.register("box")
def box():
    return "box"
"""


@pytest.fixture
def things(catalogue):
    return catalogue("round_things", {"round": ROUND, "square": SQUARE})


def test_the_files_of_the_folder_are_found_on_the_first_look_up(things):
    assert "round_things.round" not in sys.modules
    assert things.names() == ["box", "circle"]
    assert "round_things.round" in sys.modules
    assert list(things) == ["box", "circle"]
    assert "circle" in things
    assert "cube" not in things


def test_get_returns_the_callable_itself(things):
    assert things.get("circle")((0, 0), radius=2) == ((0, 0), 2, "red")


def test_a_misspelt_name_is_answered_with_the_nearest(things):
    with pytest.raises(ConfigError, match=r"^model\.name: unknown thing 'cirle'\. Did you mean 'circle'\?$"):
        things.get("cirle", "model.name")
    with pytest.raises(ConfigError, match=r"^thing: unknown thing 'zzz'\. Known: box, circle\.$"):
        things.get("zzz")


def test_options_are_checked_against_the_signature(things):
    things.check_options("circle", {"radius": 3, "colour": "blue"}, skip=("centre",))
    with pytest.raises(ConfigError, match=r"^model\.options\.radios: thing 'circle' has no such option.*'radius'\?"):
        things.check_options("circle", {"radius": 1, "radios": 3}, "model.options")
    with pytest.raises(ConfigError, match="^centre: thing 'circle' has no such option"):
        things.check_options("circle", {"centre": 3}, skip=("centre",))
    with pytest.raises(ConfigError, match="It takes none"):
        things.check_options("box", {"radius": 3})


def test_tiny_options_are_a_copy_and_the_summary_is_one_line(things):
    things.tiny("circle")["radius"] = 99
    assert things.tiny("circle") == {"radius": 1}
    assert things.tiny("box") == {}
    assert things.summary("circle") == "A round thing."
    assert things.summary("box") == ""


def test_one_name_cannot_stand_for_two_things():
    registry = Registry("thing", "mien")
    registry.register("same")(len)
    with pytest.raises(ValueError, match="thing 'same' is registered twice"):
        registry.register("same")(max)


def test_a_missing_package_names_the_extra_and_a_missing_module_of_ours_does_not(catalogue):
    needs = catalogue("needy_things", {"a": "import surely_not_installed_1"}, extra="train")
    with pytest.raises(MissingExtra, match=r"'surely_not_installed_1' is not installed.*mien\[train\]"):
        needs.names()
    own = catalogue("broken_things", {"a": "import mien.surely_not_there"}, extra="train")
    with pytest.raises(ModuleNotFoundError, match=r"mien\.surely_not_there"):
        own.names()


def test_nearest_lists_everything_where_nothing_is_near():
    assert nearest("angr", ["angry", "sad"]) == "Did you mean 'angry'?"
    assert nearest("xyz", ["angry", "sad"]) == "Known: angry, sad."
