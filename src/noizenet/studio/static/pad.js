// A genre pad: the genres are on a circle, and the handle mixes those near it.

import { ARROWS, pointerPosition } from "/live/dom.js";

const SIZE = 320, RING = 120;

/** Returns the genre weights at a point: larger for near genres, 0 for far ones, equal in the centre. */
export function weights(point, count) {
  const positions = genrePositions(count);
  const near = positions.map(([x, y]) => 1 / (0.02 + ((point[0] - x) ** 2 + (point[1] - y) ** 2) / RING ** 2) ** 1.5);
  const most = Math.max(...near);
  const raw = near.map((v) => (v / most < 0.03 ? 0 : v));
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((v) => v / sum);
}

export function genrePositions(count) {
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
      const direction = ARROWS[e.key];
      const number = Number(e.key);
      if (direction) this.move(this.point[0] + 12 * direction[0], this.point[1] - 12 * direction[1]);
      else if (number >= 1 && number <= this.genres.length) this.move(...genrePositions(this.genres.length)[number - 1]);
      else return;
      e.preventDefault();
    });
  }

  show(genres, mix) {
    this.genres = genres;
    const positions = genrePositions(Math.max(1, genres.length));
    const only = genres.indexOf(mix);
    this.point = only >= 0 ? positions[only] : [SIZE / 2, SIZE / 2];
    this.canvas.setAttribute("aria-disabled", String(!genres.length));
    this.draw();
  }

  to(e) {
    this.move(...pointerPosition(e, this.canvas, SIZE, SIZE));
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
      g.fillText("this model has no genre conditioning", SIZE / 2, SIZE / 2);
      return;
    }
    const found = weights(this.point, this.genres.length);
    genrePositions(this.genres.length).forEach(([x, y], i) => {
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
