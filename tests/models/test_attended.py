"""Weights of attention against those that libraries return, and against the formula written out."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.errors import NotApplicable
from seqprobe.models.attended import attended
from seqprobe.models.mixers import slow_attention_path
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH, HEADS, BATCH, TIME = 11, 16, 4, 3, 13


class Around(nn.Module):
    """An embedding, whatever mixes positions, and a head."""

    def __init__(self, mixing: nn.Module, outputs: int = SYMBOLS) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.mixing = mixing
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.mixing(self.embedding(tokens)))


class Mixing(nn.Module):
    """A function of (batch, time, width)."""

    def __init__(self, work: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.work = work

    def forward(self, x: Tensor) -> Tensor:
        return self.work(x)


def whole(call: Any) -> Tensor:
    """All weights, read four rows at a time."""
    parts = [call.rows(rows).weights for rows in torch.arange(call.time).split(4)]
    return torch.cat([F.pad(part, (0, call.time - part.shape[-1])) for part in parts], dim=2)


def read(module: nn.Module, tokens: Tensor) -> tuple[list[Any], dict[str, str]]:
    """Site, weights, norms and difference of every call; outputs stay as they were, bit for bit."""
    calls: list[Any] = []
    plain = SequenceModel(module)(tokens)
    module.eval()
    keep = lambda call: calls.append((call.site, whole(call), call.norms, call.difference))  # noqa: E731
    with torch.no_grad(), attended(module, *tokens.shape, keep) as refused:
        returned = module(tokens)
    outputs = getattr(returned, "logits", returned)
    assert torch.equal(outputs, plain)
    return calls, refused


def split(x: Tensor) -> Tensor:
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(-2)


def tokens_of(batch: int = BATCH, time: int = TIME) -> Tensor:
    return torch.randint(SYMBOLS, (batch, time))


def hidden(seen: Tensor) -> Tensor:
    return torch.zeros(seen.shape).masked_fill(~seen, -math.inf)


CAUSAL = torch.ones(TIME, TIME, dtype=torch.bool).tril()
WINDOW = CAUSAL.triu(-3)
PADDING = torch.ones(BATCH, 1, 1, TIME, dtype=torch.bool)
PADDING[1, ..., 9:] = False
ALIBI = hidden(CAUSAL) - torch.arange(TIME) * torch.tensor([0.5, 0.2, 0.1, 0.05]).view(4, 1, 1)


@pytest.mark.parametrize(
    ("how", "scale", "added"),
    [
        ({}, 0.5, torch.zeros(1)),
        ({"is_causal": True}, 0.5, hidden(CAUSAL)),
        ({"scale": 0.9}, 0.9, torch.zeros(1)),
        ({"attn_mask": WINDOW}, 0.5, hidden(WINDOW)),
        ({"attn_mask": PADDING}, 0.5, hidden(PADDING)),
        ({"attn_mask": ALIBI}, 0.5, ALIBI),
    ],
)
def test_fused_calls_are_computed_again(how: Any, scale: float, added: Tensor) -> None:
    x = torch.randn(BATCH, TIME, WIDTH)
    query, key, value = split(x), split(x.roll(1, -1)), split(x.flip(-1))
    calls: list[Any] = []
    with attended(nn.Identity(), BATCH, TIME, lambda call: calls.append((call, whole(call)))):
        out = F.scaled_dot_product_attention(query, key, value, **how)
    ((call, weights),) = calls
    truth = (query @ key.transpose(-1, -2) * scale + added).softmax(-1)
    torch.testing.assert_close(weights, truth)
    torch.testing.assert_close(weights @ value, out)
    torch.testing.assert_close(call.norms, value.norm(dim=-1))
    assert call.difference < 1e-5


def test_grouped_queries_share_keys_and_values() -> None:
    query, key = torch.randn(BATCH, 4, TIME, 8), torch.randn(BATCH, 2, TIME, 8)
    found: list[Any] = []
    with attended(nn.Identity(), BATCH, TIME, lambda call: found.append((whole(call), call.norms))):
        F.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)
    ((weights, norms),) = found
    scores = query @ key[:, [0, 0, 1, 1]].transpose(-1, -2) / math.sqrt(8)
    torch.testing.assert_close(weights, (scores + hidden(CAUSAL)).softmax(-1))
    torch.testing.assert_close(norms, key[:, [0, 0, 1, 1]].norm(dim=-1))


def test_a_query_that_sees_nothing_has_no_weights() -> None:
    seen = CAUSAL.clone()
    seen[5] = False
    x, found = torch.randn(BATCH, 1, TIME, 8), []
    with attended(nn.Identity(), BATCH, TIME, lambda call: found.append(whole(call))):
        F.scaled_dot_product_attention(x, x, x, attn_mask=seen)
    assert (found[0][:, :, 5] == 0).all()
    assert found[0].sum(-1)[:, :, 6] == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_any_precision(dtype: torch.dtype) -> None:
    x, found = torch.randn(BATCH, 2, TIME, 8).to(dtype), []
    with attended(nn.Identity(), BATCH, TIME, lambda call: found.append(whole(call))) as refused:
        F.scaled_dot_product_attention(x, x, x)
    assert not refused
    scores = x.double() @ x.double().transpose(-1, -2) / math.sqrt(8)
    exactly = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found[0].double(), scores.softmax(-1), atol=exactly, rtol=0)


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "matmul": torch.matmul,
    "@": lambda weights, value: weights @ value,
    "einsum": lambda weights, value: torch.einsum("b h i j, b h j d -> b h i d", weights, value),
    "bmm": lambda weights, value: torch.bmm(weights.flatten(0, 1), value.flatten(0, 1)).unflatten(
        0, (-1, HEADS)
    ),
    "dropout": lambda weights, value: F.dropout(weights, 0.5, training=False) @ value,
}
SOFTMAXES: dict[str, Callable[[Tensor], Tensor]] = {
    "F.softmax": lambda scores: F.softmax(scores, -1),
    "method": lambda scores: scores.softmax(dim=-1),
    "module": nn.Softmax(-1),
    "keys first": lambda scores: scores.transpose(-1, -2).softmax(-2).transpose(-1, -2),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_a_written_softmax_is_read_where_it_meets_the_values(product: str, softmax: str) -> None:
    true: list[Tensor] = []

    def work(x: Tensor) -> Tensor:
        query, value = split(x), split(x.roll(3, -1))
        weights = SOFTMAXES[softmax](query @ query.transpose(-1, -2) + hidden(CAUSAL))
        true.append(weights)
        return joined(PRODUCTS[product](weights, value))

    tokens = tokens_of()
    module = Around(Mixing(lambda x: work(x) if x.shape[1] == TIME else x))
    ((site, weights, norms, _),), refused = read(module, tokens)
    value = split(module.embedding(tokens).roll(3, -1))
    assert (site, refused) == ("mixing", {})
    torch.testing.assert_close(weights, true[-1], rtol=0, atol=0)
    torch.testing.assert_close(norms, value.norm(dim=-1))


LAYOUTS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "batch, heads": (lambda x: x, lambda x: x),
    "heads, batch": (lambda x: x.transpose(0, 1), lambda x: x.transpose(0, 1)),
    "merged": (lambda x: x.flatten(0, 1), lambda x: x.unflatten(0, (BATCH, HEADS))),
    "one head": (lambda x: x[:, 0], lambda x: x.unsqueeze(1)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_heads_may_stand_anywhere(layout: str) -> None:
    laid, back = LAYOUTS[layout]
    x = laid(torch.randn(BATCH, HEADS, TIME, 8))
    found: list[Tensor] = []
    for fused in (True, False):
        with attended(nn.Identity(), BATCH, TIME, lambda call: found.append(whole(call))):
            if fused:
                F.scaled_dot_product_attention(x, x, x)
            else:
                (x @ x.transpose(-1, -2) / math.sqrt(8)).softmax(-1) @ x
    truth = back((x @ x.transpose(-1, -2) / math.sqrt(8)).softmax(-1))
    for weights in found:
        torch.testing.assert_close(weights, truth)


def test_sequences_have_to_be_told_apart() -> None:
    x = torch.randn(5, TIME, 8)
    with attended(nn.Identity(), BATCH, TIME, lambda _: pytest.fail("read")) as refused:
        F.scaled_dot_product_attention(x, x, x)
    assert refused == {"": f"none of its axes is that of the {BATCH} sequences"}


class WithWeights(nn.Module):
    """`nn.MultiheadAttention`, asked for its weights or not."""

    def __init__(self, asked: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.asked = asked
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=self.asked)[0]
        return out


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_multi_head_attention_gives_its_own_weights(asked: bool, batch_first: bool) -> None:
    inner = WithWeights(asked, batch_first)
    module, tokens = Around(inner), tokens_of()
    calls: list[Any] = []
    module.eval()
    given = tokens if batch_first else tokens.T
    with torch.no_grad(), attended(module, BATCH, TIME, lambda c: calls.append((c.site, whole(c)))):
        with_tap = module(given)
    x = module.embedding(given)
    _, weights = inner.attention(x, x, x, need_weights=True, average_attn_weights=False)
    ((site, found),) = calls
    assert site == "mixing.attention"
    torch.testing.assert_close(found, weights)
    with torch.no_grad(), slow_attention_path():
        assert torch.equal(with_tap, module(given))


def test_encoder_layers_on_their_fast_path_are_seen() -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True)
    model, tokens = SequenceModel(Around(nn.TransformerEncoder(layer, 2))), tokens_of()
    calls: list[Any] = []
    model.attend(tokens, lambda call: calls.append((call.site, whole(call))))
    assert [site for site, _ in calls] == [f"mixing.layers.{i}.self_attn" for i in range(2)]
    x = model.module.embedding(tokens)
    first = model.module.eval().mixing.layers[0].self_attn
    _, true = first(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(calls[0][1], true)


def language_model(kind: str, implementation: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0},
        "llama": {
            "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 24,
        },
    }  # fmt: skip
    config = transformers.AutoConfig.for_model(kind, vocab_size=SYMBOLS, **sizes[kind])
    torch.manual_seed(1)
    model: nn.Module = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=implementation
    )
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_language_models_give_the_weights_that_they_output(kind: str, implementation: str) -> None:
    model, tokens = language_model(kind, implementation), tokens_of()
    calls, refused = read(model, tokens)
    truth = language_model(kind, "eager").eval()(tokens, output_attentions=True).attentions
    assert not refused
    assert len(calls) == len(truth) == 2
    for (_, weights, norms, difference), true in zip(calls, truth, strict=True):
        torch.testing.assert_close(weights, true, atol=1e-6, rtol=1e-5)
        assert norms.shape == (BATCH, HEADS, TIME)
        assert difference < 1e-5


def test_a_softmax_over_classes_is_no_attention() -> None:
    """As many classes as steps: the sequence is cut, so that the two differ."""
    module = Around(nn.Identity(), outputs=TIME)
    model = SequenceModel(nn.Sequential(module, nn.Softmax(-1)))
    outputs, refused = model.attend(tokens_of(), lambda call: pytest.fail(call.site))
    assert outputs.shape[1] == TIME - 1
    assert not refused


def test_pooling_over_positions_is_no_attention() -> None:
    """One set of weights for all outputs: no query has weights of its own."""
    module = Around(Mixing(lambda x: x + x.sum(-1).softmax(1).unsqueeze(1) @ x))
    SequenceModel(module).attend(tokens_of(), lambda call: pytest.fail(call.site))


def refusal(work: Callable[[Tensor], Tensor]) -> str:
    model = SequenceModel(Around(Mixing(work)))
    _, refused = model.attend(tokens_of(), lambda call: pytest.fail(call.site))
    assert set(refused) == {"mixing"}
    return refused["mixing"]


def test_weights_that_do_not_give_the_output_are_refused() -> None:
    def dropped(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)

    assert "do not give its output (relative difference" in refusal(dropped)


def test_attention_to_something_else_is_refused() -> None:
    def to_memory(x: Tensor) -> Tensor:
        memory = x[:, :5]
        return F.scaled_dot_product_attention(x, memory, memory)

    said = f"its {TIME} queries and 5 keys are not the {TIME} steps of the sequence"
    assert refusal(to_memory) == said


def test_negative_weights_are_refused() -> None:
    def differential(x: Tensor) -> Tensor:
        scores = x @ x.transpose(1, 2)
        return (scores.softmax(-1) - scores.sin().softmax(-1)) @ x

    assert refusal(differential) == "some of its weights are below zero or not finite"


def test_a_softmax_that_meets_no_values_is_refused() -> None:
    def elsewhere(x: Tensor) -> Tensor:
        return x + (x @ x.transpose(1, 2)).softmax(-1).amax(-1, keepdim=True)

    assert refusal(elsewhere) == "no product of its weights and values was found"


def test_recurrences_have_no_attention() -> None:
    for model in (zoo.memoryless(), SequenceModel(build("lstm", width=8, layers=1))):
        _, refused = model.attend(torch.ones(2, 20).long(), lambda call: pytest.fail(call.site))
        assert not refused


def test_sequences_can_be_too_short_for_the_model() -> None:
    with pytest.raises(NotApplicable, match="sequences of 1 steps are too short"):
        zoo.uniform_attention().attend(torch.ones(2, 1).long(), lambda _: None)


def test_the_fused_function_is_put_back() -> None:
    before = F.scaled_dot_product_attention

    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    x = torch.randn(BATCH, TIME, WIDTH)
    with (
        torch.no_grad(),
        pytest.raises(AssertionError),
        attended(module, BATCH, TIME, lambda _: None),
    ):
        module(x, x, x[..., :3], need_weights=False)
    assert F.scaled_dot_product_attention is before
