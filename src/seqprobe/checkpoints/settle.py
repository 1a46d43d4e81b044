"""From a layout to a module: whatever the file leaves open is said by the user, or measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from seqprobe.checkpoints.examples import SCALES, Examples, Losses
from seqprobe.checkpoints.layouts.layout import Layout, Unknown
from seqprobe.checkpoints.resolve import Search, Values, assumptions, by_default, said
from seqprobe.errors import ModelError, UsageError
from seqprobe.models.calling import is_out_of_memory
from seqprobe.records import Assumption

Task = Literal["lm", "tag", "classify", "regress"]
POOLING, TOKENIZER = "pooling", "tokenizer"

Build = Callable[[Values], nn.Module]


@dataclass(frozen=True)
class Settled:
    """A module, and how each of its properties was decided.

    `loss`, `floor` and `pairs` are means over the same examples: of the module, of a guess that
    does not look at its inputs, and of one by the last token alone; None where there was nothing
    to judge by.
    """

    module: nn.Module
    assumptions: tuple[Assumption, ...]
    tokenizer: str | None = None
    loss: float | None = None
    floor: float | None = None
    pairs: float | None = None
    unit: str = ""


def settle(
    layout: Layout,
    build: Build,
    examples: Mapping[str, Examples],
    *,
    settings: Mapping[str, Any],
    task: Task | None = None,
    assume_defaults: bool = False,
    where: str,
) -> Settled:
    """Decide what is not known, by the user, by the data, or by what is usual.

    Args:
        layout: what the file says.
        build: the module, given a value for all that shapes do not tell.
        examples: by tokenizer, the data to judge by; empty where there are none.
        settings: what the user says.
        task: what the model is for, which narrows the pooling.
        assume_defaults: take the usual value where there is nothing to judge by.
        where: the file's name, for messages.

    Raises:
        UsageError: a setting that this layout does not have.
        ModelError: something is not known, or what was rebuilt does not know the data.
    """
    fixed = {**layout.stated, **_checked(settings, layout, where)}
    unknowns = [_narrowed(u, task) for u in layout.unknowns if u.name not in fixed]
    known = [*said(layout.stated, "file", but=settings), *said(settings, "user")]
    if not examples:
        if unknowns and not assume_defaults:
            raise _undecided(unknowns, where)
        values, taken = by_default(unknowns)
        return Settled(build({**fixed, **values}), (*known, *taken))
    if len(examples) > 1:
        unknowns.append(Unknown(TOKENIZER, tuple(examples)))
    return _judged(_Candidates(build, fixed, examples), unknowns, known, where)


def _checked(settings: Mapping[str, Any], layout: Layout, where: str) -> Mapping[str, Any]:
    possible = [*layout.stated, *(unknown.name for unknown in layout.unknowns)]
    wrong = [name for name in settings if name not in possible]
    if wrong:
        raise UsageError(
            f"--set {wrong[0]} means nothing for {layout.name}",
            where=where,
            expected=", ".join(possible) or "no setting at all",
            do="All else is read from the shapes of the weights.",
        )
    return settings


def _narrowed(unknown: Unknown, task: Task | None) -> Unknown:
    """A model for texts pools over the steps; one for tokens does not."""
    if unknown.name != POOLING or task is None:
        return unknown
    pooled = task in ("classify", "regress")
    left = tuple(c for c in unknown.candidates if (c != "none") == pooled)
    return replace(unknown, candidates=left or unknown.candidates)


def _undecided(unknowns: Sequence[Unknown], where: str) -> ModelError:
    options = "; ".join(
        f"{unknown.name} ({', '.join(map(str, unknown.candidates))})" for unknown in unknowns
    )
    one = unknowns[0]
    return ModelError(
        "the file does not say everything about its model",
        where=where,
        got=f"nothing on {options}",
        expected="data to find out by, or your word for it",
        do=f"Give --data with text (or labelled examples) of its kind, say it (--set {one.name}="
        f"{one.candidates[0]}), or take the first of each with --assume-defaults.",
    )


class _Candidates:
    """Modules for all values that are tried, and their losses; the last one is kept."""

    def __init__(
        self, build: Build, fixed: Mapping[str, Any], examples: Mapping[str, Examples]
    ) -> None:
        self.build, self.fixed, self.examples = build, fixed, examples
        self.failure: Exception | None = None
        self._last: tuple[Values, nn.Module] | None = None

    @property
    def most(self) -> int:
        """How many examples there are of every kind."""
        return min(each.most for each in self.examples.values())

    def of(self, values: Values) -> tuple[str, Examples]:
        """The tokenizer of these values, and its examples."""
        name = values.get(TOKENIZER, next(iter(self.examples)))
        return name, self.examples[name]

    def module(self, values: Values) -> nn.Module:
        """The module for these values."""
        wanted = {**self.fixed, **{k: v for k, v in values.items() if k != TOKENIZER}}
        if self._last is None or self._last[0] != wanted:
            self._last = wanted, self.build(wanted)
        return self._last[1]

    def losses(self, values: Values, first: int, last: int) -> Losses:
        """Infinite where the module cannot be built or run."""
        try:
            found = self.of(values)[1].losses(self.module(values), first, last)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.failure = error
            return torch.full((last - first, len(SCALES)), math.inf, dtype=torch.float64)
        return found.nan_to_num(math.inf)


def _judged(
    candidates: _Candidates, unknowns: Sequence[Unknown], known: list[Assumption], where: str
) -> Settled:
    search = Search(unknowns, candidates.losses, candidates.most)
    values, loss, floor = _compared(search, candidates, search.best())
    if not loss < floor and unknowns:
        values, loss, floor = _compared(search, candidates, search.best_of_all())
    tokenizer, examples = candidates.of(values)
    if not loss < floor:
        raise _loses(candidates.failure, values, (loss, floor), examples.unit, where)
    pairs = examples.pairs(search.first)
    weak = pairs is not None and loss >= pairs
    found = tuple(assumptions(search, values, examples.unit, weak=weak))
    module = candidates.module(values)
    return Settled(module, (*known, *found), tokenizer, loss, floor, pairs, examples.unit)


def _compared(
    search: Search, candidates: _Candidates, values: Values
) -> tuple[Values, float, float]:
    floor = candidates.of(values)[1].floor(search.first)
    return values, search.mean(values, search.first), floor


def _loses(
    failure: Exception | None,
    values: Values,
    found: tuple[float, float],
    unit: str,
    where: str,
) -> ModelError:
    loss, floor = found
    if failure and not math.isfinite(loss):
        return ModelError(
            "what was rebuilt does not run",
            where=where,
            got=f"{type(failure).__name__}: {failure}",
            do="Give what builds the model with --model pkg.module:factory.",
        )
    tried = ", ".join(f"{name}={value}" for name, value in values.items())
    return ModelError(
        "what was rebuilt is not your model, or the data is not of its kind",
        where=where,
        got=f"{loss:.3f} {unit}" + (f" at best, with {tried}" if tried else ""),
        expected=f"less than {floor:.3f}, which takes no model at all",
        do="Give data as in training (--data, --tokenizer), or what builds the model: "
        "--model pkg.module:factory.",
    )
