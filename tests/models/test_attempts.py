"""What a model says to a length is quoted; lack of memory says nothing about the model."""

import pytest
import torch
from torch import nn

from seqprobe.models.attempts import Attempts
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import build


class Faulty(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.embedding, self.error = nn.Embedding(5, 4), error

    def forward(self, tokens):
        if tokens.shape[1] > 20:
            raise self.error
        return self.embedding(tokens)


def test_own_words_of_the_model():
    attempt = Attempts(
        SequenceModel(build("attention", vocab_size=5, width=8, layers=1, context=20))
    )
    assert not attempt(20).error
    said = "IndexError: sequence of 21 tokens exceeds the 20 learned positions"
    assert attempt(21).error == said


def test_on_one_line_and_not_without_end():
    attempt = Attempts(SequenceModel(Faulty(ValueError("two\n  lines " + "x" * 999))))
    assert attempt(21).error.startswith("ValueError: two lines xxx")
    assert len(attempt(21).error) == 300


def test_a_shape_that_is_none_is_said_by_us():
    class Last(Faulty):
        def forward(self, tokens):
            out = self.embedding(tokens)
            return out if tokens.shape[1] <= 20 else out[:, :20]

    said = Attempts(SequenceModel(Last(ValueError())))(25).error
    assert said == (
        "the module returns no output per step; got tensors of shape [(1, 20, 4)]; "
        "expected a floating-point tensor of shape (1, 25, 'classes')"
    )


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError(), RuntimeError("can't allocate memory: 1 GB")]
)
def test_out_of_memory_is_no_word_of_the_model(error):
    attempt = Attempts(SequenceModel(Faulty(error)))
    assert attempt(21).out_of_memory
    assert not attempt(21).error
    assert not attempt(20).out_of_memory
