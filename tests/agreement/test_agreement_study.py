"""benchmarks/agreement.py with one simulation each, and the measures on the real FERPlus votes."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from mien.agreement import Votes, fleiss_kappa, krippendorff_alpha, vote_sufficiency
from mien.data.datasets.ferplus import read_votes
from mien.labels import FERPLUS_VOCABULARY
from mien.stats.settings import Settings

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("agreement"), importlib.import_module("agreement_simulations")


def test_the_page_is_written_from_what_is_measured(modules, monkeypatch, tmp_path):
    study, simulations = modules
    for name, sizes in (("SIZES", (30,)), ("TEAM_SIZES", (400,)), ("FIT_SIZES", (100,))):
        monkeypatch.setattr(simulations, name, sizes)
    monkeypatch.setattr(simulations, "KINDS", {"always says neutral": "agreement", "three times as fast": "speed"})
    rng = np.random.default_rng(0)
    taste = rng.dirichlet(np.full(10, 0.3), 300)
    counts = np.array([rng.multinomial(10, p) for p in taste])
    path = tmp_path / "fer2013new.csv"
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    path.write_text(head + "".join(f"Training,x{i}.png,{','.join(map(str, c))}\n" for i, c in enumerate(counts)))
    read, cluster = study.read(path)
    np.testing.assert_array_equal(read, counts)
    real = study.measured(read, cluster, 0)
    clean = counts[counts[:, 8:].sum(1) <= 3]
    rows, example = simulations.annotators(clean, 1, 2, 0)
    content = {
        "command": "python benchmarks/agreement.py fer2013new.csv",
        "seed": 0,
        "versions": {"mien": "x"},
        "n": 300,
        "n_clean1": len(clean),
        "clusters": False,
        "sims": 1,
        "null_sims": 1,
        "alarm_sims": 1,
        "fit_sims": 1,
        "n_boot": 20,
        "coverage": simulations.coverage(clean, 1, 20, 0),
        "annotators": rows,
        "alarms": simulations.alarms(clean, 1, 1, 0),
        "speeds": {"alpha": 0.5},
    }
    page = study.page(content, real)
    assert "nan" not in page
    assert "None" not in page
    alpha = real["Clean1, class"]["alpha"].alpha
    assert str(alpha) in page
    assert f"{real['Clean1, class']['sufficiency'].next_gain.value:.4f}" in page
    assert "| three times as fast | 400 | 100 | 0.0 % | 100.0 % |" in page
    assert example.n == 100


def test_ferplus(real_data):
    counts = read_votes(real_data / "fer2013new.csv")[[f"votes_{v}" for v in FERPLUS_VOCABULARY]].to_numpy()
    clean = counts[counts[:, 8:].sum(1) <= 3]
    assert (len(counts), len(clean)) == (35_887, 35_393)
    votes = Votes.from_counts(clean, FERPLUS_VOCABULARY)
    alpha, kappa = (f(votes, unknown="class", settings=Settings(n_boot=20)) for f in (krippendorff_alpha, fleiss_kappa))
    assert alpha.alpha.value == pytest.approx(0.514, abs=1e-3)
    assert kappa.kappa.value == pytest.approx(alpha.alpha.value, abs=1e-4)
    curve = vote_sufficiency(votes, unknown="class", settings=Settings(n_boot=20))
    assert curve.exact
    assert curve.points[4].agreement_all.value == pytest.approx(0.912, abs=1e-3)
    assert curve.points[4].agreement_others.value == pytest.approx(0.825, abs=1e-3)
