// Live figure of lesson 3: gradient descent on sin x + sin y, with a choice of step size (learning rate) and momentum.

import { ARROWS, choice, element, pointerPosition, slider, status } from "./dom.js";

const SIZE = 320, REACH = 5; // the plane from -5 to 5
const gradient = ([x, y]) => [Math.cos(x), Math.cos(y)];
export const height = ([x, y]) => Math.sin(x) + Math.sin(y);

/** The path of noizenet.course.descent: descend, roll (with and without ahead) and adam. */
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
  const options = { method: "plain", rate: 0.3, momentum: 0.8, start: [0.5, 1] };
  const canvas = element("canvas", { width: SIZE, height: SIZE, tabindex: 0, class: "live-plane", role: "img",
    "aria-label": "The surface sin x + sin y from above, dark where it is low, and the path down it. Arrow keys move the start." });
  const statusLine = status();
  const toPixels = ([x, y]) => [((x + REACH) / (2 * REACH)) * SIZE, SIZE - ((y + REACH) / (2 * REACH)) * SIZE];
  const surface = document.createElement("canvas");
  surface.width = surface.height = SIZE;
  const pixels = surface.getContext("2d").createImageData(SIZE, SIZE);
  for (let j = 0; j < SIZE; j++) {
    for (let i = 0; i < SIZE; i++) {
      const z = (height([(i / SIZE) * 2 * REACH - REACH, REACH - (j / SIZE) * 2 * REACH]) + 2) / 4;
      const band = Math.floor(z * 12) / 12; // discrete levels show contours
      pixels.data.set([40 + 190 * band, 60 + 170 * band, 110 + 100 * band, 255], 4 * (j * SIZE + i));
    }
  }
  surface.getContext("2d").putImageData(pixels, 0, 0);

  function draw() {
    const points = path(options.method, options.start, options.rate, options.momentum);
    const g = canvas.getContext("2d");
    g.drawImage(surface, 0, 0);
    g.strokeStyle = "#000";
    g.lineWidth = 2;
    g.beginPath();
    for (const p of points) g.lineTo(...toPixels(p));
    g.stroke();
    points.forEach((p, i) => {
      g.fillStyle = i ? "#ffd54a" : "#fff";
      g.beginPath();
      g.arc(...toPixels(p), i ? 3 : 6, 0, 7);
      g.fill();
      g.stroke();
    });
    const end = points[points.length - 1];
    statusLine.textContent = `After ${points.length - 1} steps: (${end.map((x) => x.toFixed(2)).join(", ")}), ` +
      `height ${height(end).toFixed(3)}${height(end) < -1.99 ? ": a local minimum." : "."}`;
  }

  function start(x, y) {
    options.start = [x, y].map((v) => Math.max(-REACH, Math.min(REACH, v)));
    draw();
  }

  canvas.addEventListener("pointerdown", (e) => canvas.setPointerCapture(e.pointerId));
  for (const kind of ["pointerdown", "pointermove"])
    canvas.addEventListener(kind, (e) => {
      if (!canvas.hasPointerCapture(e.pointerId)) return;
      const [x, y] = pointerPosition(e, canvas, SIZE, SIZE);
      start((x / SIZE) * 2 * REACH - REACH, REACH - (y / SIZE) * 2 * REACH);
    });
  canvas.addEventListener("keydown", (e) => {
    const direction = ARROWS[e.key];
    if (direction) {
      start(options.start[0] + 0.25 * direction[0], options.start[1] + 0.25 * direction[1]);
      e.preventDefault();
    }
  });
  root.append(canvas, element("div", { class: "live-controls" },
    choice("method", ["plain", "momentum", "Nesterov", "Adam"], (m) => { options.method = m; draw(); }),
    slider("step size η", { min: 0.01, max: 3, step: 0.01, value: options.rate }, (v) => { options.rate = v; draw(); }),
    slider("momentum μ", { min: 0, max: 0.99, step: 0.01, value: options.momentum }, (v) => { options.momentum = v; draw(); })),
    statusLine,
    element("p", { class: "live-hint" }, "Click or drag on the surface, or use the arrow keys on it, to move the start. The step size is also called the learning rate."));
  draw();
}
