"""How we know that it is the user's model: which steps pass, and what they say."""

from dataclasses import replace

import pytest
from torch import nn

from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.settle import Settled
from seqprobe.checkpoints.verification import cover, verified
from seqprobe.records import Assumption

LAYOUT = Layout("toy", "none:None", {}, {})
SETTLED = Settled(nn.Identity(), (), "bytes", 2.0, 4.5, 3.0, "bits per token")
HEADS = Assumption("n_head", "4", "likelihood", alternatives=("2",))


def said(settled: Settled, layout: Layout = LAYOUT) -> list[tuple[str, str, object, str]]:
    return [(s.step, s.status, s.value, s.reference) for s in verified(layout, settled)]


def test_better_than_counting() -> None:
    assert said(SETTLED) == [
        ("predicts the data better than token frequencies alone", "passed",
         "2.000 bits per token", "4.500"),
        ("predicts the data better than counting pairs of tokens", "passed",
         "2.000 bits per token", "3.000"),
    ]  # fmt: skip
    assert said(replace(SETTLED, pairs=1.9))[1][1] == "failed"
    assert said(replace(SETTLED, pairs=None)) == said(SETTLED)[:1]
    assert said(replace(SETTLED, loss=None, floor=None, pairs=None)) == []


@pytest.mark.parametrize(
    ("others", "status"),
    [("ruled out", "passed"), ("no different", "passed"), ("possible", "failed")],
)
def test_what_is_not_ruled_out_is_no_success(others: str, status: str) -> None:
    taken = replace(HEADS, alternatives_are=others)  # type: ignore[arg-type]
    step, found, value, _ = said(replace(SETTLED, assumptions=(taken,)))[-1]
    assert step.startswith("all that shapes do not tell was decided by the file, by you, or by")
    assert found == status
    expected = "not ruled out: something else than n_head=4"
    assert value == (expected if status == "failed" else None)


@pytest.mark.parametrize(("recorded", "status"), [(1.39, "passed"), (1.2, "failed")])
def test_loss_as_recorded(recorded: float, status: str) -> None:
    """Recorded in nats: 1.39 are 2.005 bits."""
    step, found, value, reference = said(SETTLED, replace(LAYOUT, recorded_loss=recorded))[-1]
    assert step == "loss as recorded in training, if this text is of the same kind"
    assert (found, value) == (status, "2.000 bits per token")
    assert reference == f"{recorded / 0.693147:.3f}"


def test_tensors_that_are_no_part_of_it_are_named() -> None:
    step = cover(7, ["a.mask", "b.mask", "c.mask", "d.mask"])
    assert step.step == "every tensor used exactly once"
    assert step.value == (
        "7 tensors; not part of what it computes: a.mask, b.mask, c.mask and 1 more"
    )
    assert cover(7).value == "7 tensors"
