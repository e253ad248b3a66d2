"""Lesson 8. Recurrent networks: a network that remembers.

Music comes in time, and what comes next depends on what came before. A **recurrent** network keeps a vector h, its
**hidden state**, from one step to the next, and makes the new one of the old and of what it hears now (J. Elman,
1990)::

    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

The same weights serve at every step; h is all that it knows of the past. What it says is read off h by a layer, ŷ_t =
W_o h_t + b_o.

**Unrolled** over T steps it is a feed-forward network of T layers that share their weights and each get a new input.
So it learns as in lesson 7: **back-propagation through time** (P. Werbos, 1990) walks back from the last step to the
first. The blame of h_t comes from two sides, from what was said at t and from h_{t+1}::

    δ_t = (∂E/∂h_t + δ_{t+1} W_hh) ⊙ (1 - h_t²)        δ is the blame of the sum inside the tanh

and the slopes of the shared weights add over the steps: ∂E/∂W_hh = Σ_t δ_tᵀ h_{t-1}, ∂E/∂W_ih = Σ_t δ_tᵀ x_t.

A song has millions of steps. **Truncated** back-propagation hands the state on from one window of, say, a hundred
steps to the next, but lets no blame go back across the edge: the network remembers for longer than it is blamed for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass
class Rnn:
    """Weights W_ih [H, D] and W_hh [H, H], biases b_ih and b_hh [H]: torch's names and order."""

    w_ih: F64
    w_hh: F64
    b_ih: F64
    b_hh: F64

    @classmethod
    def random(cls, inputs: int, hidden: int, seed: int = 0) -> Rnn:
        """Return weights drawn evenly between ± 1 / √H, as torch does."""
        g, k = np.random.default_rng(seed), 1 / np.sqrt(hidden)
        shapes = ((hidden, inputs), (hidden, hidden), (hidden,), (hidden,))
        return cls(*(g.uniform(-k, k, shape) for shape in shapes))

    def step(self, x: F64, h: F64) -> F64:
        """Take one step: x [D], h [H] → the new h [H]."""
        return np.tanh(self.w_ih @ x + self.b_ih + self.w_hh @ h + self.b_hh)

    def run(self, x: F64, h: F64) -> F64:
        """Run a sequence x [T, D] from h [H]; return every state, [T + 1, H], the first of which is h."""
        states = [h]
        for one in x:
            states.append(self.step(one, states[-1]))
        return np.array(states)

    def backward(self, x: F64, states: F64, grad: F64) -> tuple[Rnn, F64]:
        """Walk back through time.

        Parameters
        ----------
        x : array [T, D]
        states : array [T + 1, H]
            From :meth:`run`.
        grad : array [T, H]
            ∂E/∂h_t of what was said at each step.

        Returns
        -------
        tuple
            The slopes of all weights, in the shape of a network; and ∂E/∂h_0.
        """
        grads = Rnn(*(np.zeros_like(w) for w in (self.w_ih, self.w_hh, self.b_ih, self.b_hh)))
        later = np.zeros(states.shape[1])  # what comes back from the step after
        for t in reversed(range(len(x))):
            delta = (grad[t] + later) * (1 - states[t + 1] ** 2)
            grads.w_ih += np.outer(delta, x[t])
            grads.w_hh += np.outer(delta, states[t])
            grads.b_ih += delta
            grads.b_hh += delta
            later = self.w_hh.T @ delta
        return grads, later
