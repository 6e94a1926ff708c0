"""The studies that come with Mien can be read, and say what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.mitigate import load_mitigation
from mien.studies import SCALES, load_study

FOLDER = Path(__file__).resolve().parents[2] / "studies"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith("mitigate_"))
MITIGATIONS = sorted(FOLDER.glob("mitigate_*.yaml"))


def test_there_are_some() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_says_what_each_scale_shrinks_and_where_it_is_from(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert study.source
    assert study.about
    assert f"mien study run studies/{path.name}" in path.read_text().splitlines()[0]
    for cell in study.rows().values():
        assert (FOLDER / (cell.base or study.base)).is_file()
    for scale in SCALES:
        assert scale == "full" or scale not in study.scales or study.scales[scale].says
    assert "tiny" in study.scales


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("duan_")], ids=lambda p: p.stem)
def test_the_parts_that_it_is_judged_on_exist(path: Path) -> None:
    """Duan's studies are judged on parts that their split makes."""
    study = load_study(path)
    assert set(study.evaluate) <= {"train", "validation", "test", "test_complex"}


@pytest.mark.parametrize("path", MITIGATIONS, ids=lambda p: p.stem)
def test_a_study_of_mitigations_can_be_read(path: Path) -> None:
    study = load_mitigation(path)
    assert study.name == path.stem
    assert study.about
    assert (FOLDER / study.base).is_file()
    assert {"tiny", "small"} <= set(study.scales)
