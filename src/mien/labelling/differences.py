"""How the task of a database and another one differ, in the words of the command's options."""

from __future__ import annotations

import os
from typing import Any

from mien.labelling.task import AskedAttribute, LabelTask

_MOST_SHOWN = 60
_OPTIONS = {
    "classes": "--classes",
    "votes_per_face": "--votes",
    "labels_per_face": "--per-face",
    "intensity": "--intensity",
    "attributes": "--ask",
    "split": "--split",
    "n_faces": "--faces",
    "uncertain_first": "--uncertain-first",
    "thin_cells_first": "--thin-cells-first",
    "below": "--below",
    "show_suggestion": "--show-suggestion",
    "title": "--title",
    "purpose": "--purpose",
}


def task_differences(held: LabelTask, asked: LabelTask) -> list[str]:
    """Each setting that differs: the option that sets it (its own name where none does), as it was and as it is now."""
    out = []
    for name in held.to_json():
        was, now = (_words(getattr(task, name)) for task in (held, asked))
        if was != now:
            option = _OPTIONS.get(name, name.replace("_", " "))
            out.append(f"{option} was {_shown(was, now)}, now it is {_shown(now, was)}")
    return out


def _words(value: Any) -> str:
    if value is None or value == ():
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, AskedAttribute):
        return f"{value.name} ({', '.join(value.groups)})"
    return repr(value) if isinstance(value, str) and " " in value else str(value)


def _shown(text: str, other: str) -> str:
    """A value, or of a long one the part from which on it differs from the other."""
    if len(text) <= _MOST_SHOWN:
        return text
    start = max(0, len(os.path.commonprefix([text, other])) - _MOST_SHOWN // 4)
    end = start + _MOST_SHOWN
    return "..." * (start > 0) + text[start:end] + "..." * (end < len(text))
