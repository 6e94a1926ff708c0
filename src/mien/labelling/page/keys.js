/** Single keys on the labelling screen, and the table that explains them. */

import { toFace } from "./screen.js";
import { byId, digitOf, element } from "./view.js";

export function keyTable(task) {
  const ten = task.votes_per_face > 1;
  const last = digitOf(Math.min(task.classes.length, 10) - 1);
  const rows = [[`1 to ${last}`, ten ? "one vote for an expression; with Shift, take it back" : "choose an expression"]];
  rows.push(["U", ten ? "one vote for “can't tell”" : "can't tell"], ["N", "not a face: save that, and on to the next"]);
  if (task.intensity || task.attributes.length) {
    rows.push(["0 to 9", "after the votes: answer the marked question"], ["↑ ↓", "mark another question"]);
  }
  rows.push(["Enter, Space", "what the large button says"], ["Z, Backspace", "undo a step, or go back to the last face"]);
  rows.push(["S", "skip; the face comes back at the end"], ["?", "this help"]);
  return rows.map(([keys, does]) => {
    const name = element("th", "", keys);
    name.scope = "row";
    return element("tr", "", name, element("td", "", does));
  });
}

/** The digit of a key by its place on the keyboard, so that Shift and other layouts do not matter; else null. */
function digitIn({ code, key }) {
  if (code.startsWith("Digit")) return code.at(-1);
  return /^[0-9]$/.test(key) ? key : null;
}

/** Does the element that has the focus use this key itself? */
function usesKey({ target, key }) {
  if (target.closest("input, textarea, select")) return true;
  return (key === "Enter" || key === " ") && target.closest("button, summary, a") !== null;
}

/** @param act What the keys do: digit(d, shift), unknown, noFace, skip, undo, save, help, move(by). */
export function listen(act) {
  const plain = {
    u: act.unknown,
    n: act.noFace,
    s: act.skip,
    z: act.undo,
    backspace: act.undo,
    enter: act.save,
    " ": act.save,
    "?": act.help,
    arrowup: () => act.move(-1),
    arrowdown: () => act.move(1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (byId("label").hidden || !byId("single-keys").checked || document.querySelector("dialog[open]") || usesKey(event)) return;
    const digit = digitIn(event);
    const does = digit === null ? plain[event.key.toLowerCase()] : () => act.digit(digit, event.shiftKey);
    if (!does) return;
    if (event.target.closest("button")) toFace(); // Enter is meant for what the keys did, not for that button
    if (event.repeat ? !event.key.startsWith("Arrow") : does() !== false) event.preventDefault();
  });
}
