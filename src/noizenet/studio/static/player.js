// One connection to the studio: it pulls as much sound as the buffer wants, plays it, and carries moves.

import { BufferQueue } from "./queue.js";

const FAREWELL = 4000; // tells the studio that nobody will come back for this instrument

export class Player extends EventTarget {
  constructor() {
    super();
    this.target = 0.28; // seconds that shall lie ready
    this.playing = false;
    this.reset();
  }

  reset() {
    this.received = this.asked = 0;
    this.state = { played: 0, held: 0, missing: 0 };
    this.base = { played: 0, missing: 0 };
  }

  say(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async begin(wish) {
    this.stop();
    this.wish = wish;
    this.playing = true;
    this.session = "";
    this.frozen = false;
    this.tries = 0;
    this.begun = performance.now();
    this.first = null;
    // Made in the click, so that the browser lets it sound.
    this.audio ??= new AudioContext({ sampleRate: wish.rate, latencyHint: "interactive" });
    if (this.audio.sampleRate !== wish.rate) {
      await this.audio.close();
      this.audio = new AudioContext({ sampleRate: wish.rate, latencyHint: "interactive" });
      this.node?.port.postMessage({ type: "clear" });
      this.node = null;
    }
    await this.audio.resume();
    if (!this.node) {
      if (this.audio.audioWorklet) {
        await this.audio.audioWorklet.addModule("worklet.js");
        this.node = new AudioWorkletNode(this.audio, "noizenet-player", { outputChannelCount: [2] });
      } else this.node = new BufferQueue(this.audio);
      this.analyser = this.audio.createAnalyser();
      this.analyser.fftSize = 1024;
      this.analyser.smoothingTimeConstant = 0;
      this.node.connect(this.analyser).connect(this.audio.destination);
      this.node.port.onmessage = ({ data }) => this.heard(data);
    }
    this.connect();
  }

  connect() {
    this.node.port.postMessage({ type: "clear" });
    this.reset();
    this.fresh = true;
    const { rate, ...wish } = this.wish;
    const query = new URLSearchParams(Object.entries({ ...wish, session: this.session }).filter(([, v]) => v !== "" && v != null));
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/radio?${query}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.take(data); };
    socket.onclose = () => { if (socket === this.socket) this.lost(); };
    this.socket = socket;
  }

  take(data) {
    if (typeof data !== "string") {
      const samples = new Int16Array(data), columns = [];
      for (let c = 0; c < this.channels; c++) {
        const column = new Float32Array(samples.length / this.channels);
        for (let i = 0; i < column.length; i++) column[i] = samples[i * this.channels + c] / 32768;
        columns.push(column);
      }
      this.received += columns[0].length;
      this.say("sound", { samples: columns[0] });
      this.node.port.postMessage({ type: "sound", columns }, columns.map((c) => c.buffer));
      if (this.fresh && this.received >= Math.min(this.target, 0.15) * this.rate) {
        this.fresh = false;
        this.node.port.postMessage({ type: "start" });
        this.first = performance.now() - this.begun;
        this.say("first", { ms: this.first });
      }
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      const again = this.session && message.session === this.session;
      this.session = message.session;
      this.rate = message.sample_rate;
      this.channels = message.channels;
      this.tries = 0;
      this.say("hello", { ...message, again });
      this.pull();
    } else if (message.type === "impossible") {
      this.playing = false;
      this.say("impossible", message);
    } else this.say(message.type, message);
  }

  /** Asks for what is missing to the target: what was asked for and has not come counts as there. */
  pull() {
    if (!this.playing || this.frozen || !this.rate || this.socket?.readyState !== WebSocket.OPEN) return;
    const ahead = this.asked - (this.state.played - this.base.played);
    const want = Math.round(this.target * this.rate) - ahead;
    if (want > this.rate * 0.02) {
      this.asked += want;
      this.socket.send(JSON.stringify({ type: "more", samples: want }));
    }
  }

  heard(state) {
    if (this.received === 0) this.base = { played: state.played, missing: state.missing };
    // The studio gives whole blocks: more than was asked for may have come.
    this.asked = Math.max(this.asked, this.received);
    this.state = state;
    this.pull();
    this.say("level", { seconds: state.held / (this.rate || 1), gaps: state.missing - this.base.missing });
  }

  /** Stands still: nothing sounds and nothing is made, until it is let go on. */
  freeze(on) {
    this.frozen = on;
    this.node?.port.postMessage({ type: on ? "hold" : "start" });
    if (!on) this.pull();
  }

  move(move) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "move", ...move }));
  }

  record(on, format) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "record", on, format }));
  }

  lost() {
    if (!this.playing) return;
    this.say("lost", {});
    const wait = Math.min(5000, 300 * 2 ** this.tries++);
    this.retry = setTimeout(() => this.playing && this.connect(), wait);
  }

  stop() {
    this.playing = false;
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = null;
    socket?.close(FAREWELL);
    this.node?.port.postMessage({ type: "clear" });
    this.say("stopped", {});
  }
}
