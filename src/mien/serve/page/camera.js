/** The second tab: a camera or a film, its faces followed over time. Frames are looked at and forgotten. */

import { areaOf } from "./boxes.js";
import { asCsv, withRisk } from "./rows.js";
import { Tracks } from "./tracks.js";
import { byId, COLOURS, drawBoxes, drawTimeline, element, liveCard, plural, save, SPREAD } from "./view.js";

const WIDE = 640; // pixels that a camera is asked for
const SECONDS = 30; // of the line over time
const MOST_ROWS = 200_000;
const SAID_S = 3; // seconds between two words to a screen reader
const LOST = "Rows that were not saved will be lost. Go on?";

export function startCamera(shared, notify) {
  const video = byId("video");
  const overlay = byId("overlay");
  const consent = byId("consent");
  let session = 0; // grows with every start and stop: what an older one still awaits does not count
  let stream = null;
  let address = "";
  let tracks = new Tracks();
  let rows = [];
  let recent = []; // of the last seconds, for the line
  let unsaved = false;
  let pace = null; // {live, looked, dropped, took, said} while something runs

  consent.checked = false; // some browsers remember boxes: agreeing is for this time

  const allow = () => {
    const allowed = Boolean(shared.card) && consent.checked;
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
  consent.addEventListener("change", () => {
    allow();
    if (!consent.checked) stop();
  });

  async function startLive() {
    if (!mayBegin()) return;
    stop({ again: true });
    const mine = ++session;
    if (!navigator.mediaDevices?.getUserMedia) {
      notify("This browser gives no camera to a page that did not come by HTTPS, or from this machine.");
      return;
    }
    let given;
    try {
      given = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: WIDE }, facingMode: "user" },
        audio: false,
      });
    } catch (error) {
      if (mine === session) notify(`The camera cannot be used: ${error.message || error.name}.`);
      return;
    }
    if (mine !== session || !consent.checked || byId("camera").hidden) {
      // While the browser asked, the user changed their mind, or went to another tab.
      release(given);
      return;
    }
    stream = given;
    video.srcObject = stream;
    await follow(mine, true, "camera");
  }

  async function startFilm(file) {
    if (!mayBegin()) return;
    stop({ again: true });
    const mine = ++session;
    address = URL.createObjectURL(file);
    video.srcObject = null;
    video.src = address;
    await follow(mine, false, file.name);
  }

  const mayBegin = () => !unsaved || window.confirm(LOST);

  /** Look at one frame after the other, at the newest each time; those in between are dropped and counted. */
  async function follow(mine, live, name) {
    try {
      await video.play();
    } catch (error) {
      if (mine !== session) return;
      notify(`${live ? "The camera" : "This film"} cannot be played here: ${error.message}.`);
      stop();
      return;
    }
    if (mine !== session) return;
    notify("");
    clear();
    byId("view").classList.toggle("mirrored", live);
    byId("stage").hidden = false;
    byId("camera-stop").hidden = false;
    byId("camera").classList.add("running");
    pace = { live, looked: 0, dropped: 0, took: [], said: -Infinity };
    try {
      const whole = await lookOn(mine, live, name);
      if (mine !== session) return;
      if (!whole) notify("The film breaks off here: what was seen of it stands below.");
      finish();
    } catch (error) {
      if (mine !== session) return;
      notify(`It cannot be looked at any further: ${error.message}.`);
      stop();
    }
  }

  /** @returns Whether the film came to its end. */
  async function lookOn(mine, live, name) {
    const began = performance.now();
    let presented = 0;
    for (;;) {
      const frame = await nextFrame(video);
      if (mine !== session) return true;
      if (frame === null) return !video.error;
      if (presented) pace.dropped += Math.max(0, frame.presentedFrames - presented - 1);
      presented = frame.presentedFrames;
      const time = live ? (performance.now() - began) / 1000 : frame.mediaTime;
      const from = performance.now();
      const bitmap = await createImageBitmap(video);
      const options = { smallest: Number(byId("smallest").value) };
      const { rows: found, width, height } = await shared.looker.look(bitmap, name, options);
      if (mine !== session) return true;
      pace.looked += 1;
      pace.took = [...pace.took.slice(-29), performance.now() - from];
      const bound = shared.bound();
      const told = tracks.add(found.map((row) => withRisk(row, bound)), Number(time.toFixed(3)));
      keep(told);
      show(told, width, height, live);
    }
  }

  function keep(told) {
    recent.push(...told);
    const since = told[0].time_s - SECONDS;
    if (recent[0].time_s < since - SECONDS) recent = recent.filter((row) => row.time_s >= since);
    if (rows.length >= MOST_ROWS) return;
    rows.push(...told);
    unsaved = true;
    if (rows.length >= MOST_ROWS) notify(`${MOST_ROWS} rows are kept; from here on none is. Save them, and start again.`);
  }

  function show(told, width, height, mirrored) {
    [overlay.width, overlay.height] = [width, height];
    drawBoxes(overlay, told, { mirrored });
    const faces = told.filter((row) => row.face !== null);
    const cards = faces.map((row) => {
      const points = recent.filter((each) => each.track === row.track);
      return liveCard(row, shared.card, `Face ${row.track}`, points);
    });
    const below = cards.length ? [] : [element("p", "muted", "No face is in view.")];
    if (cards.some((card) => card.querySelector("b"))) below.push(element("p", "muted", SPREAD));
    byId("now").replaceChildren(...cards, ...below);
    if (faces.length) {
      const main = faces.reduce((a, b) => (areaOf(b.box) > areaOf(a.box) ? b : a));
      byId("timeline-figure").hidden = false;
      byId("timeline-of").textContent = `Face ${main.track}, smoothed:`;
      drawTimeline(byId("timeline"), recent.filter((row) => row.track === main.track), shared.card.classes, SECONDS);
    }
    const mean = pace.took.reduce((a, b) => a + b, 0) / pace.took.length;
    let line = `${(1000 / mean).toFixed(0)} frames a second looked at`;
    if (pace.dropped) line += `; ${pace.dropped} of ${pace.dropped + pace.looked} dropped to keep up`;
    byId("pace").textContent = line + ".";
    byId("camera-csv").hidden = false;
    if (performance.now() - pace.said > SAID_S * 1000) {
      pace.said = performance.now();
      const words = faces.map((row) => `face ${row.track} ${row.abstained ? "no answer" : row.top}`);
      byId("said").textContent = words.length ? words.join(", ") : "no face";
    }
  }

  /** The end of a film, whose last frame stays; or of whatever runs. Who begins again at once has just agreed. */
  function finish({ again = false } = {}) {
    session += 1;
    release(stream);
    stream = null;
    byId("camera").classList.remove("running");
    byId("camera-clear").hidden = !rows.length;
    if (pace && !again) {
      consent.checked = false; // others may be in view next time
      allow();
    }
    leave(byId("camera-stop"));
    if (pace) byId("pace").textContent += ` Stopped: ${plural(pace.looked, "frame")} looked at, ${plural(rows.length, "row")}.`;
    pace = null;
  }

  /** Hide a button; if it was just pressed, what can be pressed next takes its place for who uses no mouse. */
  function leave(button) {
    const next = [byId("camera-clear"), byId("camera-start"), byId("film"), consent].find(
      (each) => each !== button && !each.hidden && !each.disabled,
    );
    if (document.activeElement === button) next?.focus();
    button.hidden = true;
  }

  function stop(how = {}) {
    video.pause();
    finish(how);
    video.srcObject = null;
    video.removeAttribute("src");
    video.load();
    if (address) URL.revokeObjectURL(address);
    address = "";
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
  }

  function clear() {
    [rows, recent, tracks, unsaved] = [[], [], new Tracks(), false];
    byId("pace").textContent = "";
    for (const id of ["timeline-figure", "camera-csv"]) byId(id).hidden = true;
    leave(byId("camera-clear"));
    byId("now").replaceChildren();
  }

  byId("camera-start").addEventListener("click", startLive);
  byId("camera-stop").addEventListener("click", () => stop());
  shared.onTab.push((name) => {
    if (name === "camera" || !stream) return;
    stop();
    notify("The camera was stopped, for on this tab nobody would see that it is on. Its rows are kept.");
  });
  shared.openFilm = (file) => {
    if (!shared.card) notify("No model can be used here yet: wait until one is loaded.");
    else if (byId("film").disabled) notify("Agree to the sentence above the buttons first; then drop the film again.");
    else startFilm(file);
  };
  byId("film").addEventListener("change", () => {
    const [file] = byId("film").files;
    if (file) startFilm(file);
    byId("film").value = "";
  });
  byId("camera-csv").addEventListener("click", () => {
    save("expressions.csv", asCsv(rows, shared.card, true), "text/csv");
    unsaved = false;
  });
  byId("camera-clear").addEventListener("click", () => {
    stop();
    clear();
    byId("stage").hidden = true;
  });
  window.addEventListener("pagehide", () => release(stream));
}

const release = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** The next frame that the video shows: {mediaTime, presentedFrames}; null after its last, or where it breaks off. */
function nextFrame(video) {
  return new Promise((resolve) => {
    const ends = ["ended", "emptied", "error"];
    const done = (frame) => {
      for (const end of ends) video.removeEventListener(end, onEnd);
      resolve(frame);
    };
    const onEnd = () => done(null);
    if (video.ended || video.error) {
      resolve(null);
      return;
    }
    for (const end of ends) video.addEventListener(end, onEnd);
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, frame) => done(frame));
    else requestAnimationFrame(() => done({ mediaTime: video.currentTime, presentedFrames: 0 }));
  });
}
