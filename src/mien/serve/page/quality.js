/** Whether a crop looks like the faces that the model knows: as mien.domain and mien.pictures.quality have it. */

const WORDS = {
  brightness: ["too dark", "too bright"],
  contrast: ["too little contrast", "too much contrast"],
  sharpness: ["blurred", "too grainy"],
};
const ROUNDING = 1e-6;
const MARGIN = 4;

/** Brightness, contrast and sharpness of a raster; NaN where there is none. */
export function qualityOf({ width, height, channels, data }) {
  const n = width * height;
  const grey = new Float64Array(n);
  let sum = 0;
  for (let i = 0; i < n; i++) {
    grey[i] = channels === 1
      ? data[i]
      : 0.299 * data[i * 3] + 0.587 * data[i * 3 + 1] + 0.114 * data[i * 3 + 2];
    sum += grey[i];
  }
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) {
    grey[i] -= mean;
    squares += grey[i] * grey[i];
  }
  const contrast = Math.sqrt(squares / n) / 255;
  const sharpness = Math.min(width, height) <= MARGIN ? NaN : sharpnessOf(grey, width, height);
  return { brightness: mean / 255, contrast: contrast < ROUNDING ? 0 : contrast, sharpness };
}

/** Energy of the Laplacian over that of the gradient, after a 3x3 binomial smoothing. */
function sharpnessOf(grey, width, height) {
  const [w, h] = [width - 2, height - 2];
  const smooth = new Float64Array(w * h);
  const line = (y, x) => grey[y * width + x] + 2 * grey[y * width + x + 1] + grey[y * width + x + 2];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) smooth[y * w + x] = line(y, x) + 2 * line(y + 1, x) + line(y + 2, x);
  }
  let [down, right, laplacian] = [0, 0, 0];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const at = y * w + x;
      if (y + 1 < h) down += (smooth[at + w] - smooth[at]) ** 2;
      if (x + 1 < w) right += (smooth[at + 1] - smooth[at]) ** 2;
      if (y && x && y + 1 < h && x + 1 < w) {
        laplacian += (smooth[at - w] + smooth[at + w] + smooth[at - 1] + smooth[at + 1] - 4 * smooth[at]) ** 2;
      }
    }
  }
  const gradient = down / ((h - 1) * w) + right / (h * (w - 1));
  return gradient > ROUNDING ? laplacian / ((h - 2) * (w - 2)) / gradient : NaN;
}

/** Why an answer for a crop had better not be used; empty where it is like the known ones. @param ranges Of the card. */
export function unlike(crop, ranges) {
  const found = qualityOf(crop);
  for (const [name, [low, high]] of Object.entries(ranges)) {
    const value = found[name];
    if (Number.isNaN(value)) return "nothing can be seen: all pixels are alike";
    const known = "of the faces that the model knows";
    if (value < low) return `${WORDS[name][0]}: ${name} ${value.toFixed(2)}, under ${low.toFixed(2)} ${known}`;
    if (value > high) return `${WORDS[name][1]}: ${name} ${value.toFixed(2)}, over ${high.toFixed(2)} ${known}`;
  }
  return "";
}
