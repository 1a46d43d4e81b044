"""What a file does not say about its model, decided by the likelihood of held-out data.

Of all candidates for an unknown property the true one should fit the data best. Candidates are
compared on the same examples, so that their difference has a small standard error; examples are
added until the difference is beyond doubt, or there are no more. A model that was trained for a
short time is too unsure of itself, and a wrong candidate may gain by being bolder: another value is
ruled out only if it is worse at any boldness, with its outputs multiplied by any of `SCALES`. A
model that hardly looks back yet is as good with other parts: then only large differences count.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from seqprobe.checkpoints.examples import Losses
from seqprobe.checkpoints.layouts.layout import Unknown
from seqprobe.checkpoints.rival import Difference, Rival
from seqprobe.records import Assumption

FEW, FIRST = 8, 64
HOPELESS = 8.0
ROUNDS = 5
MOST_COMBINATIONS = 512

Values = dict[str, Any]
Judge = Callable[[Values, int, int], Losses]


class Search:
    """Coordinate-wise search for the values of all unknowns with the least mean loss.

    Args:
        unknowns: with their candidates.
        losses: of the examples from one number to another, for a value of every unknown;
            infinite where the model cannot be built or run with these values.
        most: how many examples there are.
    """

    def __init__(self, unknowns: Sequence[Unknown], losses: Judge, most: int) -> None:
        self.unknowns, self.most = unknowns, most
        self.first = min(FIRST, most)
        self._losses = losses
        self._known: dict[tuple[str, ...], Losses] = {}

    def best(self) -> Values:
        """From the usual values on: on few examples until nothing changes, then on more."""
        values = {unknown.name: unknown.candidates[0] for unknown in self.unknowns}
        return self._confirmed(self._descended(values))

    def best_of_all(self) -> Values:
        """Every combination on few examples: for when the way from the usual values led astray."""
        names = [unknown.name for unknown in self.unknowns]
        combinations = itertools.product(*(unknown.candidates for unknown in self.unknowns))
        tried = [
            dict(zip(names, c, strict=True))
            for c in itertools.islice(combinations, MOST_COMBINATIONS)
        ]
        return self._confirmed(min(tried, key=lambda values: self.mean(values, FEW)))

    def _confirmed(self, values: Values) -> Values:
        """On as many examples as it takes. Of two values that make no difference the usual one is
        taken.
        """
        for _ in range(ROUNDS):
            before = values
            for unknown in self.unknowns:
                rival = self.rival(values, unknown)
                if rival and self._preferred(rival, unknown):
                    values = {**values, unknown.name: rival.value}
            if values == before:
                break
        return values

    def _preferred(self, rival: Rival, unknown: Unknown) -> bool:
        """Better, or as good and more usual."""
        if rival.harmless:
            return bool(rival.value == unknown.candidates[0])
        return rival.plain.mean < 0

    def _descended(self, values: Values) -> Values:
        """On few examples, one unknown after the other."""
        while True:
            before = values
            for unknown in self.unknowns:
                options = [{**values, unknown.name: each} for each in unknown.candidates]
                values = min([values, *options], key=lambda option: self.mean(option, FEW))
            if values == before:
                return values

    def mean(self, values: Values, count: int) -> float:
        """Mean loss of the first `count` examples."""
        return float(self._of(values, count)[:, 0].mean())

    def rival(self, values: Values, unknown: Unknown) -> Rival | None:
        """The best other value of one unknown, on as many examples as it takes to decide; those
        that are hopeless on few examples are not looked at again.
        """
        left = [c for c in unknown.candidates if c != values[unknown.name]]
        count = FEW
        while left:
            compared = [self._compared(values, unknown.name, other, count) for other in left]
            nearest = min(compared, key=lambda rival: rival.scaled.mean)
            decided = nearest.beaten or nearest.harmless
            if count >= self.most or (decided and count >= FIRST):
                return nearest
            left = [r.value for r in compared if r is nearest or r.scaled.z < HOPELESS]
            count = max(FIRST, 2 * count)
        return None

    def _compared(self, values: Values, name: str, other: Any, count: int) -> Rival:
        chosen = self._of(values, count)[:, 0]
        losses = self._of({**values, name: other}, count)
        best = losses[:, losses.mean(0).argmin()]
        return Rival(
            other,
            Difference.of(losses[:, 0] - chosen),
            Difference.of(best - chosen),
            float(chosen.mean()),
        )

    def _of(self, values: Values, count: int) -> Losses:
        """Losses of the first `count` examples, or of all that there are."""
        count = min(count, self.most)
        key = tuple(repr(values[unknown.name]) for unknown in self.unknowns)
        known = self._known.get(key)
        if known is None or len(known) < count:
            new = self._losses(values, 0 if known is None else len(known), count)
            known = new if known is None else torch.cat([known, new])
            self._known[key] = known
        return known[:count]


def assumptions(
    search: Search, values: Values, unit: str, *, weak: bool = False
) -> Iterator[Assumption]:
    """What was chosen, by how much, and over what.

    `unit` is that of the losses; `weak`: the model does no better than one without memory.
    """
    for unknown in search.unknowns:
        rival = search.rival(values, unknown)
        yield Assumption(
            name=unknown.name,
            value=str(values[unknown.name]),
            decided_by="likelihood",
            margin=_finite(rival.scaled.mean) if rival else None,
            z=_finite(rival.scaled.z) if rival else None,
            alternatives=tuple(str(c) for c in unknown.candidates if c != values[unknown.name]),
            unit=unit,
            alternatives_are=_standing(rival, weak),
        )


def by_default(unknowns: Sequence[Unknown]) -> tuple[Values, list[Assumption]]:
    """The usual value of each, without any evidence."""
    values = {unknown.name: unknown.candidates[0] for unknown in unknowns}
    return values, [
        Assumption(
            unknown.name,
            str(unknown.candidates[0]),
            "default",
            alternatives=tuple(map(str, unknown.candidates[1:])),
            alternatives_are="possible",
        )
        for unknown in unknowns
    ]


def said(
    values: Mapping[str, Any], decided_by: Literal["file", "user"], but: Collection[str] = ()
) -> list[Assumption]:
    """What the file or the user says, but for some names."""
    return [
        Assumption(name, str(value), decided_by)
        for name, value in values.items()
        if name not in but
    ]


def _standing(rival: Rival | None, weak: bool) -> Literal["ruled out", "no different", "possible"]:
    if rival is not None and rival.harmless:
        return "no different"
    decided = rival is None or (rival.beaten and (rival.far or not weak))
    return "ruled out" if decided else "possible"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
