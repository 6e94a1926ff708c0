"""Options of split, model and loss: held to what they may be before a face is read."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import pytest
import yaml

from mien.config import parse_config
from mien.errors import ConfigError, UsageError
from mien.train import load_experiment, train
from mien.train.components import CATALOGUES, check_components

EXPERIMENTS = sorted((Path(__file__).resolve().parents[2] / "experiments").glob("*.yaml"))


def written(folder: Path, content: dict[str, Any] | str) -> Path:
    path = folder / "c.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump({"data": {"store": "none"}, **content}))
    return path


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_can_be_built(path: Path) -> None:
    assert load_experiment(path).name == path.stem


@pytest.mark.parametrize(
    ("smoothing", "value"),
    [("1e-1", 0.1), ("'1e-1'", 0.1), ("'0.1'", 0.1), ("0", 0.0), ("1.0e-1", 0.1), ("5E-2", 0.05)],
)
def test_a_number_is_read_however_it_is_written(tmp_path: Path, smoothing: str, value: float) -> None:
    text = f"data: {{store: none}}\nloss: {{name: cross_entropy, options: {{smoothing: {smoothing}}}}}\n"
    assert load_experiment(written(tmp_path, text)).loss.options == {"smoothing": value}


@pytest.mark.parametrize(
    "smoothing", ["-3", "yes", "1", "1.5", ".nan", ".inf", "null", "[0.1]", "{a: 1}", "'0,1'", "much"]
)
def test_what_smoothing_cannot_be_is_told_with_file_key_and_range(tmp_path: Path, smoothing: str) -> None:
    text = f"data: {{store: none}}\nloss: {{name: cross_entropy, options: {{smoothing: {smoothing}}}}}\n"
    wanted = r"^c\.yaml: loss\.options\.smoothing: .*, expected a number from 0 to below 1\."
    with pytest.raises(ConfigError, match=wanted):
        load_experiment(written(tmp_path, text))
    # The function is held to the same, and before it looks for the store.
    config = parse_config(yaml.safe_load(text))
    with pytest.raises(ConfigError, match=r"^config: loss\.options\.smoothing"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model": {"name": "mienet", "options": {"widths": [8, 0], "depths": [1, 1]}}},
            r"model\.options\.widths\[1\]: 0",
        ),
        (
            {"model": {"name": "mienet", "options": {"widths": 8}}},
            r"widths: 8, expected a list of 1 to 10 whole num",
        ),
        ({"model": {"name": "mienet", "options": {"widths": []}}}, r"widths: \[\], expected a list of 1 to 10"),
        ({"model": {"name": "mienet", "options": {"widths": [8]}}}, r"options: widths has 1 stages and depths has 3"),
        ({"model": {"name": "mienet", "options": {"dropout": 1}}}, r"dropout: 1, expected a number from 0 to below 1"),
        (
            {"model": {"name": "mienet", "options": {"stem": 16.5}}},
            r"stem: 16\.5, expected a whole number of 1 or more",
        ),
        ({"model": {"name": "mienet", "options": {"dropuot": 0.1}}}, r"no such option\. Did you mean 'dropout'"),
        (
            {"model": {"name": "mienet", "options": {"num_classes": 7}}},
            r"num_classes: model 'mienet' has no such option",
        ),
        ({"model": {"name": "minet"}}, r"c\.yaml: model\.name: unknown model 'minet'\. Did you mean 'mienet'"),
        ({"model": {"name": "ferplus_vgg13", "options": {"size": 40}}}, r"size: 40, expected .* a multiple of 16"),
        (
            {"model": {"name": "olate_cnn", "options": {"size": 16}}},
            r"size: 16, expected a whole number from 22 to 1024",
        ),
        ({"model": {"name": "angioni_cnn", "options": {"pool_each": 3}}}, r"pool_each: 3, expected true or false"),
        ({"loss": {"name": "mean_squared_error", "options": {"smoothing": 0.1}}}, r"no such option\. It takes none"),
        ({"loss": {"name": "crossentropy"}}, r"loss\.name: unknown loss 'crossentropy'\. Did you mean 'cross_entropy'"),
        ({"split": {"name": "ratios"}}, r"split\.name: unknown split 'ratios'\. Did you mean 'ratio'"),
        (
            {"split": {"name": "ratio", "options": {"train": -0.1}}},
            r"split\.options\.train: -0\.1, expected a number above 0",
        ),
        (
            {"split": {"name": "ratio", "options": {"trian": 0.1}}},
            r"split 'ratio' has no such option\. Did you mean 'train'",
        ),
        (
            {"split": {"name": "fold", "options": {"k": 2}}},
            r"split\.options\.k: 2, expected a whole number of 3 or more",
        ),
        ({"split": {"name": "fold", "options": {"fold": True}}}, r"split\.options\.fold: true"),
        (
            {"split": {"name": "hash", "options": {"validation": 0.1}}},
            r"validation: 0\.1, expected a whole number of 0 or",
        ),
        ({"split": {"name": "corpus", "options": {"duplicates": "kepp"}}}, r"'kepp', expected one of drop, keep"),
        (
            {"split": {"name": "corpus", "options": {"validation": 1}}},
            r"validation: 1, expected text or a number above 0",
        ),
        ({"split": {"name": "corpus", "options": {"train": 2013}}}, r"train: 2013, expected text.*in quotes"),
    ],
)
def test_every_component_says_what_it_takes(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(written(tmp_path, content))


def test_an_override_is_named_and_not_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"model": {"name": "mienet", "options": {"dropout": 2}}})
    with pytest.raises(ConfigError, match=r"^c\.yaml: model\.options\.dropout: 2"):
        load_experiment(path, ["loss.options.smoothing=0.1", "loss.name=cross_entropy"])
    with pytest.raises(ConfigError, match=r"^--set model\.options\.dropout: 'x'"):
        load_experiment(path, ["model.options.dropout=x"])


def test_all_mistakes_are_told_at_once_a_line_each(tmp_path: Path) -> None:
    content = {
        "seed": -1,
        "train": {"epoch": 3, "optimizer": {"name": "sdg"}},
        "model": {"name": "mienet", "size": 3, "options": {"dropuot": 0.1, "stem": 0}},
        "loss": {"name": "crossentropy"},
        "split": {"name": "ratio", "options": {"train": 2}},
        "audit": {"fail_if": ["worst(recal, by=gender) <"]},
    }
    with pytest.raises(ConfigError) as error:
        load_experiment(written(tmp_path, content), ["mitigation=non"])
    first, *lines = [line.removeprefix("  ") for line in str(error.value).split("\n")]
    assert first == "c.yaml: 10 mistakes."
    lines = [line for line in lines if not line.startswith(" ")]  # that of the gate points at its character
    keys = ["seed", "train.epoch", "train.optimizer.name", "model.size", "split.options.train"]
    keys += ["model.options.dropuot", "model.options.stem", "loss.name", "--set mitigation.name"]
    assert {line.split(":")[0] for line in lines[:-1]} == set(keys)
    assert lines[-1].startswith("gate, character 26: ")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("content", [{"model": {"name": 3, "options": {"stem": 0}}}, {"data": {}, "loss": "nope"}])
def test_a_mistake_makes_no_others_up(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        load_experiment(written(tmp_path, content))
    assert len(error.value.mistakes) == (2 if "data" in content else 0)


def test_a_gate_that_cannot_be_read_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_experiment(written(tmp_path, {"audit": {"fail_if": ["worst(recal, by=gender) <"]}}))


def test_options_as_read_are_those_of_the_run() -> None:
    content = {"data": {"store": "s"}, "loss": {"name": "cross_entropy", "options": {"smoothing": "1e-1"}}}
    config = check_components(parse_config(content))
    assert config.loss.options == {"smoothing": 0.1}
    assert check_components(config) == config


def _options(function: Any, given: set[str]) -> dict[str, Any]:
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    return {n: hints.get(n) for n in inspect.signature(function).parameters if n not in given}


@pytest.mark.parametrize(
    ("name", "option", "hint"),
    [
        (name, option, hint)
        for registry in CATALOGUES.values()
        for name in registry.names()
        for option, hint in _options(registry.get(name), set(registry.given)).items()
    ],
)
def test_every_option_that_is_a_number_has_bounds(name: str, option: str, hint: Any) -> None:
    assert hint is not None, f"{name}.{option} has no annotation"
    assert hint not in (int, float), f"{name}.{option} is a number without bounds"
    if get_origin(hint) is Annotated:
        with pytest.raises(ConfigError):
            _read_one(name, option, -1)


def _read_one(name: str, option: str, value: Any) -> None:
    kind = next(section for section, registry in CATALOGUES.items() if name in registry)
    component = {"name": name, "options": {option: value}}
    section, _, key = kind.partition(".")
    check_components(parse_config({"data": {"store": "s"}, section: {key: component} if key else component}))
