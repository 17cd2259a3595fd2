// The API key: asked for once and exchanged for a cookie, because an EventSource sends no headers of its own.

import { $ } from "./dom.js";

let asking = null;

export async function unlock() {
  const answer = await fetch("v1/session");
  const session = await answer.json();
  if (session.required && !session.accepted) await askKey();
}

export function askKey() {
  asking ??= new Promise((resolve) => {
    const dialog = $("key");
    const form = $("key-form");
    async function submitted(event) {
      event.preventDefault();
      const message = await exchange($("key-value").value);
      $("key-error").textContent = message;
      if (message) return;
      $("key-value").value = "";
      form.removeEventListener("submit", submitted);
      dialog.close();
      asking = null;
      resolve();
    }
    form.addEventListener("submit", submitted);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
}

async function exchange(key) {
  try {
    const body = JSON.stringify({ key });
    const answer = await fetch("v1/session", { method: "POST", headers: { "content-type": "application/json" }, body });
    return answer.ok ? "" : "The server does not accept this key.";
  } catch {
    return "The server cannot be reached.";
  }
}
