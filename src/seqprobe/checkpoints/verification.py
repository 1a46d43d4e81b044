"""How we know that what was rebuilt is the user's model."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.settle import Settled
from seqprobe.records import FLOOR, Assumption, Verification

COVER = "every tensor used exactly once"
PAIRS = "predicts the data better than counting pairs of tokens"
ALIKE = 0.1


def cover(tensors: int, ignored: Sequence[str] = ()) -> Verification:
    """That loading did not fail says it already."""
    but = f"; not part of what it computes: {', '.join(ignored[:3])}" if ignored else ""
    more = f" and {len(ignored) - 3} more" if len(ignored) > 3 else ""
    return Verification(COVER, "passed", f"{tensors} tensors{but}{more}")


def verified(layout: Layout, settled: Settled) -> Iterator[Verification]:
    """What the data say about a rebuilt module, and what is left undecided."""
    if settled.loss is not None and settled.floor is not None:
        yield Verification.better(FLOOR, settled.loss, settled.floor, settled.unit)
    if settled.loss is not None and settled.pairs is not None:
        yield Verification.better(PAIRS, settled.loss, settled.pairs, settled.unit)
    if settled.assumptions:
        yield _decided(settled.assumptions)
    if layout.recorded_loss is not None and settled.loss is not None:
        yield _as_recorded(settled.loss, layout.recorded_loss / math.log(2))


def _decided(assumptions: Sequence[Assumption]) -> Verification:
    open_ = [
        f"{each.name}={each.value}" for each in assumptions if each.alternatives_are == "possible"
    ]
    status: Literal["passed", "failed"] = "failed" if open_ else "passed"
    return Verification(
        "all that shapes do not tell was decided by the file, by you, or by the data",
        status,
        f"not ruled out: something else than {', '.join(open_)}" if open_ else None,
    )


def _as_recorded(loss: float, recorded: float) -> Verification:
    """In bits; on other text than in training it may be another one."""
    return Verification(
        "loss as recorded in training, if this text is of the same kind",
        "passed" if abs(loss - recorded) <= ALIKE * recorded else "failed",
        f"{loss:.3f} bits per token",
        f"{recorded:.3f}",
    )
