/** Which face of one moment is which of the next, and its expression over time: as mien.predict.tracks has it. */

const OVERLAP = 0.3; // of two boxes over their union, from which they may be one face
const PATIENCE = 1; // seconds for which a face that is not seen keeps its number
const SMOOTH = 0.5; // seconds after which two thirds of a new expression count

function overlap(a, b) {
  const wide = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const tall = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * tall;
  return areas > 0 ? (wide * tall) / areas : 0;
}

export class Tracks {
  constructor() {
    this.known = []; // {track, box, seen, told, smoothed}
    this.next = 1;
  }

  /**
   * Give each row of one moment `time_s`, `track` and `smoothed`.
   * @param rows Of one picture.
   * @param time Seconds; never before those of the rows before.
   */
  add(rows, time) {
    this.known = this.known.filter((one) => time - one.seen <= PATIENCE);
    const pairs = [];
    rows.forEach((row, i) => {
      if (row.box === null) return;
      this.known.forEach((one, j) => pairs.push([overlap(row.box, one.box), i, j]));
    });
    pairs.sort((a, b) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
    const [of, taken] = [new Map(), new Set()];
    for (const [share, i, j] of pairs) {
      if (share < OVERLAP || of.has(i) || taken.has(j)) continue;
      of.set(i, this.known[j]);
      taken.add(j);
    }
    return rows.map((row, i) => {
      if (row.box === null) return { ...row, time_s: time, track: null, smoothed: null };
      let one = of.get(i);
      if (!one) {
        one = { track: this.next, told: null, smoothed: null };
        this.next += 1;
        this.known.push(one);
      }
      Object.assign(one, { box: row.box, seen: time });
      if (!row.abstained) update(one, row.probabilities, time);
      return { ...row, time_s: time, track: one.track, smoothed: one.smoothed && { ...one.smoothed } };
    });
  }
}

/** What an abstained row says does not count. */
function update(one, probabilities, time) {
  if (one.smoothed === null) {
    one.smoothed = { ...probabilities };
  } else {
    const share = -Math.expm1(-(time - one.told) / SMOOTH);
    for (const [name, p] of Object.entries(probabilities)) one.smoothed[name] += share * (p - one.smoothed[name]);
  }
  one.told = time;
}
