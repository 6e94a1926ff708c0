/** What is said of one face: the rows of `mien predict`, as mien.predict.rows has them. */

import { LANDMARKS } from "./faces.js";

export const NO_FACE = "no face was found";

const rounded = (v, digits) => (v === null ? null : Number(v.toFixed(digits)));

export function entropy(probabilities) {
  const sum = probabilities.reduce((all, p) => all - (p > 0 ? p * Math.log(p) : 0), 0);
  return Math.abs(sum) / Math.log(Math.max(2, probabilities.length));
}

/** A row without a face. */
export function emptyRow(image, reason, card) {
  return {
    image, face: null, box: null, landmarks: {}, detector_score: null, probabilities: {}, top: "", confidence: null,
    entropy: null, abstained: true, reason, out_of_domain: null, model: card.name, model_sha256: card.sha256, numbers: {},
  };
}

/**
 * The row of a face.
 * @param why {doubt, unlike}: what is wrong with the face or its crop, and how the crop is unlike known ones; or empty.
 */
export function faceRow(image, i, face, { doubt, unlike }, { probabilities, numbers }, card) {
  const reason = doubt || unlike;
  const top = probabilities.indexOf(Math.max(...probabilities));
  return {
    ...emptyRow(image, reason, card),
    face: i,
    box: face.box.map((v) => rounded(v, 1)),
    landmarks: Object.fromEntries(LANDMARKS.map((name, k) => [name, face.landmarks[k].map((v) => rounded(v, 1))])),
    detector_score: rounded(face.score, 6),
    probabilities: Object.fromEntries(card.classes.map((name, k) => [name, rounded(probabilities[k], 6)])),
    top: card.classes[top],
    confidence: rounded(probabilities[top], 6),
    entropy: rounded(entropy(probabilities), 6),
    abstained: Boolean(reason),
    out_of_domain: Object.keys(card.domain).length ? Boolean(unlike) : null,
    numbers: Object.fromEntries(Object.entries(numbers).map(([name, v]) => [name, rounded(v, 6)])),
  };
}

/** A row after the user has said what risk to bear: {least, risk}, `least` null where no confidence will do. */
export function withRisk(row, { least, risk }) {
  if (row.face === null || row.reason || least === 0) return row;
  if (least === null) {
    return { ...row, abstained: true, reason: `no confidence of this model promises a share of wrong answers under ${risk}` };
  }
  if (row.confidence >= least) return row;
  const reason = `not sure enough: ${row.confidence.toFixed(2)}, under ${least.toFixed(2)}`;
  return { ...row, abstained: true, reason };
}

/** How often answers about as sure as this one were right: a step of the card's `worth`; null where not counted. */
export function worthOf(confidence, card) {
  return card.worth.find((step) => confidence >= step.least) ?? card.worth.at(-1) ?? null;
}

const SIDES = ["left", "top", "right", "bottom"];

/** The flat table, with the columns of `mien predict --out FILE.csv`; of a film, without the numbers of its frames. */
export function asCsv(rows, card, film = false) {
  const numbers = Object.keys(card.recipe?.numbers ?? {});
  const columns = [
    ["image", (r) => r.image],
    ...(film ? [["time_s", (r) => r.time_s], ["track", (r) => r.track]] : []),
    ["face", (r) => r.face],
    ...SIDES.map((side, i) => [`box_${side}`, (r) => r.box?.[i]]),
    ["detector_score", (r) => r.detector_score],
    ["top", (r) => r.top],
    ["confidence", (r) => r.confidence],
    ["entropy", (r) => r.entropy],
    ["abstained", (r) => asWord(r.abstained)],
    ["reason", (r) => r.reason],
    ["out_of_domain", (r) => asWord(r.out_of_domain)],
    ...card.classes.map((name) => [`p_${name}`, (r) => r.probabilities[name]]),
    ...(film ? card.classes.map((name) => [`smoothed_${name}`, (r) => r.smoothed?.[name]]) : []),
    ...numbers.map((name) => [`number_${name}`, (r) => r.numbers[name]]),
    ...LANDMARKS.flatMap((name) => [0, 1].map((k) => [`landmark_${name}_${"xy"[k]}`, (r) => r.landmarks[name]?.[k]])),
    ["model", (r) => r.model],
    ["model_sha256", (r) => r.model_sha256],
  ];
  const lines = [columns.map(([name]) => cell(name)), ...rows.map((row) => columns.map(([, of]) => cell(of(row))))];
  return lines.map((line) => line.join(",") + "\r\n").join("");
}

/** What a spreadsheet would take for the begin of a formula, whatever it drops before: as mien.spreadsheets has it. */
const FORMULA = /(^|[;\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029])(?=['"\s\p{Cc}\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20])/gu;

const asWord = (yes) => (yes === null ? null : yes ? "True" : "False");

/** A cell; text that a spreadsheet would take for a formula is marked as text. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = value.replace(FORMULA, "$1'");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
