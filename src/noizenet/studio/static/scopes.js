// Displays during playback: waveform, spectrogram, envelope, and the state of the network.

import { $ } from "./app.js";

const colors = Array.from({ length: 256 }, (_, v) => {
  const t = v / 255; // dark blue, violet, orange, light
  return `rgb(${Math.round(255 * Math.min(1, 1.6 * t))},${Math.round(255 * Math.max(0, 1.5 * t - 0.45))},${Math.round(255 * (0.15 + 0.9 * Math.max(0, t < 0.5 ? t : 1.4 * t - 0.55) * (t < 0.5 ? 1 : 0.7)))})`;
});

export class Scopes {
  constructor(player) {
    this.player = player;
    this.loud = [];
    this.states = [];
    player.addEventListener("see", ({ detail }) => { this.states.push(detail); if (this.states.length > 150) this.states.shift(); this.changed = true; });
    this.tick = this.tick.bind(this);
    this.frame = 0;
    requestAnimationFrame(this.tick);
  }

  tick() {
    requestAnimationFrame(this.tick);
    // Half the frame rate is smooth enough and leaves processor time for the audio.
    if (++this.frame % 2 || document.hidden || $("page-radio").hidden || !this.player.playing || !this.player.analyser) return;
    const analyser = this.player.analyser, style = getComputedStyle(document.documentElement);
    this.ink = style.getPropertyValue("--ink");
    this.accent = style.getPropertyValue("--accent");
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    this.wave(samples);
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    this.spectrum(bins);
    this.envelope(samples);
    if (this.changed) this.gates();
    this.changed = false;
  }

  wave(samples) {
    const canvas = $("wave"), g = canvas.getContext("2d"), { width, height } = canvas;
    g.clearRect(0, 0, width, height);
    g.strokeStyle = this.accent;
    g.lineWidth = 1.5;
    g.beginPath();
    samples.forEach((v, i) => g.lineTo((i / samples.length) * width, height / 2 - v * height * 0.48));
    g.stroke();
  }

  spectrum(bins) {
    const canvas = $("spectrogram"), g = canvas.getContext("2d"), { width, height } = canvas;
    g.drawImage(canvas, -2, 0);
    for (let y = 0; y < height; y += 2) {
      const db = bins[Math.min(bins.length - 1, Math.floor((1 - y / height) * bins.length))];
      g.fillStyle = colors[Math.max(0, Math.min(255, Math.round(((db + 110) / 90) * 255)))] || colors[0];
      g.fillRect(width - 2, y, 2, 2);
    }
  }

  envelope(samples) {
    let sum = 0;
    for (const v of samples) sum += v * v;
    this.loud.push(Math.sqrt(sum / samples.length));
    if (this.loud.length > 450) this.loud.shift();
    const canvas = $("envelope"), g = canvas.getContext("2d"), { width, height } = canvas;
    g.clearRect(0, 0, width, height);
    g.fillStyle = this.accent;
    this.loud.forEach((v, i) => {
      const tall = Math.max(1, Math.max(0, 1 + Math.log10(v + 1e-6) / 2.5) * height);
      g.fillRect(width - 2 * (this.loud.length - i), height - tall, 2, tall);
    });
  }

  gates() {
    const canvas = $("gates"), g = canvas.getContext("2d"), { width, height } = canvas;
    g.clearRect(0, 0, width, height);
    // States, then the gates of the cell of the model.
    const latest = this.states.at(-1) ?? {}, names = Object.keys(latest).filter((name) => Array.isArray(latest[name]));
    const tall = height / Math.max(1, names.length), step = (width - 20) / 150;
    g.font = "13px system-ui, sans-serif";
    names.forEach((name, n) => {
      // Sigmoid gates, from 0 to 1, are spread over the colours; states and candidates also have negative values.
      const isGate = !["h", "c"].includes(name) && this.states.every((state) => (state[name] ?? []).every((v) => v >= 0));
      this.states.forEach((state, t) => {
        const units = state[name];
        if (!units) return;
        const cell = (tall - 3) / units.length;
        units.forEach((v, u) => {
          const value = isGate ? 2 * v - 1 : Math.max(-1, Math.min(1, v));
          g.fillStyle = value > 0 ? `rgba(217,95,2,${value})` : `rgba(31,120,180,${-value})`;
          g.fillRect(20 + t * step, n * tall + u * cell, step + 0.5, cell + 0.3);
        });
      });
      g.fillStyle = this.ink;
      g.fillText(name, 4, n * tall + tall / 2 + 4);
    });
  }
}
