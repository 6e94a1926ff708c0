"""Tiny corpora of agreement-bound downloads, file by file as their releases lay them out; drawn pictures only.

Each writer gives the place to prepare. Labels go round: face i has the i-th class of the corpus's own codes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from writers import faces, write_challenge

CK_EMOTIONS = {"S005": {"001": 3, "002": 0}, "S010": {"001": 1, "004": 7}}  # 0: a sequence without an emotion
CK_FRAMES = 6
CELEBA_NAMES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def save(path: Path, image) -> Path:
    """A picture in its own folder, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


def text(path: Path, content: str) -> Path:
    """A text in its own folder, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def scene(width, height, seed):
    """A colour picture that is no square, drawn small and enlarged: smoothing large noise takes long."""
    small = Image.fromarray(faces(1, 32, 3, seed)[0])
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def squares(n, side):
    """``n`` colour pictures."""
    return [scene(side, side, seed) for seed in range(n)]


def raf_name(i, n):
    """The name of face i of n: three quarters train."""
    train = 3 * n // 4
    return f"train_{i + 1:05d}.jpg" if i < train else f"test_{i - train + 1:04d}.jpg"


def write_raf_db(root: Path, n=16, label_set="basic", classes=7, original=True, notes=True):
    """The release: ``<label set>/EmoLabel``, ``Image/aligned`` and ``original``, ``Annotation``."""
    base = root / label_set
    names = [raf_name(i, n) for i in range(n)]
    text(base / "EmoLabel/list_patition_label.txt", "".join(f"{m} {i % classes + 1}\n" for i, m in enumerate(names)))
    for i, (name, image) in enumerate(zip(names, squares(n, 100), strict=True)):
        stem = name[:-4]
        save(base / f"Image/aligned/{stem}_aligned.jpg", image)
        if original:
            save(base / f"Image/original/{name}", scene(160, 120, i))
            text(
                base / f"Annotation/boundingbox/{stem}_boundingbox.txt", "40.000000 10.000000 120.000000 110.000000 \n"
            )
        if notes:
            points = "".join(f"{60 + 10 * k}.5\t{30 + 10 * k}.5\n" for k in range(5))
            codes = f"{i % 3}\n{i // 3 % 3}\n{i % 5}\n"
            text(base / f"Annotation/manual/{stem}_manu_attri.txt", points + codes)
    return root


def write_raf_kaggle(root: Path, n=16):
    """``DATASET/train/1/train_00001_aligned.jpg`` with ``train_labels.csv`` beside it."""
    lines = {"train": ["image,label"], "test": ["image,label"]}
    for i, image in enumerate(squares(n, 100)):
        name = raf_name(i, n).replace(".jpg", "_aligned.jpg")
        split = name.split("_")[0]
        save(root / f"DATASET/{split}/{i % 7 + 1}/{name}", image)
        lines[split].append(f"{name},{i % 7 + 1}")
    for split, rows in lines.items():
        text(root / f"{split}_labels.csv", "\n".join(rows) + "\n")
    return root


def write_raf_ml(root: Path, n=12):
    """``EmoLabel/distribution.txt`` and ``partition_label.txt``, ``Image/aligned/0001_aligned.jpg``."""
    rng = np.random.default_rng(0)
    shares = rng.multinomial(40, [0.3, 0.2, 0.2, 0.1, 0.1, 0.1], n) / 40
    parts, lines = [], []
    for i, image in enumerate(squares(n, 100)):
        name = f"{i:04d}.jpg"
        lines.append("\t".join([name, *(f"{s:.6f}" for s in shares[i])]))
        parts.append(f"{name} {int(i >= 3 * n // 4)}")
        save(root / f"Image/aligned/{name[:-4]}_aligned.jpg", image)
    text(root / "EmoLabel/distribution.txt", "\n".join(lines) + "\n")
    text(root / "EmoLabel/partition_label.txt", "\n".join(parts) + "\n")
    return root


def ck_points(shift=0.0):
    """68 landmarks within columns 40 to 140 and rows 20 to 120, the eyes at known places."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([90 + 50 * np.cos(angle), 70 + 50 * np.sin(angle)], axis=1)
    points[36:42], points[42:48], points[30] = (70, 50), (110, 50), (90, 70)
    points[48], points[54] = (75, 95), (105, 95)
    return points + shift


def write_ck_plus(root: Path, landmarks=True, facs=True):
    """``cohn-kanade-images``, ``Emotion``, ``FACS`` and ``Landmarks`` of two subjects with two sequences each."""
    for subject, sequences in CK_EMOTIONS.items():
        for sequence, emotion in sequences.items():
            at = f"{subject}/{sequence}"
            for k in range(1, CK_FRAMES + 1):
                name = f"{subject}_{sequence}_{k:08d}"
                picture = scene(180, 140, 10 * int(subject[1:]) + 100 * int(sequence) + k)[..., 0]
                save(root / f"cohn-kanade-images/{at}/{name}.png", np.ascontiguousarray(picture))
                if landmarks:
                    rows = "".join(f"   {x:.7e}   {y:.7e}\n" for x, y in ck_points())
                    text(root / f"Landmarks/{at}/{name}_landmarks.txt", rows)
            (root / f"Emotion/{at}").mkdir(parents=True, exist_ok=True)  # the release has empty folders too
            if emotion:
                text(root / f"Emotion/{at}/{name}_emotion.txt", f"   {emotion:.7e}\n")
            if facs:
                text(root / f"FACS/{at}/{name}_facs.txt", "   1.0000000e+00   3.0000000e+00\n   2.5e+01   0.0e+00\n")
    return root


def write_ck48(root: Path, classes=("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")):
    """``anger/S010_004_00000017.png``: 48 pixels, two subjects a class."""
    pictures = iter(faces(2 * len(classes)))
    for k, name in enumerate(classes):
        for subject in (10 + k, 11 + k):
            save(root / f"{name}/S{subject:03d}_00{k + 1}_000000{10 + k}.png", next(pictures))
    return root


def write_ck_csv(root: Path, n=16):
    """``ckextended.csv``: emotion,pixels,Usage with eight codes."""
    root.mkdir(parents=True, exist_ok=True)
    usage = ["Training"] * (n - 4) + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    write_challenge(root / "ckextended.csv", faces(n), [i % 8 for i in range(n)], usage)
    return root


def points_68(left, top):
    """68 landmarks as AffectNet writes them, with the eyes at (left + 20, top + 30) and (left + 60, top + 30)."""
    points = np.tile([left + 40.0, top + 50.0], (68, 1))
    points[36:42], points[42:48] = (left + 20, top + 30), (left + 60, top + 30)
    return points


def write_affectnet(root: Path, n=22, header=True):
    """``Manually_Annotated_file_lists/training.csv`` and ``validation.csv`` (without a header), eleven codes."""
    base = root / "Manually_Annotated"
    rows: dict[str, list[str]] = {"training": [AFFECTNET_HEADER] if header else [], "validation": []}
    for i in range(n):
        code = i % 11
        name = f"{i % 3}/{i:032x}.jpg"
        save(base / "Manually_Annotated_Images" / name, scene(150, 130, i))
        points = ";".join(f"{v:.2f}" for v in points_68(30, 20).ravel())
        valence, arousal = ("-2", "-2") if code > 8 else (f"{(i % 5) / 4 - 0.5:.4f}", f"{(i % 3) / 4:.6f}")
        row = f"{name},30,20,80,80,{points},{code},{valence},{arousal}"
        rows["training" if i < 2 * n // 3 else "validation"].append(row)
    for name, lines in rows.items():
        text(base / f"Manually_Annotated_file_lists/{name}.csv", "\n".join(lines) + "\n")
    return root


def write_affectnet_sets(root: Path, n=16):
    """``train_set/images/0.jpg`` and ``annotations/0_exp.npy``, ``_val``, ``_aro``, ``_lnd``; ``val_set`` alike."""
    for i, image in enumerate(squares(n, 64)):
        at = root / ("train_set" if i < n - 4 else "val_set")
        save(at / f"images/{i}.jpg", image)
        (at / "annotations").mkdir(exist_ok=True)
        values = {"exp": str(i % 8), "val": f"{(i % 5) / 4 - 0.5}", "aro": "-2" if i == 1 else "0.25"}
        for part, value in values.items():
            np.save(at / f"annotations/{i}_{part}.npy", np.array(value))
        np.save(at / f"annotations/{i}_lnd.npy", points_68(0, 0).ravel())
    return root


def celeba_signs(i):
    """Face i: smiling where i is even, male each third, young but each fourth; all else -1."""
    said = {"Smiling": i % 2 == 0, "Male": i % 3 == 0, "Young": i % 4 != 0}
    return [1 if said.get(name) else -1 for name in CELEBA_NAMES]


def write_celeba(root: Path, n=12, csv=False, persons=True):
    """The release's folders, or with ``csv`` the copy that has all in one."""
    sign, end = (",", "csv") if csv else (" ", "txt")
    names = [f"{i + 1:06d}.jpg" for i in range(n)]
    attributes = [sign.join([m, *(f"{v:d}" for v in celeba_signs(i))]) for i, m in enumerate(names)]
    parts = [f"{m}{sign}{0 if i < n // 2 else 1 if i < 3 * n // 4 else 2}" for i, m in enumerate(names)]
    points = [sign.join([m, "69", "109", "106", "113", "77", "142", "73", "152", "108", "154"]) for m in names]
    heads = [CELEBA_NAMES, (), ("lefteye_x", "lefteye_y", "righteye_x", "righteye_y", "nose_x", "nose_y",
             "leftmouth_x", "leftmouth_y", "rightmouth_x", "rightmouth_y")]  # fmt: skip
    anno, evaluation, img = ("", "", "") if csv else ("Anno/", "Eval/", "Img/")
    lists = {f"{anno}list_attr_celeba": attributes, f"{evaluation}list_eval_partition": parts}
    lists[f"{anno}list_landmarks_align_celeba"] = points
    for (name, rows), head in zip(lists.items(), heads, strict=True):
        top = [",".join(["image_id", *(head or ["partition"])])] if csv else [str(n), " ".join(head)] if head else []
        text(root / f"{name}.{end}", "\n".join([*top, *rows]) + "\n")
    if persons:
        text(root / f"{anno}identity_CelebA.txt", "".join(f"{m} {i // 3 + 1}\n" for i, m in enumerate(names)))
    inner = "img_align_celeba/img_align_celeba" if csv else f"{img}img_align_celeba"
    for i, name in enumerate(names):
        save(root / inner / name, scene(178, 218, i))
    return root


def write_expw(root: Path, n=14):
    """``label/label.lst`` and ``image/origin``: two faces a picture."""
    lines = []
    for i in range(n):
        name = f"some_word_{i // 2}.jpg"
        if i % 2 == 0:
            save(root / f"image/origin/{name}", scene(200, 150, i))
        lines.append(f"{name} {i % 2} 20 {30 + 60 * (i % 2)} {90 + 60 * (i % 2)} 90 {50 + i}.25 {i % 7}")
    text(root / "label/label.lst", "\n".join(lines) + "\n")
    return root


def write_sfew(root: Path, aligned=True):
    """``Train``, ``Val`` and ``Test``, with aligned faces of 143x181 in folders of their own, or whole frames."""
    side = (143, 181) if aligned else (180, 144)
    name = "{0}/{0}_Aligned_Faces" if aligned else "{0}"
    seed = 0
    for split, times in (("Train", 2), ("Val", 1)):
        for emotion in ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"):
            for k in range(times):
                seed += 1
                file = f"Airheads_{seed:09d}_{k:08d}.png"
                save(root / name.format(split) / emotion / file, scene(*side, seed))
    for k in range(3):
        save(root / name.format("Test") / f"Juno_{k:09d}_00000001.png", scene(*side, 90 + k))
    return root
