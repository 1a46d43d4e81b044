"""Linear recurrences h(t) = a(t) h(t - 1) + b(t), and three ways to run the same one.

Once read, a number is kept by a factor a(t) at each step; states start at zero.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.zoo import Stack

Form = Literal["steps", "scan", "convolution"]
Factors = Shaped[Tensor, "... state"]
States = Shaped[Tensor, "batch time state"]


def steps(a: Factors, b: States) -> States:
    """One step after the other: each waits for two operators of the one before."""
    state, states = b[:, 0], [b[:, 0]]
    for keep, new in zip(a.expand_as(b)[:, 1:].unbind(1), b[:, 1:].unbind(1), strict=True):
        state = keep * state + new
        states.append(state)
    return torch.stack(states, dim=1)


def scan(a: Factors, b: States) -> States:
    """All steps at once, in log2(time) rounds of two operators; each joins spans twice as long.

    A path crosses positions once for each one among the binary digits of its distance.
    Data parallel algorithms (Hillis and Steele, 1986).
    """
    a, shift = a.expand_as(b), 1
    while shift < b.shape[1]:
        b = b + a * _later(b, shift)
        a = a * _later(a, shift)
        shift *= 2
    return b


def _later(x: States, shift: int) -> States:
    """What was there some steps before; zeros before the start."""
    return F.pad(x[:, :-shift], (0, 0, shift, 0))


def convolution(a: Shaped[Tensor, " state"], b: States) -> States:
    """A sum over all steps so far, weighed by powers of factors that are the same at all steps."""
    time = torch.arange(b.shape[1], device=b.device)
    away = time[:, None] - time
    kernel = a[:, None, None] ** away.clamp(min=0) * (away >= 0)
    return torch.einsum("kts,bsk->btk", kernel, b)


FORMS: dict[Form, Callable[[Tensor, Tensor], Tensor]] = {
    "steps": steps,
    "scan": scan,
    "convolution": convolution,
}


class Diagonal(nn.Module):
    """States that decay each by its own real or complex factor, and read the same inputs.

    On the parameterization and initialization of diagonal state space models (Gu et al., 2022).
    """

    def __init__(self, lambdas: Sequence[complex], features: int, form: Form) -> None:
        super().__init__()
        pairs = torch.view_as_real(torch.tensor(lambdas, dtype=torch.complex128))
        self.lambdas = nn.Parameter(pairs.to(torch.get_default_dtype()))
        self.into = nn.Linear(features, len(lambdas), bias=False)
        self.form: Form = form

    def forward(self, x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time pairs"]:
        """Real parts of all states, then their imaginary parts."""
        a = torch.view_as_complex(self.lambdas)
        states = FORMS[self.form](a, self.into(x).to(a.dtype))
        return torch.cat([states.real, states.imag], dim=-1)


def diagonal(lambdas: Sequence[complex], form: Form = "steps") -> SequenceModel:
    """h(t) = lambda h(t - 1) + x(t) on one real input x, for several lambdas.

    The gradient over all states is exactly the root of the sum of |lambda|^2k; for the bits that
    are kept see `diagonal_bits`.
    """
    memory = Diagonal(lambdas, 1, form)
    nn.init.ones_(memory.into.weight)
    return SequenceModel(Stack(nn.Identity(), memory, nn.Identity()), features=1, sites=["memory"])


def diagonal_bits(
    lambdas: Sequence[complex], distances: Int[np.ndarray, " distances"]
) -> Float64[np.ndarray, " distances"]:
    """I(x(t - k); h(t)) on independent normal inputs, far from the start: -1/2 log2(1 - c(k)).

    c(k) is the share of the variance of x(t - k) that the states explain; over all k it adds up to
    how many numbers they hold, when lambdas are different, inside the unit circle, and of a pair
    of conjugates there is one. Short term memory in echo state networks (Jaeger, 2002).
    """
    own = np.array(lambdas, dtype=complex)
    all_ = np.concatenate([own, own[np.imag(own) != 0].conj()])
    covariance = 1 / (1 - np.outer(all_, all_.conj()))
    left = all_ ** distances[:, None]
    explained = (left.conj() * np.linalg.solve(covariance, left.T).T).sum(1).real
    return np.asarray(-0.5 * np.log2(1 - explained))


def diagonal_lm(
    lambdas: Sequence[complex], form: Form = "steps", symbols: int = 8, width: int = 8
) -> SequenceModel:
    """The same on tokens, with random weights into and out of the states."""
    memory = Diagonal(lambdas, width, form)
    head = nn.Linear(2 * len(lambdas), symbols)
    return SequenceModel(Stack(nn.Embedding(symbols, width), memory, head), sites=["memory"])
