from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mien.config import config_key, dump_config, explain_config, load_config, parse_config
from mien.errors import ConfigError

EXPERIMENTS = sorted((Path(__file__).resolve().parent.parent / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_is_a_valid_configuration(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_the_resolved_configuration_reads_back(tmp_path: Path) -> None:
    config = parse_config({"data": {"store": "s"}, "train": {"epochs": 3}, "augment": {"erasing_area": [0.1, 0.2]}})
    (tmp_path / "c.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.yaml") == config


def test_the_explained_configuration_reads_back() -> None:
    config = parse_config({"data": {"store": "s"}, "labels": {"attributes": ["race"], "weights": {"race": 2}}})
    text = explain_config(config)
    assert parse_config(yaml.safe_load(text)) == config
    assert '  weights: {"race": 2.0}  # Attribute -> factor of its loss' in text
    assert "    name: sgd  # One of sgd, adam, adamw." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": {"store": "s"}, "train": {"epoch": 3}}, r"train\.epoch: unknown key.*Did you mean 'epochs'"),
        ({"data": {"store": "s"}, "train": {"optimizer": {"lrr": 3}}}, r"optimizer\.lrr.*Did you mean 'lr'"),
        ({"data": {"store": "s"}, "modle": {}}, "modle: unknown key.*Did you mean 'model'"),
        ({"data": {}}, r"data\.store: is missing"),
        ({"data": {"store": "s"}, "train": {"epochs": "many"}}, r"train\.epochs: 'many'"),
        ({"data": {"store": "s"}, "train": {"epochs": 0}}, r"train\.epochs: 0"),
        ({"data": {"store": "s"}, "train": {"optimizer": {"name": "sdg"}}}, r"optimizer\.name: 'sdg'"),
        (
            {"data": {"store": "s"}, "seed": -1, "train": {"epochs": 0}},
            r"(?s)^config: 2 mistakes\.\n  seed: -1, expected .*\n  train\.epochs: 0, expected [^\n]*\.$",
        ),
        (
            {"data": {"store": "s"}, "train": {"epochs": True}},
            r"config: train\.epochs: true .*a whole number of 1 or mo",
        ),
        ({"data": {"store": "s"}, "train": {"epochs": 0.1}}, r"train\.epochs: 0\.1, expected a whole number of 1 or m"),
        (
            {"data": {"store": "s"}, "train": {"optimizer": {"lr": "nan"}}},
            r"optimizer\.lr: 'nan', expected a number ab",
        ),
        ({"data": {"store": "s"}, "train": {"optimizer": {"lr": float("inf")}}}, r"optimizer\.lr: infinity"),
        ({"data": {"store": "s"}, "augment": {"flip": True}}, r"augment\.flip: true .*a number from 0 to 1"),
        ({"data": {"store": "s"}, "augment": {"zoom": [1, "x"]}}, r"augment\.zoom\[1\]: 'x', expected a number"),
        ({"data": {"store": "s"}, "augment": None}, "augment: nothing, expected a section with keys such as enabled"),
        ({"data": {"store": "s"}, "train": "fast"}, "train: 'fast', expected a section with keys such as epochs"),
        ({"data": {"store": "s"}, "model": 5}, "model: 5, expected a section with keys such as name"),
        ({"data": {"store": "s"}, "train": {"monitor": "val_worst_group"}}, "val_worst_group needs train.watch"),
        ({"data": {"store": "s"}, "train": {"schedule": {"factor": [0.2]}}}, r"schedule\.factor: \[0\.2\]"),
        ({"data": {"store": "s"}, "train": {"schedule": {"name": "cosin"}}}, "'cosin', expected one of cosine, plat"),
        ({"data": {"store": "s"}, "labels": {"attributes": "race", "weights": {"race": True}}}, r"weights\.race: true"),
        ({"data": {"store": "s"}, "audit": {"by": [3]}}, r"audit\.by\[0\]: 3, expected text\. Put it in quotes"),
        ({"data": {"store": "s"}, "name": ""}, "name: '', expected text that is not empty"),
        ({"data": {"store": None}}, r"data\.store: nothing, expected text"),
        ({True: 1, "data": {"store": "s"}}, "a key that is no text"),
        (
            {"data": {"store": "s"}, "labels": {"attributes": ["race"], "weights": {"gender": 2}}},
            "labels: .*weights are of the attributes that are learnt, found gender",
        ),
        (
            {"data": {"store": "s"}, "labels": {"attributes": ["race"], "weights": {"race": 0}}},
            "labels: .*must be numbers above 0",
        ),
    ],
)
def test_mistakes_name_the_dotted_key(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_overrides(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {store: s}\n")
    config = load_config(path, ["train.epochs=7", "train.optimizer.lr=1e-2", "audit.by=[gender]", "train.ema=null"])
    assert (config.train.epochs, config.train.optimizer.lr) == (7, 0.01)
    assert config.audit.by == ("gender",)
    assert config.train.ema is None
    with pytest.raises(ConfigError, match="has no '='"):
        load_config(path, ["train.epochs"])
    with pytest.raises(ConfigError, match="--set data.store: .*expected text"):
        load_config(path, ["data.store.name=x"])
    with pytest.raises(ConfigError, match="'epochs' is a value, expected a key of a section"):
        load_config(path, ["train.epochs=7", "train.epochs.warm=x"])


def test_overrides_of_components_as_files_write_them(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {store: s}\nloss: focal\nmodel: {name: mienet, options: {stem: 8}}\n")
    config = load_config(path, ["loss.options.gamma=1", "model.name=resnet18"])
    assert (config.loss.name, config.loss.options) == ("focal", {"gamma": 1})
    assert (config.model.name, config.model.options) == ("resnet18", {})  # those of the other network went with it
    assert load_config(path, ["model.options.stem=16"]).model.options == {"stem": 16}


def test_numbers_that_are_text_are_numbers_where_numbers_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {store: s}\ntrain: {epochs: '3', ema: 9e-1, optimizer: {lr: 1e-1}}\naudit: {by: gender}\n")
    config = load_config(path, ["augment.flip='0.25'"])
    assert (config.train.epochs, config.train.ema, config.train.optimizer.lr) == (3, 0.9, 0.1)
    assert config.augment.flip == 0.25
    assert config.audit.by == ("gender",)


def test_a_wrong_value_is_traced_to_the_file_or_the_override(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {store: s}\ntrain: {epochs: yes}\n")
    with pytest.raises(ConfigError, match=r"^c\.yaml: train\.epochs: true"):
        load_config(path, ["train.batch_size=64"])
    with pytest.raises(ConfigError, match=r"^--set train\.epochs: 'x'"):
        load_config(path, ["train.epochs=x"])
    with pytest.raises(ConfigError, match=r"^--set train: 3, expected a section"):
        load_config(path, ["train=3"])


def test_a_section_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: {store: s}\ntrain: {epochs: 3}\ntrain: {batch_size: 64}\n")
    with pytest.raises(ConfigError, match="the key 'train' stands twice, in line 2 and in line 3"):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("# later\n", "is empty"), ("- a\n", "a list"), ("a\n", "one value"), ("a: [1\n", "line 2")],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")


def test_more_replicates_than_any_audit_takes_are_refused_before_the_training() -> None:
    for key in ("n_boot", "n_perm"):
        with pytest.raises(ConfigError, match=rf"audit\.{key}"):
            parse_config({"data": {"store": "s"}, "audit": {key: 10**10}})


def test_a_name_alone_is_a_component() -> None:
    content = {"data": {"store": "s"}, "model": "mienet", "labels": {"train": "distribution", "evaluate": "majority"}}
    config = parse_config(content)
    assert config.model.name == "mienet"
    assert config.labels.train.name == "distribution"
    assert config.labels.judged.name == "majority"
    assert parse_config({"data": {"store": "s"}}).labels.judged.name == "majority"
    assert parse_config(config.model_dump(mode="json")) == config


def test_drawn_labels_of_older_configurations_are_drawn() -> None:
    for loss in ("drawn_label", {"name": "drawn_label"}):
        config = parse_config({"data": {"store": "s"}, "loss": loss, "labels": {"train": "distribution"}})
        assert config.loss.name == "cross_entropy"
        assert config.labels.draw
        assert config.labels.train.name == "distribution"


def test_a_key_is_what_changes_results_and_nothing_else() -> None:
    base: dict[str, Any] = {"data": {"store": "s"}, "model": "mienet", "train": {"epochs": 3}}

    def key(change: dict[str, Any], fingerprint: str = "f", weights: str = "") -> str:
        content = {k: {**v, **change.get(k, {})} if isinstance(v, dict) else v for k, v in base.items()}
        return config_key(parse_config({**content, **{k: v for k, v in change.items() if k not in content}}),
                          fingerprint, weights)  # fmt: skip

    assert len(key({})) == 64
    same = (
        {"name": "other"},
        {"data": {"store": "elsewhere"}},
        {"train": {"threads": 1}},
        {"train": {"max_minutes": 5}},
        {"seed": 0},
        {"loss": "cross_entropy"},
        {"labels": {"train": {"name": "majority", "options": {}}}},
    )
    assert {key(change) for change in same} == {key({})}
    others = [
        {"seed": 1},
        {"train": {"epochs": 4}},
        {"loss": {"name": "cross_entropy", "options": {"smoothing": 0.1}}},
        {"labels": {"draw": True}},
        {"mitigation": "reweighting"},
        {"audit": {"by": ["gender"]}},
    ]
    keys = [key(change) for change in others] + [key({}), key({}, "g"), key({}, weights="w")]
    assert len(set(keys)) == len(keys)
    start = parse_config({**base, "model": {"name": "mienet", "weights": "a"}})
    moved = parse_config({**base, "model": {"name": "mienet", "weights": "b"}})
    assert config_key(start, "f", "w") == config_key(moved, "f", "w")
