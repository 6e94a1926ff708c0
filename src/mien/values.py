"""Values that people write, read as what is wanted there: an annotation says the kind, and its bounds.

``Annotated[float, Field(ge=0, lt=1)]`` reads "a number from 0 to below 1". The same rules hold for the
sections of a configuration and for the options of every model, loss, split, reader and adapter: text
that is a number is read as one where a number is wanted, ``yes`` is no number, and what is not finite
is none either.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from mien.errors import MienError

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
# One and several, in words.
_KINDS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    type(None): ("nothing (null)", "nothing"),
}
_NEEDS_QUOTES = "Put it in quotes to make it text."


class Unfit(ValueError):
    """A value is not what is wanted.

    Attributes:
        place: Where in the value, such as ``[1]``; empty for the whole.
        found: What stands there, in words.
        expected: What is wanted, in words.
        fix: What to do; often empty.
    """

    def __init__(self, found: str, expected: str, fix: str = "", place: str = "") -> None:
        super().__init__(f"{found}, expected {expected}")
        self.place, self.found, self.expected, self.fix = place, found, expected, fix

    def within(self, place: str) -> Unfit:
        """The same, seen from the value around it."""
        return Unfit(self.found, self.expected, self.fix, place + self.place)

    def error(self, kind: type[MienError], where: str) -> MienError:
        """An error of a kind, at a place."""
        return kind(where + self.place, self.found, self.expected, self.fix)


def read_value(hint: Any, value: Any) -> Any:
    """Read a value as its annotation wants it.

    Args:
        hint: The annotation: a plain type, ``Literal``, ``Sequence``, ``tuple``, ``Mapping``, unions of
            these, each perhaps ``Annotated`` with bounds (``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``,
            ``min_length``, ``max_length``). Anything else is not looked at.
        value: The value as YAML or a caller gives it.

    Returns:
        The value, converted where that loses nothing: ``"0.1"`` and ``3.0`` for numbers.

    Raises:
        Unfit: If it cannot be read so.

    >>> read_value(float, "1e-1")
    0.1
    """
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _bounded(hint, value)
    if origin in (typing.Union, types.UnionType):
        return _one_of(hint, value)
    if origin is Literal:
        return _choice(hint, value)
    if origin in (list, tuple) or hint in (list, tuple) or origin is Sequence:
        return _several(hint, value)
    if origin in (dict, Mapping):
        return _mapping(hint, value)
    read = {bool: _bool, int: _int, float: _float, str: _text, Path: _path, type(None): _nothing}.get(hint)
    return value if read is None else read(hint, value)


def describe(hint: Any) -> str:
    """What an annotation wants, in words.

    >>> describe(int | None)
    'a whole number, or nothing (null)'
    """
    base, bounds = _parts(hint)
    origin, arguments = typing.get_origin(base), typing.get_args(base)
    if origin in (typing.Union, types.UnionType):
        # Bounds around several kinds are those of each but nothing.
        named = [Annotated[(a, *bounds)] if bounds else a for a in arguments if a is not type(None)]
        kinds = " or ".join(describe(a) for a in named)
        return kinds + (", or nothing (null)" if type(None) in arguments else "")
    if origin is Literal:
        choices = [a if isinstance(a, str) else shown(a) for a in arguments]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if origin in (list, tuple) or origin is Sequence:
        some = f"{len(arguments)} " if origin is tuple and Ellipsis not in arguments else ""
        some = "one or more " if _bound(bounds, "min_length") == 1 else some
        most = _bound(bounds, "max_length")
        some = some if most is None else f"1 to {most} " if some else f"at most {most} "
        return f"a list of {some}{_many(arguments[0])}"
    if origin in (dict, Mapping):
        return f"a section of names and {_many(arguments[1])}"
    filled = " that is not empty" if base is str and _bound(bounds, "min_length") else ""
    return _KINDS.get(base, ("a value", ""))[0] + _range(bounds) + filled


def shown(value: Any) -> str:
    """A value as a message names it, on one line.

    >>> shown(True)
    'true (yes and on mean the same)'
    """
    if isinstance(value, bool):
        own, *others = _TRUE if value else _FALSE
        return f"{own} ({' and '.join(others)} mean the same)"
    if value is None:
        return "nothing"
    if isinstance(value, float) and not math.isfinite(value):
        return "no number (.nan)" if math.isnan(value) else f"{'-' if value < 0 else ''}infinity"
    text = " ".join((str(value) if type(value).__module__ == "datetime" else repr(value)).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _parts(hint: Any) -> tuple[Any, list[Any]]:
    """The plain annotation and its bounds."""
    if typing.get_origin(hint) is Annotated:
        base, *bounds = typing.get_args(hint)
        return base, bounds
    return hint, []


def _limits(bounds: Sequence[Any]) -> Iterator[Any]:
    for bound in bounds:
        # A Field of pydantic carries its bounds one by one.
        yield from getattr(bound, "metadata", None) or [bound]


def _bound(bounds: Sequence[Any], name: str) -> Any:
    return next((getattr(b, name) for b in _limits(bounds) if getattr(b, name, None) is not None), None)


def _range(bounds: Sequence[Any]) -> str:
    ge, gt, le, lt, step = (_bound(bounds, n) for n in ("ge", "gt", "le", "lt", "multiple_of"))
    low = f"{ge}" if ge is not None else f"above {gt}" if gt is not None else ""
    words = ""
    if le is not None or lt is not None:
        high = f"{le}" if le is not None else f"below {lt}"
        words = f" from {low} to {high}" if ge is not None else f" {low} and {high}" if low else f" up to {high}"
        if gt is not None and le is not None:
            words = f" {low} and at most {high}"
    elif ge is not None:
        words = f" of {low} or more"
    elif gt is not None:
        words = f" {low}"
    return words + (f" and a multiple of {step}" if step is not None else "")


def _many(hint: Any) -> str:
    base, bounds = _parts(hint)
    return _KINDS.get(base, ("", "values"))[1] + _range(bounds)


def _bounded(hint: Any, given: Any) -> Any:
    base, bounds = _parts(hint)
    try:
        value = read_value(base, given)
    except Unfit as error:
        raise error if error.place else Unfit(error.found, describe(hint), error.fix) from None
    if value is None:
        return None
    for bound in _limits(bounds):
        ge, gt, le, lt = (getattr(bound, n, None) for n in ("ge", "gt", "le", "lt"))
        step, least, most = (getattr(bound, n, None) for n in ("multiple_of", "min_length", "max_length"))
        fits = (
            (ge is None or value >= ge)
            and (gt is None or value > gt)
            and (le is None or value <= le)
            and (lt is None or value < lt)
            and (step is None or value % step == 0)
            and (least is None or len(value) >= least)
            and (most is None or len(value) <= most)
        )
        if not fits:
            raise Unfit(shown(given), describe(hint))
    return value


def _one_of(hint: Any, value: Any) -> Any:
    """A value that may be of several kinds: as it is where it is of one, else the first that can read it."""
    kinds = typing.get_args(hint)
    own = [k for k in kinds if type(value) is _parts(k)[0]]
    failed = []
    for kind in own or kinds:
        try:
            return read_value(kind, value)
        except Unfit as error:
            failed.append(error)
    if len(own) == 1 or len(failed) == 1:
        raise Unfit(failed[0].found, describe(hint), failed[0].fix, failed[0].place)
    deeper = next((f for f in failed if f.place), None)
    fix = next((f.fix for f in failed if f.fix), "")
    raise deeper or Unfit(shown(value), describe(hint), fix if len(failed) <= 2 else "")


def _choice(hint: Any, value: Any) -> Any:
    for choice in typing.get_args(hint):
        if type(choice) is type(value) and choice == value:
            return value
    raise Unfit(shown(value), describe(hint))


def _several(hint: Any, value: Any) -> Any:
    kinds = typing.get_args(hint)
    pair = typing.get_origin(hint) is tuple and bool(kinds) and Ellipsis not in kinds
    if isinstance(value, str) and kinds and _parts(kinds[0])[0] is str and not pair:
        # One name alone is a list of one; where a function takes any sequence, it may be names with commas.
        value = [value] if typing.get_origin(hint) is tuple else [v.strip() for v in value.split(",")]
    if typing.get_origin(hint) is Sequence and kinds[0] is str and isinstance(value, list | tuple):
        value = [str(v) if type(v) in (int, float) else v for v in value]  # classes may be called 0, 1, 2
    if not isinstance(value, list | tuple) or (pair and len(value) != len(kinds)):
        raise Unfit(shown(value), describe(hint))
    hints = kinds if pair else [kinds[0] if kinds else Any] * len(value)
    read = [_inside(h, v, f"[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True))]
    return tuple(read) if isinstance(value, tuple) else read


def _mapping(hint: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise Unfit(shown(value), describe(hint))
    key_hint, value_hint = typing.get_args(hint)
    return {_inside(key_hint, k, f".{k}"): _inside(value_hint, v, f".{k}") for k, v in value.items()}


def _inside(hint: Any, value: Any, place: str) -> Any:
    try:
        return read_value(hint, value)
    except Unfit as error:
        raise error.within(place) from None


def _bool(hint: Any, value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(value, bool | int) and value in (0, 1):
        return bool(value)
    if word in (*_TRUE, *_FALSE):
        return word in _TRUE
    raise Unfit(shown(value), describe(hint))


def _float(hint: Any, value: Any) -> float:
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        comma = isinstance(value, str) and value.count(",") == 1 and value.replace(",", "").strip("+- ").isdecimal()
        raise Unfit(shown(value), describe(hint), "Write a point, not a comma." if comma else "")
    return number


def _int(hint: Any, value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    number = _float(hint, value)
    if not number.is_integer():
        raise Unfit(shown(value), describe(hint))
    return int(number)


def _text(hint: Any, value: Any) -> str:
    if not isinstance(value, str):
        plain = isinstance(value, bool | int | float) or type(value).__module__ == "datetime"
        raise Unfit(shown(value), describe(hint), _NEEDS_QUOTES if plain else "")
    return value


def _path(hint: Any, value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise Unfit(shown(value), describe(hint))
    return Path(value)


def _nothing(hint: Any, value: Any) -> None:
    if value is not None:
        raise Unfit(shown(value), describe(hint))
