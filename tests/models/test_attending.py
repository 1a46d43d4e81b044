"""Attention read in forwards of a training loop: nothing changes, and the numbers are true."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seqprobe.models.attending import QUERIES, HeadsOfOwnForward
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH, HEADS, BATCH, TIME = 11, 16, 4, 3, 13


class Mixing(nn.Module):
    """A function of queries, keys and values, each (batch, heads, time, width)."""

    def __init__(self, work: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.work, self.project = work, nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.project(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return x + self.work(self, *parts).transpose(1, 2).flatten(-2)


class Asked(nn.Module):
    """`nn.MultiheadAttention`, asked for its weights or not."""

    def __init__(self, asked: bool) -> None:
        super().__init__()
        self.asked = asked
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=self.asked)[0]
        return x + out


class Checkpointed(nn.Module):
    def __init__(self, inner: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.inner, x, use_reentrant=self.reentrant)
        return out


class Normed(nn.Module):
    """Keeps running statistics: it would notice another forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


def fused(p: float) -> Callable[..., Tensor]:
    def work(module: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        dropout = p if module.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)

    return work


def written(p: float, inplace: bool = False) -> Callable[..., Tensor]:
    def work(module: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        weights = scores.masked_fill(ahead, -math.inf).softmax(-1)
        return F.dropout(weights, p, module.training, inplace) @ v

    return work


def layer(**more: Any) -> nn.Module:
    encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, dropout=0.3, batch_first=True, **more)
    return nn.TransformerEncoder(encoder, 2, enable_nested_tensor=False)


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "fused": lambda: Mixing(fused(0.0)),
    "fused, dropout": lambda: Mixing(fused(0.3)),
    "written": lambda: Mixing(written(0.0)),
    "written, dropout": lambda: Mixing(written(0.3)),
    "encoder": layer,
    "encoder, norm first": lambda: layer(norm_first=True),
    "with weights": lambda: Asked(True),
    "without weights": lambda: Asked(False),
    "checkpointed": lambda: Checkpointed(layer(), reentrant=False),
    "checkpointed, reentrant": lambda: Checkpointed(Mixing(written(0.3)), reentrant=True),
    "checkpointed, with weights": lambda: Checkpointed(Asked(True), reentrant=False),
    "two": lambda: nn.Sequential(Mixing(fused(0.3)), Normed(), Mixing(written(0.1))),
}


def model_of(mixing: nn.Module, outputs: int = SYMBOLS) -> SequenceModel:
    embedding = nn.Embedding(SYMBOLS, WIDTH)
    return SequenceModel(nn.Sequential(embedding, mixing, nn.Linear(WIDTH, outputs)))


def watch(model: SequenceModel) -> tuple[list[Any], Callable[[], None]]:
    """Hooks as a session has them: rows of every forward, and how to take them off."""
    heads, rows = HeadsOfOwnForward(model), []
    module = model.module
    begin = module.register_forward_pre_hook(lambda _, args: heads.begin(*args[0].shape[:2]))
    end = module.register_forward_hook(lambda *_: rows.append(heads.end(failed=False)))
    return rows, lambda: (begin.remove(), end.remove())


def trained(maker: str, *, watched: bool, autocast: bool = False) -> tuple[list[Tensor], list[Any]]:
    """Outputs, weights and the generator after three updates, and what was seen."""
    torch.manual_seed(1)
    model = model_of(MAKERS[maker]())
    module = model.module.train()
    seen, off = watch(model) if watched else ([], lambda: None)
    optimizer, outputs = torch.optim.Adam(module.parameters(), lr=0.01), []
    torch.manual_seed(2)
    for _ in range(3):
        tokens = torch.randint(SYMBOLS, (BATCH, TIME))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = module(tokens)
            loss = F.cross_entropy(out[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        outputs.append(out.detach())
    off()
    return [*outputs, *module.state_dict().values(), torch.get_rng_state()], seen


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("maker", MAKERS)
def test_training_does_not_notice(maker: str, autocast: bool) -> None:
    plain, _ = trained(maker, watched=False, autocast=autocast)
    same, seen = trained(maker, watched=True, autocast=autocast)
    assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))
    assert len(seen) == 3
    for rows in seen:
        assert rows["refused"].tolist() == [""] * BATCH
        calls = 2 if "two" in maker or "encoder" in maker or maker == "checkpointed" else 1
        assert rows["entropy_ratio"].shape == (BATCH, calls * HEADS)
        assert rows["error"].max() < 1e-2


@pytest.mark.parametrize("maker", ["fused, dropout", "written, dropout", "with weights", "encoder"])
def test_weights_are_those_before_dropout(maker: str) -> None:
    """The same as a run of ours gives, in evaluation mode, on the first layer."""
    torch.manual_seed(1)
    model, tokens = model_of(MAKERS[maker]()), torch.randint(SYMBOLS, (BATCH, TIME))
    for part in model.module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    rows, _ = watch(model)
    model.module.train()(tokens)
    model.module.eval()(tokens)
    dropped, plain = rows
    first = plain["layer"][0] == 0
    for name in ("entropy_ratio", "distance", "first", "first_by_norm"):
        np.testing.assert_allclose(dropped[name][:, first], plain[name][:, first], rtol=1e-4)
    unchecked = np.isnan(dropped["difference"]).all()
    assert unchecked == (maker != "written, dropout")
    assert plain["difference"].max() < 1e-4


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("time", [12, 45])
def test_equal_weights(time: int) -> None:
    model = zoo.uniform_attention(layers=2)
    rows, _ = watch(model)
    model.module(torch.randint(8, (5, time)))
    queries = np.arange(time) if time < QUERIES else ((np.arange(32) + 0.5) * time / 32).astype(int)
    np.testing.assert_allclose(rows[0]["entropy_ratio"], np.ones((5, 2)))
    np.testing.assert_allclose(rows[0]["distance"], np.full((5, 2), queries.mean() / 2))


def softly(x: Tensor) -> Tensor:
    """Linear attention: a softmax over features, and a product with something as wide."""
    return x.softmax(-1) @ (x.transpose(1, 2).softmax(-1) @ x)


class Linearly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return softly(x)


def test_something_else_of_the_same_length_is_told_apart() -> None:
    """Sequences as long as the model is wide."""
    both = nn.Sequential(Linearly(), Mixing(fused(0.0)))
    for time, refused in ((TIME, ""), (WIDTH, "1.0: 1 products look like attention")):
        model = model_of(both, outputs=WIDTH)
        rows, _ = watch(model)
        model.module(torch.randint(SYMBOLS, (BATCH, time)))
        assert rows[0]["sites"][0].tolist() == ["1.1"]
        assert rows[0]["refused"][0].startswith(refused)
        assert bool(rows[0]["refused"][0]) == bool(refused)


def test_both_in_one_module_are_refused() -> None:
    def work(_: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        context = k.transpose(-1, -2) @ v
        return written(0.0)(_, q, k, v) + q.softmax(-1) @ context

    model = model_of(Mixing(work))
    rows, _ = watch(model)
    model.module(torch.randint(SYMBOLS, (BATCH, WIDTH // HEADS)))
    why = "1: 2 products look like attention over 4 steps, but 1 are on sequences of another length"
    assert {name: found.tolist() for name, found in rows[0].items()} == {"refused": [why] * BATCH}


def test_a_softmax_over_as_many_classes_as_steps_is_no_attention() -> None:
    model = model_of(nn.Sequential(Mixing(fused(0.0)), nn.Linear(WIDTH, TIME), nn.Softmax(-1),
                                   nn.Linear(TIME, WIDTH)))  # fmt: skip
    rows, _ = watch(model)
    model.module(torch.randint(SYMBOLS, (BATCH, TIME)))
    assert rows[0]["refused"][0] == ""
    assert rows[0]["entropy_ratio"].shape == (BATCH, HEADS)


def test_dropout_in_place_is_refused() -> None:
    model = model_of(Mixing(written(0.3, inplace=True)))
    rows, _ = watch(model)
    with torch.no_grad():
        model.module.train()(torch.randint(SYMBOLS, (BATCH, TIME)))
    assert rows[0]["refused"][0] == "1: its weights were changed after dropout, or dropped in place"


def test_without_attention_there_is_nothing() -> None:
    for model in (zoo.memoryless(), SequenceModel(build("lstm", width=8, layers=1))):
        rows, _ = watch(model)
        model.module(torch.ones(2, 20).long())
        assert rows == [{}]


@pytest.mark.parametrize("how", ["whole", "part"])
def test_compiled_parts_are_refused_by_name(how: str) -> None:
    model = model_of(Mixing(fused(0.0)))
    heads = HeadsOfOwnForward(model)
    part = model.module if how == "whole" else model.module[2]
    part.compile(backend="eager")
    heads.begin(BATCH, TIME)
    assert torch.overrides._len_torch_function_stack() == 0
    name = "" if how == "whole" else "2"
    assert heads.end(failed=False)["refused"].tolist() == [f"{name}: it is compiled"] * BATCH


@pytest.mark.filterwarnings("ignore")
def test_compiled_functions_within_stay_what_they_are() -> None:
    @torch.compile(backend="eager", fullgraph=True)
    def compiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)

    model = model_of(Mixing(lambda _, q, k, v: compiled(q, k, v)))
    tokens = torch.randint(SYMBOLS, (BATCH, TIME))
    plain = model.module(tokens)
    rows, _ = watch(model)
    assert torch.equal(model.module(tokens), plain)


def test_a_frozen_encoder_keeps_its_fast_path() -> None:
    encoder = layer().eval().requires_grad_(False)
    model = model_of(encoder)
    model.module[0].requires_grad_(False)
    model.module.eval()
    tokens = torch.randint(SYMBOLS, (BATCH, TIME))
    plain = model.module(tokens)
    rows, _ = watch(model)
    assert torch.equal(model.module(tokens), plain)
    assert "1.layers.0: it is frozen and in evaluation mode" in rows[0]["refused"][0]


def test_a_fault_in_reading_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Mixing(fused(0.0)))
    rows, _ = watch(model)
    monkeypatch.setattr("seqprobe.models.fused.Fused.rows", lambda *_: 1 / 0)
    model.module(torch.randint(SYMBOLS, (BATCH, TIME)))
    assert rows[0]["refused"][0] == "1: reading it failed: ZeroDivisionError: division by zero"


def test_a_forward_that_fails_leaves_nothing_open() -> None:
    model = model_of(Mixing(fused(0.0)))
    heads = HeadsOfOwnForward(model)
    hooks = lambda: [
        len(p._forward_hooks) + len(p._forward_pre_hooks) for p in model.module.modules()
    ]  # noqa: E731, E501
    for ends in (True, False):
        heads.begin(BATCH, TIME)
        with pytest.raises(IndexError):
            model.module(torch.full((BATCH, TIME), SYMBOLS))
        if ends:
            assert heads.end(failed=True) == {}
            assert torch.overrides._len_torch_function_stack() == 0
            assert not any(hooks())
    heads.begin(BATCH, TIME)
    model.module(torch.ones(BATCH, TIME).long())
    assert heads.end(failed=False)["entropy_ratio"].shape == (BATCH, HEADS)
    assert torch.overrides._len_torch_function_stack() == 0
