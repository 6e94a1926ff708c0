"""Names for components: a catalogue folder, one file an entry, found by listing the folder."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mien.errors import ConfigError, MissingExtra
from mien.values import Unfit, read_value

Entry = TypeVar("Entry", bound=Callable[..., Any])


def nearest(name: str, known: list[str]) -> str:
    """Return ``Did you mean 'x'?`` for a misspelt name, or the list of known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}."


class Registry:
    """Maps a name to a callable; the files of ``package`` are imported on the first look-up.

    Args:
        kind: What an entry is, in the singular, for messages: ``model``, ``loss``.
        package: The dotted folder whose modules register entries, e.g. ``mien.models``.
        extra: The install extra that the folder's modules need, if any.
    """

    def __init__(self, kind: str, package: str, extra: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.extra = extra
        self._entries: dict[str, Callable[..., Any]] = {}
        self._tiny: dict[str, dict[str, Any]] = {}
        self._loaded = False

    def register(self, name: str, *, tiny: Mapping[str, Any] | None = None) -> Callable[[Entry], Entry]:
        """Register a callable under ``name``; ``tiny`` holds options that make it small for tests."""

        def decorate(entry: Entry) -> Entry:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            self._tiny[name] = dict(tiny or {})
            return entry

        return decorate

    def _load(self) -> None:
        if self._loaded:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            try:
                importlib.import_module(f"{self.package}.{module.name}")
            except ModuleNotFoundError as error:
                if self.extra and not (error.name or "").startswith("mien"):
                    raise MissingExtra(f"the {self.kind} catalogue", self.extra, error.name or "?") from error
                raise
        self._loaded = True

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str, where: str = "") -> Callable[..., Any]:
        """Return the callable behind ``name``.

        Raises:
            ConfigError: If there is none; the message offers the nearest name.
        """
        self._load()
        if name not in self._entries:
            raise ConfigError(where or self.kind, f"unknown {self.kind} {name!r}", "", nearest(name, self.names()))
        return self._entries[name]

    def tiny(self, name: str) -> dict[str, Any]:
        """Options that make the entry small enough for a test."""
        self.get(name)
        return dict(self._tiny[name])

    def summary(self, name: str) -> str:
        """The first line of the entry's docstring."""
        return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]

    def check_options(
        self, name: str, options: Mapping[str, Any], where: str = "", skip: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Read options as the callable's signature wants them; see :func:`read_options`.

        Args:
            name: The entry.
            options: Its options as written by the user.
            where: Dotted key of the options, for the message.
            skip: Parameters that the caller supplies and a user may not.

        Returns:
            The options, with numbers that were written as text read as numbers.

        Raises:
            ConfigError: On an option that the callable does not take, or a value that it cannot use.
        """
        return read_options(self.get(name, where), options, f"{self.kind} {name!r}", where, skip)


def read_options(
    function: Callable[..., Any], options: Mapping[str, Any], called: str, where: str = "", skip: Sequence[str] = ()
) -> dict[str, Any]:
    """Read options as a callable's signature wants them: names, kinds of values, and bounds.

    Args:
        function: A function or a class; annotations such as ``Annotated[float, Field(ge=0, lt=1)]`` say
            what a value may be. Values without annotation are taken as they are.
        options: Options as written by the user.
        called: What it is called in messages.
        where: Dotted key of the options, for the message.
        skip: Parameters that the caller supplies and a user may not.

    Returns:
        The options as read.

    Raises:
        ConfigError: On an option that the callable does not take, or a value that it cannot use.
    """
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [p.name for p in parameters if p.kind in kinds and p.name not in skip]
    hints = _hints(function)
    read = {}
    for option, value in options.items():
        place = f"{where}.{option}" if where else str(option)
        if option not in known:
            fix = nearest(str(option), known) if known else "It takes none."
            raise ConfigError(place, f"{called} has no such option", "", fix)
        try:
            read[option] = read_value(hints.get(option, Any), value)
        except Unfit as error:
            raise error.error(ConfigError, place) from None
    return read


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations with their bounds; none where they name what only a type checker sees."""
    called = getattr(function, "__init__", function) if inspect.isclass(function) else function
    try:
        return typing.get_type_hints(called, include_extras=True)
    except NameError:
        return {}
