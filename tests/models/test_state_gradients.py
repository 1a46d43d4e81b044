"""Gradients of states over positions against the whole Jacobian, taken the slow way."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seqprobe.models.sequence_model import SequenceModel

TIME, WIDTH, HIDDEN = 6, 4, 3
CASES = {
    "lstm": lambda: nn.LSTM(WIDTH, HIDDEN, batch_first=True),
    "gru": lambda: nn.GRU(WIDTH, HIDDEN, batch_first=True),
    "relu rnn": lambda: nn.RNN(WIDTH, HIDDEN, nonlinearity="relu", batch_first=True),
}


class Model(nn.Module):
    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(5, WIDTH), rnn
        self.head = nn.Linear(HIDDEN, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(self.embedding(tokens))[0])
        return logits


def naive_states(rnn: nn.RNNBase, embedded: Tensor) -> Tensor:
    """The state after each prefix: what the fused kernel returns as the final one."""
    finals = []
    for stop in range(1, TIME + 1):
        final = rnn(embedded[None, :stop])[1]
        parts = final if isinstance(final, tuple) else (final,)
        finals.append(torch.cat([part[0, 0] for part in parts]))
    return torch.stack(finals)


@pytest.mark.parametrize("build", CASES.values(), ids=CASES)
def test_equals_the_naive_jacobian(build: Callable[[], nn.RNNBase]) -> None:
    module = Model(build()).double()
    model = SequenceModel(module)
    tokens = model.example(1, TIME)
    observed = model.observe(tokens)
    state, leaf = observed.states["rnn.state_l0"][0], observed.embeddings
    assert leaf is not None
    ours = torch.stack(
        [
            torch.stack([torch.autograd.grad(unit, leaf, retain_graph=True)[0][0] for unit in step])
            for step in state
        ]
    )
    embedded = module.embedding(tokens)[0].detach()
    theirs = torch.autograd.functional.jacobian(
        lambda e: naive_states(module.rnn, e), embedded, vectorize=False
    )
    assert ours.shape == theirs.shape == (TIME, state.shape[-1], TIME, WIDTH)
    assert (ours - theirs).abs().max() < 1e-12
    assert theirs[-1, :, 0].abs().max() > 1e-9, "a Jacobian of zeros would prove nothing"


def test_outputs_equal_the_naive_jacobian() -> None:
    module = Model(nn.LSTM(WIDTH, HIDDEN, batch_first=True)).double()
    model = SequenceModel(module)
    tokens = model.example(1, TIME)
    observed = model.observe(tokens)
    assert observed.embeddings is not None
    (ours,) = torch.autograd.grad(observed.outputs[0, -1, 2], observed.embeddings)

    def last_output(embedded: Tensor) -> Tensor:
        out: Tensor = module.head(module.rnn(embedded)[0])[0, -1, 2]
        return out

    theirs = torch.autograd.functional.jacobian(last_output, module.embedding(tokens).detach())
    assert (ours - theirs).abs().max() < 1e-12
