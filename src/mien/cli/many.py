"""What predict does on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mien.cli.printing import STDOUT
from mien.errors import UsageError
from mien.shown import tell


def told_on_ray(
    pictures: tuple[str, ...],
    out: Path | None,
    load: dict[str, Any],
    *,
    address: str,
    workers: int | None,
    resume: bool,
    refused: dict[str, bool],
) -> int:
    """The rows of pictures from every core of a cluster; 1 where one could not be read.

    Args:
        pictures: As given to the command.
        out: A folder.
        load: Of the predictor.
        address: Of the cluster.
        workers: At most.
        resume: Go on with the folder.
        refused: Option -> whether it was given, of those that do not go with a cluster.
    """
    from mien import terminal
    from mien.predict.on_ray import predict_on_ray
    from mien.predict.sources import pictures_of
    from mien.predict.writers import ENDINGS

    for option, given in refused.items():
        if given:
            raise UsageError("--ray", f"does not go with {option}", "a folder of rows alone")
    if out is None or out == STDOUT or out.suffix in ENDINGS:
        raise UsageError("--out", str(out), "with --ray, a folder for many Parquet files")
    # Workers stand elsewhere: only whole paths mean the same to them.
    names = (str(Path(name).absolute()) for name in pictures_of(pictures))
    written = predict_on_ray(names, out, load, address=address, workers=workers, resume=resume, note=terminal.say)
    before = f" ({written.before} before)" if written.before else ""
    unread = f", {written.unread} pictures that could not be read" if written.unread else ""
    tell(f"{out}: {written.pictures} pictures{before}, {written.faces} faces{unread}, in {written.files} files")
    return 1 if written.unread or not written.pictures + written.before else 0
