"""The application: its entry point, exit codes, and what all verbs share."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, CycloptsPanel, Parameter, Token

from mien import __version__
from mien.errors import ConfigError, MienError, MissingExtra
from mien.outputs import writing
from mien.shown import tell, visible

# Nothing heavy is imported up here: 'mien --help' must answer at once.

app = App(
    name="mien",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Train, audit and mitigate facial expression recognition.\n\nStart with: mien demo --out demo",
)


def _place(type_: Any, tokens: Sequence[Token]) -> Path:
    """The place of a result. An empty one is most often an unset variable, and would mean this very folder."""
    if not tokens[0].value.strip():
        raise ValueError("nothing is named: give a file or a folder (a variable may be unset)")
    return Path(tokens[0].value)


Out = Annotated[Path, Parameter(converter=_place)]
Force = Annotated[bool, Parameter(negative=(), help="Replace what is there.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]

GATE_FAILED = 3


def _fail(error: MienError) -> NoReturn:
    # Messages break lines of their own so, to list bad rows or to point at a character.
    first, *more = str(error).split("\n  ")
    tell(f"{type(error).__name__}: {first}", *(f"  {line}" for line in more), err=True)
    sys.exit(error.exit_code)


def _end_in_order() -> None:
    """Let SIGTERM and SIGHUP end a command as an error would: what was begun beside a place is taken away."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a gate failed, 130 interrupted."""
    _end_in_order()
    try:
        with writing("output", mixed=True):  # whatever a verb has not foreseen, a full disk is one sentence
            result = app(exit_on_error=False, print_error=False)
            _flush()
    except CycloptsError as error:
        if error.console is not None:
            error.console.print(CycloptsPanel(visible(str(error), lines=True)))
        sys.exit(2)
    except MienError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        from mien.registry import extra_of

        package = (error.name or "").split(".")[0]
        extra = extra_of(package)
        if not extra:
            raise
        _fail(MissingExtra("this command", extra, package))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "TrainingStopped":
            tell("interrupted", err=True)
            sys.exit(130)
        raise
    sys.exit(result if isinstance(result, int) else 0)


def _flush() -> None:
    """Write what was printed, so that a full disk behind ``>`` is told and not swallowed at the exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        # What cannot be written would be tried again at the exit, and fail there with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def options_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Options of a reader or a tool: ``key=value`` each."""
    from mien.config import parse_value

    return {key: parse_value("--option", value) for key, value in (pair_of("--option", p) for p in pairs)}


def names_of(text: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where nothing was given."""
    return tuple(n.strip() for n in text.split(",") if n.strip()) if text else None


def pair_of(option: str, text: str) -> tuple[str, str]:
    """``name=value`` of an option."""
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(option, repr(text), "name=value")
    return key.strip(), value.strip()


def counts_of(value: object) -> str:
    """What is counted of several things, in one line: ``.zip 1, .dng 3``."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {n}" for name, n in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_json(content: Any) -> None:
    """Print content as JSON on stdout."""
    from mien.records import plain

    # JSON writes all but ASCII as \u escapes; of ASCII only the delete character is left.
    tell(*json.dumps(plain(content), indent=2).replace("\x7f", "\\u007f").split("\n"))
