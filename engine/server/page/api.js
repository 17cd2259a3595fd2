// Requests to the service that this page came from.

import { askKey } from "./key.js";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Seeds have 64 bits and JavaScript's numbers 53: they stay texts on this side.
const seedsAsTexts = (text) => text.replace(/"seed":\s*(\d+)/g, '"seed":"$1"');
const seedsAsNumbers = (text) => text.replace(/"seed":"(\d+)"/g, '"seed":$1');

export const parse = (text) => JSON.parse(seedsAsTexts(text));

export async function api(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const sent = body === undefined ? undefined : seedsAsNumbers(JSON.stringify(body));
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: sent });
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  const text = await answer.text();
  if (answer.status === 401) {
    await askKey();
    return api(method, path, body);
  }
  let content = null;
  try {
    content = parse(text);
  } catch {
    content = null;
  }
  if (!answer.ok) throw new Refused(answer.status, content?.error?.message ?? `The server answered ${answer.status}.`);
  return content;
}

export const storyPath = (id) => `v1/stories/${encodeURIComponent(id)}`;
