"""Models around nn.TransformerEncoder: rebuilt from a state dict, they give the same answers."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import contents_of, filled

from seqprobe.checkpoints.contents import Module
from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import transformer_encoder
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates.encoder import Encoder
from seqprobe.checkpoints.templates.positions import sinusoids
from seqprobe.errors import UsageError

pytestmark = pytest.mark.usefixtures("double")

VOCAB, WIDTH, HEADS, LAYERS, LONGEST = 11, 12, 3, 2, 16
SCALE = math.sqrt(WIDTH)
TOKENS = torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(1))
ALL = {"nhead", "norm_first", "activation", "embedding_scale", "causal"}


def waves(time: int) -> Tensor:
    """One number after the other, from the formula in the paper."""
    table = torch.zeros(time, WIDTH)
    for step in range(time):
        for pair in range(WIDTH // 2):
            angle = step / 10000 ** (2 * pair / WIDTH)
            table[step, 2 * pair], table[step, 2 * pair + 1] = math.sin(angle), math.cos(angle)
    return table


class Twin(nn.Module):
    """As tutorials write it; what it is called varies."""

    def __init__(
        self,
        *,
        outputs: int = VOCAB,
        positions: str = "pe",
        scale: float = SCALE,
        causal: bool = True,
        pool: Callable[[Tensor], Tensor] = lambda x: x,
        norm: bool = False,
        head_bias: bool = True,
        features: int | None = None,
        **layer: Any,
    ) -> None:
        super().__init__()
        self.batch_first = layer.setdefault("batch_first", True)
        self.scale, self.causal, self.pool = scale, causal, pool
        self.embedding = nn.Linear(features, WIDTH) if features else nn.Embedding(VOCAB, WIDTH)
        self.kind = positions
        if positions == "pe":
            self.pos_encoder = nn.Module()
            self.pos_encoder.register_buffer("pe", waves(LONGEST)[:, None])
        elif positions == "learned":
            self.pos_embedding = nn.Embedding(LONGEST, WIDTH)
        elif positions == "parameter":
            self.position_embeddings = nn.Parameter(torch.randn(1, LONGEST, WIDTH))
        one = nn.TransformerEncoderLayer(WIDTH, HEADS, 20, dropout=0.3, **layer)
        last = nn.LayerNorm(WIDTH) if norm else None
        self.transformer_encoder = nn.TransformerEncoder(
            one, LAYERS, norm=last, enable_nested_tensor=False
        )
        self.fc_out = nn.Linear(WIDTH, outputs, bias=head_bias)
        for name, parameter in self.named_parameters():
            if "pos" not in name:
                nn.init.normal_(parameter, mean=float("norm" in name), std=0.3)
        self.eval()

    def vectors(self, time: int) -> Tensor | float:
        match self.kind:
            case "pe" | "not in the file":
                return waves(time)
            case "learned":
                return self.pos_embedding.weight[:time]
            case "parameter":
                return self.position_embeddings[0, :time]
        return 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.embedding(inputs) * self.scale + self.vectors(inputs.shape[1])
        future = torch.ones(inputs.shape[1], inputs.shape[1]).triu(1).bool()
        mask = torch.zeros(future.shape).masked_fill(future, -math.inf) if self.causal else None
        x = x if self.batch_first else x.transpose(0, 1)
        x = self.transformer_encoder(x, mask=mask)
        return self.fc_out(self.pool(x if self.batch_first else x.transpose(0, 1)))


def choices(layer: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What the twin is, where its file does not tell."""
    usual = {
        "nhead": HEADS, "norm_first": False, "activation": "relu",
        "embedding_scale": SCALE, "causal": True,
    }  # fmt: skip
    return usual | {n: v for n, v in (layer or {}).items() if n in usual} | more


def agrees(model: nn.Module, original: nn.Module, inputs: Tensor = TOKENS, **close: float) -> None:
    with torch.no_grad():
        rebuilt, expected = model(inputs), original(inputs)
    if expected.ndim == 2:
        rebuilt = rebuilt[:, -1]
    torch.testing.assert_close(rebuilt, expected, **({"rtol": 0, "atol": 1e-10} | close))


@pytest.mark.parametrize("layer", [
    {}, {"norm_first": True}, {"activation": "gelu"}, {"bias": False}, {"batch_first": False},
    {"norm_first": True, "activation": "gelu", "batch_first": False},
])  # fmt: skip
@pytest.mark.parametrize("norm", [True, False])
def test_every_kind_of_layer_gives_the_original_logits(layer: dict[str, Any], norm: bool) -> None:
    twin = Twin(norm=norm, **layer)
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    agrees(filled(layout, state, **choices(layer)), twin)
    assert isinstance(layout, Layout)
    assert (layout.vocab_size, layout.features) == (VOCAB, None)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_wrappers_change_nothing(prefix: str) -> None:
    twin = Twin()
    state = {prefix + name: tensor for name, tensor in twin.state_dict().items()}
    state["n_averaged"] = torch.tensor(7)
    agrees(filled(transformer_encoder.recognise(contents_of(state)), state, **choices()), twin)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("scale", [1.0, SCALE])
@pytest.mark.parametrize("shape", [(LONGEST, 1, WIDTH), (1, LONGEST, WIDTH), (LONGEST, WIDTH)])
def test_sinusoids_of_the_file_are_used(causal: bool, scale: float, shape: tuple[int, ...]) -> None:
    twin = Twin(causal=causal, scale=scale)
    state = twin.state_dict()
    state["pos_encoder.pe"] = state["pos_encoder.pe"].reshape(shape)
    layout = transformer_encoder.recognise(contents_of(state))
    model = filled(layout, state, **choices(causal=causal, embedding_scale=scale))
    agrees(model, twin)
    assert isinstance(layout, Layout)
    assert layout.trained_length is None
    assert "positions.table" not in dict(model.named_parameters())
    with pytest.raises(IndexError, match="17 tokens exceeds the table of 16 positions"):
        model(torch.zeros(1, LONGEST + 1, dtype=torch.long))


@pytest.mark.parametrize("kind", ["learned", "parameter"])
def test_learned_positions_are_parameters_and_tell_a_length(kind: str) -> None:
    twin = Twin(positions=kind)
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    model = filled(layout, state, **choices())
    agrees(model, twin)
    assert isinstance(layout, Layout)
    assert layout.trained_length == LONGEST
    assert "positions.table" in dict(model.named_parameters())
    scales = next(one for one in layout.unknowns if one.name == "embedding_scale")
    assert scales.candidates == (1.0, SCALE)


@pytest.mark.parametrize(("kind", "said"), [("not in the file", "sinusoidal"), ("none", "none")])
def test_positions_that_are_not_in_the_file_are_asked_for(kind: str, said: str) -> None:
    twin = Twin(positions=kind)
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    model = filled(layout, state, **choices(positions=said))
    agrees(model, twin, atol=1e-5)  # sinusoids are of single precision
    agrees(filled(layout, state, **choices(positions=said)), twin, atol=1e-5)


def test_sinusoids_are_those_of_the_paper() -> None:
    torch.testing.assert_close(sinusoids(50, WIDTH).double(), waves(50), rtol=0, atol=1e-5)
    assert sinusoids(3, 5).shape == (3, 5)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(1),
    "first": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
    "none": lambda x: x,
}


@pytest.mark.parametrize("pooling", POOLS)
@pytest.mark.parametrize("causal", [True, False])
def test_classifiers_give_the_original_answer_at_the_last_step(pooling: str, causal: bool) -> None:
    twin = Twin(outputs=2, causal=causal, pool=POOLS[pooling])
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    model = filled(layout, state, **choices(causal=causal, pooling=pooling))
    agrees(model, twin)
    if causal:  # an earlier step is the answer to a shorter text
        with torch.no_grad():
            short, whole = twin(TOKENS[:, :4]), model(TOKENS)
        torch.testing.assert_close(whole[:, 3], short if short.ndim == 2 else short[:, -1])


def test_real_valued_inputs_go_through_a_linear_layer() -> None:
    inputs = torch.randn(2, 9, 5)
    twin = Twin(features=5, outputs=1, causal=False, scale=1.0, pool=POOLS["mean"])
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    chosen = choices(causal=False, embedding_scale=1.0, pooling="mean")
    agrees(filled(layout, state, **chosen), twin, inputs)
    assert isinstance(layout, Layout)
    assert (layout.vocab_size, layout.features) == (None, 5)


def test_a_tied_head_is_found_by_its_memory() -> None:
    twin = Twin(positions="learned")
    twin.fc_out.weight = twin.embedding.weight
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    model = filled(layout, state, **choices())
    agrees(model, twin)
    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_without_bias_is_told_from_the_embedding_by_name(tied: bool) -> None:
    twin = Twin(head_bias=False)
    if tied:
        twin.fc_out.weight = twin.embedding.weight
    state = twin.state_dict()
    names = reversed(state) if not tied else state  # safetensors sorts names
    layout = transformer_encoder.recognise(contents_of({name: state[name] for name in names}))
    agrees(filled(layout, state, **choices()), twin)
    unnamed = {
        name.replace("embedding", "a").replace("fc_out", "b"): t for name, t in state.items()
    }
    assert (transformer_encoder.recognise(contents_of(unnamed)) is not None) == tied


def test_as_many_tokens_as_the_layers_are_wide_are_no_riddle() -> None:
    twin = Twin(outputs=WIDTH)
    twin.embedding = nn.Embedding(WIDTH, WIDTH)
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    agrees(filled(layout, state, **choices()), twin)


NORMS: dict[str, Callable[[Twin, nn.Module], None]] = {
    "final": lambda twin, norm: setattr(twin, "pool", lambda x: norm(x).mean(1)),
    "pooled": lambda twin, norm: setattr(twin, "pool", lambda x: norm(x.mean(1))),
    "embedding": lambda twin, norm: None,
}


@pytest.mark.parametrize("place", NORMS)
def test_a_norm_of_another_name_may_stand_in_three_places(place: str) -> None:
    twin = Twin(outputs=2, pool=POOLS["mean"])
    twin.ln = nn.LayerNorm(WIDTH)
    nn.init.normal_(twin.ln.weight)
    NORMS[place](twin, twin.ln)
    if place == "embedding":
        twin.transformer_encoder.register_forward_pre_hook(lambda _, args: (twin.ln(args[0]),))
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state))
    agrees(filled(layout, state, **choices(pooling="mean", norm=place)), twin)


def test_a_list_of_layers_is_as_good_as_an_encoder_and_a_mask_speaks_for_causal() -> None:
    twin = Twin(causal=False, outputs=2, pool=POOLS["mean"])
    state = {
        name.replace("transformer_encoder.layers.", "blocks."): tensor
        for name, tensor in twin.state_dict().items()
    }
    layout = transformer_encoder.recognise(contents_of(state))
    chosen = choices(causal=False, pooling="mean")
    agrees(filled(layout, state, **chosen), twin)
    assert isinstance(layout, Layout)
    assert [one.candidates[0] for one in layout.unknowns if one.name == "causal"] == [False]
    state["causal_mask"] = torch.ones(LONGEST, LONGEST).tril().bool()
    layout = transformer_encoder.recognise(contents_of(state))
    assert isinstance(layout, Layout)
    assert layout.ignored == {"causal_mask"}
    assert [one.candidates[0] for one in layout.unknowns if one.name == "causal"] == [True]


def example_state(twin: Twin) -> dict[str, Tensor]:
    """With the names of the TransformerModel of pytorch/examples."""
    renamed = {
        "transformer_encoder.": "encoder.",
        "embedding.": "input_emb.",
        "fc_out.": "decoder.",
    }
    state = dict(twin.state_dict())
    for old, new in renamed.items():
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    return state


def test_the_example_of_pytorch_leaves_only_its_heads_open() -> None:
    twin = Twin(norm=True, batch_first=False)
    state = example_state(twin)
    layout = transformer_encoder.recognise(contents_of(state))
    agrees(filled(layout, state, nhead=HEADS), twin)
    assert isinstance(layout, Layout)
    assert layout.name == "word_language_model Transformer"


def pickled(**more: Any) -> dict[str, Module]:
    """What a pickled model tells about its layers."""
    layer = {"norm_first": True, "activation_relu_or_gelu": 2} | more
    attention = {"num_heads": HEADS, "batch_first": False, "dropout": 0.2}
    modules = {"": Module("model.TransformerModel", {"ninp": WIDTH, "nhead": HEADS})}
    kind = "torch.nn.modules."
    for n in range(LAYERS):
        path = f"encoder.layers.{n}"
        modules[path] = Module(f"{kind}transformer.TransformerEncoderLayer", layer)
        modules[f"{path}.self_attn"] = Module(f"{kind}activation.MultiheadAttention", attention)
        modules[f"{path}.norm1"] = Module(f"{kind}normalization.LayerNorm", {"eps": 0.01})
    return modules


def test_a_pickled_model_tells_heads_norms_activation_and_epsilon() -> None:
    twin = Twin(norm_first=True, activation="gelu", layer_norm_eps=0.01, positions="learned")
    state = twin.state_dict()
    layout = transformer_encoder.recognise(contents_of(state, modules=pickled()))
    agrees(filled(layout, state, embedding_scale=SCALE, causal=True), twin)
    odd = contents_of(state, modules=pickled(activation_relu_or_gelu=0))
    named = transformer_encoder.recognise(odd)
    assert isinstance(named, Named)
    assert named.missing == "the activation, a function of its own"


def test_a_pickled_model_read_from_its_file(tmp_path: Path) -> None:
    twin = Twin(norm_first=True, activation="gelu", layer_norm_eps=0.01, batch_first=False)
    twin.pool = nn.Identity()
    path = tmp_path / "model.pt"
    torch.save(twin, path)
    contents = read(path)
    layout = transformer_encoder.recognise(contents)
    assert isinstance(layout, Layout)
    assert layout.stated["causal"]  # an attribute of the twin
    agrees(filled(layout, fetch_all(contents.weights), embedding_scale=SCALE), twin)


def test_hyper_parameters_answer_what_they_name() -> None:
    twin = Twin(norm_first=True, activation="gelu", causal=False, outputs=3, pool=POOLS["first"])
    state = twin.state_dict()
    said = {
        "nhead": HEADS, "norm_first": True, "activation": "gelu", "causal": False,
        "pooling": "first", "eps": 0.1, "lr": 1e-3,
    }  # fmt: skip
    contents = contents_of(state, hyper_parameters=said)
    layout = transformer_encoder.recognise(contents)
    agrees(filled(layout, state, embedding_scale=SCALE), twin)


LAYER = "transformer_encoder.layers.1."
OTHERS: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "a table of relative positions": lambda s: s | {f"{LAYER}self_attn.relative": torch.ones(3, 3)},
    "added keys and values": lambda s: s | {f"{LAYER}self_attn.bias_k": torch.ones(1, 1, WIDTH)},
    "a token of its own": lambda s: s | {"cls_token": torch.ones(1, 1, WIDTH)},
    "an extra linear layer": lambda s: s | {"between.weight": torch.ones(WIDTH, WIDTH)},
    "two further norms": lambda s: s | {f"{n}.weight": torch.ones(WIDTH) for n in "ab"},
    "two tables": lambda s: s | {"pos2.weight": torch.ones(LONGEST, WIDTH)},
    "segments": lambda s: s | {"segment.weight": torch.ones(2, WIDTH)},
    "another width inside": lambda s: s | {f"{LAYER}linear1.weight": torch.ones(4, WIDTH)},
    "a missing bias": lambda s: {n: t for n, t in s.items() if n != f"{LAYER}norm2.bias"},
    "a missing layer": lambda s: {n: t for n, t in s.items() if ".layers.0." not in n},
    "no head": lambda s: {n: t for n, t in s.items() if "fc_out" not in n},
    "no embedding": lambda s: {n: t for n, t in s.items() if n != "embedding.weight"},
    "a head of another width": lambda s: s | {"fc_out.weight": torch.ones(VOCAB, 7)},
    "a table of another width": lambda s: s | {"pos_encoder.pe": torch.ones(LONGEST, 1, 7)},
    "two stacks": lambda s: s | {f"2.{n}": t for n, t in s.items() if ".layers" in n},
    "a flat projection": lambda s: s | {f"{LAYER[:-2]}0.self_attn.in_proj_weight": torch.ones(36)},
    "no width": lambda s: s | {f"{LAYER[:-2]}0.self_attn.in_proj_weight": torch.ones(36, 0)},
    "both names of a tensor": lambda s: s | {"module.fc_out.bias": torch.ones(VOCAB)},
    "nothing": lambda s: {},
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_something_else_is_not_claimed(what: str) -> None:
    state = OTHERS[what](dict(Twin().state_dict()))
    assert transformer_encoder.recognise(contents_of(state)) is None


def test_a_model_of_two_sequences_is_only_named() -> None:
    model = nn.Transformer(WIDTH, 2, 1, 1, 20, batch_first=True)
    named = transformer_encoder.recognise(contents_of(model.state_dict()))
    assert isinstance(named, Named)
    assert "second sequence" in named.missing
    assert "--model" in named.do


@pytest.mark.parametrize(("choice", "message"), [
    ({"nhead": 5}, "no attention of width 12 has 5 heads"),
    ({"nhead": 0}, "no attention of width 12 has 0 heads"),
    ({"activation": "swish"}, "unknown activation 'swish'; expected one of relu, gelu"),
    ({"positions": "rotary"}, "unknown positions 'rotary'"),
    ({"norm": "last"}, "unknown norm 'last'"),
    ({"pooling": "median"}, "unknown pooling 'median'"),
])  # fmt: skip
def test_choices_that_do_not_exist_are_refused(choice: dict[str, Any], message: str) -> None:
    sizes = {"inputs": 5, "outputs": 5, "width": WIDTH, "layers": 1, "inner": 8}
    with pytest.raises(UsageError, match=message):
        Encoder(**({"nhead": HEADS} | sizes | choice))
