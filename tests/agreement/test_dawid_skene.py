from dataclasses import replace

import numpy as np
import pytest
from voting import CLASSES, PREVALENCE, round_trip, spread_votes, team_votes

from mien.agreement import Votes, dawid_skene, find_outliers
from mien.agreement.summary import summarise, summary_text
from mien.errors import DataError, UsageError
from mien.stats.intervals import wilson
from mien.stats.settings import Settings

TWO = Settings(n_boot=2)


def right(model, votes, z):
    """Shares of faces given their class, by the model and by majority (ties by lot)."""
    order = np.array([int(f) for f in model.faces])
    truth = z[order]
    tops = votes.totals == votes.totals.max(1, keepdims=True)
    majority = tops[np.arange(len(truth)), z[[int(f) for f in votes.faces]]] / tops.sum(1)
    return float((np.argmax(model.posterior, axis=1) == truth).mean()), float(majority.mean())


def test_known_confusion_is_recovered():
    rng = np.random.default_rng(0)
    confusion = np.stack([0.6 * np.eye(4) + 0.4 * rng.dirichlet(np.ones(4), 4) for _ in range(6)])
    votes, _ = team_votes(rng, 3000, np.zeros(6), confusion=confusion)
    model = dawid_skene(votes, settings=Settings(n_boot=5))
    found = np.array([a.confusion for a in model.annotators])
    np.testing.assert_allclose(found.sum(2), 1)
    assert np.abs(found - confusion).max() < 0.08
    assert [model.prevalence[c].value for c in CLASSES] == pytest.approx(PREVALENCE, abs=0.03)
    assert model.converged
    assert sum(model.annotators[0].faces.values()) == pytest.approx(3000)


def test_it_beats_the_majority_where_one_is_an_adversary():
    accuracy = [0.7, 0.7, 0.7, 0.7]
    confusion = np.where(np.eye(4, dtype=bool), 0.7, 0.1) * np.ones((5, 1, 1))
    confusion[4] = 0.9 * np.roll(np.eye(4), 1, axis=1) + 0.025
    votes, z = team_votes(np.random.default_rng(1), 1500, [*accuracy, 0.025], confusion=confusion)
    model = dawid_skene(votes, settings=Settings(n_boot=10))
    ours, majority = right(model, votes, z)
    assert ours > majority + 0.08
    adversary = model.annotators[4]
    assert adversary.accuracy.high < 0.2
    assert np.array(adversary.confusion).argmax(1).tolist() == [1, 2, 3, 0]
    assert model.differs.value > 0.05


def test_every_step_climbs_and_none_is_drawn():
    votes, _ = team_votes(np.random.default_rng(2), 150, [0.9, 0.7, 0.6, 0.5, 0.3], m=3)
    first, second = (dawid_skene(votes, settings=Settings(n_boot=5, seed=0)) for _ in range(2))
    assert first == second
    assert len(first.objective) > 5
    assert np.diff(first.objective).min() > -1e-9
    other = dawid_skene(votes, settings=Settings(n_boot=5, seed=1))
    assert other.posterior == first.posterior
    short = dawid_skene(votes, settings=Settings(n_boot=5), max_steps=2)
    assert not short.converged
    assert "had not converged after 2 steps" in short.notes[-1]


def test_one_step_by_hand():
    """Two annotators, two faces, one step of EM without pooling."""
    votes = Votes.from_choices([0, 0, 1, 1], ["x", "y"] * 2, ["a", "a", "a", "b"], ("a", "b"))
    model = dawid_skene(votes, prior=0.0, max_steps=1, settings=TWO)
    start = np.array([[1, 0], [0.5, 0.5]])
    rho = (start.sum(0) + 0.5) / 3
    x = np.array([[1.5, 0], [0.5, 0]]) + 0.1 * (0.5 * np.eye(2) + 0.25)
    y = np.array([[1, 0.5], [0, 0.5]]) + 0.1 * (0.5 * np.eye(2) + 0.25)
    x, y = x / x.sum(1, keepdims=True), y / y.sum(1, keepdims=True)
    np.testing.assert_allclose(model.annotators[1].confusion, y)
    joint = rho * x[:, 0] * y[:, 1]
    np.testing.assert_allclose(model.posterior[1], joint / joint.sum())


def test_intervals_hold_the_accuracies():
    accuracy = np.array([0.9, 0.8, 0.75, 0.7, 0.7, 0.6])
    held, labels = [], []
    for seed in range(12):
        votes, z = team_votes(np.random.default_rng(seed), 250, accuracy, m=4)
        model = dawid_skene(votes, settings=Settings(n_boot=30, seed=seed))
        held.append([a.accuracy.low <= t <= a.accuracy.high for a, t in zip(model.annotators, accuracy, strict=True)])
        labels.append(right(model, votes, z))
    assert 0.86 < np.mean(held) < 1
    ours, majority = np.mean(labels, axis=0)
    assert ours > majority


def test_order_and_names_do_not_matter():
    rng = np.random.default_rng(4)
    votes, _ = team_votes(rng, 80, [0.8, 0.7, 0.6], m=3)
    words, order = votes.votes.argmax(1), rng.permutation(len(votes.face))
    face, who = votes.face[order], np.array(votes.annotators)[votes.annotator][order]
    again = Votes.from_choices(face, who, np.array(CLASSES)[words[order]], CLASSES)
    assert dawid_skene(again, settings=Settings(n_boot=5)).annotators == dawid_skene(
        Votes.from_choices(votes.face, np.array(votes.annotators)[votes.annotator], np.array(CLASSES)[words], CLASSES),
        settings=Settings(n_boot=5),
    ).annotators  # fmt: skip
    swapped = Votes.from_rows(face, who, np.eye(4)[words[order]][:, ::-1], CLASSES[::-1])
    turned = np.array(dawid_skene(swapped, settings=TWO).posterior)[:, ::-1]
    np.testing.assert_allclose(turned, dawid_skene(again, settings=TWO).posterior, atol=1e-6)


def test_spread_votes_weigh_as_one():
    face, annotator, rows = spread_votes(np.random.default_rng(5), 60, 4)
    ten = dawid_skene(Votes.from_rows(face, annotator, rows, CLASSES), settings=TWO)
    shares = dawid_skene(Votes.from_rows(face, annotator, rows / 10, CLASSES), settings=TWO)
    np.testing.assert_allclose(ten.posterior, shares.posterior)
    whole = np.eye(4)[rows.argmax(1)]
    one = dawid_skene(Votes.from_rows(face, annotator, whole, CLASSES), settings=TWO)
    np.testing.assert_allclose(
        one.posterior,
        dawid_skene(Votes.from_rows(face, annotator, 10 * whole, CLASSES), settings=TWO).posterior,
    )


def test_who_shares_no_face_with_another_is_not_judged():
    faces, names = [0, 0, 0, 1, 1, 1, 2, 3, 4], ["x", "y", "z", "x", "y", "z", "lone", "lone", "lone"]
    votes = Votes.from_choices(faces, names, ["anger"] * 3 + ["joy"] * 3 + ["anger", "joy", "anger"], CLASSES)
    model = dawid_skene(votes, settings=Settings(n_boot=10))
    lone = {a.name: a for a in model.annotators}["lone"]
    assert (lone.n, lone.faces["anger"] > 1.5) == (3, True)
    assert np.isnan([lone.accuracy.value, lone.recall["anger"].value]).all()
    assert lone.accuracy.note == "no face that another judged too"
    assert model.annotators[1].accuracy.value > 0.7


def test_faces_and_classes_without_votes():
    votes = Votes.from_choices(
        [0, 0, 1, 1, 2], ["x", "y", "x", "y", "z"], ["anger", "anger", "joy", "anger", "unknown"], (*CLASSES, "unknown")
    )
    model = dawid_skene(votes, settings=Settings(n_boot=10))
    assert model.classes == list(CLASSES)
    assert (model.n, model.n_left_out) == (2, 1)
    silent = model.annotators[2]
    assert np.isnan(silent.accuracy.value)
    assert silent.accuracy.note == "no votes"
    assert np.isnan(model.annotators[0].recall["fear"].value)
    assert "only" in model.annotators[0].accuracy.note
    assert any("fewer than three annotators" in note for note in model.notes)
    assert round_trip(model)
    assert "unknown" in dawid_skene(votes, unknown="class", settings=TWO).classes
    with pytest.raises(DataError, match="no face has a judgement"):
        dawid_skene(Votes.from_choices([0], ["x"], ["unknown"], (*CLASSES, "unknown")))
    with pytest.raises(UsageError, match="prior"):
        dawid_skene(votes, prior=-1)


def test_annotators_who_always_agree_are_not_known_for_certain():
    votes = Votes.from_choices(np.repeat(np.arange(60), 3), ["x", "y", "z"] * 60, ["joy", "calm"] * 90, ("joy", "calm"))
    votes = replace(votes, votes=np.eye(2)[votes.face % 2])
    model = dawid_skene(votes, settings=TWO)
    for accuracy in (a.accuracy for a in model.annotators):
        assert accuracy.value > 0.98
        assert accuracy.low < wilson(60, 60)[0] + 0.01  # the rule of three: 60 of 60 hold no more
    one = model.prevalence["joy"]
    assert one.low < one.value < one.high


def test_one_class_tells_nothing_of_annotators():
    votes = Votes.from_choices([0, 0, 1, 1], ["x", "y"] * 2, ["joy"] * 4, ("joy", "not a face"))
    with pytest.raises(DataError, match="one class only, joy"):
        dawid_skene(votes, settings=TWO)
    assert np.isnan(find_outliers(votes, settings=TWO).annotators[0].accuracy.value)
    assert "one class only" in summary_text(summarise(votes, "mine", settings=TWO))
