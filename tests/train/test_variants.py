"""Copies of faces that are learnt beside them, the lean of a face, mixed faces, and steps on pictures, in real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mien.config import AdaptiveConfig, AugmentConfig, CopiesConfig, parse_config
from mien.data.augment import Augmentation
from mien.data.augment.inclination import by_eyes, by_symmetry
from mien.errors import ConfigError
from mien.mitigation.base import Batch
from mien.models.weights import CARD, WEIGHTS, load_card
from mien.pictures.alignment import IN_WORDS
from mien.prepare import prepare
from mien.train import train
from mien.train.batches import FaceBatches
from mien.train.mixing import Mixing
from mien.train.network import Pictures, TrainedNetwork
from mien.train.variants import Variants, _adapted, _copied


def test_copies_are_four_times_the_faces() -> None:
    found = _copied(CopiesConfig(), 3, seed=0)
    assert found.faces.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.changes[:4].tolist() == [[0, 0], [1, 0], [0, 20], [0, -20]]
    assert found.sets == {"as it is, mirrored, turned both ways": 3}
    assert _copied(CopiesConfig(rotation=(0.0, 0.0)), 3, seed=0).changes.tolist() == [[0, 0], [1, 0]] * 3
    assert len(_copied(CopiesConfig(flip=False), 3, seed=0).faces) == 9


def test_a_range_of_angles_is_drawn_once_a_face() -> None:
    found = _copied(CopiesConfig(rotation=(10.0, 30.0)), 500, seed=4).changes.reshape(500, 4, 2)
    angles = found[:, 2, 1]
    assert (found[:, 3, 1] == -angles).all()
    assert 10 <= angles.min() < 11
    assert 29 < angles.max() <= 30
    assert np.array_equal(found, _copied(CopiesConfig(rotation=(10.0, 30.0)), 500, seed=4).changes.reshape(500, 4, 2))
    assert not np.array_equal(angles, _copied(CopiesConfig(rotation=(10.0, 30.0)), 500, seed=5).changes[2::4, 1])


def test_sets_follow_the_lean() -> None:
    adaptive = AdaptiveConfig(low=4, high=15, rotation=10)
    found = _adapted(adaptive, np.array([0.0, -3.9, 4.0, -15.0, 15.1, -20.0, np.nan]))
    sets = [found.changes[found.faces == i].tolist() for i in range(7)]
    upright, ordinary = [[0, 0], [0, 10], [0, -10]], [[0, 0], [1, 0], [0, 10], [0, -10]]
    assert sets[0] == sets[1] == upright  # not mirrored
    assert sets[2] == sets[3] == sets[6] == ordinary  # thresholds belong to the middle; so does what is not known
    assert sets[4] == [[0, 0], [1, 0], [0, -10]]  # leans counter-clockwise: turned clockwise
    assert sets[5] == [[0, 0], [1, 0], [0, 10]]
    assert list(found.sets.values()) == [2, 2, 2, 1]
    assert sum(found.sets.values()) == 7


def test_every_picture_is_seen_once_an_epoch() -> None:
    found = _adapted(AdaptiveConfig(), np.array([0.0, 10.0, 30.0]))
    first, second = found.order(None, 0, 0), found.order(None, 0, 1)
    assert sorted(first) == sorted(second) == list(range(10))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, found.order(None, 0, 0))


def test_an_order_of_a_mitigation_is_one_of_faces_with_their_copies() -> None:
    even = _copied(CopiesConfig(), 3, seed=0)
    asked = np.array([2, 0, 2])
    shown = even.order(asked, 0, 0)
    assert sorted(shown) == sorted([*range(8, 12), *range(4), *range(8, 12)])  # each copy once for each time asked
    assert [number // 4 for number in shown] == [2, 0, 2] * 4  # in the order that was asked for
    uneven = _adapted(AdaptiveConfig(), np.array([0.0, 10.0, 30.0]))
    sizes = {len(uneven.order(np.random.default_rng(i).integers(0, 3, 6), 0, i)) for i in range(5)}
    assert sizes == {24}  # as many in every epoch, whoever is drawn


def test_a_picture_of_a_copy_has_its_face_s_targets_groups_and_weight() -> None:
    from mien.mitigation.faces import Faces

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    faces = Faces(
        rows=np.array([4, 2, 0]),
        targets=np.eye(3, dtype=np.float32),
        classes={"expression": ("a", "b", "c")},
        groups=np.array([[1, 0], [0, 1], [0, 0]], np.float32),
        attributes={"gender": ("f", "m")},
    )
    batches = FaceBatches(images, faces, variants=_copied(CopiesConfig(), 3, seed=0))
    batches.weigh(np.array([0.5, 1.0, 1.5], np.float32))
    batch = batches[np.array([5, 11, 0])]
    assert batch.rows.tolist() == [1, 2, 0]
    assert batch.variants is not None
    assert batch.variants.tolist() == [[1, 0], [0, -20], [0, 0]]
    assert batch.weights is not None
    assert batch.weights.tolist() == [1.0, 1.5, 0.5]
    assert torch.equal(batch.targets, torch.eye(3)[[1, 2, 0]])
    assert batch.groups.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert torch.equal(batch.images, torch.from_numpy(images[[2, 0, 4]]))
    plain = batches.as_they_are()[np.array([1])]
    assert plain.variants is None
    assert plain.rows.tolist() == [1]


def test_the_eyes_say_the_lean() -> None:
    frame = pd.DataFrame(
        {
            "landmark_0_x": [10.0, 10, 30, 10, 10],
            "landmark_0_y": [20.0, 20, 10, np.nan, 20],
            "landmark_1_x": [30.0, 30, 10, 30, 10],
            "landmark_1_y": [20.0, 10, 20, 20, 20],
        }
    )
    # Level; the right eye higher by 10 of 20; the same with the eyes named the other way round; unknown; one place.
    expected = [0.0, np.degrees(np.arctan(0.5)), np.degrees(np.arctan(0.5)), np.nan, np.nan]
    np.testing.assert_allclose(by_eyes(frame), expected)
    assert np.isnan(by_eyes(frame.drop(columns="landmark_1_y"))).all()


def leaning_faces(angles: list[float]) -> np.ndarray:
    """Drawn faces: an oval, two eyes, a mouth, brighter forehead; leaning counter-clockwise by degrees."""
    place = (np.arange(64) + 0.5) / 32 - 1
    out = []
    for angle in np.radians(angles):
        right, up = np.meshgrid(place, -place)
        x, y = right * np.cos(angle) + up * np.sin(angle), up * np.cos(angle) - right * np.sin(angle)
        face = 60 + 120.0 * ((x / 0.6) ** 2 + (y / 0.85) ** 2 < 1) + 20 * y
        for ex, ey, w, h in ((-0.25, 0.2, 0.12, 0.07), (0.25, 0.2, 0.12, 0.07), (0, -0.4, 0.25, 0.06)):
            face -= 90 * np.exp(-(((x - ex) / w) ** 2) - ((y - ey) / h) ** 2)
        out.append(face.clip(0, 255))
    return np.array(out, np.uint8)[..., None]


def test_symmetry_says_the_lean_and_nothing_of_flat_pictures() -> None:
    angles = [0.0, 4.0, -7.5, 12.0, -20.0]
    images = np.concatenate([leaning_faces(angles), np.full((1, 64, 64, 1), 90, np.uint8)])
    found = by_symmetry(images, np.arange(6))
    np.testing.assert_allclose(found[:5], angles, atol=1.0)
    assert np.isnan(found[5])
    np.testing.assert_allclose(by_symmetry(np.repeat(images, 3, axis=3), np.array([3])), found[3:4], atol=1e-3)


def test_a_turned_copy_of_a_leaning_face_stands_upright() -> None:
    images = leaning_faces([18.0, -18.0])
    sets = _adapted(AdaptiveConfig(rotation=15), by_symmetry(images, np.arange(2)))
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    nothing = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "shift": 0.0, "brightness": 0.0, "contrast": 0.0}
    back = Augmentation(**nothing, erasing=0.0)(x, torch.from_numpy(sets.changes[[2, 5]]))
    again = (back.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    np.testing.assert_allclose(by_symmetry(again, np.arange(2)), [3, -3], atol=1.2)


def seen(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that a run trains on, as its loader gives them."""
    found: list[Batch] = []
    forward = TrainedNetwork.forward

    def spy(self: TrainedNetwork, batch: Batch, at: Any) -> Any:
        found.append(batch)
        return forward(self, batch, at)

    monkeypatch.setattr(TrainedNetwork, "forward", spy)
    return found


def test_a_run_learns_each_copy_once_an_epoch(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = seen(monkeypatch)
    settings["augment"] = {"preset": "duan"}
    settings["train"]["epochs"] = 1
    lines: list[str] = []
    run = train(parse_config(settings), tmp_path / "run", say=lines.append)
    n = run.record.data["training_faces"]
    pictures = {(int(r), *v.tolist()) for b in batches for r, v in zip(b.rows, b.variants, strict=True)}
    assert len(pictures) == sum(len(b.rows) for b in batches) == 4 * n // 30 * 30
    assert f"{4 * n} pictures an epoch with the copies of faces: {n} as it is, mirrored, turned both ways" in lines
    assert run.record.data["augmented_copies"]["pictures"] == 4 * n
    assert run.record.data["validation_faces"] == 45  # no copies of these


@pytest.mark.parametrize(
    "augment",
    [
        {"preset": "duan"},
        {"adaptive": {"criterion": "symmetry"}, "rand_augment": {}},
        {"preset": "dan", "mixup": 0.4, "cutmix": 1.0},
        {"preset": "olate", "rand_augment": {"operations": 1}, "cutmix": 1.0},
    ],
    ids=["copies", "adaptive", "mixed", "cutmix"],
)
def test_many_sittings_make_one_run(augment: dict[str, Any], settings: dict[str, Any], tmp_path: Path) -> None:
    settings["augment"] = augment
    settings["mitigation"] = {"name": "reweighting", "options": {"by": ["gender"]}}
    settings["train"] |= {"epochs": 2, "batch_size": 50}
    config = parse_config(settings)
    whole = train(config, tmp_path / "whole")
    minutes = parse_config(settings | {"train": settings["train"] | {"max_minutes": 1e-6}})
    first = train(minutes, tmp_path / "parts")
    assert first.record.status == "stopped"
    assert train(config, tmp_path / "parts").record.status == "finished"
    ours, theirs = (load_file(p / WEIGHTS) for p in (whole.path, tmp_path / "parts"))
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_landmarks_that_nobody_has_are_asked_for(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["augment"] = {"adaptive": {"criterion": "landmarks"}}
    with pytest.raises(ConfigError, match=r"augment\.adaptive\.criterion: landmarks, but no eye is known.*symmetry"):
        train(parse_config(settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_validation_never_sees_augmentation(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["augment"] = {"preset": "dan", "copies": {}, "rand_augment": {}, "mixup": 1.0, "cutmix": 1.0}
    settings["train"]["epochs"] = 1
    augmented, judged = [], []
    call, look = Augmentation.__call__, Pictures.judged
    monkeypatch.setattr(Augmentation, "__call__", lambda s, x, v=None: augmented.append(len(x)) or call(s, x, v))

    def judge(self: Pictures, images: torch.Tensor, view: str = "") -> torch.Tensor:
        x = look(self, images, view)
        plain = (images.permute(0, 3, 1, 2).float() / 255 - self.card.mean[0]) / self.card.std[0]
        torch.testing.assert_close(x, plain, atol=1e-5, rtol=0)  # its pixels, and nothing else
        judged.append(len(x))
        return x

    monkeypatch.setattr(Pictures, "judged", judge)
    run = train(parse_config(settings), tmp_path / "run")
    assert sum(augmented) == 4 * run.record.data["training_faces"] // 30 * 30
    assert sum(judged) == run.record.data["validation_faces"]


def batch_of(n: int = 6) -> Batch:
    torch.manual_seed(0)
    groups = torch.eye(2)[torch.arange(n) % 2]
    groups[0] = 0  # its group is missing
    return Batch(
        torch.arange(1.0, n + 1)[:, None, None, None].repeat(1, 1, 8, 8),
        torch.eye(n),
        groups,
        torch.arange(n),
        torch.linspace(0.5, 1.5, n),
    )


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_pictures_targets_groups_and_weights_are_mixed_in_one_share(way: str) -> None:
    batch = batch_of()
    shares = []
    for seed in range(20):
        torch.manual_seed(seed)
        out = Mixing(**{way: 1.0})(batch)
        # The targets say who was mixed with whom, in which share.
        share = out.targets @ batch.images[:, 0, 0, 0]
        torch.testing.assert_close(out.images.mean((1, 2, 3)), share, atol=1e-5, rtol=0)
        torch.testing.assert_close(out.targets.sum(1), torch.ones(6))
        torch.testing.assert_close(out.groups, out.targets @ batch.groups)
        assert batch.weights is not None
        assert out.weights is not None
        torch.testing.assert_close(out.weights, out.targets @ batch.weights)
        assert float(out.weights.mean()) == pytest.approx(1.0, abs=1e-6)
        torch.testing.assert_close(out.targets[torch.arange(6), out.rows], out.targets.amax(1))
        if way == "cutmix":
            assert set(out.images.unique().tolist()) <= set(range(1, 7))  # pasted, not blended
        shares.append(float(out.targets.diagonal().min()))
        torch.manual_seed(seed)
        assert torch.equal(Mixing(**{way: 1.0})(batch).images, out.images)
    assert min(shares) < 0.3  # either face may have the larger share
    assert max(shares) > 0.8


def test_nothing_is_mixed_where_nothing_is_asked_and_both_ways_take_turns() -> None:
    batch = batch_of()
    assert Mixing()(batch) is batch
    pasted = 0
    for seed in range(60):
        torch.manual_seed(seed)
        pasted += bool((Mixing(mixup=1.0, cutmix=1.0)(batch).images % 1 == 0).all())
    assert 18 <= pasted <= 42


def test_a_run_s_card_says_what_is_done_to_each_picture(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["preprocess"] = ["median", "equalise", "plane"]
    settings["train"]["epochs"] = 1
    run = train(parse_config(settings), tmp_path / "run")
    card = load_card(run.path)
    assert card.preprocess == ("median", "equalise", "plane")
    assert (card.mean, card.std) == ((0.0,), (1.0,))  # the plane leaves each picture a range of its own
    content = json.loads((run.path / CARD).read_text())
    content.pop("checksums")
    content.pop("preprocess")
    (run.path / CARD).write_text(json.dumps(content))
    assert load_card(run.path).preprocess == ()  # as on cards of older versions
    settings["preprocess"] = ["median"]
    median = load_card(train(parse_config(settings), tmp_path / "median").path)
    assert median.mean[0] > 0.1  # of 0 to 1 as before
    with pytest.raises(ConfigError, match=r"preprocess\[0\]: 'medium', expected one of median, equalise"):
        parse_config(settings | {"preprocess": ["medium"]})


def test_switched_off_is_off() -> None:
    from mien.train.variants import variants_of

    assert variants_of(AugmentConfig(enabled=False, preset="duan"), None, 0) is None  # type: ignore[arg-type]
    assert isinstance(_copied(CopiesConfig(), 2, 0), Variants)


def test_a_card_says_that_faces_were_aligned_and_the_eyes_say_the_lean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,label,split," + ",".join(f"landmark_{i}_{axis}" for i in range(5) for axis in "xy")]
    angles = [0.0, 0.0, 0.0, 10.0, 10.0, 30.0]  # counter-clockwise: the right eye stands higher
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        rise = 8 * np.tan(np.radians(angles[i % 6]))
        points = [8, 10, 16, 10 - rise, *[""] * 6] if i != 6 else [""] * 10
        lines.append(f"{i}.png,{'ab'[i // 6 % 2]},{'train' if i < 12 else 'valid'},{','.join(map(str, points))}")
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    settings = {
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8}},
        "augment": {"adaptive": {"criterion": "landmarks"}},
        "train": {"epochs": 1, "batch_size": 8, "precision": "fp32", "threads": 1},
    }
    for align in (False, True):
        store = tmp_path / f"store{align}"
        prepare(tmp_path / "faces.csv", store, align=align)
        run = train(parse_config(settings | {"data": {"store": str(store)}}), tmp_path / f"run{align}")
        sets = list(run.record.data["augmented_copies"]["faces"].values())
        # Of twelve: six level less the one without eyes, four of 10 degrees, two of 30; aligned ones do not lean.
        assert sets == ([11, 0, 0, 1] if align else [5, 4, 2, 1])
        assert load_card(run.path).alignment == (IN_WORDS if align else "")
