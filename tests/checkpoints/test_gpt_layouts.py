"""Decoders with GPT-2's names: rebuilt from a state dict, they give the original's logits."""

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import contents_of, filled

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import gpt2, mingpt, nanogpt
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates.gpt import GPT
from seqprobe.checkpoints.tensors import Span, TensorSpec
from seqprobe.errors import UsageError

pytestmark = pytest.mark.usefixtures("double")

VOCAB, WIDTH, HEADS, LAYERS, LONGEST = 11, 12, 3, 2, 16
TOKENS = torch.randint(VOCAB, (2, LONGEST), generator=torch.Generator().manual_seed(1))


class NaiveAttention(nn.Module):
    """A softmax over the past, head by head, by hand."""

    def __init__(self, bias: bool, masked: bool) -> None:
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=bias)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=bias)
        if masked:
            self.register_buffer("bias", torch.ones(LONGEST, LONGEST).tril()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.c_attn(x).split(WIDTH, dim=-1)
        size, time = WIDTH // HEADS, x.shape[1]
        future = torch.ones(time, time).triu(1).bool()
        heads = []
        for start in range(0, WIDTH, size):
            part = slice(start, start + size)
            scores = queries[..., part] @ keys[..., part].mT / math.sqrt(size)
            weights = scores.masked_fill(future, -math.inf).softmax(-1)
            heads.append(weights @ values[..., part])
        return self.c_proj(torch.cat(heads, -1))


class NaiveGPT(nn.Module):
    """With the names of nanoGPT, and of minGPT where the attention keeps its mask."""

    def __init__(self, *, bias: bool = True, tanh: bool, masked: bool, tied: bool) -> None:
        super().__init__()
        self.tanh = tanh
        norm = lambda: nn.LayerNorm(WIDTH, bias=bias)  # noqa: E731
        block = lambda: nn.ModuleDict(  # noqa: E731
            {
                "ln_1": norm(),
                "attn": NaiveAttention(bias, masked),
                "ln_2": norm(),
                "mlp": nn.ModuleDict(
                    {
                        "c_fc": nn.Linear(WIDTH, 4 * WIDTH, bias=bias),
                        "c_proj": nn.Linear(4 * WIDTH, WIDTH, bias=bias),
                    }
                ),
            }
        )
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCAB, WIDTH),
                "wpe": nn.Embedding(LONGEST, WIDTH),
                "h": nn.ModuleList(block() for _ in range(LAYERS)),
                "ln_f": norm(),
            }
        )
        self.lm_head = nn.Linear(WIDTH, VOCAB, bias=False)
        if tied:
            self.lm_head.weight = self.transformer["wte"].weight
        for name, parameter in self.named_parameters():  # norms and biases that tell, too
            nn.init.normal_(parameter, mean=float("ln_" in name), std=0.3)

    def gelu(self, x: Tensor) -> Tensor:
        if self.tanh:
            return x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh()) / 2
        return x * (1 + (x / math.sqrt(2)).erf()) / 2

    def forward(self, tokens: Tensor) -> Tensor:
        parts: Any = self.transformer
        x = parts.wte(tokens) + parts.wpe.weight[: tokens.shape[1]]
        for block in parts.h:
            x = x + block["attn"](block["ln_1"](x))
            x = x + block["mlp"]["c_proj"](self.gelu(block["mlp"]["c_fc"](block["ln_2"](x))))
        return self.lm_head(parts.ln_f(x))


def agrees(model: nn.Module, original: nn.Module) -> None:
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), original(TOKENS), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod.", "model."])
def test_nanogpt_state_dicts_give_the_original_logits(bias: bool, tied: bool, prefix: str) -> None:
    twin = NaiveGPT(bias=bias, tanh=False, masked=False, tied=tied)
    state = {prefix + name: tensor for name, tensor in twin.state_dict().items()}
    layout = nanogpt.recognise(contents_of(state))
    agrees(filled(layout, state, n_head=HEADS, activation="gelu"), twin)
    assert isinstance(layout, Layout)
    assert (layout.name, layout.settings["tied"]) == ("nanoGPT", tied)
    assert (layout.vocab_size, layout.trained_length) == (VOCAB, LONGEST)


def test_heads_of_model_args_go_before_those_of_the_command_line() -> None:
    twin = NaiveGPT(tanh=False, masked=False, tied=True)
    state = twin.state_dict()
    contents = contents_of(
        state, model_args={"n_head": HEADS, "dropout": 0.0}, config={"n_head": 6}, iter_num=100
    )
    agrees(filled(nanogpt.recognise(contents), state, activation="gelu"), twin)


def test_old_nanogpt_has_masks_and_the_approximate_gelu() -> None:
    twin = NaiveGPT(tanh=True, masked=True, tied=True)
    state = twin.state_dict()
    contents = contents_of(state, model_args={"n_head": HEADS})
    assert mingpt.recognise(contents) is None
    agrees(filled(nanogpt.recognise(contents), state, activation="gelu_tanh"), twin)


@pytest.mark.parametrize(("said", "read"), [(1.5, 1.5), (2, 2.0), (math.nan, None), ("low", None)])
def test_a_recorded_loss_is_a_finite_number(said: Any, read: float | None) -> None:
    state = NaiveGPT(tanh=False, masked=False, tied=True).state_dict()
    layout = nanogpt.recognise(contents_of(state, best_val_loss=said))
    assert isinstance(layout, Layout)
    assert layout.recorded_loss == read


def test_a_checkpoint_of_a_compiled_model_read_from_its_file(tmp_path: Path) -> None:
    twin = NaiveGPT(tanh=False, masked=False, tied=True)
    state = {f"_orig_mod.{name}": tensor for name, tensor in twin.state_dict().items()}
    checkpoint = {
        "model": state,
        "optimizer": torch.optim.AdamW(twin.parameters()).state_dict(),
        "model_args": {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "bias": True},
        "iter_num": 250,
        "best_val_loss": torch.tensor(1.625),
        "config": {"out_dir": "out", "n_head": 12},
    }
    path = tmp_path / "ckpt.pt"
    torch.save(checkpoint, path)
    contents = read(path)
    layout = nanogpt.recognise(contents)
    agrees(filled(layout, fetch_all(contents.weights), activation="gelu"), twin)
    assert isinstance(layout, Layout)
    assert layout.settings["tied"]
    assert layout.recorded_loss == 1.625


@pytest.mark.parametrize("tied", [True, False])
def test_mingpt_state_dicts_give_the_original_logits(tied: bool) -> None:
    twin = NaiveGPT(tanh=True, masked=True, tied=tied)
    state = twin.state_dict()
    contents = contents_of(state)
    layout = mingpt.recognise(contents)
    agrees(filled(layout, state, n_head=HEADS), twin)
    assert isinstance(layout, Layout)
    assert layout.ignored == {f"transformer.h.{n}.attn.bias" for n in range(LAYERS)}
    assert nanogpt.recognise(contents) is None


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"model_type": None, "n_head": HEADS}},
        {"model": {"model_type": "gpt-nano", "n_head": None}},  # which has three heads
    ],
)
def test_mingpt_heads_stand_in_the_config_of_its_projects(config: dict[str, Any]) -> None:
    twin = NaiveGPT(tanh=True, masked=True, tied=False)
    state = twin.state_dict()
    contents = contents_of(state, **{"config.json": config})
    agrees(filled(mingpt.recognise(contents), state), twin)


@pytest.mark.parametrize("kept", ["lm_head.weight", "transformer.wte.weight"])
def test_safetensors_keeps_one_of_two_tied_tensors(kept: str) -> None:
    twin = NaiveGPT(tanh=False, masked=False, tied=True)
    dropped = {"lm_head.weight", "transformer.wte.weight"} - {kept}
    state = {name: tensor for name, tensor in twin.state_dict().items() if name not in dropped}
    layout = nanogpt.recognise(contents_of(state))
    agrees(filled(layout, state, n_head=HEADS, activation="gelu"), twin)


@pytest.mark.parametrize(
    ("config", "chosen"),
    [
        ({"activation_function": "gelu_new"}, {}),
        ({"activation_function": "gelu", "layer_norm_epsilon": 0.01, "n_inner": 5}, {}),
        ({"activation_function": "relu", "tie_word_embeddings": False}, {}),
        (None, {"n_head": HEADS, "activation": "gelu_tanh"}),
    ],
)
@pytest.mark.parametrize("bare", [True, False])
def test_gpt2_of_transformers_gives_the_same_logits(
    config: dict[str, Any] | None, chosen: dict[str, Any], bare: bool
) -> None:
    transformers = import_module("transformers")
    sizes = {"vocab_size": VOCAB, "n_positions": LONGEST, "n_embd": WIDTH, "n_layer": LAYERS}
    settings = transformers.GPT2Config(
        **sizes, n_head=HEADS, bos_token_id=0, eos_token_id=0, initializer_range=0.3, **config or {}
    )
    original = transformers.GPT2LMHeadModel(settings).double().eval()
    for parameter in original.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = original.state_dict()
    mask = torch.ones(1, 1, LONGEST, LONGEST).tril().bool()
    for layer in range(LAYERS):  # as files of transformers before 4.29 have them
        state[f"transformer.h.{layer}.attn.bias"] = mask
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    if bare and settings.tie_word_embeddings:
        del state["lm_head.weight"]
        state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    beside = {"config.json": settings.to_dict()} if config else {}
    contents = contents_of(state, **beside)
    assert nanogpt.recognise(contents) is None
    assert mingpt.recognise(contents) is None
    model = filled(gpt2.recognise(contents), state, **chosen)
    with torch.no_grad():
        expected = original(TOKENS, use_cache=False).logits
        torch.testing.assert_close(model(TOKENS), expected, rtol=1e-10, atol=1e-10)


def transposed_state() -> dict[str, Tensor]:
    twin = NaiveGPT(tanh=True, masked=False, tied=True).state_dict()
    linear = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return {name: t.T if name.endswith(linear) else t for name, t in twin.items()}


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({"activation_function": "quick_gelu"}, "activation_function='quick_gelu'"),
        ({"activation_function": ["gelu"]}, "activation_function=['gelu']"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon='small'"),
    ],
)
def test_a_gpt2_with_other_arithmetic_is_only_named(config: dict[str, Any], missing: str) -> None:
    answer = gpt2.recognise(contents_of(transposed_state(), **{"config.json": config}))
    assert isinstance(answer, Named)
    assert answer.missing == f"a template with {missing}"


def others() -> dict[str, dict[str, Tensor]]:
    """Files that are nearly one of these, and are not."""
    state = NaiveGPT(tanh=False, masked=False, tied=True).state_dict()
    block = "transformer.h.1."
    return {
        "cross attention": state | {f"{block}crossattention.c_attn.weight": torch.ones(24, 12)},
        "a relative table": state | {f"{block}attn.relative_bias": torch.ones(3, 31)},
        "a bias of attention that is no mask": state | {f"{block}attn.bias": torch.ones(12)},
        "a mask that is not square": state | {f"{block}attn.bias": torch.ones(1, 1, 16, 15)},
        "a score head": state | {"score.weight": torch.ones(2, WIDTH)},
        "one bias missing": {n: t for n, t in state.items() if n != f"{block}ln_2.bias"},
        "a missing layer": {n: t for n, t in state.items() if ".h.0." not in n},
        "no positions": {n: t for n, t in state.items() if "wpe" not in n},
        "grouped queries": state | {f"{block}attn.c_attn.weight": torch.ones(20, WIDTH)},
        "a flat table": state | {"transformer.wpe.weight": torch.ones(LONGEST)},
        "an empty table": state | {"transformer.wpe.weight": torch.ones(0, WIDTH)},
        "both names of a tensor": state | {"wte.weight": torch.ones(VOCAB, WIDTH)},
        "flat queries": state | {"transformer.h.0.attn.c_attn.weight": torch.ones(36)},
        "nothing": {},
    }


@pytest.mark.parametrize("what", others())
def test_what_is_something_else_is_not_claimed(what: str) -> None:
    contents = contents_of(others()[what])
    assert [layout.recognise(contents) for layout in (nanogpt, mingpt, gpt2)] == [None] * 3


def test_another_model_with_the_same_names_is_not_claimed() -> None:
    config = {"config.json": {"model_type": "imagegpt"}}
    assert gpt2.recognise(contents_of(transposed_state(), **config)) is None


def test_heads_that_are_not_said_are_about_64_wide_first() -> None:
    width = 768
    state = {
        name: torch.empty(
            [{VOCAB: VOCAB, LONGEST: LONGEST}.get(n, n * width // WIDTH) for n in tensor.shape],
            device="meta",
        )
        for name, tensor in NaiveGPT(tanh=False, masked=False, tied=True).state_dict().items()
    }
    specs = {
        n: TensorSpec("float32", tuple(t.shape), t.stride(), Span(Path(n), 0, 0))
        for n, t in state.items()
    }
    layout = nanogpt.recognise(Contents(Path(), "", 0, specs))
    assert isinstance(layout, Layout)
    heads = next(unknown for unknown in layout.unknowns if unknown.name == "n_head")
    assert heads.candidates[0] == 12
    assert len(heads.candidates) == 12
    assert {6, 8, 16, 24} <= set(heads.candidates)


@pytest.mark.parametrize("wrong", [5, 0, True, "3", [3]])
def test_heads_that_cannot_be_are_not_believed(wrong: Any) -> None:
    state = NaiveGPT(tanh=False, masked=False, tied=True).state_dict()
    layout = nanogpt.recognise(contents_of(state, model_args={"n_head": wrong}))
    assert isinstance(layout, Layout)
    assert "n_head" in {unknown.name for unknown in layout.unknowns}


def test_heads_of_a_pickled_model_are_an_attribute_of_its_modules() -> None:
    state = NaiveGPT(tanh=False, masked=False, tied=True).state_dict()
    attention = Module("model.CausalSelfAttention", {"n_head": HEADS, "dropout": 0.0})
    modules = {f"transformer.h.{n}.attn": attention for n in range(LAYERS)}
    layout = nanogpt.recognise(contents_of(state, modules=modules))
    assert isinstance(layout, Layout)
    assert layout.stated == {"n_head": HEADS}
    modules["transformer.h.1.attn"] = Module("model.CausalSelfAttention", {"n_head": 4})
    layout = nanogpt.recognise(contents_of(state, modules=modules))
    assert isinstance(layout, Layout)
    assert layout.stated == {}


def test_longer_input_than_learned_positions_is_refused_clearly() -> None:
    twin = NaiveGPT(tanh=False, masked=False, tied=True)
    state = twin.state_dict()
    layout = nanogpt.recognise(contents_of(state))
    model = filled(layout, state, n_head=HEADS, activation="gelu")
    with pytest.raises(IndexError, match="17 tokens exceeds the 16 learned positions"):
        model(torch.zeros(1, LONGEST + 1, dtype=torch.long))


@pytest.mark.parametrize(("choice", "message"), [
    ({"n_head": 5}, "no attention of width 12 has 5 heads; expected a divisor of 12"),
    ({"activation": "swish"}, "unknown activation 'swish'; expected one of gelu, gelu_tanh, relu"),
])  # fmt: skip
def test_choices_that_do_not_exist_are_refused(choice: dict[str, Any], message: str) -> None:
    sizes = {"vocab_size": 5, "n_positions": 5, "n_embd": WIDTH, "n_layer": 1}
    with pytest.raises(UsageError, match=message):
        GPT(**({"n_head": HEADS} | sizes | choice))
