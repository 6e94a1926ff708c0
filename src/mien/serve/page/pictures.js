/** The first tab: pictures that are chosen, dropped or pasted. */

import { asCsv, emptyRow, withRisk } from "./rows.js";
import { byId, drawBoxes, element, faceCard, plural, save } from "./view.js";

const MOST_PIXELS = 1 << 26;
const DRAWN = 1280; // pixels of a drawn picture's longer side

export function startPictures(shared, notify) {
  const files = byId("files");
  const drop = byId("drop");
  let seen = []; // {rows, made: the element, overlay: a canvas or null, scale}
  let waiting = 0;
  let session = 0; // ended by Clear: what is still being looked at then does not come back

  shared.onReady.push(() => {
    files.disabled = false;
  });

  async function take(given) {
    if (!shared.card) return;
    const mine = session;
    const pictures = [...given].filter((file) => file.type.startsWith("image/"));
    const others = given.length - pictures.length;
    const some = others === 1 ? "1 file is no picture" : `${others} files are no pictures`;
    notify(given.length && !pictures.length ? "These are no pictures." : others ? `${some}, and not looked at.` : "");
    waiting += pictures.length;
    for (const file of pictures) {
      const one = await lookedAt(file);
      if (mine !== session) return;
      waiting -= 1;
      seen.push(one);
      byId("results").prepend(one.made);
      show(one);
      count();
    }
  }

  async function lookedAt(file) {
    const name = file.name || "pasted picture";
    const one = { made: element("article", "result"), base: null, overlay: null, scale: 1 };
    let bitmap;
    try {
      bitmap = await decoded(file);
    } catch (error) {
      one.rows = [emptyRow(name, `cannot be decoded (${error.message})`, shared.card)];
      return one;
    }
    try {
      one.scale = Math.min(1, DRAWN / Math.max(bitmap.width, bitmap.height));
      [one.base, one.overlay] = [element("canvas"), element("canvas", "over")];
      for (const canvas of [one.base, one.overlay]) {
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((v) => Math.max(1, Math.round(v * one.scale)));
      }
      const pen = one.base.getContext("2d");
      if (pen && one.overlay.getContext("2d")) pen.drawImage(bitmap, 0, 0, one.base.width, one.base.height);
      else [one.base, one.overlay] = [null, null]; // a phone has room for some canvases: the rows are told without
      one.rows = (await shared.looker.look(bitmap, name)).rows;
    } catch (error) {
      bitmap.close();
      one.rows = [emptyRow(name, `could not be looked at (${error.message})`, shared.card)];
    }
    return one;
  }

  function show(one) {
    const rows = one.rows.map((row) => withRisk(row, shared.bound()));
    const children = [element("h2", "", rows[0].image)];
    if (one.base) {
      one.overlay.getContext("2d").clearRect(0, 0, one.overlay.width, one.overlay.height);
      drawBoxes(one.overlay, rows, { scale: one.scale });
      one.overlay.setAttribute("role", "img");
      const faces = plural(rows.filter((row) => row.box).length, "face");
      one.overlay.setAttribute("aria-label", `${rows[0].image} with ${faces}`);
      children.push(element("div", "stack", one.base, one.overlay));
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
    const faces = all().filter((row) => row.face !== null);
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
    if (event.target.closest?.("input[type=file]")) return; // what a field of files takes by itself
    event.preventDefault();
    const dropped = event.dataTransfer.files;
    if (!byId("pictures").hidden) take(dropped);
    else if (!byId("camera").hidden && dropped.length) shared.openFilm(dropped[0]);
  });
  byId("picture-csv").addEventListener("click", () => save("expressions.csv", asCsv(all(), shared.card), "text/csv"));
  byId("picture-json").addEventListener("click", () => {
    save("expressions.json", JSON.stringify(all(), null, 2), "application/json");
  });
  byId("picture-clear").addEventListener("click", () => {
    session += 1;
    [seen, waiting] = [[], 0];
    byId("results").replaceChildren();
    byId("files").focus(); // what was pressed goes away, and with it the place of who uses no mouse
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
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    bitmap.close();
    throw new Error(`it has ${width} x ${height} pixels`);
  }
  return bitmap;
}
