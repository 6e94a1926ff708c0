"""What every record of a benchmark says of where it came from."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from mien.outputs import whole
from mien.records import write_json

#: A photograph of a person that comes with matplotlib: Grace Hopper, US Navy, public domain.
PORTRAIT = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


def commit() -> str:
    """Of this code; it ends in ``+`` where something is not committed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def tell(text: str, out: Path | None, record: Mapping[str, Any] | None = None) -> None:
    """Print a page, and write it with what it is made of where a folder is given."""
    print(text)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    if record is not None:
        write_json(out / "record.json", record)
    with whole(out / "README.md") as written:
        written.write_text(text, encoding="utf-8")


def command() -> str:
    """The command that this is, as another may type it: of absolute paths, which are of this machine, the last name."""
    words = [re.sub(r"(^|(?<==))/.*/(?=[^/]+/?$)", "", word) for word in sys.argv]
    return f"python benchmarks/{Path(words[0]).name} {shlex.join(words[1:])}".rstrip()


def machine() -> str:
    """The processor, in its own words."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor()
