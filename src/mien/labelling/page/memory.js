/** What this browser keeps: the key of the annotator, unsent labels, the face at hand. */

const aside = new Map(); // what the browser does not store (forbidden, full), until the page is closed

function read(key) {
  if (aside.has(key)) return aside.get(key);
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
    aside.delete(key);
  } catch {
    aside.set(key, text);
  }
}

const UNDOABLE = 100;

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
    for (const name of ["joining", "token", "name", "unsent", "given", "draft"]) this.set(name, null);
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

  /** Do unsent labels outlast this page? */
  get lasts() {
    return !aside.has(`${this.prefix}unsent`);
  }

  /** Ids of the labels that the server took from this browser, newest last: what can be taken back. */
  get given() {
    return this.get("given") ?? [];
  }

  taken(id) {
    this.set("given", [...this.given, id].slice(-UNDOABLE));
  }

  takenBack(id) {
    this.set("given", this.given.filter((kept) => kept !== id));
  }
}
