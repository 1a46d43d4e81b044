"""What a session costs a training loop.

    python benchmarks/training.py > docs/training.md          # --long: blocks of 100 steps besides

Everything is in steps: one forward, backward and update of the bare loop on the same batch, in one
process, in shuffled rounds, in CPU time of one thread.
"""

import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import seqprobe
from race import race
from seqprobe.contracts import Evidence, Measurement, Needs, Observation, Probe
from seqprobe.models.costs import kept_for_backward
from seqprobe.reference.language_models import AttentionLM, RecurrentLM
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.streams import CorpusStream
from seqprobe.training.schedule import OFTEN
from seqprobe.training.session import DEFAULT

WIDTH, BATCH, TIME, ROUNDS = 256, 8, 256, 15
LOOP = ("loss-gradient", "states", "heads")
Work = Callable[[], object]
Watch = Callable[[nn.Module], Callable[[], object]]


def model_named(kind: str) -> nn.Module:
    """Two recurrent layers or four of attention."""
    torch.manual_seed(0)
    if kind == "attention":
        return AttentionLM(256, WIDTH, layers=4, heads=4, context=TIME)
    return RecurrentLM("lstm", 256, WIDTH, layers=2)


def training(kind: str, tokens: Tensor, watch: Watch) -> Work:
    """One step of a loop of its own; `watch` gives what it calls after every update."""
    model = model_named(kind)
    optimizer, after = torch.optim.AdamW(model.parameters(), 1e-3), watch(model)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model, tokens).backward()
        optimizer.step()
        after()

    return step


def loss_of(model: nn.Module, tokens: Tensor) -> Tensor:
    """Of the next token."""
    return F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def nothing(_model: nn.Module) -> Work:
    """The bare loop."""
    return lambda: None


def session(*probes: str | Probe, every: int = 1) -> Watch:
    """Probes attached to it."""

    def watch(model: nn.Module) -> Work:
        return seqprobe.attach(model, probes, every=every, on_finding=lambda _: None).step

    return watch


def watched_by_wandb(model: nn.Module) -> Work:
    """Histograms of the gradients of all parameters, at every step."""
    import wandb

    os.environ["WANDB_SILENT"] = "true"
    run = wandb.init(mode="offline", dir=tempfile.mkdtemp())
    run.watch(model, log="gradients", log_freq=1)
    return lambda: run.log({"step": 1})


def candidates() -> dict[str, Watch]:
    """Every row of the table that is run at every step."""
    known: dict[str, Watch] = {
        "bare": nothing,
        "again": nothing,
        "loss-gradient": session("loss-gradient"),
        "three": session(*LOOP),
        "draw": session("gradient-draw"),
        "decay": session("gradient-decay"),
        "default": session(*DEFAULT),
        "idle": session(*DEFAULT, every=10**9),
    }
    try:
        import wandb  # noqa: F401
    except ImportError:
        print("wandb is not installed: left out", file=sys.stderr)
        return known
    return {**known, "wandb": watched_by_wandb}


@dataclass(frozen=True)
class Weighed(Probe):
    """The bytes that a session kept of one pass, besides the inputs."""

    id: ClassVar[str] = "weighed"
    kept: list[int] = field(default_factory=list)

    @property
    def needs(self) -> Needs:
        return Needs(stream="loop", states=True, gradients=True, attention=True)

    def observe(self, observation: Observation) -> Evidence:
        norms = (*observation.state_norms.values(), *observation.loss_gradients.values())
        gates = [layer.retention for layer in observation.layers.values()]
        heads = observation.heads.values()
        self.kept.append(sum(each.nbytes for each in (*norms, *gates, *heads) if each is not None))
        return {}

    def measure(self, evidence: Evidence) -> Measurement:
        assert "sequence" in evidence
        return Measurement("weighed", {}, "")


def share_of_activations(kind: str, tokens: Tensor) -> float:
    """What a session keeps, relative to what the forward keeps for the backward."""
    weighed = Weighed()
    training(kind, tokens, session(weighed))()
    with kept_for_backward() as kept:
        _loss = loss_of(model_named(kind), tokens)
    return weighed.kept[0] / sum(storage.nbytes() for storage in kept.values())


def in_steps(seconds: Sequence[float], bare: Sequence[float]) -> float:
    """The median ratio."""
    return statistics.median(a / b for a, b in zip(seconds, bare, strict=True))


def rows(seconds: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, str]]:
    """In steps of the same round, medians; what is seldom run is counted as such."""
    unit = statistics.median(seconds["bare"])
    cost = {name: in_steps(each, seconds["bare"]) for name, each in seconds.items()}
    seldom = {name: 1 + (cost[name] - 1) / OFTEN for name in ("decay", "default")}
    yield "bare step", f"1 ({1e3 * unit:.0f} ms)"
    yield "the bare loop once more", f"{cost['again']:.3f}"
    yield "a session between its measurements", f"{cost['idle']:.3f}"
    yield "`loss-gradient` at every step", f"{cost['loss-gradient']:.3f}"
    yield "`loss-gradient`, `states`, `heads` at every step", f"{cost['three']:.3f}"
    yield "`gradient-draw` at every step", f"{cost['draw']:.3f}"
    yield "one `gradient-decay` on 8 sequences", f"{cost['decay'] - 1:.2f}"
    yield "`gradient-decay` every 100 steps", f"{seldom['decay']:.3f}"
    yield "`attach(model)`: all four every 100 steps", f"{seldom['default']:.3f}"
    if "wandb" in cost:
        yield "`wandb.watch`, gradients, at every step", f"{cost['wandb']:.3f}"


def blocks(kind: str, tokens: Tensor) -> Iterator[tuple[str, str]]:
    """The same measured: 100 steps with one measurement each, beside 100 bare ones."""

    def block(step: Work) -> Work:
        return lambda: [step() for _ in range(OFTEN)]

    watches = {
        "bare": nothing,
        "decay": session("gradient-decay", every=OFTEN),
        "default": session(*DEFAULT, every=OFTEN),
    }
    steps = {name: block(training(kind, tokens, watch)) for name, watch in watches.items()}
    seconds = race(steps, 3, process_time)
    for name in ("decay", "default"):
        yield f"{name}, in blocks of {OFTEN}", f"{in_steps(seconds[name], seconds['bare']):.3f}"


def table(kind: str, *, long: bool) -> dict[str, str]:
    """One column."""
    stream = CorpusStream(read_corpus("stdlib"), 256)
    tokens = stream.take(range(BATCH), TIME)
    steps = {name: training(kind, tokens, watch) for name, watch in candidates().items()}
    found = dict(rows(race(steps, ROUNDS, process_time)))
    found["memory of a session, of activations"] = f"{share_of_activations(kind, tokens):.2%}"
    return found | (dict(blocks(kind, tokens)) if long else {})


def main(words: list[str]) -> None:
    """Print the table."""
    random.seed(0)
    torch.set_num_threads(1)
    print("# What a session costs a training\n")
    print(f"Made by `python benchmarks/training.py`, torch {torch.__version__}, one thread. Two")
    print(f"layers of LSTM or four of attention, width {WIDTH}, batch of {BATCH}, {TIME} steps;")
    print(f"medians of {ROUNDS} shuffled rounds, in steps of the bare loop in the same round. What")
    print("runs every 100 steps is computed from one measurement.\n")
    columns = {kind: table(kind, long="--long" in words) for kind in ("lstm", "attention")}
    print("| | LSTM | attention |\n|---|---|---|")
    for name, cell in columns["lstm"].items():
        print(f"| {name} | {cell} | {columns['attention'][name]} |")


if __name__ == "__main__":
    main(sys.argv[1:])
