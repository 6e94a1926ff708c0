/** The networks, run by ONNX Runtime Web: the model's input as its card says, and what its outputs mean. */

import * as ort from "./ort.wasm.min.mjs";
import { raster, resize } from "./pillow.js";

const LEAST = 1e-12; // of a probability, before its logarithm

/** Threads that the browser gives; one where the page is not isolated from other sites. */
export function begin() {
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  ort.env.wasm.numThreads = threads;
  return threads;
}

async function open(address, token) {
  const answer = await fetch(address, token ? { headers: { authorization: `Bearer ${token}` } } : {});
  if (!answer.ok) throw new Error(`${address} cannot be had (${answer.status})`);
  return ort.InferenceSession.create(await answer.arrayBuffer());
}

/** One of the detector's networks: {data, dims} -> outputs by name. */
export async function detectorNetwork(name) {
  const session = await open(`${name}.onnx`);
  return ({ data, dims }) => session.run({ pictures: new ort.Tensor("float32", data, dims) });
}

/**
 * The model of a card: crops (rasters) -> {probabilities, numbers} of each, calibrated.
 * @param card Of /model.json.
 */
export async function expressionNetwork(card, token) {
  const session = await open("model.onnx", token);
  const { recipe } = card;
  return async (crops) => {
    const out = [];
    const size = recipe.fixed_batch || Math.max(1, crops.length);
    for (let start = 0; start < crops.length; start += size) {
      const part = crops.slice(start, start + size);
      while (part.length < size) part.push(part[0]);
      const found = await session.run({ [recipe.input]: input(part, recipe) });
      const { data } = found[recipe.output];
      const wide = data.length / size;
      for (let i = 0; i < Math.min(size, crops.length - start); i++) {
        out.push(told(Array.from(data.subarray(i * wide, (i + 1) * wide)), card));
      }
    }
    return out;
  };
}

function input(crops, recipe) {
  const { size, in_channels: channels, dtype } = recipe;
  const raw = dtype === "uint8";
  const plane = size * size;
  const out = raw ? new Uint8Array(crops.length * channels * plane) : new Float32Array(crops.length * channels * plane);
  const of = (values, c) => values[values.length > 1 ? c : 0];
  crops.forEach((crop, n) => {
    for (let c = 0; c < channels; c++) {
      const levels = plain(crop, c, size, recipe.resampling[1]);
      for (let i = 0; i < plane; i++) {
        const v = raw
          ? Math.round(levels[i])
          : (Math.fround(levels[i] / recipe.scale) - of(recipe.mean, c)) / of(recipe.std, c);
        out[recipe.layout === "NHWC" ? (n * plane + i) * channels + c : (n * channels + c) * plane + i] = v;
      }
    }
  });
  const dims = recipe.layout === "NHWC" ? [crops.length, size, size, channels] : [crops.length, channels, size, size];
  return new ort.Tensor(raw ? "uint8" : "float32", out, dims);
}

/** One channel of a crop at the network's size, not rounded. */
function plain(crop, c, size, by) {
  const n = crop.width * crop.height;
  const levels = new Float32Array(n);
  for (let i = 0; i < n; i++) levels[i] = crop.data[i * crop.channels + c];
  return resize(raster(crop.width, crop.height, 1, levels), size, size, by).data;
}

function told(values, card) {
  const k = card.classes.length;
  const { recipe } = card;
  const wanted = k + Object.keys(recipe.numbers).length;
  if (values.length !== wanted || !values.every(Number.isFinite)) {
    throw new Error(`the model answered ${values.length} numbers, or some that are none; ${wanted} were expected`);
  }
  let probabilities = values.slice(0, k);
  if (recipe.logits) probabilities = softmax(probabilities);
  const sum = probabilities.reduce((a, b) => a + b, 0);
  probabilities = softmax(probabilities.map((p) => Math.log(Math.max(p / sum, LEAST)) * card.scale));
  const numbers = {};
  Object.entries(recipe.numbers).forEach(([name, scale], i) => {
    numbers[name] = scale === "positive" ? Math.log1p(Math.exp(values[k + i])) : values[k + i];
  });
  return { probabilities, numbers };
}

function softmax(values) {
  const most = Math.max(...values);
  const grown = values.map((v) => Math.exp(v - most));
  const sum = grown.reduce((a, b) => a + b, 0);
  return grown.map((v) => v / sum);
}
