/** MTCNN as mien.faces.mtcnn has it: the same three networks, the same arithmetic around them. */

import { overlap } from "./boxes.js";
import { crop, raster, resize } from "./pillow.js";

const FIELD = 12; // pixels that the first network sees of a face
const STRIDE = 2; // and between two of its answers
const STEP = 0.709;
const PROPOSED = 0.6;
const REFINED = 0.7;
const CLOSER = 24;
const CLOSEST = 48;
const CANDIDATES = 400;
const BRIGHT = 128;
const NONE = [];

/** Which boxes remain when the surest removes all that overlap it, then the surest of those left. */
export function kept(found, most, { ofSmaller = false, atMost = Infinity } = {}) {
  let left = found.map((one, i) => ({ one, i })).sort((a, b) => b.one.score - a.one.score || a.i - b.i);
  const out = [];
  while (left.length && out.length < atMost) {
    const [first, ...rest] = left;
    out.push(first.one);
    left = rest.filter((other) => overlap(first.one.box, other.one.box, ofSmaller) < most);
  }
  return out;
}

function moved(box, moves) {
  const [w, h] = [box[2] - box[0], box[3] - box[1]];
  return [box[0] + w * moves[0], box[1] + h * moves[1], box[2] + w * moves[2], box[3] + h * moves[3]];
}

function squared(box) {
  const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const half = Math.max(0, box[2] - box[0], box[3] - box[1]) / 2;
  return [x - half, y - half, x + half, y + half];
}

/** Pictures of one size as (n, 3, H, W) of -1 to 1. */
function input(pictures) {
  const { width, height } = pictures[0];
  const plane = width * height;
  const out = new Float32Array(pictures.length * 3 * plane);
  pictures.forEach(({ data }, n) => {
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++) out[(n * 3 + c) * plane + i] = (data[i * 3 + c] - 127.5) / 128;
    }
  });
  return { data: out, dims: [pictures.length, 3, height, width] };
}

/** A dark picture with all levels multiplied so that its brightest hundredth reaches half; others as they are. */
function brightened(image) {
  const levels = [];
  for (let y = 0; y < image.height; y += 4) {
    for (let x = 0; x < image.width; x += 4) {
      const at = (y * image.width + x) * 3;
      levels.push(Math.max(image.data[at], image.data[at + 1], image.data[at + 2]));
    }
  }
  levels.sort((a, b) => a - b);
  const place = (levels.length - 1) * 0.99;
  const low = levels[Math.floor(place)];
  const top = Math.trunc(low + (levels[Math.ceil(place)] - low) * (place - Math.floor(place)));
  if (top >= BRIGHT) return image;
  const table = Array.from({ length: 256 }, (_, i) => even(Math.min(i * (BRIGHT / Math.max(1, top)), 255)));
  return raster(image.width, image.height, 3, image.data.map((v) => table[v]));
}

/** Rounded, halves to the even number, as Python has it. */
export function even(v) {
  const down = Math.floor(v);
  if (v - down !== 0.5) return Math.round(v);
  return down % 2 ? down + 1 : down;
}

/** A picture whose longer side is at most `longer`, and how many times smaller it is. */
function shrunk(image, longer) {
  const scale = Math.max(1, Math.max(image.width, image.height) / longer);
  if (scale === 1) return [image, 1];
  const [w, h] = [Math.max(1, even(image.width / scale)), Math.max(1, even(image.height / scale))];
  return [resize(image, w, h, "bilinear", { gap: 2 }), scale];
}

function* levelsOf(width, height, smallest) {
  for (let scale = smallest / FIELD; Math.min(width, height) / scale >= FIELD; scale /= STEP) {
    yield [scale, Math.max(FIELD, even(width / scale)), Math.max(FIELD, even(height / scale))];
  }
}

/** A box of the picture at `size` pixels a side; what lies beyond the picture is black. */
function view(image, box, size) {
  const [l, t, r, b] = box;
  if (l >= 0 && t >= 0 && r <= image.width && b <= image.height && r > l && b > t) {
    return resize(image, size, size, "box", { box });
  }
  const [left, top] = [Math.floor(l), Math.floor(t)];
  const whole = crop(image, left, top, Math.max(Math.ceil(r), left + 1) - left, Math.max(Math.ceil(b), top + 1) - top);
  const within = (v, most) => Math.min(Math.max(v, 0), most);
  let inner = [
    within(l - left, whole.width), within(t - top, whole.height),
    within(r - left, whole.width), within(b - top, whole.height),
  ];
  if (!(inner[2] > inner[0] && inner[3] > inner[1])) inner = [0, 0, whole.width, whole.height];
  return resize(whole, size, size, "box", { box: inner });
}

/**
 * The faces of a picture, the surest first: {box, score, landmarks: five [x, y]}.
 * @param image Raster in RGB.
 * @param networks {proposal, refinement, output}: each called with {data, dims}, answers with its outputs by name.
 * @param options side: longer side to which larger pictures are shrunk; least: lowest score; smallest: in pixels of
 *   the picture thus shrunk.
 */
export async function findFaces(image, networks, { side = 640, least = 0.7, smallest = 24 } = {}) {
  const [small, shrink] = shrunk(image, side);
  const seen = brightened(small);
  let found = (await proposals(seen, networks.proposal, smallest)).map((one) => squared(one.box));
  if (!found.length) return NONE;
  let told = await networks.refinement(input(found.map((box) => view(seen, box, CLOSER))));
  let faces = judged(found, told).filter((one) => one.score >= REFINED);
  found = kept(faces, 0.7).map((one) => squared(moved(one.box, one.moves)));
  if (!found.length) return NONE;
  told = await networks.output(input(found.map((box) => view(seen, box, CLOSEST))));
  faces = judged(found, told).filter((one) => one.score >= least);
  for (const face of faces) {
    const { box } = face;
    const points = told.points.data.subarray(face.i * 10, face.i * 10 + 10);
    face.landmarks = Array.from({ length: 5 }, (_, k) => [
      (box[0] + points[k] * (box[2] - box[0])) * shrink,
      (box[1] + points[5 + k] * (box[3] - box[1])) * shrink,
    ]);
    face.box = moved(box, face.moves);
  }
  return kept(faces, 0.7, { ofSmaller: true }).map(({ box, score, landmarks }) => ({
    box: box.map((v) => v * shrink), score, landmarks,
  }));
}

function judged(boxes, told) {
  return boxes.map((box, i) => ({
    box, i, score: told.scores.data[i], moves: told.boxes.data.subarray(i * 4, i * 4 + 4),
  }));
}

async function proposals(image, network, smallest) {
  const all = [];
  for (const [scale, width, height] of levelsOf(image.width, image.height, smallest)) {
    const { scores, boxes } = await network(input([resize(image, width, height, "box")]));
    const [, rows, columns] = scores.dims;
    const plane = rows * columns;
    const found = [];
    for (let i = 0; i < plane; i++) {
      if (scores.data[i] < PROPOSED) continue;
      const [x, y] = [(i % columns) * STRIDE, Math.floor(i / columns) * STRIDE];
      const box = [x * scale, y * scale, (x + FIELD) * scale, (y + FIELD) * scale];
      found.push({ box, score: scores.data[i], moves: [0, 1, 2, 3].map((k) => boxes.data[k * plane + i]) });
    }
    const best = kept(found, 0.5, { atMost: CANDIDATES });
    all.push(...best.map(({ box, score, moves }) => ({ box: moved(box, moves), score })));
  }
  return kept(all, 0.7, { atMost: CANDIDATES });
}
