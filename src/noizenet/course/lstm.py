"""Lesson 10. The LSTM and its gates: a memory with controlled reading and writing.

Long short-term memory (S. Hochreiter and J. Schmidhuber, 1997; the forget gate: F. Gers, J. Schmidhuber and F.
Cummins, 2000) has two state vectors: the **hidden state** h, its output, and the **cell state** c, its internal memory.
Each of its parts is a layer over the current input x_t and the last output h_{t-1}, with a sigmoid (how far the gate is
open, 0 … 1) or a tanh (the value to be written, -1 … 1)::

    i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)       input gate
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)       forget gate
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)    candidate
    o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)       output gate
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

(⊙ is the elementwise product. The draft calls f the output gate and g both the cell gate and the output gate; f is the
**forget gate**, i the **input gate**, o the **output gate**, g the candidate.) In plain words these are often told as
four gates:

- **Learn gate**: i_t ⊙ g_t. The new candidate (g), and how much of it is written (i).
- **Forget gate**: f_t ⊙ c_{t-1}. How much of each entry of the memory is kept: 1 keeps it, 0 erases it.
- **Remember gate**: c_t, the sum of the two. The new memory is what was kept and what was written.
- **Use gate**: o_t ⊙ tanh(c_t). Which part of the memory is output.

**Why it remembers.** From c_{t-1} to c_t the slope is f_t: no matrix, no tanh. Where the forget gate is 1, the gradient
goes back through a thousand steps undiminished; where an entry is erased, the gradient stops. (The initial bias of f is
therefore 1 or more, to remember by default; R. Jozefowicz, W. Zaremba and I. Sutskever, 2015.)

The **GRU** (K. Cho et al., 2014) has three layers and one state: the update gate z combines forget and input gate (what
is not kept is written), the reset gate r scales the past in the candidate::

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
    """Weights w_ih [4H, D] and w_hh [4H, H], biases [4H]; rows in the order i, f, g, o, as in torch."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    @classmethod
    def random(cls, inputs: int, hidden: int, seed: int = 0) -> Lstm:
        """Return weights from a uniform distribution in ± 1 / √H, as in torch."""
        g, k = np.random.default_rng(seed), 1 / np.sqrt(hidden)
        shapes = ((4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        return cls(*(g.uniform(-k, k, shape) for shape in shapes))

    def gates(self, x: F64, h: F64) -> dict[str, F64]:
        """Return i, f, g and o, each [H]."""
        i, f, g, o = np.split(self.w_ih @ x + self.b_ih + self.w_hh @ h + self.b_hh, 4)
        return {"i": sigmoid(i), "f": sigmoid(f), "g": np.tanh(g), "o": sigmoid(o)}

    def step(self, x: F64, h: F64, c: F64) -> tuple[F64, F64]:
        """Compute one step: x [D], h and c [H] → the new h and c."""
        gate = self.gates(x, h)
        written, kept = gate["i"] * gate["g"], gate["f"] * c
        new_c = kept + written
        new_h = gate["o"] * np.tanh(new_c)
        return new_h, new_c

    def run(self, x: F64, h: F64, c: F64) -> tuple[F64, F64]:
        """Run a sequence x [T, D]; return all states h and c, [T + 1, H] each, the initial ones first."""
        hs, cs = [h], [c]
        for x_t in x:
            h, c = self.step(x_t, hs[-1], cs[-1])
            hs.append(h)
            cs.append(c)
        return np.array(hs), np.array(cs)

    def backward(self, x: F64, hs: F64, cs: F64, grad: F64) -> tuple[Lstm, F64, F64]:
        """Back-propagate through time; see :meth:`noizenet.course.rnn.Rnn.backward`.

        Returns the gradients of all weights, ∂E/∂h_0 and ∂E/∂c_0.
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
    """Weights w_ih [3H, D] and w_hh [3H, H], biases [3H]; rows in the order r, z, n, as in torch."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    def step(self, x: F64, h: F64) -> F64:
        """Compute one step: x [D], h [H] → the new h."""
        from_input, from_state = np.split(self.w_ih @ x + self.b_ih, 3), np.split(self.w_hh @ h + self.b_hh, 3)
        r, z = sigmoid(from_input[0] + from_state[0]), sigmoid(from_input[1] + from_state[1])
        n = np.tanh(from_input[2] + r * from_state[2])
        return (1 - z) * n + z * h
