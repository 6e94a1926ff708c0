/**
 * Pillow's resampling, reduction, turning and grey levels, to the last bit of every pixel: a network that learnt from
 * pictures that Pillow made is to see the same ones here. Checked against it by tests/serve/test_page.py. From Pillow 13
 * on, where a height shrinks by much more than the width, levels differ by some: it then turns its two passes round.
 *
 * A raster is {width, height, channels, data}: Uint8Array, or Float32Array where levels are not rounded, row by row.
 */

const BITS = 22; // of the whole part that is left of a weight
const HALF = 2 ** (BITS - 1);
const SHIFT = 2 ** BITS;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const FILTERS = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (t) => {
      const x = Math.abs(t);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

export function raster(width, height, channels, data) {
  return { width, height, channels, data: data ?? new Uint8Array(width * height * channels) };
}

/** Which pixels of a line make each new one, and with which weights; whole numbers of 2^-22 for whole levels. */
function weights(inSize, from, to, outSize, filter, whole) {
  const low = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - low) / outSize;
  const wide = Math.max(1, scale);
  const support = filter.support * wide;
  const width = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const values = new Float64Array(outSize * width);
  for (let i = 0; i < outSize; i++) {
    const centre = low + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let j = 0; j < count; j++) {
      const w = filter.weight((j + start - centre + 0.5) / wide);
      values[i * width + j] = w;
      sum += w;
    }
    for (let j = 0; j < count; j++) {
      if (sum !== 0) values[i * width + j] /= sum;
      if (whole) {
        const v = values[i * width + j] * SHIFT;
        values[i * width + j] = Math.trunc(v < 0 ? v - 0.5 : v + 0.5);
      }
    }
    starts[i] = start;
    counts[i] = count;
  }
  return { starts, counts, values, width };
}

function level(sum) {
  const v = Math.floor((sum + HALF) / SHIFT);
  return v < 0 ? 0 : v > 255 ? 255 : v;
}

/** New lines: each of `lines` groups of pixels that lie `step` apart becomes `outSize` of them. */
function across(image, outWidth, made, firstRow, rows) {
  const { width, channels, data } = image;
  const whole = data instanceof Uint8Array;
  const out = new data.constructor(outWidth * rows * channels);
  for (let y = 0; y < rows; y++) {
    const line = (y + firstRow) * width * channels;
    for (let x = 0; x < outWidth; x++) {
      const at = made.width * x;
      const from = line + made.starts[x] * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let j = 0; j < made.counts[x]; j++) sum += data[from + j * channels + c] * made.values[at + j];
        out[(y * outWidth + x) * channels + c] = whole ? level(sum) : sum;
      }
    }
  }
  return { width: outWidth, height: rows, channels, data: out };
}

function down(image, outHeight, made, firstRow) {
  const { width, channels, data } = image;
  const whole = data instanceof Uint8Array;
  const stride = width * channels;
  const out = new data.constructor(stride * outHeight);
  const sums = new Float64Array(stride);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(0);
    for (let j = 0; j < made.counts[y]; j++) {
      const w = made.values[made.width * y + j];
      const from = (made.starts[y] - firstRow + j) * stride;
      for (let i = 0; i < stride; i++) sums[i] += data[from + i] * w;
    }
    for (let i = 0; i < stride; i++) out[y * stride + i] = whole ? level(sums[i]) : sums[i];
  }
  return { width, height: outHeight, channels, data: out };
}

/**
 * `Image.resize`.
 * @param by box, bilinear, bicubic or lanczos.
 * @param box Left, top, right, bottom of what is taken; all of it by default.
 * @param gap `reducing_gap`: shrink by whole factors first, down to so many times the size. Only without a box.
 */
export function resize(image, width, height, by, { box = null, gap = null } = {}) {
  let source = image;
  let [left, top, right, bottom] = box ?? [0, 0, image.width, image.height];
  if (width === image.width && height === image.height && !left && !top && right === width && bottom === height) {
    return image;
  }
  if (gap !== null) {
    const fx = Math.trunc((right - left) / width / gap) || 1;
    const fy = Math.trunc((bottom - top) / height / gap) || 1;
    if (fx > 1 || fy > 1) {
      source = reduce(image, fx, fy);
      [right, bottom] = [image.width / fx, image.height / fy];
    }
  }
  const filter = FILTERS[by];
  const whole = source.data instanceof Uint8Array;
  const columns = weights(source.width, left, right, width, filter, whole);
  const rows = weights(source.height, top, bottom, height, filter, whole);
  const first = rows.starts[0];
  const count = rows.starts[height - 1] + rows.counts[height - 1] - first;
  let shift = 0;
  if (width !== source.width || left || right !== width) {
    source = across(source, width, columns, first, count);
    shift = first;
  }
  if (height !== image.height || top || bottom !== height) source = down(source, height, rows, shift);
  return source;
}

/** `Image.reduce`: means over blocks, smaller ones at the right and lower edge. */
export function reduce(image, fx, fy) {
  const { width, height, channels, data } = image;
  const [w, h] = [Math.ceil(width / fx), Math.ceil(height / fy)];
  const out = raster(w, h, channels);
  for (let y = 0; y < h; y++) {
    const tall = Math.min(fy, height - y * fy);
    for (let x = 0; x < w; x++) {
      const wide = Math.min(fx, width - x * fx);
      const n = wide * tall;
      const factor = Math.trunc(2 ** 32 / (256 * n));
      for (let c = 0; c < channels; c++) {
        let sum = Math.trunc(n / 2);
        for (let j = 0; j < tall; j++) {
          const from = ((y * fy + j) * width + x * fx) * channels + c;
          for (let i = 0; i < wide; i++) sum += data[from + i * channels];
        }
        out.data[(y * w + x) * channels + c] = Math.floor((sum * factor) / 2 ** 24);
      }
    }
  }
  return out;
}

/** `Image.convert("L")`. */
export function grey(image) {
  if (image.channels === 1) return image;
  const out = raster(image.width, image.height, 1);
  for (let i = 0, j = 0; i < out.data.length; i++, j += 3) {
    out.data[i] = (image.data[j] * 19595 + image.data[j + 1] * 38470 + image.data[j + 2] * 7471 + 0x8000) >> 16;
  }
  return out;
}

const clip = (v, most) => (v < 0 ? 0 : v > most ? most : v);

/** A cubic through four levels. */
function cubic(a, b, c, d, t) {
  return b + t * (c - a + t * (2 * (a - b) + c - d + t * (b - a + d - c)));
}

/** `Image.rotate` by BICUBIC about the middle, at the same size, black beyond it. */
export function rotate(image, degrees) {
  const { width, height, channels, data } = image;
  const angle = (-(((degrees % 360) + 360) % 360) * Math.PI) / 180;
  const near = (v) => Number(v.toFixed(15));
  const [a, b, d, e] = [near(Math.cos(angle)), near(Math.sin(angle)), near(-Math.sin(angle)), near(Math.cos(angle))];
  const [cx, cy] = [width / 2, height / 2];
  const [c, f] = [a * -cx + b * -cy + cx, d * -cx + e * -cy + cy];
  const out = raster(width, height, channels);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const xin = a * (column + 0.5) + b * (row + 0.5) + c;
      const yin = d * (column + 0.5) + e * (row + 0.5) + f;
      if (xin < 0 || xin >= width || yin < 0 || yin >= height) continue;
      const [x, y] = [Math.floor(xin - 0.5), Math.floor(yin - 0.5)];
      const [dx, dy] = [xin - 0.5 - x, yin - 0.5 - y];
      for (let k = 0; k < channels; k++) {
        const line = (r) => {
          const at = clip(r, height - 1) * width;
          const p = (i) => data[(at + clip(x + i, width - 1)) * channels + k];
          return cubic(p(-1), p(0), p(1), p(2), dx);
        };
        const v1 = line(y - 1);
        const v2 = y >= 0 && y < height ? line(y) : v1;
        const v3 = y + 1 >= 0 && y + 1 < height ? line(y + 1) : v2;
        const v4 = y + 2 >= 0 && y + 2 < height ? line(y + 2) : v3;
        const v = cubic(v1, v2, v3, v4, dy);
        out.data[(row * width + column) * channels + k] = v <= 0 ? 0 : v >= 255 ? 255 : Math.trunc(v);
      }
    }
  }
  return out;
}

/** A part of a picture; beyond it black, or its nearest pixel. */
export function crop(image, left, top, width, height, nearest = false) {
  const { channels, data } = image;
  const out = raster(width, height, channels, new data.constructor(width * height * channels));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [sx, sy] = [left + x, top + y];
      if (!nearest && (sx < 0 || sy < 0 || sx >= image.width || sy >= image.height)) continue;
      const from = (clip(sy, image.height - 1) * image.width + clip(sx, image.width - 1)) * channels;
      for (let c = 0; c < channels; c++) out.data[(y * width + x) * channels + c] = data[from + c];
    }
  }
  return out;
}
