// Lesson 3, live: a path down sin x + sin y, with a step size and a momentum to choose.

import { ARROWS, choice, element, place, slider, status } from "./dom.js";

const SIZE = 320, REACH = 5; // the plane from -5 to 5
const gradient = ([x, y]) => [Math.cos(x), Math.cos(y)];
export const height = ([x, y]) => Math.sin(x) + Math.sin(y);

/** The path of noizenet.course.descent: descend, roll (ahead or not) and adam. */
export function path(method, start, rate, momentum, steps = 60) {
  const points = [start];
  let v = [0, 0], mean = [0, 0], square = [0, 0];
  for (let t = 1; t <= steps; t++) {
    const p = points[points.length - 1];
    if (method === "Adam") {
      const g = gradient(p);
      mean = mean.map((m, i) => 0.9 * m + 0.1 * g[i]);
      square = square.map((s, i) => 0.999 * s + 0.001 * g[i] * g[i]);
      points.push(p.map((x, i) => x - (rate * (mean[i] / (1 - 0.9 ** t))) / (Math.sqrt(square[i] / (1 - 0.999 ** t)) + 1e-8)));
    } else {
      const mu = method === "plain" ? 0 : momentum;
      const at = method === "Nesterov" ? p.map((x, i) => x + mu * v[i]) : p;
      const g = gradient(at);
      v = v.map((x, i) => mu * x - rate * g[i]);
      points.push(p.map((x, i) => x + v[i]));
    }
  }
  return points;
}

export function mount(root) {
  const o = { method: "plain", rate: 0.3, momentum: 0.8, start: [0.5, 1] };
  const canvas = element("canvas", { width: SIZE, height: SIZE, tabindex: 0, class: "live-plane", role: "img",
    "aria-label": "The surface sin x + sin y from above, dark where it is low, and the path down it. Arrow keys move the start." });
  const said = status();
  const to = ([x, y]) => [((x + REACH) / (2 * REACH)) * SIZE, SIZE - ((y + REACH) / (2 * REACH)) * SIZE];
  const ground = document.createElement("canvas");
  ground.width = ground.height = SIZE;
  const pixels = ground.getContext("2d").createImageData(SIZE, SIZE);
  for (let j = 0; j < SIZE; j++) {
    for (let i = 0; i < SIZE; i++) {
      const z = (height([(i / SIZE) * 2 * REACH - REACH, REACH - (j / SIZE) * 2 * REACH]) + 2) / 4;
      const band = Math.floor(z * 12) / 12; // steps, so that contours show
      pixels.data.set([40 + 190 * band, 60 + 170 * band, 110 + 100 * band, 255], 4 * (j * SIZE + i));
    }
  }
  ground.getContext("2d").putImageData(pixels, 0, 0);

  function draw() {
    const points = path(o.method, o.start, o.rate, o.momentum);
    const g = canvas.getContext("2d");
    g.drawImage(ground, 0, 0);
    g.strokeStyle = "#000";
    g.lineWidth = 2;
    g.beginPath();
    for (const p of points) g.lineTo(...to(p));
    g.stroke();
    points.forEach((p, i) => {
      g.fillStyle = i ? "#ffd54a" : "#fff";
      g.beginPath();
      g.arc(...to(p), i ? 3 : 6, 0, 7);
      g.fill();
      g.stroke();
    });
    const end = points[points.length - 1];
    said.textContent = `After ${points.length - 1} steps: (${end.map((x) => x.toFixed(2)).join(", ")}), ` +
      `height ${height(end).toFixed(3)}${height(end) < -1.99 ? ": the bottom of a valley." : "."}`;
  }

  function start(x, y) {
    o.start = [x, y].map((v) => Math.max(-REACH, Math.min(REACH, v)));
    draw();
  }

  canvas.addEventListener("pointerdown", (e) => canvas.setPointerCapture(e.pointerId));
  for (const kind of ["pointerdown", "pointermove"])
    canvas.addEventListener(kind, (e) => {
      if (!canvas.hasPointerCapture(e.pointerId)) return;
      const [x, y] = place(e, canvas, SIZE, SIZE);
      start((x / SIZE) * 2 * REACH - REACH, REACH - (y / SIZE) * 2 * REACH);
    });
  canvas.addEventListener("keydown", (e) => {
    const way = ARROWS[e.key];
    if (way) { start(o.start[0] + 0.25 * way[0], o.start[1] + 0.25 * way[1]); e.preventDefault(); }
  });
  root.append(canvas, element("div", { class: "live-controls" },
    choice("method", ["plain", "momentum", "Nesterov", "Adam"], (m) => { o.method = m; draw(); }),
    slider("step size η", { min: 0.01, max: 3, step: 0.01, value: o.rate }, (v) => { o.rate = v; draw(); }),
    slider("momentum μ", { min: 0, max: 0.99, step: 0.01, value: o.momentum }, (v) => { o.momentum = v; draw(); })), said,
    element("p", { class: "live-hint" }, "Click or drag on the surface, or use the arrow keys on it, to begin elsewhere."));
  draw();
}
