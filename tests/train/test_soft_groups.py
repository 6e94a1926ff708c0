"""Perceived groups as the annotator's probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.config import parse_config
from mien.data.images import Store, StoreWriter
from mien.errors import ConfigError
from mien.train.targets import load_training_data


@pytest.fixture
def seen(easy_store: Path, tmp_path: Path) -> Path:
    """The easy store with two perceived attributes: what an annotator was unsure of, and a face that it did not see."""
    store, path = Store.open(easy_store), tmp_path / "seen"
    frame = store.table.frame.copy()
    rng = np.random.default_rng(0)
    for name, groups in (("perceived_gender", ("male", "female")), ("perceived_age", ("child", "adult"))):
        first = rng.random(len(frame)).round(3)
        frame[f"{name}_prob_{groups[0]}"], frame[f"{name}_prob_{groups[1]}"] = first, 1 - first
        frame[name] = np.where(first > 0.5, *groups)
        frame[f"{name}_source"] = "perceived"
        frame.loc[0, name] = None
    with StoreWriter(path) as writer:
        writer.copy(store)
        table = store.table.derive("seen", frame, attributes=("gender", "perceived_gender", "perceived_age"))
        writer.commit(table, store.info)
    return path


def groups(store: Path, by: str, **more: Any) -> Any:
    content = {"data": {"store": str(store)},
               "mitigation": {"name": "reweighting", "options": {"by": [by]}, **more}}  # fmt: skip
    data = load_training_data(parse_config(content))
    return data.train, data.table.in_split("train").frame


def test_named_and_soft(seen: Path) -> None:
    train, frame = groups(seen, "perceived_gender")
    assert set(np.unique(train.groups)) == {0.0, 1.0}
    soft, frame = groups(seen, "perceived_gender", soft=True)
    columns = [f"perceived_gender_prob_{g}" for g in soft.attributes["perceived_gender"]]
    known = frame["perceived_gender"].notna().to_numpy()
    np.testing.assert_allclose(soft.groups[known], frame[columns].to_numpy()[known], atol=1e-6)
    assert (soft.groups[~known] == 0).all()  # not seen is not known, whatever the numbers beside say
    assert (~known).sum() == 1


def test_faces_that_their_own_corpus_annotated_keep_their_group(seen: Path) -> None:
    # As in a merged store: for some faces the corpus says the group, for others an annotator gave probabilities.
    store = Store.open(seen)
    frame, columns = store.table.frame.copy(), ["perceived_gender_prob_male", "perceived_gender_prob_female"]
    own = frame.index % 3 == 1
    frame.loc[own, columns] = np.nan
    frame.loc[own, "perceived_gender_source"] = "annotated"
    path = seen.parent / "merged"
    with StoreWriter(path) as writer:
        writer.copy(store)
        writer.commit(store.table.derive("merged", frame), store.info)
    soft, found = groups(path, "perceived_gender", soft=True)
    own = (found["perceived_gender_source"] == "annotated").to_numpy()
    names = np.array(soft.attributes["perceived_gender"])
    assert own.sum() > 3
    assert (names[soft.groups[own].argmax(1)] == found["perceived_gender"].to_numpy()[own]).all()
    assert set(np.unique(soft.groups[own])) == {0.0, 1.0}
    assert ((soft.groups[~own] > 0) & (soft.groups[~own] < 1)).any()


def test_intersections_are_products(seen: Path) -> None:
    soft, frame = groups(seen, "perceived_gender*perceived_age", soft=True)
    first = soft.attributes["perceived_gender*perceived_age"][0].split(" * ")
    expected = frame[f"perceived_gender_prob_{first[0]}"] * frame[f"perceived_age_prob_{first[1]}"]
    known = soft.groups.sum(1) > 0
    np.testing.assert_allclose(soft.groups[known, 0], expected.to_numpy()[known], atol=1e-6)
    np.testing.assert_allclose(soft.groups[known].sum(1), 1, atol=1e-6)


def test_annotated_groups_stay_and_missing_columns_are_told(seen: Path, easy_store: Path) -> None:
    with pytest.raises(ConfigError, match=r"mitigation\.soft: no attribute of mitigation\.options\.by is perceived"):
        groups(seen, "gender", soft=True)
    store = Store.open(seen)
    frame = store.table.frame.drop(columns="perceived_age_prob_child")
    path = seen.parent / "less"
    with StoreWriter(path) as writer:
        writer.copy(store)
        writer.commit(store.table.derive("less", frame), store.info)
    with pytest.raises(ConfigError, match=r"mitigation\.soft: there is no column 'perceived_age_prob_child'"):
        groups(path, "perceived_age", soft=True)
