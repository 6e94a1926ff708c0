/** The second tab: a camera or a film, its faces followed over time. Frames are looked at and forgotten. */

import { asCsv, withRisk } from "./rows.js";
import { Tracks } from "./tracks.js";
import { byId, COLOURS, drawBoxes, drawTimeline, element, liveCard, plural, save } from "./view.js";

const LONGER = 640; // pixels of a frame's longer side that is looked at
const SECONDS = 30; // of the line over time
const MOST_ROWS = 200_000;
const SAID_S = 3; // seconds between two words to a screen reader

export function startCamera(shared, notify) {
  const video = byId("video");
  const overlay = byId("overlay");
  let stream = null;
  let address = "";
  let running = 0; // grows with every start and stop: what an older one still awaits does not count
  let tracks = new Tracks();
  let rows = [];
  let pace = null;
  let said = 0;

  const allow = () => {
    const allowed = Boolean(shared.card) && byId("consent").checked;
    byId("camera-start").disabled = !allowed;
    byId("film").disabled = !allowed;
    byId("film-label").setAttribute("aria-disabled", String(!allowed));
  };
  shared.onReady.push(() => {
    allow();
    byId("legend").replaceChildren(
      ...shared.card.classes.map((name, k) => {
        const made = element("span", "", name);
        made.style.setProperty("--colour", COLOURS[k % COLOURS.length]);
        return made;
      }),
    );
  });
  byId("consent").addEventListener("change", () => {
    allow();
    if (!byId("consent").checked) stop();
  });

  async function startLive() {
    stop();
    if (!navigator.mediaDevices?.getUserMedia) {
      notify("This browser gives no camera to a page that did not come by HTTPS, or from this machine.");
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: LONGER }, facingMode: "user" }, audio: false });
    } catch (error) {
      notify(`The camera cannot be used: ${error.message || error.name}.`);
      return;
    }
    notify("");
    video.srcObject = stream;
    await follow(true);
  }

  async function startFilm(file) {
    stop();
    address = URL.createObjectURL(file);
    video.srcObject = null;
    video.src = address;
    notify("");
    await follow(false, file.name);
  }

  /** Look at one frame after the other, at the newest each time; those in between are dropped and counted. */
  async function follow(live, name = "camera") {
    const mine = ++running;
    clear();
    byId("view").classList.toggle("mirrored", live);
    byId("stage").hidden = false;
    byId("camera-stop").hidden = false;
    byId("camera").classList.add("running");
    pace = { live, looked: 0, dropped: 0, took: [] };
    try {
      await video.play();
    } catch (error) {
      if (mine === running) {
        notify(`This film cannot be played here: ${error.message}.`);
        stop();
      }
      return;
    }
    const began = performance.now();
    let presented = 0;
    while (mine === running) {
      const frame = await nextFrame(video);
      if (mine !== running) return;
      if (frame === null) break;
      if (presented) pace.dropped += Math.max(0, frame.presentedFrames - presented - 1);
      presented = frame.presentedFrames;
      const time = live ? (performance.now() - began) / 1000 : frame.mediaTime;
      const scale = Math.min(1, LONGER / Math.max(video.videoWidth, video.videoHeight));
      const [width, height] = [video.videoWidth, video.videoHeight].map((v) => Math.max(1, Math.round(v * scale)));
      const from = performance.now();
      const bitmap = await createImageBitmap(video, { resizeWidth: width, resizeHeight: height });
      const answer = await shared.looker.look(bitmap, name, { smallest: Number(byId("smallest").value) });
      if (mine !== running) return;
      pace.looked += 1;
      pace.took = [...pace.took.slice(-29), performance.now() - from];
      const bound = shared.bound();
      const told = tracks.add(answer.rows.map((row) => withRisk(row, bound)), Number(time.toFixed(3)));
      if (rows.length < MOST_ROWS) rows.push(...told);
      show(told, width, height, live);
    }
    finish();
  }

  function show(told, width, height, mirrored) {
    [overlay.width, overlay.height] = [width, height];
    drawBoxes(overlay, told, { mirrored });
    const faces = told.filter((row) => row.face !== null);
    const cards = faces.map((row) => liveCard(row, shared.card, `Face ${row.track}`));
    byId("now").replaceChildren(...(cards.length ? cards : [element("p", "muted", "No face is in view.")]));
    const main = faces.length ? largest(faces) : null;
    if (main) {
      byId("timeline-figure").hidden = false;
      byId("timeline-of").textContent = `Face ${main.track}, smoothed:`;
      const since = main.time_s - SECONDS;
      const points = [];
      for (let i = rows.length - 1; i >= 0 && rows[i].time_s >= since; i--) {
        if (rows[i].track === main.track) points.unshift(rows[i]);
      }
      drawTimeline(byId("timeline"), points, shared.card.classes, SECONDS);
    }
    const mean = pace.took.reduce((a, b) => a + b, 0) / pace.took.length;
    let line = `${(1000 / mean).toFixed(0)} frames a second looked at`;
    if (pace.dropped) line += `; ${pace.dropped} of ${pace.dropped + pace.looked} dropped to keep up`;
    byId("pace").textContent = line + ".";
    byId("camera-csv").hidden = false;
    if (performance.now() - said > SAID_S * 1000) {
      said = performance.now();
      const words = faces.map((row) => `face ${row.track} ${row.abstained ? "no answer" : row.top}`);
      byId("said").textContent = words.length ? words.join(", ") : "no face";
    }
  }

  function finish() {
    running += 1;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    byId("camera-stop").hidden = true;
    byId("camera").classList.remove("running");
    byId("camera-clear").hidden = !rows.length;
    if (pace) byId("pace").textContent += ` Stopped: ${plural(pace.looked, "frame")} looked at, ${plural(rows.length, "row")}.`;
    pace = null;
  }

  function stop() {
    if (pace === null && stream === null) return;
    video.pause();
    finish();
    video.srcObject = null;
    video.removeAttribute("src");
    video.load();
    if (address) URL.revokeObjectURL(address);
    address = "";
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
  }

  function clear() {
    rows = [];
    tracks = new Tracks();
    byId("pace").textContent = "";
    for (const id of ["timeline-figure", "camera-csv", "camera-clear"]) byId(id).hidden = true;
    byId("now").replaceChildren();
  }

  byId("camera-start").addEventListener("click", startLive);
  byId("camera-stop").addEventListener("click", stop);
  byId("film").addEventListener("change", () => {
    const [file] = byId("film").files;
    if (file) startFilm(file);
    byId("film").value = "";
  });
  byId("camera-csv").addEventListener("click", () => {
    save("expressions.csv", asCsv(rows, shared.card, true), "text/csv");
  });
  byId("camera-clear").addEventListener("click", () => {
    clear();
    byId("stage").hidden = true;
  });
}

const largest = (faces) => faces.reduce((a, b) => (area(b) > area(a) ? b : a));
const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);

/** The next frame that the video shows: {mediaTime, presentedFrames}; null after its last. */
function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.ended) {
      resolve(null);
      return;
    }
    const onEnd = () => resolve(null);
    video.addEventListener("ended", onEnd, { once: true });
    video.addEventListener("emptied", onEnd, { once: true });
    const done = (frame) => {
      video.removeEventListener("ended", onEnd);
      video.removeEventListener("emptied", onEnd);
      resolve(frame);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, frame) => done(frame));
    else requestAnimationFrame(() => done({ mediaTime: video.currentTime, presentedFrames: 0 }));
  });
}
