"""Rows that repeat along the first axes are kept once, and nobody who reads them can tell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprobe.models.paths import Join, Ledger

ROWS = len(Join(1).price)
SHAPE = (2, 3, 4, 5)


def rows_of(changing, seed=0):
    """Random rows of a tensor, that change along some of its axes alone."""
    sizes = [size if axis in changing else 1 for axis, size in enumerate(SHAPE)]
    return torch.rand(ROWS, *sizes, generator=torch.Generator().manual_seed(seed))


def views(tensor):
    """Ways to look at it, none of which copies."""
    return {
        "whole": tensor,
        "turned": tensor.transpose(0, 2),
        "flat": tensor.flatten(),
        "one head": tensor[:, 1],
        "some steps": tensor[..., 1:3, ::2],
        "across heads": tensor.view(-1)[7:43],
        "expanded": tensor[:, :1].expand(2, 9, 4, 5),
        "as halves": tensor.view(torch.float16),
    }


@settings(deadline=None)
@given(st.sets(st.integers(0, 3)), st.sampled_from(sorted(views(torch.zeros(SHAPE)))))
def test_what_is_read_is_what_was_written_whole(changing, name):
    once, each = Ledger(ROWS), Ledger(ROWS)
    first, second = torch.zeros(SHAPE), torch.zeros(SHAPE)
    rows = rows_of(changing)
    once.write(first, rows)
    each.write(second, rows.expand(-1, *SHAPE).clone())
    seen, known = (
        ledger.read(views(tensor)[name]) for ledger, tensor in ((once, first), (each, second))
    )
    shape = views(first)[name].shape
    assert torch.equal(seen.expand(-1, *shape), known.expand(-1, *shape))


@pytest.mark.parametrize("name", ["turned", "one head", "some steps", "across heads"])
def test_a_write_to_a_part_leaves_the_rest(name):
    """The other heads keep what they had, although they shared it with the one that is written."""
    ledger, tensor = Ledger(ROWS), torch.zeros(SHAPE)
    rows = rows_of({2, 3})
    ledger.write(tensor, rows)
    expected = rows.expand(-1, *SHAPE).clone()
    part = views(tensor)[name]
    ledger.write(part, torch.full((ROWS, *[1] * part.ndim), 7.0))
    for row in expected:
        views(row)[name].fill_(7.0)
    assert torch.equal(ledger.read(tensor).expand_as(expected), expected)


def test_heads_that_have_the_same_rows_share_them():
    ledger, tensor = Ledger(ROWS), torch.zeros(1, 16, 8, 8)
    ledger.write(tensor, torch.rand(ROWS, 1, 1, 8, 8))
    assert ledger.read(tensor).shape == (ROWS, 1, 1, 8, 8)
    assert ledger._entry(tensor).rows.numel() == ROWS * 64
