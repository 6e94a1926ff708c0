"""The requests that the page makes."""

from __future__ import annotations

import hmac
import io
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MissingExtra
from mien.labelling import accounts, voting
from mien.labelling.accounts import Account
from mien.labelling.database import LabelDatabase
from mien.labelling.pace import JoinPace
from mien.web.answers import bearer
from mien.web.refusals import Refused

try:
    from fastapi import APIRouter, Depends, Request, Response
    from pydantic import BaseModel, Field, StrictBool, StrictInt
except ModuleNotFoundError as error:
    raise MissingExtra("labelling", "label", error.name or "fastapi") from error

router = APIRouter(prefix="/api")

# Numbers far beyond any that is right, so that what is wrong with one is still said in the words of the task.
_Count = Annotated[StrictInt, Field(ge=-1000, le=1000)]
_LONGEST_S = 1e9
_TRACES = "Traces on the server's disk are overwritten as soon as nobody reads its database."


@dataclass(frozen=True)
class Labelling:
    """What the requests work on.

    Attributes:
        database: The votes.
        images: The store's images.
        rows: Face of the task -> its row of the images.
        invite: What joining asks for; None where anybody may.
        lease_s: How long a face on a screen is kept for its annotator.
        pace: How fast people may join.
    """

    database: LabelDatabase
    images: NDArray[np.uint8]
    rows: dict[str, int]
    invite: str | None
    lease_s: float
    pace: JoinPace


class JoinRequest(BaseModel):
    """Body of ``POST /api/join``."""

    name: str = Field(max_length=400)
    consent: StrictBool = False
    invite: str | None = Field(default=None, max_length=400)
    token: str = Field(pattern="^[A-Za-z0-9_-]{43}$")  # 32 random bytes, drawn by the page
    task: str
    consent_version: str


class UndoRequest(BaseModel):
    """Body of ``POST /api/undo``."""

    submission_id: UUID | None = None


class SkipRequest(BaseModel):
    """Body of ``POST /api/skip``."""

    sample_id: str


class LabelRequest(BaseModel):
    """Body of ``POST /api/labels``."""

    submission_id: UUID
    sample_id: str
    votes: dict[str, _Count] = Field(default_factory=dict, max_length=100)
    unknown: _Count = 0
    not_a_face: StrictBool = False
    intensity: dict[str, _Count] | None = Field(default=None, max_length=100)
    attributes: dict[str, str | None] = Field(default_factory=dict, max_length=100)
    seconds: float = Field(default=0.0, ge=0, le=_LONGEST_S, allow_inf_nan=False)


def _labelling(request: Request) -> Labelling:
    labelling: Labelling = request.app.state.labelling
    return labelling


Context = Annotated[Labelling, Depends(_labelling)]


def _annotator(request: Request, labelling: Context) -> Account:
    return accounts.sign_in(labelling.database, bearer(request))


Who = Annotated[Account, Depends(_annotator)]


@router.get("/task")
def task(labelling: Context) -> dict[str, Any]:
    """What is asked; nobody needs to sign in for it."""
    database = labelling.database
    settings = database.task.to_json()
    names = ("title", "purpose", "consent", "notice", "classes", "votes_per_face", "intensity", "attributes")
    return {
        "id": database.id,
        "consent_version": database.task.consent_version,
        **{name: settings[name] for name in (*names, "show_suggestion")},
        "needs_invite": labelling.invite is not None,
        "n_faces": len(database.faces),
    }


@router.post("/join")
def join(body: JoinRequest, request: Request, labelling: Context) -> dict[str, Any]:
    """A new annotator, with consent to the text that the page shows; the same annotator where the page asks again."""
    database, invite = labelling.database, labelling.invite
    if (body.task, body.consent_version) != (database.id, database.task.consent_version):
        raise Refused(409, "The task has changed since this page was loaded. Load it again.", reload=True)
    address = request.client.host if request.client else ""
    labelling.pace.take(address)  # guesses of the invitation count, and names that are tried
    if invite is not None and not hmac.compare_digest(_code(body.invite or ""), _code(invite)):
        raise Refused(403, "This is not the invitation of this task. Ask whoever runs it.")
    account, resumed = accounts.join(database, body.name, body.token, body.consent)
    if resumed:
        labelling.pace.give_back(address)
    return {"name": account.name, "resumed": resumed}


@router.post("/resume")
def resume(who: Who) -> dict[str, str]:
    """Whose token it is."""
    return {"name": who.name}


@router.get("/next")
def next_face(who: Who, labelling: Context) -> dict[str, Any]:
    """The face to label now."""
    turn = voting.next_turn(labelling.database, who, labelling.lease_s)
    following = None if turn.following is None else labelling.database.faces[turn.following].sample_id
    return {**_shown(turn, labelling), "next_image": None if following is None else _image_url(following)}


@router.post("/labels")
def submit(body: LabelRequest, who: Who, labelling: Context) -> dict[str, Any]:
    """Store a label; the answer is given after the commit."""
    fields = {name: getattr(body, name) for name in LabelRequest.model_fields}
    label = voting.Label(**{**fields, "submission_id": str(body.submission_id)})
    repeated, done, total = voting.submit(labelling.database, who, label)
    return {"ok": True, "repeated": repeated, "progress": {"done": done, "total": total}}


@router.post("/skip")
def skip(body: SkipRequest, who: Who, labelling: Context) -> dict[str, bool]:
    """Put a face at the end of the queue."""
    voting.skip(labelling.database, who, body.sample_id)
    return {"ok": True}


@router.post("/undo")
def undo(body: UndoRequest, who: Who, labelling: Context) -> dict[str, Any]:
    """Take a label back."""
    named = None if body.submission_id is None else str(body.submission_id)
    label, turn = voting.undo(labelling.database, who, named, labelling.lease_s)
    return {**_shown(turn, labelling), "label": asdict(label)}


@router.get("/faces/{sample_id:path}.png")
def picture(sample_id: str, who: Who, labelling: Context) -> Response:
    """A face at the size of the store. The id is looked up in the task; it is never a path."""
    row = labelling.rows.get(sample_id)
    if row is None:
        raise Refused(404, f"The face {sample_id!r} is not in this task.")
    return Response(png(labelling.images[row]), media_type="image/png")


@router.get("/me")
def me(who: Who, labelling: Context) -> dict[str, Any]:
    """How much the annotator has done."""
    return {"name": who.name, "labels": accounts.count_labels(labelling.database, who.id)}


@router.get("/me/export")
def export_me(who: Who, labelling: Context) -> Response:
    """A JSON file of everything stored about the annotator."""
    content = json.dumps(accounts.stored_about(labelling.database, who.id), indent=2, ensure_ascii=False)
    headers = {"Content-Disposition": 'attachment; filename="my-labels.json"'}
    return Response(content, media_type="application/json", headers=headers)


@router.delete("/me")
def delete_me(who: Who, labelling: Context) -> dict[str, Any]:
    """Delete the annotator and all of their labels; what the disk still holds of them goes in the background."""
    deleted = accounts.delete_annotator(labelling.database, who.id)
    if not labelling.database.traces:
        return {"deleted": deleted}
    labelling.database.forget_later()
    return {"deleted": deleted, "left": _TRACES}


def png(image: NDArray[np.uint8]) -> bytes:
    """A picture ``(H, W, C)`` as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _shown(turn: voting.Turn, labelling: Labelling) -> dict[str, Any]:
    progress = {"done": turn.done, "total": turn.total}
    if turn.face is None:
        return {"face": None, "progress": progress}
    face = labelling.database.faces[turn.face]
    return {"face": {**asdict(face), "image": _image_url(face.sample_id)}, "progress": progress}


def _code(invite: str) -> bytes:
    """An invitation as it is compared: telephones begin words with a capital letter and end them with a space."""
    return invite.strip().casefold().encode(errors="surrogatepass")


def _image_url(sample_id: str) -> str:
    return f"/api/faces/{quote(sample_id, safe='')}.png"
