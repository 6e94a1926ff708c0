"""Simulations for benchmarks/agreement.py: votes dealt from FERPlus's own, and annotators of known confusion."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.agreement import (
    DawidSkene,
    Votes,
    dawid_skene,
    find_outliers,
    fleiss_kappa,
    krippendorff_alpha,
    vote_sufficiency,
)
from mien.labels import FERPLUS_VOCABULARY
from mien.records import Estimate
from mien.stats.settings import Settings

N_EXPRESSIONS, FULL = 8, 10
MEASURES = ("alpha", "kappa", "agreement with all, 3 votes", "agreement with others, 3 votes", "next-vote gain")
SIZES, TEAM_SIZES, FIT_SIZES = (30, 100, 300, 1000), (200, 800), (200, 1000)  # faces
N_ANNOTATORS, PER_FACE = 20, 5
KINDS: dict[str, str] = {
    "clicks at random": "agreement",
    "clicks at random half the time": "agreement",
    "clicks at random a quarter of the time": "agreement",
    "always says neutral": "agreement",
    "takes anger for sadness and fear for surprise, and back": "agreement",
    "says unknown in 20 % more of the faces": "unknown",
    "three times as fast": "speed",
}


def coverage(counts: np.ndarray, n_sims: int, n_boot: int, seed: int) -> list[dict[str, Any]]:
    """Samples of the real faces: how often the 95 % intervals hold the value of all faces."""

    def numbers(rows: np.ndarray, n_boot: int, seed: int) -> list[Estimate]:
        votes = Votes.from_counts(rows, FERPLUS_VOCABULARY)
        alpha = krippendorff_alpha(votes, unknown="class", settings=Settings(n_boot=n_boot, seed=seed))
        kappa = fleiss_kappa(votes, unknown="class", settings=Settings(n_boot=n_boot, seed=seed))
        enough = vote_sufficiency(votes, FULL, unknown="class", settings=Settings(n_boot=n_boot, seed=seed))
        third = enough.points[2]
        return [alpha.alpha, kappa.kappa, third.agreement_all, third.agreement_others, enough.next_gain]

    truth = [e.value for e in numbers(counts, 2, 0)]
    rows = []
    for n in SIZES:
        held = []
        for i in range(n_sims):
            rng = np.random.default_rng([seed, n, i])
            found = numbers(counts[rng.integers(0, len(counts), n)], n_boot, i)
            held.append([e.low <= t <= e.high for e, t in zip(found, truth, strict=True)])
        rows.append({"faces": n, **dict(zip(MEASURES, np.mean(held, 0).tolist(), strict=True))})
    return rows


def deal(counts: np.ndarray, m: int, n_annotators: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``(n, m)`` annotators, drawn anew for each face, and the votes that each is dealt of the face's own."""
    n, k = counts.shape
    words = np.repeat(np.tile(np.arange(k), n), counts.astype(np.int64).ravel()).reshape(n, -1)
    dealt = np.take_along_axis(words, rng.random(words.shape).argsort(1)[:, :m], axis=1)
    return rng.random((n, n_annotators)).argsort(1)[:, :m], dealt


def named(who: np.ndarray, word: np.ndarray, vocabulary: tuple[str, ...], seconds: np.ndarray | None = None) -> Votes:
    """Votes of annotators called 00, 01, ..."""
    n, m = who.shape
    face = np.repeat(np.arange(n), m)
    names = np.array([f"{a:02d}" for a in range(who.max() + 1)])[who.ravel()]
    time_s = None if seconds is None else seconds.ravel()
    return Votes.from_rows(face, names, np.eye(len(vocabulary))[word.ravel()], vocabulary, seconds=time_s)


def team(counts: np.ndarray, n: int, kind: str | None, rng: np.random.Generator, slips: float = 0.0) -> Votes:
    """A team of 20, five a face, that votes as FERPlus's annotators did; annotator 00 does as `kind` says.

    Honest annotators click at random in a share of the faces that is their own, evenly spread from 0 to `slips`.
    """
    who, word = deal(counts[rng.integers(0, len(counts), n)], PER_FACE, N_ANNOTATORS, rng)
    chance = np.linspace(0, slips, N_ANNOTATORS)[who]
    word = np.where(rng.random(who.shape) < chance, rng.integers(0, N_EXPRESSIONS, who.shape), word)
    seconds = rng.lognormal(1.0, 0.5, who.shape)
    if kind is not None:
        odd = who == 0
        draw, random = rng.random(who.shape), rng.integers(0, N_EXPRESSIONS, who.shape)
        share = {"clicks at random": 1.0, "clicks at random half the time": 0.5}.get(kind, 0.25)
        if kind.startswith("clicks"):
            word = np.where(odd & (draw < share), random, word)
        elif kind.startswith("always"):
            word = np.where(odd, 0, word)
        elif kind.startswith("takes"):
            word = np.where(odd, np.array([0, 1, 6, 4, 3, 5, 2, 7, 8, 9])[word], word)
        elif kind.startswith("says"):
            word = np.where(odd & (draw < 0.2), N_EXPRESSIONS, word)
        else:
            seconds = np.where(odd, seconds / 3, seconds)
    return named(who, word, FERPLUS_VOCABULARY, seconds)


def alarms(counts: np.ndarray, null_sims: int, n_sims: int, seed: int) -> list[dict[str, Any]]:
    """How often an honest annotator is flagged, and an odd one; by faces that a team of 20 judges, five a face."""
    cases: list[tuple[str, str | None, float, float]] = [
        ("nobody odd, any difference", None, 0.0, 0.0),
        ("nobody odd", None, 0.0, 0.05),
        ("honest slips in 0 to 10 % of the faces", None, 0.1, 0.05),
        *((kind, kind, 0.0, 0.05) for kind in KINDS),
    ]
    rows = []
    for name, kind, slips, margin in cases:
        for n in TEAM_SIZES:
            wrong, found, short = [], [], []
            for i in range(n_sims if kind else null_sims):
                votes = team(counts, n, kind, np.random.default_rng([seed, n, i]), slips)
                pace = 0.5 if margin else 1.0
                result = find_outliers(votes, margin=margin, pace=pace, settings=Settings(n_boot=2), n_fits=0)
                wrong.append(any(a.flags for a in result.annotators if kind is None or a.name != "00"))
                odd = result.annotators[0]
                found.append(kind is not None and KINDS[kind] in odd.flags)
                short.append(odd.difference.value)
            row: dict[str, Any] = {"team": name, "faces": n, "each": n * PER_FACE // N_ANNOTATORS}
            row |= {"false alarm": float(np.mean(wrong)), "found": float(np.mean(found)) if kind else None}
            rows.append(row | {"difference": float(np.mean(short)) if kind else None})
    return rows


def confusable(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prevalence of FERPlus's classes by majority, and how the votes against a majority are spread: ``(8, 8)``."""
    votes = counts[:, :N_EXPRESSIONS]
    top = votes.argmax(1)
    other = np.stack([votes[top == k].sum(0) for k in range(N_EXPRESSIONS)])
    np.fill_diagonal(other, 0.0)
    return np.bincount(top, minlength=N_EXPRESSIONS) / len(top), other / other.sum(1, keepdims=True)


def confusions(kind: str, spread: np.ndarray, n_annotators: int) -> np.ndarray:
    """``(A, 8, 8)`` true confusion matrices: right with some chance, else wrong as FERPlus's annotators are."""
    right = np.full(n_annotators, 0.7) if kind != "right from 50 to 90 %" else np.linspace(0.5, 0.9, n_annotators)
    out = right[:, None, None] * np.eye(N_EXPRESSIONS) + (1 - right)[:, None, None] * spread
    if kind == "right 70 %, one adversary":
        out[0] = 0.9 * np.roll(np.eye(N_EXPRESSIONS), 1, axis=1) + 0.1 / N_EXPRESSIONS
    if kind == "right 70 %, a third click at random":
        out[: n_annotators // 3] = 1 / N_EXPRESSIONS
    return out


def annotators(counts: np.ndarray, n_sims: int, n_boot: int, seed: int) -> tuple[list[dict[str, Any]], DawidSkene]:
    """Dawid and Skene's model beside the majority where the truth is known: 12 annotators, five a face."""
    prevalence, spread = confusable(counts)
    n_annotators, rows, example = 12, [], None
    kinds = ("right 70 %", "right from 50 to 90 %", "right 70 %, one adversary", "right 70 %, a third click at random")
    for kind in kinds:
        truth = confusions(kind, spread, n_annotators)
        accuracy = np.einsum("k,akk->a", prevalence, truth)
        for n in FIT_SIZES:
            found = []
            for i in range(n_sims):
                rng = np.random.default_rng([seed, n, i])
                z = rng.choice(N_EXPRESSIONS, n, p=prevalence)
                who = rng.random((n, n_annotators)).argsort(1)[:, :PER_FACE]
                word = (truth[who, z[:, None]].cumsum(2) < rng.random((n, PER_FACE, 1))).sum(2)
                votes = named(who, np.minimum(word, N_EXPRESSIONS - 1), FERPLUS_VOCABULARY[:N_EXPRESSIONS])
                model = dawid_skene(votes, settings=Settings(n_boot=n_boot, seed=i))
                z = z[np.array(model.faces, dtype=np.int64)]  # faces come back in the order of their names
                tops = votes.totals == votes.totals.max(1, keepdims=True)
                estimates = [a.accuracy for a in model.annotators]
                held = [e.low <= t <= e.high for e, t in zip(estimates, accuracy, strict=True)]
                error = [abs(e.value - t) for e, t in zip(estimates, accuracy, strict=True)]
                by_model = (np.argmax(model.posterior, axis=1) == z).mean()
                found.append([by_model, (tops[np.arange(n), z] / tops.sum(1)).mean(), np.mean(error), np.mean(held)])
                if kind == "right 70 %, one adversary" and n == FIT_SIZES[-1]:
                    example = model
            names = ("by the model", "by majority", "error of accuracy", "interval holds it")
            rows.append({"team": kind, "faces": n, **dict(zip(names, np.mean(found, 0).tolist(), strict=True))})
    assert example is not None
    return rows, example
