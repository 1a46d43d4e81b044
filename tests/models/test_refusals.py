"""What a user reads when a gradient cannot be taken, while the other probes go on."""

import pytest
import torch
from torch import Tensor, nn

import seqprobe
from seqprobe.errors import ModelError, NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo


class Language(nn.Module):
    """Embedding, something in the middle, and a head."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.embedding, self.middle, self.head = nn.Embedding(6, 8), middle, nn.Linear(8, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.middle(self.embedding(tokens)))
        return logits


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1).detach()


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squash = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.squash(x)
        y += 1
        return y


class NormOfNothing(nn.Module):
    """The derivative of the root at zero is infinite, times zero it is NaN."""

    def forward(self, x: Tensor) -> Tensor:
        length = (0 * x).square().sum(-1, keepdim=True).sqrt()
        return x + length


class AcrossRows(nn.Module):
    """What looks like a normalisation mixes the sequences of a batch, and positions too."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((0, 1))


CASES = {
    "detached": (Detached(), r"^the graph is cut in module 'middle': what it returns has no grad"),
    "in place": (
        InPlace(),
        r"was changed in place in module 'middle.squash'; write `x = x \+ y` instead",
    ),
    "not finite": (NormOfNothing(), r"^the gradient becomes NaN or infinite in module 'middle'"),
    "rows": (AcrossRows(), r"^rows of a batch influence each other in module 'middle', so that"),
}


@pytest.mark.parametrize(("middle", "says"), CASES.values(), ids=CASES)
def test_the_module_is_named(middle: nn.Module, says: str) -> None:
    model = SequenceModel(Language(middle))
    tokens = model.example(2)
    with pytest.raises(NotApplicable, match=says):
        model.derivatives(tokens).gradients(
            "output", torch.full((2, 1), 5), torch.ones(2, 1, 1, 6), 3
        )


@pytest.mark.parametrize(("middle", "says"), CASES.values(), ids=CASES)
def test_the_other_probes_go_on(middle: nn.Module, says: str) -> None:
    probes = ("gradient-decay", "path-length", "position")
    report = seqprobe.analyze(
        Language(middle), data="synthetic:iid", length=32, distance=4, limit=8, probes=probes
    )
    assert report["gradient-decay"].status == "not applicable"
    assert "middle" in report["gradient-decay"].headline
    assert report["path-length"].status not in ("error", "not run", "not applicable")
    assert report["position"].status not in ("error", "not run", "not applicable")


def test_tokens_that_never_become_vectors() -> None:
    with pytest.raises(NotApplicable, match=r"^no nn.Embedding takes the tokens, so there is"):
        zoo.lag_oracle(3).derivatives(zoo.lag_oracle(3).example(2))


def test_an_embedding_that_is_changed_in_place_is_no_fault() -> None:
    class Shift(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x += 1
            return x

    model = SequenceModel(Language(Shift()))
    found = model.derivatives(model.example(2)).gradients(
        "output", torch.full((2, 1), 5), torch.eye(6)[None, None].expand(2, 1, 6, 6), 3
    )
    norms = found.log_squares.logsumexp(2).exp()
    head = model.module.head.weight.square().sum().double()
    assert torch.allclose(norms[..., 0], head.expand(2, 1), rtol=1e-5)
    assert (norms[..., 1:] == 0).all()


def test_outputs_that_are_integers_are_refused_in_words() -> None:
    class Says(Language):
        def forward(self, tokens: Tensor) -> Tensor:
            return super().forward(tokens).argmax(-1)

    with pytest.raises(ModelError, match="got only integers") as raised:
        SequenceModel(Says(nn.Identity()))
    raised.match("Give a factory whose forward returns the logits")
