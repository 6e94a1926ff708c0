from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import Field

from mien.docstrings import prose
from mien.errors import ConfigError, MissingExtra
from mien.registry import Option, Registry, extra_of, nearest, options_of, read_options


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Makes a package whose files register entries, and a registry over it."""
    made = []

    def make(name, files, extra=None, given=()):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(
            f"from mien.registry import Registry\nTHINGS = Registry('thing', {name!r}, {extra!r}, {given!r})\n"
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
    return catalogue("round_things", {"round": ROUND, "square": SQUARE}, given=("centre",))


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
    things.check_options("circle", {"radius": 3, "colour": "blue"})
    with pytest.raises(ConfigError, match=r"^model\.options\.radios: thing 'circle' has no such option.*'radius'\?"):
        things.check_options("circle", {"radius": 1, "radios": 3}, "model.options")
    with pytest.raises(ConfigError, match="^centre: thing 'circle' has no such option"):
        things.check_options("circle", {"centre": 3})
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


NEEDY = """
from {name} import THINGS
@THINGS.register("early")
def early(): ...
import surely_not_installed_1.part
@THINGS.register("late", tiny={{}})
def late(): ...
NAMED = "named"
@THINGS.register(NAMED)
def named(): ...
"""


def test_a_file_without_its_package_hides_itself_alone(catalogue):
    things = catalogue(
        "needy_things", {"a": NEEDY.format(name="needy_things"), "b": SQUARE.replace("round_", "needy_")}, "train"
    )
    assert things.names() == ["box"]
    assert "late" not in things
    assert list(things.missing) == ["a"]
    assert set(things.hidden()) == {"early", "late", "named"}
    for name in ("early", "late", "named"):
        with pytest.raises(MissingExtra, match=rf"^thing '{name}': .*'surely_not_installed_1' is not.*mien\[train\]"):
            things.get(name)
    with pytest.raises(MissingExtra, match=r"^model\.name: thing 'late'"):
        things.get("late", "model.name")
    with pytest.raises(ConfigError, match=r"Did you mean 'late'\?"):
        things.get("lates")


def test_a_package_of_no_extra_is_installed_by_itself(catalogue):
    things = catalogue("lone_things", {"a": NEEDY.format(name="lone_things")})
    with pytest.raises(
        MissingExtra, match=r"expected that package\. Install it with: pip install surely_not_installed_1"
    ):
        things.get("late")


def test_a_name_that_may_lie_in_an_unread_file_is_said_to(catalogue):
    family = "from family_things import THINGS\nimport surely_not_installed_2\n"
    family += "for name in ('x', 'y'):\n    THINGS.register(name)(lambda: None)\n"
    things = catalogue("family_things", {"family": family, "box": SQUARE.replace("round_", "family_")})
    with pytest.raises(
        ConfigError, match=r"Known: box\. It may also lie in .*: family needs the package 'surely_not_i"
    ):
        things.get("x")


@pytest.mark.parametrize("code", ["import mien.surely_not_there", "import broken_things.nor_this", "1 / 0"])
def test_a_broken_file_of_ours_is_raised(catalogue, code):
    things = catalogue("broken_things", {"a": code}, extra="train")
    for _ in range(2):
        with pytest.raises((ModuleNotFoundError, ZeroDivisionError)):
            things.names()


def test_a_file_that_is_no_python_is_named_with_its_line(catalogue):
    things = catalogue("misspelt_things", {"a": "x = 1\nimport ("})
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"a\.py line 2: is no Python .*expected the file of a thing"):
            things.names()


def test_extras_are_those_of_the_install():
    assert extra_of("torch") == extra_of("torch.nn") == "train"
    assert extra_of("psycopg") == "label"
    assert extra_of("numpy") == extra_of("surely_not_installed_1") == ""


def test_an_extra_for_users_goes_before_that_of_developers(monkeypatch):
    wanted = ["timm>=1; extra == 'dev'", "timm>=1; extra == 'timm'", "ruff; extra == 'dev'", "numpy>=2"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    assert [extra_of(name) for name in ("timm", "timm.layers", "ruff", "numpy")] == ["timm", "timm", "dev", ""]


def test_without_timm_the_message_names_its_extra():
    pytest.importorskip("torch")
    code = (
        "import sys\nsys.modules['timm'] = None\nfrom mien.errors import MissingExtra\nfrom mien.models import MODELS\n"
    )
    code += "for name in ('timm', 'vit_tiny', 'efficientnet_lite0'):\n"
    code += "    try:\n        MODELS.get(name)\n    except MissingExtra as error:\n        print(error)\n"
    code += "print('resnet18' in MODELS)\n"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    fix = "the package 'timm' is not installed, expected the 'timm' extra. Install it with: pip install 'mien[timm]'"
    assert said == [*(f"model {name!r}: {fix}" for name in ("timm", "vit_tiny", "efficientnet_lite0")), "True"]


def sized(centre, *, radius: Annotated[float, Field(gt=0)], colour: Literal["red", "blue"] = "red", other=None):
    """A thing.

    Source: Euclid, book 3, definition 1; see :func:`round`.

    Args:
        centre: Where it is.
        radius: How far
            it reaches, in ``px``.
        colour: Its colour: any.

    Raises:
        ValueError: never.
    """


def test_options_are_told_with_bounds_defaults_and_meaning():
    radius, colour, other = options_of(sized, ("centre",))
    assert radius == Option("radius", "a number above 0", True, None, "How far it reaches, in `px`.")
    assert colour == Option("colour", "one of red, blue", False, "red", "Its colour: any.")
    assert other == Option("other", "a value", False, None, "")
    assert prose(sized) == "A thing.\n\nSource: Euclid, book 3, definition 1; see round."


def test_a_class_may_say_its_options_in_either_docstring():
    class Thing:
        """A thing.

        Args:
            first: Said outside.
        """

        def __init__(self, first=1, second=2):
            """Make it.

            Args:
                second: Said inside.
            """

    assert [o.about for o in options_of(Thing)] == ["Said outside.", "Said inside."]


def test_all_mistakes_in_options_are_told_together():
    with pytest.raises(ConfigError) as error:
        read_options(sized, {"radius": -1, "colour": "green", "size": 3}, "thing 'sized'", "thing.options", ("centre",))
    first, *lines = str(error.value).split("\n  ")
    assert first == "thing.options: 3 mistakes."
    assert [line.split(":")[0] for line in lines] == [f"thing.options.{n}" for n in ("radius", "colour", "size")]
    assert len(error.value.mistakes) == 3


def test_nearest_lists_everything_where_nothing_is_near():
    assert nearest("angr", ["angry", "sad"]) == "Did you mean 'angry'?"
    assert nearest("xyz", ["angry", "sad"]) == "Known: angry, sad."
