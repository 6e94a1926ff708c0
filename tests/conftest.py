"""Thread limits before numpy and torch are imported, and the real corpora where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest  # noqa: E402

pytest_plugins = ("easy_store",)

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_FILES = ("fer2013new.csv", "fer2013.parquet")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the FERPlus votes and the FER2013 pictures; the test is skipped without it."""
    asked = os.environ.get("MIEN_DATA")
    folder = Path(asked) if asked else REPOSITORY.parent / "shared" / "data"
    missing = [name for name in REAL_FILES if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"no real data: {' and '.join(missing)} not in {folder}; set MIEN_DATA to the folder that has them")
    return folder
