"""From a run that learnt attributes to an annotator, its held-out faces, card and use."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_annotator import GOLDEN, said
from PIL import Image

from mien.annotators.annotate import annotate
from mien.annotators.card import calibration_error, least_calibration_error
from mien.annotators.loading import load_annotator
from mien.annotators.mien import ABOUT, BUNDLED, PARTS, About, MienAnnotator, merged_heads, perceived, view_of
from mien.annotators.packing import as_seen, fit_scaling, pack_annotator
from mien.cli import app
from mien.config import parse_config
from mien.data.images import Store
from mien.demographics import AGE, GENDER, Head
from mien.errors import ConfigError, DataError, UsageError, WeightsError
from mien.evaluate import evaluate
from mien.experiment import run_experiment
from mien.predict import Predictor
from mien.prepare import prepare
from mien.runs import Run
from mien.stats.settings import Settings
from mien.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on FairFace's layout whose gender shows in brightness and whose age shows in colour."""
    folder = tmp_path_factory.mktemp("fairface")
    rng = np.random.default_rng(0)
    lines = ["file,age,gender,race"]
    (folder / "train").mkdir()
    for i in range(360):
        image = rng.normal(110, 25, (32, 32, 3))
        image += 50 * (i % 2)
        image[..., 0] += 50 * (i % 3 == 0)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "train" / f"{i}.png")
        age = "3-9" if i % 3 == 0 else "20-29"
        lines.append(f"train/{i}.png,{age},{'Female' if i % 2 else 'Male'},Black")
    (folder / "fairface_label_train.csv").write_text("\n".join(lines) + "\n")
    prepare(folder, folder / "store")
    config: dict[str, Any] = {
        "data": {"store": str(folder / "store")},
        "labels": {"attributes": ["gender", "age"]},
        "split": {"name": "hash", "options": {"validation": 90}},
        "augment": {"rotation": 0, "erasing": 0, "brightness": 0, "contrast": 0, "small_grey": 0.4},
        "model": {"name": "mienet", "options": {"widths": [8, 16], "depths": [1, 1], "stem": 8, "stem_stride": 2}},
        "train": {"epochs": 6, "batch_size": 30, "ema": 0.8, "precision": "fp32", "threads": 1, "monitor": "last"},
    }
    return train(parse_config(config), folder / "run")


@pytest.fixture(scope="module")
def packed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> MienAnnotator:
    return pack_annotator(run, tmp_path_factory.mktemp("packed") / "annotator", version="7")


def test_an_annotator_is_small_and_says_what_it_is(run: Run, packed: MienAnnotator) -> None:
    half, full = (Path(f / "model.safetensors").stat().st_size for f in (packed.folder, run.path))
    assert half < 0.6 * full + 4000  # the header does not shrink
    assert packed.version == "7"
    assert [h.name for h in packed.heads] == ["gender", "age", "age_group"]
    assert packed.source == "mienet trained with Mien on fairface"
    assert set(packed.about.calibrations) == {"colour_96", "colour_48", "grey_96", "grey_48"}


def test_what_it_says_of_its_held_out_faces_stands_beside_their_groups(run: Run, packed: MienAnnotator) -> None:
    store = Store.open(run.record.data["store"])
    held = run.splits.query("split == 'validation'")["sample_id"]
    known = packed.holdout_view("colour_96")
    assert len(known) == len(held)
    rows = store.table.frame["sample_id"].isin(set(held)).to_numpy()
    said = packed.annotate(store.images[rows])
    agree = (said.probs["gender"].argmax(1) == known.perceived("gender")).mean()
    assert agree > 0.9  # cross-fitted calibrations change a few winners
    assert np.trace(known.counts("gender")) / len(known) > 0.9
    assert known.counts("age_group").sum() == len(known)
    assert said.years[known.truth["age"] == 1].mean() + 3 < said.years[known.truth["age"] == 3].mean()


def test_the_card_is_counted_from_the_held_out_faces(packed: MienAnnotator) -> None:
    text = (packed.folder / "card.md").read_text()
    known = packed.holdout_view("grey_48")
    counts = known.counts("gender")
    right = f"{np.trace(counts) / counts.sum():.3f}"
    row = next(line for line in text.splitlines() if line.startswith("| gender | "))
    assert row.split("|")[5].strip().startswith(right)
    assert "must not be used" in text
    assert "perceived" in text
    assert "4,000" not in text


def test_a_grey_corpus_is_seen_as_grey(packed: MienAnnotator, tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3)).astype(np.uint8)
    assert view_of(colour) == "colour_96"
    assert view_of(np.repeat(colour[..., :1], 3, axis=3)) == "grey_96"
    assert view_of(colour[:, ::2, ::2, :1]) == "grey_48"
    assert as_seen(colour, "grey_48").shape == (3, 48, 48, 1)
    assert as_seen(colour, "colour_96") is colour
    assert "grey 48 px" in packed.holdout(colour[:, ::2, ::2, :1]).source


def test_its_errors_travel_with_the_columns(run: Run, packed: MienAnnotator, tmp_path: Path) -> None:
    store = Store.open(run.record.data["store"])
    made = annotate(store, tmp_path / "out", packed, holdout=packed.holdout(store.images))
    errors = Store.open(tmp_path / "out").table.annotator_errors
    assert "perceived_gender*perceived_age_group" in errors
    assert made.store.info["annotator"]["errors_counted_on"].startswith("90 validation faces of fairface (hash split)")
    accuracy = (made.store.table.frame["perceived_gender"].astype(str) == store.table.frame["gender"]).mean()
    assert accuracy > 0.9


def test_an_annotator_is_loaded_by_its_folder_and_refused_when_it_is_none(
    packed: MienAnnotator, tmp_path: Path
) -> None:
    assert load_annotator("mien", {"weights": str(packed.folder)}).version == "7"
    with pytest.raises(WeightsError, match=r"annotator.json.*Make one with 'mien annotator'"):
        load_annotator("mien", {"weights": str(tmp_path)})


@pytest.fixture
def folder(packed: MienAnnotator, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed.folder, tmp_path / "copy"))


@pytest.mark.parametrize("annotator", ["packed", "bundled"])
@pytest.mark.parametrize("name", PARTS)
def test_a_changed_file_of_an_annotator_is_found_on_loading(
    folder: Path, tmp_path: Path, annotator: str, name: str
) -> None:
    if annotator == "bundled":
        folder = Path(shutil.copytree(BUNDLED, tmp_path / "bundled"))
    assert set(About.load(folder).checksums) >= {*PARTS}
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name}: is not what was written .*make the annotator again"):
        MienAnnotator(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: cannot be read \(No such file"):
        MienAnnotator(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "annotator.json: version: 3, expected a valid string"),
        ({"calibrations": []}, r"annotator.json: calibrations: \[\]"),
        ({"calibrations": {"colour_96": {}}}, r"calibrations\.colour_96\.gender\.scale: nothing, expected 2 numbers"),
        ({"calibrations": {"colour_96": {"gender": {"scale": [1], "offset": [0, 0]}}}}, r"gender\.scale: \[1"),
        (
            {"calibrations": {"colour_96": {"gender": {"scale": ["1", 2]}}}},
            r"gender\.scale\.0: '1', expected a valid num",
        ),
        ({"more": 1}, "annotator.json: more: unknown key"),
    ],
)
def test_a_value_of_the_wrong_kind_in_an_annotator_is_named(folder: Path, change: dict[str, Any], message: str) -> None:
    content = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(content | change))
    with pytest.raises(WeightsError, match=r"annotator\.json: is not what was written"):
        MienAnnotator(folder)
    del content["checksums"]
    (folder / ABOUT).write_text(json.dumps(content | change))
    with pytest.raises(WeightsError, match=message):
        MienAnnotator(folder)


def test_an_annotator_of_an_older_version_loads_and_says_once_that_it_has_no_checksums(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps({k: v for k, v in content.items() if k != "checksums"}))
    for _ in range(2):
        assert MienAnnotator(folder).version == "7"
    assert [r.getMessage().split(" was made by")[0] for r in caplog.records] == [str(folder)]


def test_held_out_faces_that_are_no_probabilities_are_refused(folder: Path) -> None:
    held = pd.read_parquet(folder / "holdout.parquet")
    annotator = MienAnnotator(folder)
    for column, value, message in (
        ("colour_96_gender_Female", 7.0, "row 0: probabilities of gender add up to"),
        ("colour_96_gender_Female", "much", "column 'colour_96_gender_Female' holds .*expected numbers"),
        ("cluster", None, "holds null|a cluster is missing"),
        ("gender", "Other", "gender 'Other', expected Male, Female"),
    ):
        held.assign(**{column: value}).to_parquet(folder / "holdout.parquet")
        with pytest.raises(DataError, match=message):
            annotator.holdout_view("colour_96")


def test_only_runs_of_attributes_become_annotators(settings: dict[str, Any], run: Run, tmp_path: Path) -> None:
    settings["train"]["epochs"] = 1
    other = train(parse_config(settings), tmp_path / "run")
    with pytest.raises(UsageError, match="learnt expressions"):
        pack_annotator(other, tmp_path / "annotator")
    with pytest.raises(UsageError, match="which Mien did not write as an annotator"):
        pack_annotator(run, run.path, force=True)


def test_a_model_of_attributes_predicts_no_expressions(run: Run, packed: MienAnnotator) -> None:
    for folder in (run.path, packed.folder):
        with pytest.raises(UsageError, match=r"learnt attributes \(gender, age\).*mien annotator"):
            Predictor.load(folder)
    with pytest.raises(UsageError, match="learnt attributes"):
        evaluate(run)
    with pytest.raises(ConfigError, match="an experiment evaluates and audits expressions"):
        run_experiment(run.config, run.path)


def test_groups_of_ones_own_are_told_but_not_merged() -> None:
    own = (Head("age", ("young", "old")), GENDER)
    assert merged_heads(own) == own
    said = perceived(
        np.zeros((2, 4), dtype=np.float32),
        own,
        {n: {"scale": [1.0] * 2, "offset": [0.0] * 2} for n in ("age", "gender")},
    )
    assert said.years is None
    assert set(said.probs) == {"age", "gender"}


def test_an_annotator_that_needs_an_option_says_so() -> None:
    with pytest.raises(ConfigError, match="needs 'weights'. Pass --option weights="):
        load_annotator("fairface")


def test_scaling_undoes_a_known_miscalibration() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (20_000, 4))
    probs = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = (probs.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    wrong = 3 * (honest - np.array([1.0, 0.0, 0.0, -1.0]))
    found = fit_scaling(wrong, labels)
    np.testing.assert_allclose(found["scale"], 1 / 3, rtol=0.1)
    np.testing.assert_allclose(np.diff(found["offset"]), [-1, 0, -1], atol=0.15)
    assert calibration_error(probs, labels).low == 0
    sharp = np.exp(wrong) / np.exp(wrong).sum(1, keepdims=True)
    assert calibration_error(sharp, labels).low > 0.1
    head = Head("x", ("a", "b", "c", "d"))
    again = perceived(wrong.astype(np.float32), (head,), {"x": found}).probs["x"]
    assert calibration_error(again.astype(np.float64), labels).value < 0.02


def test_the_least_calibration_error_is_that_of_right_probabilities() -> None:
    rng = np.random.default_rng(3)
    probs = rng.dirichlet([1.0, 1.0, 1.0], 2000)
    seen = []
    for _ in range(40):
        labels = (rng.random((2000, 1)) > probs.cumsum(1)).sum(1).clip(0, 2)
        seen.append(calibration_error(probs, labels, settings=Settings(n_boot=2)).value)
    assert least_calibration_error(probs) == pytest.approx(np.mean(seen), abs=3 * np.std(seen) / np.sqrt(40))
    assert least_calibration_error(np.array([[1.0, 0.0]] * 50)) == 0


def test_the_one_in_the_box_keeps_its_promises() -> None:
    """The figures of its card, counted again from its held-out faces."""
    annotator = load_annotator("mien")
    assert sum(p.stat().st_size for p in BUNDLED.glob("*.safetensors")) < 8e6
    for view in ("colour_96", "grey_48"):
        known = annotator.holdout_view(view)
        assert len(known) == 4000
        for head in (GENDER, AGE):
            counts = known.counts(head.name)
            right = f"{np.trace(counts) / counts.sum():.3f}"
            assert right in (BUNDLED / "card.md").read_text()


def test_golden_outputs_of_the_one_in_the_box() -> None:
    now = said()
    for name, expected in json.loads(GOLDEN.read_text()).items():
        # bf16 and fp32 machines differ by a little.
        np.testing.assert_allclose(now[name], expected, atol=0.03)


def _mien(*words: object) -> None:
    with contextlib.suppress(SystemExit):
        app([str(w) for w in words], exit_on_error=False, print_error=False)


def test_the_commands_from_a_run_to_a_corpus_page(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _mien("annotator", run.path, "--out", tmp_path / "own", "--version", "2")
    assert "perceives gender, age, age_group; its card:" in capsys.readouterr().out
    store = run.record.data["store"]
    options = ["--option", f"weights={tmp_path / 'own'}", "--least", "gender=0.6"]
    _mien("annotate", store, "--out", tmp_path / "seen", *options)
    printed = capsys.readouterr().out
    assert "360 faces, mien 2 (mienet trained with Mien on fairface)" in printed
    assert "perceived_gender: Male" in printed
    assert "errors counted on 90 validation faces of fairface (hash split), colour 48 px; an audit corrects" in printed
    assert "perceived_age cannot be corrected: row '0-2' has no face" in printed
    assert "perceived, not known" in printed
    for second in ("gender=0.95", "perceived_gender=0.95"):
        with pytest.raises(ConfigError, match="--least: gender stands twice"):
            _mien("annotate", store, "--out", tmp_path / "x", *options, "--least", second)
    with pytest.raises(ConfigError, match="attribute=share"):
        _mien("annotate", store, "--out", tmp_path / "x", *options[:2], "--least", "gender=high")
    _mien("annotate", store, "--out", tmp_path / "again", *options[:2], "--holdout", f"{store}:train", "--json")
    captured = capsys.readouterr()
    assert "270 of 360 hold-out faces are left out: the annotator learnt from fairface" in captured.err
    content = json.loads(captured.out)
    assert content["attributes"] == ["perceived_gender", "perceived_age", "perceived_age_group"]
    assert Store.open(tmp_path / "again").table.annotator_errors["perceived_gender"]["source"].startswith("90 faces")
    _mien("report", tmp_path / "seen", "--out", tmp_path / "page.html")
    assert "By perceived gender" in (tmp_path / "page.html").read_text()
    with pytest.raises(UsageError, match="goes with stores"):
        _mien("report", run.path, "--by", "gender")
