"""The page in a real browser, on the real server: phone and desktop, keys and taps, the server gone and back."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: no browser to try the page in")

from labelling_page import (
    SMALL_PHONE,
    Site,
    agree,
    at_face,
    broken_names,
    choice,
    face_beside_questions,
    focused,
    hints,
    hold,
    in_sight,
    join,
    lose_answer,
    network_is_back,
    press,
    stored,
    votes,
)
from playwright.sync_api import Browser, Page, expect

from browsers import CONTRAST, DESKTOP, PHONE, chromium, overflow
from mien.data.images import Store
from mien.labelling.pace import Allowance
from mien.labelling.task import AskedAttribute, LabelTask
from mien.prepare import prepare

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
GENDER = AskedAttribute("gender", "Perceived gender", ("man", "woman"))
AGE = AskedAttribute("age", "Perceived age", ("child", "grown_up"))
OLD_BROWSER = "delete AbortSignal.timeout"
FULL = """() => {
  Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
}"""
BREAKS_OFF_ONCE = """() => {
  const { blob } = Response.prototype;
  Response.prototype.blob = () => {
    Response.prototype.blob = blob;
    return Promise.reject(new DOMException("", "AbortError"));
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare("synthetic", tmp_path_factory.mktemp("faces") / "store", n=24, size=32)


@pytest.fixture
def site(faces: Store, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Starts a server for a task with the settings given."""
    started: list[Site] = []

    def serve(invite: str | None = None, **settings: Any) -> Site:
        started.append(Site(faces, tmp_path / "labels.db", LabelTask(classes=CLASSES, **settings), invite))
        return started[-1]

    yield serve
    for one in started:
        one.stop()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a site in a window of its own; in the end nothing was asked of others and no script failed."""
    contexts, wrong, asked = [], [], set()

    def open_page(site: Site, device: dict[str, Any]) -> Page:
        context = browser.new_context(**device)
        context.set_default_timeout(10_000)
        contexts.append(context)
        context.add_init_script(OLD_BROWSER)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if "Policy" in message.text else None)
        page.on("request", lambda request: asked.add(re.sub(r"^blob:", "", request.url).split("/")[2]))
        page.goto(site.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
    assert {host.split(":")[0] for host in asked} == {"127.0.0.1"}


def test_nobody_takes_part_without_consent(site, visit):
    page = visit(site(), DESKTOP)
    expect(page.get_by_text("That is a perception, not a fact about the person")).to_be_visible()
    page.get_by_label("Your name").fill("<b>Ada</b>")
    page.get_by_role("button", name="Start labelling").click()
    assert page.locator("#consent:invalid").count() == 1
    assert not page.evaluate("Object.keys(localStorage).filter((key) => key.endsWith('token')).length")
    page.get_by_role("checkbox").check()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Welcome, <b>Ada</b>")).to_be_visible()
    expect(page.get_by_text("With keys: digits vote, Enter saves")).to_be_visible()
    press(page, "Enter")
    at_face(page, 0)
    page.evaluate("localStorage.clear()")
    page.reload()
    page.get_by_label("Your name").fill("<b>Ada</b>")
    page.locator("#size").click()
    press(page, "Enter")  # not before all is filled in
    page.get_by_role("checkbox").check()
    page.locator("#size").click()
    press(page, "Enter")
    expect(page.locator("#join .problem")).to_contain_text("taken")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.get_by_text("I have labelled here before").click()
    page.get_by_label("The key you were given").fill("wrong")
    press(page, "Enter")
    expect(page.locator("#resume .problem")).to_be_in_viewport(ratio=1)


def test_whoever_joins_too_early_waits_and_does_nothing(site, visit):
    served = site()
    served.app.state.labelling.pace.from_one = Allowance(1, 3.0)
    join(visit(served, DESKTOP))
    page = visit(served, DESKTOP)
    agree(page, "Bob")
    expect(page.locator("#notice")).to_contain_text("Many people are joining just now")
    expect(page.get_by_role("heading", name="Welcome, Bob")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_a_changed_task_is_read_before_anybody_joins(site, visit, tmp_path):
    served = site()
    page = visit(served, DESKTOP)
    served.stop()
    served.database, served.task = tmp_path / "other.db", replace(served.task, consent="I agree to something else.")
    served.start()
    agree(page)
    page.get_by_text("I agree to something else.").wait_for()
    expect(page.locator("#notice:not([hidden])")).to_contain_text("has changed")
    refusal = {"detail": "Load it again.", "reload": True}
    page.route("**/api/join", lambda route: route.fulfill(status=409, json=refusal), times=1)
    agree(page)
    expect(page.locator("#notice:not([hidden])")).to_contain_text("has changed")
    assert not page.get_by_role("checkbox").is_checked()
    join(page)
    page.reload()
    at_face(page, 0)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_phone_votes_with_taps(site, visit):
    page = visit(site(), PHONE)
    join(page)
    assert overflow(page) == 0
    face = page.get_by_role("img").bounding_box()
    assert 250 < face["width"] == pytest.approx(face["height"], abs=1)
    assert face["height"] < 844 / 2
    assert not page.locator("kbd:visible").count()
    happiness, surprise = choice(page, "happiness"), choice(page, "surprise")
    for button in (happiness, happiness, surprise):
        button.tap()
    expect(happiness.locator(".dots i")).to_have_count(2)
    expect(page.get_by_text("7 left")).to_be_visible()
    assert focused(page) == "question"  # a tap does not take the focus from where it was
    page.get_by_role("button", name="The other 7 to surprise").tap()
    page.get_by_role("button", name="Undo").tap()
    expect(page.get_by_text("7 left")).to_be_visible()
    page.get_by_role("button", name="The other 7 to surprise").tap()
    page.get_by_role("button", name="Save").tap()
    at_face(page, 1)
    expect(page.get_by_text("Saved: happiness 2, surprise 8.")).to_be_visible()
    choice(page, "fear").click(delay=700)  # held down: all of them
    expect(page.get_by_text("all given")).to_be_visible()
    expect(choice(page, "fear").locator(".dots i")).to_have_count(10)
    expect(page.locator("#saved")).to_be_empty()  # letting go gave no further vote
    page.get_by_role("button", name="Save").tap()
    at_face(page, 2)
    page.get_by_role("button", name="Not a face").tap()
    at_face(page, 3)
    assert votes(page) == [{"happiness": 2, "surprise": 8}, {"fear": 10}, {}]
    assert [label["not_a_face"] for label in stored(page)] == [False, False, True]
    for done in (2, 1):
        page.get_by_role("button", name="Back").tap()
        at_face(page, done)
    expect(page.get_by_text("Taken back: fear 10.")).to_be_visible()
    choice(page, "anger").tap()
    expect(page.get_by_text("Undo takes them back")).to_be_visible()
    page.get_by_role("button", name="Undo").tap()
    expect(page.get_by_text("10 left")).to_be_visible()
    choice(page, "anger").tap()
    page.get_by_role("button", name="All ten on anger, save").tap()
    at_face(page, 2)
    assert votes(page) == [{"happiness": 2, "surprise": 8}, {"anger": 10}]


def test_a_desktop_votes_with_keys(site, visit):
    page = visit(site(), DESKTOP)
    join(page)
    assert face_beside_questions(page)
    press(page, "4", "Enter")  # all ten
    at_face(page, 1)
    press(page, *"2223", "Shift+Digit2", "u", "Space", "Enter")
    at_face(page, 2)
    skipped = page.get_by_role("img").get_attribute("src")
    press(page, "s")
    expect(page.get_by_text("Skipped")).to_be_visible()
    at_face(page, 2)
    assert page.get_by_role("img").get_attribute("src") != skipped
    press(page, "n")
    at_face(page, 3)
    assert votes(page) == [{"sadness": 10}, {"happiness": 2, "surprise": 1, "unknown": 7}, {}]
    press(page, "z")
    at_face(page, 2)
    press(page, "Backspace")
    at_face(page, 1)
    expect(page.get_by_text("Taken back: happiness 2, surprise 1, can't tell 7.")).to_be_visible()
    expect(choice(page, "happiness").locator(".dots i")).to_have_count(2)
    press(page, "Enter")
    at_face(page, 2)
    assert len(stored(page)) == 2
    press(page, "?")
    expect(page.get_by_role("dialog")).to_contain_text("undo a step")
    press(page, "Escape", "1", "Enter")
    at_face(page, 3)
    reached = []
    while (text := page.evaluate("document.activeElement.textContent")) not in reached[1:]:
        reached.append(text)
        page.keyboard.press("Tab")
    for name in ("Neutral", "Contempt", "Can't tell", "Back", "Skip", "Not a face", "Help", "Pause"):
        assert any(text.lower().startswith(name.lower()) for text in reached)
    choice(page, "anger").focus()
    press(page, "Space", "Enter")  # on a button with the focus they press it
    expect(page.get_by_text("8 left")).to_be_visible()
    choice(page, "anger").click()
    assert focused(page) == "question"  # after the mouse the keys belong to the face


def test_enter_saves_unless_tab_went_to_a_button(site, visit):
    page = visit(site(), DESKTOP)
    join(page)
    hold(page, "happiness")
    press(page, "Enter")
    at_face(page, 1)
    choice(page, "fear").click(delay=700)
    press(page, "Space")
    at_face(page, 2)
    press(page, "Tab", "Enter", "4", "Enter", "Enter")  # neutral by its button; after a digit Enter fills and saves
    at_face(page, 3)
    press(page, "Tab", "Tab", "Space", *["Tab"] * 11)  # happiness; then on to the large button
    assert focused(page) == "save"
    press(page, "Space")
    at_face(page, 4)
    assert votes(page) == [{"happiness": 10}, {"fear": 10}, {"neutral": 1, "sadness": 9}, {"happiness": 10}]


def test_digits_answer_the_marked_question(site, visit):
    page = visit(site(intensity=True, attributes=(GENDER, AGE)), DESKTOP)
    join(page)
    assert face_beside_questions(page)
    assert (hints(page, "#classes"), hints(page, ".question")) == (9, 0)
    press(page, "2", "3", "Enter")
    expect(page.get_by_role("group", name="strength of happiness")).to_have_class(re.compile("active"))
    assert (hints(page, "#classes"), hints(page, ".question")) == (0, 0)  # strengths are digits themselves
    press(page, "5", "1")
    assert (hints(page, "#classes"), hints(page, ".question"), hints(page, ".question.active")) == (0, 3, 3)
    press(page, "2", "0")
    assert (hints(page, "#classes"), hints(page, ".question")) == (9, 0)
    press(page, "Enter")
    at_face(page, 1)
    press(page, "2", "Enter", "3", "Enter")
    expect(page.get_by_text("Not answered: Perceived gender, Perceived age.")).to_be_visible()
    page.get_by_role("group", name="Perceived age").get_by_role("button", name="grown up").click()
    expect(page.locator("#saved")).to_be_empty()  # what was missing is no longer
    expect(page.get_by_role("button", name="Save", exact=False)).to_contain_text("Save")
    press(page, "Enter", "Enter")
    at_face(page, 2)
    first, second = stored(page)
    assert first["intensity"] == {"happiness": 5, "surprise": 1}
    assert first["attributes"] == {"gender": "woman", "age": "unsure"}
    assert (second["intensity"], second["attributes"]) == ({"happiness": 3}, {"gender": None, "age": "grown_up"})


def test_one_vote_is_one_key_or_one_tap(site, visit):
    page = visit(site(votes_per_face=1), SMALL_PHONE)
    join(page)
    choice(page, "happiness").tap()
    at_face(page, 1)
    for i, key in enumerate("345"):
        press(page, key)
        at_face(page, i + 2)
    press(page, "z")
    at_face(page, 3)
    expect(choice(page, "anger")).to_have_attribute("aria-pressed", "true")
    press(page, "6")
    at_face(page, 4)
    assert votes(page) == [{"happiness": 1}, {"surprise": 1}, {"sadness": 1}, {"disgust": 1}]


def test_a_reload_goes_on_where_it_was(site, visit):
    page = visit(site(), DESKTOP)
    join(page)
    press(page, "1", "Enter")
    at_face(page, 1)
    press(page, "2", "2", "7")
    page.reload()
    at_face(page, 1)
    expect(page.get_by_text("7 left")).to_be_visible()
    expect(page.get_by_role("button", name="The other 7 to fear")).to_be_visible()
    press(page, "Enter", "Enter")
    at_face(page, 2)
    assert votes(page) == [{"neutral": 10}, {"happiness": 2, "fear": 8}]


def test_signing_out_leaves_nothing_to_the_next(site, visit):
    page = visit(site(invite="sesame"), DESKTOP)
    page.get_by_label("Invitation code").fill("sesame")
    join(page)
    expect(page.get_by_text("Signed in as Ada")).to_be_visible()
    press(page, "1", "Enter")
    at_face(page, 1)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Sign out of this browser").click()
    key = page.get_by_role("dialog").locator("code").text_content()
    page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.evaluate("delete Navigator.prototype.clipboard")  # as without https
    page.get_by_role("button", name="Copied").click()
    expect(page.get_by_role("button", name="Selected")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == key
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Which expressions do you see?").wait_for()
    assert [page.locator(f).input_value() for f in ("#name", "#invite", "#key")] == ["", "", ""]
    assert not page.get_by_role("checkbox").is_checked()
    assert not [word for word in (key, "Ada", "Saved", "neutral 10") if word in page.content()]
    assert page.evaluate("Object.keys(localStorage)") == []
    page.get_by_text("I have labelled here before").click()
    page.get_by_label("The key you were given").fill(key)
    page.get_by_role("button", name="Go on with this key").click()
    at_face(page, 1)
    press(page, "z")  # this browser does not know what was given last: the server does
    at_face(page, 0)
    assert votes(page) == []


def test_no_vote_is_lost_or_counted_twice_when_the_server_goes(site, visit):
    served = site()
    page = visit(served, DESKTOP)
    join(page)
    served.stop()
    press(page, "5", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Your last label is kept in this browser")
    press(page, "6", "Enter", "z")  # while it waits, nothing else happens
    served.start()
    page.get_by_role("button", name="Try now").click()
    at_face(page, 1)
    expect(page.locator("#notice")).to_be_hidden()
    assert votes(page) == [{"anger": 10}]
    lose_answer(page, "/api/labels")
    press(page, "7", "Enter")
    network_is_back(page)
    at_face(page, 2)
    expect(page.locator("#notice")).to_be_hidden()
    page.route("**/api/labels", lambda route: route.abort())
    press(page, "8", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/api/labels")
    page.reload()
    at_face(page, 3)
    page.evaluate(FULL)
    page.route("**/api/labels", lambda route: route.abort(), times=1)
    press(page, "1", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Do not close it")
    network_is_back(page)
    at_face(page, 4)
    assert votes(page) == [{"anger": 10}, {"fear": 10}, {"contempt": 10}, {"neutral": 10}]


def test_what_is_asked_twice_happens_once(site, visit):
    page = visit(site(), DESKTOP)
    lose_answer(page, "/api/join", times=3)
    agree(page)
    expect(page.locator("#notice")).to_contain_text("does not answer")
    page.reload()
    page.unroute("**/api/join")
    join(page)  # the name is still theirs
    for done, key in ((1, "1"), (2, "2")):
        press(page, key, "Enter")
        at_face(page, done)
    lose_answer(page, "/api/undo")
    press(page, "z")
    network_is_back(page)
    at_face(page, 1)
    expect(page.get_by_text("Taken back: happiness 10.")).to_be_visible()
    assert votes(page) == [{"neutral": 10}]
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Delete my data").click()
    lose_answer(page, "/api/me")
    page.get_by_role("button", name="Delete everything").click()
    network_is_back(page)
    expect(page.get_by_text("Your data are deleted.")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage)") == []


def test_no_vote_without_a_picture(site, visit):
    page = visit(site(), DESKTOP)
    page.route("**/api/faces/**", lambda route: route.fulfill(status=404, json={"detail": "It is gone."}))
    join(page)
    expect(page.get_by_role("alert")).to_contain_text("cannot be shown")
    press(page, "4", "Enter", "n")
    expect(page.get_by_text("Without its picture")).to_be_visible()
    page.unroute("**/api/faces/**")
    page.evaluate(BREAKS_OFF_ONCE)
    press(page, "s")
    network_is_back(page)
    at_face(page, 0)
    expect(page.locator("#notice")).to_be_hidden()
    press(page, "4", "Enter")
    at_face(page, 1)
    assert votes(page) == [{"sadness": 10}]


def test_thanks_export_and_deletion(site, visit, tmp_path):
    page = visit(site(n_faces=2), PHONE)
    join(page)
    for done in (1, 2):
        choice(page, "neutral").tap()
        if done == 1:
            page.get_by_role("button", name="All ten on neutral, save").tap()
            at_face(page, 1)
    page.get_by_role("button", name="All ten on neutral, save").tap()
    expect(page.get_by_role("heading", name="Thank you, Ada")).to_be_visible()
    expect(page.get_by_text("You have labelled every face there was for you.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download my data").tap()
    assert download.value.suggested_filename == "labels-Ada.json"
    download.value.save_as(tmp_path / "mine.json")
    mine = json.loads((tmp_path / "mine.json").read_text())
    assert (mine["name"], len(mine["labels"])) == ("Ada", 2)
    page.get_by_role("button", name="Change my last label").tap()
    at_face(page, 1)
    page.get_by_role("button", name="Save").tap()
    page.get_by_role("button", name="Delete my data").tap()
    page.get_by_role("button", name="Keep it").tap()
    assert len(stored(page)) == 2
    page.get_by_role("button", name="Delete my data").tap()
    reader = sqlite3.connect(tmp_path / "labels.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT name FROM label_annotators")  # somebody makes a copy of the database, which takes long
    page.get_by_role("button", name="Delete everything").tap()
    expect(page.get_by_text("Your data are deleted. Traces on the server's disk")).to_be_visible()
    reader.close()
    assert page.evaluate("Object.keys(localStorage)") == []
    page.reload()
    join(page)  # the name is free, the faces are there again
    assert stored(page) == []
    page.evaluate("for (const k in localStorage) if (k.endsWith('/token')) localStorage[k] = '\"old\"'")
    page.reload()
    expect(page.locator("#notice")).to_contain_text("does not know this browser's key")
    expect(page.get_by_role("button", name="Start labelling")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (844, 390)])
def test_ten_votes_fit_a_small_window(site, visit, width, height):
    page = visit(site(), {"viewport": {"width": width, "height": height}})
    join(page)
    for name in CLASSES:
        choice(page, name).click()
    assert (overflow(page), broken_names(page)) == (0, [])
    assert in_sight(page, ".choice")


def test_the_question_asked_next_is_in_sight(site, visit):
    page = visit(site(votes_per_face=1, intensity=True, attributes=(GENDER, AGE)), SMALL_PHONE)
    join(page)
    choice(page, "fear").tap()
    for group, option in (("strength of fear", "2"), ("Perceived gender", "man"), ("Perceived age", "child")):
        assert in_sight(page, ".question.active")
        at = page.evaluate("scrollY")
        page.get_by_role("group", name=group).get_by_role("button", name=option, exact=True).tap()
    assert page.evaluate("scrollY") == at  # with all said, nothing moves
    page.get_by_role("button", name="Save").tap()
    at_face(page, 1)


def test_text_can_be_read_and_buttons_can_be_hit(site, visit):
    page = visit(site(intensity=True, attributes=(GENDER, AGE)), SMALL_PHONE)

    def check() -> None:
        assert overflow(page) == 0
        for box in page.evaluate(
            "[...document.querySelectorAll('button')].filter((b) => b.checkVisibility())"
            ".map((b) => [b.textContent, b.offsetWidth, b.offsetHeight])"
        ):
            assert min(box[1:]) >= 44, box
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            least, text = page.evaluate(CONTRAST)
            assert least >= 4.5, (scheme, text)

    check()
    join(page, "Ada" * 26)
    check()
    press(page, "2", "Enter", "3")
    check()
    page.get_by_role("button", name="Pause").tap()
    page.get_by_role("heading", name="Thank you, Ada").wait_for()
    check()
