/** The plain parts of the page: screens, notices, announcements, dialogs, waiting. */

import { byId } from "./view.js";

/** Show one of the screens and bring the reader to its heading. */
export function showScreen(id) {
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== id;
  if (id === "label") return;
  byId(id).querySelector("h1").focus();
  scrollTo(0, 0);
}

/** @param kind `away` offers to try now; `done` is good news. */
export function notify(words, kind = "problem") {
  const notice = byId("notice");
  if (notice.hidden || notice.firstChild.textContent !== words) notice.firstChild.textContent = words;
  notice.dataset.kind = kind;
  byId("retry").hidden = kind !== "away";
  notice.hidden = false;
}

export function clearNotice(kind = null) {
  if (kind === null || byId("notice").dataset.kind === kind) byId("notice").hidden = true;
}

/** For those who hear the page. */
export function say(words) {
  byId("said").textContent = words;
}

/** One quiet line beside the buttons: what was saved, what is missing. */
export function tell(words) {
  byId("saved").textContent = words;
}

/** Wait, but no longer than until the network is back or somebody asks to try now. */
export function pause(milliseconds) {
  return new Promise((resolve) => {
    const done = new AbortController();
    const go = () => {
      done.abort();
      resolve();
    };
    setTimeout(go, milliseconds);
    addEventListener("online", go, { signal: done.signal });
    byId("retry").addEventListener("click", go, { signal: done.signal });
  });
}

/** A question that needs a second thought; `key` can be copied from it. */
export function sure(title, words, yes, key = "") {
  const dialog = byId("sure");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = words;
  dialog.querySelector("code").textContent = key;
  dialog.querySelector(".key").hidden = !key;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A key for an annotator: 32 random bytes in base64url. */
export function makeKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A random UUID, also where the page does not come over https. */
export function makeId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Seconds spent on a face, without the time in which the page was out of sight. */
export class Stopwatch {
  constructor() {
    this.start();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.spent += performance.now() - this.since;
      this.since = performance.now();
    });
  }

  start() {
    this.spent = 0;
    this.since = performance.now();
  }

  get seconds() {
    const running = document.hidden ? 0 : performance.now() - this.since;
    return Math.round(this.spent + running) / 1000;
  }
}

/** The keys belong to the face again, not to a button. */
export function toFace() {
  byId("question").focus({ preventScroll: true });
}

/** Without https a page may have no clipboard; the key is then selected. */
async function copyKey({ currentTarget: button }) {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

/** What needs no task: the focus and pointers, the copy buttons. */
export function setUp() {
  // Only Tab brings the focus to a button of the face: a press leaves it where it is, and a mouse brings it back.
  // A screen reader's clicks and taps do not move it: the reader would follow.
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("#label button")) event.preventDefault();
  });
  const clicked = (event) => {
    if (event.pointerType === "mouse" && event.detail > 0 && event.target.closest("#label button")) toFace();
  };
  document.addEventListener("click", clicked, true); // also the click that a hold swallows
  for (const copy of document.querySelectorAll(".copy")) copy.addEventListener("click", copyKey);
}
