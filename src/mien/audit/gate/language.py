"""The language of gates: from text to a tree of conditions. What it means stands in :mod:`mien.audit.gate`.

The parser is written by hand and not borrowed from Python, to which ``is=female`` would be no
argument: names of groups stand as users write them, and an error points at its character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from mien.errors import UsageError
from mien.registry import nearest

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
OVERALL = "overall"
_ENDS = ("upper", "lower")
# function -> the arguments that it needs, and those that it may have
_FUNCTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "worst": (("metric", "by"), ()),
    "best": (("metric", "by"), ()),
    "gap": (("metric", "by"), ()),
    "ratio": (("metric", "by"), ()),
    "p": (("metric", "by"), ()),
    "group": (("metric", "by", "is"), ()),
    "n": ((), ("by", "is")),
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)"
    r"|(?P<string>'[^']*'|\"[^\"]*\")|(?P<sign><=|>=|==|!=|[-+*/()\[\],<>=:]))"
)


@dataclass(frozen=True)
class Number:
    """A number as written; ``start`` and ``end`` delimit any node in the text."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Query:
    """A number to look up in an audit.

    Attributes:
        start: Where it begins in the text.
        end: Where it ends.
        function: ``overall``, ``worst``, ``best``, ``group``, ``gap``, ``ratio``, ``p`` or ``n``.
        metric: The metric; empty for ``n``.
        class_name: The class in brackets; empty where there is none.
        by: The attribute; empty where there is none.
        group: What ``is=`` names; empty where there is none.
    """

    start: int
    end: int
    function: str
    metric: str
    class_name: str = ""
    by: str = ""
    group: str = ""


@dataclass(frozen=True)
class End:
    """The ``upper`` or ``lower`` end of a query's interval."""

    start: int
    end: int
    which: str
    of: Query


@dataclass(frozen=True)
class Arithmetic:
    """``left op right`` with ``+ - * /``."""

    start: int
    end: int
    op: str
    left: Value
    right: Value


@dataclass(frozen=True)
class Comparison:
    """``left op right`` with one of :data:`COMPARISONS`."""

    start: int
    end: int
    op: str
    left: Value
    right: Value


@dataclass(frozen=True)
class Logic:
    """``and`` or ``or`` of two or more conditions, or ``not`` of one."""

    start: int
    end: int
    op: str
    parts: tuple[Condition, ...]


Value = Number | Query | End | Arithmetic
Condition = Comparison | Logic
Node = Value | Condition


def parse_condition(text: str) -> Condition:
    """Parse a whole expression.

    Args:
        text: One line.

    Raises:
        UsageError: With the place, on anything that is not of the language.
    """
    parser = _Parser(text)
    node = parser.either()
    if parser.kind:
        parser.fail(f"{parser.found} follows", "the end, 'and' or 'or'")
    return parser.condition(node)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    """Recursive descent: one method a level of precedence, the loosest first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = []
        self.at = 0
        position, length = 0, len(text.rstrip())
        while position < length:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                start = position + len(text[position:]) - len(text[position:].lstrip())
                wrong = "a quotation mark without its partner" if text[start] in "'\"" else f"{text[start]!r}"
                self.fail(f"{wrong} stands there", "a name, a number or a sign of the language", at=start)
            kind, position = match.lastgroup, match.end()
            word = match.group(kind)
            if kind == "name" and word.lower() in ("and", "or", "not"):
                kind, word = "sign", word.lower()
            self.tokens.append(_Token(kind, word, match.start(match.lastgroup), position))
        self.tokens.append(_Token("", "", length, length))

    def fail(self, found: str, expected: str, fix: str = "", at: int | None = None) -> NoReturn:
        """Raise a usage error that points at a character, by default that of the next token."""
        at = self.tokens[self.at].start if at is None else at
        shown = f"{fix} Here:" if fix else "Here:"
        raise UsageError(
            f"gate, character {at + 1}", found, expected, f"{shown}\n  {self.text}\n  {' ' * at}^"
        ) from None

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind

    @property
    def found(self) -> str:
        """The next token, for messages."""
        return repr(self.tokens[self.at].text) if self.kind else "the end"

    def sees(self, *signs: str) -> bool:
        """Whether the next token is one of these signs."""
        return self.kind == "sign" and self.tokens[self.at].text in signs

    def take(self) -> _Token:
        """The next token, which is used up."""
        self.at += 1
        return self.tokens[self.at - 1]

    def need(self, sign: str, fix: str = "") -> _Token:
        """The next token, which must be this sign."""
        if not self.sees(sign):
            self.fail(f"{self.found} stands there", repr(sign), fix)
        return self.take()

    def condition(self, node: Node) -> Condition:
        """The node, which must be a condition."""
        if not isinstance(node, Comparison | Logic):
            self.fail(
                f"{self.text[node.start : node.end]!r} is a number",
                f"a condition, such as {self.text[node.start : node.end]} < 0.7",
                at=node.start,
            )
        return node

    def value(self, node: Node) -> Value:
        """The node, which must be a number."""
        if isinstance(node, Comparison | Logic):
            self.fail(f"{self.text[node.start : node.end]!r} is a condition", "a number", at=node.start)
        return node

    def either(self) -> Node:
        return self._logic("or", lambda: self._logic("and", self._negation))

    def _logic(self, op: str, part: Callable[[], Node]) -> Node:
        first = part()
        parts = [first]
        while self.sees(op):
            self.take()
            parts.append(part())
        if len(parts) == 1:
            return first
        return Logic(first.start, parts[-1].end, op, tuple(self.condition(p) for p in parts))

    def _negation(self) -> Node:
        if not self.sees("not"):
            return self._comparison()
        sign = self.take()
        part = self.condition(self._negation())
        return Logic(sign.start, part.end, "not", (part,))

    def _comparison(self) -> Node:
        node = self._sum()
        if self.sees("="):
            self.fail("'=' stands there", "a comparison", "Write '==' for equality.")
        if not self.sees(*COMPARISONS):
            return node
        op, left, right = self.take().text, self.value(node), self.value(self._sum())
        if self.sees(*COMPARISONS):
            self.fail("a second comparison follows", "one", "Join two with 'and': a < b and b < c.")
        return Comparison(left.start, right.end, op, left, right)

    def _sum(self) -> Node:
        return self._arithmetic(("+", "-"), lambda: self._arithmetic(("*", "/"), self._factor))

    def _arithmetic(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        node = part()
        while self.sees(*signs):
            op = self.take().text
            left, right = self.value(node), self.value(part())
            node = Arithmetic(left.start, right.end, op, left, right)
        return node

    def _factor(self) -> Node:
        token = self.tokens[self.at]
        if self.sees("-"):
            self.take()
            part = self.value(self._factor())
            return Arithmetic(token.start, part.end, "-", Number(token.start, token.start, 0.0), part)
        if self.sees("("):
            self.take()
            inner = self.either()
            return replace(inner, start=token.start, end=self.need(")").end)
        if token.kind == "number":
            self.take()
            return Number(token.start, token.end, float(token.text))
        if token.kind not in ("name", "string"):
            self.fail(f"{self.found} stands there", "a number, a metric or a function")
        following = self.tokens[self.at + 1]
        if token.kind == "name" and (following.kind, following.text) == ("sign", "("):
            return self._call()
        metric, class_name = self._metric()
        return Query(
            start=token.start, end=self.tokens[self.at - 1].end, function=OVERALL, metric=metric, class_name=class_name
        )

    def _metric(self) -> tuple[str, str]:
        """``recall`` or ``recall[fear]``."""
        metric, class_name = self._word("a metric"), ""
        if self.sees("["):
            self.take()
            class_name = self._word("a class")
            self.need("]", "A name with spaces or signs needs quotes.")
        return metric, class_name

    def _word(self, expected: str) -> str:
        if self.kind not in ("name", "string", "number"):
            self.fail(f"{self.found} stands there", expected)
        token = self.take()
        return token.text[1:-1] if token.kind == "string" else token.text

    def _words(self, expected: str) -> str:
        """``gender*age`` or ``brightness:3``, quotes or not."""
        out = self._word(expected)
        while self.sees("*", ":"):
            out += self.take().text + self._word(expected)
        return out

    def _call(self) -> Value:
        name = self.take()
        if name.text not in (*_FUNCTIONS, *_ENDS):
            known = [*_FUNCTIONS, *_ENDS]
            self.fail(f"unknown function {name.text!r}", "", f"{nearest(name.text, known)}", at=name.start)
        self.need("(")
        if name.text in _ENDS:
            inner = self.value(self._sum())
            if not isinstance(inner, Query) or inner.function in ("p", "n"):
                self.fail(
                    f"{self.text[inner.start : inner.end]!r} has no interval",
                    "one metric, worst, best, group, gap or ratio",
                    at=inner.start,
                )
            return End(name.start, self.need(")").end, name.text, inner)
        arguments = self._arguments(name)
        last = self.need(")", "A name with spaces or signs needs quotes.")
        return Query(
            start=name.start,
            end=last.end,
            function=name.text,
            metric=arguments.get("metric", ""),
            class_name=arguments.get("class", ""),
            by=arguments.get("by", ""),
            group=arguments.get("is", ""),
        )

    def _arguments(self, function: _Token) -> dict[str, str]:
        needed, optional = _FUNCTIONS[function.text]
        usage = f"{function.text}({', '.join(a if a == 'metric' else f'{a}=...' for a in (*needed, *optional))})"
        found: dict[str, str] = {}
        while self.kind and not self.sees(")"):
            start, following = self.tokens[self.at], self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            key = start.text if (following.kind, following.text) == ("sign", "=") else "metric"
            if key not in (*needed, *optional) or key in found:
                again = "a second " if key in found else ""
                self.fail(f"{again}{'metric' if key == 'metric' else repr(key)} stands there", usage)
            if key == "metric":
                found["metric"], found["class"] = self._metric()
            else:
                self.at += 2
                found[key] = self._words("an attribute" if key == "by" else "a group")
            if not self.sees(","):
                break
            self.take()
        missing = [a for a in needed if a not in found]
        if self.sees(")") and missing:
            self.fail(f"{function.text} lacks {' and '.join(missing)}", usage, at=function.start)
        if self.sees(")") and "is" in found and "by" not in found:
            self.fail("'is' stands without 'by'", usage, at=function.start)
        return found
