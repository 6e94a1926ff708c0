/** What this browser keeps: the key of the annotator, unsent labels, the face at hand. */

const aside = new Map(); // where the browser forbids storage, until the page is closed

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return aside.get(key) ?? null;
  }
}

function write(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    aside.set(key, text);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export class Memory {
  /** @param {string} task One labelling task; two tasks on one address never see each other's. */
  constructor(task) {
    this.prefix = `mien-label/${task}/`;
  }

  get(name) {
    return parsed(read(this.prefix + name));
  }

  set(name, value) {
    write(this.prefix + name, value == null ? null : JSON.stringify(value));
  }

  forget() {
    for (const name of ["token", "name", "unsent", "draft"]) this.set(name, null);
  }

  /** Labels not yet acknowledged by the server, oldest first. Read anew each time: other tabs write too. */
  get unsent() {
    return this.get("unsent") ?? [];
  }

  keep(label) {
    this.set("unsent", [...this.unsent, label]);
  }

  sent(label) {
    this.set("unsent", this.unsent.filter((kept) => kept.submission_id !== label.submission_id));
  }
}
