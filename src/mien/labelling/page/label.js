/** The start of the page: the task's words, the buttons and keys, and an annotator who was here before. */

import { attempt, patiently, server, session } from "./session.js";
import { byId, element, plural, View } from "./view.js";
import { CHANGED, connectAccount, resume, showRest, showStart } from "./account.js";
import { keyTable, listen } from "./keys.js";
import { Memory } from "./memory.js";
import { setUp } from "./screen.js";
import * as voting from "./voting.js";

function fillTexts(task, savesAtOnce) {
  document.title = task.title;
  byId("start").querySelector("h1").textContent = task.title;
  byId("purpose").textContent = task.purpose;
  byId("size").textContent = `${plural(task.n_faces, "face")} in all. Do as many as you like.`;
  byId("care").textContent = task.notice;
  byId("consent").nextElementSibling.textContent = task.consent;
  byId("invite-field").hidden = !task.needs_invite;
  byId("invite").required = task.needs_invite;
  const ten = task.votes_per_face > 1;
  const lines = [
    ten ? "Look at the face. Each tap on an expression gives it one of ten votes." : "Look at the face and choose the expression that fits best.",
    ...(ten ? ["Sure of one? Tap it once and press the large button, or hold it down: it gets all that are left."] : []),
    "Your first impression counts. “Can't tell” is a good answer too.",
    ten
      ? "A vote too many? Undo takes back vote after vote. With none left to take, it brings the last face back; once more, and that face's votes are cleared."
      : "Undo takes your last step back; once more, and the last face comes back.",
    "Each face is saved as you go. Close the page whenever you like.",
  ];
  for (const list of document.querySelectorAll(".how")) list.replaceChildren(...lines.map((line) => element("li", "", line)));
  const keys = `With keys: digits vote${savesAtOnce ? " and save" : ", Enter saves"}, Z is Undo, ? is Help.`;
  document.querySelector("#welcome .how").append(element("li", "keys", keys));
  document.querySelector("#how tbody").replaceChildren(...keyTable(task));
}

function connectVoting() {
  const help = () => byId("how").showModal();
  const buttons = { undo: voting.undo, skip: voting.skip, "no-face": voting.noFace, save: voting.save, help };
  for (const [id, does] of Object.entries(buttons)) byId(id).addEventListener("click", () => does());
  const single = byId("single-keys");
  single.checked = session.memory.get("single-keys") ?? true;
  single.addEventListener("change", () => session.memory.set("single-keys", single.checked));
  listen({ ...voting, help });
}

async function begin() {
  setUp();
  const task = await patiently(() => server.ask("GET", "/api/task"));
  const memory = new Memory(task.id);
  Object.assign(session, { task, memory, signedOut: showStart, outOfFaces: showRest });
  const view = new View(task, voting);
  voting.showOn(view);
  fillTexts(task, view.savesAtOnce);
  connectAccount();
  connectVoting();
  const changed = location.hash === CHANGED;
  if (changed) history.replaceState(null, "", location.pathname);
  const token = memory.get("token");
  if (token) await resume(token);
  else showStart(changed ? "What is asked here has changed. Please read it again." : "");
}

attempt(begin);
