/** The first tab: pictures that are chosen, dropped or pasted. */

import { asCsv, emptyRow, withRisk } from "./rows.js";
import { byId, drawBoxes, element, faceCard, plural, save } from "./view.js";

const MOST_PIXELS = 1 << 26;
const DRAWN = 1280; // pixels of a drawn picture's longer side

export function startPictures(shared, notify) {
  const files = byId("files");
  const drop = byId("drop");
  const seen = []; // {rows, made: the element, bitmap: small copy, scale}
  let waiting = 0;

  shared.onReady.push(() => {
    files.disabled = false;
  });

  async function take(given) {
    if (!shared.card) return;
    const pictures = [...given].filter((file) => file.type.startsWith("image/"));
    if (given.length && !pictures.length) notify("These are no pictures.");
    else notify("");
    waiting += pictures.length;
    for (const file of pictures) {
      await lookAt(file);
      waiting -= 1;
      count();
    }
  }

  async function lookAt(file) {
    const name = file.name || "pasted picture";
    const one = { made: element("article", "result"), small: null, scale: 1 };
    try {
      const bitmap = await decoded(file);
      one.scale = Math.min(1, DRAWN / Math.max(bitmap.width, bitmap.height));
      const [w, h] = [bitmap.width, bitmap.height].map((v) => Math.max(1, Math.round(v * one.scale)));
      one.small = await createImageBitmap(bitmap, { resizeWidth: w, resizeHeight: h, resizeQuality: "high" });
      one.rows = (await shared.looker.look(bitmap, name)).rows;
    } catch (error) {
      one.rows = [emptyRow(name, `cannot be decoded (${error.message})`, shared.card)];
    }
    seen.push(one);
    byId("results").prepend(one.made);
    show(one);
  }

  function show(one) {
    const rows = one.rows.map((row) => withRisk(row, shared.bound()));
    const children = [element("h2", "", rows[0].image)];
    if (one.small) {
      const canvas = element("canvas");
      [canvas.width, canvas.height] = [one.small.width, one.small.height];
      canvas.getContext("2d").drawImage(one.small, 0, 0);
      drawBoxes(canvas, rows, { scale: one.scale });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${rows[0].image} with ${plural(rows.filter((r) => r.box).length, "face")}`);
      children.push(canvas);
    }
    const faces = element("div", "faces");
    for (const row of rows) {
      if (row.face === null) faces.append(element("p", "row-error", `${row.reason[0].toUpperCase()}${row.reason.slice(1)}.`));
      else faces.append(faceCard(row, shared.card, `Face ${row.face + 1}`));
    }
    one.made.classList.toggle("many", rows.length > 2);
    one.made.replaceChildren(...children, faces);
  }

  function count() {
    const rows = all();
    const faces = rows.filter((row) => row.face !== null);
    const silent = faces.filter((row) => row.abstained).length;
    let told = `${plural(seen.length, "picture")}, ${plural(faces.length, "face")}`;
    if (silent) told += `, ${silent} without an answer`;
    if (waiting) told += `; ${waiting} to go`;
    byId("picture-count").textContent = told;
    byId("picture-bar").hidden = !seen.length;
  }

  const all = () => seen.flatMap((one) => one.rows.map((row) => withRisk(row, shared.bound())));

  shared.onBound.push(() => {
    seen.forEach(show);
    if (seen.length) count();
  });
  files.addEventListener("change", () => {
    take(files.files).finally(() => (files.value = ""));
  });
  document.addEventListener("paste", (event) => {
    if (!byId("pictures").hidden && event.clipboardData?.files.length) take(event.clipboardData.files);
  });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "dragend", "drop"]) {
    document.addEventListener(kind, () => drop.classList.remove("over"));
  }
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!byId("pictures").hidden) take(event.dataTransfer.files);
  });
  byId("picture-csv").addEventListener("click", () => save("expressions.csv", asCsv(all(), shared.card), "text/csv"));
  byId("picture-json").addEventListener("click", () => {
    save("expressions.json", JSON.stringify(all(), null, 2), "application/json");
  });
  byId("picture-clear").addEventListener("click", () => {
    seen.length = 0;
    byId("results").replaceChildren();
    byId("picture-bar").hidden = true;
  });
}

/** A file as a bitmap, upright, with its own levels: as Pillow decodes it. */
async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("it is no picture that this browser knows");
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error(`it has ${bitmap.width} x ${bitmap.height} pixels`);
  return bitmap;
}
