"""``export``: a run as an ONNX file and its card, which need no torch; its answers compared before it is kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import confidence, domain
from mien.adapters.onnx import onnx_model
from mien.confidence import Confidence
from mien.domain import Domain, domain_of_faces
from mien.errors import DataError, UsageError
from mien.evaluate import AskedFaces, asked_faces
from mien.foreign import import_tool
from mien.inference import FaceModel, Progress, batches
from mien.models.card import WeightCard
from mien.outputs import check_file, whole
from mien.own_files import sha256_of
from mien.pictures.pixels import as_stored
from mien.postprocessing.group_temperature import fitted_scale
from mien.records import plain, write_json
from mien.runs import Run
from mien.stats.selective import surest_steps

OPSET = 18  # the first whose Resize averages over what it passes over, as ours does
_LARGEST = 1e-3  # difference of a probability that rounding in another order may make
_COMPARED, _CALIBRATED = 512, 256  # faces whose answers are compared, and that int8 ranges are taken from
_FEWEST = 15  # faces of which a share can be counted at all
_LOST = 0.01  # share of the faces whose answer int8 may spoil, more than it mends


@dataclass(frozen=True)
class Exported:
    """A model that was exported.

    Attributes:
        path: The file; its card lies beside it.
        bytes: Its size.
        faces: Faces on which it was compared and counted.
        difference: The largest difference of a probability from the run's.
        agreement: Share of the faces with the same answer as the run's.
        compared: On how many of them the run was asked too.
        accuracy: Of the file, on all of them.
        confidence: What the card says of its confidence.
        domain: What it says of the faces that it knows.
    """

    path: Path
    bytes: int
    faces: int
    compared: int
    difference: float
    agreement: float
    accuracy: float
    confidence: Confidence
    domain: Domain


def export_onnx(
    run: Run,
    out: Path | str,
    *,
    on: str | None = None,
    int8: bool = False,
    whole_way: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a run's network as ``out`` and its card as ``.json`` beside it.

    The file takes any number of faces. It is run on real faces and compared with the run before it takes its place,
    and the same faces tell how far its confidence can be relied on.

    Args:
        run: A run that learnt expressions.
        out: A file ``*.onnx``.
        on: ``STORE:split`` of those faces; by default the run's own test faces, or its validation faces. Of faces that
            chose the weights, or are copies of training faces, nothing is counted that could be promised.
        int8: Weights and maps in eight bits: a quarter of the size. Refused where it spoils more than one answer in
            a hundred.
        whole_way: The file takes faces as a store holds them, uint8 of ``(n, H, W, C)``, and gives probabilities that
            are as sure as they are right: for programs that know nothing of the card.
        force: Replace a file that is there.
        progress: Called with faces done and in all.

    Raises:
        UsageError: If the run learnt attributes, ``out`` is no name of an ONNX file, or is there.
        DataError: If the file does not answer as the run does; then nothing is written.
        MissingTool: If onnx is not installed.
    """
    from mien.models.weights import Classifier, refuse_attributes

    out = Path(out)
    if out.suffix != ".onnx":
        raise UsageError("--out", repr(str(out)), "a name that ends in .onnx")
    check_file(out, "--out", [run.path], force=force)
    check_file(out.with_suffix(".json"), "--out", [run.path], force=force, sign=b'"classes"')
    if int8 and whole_way:
        raise UsageError("int8", "does not go with the whole way", "one of the two")
    import_tool("onnx", "export", "onnx")
    classifier = Classifier.load(run.path)
    refuse_attributes(classifier, run.path)
    asked = asked_faces(run, on, classifier.card.classes)
    card = _card(classifier.card, whole_way)
    with whole(out.with_suffix(".json")) as described, whole(out) as partial:
        made = partial.with_name(partial.name + ".onnx")  # readers go by the ending
        try:
            _write(classifier, made, whole_way)
            if int8:
                _quantise(made, classifier, asked)
            beside = made.with_suffix(".json")
            write_json(beside, plain(card))
            found = _compared(classifier.face_model(run.path.name), onnx_model(made), asked, int8, progress)
            if whole_way:
                found = _calibrated(found, classifier, made, asked)
            content = {**plain(card), "sha256": sha256_of(made)}
            content |= {confidence.KEY: plain(asdict(found.confidence)), domain.KEY: plain(asdict(found.domain))}
            write_json(described, content)
            made.replace(partial)
        finally:
            for left in (made, made.with_suffix(".json")):
                left.unlink(missing_ok=True)
    return replace(found, path=out, bytes=out.stat().st_size)


def _card(card: WeightCard, whole_way: bool) -> dict[str, Any]:
    """The card of the file: that of the weights, less what the file does by itself."""
    content = asdict(card)
    content.pop("sha256")
    if whole_way:
        side = card.store_size or card.size
        content["numbers"] = {}  # the file tells probabilities alone
        content |= {"size": side, "store_size": 0, "logits": False, "layout": "NHWC", "scale": 1.0}
        content |= {
            "mean": [0.0],
            "std": [1.0],
            "preprocess": [],
            "resampling": [card.resampling[0], card.resampling[0]],
        }
    return content


def _calibrated(found: Exported, classifier: Any, made: Path, asked: AskedFaces) -> Exported:
    """The file anew with the exponent of its probabilities in it, and not on its card.

    Raises:
        DataError: If it does not answer as the one before with the exponent.
    """
    rows = asked.faces.rows[:_COMPARED]
    due = found.confidence.calibrated(onnx_model(made).probabilities(asked.store.images, rows))
    _write(classifier, made, True, found.confidence.scale)
    difference = float(np.abs(onnx_model(made).probabilities(asked.store.images, rows) - due).max())
    if difference > _LARGEST:
        raise DataError("the exported file", f"differs by up to {difference:.2g} when calibrated", "the same answers",
                        "Please report it, with the model's name.")  # fmt: skip
    return replace(found, confidence=replace(found.confidence, scale=1.0))


def _write(classifier: Any, path: Path, whole_way: bool, scale: float = 1.0) -> None:
    """The network as torch's exporter has it, with free number of faces; the whole way with the logits times scale."""
    import torch

    card = classifier.card
    module, side, channels = classifier.module, card.size, card.in_channels
    x = torch.zeros(2, channels, side, side)
    if whole_way:
        module = _whole_way(classifier, scale)
        side = card.store_size or card.size
        x = torch.zeros(2, side, side, channels, dtype=torch.uint8)
    output = "probabilities" if whole_way else "logits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that do not change here, and of the exporter's own age
        try:
            torch.onnx.export(
                module.to("cpu").eval(),
                (x,),
                path,
                input_names=["faces"],
                output_names=[output],
                dynamic_axes={"faces": {0: "n"}, output: {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:  # whatever an operation without a counterpart raises
            fix = "" if not whole_way else "Export it without the whole way: its card says how faces are brought there."
            raise DataError(card.model, f"cannot be exported ({error})", "operations that ONNX has", fix) from error


def _whole_way(classifier: Any, scale: float) -> Any:
    """The network with all that a store's faces go through before it, and softmax of the logits times scale after."""
    import torch

    from mien.models.weights import normalise

    class WholeWay(torch.nn.Module):
        """From uint8 to probabilities."""

        def __init__(self) -> None:
            super().__init__()
            self.network = classifier.module

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            x = normalise(faces.permute(0, 3, 1, 2).float() / 255, classifier.card)
            k = len(classifier.card.classes)
            found: torch.Tensor = (self.network(x)[:, :k] * scale).softmax(1)
            return found

    return WholeWay()


def _quantise(path: Path, classifier: Any, asked: AskedFaces) -> None:
    """Eight bits for weights (a channel) and maps, whose ranges are taken from real faces."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rows = asked.faces.rows[:: max(1, len(asked.faces.rows) // _CALIBRATED)][:_CALIBRATED]

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        """Real faces, 32 at a time."""

        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.int64]] = iter(np.array_split(rows, max(1, len(rows) // 32)))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            part = next(self.left, None)
            return None if part is None else {"faces": classifier.tensor(asked.store.images[part]).cpu().numpy()}

    prepared = path.with_suffix(".prepared.onnx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quant_pre_process(str(path), str(prepared))
            quantize_static(
                str(prepared),
                str(path),
                Faces(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,  # processors without VNNI add eight-bit products in sixteen bits, which seven fit
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
    finally:
        prepared.unlink(missing_ok=True)


def _compared(run: FaceModel, made: FaceModel, asked: AskedFaces, int8: bool, progress: Progress | None) -> Exported:
    """What the file says of real faces, beside what the run says.

    Raises:
        DataError: If they differ by more than rounding, or for int8, more answers are spoilt than mended.
    """
    labels = asked.faces.targets.argmax(1)
    rows = asked.faces.rows
    probs = made.probabilities(asked.store.images, rows, progress=progress)
    # All faces tell of the confidence; the network in torch, which is slower, looks at some of them, evenly taken.
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _COMPARED)).astype(int))
    theirs = run.probabilities(asked.store.images, rows[some])
    difference = float(np.abs(theirs - probs[some]).max())
    right, right_too = theirs.argmax(1) == labels[some], probs[some].argmax(1) == labels[some]
    lost = float(right.mean() - right_too.mean())
    if lost > _LOST if int8 else difference > _LARGEST:
        found = f"answers differ by up to {difference:.2g}, and {100 * lost:.1f} points of accuracy are lost"
        fix = "Export it without int8." if int8 else "Please report it, with the model's name."
        expected = f"at most {100 * _LOST:.0f} point" if int8 else f"differences under {_LARGEST:g}"
        raise DataError("the exported file", found, expected, fix)
    counted = _counted(probs, labels, asked)
    agreement = float((theirs.argmax(1) == probs[some].argmax(1)).mean())
    accuracy = float((probs.argmax(1) == labels).mean())
    known = _known(made, asked)
    return Exported(Path(), 0, len(rows), len(some), difference, agreement, accuracy, counted, known)


def _known(made: FaceModel, asked: AskedFaces) -> Domain:
    """What the faces are like, as the model is given them: also those that it learnt from are known to it."""
    wants, images = made.wants, asked.store.images
    assert wants is not None  # an ONNX file says so
    parts = (
        as_stored(crops, wants.size, wants.channels, wants.by)
        for _, crops in batches(images, asked.faces.rows, _COMPARED)
    )
    return domain_of_faces(parts, _named(asked, len(asked.faces.rows)))


def _named(asked: AskedFaces, n: int) -> str:
    corpus = asked.store.info.get("corpus", asked.store.path.name)
    return f"{n:,} faces of {corpus}:{asked.split or 'all'}"


def _counted(probs: NDArray[np.float64], labels: NDArray[np.int64], asked: AskedFaces) -> Confidence:
    """What the confidence is worth, on faces that the run neither learnt from nor was chosen on.

    The scale is fitted on every other of them and the answers counted on the rest: it changes which face is the surer.
    """
    fresh = np.flatnonzero(~(asked.copies | asked.chosen_on))
    fit, counted = fresh[::2], fresh[1::2]
    if len(counted) < _FEWEST:
        # Of those that chose the weights a scale is better than none; a promise it is not.
        return Confidence(fitted_scale(probs, labels))
    scale = fitted_scale(probs[fit], labels[fit])
    sure = Confidence(scale).calibrated(probs[counted])
    steps = surest_steps(sure.max(1), sure.argmax(1) == labels[counted])
    return Confidence(scale, steps, _named(asked, len(counted)), len(counted))
