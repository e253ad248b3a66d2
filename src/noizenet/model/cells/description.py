"""What a recurrent cell is: everything that training, generation and the displays need to know about it.

A layer computes an input part ``W_ih x + b_ih`` and a recurrent part ``W_hh h + b_hh``, each of G gates of H units. The
cell computes its gates from these parts, and its next states from the gates. Each unit depends only on its own gates
and states, so one description serves single streams, batches and whole sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Parts = Sequence[Any]
"""One array [..., H] for each gate, or each state."""


@dataclass(frozen=True)
class Cell:
    """Description of a recurrent cell.

    Parameters
    ----------
    gates : tuple of str
        Names of the gates in the order in which the weight matrices stack them.
    states : tuple of str
        Names of the states, one or two; the first is the output.
    activations : callable
        ``(x, h, ops) -> gates``: the gates [..., H] from their input and recurrent parts (``h`` are zeros without
        `recurrent`). `ops` has ``sigmoid`` and ``tanh`` and is torch or a NumPy counterpart.
    next_states : callable
        ``(gates, states, ops) -> states``.
    update : compiled function
        ``(h, c, z, zh) -> None``: one step of both in place, decorated with ``noizenet.kernels.functions.compiled``.
        h [H] and, with two states, c [H] are overwritten. z [G · H] is the sum of both parts and may be overwritten;
        for a `separate` cell it is the input part, and zh the recurrent part.
    separate : bool
        Whether the compiled step needs the two parts apart, not only their sum.
    recurrent : bool
        Whether there is a recurrent part. Without one the layer has neither ``weight_hh`` nor ``bias_hh``.
    torch_kernel : str, optional
        Class of ``torch.nn`` that computes the same from the same parameters over whole sequences.
    sequence : callable, optional
        ``(x, states, ops) -> outputs, states`` over whole sequences, for cells without `torch_kernel`: x are the input
        parts [B, T, H], states [B, H], outputs [B, T, H]; `ops` is torch. Without it a sequence is run step by step.
    initial_biases : mapping of str to float
        What is added to the initial input bias of a gate.
    bf16 : bool
        Whether training in bfloat16 was measured to be faster on processors that have it.
    """

    gates: tuple[str, ...]
    activations: Callable[[Parts, Parts, Any], tuple[Any, ...]]
    next_states: Callable[[Parts, Parts, Any], tuple[Any, ...]]
    update: Any
    states: tuple[str, ...] = ("h",)
    separate: bool = False
    recurrent: bool = True
    torch_kernel: str = ""
    sequence: Callable[[Parts, Parts, Any], tuple[Any, tuple[Any, ...]]] | None = None
    initial_biases: Mapping[str, float] = field(default_factory=dict)
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.states[:1] != ("h",) or len(self.states) not in (1, 2):
            raise ValueError(f"states: {self.states}: 'h' and at most one other are supported")
        if self.separate and not self.recurrent:
            raise ValueError("separate: a cell without a recurrent part has nothing to keep apart")

    def __deepcopy__(self, memo: object) -> Cell:
        return self

    def arrays(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a layer's parameters by their names in ``torch.nn``."""
        rows = len(self.gates) * hidden
        shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (rows, inputs)}
        if self.recurrent:
            shapes["weight_hh_l0"] = (rows, hidden)
        shapes["bias_ih_l0"] = (rows,)
        return shapes | ({"bias_hh_l0": (rows,)} if self.recurrent else {})


def linear_recurrence(a: Any, b: Any, first: Any, ops: Any) -> Any:
    """Return s_t = a_t s_{t-1} + b_t for all t, in log2(T) parallel passes.

    The scan of W. D. Hillis and G. L. Steele, "Data parallel algorithms", CACM 29(12), 1986. It is stable for
    0 <= a <= 1, since all intermediate factors are products of a.

    Parameters
    ----------
    a, b : tensor
        [B, T, H].
    first : tensor
        s_{-1} [B, H].
    ops : module
        torch.

    Returns
    -------
    tensor
        [B, T, H].
    """
    b = ops.cat([b[:, :1] + a[:, :1] * first[:, None], b[:, 1:]], 1)
    distance, length = 1, b.shape[1]
    while distance < length:
        b = ops.cat([b[:, :distance], b[:, distance:] + a[:, distance:] * b[:, :-distance]], 1)
        a = ops.cat([a[:, :distance], a[:, distance:] * a[:, :-distance]], 1)
        distance *= 2
    return b
