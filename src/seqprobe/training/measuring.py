"""From what a session sees to its entries."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from importlib import metadata

from torch import Tensor

from seqprobe.contracts import Measurement, Needs, Observation, Probe
from seqprobe.errors import NotApplicable, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed
from seqprobe.runner.outcome import Outcome
from seqprobe.sequences.given import GivenStream
from seqprobe.training.alarms import Alarms
from seqprobe.training.entry import Entry, Training
from seqprobe.training.held_out import HeldOut

DISTANCE = 100
UNSEEN = (
    "no forward of this module with a backward after it was seen before the step; is it the one "
    "that trains, and was it attached before torch.compile?"
)
_log = logging.getLogger("seqprobe")


class Measuring:
    """The probes of a session, once it is known how long its sequences are.

    A check that has no meaning for the model says so in one entry, and is left out from then on.
    """

    def __init__(
        self,
        model: SequenceModel,
        probes: Sequence[Probe | type[Probe]],
        batch: Tensor,
        *,
        name: str,
        every: Mapping[str, int],
        distance: int | None,
        patience: int,
        start: int,
        seed: int,
    ) -> None:
        symbols = None if model.features else model.vocab_size
        given = GivenStream(batch.detach().clone(), symbols, name)
        reach = _within(distance, given.longest)
        self.every = every
        self._held_out = HeldOut(model, given, seed)
        self._probes = {probe.id: _built(probe, reach, seed) for probe in probes}
        with unnoticed(model.module):
            family = model.family
        self._alarms = Alarms(reach, family, patience)
        self._training = Training(
            name=type(model.module).__name__,
            family=family,
            parameters=sum(each.numel() for each in model.module.parameters()),
            distance=reach,
            start=start,
            held_out=given.source,
            every=every,
            seed=seed,
            seqprobe=metadata.version("seqprobe"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def due(self, step: int, *, own: bool) -> list[Probe]:
        """Probes of the loop's own passes, or the others, whose turn it is."""
        return [
            probe
            for id, probe in self._probes.items()
            if step % self.every[id] == 0 and of_the_loop(probe) == own
        ]

    def own(self, observations: Sequence[Observation], step: int) -> Iterator[Entry]:
        """What the probes of the loop make of its passes."""
        for probe in self.due(step, own=True):
            started, found, why_not = time.monotonic(), None, "" if observations else UNSEEN
            try:
                if observations:
                    found = reduce(Probe.update, observations, probe).compute()
            except NotApplicable as reason:
                why_not = self._left_out(probe, reason)
            except Exception as error:
                why_not = _failed(probe, error)
            yield self._entry(probe, step, found, why_not, time.monotonic() - started)

    def extra(self, step: int) -> Iterator[Entry]:
        """What extra passes find."""
        for outcome in self._outcomes(self.due(step, own=False)):
            why_not = outcome.not_applicable or outcome.error
            if outcome.not_applicable:
                self._left_out(outcome.probe, outcome.not_applicable)
            found = outcome.measurement
            yield self._entry(outcome.probe, step, found, why_not, outcome.seconds)

    def _outcomes(self, probes: Sequence[Probe]) -> list[Outcome]:
        """A pass that fails altogether, for lack of memory, ends nobody's training."""
        try:
            return self._held_out.measured(probes) if probes else []
        except Exception as error:
            return [Outcome(probe, error=_failed(probe, error)) for probe in probes]

    def _left_out(self, probe: Probe, reason: object) -> str:
        del self._probes[probe.id]
        return str(reason)

    def _entry(
        self, probe: Probe, step: int, found: Measurement | None, why_not: str, seconds: float
    ) -> Entry:
        findings = self._alarms.hear(probe.id, found) if found else ()
        return Entry(self._training, step, probe.id, found, why_not, findings, round(seconds, 4))


def needs(probe: Probe | type[Probe]) -> Needs:
    """What a probe needs, be it built or not."""
    return (probe() if isinstance(probe, type) else probe).needs


def of_the_loop(probe: Probe | type[Probe]) -> bool:
    """Whether a probe sees the loop's own passes."""
    return needs(probe).stream == "loop"


def _within(distance: int | None, longest: int) -> int:
    if distance is not None and not 0 < distance < longest:
        raise UsageError(
            "the distance is not within the sequences",
            where="attach",
            got=f"distance {distance} in sequences of {longest} steps",
            expected=f"1 to {longest - 1}",
            do="Give a smaller distance, or longer sequences as held_out.",
        )
    return distance or max(min(DISTANCE, longest // 2 - 1), 1)


def _built(probe: Probe | type[Probe], distance: int, seed: int) -> Probe:
    """Those that were named get distance and seed; others come with their own."""
    return probe if isinstance(probe, Probe) else probe(distance=distance, seed=seed).in_training()


def _failed(probe: Probe, error: Exception) -> str:
    _log.debug("%s failed", probe.id, exc_info=error)
    return f"{type(error).__name__}: {error}"
