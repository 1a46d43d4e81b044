"""Language models of the transformers library, tiny and random: followed without a gap."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from seqprobe.models.sequence_model import SequenceModel

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
SYMBOLS, WIDTH, TIME = 11, 16, 13
K = np.arange(TIME)


class Logits(nn.Module):
    def __init__(self, config: Any, **how: Any) -> None:
        super().__init__()
        self.model = transformers.AutoModelForCausalLM.from_config(config, **how)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model(tokens, use_cache=False).logits
        return logits


def gpt2(attention: str) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=SYMBOLS,
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        n_positions=32,
        bos_token_id=0,
        eos_token_id=0,
    )
    return Logits(config, attn_implementation=attention)


def llama(attention: str) -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=SYMBOLS,
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return Logits(config, attn_implementation=attention)


def mamba() -> nn.Module:
    return Logits(
        transformers.MambaConfig(
            vocab_size=SYMBOLS, hidden_size=WIDTH, state_size=4, num_hidden_layers=2
        )
    )


def rwkv() -> nn.Module:
    return Logits(
        transformers.RwkvConfig(vocab_size=SYMBOLS, hidden_size=WIDTH, num_hidden_layers=2)
    )


def tiny(name: str, **more: Any) -> nn.Module:
    """Two layers or three of any architecture, with the short names of sizes that they share."""
    sizes = {
        "vocab_size": SYMBOLS, "hidden_size": WIDTH, "num_hidden_layers": 2, "pad_token_id": 0,
        "bos_token_id": 0, "eos_token_id": 0, "intermediate_size": 24, "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }  # fmt: skip
    return Logits(transformers.AutoConfig.for_model(name, **sizes | more))


ONE_HOP = np.minimum(K, 1)
BY_CONVOLUTION_AND_SCAN = np.min([c + np.maximum(K - 3 * c, 0) for c in range(3)], axis=0)
MODELS: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    "gpt-2, eager": (lambda: gpt2("eager"), ONE_HOP),
    "gpt-2, sdpa": (lambda: gpt2("sdpa"), ONE_HOP),
    "llama, eager": (lambda: llama("eager"), ONE_HOP),
    "llama, sdpa": (lambda: llama("sdpa"), ONE_HOP),
    "mamba": (mamba, BY_CONVOLUTION_AND_SCAN),
    "rwkv": (rwkv, K),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_operator_has_a_rule_and_hops_their_closed_form(name: str) -> None:
    build, hops = MODELS[name]
    model = SequenceModel(build())
    found = model.trace(model.example(1, TIME), range(TIME))
    assert found.without_rule == ()
    assert found.difference < 1e-5
    output, source = np.indices((TIME, TIME))
    expected = np.where(source <= output, hops[np.abs(output - source)], np.inf)
    np.testing.assert_array_equal(found.crossings, expected)
    np.testing.assert_array_equal(np.isfinite(found.operations), source <= output)


FALCON_H1 = {
    "mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 4,
    "mamba_n_groups": 1, "mamba_chunk_size": 8,
}  # fmt: skip
ZAMBA2 = {
    "num_key_value_heads": 2, "hybrid_layer_ids": [1], "layers_block_type": ["mamba", "hybrid"],
    "mamba_d_state": 4, "mamba_headdim": 16, "n_mamba_heads": 2, "mamba_ngroups": 1,
    "chunk_size": 8,
}  # fmt: skip
RECURRENT_GEMMA = {"num_hidden_layers": 3, "lru_width": WIDTH, "attention_window_size": 32}
EXPERTS = {
    "head_dim": 16, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
MIXERS: dict[str, tuple[Callable[[], nn.Module], str, list[str]]] = {
    "mamba": (mamba, "state space", ["0.mixer", "1.mixer"]),
    "rwkv": (
        rwkv,
        "state space",
        [f"{n}.{part}" for n in (0, 1) for part in (
            "attention.time_shift", "attention", "feed_forward.time_shift")],
    ),
    "two mixers side by side": (
        lambda: tiny("falcon_h1", **FALCON_H1),
        "hybrid (state space, attention)",
        ["0.mamba", "0.self_attn", "1.mamba", "1.self_attn"],
    ),
    "a convolution before the recurrence": (
        lambda: tiny("recurrent_gemma", **RECURRENT_GEMMA),
        "hybrid (state space, attention)",
        [
            "0.temporal_block.rg_lru", "0.temporal_block", "1.temporal_block.rg_lru",
            "1.temporal_block", "2.temporal_block",
        ],
    ),
    "a function that rounds by layout": (
        lambda: tiny("zamba2", **ZAMBA2),
        "hybrid (state space, attention)",
        ["0.mamba", "1.shared_transformer.self_attn", "1.mamba_decoder.mamba"],
    ),
    "experts that round by their tokens": (
        lambda: tiny("qwen3_moe", **EXPERTS),
        "attention",
        ["0.self_attn", "1.self_attn"],
    ),
    "cached": (lambda: Cached(mamba()), "state space", ["0.mixer", "1.mixer"]),
}  # fmt: skip


class Cached(nn.Module):
    """As it comes: it keeps a cache, which its layers write to."""

    def __init__(self, logits: nn.Module) -> None:
        super().__init__()
        self.model = logits.model

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model(tokens).logits
        return logits


@pytest.mark.parametrize("name", MIXERS)
def test_mixers_are_the_modules_that_mix_and_no_others(name: str) -> None:
    build, family, paths = MIXERS[name]
    model = SequenceModel(build())
    assert [re.sub(r"^.*?\.(?=\d)", "", mixer.path) for mixer in model.kinds] == paths
    assert model.family == family
    assert model.causal
