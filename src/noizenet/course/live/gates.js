// Live figure of lesson 10: the gates of a trained LSTM while it reads a short recording.

import { button, element, pointerPosition, slider, status } from "./dom.js";

const NAMES = { i: "input gate i", f: "forget gate f", g: "candidate g", o: "output gate o", c: "cell state c" };
const WIDTH = 640, ROW = 60, BAND = 4;

/** Scales a value to -1 … 1: the cell state c by its peak, the gates from their own ranges. */
function scaled(name, value, peak) {
  if (name === "c") return value / peak;
  return name === "g" ? value : 2 * value - 1;
}

export async function mount(root) {
  const base = root.dataset.base || new URL("./", import.meta.url).href;
  const statusLine = status();
  let data;
  try {
    const response = await fetch(`${base}gates.json`);
    if (!response.ok) throw new Error(`${response.status}`);
    data = await response.json();
  } catch (error) {
    statusLine.textContent = `The gates could not be loaded (${error.message}); create them with: noizenet figures`;
    root.append(statusLine);
    return;
  }
  const frames = data.f[0].length, units = data.f.length, names = Object.keys(NAMES);
  const audio = element("audio", { src: `${base}${data.sound}`, preload: "auto" });
  const height = names.length * (ROW + units * BAND);
  const canvas = element("canvas", { width: WIDTH, height, tabindex: 0, class: "live-wide", role: "img",
    "aria-label": "Each gate over time: a curve of one unit and a band of every unit. Arrow keys move in time." });
  const view = { unit: 0, frame: 0 };
  const peaks = data.c.map((row) => Math.max(1e-6, ...row.map(Math.abs)));
  const curves = document.createElement("canvas"); // without the cursor
  curves.width = WIDTH;
  curves.height = height;

  function paint() {
    const g = curves.getContext("2d"), colour = getComputedStyle(root).color;
    g.clearRect(0, 0, WIDTH, height);
    names.forEach((name, n) => {
      const top = n * (ROW + units * BAND);
      for (let u = 0; u < units; u++) {
        for (let t = 0; t < frames; t++) {
          const v = scaled(name, data[name][u][t], peaks[u]);
          g.fillStyle = v > 0 ? `rgba(217,95,2,${v})` : `rgba(31,120,180,${-v})`;
          g.fillRect((t / frames) * WIDTH, top + ROW + u * BAND, WIDTH / frames + 1, BAND - (u === view.unit ? 0 : 1));
        }
      }
      g.strokeStyle = g.fillStyle = colour;
      g.font = "14px sans-serif";
      g.fillText(NAMES[name], 6, top + 15);
      g.beginPath();
      for (let t = 0; t < frames; t++)
        g.lineTo((t / frames) * WIDTH, top + ROW / 2 + 4 - scaled(name, data[name][view.unit][t], peaks[view.unit]) * (ROW / 2 - 10));
      g.stroke();
    });
  }

  function draw() {
    const g = canvas.getContext("2d");
    g.clearRect(0, 0, WIDTH, height);
    g.drawImage(curves, 0, 0);
    const x = (view.frame / frames) * WIDTH;
    g.fillStyle = getComputedStyle(root).color;
    g.fillRect(x, 0, 2, height);
    const v = (name) => data[name][view.unit][Math.min(frames - 1, Math.floor(view.frame))].toFixed(2);
    statusLine.textContent = `${(view.frame / data.rate).toFixed(2)} s, unit ${data.units[view.unit]}: i ${v("i")}, f ${v("f")}, g ${v("g")}, o ${v("o")}, c ${v("c")}.`;
  }

  function seek(frame) {
    view.frame = Math.max(0, Math.min(frames - 1, frame));
    audio.currentTime = view.frame / data.rate;
    draw();
  }

  function follow() {
    view.frame = Math.min(frames - 1, audio.currentTime * data.rate);
    draw();
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
    else play.textContent = "play";
  }

  const play = button("play", async () => {
    if (audio.paused) {
      try {
        await audio.play();
        play.textContent = "pause";
        follow();
      } catch (error) { statusLine.textContent = `The audio cannot be played: ${error.message}`; }
    } else audio.pause();
  });
  canvas.addEventListener("pointerdown", (e) => seek((pointerPosition(e, canvas, WIDTH, height)[0] / WIDTH) * frames));
  canvas.addEventListener("keydown", (e) => {
    const half = Math.round(data.rate / 2);  // Page Up and Page Down move half a second
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -half, PageDown: half }[e.key];
    if (step) { seek(view.frame + step); e.preventDefault(); }
    if (e.key === " ") { play.click(); e.preventDefault(); }
  });
  root.append(canvas, element("div", { class: "live-controls" }, play,
    slider("unit", { min: 0, max: units - 1, step: 1, value: 0, digits: 0 }, (u) => { view.unit = u; paint(); draw(); })), statusLine,
    element("p", { class: "live-hint" }, "Orange: open, or above 0; blue: closed, or below 0. Click in the figure, or use the arrow keys on it, to select a time; the space bar plays."),
    audio);
  // Pages change their theme by an attribute of html or body: repaint in the new text colour.
  const themed = new MutationObserver(() => { paint(); draw(); });
  for (const part of [document.documentElement, document.body]) themed.observe(part, { attributes: true });
  root.dataset.ready = "yes";
}
