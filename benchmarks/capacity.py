"""The size of a state and what it carries, in LSTMs before and after training on recall.

    python benchmarks/capacity.py > docs/capacity.md

As in Capacity and trainability in recurrent neural networks (Collins et al., 2017), a network
reads random symbols and then has to say them again. What its state carries is bounded from below
in two ways: by the linear read-out of the probe `capacity`, and by the network's own loss.
"""

import math
from dataclasses import dataclass
from time import process_time

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import seqprobe
from seqprobe import Estimate
from seqprobe.estimators.information import recalled_bits
from seqprobe.models.sequence_model import SequenceModel

SYMBOLS, BITS = 8, 3
UNTRAINED, STEPS = (8, 16, 32, 64), {8: 10000, 16: 10000, 32: 6000}
LENGTH, BATCH, RATE, OPEN = 10, 128, 4e-3, 2.0
SCORED, FITTED, FALLING, ALL = 8192, 4096, 0.05, 0.99


class Reader(nn.Module):
    """Embedding, one LSTM, a linear head; the symbol after the last one means: say it again."""

    def __init__(self, hidden: int, symbols: int = SYMBOLS) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, hidden)
        self.rnn = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, SYMBOLS)

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time symbols"]:
        outputs: Tensor = self.head(self.rnn(self.embedding(tokens))[0])
        return outputs

    def state(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch state"]:
        """Hidden and cell state after the last token."""
        _, (hidden, cell) = self.rnn(self.embedding(tokens))
        return torch.cat([hidden[0], cell[0]], dim=-1)


@dataclass(frozen=True)
class Trained:
    """A network, and its losses in nats per symbol on the way."""

    reader: Reader
    losses: tuple[float, ...]
    seconds: float

    @property
    def limited(self) -> bool:
        """Whether the loss still fell in the last tenth of training."""
        last = self.losses[-(len(self.losses) // 10) :]
        part = len(last) // 4
        return sum(last[-part:]) < (1 - FALLING) * sum(last[:part])


def untrained(hidden: int) -> Estimate:
    """What the probe finds in a network with the weights that PyTorch draws."""
    torch.manual_seed(0)
    report = seqprobe.analyze(
        SequenceModel(Reader(hidden)),
        data="synthetic:iid",
        probes=("capacity",),
        length=64,
        distance=5,
    )
    return report["capacity"].metrics["bits"]


def trained(hidden: int, steps: int) -> Trained:
    """Adam with a linearly decaying rate; what has been said is fed back (teacher forcing)."""
    torch.manual_seed(0)
    reader = Reader(hidden, SYMBOLS + 1)
    weights = reader.rnn.state_dict()
    for name in ("bias_ih_l0", "bias_hh_l0"):  # PyTorch adds the two
        weights[name][hidden : 2 * hidden] = OPEN / 2
    adam = torch.optim.Adam(reader.parameters(), RATE, fused=True)
    rate = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, total_iters=steps)
    losses, started = [], process_time()
    for _ in range(steps):
        loss = nats(reader, drawn(BATCH)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
        losses.append(loss.item())
    return Trained(reader, tuple(losses), process_time() - started)


def drawn(sequences: int) -> Int[Tensor, "sequences length"]:
    """Independent, equally likely symbols."""
    return torch.randint(SYMBOLS, (sequences, LENGTH))


def nats(reader: Reader, symbols: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length"]:
    """The loss of each symbol, given the state and the symbols that were said before it."""
    again = torch.full_like(symbols[:, :1], SYMBOLS)
    logits = reader(torch.cat([symbols, again, symbols[:, :-1]], dim=1))[:, LENGTH:]
    return F.cross_entropy(logits.mT, symbols, reduction="none")


@torch.no_grad()
def own_bits(reader: Reader) -> float:
    """What the network recalls of new sequences: the entropy less its losses."""
    return LENGTH * BITS - float(nats(reader, drawn(SCORED)).sum(1).mean()) / math.log(2)


@torch.no_grad()
def fitted_bits(reader: Reader) -> float:
    """What the read-out of `capacity` recalls from the same state, the last symbol first."""
    symbols = drawn(FITTED)
    chances = torch.full((SYMBOLS,), 1 / SYMBOLS)
    states, past = reader.state(symbols)[:, None], symbols.flip(1)[:, None]
    found = recalled_bits(states, past, SYMBOLS, chances=chances)
    return float(found.lower[found.low > found.band].sum())


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)  # small operators are faster so
    print("# The size of a state and what it carries\n")
    print(f"LSTMs of one layer that read {SYMBOLS} symbols; a state is hidden and cell state.")
    print(f"Made by `python benchmarks/capacity.py` with torch {torch.__version__}.")
    print("Every number of bits means: at least.\n")
    _print_untrained()
    _print_trained()


def _print_untrained() -> None:
    print("Untrained, with the weights that PyTorch draws:\n")
    print("| hidden size | state floats | bits by `capacity`, at least | bits per float |")
    print("|---|---|---|---|")
    for hidden in UNTRAINED:
        bits = untrained(hidden).value or 0.0
        print(f"| {hidden} | {2 * hidden} | {bits:.1f} | {bits / (2 * hidden):.2f} |", flush=True)


def _print_trained() -> None:
    everything = LENGTH * BITS
    print(f"\nTrained to say {LENGTH} symbols ({everything} bits) again, one seed each:\n")
    print("- by `capacity`: its linear read-out of the state after the last symbol,")
    print(f"  on {FITTED} sequences; by the network: on {SCORED} new sequences")
    print("- limited by training: not all was recalled, and the loss of the last tenth of")
    print(f"  training still fell by more than {FALLING:.0%}\n")
    print(
        "| hidden size | state floats | bits by `capacity`, at least | "
        "bits by the network, at least | bits per float | share of what was asked | "
        "limited by training | steps | CPU seconds |\n" + "|---" * 9 + "|"
    )
    for hidden, steps in STEPS.items():
        found = trained(hidden, steps)
        fitted, own = fitted_bits(found.reader), own_bits(found.reader)
        best = max(fitted, own)
        limited = "yes" if found.limited and best < ALL * everything else "no"
        print(
            f"| {hidden} | {2 * hidden} | {fitted:.1f} | {own:.1f} | {best / (2 * hidden):.2f} | "
            f"{best / everything:.2f} | {limited} | {steps} | {found.seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
