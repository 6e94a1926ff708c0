/** From a face's box to the crop that the network learnt from, and why an answer had better not be used. */

import { even } from "./mtcnn.js";
import { crop, grey, resize, rotate } from "./pillow.js";

export const LANDMARKS = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"];

const STEEP = 15;
const SMALL = 0.5;
const INSIDE = 0.85;
const TURNED = 0.35;
const LEANS = 60;
const GAP = 3;

/** Degrees by which a face's right eye lies below its left (the onlooker's). */
export function lean([left, right]) {
  const [dx, dy] = [right[0] - left[0], right[1] - left[1]];
  return dx || dy ? (Math.atan2(dy, dx) * 180) / Math.PI : 0;
}

/** Where the crop of a face lies: {x, y, side, turn}, turned about its middle. */
export function squareOf(face, rule) {
  const [left, top, right, bottom] = face.box;
  const side = Math.max(1, Math.sqrt(Math.max(0, (right - left) * (bottom - top))));
  const steep = lean(face.landmarks);
  const turn = Math.abs(steep) > STEEP ? steep : 0;
  const [cos, sin] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
  const x = (left + right) / 2 + (rule.right * cos - rule.down * sin) * side;
  const y = (top + bottom) / 2 + (rule.right * sin + rule.down * cos) * side;
  return { x, y, side: Math.max(1, side * rule.side), turn };
}

/** The crop as a store of that size and colour would hold it: a raster. */
export function cut(image, place, size, channels, by) {
  const half = (place.side / 2) * (place.turn ? Math.SQRT2 : 1);
  const side = Math.max(1, even(2 * half));
  let part = crop(image, even(place.x - side / 2), even(place.y - side / 2), side, side, true);
  if (channels === 1) part = grey(part);
  if (place.turn) {
    const inner = even(place.side);
    const edge = Math.floor((side - inner) / 2);
    part = crop(rotate(part, place.turn), edge, edge, inner, inner);
  }
  return resize(part, size, size, by, { gap: by === "lanczos" ? GAP : null });
}

/** Why an answer for a face had better not be used; empty where it may. */
export function doubt(place, points, image, size) {
  if (place.side < SMALL * size) return `too small: ${even(place.side)} pixels, under ${even(SMALL * size)}`;
  if (inside(place, image) < INSIDE) return "cut by the edge of the picture";
  const steep = Math.abs(lean(points));
  if (steep > LEANS) return `lies on its side: the eyes lean by ${steep.toFixed(0)} degrees`;
  return aside(points) > TURNED ? "turned away: the nose stands beside the eyes" : "";
}

function inside({ x, y, side }, { width, height }) {
  const half = side / 2;
  const across = Math.min(x + half, width) - Math.max(x - half, 0);
  const along = Math.min(y + half, height) - Math.max(y - half, 0);
  return (Math.max(0, across) * Math.max(0, along)) / side ** 2;
}

function aside([left, right, nose]) {
  const [lx, ly] = [right[0] - left[0], right[1] - left[1]];
  const length = lx * lx + ly * ly;
  if (!length) return 0;
  const [mx, my] = [nose[0] - (left[0] + right[0]) / 2, nose[1] - (left[1] + right[1]) / 2];
  return Math.abs(mx * lx + my * ly) / length;
}
