"""The tables of a labelling database."""

from __future__ import annotations

from mien.errors import MissingExtra

try:
    import sqlalchemy as sa
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "sqlalchemy") from error

__all__ = ["FORMAT", "annotators", "faces", "is_open", "labels", "leases", "metadata", "sa", "skips", "tasks"]

FORMAT = 1
metadata = sa.MetaData()

# One row. Its lock is the lock of all writers where the database has no lock of its own.
tasks = sa.Table(
    "label_task",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uid", sa.String(32), nullable=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("store", sa.String(64), nullable=False),
    sa.Column("queue", sa.String(64), nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
)

# Numbered in the order of the queue. The check holds what the program also sees to: no face gets
# more labels than asked for.
faces = sa.Table(
    "label_faces",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sample_id", sa.Text, nullable=False),
    sa.Column("suggestion", sa.JSON(none_as_null=True)),
    sa.Column("remaining", sa.Integer, sa.CheckConstraint("remaining >= 0"), nullable=False),
)
is_open = sa.literal_column("remaining > 0", sa.Boolean)
sa.Index("label_faces_open", faces.c.number, sqlite_where=is_open, postgresql_where=is_open)

annotators = sa.Table(
    "label_annotators",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("name_key", sa.String(160), nullable=False, unique=True),
    sa.Column("pseudonym", sa.String(20), nullable=False, unique=True),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("consent_version", sa.String(12), nullable=False),
    sa.Column("joined", sa.String(40), nullable=False),
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
    sa.Column("submission_id", sa.String(36), nullable=False, unique=True),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False),
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), nullable=False, index=True),
    sa.Column("withdrawn", sa.Integer, nullable=False, default=0),
    sa.Column("votes", sa.JSON, nullable=False),
    sa.Column("unknown", sa.Integer, nullable=False),
    sa.Column("not_a_face", sa.Boolean, nullable=False),
    sa.Column("intensity", sa.JSON(none_as_null=True)),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("undone", sa.String(40)),
    sa.UniqueConstraint("face", "annotator", "withdrawn", name="label_votes_one_current"),
    sqlite_autoincrement=True,
)

# The face that an annotator has on the screen.
leases = sa.Table(
    "label_leases",
    metadata,
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), primary_key=True, autoincrement=False),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False, index=True),
    sa.Column("expires", sa.Float(53), nullable=False),
)

skips = sa.Table(
    "label_skips",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("annotator", sa.ForeignKey("label_annotators.id"), nullable=False),
    sa.Column("face", sa.ForeignKey("label_faces.number"), nullable=False),
    sa.UniqueConstraint("annotator", "face", name="label_skips_once"),
)
