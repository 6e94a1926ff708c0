/** Which face of one moment is which of the next, and its expression over time: as mien.predict.tracks has it. */

import { areaOf, overlap } from "./boxes.js";

const OVERLAP = 0.3; // of two boxes over their union, from which they are taken for one face
const NEAR = 1; // sides of a face by which it may lie beside where it was expected, where nothing overlaps
const ALIKE = 1.8; // how many times larger one of two boxes may be, then
const PATIENCE = 1; // seconds for which a face that was looked for and not found keeps its number
const LONGEST = 5; // seconds between two looks, from which every face is a new one
const SMOOTH = 0.5; // seconds after which two thirds of a new expression count

const middle = (b) => [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2];

/** How far two middles lie apart, in sides of the smaller box; infinite for boxes that are not alike in size. */
function away(a, b) {
  const [small, large] = [Math.sqrt(areaOf(a)), Math.sqrt(areaOf(b))].sort((x, y) => x - y);
  if (!small || large > ALIKE * small) return Infinity;
  const [[ax, ay], [bx, by]] = [middle(a), middle(b)];
  return Math.hypot(ax - bx, ay - by) / small;
}

export class Tracks {
  constructor() {
    this.known = []; // {track, box, seen, speed, told, smoothed}
    this.next = 1;
  }

  /**
   * Give each row of one moment `time_s`, `track` and `smoothed`.
   * @param rows Of one picture.
   * @param time Seconds; never before those of the rows before.
   */
  add(rows, time) {
    this.known = this.known.filter((one) => time - one.seen <= (one.missed ? PATIENCE : LONGEST));
    for (const one of this.known) one.missed = true;
    const of = this.matched(rows, time);
    return rows.map((row, i) => {
      if (row.box === null) return { ...row, time_s: time, track: null, smoothed: null };
      let one = of.get(i);
      if (one) {
        const passed = time - one.seen;
        if (passed > 0) {
          const [was, now] = [middle(one.box), middle(row.box)];
          one.speed = [(now[0] - was[0]) / passed, (now[1] - was[1]) / passed];
        }
        Object.assign(one, { box: row.box, seen: time, missed: false });
      } else {
        one = { track: this.next, box: row.box, seen: time, speed: [0, 0], told: 0, smoothed: null, missed: false };
        this.next += 1;
        this.known.push(one);
      }
      if (!row.abstained) update(one, row.probabilities, time);
      return { ...row, time_s: time, track: one.track, smoothed: one.smoothed && { ...one.smoothed } };
    });
  }

  /** Row -> its track: first those that overlap, the most first; then those that are near, the nearest first. */
  matched(rows, time) {
    const [overlapping, near] = [[], []];
    rows.forEach((row, i) => {
      if (row.box === null) return;
      this.known.forEach((one, j) => {
        const [dx, dy] = one.speed.map((v) => v * (time - one.seen));
        const places = [one.box, [one.box[0] + dx, one.box[1] + dy, one.box[2] + dx, one.box[3] + dy]];
        const share = Math.max(...places.map((place) => overlap(row.box, place)));
        if (share >= OVERLAP) overlapping.push([-share, i, j]);
        const apart = Math.min(...places.map((place) => away(row.box, place)));
        if (apart <= NEAR) near.push([apart, i, j]);
      });
    });
    const order = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
    const [of, taken] = [new Map(), new Set()];
    for (const [, i, j] of [...overlapping.sort(order), ...near.sort(order)]) {
      if (of.has(i) || taken.has(j)) continue;
      of.set(i, this.known[j]);
      taken.add(j);
    }
    return of;
  }
}

/** What an abstained row says does not count. */
function update(one, probabilities, time) {
  if (one.smoothed === null) {
    one.smoothed = { ...probabilities };
  } else {
    const share = -Math.expm1(-Math.max(0, time - one.told) / SMOOTH);
    for (const [name, p] of Object.entries(probabilities)) one.smoothed[name] += share * (p - one.smoothed[name]);
  }
  one.told = time;
}
