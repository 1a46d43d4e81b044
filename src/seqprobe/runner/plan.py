"""Which passes serve which probes: probes that need the same sequences share their forward."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from seqprobe.contracts import AS_ASKED, Baseline, Needs, Probe, Stream

USUAL = 256


@dataclass(frozen=True)
class Pass:
    """One sweep over the same sequences for all probes that want them.

    What any of the probes needs, the pass provides. A `baseline` is measured instead of the
    model and its data.
    """

    needs: Needs
    probes: tuple[Probe, ...]
    baseline: Baseline | None = None

    @property
    def stream(self) -> Stream:
        """What is fed."""
        return "iid" if self.baseline == "iid" else self.needs.stream


def plan(
    probes: Sequence[Probe],
    length: int,
    limit: int | None,
    baselines: Collection[Baseline] = ("untrained", "iid", "data"),
    *,
    whole: bool = False,
    usual: int = USUAL,
) -> list[Pass]:
    """Group probes by what is measured, stream, length and number of sequences.

    No sequence is longer than `length`; `limit` is the number of sequences per probe, in place
    of what each one would like. Only the named baselines make sense for the model and the data.
    `whole`: every sequence has the full length, as an image has. `usual` is read by probes that
    name no length.
    """
    groups: dict[tuple, list[tuple[Probe, Needs]]] = defaultdict(list)
    for baseline, probe in _asked(probes, baselines):
        needs = _within(probe.needs, length, usual, limit)
        needs = replace(needs, length=length) if whole else needs
        group = baseline, needs.stream, needs.length, needs.sequences
        groups[group].append((probe, needs))
    return [_shared(group, baseline) for (baseline, *_), group in groups.items()]


def _asked(
    probes: Sequence[Probe], baselines: Collection[Baseline]
) -> Iterator[tuple[Baseline | None, Probe]]:
    yield from ((None, probe) for probe in probes)
    for probe in probes:
        for baseline in probe.baselines:
            if baseline in baselines:
                yield baseline, probe.as_baseline()


def _within(needs: Needs, length: int, usual: int, limit: int | None) -> Needs:
    sequences = limit or needs.sequences
    most = max(sequences, 0 if limit else needs.most)
    longest = min(usual if needs.length == AS_ASKED else needs.length, length)
    return replace(needs, length=longest, sequences=sequences, most=most)


def _shared(group: list[tuple[Probe, Needs]], baseline: Baseline | None) -> Pass:
    probes, wanted = zip(*group, strict=True)
    needs = replace(
        wanted[0],
        states=any(needs.states for needs in wanted),
        gradients=any(needs.gradients for needs in wanted),
        rerun=any(needs.rerun for needs in wanted),
        mixing=any(needs.mixing for needs in wanted),
        attention=any(needs.attention for needs in wanted),
        costs=any(needs.costs for needs in wanted),
        tokens=all(needs.tokens for needs in wanted),
        lengths=all(needs.lengths for needs in wanted),
        most=max(needs.most for needs in wanted),
    )
    return Pass(needs, probes, baseline)
