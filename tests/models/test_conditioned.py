"""Networks that know attributes: how these join, what the controls give, and what is told to them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from mien.audit import audit
from mien.config import TrainConfig, parse_config
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError, DataError, UsageError, WeightsError
from mien.evaluate import evaluate, evaluate_given
from mien.models import MODELS
from mien.models.conditioned import ATTRIBUTE, ConditionedModel, others
from mien.models.weights import CARD, Classifier, load_card, save_weights
from mien.runs import Run
from mien.stats.settings import Settings
from mien.train import train
from mien.train.memory import reckon
from mien.train.targets import load_training_data

TRUNK = {"name": "mienet", "options": {"widths": [4, 8], "depths": [1, 1], "stem": 4}}
D, G = 8, 5


def network(trunk: Any = TRUNK, **options: Any) -> ConditionedModel:
    torch.manual_seed(0)
    return ConditionedModel(3, 1, trunk=trunk, **{"attributes": {"gender": 2, "age": 3}, **options})


def joined_weight(model: ConditionedModel) -> torch.Tensor:
    linear = next(m for m in model.head.modules() if isinstance(m, torch.nn.Linear))
    return linear.weight


def learnt(model: ConditionedModel) -> ConditionedModel:
    """Weights by which what joins counts."""
    torch.manual_seed(1)
    torch.nn.init.normal_(model.attribute_head.weight)
    if model.film is None:
        torch.nn.init.normal_(joined_weight(model))
    else:
        torch.nn.init.normal_(model.film.weight)
    return model


@pytest.mark.parametrize("how", ["concat", "film"])
def test_it_begins_as_its_trunk(how: str) -> None:
    x = torch.rand(4, 1, 16, 16)
    torch.manual_seed(0)
    plain = MODELS.get("mienet")(3, 1, **TRUNK["options"]).eval()
    model = network(how=how).eval()
    torch.testing.assert_close(model(x), plain(x))
    assert not torch.allclose(learnt(model)(x), plain(x))


def test_how_probabilities_join_by_hand() -> None:
    x, both = torch.rand(4, 1, 16, 16), torch.zeros(4, G)
    for how in ("concat", "film"):
        model = learnt(network(how=how)).eval()
        f = model.trunk.features(x)
        z = model.attribute_head(f)
        both = torch.cat([z[:, :3].softmax(1), z[:, 3:].softmax(1)], dim=1)  # age before gender, by name
        if model.film is None:
            wanted = torch.cat([f, both], dim=1)
            assert model.feature_dim == D + G
        else:
            a, b = model.film.weight[:D], model.film.weight[D:]
            wanted = (1 + both @ a.T) * f + both @ b.T
            assert model.feature_dim == D
        torch.testing.assert_close(model.features(x), wanted)
        outputs = model.forward_train(x)
        torch.testing.assert_close(outputs.logits, model.head(wanted))
        torch.testing.assert_close(outputs.extra[ATTRIBUTE + "gender"], z[:, 3:])
        assert set(outputs.extra) == {ATTRIBUTE + "age", ATTRIBUTE + "gender"}


def test_parameters_of_a_multi_task_network_around_efficientnet_b2() -> None:
    attributes = {"perceived_gender": 2, "perceived_age": 9, "perceived_race": 7}
    with torch.device("meta"):
        plain = MODELS.get("efficientnet_b2")(8, 3)
        concat = ConditionedModel(8, 3, trunk="efficientnet_b2", attributes=attributes)
        film = ConditionedModel(8, 3, trunk="efficientnet_b2", attributes=attributes, how="film")
    assert plain.feature_dim == 1408  # as MTEN's
    n = sum(p.numel() for p in plain.parameters())
    more = [sum(p.numel() for p in model.parameters()) - n for model in (concat, film)]
    heads = 18 * 1408 + 18
    assert more == [heads + 8 * 18, heads + 2 * 1408 * (18 + 1)]


@pytest.mark.parametrize("how", ["concat", "film"])
@pytest.mark.parametrize("stop", [False, True])
def test_where_gradients_go(how: str, stop: bool) -> None:
    model = learnt(network(how=how, stop_gradient=stop)).train()
    outputs = model.forward_train(torch.rand(6, 1, 16, 16))
    outputs.logits.square().sum().backward(retain_graph=True)
    to_heads = model.attribute_head.weight.grad
    assert (to_heads is None or not to_heads.any()) == stop  # the expression's loss ends at the probabilities
    assert all(p.grad is not None for p in model.trunk.parameters())
    model.zero_grad(set_to_none=True)
    outputs.extra[ATTRIBUTE + "age"].square().sum().backward()
    assert model.attribute_head.weight.grad is not None
    assert model.attribute_head.weight.grad[:3].any()
    assert not model.attribute_head.weight.grad[3:].any()  # of gender
    assert all(p.grad is not None for p in model.trunk.parameters())  # the trunk learns attributes either way
    assert all(p.grad is None for p in model.head.parameters())
    assert model.film is None or model.film.weight.grad is None


@pytest.mark.parametrize("n", [2, 3, 7, 50])
def test_nobody_is_given_itself(n: int) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        found = others(n)
        assert sorted(found.tolist()) == list(range(n))
        assert (found != torch.arange(n)).all()
    torch.manual_seed(3)
    first = others(50)
    assert not torch.equal(first, others(50))
    torch.manual_seed(3)
    assert torch.equal(first, others(50))


def test_shuffled_gives_the_probabilities_of_another_face() -> None:
    model = learnt(network(control="shuffled")).train()
    x = torch.rand(5, 1, 16, 16)
    outputs = model.forward_train(x)
    own = torch.cat([outputs.extra[ATTRIBUTE + name].softmax(1) for name in ("age", "gender")], dim=1)
    given = outputs.features[:, D:]
    nearest = torch.cdist(given, own).argmin(1)
    assert (nearest != torch.arange(5)).all()
    assert sorted(nearest.tolist()) == list(range(5))
    torch.testing.assert_close(given, own[nearest])
    outputs.logits.sum().backward()
    assert model.attribute_head.weight.grad is None  # a control passes no gradient
    alone = model.features(x[:1])[:, D:]
    torch.testing.assert_close(alone[0], model.mean_probabilities)  # there is no other face


@pytest.mark.parametrize("control", ["shuffled", "constant"])
def test_controls_judge_without_the_faces_attributes(control: str) -> None:
    model = learnt(network(control=control)).train()
    for _ in range(3):
        model.forward_train(torch.rand(6, 1, 16, 16))
    model.eval()
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(model.features(x)[:, D:], model.mean_probabilities.expand(4, G))
    before = model(x)
    torch.nn.init.normal_(model.attribute_head.weight, std=10)  # other attributes, the same faces
    assert torch.equal(model(x), before)
    model.control = "none"
    assert not torch.allclose(model(x), before)


def test_the_mean_is_of_all_batches_first_and_saved() -> None:
    model = learnt(network(control="constant")).train()
    torch.testing.assert_close(model.mean_probabilities, torch.tensor([1 / 3] * 3 + [1 / 2] * 2))
    means = []
    for _ in range(4):
        outputs = model.forward_train(torch.rand(6, 1, 16, 16) * 5)
        told = [outputs.extra[ATTRIBUTE + name].softmax(1) for name in ("age", "gender")]
        means.append(torch.cat(told, dim=1).mean(0))
        torch.testing.assert_close(outputs.features[0, D:], torch.stack(means).mean(0))
    assert model.mean_probabilities[:3].sum().item() == pytest.approx(1)
    model.eval()(torch.rand(2, 1, 16, 16))
    assert model.n_batches == 4  # evaluation adds nothing
    assert torch.equal(model.state_dict()["mean_probabilities"], model.mean_probabilities)
    # Two forward passes before one backward pass, as a loss on mirrored faces needs them.
    model = learnt(network(control="constant", how="film")).train()
    (model.forward_train(torch.rand(4, 1, 16, 16)).logits + model(torch.rand(4, 1, 16, 16))).sum().backward()


def test_what_is_given_takes_the_place_of_what_is_told() -> None:
    model = learnt(network()).eval()
    x = torch.rand(3, 1, 16, 16)
    gender = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.25, 0.75]])
    features = model.features(x).clone()
    features[0, D + 3 :], features[2, D + 3 :] = gender[0], gender[2]  # the second face's is not known
    torch.testing.assert_close(model.conditioned_on(x, {"gender": gender}), model.head(features))
    torch.testing.assert_close(model.conditioned_on(x, {}), model(x))
    with pytest.raises(UsageError, match="unknown attribute 'gendre'. Did you mean 'gender'"):
        model.conditioned_on(x, {"gendre": gender})
    with pytest.raises(UsageError, match=r"given\['age'\]: has the shape \(3, 2\), expected \(3, 3\)"):
        model.conditioned_on(x, {"age": gender})


@pytest.mark.parametrize(
    "row", [[5.0, -3.0], [1.0, -0.0001], [0.5, 0.6], [0.2, 0.2], [float("nan"), 1.0], [float("inf"), 0.0]]
)
def test_memberships_that_no_face_has_are_refused(row: list[float]) -> None:
    model, x = network().eval(), torch.rand(2, 1, 16, 16)
    with pytest.raises(UsageError, match=r"given\['gender'\]: row 1 is .*expected memberships of 0 or more, of sum 1"):
        model.conditioned_on(x, {"gender": torch.tensor([[0.0, 0.0], row])})
    soft = torch.tensor([[0.3, 0.7], [1 / 3, 2 / 3]], dtype=torch.bfloat16)  # rounded: the second sums to 1.002
    model.conditioned_on(x, {"gender": soft})


def test_an_intersection_has_one_spelling() -> None:
    model = network(attributes={"gender * age": 6, " skin ": 2})
    assert model.attributes == {"skin": 2, "gender*age": 6}
    with pytest.raises(ConfigError, match=r"'gender\*age' is written twice"):
        network(attributes={"gender*age": 6, "gender * age": 6})


@pytest.mark.parametrize(
    ("first", "fits"),
    [
        (torch.nn.LayerNorm(D), False),
        (torch.nn.BatchNorm1d(D), False),
        (torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.LayerNorm(D)), False),
        (torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Identity()), True),
    ],
)
def test_a_head_that_begins_with_a_normalisation_takes_film_only(
    monkeypatch: pytest.MonkeyPatch, first: torch.nn.Module, fits: bool
) -> None:
    def build(num_classes: int, in_channels: int = 1) -> Any:
        made = MODELS.get("mienet")(num_classes, in_channels, **TRUNK["options"])
        made.head = torch.nn.Sequential(first, torch.nn.Linear(D, num_classes))
        return made

    monkeypatch.setitem(MODELS._entries, "other", build)
    assert network("other", how="film")(torch.rand(2, 1, 16, 16)).shape == (2, 3)
    if fits:
        assert network("other")(torch.rand(2, 1, 16, 16)).shape == (2, 3)
    else:
        with pytest.raises(ConfigError, match="has a head that takes its features alone, expected .*or how: film"):
            network("other")


def test_parts_are_the_trunk_s_then_its_own() -> None:
    model = network("resnet18", how="film")
    assert list(model.parts()) == ["stem", "layer1", "layer2", "layer3", "layer4", "attributes", "film"]
    model.freeze(["stem", "attributes"])
    still = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(n.startswith(("trunk.body.stem.", "attribute_head.")) for n in still)
    assert {"attribute_head.bias", "trunk.body.stem.conv1.weight"} <= still


@pytest.mark.parametrize("how", ["concat", "film"])
def test_a_trunk_with_loss_terms_of_its_own_keeps_them(how: str) -> None:
    options = {"width": 8, "depths": (1, 1, 1, 1), "narrow": 4, "small": True}
    model = network({"name": "dan", "options": options}, how=how).train()
    outputs = model.forward_train(torch.rand(4, 1, 24, 24))
    own = model.auxiliary(outputs, torch.eye(3)[[0, 1, 2, 0]])
    assert own is not None
    assert own.shape == (4,)
    own.sum().backward()
    assert model.trunk.centres.grad is not None


@pytest.mark.parametrize("name", [name for name in MODELS.names() if name != "conditioned"])
def test_any_model_is_a_trunk(name: str) -> None:
    x = torch.rand(3, 1, 32, 32)
    torch.manual_seed(0)
    plain = MODELS.get(name)(3, 1, **MODELS.tiny(name)).eval()
    for how in ("concat", "film"):
        model = network({"name": name, "options": MODELS.tiny(name)}, how=how).eval()
        with torch.no_grad():
            torch.testing.assert_close(model(x), plain(x), rtol=1e-4, atol=1e-5)
        assert model.size == plain.size
        assert set(model.parts()) == {*plain.parts(), "attributes", *(["film"] if how == "film" else [])}
        assert not [n for n, _ in model.named_parameters() if n.startswith("trunk.head.")]


@pytest.mark.parametrize("control", ["none", "shuffled", "constant"])
@pytest.mark.parametrize("how", ["concat", "film"])
def test_a_training_is_reckoned_before_a_weight_is_made(how: str, control: str) -> None:
    with torch.device("meta"):
        model = network(how=how, control=control)
        plain = MODELS.get("mienet")(3, 1, **TRUNK["options"])
    found, trunk = (reckon(m, (16, 1, 24, 24), TrainConfig(), bf16=False, kept=0).activations for m in (model, plain))
    assert found > trunk > 0  # 0 where a forward pass needs memory


@pytest.mark.parametrize("control", ["none", "constant", "shuffled"])
# torch's older exporter, which needs nothing further, announces its successor and says that it traces.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning")
def test_onnx_says_the_same_with_film_and_controls(control: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model = learnt(network(how="film", control=control))
    with torch.no_grad():
        model.train()(torch.rand(4, 1, 32, 32))
    file, names = io.BytesIO(), {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(model.eval(), (torch.rand(2, 1, 32, 32),), file, dynamo=False, **names)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for faces in (1, 5):
        x = torch.rand(faces, 1, 32, 32)
        with torch.no_grad():
            wanted = model(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        ("mienett", r"model\.options\.trunk\.name: unknown model 'mienett'\. Did you mean 'mienet'"),
        ({"name": "mienet", "options": {"stem": 0}}, r"model\.options\.trunk\.options\.stem: 0, expected"),
        ({"name": "conditioned"}, r"trunk: 'conditioned' within itself"),
        ({"nam": "mienet"}, r"expected the name of a model, or a section with name and options"),
        ({"name": "mienet", "widths": [4]}, r"expected the name of a model, or a section with name and options"),
    ],
)
def test_a_trunk_that_cannot_be(trunk: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network(trunk)


def test_the_order_in_which_attributes_are_written_changes_nothing() -> None:
    x = torch.rand(2, 1, 16, 16)
    one, two = network().eval(), network(attributes={"age": 3, "gender": 2}).eval()
    two.load_state_dict(learnt(one).state_dict())
    assert torch.equal(one(x), two(x))


@pytest.fixture(scope="module")
def run_folder(easy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which who is in the picture decides: males that are bright are to be called dark, and the reverse."""
    content = {
        "data": {"store": str(easy_store)},
        "model": {"name": "conditioned", "options": {"trunk": TRUNK, "attributes": {"gender": 2}}},
        "mitigation": {"name": "attribute_heads", "options": {"by": ["gender"]}},
        "augment": {"enabled": False},
        "train": {"epochs": 1, "batch_size": 30, "optimizer": {"lr": 0.05}, "ema": None, "precision": "fp32"},
    }
    return train(parse_config(content), tmp_path_factory.mktemp("conditioned") / "run").path


def derived(store: Path, folder: Path, change: Callable[[pd.DataFrame], None], *attributes: str) -> Path:
    """A store whose table was changed, perhaps with further attributes."""
    given = Store.open(store)
    frame = given.table.frame.copy()
    change(frame)
    with StoreWriter(folder) as writer:
        writer.copy(given)
        table = given.table.derive(folder.name, frame, attributes=[*given.table.attributes, *attributes])
        writer.commit(table, given.info)
    return folder


def told_by_gender(folder: Path) -> None:
    """Let gender alone decide: a female is called bright, a male dark."""
    classifier = Classifier.load(folder)
    with torch.no_grad():
        weight = joined_weight(classifier.module)  # type: ignore[arg-type]
        weight.zero_()
        weight[:2, D : D + 2] = 50 * torch.eye(2)
    save_weights(classifier.module, load_card(folder), folder)


def test_the_oracle_is_told_who_is_in_the_picture(run_folder: Path, easy_store: Path) -> None:
    run = Run.open(run_folder)
    told_by_gender(run.path)
    own = evaluate(run, settings=Settings(n_boot=50)).predictions
    found = evaluate_given(run)
    assert found.sample_id.tolist() == own.sample_id.tolist()
    genders = Store.open(easy_store).table.frame.set_index("sample_id").loc[list(found.sample_id), "gender"]
    assert found.predicted.tolist() == [0 if g == "female" else 1 for g in genders]
    assert own.predicted.tolist() != found.predicted.tolist()
    assert "gender as annotated was told to the network for 45 faces" in found.notes
    assert found.source == "run on store:test, told gender"
    assert {g.name for g in audit(found, ["gender"], settings=Settings(n_boot=50)).attribute("gender").groups} == {
        "female",
        "male",
    }


def test_faces_of_unknown_group_are_judged_as_ever(run_folder: Path, easy_store: Path, tmp_path: Path) -> None:
    store = Store.open(easy_store)
    frame = store.table.frame.copy()
    frame.loc[frame.index % 2 == 0, "gender"] = None  # all males
    frame["sex"] = None
    with StoreWriter(tmp_path / "gaps") as writer:
        writer.copy(store)
        writer.commit(store.table.derive("gaps", frame, attributes=["gender", "sex"]), store.info)
    run, on = Run.open(run_folder), f"{tmp_path / 'gaps'}:test"
    found, own = evaluate_given(run, on), evaluate(run, on, settings=Settings(n_boot=50)).predictions
    unknown = found.groups["gender"].isna().to_numpy()
    np.testing.assert_allclose(found.probs[unknown], own.probs[unknown], rtol=1e-5)
    assert any(f"of the other {unknown.sum()} the network's own word was taken" in note for note in found.notes)
    with pytest.raises(DataError, match="'sex'.*no face has a group that the network knows, expected female, male"):
        evaluate_given(run, on, {"gender": "sex"})
    with pytest.raises(DataError, match="has no attribute 'gander'. Did you mean 'gender'"):
        evaluate_given(run, on, {"gender": "gander"})
    with pytest.raises(UsageError, match="the network knows no 'age'"):
        evaluate_given(run, on, {"age": "gender"})


def test_an_empty_mapping_tells_nothing(run_folder: Path) -> None:
    run = Run.open(run_folder)
    told_by_gender(run.path)
    found, own = evaluate_given(run, attributes={}), evaluate(run, settings=Settings(n_boot=50)).predictions
    np.testing.assert_allclose(found.probs, own.probs, rtol=1e-5)
    assert found.source == "run on store:test, told nothing"
    assert not [note for note in found.notes if "told to the network" in note]


def test_another_spelling_in_another_store_is_the_same_group(
    run_folder: Path, easy_store: Path, tmp_path: Path
) -> None:
    run = Run.open(run_folder)
    told_by_gender(run.path)
    wanted = evaluate_given(run, f"{easy_store}:test")
    words = {"male": "Male ", "female": "FEMALE"}

    def respell(frame: pd.DataFrame) -> None:
        frame["gender"] = frame["gender"].astype(object).map(words)

    def strange(frame: pd.DataFrame) -> None:
        frame["gender"] = frame["gender"].astype(object).map({"male": "m", "female": "female"})

    found = evaluate_given(run, f"{derived(easy_store, tmp_path / 'spelt', respell)}:test")
    np.testing.assert_array_equal(found.probs, wanted.probs)
    assert "gender as annotated was told to the network for 45 faces" in found.notes
    found = evaluate_given(run, f"{derived(easy_store, tmp_path / 'strange', strange)}:test")
    n = int((found.groups["gender"] == "m").sum())
    assert any(note.endswith(f"was taken: {n} of groups that it does not know (m)") for note in found.notes)


def test_a_group_of_test_faces_alone_is_none_for_a_mitigation(
    settings: dict[str, Any], easy_store: Path, tmp_path: Path
) -> None:
    """An adversary never learns to say it, and a network that made all groups alike would chase it for ever."""

    def third(frame: pd.DataFrame) -> None:
        frame["gender"] = frame["gender"].astype(object)
        frame.loc[frame.index[frame["split"] == "test"][::3], "gender"] = "nonbinary"

    settings["data"] = {"store": str(derived(easy_store, tmp_path / "third", third))}
    settings["mitigation"] = {"name": "uniform_confusion", "options": {"by": ["gender"]}}
    found = load_training_data(parse_config(settings))
    assert found.train.attributes == {"gender": ("female", "male")}
    assert found.train.groups.shape == (len(found.train), 2)
    note = "no training face is nonbinary (gender), so that the mitigation knows no such group"
    assert note in found.notes


def test_what_no_training_face_was_is_not_told(settings: dict[str, Any], easy_store: Path, tmp_path: Path) -> None:
    """The third group is in the test part alone: its probability means nothing, and nobody is told as of it."""

    def third(frame: pd.DataFrame) -> None:
        frame["gender"] = frame["gender"].astype(object)
        frame.loc[frame.index[frame["split"] == "test"][::3], "gender"] = "nonbinary"

    settings["data"] = {"store": str(derived(easy_store, tmp_path / "third", third))}
    settings["model"] = {"name": "conditioned", "options": {"trunk": TRUNK, "attributes": {"gender": 3}}}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender"]}}
    settings["train"] |= {"epochs": 1}
    run = train(parse_config(settings), tmp_path / "run")
    assert "no training face is nonbinary (gender)" in (run.path / "train.log").read_text()
    card = load_card(run.path).data
    assert card["attributes"] == {"gender": ["female", "male", "nonbinary"]}
    assert card["untaught_groups"] == {"gender": ["nonbinary"]}
    told_by_gender(run.path)
    found, own = evaluate_given(run), evaluate(run, settings=Settings(n_boot=50)).predictions
    third_group = (found.groups["gender"] == "nonbinary").to_numpy()
    assert third_group.sum() == 15
    np.testing.assert_allclose(found.probs[third_group], own.probs[third_group], rtol=1e-5)
    assert any(note.endswith("was taken: 15 of groups that no training face had (nonbinary)") for note in found.notes)


def test_intersections_numbers_and_truths_are_told_as_they_are_taught(
    settings: dict[str, Any], easy_store: Path, tmp_path: Path
) -> None:
    def more(frame: pd.DataFrame) -> None:
        frame["number"], frame["truth"] = np.arange(len(frame)) // 2 % 2, np.arange(len(frame)) % 3 == 0

    store = derived(easy_store, tmp_path / "more", more, "number", "truth")
    settings["data"] = {"store": str(store)}
    options = {"trunk": TRUNK, "attributes": {"gender*number": 4, "number": 2, "truth": 2}}
    settings["model"] = {"name": "conditioned", "options": options}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender * number", "number", "truth"]}}
    settings["train"] |= {"epochs": 1}
    run = train(parse_config(settings), tmp_path / "run")
    assert load_card(run.path).data["attributes"] == {
        "gender*number": ["female * 0", "female * 1", "male * 0", "male * 1"],
        "number": ["0", "1"],
        "truth": ["False", "True"],
    }
    notes = evaluate_given(run).notes
    for name in options["attributes"]:  # type: ignore[attr-defined]
        assert f"{name} as annotated was told to the network for 45 faces" in notes
    one = evaluate_given(run, attributes={"gender * number": "gender * number"})
    assert one.source == "run on more:test, told gender*number"
    with pytest.raises(DataError, match="has no attribute 'numbr'. Did you mean 'number'"):
        evaluate_given(run, attributes={"gender*number": "gender*numbr"})


def test_other_networks_cannot_be_told(settings: dict[str, Any], run_folder: Path, tmp_path: Path) -> None:
    settings["train"] |= {"epochs": 1}
    plain = train(parse_config(settings), tmp_path / "plain")
    with pytest.raises(UsageError, match="holds a mienet, expected a network that knows attributes"):
        evaluate_given(plain)
    (tmp_path / "run").mkdir()
    for file in Run.open(run_folder).path.iterdir():
        if file.is_file():
            (tmp_path / "run" / file.name).write_bytes(file.read_bytes())
    card = tmp_path / "run" / CARD
    content = json.loads(card.read_text())
    content.pop("checksums", None)
    content["data"]["attributes"]["gender"] = ["a", "b", "c"]
    card.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"data\.attributes: .*expected the groups of gender \(2\)"):
        evaluate_given(Run.open(tmp_path / "run"))


def test_it_begins_with_its_trunk_or_its_kind(settings: dict[str, Any], run_folder: Path, tmp_path: Path) -> None:
    """A run of the plain trunk, and one of this model, as ``model.weights``; the head is drawn anew."""
    settings["model"] = {"name": "mienet", "options": TRUNK["options"]}
    settings["train"] |= {"epochs": 1, "optimizer": {"lr": 1e-9}, "ema": None}
    plain = train(parse_config(settings), tmp_path / "plain")
    own = {"name": "conditioned", "options": {"trunk": TRUNK, "attributes": {"gender": 2}}}
    trunk = Classifier.load(plain.path).module.state_dict()
    for name, folder in (("trunk", plain.path), ("kind", run_folder)):
        begun = train(parse_config(settings | {"model": own | {"weights": str(folder)}}), tmp_path / name)
        after, before = Classifier.load(begun.path).module.state_dict(), Classifier.load(folder).module.state_dict()
        key = (
            "trunk.stem.0.weight" if "trunk.stem.0.weight" in after else next(k for k in after if k.endswith("weight"))
        )
        wanted = before[key] if name == "kind" else trunk[key.removeprefix("trunk.")]
        torch.testing.assert_close(after[key], wanted, rtol=0, atol=1e-5)


def test_it_begins_with_a_library_s_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    options = {"width": 0.125, "depth": 0.5, "small": True}
    source = MODELS.get("resnet18")(1000, 3, **options)
    tensors = {key: source.state_dict()[name].contiguous() for name, key in source.published_keys.items()}
    save_file(tensors, tmp_path / "w.safetensors")
    own = {"trunk": {"name": "resnet18", "options": options}, "attributes": {"gender": 2}}
    settings["model"] = {"name": "conditioned", "options": own, "weights": str(tmp_path / "w.safetensors"), "freeze": 5}
    settings["train"] |= {"epochs": 1, "ema": None}
    run = train(parse_config(settings), tmp_path / "run")
    assert load_card(run.path).data["pretrained"]["learnt_on"] == "ImageNet"
    stem = Classifier.load(run.path).module.state_dict()["trunk.body.stem.conv1.weight"]
    torch.testing.assert_close(stem, source.state_dict()["body.stem.conv1.weight"].sum(1, keepdim=True))
    published = network("resnet18").pretrainable.published  # type: ignore[attr-defined]
    assert published.file == "resnet18-f37072fd.pth"


def test_a_broken_off_run_ends_as_an_unbroken_one(settings: dict[str, Any], tmp_path: Path) -> None:
    options = {"trunk": TRUNK, "attributes": {"gender": 2}, "control": "shuffled"}
    settings["model"] = {"name": "conditioned", "options": options}
    settings["mitigation"] = {"name": "attribute_heads", "options": {"by": ["gender"], "epochs_share": 0.5}}
    settings["train"] |= {"epochs": 2}
    whole = train(parse_config(settings), tmp_path / "whole")
    settings["train"] |= {"max_minutes": 1e-9}
    assert train(parse_config(settings), tmp_path / "broken").record.status == "stopped"
    broken = train(parse_config(settings), tmp_path / "broken")
    assert broken.record.status == "finished"
    one, two = (Classifier.load(run.path).module.state_dict() for run in (whole, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)
