"""A study as it is written: combinations, names, starts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mien.config import overrides_of
from mien.config.settled import settled
from mien.errors import ConfigError
from mien.studies import load_study
from mien.studies.definition import StudyConfig
from mien.yaml_files import dump_yaml


def study(**more: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "base": "b.yaml", "cells": {"one": {}}} | more)


def test_a_grid_is_all_combinations_and_cells_add_to_them() -> None:
    found = study(
        grid={"loss": {"ce": {"loss.name": "cross_entropy"}, "mse": {"loss.name": "mean_squared_error"}},
              "n": {"labels.train.options.n": [1, 8]}},
        cells={"mse-8": {"set": {"train.epochs": 3}, "theirs": {"accuracy": 0.5}}, "own": {"set": {"seed": 4}}},
    )  # fmt: skip
    rows = found.rows()
    assert list(rows) == ["ce-1", "ce-8", "mse-1", "mse-8", "own"]
    assert rows["ce-8"].set == {"loss.name": "cross_entropy", "labels.train.options.n": 8}
    assert rows["mse-8"].set == {"loss.name": "mean_squared_error", "labels.train.options.n": 8, "train.epochs": 3}
    assert rows["mse-8"].theirs == {"accuracy": 0.5}
    assert found.levels("mse-8") == {"loss": "mse", "n": "8"}
    assert found.levels("own") == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cells": {}}, "has cells, a grid, or both"),
        ({"cells": {"a/b": {}}}, "is no name of a cell"),
        ({"cells": {"a": {"start": "b"}}}, "names the cell 'b', which the study does not have"),
        ({"cells": {"a": {"start": "b"}, "b": {"start": "a"}}}, "starts from itself"),
        ({"claims": [{"says": "x", "better": "one"}]}, "compares better with than"),
        ({"claims": [{"says": "x", "better": "one", "than": "two"}]}, "a claim names the cell 'two'"),
        ({"claims": [{"says": "x", "better": "one", "than": "one", "cell": "one", "value": 1}]}, "compares better"),
        ({"figures": [{"kind": "values", "cells": ["two"]}]}, "a figure names the cell 'two'"),
        ({"figures": [{"kind": "pie"}]}, "pie"),
        ({"figures": [{"kind": "epochs"}]}, "a table of epochs names one to four cells"),
        ({"figures": [{"kind": "values", "theirs": {"accuracy": [0.5]}}]}, "only a table of epochs has published"),
        (
            {"figures": [{"kind": "epochs", "cells": ["one"], "metric": "val_loss", "theirs": {"val_los": [0.5]}}]},
            "published values of val_los, which is not among metric and also",
        ),
        ({"name": "a b"}, "name"),
        ({"seeds": 0}, "seeds"),
        ({"sedes": 2}, "unknown key"),
        ({"scales": {"huge": {}}}, "'huge', expected one of tiny, small, full"),
        ({"cells": {"a": {"thiers": {}}}}, "cells.a.thiers: unknown key. Did you mean 'theirs'?"),
        ({"cells": {"a": {"theirs": {"test.accuracy": 1}}}}, "published test.accuracy, which is no column"),
        ({"metrics": ["acuracy"]}, "acuracy: names no metric. Did you mean 'accuracy'?"),
        ({"metrics": ["accuracy@gender"]}, "'gender' after the @, expected ATTRIBUTE=GROUP"),
        ({"metrics": ["accuracy@gender=f|"]}, "after the @"),
        ({"metrics": ["leakage"]}, "tells not what is read, expected leakage@ATTRIBUTE"),
        ({"metrics": ["leakage@gender:gap"]}, "tells not what is read"),
        ({"metrics": ["run.accuracy"]}, "run.accuracy: is nothing that training writes"),
        ({"metrics": ["run.val_accuracy@gender=f"]}, "is nothing that training writes"),
        (
            {"grid": {"a": {"x-y": {}, "x": {}}, "b": {"z": {}, "y-z": {}}}},
            "two combinations of the grid have one name",
        ),
        ({"grid": {"n": {"a.b": [1, "1"]}}}, "values with different names"),
        ({"claims": [{"says": "x", "cell": "one", "value": 1, "within": 1}]}, "within goes with better and than"),
        ({"claims": [{"says": "x", "better": "one", "than": "one"}]}, "compares 'one' with itself"),
        (
            {
                "claims": [{"says": "x", "better": "one", "than": "two", "within": 0.1, "no_worse_by": 0.1}],
                "cells": {"one": {}, "two": {}},
            },
            "within or no_worse_by",
        ),
        ({"claims": [{"says": "x", "cell": "one", "value": 60}]}, "a claim's value: accuracy of 60, expected a share"),
        (
            {"cells": {"one": {"theirs": {"accuracy": 86.06}}}},
            "cell 'one': accuracy of 86.06, expected a share: from 0 to 1",
        ),
        ({"tolerance": 2}, "tolerance of 2, expected a share"),
        ({"metrics": ["tset.accuracy"]}, "'tset.accuracy': Did you mean 'test'?"),
        (
            {"grid": {"lr": {"a.lr": [0.001, 0.0001]}}, "cells": {"1e-4": {"theirs": {"accuracy": 0.5}}}},
            "cell '1e-4' changes nothing and is none of the grid",
        ),
        ({"grid": {"a": {"x.y": [1, 2]}, "b": {"x.y": [3, 4]}}}, "two axes of the grid set x.y"),
        (
            {
                "cells": {"one": {}, "first": {"judged": False}},
                "claims": [{"says": "x", "better": "one", "than": "first"}],
            },
            "a claim is about 'first', which is not judged",
        ),
        ({"figures": [{"kind": "confusion"}]}, "names one to four cells"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(dump_yaml({"name": "s", "base": "b.yaml", "cells": {"one": {}}} | more))
    with pytest.raises(ConfigError, match="study.yaml") as error:
        load_study(path)
    assert said in str(error.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("")
    with pytest.raises(ConfigError, match="holds no keys"):
        load_study(tmp_path / "study.yaml")


def test_options_go_with_the_name_that_they_belong_to() -> None:
    base = {"model": {"name": "mienet", "options": {"stem": 8}, "size": 48}, "loss": "cross_entropy"}
    changed = {"model.options.small": True, "model.name": "resnet18", "loss.options.smoothing": 0.1}
    found = settled(base, [changed], "cell a")
    assert found["model"] == {"name": "resnet18", "size": 48, "options": {"small": True}}
    assert found["loss"] == {"name": "cross_entropy", "options": {"smoothing": 0.1}}
    assert base["model"]["options"] == {"stem": 8}  # type: ignore[index]
    same = settled(base, [{"model.name": "mienet", "model.options.stem": 4}], "cell a")
    assert same["model"]["options"] == {"stem": 4}
    with pytest.raises(ConfigError, match=r"cell a: seed\.x"):
        settled({"seed": 1}, [{"seed.x": 2}], "cell a")


def test_overrides_are_yaml() -> None:
    assert overrides_of(["a.b=[1, x]", "c=1e-1"]) == {"a.b": [1, "x"], "c": 0.1}
    with pytest.raises(ConfigError, match="has no '='"):
        overrides_of(["a"])
