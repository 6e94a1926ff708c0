/** The third tab: a table goes to the server, a report comes back. */

import { byId, save } from "./view.js";

export function startAudit(shared) {
  let report = "";
  let asked = 0; // an older answer that comes later does not count
  const state = byId("audit-state");

  byId("audit-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = byId("table").files;
    if (!file) return;
    const mine = ++asked;
    state.textContent = "Auditing …";
    byId("report").hidden = true;
    byId("report-save").hidden = true;
    const headers = { "content-type": "text/csv", accept: "text/html" };
    if (shared.token) headers.authorization = `Bearer ${shared.token}`;
    let body;
    try {
      body = await file.arrayBuffer();
    } catch {
      if (mine === asked) state.textContent = "The table was changed or cannot be read any more: choose it again.";
      return;
    }
    let told;
    try {
      const by = encodeURIComponent(byId("by").value.trim());
      const answer = await fetch(`v1/audit?by=${by}`, { method: "POST", headers, body });
      if (mine !== asked) return;
      if (!answer.ok) {
        const { detail } = await answer.json().catch(() => ({}));
        if (mine === asked) state.textContent = detail ?? `The server answered ${answer.status}.`;
        return;
      }
      told = await answer.text();
    } catch {
      if (mine === asked) state.textContent = "The server cannot be reached.";
      return;
    }
    if (mine !== asked) return;
    report = told;
    state.textContent = "";
    byId("report").srcdoc = report;
    byId("report").hidden = false;
    byId("report-save").hidden = false;
  });
  byId("report-save").addEventListener("click", () => save("audit.html", report, "text/html"));
}
