"""At its last step, a rebuilt classifier answers as the original; before, as for a shorter text."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seqprobe.checkpoints.templates.pooling import POOLINGS, Pooling
from seqprobe.checkpoints.templates.recurrent import RecurrentModel

VOCAB, WIDTH, HIDDEN, CLASSES, TIME = 11, 5, 7, 3, 9
TOKENS = torch.randint(VOCAB, (4, TIME), generator=torch.Generator().manual_seed(1))

# From outputs (batch, time, width) and final states (layers x directions, batch, hidden).
ORIGINAL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "last": lambda outputs, final: outputs[:, -1],
    "final": lambda outputs, final: torch.cat([final[-2], final[-1]], dim=1),
    "final_backward_first": lambda outputs, final: torch.cat([final[-1], final[-2]], dim=1),
    "mean": lambda outputs, final: outputs.mean(1),
    "max": lambda outputs, final: outputs.max(1).values,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def rebuilt(embedding: nn.Embedding, rnn: nn.GRU, head: nn.Linear, pooling: str) -> RecurrentModel:
    sizes = {"input_size": WIDTH, "hidden_size": HIDDEN, "num_layers": rnn.num_layers}
    layer = {"kind": "gru", **sizes, "bidirectional": rnn.bidirectional}
    model = RecurrentModel(
        recurrences=[layer],
        head=[(head.in_features, CLASSES, True)],
        embedding=(VOCAB, WIDTH),
        pooling=pooling,
    )
    model.embedding, model.recurrences[0], model.head[0] = embedding, rnn, head
    return model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ORIGINAL)
def test_the_last_step_is_the_answer_of_the_original(
    pooling: str, bidirectional: bool, layers: int
) -> None:
    embedding = nn.Embedding(VOCAB, WIDTH)
    rnn = nn.GRU(WIDTH, HIDDEN, layers, batch_first=True, bidirectional=bidirectional)
    head = nn.Linear(HIDDEN * (1 + bidirectional), CLASSES)
    outputs, final = rnn(embedding(TOKENS))
    if pooling.startswith("final") and not bidirectional:
        expected = head(final[-1])
    else:
        expected = head(ORIGINAL[pooling](outputs, final))
    answers = rebuilt(embedding, rnn, head, pooling)(TOKENS)
    torch.testing.assert_close(answers[:, -1], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_with_one_direction_each_step_is_a_text_that_ends_there(pooling: str) -> None:
    parts = nn.Embedding(VOCAB, WIDTH), nn.GRU(WIDTH, HIDDEN, batch_first=True)
    model = rebuilt(*parts, nn.Linear(HIDDEN, CLASSES), pooling)
    answers = model(TOKENS)
    for time in range(1, TIME):
        ended = model(TOKENS[:, :time])[:, -1]
        torch.testing.assert_close(answers[:, time - 1], ended, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["final", "final_backward_first"])
def test_with_two_the_backward_half_has_read_the_whole_text(pooling: str) -> None:
    """The forward half is that of its step, the backward half that of the first step."""
    outputs = torch.arange(12.0).reshape(1, 3, 4)
    pooled = Pooling(pooling, bidirectional=True)(outputs)[0]
    forward, backward = (0, 2) if pooling == "final" else (2, 0)
    assert torch.equal(pooled[:, forward : forward + 2], outputs[0, :, :2])
    assert torch.equal(pooled[:, backward : backward + 2], outputs[0, :1, 2:].expand(3, 2))
