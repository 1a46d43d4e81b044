"""The claims, the rule of each, and what became of them; rules were written before measuring.

A verdict goes by the whole interval: one that holds the border tells nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from claims.costs import SENTENCE, Way
from claims.curves import Costs, counted_growth, growth, times
from claims.models import RECURRENT
from claims.small_data import Learned
from claims.trained import Trained
from seqprobe.contracts import Estimate
from seqprobe.reference.language_models import Kind
from seqprobe_reports.expectation import Expectation, over, under
from seqprobe_reports.paradigm import ROWS

Verdict = Literal["holds", "does not hold", "cannot be told"]
SAME, ABOUT = 2.0, 1024
"""Below which factor two times are roughly the same; the length at which training is compared."""


@dataclass(frozen=True)
class Tested:
    """One number of one subject, and what it should be if the claim holds."""

    subject: str
    found: Estimate
    expected: tuple[Expectation, ...]
    distance: int = 1

    @property
    def verdict(self) -> Verdict:
        """All expectations have to be met.

        >>> Tested("rnn", Estimate(0.1, "", 0.0, 0.2), (over(-0.5), under(0.5))).verdict
        'holds'
        """
        judged = {each.judged(self.found, self.distance) for each in self.expected}
        if "not as expected" in judged:
            return "does not hold"
        return "cannot be told" if "cannot be told" in judged else "holds"


@dataclass(frozen=True)
class Claim:
    """What is said, when it holds, and the numbers that decide."""

    words: str
    rule: str
    tested: Sequence[Tested]

    @property
    def verdict(self) -> str:
        """One for all subjects, or which of them it is true of."""
        by: dict[str, list[str]] = {}
        for each in self.tested:
            by.setdefault(each.verdict, []).append(each.subject)
        if len(by) == 1:
            return next(iter(by))
        return "; ".join(f"{verdict}: {', '.join(subjects)}" for verdict, subjects in by.items())


ONCE, EACH, PAIRS = (over(-0.5), under(0.5)), (over(0.5), under(1.5)), (over(1.5), under(2.5))
"""Exponents of what does not grow, grows with n, and with n²."""


def grown(costs: Costs, kind: Kind, way: Way) -> Tested:
    """The time per token against the textbook: constant, of attention in proportion to n."""
    return _growing(costs, kind, way, EACH if kind == "attention" else ONCE)


def kept(costs: Costs, kind: Kind, what: str) -> Tested:
    """Bytes against the textbook."""
    attends = kind == "attention"
    laws = {"carried": EACH if attends else ONCE, "saved": PAIRS if attends else EACH}
    return Tested(kind, counted_growth(costs.bytes(kind, what)), laws[what])


def of_costs(costs: Costs) -> Iterator[Claim]:
    """Those about time and memory, of one setting."""
    yield Claim(
        "A sequence takes a recurrence time in proportion to n",
        "time of a forward per token grows as n^-0.5 to n^0.5",
        [grown(costs, kind, "forward") for kind in RECURRENT],
    )
    yield Claim(
        "Attention needs a constant number of steps: on parallel hardware n tokens take as long "
        "as few",
        "time of a forward per token falls at least as n^-0.5",
        [_growing(costs, "attention", "forward", (under(-0.5),))],
    )
    yield Claim(
        "Attention takes time in proportion to n²",
        "time of a forward per token grows as n^0.5 to n^1.5",
        [grown(costs, "attention", "forward")],
    )
    yield Claim(
        "Another token costs a recurrence always the same",
        "time of one decoded token grows as n^-0.5 to n^0.5",
        [grown(costs, kind, "decoding") for kind in (*RECURRENT, "mingru")],
    )
    yield Claim(
        "Another token costs attention time in proportion to n",
        "time of one decoded token grows as n^0.5 to n^1.5",
        [grown(costs, "attention", "decoding")],
    )
    yield Claim(
        "A recurrence carries a state of fixed size, attention a cache that grows with n",
        "bytes carried grow as n^-0.5 to n^0.5; of attention as n^0.5 to n^1.5",
        [kept(costs, kind, "carried") for kind in (*RECURRENT, "attention")],
    )
    yield Claim(
        "Training keeps memory in proportion to n², where attention is",
        "bytes kept for a backward grow as n^1.5 to n^2.5",
        [kept(costs, "attention", "saved")],
    )
    yield Claim(
        "Parallel training pays: attention trains faster than a recurrence of its size",
        f"forward and backward of {ABOUT:,} tokens take a recurrence more than once as long",
        [
            Tested(kind, _times(costs, "training", "attention", kind, length=ABOUT), (over(1),))
            for kind in RECURRENT
        ],
    )
    yield Claim(
        "From some length on attention takes more time than a recurrence of its size",
        "a forward of the longest sequence that both take costs attention more than once as much",
        [
            Tested(kind, _times(costs, "forward", kind, "attention"), (over(1),))
            for kind in RECURRENT
        ],
    )
    yield Claim(
        "A 1000-token sequence through an RNN takes roughly the same time as a single token",
        f"time of a forward of 1000 tokens in that of one: below {SAME:g}",
        [Tested(kind, costs.sentence(kind, *SENTENCE), (under(SAME),)) for kind in costs.kinds],
    )


def _growing(costs: Costs, kind: Kind, way: Way, expected: tuple[Expectation, ...]) -> Tested:
    curve = costs.curve(kind, way)
    missing = Estimate.missing("", "not timed at two lengths")
    found = missing if curve is None else growth(curve, each=way == "decoding")
    return Tested(kind, found, expected)


def _times(costs: Costs, way: Way, *kinds: Kind, length: int | None = None) -> Estimate:
    """The time of the second kind in that of the first, at a length or the longest of both."""
    curves = [curve for kind in kinds if (curve := costs.curve(kind, way)) is not None]
    if len(curves) < 2:
        return Estimate.missing("times", "not timed at two lengths")
    first, second = curves
    shared = np.intersect1d(first.lengths, second.lengths)
    there = shared[-1:] if length is None else shared[shared == length]
    if not len(there):
        return Estimate.missing("times", f"not timed at {length or 'the same lengths'}")
    return times(first.at(there), second.at(there))


def of_trained(models: Sequence[Trained]) -> Iterator[Claim]:
    """Those that the report's own table of the paradigm tests on trained models."""
    for row in ROWS:
        for metric, expected in row.expected.items():
            tested = [
                Tested(each.name, each.metrics[metric], (expected[family],), each.distance)
                for each in models
                if metric in each.metrics and (family := _family(each)) in expected
            ]
            if tested:
                words = f"{row.claim}. Recurrence: {row.recurrent}. Attention: {row.attention}"
                yield Claim(words, _borders(metric, expected, models[0].distance), tested)


def _family(model: Trained) -> str:
    return "attention" if model.card["recipe"]["kind"] == "attention" else "recurrent"


def _borders(metric: str, expected: Mapping[str, Expectation], distance: int) -> str:
    known = (
        (family, expected[family]) for family in ("recurrent", "attention") if family in expected
    )
    return f"`{metric}`: " + ", ".join(f"{each.words(distance)} ({f})" for f, each in known)


def of_small_data(found: Learned) -> Claim:
    """The one about little data."""
    few, many = found.shares[0], found.shares[-1]
    return Claim(
        "Recurrence has the better bias where there is little data",
        f"its lead over attention in held-out bits is greater on {few:.0%} of the text than on "
        f"{many:.0%}",
        [Tested(kind, found.more_gain(kind, few, many), (over(0),)) for kind in RECURRENT],
    )
