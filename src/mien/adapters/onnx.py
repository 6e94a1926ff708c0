"""Any classifier as an ONNX file, with a card that says how its input is made."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mien.adapters import ADAPTERS
from mien.adapters.external_data import check_external_data
from mien.adapters.tools import LARGEST_SIDE
from mien.errors import UsageError, WeightsError, reason
from mien.foreign import Threads, onnx_session
from mien.inference import FaceModel, Wants, on_scales
from mien.own_files import as_kind, card_beside
from mien.pictures.pixels import SEEN, STORED, Filter, Images, as_stored, normalised_floats
from mien.pictures.preprocessing import Preprocess, preprocessed
from mien.values import shown

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


@dataclass(frozen=True, kw_only=True)
class OnnxCard:
    """How the input of an ONNX file is made, and what its outputs are.

    A JSON file of these keys beside the model (``model.json`` for ``model.onnx``) is read first; the
    options of :func:`onnx_model` go before it. The card of Mien's own weights serves as well.

    Attributes:
        classes: The K classes in the order of the outputs.
        size: Side of the input in pixels; 0: as the file says.
        in_channels: 1 or 3; 0: as the file says.
        mean: Of the pixels after division by ``scale``, one number or one a channel; subtracted.
        std: Their standard deviation; divided by.
        scale: What pixels of 0 to 255 are divided by first: 255, or 1 where the file wants 0 to 255.
        logits: The outputs are logits.
        layout: ``NCHW`` or ``NHWC``; empty: by the shape in the file.
        output: Name of the output to read; empty: the first.
        store_size: As on the card of Mien's own weights: the side to which crops come before they come to ``size``;
            0: at once.
        resampling: The filters of the two.
        preprocess: As on the card of Mien's own weights: steps on each picture of 0 to 1 before mean and deviation.
        numbers: As on the card of Mien's own weights: what the output tells after its classes -> its scale.
    """

    classes: tuple[str, ...] = ()
    size: int = 0
    in_channels: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 255.0
    logits: bool = False
    layout: str = ""
    output: str = ""
    store_size: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 0
    resampling: tuple[Filter, Filter] = (STORED, SEEN)
    preprocess: tuple[Preprocess, ...] = ()
    numbers: dict[str, Literal["any", "positive"]] = field(default_factory=dict)


@ADAPTERS.register("onnx")
def onnx_model(
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    size: Annotated[int | None, Field(ge=0, le=LARGEST_SIDE)] = None,
    channels: Literal[0, 1, 3] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    scale: Annotated[float | None, Field(gt=0, le=65535)] = None,
    logits: bool | None = None,
    layout: str | None = None,
    output: str | None = None,
    threads: Threads = 0,
) -> FaceModel:
    """Any classifier in an ONNX file.

    Args:
        path: The file; its card (see :class:`OnnxCard`) lies beside it, or the options say all.
        classes: The classes in the order of the outputs; a text of names with commas will do.
        size: See :class:`OnnxCard`, also for what follows.
        channels: 1 for grey, 3 for RGB, 0: as the file says.
        mean: One number, or one a channel.
        std: One number, or one a channel.
        scale: 255 or 1.
        logits: Whether softmax is still to be taken.
        layout: ``NCHW`` or ``NHWC``.
        output: Name of the output.
        threads: Threads of the computation; 0: as many as the runtime likes.

    Raises:
        WeightsError: If the file cannot be read, or its input is no image.
        UsageError: If no classes are given, or an option cannot be.
    """
    path = Path(path)
    card = _card(
        path,
        classes=_names(classes) or None,
        size=size,
        in_channels=channels,
        mean=mean,
        std=std,
        scale=scale,
        logits=logits,
        layout=layout,
        output=output,
    )
    check_external_data(path)
    session = onnx_session(path, "adapter 'onnx'", threads)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape) != 4:
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise WeightsError(str(path), f"its inputs are {found}", "one batch of images, float or uint8")
    outputs = [o.name for o in session.get_outputs()]
    if card.output and card.output not in outputs:
        raise UsageError(f"{path.name} output", repr(card.output), f"one of {', '.join(outputs)}")
    prepare = _Input(card, path, inputs[0].shape, _TYPES[inputs[0].type])
    wanted = [card.output or outputs[0]]

    def predict(images: Images) -> NDArray[np.float64]:
        x = prepare(images)
        try:
            parts = [session.run(wanted, {inputs[0].name: p})[0] for p in prepare.batches(x)]
            found = np.concatenate(parts)
            if found.dtype.kind not in "fiu":
                raise TypeError(f"its output is {found.dtype}")
            return _on_scales(found.reshape(len(found), -1)[: len(images)], card)
        except Exception as error:  # as above; and outputs may be no arrays at all
            failed = f"cannot be run ({reason(error)})"
            raise WeightsError(str(path), failed, "a row of numbers for each face") from error

    wants = Wants(card.store_size or prepare.size, prepare.channels, card.resampling[0])
    numbers = tuple(card.numbers)
    return FaceModel(path.name, card.classes, predict, logits=card.logits, wants=wants, numbers=numbers)


def _on_scales(outputs: NDArray[Any], card: OnnxCard) -> NDArray[np.float64]:
    """Outputs with the numbers that follow the classes on their scales; another shape is refused where it is used."""
    k = len(card.classes)
    if outputs.shape[1] != k + len(card.numbers):
        return outputs
    return np.concatenate([outputs[:, :k], on_scales(outputs[:, k:], list(card.numbers.values()))], axis=1)


def _names(classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(c.strip() for c in classes.split(",")) if isinstance(classes, str) else tuple(classes)


def _refuse_slips(content: Mapping[str, Any], beside: Path) -> None:
    """Refuse a key that looks like one of the card's: what it says would not be done. Others are anybody's own."""
    names = list(OnnxCard.__dataclass_fields__)
    for key in content:
        close = [] if key in names else difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.75)
        if close:
            raise WeightsError(f"{beside}: {key}", "unknown key", ", ".join(names), f"Did you mean {close[0]!r}?")


def _card(path: Path, **options: Any) -> OnnxCard:
    """The card beside the file, with the options that were given before it."""
    if not path.is_file():
        raise WeightsError(str(path), "no such file", "an ONNX model")
    beside, content = card_beside(path)
    if "model" in content:  # the card of Mien's own weights, which says more, and whose networks give logits
        content.setdefault("logits", True)
    else:
        _refuse_slips(content, beside)
    known = {k: v for k, v in content.items() if k in OnnxCard.__dataclass_fields__}
    known |= {k: [known[k]] for k in ("mean", "std") if isinstance(known.get(k), int | float)}
    given = {k: v for k, v in options.items() if v is not None}
    given |= {k: tuple(float(v) for v in np.atleast_1d(given[k])) for k in ("mean", "std") if k in given}
    card: OnnxCard = replace(as_kind(OnnxCard, known, str(beside), error=WeightsError), **given)
    if not card.classes:
        raise UsageError(
            path.name, "has no classes", "the names of its outputs", f"Pass classes, or write them into {beside.name}."
        )
    if card.layout not in ("", "NCHW", "NHWC"):
        raise UsageError(f"{path.name} layout", repr(card.layout), "'NCHW' or 'NHWC'")
    if not 0 <= card.size <= LARGEST_SIDE:
        raise UsageError(f"{path.name} size", shown(card.size), f"1 to {LARGEST_SIDE} pixels, or 0: as the file says")
    for key, values in (("std", card.std), ("scale", (card.scale,))):
        if not all(0 < abs(v) < math.inf for v in values):
            raise UsageError(f"{path.name} {key}", shown(list(values)), "numbers other than 0")
    return card


def onnx_recipe(path: Path) -> dict[str, Any]:
    """How the input of a file with its card is made and its outputs are read, for whoever runs it without Python.

    Returns:
        The fields of :class:`OnnxCard`, filled in from the file, with ``input``, ``dtype`` and ``fixed_batch``.

    Raises:
        WeightsError: If the file or its card cannot be read.
        UsageError: If the card does not fit the file.
    """
    card = _card(path)
    session = onnx_session(path, "adapter 'onnx'", 1)
    given = session.get_inputs()[0]
    made = _Input(card, path, given.shape, _TYPES[given.type])
    return {
        **asdict(card),
        "size": made.size,
        "in_channels": made.channels,
        "layout": "NHWC" if made.last else "NCHW",
        "output": card.output or session.get_outputs()[0].name,
        "input": given.name,
        "dtype": np.dtype(made.dtype).name,
        "fixed_batch": made.fixed_batch,
    }


class _Input:
    """Makes the file's input from crops.

    Args:
        card: How.
        path: The file, for messages.
        shape: The input's four dimensions; names where they are free.
        dtype: Its type.
    """

    def __init__(self, card: OnnxCard, path: Path, shape: Sequence[Any], dtype: type) -> None:
        fixed = [d if isinstance(d, int) and d > 0 else 0 for d in shape]
        last = card.layout == "NHWC" or (not card.layout and fixed[1] not in (1, 3) and fixed[3] in (1, 3))
        channels, sides = (fixed[3], fixed[1:3]) if last else (fixed[1], fixed[2:])
        self.card, self.last, self.dtype, self.fixed_batch = card, last, dtype, fixed[0]
        self.channels, self.size = card.in_channels or channels, card.size or sides[0]
        for what, told, found in (
            ("in_channels", card.in_channels, {channels}),
            ("size", card.size, set(sides)),
        ):
            if told and found - {0, told}:
                raise UsageError(f"{path.name} {what}", str(told), f"{max(found)}, as the file's input {list(shape)}")
        if self.channels not in (1, 3):
            raise UsageError(path.name, f"input {list(shape)}", "1 or 3 channels", "Pass channels and layout.")
        for name, values in (("mean", card.mean), ("std", card.std)):
            if len(values) not in (1, self.channels):
                raise UsageError(f"{path.name} {name}", str(list(values)), f"1 or {self.channels} numbers")
        if card.preprocess and dtype is np.uint8:
            raise UsageError(f"{path.name} preprocess", ", ".join(card.preprocess), "none, for it takes whole levels")
        if not self.size or (all(sides) and sides[0] != sides[1]):
            raise UsageError(path.name, f"input {list(shape)}", "a square of known size", "Pass size.")

    def __call__(self, images: Images) -> NDArray[Any]:
        """``(B, H, W, C)`` uint8 -> the file's input."""
        card = self.card
        mean, std, scale = card.mean, card.std, card.scale
        if card.store_size:
            images = as_stored(images, card.store_size, self.channels, card.resampling[0])
        if self.dtype is np.uint8:  # levels, as a store holds them
            levels = as_stored(images, self.size, self.channels, card.resampling[1])
            return np.ascontiguousarray(levels if self.last else levels.transpose(0, 3, 1, 2))
        if card.preprocess:  # of pixels from 0 to 1, whatever the file wants to have of them
            x = normalised_floats(images, self.size, self.channels, (0.0,), (1.0,), by=card.resampling[1])
            x = preprocessed(x, card.preprocess) * np.float32(255 / scale)
            centre, spread = (np.asarray(v, dtype=np.float32).reshape(1, -1, 1, 1) for v in (mean, std))
            x = (x - centre) / spread
        else:
            x = normalised_floats(images, self.size, self.channels, mean, std, scale, card.resampling[1])
        x = x.transpose(0, 2, 3, 1) if self.last else x
        return np.ascontiguousarray(x.astype(self.dtype))

    def batches(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Pieces of the size that the file asks for, if it does; the last is filled up with its own first image."""
        n = self.fixed_batch
        if not n:
            return [x]
        pieces = [x[i : i + n] for i in range(0, len(x), n)]
        missing = n - len(pieces[-1])
        pieces[-1] = np.concatenate([pieces[-1], np.repeat(pieces[-1][:1], missing, axis=0)])
        return pieces
