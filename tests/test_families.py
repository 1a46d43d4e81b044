"""Random models of transformers go through all checks: each measures, or says why not."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

import seqprobe
from seqprobe.models.sequence_model import SequenceModel

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")
SYMBOLS, WIDTH, LENGTH = 11, 16, 24
ANY = {
    "vocab_size": SYMBOLS, "hidden_size": WIDTH, "num_hidden_layers": 2, "pad_token_id": 0,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
LLAMA = {"intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1}
GEMMA = {**LLAMA, "num_hidden_layers": 3, "lru_width": WIDTH, "attention_window_size": 8}
NO_ATTENTION = {"attention": "no attention was found: no call of it, and no softmax over positions"}
NO_RECURRENCE = {"weights": "no nn.RNN, nn.LSTM or nn.GRU inside that runs over all steps once"}
AHEAD = dict.fromkeys(
    ("context", "order"),
    "the model looks ahead: a prediction without its past would lack what follows it too",
)
GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 128}
UNTOLD = "the form cannot be told"
MODELS: dict[str, tuple[dict[str, Any], str, str, dict[str, str]]] = {
    "mamba": ({"state_size": 4}, "state space", ": step by step", NO_ATTENTION),
    "rwkv": ({}, "state space", ": step by step", NO_ATTENTION),
    "llama": (LLAMA, "attention", ": all at once", {}),
    "gpt2": (GPT2, "attention", ": all at once", {}),
    "bert": (LLAMA | {"max_position_embeddings": 128}, "attention", ": all at once", AHEAD),
    "recurrent_gemma": (GEMMA, "hybrid (state space, attention)", UNTOLD, {}),
}


class Logits(nn.Module):
    def __init__(self, name: str, config: dict[str, Any]) -> None:
        super().__init__()
        masked = name == "bert"
        made: Callable[..., Any] = (
            transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        )
        self.model = made.from_config(transformers.AutoConfig.for_model(name, **ANY | config))
        self.given = {} if masked else {"use_cache": False}

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model(tokens, **self.given).logits
        return logits


@pytest.mark.parametrize("name", MODELS)
def test_every_check_measures_or_says_why_not(name: str) -> None:
    config, family, form, reasons = MODELS[name]
    model = SequenceModel(Logits(name, config))
    report = seqprobe.analyze(model, data="synthetic:iid", length=LENGTH, limit=8, distance=4)
    assert [check for check in report.checks if check.status in ("error", "not run")] == []
    refused = {c.id: c.headline for c in report.checks if c.status == "not applicable"}
    assert refused == {check: f"{why}." for check, why in (reasons | NO_RECURRENCE).items()}
    assert report.model.family == family
    assert form in report["sequential-depth"].headline
