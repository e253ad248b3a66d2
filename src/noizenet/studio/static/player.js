// A connection to the studio: requests as many samples as the buffer needs, plays them, and sends control changes (moves).

import { BufferQueue } from "./queue.js";

const CLOSE_DISCARD = 4000; // close code: the studio discards the instrument

export class Player extends EventTarget {
  constructor() {
    super();
    this.target = 0.28; // buffered audio, in seconds
    this.playing = false;
    this.reset();
  }

  reset() {
    this.received = this.requested = 0;
    this.state = { played: 0, held: 0, missing: 0 };
    this.base = { played: 0, missing: 0 };
  }

  emit(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async start(options) {
    this.stop();
    this.options = options;
    this.playing = true;
    this.session = "";
    this.paused = false;
    this.retries = 0;
    this.startedAt = performance.now();
    this.first = null;
    // Created in the click handler, since browsers block audio without a user gesture.
    this.audio ??= new AudioContext({ sampleRate: options.rate, latencyHint: "interactive" });
    if (this.audio.sampleRate !== options.rate) {
      await this.audio.close();
      this.audio = new AudioContext({ sampleRate: options.rate, latencyHint: "interactive" });
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
      this.node.port.onmessage = ({ data }) => this.update(data);
    }
    this.connect();
  }

  connect() {
    this.node.port.postMessage({ type: "clear" });
    this.reset();
    this.waiting = true;
    const { rate, ...query } = this.options;
    const parameters = new URLSearchParams(Object.entries({ ...query, session: this.session }).filter(([, v]) => v !== "" && v != null));
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/radio?${parameters}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(data); };
    socket.onclose = () => { if (socket === this.socket) this.lost(); };
    this.socket = socket;
  }

  receive(data) {
    if (typeof data !== "string") {
      const samples = new Int16Array(data), columns = [];
      for (let c = 0; c < this.channels; c++) {
        const column = new Float32Array(samples.length / this.channels);
        for (let i = 0; i < column.length; i++) column[i] = samples[i * this.channels + c] / 32768;
        columns.push(column);
      }
      this.received += columns[0].length;
      this.emit("sound", { samples: columns[0] });
      this.node.port.postMessage({ type: "sound", columns }, columns.map((c) => c.buffer));
      if (this.waiting && this.received >= Math.min(this.target, 0.15) * this.rate) {
        this.waiting = false;
        this.node.port.postMessage({ type: "start" });
        this.first = performance.now() - this.startedAt;
        this.emit("first", { ms: this.first });
      }
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      const resumed = this.session && message.session === this.session;
      this.session = message.session;
      this.rate = message.sample_rate;
      this.channels = message.channels;
      this.retries = 0;
      this.emit("hello", { ...message, resumed });
      this.pull();
    } else if (message.type === "impossible") {
      this.playing = false;
      this.emit("impossible", message);
    } else this.emit(message.type, message);
  }

  /** Requests the samples missing to the target; samples on the way count as buffered. */
  pull() {
    if (!this.playing || this.paused || !this.rate || this.socket?.readyState !== WebSocket.OPEN) return;
    const ahead = this.requested - (this.state.played - this.base.played);
    const missing = Math.round(this.target * this.rate) - ahead;
    if (missing > this.rate * 0.02) {
      this.requested += missing;
      this.socket.send(JSON.stringify({ type: "more", samples: missing }));
    }
  }

  update(state) {
    if (this.received === 0) this.base = { played: state.played, missing: state.missing };
    // The studio sends whole blocks, which may be more samples than requested.
    this.requested = Math.max(this.requested, this.received);
    this.state = state;
    this.pull();
    this.emit("level", { seconds: state.held / (this.rate || 1), gaps: state.missing - this.base.missing });
  }

  /** Pauses or resumes: while paused, nothing is played or generated. */
  pause(on) {
    this.paused = on;
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
    this.emit("lost", {});
    const delay = Math.min(5000, 300 * 2 ** this.retries++);
    this.retry = setTimeout(() => this.playing && this.connect(), delay);
  }

  stop() {
    this.playing = false;
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = null;
    socket?.close(CLOSE_DISCARD);
    this.node?.port.postMessage({ type: "clear" });
    this.emit("stopped", {});
  }
}
