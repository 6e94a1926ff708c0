"""A study of mitigations from its file to its page, with a tiny network on easy faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import save_file

from mien.cli.mitigating import mitigate
from mien.cli.taking import As
from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.data.splits import FIT
from mien.errors import ConfigError, DataError, RunError, UsageError
from mien.evaluate import evaluate, evaluate_given
from mien.mitigate import baseline_phase, found_of, load_mitigation, methods_phase
from mien.mitigate.checks import check_faces, check_methods, check_names
from mien.mitigate.known import words_of
from mien.mitigate.page import _said_of
from mien.mitigate.phases import Places
from mien.mitigate.run import chosen_baseline, judged_faces
from mien.mitigate.tables import asks_where_used
from mien.mitigate.told import said_of
from mien.models import MODELS
from mien.records import Predictions
from mien.studies.standing import standing_of
from mien.train import train

STUDY: dict[str, Any] = {
    "name": "easy",
    "base": "base.yaml",
    "attribute": "gender",
    "seeds": 2,
    "min_n": 8,
    "set": {"train.epochs": 1},
    "baseline": {"candidates": [{"train.optimizer.lr": 0.001}, {"train.optimizer.lr": 0.05}]},
    "methods": {
        "weights": {
            "set": {"mitigation": {"name": "reweighting", "options": {"by": ["gender"]}}},
            "candidates": [{"mitigation.options.exponent": 0.5}, {"mitigation.options.exponent": 1.0}],
            "note": "Both groups are as large.",
        },
        "offsets": {"after": {"name": "group_offsets", "options": {"least": 5}},
                    "candidates": [{"penalty": 0.01}, {"penalty": 1.0}]},
        "layer": {"after": "last_layer", "part": "train", "of": "weights", "candidates": [{"c": 0.1}, {"c": 1.0}]},
        "impossible": {"after": {"name": "minimum_rates", "options": {"least_faces": 5}},
                       "candidates": [{"least": 0.99}, {"least": 0.999}]},
    },
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, settings: dict[str, Any]) -> Path:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    return written(tmp_path / "easy.yaml")


def written(path: Path, **more: Any) -> Path:
    path.write_text(yaml.safe_dump(STUDY | more, sort_keys=False))
    return path


def test_a_study_is_run_and_its_page_written(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    places = Places(folder=tmp_path, out=out)
    config = load_mitigation(file)
    with pytest.raises(RunError, match="the baseline of 'all' is not done"):
        found_of(config, "all", places)
    assert mitigate(file, out=out, page=tmp_path / "page") == 0
    page = (tmp_path / "page" / "README.md").read_text()
    for text in ("## Which to use", "4 methods beside the baseline, 2 candidates each, 2 seeds each",
                 "the smallest distance of",
                 "| baseline |", "| layer |", "impossible, candidate 1:", "no answers reach these rates",
                 "Both groups are as large.", "| method | features, linear |"):  # fmt: skip
        assert text in page, text
    for path in (tmp_path / "page").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), f"{path.name} names a path of this machine"
    assert (tmp_path / "page" / "trade.png").stat().st_size > 5000

    found = found_of(config, "all", places)
    # The baseline is the better of its candidates, and the methods begin with it.
    assert found.tried["baseline"].chosen == chosen_baseline(config, "all", places) == 1
    second = methods_phase(config, "all", places, 1)
    assert {cell.config.train.optimizer.lr for cell in second.plan.cells} == {0.05}
    assert all(standing_of(cell).state == "done" for cell in second.plan.cells)
    # Faces that fit, that choose and that judge are different ones.
    cell = second.plan.cells[0]
    parts = {part: set(cell.run.splits.query("split == @part")["sample_id"]) for part in (FIT, "validation", "test")}
    assert all(len(faces) >= 20 for faces in parts.values())
    assert not parts[FIT] & parts["validation"]
    assert len(judged_faces(config, cell, FIT, False)) == len(parts[FIT])
    assert {str(i) for i in found.tried["offsets"].best[0].judged.sample_id} == parts["test"]
    assert {str(i) for i in found.tried["offsets"].best[0].validation.sample_id} == parts["validation"]
    # What is fitted after training is fitted to a run of the method that it names, seed by seed.
    layer = found.tried["layer"].best
    assert [o.cell.key for o in layer] == [o.cell.key for o in found.tried["weights"].best]
    assert judged_faces(config, layer[0].cell, "train", True).features is not None
    assert not found.tried["impossible"].best
    told = json.loads((tmp_path / "page" / "records.json").read_text())
    assert set(told["methods"]) == {"baseline", "untuned", "weights", "offsets", "layer"}
    first = found.tried["untuned"]
    assert [o.cell.config.train.optimizer.lr for o in first.best] == [0.001] * 2
    assert told["methods"]["untuned"]["verdict"] is None  # a row, and no method that is judged
    assert "| baseline, untuned |" in page

    # Nothing is done twice, and what is missing is named.
    began = [p.stat().st_mtime_ns for p in sorted(out.rglob("model.safetensors"))]
    more = {**STUDY["methods"], "drawn": {"set": {"mitigation": "cvar"}, "candidates": [{}, {"train.epochs": 2}]}}
    written(file, methods=more)
    assert found_of(load_mitigation(file), "all", places).lacking == ("drawn",)
    written(file)
    assert mitigate(file, out=out, page=tmp_path / "again", jobs=2, threads=1) == 0
    assert [p.stat().st_mtime_ns for p in sorted(out.rglob("model.safetensors"))] == began
    again = json.loads((tmp_path / "again" / "records.json").read_text())
    for name, method in told["methods"].items():
        assert again["methods"][name]["overall"] == method["overall"]
    assert again["probes"] == told["probes"] != {}  # whoever read them


def test_attributes_of_settings_and_what_a_scale_shrinks(file: Path, tmp_path: Path) -> None:
    methods = {"weights": {"set": {"mitigation": {"name": "reweighting", "options": {"by": ["$attribute"]}}},
                           "candidates": [{}, {"train.epochs": 2}]}}  # fmt: skip
    settings = {"one": {}, "other": {"attribute": "gender*gender"}}
    cells = {"baseline": {"model.options.stem": 4}, "weights": {"train.batch_size": 20}}
    scales = {"tiny": {"set": {"train.epochs": 3}, "cells": cells}}
    config = load_mitigation(written(file, methods=methods, settings=settings, scales=scales))
    places = Places(folder=tmp_path, out=tmp_path / "out", scale="tiny")
    first, second = (methods_phase(config, name, places, 0).plan.cells for name in settings)
    assert first[0].config.mitigation.options["by"] == ["gender"]
    assert second[0].config.mitigation.options["by"] == ["gender*gender"]
    assert {c.config.train.batch_size for c in first} == {20}
    assert {c.config.model.options["stem"] for c in first} == {4}  # the baseline's is theirs too
    # A candidate's own setting is what is compared: the scale does not wipe it out.
    assert [c.config.train.epochs for c in first] == [3, 2] * 2
    base = baseline_phase(config, "one", places).plan.cells
    assert {c.config.train.epochs for c in base} == {3}
    # What a scale shrinks in the baseline holds for methods too, and names that are set later win.
    scales["tiny"]["cells"]["baseline"] = {"train.epochs": 4}  # type: ignore[index]
    more: dict[str, Any] = {"set": {"loss": "logit_adjusted"}, "candidates": STUDY["baseline"]["candidates"]}
    methods["weights"]["set"]["loss.name"] = "focal"  # type: ignore[index]
    deeper = load_mitigation(written(file, methods=methods, settings=settings, scales=scales, baseline=more))
    cells_of = methods_phase(deeper, "one", places, 0).plan.cells
    assert [c.config.train.epochs for c in cells_of] == [4, 2] * 2
    assert {c.config.loss.name for c in cells_of} == {"focal"}
    assert {c.config.train.epochs for c in baseline_phase(deeper, "one", places).plan.cells} == {4}
    with pytest.raises(ConfigError, match="weights: two candidates come to the same experiment"):
        methods_phase(config, "one", Places(folder=tmp_path, out=tmp_path, settings={"train.epochs": 1}), 0)
    assert {c.config.train.batch_size for c in base} == {30}
    # The baseline is the same in both settings, and is trained once.
    assert [c.folder for c in base] == [c.folder for c in baseline_phase(config, "other", places).plan.cells]


@pytest.mark.parametrize("several", [{}, {"settings": {"short": {}, "longer": {"train.epochs": 2}}}])
def test_names_of_the_caller_s_that_no_run_has_are_refused(
    file: Path, tmp_path: Path, easy_store: Path, several: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"small": True, "width": 0.125, "depth": 0.25}
    brought = tmp_path / "brought.safetensors"
    save_file(MODELS.get("efficientnet_lite0")(1000, 3, **options).state_dict(), brought)
    model = {"name": "efficientnet_lite0", "options": options, "weights": "imagenet"}
    network = {"set": {"model": model}, "candidates": STUDY["baseline"]["candidates"]}
    written(file, methods={"network": network}, **several)
    config = load_mitigation(file)
    for published, stores, told in (
        ({"efficientnet_lite": str(brought)}, {}, "--weights efficientnet_lite: is no network"),
        ({}, {"esay": str(easy_store)}, "--store esay: is no store of"),
    ):
        places = Places(folder=tmp_path, out=tmp_path / "out", published=published, stores=stores)
        with pytest.raises(UsageError, match=told):
            check_names(config, tuple(config.settings), places)
    # What a method alone begins with is none the less of the study.
    places = Places(folder=tmp_path, out=tmp_path / "out", published={"efficientnet_lite0": str(brought)})
    check_names(config, tuple(config.settings), places)
    with pytest.raises(UsageError, match="--weights efficientnet_lite: is no network"):
        mitigate(file, out=tmp_path / "out", how=As(weights=(f"efficientnet_lite={brought}",)))


def test_settings_make_a_matrix(file: Path, tmp_path: Path) -> None:
    methods = {name: STUDY["methods"][name] for name in ("weights", "offsets")}
    methods["weights"] = methods["weights"] | {"claims": ["short"]}
    settings = {"short": {}, "longer": {"train.epochs": 2}}
    written(file, methods=methods, settings=settings, probes=False)
    with pytest.raises(UsageError, match="Did you mean 'short'"):
        mitigate(file, out=tmp_path / "out", setting=("shrot",))
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page", jobs=2, threads=1) == 0
    page = (tmp_path / "page" / "README.md").read_text()
    assert "| method | short | longer | as it claims? |" in page
    assert "(claimed)" in page
    assert "claims none of these" in page
    assert (tmp_path / "page" / "matrix.png").is_file()
    for name in settings:
        assert (tmp_path / "page" / name / "README.md").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"methods": {"a": {"candidates": [{}]}}}, "a has 1 candidates and the baseline 2"),
        ({"methods": {"a": {"candidates": [{}, {}], "claims": ["al"]}}}, "a claims 'al'. Did you mean 'all'?"),
        ({"methods": {"a": {"after": "last_layr", "candidates": [{}, {}]}}}, "Did you mean 'last_layer'?"),
        ({"methods": {"a": {"after": "last_layer", "candidates": [{"d": 1}, {}]}}}, "d"),
        ({"methods": {"a": {"after": "last_layer", "of": "b", "candidates": [{}, {}]}}}, "a is fitted to 'b'"),
        ({"methods": {"a": {"after": "last_layer", "set": {"seed": 1}, "candidates": [{}, {}]}}}, "has no place"),
        ({"methods": {"baseline": {"candidates": [{}, {}]}}}, "is the baseline's name"),
        ({"methods": {"a-b": {"candidates": [{}, {}]}}}, "is no name"),
        ({"methods": {}}, "methods"),
        ({"baseline": {"after": "last_layer"}, "methods": {"a": {}}}, "the baseline is trained"),
        ({"metod": 1}, "unknown key. Did you mean 'methods'?"),
        ({"methods": {"a": {"sets": {}}}}, "methods.a.sets: unknown key. Did you mean 'set'?"),
        ({"select": "best"}, "select"),
        ({"scales": {"tiny": {"cells": {"layer": {}}}}}, "scale 'tiny' names 'layer'"),
        ({"seeds": 1}, "seeds"),
        ({"judged": "validation"}, "'validation' faces learn, choose or fit"),
        ({"attribute": "brightness:3"}, "parts of numbers"),
        ({"scales": {"tiny": {"seeds": 1}}}, "scale 'tiny' has one seed"),
        ({"disparity": "known"}, "disparity 'known' asks for `known`"),
        ({"settings": {"one": {"methods": ["ofsets"]}}}, "methods names 'ofsets'. Did you mean 'offsets'?"),
        ({"settings": {"one": {"methods": "offsets"}}}, "expected a list of names"),
        ({"settings": {"one": {"methods": None}}}, "expected a list of names"),
        ({"settings": {"one": {"methods": [["offsets"]]}}}, "expected a list of names"),
        (
            {"methods": {"a": {"against": "b", "candidates": [{"seed": 1}, {"seed": 2}]}}},
            "a is held against 'b'",
        ),
        (
            {"methods": {"a": {"against": "a", "candidates": [{"seed": 1}, {"seed": 2}]}}},
            "a is held against itself",
        ),
        (
            {
                "methods": {
                    "a": {"against": "b", "candidates": [{"seed": 1}, {"seed": 2}]},
                    "b": {"candidates": [{"seed": 3}, {"seed": 4}]},
                },
                "settings": {"one": {"methods": ["a"]}},
            },
            "methods lacks 'b', which 'a' builds on",
        ),
        ({"settings": {"one": {"known": [{"better": "male"}]}}}, "settings.one.known.0.worse: Field required"),
        ({"known": [{"better": "male", "worse": "Male"}]}, "better and worse are both 'male'"),
        (
            {"methods": {"a": {"after": "last_layer", "candidates": [{"c": 0.1}, {}]}}},
            "two candidates are the same rule",
        ),
        ({"settings": {"one": {"disparity": "known"}}}, "settings.one: disparity 'known' asks for `known`"),
    ],
)
def test_mistakes_are_told_with_their_place(file: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match="easy.yaml") as error:
        load_mitigation(written(file, **more))
    assert said in str(error.value)


def test_judged_faces_must_not_choose(file: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    # The corpus's own "valid" is what this split calls validation.
    methods = {"offsets": STUDY["methods"]["offsets"]}
    written(file, judged="valid", methods=methods)
    with pytest.raises(DataError, match="faces of 'valid' choose or fit"):
        mitigate(file, out=tmp_path / "out")


def test_copies_of_faces_that_choose_must_not_judge(
    file: Path, settings: dict[str, Any], easy_store: Path, tmp_path: Path
) -> None:
    """A part of one's own that holds a copy of a validation face, which the split leaves where it is."""
    given, folder = Store.open(easy_store), tmp_path / "copied"
    frame = given.table.frame.copy()
    learnt = frame.index[frame["split"] == "train"]
    frame.loc[learnt[:40], "split"] = "other"
    frame.loc[learnt[0], "cluster"] = frame.loc[frame["split"] == "valid", "cluster"].iloc[0]
    with StoreWriter(folder) as writer:
        writer.copy(given)
        writer.commit(given.table.derive("copied", frame), given.info)
    settings["data"] = {"store": str(folder)}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings))
    written(file, judged="other", methods={"offsets": STUDY["methods"]["offsets"]}, probes=False)
    with pytest.raises(DataError, match="1 faces of 'other' choose or fit"):
        mitigate(file, out=tmp_path / "out")


def test_after_training_alone_and_failed_candidates(file: Path, tmp_path: Path) -> None:
    methods = {"offsets": STUDY["methods"]["offsets"],
               "wild": {"set": {"mitigation": "cvar", "train.optimizer.momentum": 0.0},
                        "candidates": [{"train.optimizer.lr": 1e12}, {"train.optimizer.lr": 0.05}]}}  # fmt: skip
    written(file, methods={"offsets": methods["offsets"]}, probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 0
    assert "| offsets |" in (tmp_path / "page" / "README.md").read_text()
    written(file, methods=methods, probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 1
    page = (tmp_path / "page" / "README.md").read_text()
    assert "wild, candidate 1: " in page
    assert "finite losses" in page
    row = next(line for line in page.splitlines() if line.startswith("| wild |"))
    assert "| no |" in row  # CVaR asks for nobody's group
    offsets = next(line for line in page.splitlines() if line.startswith("| offsets |"))
    assert "after training and where it is used" in offsets
    written(file, methods={"offsets": methods["offsets"]}, probes=False, min_n=30)
    with pytest.raises(DataError, match=r"the second largest group of 'gender' has \d+ validation faces, expected 30"):
        mitigate(file, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_could_not_be_judged_is_told_before_training(file: Path, tmp_path: Path) -> None:
    written(file, attribute="gendr")
    with pytest.raises(ConfigError, match="easy: attribute: the store has no attribute 'gendr'. Did you mean 'gender'"):
        mitigate(file, out=tmp_path / "out")
    written(file, judged="tset")
    with pytest.raises(DataError, match="no face in split 'tset'"):
        mitigate(file, out=tmp_path / "out")
    settings = {"one": {}, "two": {"known": [{"better": "male", "worse": "fmale"}], "disparity": "known"}}
    written(file, settings=settings)
    with pytest.raises(ConfigError, match="known: 'fmale' is no group of the judged faces. Did you mean 'female'"):
        mitigate(file, out=tmp_path / "out")
    written(file, known=[{"better": "male", "worse": "female", "classes": ["hapy"]}], disparity="known")
    with pytest.raises(ConfigError, match="easy: known: 'hapy' is no class"):
        mitigate(file, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_known_gap_is_on_the_pages_with_its_words(file: Path, tmp_path: Path) -> None:
    known = [{"better": "male", "worse": "female"}]
    settings = {"one": {"known": known, "disparity": "known"}, "two": {}}
    written(file, settings=settings, methods={"offsets": STUDY["methods"]["offsets"]}, probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 0
    page, other = ((tmp_path / "page" / name / "README.md").read_text() for name in ("one", "two"))
    words = "accuracy, male less female"
    assert f"*Known gap*: {words}" in page
    assert "| known gap | change |" in page
    assert "nown gap" not in other
    assert words in (tmp_path / "page" / "README.md").read_text()
    rare = [{"better": "male", "worse": "female", "classes": ["bright"]}]
    written(file, known=rare, disparity="known")
    with pytest.raises(DataError, match=r"easy: known: \w+ has \d faces of bright, of 10 that are needed"):
        mitigate(file, out=tmp_path / "other")
    two = {"better": "female", "worse": "male"}
    told = load_mitigation(written(file, known=[*rare, two], disparity="known"))
    assert words_of(told) == "recall of bright, male less female; accuracy, female less male (their mean)"
    # A known gap that a setting is not held to is nothing to it.
    written(file, known=[{"better": "young", "worse": "old"}], methods={"offsets": STUDY["methods"]["offsets"]})
    check_faces(load_mitigation(file), "all", Places(folder=tmp_path, out=tmp_path / "other"))


def test_learnt_faces_and_groups_too_small_to_judge_are_told_before_training(file: Path, tmp_path: Path) -> None:
    given = yaml.safe_load((tmp_path / "base.yaml").read_text())["data"]["store"]
    for judged in ("training", f"{given}:train"):
        store = Store.open(given)
        if judged == "training":  # the corpus's own name of what the split calls train
            folder = tmp_path / "named"
            frame = store.table.frame.assign(split=store.table.frame["split"].replace({"train": "training"}))
            with StoreWriter(folder) as writer:
                writer.copy(store)
                writer.commit(store.table.derive("named", frame), store.info)
            place: dict[str, Any] = {"data.store": str(folder)}
        else:
            place = {}
        written(file, judged=judged, set={**STUDY["set"], **place})
        with pytest.raises(DataError, match=r"easy: judged: \d+ of the \d+ faces of .* are learnt"):
            mitigate(file, out=tmp_path / "out")
    written(file, min_n=1000, select="accuracy")
    with pytest.raises(DataError, match=r"easy: judged: .* two groups of 'gender' with 1000 faces or more"):
        mitigate(file, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rules_that_ask_for_no_group_need_none_among_validation_faces(file: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((tmp_path / "base.yaml").read_text())
    store, folder = Store.open(settings["data"]["store"]), tmp_path / "few"
    frame = store.table.frame.copy()
    frame.loc[frame["split"] == "valid", "gender"] = None
    with StoreWriter(folder) as writer:
        writer.copy(store)
        writer.commit(store.table.derive("few", frame), store.info)
    methods = {"adjusted": {"after": "logit_adjustment", "candidates": [{"tau": 0.5}, {"tau": 1.0}]}}
    written(file, set={**STUDY["set"], "data.store": str(folder)}, methods=methods, select="accuracy", probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 0
    assert "| adjusted |" in (tmp_path / "page" / "README.md").read_text()


def test_rules_after_training_see_perceived_groups_as_probabilities(file: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((tmp_path / "base.yaml").read_text())
    store, folder = Store.open(settings["data"]["store"]), tmp_path / "seen"
    frame, rng = store.table.frame.copy(), np.random.default_rng(0)
    for name, groups in (("perceived_gender", ("Male", "Female")), ("perceived_age", ("child", "adult"))):
        first = rng.random(len(frame)).round(3)
        for group, told in zip(groups, (first, 1 - first), strict=True):
            frame[f"{name}_prob_{group}"] = told
        frame[name], frame[f"{name}_source"] = np.where(first > 0.5, *groups), "perceived"
        frame.loc[frame.index[::7], name] = None
    with StoreWriter(folder) as writer:
        writer.copy(store)
        writer.commit(
            store.table.derive("seen", frame, attributes=("gender", "perceived_gender", "perceived_age")), store.info
        )
    after = {"name": "group_temperature"}
    methods = {name: {"after": {**after, "soft": soft}, "candidates": [{"least": 4}, {"least": 5}]}
               for name, soft in (("named", False), ("shares", True))}  # fmt: skip
    more = {"set": {**STUDY["set"], "data.store": str(folder)}, "methods": methods, "probes": False}
    places = Places(folder=tmp_path, out=tmp_path / "out")
    config = load_mitigation(written(file, attribute="perceived_gender", **more))
    assert mitigate(file, out=places.out, page=tmp_path / "page") == 0
    told = found_of(config, "all", places).tried
    assert not np.allclose(told["named"].best[0].judged.probs, told["shares"].best[0].judged.probs)

    cell = baseline_phase(config, "all", places).plan.cells[0]
    by_id = frame.set_index("sample_id")
    for spec in ("perceived_gender", "perceived_gender*perceived_age"):
        faces = judged_faces(config.model_copy(update={"attribute": spec}), cell, "test", False, None, soft=True)
        own = by_id.loc[told["named"].best[0].judged.sample_id]
        expected = np.stack([
            np.prod([own[f"{n}_prob_{g}"] for n, g in zip(spec.split("*"), group.split("*"), strict=True)], axis=0)
            for group in faces.names
        ], 1)  # fmt: skip
        unknown = own[spec.split("*")].isna().any(axis=1).to_numpy()
        assert 0 < unknown.sum() < len(own) / 2
        assert faces.groups[unknown].sum() == 0
        np.testing.assert_allclose(faces.groups[~unknown], expected[~unknown], atol=1e-6)

    written(file, attribute="gender", **more)
    with pytest.raises(ConfigError, match=r"after\.soft: 'gender' is not perceived"):
        mitigate(file, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_candidate_of_the_baseline_that_fails_stops_no_method(file: Path, tmp_path: Path) -> None:
    baseline = {"candidates": [{"train.optimizer.lr": 1e12}, {"train.optimizer.lr": 0.05}]}
    methods = {"weights": STUDY["methods"]["weights"],
               "rates": {"after": {"name": "equal_rates", "options": {"least_faces": 5}},
                         "candidates": [{"rates": "recall"}, {"rates": "odds"}]}}  # fmt: skip
    written(file, baseline=baseline, methods=methods, probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 1
    page = (tmp_path / "page" / "README.md").read_text()
    assert "| weights |" in page
    assert "baseline, candidate 1: " in page
    sure = page.split("## How sure")[1].split("## Candidates")[0]
    assert "| weights |" in sure
    assert "| rates |" not in sure
    assert "No row of rates: what they return decides by its largest value and is no probability." in sure


def test_a_baseline_that_learnt_nothing_is_said_first(file: Path, tmp_path: Path) -> None:
    one: dict[str, Any] = {"candidates": [{"train.optimizer.lr": 1e-6}]}
    methods = {"weights": {**STUDY["methods"]["weights"], "candidates": [{}]}}
    written(file, baseline=one, methods=methods, probes=False)
    assert mitigate(file, out=tmp_path / "out", page=tmp_path / "page") == 0
    page = (tmp_path / "page" / "README.md").read_text()
    assert "seeds of the baseline learnt next to nothing (Cohen's kappa below 0.1). Train longer first.**" in page
    assert "1 candidate each" in page
    assert "nothing was tuned" in page
    assert "Groups with fewer than 8 faces" in page  # min_n is not the usual one


def test_seeds_that_learnt_nothing_and_latents_that_tell_nothing_are_told() -> None:
    def outcome(answers: list[int], **columns: list[float]) -> Any:
        run = SimpleNamespace(history=pd.DataFrame({"epoch": range(3), **columns}))
        counts = np.zeros((3, 3))
        np.add.at(counts, (range(len(answers)), answers), 1)  # one face of each class
        return SimpleNamespace(
            judged=SimpleNamespace(confusion=lambda: counts, notes=()), cell=SimpleNamespace(run=run)
        )

    nan = float("nan")
    told: dict[str, Any] = {"merits": [[0.5, 0.6], [0.5, 0.7]], "failures": {}}
    plain: Any = SimpleNamespace(best=[outcome([0, 1, 1]), outcome([0, 1, 2])], **told)
    assert _said_of(plain) == []
    alike: Any = SimpleNamespace(best=plain.best, merits=[[0.5, 0.6], [0.5, 0.6]], failures={})
    assert _said_of(alike) == [
        "its candidates are alike to the rule that chooses, and the first was taken: it had one chance."
    ]
    latent: Any = SimpleNamespace(
        **told, best=[outcome([2, 2, 2], alive=[0.9, 0.25, nan]), outcome([0, 1, 2], alive=[0.9, 0.75, nan])]
    )
    assert _said_of(latent) == [
        "1 of 2 seeds learnt next to nothing (Cohen's kappa below 0.1).",
        "50.0 % of the latent's channels are alive (mean over seeds); one that tells nothing would hide the group too.",
    ]


def test_faces_are_set_aside_by_whole_units(easy_store: Path) -> None:
    from mien.config import parse_config
    from mien.train.targets import load_training_data

    def split(seed: int, **more: Any) -> Any:
        config = {"data": {"store": str(easy_store)}, "seed": seed, "split": {"name": "corpus", **more}}
        return load_training_data(parse_config(config)).table.frame.set_index("sample_id")["split"]

    plain, halved = split(0), split(0, fit=0.5)
    assert (plain[plain != "validation"] == halved[plain != "validation"]).all()
    assert abs((halved == FIT).sum() - (halved == "validation").sum()) <= 3
    assert set(halved[plain == "validation"]) == {FIT, "validation"}
    assert (split(0, fit=0.5) == halved).all()
    with pytest.raises(ConfigError, match=r"split\.fit"):
        split(0, fit=1.0)


def test_a_network_that_asks_for_groups_is_told_them(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}}
    aware = {
        "set": {
            "model": {"name": "conditioned", "options": {"trunk": trunk, "attributes": {"gender": 2}}},
            "mitigation": {"name": "attribute_aware", "options": {"by": ["gender"]}},
        },
        "candidates": [{"mitigation.options.weight": 0.5}, {"mitigation.options.weight": 1.0}],
    }
    written(file, methods={"aware": aware}, probes=False)
    out = tmp_path / "out"
    assert mitigate(file, out=out, page=tmp_path / "page") == 0
    page = (tmp_path / "page" / "README.md").read_text()
    assert "in training and where it is used" in page
    assert "gender as annotated was told to the network for" in page
    best = found_of(load_mitigation(file), "all", Places(folder=tmp_path, out=out)).tried["aware"].best[0]
    run = best.cell.run
    told = evaluate_given(run, best.cell.place_of("test"))
    np.testing.assert_allclose(best.judged.probs, told.probs, atol=1e-7)
    alone = Predictions.load(run.path / "predictions" / "test.parquet")
    assert not np.allclose(best.judged.probs, alone.probs, atol=1e-3)  # its own word is another
    # A rule on its features would be one on faces without their groups; one on probabilities depends on them.
    layer = {"after": "last_layer", "of": "aware", "candidates": [{"c": 0.1}, {"c": 1.0}]}
    written(file, methods={"aware": aware, "layer": layer}, probes=False)
    with pytest.raises(ConfigError, match="easy: layer: reads features, and those of 'aware' are seen without"):
        mitigate(file, out=out)
    offsets = {"after": "logit_adjustment", "of": "aware", "candidates": [{"tau": 0.1}, {"tau": 1.0}]}
    written(file, methods={"aware": aware, "offsets": offsets}, probes=False)
    assert mitigate(file, out=out, page=tmp_path / "rule") == 0
    found = found_of(load_mitigation(file), "all", Places(folder=tmp_path, out=out))
    assert asks_where_used(found, "offsets")
    written(file, methods={"aware": aware}, probes=False)
    # Faces without a group that it is to be told are refused before anything is trained.
    store = Store.open(yaml.safe_load((tmp_path / "base.yaml").read_text())["data"]["store"])
    frame = store.table.frame.assign(tall=None)
    frame.loc[frame["split"] == "train", "tall"] = ["yes", "no"] * ((frame["split"] == "train").sum() // 2)
    with StoreWriter(tmp_path / "tall") as writer:
        writer.copy(store)
        writer.commit(store.table.derive("tall", frame, attributes=[*store.table.attributes, "tall"]), store.info)
    asks = json.loads(json.dumps(aware).replace('"gender"', '"tall"'))
    written(file, methods={"aware": asks}, probes=False, set={"data.store": str(tmp_path / "tall")})
    with pytest.raises(DataError, match="aware: no face of 'validation' has a known group of 'tall', which aware asks"):
        mitigate(file, out=tmp_path / "other")
    written(file, methods={"aware": aware}, probes=False)
    # What it said is kept, and made once.
    assert sorted(p.name for p in (run.path / "told").iterdir()) == ["test.parquet", "validation.parquet"]
    with monkeypatch.context() as patch:
        patch.setattr("mien.mitigate.told.evaluate_given", lambda *args: pytest.fail("made again"))
        found_of(load_mitigation(file), "all", Places(folder=tmp_path, out=out))
    # It goes with what the run itself said; and groups other than those of that time are told to nobody.
    evaluate(run, best.cell.place_of("test"))
    assert sorted(p.name for p in (run.path / "told").iterdir()) == ["validation.parquet"]
    own = run.path / "predictions" / "test.parquet"
    said = pd.read_parquet(own)
    pq.write_table(
        pa.Table.from_pandas(said.assign(gender="female"), preserve_index=False)
        .replace_schema_metadata(pq.read_schema(own).metadata),
        own,
    )  # fmt: skip
    with pytest.raises(DataError, match="its faces have other groups of 'gender' than when"):
        said_of(best.cell, "test")
    assert not (run.path / "told" / "test.parquet").exists()
    # Baselines that ask are seen as methods that do.
    layer = {"after": "last_layer", "candidates": [{"c": 0.1}, {"c": 1.0}]}
    told = {"set": aware["set"], "candidates": aware["candidates"]}
    written(file, baseline=told, methods={"layer": layer}, probes=False)
    with pytest.raises(ConfigError, match="layer: reads features, and those of 'baseline' are seen without"):
        mitigate(file, out=tmp_path / "third")


def test_heads_that_are_never_taught_can_be_told_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    content = settings | {"mitigation": {"name": "attribute_aware", "options": {"by": ["gender"]}}}
    with pytest.raises(ConfigError, match=r"sees no groups, expected model: \{name: conditioned"):
        train(parse_config(content), tmp_path / "run")
    trunk = {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}}
    content["model"] = {"name": "conditioned", "options": {"trunk": trunk, "attributes": {"gender": 2}}}
    content["model"]["freeze"] = ["attributes"]
    with pytest.raises(ConfigError, match="nothing teaches the network what 'gender' is"):
        train(parse_config(content), tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"set": {"mitigation": {"name": "reweighting", "options": {"by": ["gendr"]}}}}, "no attribute 'gendr'"),
        (
            {"set": {"mitigation": {"name": "resampling", "options": {"by": ["gender"], "times": {"femle": 4}}}}},
            "femle",
        ),
        ({"set": {"mitigation": {"name": "latent_alignment", "options": {"by": ["gender"]}}}}, "latent_mbconv"),
        ({"set": {"mitigation": {"name": "domain_discriminative", "options": {"by": ["gender"]}}}}, "joint_head"),
        ({"set": {"mitigation": {"name": "attribute_aware", "options": {"by": ["gender"]}}}}, "conditioned"),
    ],
)
def test_a_method_that_could_not_be_trained_is_refused_before_the_baseline_is(
    file: Path, tmp_path: Path, method: dict[str, Any], said: str
) -> None:
    method["candidates"] = [{"train.optimizer.lr": 0.001}, {"train.optimizer.lr": 0.05}]
    written(file, methods={"offsets": STUDY["methods"]["offsets"], "wrong": method})
    with pytest.raises(ConfigError, match="easy: all: wrong") as error:
        mitigate(file, out=tmp_path / "out")
    assert said in str(error.value)
    assert not (tmp_path / "out" / "cells").exists()


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"wrong": {"after": {"name": "group_thresholds", "options": {"of": "brigth"}},
                    "candidates": [{"recall": 0.5}, {"recall": 0.7}]}}, "no class 'brigth'"),
        ({"wrong": {"after": {"name": "equal_rates", "options": {"of": ["brigth"]}},
                    "candidates": [{"within": 0.1}, {"within": 0.2}]}}, "no class 'brigth'"),
        ({"weights": STUDY["methods"]["weights"],
          "wrong": {"after": "logit_adjustment", "of": "weights", "candidates": [{"tau": 0.5}, {"tau": 1.0}]}},
         "divides by the classes' shares after 'reweighting'"),
        ({"weights": {"set": {"loss": "logit_adjusted"},
                      "candidates": [{"loss.options.tau": 0.5}, {"loss.options.tau": 1.0}]},
          "wrong": {"after": "logit_adjustment", "of": "weights", "candidates": [{"tau": 0.5}, {"tau": 1.0}]}},
         "divides by the classes' shares after the loss 'logit_adjusted'"),
        ({"weights": {"set": {"loss": {"name": "cross_entropy", "options": {"exponent": 0.5}}},
                      "candidates": [{"train.optimizer.lr": 0.001}, {"train.optimizer.lr": 0.05}]},
          "wrong": {"after": "logit_adjustment", "of": "weights", "candidates": [{"tau": 0.5}, {"tau": 1.0}]}},
         "divides by the classes' shares after the loss 'cross_entropy'"),
    ],
)  # fmt: skip
def test_a_rule_that_could_not_be_fitted_is_refused_before_anything_is_trained(
    file: Path, tmp_path: Path, methods: dict[str, Any], said: str
) -> None:
    written(file, methods=methods)
    with pytest.raises(ConfigError, match="easy: wrong") as error:
        check_faces(load_mitigation(file), "all", Places(folder=tmp_path, out=tmp_path / "out"))
    assert said in str(error.value)


def test_what_is_done_is_not_tried_again(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.mitigate import checks

    tried = []
    monkeypatch.setattr(checks, "rehearse", tried.append)
    places = Places(folder=tmp_path, out=tmp_path / "out")
    check_methods(load_mitigation(file), "all", places)
    assert len(tried) == 4  # two candidates of the baseline, two of the method that is trained
    monkeypatch.setattr(checks, "standing_of", lambda cell: replace(standing_of(cell), state="failed"))
    check_methods(load_mitigation(file), "all", places)
    assert len(tried) == 4
    check_methods(load_mitigation(file), "all", places, retry=True)
    assert len(tried) == 8


def test_settings_may_have_methods_of_their_own_or_none(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = {"offsets": STUDY["methods"]["offsets"], "weights": STUDY["methods"]["weights"]}
    written(
        file,
        methods=methods,
        settings={"first": {"methods": ["offsets"]}, "second": {}, "plain": {"methods": []}},
        probes=False,
    )
    out, page = tmp_path / "out", tmp_path / "page"
    assert mitigate(file, out=out, page=page) == 0
    matrix = (page / "README.md").read_text()
    assert "| offsets |" in matrix
    assert "| weights | - |" in matrix  # not of the first setting
    assert "| method | first | second |" in matrix
    assert "The baseline's where nothing is done to the faces" in matrix
    assert "- plain: largest gap" in matrix
    plain = (page / "plain" / "README.md").read_text()
    assert plain.startswith("# easy: plain\n\nThe baseline alone, 2 candidates, 2 seeds each.")
    assert "No method raised" not in plain
    # The same faces choose in all of them, so that the baseline's runs are shared.
    assert len(list((out / "cells").iterdir())) == 8
    told = json.loads((page / "second" / "records.json").read_text())
    assert told["eligible"] == ["female", "male"]
    # Of some settings the matrix would be a poorer one.
    (page / "README.md").unlink()
    assert mitigate(file, out=out, page=page, setting=("second",)) == 0
    assert not (page / "README.md").exists()
