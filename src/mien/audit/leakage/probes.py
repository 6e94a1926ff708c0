"""Probes: classifiers that try to read a group from features, fitted out of fold for many group vectors at once.

A permutation test refits its probe hundreds of times on the same features, and only the groups
differ. So each probe takes ``(P, n)`` groups, the observed and the permuted ones alike, shares
what does not depend on them, and treats every group vector as if it were alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.stats.cells import Ints

Groups = NDArray[np.int8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Progress = Callable[[], None]

_CHUNK = 8_000_000  # numbers held at once
_LEAST_SHRINKAGE = 1e-4
_HIDDEN = 16
_RATE, _BETA1, _BETA2, _EPSILON = 5e-3, 0.9, 0.999, 1e-8
_BATCHES, _LEAST_BATCH, _MOST_BATCH = 20, 32, 200
_STEPS, _LEAST_EPOCHS, _MOST_EPOCHS = 2000, 30, 100
_PATIENCE = 5
_HELD_OUT = 0.15
_NETS = 64  # trained side by side


def standardised(x: NDArray[Any]) -> Floats:
    """Columns of ``(n, D)`` with mean 0 and deviation 1; constant ones become 0. Groups are not looked at."""
    x = np.asarray(x, dtype=np.float64)
    spread = x.std(0)
    # Rounding leaves constant columns a trace of spread.
    divisor = np.where(spread > 1e-12 * (1 + np.abs(x).max(0)), spread, np.inf)
    return np.asarray((x - x.mean(0)) / divisor, dtype=np.float32)


def _chunks(codes: Groups, size: int) -> Iterator[slice]:
    for start in range(0, len(codes), max(1, size)):
        yield slice(start, start + max(1, size))


def linear_probe(x: Floats, codes: Groups, fold: Ints, n_groups: int) -> Groups:
    """Linear discriminant with equal priors, out of fold.

    Fisher's discriminant on the pooled covariance within groups, shrunk as Ledoit and Wolf (2004)
    say; each group counts the same, which is what balanced accuracy asks for. The covariance within
    is the total one (the same for all permutations: factorised once a fold) less what the group
    means add, a matrix of rank G: Woodbury's identity. With two groups it is balanced least squares.

    Args:
        x: ``(n, D)`` standardised features.
        codes: ``(P, n)`` groups below ``n_groups``.
        fold: ``(n,)`` the fold in which a row is predicted.
        n_groups: G.

    Returns:
        ``(P, n)`` predicted groups.
    """
    from scipy.linalg import cho_factor, cho_solve
    from sklearn.covariance import ledoit_wolf_shrinkage

    folds = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
    shrinkage = float(np.clip(ledoit_wolf_shrinkage(x, assume_centered=True), _LEAST_SHRINKAGE, 1.0))
    grams = [np.asarray(x[rows].T @ x[rows], dtype=np.float64) for rows in folds]
    sums = [x[rows].sum(0, dtype=np.float64) for rows in folds]
    factors = []
    for k, rows in enumerate(folds):
        n = len(x) - len(rows)
        mean = (np.sum(sums, 0) - sums[k]) / n
        total = (np.sum(grams, 0) - grams[k]) / n - np.outer(mean, mean)
        ridge = shrinkage * max(float(np.trace(total)) / len(total), 1e-6)
        factors.append((mean, cho_factor((1 - shrinkage) * total + ridge * np.eye(len(total)))))
    out = np.empty(codes.shape, dtype=np.int8)
    for chunk in _chunks(codes, _CHUNK // (n_groups * len(x))):
        group_sums, counts = _group_sums(x, codes[chunk], folds, n_groups)
        for k, rows in enumerate(folds):
            in_training = counts.sum(0) - counts[k]
            mean, factor = factors[k]
            means = (group_sums.sum(0) - group_sums[k]) / np.maximum(in_training, 1)[..., None] - mean
            directions = cho_solve(factor, means.reshape(-1, x.shape[1]).T).T.reshape(means.shape)
            weights, bias = _discriminants(means, directions, in_training, shrinkage)
            flat = weights.reshape(-1, x.shape[1]).astype(np.float32)
            scores = (x[rows] - mean.astype(np.float32)) @ flat.T + bias.reshape(-1).astype(np.float32)
            out[chunk, rows] = scores.reshape(len(rows), -1, n_groups).argmax(2).T
    return out


def _group_sums(x: Floats, codes: Groups, folds: list[Ints], n_groups: int) -> tuple[Doubles, Ints]:
    """Sums ``(F, P, G, D)`` of the features and counts ``(F, P, G)`` of the rows of each fold and group."""
    sums, counts = [], []
    for rows in folds:
        member = codes[:, None, rows] == np.arange(n_groups, dtype=np.int8)[:, None]
        flat = member.reshape(-1, len(rows)).astype(np.float32) @ x[rows]
        sums.append(flat.reshape(len(codes), n_groups, -1).astype(np.float64))
        counts.append(member.sum(2))
    return np.stack(sums), np.stack(counts)


def _discriminants(means: Doubles, directions: Doubles, counts: Ints, shrinkage: float) -> tuple[Doubles, Doubles]:
    """Weights ``(P, G, D)`` and biases ``(P, G)`` from the means U and A^-1 U, A the shrunk total covariance.

    With C the diagonal of (1 - shrinkage) times the shares of the groups and Q = U' A^-1 U,
    (A - U C U')^-1 U = A^-1 U (I + (C^-1 - Q)^-1 Q).
    """
    shares = np.maximum(counts, 1e-9) / counts.sum(-1, keepdims=True)
    q = means @ directions.transpose(0, 2, 1)
    inverse = np.eye(q.shape[1]) / np.maximum((1 - shrinkage) * shares, 1e-12)[:, None, :]
    mix = np.eye(q.shape[1]) + np.linalg.solve(inverse - q, q)
    bias = -0.5 * np.einsum("pgh,phg->pg", q, mix)
    # A group without a training row is never predicted.
    return mix.transpose(0, 2, 1) @ directions, np.where(counts > 0, bias, -np.inf)


def class_probe(label: Ints, codes: Groups, fold: Ints, n_groups: int) -> Groups:
    """The group in which a class is most frequent, out of fold: all that classes alone can tell.

    Args:
        label: ``(n,)`` classes from 0.
        codes: ``(P, n)`` groups below ``n_groups``.
        fold: ``(n,)`` the fold in which a row is predicted.
        n_groups: G.

    Returns:
        ``(P, n)`` predicted groups.
    """
    n_folds, k = int(fold.max()) + 1, int(label.max()) + 1
    out = np.empty(codes.shape, dtype=np.int8)
    cell = fold * k + label
    for p, groups in enumerate(codes):
        counts = np.bincount(groups.astype(np.int64) * n_folds * k + cell, minlength=n_groups * n_folds * k)
        by_fold = counts.reshape(n_groups, n_folds, k)
        training = by_fold.sum(1, keepdims=True) - by_fold
        rates = training / np.maximum(training.sum(2, keepdims=True), 1)
        out[p] = rates.argmax(0)[fold, label]
    return out


def mlp_probe(
    x: Floats,
    codes: Groups,
    fold: Ints,
    n_groups: int,
    unit: Ints,
    stream: Callable[[int], np.random.Generator],
    progress: Progress | None = None,
) -> Groups:
    """A network with one hidden layer of 16 rectified units, out of fold.

    Cross-entropy with each group weighted to the same sum, Adam (Kingma and Ba 2015), stopped early
    on 15 % of the training units. scikit-learn's network has no class weights in older versions and
    trains one at a time; here all group vectors share the batches, and the result of each is what it
    would be alone.

    Args:
        x: ``(n, D)`` standardised features.
        codes: ``(P, n)`` groups below ``n_groups``.
        fold: ``(n,)`` the fold in which a row is predicted.
        n_groups: G.
        unit: ``(n,)`` codes of independent units; none stands on both sides of early stopping.
        stream: Gives the generator of a fold; called anew for each set of networks.
        progress: Called after each fold.

    Returns:
        ``(P, n)`` predicted groups.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, import-not-found, unused-ignore]

    out = np.empty(codes.shape, dtype=np.int8)
    n_folds = int(fold.max()) + 1

    def predict(k: int) -> None:
        training, rows = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        for chunk in _chunks(codes, _NETS):
            rng = stream(k)
            held = _held_out(unit[training], rng)
            parameters = _train(x, codes[chunk], training[~held], training[held], n_groups, rng)
            out[chunk, rows] = _forward(x[rows], parameters)[1].argmax(2)

    # Products this small are slower on several threads than on one: the folds share the cores instead.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(n_folds, os.cpu_count() or 1)) as pool:
        for _ in pool.map(predict, range(n_folds)):
            if progress:
                progress()
    return out


def _held_out(unit: Ints, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows for early stopping: whole units, chosen without a look at groups."""
    units = np.unique(unit)
    held = rng.permutation(units)[: max(1, round(_HELD_OUT * len(units)))]
    return np.isin(unit, held)


def _forward(x: Floats, parameters: list[Floats]) -> tuple[Floats, Floats]:
    """Hidden ``(P, B, H)`` and logits ``(P, B, G)`` of ``(B, D)`` features."""
    w1, b1, w2, b2 = parameters
    hidden = np.matmul(x, w1)
    hidden += b1
    np.maximum(hidden, 0, out=hidden)
    return hidden, np.matmul(hidden, w2) + b2


def _log_softmax(logits: Floats) -> Floats:
    logits = logits - logits.max(-1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))


def _train(
    x: Floats, codes: Groups, training: Ints, held: Ints, n_groups: int, rng: np.random.Generator
) -> list[Floats]:
    """Train P networks; returns each one's parameters at its best epoch on the rows held out."""
    n_nets, n = len(codes), len(training)
    counts = (codes[:, None, training] == np.arange(n_groups)[:, None]).sum(2)
    weights = (n / (n_groups * np.maximum(counts, 1))).astype(np.float32)
    active = np.arange(n_nets)
    nets = [np.repeat(p[None], n_nets, axis=0) for p in _initial(x.shape[1], n_groups, rng)]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in nets]
    kept = [p.copy() for p in nets]
    best, since, step = np.full(n_nets, np.inf), np.zeros(n_nets, dtype=np.int64), 0
    n_batches = max(1, round(n / np.clip(n // _BATCHES, _LEAST_BATCH, _MOST_BATCH)))
    for _ in range(int(np.clip(_STEPS // n_batches, _LEAST_EPOCHS, _MOST_EPOCHS))):
        for rows in np.array_split(rng.permutation(training), n_batches):
            groups = codes[np.ix_(active, rows)]
            step += 1
            _update(nets, moments, _gradients(x[rows], groups, weights[active], nets), step)
        loss = _weighted_loss(x[held], codes[np.ix_(active, held)], weights[active], nets)
        better = loss < best[active] - 1e-4
        best[active] = np.where(better, loss, best[active])
        since[active] = np.where(better, 0, since[active] + 1)
        for keep, p in zip(kept, nets, strict=True):
            keep[active[better]] = p[better]
        going = since[active] < _PATIENCE
        if not going.all():
            active = active[going]
            nets = [p[going] for p in nets]
            moments = [(a[going], b[going]) for a, b in moments]
        if not len(active):
            break
    return kept


def _initial(n_features: int, n_groups: int, rng: np.random.Generator) -> list[Floats]:
    shapes = [(n_features, _HIDDEN), (1, _HIDDEN), (_HIDDEN, n_groups), (1, n_groups)]
    scales = [np.sqrt(2 / n_features), 0.0, np.sqrt(1 / _HIDDEN), 0.0]
    return [(scale * rng.standard_normal(s)).astype(np.float32) for s, scale in zip(shapes, scales, strict=True)]


def _of_group(weights: Floats, groups: Groups) -> Floats:
    """``(P, B)`` weights of rows from ``(P, G)`` weights of groups."""
    return np.take_along_axis(weights, groups.astype(np.int64), axis=1)


def _gradients(x: Floats, groups: Groups, weights: Floats, nets: list[Floats]) -> list[Floats]:
    """Gradients of the weighted cross-entropy of a batch."""
    hidden, logits = _forward(x, nets)
    error = np.exp(_log_softmax(logits))
    error -= groups[..., None] == np.arange(error.shape[2], dtype=np.int8)
    error *= _of_group(weights, groups)[..., None] / np.float32(len(x))
    back = np.matmul(error, nets[2].transpose(0, 2, 1))
    back *= hidden > 0
    return [
        np.matmul(x.T, back),
        back.sum(1, keepdims=True),
        np.matmul(hidden.transpose(0, 2, 1), error),
        error.sum(1, keepdims=True),
    ]


def _update(nets: list[Floats], moments: list[tuple[Floats, Floats]], gradients: list[Floats], step: int) -> None:
    """One step of Adam, in place."""
    rate = np.float32(_RATE * np.sqrt(1 - _BETA2**step) / (1 - _BETA1**step))
    for p, (first, second), g in zip(nets, moments, gradients, strict=True):
        first *= np.float32(_BETA1)
        first += np.float32(1 - _BETA1) * g
        second *= np.float32(_BETA2)
        second += np.float32(1 - _BETA2) * g * g
        p -= rate * first / (np.sqrt(second) + np.float32(_EPSILON))


def _weighted_loss(x: Floats, groups: Groups, weights: Floats, nets: list[Floats]) -> Doubles:
    """``(P,)`` cross-entropy with each group weighted as in training."""
    log_probs = _log_softmax(_forward(x, nets)[1])
    row_weights = _of_group(weights, groups)
    losses = -np.take_along_axis(log_probs, groups.astype(np.int64)[..., None], axis=2)[..., 0]
    return np.asarray((row_weights * losses).sum(1, dtype=np.float64) / row_weights.sum(1, dtype=np.float64))
