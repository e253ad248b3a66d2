// A plane of genres: each has a place on a circle, and the handle hears those that are near.

import { ARROWS, place } from "/live/dom.js";

const SIZE = 320, RING = 120;

/** Weights of genres at a point: by nearness, the farthest left out; the middle hears all alike. */
export function weights(point, count) {
  const spots = places(count);
  const near = spots.map(([x, y]) => 1 / (0.02 + ((point[0] - x) ** 2 + (point[1] - y) ** 2) / RING ** 2) ** 1.5);
  const most = Math.max(...near);
  const kept = near.map((v) => (v / most < 0.03 ? 0 : v));
  const sum = kept.reduce((a, b) => a + b, 0);
  return kept.map((v) => v / sum);
}

export function places(count) {
  if (count === 1) return [[SIZE / 2, SIZE / 2]];
  return Array.from({ length: count }, (_, i) => {
    const angle = (2 * Math.PI * i) / count - Math.PI / 2;
    return [SIZE / 2 + RING * Math.cos(angle), SIZE / 2 + RING * Math.sin(angle)];
  });
}

export class Pad {
  constructor(canvas, onMix) {
    this.canvas = canvas;
    this.onMix = onMix;
    this.genres = [];
    this.point = [SIZE / 2, SIZE / 2];
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); this.to(e); });
    canvas.addEventListener("pointermove", (e) => { if (canvas.hasPointerCapture(e.pointerId)) this.to(e); });
    canvas.addEventListener("keydown", (e) => {
      const way = ARROWS[e.key];
      const number = Number(e.key);
      if (way) this.move(this.point[0] + 12 * way[0], this.point[1] - 12 * way[1]);
      else if (number >= 1 && number <= this.genres.length) this.move(...places(this.genres.length)[number - 1]);
      else return;
      e.preventDefault();
    });
  }

  show(genres, mix) {
    this.genres = genres;
    const spots = places(Math.max(1, genres.length));
    const only = genres.indexOf(mix);
    this.point = only >= 0 ? spots[only] : [SIZE / 2, SIZE / 2];
    this.canvas.setAttribute("aria-disabled", String(!genres.length));
    this.draw();
  }

  to(e) {
    this.move(...place(e, this.canvas, SIZE, SIZE));
  }

  move(x, y) {
    if (!this.genres.length) return;
    this.point = [x, y].map((v) => Math.max(10, Math.min(SIZE - 10, v)));
    this.draw();
    this.onMix(this.mix());
  }

  mix() {
    const found = weights(this.point, this.genres.length);
    return this.genres.map((g, i) => [g, found[i]]).filter(([, w]) => w > 0.005);
  }

  draw() {
    const g = this.canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const [ink, accent] = ["--ink", "--accent"].map((n) => style.getPropertyValue(n));
    g.clearRect(0, 0, SIZE, SIZE);
    g.font = "14px system-ui, sans-serif";
    g.textAlign = "center";
    g.fillStyle = g.strokeStyle = ink;
    if (!this.genres.length) {
      g.fillText("this model was told no genres", SIZE / 2, SIZE / 2);
      return;
    }
    const found = weights(this.point, this.genres.length);
    places(this.genres.length).forEach(([x, y], i) => {
      g.globalAlpha = 0.25 + 0.75 * found[i];
      g.fillStyle = accent;
      g.beginPath();
      g.arc(x, y, 6 + 18 * found[i], 0, 7);
      g.fill();
      g.globalAlpha = 1;
      g.fillStyle = ink;
      g.fillText(`${i + 1} ${this.genres[i]}`, Math.max(50, Math.min(SIZE - 50, x)), y + (y < SIZE / 2 ? -26 : 36));
    });
    g.lineWidth = 3;
    g.beginPath();
    g.arc(...this.point, 9, 0, 7);
    g.stroke();
    const text = this.mix().map(([n, w]) => `${n} ${Math.round(100 * w)} %`).join(", ");
    this.canvas.setAttribute("aria-valuetext", text);
    this.text = text;
  }
}
