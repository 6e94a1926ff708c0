/** The server asked with patience, one action at a time; what waits to be sent. */

import { Away, Refused, Server } from "./server.js";
import { byId } from "./view.js";
import { clearNotice, notify, pause } from "./screen.js";

export const server = new Server();

/** Set once, at the start: the task, what the browser keeps, and where to go when signed out or out of faces. */
export const session = { task: null, memory: null, busy: false, signedOut: null, outOfFaces: null };

function awayWords() {
  const n = session.memory?.unsent.length ?? 0;
  if (!n) return "The server does not answer. This page tries again by itself.";
  const kept = n === 1 ? "Your last label is" : `${n} labels are`;
  const advice = session.memory.lasts
    ? "kept in this browser and will be sent when it is back. You may wait, or close the page and return later."
    : "kept in this page only and will be sent when it is back. Do not close it: this browser stores nothing for it.";
  return `The server does not answer. ${kept} ${advice}`;
}

/** Ask until the server answers; say meanwhile that it does not. Refusals are thrown. */
export async function patiently(ask) {
  for (let wait = 1000; ; wait = Math.min(2 * wait, 15000)) {
    try {
      const answer = await ask();
      clearNotice("away");
      return answer;
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      notify(error.message || awayWords(), "away");
      await pause(wait);
    }
  }
}

/** Run one action at a time; say in words what went wrong with it. */
export async function attempt(action) {
  if (session.busy) return;
  session.busy = true;
  byId("label").setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      session.signedOut("The server does not know this browser's key (any more). Sign in again, or join anew.");
    } else if (error instanceof Refused) notify(error.message);
    else {
      notify(`Something went wrong in this page (${error.message}). Load it again; your saved labels are safe.`);
      throw error;
    }
  } finally {
    session.busy = false;
    byId("label").removeAttribute("aria-busy");
  }
}

/** Send every label this browser still keeps, oldest first; one that is refused is dropped, and that is said. */
export async function deliver() {
  const { memory } = session;
  let taken = true;
  for (let [label] = memory.unsent; label; [label] = memory.unsent) {
    try {
      await patiently(() => server.ask("POST", "/api/labels", label));
      memory.taken(label.submission_id);
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401) throw error;
      notify(`One label was not taken: ${error.message}`);
      taken = false;
    }
    memory.sent(label);
  }
  return taken;
}
