"""How hard symbols are to read from states: the length of a message that teaches its own decoder.

Symbols are sent to someone who has the states. Sequences go block by block, each block about as
large as all before it; a block is coded with what a decoder has learned from those before. Bits
that are easy to read are saved nearly from the start; bits that take many samples to find are paid
for until then. (Information-theoretic probing with minimum description length, Voita and Titov,
2020; the principle is of Universal coding, information, prediction, and estimation, Rissanen,
1984.)
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES, curve_interval, resampled_means
from seqprobe.estimators.information.decoder import standardised
from seqprobe.estimators.information.entropy import surprisal
from seqprobe.estimators.information.refusals import refusals
from seqprobe.estimators.information.transmission import Transmission, blocks

EASY = 0.9

Readability = Literal["easy", "hard to read", "gone", "not estimable"]


@dataclass(frozen=True)
class OnlineCode:
    """Code lengths at each lag, in bits per symbol; sequences in the order in which they were sent.

    `plain` is the length without the states: by the chances of the symbols if they are known, else
    by how often each occurs among all. `coded` is the length with them, `null` what the states save
    for symbols of other sequences. `starts` has the first sequence of each block, and at last the
    number of sequences; of `steps` symbols each. `reasons` say why nothing can be estimated.
    """

    plain: Float64[np.ndarray, "sequences lags"]
    coded: Float64[np.ndarray, "sequences lags"]
    null: Float64[np.ndarray, "sequences lags"]
    starts: tuple[int, ...]
    steps: int
    reasons: tuple[str, ...]
    seed: int = 0

    @property
    def length(self) -> Float64[np.ndarray, " lags"]:
        """Of the whole message, in bits."""
        total: np.ndarray = self.coded.sum(0) * self.steps
        return total

    @property
    def saved(self) -> Float64[np.ndarray, " lags"]:
        """Bits that the states save per symbol, in the mean over the whole message."""
        mean: np.ndarray = (self.plain - self.coded).mean(0)
        return mean

    @property
    def samples(self) -> Int[np.ndarray, " blocks"]:
        """The number of symbols sent before each block."""
        return np.array(self.starts[:-1]) * self.steps

    @property
    def curve(self) -> Float64[np.ndarray, "blocks lags"]:
        """Bits saved per symbol of each block: what is learned from so many `samples`."""
        each = self.plain - self.coded
        return np.stack([each[a:b].mean(0) for a, b in pairwise(self.starts)])

    @property
    def final(self) -> Float64[np.ndarray, " lags"]:
        """Bits saved per symbol of the last block, about half of all; a lower bound."""
        last: np.ndarray = self.curve[-1]
        return last

    @cached_property
    def found(self) -> Bool[np.ndarray, " lags"]:
        """Whether the last block shows more than other sequences' symbols do, beyond chance."""
        last, count = slice(self.starts[-2], None), self.starts[-1] - self.starts[-2]
        own = resampled_means((self.plain - self.coded)[last], self.seed)
        null = resampled_means(self.null[last], self.seed)
        low, high = curve_interval(own, count)[0], curve_interval(null, count)[1]
        found: np.ndarray = low > np.maximum(high, 0)
        return found

    @property
    def effort(self) -> Float64[np.ndarray, " lags"]:
        """Samples at which half of the final bits are reached, between blocks on a log scale.

        NaN where nothing is found. Never less than the first block has.
        """
        return np.array([self._effort(lag) for lag in range(len(self.final))])

    def _effort(self, lag: int) -> float:
        if self.reasons[lag] or not self.found[lag]:
            return math.nan
        samples, bits = np.log2(self.samples[1:]), self.curve[1:, lag]
        half = bits[-1] / 2
        after = int(np.argmax(bits >= half))
        around = slice(max(0, after - 1), after + 1)
        return float(2 ** np.interp(half, bits[around], samples[around]))

    @property
    def verdicts(self) -> tuple[Readability, ...]:
        """How hard each lag is to read.

        Easy where nine tenths of the final bits are saved on all that follows the first block, our
        convention: no more than about a tenth of the symbols is spent on learning. Relative to this
        number of sequences: with more of them more is easy.
        """
        later = (self.plain - self.coded)[self.starts[1] :].mean(0)
        easy = later >= EASY * self.final
        return tuple(
            "not estimable" if why else ("easy" if e else "hard to read") if f else "gone"
            for why, e, f in zip(self.reasons, easy, self.found, strict=True)
        )


def online_code(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    *,
    chances: Float[Tensor, " classes"] | None = None,
    seed: int = 0,
) -> OnlineCode:
    """Send the labels, one per lag, to someone who has the states; decoders are linear.

    Args:
        states: real numbers, as many sequences as there are to learn from.
        labels: numbers below `classes`, for each state one per lag.
        classes: how many symbols there are.
        chances: of each class, where the symbols were drawn so; both sides then know them. None to
            count them as they come; the first block is then sent as if all were as likely.
        seed: of the order of the sequences.
    """
    sequences, steps, lags = labels.shape
    starts, reasons = blocks(sequences, steps), _reasons(states, labels, classes, chances)
    plain, coded, null = np.full((3, sequences, lags), np.nan)
    if not all(reasons):
        order = torch.randperm(sequences, generator=torch.Generator().manual_seed(seed))
        order = order.to(states.device)
        both = torch.cat([labels, labels.roll(1, dims=0)], dim=2)[order].flatten(0, 1)
        sent = Transmission(standardised(states[order]), both, classes, chances, steps)
        without = _means(surprisal(both, classes, chances), steps)
        each = _means(sent.lengths(starts), steps)
        plain, coded, null = without[:, :lags], each[:, :lags], (without - each)[:, lags:]
    return OnlineCode(plain, coded, null, starts, steps, reasons, seed)


def _means(rows: Float64[Tensor, "rows lags"], steps: int) -> Float64[np.ndarray, "sequences lags"]:
    each: np.ndarray = rows.unflatten(0, (-1, steps)).mean(1).cpu().numpy()
    return each


def _reasons(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    chances: Float[Tensor, " classes"] | None,
) -> tuple[str, ...]:
    """For each lag why nothing can be said; the last block needs enough sequences of its own."""
    known = refusals(states, labels, classes, chances)
    needed = 2 * FEWEST_SEQUENCES
    few = (
        f"{len(states)} sequences are too few to send half of them last; {needed} are needed"
        if len(states) < needed
        else ""
    )
    return tuple(why or few for why in known)
