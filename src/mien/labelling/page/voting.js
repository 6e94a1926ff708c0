/** One face after the other: the answer, what keys and buttons do to it, and where it goes. */

import { Answer, shown, UNKNOWN } from "./answer.js";
import { attempt, deliver, patiently, server, session } from "./session.js";
import { byId, digitOf, plural } from "./view.js";
import { clearNotice, makeId, notify, say, showScreen, Stopwatch, tell } from "./screen.js";
import { Refused } from "./server.js";

const stopwatch = new Stopwatch();
let view = null;
let now = null; // {face, progress, answer, marked, warned, blind}: the face at hand; blind: without its picture

export function showOn(itsView) {
  view = itsView;
}

export async function showNext() {
  const next = await patiently(() => server.ask("GET", "/api/next"));
  if (!next.face) return session.outOfFaces(next.progress);
  return present(next.face, next.progress, next.next_image);
}

async function present(face, progress, nextImage, answer = null) {
  const draft = session.memory.get("draft");
  if (!answer && draft?.sample_id === face.sample_id) answer = Answer.from(session.task, draft);
  now = { face, progress, answer: answer ?? new Answer(session.task), marked: undefined, warned: false, blind: false };
  await showPicture(face);
  server.keepPictures([face.image, nextImage]);
  if (nextImage) server.picture(nextImage).catch(() => {});
  const { done, total } = progress;
  byId("count").textContent = `${done} of ${total} done`;
  Object.assign(byId("progress"), { max: Math.max(total, 1), value: done });
  showSuggestion(face.suggestion);
  showScreen("label");
  byId("question").focus({ preventScroll: true });
  scrollTo(0, 0);
  draw();
  stopwatch.start();
}

async function showPicture(face) {
  const image = byId("face");
  clearNotice("picture");
  try {
    image.src = await patiently(() => server.picture(face.image));
    await image.decode();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) throw error;
    image.removeAttribute("src");
    now.blind = true;
    notify("The picture of this face cannot be shown. Skip it, or load the page again.", "picture");
  }
  byId("asked").inert = now.blind;
}

export function forgetFace() {
  now = null;
  server.keepPictures([]);
  byId("face").removeAttribute("src");
  tell("");
  say("");
}

function showSuggestion(suggestion) {
  byId("suggestion").hidden = !suggestion;
  if (!suggestion) return;
  const sure = Number.isFinite(suggestion.confidence) ? `, ${Math.round(100 * suggestion.confidence)} % sure` : "";
  byId("suggestion").textContent = `A model's guess: ${shown(suggestion.label)}${sure}`;
}

/** The key of the question that takes the digits; null: the votes. */
function active() {
  const { answer, marked } = now;
  const keys = answer.questions.map(({ key }) => key);
  if (marked === null || keys.includes(marked)) return marked;
  return answer.left > 0 ? null : (answer.open[0]?.key ?? null);
}

function draw() {
  const { face, answer } = now;
  view.draw(answer, active(), now.warned);
  session.memory.set("draft", { sample_id: face.sample_id, ...answer.body, last: answer.state.last });
}

/** Is there nothing to be said now: something is under way, or there is no picture to say it of? */
function blocked() {
  if (now.blind && !session.busy) tell("Without its picture nothing can be said of a face. Skip it.");
  return session.busy || now.blind;
}

/** Change the answer, draw it, announce it. */
function change(step, words) {
  if (blocked()) return;
  if (step(now.answer) === false) return tell(now.answer.left ? "There is no vote to take." : "All votes are given; Undo takes them back.");
  now.marked = undefined;
  now.warned = false;
  tell(""); // what was said of the answer before
  draw();
  if (now.answer.due !== "save") view.reveal(active());
  say(words ?? `${now.answer.words || "No votes"}. ${plural(now.answer.left, "vote")} left.`);
}

export function give(choice) {
  change((answer) => answer.give(choice));
  if (view.savesAtOnce) save();
}

export function take(choice) {
  change((answer) => answer.take(choice));
}

export function giveRest(choice) {
  change((answer) => answer.giveRest(choice));
}

export function choose(key, option) {
  const question = now.answer.questions.find((asked) => asked.key === key);
  change(() => question.choose(option), `${key}: ${shown(option)}`);
}

export function digit(d, shift) {
  const key = active();
  if (key !== null && !shift) {
    const question = now.answer.questions.find((asked) => asked.key === key);
    const option = question.options.find((each) => question.digit(each) === d);
    if (option !== undefined) choose(key, option);
    return;
  }
  const choice = session.task.classes.find((_, i) => digitOf(i) === d);
  if (choice) (shift ? take : give)(choice);
}

export function move(by) {
  if (session.busy) return false;
  const keys = [null, ...now.answer.questions.map(({ key }) => key)];
  if (keys.length === 1) return false; // nothing to mark: the arrows scroll
  const at = keys.indexOf(active()) + by;
  now.marked = keys[Math.max(0, Math.min(at, keys.length - 1))];
  draw();
  view.reveal(now.marked);
  say(now.marked ?? "Expression");
  return true;
}

/** The large button, Enter and Space: whatever is due. */
export function save() {
  if (blocked()) return;
  const { answer } = now;
  const { due } = answer;
  if (due === "choose") return tell("Choose an expression first.");
  if (due === "rest" || due === "finish") giveRest(answer.state.last);
  if (due === "open" && !now.warned) {
    now.warned = true;
    draw();
    tell(`Not answered: ${answer.open.map(({ key }) => key).join(", ")}. Answer, or press again to save without.`);
    view.reveal(active());
  } else if (due !== "rest") submit(answer.body, answer.words);
}

export function noFace() {
  if (blocked()) return;
  submit({ ...new Answer(session.task).body, not_a_face: true }, "not a face");
}

function submit(body, words) {
  return attempt(async () => {
    const label = { submission_id: makeId(), sample_id: now.face.sample_id, ...body, seconds: stopwatch.seconds };
    session.memory.keep(label);
    session.memory.set("draft", null);
    clearNotice();
    tell("");
    tell((await deliver()) ? `Saved: ${words}.` : "");
    await showNext();
  });
}

export function skip() {
  return attempt(async () => {
    session.memory.set("draft", null);
    clearNotice();
    await patiently(() => server.ask("POST", "/api/skip", { sample_id: now.face.sample_id }));
    tell("Skipped. It comes back at the end.");
    await showNext();
  });
}

export function undo() {
  if (session.busy) return;
  if (now.answer.steps.length && !now.blind) change((answer) => answer.back());
  else attempt(lastFace);
}

/** Which label is taken back when Undo is pressed: by its id, asking twice takes back one. */
async function lastGiven() {
  const here = session.memory.given.at(-1);
  if (here) return here;
  const { labels } = await patiently(() => server.ask("GET", "/api/me/export")); // given in another browser
  return labels.filter(({ state }) => state === "current").at(-1)?.submission_id;
}

export async function lastFace() {
  const { memory, task } = session;
  const id = await lastGiven();
  if (!id) return tell("There is nothing to take back.");
  try {
    const { face, label, progress } = await patiently(() => server.ask("POST", "/api/undo", { submission_id: id }));
    memory.takenBack(id);
    memory.set("draft", null);
    await present(face, progress, null, Answer.from(task, label));
    const again = task.votes_per_face > 1 ? "Save it again, or press Undo to clear it." : "Choose again.";
    tell(label.not_a_face ? "Taken back: not a face." : `Taken back: ${now.answer.words}. ${again}`);
  } catch (error) {
    if (error instanceof Refused && error.status !== 401) memory.takenBack(id);
    throw error;
  }
}

export function unknown() {
  give(UNKNOWN);
}

/** How far the annotator was when this face came up. */
export function progressNow() {
  return now.progress;
}
