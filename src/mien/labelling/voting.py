"""What an annotator does: the next face, a label, a skip, taking a label back. Each is one transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from mien.labelling.accounts import Account
from mien.labelling.database import LabelDatabase
from mien.labelling.schema import faces, is_open, labels, leases, sa, skips
from mien.labelling.task import MAX_INTENSITY, UNSURE, LabelTask
from mien.web.refusals import Refused

LEASE_S = 600.0

# Built once: building a statement costs as much as running it.
_ME: sa.BindParameter[int] = sa.bindparam("me")
_FACE: sa.BindParameter[int] = sa.bindparam("at")
_NOW: sa.BindParameter[float] = sa.bindparam("now")
_MINE = sa.and_(labels.c.annotator == _ME, labels.c.withdrawn == 0)
_IS_SKIPPED = sa.and_(skips.c.face == faces.c.number, skips.c.annotator == _ME)

_HELD = sa.select(leases.c.face).where(leases.c.annotator == _ME)
_HOLDERS = sa.select(leases.c.annotator).where(leases.c.face == _FACE, leases.c.expires > _NOW)
_FREE = sa.select(faces.c.number).where(
    is_open,
    ~sa.select(labels.c.id).where(_MINE, labels.c.face == faces.c.number).exists(),
    faces.c.remaining
    > sa.select(sa.func.count())
    .select_from(leases)
    .where(leases.c.face == faces.c.number, leases.c.annotator != _ME, leases.c.expires > _NOW)
    .scalar_subquery(),
)
_FREE_HELD = _FREE.where(faces.c.number == _FACE)
_FREE_NEXT = _FREE.where(faces.c.number != _FACE, ~sa.select(skips.c.id).where(_IS_SKIPPED).exists())
_FREE_NEXT = _FREE_NEXT.order_by(faces.c.number).limit(2)
_FREE_SKIPPED = _FREE.join(skips, _IS_SKIPPED).where(faces.c.number != _FACE).order_by(skips.c.id).limit(2)
_RENEW = sa.update(leases).where(leases.c.annotator == _ME).values(face=_FACE, expires=sa.bindparam("until"))
_RELEASE = sa.delete(leases).where(leases.c.annotator == _ME, leases.c.face == _FACE)
_UNSKIP = sa.delete(skips).where(skips.c.annotator == _ME, skips.c.face == _FACE)

_SUBMITTED = sa.select(labels).where(labels.c.submission_id == sa.bindparam("submission"))
_LABELLED = sa.select(labels.c.id).where(_MINE, labels.c.face == _FACE)
_LAST = sa.select(labels).where(_MINE).order_by(labels.c.id.desc()).limit(1)
_TAKE = sa.update(faces).where(faces.c.number == _FACE, faces.c.remaining > sa.bindparam("promised"))
_TAKE = _TAKE.values(remaining=faces.c.remaining - 1)
_GIVE_BACK = sa.update(faces).where(faces.c.number == _FACE).values(remaining=faces.c.remaining + 1)
_N_MINE = sa.select(sa.func.count()).select_from(labels).where(_MINE)
_N_MINE_OPEN = sa.select(sa.func.count()).select_from(labels).join(faces, faces.c.number == labels.c.face)
_PROGRESS = sa.select(
    _N_MINE.scalar_subquery(),
    sa.select(sa.func.count()).select_from(faces).where(is_open).scalar_subquery(),
    _N_MINE_OPEN.where(_MINE, is_open).scalar_subquery(),
)


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one annotator says of one face.

    Attributes:
        submission_id: A UUID that the page draws, so that a label sent twice counts once.
        sample_id: The face.
        votes: Class -> votes; classes without a vote may be left out.
        unknown: Votes for "cannot tell".
        not_a_face: There is no face; then there are no votes.
        intensity: Class -> 0 to 5, or None.
        attributes: Attribute -> group, ``unsure``, or None where not answered.
        seconds: How long it took.
    """

    submission_id: str
    sample_id: str
    votes: dict[str, int]
    unknown: int
    not_a_face: bool
    intensity: dict[str, int] | None
    attributes: dict[str, str | None]
    seconds: float


@dataclass(frozen=True)
class Turn:
    """What an annotator has before them.

    Attributes:
        face: Number of the face; None where there is none (left) for them.
        following: Number of the face that will probably follow.
        done: Faces that they have labelled.
        total: These, and those that they can still label.
    """

    face: int | None
    following: int | None
    done: int
    total: int


def check_label(task: LabelTask, label: Label) -> None:
    """Refuse a label that does not answer the task.

    Raises:
        Refused: With what is wrong.
    """
    wrong = [c for c in label.votes if c not in task.classes]
    wrong += [c for c in label.intensity or {} if c not in task.classes]
    if wrong:
        raise Refused(422, f"{wrong[0]!r} is no class of this task; the classes are {', '.join(task.classes)}.")
    if min([label.unknown, *label.votes.values()]) < 0 or not 0 <= label.seconds < float("inf"):
        raise Refused(422, "Votes and seconds cannot be negative.")
    given, asked = sum(label.votes.values()) + label.unknown, 0 if label.not_a_face else task.votes_per_face
    if given != asked:
        what = "a picture without a face takes none" if label.not_a_face else f"{asked} are to be given"
        raise Refused(422, f"{given} votes were given, but {what}.")
    if label.intensity is not None and not task.intensity:
        raise Refused(422, "This task does not ask for intensity.")
    if any(not 0 <= v <= MAX_INTENSITY for v in (label.intensity or {}).values()):
        raise Refused(422, f"Intensity goes from 0 to {MAX_INTENSITY}.")
    groups = {a.name: (*a.groups, UNSURE, None) for a in task.attributes}
    for name, group in label.attributes.items():
        if group not in groups.get(name, ()):
            raise Refused(422, f"{group!r} is no answer to an attribute {name!r} of this task.")


def next_turn(database: LabelDatabase, who: Account, lease_s: float = LEASE_S) -> Turn:
    """The face that the annotator has on the screen, or else the first of the queue that is free; it is leased.

    A face is free where its labels and the leases of others leave one of its ``labels_per_face``.
    Skipped faces come after all others.
    """

    def work(c: sa.Connection) -> Turn:
        asks = {"me": who.id, "now": database.clock()}
        held = c.execute(_HELD, asks).scalar()
        at = {**asks, "at": -1 if held is None else held}
        free = [] if held is None else list(c.execute(_FREE_HELD, at).scalars())
        free += c.execute(_FREE_NEXT, at).scalars()
        if len(free) < 2:
            free += c.execute(_FREE_SKIPPED, at).scalars()
        if free:
            _lease(database, c, who, free[0], lease_s)
        following = free[1] if len(free) > 1 else None
        return Turn(free[0] if free else None, following, *_progress(c, who))

    return database.write(work, durable=False)


def submit(database: LabelDatabase, who: Account, label: Label) -> tuple[bool, int, int]:
    """Store a label.

    Returns:
        Whether it was stored before (then nothing changes), and the progress ``(done, total)``.

    Raises:
        Refused: If it does not answer the task, the annotator has labelled the face, or others have
            given or are giving the face all the labels that it gets.
    """
    check_label(database.task, label)
    face = number_of(database, label.sample_id)

    def work(c: sa.Connection) -> tuple[bool, int, int]:
        if _stored_before(database, c, who, label):
            return True, *_progress(c, who)
        at = {"me": who.id, "at": face, "now": database.clock()}
        if c.execute(_LABELLED, at).first():
            raise Refused(409, "You have labelled this face already. Take that label back first (undo).")
        holders = c.execute(_HOLDERS, at).scalars().all()
        promised = 0 if who.id in holders else len(holders)
        if c.execute(_TAKE, {"at": face, "promised": promised}).rowcount == 0:
            raise Refused(409, "This face has all the labels it needs by now. Go on with the next.")
        row = {k: v for k, v in asdict(label).items() if k != "sample_id"}
        row |= {"votes": _given(label.votes), "intensity": label.intensity or None}
        row |= {"face": face, "annotator": who.id, "created": database.now()}
        c.execute(sa.insert(labels), row)
        c.execute(_RELEASE, at)
        c.execute(_UNSKIP, at)
        return False, *_progress(c, who)

    return database.write(work)


def skip(database: LabelDatabase, who: Account, sample_id: str) -> None:
    """Put a face at the end of the annotator's queue and let go of it."""
    face = number_of(database, sample_id)

    def work(c: sa.Connection) -> None:
        at = {"me": who.id, "at": face}
        c.execute(_RELEASE, at)
        c.execute(_UNSKIP, at)
        c.execute(sa.insert(skips), {"annotator": who.id, "face": face})

    database.write(work, durable=False)


def undo(
    database: LabelDatabase, who: Account, submission_id: str | None = None, lease_s: float = LEASE_S
) -> tuple[Label, Turn]:
    """Take a label of the annotator's back; it stays in the log as undone, the face is theirs again.

    Args:
        database: The votes.
        who: The annotator.
        submission_id: The label; None is their last current one. One that was taken back already stays so
            and is returned again: the first answer may have been lost.
        lease_s: Seconds for which the face is kept for them.

    Raises:
        Refused: If there is none, or the face of one that was taken back before is theirs no more.
    """

    def work(c: sa.Connection) -> tuple[Label, Turn]:
        wanted = _LAST if submission_id is None else _SUBMITTED
        row = c.execute(wanted, {"me": who.id, "submission": submission_id}).mappings().first()
        if row is None or row["annotator"] != who.id:
            raise Refused(409, "There is no label to take back.")
        face, now = int(row["face"]), database.now()
        if row["withdrawn"]:
            # Since then it may have been labelled again, or given to somebody else.
            if c.execute(_FREE_HELD, {"me": who.id, "at": face, "now": database.clock()}).first() is None:
                raise Refused(409, "This label was taken back already, and its face has no place left for another.")
        else:
            c.execute(sa.update(labels).where(labels.c.id == row["id"]).values(withdrawn=labels.c.id, undone=now))
            c.execute(_GIVE_BACK, {"at": face})
        _lease(database, c, who, face, lease_s)
        return as_label(database, row), Turn(face, None, *_progress(c, who))

    return database.write(work)


def number_of(database: LabelDatabase, sample_id: str) -> int:
    """Place of a face in the queue.

    Raises:
        Refused: If it is no face of the task.
    """
    number = database.number.get(sample_id)
    if number is None:
        raise Refused(404, f"The face {sample_id!r} is not in this task.")
    return number


def _given(votes: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in votes.items() if n}


def as_label(database: LabelDatabase, row: sa.RowMapping) -> Label:
    """A row of the labels as it was sent."""
    names = ("submission_id", "votes", "unknown", "not_a_face", "intensity", "attributes", "seconds")
    return Label(sample_id=database.faces[row["face"]].sample_id, **{name: row[name] for name in names})


def _content(label: Label) -> Label:
    """A label without what says nothing: classes without a vote, questions without an answer."""
    answered: dict[str, str | None] = {name: group for name, group in label.attributes.items() if group is not None}
    return replace(label, votes=_given(label.votes), intensity=label.intensity or None, attributes=answered)


def _stored_before(database: LabelDatabase, c: sa.Connection, who: Account, label: Label) -> bool:
    row = c.execute(_SUBMITTED, {"submission": label.submission_id}).mappings().first()
    if row is None:
        return False
    if row["annotator"] != who.id or _content(as_label(database, row)) != _content(label):
        raise Refused(409, "This submission_id was used for another label. Load the page again.")
    return True


def _lease(database: LabelDatabase, c: sa.Connection, who: Account, face: int, lease_s: float) -> None:
    until = database.clock() + lease_s
    if c.execute(_RENEW, {"me": who.id, "at": face, "until": until}).rowcount == 0:
        c.execute(sa.insert(leases), {"annotator": who.id, "face": face, "expires": until})


def _progress(c: sa.Connection, who: Account) -> tuple[int, int]:
    """Faces labelled by the annotator; these and the ones that they can still label."""
    done, n_open, both = c.execute(_PROGRESS, {"me": who.id}).one()
    return int(done), int(done + n_open - both)
