/** Draws the labelling screen. All text goes in as text, never as markup. */

import { shown, STRENGTHS, UNKNOWN } from "./answer.js";

export const byId = (id) => document.getElementById(id);

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const HOLD_MS = 500;

/** Call `held` when a pointer stays down on a button; the click that follows is swallowed. */
function onHold(button, held) {
  let timer = null;
  let swallow = false;
  const stop = () => clearTimeout(timer);
  button.addEventListener("pointerdown", (event) => {
    swallow = false;
    if (event.button !== 0) return;
    timer = setTimeout(() => {
      swallow = true;
      held();
    }, HOLD_MS);
  });
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(name, stop);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener(
    "click",
    (event) => {
      if (swallow && event.detail > 0) event.stopImmediatePropagation();
      swallow = false;
    },
    true,
  );
}

export function plural(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

/** The digit that votes for choice i: 1 to 9, then 0. Further choices have none. */
export function digitOf(i) {
  return i < 10 ? String((i + 1) % 10) : "";
}

export class View {
  /** @param act What the buttons do: give, giveRest, take, choose. */
  constructor(task, act) {
    this.task = task;
    this.act = act;
    this.rows = new Map(); // question key -> {row, buttons}
    this.choices = new Map(); // choice -> {button, dots, count}
    byId("hint").textContent =
      task.votes_per_face > 1
        ? "Spread ten votes over what you see; all ten on one is fine."
        : "Choose the one that fits best.";
    byId("left").hidden = task.votes_per_face === 1;
    byId("label").classList.toggle("single", task.votes_per_face === 1);
    byId("label").classList.toggle("long", task.intensity || task.attributes.length > 0);
    const choices = [...task.classes, UNKNOWN];
    byId("classes").replaceChildren(...choices.map((choice, i) => this.makeChoice(choice, i)));
  }

  /** One vote and nothing else is asked: a choice is the whole answer. */
  get savesAtOnce() {
    return this.task.votes_per_face === 1 && !this.task.intensity && !this.task.attributes.length;
  }

  /** Bring a question into sight; null: the votes. */
  reveal(key) {
    const row = key === null ? byId("question") : this.rows.get(key)?.row;
    row?.scrollIntoView({ block: "nearest" });
  }

  makeChoice(choice, i) {
    const name = element("span", "name", shown(choice));
    const hint = choice === UNKNOWN ? "U" : digitOf(i);
    const dots = element("span", "dots");
    const count = element("span", "count");
    const key = hint ? [element("kbd", "", hint)] : [];
    const tally = this.task.votes_per_face > 1 ? [count, dots] : [];
    const button = element("button", "choice", name, ...key, ...tally);
    button.type = "button";
    if (this.task.votes_per_face > 1) onHold(button, () => this.act.giveRest(choice));
    button.addEventListener("click", (event) => (event.shiftKey ? this.act.take(choice) : this.act.give(choice)));
    this.choices.set(choice, { button, dots, count });
    return button;
  }

  /** Show the answer so far; `active` is the key of the question that takes the digits, null for the votes; `warned`: answers are missing and the annotator knows. */
  draw(answer, active, warned) {
    for (const [choice, parts] of this.choices) this.drawChoice(choice, parts, answer.votes(choice));
    byId("left").textContent = answer.left ? `${answer.left} left` : "all given";
    const { questions } = answer;
    byId("classes").classList.toggle("active", active === null);
    this.drawQuestions("strengths", questions.filter(({ options }) => options === STRENGTHS), active);
    this.drawQuestions("attributes", questions.filter(({ options }) => options !== STRENGTHS), active);
    byId("undo").firstChild.data = answer.steps.length ? "Undo" : "Back";
    this.drawSave(answer, warned);
  }

  drawChoice(choice, { button, dots, count }, n) {
    const many = this.task.votes_per_face > 1;
    button.setAttribute("aria-label", many ? `${shown(choice)}, ${plural(n, "vote")}` : shown(choice));
    button.setAttribute("aria-pressed", String(n > 0));
    if (!many) return;
    while (dots.childElementCount > n) dots.lastChild.remove();
    while (dots.childElementCount < n) dots.append(element("i"));
    count.textContent = n || "";
  }

  drawQuestions(id, questions, active) {
    const rows = questions.map((question) => this.drawQuestion(question, question.key === active));
    const list = byId(id).querySelector(".questions");
    if (rows.length !== list.children.length || rows.some((row, i) => row !== list.children[i])) {
      list.replaceChildren(...rows);
    }
    byId(id).hidden = rows.length === 0;
  }

  drawQuestion({ key, options, value, digit }, active) {
    if (!this.rows.has(key)) this.rows.set(key, this.makeQuestion(key, options, digit));
    const { row, buttons } = this.rows.get(key);
    row.classList.toggle("active", active);
    row.classList.toggle("answered", value !== undefined);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i] === value)));
    return row;
  }

  makeQuestion(key, options, digit) {
    const buttons = options.map((option) => {
      const word = shown(option);
      const hint = word !== digit(option) && digit(option).length === 1 ? [element("kbd", "", digit(option))] : [];
      const button = element("button", "option", word, ...hint);
      button.type = "button";
      button.setAttribute("aria-label", word);
      button.addEventListener("click", () => this.act.choose(key, option));
      return button;
    });
    const title = element("span", "title", key.replace(/^strength of /, ""));
    const row = element("div", "question", title, element("div", "options", ...buttons));
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", key);
    return { row, buttons };
  }

  drawSave(answer, warned) {
    const { due, left, open } = answer;
    const last = shown(answer.state.last ?? "");
    const words = {
      choose: this.task.votes_per_face > 1 ? "Give your ten votes" : "Choose an expression",
      finish: `All ten on ${last}, save`,
      rest: answer.chosen.length === 1 ? `All ten on ${last}` : `The other ${left} to ${last}`,
      open: warned ? `Save without ${plural(open.length, "answer")}` : "Save",
      save: "Save",
    };
    const button = byId("save");
    button.firstChild.textContent = words[due];
    button.setAttribute("aria-disabled", String(due === "choose"));
    button.classList.toggle("unready", due === "choose" || due === "open");
    button.hidden = this.savesAtOnce;
  }
}
