/** Requests to the server, and the pictures fetched ahead. */

const PATIENCE_MS = 15000;

/** The server did not answer, or said that it cannot answer now: ask again later. */
export class Away extends Error {}

/** The server refused; the message says why. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function detailOf(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
  } catch {
    // not JSON: say the status below
  }
  return `The server refused (status ${response.status}).`;
}

export class Server {
  constructor() {
    this.token = null;
    this.pictures = new Map(); // address -> promise of a blob address
  }

  async fetch(path, options = {}) {
    const headers = { ...options.headers };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    } catch {
      throw new Away("The server does not answer.");
    }
    if (response.status >= 500 || response.status === 429) {
      throw new Away(`The server has trouble (status ${response.status}).`);
    }
    if (!response.ok) throw new Refused(response.status, await detailOf(response));
    return response;
  }

  async ask(method, path, body) {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const response = await this.fetch(path, { method, ...json });
    if (response.status === 204) return null;
    try {
      return await response.json();
    } catch {
      throw new Away("The server's answer broke off.");
    }
  }

  /** The address of a picture in this browser's memory; fetched once, needs the key. */
  picture(path) {
    if (!this.pictures.has(path)) {
      const fetched = this.fetch(path).then(async (response) => URL.createObjectURL(await response.blob()));
      fetched.catch(() => this.pictures.delete(path));
      this.pictures.set(path, fetched);
    }
    return this.pictures.get(path);
  }

  /** Let go of all pictures but these. */
  keepPictures(paths) {
    for (const [path, fetched] of this.pictures) {
      if (paths.includes(path)) continue;
      this.pictures.delete(path);
      fetched.then((address) => URL.revokeObjectURL(address), () => {});
    }
  }
}
