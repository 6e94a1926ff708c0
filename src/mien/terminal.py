"""What the command shows: lines and bars on stderr, tables on stdout; plain where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from mien.shown import tell, visible

Report = Callable[[int, int | None], None]

_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def say(line: str) -> None:
    """One line for the user, on stderr, above any bar."""
    _err.print(visible(line))


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )


def _reporter(bar: Progress, title: str, unit: str) -> Report:
    task = bar.add_task(visible(title), total=None, unit=unit)
    last = 0.0

    def report(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.1 or done == total:  # drawing costs more than a step of a small model
            last = now
            bar.update(task, completed=done, total=max(done, total) if total else None)

    return report


@contextmanager
def progress(title: str, unit: str) -> Iterator[Report]:
    """A bar with the time left, on a terminal only."""
    with _bar() as bar:
        yield _reporter(bar, title, unit)


@contextmanager
def stages() -> Iterator[Callable[[str], Report]]:
    """Bars for several stages, one after the other."""
    with _bar() as bar:
        yield lambda stage: _reporter(bar, stage, "")


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """A spinner for work of a few seconds, on a terminal only."""
    if not _err.is_terminal:
        yield
        return
    with _err.status(Text(visible(title))):
        yield


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; tab-separated lines where stdout is no terminal."""
    if not sys.stdout.isatty():
        for row in (header, *rows):
            print("\t".join(map(visible, row)))
        return
    drawn = Table(*(Column(_text(name)) for name in header), title=_text(title), title_justify="left")
    for row in rows:
        drawn.add_row(*map(_text, row))
    Console().print(drawn)


def _text(text: str) -> Text:
    """Text in which rich finds no markup and a terminal no command."""
    return Text(visible(text))


def markdown(text: str) -> None:
    """Markdown on stdout, drawn on a terminal and as it is elsewhere."""
    if sys.stdout is not None and sys.stdout.isatty():  # None: the shell has closed it
        Console().print(Markdown(visible(text, lines=True), hyperlinks=False))
    else:
        tell(*text.split("\n"))
