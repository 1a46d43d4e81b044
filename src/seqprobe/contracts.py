"""The contracts that hold the house together; this file imports nothing but `results`.

A `Probe` declares what it `needs`, collects evidence from `Observation`s and computes a
`Measurement`: a few `Estimate`s and the `Series` behind them. A `Finding` is what a rule
concludes from estimates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from seqprobe.results import (
    SATURATED,
    Cell,
    Column,
    Estimate,
    Finding,
    Interval,
    Measurement,
    Null,
    Series,
    Source,
    Status,
)

__all__ = [  # what is found belongs to the contracts, and can be read without torch
    "SATURATED",
    "Cell",
    "Column",
    "Estimate",
    "Finding",
    "Interval",
    "Measurement",
    "Null",
    "Series",
    "Source",
    "Status",
]

Stream = Literal["data", "iid", "loop"]
Baseline = Literal["untrained", "iid", "data"]
T = TypeVar("T")
MixerKind = Literal["recurrent", "state space", "attention", "convolution", "unknown"]
AS_ASKED = 2**31
"""The length of probes that name none: beyond all that are asked for."""


@dataclass(frozen=True)
class Needs:
    """What the runner must provide; it reads this and nothing else of a probe.

    `stream`: natural data, independent identically distributed symbols, or the batches of a
    training loop as its own forward and backward see them. `states`: the per-step states at the
    model's sites. `gradients`: derivatives against the embeddings, together with states also the
    recurrence linearised; of a loop, gradients of its loss. `rerun`: the plain forward on edited
    inputs. `mixing`: which modules mix positions. `attention`: its weights. `costs`: what runs of
    one sequence cost. `tokens`: symbols as inputs; real-valued features will not do. `lengths`:
    sequences of several lengths; an image has one. `sequences` are as many as the probe would
    like to see; `most` is up to how many it takes while its numbers are not settled. `length` is
    the longest that it reads; one that names none reads as much as the user asks for.
    """

    stream: Stream
    states: bool = False
    gradients: bool = False
    rerun: bool = False
    mixing: bool = False
    attention: bool = False
    costs: bool = False
    tokens: bool = False
    lengths: bool = False
    sequences: int = 32
    length: int = AS_ASKED
    most: int = 0


@dataclass(frozen=True)
class Mixer:
    """A module that moves information between positions.

    `support[t, s]` is true where its output at t changes with its input at s.
    """

    path: str
    kind: MixerKind
    support: Bool[Tensor, "time time"]

    def holds(self, others: Iterable[Mixer]) -> bool:
        """Whether another one is a part of it: its own code mixes before, beside or after that."""
        inside = f"{self.path}." if self.path else ""
        return any(each.path != self.path and each.path.startswith(inside) for each in others)


@dataclass(frozen=True)
class Trace:
    """What one run of one sequence was made of, once fused operators are taken apart.

    `operations` and `crossings` are the fewest operators, and the fewest steps to a later position,
    on any path from a source to an output, infinite where there is none. `depth` is the longest
    chain of operators from any input to any output, `flops` are those of matrix products and
    convolutions, `touched` the bytes that operators read and write. Operators in `without_rule`
    were taken to read all of their operands. `difference` is the largest one to the plain outputs,
    relative to them.
    """

    operations: Float[np.ndarray, "time sources"]
    crossings: Float[np.ndarray, "time sources"]
    depth: int
    flops: int
    touched: int
    without_rule: tuple[str, ...]
    difference: float = 0.0


@dataclass(frozen=True)
class Carried:
    """Bytes to keep of one sequence so that it can be read on, step by step.

    `state` does not grow, `per_token` is kept for each token read. `told_by` says how it is known;
    None and `reason` where it is not. `linear` is what linear attention would keep in place of keys
    and values: a matrix per head; None where heads are not known.
    """

    state: int | None
    per_token: int | None
    told_by: str = ""
    reason: str = ""
    linear: int | None = None


@runtime_checkable
class Costs(Protocol):
    """What it costs to run a model on one sequence; inputs are (1, time, ..)."""

    def trace(self, inputs: Tensor, sources: Sequence[int] = ()) -> Trace:
        """How the outputs come about, operator by operator."""
        ...

    def saved(self, inputs: Tensor) -> int:
        """Bytes that a forward keeps for its backward; parameters and buffers left out."""
        ...

    def parameters(self) -> int:
        """Bytes of all parameters and buffers."""
        ...

    def carried(self, inputs: Tensor) -> Carried:
        """What step-by-step reading keeps."""
        ...

    def seconds(self, inputs: Tensor, *, backward: bool = False) -> float:
        """Of one forward, or one forward and backward."""
        ...

    def peak(self, inputs: Tensor) -> int | None:
        """Bytes of a device at the height of a forward and backward; None on the CPU."""
        ...

    def ceilings(self) -> tuple[float, float]:
        """FLOPs and bytes per second that this device reaches at best, measured."""
        ...


class Gradients(NamedTuple):
    """Natural logarithms of squared gradient norms, -inf where there is none.

    `log_squares` by distance of the input before the target, `ahead` by distance after it; both
    begin with the target's own input.
    """

    log_squares: Float64[Tensor, "batch targets vectors distances"]
    ahead: Float64[Tensor, "batch targets vectors distances"]

    @property
    def leak(self) -> Float64[Tensor, " batch"]:
        """The largest one at an input after the target."""
        after = torch.arange(self.ahead.shape[-1], device=self.ahead.device) > 0
        return self.ahead.where(after, -math.inf).flatten(1).amax(1)


class Derivatives(ABC):
    """What can be differentiated of one batch: any site at any step, against the embeddings."""

    floor: float = -math.inf
    """Logarithm of the smallest norm that the arithmetic can hold."""

    @property
    @abstractmethod
    def widths(self) -> Mapping[str, int]:
        """The sites, and the widths of their states; the first is `output`."""

    @abstractmethod
    def gradients(
        self,
        site: str,
        steps: Int[Tensor, "batch targets"],
        cotangents: Float[Tensor, "batch targets vectors width"],
        window: int,
    ) -> Gradients:
        """Log ||d (v . state_t) / d e_{t-k}||^2 for k = 0 .. window, and against e_{t+k}.

        The targets of one sequence are different steps, each with its own vectors v.
        """


@runtime_checkable
class Jacobian(Protocol):
    """d state_step / d e_s for the given steps s: every row, or those of some directions."""

    def __call__(
        self,
        site: str,
        step: int,
        sources: Int[Tensor, " sources"],
        directions: Float[Tensor, "directions width"] | None = None,
    ) -> Float[Tensor, "batch sources rows embedding"]: ...


@runtime_checkable
class RecurrentLayer(Protocol):
    """One layer of a recurrence along one batch."""

    @property
    def candidate_weight(self) -> Float[Tensor, "hidden hidden"]:
        """From the last state to the new value, before any gate."""
        ...

    @property
    def forget_bias(self) -> Float[Tensor, " hidden"] | None:
        """What the gate that keeps the state gets without any input; None without such a gate."""
        ...

    @property
    def retention(self) -> Float[Tensor, "time batch hidden"] | None:
        """How open the gate is that keeps the state; None without such a gate."""
        ...

    @property
    def hidden(self) -> int:
        """Numbers of the hidden state; what else is carried is the cell state."""
        ...


@runtime_checkable
class Recurrence(Protocol):
    """Stacked layers as one map from the state of a step to the state of the next one.

    A state holds all that is carried, layer by layer, hidden before cell state.
    """

    @property
    def width(self) -> int:
        """Numbers in a state."""
        ...

    def push(
        self, tangents: Float[Tensor, "batch vectors state"], step: int
    ) -> Float[Tensor, "batch vectors state"]:
        """From tangents at the state before a step to tangents at the state after it."""
        ...


@dataclass(frozen=True)
class Pieces:
    """Pieces of the sequences of a batch, with something changed in them.

    Row i is a piece of `sequences[i]` (a row of the batch) and takes the place of what is there
    from step `starts[i]` on. What hangs over the end of the sequence is left out.
    """

    sequences: Int[Tensor, " rows"]
    starts: Int[Tensor, " rows"]
    inputs: Int[Tensor, "rows steps"] | Float[Tensor, "rows steps features"]


@runtime_checkable
class Read(Protocol):
    """Turns outputs of some rows at some steps of their sequences into numbers, (.., measures).

    `sequences` are rows of the batch; `steps` are those of the whole sequence.
    """

    def __call__(
        self,
        outputs: Float[Tensor, "rows time classes"],
        sequences: Int[Tensor, " rows"],
        steps: Int[Tensor, "rows time"],
        /,
    ) -> Float[Tensor, "rows time measures"]: ...


@runtime_checkable
class Interventions(Protocol):
    """What the model makes of a batch when something in it is changed.

    Outputs are read at every step of the pieces, or at the `last` few; NaN where a piece hangs over
    the end. They never are in memory all at once.
    """

    @property
    def plain(self) -> Float[Tensor, "batch time classes"]:
        """The outputs of the batch as it is."""
        ...

    def continued(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces, read after the first `starts` steps of their sequences as they are."""
        ...

    def fresh(
        self, pieces: Pieces, read: Read, *, last: int | None = None
    ) -> Float[Tensor, "rows read measures"]:
        """The pieces alone: nothing was read before them."""
        ...

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives; done once for all probes that ask with the same key."""
        ...


class AttentionRows(NamedTuple):
    """Weights of some queries, and scores whose softmax they are; finite where a weight is zero."""

    weights: Float[Tensor, "batch heads rows keys"]
    scores: Float[Tensor, "batch heads rows keys"]


@runtime_checkable
class AttentionCall(Protocol):
    """One call of attention over the steps of a batch; it can be read while the model is in it.

    `site` is the module that makes it, `norms` are the lengths of the values that weights are
    multiplied with, and `difference` is the largest one between that product and what the call
    returned, relative to the latter; NaN where dropout in training leaves nothing to compare.
    """

    @property
    def site(self) -> str: ...

    @property
    def time(self) -> int: ...

    @property
    def norms(self) -> Float[Tensor, "batch heads keys"]: ...

    @property
    def difference(self) -> float: ...

    def rows(self, rows: Int[Tensor, " rows"]) -> AttentionRows:
        """Of some queries; keys after the last one are left out where no query sees them."""
        ...


class Attended(NamedTuple):
    """The outputs of a run, and the modules whose weights could not be told, each with the reason.

    Sequences have lost their last steps where their length was also a size of something else.
    """

    outputs: Float[Tensor, "batch time classes"]
    refused: Mapping[str, str]


@runtime_checkable
class Attend(Protocol):
    """Runs the model on inputs, and shows every call of attention to `read`, in their order."""

    def __call__(self, inputs: Tensor, read: Callable[[AttentionCall], None], /) -> Attended: ...


@dataclass(frozen=True)
class Attempt:
    """What came of reading one sequence of a length.

    `error` is what the model itself said. Where memory ran out, nothing is known of the model.
    """

    length: int
    error: str = ""
    out_of_memory: bool = False


@runtime_checkable
class Carrying(Protocol):
    """The model's own way of carrying a state from one call to the next."""

    @property
    def argument(self) -> str:
        """What takes the state that the last call returned; empty where nothing does."""
        ...

    @property
    def singly(self) -> bool:
        """Whether only single steps go on with what was read before."""
        ...

    @property
    def refusal(self) -> str:
        """What went wrong when the module was asked for a state; empty where nothing did."""
        ...

    def chunked(self, inputs: Tensor, sizes: Sequence[int]) -> Float[Tensor, "batch time classes"]:
        """The outputs, read in one call per chunk."""
        ...


@dataclass(frozen=True)
class Readout:
    """How real-valued outputs are compared: as means of independent normal distributions.

    `noise` holds the standard deviation for each output. `says` holds the feature whose next value
    each output predicts; it is empty where outputs are something else, so that they have no loss.
    `explained` is the share of the variance of these features that they explain.
    """

    noise: Float[Tensor, " outputs"]
    says: tuple[int, ...] = ()
    explained: float = math.nan


@dataclass(frozen=True)
class Observation:
    """One batch of sequences seen passing through the model.

    `sequences` are stable numbers: random draws depend on them and not on the batch, so that
    results do not depend on the batch size. `states` maps site names to per-step states, and
    `layers` the recurrent ones among them to their gates; `recurrence` is there where all layers
    run forward, one upon the other, `jacobian` where they do not. `rerun` takes inputs,
    `from_embeddings` what the embedding made of them; the latter keeps the graph. `interventions`
    reruns pieces of the batch, `attend` shows the attention of a run, and `longer` gives the same
    sequences at another length, drawn anew where the source has no more of them, up to `longest`
    steps, if that is not None. `grid`: rows and columns where inputs are the patches of an image in
    raster order. `attempt` tries a length, `trained_length` is the one in training, where that is
    known, and `carrying` is how states go from call to call. `frequencies` is how often each token
    occurs in the stream, `texts` what it stands for, where that is known. Real values have `values`
    in their place, to draw others from: inputs of many steps of the stream. `readout` is how
    outputs are compared that are no scores of classes; `next_token` says whether scores can be
    those of the next token, as far as the model is known. `mixers` belong to sequences of their own
    length.

    Of a training loop there are no outputs (their last axis is empty), `layers` hold the first
    sequence alone, and there are, besides, `loss_gradients` and `state_norms`: by site, (batch,
    time), the norms of the gradient of the loss that came back to what the site gave, and of that
    itself, of `embedding` or `inputs` first; `heads`: what attention did in the loop's own forward,
    row by row as in `HeadRows`; and `unseen`: by what is missing, why.
    """

    sequences: Sequence[int]
    inputs: Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
    outputs: Float[Tensor, "batch time classes"]
    states: Mapping[str, Float[Tensor, "batch time _"]] = field(default_factory=dict)
    derivatives: Derivatives | None = None
    layers: Mapping[str, RecurrentLayer] = field(default_factory=dict)
    recurrence: Recurrence | None = None
    embeddings: Float[Tensor, "batch time embedding"] | None = None
    rerun: Callable[[Tensor], Tensor] | None = None
    interventions: Interventions | None = None
    attend: Attend | None = None
    longer: Callable[[int], Tensor] | None = None
    longest: int | None = None
    attempt: Callable[[int], Attempt] | None = None
    trained_length: int | None = None
    carrying: Carrying | None = None
    from_embeddings: Callable[[Tensor], Tensor] | None = None
    jacobian: Jacobian | None = None
    frequencies: Float[Tensor, " vocab"] | None = None
    texts: Sequence[str] | None = None
    values: Float[Tensor, "values features"] | None = None
    readout: Readout | None = None
    next_token: bool = True
    alphabet: Int[Tensor, " symbols"] | None = None
    mixers: tuple[Mixer, ...] = ()
    costs: Costs | None = None
    causal: bool = True
    grid: tuple[int, int] | None = None
    loss_gradients: Mapping[str, Float[Tensor, "batch _"]] = field(default_factory=dict)
    state_norms: Mapping[str, Float[Tensor, "batch _"]] = field(default_factory=dict)
    heads: Mapping[str, np.ndarray] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)


Evidence = Mapping[str, np.ndarray]
P = TypeVar("P", bound="Probe")


@dataclass(frozen=True)
class Probe(ABC):
    """Parameters of one measurement, and the evidence collected so far.

    Probes are immutable: `update` and `merge` return a new probe. Evidence has one row per
    sequence, so that batches, resumed runs and ranks simply join. A new probe implements
    `observe` (one batch to rows) and `measure` (all rows to a Measurement).

    `distance`: the distance the user asks about. `seed`: of every random draw. Any other field
    that bears the name of something in a request gets that.

    `baselines` are measured in the same way: the model before training, independent inputs, or the
    data where the probe itself takes independent inputs. `passes`: about how many plain forwards
    and backwards of one sequence it costs for each sequence, where models are run in full.
    """

    id: ClassVar[str]
    version: ClassVar[int] = 1
    title: ClassVar[str]
    question: ClassVar[str]
    method: ClassVar[str]
    reading: ClassVar[str]
    limits: ClassVar[str]
    references: ClassVar[tuple[str, ...]]
    baselines: ClassVar[tuple[Baseline, ...]] = ()
    passes: ClassVar[float] = 1.0

    distance: int = 100
    seed: int = 0
    evidence: tuple[Evidence, ...] = field(default=(), repr=False, compare=False)

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the runner must provide."""

    @abstractmethod
    def observe(self, observation: Observation) -> Evidence:
        """Turn one batch into rows, one per sequence."""

    @abstractmethod
    def measure(self, evidence: Evidence) -> Measurement:
        """Compute the measurement from all rows."""

    def update(self: P, observation: Observation) -> P:
        """This probe, having seen one more batch."""
        rows = {"sequence": np.asarray(observation.sequences), **self.observe(observation)}
        return replace(self, evidence=(*self.evidence, rows))

    def merge(self: P, other: P) -> P:
        """This probe, having seen also what the other one saw."""
        return replace(self, evidence=self.evidence + other.evidence)

    def rows(self) -> Evidence:
        """All evidence, in the order of the sequences and not of the batches.

        What was observed on some batches only has fewer rows.
        """
        if not self.evidence:
            raise ValueError(f"{self.id}: compute() before any update()")
        ordered = sorted(self.evidence, key=lambda batch: int(batch["sequence"].min()))
        names = dict.fromkeys(name for batch in ordered for name in batch)
        return {
            name: np.concatenate([batch[name] for batch in ordered if name in batch])
            for name in names
        }

    def compute(self) -> Measurement:
        """The measurement; the order in which batches came does not matter."""
        return self.measure(self.rows())

    @property
    def work(self) -> float:
        """The passes that it costs with its parameters."""
        return self.passes

    @property
    def settled(self) -> bool:
        """Whether its numbers are known well enough, so that it needs no more sequences."""
        return True

    def as_baseline(self) -> Probe:
        """What to measure on a baseline."""
        return self

    def in_training(self) -> Probe:
        """What to measure again and again while a model trains: without every detail."""
        return self

    def beside(self, own: Measurement, baselines: Mapping[str, Measurement]) -> Measurement:
        """The measurement with the baselines' metrics and tables added under their names."""
        metrics, series = dict(own.metrics), list(own.series)
        for baseline, measured in baselines.items():
            metrics |= {
                f"{name}_{baseline}": each.brief() for name, each in measured.metrics.items()
            }
            series += [replace(table, id=f"{table.id}-{baseline}") for table in measured.series]
        return replace(own, metrics=metrics, series=tuple(series))

    def random(self, sequence: int) -> np.random.Generator:
        """The generator that belongs to one sequence."""
        return np.random.default_rng((self.seed, sequence))
