"""The extra passes of a session: probes on a batch that stays the same while the model trains."""

from collections import defaultdict
from collections.abc import Sequence

from seqprobe.contracts import Probe
from seqprobe.contracts import Stream as StreamName
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed
from seqprobe.runner.outcome import Outcome
from seqprobe.runner.plan import Pass, plan
from seqprobe.runner.run import run, silent
from seqprobe.sequences.choose import alphabet_of, independent
from seqprobe.sequences.given import GivenStream
from seqprobe.sequences.streams import Stream


class HeldOut:
    """Probes with the same sequences, steps and directions at every measurement.

    What changes from one to the next is the model.
    """

    def __init__(self, model: SequenceModel, given: GivenStream, seed: int) -> None:
        self.model, self.given = model, given
        self._alphabet = alphabet_of(given)
        symbols = independent(
            self._alphabet,
            vocab_size=model.vocab_size,
            features=model.features,
            dtype=model.dtype,
            seed=seed,
        )
        self._sources: dict[StreamName, Stream] = {"data": given, "iid": symbols}

    def measured(self, probes: Sequence[Probe]) -> list[Outcome]:
        """One outcome per probe; the model's training does not notice."""
        with unnoticed(self.model.module):
            passes = self._passes(probes)
            result = run(self.model, passes, self._sources, self._alphabet, silent)
        if result.cut_short:
            raise KeyboardInterrupt
        return result.outcomes

    def _passes(self, probes: Sequence[Probe]) -> list[Pass]:
        """No more sequences than were given."""
        by_count: dict[int, list[Probe]] = defaultdict(list)
        for probe in probes:
            wanted = probe.needs.sequences
            given = len(self.given.batch) if probe.needs.stream == "data" else wanted
            by_count[min(wanted, given)].append(probe)
        longest, image = self.given.longest, self.model.grid is not None
        return [
            each
            for count, some in by_count.items()
            for each in plan(some, longest, count, (), whole=image)
        ]
