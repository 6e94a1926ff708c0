/** Requests to the server, and the pictures fetched ahead. */

const PATIENCE_MS = 15000;

/** The server did not answer, or said that it cannot answer now: ask again later. The message: why, if it said so. */
export class Away extends Error {}

/** The server refused; the message says why. */
export class Refused extends Error {
  constructor(status, detail, reload) {
    super(detail);
    this.status = status;
    this.reload = reload; // this page is out of date
  }
}

async function refusal(response) {
  const { detail, reload } = await response.json().catch(() => ({})); // not JSON: the status says it
  const words = typeof detail === "string" ? detail : `The server refused (status ${response.status}).`;
  return new Refused(response.status, words, reload === true);
}

export class Server {
  constructor() {
    this.token = null;
    this.pictures = new Map(); // address -> promise of a blob address
  }

  /** One request; `read` takes the body out of the answer, within the same time. */
  async request(path, { headers, ...options }, read) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), PATIENCE_MS);
    const key = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    try {
      const response = await fetch(path, { ...options, headers: { ...headers, ...key }, cache: "no-store", signal: limit.signal });
      if (response.status === 429) throw new Away((await refusal(response)).message);
      if (response.status >= 500) throw new Away();
      if (!response.ok) throw await refusal(response);
      return await read(response);
    } catch (error) {
      throw error instanceof Refused || error instanceof Away ? error : new Away();
    } finally {
      clearTimeout(timer);
    }
  }

  ask(method, path, body) {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    return this.request(path, { method, ...json }, (response) => response.json());
  }

  file(path) {
    return this.request(path, {}, (response) => response.blob());
  }

  /** The address of a picture in this browser's memory; fetched once, needs the key. */
  picture(path) {
    if (!this.pictures.has(path)) {
      const fetched = this.file(path).then((blob) => URL.createObjectURL(blob));
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
