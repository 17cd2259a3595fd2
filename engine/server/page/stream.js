// Server-sent events that survive a lost connection and a restarted server: each event comes once, in order.

import { parse } from "./api.js";

const AGAIN_MS = 1000;

export class Stream {
  // onEvent(kind, data) for each event of `kinds`; onState(connected) when the connection comes or goes.
  constructor(path, kinds, onEvent, onState = () => {}, after = null) {
    Object.assign(this, { path, kinds, onEvent, onState, last: after, closed: false, timer: null });
    this.open();
  }

  open() {
    const place = this.last === null ? this.path : `${this.path}?after=${this.last}`;
    this.source = new EventSource(place);
    this.source.onopen = () => this.onState(true);
    this.source.onerror = () => this.lost();
    for (const kind of this.kinds) {
      this.source.addEventListener(kind, (event) => this.take(kind, event));
    }
  }

  take(kind, event) {
    const id = Number(event.lastEventId);
    if (this.closed || (this.last !== null && id <= this.last)) return; // it was here before the connection was lost
    this.last = id;
    this.onEvent(kind, parse(event.data));
  }

  // The browser connects again by itself, with Last-Event-ID, unless an answer was an error (a proxy's 502).
  lost() {
    if (this.closed) return;
    this.onState(false);
    if (this.source.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => !this.closed && this.open(), AGAIN_MS);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
