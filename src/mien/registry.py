"""Names for components: a catalogue folder, one file an entry, found by listing the folder."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mien.docstrings import arguments, first_line
from mien.errors import ConfigError, MienError, MissingExtra, noted, reason
from mien.values import Unfit, describe, read_value, shown

Entry = TypeVar("Entry", bound=Callable[..., Any])

_OPTION_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def nearest(name: str, known: list[str]) -> str:
    """Return ``Did you mean 'x'?`` for a misspelt name, or the list of known names."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}."


def extra_of(package: str) -> str:
    """The extra of Mien's install that brings a package; empty where none does, or Mien is not installed.

    Of several the first that is not for those who develop Mien (``dev``).
    """
    try:
        wanted = importlib.metadata.requires("mien") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    called = package.split(".")[0].replace("_", "-").lower()
    found = []
    for line in wanted:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if extra and re.split(r"[^\w.-]", line, maxsplit=1)[0].replace("_", "-").lower() == called:
            found.append(extra[1])
    return min(found, key=lambda extra: extra == "dev", default="")


@dataclass(frozen=True)
class MissingFile:
    """A file of a catalogue that cannot be used on this install.

    Attributes:
        package: The package that it needs.
        extra: The extra that brings it; empty if none does.
        names: Names that it would register, as far as they stand in it as plain text.
        registers: Whether it registers anything at all.
    """

    package: str
    extra: str
    names: tuple[str, ...]
    registers: bool

    def error(self, what: str) -> MissingExtra:
        """What to raise for something that lies in the file."""
        return MissingExtra(what, self.extra, self.package)


class Registry:
    """Maps a name to a callable; the files of ``package`` are imported on the first look-up.

    A file whose own packages are not installed hides its entries and no others: see :attr:`missing`.

    Args:
        kind: What an entry is, in the singular, for messages: ``model``, ``loss``.
        package: The dotted folder whose modules register entries, e.g. ``mien.models``.
        extra: The install extra for packages of which the install itself does not say where they belong.
        extras: Package -> the extra that brings it, where that is another one whatever the install says.
        given: Parameters of the entries that the caller supplies and a user may not.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        extra: str | None = None,
        given: Sequence[str] = (),
        extras: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.package = package
        self.extra = extra
        self.extras = dict(extras or {})
        self.given = tuple(given)
        self._entries: dict[str, Callable[..., Any]] = {}
        self._tiny: dict[str, dict[str, Any]] = {}
        self._missing: dict[str, MissingFile] = {}
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
        ours = {"mien", self.package.split(".")[0]}
        for module in pkgutil.iter_modules(package.__path__):
            before = set(self._entries)
            try:
                importlib.import_module(f"{self.package}.{module.name}")
            except SyntaxError as error:
                where = f"{error.filename} line {error.lineno}"
                raise ConfigError(where, f"is no Python ({error.msg})", f"the file of a {self.kind}") from None
            except ModuleNotFoundError as error:
                if not error.name or error.name.split(".")[0] in ours:
                    raise  # a file of ours is broken
                for name in set(self._entries) - before:  # registered above the import that failed
                    del self._entries[name], self._tiny[name]
                self._missing[module.name] = self._missing_file(module.name, error.name)
        self._loaded = True

    def _missing_file(self, module: str, package: str) -> MissingFile:
        """What can be said of a file that cannot be imported, from its text."""
        spec = importlib.util.find_spec(f"{self.package}.{module}")
        source = spec.loader.get_source(spec.name) if spec and isinstance(spec.loader, _HasSource) else None
        tree = ast.parse(source or "")
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "register"
        ]
        called = {  # NAME = "text" at the top of the file
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        firsts = [call.args[0] for call in calls if call.args]
        firsts = [called.get(a.id, a) if isinstance(a, ast.Name) else a for a in firsts]
        names = tuple(a.value for a in firsts if isinstance(a, ast.Constant) and isinstance(a.value, str))
        root = package.split(".")[0]
        return MissingFile(root, self.extras.get(root) or extra_of(root) or self.extra or "", names, bool(calls))

    @property
    def missing(self) -> dict[str, MissingFile]:
        """Files of the folder whose packages are not installed, by their name."""
        self._load()
        return dict(self._missing)

    def hidden(self) -> dict[str, MissingFile]:
        """Names of entries that need a package which is not installed."""
        return {name: file for file in self.missing.values() for name in file.names}

    def names(self) -> list[str]:
        """All names that can be used on this install, sorted."""
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
            MissingExtra: If its file needs a package that is not installed.
        """
        self._load()
        if name in self._entries:
            return self._entries[name]
        hidden = self.hidden()
        if name in hidden:
            raise hidden[name].error(f"{where}: {self.kind} {name!r}" if where else f"{self.kind} {name!r}")
        fix = nearest(name, sorted({*self._entries, *hidden}))
        unread = {f: m.package for f, m in self._missing.items() if m.registers and not m.names}
        if unread:
            files = " and ".join(f"{file} needs the package {package!r}" for file, package in unread.items())
            fix += f" It may also lie in a file that cannot be used here: {files}."
        raise ConfigError(where or self.kind, f"unknown {self.kind} {name!r}", "", fix)

    def tiny(self, name: str) -> dict[str, Any]:
        """Options that make the entry small enough for a test."""
        self.get(name)
        return dict(self._tiny[name])

    def summary(self, name: str) -> str:
        """The first line of the entry's docstring."""
        return first_line(self.get(name))

    def check_options(self, name: str, options: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """Read options as the callable's signature wants them; see :func:`read_options`.

        Args:
            name: The entry.
            options: Its options as written by the user.
            where: Dotted key of the options, for the message.

        Returns:
            The options, with numbers that were written as text read as numbers.

        Raises:
            ConfigError: On an option that the callable does not take, or a value that it cannot use.
        """
        return read_options(self.get(name, where), options, f"{self.kind} {name!r}", where, self.given)


@typing.runtime_checkable
class _HasSource(typing.Protocol):
    def get_source(self, fullname: str) -> str | None: ...


@dataclass(frozen=True)
class Option:
    """One option of a component.

    Attributes:
        name: Its name.
        wants: What it may be, in words, with its bounds.
        required: Whether it must be given.
        default: Its value where it is not given.
        about: What it does, from the docstring.
    """

    name: str
    wants: str
    required: bool
    default: Any
    about: str


def options_of(function: Callable[..., Any], given: Sequence[str] = ()) -> list[Option]:
    """The options of a component: its parameters without those that the caller supplies.

    Args:
        function: A function or a class.
        given: Parameters that the caller supplies and a user may not.
    """
    hints, about = _hints(function), arguments(function)
    return [
        Option(
            p.name,
            describe(hints[p.name]) if p.name in hints else "a value",
            p.default is p.empty,
            None if p.default is p.empty else p.default,
            about.get(p.name, ""),
        )
        for p in inspect.signature(function).parameters.values()
        if p.kind in _OPTION_KINDS and p.name not in given
    ]


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
        ConfigError: With all options that the callable does not take, and values that it cannot use.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind in _OPTION_KINDS and p.name not in skip]
    hints = _hints(function)
    read: dict[str, Any] = {}
    mistakes: list[MienError] = []
    for option, value in options.items():
        place = f"{where}.{option}" if where else str(option)
        with noted(mistakes):
            if option not in known:
                fix = nearest(str(option), known) if known else "It takes none."
                raise ConfigError(place, f"{called} has no such option", "", fix)
            try:
                read[option] = read_value(hints.get(option, Any), value)
            except Unfit as error:
                raise error.error(ConfigError, place) from None
    if mistakes:
        raise ConfigError.joined(where or called, mistakes)
    return read


def unfit_options(
    entry: Callable[..., Any], options: Mapping[str, Any], error: Exception, called: str, where: str
) -> ConfigError:
    """What to tell a user with whose options a component cannot be made.

    Values of options without annotation come to the component as they are written, so that what is said of them is
    Python's: they are named with their values.

    Args:
        entry: The component.
        options: Its options, as read.
        error: What it raised.
        called: What it is called in the message.
        where: Dotted key of the options.
    """
    hints = _hints(entry)
    parameters = inspect.signature(entry).parameters
    unread = [o for o in options if o in parameters and o not in hints]
    if not unread:
        return ConfigError(where, str(error), f"values that {called} can be built with")
    given = " and ".join(f"{o}: {shown(options[o])}" for o in unread)
    defaults = {o: parameters[o].default for o in unread if parameters[o].default is not inspect.Parameter.empty}
    return ConfigError(
        where,
        f"{called} cannot be built with {given} ({reason(error)})",
        "values like the defaults, " + " and ".join(f"{o}: {shown(v)}" for o, v in defaults.items())
        if defaults
        else "",
        f"What {' and '.join(unread)} may be is not annotated in its file; with an annotation it is checked and told.",
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations with their bounds; none where they name what only a type checker sees."""
    called = getattr(function, "__init__", function) if inspect.isclass(function) else function
    try:
        return typing.get_type_hints(called, include_extras=True)
    except NameError:
        return {}
