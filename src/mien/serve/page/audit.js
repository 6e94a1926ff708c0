/** The third tab: a table goes to the server, a report comes back. */

import { byId, save } from "./view.js";

export function startAudit(shared) {
  let report = "";
  const state = byId("audit-state");

  byId("audit-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = byId("table").files;
    if (!file) return;
    state.textContent = "Auditing …";
    byId("report").hidden = true;
    byId("report-save").hidden = true;
    const headers = { "content-type": "text/csv", accept: "text/html" };
    if (shared.token) headers.authorization = `Bearer ${shared.token}`;
    try {
      const by = encodeURIComponent(byId("by").value.trim());
      const answer = await fetch(`v1/audit?by=${by}`, { method: "POST", headers, body: await file.arrayBuffer() });
      if (!answer.ok) {
        const told = await answer.json().catch(() => ({}));
        state.textContent = told.detail ?? `The server answered ${answer.status}.`;
        return;
      }
      report = await answer.text();
    } catch {
      state.textContent = "The server cannot be reached.";
      return;
    }
    state.textContent = "";
    byId("report").srcdoc = report;
    byId("report").hidden = false;
    byId("report-save").hidden = false;
  });
  byId("report-save").addEventListener("click", () => save("audit.html", report, "text/html"));
}
