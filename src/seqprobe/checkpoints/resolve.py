"""What a file does not say about its model, decided by the likelihood of held-out data.

Of all candidates for an unknown property the true one fits the data best. Candidates are compared
on the same examples, so that their difference has a small standard error; examples are added
until the difference is beyond doubt, or there are no more.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seqprobe.checkpoints.layouts.layout import Unknown
from seqprobe.records import Assumption

FEW, FIRST = 8, 64
CERTAIN = 4.0
NOTHING = 0.002
MOST_COMBINATIONS = 512

Values = dict[str, Any]
Losses = Callable[[Values, int, int], Float[Tensor, " examples"]]


@dataclass(frozen=True)
class Rival:
    """The best of the values that were not chosen: its mean loss above that of the chosen one."""

    value: Any
    margin: float
    error: float
    loss: float

    @property
    def z(self) -> float:
        """The margin in standard errors."""
        return self.margin / self.error if self.error else 0.0

    @property
    def beaten(self) -> bool:
        """Beyond doubt."""
        return self.z > CERTAIN or not math.isfinite(self.margin)

    @property
    def harmless(self) -> bool:
        """Less than 0.2 % of the loss away, so that nothing is lost by not knowing."""
        return abs(self.margin) + 2 * self.error < NOTHING * abs(self.loss)


class Search:
    """Coordinate-wise search for the values of all unknowns with the least mean loss.

    Args:
        unknowns: with their candidates.
        losses: of the examples from one number to another, for a value of every unknown;
            infinite where the model cannot be built or run with these values.
        most: how many examples there are.
    """

    def __init__(self, unknowns: Sequence[Unknown], losses: Losses, most: int) -> None:
        self.unknowns, self.most = unknowns, most
        self.first = min(FIRST, most)
        self._losses = losses
        self._known: dict[tuple[str, ...], Float[Tensor, " examples"]] = {}

    def best(self) -> Values:
        """From the usual values on: on few examples until nothing changes, then on more."""
        values = {unknown.name: unknown.candidates[0] for unknown in self.unknowns}
        return self._confirmed(self._settled(values, FEW))

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
        """On more examples, and on as many as it takes where a rival is near. Of two values that
        make no difference the usual one is taken.
        """
        values = self._settled(values, FIRST)
        for unknown in self.unknowns:
            rival = self.rival(values, unknown)
            usual = rival and rival.harmless and rival.value == unknown.candidates[0]
            if rival and (rival.margin < 0 or usual):
                values = {**values, unknown.name: rival.value}
        return values

    def _settled(self, values: Values, count: int) -> Values:
        while True:
            before = values
            for unknown in self.unknowns:
                options = [{**values, unknown.name: each} for each in unknown.candidates]
                values = min([values, *options], key=lambda option: self.mean(option, count))
            if values == before:
                return values

    def mean(self, values: Values, count: int) -> float:
        """Mean loss of the first `count` examples."""
        return float(self._of(values, count).mean())

    def rival(self, values: Values, unknown: Unknown) -> Rival | None:
        """The best other value of one unknown, on as many examples as it takes to decide."""
        others = [c for c in unknown.candidates if c != values[unknown.name]]
        count = FIRST
        while others:
            compared = [self._compared(values, unknown.name, other, count) for other in others]
            nearest = min(compared, key=lambda rival: rival.margin)
            if nearest.beaten or nearest.harmless or count >= self.most:
                return nearest
            count *= 2
        return None

    def _compared(self, values: Values, name: str, other: Any, count: int) -> Rival:
        chosen = self._of(values, count)
        worse = self._of({**values, name: other}, count) - chosen
        error = float(worse.std() / math.sqrt(len(worse))) if len(worse) > 1 else math.inf
        return Rival(other, float(worse.mean()), error, float(chosen.mean()))

    def _of(self, values: Values, count: int) -> Float[Tensor, " examples"]:
        """Losses of the first `count` examples, or of all that there are."""
        count = min(count, self.most)
        key = tuple(repr(values[unknown.name]) for unknown in self.unknowns)
        known = self._known.get(key, torch.zeros(0, dtype=torch.float64))
        if len(known) < count:
            known = torch.cat([known, self._losses(values, len(known), count)])
            self._known[key] = known
        return known[:count]


def assumptions(search: Search, values: Values, unit: str) -> Iterator[Assumption]:
    """What was chosen, by how much, and over what; `unit` is that of the losses."""
    for unknown in search.unknowns:
        rival = search.rival(values, unknown)
        yield Assumption(
            name=unknown.name,
            value=str(values[unknown.name]),
            decided_by="likelihood",
            margin=_finite(rival.margin) if rival else None,
            z=_finite(rival.z) if rival else None,
            alternatives=tuple(str(c) for c in unknown.candidates if c != values[unknown.name]),
            unit=unit,
            alternatives_are=_standing(rival),
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


def _standing(rival: Rival | None) -> Literal["ruled out", "no different", "possible"]:
    if rival is None or rival.beaten:
        return "ruled out"
    return "no different" if rival.harmless else "possible"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
