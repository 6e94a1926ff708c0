/** The worker: pictures in, rows out. It alone sees pixels, and nothing of them leaves it but rows. */

import { cut, doubt, squareOf } from "./faces.js";
import { findFaces } from "./mtcnn.js";
import { begin, detectorNetwork, expressionNetwork } from "./network.js";
import { raster } from "./pillow.js";
import { unlike } from "./quality.js";
import { emptyRow, faceRow, NO_FACE } from "./rows.js";

const state = { card: null, networks: null, model: null };
let last = Promise.resolve();

/** @param token What the server asks for; empty where it asks for nothing. */
async function start({ token }) {
  const answer = await fetch("model.json", token ? { headers: { authorization: `Bearer ${token}` } } : {});
  if (!answer.ok) return { kind: "refused", status: answer.status };
  const card = await answer.json();
  if (card.why_not) return { kind: "unfit", card };
  const threads = begin();
  const names = ["proposal", "refinement", "output"];
  const made = [];
  for (const name of names) made.push(await detectorNetwork(name)); // one after the other: the runtime starts once
  state.networks = Object.fromEntries(names.map((name, i) => [name, made[i]]));
  state.model = await expressionNetwork(card, token);
  state.card = card;
  return { kind: "ready", card, threads };
}

/** The pixels of a bitmap as RGB on white. */
function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, bitmap.width, bitmap.height);
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  const out = raster(bitmap.width, bitmap.height, 3);
  for (let i = 0, j = 0; j < out.data.length; i += 4, j += 3) {
    out.data[j] = data[i];
    out.data[j + 1] = data[i + 1];
    out.data[j + 2] = data[i + 2];
  }
  bitmap.close();
  return out;
}

/** The rows of one picture. @param options Of findFaces. */
async function look({ id, name, bitmap, options }) {
  const from = performance.now();
  const { card } = state;
  const { width, height } = bitmap;
  const image = pixelsOf(bitmap);
  const faces = await findFaces(image, state.networks, { ...card.find, ...options });
  const found = performance.now();
  const { recipe } = card;
  const size = recipe.store_size || recipe.size;
  const places = faces.map((face) => squareOf(face, card.rule));
  const crops = places.map((place) => cut(image, place, size, recipe.in_channels, recipe.resampling[0]));
  const told = await state.model(crops);
  const rows = faces.map((face, i) => {
    const why = { doubt: doubt(places[i], face.landmarks, image, size), unlike: unlike(crops[i], card.domain) };
    return faceRow(name, i, face, why, told[i], card);
  });
  if (!rows.length) rows.push(emptyRow(name, NO_FACE, card));
  const ms = { find: found - from, tell: performance.now() - found };
  return { kind: "seen", id, rows, width, height, ms };
}

const DOES = { start, look };

self.addEventListener("message", ({ data }) => {
  // One at a time: the runtime computes one thing at a time as well.
  last = last
    .then(() => DOES[data.kind](data))
    .catch((error) => ({ kind: "failed", id: data.id, message: String(error?.message ?? error) }))
    .then((answer) => self.postMessage(answer));
});
