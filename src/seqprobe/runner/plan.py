"""Which passes serve which probes: probes that need the same sequences share their forward."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seqprobe.contracts import Needs, Probe


@dataclass(frozen=True)
class Pass:
    """One sweep over the same sequences for all probes that want them.

    What any of the probes needs, the pass provides.
    """

    needs: Needs
    probes: tuple[Probe, ...]


def plan(probes: Sequence[Probe], length: int, limit: int | None) -> list[Pass]:
    """Group probes by stream, length and number of sequences.

    No sequence is longer than `length`; `limit` is the number of sequences per probe, in place
    of what each one would like.
    """
    groups: dict[tuple[str, int, int], list[tuple[Probe, Needs]]] = defaultdict(list)
    for probe in probes:
        needs = _within(probe.needs, length, limit)
        groups[needs.stream, needs.length, needs.sequences].append((probe, needs))
    return [_shared(group) for group in groups.values()]


def _within(needs: Needs, length: int, limit: int | None) -> Needs:
    return replace(needs, length=min(needs.length, length), sequences=limit or needs.sequences)


def _shared(group: list[tuple[Probe, Needs]]) -> Pass:
    probes, wanted = zip(*group, strict=True)
    needs = replace(
        wanted[0],
        states=any(needs.states for needs in wanted),
        gradients=any(needs.gradients for needs in wanted),
        rerun=any(needs.rerun for needs in wanted),
        mixing=any(needs.mixing for needs in wanted),
        tokens=all(needs.tokens for needs in wanted),
    )
    return Pass(needs, probes)
