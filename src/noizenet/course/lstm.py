"""Lesson 10. The LSTM and its four gates: a memory that is kept on purpose.

Long short-term memory (S. Hochreiter and J. Schmidhuber, 1997; the forget gate: F. Gers, J. Schmidhuber and F.
Cummins, 2000) carries two vectors: the **hidden state** h, which it says, and the **cell state** c, which it keeps to
itself. Each of its parts is a layer over what it hears now, x_t, and what it said last, h_{t-1}, with a sigmoid (how
far is this gate open, 0 … 1) or a tanh (what would be written, -1 … 1)::

    i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)       input gate
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)       forget gate
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)    candidate
    o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)       output gate
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

(⊙ multiplies number by number. The draft calls f the output gate and g both the cell gate and the output gate; f
forgets, g is what would be written, o is the output gate.) Told as four gates:

- **Learn gate**: i_t ⊙ g_t. What is new here (g), and how much of it is worth writing down (i)?
- **Forget gate**: f_t ⊙ c_{t-1}. How much of each thing in memory is still of use? 1 keeps it, 0 wipes it.
- **Remember gate**: c_t, the sum of the two. The new memory is what was kept and what was learned.
- **Use gate**: o_t ⊙ tanh(c_t). Which part of the memory matters for what is to be said now?

**Why it remembers.** From c_{t-1} to c_t the slope is f_t: no matrix, no tanh. Where the forget gate stands at 1,
blame goes back through a thousand steps undiminished; where something is wiped, blame stops, as it should. (f's bias
therefore begins at 1 or more: remember by default; R. Jozefowicz, W. Zaremba and I. Sutskever, 2015.)

**The GRU** (K. Cho et al., 2014) does with three layers and one state: an update gate z is forget and input gate in
one (what is not kept is written), a reset gate r says how much of the past the candidate hears::

    r_t = σ(…),  z_t = σ(…),  n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noizenet.course.activations import sigmoid

F64 = NDArray[np.float64]


@dataclass
class Lstm:
    """Weights w_ih [4H, D] and w_hh [4H, H], biases [4H]; the parts i, f, g, o below one another, as in torch."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    @classmethod
    def random(cls, inputs: int, hidden: int, seed: int = 0) -> Lstm:
        """Return weights drawn evenly between ± 1 / √H, as torch does."""
        g, k = np.random.default_rng(seed), 1 / np.sqrt(hidden)
        shapes = ((4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        return cls(*(g.uniform(-k, k, shape) for shape in shapes))

    def gates(self, x: F64, h: F64) -> dict[str, F64]:
        """Return i, f, g and o, each [H]."""
        i, f, g, o = np.split(self.w_ih @ x + self.b_ih + self.w_hh @ h + self.b_hh, 4)
        return {"i": sigmoid(i), "f": sigmoid(f), "g": np.tanh(g), "o": sigmoid(o)}

    def step(self, x: F64, h: F64, c: F64) -> tuple[F64, F64]:
        """Take one step: x [D], h and c [H] → the new h and c."""
        gate = self.gates(x, h)
        learned, kept = gate["i"] * gate["g"], gate["f"] * c
        remembered = kept + learned
        used = gate["o"] * np.tanh(remembered)
        return used, remembered

    def run(self, x: F64, h: F64, c: F64) -> tuple[F64, F64]:
        """Run a sequence x [T, D]; return all states h and c, [T + 1, H] each, the given ones first."""
        hs, cs = [h], [c]
        for one in x:
            h, c = self.step(one, hs[-1], cs[-1])
            hs.append(h)
            cs.append(c)
        return np.array(hs), np.array(cs)

    def backward(self, x: F64, hs: F64, cs: F64, grad: F64) -> tuple[Lstm, F64, F64]:
        """Walk back through time; see :meth:`noizenet.course.rnn.Rnn.backward`.

        Returns the slopes of all weights, ∂E/∂h_0 and ∂E/∂c_0.
        """
        grads = Lstm(*(np.zeros_like(w) for w in (self.w_ih, self.w_hh, self.b_ih, self.b_hh)))
        h_later, c_later = np.zeros(hs.shape[1]), np.zeros(hs.shape[1])
        for t in reversed(range(len(x))):
            gate = self.gates(x[t], hs[t])
            i, f, g, o = gate["i"], gate["f"], gate["g"], gate["o"]
            squashed = np.tanh(cs[t + 1])
            h_grad = grad[t] + h_later
            c_grad = c_later + h_grad * o * (1 - squashed**2)
            delta = np.concatenate([
                c_grad * g * i * (1 - i), c_grad * cs[t] * f * (1 - f), c_grad * i * (1 - g**2),
                h_grad * squashed * o * (1 - o),
            ])  # fmt: skip
            grads.w_ih += np.outer(delta, x[t])
            grads.w_hh += np.outer(delta, hs[t])
            grads.b_ih += delta
            grads.b_hh += delta
            h_later, c_later = self.w_hh.T @ delta, c_grad * f
        return grads, h_later, c_later


@dataclass
class Gru:
    """Weights w_ih [3H, D] and w_hh [3H, H], biases [3H]; the parts r, z, n below one another, as in torch."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    def step(self, x: F64, h: F64) -> F64:
        """Take one step: x [D], h [H] → the new h."""
        from_input, from_state = np.split(self.w_ih @ x + self.b_ih, 3), np.split(self.w_hh @ h + self.b_hh, 3)
        r, z = sigmoid(from_input[0] + from_state[0]), sigmoid(from_input[1] + from_state[1])
        n = np.tanh(from_input[2] + r * from_state[2])
        return (1 - z) * n + z * h
