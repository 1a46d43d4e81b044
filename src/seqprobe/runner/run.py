"""Run a plan: each batch passes through the model once for all probes that share it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from seqprobe.contracts import Baseline, Measurement, Mixer, Needs, Observation, Probe, Stream
from seqprobe.errors import NotApplicable
from seqprobe.models.attempts import Attempts
from seqprobe.models.autograd import Autograd
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.carrying import Carrying
from seqprobe.models.costs import Costs
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.sweep import Sweep
from seqprobe.models.untrained import untrained
from seqprobe.runner.memory import LARGEST_BATCH, batch_size
from seqprobe.runner.plan import Pass
from seqprobe.sequences import streams

Progress = Callable[[str, int, int], None]
_log = logging.getLogger("seqprobe")


@dataclass
class Outcome:
    """What came of one probe: a measurement, or why there is none."""

    probe: Probe
    baseline: Baseline | None = None
    measurement: Measurement | None = None
    not_applicable: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the probe still wants to see sequences."""
        return not (self.not_applicable or self.error)


@dataclass
class Run:
    """All outcomes, and how far the probed forward was from the plain one, relative to it."""

    outcomes: list[Outcome] = field(default_factory=list)
    largest_difference: float | None = None
    interrupted: bool = False


def run(
    model: SequenceModel,
    passes: Sequence[Pass],
    sources: Mapping[Stream, streams.Stream],
    alphabet: Tensor | None,
    progress: Progress,
) -> Run:
    """Carry out all passes; a probe that fails leaves the others alone.

    An interruption (Ctrl-C) ends the run early: what was seen until then is measured.
    `progress` is called with what is going on, and how many of how many sequences are done.
    """
    result = Run()
    sweeps = [_Sweep(model, each, sources[each.stream], alphabet, result) for each in passes]
    total, done = sum(each.needs.sequences for each in passes), 0
    try:
        for sweep in sweeps:
            for seen in sweep.batches():
                progress(sweep.label, done + min(seen, sweep.each.needs.sequences), total)
            done += sweep.each.needs.sequences
    except KeyboardInterrupt:
        result.interrupted = True
    for outcome in result.outcomes:
        progress(f"computing {outcome.probe.id}", done, total)
        _compute(outcome)
    result.outcomes = [
        _beside(each, result.outcomes) for each in result.outcomes if not each.baseline
    ]
    return result


def refused(passes: Sequence[Pass], why: str) -> Run:
    """No pass is carried out, for a reason that holds for all of them."""
    probes = [probe for each in passes if each.baseline is None for probe in each.probes]
    return Run([Outcome(probe, not_applicable=why) for probe in probes])


def _beside(outcome: Outcome, others: Sequence[Outcome]) -> Outcome:
    """The outcome with its baselines; one that cannot be measured is named in a warning."""
    if outcome.measurement is None:
        return outcome
    beside = [o for o in others if o.baseline and o.probe.id == outcome.probe.id]
    measured = {str(o.baseline): o.measurement for o in beside if o.measurement}
    missing = tuple(
        f"no {o.baseline} baseline: {o.error or o.not_applicable}"
        for o in beside
        if o.error or o.not_applicable
    )
    joined = outcome.probe.beside(outcome.measurement, measured)
    seconds = outcome.seconds + sum(o.seconds for o in beside)
    return replace(
        outcome,
        measurement=replace(joined, warnings=joined.warnings + missing),
        seconds=seconds,
    )


class _Sweep:
    """One pass: its batches, and the outcomes of its probes."""

    def __init__(
        self,
        model: SequenceModel,
        each: Pass,
        stream: streams.Stream,
        alphabet: Tensor | None,
        result: Run,
    ) -> None:
        self.trained, self.each, self.stream = model, each, stream
        self.alphabet, self.result = alphabet, result
        self.outcomes = [
            Outcome(probe, each.baseline, not_applicable=_obstacle(model, probe.needs))
            for probe in each.probes
        ]
        result.outcomes += self.outcomes

    @property
    def label(self) -> str:
        """The probes that still want to see sequences."""
        ids = ", ".join(outcome.probe.id for outcome in self.outcomes if outcome.open)
        return f"{ids} ({self.each.baseline})" if ids and self.each.baseline else ids

    @cached_property
    def model(self) -> SequenceModel:
        """The model, or the one that a baseline measures instead."""
        return untrained(self.trained) if self.each.baseline == "untrained" else self.trained

    def batches(self) -> Iterator[int]:
        """Show one batch after the other to all probes; yields how many sequences they saw.

        A batch that does not fit into memory is tried again at half its size. Probes that are
        not settled see more than they asked for at first. No batch goes across a multiple of the
        largest size, so that a probe may look closer at the first sequences.
        """
        needs, start = self.each.needs, 0
        if not self._prepared():
            return
        mixers = self.model.mixers(needs.length) if needs.mixing else ()
        size = self._size(needs)
        for stop in (needs.sequences, *range(2 * needs.sequences, needs.most + 1, needs.sequences)):
            while start < stop and self._open(start):
                block = start - start % LARGEST_BATCH + LARGEST_BATCH
                numbers = range(start, min(start + size, stop, block))
                try:
                    self._show(self._observation(numbers, mixers))
                    start = numbers.stop
                    yield start
                except Exception as error:
                    if not is_out_of_memory(error) or size == 1:
                        raise
                    size //= 2

    def _size(self, needs: Needs) -> int:
        if needs.sequences == 1:
            return 1
        return batch_size(self.model, self._inputs([0]), gradients=needs.gradients)

    def _prepared(self) -> bool:
        """Whether the model of a baseline can be made, and anything is left to do."""
        for outcome in self.outcomes:
            if outcome.open:
                with _kept_apart(outcome):
                    _ = self.model
        return bool(self.label)

    def _open(self, seen: int) -> list[Outcome]:
        """The outcomes that want to see more."""
        enough = self.each.needs.sequences
        first = seen < enough
        return [o for o in self.outcomes if o.open and (first or not o.probe.settled)]

    def _inputs(self, numbers: Sequence[int]) -> Tensor:
        return self.stream.take(numbers, self.each.needs.length).to(self.model.device)

    def _observation(self, numbers: Sequence[int], mixers: tuple[Mixer, ...]) -> Observation:
        needs, inputs = self.each.needs, self._inputs(numbers)
        shared: dict[str, Any] = {
            "sequences": numbers,
            "inputs": inputs,
            "rerun": self.model,
            "interventions": Interventions(self.model, inputs) if needs.rerun else None,
            "attend": self.model.attend if needs.attention else None,
            "longer": lambda length: self.stream.take(numbers, length).to(self.model.device),
            "longest": self.stream.longest,
            "attempt": Attempts(self.model),
            "trained_length": self.model.trained_length,
            "carrying": Carrying(self.model),
            "frequencies": self.stream.frequencies,
            "texts": self.stream.texts,
            "alphabet": self.alphabet,
            "mixers": mixers,
            "costs": Costs(self.model) if needs.costs else None,
            "causal": self.model.causal,
        }
        if not (needs.states or needs.gradients):
            reruns: Interventions | None = shared["interventions"]
            outputs = reruns.plain if reruns else self.model(inputs)
            return Observation(outputs=outputs, **shared)
        derivatives = self._derivatives(inputs) if needs.gradients else None
        observed = (
            derivatives.observed if derivatives else self.model.observe(inputs, gradients=False)
        )
        if numbers[0] == 0 and needs.states:
            self._compare(observed.outputs, self.model(inputs))
        return Observation(
            outputs=observed.outputs,
            states=observed.states,
            derivatives=derivatives,
            layers=observed.layers,
            recurrence=self.model.recurrence(observed),
            embeddings=observed.embeddings,
            from_embeddings=partial(self.model.from_embeddings, inputs),
            jacobian=derivatives.jacobian if isinstance(derivatives, Autograd) else None,
            **shared,
        )

    def _derivatives(self, inputs: Tensor) -> Sweep | Autograd | None:
        """None where there are none; the probes that need them are told why."""
        try:
            return self.model.derivatives(inputs, states=self.each.needs.states)
        except NotApplicable as reason:
            for outcome in self.outcomes:
                if outcome.open and outcome.probe.needs.gradients:
                    outcome.not_applicable = str(reason)
            return None

    def _compare(self, probed: Tensor, plain: Tensor) -> None:
        difference = float(
            (probed.detach() - plain).abs().max() / plain.abs().max().clamp(min=1e-30)
        )
        self.result.largest_difference = max(self.result.largest_difference or 0.0, difference)

    def _show(self, observation: Observation) -> None:
        """Probes are immutable: nothing is kept of a batch that ran out of memory halfway."""
        wanting = self._open(observation.sequences[0])
        updated = [(outcome, *_updated(outcome, observation)) for outcome in wanting]
        for outcome, probe, seconds in updated:
            outcome.probe, outcome.seconds = probe, outcome.seconds + seconds


def _obstacle(model: SequenceModel, needs: Needs) -> str:
    """Why a probe cannot be served by this model at all."""
    if needs.tokens and model.features:
        return "needs tokens; this model reads real-valued features"
    return ""


def _updated(outcome: Outcome, observation: Observation) -> tuple[Probe, float]:
    started = time.monotonic()
    probe = outcome.probe
    if outcome.open:
        with _kept_apart(outcome):
            probe = probe.update(observation)
    return probe, time.monotonic() - started


def _compute(outcome: Outcome) -> None:
    if not outcome.open or not outcome.probe.evidence:
        return
    started = time.monotonic()
    with _kept_apart(outcome):
        outcome.measurement = outcome.probe.compute()
    outcome.seconds += time.monotonic() - started


@contextmanager
def _kept_apart(outcome: Outcome) -> Iterator[None]:
    """What goes wrong in one probe is written into its outcome; the others go on."""
    try:
        yield
    except NotApplicable as reason:
        outcome.not_applicable = str(reason)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        _log.debug("%s failed", outcome.probe.id, exc_info=True)
        outcome.error = f"{type(error).__name__}: {error}"
