"""The tables of a labelling database."""

from __future__ import annotations

from typing import Any

from mien.errors import MissingExtra

try:
    import sqlalchemy as sa
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "sqlalchemy") from error

__all__ = ["FORMAT", "annotators", "faces", "is_open", "labels", "leases", "metadata", "sa", "skips", "tasks"]

FORMAT = 1


class _Kept(sa.types.TypeDecorator[Any]):
    """A type whose values are of its kind when they are read: SQLite keeps whatever another program puts there."""

    impl: Any = sa.String
    cache_ok = True
    kinds: tuple[type, ...] = (str,)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """Pass it on, or refuse it."""
        if value is None or type(value) in self.kinds:
            return value
        raise ValueError(f"{str(value)[:60]!r} stands where there should be a {self.kinds[0].__name__}")


class _Text(_Kept):
    cache_ok = True


class _Number(_Kept):
    impl = sa.Float
    cache_ok = True
    kinds = (float, int)


class _Object(_Kept):
    impl = sa.JSON
    cache_ok = True
    kinds = (dict,)


metadata = sa.MetaData()

# One row. Its lock is the lock of all writers where the database has no lock of its own.
tasks = sa.Table(
    "label_task",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uid", _Text(32), nullable=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("settings", _Object(), nullable=False),
    sa.Column("store", _Text(64), nullable=False),
    sa.Column("queue", _Text(64), nullable=False),
    sa.Column("created", _Text(40), nullable=False),
)

# Numbered in the order of the queue. The check holds what the program also sees to: no face gets
# more labels than asked for.
faces = sa.Table(
    "label_faces",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sample_id", _Text(), nullable=False),
    sa.Column("suggestion", _Object(none_as_null=True)),
    sa.Column("remaining", sa.Integer, sa.CheckConstraint("remaining >= 0"), nullable=False),
)
is_open = sa.literal_column("remaining > 0", sa.Boolean)
sa.Index("label_faces_open", faces.c.number, sqlite_where=is_open, postgresql_where=is_open)

annotators = sa.Table(
    "label_annotators",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", _Text(80), nullable=False),
    sa.Column("name_key", _Text(160), nullable=False, unique=True),
    sa.Column("pseudonym", _Text(20), nullable=False, unique=True),
    sa.Column("token_hash", _Text(64), nullable=False, unique=True),
    sa.Column("consent_version", _Text(12), nullable=False),
    sa.Column("joined", _Text(40), nullable=False),
    # An id is never given out again: what was exported under it stays that person's.
    sqlite_autoincrement=True,
)

# The raw log: rows are added, marked as withdrawn, and removed only with their annotator.
# withdrawn is 0 of a current label and the row's own id of one that was taken back, so that the
# unique constraint allows one current label a face and annotator, in every database.
labels = sa.Table(
    "label_votes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("submission_id", _Text(36), nullable=False, unique=True),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False),
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), nullable=False, index=True),
    sa.Column("withdrawn", sa.Integer, nullable=False, default=0),
    sa.Column("votes", _Object(), nullable=False),
    sa.Column("unknown", sa.Integer, nullable=False),
    sa.Column("not_a_face", sa.Boolean, nullable=False),
    sa.Column("intensity", _Object(none_as_null=True)),
    sa.Column("attributes", _Object(), nullable=False),
    sa.Column("seconds", _Number(), nullable=False),
    sa.Column("created", _Text(40), nullable=False),
    sa.Column("undone", _Text(40)),
    sa.UniqueConstraint("face", "annotator", "withdrawn", name="label_votes_one_current"),
    sqlite_autoincrement=True,
)

# The face that an annotator has on the screen.
leases = sa.Table(
    "label_leases",
    metadata,
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), primary_key=True, autoincrement=False),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False, index=True),
    sa.Column("expires", _Number(53), nullable=False),
)

skips = sa.Table(
    "label_skips",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), nullable=False),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False),
    sa.UniqueConstraint("annotator", "face", name="label_skips_once"),
)
