// Replaces the AudioWorklet, which browsers have with HTTPS or on the local computer only.
//
// Its messages are those of worklet.js. Blocks become buffer sources that start one after the other, sample-accurately.

const LEAD_S = 0.03; // from the current time to the first block, so that it is not late
const TICK_MS = 20;

export class BufferQueue {
  constructor(audio) {
    this.audio = audio;
    this.out = audio.createGain();
    this.port = { onmessage: null, postMessage: (message) => this.receive(message) };
    this.blocks = []; // not yet scheduled
    this.sources = []; // scheduled: { source, from, until, length }
    this.done = 0; // samples of the sources that have ended
    this.missing = 0;
    this.next = 0;
    this.running = false;
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  connect(node) { return this.out.connect(node); }

  receive(message) {
    if (message.type === "sound") this.blocks.push(message.columns);
    else if (message.type === "clear") this.clear();
    else if (message.type === "start") this.start();
    else if (message.type === "hold") {
      this.running = false;
      this.audio.suspend();
    }
    this.tick();
  }

  start() {
    this.running = true;
    this.audio.resume();
    this.next = Math.max(this.next, this.audio.currentTime + LEAD_S);
  }

  clear() {
    this.done = this.played();
    for (const s of this.sources) { s.source.onended = null; s.source.stop(); }
    this.sources = [];
    this.blocks = [];
    this.running = false;
    this.next = 0;
  }

  played() {
    const now = this.audio.currentTime;
    return this.done + this.sources.reduce((sum, s) => sum + Math.round(s.length * Math.min(1, Math.max(0, (now - s.from) / (s.until - s.from)))), 0);
  }

  tick() {
    const now = this.audio.currentTime;
    while (this.sources.length && this.sources[0].until <= now) this.done += this.sources.shift().length;
    if (this.running) this.schedule(now);
    const held = this.blocks.reduce((n, b) => n + b[0].length, 0) + this.sources.reduce((n, s) => n + s.length, 0) + this.done - this.played();
    this.port.onmessage?.({ data: { played: this.played(), held, missing: this.missing } });
  }

  schedule(now) {
    if (this.next < now && !this.blocks.length) { // buffer underrun
      this.missing += 1;
      this.next = now + LEAD_S;
    }
    while (this.blocks.length) {
      const columns = this.blocks.shift(), length = columns[0].length;
      const buffer = this.audio.createBuffer(columns.length, length, this.audio.sampleRate);
      columns.forEach((column, c) => buffer.copyToChannel(column, c));
      const source = this.audio.createBufferSource();
      source.buffer = buffer;
      source.connect(this.out);
      const from = Math.max(this.next, now);
      source.onended = () => this.tick(); // timers are throttled in a hidden tab, this event is not
      source.start(from);
      this.next = from + length / this.audio.sampleRate;
      this.sources.push({ source, from, until: this.next, length });
    }
  }
}
