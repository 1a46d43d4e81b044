"""Language models of the transformers library, tiny and random: followed without a gap."""

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
