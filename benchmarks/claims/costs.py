"""Part 1: seconds and bytes over length, all kinds beside each other."""

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from claims.decoding import decoded, memory_of
from claims.kept import Kept, Part
from claims.models import KINDS, VOCABULARY, Side, equal, shape_of
from seqprobe.errors import ModelError
from seqprobe.estimators.growth import cost, law
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.costs import Costs
from seqprobe.models.device import free_bytes
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import Kind

Way = Literal["forward", "training", "decoding"]
WAYS: tuple[Way, ...] = ("forward", "training", "decoding")
SHORTEST, SENTENCE = 64, (1, 1000)
ROUNDS, DECODED = 9, 32
TRACED = (32, 64, 128, 256)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FAILURES = RuntimeError, MemoryError, ModelError
"""Memory, or a kernel that is not there; the rest goes on."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all kinds. A point that takes longer than `patience` is left out."""

    parameters: int
    precision: str
    batch: int
    longest: int
    patience: float
    device: torch.device
    kinds: tuple[Kind, ...] = KINDS

    @property
    def name(self) -> str:
        size = f"{self.parameters:,} parameters, {self.precision}, batch {self.batch}"
        return f"costs: {size}"

    @property
    def lengths(self) -> list[int]:
        """Doubled from the shortest one on."""
        doublings = (self.longest // SHORTEST).bit_length()
        return [SHORTEST << doubling for doubling in range(doublings)]


class Point(NamedTuple):
    """One thing to be timed."""

    kind: Kind
    way: Way
    length: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.way}/{self.length}"


@dataclass
class Timed:
    """A model of a kind on its device, with the clocks for each way."""

    setting: Setting
    kind: Kind
    model: nn.Module = field(init=False)
    costs: Costs = field(init=False)

    def __post_init__(self) -> None:
        setting = self.setting
        room = max(setting.longest, *SENTENCE) + DECODED
        self.model = equal(self.kind, setting.parameters, room)
        self.model.to(setting.device, DTYPES[setting.precision]).eval()
        batched = Side(self.model, setting.batch) if setting.batch > 1 else self.model
        self.costs = Costs(SequenceModel(batched, vocab_size=VOCABULARY))

    def tokens(self, length: int) -> Tensor:
        """The same ones at every call."""
        generator = torch.Generator().manual_seed(length)
        drawn = torch.randint(VOCABULARY, (1, length), generator=generator)
        return drawn.to(self.setting.device)

    def seconds(self, way: Way, length: int) -> float:
        """Of one forward, of one with its backward, or of one more token after `length` others."""
        if way != "decoding":
            return self.costs.seconds(self.tokens(length), backward=way == "training")
        batch = self.setting.batch
        memory = memory_of(self.model, batch, read=length, room=DECODED)
        tokens = self.tokens(DECODED).repeat(batch, 1)
        self._wait()
        started = perf_counter()
        decoded(memory, tokens)
        self._wait()
        return (perf_counter() - started) / DECODED

    def bytes(self, length: int) -> dict[str, int | None]:
        """Kept for a backward, at the height of one on a GPU, and carried from token to token."""
        tokens = self.tokens(length)
        return {
            "saved": _or_none(lambda: self.costs.saved(tokens)),
            "peak": _or_none(lambda: self.costs.peak(tokens)),
            "carried": memory_of(self.model, self.setting.batch, read=length).bytes,
        }

    def _wait(self) -> None:
        if self.setting.device.type == "cuda":
            torch.cuda.synchronize(self.setting.device)


def measured(setting: Setting, kept: Kept) -> None:
    """What fits, then rounds of it in shuffled order; every round is kept as soon as it is there.

    A process begins with a round that is not kept, so that nothing is timed for the first time.
    """
    names = [f"{setting.name}: round {turn}" for turn in range(ROUNDS)]
    if all(kept.has(name) for name in names):
        return
    timed = {kind: Timed(setting, kind) for kind in setting.kinds}
    warm = not kept.has(f"{setting.name}: what fits")
    fits = kept.part(f"{setting.name}: what fits", partial(_trial, setting, timed))
    points = [Point(*point) for point in fits["points"]]
    if not warm:
        _round(timed, points)
    for name in names:
        kept.part(name, lambda: {"seconds": _round(timed, points)})


def _round(timed: Mapping[Kind, Timed], points: list[Point]) -> dict[str, float]:
    """Every point once; a busy moment hits all of them alike."""
    shuffled = random.sample(points, len(points))
    return {str(p): float(f"{timed[p.kind].seconds(p.way, p.length):.5g}") for p in shuffled}


def _trial(setting: Setting, timed: Mapping[Kind, Timed]) -> Part:
    """Which points fit, why others do not, and what needs to be counted only once."""
    points, left_out = list[Point](), dict[str, str]()
    for point in _all_points(setting):
        reason = left_out.get(f"{point.kind}/{point.way}") or _why_not(timed[point.kind], point)
        if reason:
            left_out.setdefault(f"{point.kind}/{point.way}", reason)
        else:
            points.append(point)
    there = {(point.kind, point.length) for point in points if point.length in setting.lengths}
    ceilings = timed[setting.kinds[0]].costs.ceilings()
    return {
        "setting": {"parameters": setting.parameters, "precision": setting.precision,
                    "batch": setting.batch, "lengths": setting.lengths,
                    "patience": setting.patience, "free_bytes": free_bytes(setting.device)},
        "shapes": {kind: shape_of(each.model) for kind, each in timed.items()},
        "points": points,
        "left_out": left_out,
        "bytes": {f"{kind}/{n}": timed[kind].bytes(n) for kind, n in sorted(there)},
        "work": {kind: work(kind, setting.parameters, setting.lengths) for kind in timed},
        "ceilings": ceilings,
    }  # fmt: skip


def _all_points(setting: Setting) -> Iterator[Point]:
    """The short ones first; the sentence about 1000 tokens is about the forward alone."""
    for kind in setting.kinds:
        for length in sorted({*SENTENCE, *setting.lengths}):
            ways = WAYS if length in setting.lengths else WAYS[:1]
            yield from (Point(kind, way, length) for way in ways)


def _why_not(timed: Timed, point: Point) -> str:
    """What keeps a point from being measured; empty where nothing does."""
    patience = timed.setting.patience
    try:
        took = timed.seconds(point.way, point.length)
        if took > patience:
            took = timed.seconds(point.way, point.length)  # the first one is slow for other reasons
    except FAILURES as error:
        first = "out of memory" if is_out_of_memory(error) else str(error).split("\n")[0]
        return f"at {point.length:,} tokens: {first}"
    print(f"{timed.setting.name}: {point}: {took:.4g} s", file=sys.stderr, flush=True)
    if took > patience:
        return f"one takes {took:.2g} s at {point.length:,} tokens, more than {patience:g} s"
    return ""


def _or_none(count: Callable[[], int | None]) -> int | None:
    """None where it fails."""
    try:
        return count()
    except FAILURES:
        return None


def work(kind: Kind, parameters: int, lengths: list[int]) -> dict[str, list[float] | None]:
    """FLOPs of matrix products, and bytes touched in float32, of one forward of one sequence.

    Followed operator by operator on the CPU at short lengths; further on by the law of these.
    """
    longest = max(*lengths, *TRACED)
    costs = Costs(SequenceModel(equal(kind, parameters, longest), vocab_size=VOCABULARY))
    traces = [costs.trace(costs.model.example(1, length)) for length in TRACED]
    counts = {
        "flops": [float(trace.flops) for trace in traces],
        "touched": [float(trace.touched) for trace in traces],
    }
    return {name: by_law(counted, lengths) for name, counted in counts.items()}


def by_law(counted: list[float], lengths: list[int]) -> list[float] | None:
    """At other lengths than `TRACED`; None where it is not done once, per token, or per pair."""
    at, values = (np.array(each, dtype=np.float64) for each in (TRACED, counted))
    found = law(at, values)
    if found is None or not np.allclose(cost(found, at), values, rtol=1e-6):
        return None
    there: list[float] = cost(found, np.array(lengths, dtype=np.float64)).round().tolist()
    return there
