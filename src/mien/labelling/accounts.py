"""Annotators: joining with consent, signing in by token, and everything stored about one: shown, deleted."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Any

from mien.errors import UsageError
from mien.labelling.database import LabelDatabase
from mien.labelling.schema import annotators, faces, labels, leases, sa, skips
from mien.registry import nearest
from mien.web.refusals import Refused

MAX_NAME = 80
_PSEUDONYM = "annotator"
# Characters of other kinds than "control" that show nothing: fillers, selectors, an empty Braille cell.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


@dataclass(frozen=True)
class Account:
    """Who is signed in.

    Attributes:
        id: Number in the database.
        name: As given at joining.
        pseudonym: Name in exports.
    """

    id: int
    name: str
    pseudonym: str


def join(database: LabelDatabase, name: str, token: str, consent: bool) -> tuple[Account, bool]:
    """Add an annotator; asked again with the same name and token, nothing changes.

    Args:
        database: The votes.
        name: As the annotator gives it.
        token: Drawn by the annotator's browser; only its SHA-256 is stored.
        consent: Whether they agree to the task's text.

    Returns:
        The annotator, and whether they had joined before.

    Raises:
        Refused: Without consent, or on a name that is taken or cannot be one.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not consent:
        raise Refused(400, "Nobody can label without agreeing to what is stored.")
    if not name or len(name) > MAX_NAME or any(unicodedata.category(c).startswith("C") for c in name):
        raise Refused(422, f"A name has 1 to {MAX_NAME} visible characters.")
    key = name_key(name)
    if not key:
        raise Refused(422, f"A name has 1 to {MAX_NAME} visible characters.")
    if re.fullmatch(f"{_PSEUDONYM}[0-9a-f]{{8}}", re.sub(r"[\W_]", "", key)):
        raise Refused(422, f"The name {name!r} looks like a pseudonym, which the results give. Choose another one.")
    row = {
        "name": name,
        "name_key": key,
        "pseudonym": f"{_PSEUDONYM}-{secrets.token_hex(4)}",
        "token_hash": _hashed(token),
        "consent_version": database.task.consent_version,
        "joined": database.now(),
    }

    same = sa.or_(annotators.c.name_key == row["name_key"], annotators.c.token_hash == row["token_hash"])

    def insert(c: sa.Connection) -> tuple[Account, bool]:
        there = c.execute(sa.select(annotators).where(same)).mappings().all()
        for other in there:
            if other["token_hash"] != row["token_hash"]:
                raise Refused(409, f"The name {name!r} is taken. Choose another one, or sign in with your key.")
            if other["name_key"] != row["name_key"]:
                raise Refused(409, f"You have joined already, as {other['name']!r}.")
        if not there:
            c.execute(sa.insert(annotators).values(row))
        return _account(c.execute(sa.select(annotators).where(same)).mappings().one()), bool(there)

    return database.write(insert)


def sign_in(database: LabelDatabase, token: str) -> Account:
    """The annotator of a token.

    The database is asked for the token's SHA-256: how long that takes tells nothing about tokens.

    Raises:
        Refused: If there is none.
    """
    wanted = sa.select(annotators).where(annotators.c.token_hash == _hashed(token))
    row = database.read(lambda c: c.execute(wanted).mappings().first())
    if row is None:
        raise Refused(401, "This key is not known here. Sign in with the key that you were given, or join anew.")
    return _account(row)


def name_key(name: str) -> str:
    """Names that differ in case, spaces or what nobody sees only are one."""
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", _UNSEEN.sub("", name)))
    return " ".join(seen.casefold().split())[: 2 * MAX_NAME]


def all_annotators(database: LabelDatabase) -> list[Account]:
    """Everybody who joined and was not deleted, in the order of joining."""
    wanted = sa.select(annotators).order_by(annotators.c.id)
    rows = database.read(lambda c: c.execute(wanted).mappings().all())
    return [_account(row) for row in rows]


def find_annotator(database: LabelDatabase, name: str) -> Account:
    """The annotator of a name or pseudonym.

    Raises:
        UsageError: If there is none, or (in a database of an older version) one person's name is another's pseudonym.
    """
    people = all_annotators(database)
    found = [p for p in people if name_key(name) == name_key(p.name) or name == p.pseudonym]
    if len(found) > 1:
        raise UsageError(
            f"annotator {name!r}",
            f"is the name of one person and the pseudonym of another: {found[0].name!r} and {found[1].name!r}",
            "the pseudonym or name that only one of them has",
            f"Their pseudonyms are {found[0].pseudonym} and {found[1].pseudonym}.",
        )
    if found:
        return found[0]
    fix = nearest(name, [person.name for person in people])
    raise UsageError(f"annotator {name!r}", "is not in the database", "one who joined", fix)


def stored_about(database: LabelDatabase, annotator: int) -> dict[str, Any]:
    """Everything that the database holds about an annotator, but for the hash of the token: plain values."""

    def work(c: sa.Connection) -> dict[str, Any]:
        person = c.execute(sa.select(annotators).where(annotators.c.id == annotator)).mappings().one()
        given = sa.select(labels, faces.c.sample_id).join(faces, labels.c.face == faces.c.number)
        skipped = sa.select(faces.c.sample_id).join(skips, skips.c.face == faces.c.number)
        open_now = sa.select(faces.c.sample_id).join(leases, leases.c.face == faces.c.number)
        return {
            **{k: person[k] for k in ("name", "pseudonym", "joined", "consent_version")},
            "consent": database.task.consent,
            "purpose": database.task.purpose,
            "notice": database.task.notice,
            "labels": [
                _label(row)
                for row in c.execute(given.where(labels.c.annotator == annotator).order_by(labels.c.id)).mappings()
            ],
            "skipped": list(c.execute(skipped.where(skips.c.annotator == annotator)).scalars()),
            "on_screen": list(c.execute(open_now.where(leases.c.annotator == annotator)).scalars()),
        }

    return database.read(work)


def _label(row: sa.RowMapping) -> dict[str, Any]:
    names = ("submission_id", "sample_id", "votes", "unknown", "not_a_face", "intensity", "attributes", "seconds")
    return {
        **{name: row[name] for name in (*names, "created", "undone")},
        "state": "undone" if row["withdrawn"] else "current",
    }


def delete_annotator(database: LabelDatabase, annotator: int) -> int:
    """Delete an annotator and all that is stored about them; their faces can be labelled by others again.

    SQLite overwrites the rows and empties its log. PostgreSQL frees their space at its next vacuum.
    Backups and exported files are beyond reach. While somebody reads the database, SQLite's log cannot be
    emptied: then ``database.traces`` is true, and :meth:`LabelDatabase.forget_later` goes on.

    Returns:
        The number of labels deleted, undone ones included.
    """

    def work(c: sa.Connection) -> int:
        current = sa.select(labels.c.face).where(labels.c.annotator == annotator, labels.c.withdrawn == 0)
        c.execute(sa.update(faces).where(faces.c.number.in_(current)).values(remaining=faces.c.remaining + 1))
        n = c.execute(sa.delete(labels).where(labels.c.annotator == annotator)).rowcount
        for table in (leases, skips):
            c.execute(sa.delete(table).where(table.c.annotator == annotator))
        c.execute(sa.delete(annotators).where(annotators.c.id == annotator))
        return int(n)

    deleted = database.write(work)
    database.forget()
    return deleted


def count_labels(database: LabelDatabase, annotator: int) -> int:
    """Current labels of an annotator."""
    counted = sa.select(sa.func.count()).select_from(labels)
    wanted = counted.where(labels.c.annotator == annotator, labels.c.withdrawn == 0)
    return int(database.read(lambda c: c.execute(wanted).scalar_one()))


def _account(row: sa.RowMapping) -> Account:
    return Account(row["id"], row["name"], row["pseudonym"])


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
