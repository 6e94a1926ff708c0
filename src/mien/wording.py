"""Numbers, shares, intervals, p-values and lists in words: here alone, so that one estimate reads alike everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Protocol

DASH = "\u2013"  # an undefined value in a table; in a sentence it is UNDEFINED
UNDEFINED = "undefined"
_BREAKABLE = re.compile(r"(?<=\d) (?=%)")


class Valued(Protocol):
    """What has a value and an interval: an Estimate."""

    @property
    def value(self) -> float:
        """The value; NaN where undefined."""

    @property
    def low(self) -> float:
        """Lower end; NaN where there is no interval."""

    @property
    def high(self) -> float:
        """Upper end."""


def number(value: float | None, form: str = ".3f", undefined: str = DASH) -> str:
    """A number with three decimals, or in another form, and no minus before a zero.

    >>> number(0.1234), number(-0.0001), number(0.25, "+.2f"), number(float("nan"))
    ('0.123', '0.000', '+0.25', '–')
    """
    if value is None or math.isnan(value):
        return undefined
    text = format(value, form)
    # What rounds to zero is zero: -0.0001 is not below it as far as these decimals can tell.
    return format(0.0, form) if text.startswith("-") and not text.strip("-0.") else text


def interval(estimate: Valued | None, form: str = ".3f") -> str:
    """A value with its interval, for tables: ``0.712 [0.690, 0.733]``; a dash where undefined."""
    if estimate is None or math.isnan(estimate.value):
        return DASH
    text = number(estimate.value, form)
    if not has_interval(estimate):
        return text
    return f"{text} [{number(estimate.low, form)}, {number(estimate.high, form)}]"


def has_interval(estimate: Valued) -> bool:
    """Whether both ends are known."""
    return not math.isnan(estimate.low) and not math.isnan(estimate.high)


def ends(estimate: Valued, form: str = ".3f") -> str:
    """The interval alone: ``0.690 to 0.733``; empty where there is none."""
    return f"{number(estimate.low, form)} to {number(estimate.high, form)}" if has_interval(estimate) else ""


def spoken(estimate: Valued, form: str = ".3f") -> str:
    """A value with its interval, inside a sentence: ``0.712 (0.690 to 0.733)``; ``undefined`` where it is."""
    text = number(estimate.value, form, UNDEFINED)
    return f"{text} ({ends(estimate, form)})" if text != UNDEFINED and has_interval(estimate) else text


def percent(share: float, digits: int = 1) -> str:
    """A share in per cent.

    >>> percent(0.843), percent(0.5, 0), percent(float("nan"))
    ('84.3 %', '50 %', 'undefined')
    """
    return UNDEFINED if math.isnan(share) else f"{number(100 * share, f'.{digits}f')} %"


def percent_interval(estimate: Valued) -> str:
    """A share in per cent with its interval: ``84.3 % (83.0 to 85.5 %)``."""
    text = percent(estimate.value)
    if text == UNDEFINED or not has_interval(estimate):
        return text
    return f"{text} ({100 * estimate.low:.1f} to {percent(estimate.high)})"


def points(difference: float) -> str:
    """A difference of shares in percentage points, without its sign.

    >>> points(-0.065), points(0.01)
    ('6.5 points', '1.0 points')
    """
    return f"{100 * abs(difference):.1f} points"


def p_value(p: float) -> str:
    """A p-value in a table.

    >>> p_value(0.0123), p_value(0.0007), p_value(float("nan"))
    ('0.012', '<0.001', '–')
    """
    return "<0.001" if p < 0.001 else number(p)


def p_words(p: float, sign: str = "p ") -> str:
    """A p-value inside a sentence: ``p = 0.012`` or ``p < 0.001``; with an empty sign ``= 0.012``."""
    return f"{sign}< 0.001" if p < 0.001 else f"{sign}= {number(p, undefined=UNDEFINED)}"


def listed(names: Iterable[object], most: int | None = None) -> str:
    """Names one after another; what is beyond ``most`` is counted.

    >>> listed("abc"), listed("abcde", 3), listed(["a"]), listed([])
    ('a, b and c', 'a, b, c and 2 more', 'a', '')
    """
    words = [str(name) for name in names]
    if most is not None and len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def plural(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "face"), plural(1200, "face"), plural(2, "class"), plural(0, "person", "people")
    ('1 face', '1,200 faces', '2 classes', '0 people')
    """
    if n == 1:
        return f"1 {one}"
    return f"{n:,} {many or one + ('es' if one.endswith('s') else 's')}"


def capital(text: str) -> str:
    """``text`` with its first letter as a capital, the others as they are."""
    return text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """A text for pages, in which no line ends between a number and its per cent sign."""
    return _BREAKABLE.sub("\u00a0", text)
