// Lesson 10, live: the gates of a trained LSTM while a short piece is read.

import { button, element, place, slider, status } from "./dom.js";

const NAMES = { i: "input gate i", f: "forget gate f", g: "candidate g", o: "output gate o", c: "cell state c" };
const WIDTH = 640, ROW = 60, BAND = 4;

/** Places `data.c` in -1 … 1 by its largest value; the others are in range by nature. */
function scaled(name, value, most) {
  if (name === "c") return value / most;
  return name === "g" ? value : 2 * value - 1;
}

export async function mount(root) {
  const base = root.dataset.base || new URL("./", import.meta.url).href;
  const said = status();
  let data;
  try {
    const got = await fetch(`${base}gates.json`);
    if (!got.ok) throw new Error(`${got.status}`);
    data = await got.json();
  } catch (error) {
    said.textContent = `The gates could not be read (${error.message}); make them with: noizenet figures`;
    root.append(said);
    return;
  }
  const frames = data.f[0].length, units = data.f.length, names = Object.keys(NAMES);
  const audio = element("audio", { src: `${base}${data.sound}`, preload: "auto" });
  const height = names.length * (ROW + units * BAND);
  const canvas = element("canvas", { width: WIDTH, height, tabindex: 0, class: "live-wide", role: "img",
    "aria-label": "Each gate over time: a curve of one unit and a band of every unit. Arrow keys move in time." });
  const o = { unit: 0, at: 0 };
  const most = data.c.map((row) => Math.max(1e-6, ...row.map(Math.abs)));
  const still = document.createElement("canvas");
  still.width = WIDTH;
  still.height = height;

  function paint() {
    const g = still.getContext("2d"), ink = getComputedStyle(root).color;
    g.clearRect(0, 0, WIDTH, height);
    names.forEach((name, n) => {
      const top = n * (ROW + units * BAND);
      for (let u = 0; u < units; u++) {
        for (let t = 0; t < frames; t++) {
          const v = scaled(name, data[name][u][t], most[u]);
          g.fillStyle = v > 0 ? `rgba(217,95,2,${v})` : `rgba(31,120,180,${-v})`;
          g.fillRect((t / frames) * WIDTH, top + ROW + u * BAND, WIDTH / frames + 1, BAND - (u === o.unit ? 0 : 1));
        }
      }
      g.strokeStyle = g.fillStyle = ink;
      g.font = "14px sans-serif";
      g.fillText(NAMES[name], 6, top + 15);
      g.beginPath();
      for (let t = 0; t < frames; t++)
        g.lineTo((t / frames) * WIDTH, top + ROW / 2 + 4 - scaled(name, data[name][o.unit][t], most[o.unit]) * (ROW / 2 - 10));
      g.stroke();
    });
  }

  function draw() {
    const g = canvas.getContext("2d");
    g.clearRect(0, 0, WIDTH, height);
    g.drawImage(still, 0, 0);
    const x = (o.at / frames) * WIDTH;
    g.fillStyle = getComputedStyle(root).color;
    g.fillRect(x, 0, 2, height);
    const v = (name) => data[name][o.unit][Math.min(frames - 1, Math.floor(o.at))].toFixed(2);
    said.textContent = `${(o.at / data.rate).toFixed(2)} s, unit ${data.units[o.unit]}: i ${v("i")}, f ${v("f")}, g ${v("g")}, o ${v("o")}, c ${v("c")}.`;
  }

  function seek(frame) {
    o.at = Math.max(0, Math.min(frames - 1, frame));
    audio.currentTime = o.at / data.rate;
    draw();
  }

  function follow() {
    o.at = Math.min(frames - 1, audio.currentTime * data.rate);
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
      } catch (error) { said.textContent = `The sound cannot be played: ${error.message}`; }
    } else audio.pause();
  });
  canvas.addEventListener("pointerdown", (e) => seek((place(e, canvas, WIDTH, height)[0] / WIDTH) * frames));
  canvas.addEventListener("keydown", (e) => {
    const half = Math.round(data.rate / 2);  // a page is half a second
    const way = { ArrowLeft: -1, ArrowRight: 1, PageUp: -half, PageDown: half }[e.key];
    if (way) { seek(o.at + way); e.preventDefault(); }
    if (e.key === " ") { play.click(); e.preventDefault(); }
  });
  root.append(canvas, element("div", { class: "live-controls" }, play,
    slider("unit", { min: 0, max: units - 1, step: 1, value: 0, digits: 0 }, (u) => { o.unit = u; paint(); draw(); })), said,
    element("p", { class: "live-hint" }, "Orange: open, or above 0; blue: shut, or below 0. Click in the picture, or use the arrow keys on it, to look at a moment; the space bar plays."),
    audio);
  // Pages change their colours by an attribute of html or body: the ink follows.
  const themed = new MutationObserver(() => { paint(); draw(); });
  for (const part of [document.documentElement, document.body]) themed.observe(part, { attributes: true });
  root.dataset.ready = "yes";
}
