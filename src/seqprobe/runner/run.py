"""Run a plan: each batch passes through the model once for all probes that share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from seqprobe.contracts import Stream
from seqprobe.errors import LostProcess
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.runner.journal import Journal, Pages
from seqprobe.runner.outcome import Outcome
from seqprobe.runner.plan import Pass
from seqprobe.runner.ranks import ALONE, Ranks
from seqprobe.runner.rounds import Rounds
from seqprobe.sequences import streams

Progress = Callable[[str, int, int], None]
NOWHERE = partial(Journal().of_pass, 0)


def silent(_label: str, _done: int, _total: int) -> None:
    """No progress shown."""


@dataclass
class Run:
    """All outcomes, and how far the probed forward was from the plain one, relative to it.

    `cut_short`: why not all sequences were seen; empty where they were.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    largest_difference: float | None = None
    cut_short: str = ""


def run(
    model: SequenceModel,
    passes: Sequence[Pass],
    sources: Mapping[Stream, streams.Stream],
    alphabet: Tensor | None,
    progress: Progress,
    ranks: Ranks = ALONE,
    pages: Callable[[int], Pages] = NOWHERE,
) -> Run:
    """Carry out all passes; a probe that fails leaves the others alone.

    An interruption (Ctrl-C) ends the run early, and so does a process that is lost: what was seen
    until then is measured. `progress` is called with what is going on, and how many of how many
    sequences are done. Of several `ranks` the first alone has outcomes. `pages` are where finished
    batches are kept and looked up, by the number of the pass.

    Raises:
        LostProcess: this is another process than the first, and one was lost.
    """
    sweeps = [
        Rounds(model, each, sources[each.stream], alphabet, ranks, pages(index))
        for index, each in enumerate(passes)
    ]
    total, done, cut_short = sum(each.needs.sequences for each in passes), 0, ""
    try:
        with ranks.heeding():
            for sweep in sweeps:
                enough = sweep.each.needs.sequences
                for seen in sweep.batches():
                    progress(sweep.label, done + min(seen, enough), total)
                done += enough
    except KeyboardInterrupt:
        if not ranks.first:
            raise
        cut_short = "Interrupted"
    except LostProcess as lost:
        if not ranks.first:
            raise
        cut_short = lost.said
    if not ranks.first:
        return Run()
    outcomes = [outcome for sweep in sweeps for outcome in sweep.outcomes]
    for outcome in outcomes:
        progress(f"computing {outcome.probe.id}", done, total)
        outcome.compute()
    return Run(
        [_beside(each, outcomes) for each in outcomes if not each.baseline],
        max((s.difference for s in sweeps if s.difference is not None), default=None),
        cut_short,
    )


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
