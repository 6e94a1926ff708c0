/** Before and after labelling: joining, coming back, thanks, the annotator's own data. */

import { attempt, deliver, patiently, server, session } from "./session.js";
import { byId, plural } from "./view.js";
import { clearNotice, download, notify, showScreen, sure } from "./screen.js";
import { lastFace, progressNow, showNext } from "./voting.js";
import { Refused } from "./server.js";

export function showStart(problem = "") {
  server.token = null;
  showScreen("start");
  if (problem) notify(problem);
}

function signIn(token, name) {
  const { memory } = session;
  if (memory.get("token") !== token) memory.forget();
  memory.set("token", token);
  memory.set("name", name);
  server.token = token;
}

async function join() {
  const body = { name: byId("name").value.trim(), consent: byId("consent").checked, invite: byId("invite").value.trim() || null };
  const { token, name } = await server.ask("POST", "/api/join", body);
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
        await action();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        problem.textContent = error.message;
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
  showScreen("rest");
}

async function exportMine() {
  const response = await server.fetch("/api/me/export");
  download(await response.blob(), `labels-${session.memory.get("name")}.json`);
}

async function deleteMine() {
  const words = "Your name and every label you gave are deleted from the server. This cannot be undone.";
  if (!(await sure("Delete all your data?", words, "Delete everything"))) return;
  await server.ask("DELETE", "/api/me");
  session.memory.forget();
  showStart();
  notify("Your data are deleted. Nothing of yours is kept here any more.", "done");
}

async function leave() {
  const words = `To come back you need your key: ${session.memory.get("token")}`;
  if (!(await sure("Sign out of this browser?", words, "Sign out"))) return;
  session.memory.forget();
  showStart();
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
}
