"""Files of litgpt: the outputs are those of transformers with the same weights."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from torch import Tensor, nn
from twins import claimed, filled

from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import litgpt
from seqprobe.checkpoints.layouts.layout import Named
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates.rotary import rotated

State = dict[str, Tensor]
VOCAB, WIDTH, HIDDEN = 31, 16, 24
TOKENS = torch.randint(VOCAB, (2, 40), generator=torch.Generator().manual_seed(1))
SIZES = {
    "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": HIDDEN,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
COMMON = {  # what litgpt writes for all families
    "name": "own", "block_size": 64, "n_layer": 2, "n_embd": WIDTH, "n_head": 4,
    "intermediate_size": HIDDEN, "vocab_size": VOCAB, "padded_vocab_size": VOCAB,
    "padding_multiple": 1, "head_size": 4, "norm_1": True, "norm_2": True, "n_expert": 0,
    "sliding_window_size": None, "rope_adjustments": None, "norm_qk": False, "norm_eps": 1e-5,
}  # fmt: skip
LLAMA = {
    "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "bias": False,
    "rotary_percentage": 1.0, "parallel_residual": False,
}  # fmt: skip
LLAMA_NAMES = {
    r"model\.embed_tokens": "transformer.wte",
    r"model\.norm": "transformer.ln_f",
    r"model\.layers": "transformer.h",
    "input_layernorm": "norm_1",
    "post_attention_layernorm": "norm_2",
    r"self_attn\.o_proj": "attn.proj",
    "gate_proj": "fc_1",
    "up_proj": "fc_2",
    "down_proj": "proj",
}
NEOX_NAMES = {
    r"gpt_neox\.embed_in": "transformer.wte",
    r"gpt_neox\.final_layer_norm": "transformer.ln_f",
    r"gpt_neox\.layers": "transformer.h",
    "input_layernorm": "norm_1",
    "post_attention_layernorm": "norm_2",
    r"attention\.query_key_value": "attn.attn",
    r"attention\.dense": "attn.proj",
    "dense_h_to_4h": "fc",
    "dense_4h_to_h": "proj",
}
PHI_NAMES = {
    r"model\.embed_tokens": "transformer.wte",
    r"model\.final_layernorm": "transformer.ln_f",
    r"model\.layers": "transformer.h",
    "input_layernorm": "norm_1",
    r"self_attn\.dense": "attn.proj",
    "fc1": "fc",
    "fc2": "proj",
}


@dataclass(frozen=True)
class Case:
    """A family in transformers, its options there, and the same options in litgpt."""

    family: str
    there: dict[str, Any]
    config: dict[str, Any]
    names: dict[str, str]


CASES = {
    "llama, grouped": Case(
        "llama",
        {"num_key_value_heads": 2, "rms_norm_eps": 1e-3},
        LLAMA | {"n_query_groups": 2, "norm_eps": 1e-3},
        LLAMA_NAMES,
    ),
    "llama, one group, other base": Case(
        "llama",
        {"num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
        LLAMA | {"n_query_groups": 1, "rope_base": 77},
        LLAMA_NAMES,
    ),
    "llama 3": Case(
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
        LLAMA
        | {
            "rope_base": 10,
            "rope_adjustments": {
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_seq_len": 32,
            },
        },
        LLAMA_NAMES,
    ),
    "positions four times as dense": Case(
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
        LLAMA | {"rope_condense_ratio": 4},
        LLAMA_NAMES,
    ),
    "all pairs four times as slow": Case(
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
        LLAMA | {"rope_adjustments": {"factor": 4.0}},
        LLAMA_NAMES,
    ),
    "qwen, biases on queries, keys and values": Case(
        "qwen2", {"num_key_value_heads": 2}, LLAMA | {"n_query_groups": 2, "attn_bias": True},
        LLAMA_NAMES,
    ),
    "gemma": Case(
        "gemma",
        {"head_dim": 8, "num_key_value_heads": 1},
        LLAMA
        | {
            "name": "Gemma-2b",
            "head_size": 8,
            "n_query_groups": 1,
            "mlp_class_name": "GemmaMLP",
            "gelu_approximate": "tanh",
            "scale_embeddings": True,
        },
        LLAMA_NAMES,
    ),
    "neox, side by side": Case("gpt_neox", {}, {"rotary_percentage": 0.5}, NEOX_NAMES),
    "neox, one after the other": Case(
        "gpt_neox",
        {"use_parallel_residual": False},
        {"rotary_percentage": 0.5, "parallel_residual": False},
        NEOX_NAMES,
    ),
    "phi, one norm": Case(
        "phi",
        {"hidden_act": "gelu_new"},
        {
            "rotary_percentage": 0.5,
            "shared_attention_norm": True,
            "lm_head_bias": True,
            "gelu_approximate": "tanh",
        },
        PHI_NAMES,
    ),
}  # fmt: skip
NEOX_ROTARY = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}


def original(case: Case) -> nn.Module:
    """With weights large enough that everything matters."""
    rotary = {} if case.family in {"llama", "qwen2", "gemma"} else {"rope_parameters": NEOX_ROTARY}
    options = {**SIZES, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, **rotary, **case.there}
    config = transformers.AutoConfig.for_model(case.family, **options)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def renamed(state: State, names: dict[str, str]) -> State:
    """The names of litgpt; queries, keys and values in one tensor."""
    together = re.compile(r"self_attn\.([qkv])_proj")
    out: State = {}
    for name, tensor in state.items():
        place = together.sub("attn.qkv", name)
        for old, new in names.items():
            place = re.sub(old, new, place)
        out[place] = (
            torch.cat([out[place], tensor]) if together.search(name) and place in out else tensor
        )
    return out


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """As litgpt writes them: a folder of two files."""

    def write(state: Any, config: dict[str, Any] | None) -> Path:
        torch.save(state, tmp_path / "lit_model.pth")
        if config is not None:
            (tmp_path / "model_config.yaml").write_text(yaml.dump(config))
        return tmp_path

    return write


def rebuilt(path: Path) -> nn.Module:
    contents = read(path)
    layout = claimed(litgpt.recognise(contents))
    assert (layout.name, layout.vocab_size, layout.trained_length) == ("litgpt", VOCAB, 64)
    assert not layout.ignored
    return filled(layout, fetch_all(contents.weights))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_of_the_original(case: Case, written: Callable[..., Path]) -> None:
    model = original(case)
    path = written(renamed(model.state_dict(), case.names), COMMON | case.config)
    torch.testing.assert_close(rebuilt(path)(TOKENS), model(TOKENS).logits, atol=1e-6, rtol=1e-5)


def test_queries_keys_and_values_in_the_new_order(written: Callable[..., Path]) -> None:
    case = CASES["neox, side by side"]
    model = original(case)
    state = {
        name.replace("attn.attn", "attn.qkv"): tensor.unflatten(0, (4, 3, 4))
        .transpose(0, 1)
        .flatten(0, 2)
        if "attn.attn" in name
        else tensor
        for name, tensor in renamed(model.state_dict(), case.names).items()
    }
    path = written({"model": state, "iter_num": 3}, COMMON | case.config)
    torch.testing.assert_close(rebuilt(path)(TOKENS), model(TOKENS).logits, atol=1e-6, rtol=1e-5)


def test_groups_in_the_old_order(written: Callable[..., Path]) -> None:
    """Each group's queries, then its key and its value."""
    case = CASES["llama, grouped"]
    model, width = original(case), 4
    state = {}
    for name, tensor in renamed(model.state_dict(), case.names).items():
        heads = list(tensor.split(width))  # of 4 queries, 2 keys, 2 values
        old = [heads[n] for n in (0, 1, 4, 6, 2, 3, 5, 7)] if "attn.qkv" in name else [tensor]
        state[name.replace("attn.qkv", "attn.attn")] = torch.cat(old)
    module = rebuilt(written(state, COMMON | case.config))
    torch.testing.assert_close(module(TOKENS), model(TOKENS).logits, atol=1e-6, rtol=1e-5)


def test_norms_without_weights(written: Callable[..., Path]) -> None:
    """As OLMo's: each row has mean zero and variance one."""
    settings = COMMON | {"name": "OLMo-1B", "bias": False, "rotary_percentage": 1.0}
    state = {
        name: tensor
        for name, tensor in renamed(
            original(CASES["neox, side by side"]).state_dict(), NEOX_NAMES
        ).items()
        if "norm" not in name and "ln_f" not in name and not name.endswith("bias")
    }
    module = rebuilt(written(state, settings))
    seen = module.get_submodule("transformer.ln_f")(torch.randn(3, 5, WIDTH) * 4 + 2)
    torch.testing.assert_close(seen.mean(-1), torch.zeros(3, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.var(-1, correction=0), torch.ones(3, 5), atol=1e-4, rtol=0)


def refused(path: Path) -> Named:
    found = litgpt.recognise(read(path))
    assert isinstance(found, Named), found
    return found


def test_without_its_configuration(written: Callable[..., Path]) -> None:
    case = CASES["llama, grouped"]
    found = refused(written(renamed(original(case).state_dict(), case.names), None))
    assert "heads, rotary positions and the order of residuals" in found.missing
    assert found.do == "Put model_config.yaml beside the weights."


@pytest.mark.parametrize(
    "option",
    [
        {"sliding_window_size": 32},
        {"norm_qk": True},
        {"final_logit_softcapping": 30.0},
        {"norm_1": False},
        {"mlp_class_name": "LLaMAMoE"},
        {"norm_class_name": "Norm"},
        {"rope_adjustments": {"factor": 2.0, "beta_fast": 32.0}},
        {"of_the_future": "yes"},
        {"n_head": "four"},
        {"n_query_groups": 3},
        {"shared_attention_norm": True},
        {"rotary_percentage": 0.25},
        {"norm_eps": -1.0},
    ],
    ids=str,
)
def test_options_that_are_not_rebuilt_are_named(
    option: dict[str, Any], written: Callable[..., Path]
) -> None:
    case = CASES["llama, grouped"]
    state = renamed(original(case).state_dict(), case.names)
    found = refused(written(state, COMMON | case.config | option))
    name, value = next(iter(option.items()))
    assert found.missing.startswith(f"a way to rebuild its option {name}: ")
    assert isinstance(value, dict) or found.missing.endswith(f": {value}")
    assert "litgpt convert_from_litgpt" in found.do


@pytest.mark.parametrize(
    "wrong",
    [{"n_head": 8}, {"head_size": 8}, {"n_query_groups": 4}, {"mlp_class_name": "GptNeoxMLP"},
     {"norm_class_name": "LayerNorm"}],
    ids=str,
)  # fmt: skip
def test_a_configuration_of_other_weights(
    wrong: dict[str, Any], written: Callable[..., Path]
) -> None:
    case = CASES["llama, grouped"]
    state = renamed(original(case).state_dict(), case.names)
    found = refused(written(state, COMMON | case.config | wrong))
    assert found.missing == "a model_config.yaml that fits its weights"


def test_every_tensor_counts(written: Callable[..., Path]) -> None:
    case = CASES["llama, grouped"]
    state = renamed(original(case).state_dict(), case.names)
    assert refused(written({**state, "more": torch.ones(3)}, COMMON | case.config))
    state.pop("transformer.h.1.norm_2.weight")
    assert refused(written(state, COMMON | case.config))


def test_pairs_turn_as_complex_numbers_do() -> None:
    """The third pair stays; angles stay exact at late positions in half precision too."""
    steps = torch.tensor([1.0, 0.01])
    x = torch.randn(1, 2, 3000, 6)
    angles = torch.outer(torch.arange(3000.0), steps).double()
    turned = torch.complex(x[..., :2], x[..., 2:4]) * torch.polar(torch.ones_like(angles), angles)
    wanted = torch.cat((turned.real, turned.imag, x[..., 4:]), dim=-1).float()
    torch.testing.assert_close(rotated(x, steps), wanted, atol=1e-5, rtol=0)
    rough = rotated(x.bfloat16(), steps).float()
    torch.testing.assert_close(rough, wanted, atol=0.06, rtol=0.02)
