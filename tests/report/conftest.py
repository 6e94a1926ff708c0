import sys
from pathlib import Path

import pytest

from mien.audit import audit

sys.path.insert(0, str(Path(__file__).parent))

from report_simulation import make_predictions, make_run, make_store  # noqa: E402

from mien.stats.settings import Settings


@pytest.fixture(scope="session")
def pred():
    return make_predictions()


@pytest.fixture(scope="session")
def small_audit(pred):
    return audit(pred, ["gender", "age", "gender*age"], settings=Settings(n_boot=60, n_perm=60))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("stores") / "corpus")


@pytest.fixture(scope="session")
def run(tmp_path_factory, pred, store):
    """A whole run, with audit and store."""
    return make_run(tmp_path_factory.mktemp("runs") / "run", pred, store)
