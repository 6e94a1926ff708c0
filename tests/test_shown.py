"""What reaches a terminal: names of others say nothing to it, in every command and every kind of output."""

from __future__ import annotations

import ast
import io
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import mien
from mien import terminal
from mien.cli import main
from mien.shown import tell, visible

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked")

ESCAPES = "\x1b[31m\x1b]0;title\x07"
NAME = f"{ESCAPES}a\u202eb\u2066c\x9bd\x7fe"
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("exe\u202egpj", r"exe\u202egpj"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u2028b", r"a\u2028b"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\udcff", r"a\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
        ("größe, 顔, نیم\u200cفاصله, 12\u00a0%", "größe, 顔, نیم\u200cفاصله, 12\u00a0%"),
    ],
)
def test_what_steers_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_no_control_character_of_unicode_is_left() -> None:
    kinds = ((c, unicodedata.category(c)) for c in map(chr, range(sys.maxunicode + 1)))
    steering = [c for c, kind in kinds if kind in ("Cc", "Cs", "Zl", "Zp")]
    turning = [chr(c) for c in range(0x2000, 0x2100) if unicodedata.bidirectional(chr(c)) in TURNS]
    assert len(turning) == 9
    assert not [c for c in steering + turning if visible(c) == c]


def test_text_of_several_lines_keeps_them() -> None:
    assert visible("a\n\tb\r\x1b", lines=True) == "a\n\tb\\r\\x1b"


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("a\nDataError: not so", "b")
    assert capsys.readouterr().out == "a\\nDataError: not so\nb\n"


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[], None]) -> str:
    """What is written to a terminal."""
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(
        terminal, "_err", Console(file=file, force_terminal=True, highlight=False, markup=False, emoji=False)
    )
    monkeypatch.setenv("TERM", "xterm-256color")
    show()
    return file.getvalue()


@pytest.mark.parametrize(
    "show",
    [
        lambda name: terminal.say(f"reading {name}"),
        lambda name: terminal.table(f"title {name}", [name, "b"], [[name, "c"]]),
        lambda name: terminal.markdown(f"# By {name}\n\n| {name} |\n| --- |\n| {name} |\n"),
    ],
)
def test_rich_finds_no_command_and_no_markup(monkeypatch: pytest.MonkeyPatch, show: Callable[[str], None]) -> None:
    text = on_a_terminal(monkeypatch, lambda: show(f"{NAME}[bold]x[/bold][link=http://e.org]:smile:"))
    own = re.sub(r"\x1b\[[\d;]*m", "", text)  # rich's own colours
    assert not STEERS.search(own)
    assert "]0;title" in own.replace("\n", "")
    assert "\x1b]8" not in text
    assert ":smile:" in re.sub(r"\s", "", own)


def test_bars_and_spinners_take_titles_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def show() -> None:
        with terminal.progress(f"t {NAME}[/bold]", "[/x]") as report:
            report(1, 2)
        with terminal.waiting(f"w {NAME}[/bold]"):
            pass

    assert not STEERS.search(re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|\r", "", on_a_terminal(monkeypatch, show)))


def hostile_table(path: Path, **columns: str) -> Path:
    """Predictions with a hostile group, class, attribute and sample, at a hostile place."""
    rng = np.random.default_rng(0)
    a, b = f"a{NAME}", f"b\n::error::{NAME}"
    label = rng.choice([a, b], 240)
    frame = pd.DataFrame({"label": label, "pred": np.where(rng.random(240) < 0.8, label, a)})
    frame[f"by {NAME}"] = rng.choice([f"g{NAME}", f"h\n{NAME}", "[bold]i"], 240)
    for name, value in columns.items():
        frame[name] = value
    frame.to_parquet(path)
    return path


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["mien", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out + err


COMMANDS: list[tuple[str, list[str], int]] = [
    ("audit", ["audit", "{p}", "--by", "{by}", "--n-boot", "200", "--n-perm", "200"], 0),
    ("json", ["audit", "{p}", "--by", "{by}", "--n-boot", "200", "--n-perm", "200", "--json"], 0),
    ("gate", ["audit", "{p}", "--by", "{by}", "--n-boot", "200", "--n-perm", "200", "--fail-if", "accuracy < 0.99"], 3),
    ("compare", ["compare", "{p}", "{p}", "--names", "m" + ESCAPES + ",n", "--by", "{by}", "--n-boot", "200"], 0),
    ("no attribute", ["audit", "{p}", "--by", "x" + NAME], 2),
    ("no such file", ["audit", "q" + NAME], 1),
    ("no such option", ["audit", "{p}", "--x" + NAME], 2),
    ("no such command", ["x" + NAME + "[bold]"], 2),
    ("no number", ["audit", "{p}", "--n-boot", NAME], 2),
    ("a gate with a slip", ["audit", "{p}", "--fail-if", "accuracy < " + NAME], 2),
    ("no store", ["report", "{p}x"], 2),
    ("bad value", ["prepare", "synthetic", "--out", "{p}y", "--option", NAME], 2),
]


@pytest.mark.parametrize(("words", "code"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_no_command_passes_on_what_steers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
) -> None:
    table = hostile_table(tmp_path / f"p{ESCAPES}.parquet")
    given = [w.replace("{p}", str(table)).replace("{by}", f"by {NAME}") for w in words]
    found, text = said(monkeypatch, capsys, *given)
    assert text
    assert not STEERS.search(text), text[STEERS.search(text).start() - 50 :][:200]  # type: ignore[union-attr]
    assert not re.search("(?m)^(::|DataError: not)", text)
    assert found == code


def test_bad_rows_are_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        (tmp_path / "happy").mkdir(exist_ok=True)
        (tmp_path / "happy" / f"{i}\nDataError: {ESCAPES}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, text = said(monkeypatch, capsys, "prepare", str(tmp_path), "--out", str(tmp_path.parent / "store"))
    assert code == 1
    assert not STEERS.search(text)
    assert sum(line.startswith("DataError: ") for line in text.splitlines()) == 1


def test_everything_is_printed_in_one_way() -> None:
    """A print elsewhere would be a way around."""
    root = Path(mien.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if re.search(r"\b(print|write|echo)\(", text) else ():
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "click.echo"):
                found.append(path.name)
    assert sorted(found) == ["shown.py", "terminal.py"]


def test_a_broken_byte_of_a_file_name_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(monkeypatch, capsys, "audit", "p\udcff\x1b.csv")
    assert code == 1
    assert text.startswith(r"DataError: p\udcff\x1b.csv: ")
