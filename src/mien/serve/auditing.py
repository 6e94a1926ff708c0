"""An audit in a process of its own: it has its time, ends when the server does, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from mien.errors import MienError
from mien.web.refusals import Refused

_MOST_GROUPS = 8
_FAILED = re.compile(r"^(?:\w+\.)*(\w+(?:Error|Exception|Exit|Interrupt))\b", re.MULTILINE)
_TABLE, _ASKED, _ANSWER, _REFUSED = "predictions.csv", "asked.json", "answer", "refused.json"


async def audited(body: bytes, by: str, *, page: bool, seconds: float) -> bytes:
    """Audit a table of predictions; it lies on the disk while that lasts, and no longer.

    Args:
        body: The table, as CSV.
        by: Columns of groups, with commas between.
        page: Whether the answer is a page, or JSON.
        seconds: That it may take.

    Returns:
        The page or the JSON, as UTF-8.

    Raises:
        Refused: If it is no such table (422), or takes longer (503).
    """
    groups = [name.strip() for name in by.split(",") if name.strip()]
    if len(groups) > _MOST_GROUPS:
        raise Refused(422, f"by: {len(groups)} columns of groups; at most {_MOST_GROUPS}.")
    with tempfile.TemporaryDirectory(prefix="mien-audit-") as name:
        folder = Path(name)
        (folder / _TABLE).write_bytes(body)
        (folder / _ASKED).write_text(json.dumps({"by": groups, "page": page}), encoding="utf-8")
        nowhere, command = asyncio.subprocess.DEVNULL, (sys.executable, "-m", "mien.serve.auditing", name)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=nowhere, stdout=nowhere, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            what = f"The audit took more than {seconds:g} seconds: send fewer rows or columns of groups."
            raise Refused(503, what, retry_s=60) from None
        finally:  # also where the server is stopped meanwhile
            if process.returncode is None:
                process.kill()
                await process.wait()
        if (folder / _REFUSED).is_file():
            raise Refused(422, str(json.loads((folder / _REFUSED).read_text(encoding="utf-8"))))
        if process.returncode or not (folder / _ANSWER).is_file():
            # The kind of the failure alone: what it says may quote cells of the table.
            kinds = _FAILED.findall(said.decode(errors="replace"))
            what = kinds[-1] if kinds else "no exception"
            logging.getLogger(__name__).error("an audit failed: %s, exit code %s", what, process.returncode)
            raise RuntimeError("an audit failed")
        return (folder / _ANSWER).read_bytes()


def audit_in(folder: Path) -> None:
    """What the process does: from the table of a folder to its answer, or why there is none."""
    from mien.audit import audit
    from mien.prediction_tables.dialects import first_bytes
    from mien.prediction_tables.kinds import CSV, kind_of
    from mien.records import Predictions, plain
    from mien.stats.settings import Settings

    asked, path = json.loads((folder / _ASKED).read_text(encoding="utf-8")), folder / _TABLE
    try:
        # What is packed may hold a thousand times its bytes.
        if first_bytes(path)[1] is not None or kind_of(path) != CSV:
            raise Refused(422, "The table must be a plain CSV.")
        found = audit(Predictions.load(path), asked["by"], settings=Settings(n_boot=500, n_perm=500))
        found = replace(found, source=path.name)
        if asked["page"]:
            from mien.report import render_audit

            text = render_audit(found, folder / "audit.html").read_text(encoding="utf-8")
        else:
            text = json.dumps(plain(found.to_dict()))
    except (MienError, Refused) as error:
        (folder / _REFUSED).write_text(json.dumps(_of_nobody(str(error), folder)), encoding="utf-8")
        return
    (folder / _ANSWER).write_text(_of_nobody(text, folder), encoding="utf-8")


def _of_nobody(text: str, folder: Path) -> str:
    """Notes name the file too; where it lay for a moment is nobody's business."""
    return text.replace(f"{folder}/", "")


if __name__ == "__main__":
    audit_in(Path(sys.argv[1]))
