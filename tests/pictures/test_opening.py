"""Pictures that were made to do harm: each is a bad row with its reason, in bounded time and memory."""

from __future__ import annotations

import base64
import io
import os
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import inputs
from mien.data.corpus import BadRows
from mien.errors import DataError
from mien.inputs import SMALL
from mien.pictures import decode
from mien.pictures.decode import Changes, count_shapes, decode_file, decode_files, picture_shape
from mien.pictures.opening import FORMATS, MOST_PIXELS, _check_scans, opened, readable_formats
from mien.prepare import open_corpus, prepare
from writers import close_folders, faces

FACE = faces(1, 48)[0]
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\n(/tmp/x) (w) file closefile\nshowpage\n%%EOF\n"
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A whole PNG of a flat grey picture, a thousandth of its pixels in bytes."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encoded(kind: str, array=FACE, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    """A corpus of two classes."""
    for i, image in enumerate(faces(8)):
        folder = tmp_path / "faces" / ("happy" if i % 2 else "sad")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "faces"


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PSD", "ICO", "SGI", "PCX", "DDS"])
def test_formats_that_are_not_on_the_list_are_not_opened(tmp_path, kind, monkeypatch):
    content = {"EPS": EPS, "PSD": b"8BPS\0\1" + bytes(100)}.get(kind)
    (tmp_path / "x.png").write_bytes(content or encoded(kind, np.stack([FACE] * 3, 2)))
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: pytest.fail("a program was started"))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a program was started"))
    with pytest.raises(DataError, match=r"x\.png: cannot be decoded .*expected a whole picture"):
        decode_file(tmp_path / "x.png", 48, 1)
    assert not count_shapes([tmp_path / "x.png"])


def test_postscript_is_called_by_its_name(tmp_path):
    (tmp_path / "x.png").write_bytes(EPS)
    with pytest.raises(DataError, match="it is PostScript or PDF.*Save it as PNG"):
        decode_file(tmp_path / "x.png", 48, 1)


def test_the_list_holds_no_format_that_runs_another_program():
    assert set(readable_formats()) <= set(FORMATS)
    assert not {"EPS", "WMF", "FPX", "MIC", "BUFR", "GRIB", "HDF5", "MPEG"} & set(FORMATS)


def test_pipes_devices_and_folders_are_bad_rows_at_once(root):
    os.mkfifo(root / "sad" / "pipe.png")
    (root / "sad" / "zero.png").symlink_to("/dev/zero")
    store = prepare(root, root.parent / "store", on_bad_row="drop")
    assert len(store.table) == 8
    assert sorted(store.info["dropped"])[0].endswith(
        "pipe.png: is a pipe, expected a picture. Write its content into a file, and give that."
    )
    assert "zero.png: is a device" in sorted(store.info["dropped"])[1]


@pytest.mark.parametrize("side", [9_000, 12_000, 15_000, 60_000])  # where Pillow says nothing, warns, and raises
def test_a_bomb_is_a_bad_row_before_it_is_decoded(root, side):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (root / "sad" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b""))
    assert side * side > MOST_PIXELS
    with pytest.raises(DataError, match=r"bomb\.png: has .* pixels.*, expected at most 67,108,864"):
        prepare(root, root.parent / "store")


def test_a_large_picture_within_the_limit_is_read_without_a_warning(tmp_path):
    (tmp_path / "large.png").write_bytes(png_of(3000, 3000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_file(tmp_path / "large.png", 48, 1).shape == (48, 48)


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "huge.webp"
    with open(path, "wb") as file:
        file.write(encoded("WEBP")[:64])
        file.truncate(SMALL + 1)  # a hole: it takes no room
    with pytest.raises(DataError, match="has 268,435,457 bytes, expected a picture of at most"):
        decode_file(path, 48, 1)


@pytest.mark.parametrize(
    "error", [struct.error, SyntaxError, MemoryError, OverflowError, KeyError, AssertionError, RecursionError]
)
def test_whatever_a_decoder_raises_is_a_bad_row(root, error, monkeypatch):
    real = decode.ImageOps.exif_transpose

    def broken(image):
        if "bad" in str(image.filename):
            raise error("of the decoder")
        return real(image)

    monkeypatch.setattr(decode.ImageOps, "exif_transpose", broken)
    (root / "sad" / "0.png").rename(root / "sad" / "bad.png")
    with pytest.raises(DataError, match=r"bad\.png: cannot be decoded \(.*of the decoder"):
        prepare(root, root.parent / "store")
    assert len(prepare(root, root.parent / "store", on_bad_row="drop").table) == 7


def test_an_interruption_is_no_bad_row(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(decode.ImageOps, "exif_transpose", lambda image: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        decode_file(tmp_path / "x.png", 48, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF"])
def test_damaged_pictures_of_every_format_are_read_or_refused(tmp_path, kind):
    if kind not in readable_formats():
        pytest.skip("this Pillow cannot read it")
    rng, whole = np.random.default_rng(0), encoded(kind, faces(1, 48, 3)[0])
    paths = []
    for i in range(25):
        data = bytearray(whole)
        for position in rng.integers(0, len(data) if i % 2 else min(80, len(data)), 1 + i % 6):
            data[position] = rng.integers(256)
        paths.append(tmp_path / f"{i}.bin")
        paths[-1].write_bytes(data[: rng.integers(1, len(data))] if i % 5 == 0 else data)
    bad = BadRows("drop")
    images, ok = decode_files(paths, 48, 3, bad.add, changes=Changes())
    assert len(bad.errors) == (~ok).sum() > 0
    assert images.shape == (25, 48, 48, 3)
    count_shapes(paths)


def test_chunks_are_bounded_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "AT_ONCE", 1 << 22)
    large = png_of(512, 512)
    for i in range(30):
        path = tmp_path / ("happy" if i % 2 else "sad") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(large)
    corpus = open_corpus(tmp_path, channels=3)
    tracemalloc.start()
    sizes = [chunk.images.nbytes for chunk in corpus.chunks(BadRows())]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 30 * 512 * 512 * 3
    assert max(sizes) <= 1 << 22
    assert peak < 4 << 22


def test_a_folder_that_may_not_be_read_is_no_empty_one(root, monkeypatch):
    close_folders(monkeypatch, "sad")
    for how in ({}, {"dataset": "folder"}, {"dataset": "ferplus"}):
        with pytest.raises(DataError, match=r"sad: cannot be opened \(Permission denied\)|is not FERPlus"):
            prepare(root, root.parent / "store", **how)


def test_a_folder_whose_files_may_not_be_opened_is_named(root, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("sad"))
    with pytest.raises(DataError, match=r"sad: cannot be opened \(Permission denied\)"):
        prepare(root, root.parent / "store")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_rights_is_told():
    code = "import os, sys\nfrom mien.prepare import open_corpus\nfrom mien.errors import DataError\n"
    # Python's own files may be closed to somebody else: whatever is loaded late is loaded by a corpus that is open.
    code += "open_corpus(sys.argv.pop())\n"
    code += "os.setuid(65534)\nfor path in sys.argv[1:]:\n    try:\n        open_corpus(path)\n"
    code += "    except DataError as error:\n        print(error)"
    with tempfile.TemporaryDirectory() as place:  # those of pytest are closed to others
        os.chmod(place, 0o755)
        closed, listed = Path(place, "closed"), Path(place, "listed")
        for folder, mode in ((closed, 0o000), (listed, 0o744)):
            (folder / "happy").mkdir(parents=True)
            (folder / "happy" / "0.png").write_bytes(encoded("PNG"))
            os.chmod(folder, mode)
        for name in ("happy", "sad"):
            (Path(place, "open") / name).mkdir(parents=True)
            (Path(place, "open") / name / "0.png").write_bytes(encoded("PNG"))
        arguments = [sys.executable, "-c", code, closed, closed / "happy", listed, Path(place, "open")]
        out = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert out.stderr == ""
    assert out.stdout.count("cannot be opened (Permission denied)") == 3, out.stdout


def test_the_shape_is_told_from_whole_pictures_only(tmp_path):
    (tmp_path / "a.png").write_bytes(EPS)
    (tmp_path / "b.png").write_bytes(encoded("PNG"))
    assert picture_shape([tmp_path / "a.png", tmp_path / "b.png"], None, None) == (48, 1)


# 64 x 48 pixels, the left half red and the right one blue, written by pillow-heif.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9j"
    "AAAAAERAAAEAAQAAAAABoQABAAAAAAAAAHsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/Wlw"
    "cnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AA"
    "AAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAA"
    "QAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWB"
    "AgMFhAAAAINtZGF0AAAAdygBrwngOSMkv//40n//9/QeQ/YKWcF//PoB9/fWX//uVT1FdlX3u3/YIWHA99b8SpbJ7Hj03P9L/xclagZwiP/9"
    "JdhBCyawNdMV0h/67fI6vnjq3Af/dWfc8FaeogC6JSPWutnmgZ5qBQN0Tv1/NUmFdNwHTcWP"
)


def test_a_telephones_picture_is_read_with_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    (tmp_path / "a.heic").write_bytes(HEIC)
    with opened(tmp_path / "a.heic") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[:, :28] - (200, 40, 40)).mean() < 6
    assert np.abs(pixels[:, 36:] - (30, 60, 200)).mean() < 6


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.pictures import opening

    formats = tuple(f for f in opening.readable_formats() if f != "HEIF")
    monkeypatch.setattr(opening, "readable_formats", lambda: formats)
    (tmp_path / "a.heic").write_bytes(HEIC)
    with pytest.raises(DataError, match=r"HEIC picture.*\n?.*mien\[heic\]"), opened(tmp_path / "a.heic"):
        pass


def test_a_picture_that_is_gone_over_again_and_again_is_refused(tmp_path):
    progressive = io.BytesIO()
    Image.linear_gradient("L").save(progressive, "JPEG", progressive=True)
    whole = progressive.getvalue()
    last = whole.rindex(b"\xff\xda")
    (tmp_path / "many.jpg").write_bytes(whole[:-2] + whole[last:-2] * 1000 + b"\xff\xd9")
    (tmp_path / "one.jpg").write_bytes(whole)
    for given in (tmp_path / "many.jpg", (tmp_path / "many.jpg").read_bytes()):
        with pytest.raises(DataError, match=r"more than 100 scans, expected at most 100"), opened(given, "p"):
            pass
    # A marker without a length hides none of them, and what is empty between them does not tire who counts.
    for between in (b"\xff\x01", b"\xff\x02\xff\xff", b"\xff\xfe\x00\x02" * 20_000):
        with pytest.raises(DataError, match="is coded in more than 100 scans"):
            _check_scans(whole[:-2] + (between + whole[last:-2]) * 101 + b"\xff\xd9", "p")
    # What telephones append to a picture is none of it, whatever it holds.
    film = np.random.default_rng(0).bytes(1 << 17) + b"\xff\xda" * 200
    (tmp_path / "motion.jpg").write_bytes(whole + film)
    with opened(tmp_path / "motion.jpg") as image:
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(whole))))
    with opened(tmp_path / "one.jpg") as image:
        assert image.size == (256, 256)
