from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from mien.data.corpus import BadRows
from mien.errors import ConfigError, DataError
from mien.pictures.decode import Changes, count_shapes, decode_file, decode_files, picture_shape
from mien.pictures.whole import picture_of
from writers import faces

GREY = faces(1, 32)[0]
COLOUR = faces(1, 32, 3)[0]


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_eight_bits_in_sixteen_are_what_they_are(tmp_path):
    deep = np.zeros((32, 32), np.uint16)
    deep[:] = GREY
    np.testing.assert_array_equal(decode_file(save(tmp_path / "low.png", deep), 32, 1), GREY)
    np.testing.assert_array_equal(decode_file(save(tmp_path / "full.png", deep << 8), 32, 1), GREY)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp"])
def test_lossless_files_are_decoded_exactly(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    np.testing.assert_array_equal(decode_file(save(tmp_path / f"c.{ending}", COLOUR, **options), 32, 3), COLOUR)
    if ending != "webp":
        np.testing.assert_array_equal(decode_file(save(tmp_path / f"g.{ending}", GREY), 32, 1), GREY)


def test_grey_and_colour_can_be_asked_of_any_picture(tmp_path):
    grey, colour = save(tmp_path / "g.png", GREY), save(tmp_path / "c.png", COLOUR)
    np.testing.assert_array_equal(decode_file(grey, 32, 3), np.stack([GREY] * 3, axis=2))
    np.testing.assert_allclose(decode_file(colour, 32, 1), COLOUR @ [0.299, 0.587, 0.114], atol=1)


def test_sixteen_bits_are_scaled_and_not_cut(tmp_path):
    deep = GREY.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_file(save(tmp_path / "deep.png", deep), 32, 1), GREY)
    assert picture_shape([tmp_path / "deep.png"], None, None) == (32, 1)


def test_floating_point_pixels_are_refused(tmp_path):
    path = save(tmp_path / "f.tif", GREY.astype(np.float32))
    with pytest.raises(DataError, match="cannot be decoded .*floating-point"):
        decode_file(path, 32, 1)


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    path = save(tmp_path / "turned.png", GREY, exif=exif)
    np.testing.assert_array_equal(decode_file(path, 32, 1), np.rot90(GREY, -1))


def test_another_size_is_resized_or_refused(tmp_path):
    path = save(tmp_path / "big.png", np.kron(GREY, np.ones((2, 2), np.uint8)))
    small = decode_file(path, 32, 1)
    assert np.corrcoef(small.ravel(), GREY.ravel())[0, 1] > 0.99
    with pytest.raises(DataError, match=r"big\.png: is 64x64 pixels, expected 32x32"):
        decode_file(path, 32, 1, resize=False)


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.png: no such file, expected a picture"):
        decode_file(tmp_path / "none.png", 32, 1)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match=r"text\.png: cannot be decoded \(cannot identify"):
        decode_file(tmp_path / "text.png", 32, 1)
    with pytest.raises(DataError, match="is a folder, expected a picture"):
        decode_file(tmp_path, 32, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, kind)
    whole = buffer.getvalue()
    path = tmp_path / "cut"
    # The last bytes of a file close it and hold no pixels.
    for end in np.linspace(0, len(whole) - 25, 40).astype(int):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="cannot be decoded"):
            decode_file(path, 32, 1)
    path.write_bytes(whole)
    assert decode_file(path, 32, 1).shape == (32, 32)


def test_damaged_headers_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG")
    refused = 0
    for _ in range(100):
        data = bytearray(buffer.getvalue())
        for position in rng.integers(8, 60, 2):
            data[position] = rng.integers(256)
        (tmp_path / "damaged.png").write_bytes(data)
        try:
            assert decode_file(tmp_path / "damaged.png", 32, 3).shape == (32, 32, 3)
        except DataError:
            refused += 1
    assert refused > 50


def test_many_files_keep_their_order_and_the_bad_ones_are_named(tmp_path):
    images = faces(20, 16)
    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(images)]
    paths[3].write_text("no picture")
    paths[11].unlink()
    bad = BadRows("drop")
    decoded, ok = decode_files(paths, 16, 1, bad.add, lines=[f"list.csv line {i}" for i in range(20)])
    assert np.flatnonzero(~ok).tolist() == [3, 11]
    np.testing.assert_array_equal(decoded[ok], images[ok])
    assert not decoded[~ok].any()
    assert [e.where for e in bad.errors] == [f"list.csv line 3: {paths[3]}", f"list.csv line 11: {paths[11]}"]
    assert [e.found for e in bad.errors][1] == "no such file"


def test_no_files_give_no_images():
    images, ok = decode_files([], 16, 3, BadRows().add)
    assert images.shape == (0, 16, 16, 3)
    assert ok.shape == (0,)


def test_the_commonest_size_and_colour_decide_and_not_the_first_picture(tmp_path):
    paths = [save(tmp_path / "0000_scan.png", GREY)]
    paths += [save(tmp_path / f"{i}.png", image) for i, image in enumerate(faces(3, 64, 3))]
    paths += [save(tmp_path / "wide.png", faces(1, 64, 3)[0][:20])]
    for order in (paths, paths[::-1]):
        assert picture_shape(order, None, None) == (64, 3)
        assert picture_shape(order, 48, None) == (48, 3)
        assert picture_shape(order, None, 1) == (64, 1)


def test_of_many_pictures_enough_are_looked_at_to_tell(tmp_path, monkeypatch):
    opened = []
    real = Image.open
    monkeypatch.setattr("mien.pictures.decode._LOOKED_AT", 60)
    monkeypatch.setattr(Image, "open", lambda path, **how: opened.append(path) or real(path, **how))
    small, large = save(tmp_path / "s.png", GREY), save(tmp_path / "l.png", faces(1, 64)[0])
    # every other picture is small: looking at each k-th would see one kind only
    assert count_shapes([small, large] * 500).keys() == {(32, 32, 1), (64, 64, 1)}
    assert len(opened) == 60
    assert picture_shape([small, *[large] * 999], None, None) == (64, 1)


def test_most_pictures_that_are_no_squares_need_a_size(tmp_path):
    wide = [save(tmp_path / f"w{i}.png", GREY[:20]) for i in range(2)]
    square = [save(tmp_path / f"s{i}.png", GREY) for i in range(2)]
    assert picture_shape(wide + square, None, None) == (32, 1)
    with pytest.raises(DataError, match=r"w0\.png: is 32x20 pixels, expected a square crop\. .*2 of 3 pictures are no"):
        picture_shape([square[0], *wide], None, None)
    assert picture_shape(wide, 48, None) == (48, 1)


def test_what_was_changed_is_counted(tmp_path):
    paths = [
        save(tmp_path / "same.png", GREY),
        save(tmp_path / "big.png", faces(1, 64)[0]),
        save(tmp_path / "colour.png", COLOUR),
        save(tmp_path / "wide.png", faces(1, 64, 3)[0][:20]),
    ]
    changes = Changes()
    images, ok = decode_files(paths, 32, 1, BadRows().add, changes=changes)
    assert ok.all()
    assert images.shape == (4, 32, 32)
    assert changes.facts(32) == {
        "brought to 32x32 pixels": 1,
        "no square crop, squeezed to 32x32 pixels": f"1 ({tmp_path.name}/wide.png)",
        "colour pictures made grey": 2,
    }
    changes = Changes()
    decode_files(paths, 32, 3, BadRows().add, changes=changes)
    assert changes.facts(32)["grey pictures stored as colour"] == 2
    assert Changes().facts(32) == {}


def test_without_counting_another_size_is_an_error(tmp_path):
    bad = BadRows("drop")
    _, ok = decode_files([save(tmp_path / "big.png", faces(1, 64)[0])], 32, 1, bad.add)
    assert not ok.any()
    assert bad.errors[0].found == "is 64x64 pixels"


def test_a_palette_of_greys_is_grey(tmp_path):
    paths = [tmp_path / "grey.gif", tmp_path / "grey.png", tmp_path / "colour.png"]
    Image.fromarray(GREY).save(paths[0])
    Image.fromarray(GREY).convert("P").save(paths[1])
    Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE).save(paths[2])
    assert [picture_shape([p], None, None) for p in paths] == [(32, 1), (32, 1), (32, 3)]
    np.testing.assert_array_equal(decode_file(paths[0], 32, 1), GREY)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    path = tmp_path / "t.png"
    Image.fromarray(GREY).convert("P").save(path, transparency=bytes(range(256)))
    np.testing.assert_array_equal(decode_file(path, 32, 1), GREY)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TIFF", "BMP", "TGA"])
def test_damaged_files_of_any_format_never_raise_anything_else(tmp_path, kind):
    rng = np.random.default_rng(1)
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, kind)
    outcomes = set()
    for _ in range(60):
        data = bytearray(buffer.getvalue())
        for position in rng.integers(0, min(200, len(data)), 4):
            data[position] = rng.integers(256)
        (tmp_path / "damaged").write_bytes(data[: rng.integers(1, len(data))])
        try:
            outcomes.add(decode_file(tmp_path / "damaged", 32, 3).shape)
        except DataError as error:
            outcomes.add(type(error))
    assert DataError in outcomes


def test_of_equally_common_shapes_that_of_the_first_picture_that_opens_counts(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    paths = [tmp_path / "a.png", save(tmp_path / "b.png", GREY), save(tmp_path / "c.png", faces(1, 64, 3)[0])]
    assert picture_shape(paths, None, None) == (32, 1)
    assert picture_shape(paths[2:], None, None) == (64, 3)
    assert picture_shape(paths[2:], 96, None) == (96, 3)
    assert picture_shape(paths[2:], None, 1) == (64, 1)
    assert picture_shape([], 96, 1) == (96, 1)
    with pytest.raises(DataError, match=r"a\.png: no picture can be opened"):
        picture_shape(paths[:1], None, None)
    with pytest.raises(DataError, match="the folder: no picture can be opened"):
        picture_shape([], None, None)
    for size, channels in ((4, 1), (5000, 1), (48, 2), (48, 0)):
        with pytest.raises(ConfigError, match="^option"):
            picture_shape(paths, size, channels)


def test_a_picture_of_several_frames_stays_where_it_stood() -> None:
    shades = [Image.new("L", (32, 32), shade) for shade in (0, 120, 250)]
    held = io.BytesIO()
    shades[0].save(held, "GIF", save_all=True, append_images=shades[1:])
    moving = Image.open(held)
    assert [picture_of(frame, "p").pixels.mean() for frame in ImageSequence.Iterator(moving)] == [0, 120, 250]
    moving.seek(2)
    assert picture_of(moving, "p").pixels.mean() == 250
    assert moving.tell() == 2


def test_grey_of_more_than_sixteen_bits_is_refused_and_not_white(tmp_path: Path) -> None:
    Image.fromarray(np.arange(1024, dtype=np.int32).reshape(32, 32) * 100_000).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match="numbers of 32 bits without a known range"):
        decode_file(tmp_path / "deep.tif", 32, 1)
    # Numbers of 32 bits that fit into 16 are 16 bits, as libraries write them.
    Image.fromarray(np.full((32, 32), 40_000, dtype=np.int32)).save(tmp_path / "fits.tif")
    assert decode_file(tmp_path / "fits.tif", 32, 1).max() == 40_000 >> 8


def test_what_stands_for_nothing_in_sixteen_bits_is_white_paper(tmp_path: Path) -> None:
    pixels = np.full((32, 32), 40_000, np.uint16)
    pixels[:16] = 1_000
    Image.fromarray(pixels).save(tmp_path / "cut.png", transparency=1_000)
    with Image.open(tmp_path / "cut.png") as image:
        assert image.info["transparency"] == 1_000
        seen = picture_of(image, "p").pixels
    assert (seen[:16] == 255).all()
    assert (seen[16:] == 40_000 >> 8).all()
