"""Folders that are no classes are asked about; classes that nobody else has are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mien.data.datasets.folder import image_folder
from mien.data.datasets.manifest import manifest
from mien.errors import ConfigError, DataError
from mien.prepare import prepare
from writers import faces, read_all, write_manifest

LABELS = {f"{i}.png": ("happy", "sad")[i % 2] for i in range(6)}
CSV = "path,label,gender\n" + "".join(f"images/{name},{label},f\n" for name, label in LABELS.items())
JSON = "{" + ", ".join(f'"{name}": "{label}"' for name, label in LABELS.items()) + "}"


def write(root, *names):
    for name, image in zip(names, faces(len(names), 32), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def classes(root, *words):
    return write(root, *(f"{word}/{k}.png" for k, word in enumerate(words)))


@pytest.mark.parametrize("folder", ["images", "train/images", "a"])
@pytest.mark.parametrize(
    ("table", "text"), [("labels.csv", CSV), ("l.TSV", CSV.replace(",", "\t")), ("labels.json", JSON)]
)
def test_a_table_that_says_what_the_pictures_show_is_pointed_to(tmp_path, folder, table, text):
    write(tmp_path, *(f"{folder}/{name}" for name in LABELS))
    place = (tmp_path / folder).parent / table
    place.write_text(text)
    with pytest.raises(DataError, match=rf"{table} names them and has the column 'label'.*mien prepare ") as refused:
        image_folder(tmp_path)
    assert str(place.with_suffix("")) in str(refused.value)
    assert image_folder(tmp_path, vocabulary=[folder.split("/")[-1]]).n_rows == 6


def test_several_odd_folders_beside_a_table_of_labels_are_refused_with_the_names_it_needs(tmp_path):
    write(tmp_path, *(f"batch{i // 3}/{name}" for i, name in enumerate(LABELS)))
    (tmp_path / "l.csv").write_text("file,emotion\n" + "".join(f"{n[0]},{w}\n" for n, w in LABELS.items()))
    with pytest.raises(
        DataError, match=r"'path' \(here it is 'file'\), and that of the labels 'label' \(here it is 'em"
    ):
        image_folder(tmp_path)


SOUND_TABLES = {
    "groups beside classes of one's own": ("focused", "bored", "path,gender\n{0}.png,f\n{1}.png,m\n"),
    "labels that the folders say too": ("focused", "bored", "path,label\n{0}.png,focused\n{1}.png,bored\n"),
    "codes beside expressions": ("angry", "fear", "path,label\n{0}.png,4\n{1}.png,2\n"),
    "the same labels beside expressions": ("angry", "fear", "path,label\n{0}.png,Anger\n{1}.png,fear\n"),
    "labels of other pictures": ("focused", "bored", "path,label\nx.png,sad\ny.png,happy\n"),
    "no table at all": ("focused", "bored", ""),
}


@pytest.mark.parametrize("name", SOUND_TABLES)
def test_a_table_that_takes_nothing_away_is_no_fault(tmp_path, name):
    first, second, text = SOUND_TABLES[name]
    classes(tmp_path, first, second)
    (tmp_path / "t.csv").write_text(text.format("0", "1"))
    assert sorted(image_folder(tmp_path).vocabulary) == sorted([first, second])


def test_a_table_that_contradicts_folders_of_expressions_is_asked_about(tmp_path):
    """As in the copy of AffectNet that is passed on most: its table is right, and its folders are not."""
    names = [f"{folder}/{i}.png" for folder in ("anger", "happy", "sad") for i in range(4)]  # the same names in each
    write(tmp_path, *names)
    table = tmp_path / "labels.csv"
    agreeing = "".join(f"{i},{n},{n.split('/')[0]},0.9\n" for i, n in enumerate(names))
    table.write_text(",pth,label,relFCs\n" + agreeing)
    assert image_folder(tmp_path).n_rows == 12
    table.write_text(
        ",pth,label,relFCs\n" + agreeing.replace("/0.png,anger", "/0.png,surprise").replace("1.png,sad", "1.png,fear")
    )
    with pytest.raises(DataError, match=r"labels.csv labels 2 of 12 pictures otherwise.*here 'pth' and 'label'"):
        image_folder(tmp_path)
    assert image_folder(tmp_path, vocabulary=["anger", "happy", "sad"]).n_rows == 12
    stems = "".join(f"{n.removesuffix('.png')},fear\n" for n in names)
    table.write_text("name,label\n" + stems)
    with pytest.raises(DataError, match=r"labels 12 of 12 pictures otherwise"):
        image_folder(tmp_path)
    # Names alone would not tell which 0.png is meant: then nothing is said.
    table.write_text("name,label\n" + "".join(f"{i}.png,fear\n" for i in range(4)))
    assert image_folder(tmp_path).n_rows == 12


def test_the_table_of_raters_one_by_one_contradicts_nothing(tmp_path):
    names = [f"{folder}/{i}{folder}.png" for folder in ("anger", "happy", "sad") for i in range(4)]
    write(tmp_path, *names)
    rows = [f"{n},{k},{'fear' if k == 2 else n.split('/')[0]}\n" for n in names for k in range(3)]
    (tmp_path / "raw.csv").write_text("image,annotator,emotion\n" + "".join(rows))
    assert image_folder(tmp_path).n_rows == 12


def test_a_split_without_labels_is_no_class(tmp_path):
    labelled = [f"{split}/{name}/a.png" for split in ("Train", "Val") for name in ("angry", "happy", "sad")]
    write(tmp_path, *labelled, "Test/images/0.png", "Test/images/1.png")
    with pytest.raises(DataError, match=r"the pictures of 'Test' lie in images, which is no class of the others"):
        image_folder(tmp_path)
    assert len(image_folder(tmp_path, vocabulary=["angry", "happy", "sad", "images"]).vocabulary) == 4
    for path in (tmp_path / "Test" / "images").iterdir():
        path.unlink()
    assert len(image_folder(tmp_path).vocabulary) == 3


def test_one_folder_of_pictures_is_asked_about_unless_it_is_an_expression(tmp_path):
    classes(tmp_path / "a", "images", "images")
    with pytest.raises(DataError, match=rf"mien prepare {tmp_path}/a/images\).*--option vocabulary=images"):
        image_folder(tmp_path / "a")
    assert image_folder(tmp_path / "a" / "images").vocabulary == ()
    classes(tmp_path / "b", "Neutral", "Neutral")
    assert image_folder(tmp_path / "b").vocabulary == ("Neutral",)


def test_labels_above_unlabelled_pictures_are_named(tmp_path):
    write(tmp_path, *(f"images/{name}" for name in LABELS))
    (tmp_path / "labels.csv").write_text(CSV)
    detail = image_folder(tmp_path / "images").detail
    assert detail["labels in a table above, not read"] == "labels.csv"
    (tmp_path / "images" / "labels.json").write_text(JSON)
    with pytest.raises(DataError, match=r"in no class folder beside labels\.json"):
        image_folder(tmp_path / "images")


@pytest.mark.parametrize(("above", "names"), [("identity", ["S01", "S02"]), ("gender", ["female", "male"])])
def test_persons_and_groups_are_no_splits_and_can_be_kept(tmp_path, above, names):
    write(tmp_path, *(f"{name}/{word}/1.png" for name in names for word in ("anger", "happy")))
    with pytest.raises(DataError, match=rf"{names[0]}, {names[1]}, which are no split.*--option above=identity"):
        image_folder(tmp_path)
    corpus = image_folder(tmp_path, above=above)
    frame = read_all(corpus)[1]
    assert frame[above].tolist() == [n for n in names for _ in range(2)]
    assert set(frame["split"]) == {""}
    assert corpus.attributes == (() if above == "identity" else ("gender",))
    assert set(read_all(image_folder(tmp_path, above="split"))[1]["split"]) == set(names)


def test_above_must_be_a_name_and_something_must_be_there(tmp_path):
    classes(tmp_path, "anger", "happy")
    with pytest.raises(DataError, match="has no folders above the classes for 'identity'"):
        image_folder(tmp_path, above="identity")
    with pytest.raises(ConfigError, match=r"option\.above: 'votes_sad'"):
        image_folder(tmp_path, above="votes_sad")


SPLITS = ["train", "Test", "VAL", "validation", "dev", "test_set", "TrainImages", "FER2013Valid", "fold_3", "fold1"]


@pytest.mark.parametrize("split", SPLITS)
def test_splits_of_all_names_are_splits(tmp_path, split):
    write(tmp_path, f"{split}/focused/1.png", f"{split}/bored/1.png", "train/bored/1.png")
    assert set(read_all(image_folder(tmp_path))[1]["split"].str.lower()) == {split.lower(), "train"}


def test_classes_above_others_are_turned_round(tmp_path):
    write(tmp_path, "anger/S01/1.png", "happy/S02/1.png")
    with pytest.raises(DataError, match=r"Turn them round \(S01/anger\)"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            [f"subject{i:02}" for i in range(5)],
            "5 folders such as subject00, subject01, subject02, ... look like persons",
        ),
        ([f"S0{i}" for i in range(5)], "look like persons"),
        ([f"film of {i} minutes" for i in range(60)], "60 folders such as .* look like no classes"),
    ],
)
def test_persons_are_no_classes_unless_somebody_says_so(tmp_path, names, found):
    classes(tmp_path, *names)
    with pytest.raises(DataError, match=f"{found}.*identity"):
        image_folder(tmp_path)
    assert image_folder(tmp_path, vocabulary=names).vocabulary == tuple(names)


SOUND = [
    "Wut Ekel Angst Freude Trauer Überraschung Neutral",
    "rabbia disgusto paura felicità tristezza sorpresa neutrale",
    "boos walging bang blij verdrietig verrast neutraal",
    "colère dégoût peur joie tristesse surprise neutre",
    "angry neutral focused bored",
    "1 2 3 4 5 6 7",
    "au1 au2 au4 au12",
    "pain0 pain1 pain2 pain3",
    "class_a class_b",
    "positive negative neutral",
    "happy unhappy",
    "focused unfocused",
    "surprised unsurprised happy",
    "interested uninterested",
    "surprise_pos surprise_neg happy sad",
    "happily_surprised happily_disgusted sadly_surprised sadly_disgusted angrily_surprised angrily_disgusted",
]


@pytest.mark.parametrize("words", SOUND)
def test_classes_of_anybodys_own_are_taken_at_their_word(tmp_path, words):
    classes(tmp_path, *words.split())
    assert sorted(image_folder(tmp_path).vocabulary) == sorted(words.split())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["anger", "anger - Copy", "happy"], "'anger - Copy' looks like a copy of 'anger'"),
        (["anger", "happy (1)"], r"'happy \(1\)' looks like a copy of 'happy'"),
        (["focused", "focused - Kopie (2)"], "looks like a copy of 'focused'"),
        (["happy", "hapy", "sad"], "'hapy' looks like 'happy'"),
        (["anger", "saddness"], "'saddness' looks like 'sadness'"),
        (["focused", "focussed"], "'focussed' looks like 'focused'"),
        (["surprised_pos", "suprised_pos"], "looks like"),
    ],
)
def test_one_class_under_two_names_is_refused(tmp_path, words, found):
    classes(tmp_path, *words)
    with pytest.raises(DataError, match=f"the folder {found}|the folder .*{found}"):
        image_folder(tmp_path)
    assert image_folder(tmp_path, vocabulary=",".join(words)).vocabulary == tuple(words)


def test_a_slip_in_a_label_of_a_manifest_is_refused_too(tmp_path):
    rows = [{"path": f"{i}.png", "label": label} for i, label in enumerate(["happiness", "hapiness", "sad"])]
    write_manifest(tmp_path / "m.csv", rows, faces(3, 32))
    with pytest.raises(DataError, match="the label 'hapiness' looks like 'happiness'"):
        manifest(tmp_path / "m.csv")
    assert manifest(tmp_path / "m.csv", vocabulary="happiness,hapiness,sad").n_rows == 3


def test_copies_that_stand_in_two_classes_are_counted_and_named(tmp_path):
    write(tmp_path / "in", "anger/a.png", "anger/b.png", "happy/c.png", "sad/d.png")
    for name in ("happy/a.png", "happy/c2.png"):
        source = tmp_path / "in" / ("anger/a.png" if name == "happy/a.png" else "happy/c.png")
        (tmp_path / "in" / name).write_bytes(source.read_bytes())
    detail = prepare(tmp_path / "in", tmp_path / "store").info["detail"]
    key = "exact copies of one picture in different classes"
    assert detail[key] == "2 of 6 (anger/a.png is anger, happy/a.png is happy)"
    (tmp_path / "in" / "happy" / "a.png").unlink()
    store = prepare(tmp_path / "in", tmp_path / "other")
    assert key not in store.info["detail"]
    assert np.array_equal(store.table.votes.sum(1), np.ones(5))


@pytest.mark.parametrize(
    ("text", "found"), [("", "is empty"), ("My corpus\npath,label,sex\na.png,sad,f\n", "line 1 is a title")]
)
def test_why_a_manifest_has_no_header_is_said(tmp_path, text, found):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=f"a CSV manifest, but m.csv {found}"):
        prepare(tmp_path / "m.csv", tmp_path / "store")
