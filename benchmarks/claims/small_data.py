"""Part 6: what is learned from less text, at equal parameters and equal steps."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from claims.kept import Kept, Part
from seqprobe.contracts import Estimate, Interval, Null
from seqprobe.reference.language_models import Kind
from seqprobe.reference.recipe import recipe_from
from seqprobe.reference.training import train

SHARES = (0.01, 0.1, 1.0)
KINDS: tuple[Kind, ...] = ("rnn", "lstm", "gru", "attention")
RATES: Mapping[Kind, float] = {"rnn": 1e-3, "lstm": 4e-3, "gru": 4e-3, "attention": 3e-3}
NAME = "small data"


@dataclass(frozen=True)
class Size:
    """What is the same for all kinds and shares."""

    parameters: int
    context: int
    batch: int
    steps: int
    seeds: int


FULL = Size(parameters=1_000_000, context=256, batch=64, steps=2000, seeds=3)
SMALL = Size(parameters=100_000, context=64, batch=16, steps=300, seeds=3)


def measured(
    size: Size, kept: Kept, folder: Path, device: torch.device, shares: Iterable[float] = SHARES
) -> None:
    """One training per seed, share and kind; one that was cut short is taken up again."""
    runs = [(k, share, seed) for seed in range(size.seeds) for share in shares for k in KINDS]
    for kind, share, seed in runs:
        name = f"{NAME}: {kind}/{share}/{seed}"
        kept.part(name, partial(_trained, size, kind, share, seed, folder, device))
    if folder.exists():
        folder.rmdir()


def _trained(
    size: Size, kind: Kind, share: float, seed: int, folder: Path, device: torch.device
) -> Part:
    settings = {
        "share": share, "seed": seed, "learning_rate": RATES[kind],
        "parameters": size.parameters, "context": size.context, "batch": size.batch,
        "steps": size.steps,
    }  # fmt: skip
    path = folder / f"{kind}-{share}-{seed}.pt"
    card = train(recipe_from(kind, settings), path, device, lambda _step, _loss: None)
    path.unlink()
    path.with_suffix(".json").unlink()
    read = card["tokens"] / card["training_bytes"]
    return {"kind": kind, "share": share, "card": card, "times_read": round(read, 3)}


@dataclass(frozen=True)
class Learned:
    """Held-out bits at the best step, by kind and share, one for each seed."""

    bits: Mapping[tuple[Kind, float], list[float]]
    times_read: Mapping[float, float]

    def mean(self, kind: Kind, share: float) -> Estimate:
        """With the spread over seeds; it says nothing about other texts."""
        return _mean(np.array(self.bits[kind, share]))

    def gain(self, kind: Kind, share: float) -> Estimate:
        """Bits by which a kind predicts better than attention on this share."""
        ours, theirs = (np.array(self.bits[k, share]) for k in (kind, "attention"))
        return _mean(theirs - ours)

    def more_gain(self, kind: Kind, few: float, many: float) -> Estimate:
        """How much greater that is on few data than on many."""
        both = {
            share: np.array(self.bits["attention", share]) - np.array(self.bits[kind, share])
            for share in (few, many)
        }
        return _mean(both[few] - both[many])

    @property
    def shares(self) -> list[float]:
        return sorted(self.times_read)


def learned(parts: Mapping[str, Part]) -> Learned | None:
    """All that was trained, seeds that all kinds and shares have; None without any."""
    runs = dict(_runs(parts))
    cells = {(kind, share) for kind, share, _ in runs}
    seeds = {seed for *_, seed in runs}
    whole = [seed for seed in sorted(seeds) if all((*cell, seed) in runs for cell in cells)]
    if not whole:
        return None
    bits = {
        cell: [runs[*cell, seed]["card"]["best_held_out_bits"] for seed in whole] for cell in cells
    }
    return Learned(bits, {part["share"]: part["times_read"] for part in runs.values()})


def _runs(parts: Mapping[str, Part]) -> Iterator[tuple[tuple[Kind, float, int], Part]]:
    for name, part in parts.items():
        if name.startswith(f"{NAME}: "):
            yield (part["kind"], part["share"], part["card"]["recipe"]["seed"]), part


def _mean(values: np.ndarray) -> Estimate:
    """Student's t over seeds; seeds are paired, as their batches are drawn alike."""
    null = Null("no difference", 0.0)
    if len(values) < 2:
        return Estimate(float(values[0]), "bits", n=1, null=null, reason="one seed")
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    centre = float(values.mean())
    about = Interval(centre - half, centre + half)
    return Estimate.sampled(centre, "bits", about, n=len(values), null=null)
