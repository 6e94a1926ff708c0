from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mien.config import dump_config, explain_config, load_config, parse_config
from mien.errors import ConfigError

STUDIES = sorted((Path(__file__).resolve().parent.parent / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_is_a_valid_configuration(path: Path) -> None:
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
        ({"data": {"store": "s"}, "seed": -1, "train": {"epochs": 0}}, "1 more mistakes"),
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
    with pytest.raises(ConfigError, match="not a section"):
        load_config(path, ["data.store.name=x"])


@pytest.mark.parametrize("text", ["", "- a\n", "a: [1\n"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")
