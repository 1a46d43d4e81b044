"""Noisy channels from past symbols to a state, with the information that they let through.

Rows are independent of each other; they come as sequences because estimators hold out sequences.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from seqprobe.estimators.seeded import seeded

_ROWS = 1000
_ORACLE = 2**20
"""Seed of the samples that tell the truth; no draw has it."""


class Drawn(NamedTuple):
    """States, and the symbol of each lag that they were made of."""

    states: Float[Tensor, "sequences steps width"]
    labels: Int[Tensor, "sequences steps lags"]


class FadingRegister:
    """The last symbols on axes of their own, weaker the older they are: a linear code.

    Amplitudes fall from 6 to 0.5 times the noise over `depth` lags; nothing is kept of lags beyond.
    """

    def __init__(
        self,
        symbols: int = 16,
        depth: int = 12,
        lags: int = 16,
        width: int = 256,
        noise: float = 0.25,
    ) -> None:
        self.symbols, self.lags, self.noise = symbols, lags, noise
        self.amplitudes = noise * torch.logspace(math.log10(6), math.log10(0.5), depth)
        square = torch.randn(width, width, generator=torch.Generator().manual_seed(999))
        axes = torch.linalg.qr(square)[0][: depth * symbols]
        self.codes = axes.unflatten(0, (depth, symbols)) * self.amplitudes[:, None, None]

    def draw(self, sequences: int, steps: int, seed: int = 0) -> Drawn:
        """Independent uniform symbols, and their states."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(self.symbols, (sequences, steps, self.lags), generator=generator)
        noise = torch.randn(sequences, steps, self.codes.shape[-1], generator=generator)
        states = self.noise * noise
        for lag, codes in enumerate(self.codes):
            states += codes[labels[..., lag]]
        return Drawn(states, labels)

    def bits(self, samples: int = 100_000) -> Float64[Tensor, " lags"]:
        """I(symbol; state) for each lag: the entropy that the exact posterior takes away.

        Axes are orthogonal, so that a lag is told by its own `symbols` coordinates alone.
        """
        noise = torch.randn(samples, self.symbols, generator=torch.Generator().manual_seed(_ORACLE))
        bits = torch.zeros(self.lags, dtype=torch.float64)
        for lag, ratio in enumerate(self.amplitudes / self.noise):
            score = ratio * noise
            score[:, 0] += ratio**2
            lost = torch.special.entr(score.double().softmax(1)).sum(1).mean()
            bits[lag] = math.log2(self.symbols) - lost / math.log(2)
        return bits


class EnumeratedLSTM:
    """A random LSTM after all contexts of `length` symbols, its state blurred: no linear code.

    There are so few contexts that the posterior of each, given a blurred state, is exact.
    """

    def __init__(
        self, noise: float, symbols: int = 4, length: int = 6, width: int = 256, seed: int = 0
    ) -> None:
        self.noise, self.symbols, self.length = noise, symbols, length
        every = torch.cartesian_prod(*[torch.arange(symbols)] * length)
        with seeded(seed), torch.no_grad():
            embedding, lstm = nn.Embedding(symbols, 64), nn.LSTM(64, width, batch_first=True)
            parts = [lstm(embedding(some))[0][:, -1] for some in every.split(_ROWS)]
        self.states, self.contexts = torch.cat(parts), every.flip(1)

    def draw(self, sequences: int, steps: int, seed: int = 0) -> Drawn:
        """Contexts at random; lag 0 is the symbol read last."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.randint(len(self.states), (sequences, steps), generator=generator)
        noise = torch.randn(*which.shape, self.states.shape[1], generator=generator)
        return Drawn(self.states[which] + self.noise * noise, self.contexts[which])

    def bits(self, samples: int = 20_000) -> Float64[Tensor, " lags"]:
        """I(symbol; state) for each lag: the entropy that the exact posterior takes away."""
        lost = torch.zeros(self.length, dtype=torch.float64)
        for posterior in self._posteriors(samples):
            for lag in range(self.length):
                others = [axis for axis in range(1, self.length + 1) if axis != self.length - lag]
                lost[lag] += torch.special.entr(posterior.sum(others)).sum()
        return math.log2(self.symbols) - lost / samples / math.log(2)

    def bits_of_all(self, samples: int = 20_000) -> float:
        """I(context; state), of all symbols together."""
        lost = sum(float(torch.special.entr(p).sum()) for p in self._posteriors(samples))
        return self.length * math.log2(self.symbols) - lost / samples / math.log(2)

    def _posteriors(self, samples: int) -> list[Float64[Tensor, "rows ..."]]:
        """Of the contexts given drawn states; one axis per symbol, the one read last at the end."""
        shape = (self.symbols,) * self.length
        drawn = self.draw(samples, 1, seed=_ORACLE).states[:, 0]
        squares = (torch.cdist(some, self.states).square() for some in drawn.split(_ROWS))
        return [
            (-each / (2 * self.noise**2)).double().softmax(1).unflatten(1, shape)
            for each in squares
        ]
