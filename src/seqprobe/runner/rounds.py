"""One pass over some sequences, in rounds: who is not settled after one sees more in the next."""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import NamedTuple

from torch import Tensor

from seqprobe.contracts import Needs
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.untrained import untrained
from seqprobe.runner.cut import Cut
from seqprobe.runner.journal import Pages
from seqprobe.runner.memory import LARGEST_BATCH, batch_size, room_for_a_copy
from seqprobe.runner.observe import Observer
from seqprobe.runner.outcome import Outcome, Part
from seqprobe.runner.plan import Pass
from seqprobe.runner.ranks import Ranks
from seqprobe.sequences import streams


class Round(NamedTuple):
    """Which probes want to see more, by their place in the pass, and the batches left to do.

    Of each batch its first sequence, and the one after its last.
    """

    wanted: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def batches(self) -> list[range]:
        """The sequences left to do."""
        return [range(*each) for each in self.edges]


class Rounds:
    """A pass: its batches, and what came of its probes."""

    def __init__(
        self,
        model: SequenceModel,
        each: Pass,
        stream: streams.Stream,
        alphabet: Tensor | None,
        ranks: Ranks,
        pages: Pages,
    ) -> None:
        self.trained, self.each, self.stream, self.alphabet = model, each, stream, alphabet
        self.ranks, self.pages = ranks, pages
        self.size = LARGEST_BATCH
        self.difference: float | None = None
        self.outcomes = [
            Outcome(probe, each.baseline, not_applicable=_obstacle(model, probe.needs))
            for probe in each.probes
        ]

    @property
    def label(self) -> str:
        """The probes that still want to see sequences."""
        ids = ", ".join(outcome.probe.id for outcome in self.outcomes if outcome.open)
        return f"{ids} ({self.each.baseline})" if ids and self.each.baseline else ids

    def batches(self) -> Iterator[int]:
        """Show one batch after the other to the probes; yields about how many have been seen.

        Afterwards nothing is kept of a model that was made for a baseline.
        """
        yield from self._rounds()
        self.__dict__.pop("observer", None)

    def _rounds(self) -> Iterator[int]:
        """One after the other.

        What the journal has of a round is not done again. Whether another one is needed is known
        once all that was found in this one is together.
        """
        needs = self.each.needs
        for stop in (needs.sequences, *range(2 * needs.sequences, needs.most + 1, needs.sequences)):
            numbers = range(stop - needs.sequences, stop)
            todo = self.ranks.told(Round, partial(self._round, numbers))
            if not todo.wanted:
                return
            own, seen = list[Part](), stop - sum(map(len, todo.batches))
            for part in self._worked(todo):
                own.append(part)
                seen += len(part.numbers) * self.ranks.size
                yield min(seen, stop)
            for part in self.ranks.gathered(own):
                self._take(part)
            yield stop

    @cached_property
    def observer(self) -> Observer:
        """Of the model, or of the one that a baseline measures instead."""
        fresh = self.each.baseline == "untrained"
        model = untrained(self.trained) if fresh else self.trained
        return Observer(model, self.each.needs, self.stream, self.alphabet)

    def _round(self, numbers: range) -> Round:
        """What is to be done, as the first process sees it."""
        wanted = self._wanted(numbers)
        if not wanted:
            return Round((), ())
        cut, done = self._cut, set[int]()
        for part in self.pages.parts(self.outcomes, numbers):
            self._take(part)
            done.update(part.numbers)
        left = cut.left(numbers, done)
        return Round(wanted, tuple((batch.start, batch.stop) for batch in left))

    def _wanted(self, numbers: range) -> tuple[int, ...]:
        """All probes in the first round; later those that are not settled."""
        first = numbers.start == 0
        if first:
            self._make_ready()
        return tuple(
            place
            for place, outcome in enumerate(self.outcomes)
            if outcome.open and (first or not outcome.probe.settled)
        )

    def _make_ready(self) -> None:
        """Make the model of a baseline, or note why it cannot be made."""
        for outcome in self.outcomes:
            if outcome.open:
                with outcome.kept_apart():
                    if self.each.baseline == "untrained":
                        room_for_a_copy(self.trained, self.ranks.size)
                    _ = self.observer

    @cached_property
    def _cut(self) -> Cut:
        """As the journal has it, else by memory; costs are measured by one process."""
        return self.pages.cut(self._cut_by_memory)

    def _cut_by_memory(self) -> Cut:
        needs, observer = self.each.needs, self.observer
        if needs.sequences == 1:
            return Cut(1, 1)
        size = batch_size(
            observer.model,
            observer.inputs([0]),
            gradients=needs.gradients,
            processes=self.ranks.size,
        )
        return Cut(size, 1 if needs.costs else self.ranks.size)

    def _worked(self, todo: Round) -> Iterator[Part]:
        """This process's share.

        While costs are measured nobody else works, so that no clock is disturbed.
        """
        alone = self.each.needs.costs
        mine = self.ranks.share(todo.batches) if not alone else todo.batches * self.ranks.first
        for batch in mine:
            for part in self._halved(batch, todo.wanted):
                self.pages.keep(part)
                self._take(part)
                yield part

    def _halved(self, batch: range, wanted: tuple[int, ...]) -> Iterator[Part]:
        """The batch, at half its size where it does not fit into memory; so are all later ones."""
        start = batch.start
        while start < batch.stop and any(self.outcomes[place].open for place in wanted):
            numbers = range(start, min(start + self.size, batch.stop))
            try:
                part = self._shown(numbers, wanted)
            except Exception as error:
                if not is_out_of_memory(error) or len(numbers) == 1:
                    raise
                self.size = len(numbers) // 2
            else:
                start = numbers.stop
                yield part

    def _shown(self, numbers: range, wanted: tuple[int, ...]) -> Part:
        """Nothing is kept of a batch that runs out of memory halfway."""
        observed = self.observer.observe(numbers)
        outcomes = [outcome.afresh() for outcome in self.outcomes]
        for outcome in (outcomes[place] for place in wanted if outcomes[place].open):
            if observed.no_gradients and outcome.probe.needs.gradients:
                outcome.not_applicable = observed.no_gradients
            else:
                outcome.see(observed.observation)
        return Part(numbers, outcomes, observed.difference)

    def _take(self, part: Part) -> None:
        for outcome, other in zip(self.outcomes, part.outcomes, strict=True):
            outcome.merge(other)
        if part.difference is not None:
            self.difference = max(self.difference or 0.0, part.difference)


def _obstacle(model: SequenceModel, needs: Needs) -> str:
    """Why a probe cannot be served by this model at all."""
    if needs.tokens and model.features:
        return "needs symbols; this model reads real-valued features"
    if needs.lengths and model.grid:
        rows, columns = model.grid
        return f"needs sequences of several lengths; all images have {rows} x {columns} patches"
    return ""
