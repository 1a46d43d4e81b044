"""A batch held in memory as a stream."""

import pytest
import torch

from seqprobe.errors import UsageError
from seqprobe.sequences.given import GivenStream


def test_rows_by_number():
    batch = torch.arange(12).reshape(3, 4)
    stream = GivenStream(batch, 12, "held out")
    assert torch.equal(stream.take([2, 0], 3), batch[[2, 0], :3])
    assert stream.longest == 4
    assert stream.source == "held out: 3 sequences of 4 steps"
    assert stream.frequencies.tolist() == [1 / 12] * 12


def test_features_have_no_frequencies():
    stream = GivenStream(torch.randn(3, 4, 2))
    assert stream.frequencies is None
    assert stream.take([1], 2).shape == (1, 2, 2)
    assert stream.tokenization == "none"


def test_the_digest_is_that_of_the_numbers():
    batch = torch.randn(3, 4, 2)
    assert GivenStream(batch).sha256 == GivenStream(batch.clone()).sha256
    assert GivenStream(batch).sha256 != GivenStream(batch + 1).sha256


@pytest.mark.parametrize(
    ("batch", "vocab_size", "said"),
    [
        (torch.zeros(3), 8, r"held out: not a batch of tokens; got float32 of shape \(3,\); "
         r"expected integers \(batch, time\)"),
        (torch.zeros(3, 4, dtype=torch.long), None, "not a batch of real-valued features"),
        (torch.full((3, 4), 9), 8, "tokens that the model does not have; got 9 to 9; "
         "expected 0 to 7"),
        (torch.full((3, 4), -1), 8, "got -1 to -1"),
    ],
)  # fmt: skip
def test_what_is_no_such_batch(batch, vocab_size, said):
    with pytest.raises(UsageError, match=said):
        GivenStream(batch, vocab_size, "held out")
