"""Caches of the transformers library, tiny and random: bytes by closed form, chunks as one pass."""

import json
from typing import Any

import pytest
from torch import nn

from seqprobe.checkpoints.templates.huggingface import HuggingFace
from seqprobe.models.carrying import Carrying
from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.carry_over import CarryOver

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
SHAPE = {"vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 2}
NO_TOKENS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
HEADS = {"intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
SSM = {f"mamba_{k}": v for k, v in {"n_heads": 4, "d_head": 8, "d_state": 6, "n_groups": 1}.items()}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
KEYS = 2 * 2 * 4
"""Keys and values of two heads of width 4, per token and layer of attention."""
MAMBA = 32 * 4 + 32 * 4
"""States of 4 for each of 32 channels, and the 4 inputs in the window of each."""
MAMBA2 = 4 * 8 * 6 + (32 + 2 * 6) * 4
"""Of 4 heads of width 8, states of 6; and windows, also of what goes into and out of states."""
MODELS: dict[str, tuple[dict[str, Any], int, int, bool]] = {
    "mamba": (SHAPE | {"state_size": 4}, 2 * MAMBA, 0, True),
    "mamba2": (
        SHAPE | {"num_heads": 4, "head_dim": 8, "state_size": 6, "n_groups": 1, "chunk_size": 8},
        2 * MAMBA2, 0, False,
    ),
    "rwkv": (SHAPE, 2 * 5 * 16, 0, False),
    "xlstm": (
        SHAPE | {"hidden_size": 64, "num_heads": 2, "qk_dim_factor": 1.0, "chunk_size": 8},
        2 * 2 * (32 * 32 + 32 + 1), 0, False,
    ),
    "gpt2": ({"vocab_size": 11, "n_embd": 16, "n_layer": 2, "n_head": 4}, 0, 2 * 2 * 16, False),
    "llama": (SHAPE | HEADS, 0, 2 * KEYS, False),
    "jamba": (
        SHAPE | HEADS | EXPERTS | {"mamba_d_state": 4, "use_mamba_kernels": False,
        "attn_layer_period": 2, "attn_layer_offset": 1},
        MAMBA, KEYS, True,
    ),
    "falcon_h1": (
        SHAPE | HEADS | SSM | {"mamba_d_ssm": 32, "mamba_chunk_size": 8},
        2 * MAMBA2, 2 * KEYS, False,
    ),
    "bamba": (
        SHAPE | HEADS | SSM | {"attn_layer_indices": [1], "mamba_chunk_size": 8},
        MAMBA2, KEYS, False,
    ),
    "lfm2": (
        SHAPE | HEADS | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
        16 * 3, KEYS, False,
    ),
    "qwen3_next": (
        SHAPE | HEADS | EXPERTS | {"layer_types": ["linear_attention", "full_attention"],
        "head_dim": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
        "linear_key_head_dim": 4, "linear_value_head_dim": 6, "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 8},
        2 * 4 * 6 + (2 * 4 + 2 * 4 + 2 * 6) * 4, KEYS, False,
    ),
}  # fmt: skip


@pytest.fixture(params=MODELS)
def named(request: pytest.FixtureRequest) -> str:
    transformers.utils.logging.set_verbosity_error()
    name: str = request.param
    return name


def built(name: str, *, live: bool) -> SequenceModel:
    """Given as it is, or as the template of a checkpoint; its weights are large."""
    config = transformers.AutoConfig.for_model(name, **MODELS[name][0], **NO_TOKENS)
    model: nn.Module = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    if live:
        return SequenceModel(model)
    template = HuggingFace(json.loads(config.to_json_string()), type(model).__name__, "next token")
    template.model.load_state_dict(model.state_dict())
    return SequenceModel(template)


@pytest.mark.parametrize("live", [True, False], ids=["live", "template"])
def test_bytes_are_those_of_the_closed_form_and_chunks_are_one_pass(named, live, show):
    _, state, per_token, singly = MODELS[named]
    model = built(named, live=live)
    carried = Costs(model).carried(model.example(1, 24))
    assert (carried.state, carried.per_token) == (4 * state, 4 * per_token)
    assert carried.told_by == "the model's own cache"
    assert Carrying(model).singly == singly
    measured = show(model, CarryOver(), sequences=2, time=24)
    assert measured.metrics["equivalence_error"].value < 1e-4


@pytest.mark.parametrize("use_cache", [True, False])
def test_states_that_modules_keep_inside_do_not_reach_the_next_call(show, use_cache):
    """RecurrentGemma returns none of its states; attention is given a cache that grows."""
    sizes = {"num_hidden_layers": 3, "lru_width": 16, "attention_window_size": 8, "head_dim": 8}
    config = transformers.RecurrentGemmaConfig(
        **SHAPE | HEADS | NO_TOKENS | sizes, use_cache=use_cache
    )
    module = transformers.RecurrentGemmaForCausalLM(config)
    model, inner = SequenceModel(module), module.model.layers[0].temporal_block
    measured = show(model, CarryOver(), sequences=4, time=24).metrics
    assert inner.rg_lru.recurrent_states is not None
    assert measured["call_leakage"].value == measured["row_leakage"].value == 0
    assert measured["equivalence_error"].reason.endswith("every call starts empty")
    assert Costs(model).carried(model.example(1, 24)).state is None
