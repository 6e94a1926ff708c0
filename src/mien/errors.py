"""One family of exceptions: each says where, what was found, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST = 1000  # characters of one part of a message
_REASON = 200  # and of what a library says


def _short(text: object, most: int = _LONGEST) -> str:
    """A text, cut in its middle where nobody would read all of it."""
    text = str(text)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def reason(error: BaseException) -> str:
    """What a library says of its failure, on one line and cut to 200 characters: some go on for pages.

    An error without words is told by its kind.

    >>> reason(ValueError("no such\n  tensor")), reason(KeyError())
    ('no such tensor', 'KeyError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON else text[: _REASON - 3] + "..."


class MienError(Exception):
    """Base of every error that a user can cause or mend.

    Args:
        where: The file, line, column, key or argument at fault, e.g. ``fer2013.csv line 28710``.
        found: What stands there.
        expected: What should stand there (a noun phrase; optional).
        fix: What to do about it, as a full sentence (optional).
    """

    exit_code = 1

    def __init__(self, where: str, found: str, expected: str = "", fix: str = "") -> None:
        self.where = where = _short(where)
        # Libraries say what they found in several lines; names and values may be as long as their file.
        self.found = found = _short(" ".join(filter(None, map(str.strip, str(found).splitlines()))))
        self.expected = expected = _short(expected)
        self.fix = fix = _short(fix, 8 * _LONGEST)
        text = f"{self.where}: {found}"
        if expected:
            text += f", expected {expected}"
        text = text.rstrip(".") + "."
        if fix:
            text += fix if fix.startswith("\n") else f" {fix}"
        super().__init__(text)

    def __reduce__(self) -> tuple[type[MienError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.found, self.expected, self.fix)


class DataError(MienError):
    """A corpus, a store or a table of predictions is not what it should be."""


class LabelError(MienError):
    """Votes, classes or a label scheme do not fit each other."""


class ConfigError(MienError):
    """A configuration names something unknown or gives it a wrong value.

    Attributes:
        mistakes: The errors that this one joins; empty where it is of one mistake.
    """

    exit_code = 2
    mistakes: tuple[MienError, ...] = ()

    @staticmethod
    def joined(where: str, errors: Iterable[MienError]) -> MienError:
        """One error for several: the only one, or all of them, a line each.

        Args:
            where: What they are all in, such as the file.
            errors: One or more; what these join already is taken apart.
        """
        each = [m for e in errors for m in (getattr(e, "mistakes", ()) or (e,))]
        if len(each) == 1:
            return each[0]
        lines = [str(e).removeprefix(f"{where}: ").replace("\n", "\n  ") for e in each]
        error = ConfigError(where, f"{len(each)} mistakes", "", "".join(f"\n  {line}" for line in lines))
        error.mistakes = tuple(each)
        return error


@contextmanager
def noted(mistakes: list[MienError]) -> Iterator[None]:
    """Add an error to a list instead of raising it, so that the mistakes after it are seen too."""
    try:
        yield
    except MienError as error:
        mistakes.append(error)


class UsageError(MienError):
    """A command or a function was called in a way that cannot work."""

    exit_code = 2


class RunError(MienError):
    """A run folder is missing, incomplete, or was made by another configuration."""


class RunBusy(RunError):
    """Another process trains in a run's folder."""


class OutputError(MienError):
    """A result could not be written: the disk is full, or the place changed during the work."""


class WeightsError(MienError):
    """Weights do not match their card: checksum, classes or shape."""


class MissingTool(MienError):
    """A tool's package is not installed, or cannot be imported."""


class MissingExtra(MienError):
    """A feature needs packages that this install does not have."""

    def __init__(self, feature: str, extra: str, missing: str) -> None:
        self.feature, self.extra, self.missing = feature, extra, missing
        # A package that no extra of Mien's brings is installed by itself.
        brings = f"'mien[{extra}]'" if extra else missing
        expected = f"the '{extra}' extra" if extra else "that package"
        super().__init__(
            feature, f"the package {missing!r} is not installed", expected, f"Install it with: pip install {brings}"
        )

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:  # type: ignore[override]
        return type(self), (self.feature, self.extra, self.missing)
