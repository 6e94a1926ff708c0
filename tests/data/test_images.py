from __future__ import annotations

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest

from mien.data.images import IMAGES, INFO, TABLE, Store, StoreWriter
from mien.errors import DataError, OutputError, UsageError
from mien.samples import SampleTable
from writers import faces


def table(n, **columns):
    frame = pd.DataFrame(
        {
            "sample_id": [f"f{i}" for i in range(n)],
            "image": range(n),
            "split": "train",
            "identity": "",
            "cluster": range(n),
            "votes_sad": 1.0,
            "votes_happy": 0.0,
            **columns,
        }
    )
    return SampleTable(frame, "toy", ("sad", "happy"))


def write(out, images, force=False, **columns):
    with StoreWriter(out, force) as writer:
        for start in range(0, len(images), 3):
            writer.append(images[start : start + 3])
        return writer.commit(table(len(images), **columns), {"corpus": "toy"})


@pytest.mark.parametrize(("channels", "shape"), [(1, (7, 20, 20, 1)), (3, (7, 20, 20, 3))])
def test_images_come_back_as_they_were(tmp_path, channels, shape):
    images = faces(7, 20, channels)
    written = write(tmp_path / "store", images)
    for store in (written, Store.open(tmp_path / "store"), Store.open(str(tmp_path / "store"))):
        assert store.images.shape == shape
        np.testing.assert_array_equal(store.images, images.reshape(shape))
        assert store.table.frame["sample_id"].tolist() == [f"f{i}" for i in range(7)]
        assert store.info["corpus"] == "toy"
        store.verify()
    assert isinstance(written.images, np.memmap)
    assert not written.images.flags.writeable
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == sorted([IMAGES, TABLE, INFO])
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_chunks_of_another_shape_are_refused_and_leave_nothing(tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(faces(2, 20))
        with pytest.raises(DataError, match=r"image of shape \(24, 20, 1\), expected \(20, 20, 1\)"):
            writer.append(np.zeros((1, 24, 20), np.uint8))
        assert writer.n == 2
    assert list(tmp_path.iterdir()) == []


def test_leaving_without_a_commit_leaves_nothing(tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        writer.append(faces(2, 20))
        assert [p.name for p in tmp_path.iterdir()] == [f".store.partial-{os.getpid()}"]
    assert list(tmp_path.iterdir()) == []


# --- Fingerprint -------------------------------------------------------------------------------


def test_the_fingerprint_follows_pixels_ids_and_votes_and_nothing_else(tmp_path):
    images = faces(7, 20)
    changed = images.copy()
    changed[6, 19, 19] ^= 1
    prints = {
        "same": write(tmp_path / "a", images).fingerprint,
        "again": write(tmp_path / "b", images, split="test").fingerprint,
        "pixel": write(tmp_path / "c", changed).fingerprint,
        "vote": write(tmp_path / "d", images, votes_sad=[1.0] * 6 + [2.0]).fingerprint,
        "id": write(tmp_path / "e", images, sample_id=[f"f{i}" for i in (0, 1, 2, 3, 4, 6, 5)]).fingerprint,
    }
    assert prints["same"] == prints["again"]
    assert len(set(prints.values())) == 4


def test_the_fingerprint_does_not_depend_on_the_chunks(tmp_path):
    images = faces(7, 20)
    with StoreWriter(tmp_path / "whole") as writer:
        writer.append(images)
        whole = writer.commit(table(7), {})
    assert whole.fingerprint == write(tmp_path / "parts", images).fingerprint


# --- Stores that are damaged ------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return write(tmp_path / "store", faces(7, 20)).path


@pytest.mark.parametrize(("change", "size"), [(lambda b: b[:-1], 2799), (lambda b: b + b"x", 2801), (lambda b: b"", 0)])
def test_images_of_another_size_are_refused(store, change, size):
    data = (store / IMAGES).read_bytes()
    (store / IMAGES).write_bytes(change(data))
    with pytest.raises(DataError, match=rf"images\.u8: {size} bytes, expected 2800 bytes for \(7, 20, 20, 1\)"):
        Store.open(store)


def test_missing_parts_are_refused(store):
    (store / IMAGES).rename(store / "aside")
    with pytest.raises(DataError, match=r"images\.u8: -1 bytes"):
        Store.open(store)
    (store / "aside").rename(store / IMAGES)
    (store / TABLE).unlink()
    with pytest.raises(DataError, match=r"samples\.parquet: cannot be read"):
        Store.open(store)


def test_large_pictures_are_read_and_copied_a_few_at_a_time(tmp_path, monkeypatch):
    images = faces(9, 20)
    store = write(tmp_path / "store", images)
    monkeypatch.setattr("mien.inputs.AT_ONCE", 2 * 20 * 20)
    taken = []
    monkeypatch.setattr(
        StoreWriter,
        "append",
        lambda self, part, append=StoreWriter.append: (taken.append(len(part)), append(self, part)),
    )
    with StoreWriter(tmp_path / "copy") as writer:
        writer.copy(store, np.array([8, 0, 4]))
        writer.copy(store)
    assert taken == [2, 1, 2, 2, 2, 2, 1]
    store.verify()


def test_a_changed_pixel_or_vote_is_found_by_verify(store):
    data = bytearray((store / IMAGES).read_bytes())
    data[1000] ^= 4
    (store / IMAGES).write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"images\.u8: is not what was written .*expected .*Restore the file"):
        Store.open(store).verify(chunk=2)
    data[1000] ^= 4
    (store / IMAGES).write_bytes(bytes(data))
    Store.open(store).verify(chunk=2)
    table(7, votes_sad=[1.0] * 6 + [2.0]).save(store / TABLE)
    as_before_checksums(store)
    with pytest.raises(DataError, match=r"fingerprint .*expected .*Prepare it again"):
        Store.open(store).verify()


def as_before_checksums(store):
    """What an older version would have written."""
    info = json.loads((store / INFO).read_text())
    (store / INFO).write_text(json.dumps({k: v for k, v in info.items() if k != "checksums"}))


def test_a_changed_picture_is_found_by_whoever_looks_at_one(store):
    data = (store / IMAGES).read_bytes()
    (store / IMAGES).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    opened = Store.open(store)
    assert len(opened.table) == 7  # the table can be used
    for _ in range(2):
        with pytest.raises(DataError, match=r"images\.u8: is not what was written"):
            opened.images.mean()
    (store / IMAGES).write_bytes(data)
    assert opened.images.shape == (7, 20, 20, 1)


def test_pictures_are_read_once_by_a_process(store, monkeypatch):
    assert Store.open(store).images[0].shape == (20, 20, 1)

    def read(path):
        raise AssertionError(path)

    monkeypatch.setattr("mien.own_files.sha256_of", read)
    monkeypatch.setattr(
        "mien.data.images.check_file_sum", lambda path, due, fix="": path.suffix == ".u8" and read(path)
    )
    assert Store.open(store).images[1].shape == (20, 20, 1)
    os.utime(store / IMAGES, ns=(1, 1))
    with pytest.raises(AssertionError):
        Store.open(store).images.any()


@pytest.mark.parametrize(
    "columns",
    [{"gender": ["f", "f", "m", "m", "f", "f", "m"]}, {"image": [0, 1, 2, 3, 4, 6, 5]}, {"split": "test"}],
    ids=["attribute", "image", "split"],
)
def test_a_changed_attribute_image_column_or_split_is_found_on_opening(tmp_path, columns):
    store = write(tmp_path / "store", faces(7, 20), gender="f").path
    table(7, **columns).save(store / TABLE)
    with pytest.raises(DataError, match=r"samples\.parquet: is not what was written .*Restore the file, or prepare"):
        Store.open(store)


@pytest.mark.parametrize("change", [{"shape": [7, 10, 40, 1]}, {"terms": "free"}, {"corpus": "other"}, {"new": 1}])
def test_a_changed_description_is_found_on_opening(store, change):
    info = json.loads((store / INFO).read_text())
    (store / INFO).write_text(json.dumps(info | change))
    with pytest.raises(DataError, match=r"store\.json: is not what was written"):
        Store.open(store)
    (store / INFO).write_text(json.dumps(info))  # laid out in another way
    assert Store.open(store).info == info


def test_which_picture_is_whose_is_part_of_the_fingerprint(tmp_path):
    images = faces(3, 20)
    one = write(tmp_path / "one", images, image=[0, 2, 1])
    other = write(tmp_path / "other", images)
    assert one.fingerprint != other.fingerprint
    one.verify()


def test_a_store_of_an_older_version_opens_and_says_once_that_it_has_no_checksums(store, caplog):
    before = Store.open(store)
    as_before_checksums(store)
    for _ in range(2):
        opened = Store.open(store)
        opened.verify()
        np.testing.assert_array_equal(opened.images, before.images)
        assert opened.fingerprint == before.fingerprint
    assert [r.getMessage().split(" was made by")[0] for r in caplog.records] == [str(store)]
    assert "has no checksums" in caplog.text


def test_a_table_of_another_length_is_refused(store):
    table(6).save(store / TABLE)
    as_before_checksums(store)
    with pytest.raises(DataError, match=r"samples\.parquet: 6 rows, expected 7"):
        Store.open(store)


@pytest.mark.parametrize("image", [[0, 1, 2, 3, 4, 5, 7], [0, 1, 2, 3, 4, 5, -1], [0, 0, 1, 2, 3, 4, 5]])
def test_an_image_column_that_names_no_image_or_one_twice_is_refused(store, image):
    table(7, image=image).save(store / TABLE)
    as_before_checksums(store)
    with pytest.raises(DataError, match=r"samples\.parquet: its column 'image' does not name each image once"):
        Store.open(store)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\udcff", "[" * 9999])
def test_a_description_that_is_none_is_refused(store, content):
    (store / INFO).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"store\.json.*Prepare the corpus again") as caught:
        Store.open(store)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [7, 20, 20]}, r"store\.json: shape\.3: is missing"),
        ({"shape": [7, 20, "20", 1]}, r"store\.json: shape\.2: '20', expected a valid integer"),
        (
            {"shape": [-7, -20, 20, 1]},
            r"store\.json: shape: \[-7, -20, 20, 1\], expected \[faces, height, width, 1 or 3",
        ),
        ({"shape": [7, 20, 10, 2]}, r"store\.json: shape"),
        ({"shape": [7, 2**63, 2**63, 1]}, r"store\.json: shape"),
        ({"shape": None}, r"store\.json: shape: nothing"),
        ({"n": 6}, r"store\.json: n: 6, expected 7, as the shape says"),
        ({"n": True}, r"store\.json: n: true"),
        ({"fingerprint": 5}, r"store\.json: fingerprint: 5, expected a valid string"),
        ({"fingerprint": "abc"}, r"store\.json: fingerprint: 'abc', expected 64 hexadecimal digits"),
        ({"corpus": ["toy"]}, r"store\.json: corpus: \['toy'\]"),
        ({"classes": {"sad": "many"}}, r"store\.json: classes\.sad: 'many'"),
        ({"checksums": {}}, r"store\.json: checksums: has none of store\.json"),
        ({"checksums": 5}, r"store\.json: checksums: has none"),
        ({"format": "1"}, r"store\.json: format '1', expected format 1"),
        ({"format": [[[[]]]]}, r"store\.json: format \[\[\[\[\]\]\]\]"),
    ],
)
def test_a_value_of_the_wrong_kind_in_a_description_is_named(store, change, message):
    info = json.loads((store / INFO).read_text())
    del info["checksums"]
    (store / INFO).write_text(json.dumps(info | change))
    with pytest.raises(DataError, match=message):
        Store.open(store)


def test_a_key_that_stands_twice_in_a_description_is_refused(store):
    text = (store / INFO).read_text()
    (store / INFO).write_text(text.replace("{", '{"n": 7,', 1))
    with pytest.raises(DataError, match=r"store\.json: the key 'n' stands twice"):
        Store.open(store)


def test_a_store_of_another_format_is_refused(store):
    info = json.loads((store / INFO).read_text())
    (store / INFO).write_text(json.dumps(info | {"format": 2}))
    with pytest.raises(DataError, match=r"store\.json: format 2, expected format 1\. Prepare the corpus again"):
        Store.open(store)


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"is not a store, expected a folder with store\.json\. Make one with 'mien prep"
    ):
        Store.open(tmp_path)


# --- What stands in the way ----------------------------------------------------------------------------


def test_an_existing_store_is_replaced_only_by_force(store):
    before = (store / IMAGES).read_bytes()
    with pytest.raises(UsageError, match=r"is not empty: it holds store\.json.*Pass --force to replace a store"):
        write(store, faces(4, 16))
    assert (store / IMAGES).read_bytes() == before
    replaced = write(store, faces(4, 16), force=True)
    assert replaced.images.shape == (4, 16, 16, 1)
    assert [p.name for p in store.parent.iterdir()] == ["store"]


def test_a_failed_replacement_leaves_the_old_store(store):
    before = Store.open(store).fingerprint

    def fail():
        with StoreWriter(store, force=True) as writer:
            writer.append(faces(4, 16))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert Store.open(store).fingerprint == before
    assert [p.name for p in store.parent.iterdir()] == ["store"]


@pytest.mark.parametrize("name", ["photo.jpg", INFO])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_store_is_never_replaced(tmp_path, name, force):
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text('{"of": "another program"}')
    with pytest.raises(UsageError, match=f"holds {name}"):
        write(out, faces(2, 16), force=force)
    assert (out / name).read_text() == '{"of": "another program"}'
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_never_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        write(tmp_path / "file", faces(2, 16), force=True)
    assert (tmp_path / "file").read_text() == "mine"


class FullDisk:
    """A file on a disk that is full after some bytes; closing it fails too, as the system's buffers do."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.room -= len(memoryview(data).cast("B"))
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        self.file.close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    writer = StoreWriter(tmp_path / "new" / "deep" / "store")

    def fill():
        with writer:
            writer._file = FullDisk(writer._file, 1000)
            writer.append(faces(3, 20))

    with pytest.raises(OutputError, match=r"store: could not be written: the disk is full\. Free some space"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_the_end_keeps_the_old_store(store, monkeypatch):
    before = Store.open(store).fingerprint

    def save(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SampleTable, "save", save)
    with pytest.raises(OutputError, match="the disk is full"):
        write(store, faces(4, 20), force=True)
    monkeypatch.undo()
    assert Store.open(store).fingerprint == before
    assert [p.name for p in store.parent.iterdir()] == [store.name]


@pytest.mark.parametrize("out", ["file/store", "dead/store", "x" * 300])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, out):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere" / "deep")
    with pytest.raises(UsageError, match="cannot be written: "):
        StoreWriter(tmp_path / out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dead", "file"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "store").mkdir()
    assert len(write(tmp_path / "store", faces(2, 16)).images) == 2


def test_the_leftovers_of_a_dead_process_are_removed_and_those_of_a_living_one_are_not(tmp_path):
    dead, alive = tmp_path / ".sto[r]e.partial-4194399", tmp_path / f".sto[r]e.partial-{os.getppid()}"
    other = tmp_path / ".store.partial-4194399"
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / IMAGES).write_text("half")
    write(tmp_path / "sto[r]e", faces(2, 16))
    assert not dead.exists()
    assert (alive / IMAGES).exists()
    assert (other / IMAGES).exists()
