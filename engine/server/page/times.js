// Where a frame's time went: a bar of phases, and the same in words.

import { make, seconds } from "./dom.js";

const PHASES = {
  memory: "rewrite the sentence",
  prefill: "read the sentence",
  draw: "draw the draft",
  decode: "decode the draft",
  correct: "correct",
  encode: "encode again",
  replace: "replace in the context",
};

export function times(frame) {
  const ran = Object.entries(frame.phases_ms ?? {}).filter(([, ms]) => ms > 0);
  const total = ran.reduce((sum, [, ms]) => sum + ms, 0);
  if (!total) return null;
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  for (const [name, ms] of ran) {
    const part = make("span", { "data-phase": name, title: `${PHASES[name] ?? name}: ${seconds(ms)}` });
    part.style.flexGrow = ms / total;
    bar.append(part);
  }
  const list = make("dl", { class: "phases" });
  for (const [name, ms] of ran) {
    list.append(make("div", {}, make("dt", { "data-phase": name, text: PHASES[name] ?? name }),
      make("dd", { text: seconds(ms) })));
  }
  const longest = ran.filter(([, ms]) => ms > total / 10).map(([name, ms]) =>
    make("span", { "data-phase": name, text: `${name} ${seconds(ms)}` }));
  return make("details", { class: "times" }, make("summary", {}, bar,
    make("span", { class: "total", text: seconds(frame.latency_ms ?? total) }), make("span", { class: "main" }, ...longest)), list);
}
