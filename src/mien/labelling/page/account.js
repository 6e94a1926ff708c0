/** Before and after labelling: joining, coming back, thanks, the annotator's own data. */

import { attempt, deliver, patiently, server, session } from "./session.js";
import { byId, plural } from "./view.js";
import { clearNotice, download, makeKey, notify, showScreen, sure, tell } from "./screen.js";
import { forgetFace, lastFace, progressNow, showNext } from "./voting.js";
import { Refused } from "./server.js";

export const CHANGED = "#changed"; // in the address after the page was loaded again

/** Nothing of one annotator stays on the page for the next. */
function clearPage() {
  for (const form of document.querySelectorAll("#start form")) form.reset();
  for (const personal of document.querySelectorAll(".personal, .problem")) personal.textContent = "";
  forgetFace();
}

export function showStart(problem = "") {
  server.token = null;
  clearPage();
  showScreen("start");
  if (problem) notify(problem);
}

function signIn(token, name) {
  const { memory } = session;
  if (memory.get("token") !== token) memory.forget();
  memory.set("token", token);
  memory.set("name", name);
  memory.set("joining", null);
  server.token = token;
  byId("who").textContent = `Signed in as ${name}`;
}

function loadAgain() {
  location.hash = CHANGED;
  location.reload();
  return new Promise(() => {}); // nothing else happens in this page
}

/** People must have read what they agree to: where the task has changed since, show it anew. */
async function checkTask() {
  const { id, consent_version } = await patiently(() => server.ask("GET", "/api/task"));
  if (id !== session.task.id || consent_version !== session.task.consent_version) await loadAgain();
}

/** The key is drawn and kept here: who joins again because the answer was lost comes with the same one. */
async function join() {
  const { memory, task } = session;
  const asked = byId("name").value.trim();
  const before = memory.get("joining");
  const token = before?.name === asked ? before.token : makeKey();
  memory.set("joining", { name: asked, token });
  const body = {
    name: asked,
    consent: byId("consent").checked,
    invite: byId("invite").value.trim() || null,
    token,
    task: task.id,
    consent_version: task.consent_version,
  };
  const { name } = await patiently(() => server.ask("POST", "/api/join", body));
  signIn(token, name);
  byId("welcome").querySelector("h1").textContent = `Welcome, ${name}`;
  byId("welcome").querySelector("code").textContent = token;
  showScreen("welcome");
}

export async function resume(token) {
  server.token = token;
  const { name } = await patiently(() => server.ask("POST", "/api/resume"));
  signIn(token, name);
  await deliver();
  await showNext();
}

/** A form whose refusals are said beside its button. */
function onSubmit(form, action) {
  const problem = form.querySelector(".problem");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      problem.textContent = "";
      clearNotice();
      try {
        await checkTask();
        await action();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (error.reload) await loadAgain();
        problem.textContent = error.message;
        problem.scrollIntoView({ block: "center" });
        server.token = null;
      }
    });
  });
}

/** Thanks, at the end or in between. */
export async function showRest(progress, paused = false) {
  const { done, total } = progress;
  const all = done >= total;
  const me = await patiently(() => server.ask("GET", "/api/me"));
  byId("rest").querySelector("h1").textContent = `Thank you, ${me.name}`;
  byId("thanks").textContent = all
    ? "You have labelled every face there was for you."
    : paused
      ? `${done} of ${total} faces are done. Stop as long as you like; this browser remembers where you are.`
      : `${done} of ${total} faces are done. Others are at work on the rest; look again in some minutes.`;
  byId("given").textContent = `You gave ${plural(me.labels, "label")}.`;
  byId("go-on").textContent = !paused ? "Look for more faces" : "Go on labelling";
  byId("back").hidden = me.labels === 0;
  tell("");
  showScreen("rest");
}

async function exportMine() {
  const mine = await patiently(() => server.file("/api/me/export"));
  download(mine, `labels-${session.memory.get("name")}.json`);
}

async function deleteMine() {
  const words = "Your name and every label you gave are deleted from the server. This cannot be undone.";
  if (!(await sure("Delete all your data?", words, "Delete everything"))) return;
  let asked = 0;
  let left;
  try {
    ({ left } = await patiently(() => {
      asked += 1;
      return server.ask("DELETE", "/api/me");
    }));
  } catch (error) {
    // Asked again because the answer was lost: the key is unknown because all is deleted.
    if (!(error instanceof Refused && error.status === 401 && asked > 1)) throw error;
  }
  session.memory.forget();
  showStart();
  notify(`Your data are deleted. ${left ?? "Nothing of yours is kept here any more."}`, "done");
}

async function leave() {
  const words = "To come back you need your key:";
  if (!(await sure("Sign out of this browser?", words, "Sign out", session.memory.get("token")))) return;
  session.memory.forget();
  showStart();
}

/** Before the first face Enter goes on wherever the focus is, as it does in a field. */
function onEnter(event) {
  if (event.key !== "Enter" || event.repeat || event.target.closest("input, button, summary")) return;
  if (!byId("welcome").hidden) byId("begin").click();
  else if (!byId("start").hidden && byId("join").matches(":valid")) byId("join").requestSubmit();
}

export function connectAccount() {
  const onClick = (id, does) => byId(id).addEventListener("click", () => attempt(does));
  onSubmit(byId("join"), join);
  onSubmit(byId("resume"), () => resume(byId("key").value.trim()));
  onClick("begin", showNext);
  onClick("go-on", showNext);
  onClick("back", lastFace);
  onClick("pause", () => showRest(progressNow(), true));
  onClick("export", exportMine);
  onClick("delete", deleteMine);
  onClick("leave", leave);
  document.addEventListener("keydown", onEnter);
}
