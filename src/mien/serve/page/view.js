/** What the page shows of rows: boxes on a picture, bars, a line over time. All text goes in as text. */

import { worthOf } from "./rows.js";

export const byId = (id) => document.getElementById(id);

/** Okabe and Ito's colours, which all kinds of colour vision tell apart, and greys. */
export const COLOURS = ["#8a8f98", "#e69f00", "#56b4e9", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a08a00"];
const FEWEST = 3; // expressions that are shown of a face of a picture, however improbable
const WORTH_SHOWING = 0.005;
const LATELY = 2; // seconds whose single frames a bar's line tells of
const FEW = 10; // fewer frames have no line: a tenth of them would be none
const ANSWERED = "#0072b2";
const DOUBTFUL = "#b85100"; // white words on it have a contrast of 5

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const percent = (p) => `${Math.round(100 * p)} %`;

/** Boxes on a canvas whose picture is `width` pixels wide; dashed where the answer had better not be used. */
export function drawBoxes(canvas, rows, { mirrored = false, scale = 1 } = {}) {
  const pen = canvas.getContext("2d");
  const unit = Math.max(1, canvas.width / 640);
  pen.font = `600 ${Math.round(14 * unit)}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  for (const row of rows) {
    if (row.box === null) continue;
    const [left, top, right, bottom] = row.box.map((v) => v * scale);
    const x = mirrored ? canvas.width - right : left;
    pen.strokeStyle = row.abstained ? DOUBTFUL : ANSWERED;
    pen.lineWidth = 2.5 * unit;
    pen.setLineDash(row.abstained ? [7 * unit, 5 * unit] : []);
    pen.strokeRect(x, top, right - left, bottom - top);
    const label = labelOf(row);
    const wide = pen.measureText(label).width + 10 * unit;
    const tall = 20 * unit;
    const y = bottom + tall <= canvas.height ? bottom : Math.max(0, top - tall);
    const from = Math.min(Math.max(0, x), Math.max(0, canvas.width - wide));
    pen.fillStyle = pen.strokeStyle;
    pen.fillRect(from, y, wide, tall);
    pen.fillStyle = "#fff";
    pen.fillText(label, from + 5 * unit, y + 3 * unit);
  }
}

function labelOf(row) {
  const number = `${(row.track ?? row.face + 1)}`;
  return row.abstained ? `${number}: ${row.reason.split(":")[0]}` : `${number}: ${row.top} ${percent(row.confidence)}`;
}

/** One face of a picture in words and bars: the most probable first, and what such an answer was worth elsewhere. */
export function faceCard(row, card, title) {
  const made = words(row, title);
  const sorted = Object.entries(row.probabilities).sort((a, b) => b[1] - a[1]);
  made.append(bars(sorted.filter(([, p], i) => i < FEWEST || p >= WORTH_SHOWING)));
  const step = row.abstained ? null : worthOf(row.confidence, card);
  if (step) {
    const told = `${percent(step.right)} (${percent(step.low)} to ${percent(step.high)})`;
    const where = `of the ${step.faces} that were about as sure among ${card.about.counted_on}`;
    made.append(element("p", "muted", `Right: ${told} ${where}.`));
  }
  return made;
}

/**
 * One face of a film: its smoothed expressions, always in the same order, so that they stand still. A line in each bar
 * reaches as far as single frames of the last seconds do: a face that is told surely has short ones.
 * @param points Rows of the same track.
 */
export function liveCard(row, card, title, points) {
  const made = words(row, title);
  const shown = row.smoothed ?? row.probabilities;
  made.append(bars(card.classes.map((name) => [name, shown[name]]), spreadOf(points, card.classes, row.time_s)));
  return made;
}

export const SPREAD = `Line in a bar: where eight in ten single frames of the last ${LATELY} seconds lie.`;

/** Name -> [low, high] of all single frames lately but a tenth at either end, abstained ones too; empty of few. */
export function spreadOf(points, classes, time) {
  const late = points.filter((p) => p.face !== null && p.time_s > time - LATELY && p.time_s <= time);
  if (late.length < FEW) return {};
  const cut = Math.floor(late.length / 10);
  const ends = (name) => {
    const sorted = late.map((p) => p.probabilities[name]).sort((a, b) => a - b);
    return [name, [sorted[cut], sorted.at(-1 - cut)]];
  };
  return Object.fromEntries(classes.map(ends));
}

function words(row, title) {
  const made = element("article", row.abstained ? "face doubtful" : "face");
  made.append(element("h3", "", row.abstained ? `${title}: no answer` : `${title}: ${row.top}`));
  if (row.reason) made.append(element("p", "", row.reason[0].toUpperCase() + row.reason.slice(1) + "."));
  return made;
}

/** @param told Pairs of a name and its probability. @param spread Name -> [low, high], where a line reaches. */
function bars(told, spread = {}) {
  const list = element("ul", "bars");
  for (const [name, p] of told) {
    const bar = element("i");
    bar.style.width = `${100 * p}%`;
    const made = element("li", "", bar, element("span", "", name), element("span", "", percent(p)));
    if (spread[name]) {
      const [low, high] = spread[name];
      const line = element("b");
      line.style.left = `${100 * low}%`;
      line.style.width = `${100 * (high - low)}%`;
      made.title = `single frames lately: ${percent(low)} to ${percent(high)}`;
      bar.after(line);
    }
    list.append(made);
  }
  return list;
}

/** Lines of smoothed probabilities over the last seconds; a gap where there was no answer. */
export function drawTimeline(canvas, points, classes, seconds) {
  const ratio = devicePixelRatio || 1;
  const [wide, tall] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(wide * ratio)) canvas.width = Math.round(wide * ratio);
  if (canvas.height !== Math.round(tall * ratio)) canvas.height = Math.round(tall * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, wide, tall);
  const style = getComputedStyle(canvas);
  const [left, bottom, top] = [34, tall - 18, 8];
  const end = points.length ? points.at(-1).time_s : 0;
  const start = Math.max(0, end - seconds);
  const x = (t) => left + ((t - start) / seconds) * (wide - left - 8);
  const y = (p) => bottom - p * (bottom - top);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = style.getPropertyValue("--muted");
  pen.strokeStyle = style.getPropertyValue("--grid");
  pen.lineWidth = 1;
  for (const p of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(left, y(p));
    pen.lineTo(wide - 8, y(p));
    pen.stroke();
    pen.fillText(percent(p), 2, y(p) + 4);
  }
  pen.textAlign = "center";
  for (let t = Math.ceil(start / 5) * 5; t < start + seconds - 1; t += 5) pen.fillText(`${t} s`, x(t), tall - 4);
  pen.textAlign = "left";
  pen.lineWidth = 2;
  pen.lineCap = "round"; // a point alone is a dot
  const gap = gapOf(points);
  classes.forEach((name, k) => {
    pen.strokeStyle = COLOURS[k % COLOURS.length];
    pen.beginPath();
    let before = null;
    for (const point of points) {
      if (point.time_s < start || point.abstained || !point.smoothed) {
        before = null;
        continue;
      }
      const place = [x(point.time_s), y(point.smoothed[name])];
      if (before === null || point.time_s - before > gap) pen.moveTo(...place);
      pen.lineTo(...place);
      before = point.time_s;
    }
    pen.stroke();
  });
}

/** Seconds from which a line is broken: one, or one and a half looks where a slow machine looks less often. */
function gapOf(points) {
  const steps = points.slice(1).map((point, i) => point.time_s - points[i].time_s).sort((a, b) => a - b);
  return steps.length ? Math.max(1, 1.5 * steps[Math.floor(steps.length / 2)]) : 1;
}

/** Hand a text to the user as a file. */
export function save(name, text, type) {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
