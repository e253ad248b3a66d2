"""Lesson 8. Recurrent networks: a network with a memory.

Music is a sequence, and the next element depends on the past. A **recurrent network** keeps a vector h, its **hidden
state**, from one step to the next, and computes the new state from the old one and the current input (J. Elman, 1990)::

    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

All steps use the same weights, and h is the only memory of the past. An output layer computes the prediction from h,
ŷ_t = W_o h_t + b_o.

**Unrolled** over T steps it is a feed-forward network of T layers with shared weights, each with a new input. So it
learns as in lesson 7: **back-propagation through time** (BPTT; P. Werbos, 1990) goes back from the last step to the
first. The gradient in h_t has two parts, from the output at t and from h_{t+1}::

    δ_t = (∂E/∂h_t + δ_{t+1} W_hh) ⊙ (1 - h_t²)        δ is the gradient in the sum inside the tanh

and the gradients of the shared weights add over the steps: ∂E/∂W_hh = Σ_t δ_tᵀ h_{t-1}, ∂E/∂W_ih = Σ_t δ_tᵀ x_t.

A song has millions of steps. **Truncated** back-propagation passes the state from one window of, for instance, a
hundred steps to the next, but no gradient crosses the boundary: the memory can be longer than the window it was trained
over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass
class Rnn:
    """Weights W_ih [H, D] and W_hh [H, H], biases b_ih and b_hh [H]; names and order as in torch."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    @classmethod
    def random(cls, inputs: int, hidden: int, seed: int = 0) -> Rnn:
        """Return weights from a uniform distribution in ± 1 / √H, as in torch."""
        g, k = np.random.default_rng(seed), 1 / np.sqrt(hidden)
        shapes = ((hidden, inputs), (hidden, hidden), (hidden,), (hidden,))
        return cls(*(g.uniform(-k, k, shape) for shape in shapes))

    def step(self, x: F64, h: F64) -> F64:
        """Compute one step: x [D], h [H] → the new h [H]."""
        return np.tanh(self.w_ih @ x + self.b_ih + self.w_hh @ h + self.b_hh)

    def run(self, x: F64, h: F64) -> F64:
        """Run a sequence x [T, D] from h [H]; return every state, [T + 1, H], the first of which is h."""
        states = [h]
        for x_t in x:
            states.append(self.step(x_t, states[-1]))
        return np.array(states)

    def backward(self, x: F64, states: F64, grad: F64) -> tuple[Rnn, F64]:
        """Back-propagate through time.

        Parameters
        ----------
        x : array [T, D]
        states : array [T + 1, H]
            From :meth:`run`.
        grad : array [T, H]
            ∂E/∂h_t from the output of each step.

        Returns
        -------
        tuple
            The gradients of all weights, as a network; and ∂E/∂h_0.
        """
        grads = Rnn(*(np.zeros_like(w) for w in (self.w_ih, self.w_hh, self.b_ih, self.b_hh)))
        later = np.zeros(states.shape[1])  # gradient from the next step
        for t in reversed(range(len(x))):
            delta = (grad[t] + later) * (1 - states[t + 1] ** 2)
            grads.w_ih += np.outer(delta, x[t])
            grads.w_hh += np.outer(delta, states[t])
            grads.b_ih += delta
            grads.b_hh += delta
            later = self.w_hh.T @ delta
        return grads, later
