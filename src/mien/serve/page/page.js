/** The page: its tabs, its worker, and what all of them share. */

import { startAudit } from "./audit.js";
import { startCamera } from "./camera.js";
import { startPictures } from "./pictures.js";
import { byId, element } from "./view.js";

const TABS = ["pictures", "camera", "audit", "about"];
const KEY = "mien-token";

/** What the tabs share: the card of the model, the token, and whoever looks at pictures. */
const shared = {
  card: null,
  token: "",
  looker: null,
  /** {least, risk}: the confidence under which to abstain. */
  bound() {
    const chosen = byId("risk").value;
    if (chosen === "") return { least: 0, risk: null };
    if (chosen === "server") return { least: shared.card.least, risk: shared.card.risk };
    return { least: shared.card.thresholds[chosen], risk: chosen };
  },
  onBound: [],
  onTab: [],
};

function notify(message) {
  byId("notice").textContent = message;
  byId("notice").hidden = !message;
}

function showTab(name, focus = false) {
  for (const one of TABS) {
    const chosen = one === name;
    byId(one).hidden = !chosen;
    const tab = byId(`tab-${one}`);
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
  }
  const choose = byId("choose");
  const place = byId(name === "camera" ? "pace" : "drop");
  if (name === "pictures" || name === "camera") place.after(choose);
  history.replaceState(null, "", `#${name}`);
  shared.onTab.forEach((shown) => shown(name));
}

function startTabs() {
  TABS.forEach((name, i) => {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => showTab(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? TABS.length - 1 : i + step;
      if (!Number.isInteger(to)) return;
      event.preventDefault();
      showTab(TABS[(to + TABS.length) % TABS.length], true);
    });
  });
  const asked = location.hash.slice(1);
  const token = /^token=(.+)$/.exec(asked);
  shared.token = token ? decoded(token[1]) : (sessionStorage.getItem(KEY) ?? "");
  showTab(TABS.includes(asked) ? asked : TABS[0]);
}

/** A part of an address as text; one that is no such part as it is. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** One worker, asked by number. */
class Looker {
  constructor() {
    this.worker = new Worker("looker.js", { type: "module" });
    this.asked = new Map();
    this.next = 1;
    this.worker.addEventListener("message", ({ data }) => {
      if (data.id === undefined) this.began?.(data);
      const asked = this.asked.get(data.id);
      if (!asked) return;
      this.asked.delete(data.id);
      if (data.kind === "seen") asked.resolve(data);
      else asked.reject(new Error(data.message));
    });
    this.worker.addEventListener("error", (event) => this.broke(event.message || "the worker cannot be started"));
    this.worker.addEventListener("messageerror", () => this.broke("the worker's answer cannot be read"));
  }

  /** Nobody waits for a worker that is gone. */
  broke(message) {
    this.began?.({ kind: "failed", message });
    for (const { reject } of this.asked.values()) reject(new Error(message));
    this.asked.clear();
  }

  start(token) {
    return new Promise((resolve) => {
      this.began = resolve;
      this.worker.postMessage({ kind: "start", token });
    });
  }

  /** @returns {rows, width, height, ms} of a bitmap, which is used up. */
  look(bitmap, name, options = {}) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject });
      this.worker.postMessage({ kind: "look", id, name, bitmap, options }, [bitmap]);
    });
  }
}

function tellFacts(card, threads) {
  const { about } = card;
  const facts = [
    ["Model", card.name],
    ["SHA-256", card.sha256],
    ["Expressions", card.classes.join(", ")],
    ["Its confidence was counted on", about.counted_on || "no faces: how sure it is, is its own word"],
    ["Faces found by", foundBy(about, threads)],
    ["Runs", threads ? `in this browser, on ${threads} ${threads === 1 ? "thread" : "threads"}` : "on the server alone"],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
}

function foundBy({ detector, server_detector: other }, threads) {
  if (!threads) return other;
  return other && other !== "mtcnn" ? `${detector} here; POST /v1/predict uses ${other}` : detector;
}

function offerRisks(card) {
  const options = [element("option", "", "any share")];
  options[0].value = "";
  if (card.risk !== null) {
    options.push(element("option", "", `${Number((100 * card.risk).toFixed(2))} % (the server's)`));
    options.at(-1).value = "server";
    options.at(-1).selected = true;
  }
  for (const risk of Object.keys(card.thresholds)) {
    options.push(element("option", "", `${Math.round(100 * Number(risk))} %`));
    options.at(-1).value = risk;
  }
  byId("risk").replaceChildren(...options);
  byId("choose").hidden = options.length < 2;
  byId("risk").addEventListener("change", () => shared.onBound.forEach((changed) => changed()));
}

async function begin() {
  const state = byId("state");
  state.hidden = false;
  const answer = await shared.looker.start(shared.token);
  state.hidden = true;
  byId("token-form").hidden = true;
  const refused = answer.kind === "refused" && answer.status === 401;
  if (refused || (answer.kind === "failed" && shared.token)) {
    sessionStorage.removeItem(KEY);
    byId("token-form").hidden = false;
    if (shared.token) notify(refused ? "This token is not the server's." : `The server cannot be asked: ${answer.message}.`);
    return;
  }
  if (shared.token) sessionStorage.setItem(KEY, shared.token); // it was accepted
  if (answer.kind === "unfit") {
    notify(`The server's model does not run in a browser. ${answer.card.why_not} Tables can be audited all the same.`);
    tellFacts(answer.card, 0);
    return;
  }
  if (answer.kind !== "ready") {
    notify(`The networks cannot be used here: ${answer.message ?? `the server answered ${answer.status}`}.`);
    return;
  }
  notify("");
  shared.card = answer.card;
  tellFacts(answer.card, answer.threads);
  offerRisks(answer.card);
  document.body.dataset.ready = "yes";
  shared.onReady.forEach((ready) => ready());
}
shared.onReady = [];

startTabs();
shared.looker = new Looker();
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  shared.token = byId("token").value.trim();
  begin();
});
startPictures(shared, notify);
startCamera(shared, notify);
startAudit(shared);
begin();
