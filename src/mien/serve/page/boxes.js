/** Boxes are [left, top, right, bottom]. */

export const areaOf = (b) => (b[2] - b[0]) * (b[3] - b[1]);

/** Intersection of two boxes over their union, or over the smaller of the two. */
export function overlap(a, b, ofSmaller = false) {
  const wide = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const tall = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const [first, second] = [areaOf(a), areaOf(b)];
  const areas = ofSmaller ? Math.min(first, second) : first + second - wide * tall;
  return (wide * tall) / (areas > 0 ? areas : 1);
}
