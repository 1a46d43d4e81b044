"""What a user reads when a module cannot be measured."""

import pytest
import torch
from torch import Tensor, nn

from seqprobe.errors import ModelError, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import build


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.rnn = nn.GRU(4, 4, batch_first=True)
        self.pool = nn.AdaptiveAvgPool1d(1)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.rnn(self.embedding(tokens))[0]
        self.pool(out.mT)
        return out


class LastStep(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens)[:, -1]


class WantsHidden(Tagger):
    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(tokens)


class Asserting(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        assert tokens.shape[1] <= 16, "Cannot forward sequence of length 17"
        return super().forward(tokens)


def test_a_module_that_cannot_run() -> None:
    with pytest.raises(ModelError, match=r"^WantsHidden: the module cannot be run") as raised:
        SequenceModel(WantsHidden())
    raised.match(r"got TypeError on inputs of shape \(3, 11\): .* required positional argument")
    raised.match("If its forward wants more than the inputs, give a module whose forward does not")


def test_too_long_for_its_positions() -> None:
    model = SequenceModel(build("attention", vocab_size=5, width=8, layers=1, context=16))
    with pytest.raises(ModelError, match="AttentionLM: the module cannot be run") as raised:
        model(model.example(1, 17))
    raised.match("got IndexError on inputs of shape .*: sequence of 17 tokens exceeds the 16")
    raised.match("Check the length against what the model was built for")


def test_an_assertion_of_the_users_is_an_error_like_any_other() -> None:
    model = SequenceModel(Asserting())
    with pytest.raises(ModelError, match=r"AssertionError .* Cannot forward sequence of length 17"):
        model(model.example(1, 17))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_running_out_of_memory_is_left_to_the_runner(error: Exception) -> None:
    class Hungry(Tagger):
        def forward(self, tokens: Tensor) -> Tensor:
            if len(tokens) > 8:
                raise error
            return super().forward(tokens)

    model = SequenceModel(Hungry())
    with pytest.raises(type(error)):
        model(model.example(9))


def test_no_output_per_step() -> None:
    with pytest.raises(ModelError, match=r"no output per step; got tensors of shape \[\(3, 4\)\]"):
        SequenceModel(LastStep())


def test_neither_embedding_nor_vocabulary() -> None:
    with pytest.raises(ModelError, match=r"cannot tell what the module takes; got no nn.Embedding"):
        SequenceModel(nn.Linear(3, 3))
    with pytest.raises(ModelError, match=r"Give vocab_size=\.\.\. for tokens or features=\.\.\."):
        SequenceModel(nn.Linear(3, 3))
    assert SequenceModel(nn.Linear(3, 2), features=3).family == "memoryless"


def test_unknown_site() -> None:
    with pytest.raises(UsageError, match=r"^Tagger: no module 'lstm' to observe") as raised:
        SequenceModel(Tagger(), sites=["lstm"])
    raised.match(r"expected one of embedding, rnn, pool\. Give a dotted name")


def test_a_site_without_states_per_step() -> None:
    model = SequenceModel(Tagger(), sites=["pool"])
    with pytest.raises(UsageError, match="module 'pool' gives no state per step") as raised:
        model.observe(model.example(2, 12))
    raised.match(r"got shape \(2, 4, 1\); expected \(batch, time, width\)")
