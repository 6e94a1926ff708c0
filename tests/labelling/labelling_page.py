"""The labelling server in a thread, and what people do with its page in a browser."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page, Route, expect

from browsers import PHONE
from mien.data.images import Store
from mien.labelling.app import create_app
from mien.labelling.task import LabelTask
from mien.web.connections import Connection

SMALL_PHONE: dict[str, Any] = {**PHONE, "viewport": {"width": 360, "height": 640}}
READY = "#label:not([hidden]):not([aria-busy])"


class Site:
    """The server in a thread; it can go and come back on its port."""

    def __init__(self, store: Store, database: Path, task: LabelTask, invite: str | None = None) -> None:
        self.store, self.database, self.task, self.invite = store, database, task, invite
        self.port = 0
        self.start()

    def start(self) -> None:
        self.app = create_app(self.store, self.database, self.task, invite=self.invite)
        config = uvicorn.Config(self.app, http=Connection, port=self.port, log_level="error", ws="none", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server ended"
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.force_exit = self.server.should_exit = True
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def agree(page: Page, name: str = "Ada") -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start labelling").click()


def join(page: Page, name: str = "Ada") -> None:
    agree(page, name)
    page.get_by_role("button", name="Show the first face").click()
    at_face(page, 0)


def at_face(page: Page, done: int) -> None:
    """Wait until so many faces are done and the next one is there."""
    page.locator(f"{READY} #count", has_text=re.compile(rf"^{done} of ")).wait_for()


def lose_answer(page: Page, path: str, times: int = 1) -> None:
    """The next requests are carried out, but their answers do not arrive."""

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(f"**{path}", lose, times=times)


def network_is_back(page: Page) -> None:
    expect(page.locator("#notice")).to_contain_text("does not answer")
    page.evaluate("dispatchEvent(new Event('online'))")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def stored(page: Page) -> list[dict[str, Any]]:
    """The annotator's current labels, as the server exports them."""
    export = """async () => {
      const kept = Object.entries(localStorage).find(([key]) => key.endsWith("/token"));
      const headers = { Authorization: `Bearer ${JSON.parse(kept[1])}` };
      return (await fetch("/api/me/export", { headers })).json();
    }"""
    return [label for label in page.evaluate(export)["labels"] if label["state"] == "current"]


def votes(page: Page) -> list[dict[str, int]]:
    """Votes of each current label, "unknown" among them."""
    return [{**s["votes"], **({"unknown": s["unknown"]} if s["unknown"] else {})} for s in stored(page)]


def choice(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=re.compile(rf"^{name}(, \d+ votes?)?$"))


def face_beside_questions(page: Page) -> bool:
    face, asked = page.get_by_role("img").bounding_box(), page.locator("#asked").bounding_box()
    assert face["width"] == pytest.approx(face["height"], abs=1)
    apart = face["x"] + face["width"] < asked["x"] and asked["x"] + asked["width"] <= 1280
    return apart and face["width"] > 350 and abs(face["y"] - asked["y"]) < 20


def hold(page: Page, name: str) -> None:
    """Keep the mouse down on an expression until it has all votes, and let go elsewhere."""
    choice(page, name).hover()
    page.mouse.down()
    expect(page.get_by_text("all given")).to_be_visible()
    page.mouse.move(5, 5)
    page.mouse.up()


def hints(page: Page, within: str) -> int:
    """How many keys are shown there."""
    return page.locator(f"{within} kbd:visible").count()


def broken_names(page: Page) -> list[str]:
    """Expressions whose one word takes more than one line."""
    return page.evaluate(
        "[...document.querySelectorAll('.choice .name')].filter((n) => n.getClientRects().length && "
        "n.offsetHeight > 1.5 * parseFloat(getComputedStyle(n).lineHeight)).map((n) => n.textContent)"
    )


def in_sight(page: Page, selector: str) -> bool:
    """Does all of it lie in the window, between the sticky picture above (where it is) and the buttons below?"""
    return page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].every((at) => {
          const box = (one) => one.getBoundingClientRect();
          const [picture, bottom] = ["picture", "bottom"].map((id) => box(document.getElementById(id)));
          const it = box(at);
          const top = picture.right > it.left + 1 ? picture.bottom : 0;
          return it.top >= top - 1 && it.bottom <= bottom.top + 1 && it.bottom <= innerHeight;
        })""",
        selector,
    )


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id")
