"""Pictures in, rows out: read, find, cut, classify, and say what an answer is worth."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.adapters.loading import load_model, run_model
from mien.confidence import Confidence, confidence_of, entropy
from mien.demographics import Head
from mien.domain import Domain, domain_of_model
from mien.errors import DataError, UsageError, WeightsError
from mien.faces import DEFAULT, DETECTORS
from mien.faces.base import LANDMARKS, FaceDetector, Faces
from mien.faces.crop import FER2013, CropRule, Square, aligned_squares, cut, lean, squares
from mien.inference import FaceModel, Wants
from mien.models.card import load_card
from mien.own_files import card_beside, sha256_of
from mien.pictures.alignment import IN_WORDS
from mien.pictures.opening import MOST_PIXELS
from mien.pictures.pixels import as_stored
from mien.pictures.whole import WholePicture, picture_of, read_picture
from mien.predict.perceiving import Crop, Perceived, Perceiver
from mien.predict.rows import NO_FACE, FaceRow
from mien.predict.slow_sources import in_time
from mien.predict.sources import is_film
from mien.registry import options_of

#: The model in the box: an ONNX file and its card.
BOX = Path(__file__).parent / "weights" / "ferplus_mienet.onnx"
Source = Path | str | bytes | WholePicture | Image.Image | NDArray[np.uint8]

_BATCH = 64  # faces that are classified at once
_AHEAD = 4  # pictures that are read before their turn, for each worker
_SMALL = 0.5  # of the side at which the network learnt: a smaller crop has fewer pixels than it can use
_INSIDE = 0.85  # share of the crop that lies in the picture
_TURNED = 0.35  # how far the nose stands beside the middle of the eyes, in distances between the eyes
_LEANS = 60.0  # degrees
_FER2013 = frozenset(("fer2013", "ferplus"))  # corpora whose crops lie as FER2013's
_FILM = "is a film, which a command looks at by itself and not in a list of pictures: mien predict FILM"
_CROOKED = "not aligned, as the model learnt faces: its landmarks tell no place"
_LOST = "the model itself looks for the face, and found none"
_WIDEST = 2.0  # margin, in sides of the crop
_TURN_S = 0.1  # seconds after which a slow source waits no longer for rows that are ready
_LATE_S = 1.0  # seconds after which rows are told, whether or not many faces have gathered


@dataclass(frozen=True)
class Looked:
    """One picture after everything but the expression.

    Attributes:
        name: What it is called.
        faces: Of the picture; None for a crop, and where it could not be read.
        crops: ``(n, S, S, C)`` what the model is given; None where it could not be read.
        reasons: ``(n,)`` why an answer for a face had better not be used; empty where it may.
        unlike: ``(n,)`` whether its crop is unlike the faces that the model knows; None where nobody measured these.
        error: Why it could not be read; empty otherwise.
        seen: What the annotator of perceived attributes is given; empty where nobody asks.
    """

    name: str
    faces: Faces | None = None
    crops: NDArray[np.uint8] | None = None
    reasons: tuple[str, ...] = ()
    error: str = ""
    seen: tuple[Crop, ...] = ()
    unlike: tuple[bool | None, ...] = ()


@dataclass(frozen=True)
class Predictor:
    """A model and all that stands before and after it.

    Attributes:
        model: It must say which pictures it wants.
        detector: Finds faces; None where pictures are crops already.
        rule: From the detector's boxes to the crops that the model learnt from.
        margin: Shares of the crop's side to add on every side.
        aligned: Whether it learnt faces whose eyes stand level, so that crops are made by landmarks.
        notes: What whoever reads its answers must know, in sentences.
        confidence: What the model's confidence is worth.
        domain: What the faces that it knows are like.
        risk: Largest share of wrong answers among those not abstained from; None: only what a face looks like counts.
        perceiver: Tells perceived attributes too; None: nobody asked for them.
        sha256: Of the model's file.
        path: The model's file, for a page that runs it itself; None for a run.

    Raises:
        UsageError: If the model does not say which pictures it wants, or the margin is none.
    """

    model: FaceModel
    _: KW_ONLY
    detector: FaceDetector | None = None
    rule: CropRule = CropRule()
    margin: float = 0.0
    aligned: bool = False
    notes: tuple[str, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    domain: Domain = field(default_factory=Domain)
    risk: float | None = None
    perceiver: Perceiver | None = None
    sha256: str = ""
    path: Path | None = None

    def __post_init__(self) -> None:
        if self.model.wants is None:
            expected = "a model that does: a run, a weights folder or an ONNX file"
            raise UsageError(self.model.name, "does not say which size and colour of pictures it wants", expected)
        if not 0 <= self.margin <= _WIDEST:
            raise UsageError("margin", str(self.margin), f"a share of the crop's side from 0 to {_WIDEST}")

    @classmethod
    def load(
        cls,
        spec: Path | str | None = None,
        *,
        device: str = "cpu",
        detector: str | None = DEFAULT,
        options: dict[str, object] | None = None,
        margin: float = 0.0,
        risk: float | None = None,
        perceived: bool = False,
        threads: int = 0,
    ) -> Predictor:
        """From the model in the box, a run or weights folder, or an ONNX file.

        Args:
            spec: Run, folder or file; None for the model in the box.
            device: Where a run's network computes; an ONNX file's computes on the processor.
            detector: Its name ('mien list detectors'); None where pictures are aligned crops already.
            options: Of the detector.
            margin: See :class:`Predictor`.
            risk: See :class:`Predictor`.
            perceived: Tell perceived gender, race and age too, by the annotator in the box.
            threads: Of one computation of an ONNX file, and of the detector's where its options do not say otherwise;
                0: as many as the runtime likes.

        Raises:
            WeightsError: If the weights are not there or do not match their card.
            UsageError: If the model does not say which pictures it wants, or ``risk`` is asked of a model of which
                nobody has counted what its confidence is worth.
        """
        path = BOX if spec is None else Path(spec)
        if not path.exists():
            raise WeightsError(str(path), "no such file or folder", "a run, a weights folder or an ONNX file")
        exported = path.suffix == ".onnx" and not path.is_dir()
        if exported and device != "cpu":
            fix = "Give the run that it was exported from, or leave the device out."
            raise UsageError("--device", f"{device!r} computes no ONNX file", "cpu", fix)
        model = load_model(path, {"threads": threads}) if exported else run_model(path, device=device)
        confidence = confidence_of(path) if exported else Confidence()
        if risk is not None:
            _check_risk(risk, confidence, str(path))
        finds = None
        aligned, notes = (False, ()) if detector is None else _as_learnt(path, exported)
        if detector is not None:
            make = DETECTORS.get(detector)
            asked = dict(options or {})
            if threads and "threads" in (option.name for option in options_of(make)):
                asked = {"threads": threads, **asked}
            finds = make(**DETECTORS.check_options(detector, asked, "--option"))
        return cls(
            model,
            detector=finds,
            rule=FER2013.get(detector or "", CropRule()),
            margin=margin,
            aligned=aligned,
            notes=notes,
            confidence=confidence,
            domain=domain_of_model(path) if exported else Domain(),
            risk=risk,
            perceiver=Perceiver.load(detector, device) if perceived else None,
            sha256=_checked_sum(path) if exported else load_card(path).sha256,
            path=path if exported else None,
        )

    @property
    def wants(self) -> Wants:
        """The pictures that the model is best given."""
        assert self.model.wants is not None  # checked when it was made
        return self.model.wants

    @property
    def heads(self) -> tuple[Head, ...]:
        """Perceived attributes that rows tell; none where nobody asked."""
        return () if self.perceiver is None else self.perceiver.heads

    @property
    def annotator(self) -> str:
        """Which perceives these attributes; empty where nobody asked."""
        return "" if self.perceiver is None else self.perceiver.called

    @cached_property
    def least(self) -> float:
        """The confidence under which it abstains."""
        return 0.0 if self.risk is None else self.confidence.threshold(self.risk)

    def at(self, risk: float) -> Predictor:
        """The same, abstaining where needed for at most this share of wrong answers.

        Raises:
            UsageError: If it is no such share, or nobody has counted what the model's confidence is worth.
        """
        _check_risk(risk, self.confidence, self.model.name)
        return replace(self, risk=risk)

    def predict(self, sources: Source | Iterable[Source]) -> list[FaceRow]:
        """All rows of a picture, or of several in their order; see :meth:`stream`."""
        return [row for rows in self.stream(sources) for row in rows]

    def stream(self, sources: Source | Iterable[Source], *, workers: int = 2) -> Iterator[list[FaceRow]]:
        """The rows of one picture after the other, as they come: within a second or so, also where the next is slow.

        Pictures are read and searched several at a time and their faces classified together; no more than a few are
        held at once. One that cannot be read is a row with a reason, and costs the others nothing.

        Args:
            sources: A picture or several, asked for in a thread of their own; paths, bytes of picture files, Pillow's
                images, or pixels ``(H, W)`` or ``(H, W, 3)`` in RGB; may be endless.
            workers: Threads that read and search.

        Pillow's warnings are the caller's to silence (:func:`mien.pictures.opening.quietly`).

        Yields:
            For each picture at least one row.

        Raises:
            DataError: If the model's outputs are not finite.
            UsageError: If something is no picture at all, such as pixels of another shape.
        """
        waiting: deque[Future[Looked]] = deque()
        ready: list[Looked] = []
        since = time.monotonic()
        with ThreadPoolExecutor(workers) as pool, closing(in_time(_several(sources), _TURN_S)) as left:
            try:
                while True:
                    try:
                        source = next(left)
                    except StopIteration:
                        failed: Exception | None = None
                        break
                    except Exception as error:  # of a list that turns out damaged: what was read before it counts
                        failed = error
                        break
                    if source is not None:
                        waiting.append(pool.submit(self.look, source))
                    while waiting and (waiting[0].done() or len(waiting) > workers * _AHEAD):
                        since = since if ready else time.monotonic()
                        ready.append(waiting.popleft().result())
                    many = sum(len(one.reasons) for one in ready) >= _BATCH or len(ready) > _BATCH
                    if ready and (many or time.monotonic() - since > _LATE_S):
                        yield from self.told(ready)
                        ready = []
                ready += [future.result() for future in waiting]
                yield from self.told(ready)
                if failed is not None:
                    raise failed
            finally:  # whoever stops asking does not wait for pictures that nobody will see
                for future in waiting:
                    future.cancel()

    def look(self, source: Source, name: str = "", most_pixels: int = MOST_PIXELS) -> Looked:
        """Read a picture and cut its faces out: the first half of the work, picture by picture.

        Args:
            source: A path, the bytes of a file, or a picture as :meth:`stream` takes them.
            name: What it is called, where ``source`` does not say.
            most_pixels: Of a picture, looked at before it is decoded.
        """
        if not name:
            named = source.name if isinstance(source, WholePicture) else source
            name = str(named) if isinstance(named, str | Path) else "picture"
        try:
            picture = _decoded(source, name, most_pixels)
        except DataError as error:
            film = is_film(name) and not isinstance(source, bytes)
            return Looked(name, error=f"{name}: {_FILM}" if film else str(error))
        wants = self.wants
        if self.detector is None:
            pixels = picture.pixels[..., :1] if picture.grey else picture.pixels
            crops = as_stored(pixels[None], wants.size, wants.channels, wants.by)
            doubts = tuple(self.domain.doubts(crops))
            return Looked(name, None, crops, doubts, seen=self._seen(picture, None), unlike=self._unlike(doubts))
        faces = self.detector.find(picture.pixels)
        places = squares(faces, self.rule, self.margin)
        level = aligned_squares(faces, self.margin) if self.aligned else places
        places = [own if own is not None else place for own, place in zip(level, places, strict=True)]
        crops = cut(picture.pixels, places, wants.size, wants.channels, wants.by)
        doubts = tuple(self.domain.doubts(crops))
        reasons = tuple(
            _doubt(place, points, picture.pixels, wants.size) or (_CROOKED if own is None else unlike)
            for place, own, points, unlike in zip(places, level, faces.landmarks, doubts, strict=True)
        )
        return Looked(name, faces, crops, reasons, seen=self._seen(picture, faces), unlike=self._unlike(doubts))

    def _unlike(self, doubts: Sequence[str]) -> tuple[bool | None, ...]:
        return tuple(bool(doubt) if self.domain.ranges else None for doubt in doubts)

    def _seen(self, picture: WholePicture, faces: Faces | None) -> tuple[Crop, ...]:
        return () if self.perceiver is None else self.perceiver.crops(picture, faces)

    def told(self, looked: Sequence[Looked]) -> Iterator[list[FaceRow]]:
        """The rows of pictures whose faces are cut out: the second half of the work, many faces at once."""
        crops = [one.crops for one in looked if one.crops is not None and len(one.crops)]
        size, channels = self.wants.size, self.wants.channels
        stack = np.concatenate(crops) if crops else np.empty((0, size, size, channels), dtype=np.uint8)
        names = [one.name for one in looked for _ in one.reasons]
        probs, numbers = self.model.answers(stack, names=names)
        perceived = (
            None if self.perceiver is None else self.perceiver.told([crop for one in looked for crop in one.seen])
        )
        start = 0
        for one in looked:
            part = slice(start, start + len(one.reasons))
            start = part.stop
            yield self.rows(one, probs[part], numbers[part], None if perceived is None else perceived[part])

    def rows(
        self,
        one: Looked,
        probs: NDArray[np.float64],
        numbers: NDArray[np.float64],
        perceived: Sequence[Perceived] | None = None,
    ) -> list[FaceRow]:
        """The rows of one picture.

        Args:
            one: Of :meth:`look`.
            probs: ``(n, K)`` what the model says of its crops.
            numbers: ``(n, M)`` the same.
            perceived: What is perceived in its faces; None where nobody asks.
        """
        probs = self.confidence.calibrated(probs)
        spread = entropy(probs) if len(probs) else np.empty(0)
        told: dict[str, Any] = {"model": self.model.name, "model_sha256": self.sha256}
        if one.error:
            return [FaceRow(image=one.name, abstained=True, reason=one.error, **told)]
        if not one.reasons:
            return [FaceRow(image=one.name, abstained=True, reason=NO_FACE, **told)]
        rows, least = [], self.least
        for i, (row, doubt) in enumerate(zip(probs, one.reasons, strict=True)):
            if perceived is not None and self.perceiver is not None:
                seen = perceived[i]
                told |= {"perceived": seen.attributes, "age_years": seen.years, "annotator": self.perceiver.called}
            told["out_of_domain"] = one.unlike[i] if one.unlike else None
            if not np.isfinite(row).all():
                rows.append(FaceRow(image=one.name, face=i, abstained=True, reason=_LOST, **told))
                continue
            top = int(row.argmax())
            reason = doubt or (_unsure(float(row[top]), least, self.risk) if row[top] < least else "")
            found: dict[str, Any] = {}
            if one.faces is not None:
                places = one.faces.landmarks[i]
                found = {
                    "box": tuple(float(v) for v in one.faces.boxes[i]),
                    "landmarks": {
                        name: (float(x), float(y))
                        for name, (x, y) in zip(LANDMARKS, places, strict=True)
                        if not math.isnan(x)
                    },
                    "detector_score": float(one.faces.scores[i]),
                }
            rows.append(
                FaceRow(
                    image=one.name,
                    face=i,
                    probabilities={c: float(p) for c, p in zip(self.model.classes, row, strict=True)},
                    top=self.model.classes[top],
                    confidence=float(row[top]),
                    entropy=float(spread[i]),
                    abstained=bool(reason),
                    reason=reason,
                    numbers={name: float(v) for name, v in zip(self.model.numbers, numbers[i], strict=True)},
                    **found,
                    **told,
                )
            )
        return rows


def _check_risk(risk: float, confidence: Confidence, model: str) -> None:
    if not 0 <= risk < 1:
        raise UsageError("risk", str(risk), "a share of wrong answers from 0 to under 1, such as 0.1")
    if not confidence.steps:
        fix = "Export it on faces that it has not learnt from: mien export RUN --out model.onnx --on STORE:split."
        raise UsageError(model, "says nothing of what its confidence is worth", "an exported model", fix)


def _as_learnt(path: Path, exported: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether a model learnt faces aligned as Mien aligns them; and what else of its card crops do not follow."""
    card = card_beside(path)[1] if exported else asdict(load_card(path))
    alignment, data = str(card.get("alignment") or ""), card.get("data")
    corpus = str(data.get("corpus") or "") if isinstance(data, dict) else ""
    if alignment.startswith(IN_WORDS):
        return True, ()
    if alignment:
        found = f"the model learnt faces that were aligned otherwise ({alignment}), and crops are not"
        return False, (f"{found}: give it faces that are, with --crops",)
    if corpus and _FER2013.isdisjoint(corpus.split("+")):
        found = f"crops lie as FER2013's do, and the model learnt {corpus}, which may have been cut otherwise"
        return False, (f"{found}: see --margin, or give it its own kind of crops with --crops",)
    return False, ()


def _several(sources: Source | Iterable[Source]) -> Iterable[Source]:
    """Pictures one by one; a path alone is not its letters, and pixels alone are not their rows."""
    if isinstance(sources, str | Path | bytes | WholePicture | Image.Image):
        return [sources]
    if isinstance(sources, np.ndarray):
        return [sources] if sources.ndim < 4 else list(sources)
    return sources


def _decoded(source: Source, name: str, most_pixels: int) -> WholePicture:
    """A picture as it is looked at.

    Raises:
        DataError: If a file cannot be read.
        UsageError: If it is no picture.
    """
    if isinstance(source, WholePicture):
        return source
    if isinstance(source, str | Path | bytes):
        return read_picture(source if isinstance(source, bytes) else Path(source), name, most_pixels)
    if isinstance(source, Image.Image | np.ndarray):
        width, height = source.size if isinstance(source, Image.Image) else (*source.shape[1::-1], 1, 1)[:2]
        if width * height > most_pixels:
            raise DataError(name, f"has {width:,}x{height:,} pixels", f"at most {most_pixels:,}")
        try:
            return picture_of(source, name)
        except UsageError:
            raise
        except Exception as error:  # decoders of damaged files raise almost anything, and Pillow decodes late
            raise DataError(name, f"cannot be decoded ({error})", "a whole picture of 8 or 16 bits") from error
    expected = "a path, bytes, an image or pixels"
    raise UsageError(name, f"a {type(source).__name__} is no picture", expected)


def _doubt(place: Square, points: NDArray[np.float64], picture: NDArray[np.uint8], size: int) -> str:
    """Why an answer for a face had better not be used, from how it lies in its picture; empty where it may."""
    if place.side < _SMALL * size:
        return f"too small: {round(place.side)} pixels, under {round(_SMALL * size)}"
    if place.inside(picture) < _INSIDE:
        return "cut by the edge of the picture"
    if abs(lean(points)) > _LEANS:
        return f"lies on its side: the eyes lean by {abs(lean(points)):.0f} degrees"
    aside = _aside(points)
    return "turned away: the nose stands beside the eyes" if aside > _TURNED else ""


def _aside(points: NDArray[np.float64]) -> float:
    """How far the nose stands beside the middle of the eyes, along their line, in distances between them."""
    left, right, nose = points[:3]
    line = right - left
    length = float(line @ line)
    return 0.0 if not length > 0 else abs(float((nose - (left + right) / 2) @ line)) / length


def _unsure(confidence: float, least: float, risk: float | None) -> str:
    if math.isinf(least):
        return f"no confidence of this model promises a share of wrong answers under {risk:g}"
    return f"not sure enough: {confidence:.2f}, under {least:.2f}"


def _checked_sum(path: Path) -> str:
    """The checksum of an exported model, held to its card's.

    Raises:
        WeightsError: If the card was written for another file.
    """
    found, due = sha256_of(path), card_beside(path)[1].get("sha256")
    if due and due != found:
        fix = "Export the model again, or restore both files."
        raise WeightsError(str(path), "is not the file that its card was written for", f"SHA-256 {due}", fix)
    return found
