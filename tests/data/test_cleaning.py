from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mien.data import near_copies
from mien.data.cleaning import exact_hashes, find_duplicates, perceptual_hashes
from mien.data.near_copies import as_grey, close_pairs
from writers import faces

FACES = faces(120, seed=3)


def clusters(images, **options):
    return find_duplicates(images, exact_hashes(images), perceptual_hashes(images), **options)


def shifted(image):
    """Moved one pixel to the right, the left column doubled."""
    return np.concatenate([image[:, :1], image[:, :-1]], axis=1)


def brighter(image):
    return (image * 0.9 + 20).astype(np.uint8)


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def resized(image):
    small = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.BICUBIC))


def test_different_faces_are_no_copies():
    found = clusters(FACES)
    assert found.cluster.tolist() == list(range(len(FACES)))
    assert (found.n_exact, found.n_near) == (0, 0)


def test_exact_copies_share_a_number_and_are_counted():
    images = FACES[[0, 1, 0, 2, 1, 0]]
    found = clusters(images)
    assert found.cluster.tolist() == [0, 1, 0, 2, 1, 0]
    assert (found.n_exact, found.n_near) == (3, 0)


@pytest.mark.parametrize("change", [shifted, brighter, jpeg, resized])
def test_near_copies_are_found(change):
    copies = np.stack([change(image) for image in FACES[:40]])
    assert (exact_hashes(copies) != exact_hashes(FACES[:40])).all()
    found = clusters(np.concatenate([FACES, copies]))
    # Bits near the median may turn, so a few of 40 may be missed; none may join another face.
    own = found.cluster[len(FACES) :] == np.arange(40)
    assert own.sum() >= (34 if change is shifted else 38)
    assert (found.cluster[len(FACES) :][~own] >= len(FACES)).all()
    assert (found.n_exact, found.n_near) == (0, own.sum())


def test_copies_in_colour_are_found_too():
    images = faces(20, 32, 3)
    found = clusters(np.concatenate([images, (images * 0.95 + 5).astype(np.uint8)]))
    assert (found.cluster[20:] == np.arange(20)).sum() >= 18
    assert len(set(found.cluster[:20].tolist())) == 20


def test_numbers_follow_the_first_appearance():
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 3))
    cluster = clusters(FACES[order]).cluster
    _, first = np.unique(cluster, return_index=True)
    assert cluster[np.sort(first)].tolist() == list(range(30))
    for a in range(30):
        assert len(set(cluster[order == a].tolist())) == 1


def test_copies_of_copies_are_one_cluster_and_count_as_exact_and_near():
    images = np.stack([FACES[0], brighter(FACES[0]), brighter(FACES[0]), jpeg(FACES[0]), FACES[1]])
    found = clusters(images)
    assert found.cluster.tolist() == [0, 0, 0, 0, 1]
    assert (found.n_exact, found.n_near) == (1, 2)


def test_flat_pictures_are_copies_only_byte_for_byte():
    flat = np.stack([np.full((48, 48), v, np.uint8) for v in (0, 0, 10, 200, 10)])
    # Under one hash, so that the pixels decide.
    for hashes in (perceptual_hashes(flat), np.zeros(5, dtype=np.uint64)):
        found = find_duplicates(flat, exact_hashes(flat), hashes)
        assert found.cluster.tolist() == [0, 0, 1, 2, 1]
        assert (found.n_exact, found.n_near) == (2, 0)


def test_like_hashes_are_not_enough_without_like_pixels():
    same_hash = np.zeros(40, dtype=np.uint64)
    found = find_duplicates(FACES[:40], exact_hashes(FACES[:40]), same_hash)
    assert found.n_near == 0
    joined = find_duplicates(FACES[:40], exact_hashes(FACES[:40]), same_hash, min_correlation=-1)
    assert joined.cluster.tolist() == [0] * 40


def test_max_bits_bounds_the_difference():
    images = np.stack([FACES[0], brighter(FACES[0])])
    exact = exact_hashes(images)
    for bits in range(9):
        hashes = np.array([0, (1 << bits) - 1], dtype=np.uint64)
        assert find_duplicates(images, exact, hashes, max_bits=7).n_near == int(bits <= 7)
        assert find_duplicates(images, exact, hashes, max_bits=2).n_near == int(bits <= 2)
        assert find_duplicates(images, exact, hashes, max_bits=0).n_near == int(bits == 0)


@pytest.mark.parametrize("max_bits", [0, 1, 4, 7])
def test_close_pairs_agree_with_all_pairs(max_bits):
    rng = np.random.default_rng(max_bits)
    hashes = rng.integers(0, 2**64, 60, dtype=np.uint64)
    # Relatives of each hash at 0 to 10 bits.
    for n_bits in range(11):
        flips = np.array(
            [sum(1 << int(b) for b in rng.choice(64, n_bits, replace=False)) for _ in range(60)], np.uint64
        )
        hashes = np.concatenate([hashes, hashes[:60] ^ flips])
    distance = np.array([[bin(int(a) ^ int(b)).count("1") for b in hashes] for a in hashes])
    expected = {(i, j) for i, j in np.argwhere(distance <= max_bits).tolist() if i < j}
    found = np.concatenate(list(close_pairs(hashes, max_bits)))
    assert len(expected) >= 60
    assert len(found) == len(expected)
    assert set(map(tuple, found.tolist())) == expected


def test_exact_hashes_tell_every_pixel():
    changed = FACES[:5].copy()
    changed[np.arange(5), 47, 47] ^= 1
    assert (exact_hashes(changed) != exact_hashes(FACES[:5])).all()
    assert (exact_hashes(FACES[:5].copy()) == exact_hashes(FACES)[:5]).all()


def test_brightness_alone_leaves_the_perceptual_hash():
    dark = (FACES // 2).astype(np.uint8)
    lighter = dark + np.uint8(60)
    np.testing.assert_array_equal(perceptual_hashes(dark), perceptual_hashes(lighter))
    assert len(set(perceptual_hashes(FACES).tolist())) == len(FACES)


def test_the_perceptual_hash_takes_its_bits_from_the_cosine_transform():
    from scipy.fft import dctn

    image = faces(1, 32, seed=8)
    low = dctn(image[0].astype(float), type=2)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    bits[0] = False
    # dctn scales all frequencies alike, so at 32x32 both compare the same numbers
    assert perceptual_hashes(image)[0] == np.packbits(bits).view(np.uint64)[0]


def test_grey_is_the_mean_of_the_colours():
    np.testing.assert_array_equal(as_grey(np.array([[[[3, 6, 9]]]], np.uint8)), [[[6.0]]])
    assert as_grey(np.zeros((2, 4, 4, 1), np.uint8)).shape == (2, 4, 4)


def by_all_pairs(images, hashes, max_bits=7, least=0.9):
    """Clusters as they are defined: each pair compared, and what hangs together numbered by first appearance."""
    _, exact = np.unique(exact_hashes(images), return_inverse=True)
    flat = as_grey(images).reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    norm = np.sqrt((flat**2).sum(1))
    scale = np.outer(norm, norm)
    near = (flat @ flat.T >= least * scale) & (scale > flat.shape[1])
    near &= np.bitwise_count(hashes[:, None] ^ hashes) <= max_bits
    near |= exact[:, None] == exact
    cluster = np.arange(len(images))
    while True:
        lowest = np.where(near, cluster, len(images)).min(1)
        if (lowest == cluster).all():
            return np.unique(cluster, return_inverse=True)[1]
        cluster = lowest


def chained(n, step, rng):
    """Pictures of which each is a little other than the one before it."""
    wave = rng.normal(0, 1, (n, 6, 6)).cumsum(0) * step + rng.normal(0, 1, (6, 6)) * 3
    large = wave.repeat(8, 1).repeat(8, 2)
    return np.clip(128 + 12 * large, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_those_of_all_pairs_also_where_copies_are_chained(seed):
    rng = np.random.default_rng(seed)
    still = chained(1, 0, rng)[0].astype(np.float64)
    parts = [chained(80, 0.3, rng), chained(80, 0.6, rng), chained(80, 1.2, rng), FACES[:40]]
    # Copies under noise that leaves the correlation about the bound, and under noise that does not matter.
    parts += [np.clip(still + rng.normal(0, s, (50, 48, 48)), 0, 255).astype(np.uint8) for s in (1, 9, 14)]
    images = np.concatenate([*parts, parts[0][:20], parts[4][:20]])
    images = images[rng.permutation(len(images))]
    hashes = perceptual_hashes(images)
    # Fewer different hashes make more pairs that only the pixels can tell apart.
    for few in (hashes, hashes & np.uint64(0x0F0F), np.zeros_like(hashes)):
        expected = by_all_pairs(images, few)
        assert 3 < expected.max() < len(images) - 100
        np.testing.assert_array_equal(find_duplicates(images, exact_hashes(images), few).cluster, expected)


def test_thousands_of_frames_of_one_still_are_hardly_compared(monkeypatch):
    rng = np.random.default_rng(0)
    still = rng.integers(60, 200, (8, 8)).repeat(3, 0).repeat(3, 1)
    frames = np.clip(still + rng.integers(-1, 2, (5000, 24, 24)), 0, 255).astype(np.uint8)
    looked_at = []
    real = near_copies._Pixels._centred
    monkeypatch.setattr(near_copies._Pixels, "_centred", lambda self, w: looked_at.append(len(w)) or real(self, w))
    found = clusters(frames)
    assert found.cluster.tolist() == [0] * 5000
    assert sum(looked_at) < 20 * 5000  # of 12 million pairs


def test_many_flat_pictures_are_quickly_told_apart(monkeypatch):
    flat = np.arange(256, dtype=np.uint8)[:, None, None] + np.zeros((1, 16, 16), np.uint8)
    monkeypatch.setattr(near_copies._Pixels, "_one_by_one", lambda self, pairs: pytest.fail("compared one by one"))
    assert clusters(flat).n_near == 0
