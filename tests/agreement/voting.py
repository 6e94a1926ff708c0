"""Votes of known truth for the tests of agreement."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from mien.agreement import Votes
from mien.audit.plain_results import from_plain
from mien.records import plain

CLASSES = ("anger", "fear", "joy", "calm")
PREVALENCE = np.array([0.4, 0.3, 0.2, 0.1])


def team_votes(rng, n, accuracy, m=None, confusion=None, unknown=0.0, seconds=False):
    """Votes of annotators a0, a1, ... of known accuracy, m of them a face; and the faces' classes.

    Mistakes are spread evenly, or as ``confusion`` ``(A, K, K)`` says.
    """
    a, k = len(accuracy), len(CLASSES)
    if confusion is None:
        right = np.asarray(accuracy, dtype=np.float64)[:, None, None]
        confusion = np.where(np.eye(k, dtype=bool), right, (1 - right) / (k - 1))
    z = rng.choice(k, n, p=PREVALENCE)
    who = rng.random((n, a)).argsort(1)[:, : m or a]
    word = (confusion[who, z[:, None]].cumsum(2) < rng.random((*who.shape, 1))).sum(2)
    vocabulary = CLASSES
    if unknown:
        vocabulary = (*CLASSES, "unknown")
        word = np.where(rng.random(who.shape) < unknown, k, word)
    time = rng.lognormal(1.0, 0.4, who.size) if seconds else None
    face = np.repeat(np.arange(n), who.shape[1])
    names = np.array([f"a{i}" for i in range(a)])[who.ravel()]
    return Votes.from_choices(face, names, np.array(vocabulary)[word.ravel()], vocabulary, seconds=time), z


def spread_votes(rng, n, m, k=4, total=10):
    """Rows of ten votes that each of m annotators spreads over the classes."""
    taste = rng.dirichlet(np.ones(k), n)
    rows = np.concatenate([[rng.multinomial(total, p) for p in taste] for _ in range(m)])
    return np.tile(np.arange(n), m), np.repeat([f"a{i}" for i in range(m)], n), rows


def round_trip(result):
    """Whether JSON gives the same result back."""
    text = json.dumps(plain(asdict(result)), allow_nan=False)
    again = from_plain(type(result), json.loads(text))
    return type(again) is type(result) and json.dumps(plain(asdict(again)), allow_nan=False) == text
