"""Thread limits before numpy and torch are imported, and the real corpora where they are at hand."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest  # noqa: E402

pytest_plugins = ("easy_store",)

# Files that take longest come first: a worker that gets one of them last keeps all others waiting (see Makefile).
LONGEST = (
    "test_chain.py", "test_studies.py", "test_clusters.py", "test_load.py", "test_page.py", "test_audit.py",
    "test_train.py", "test_report_pages.py",
    "test_processes.py", "test_connections.py", "test_small_install.py", "test_seeds.py", "test_pooling_and_power.py",
    "test_stages.py", "test_audit_questions.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files, and leave the order of the tests in each."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


# What the small install goes without. Where one of these is missing, tests that need it are skipped, with its name.
EXTRAS = (
    "torch", "torchvision", "lightning_fabric", "tensorboard", "filelock", "sqlalchemy", "fastapi", "starlette",
    "uvicorn", "psycopg", "timm", "fairlearn", "onnx", "httpx2", "httpx", "playwright", "submitit", "ray",
    "optuna", "prometheus_client", "python_multipart",
)  # fmt: skip
ABSENT = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
collect_ignore = ["labelling"] if "sqlalchemy" in ABSENT else []


def _absent(text: str) -> str:
    """The package of an extra for want of which a test ended, if that is why."""
    said = [n for n in ABSENT if f"No module named '{n}" in text or f"the package '{n}' is not installed" in text]
    return said[0] if said else ""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file of tests that imports what an extra brings is skipped where the extra is not installed."""
    report = yield
    name = _absent(str(report.longrepr)) if report.failed else ""
    if name:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {name}, which the small install goes without")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that ends for want of what an extra brings is skipped where the extra is not installed."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    name = (
        _absent(str(error)) if report.failed and type(error).__name__ in ("ModuleNotFoundError", "MissingExtra") else ""
    )
    if name:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: needs {name}, which the small install goes without")
    return report


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are made whole, but their figures are not turned into SVG, which is most of what a page costs.

    For tests of what stands in a page or beside it. Fixtures of a whole module come first and are drawn, and so is a
    test marked ``drawn``.
    """
    if request.node.get_closest_marker("drawn"):
        return

    def empty(figure: Any, title: str | None = None, prefix: str | None = None) -> str:
        return f'<svg role="img" aria-label="{escape(str(figure.get_label() if title is None else title))}"></svg>'

    monkeypatch.setattr("mien.report.figures.figure_svg", empty)


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
