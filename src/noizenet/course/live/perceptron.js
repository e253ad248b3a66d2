// Live figure of lesson 1: points to drag, and a decision boundary to set or to learn.

import { ARROWS, button, element, pointerPosition, slider, status } from "./dom.js";

const SIZE = 320;
const toX = (x) => ((x + 1) / 2) * SIZE;
const toY = (y) => SIZE - ((y + 1) / 2) * SIZE;
const SETS = {
  "and": [[-0.5, -0.5, 0], [-0.5, 0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 1]],
  "either … or": [[-0.5, -0.5, 0], [-0.5, 0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 0]],
  "two clouds": [[-0.7, 0.2, 0], [-0.4, -0.6, 0], [-0.2, 0.1, 0], [-0.6, 0.7, 0],
    [0.3, 0.6, 1], [0.6, -0.1, 1], [0.2, -0.5, 1], [0.8, 0.4, 1]],
};

export function answer(line, point) {
  return line.w[0] * point[0] + line.w[1] * point[1] + line.b > 0 ? 1 : 0;
}

/** One epoch (round) of the perceptron rule over all points; returns the number of mistakes. */
export function learnEpoch(line, points) {
  let mistakes = 0;
  for (const p of points) {
    const error = p[2] - answer(line, p); // target minus answer
    if (error) {
      line.w = [line.w[0] + error * p[0], line.w[1] + error * p[1]];
      line.b += error;
      mistakes += 1;
    }
  }
  return mistakes;
}

export function mount(root) {
  const line = { w: [0.4, 1], b: 0.3 };
  let points = SETS["two clouds"].map((p) => [...p]);
  const side = element("polygon", { class: "live-yes" });
  const edge = element("line", { class: "live-edge" });
  const dots = element("g");
  const svg = element("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "live-plane", role: "group",
    "aria-label": "The plane: points of two classes, and the side on which the perceptron answers yes" }, side, edge, dots);
  const statusLine = status();
  let sliders = null; // draw() waits until all three exist
  sliders = [
    slider("w₁", { min: -3, max: 3, step: 0.05, value: line.w[0] }, (v) => { line.w[0] = v; draw(); }),
    slider("w₂", { min: -3, max: 3, step: 0.05, value: line.w[1] }, (v) => { line.w[1] = v; draw(); }),
    slider("b", { min: -3, max: 3, step: 0.05, value: line.b }, (v) => { line.b = v; draw(); }),
  ];

  function shape() { // the part of the square where w · x + b > 0, as a polygon
    const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
    const value = (p) => line.w[0] * p[0] + line.w[1] * p[1] + line.b;
    const inside = [], cuts = [];
    corners.forEach((p, i) => {
      const q = corners[(i + 1) % 4], [a, b] = [value(p), value(q)];
      if (a > 0) inside.push(p);
      if ((a > 0) !== (b > 0)) {
        const t = a / (a - b), cut = [p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])];
        inside.push(cut);
        cuts.push(cut);
      }
    });
    return [inside, cuts];
  }

  function draw(note = "") {
    if (!sliders) return;
    const [inside, cuts] = shape();
    side.setAttribute("points", inside.map((p) => `${toX(p[0])},${toY(p[1])}`).join(" "));
    const [from, to] = cuts.length === 2 ? cuts : [[2, 2], [2, 2]];
    for (const [key, number] of Object.entries({ x1: toX(from[0]), y1: toY(from[1]), x2: toX(to[0]), y2: toY(to[1]) }))
      edge.setAttribute(key, number);
    let wrong = 0;
    [...dots.children].forEach((dot, i) => {
      const p = points[i], right = answer(line, p) === p[2];
      wrong += right ? 0 : 1;
      dot.setAttribute("cx", toX(p[0]));
      dot.setAttribute("cy", toY(p[1]));
      dot.setAttribute("class", `live-dot ${p[2] ? "live-one" : "live-zero"} ${right ? "" : "live-wrong"}`);
      dot.setAttribute("aria-label", `point of class ${p[2]} at ${p[0].toFixed(2)}, ${p[1].toFixed(2)}, ${right ? "right" : "wrong"}`);
    });
    statusLine.textContent = `${note}${wrong} of ${points.length} wrong.`;
  }

  function move(i, x, y) {
    points[i][0] = Math.max(-1, Math.min(1, x));
    points[i][1] = Math.max(-1, Math.min(1, y));
    draw();
  }

  function fill() {
    dots.replaceChildren(...points.map((_, i) => {
      const dot = element("circle", { r: 9, tabindex: 0, role: "button" });
      dot.addEventListener("pointerdown", (e) => { dot.setPointerCapture(e.pointerId); e.preventDefault(); dot.focus(); });
      dot.addEventListener("pointermove", (e) => {
        if (!dot.hasPointerCapture(e.pointerId)) return;
        const [x, y] = pointerPosition(e, svg, SIZE, SIZE);
        move(i, (x / SIZE) * 2 - 1, 1 - (y / SIZE) * 2);
      });
      dot.addEventListener("keydown", (e) => {
        if (e.key === "Enter" || e.key === " ") { points[i][2] = 1 - points[i][2]; draw(); e.preventDefault(); }
        const direction = ARROWS[e.key];
        if (direction) { move(i, points[i][0] + 0.05 * direction[0], points[i][1] + 0.05 * direction[1]); e.preventDefault(); }
      });
      return dot;
    }));
    draw();
  }

  function show(note) {
    sliders[0].set(line.w[0]);
    sliders[1].set(line.w[1]);
    sliders[2].set(line.b);
    draw(note);
  }

  function learn(epochs) {
    let total = 0, done = 0;
    for (; done < epochs; done++) {
      const mistakes = learnEpoch(line, points);
      total += mistakes;
      if (!mistakes) break;
    }
    const gaveUp = done === epochs && epochs > 1 ? "No line found: " : "";
    show(`${gaveUp}${total} ${total === 1 ? "mistake" : "mistakes"} made while learning; now `);
  }

  const sets = Object.keys(SETS).map((name) => button(name, () => { points = SETS[name].map((p) => [...p]); fill(); }));
  root.append(svg, element("div", { class: "live-controls" }, ...sliders,
    button("learn one epoch", () => learn(1)), button("learn 100 epochs", () => learn(100)), ...sets), statusLine,
    element("p", { class: "live-hint" }, "Drag a point, or select it with Tab and move it with the arrow keys; Enter changes its class (target)."));
  fill();
}
