"""Precision and place of models of transformers: as their own `from_pretrained` has it."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import seqprobe
from seqprobe.checkpoints.placing import spread

BERT = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
MAMBA = {
    "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 1, "num_heads": 4, "head_dim": 8,
    "n_groups": 1, "state_size": 4,
}  # fmt: skip
CONFIGS = {"llama": BERT | HEADS, "mamba2": MAMBA}
TOKENS = torch.randint(1, 31, (2, 300), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    config = transformers.AutoConfig.for_model(request.param, **CONFIGS[request.param])
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_the_numbers_are_those_of_from_pretrained(folder: Path, dtype: str) -> None:
    """Over 300 positions: angles rounded to eight bits would be far off."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    ours = seqprobe.load(folder, dtype=dtype)
    with torch.no_grad():
        assert torch.equal(ours(TOKENS), theirs.eval()(TOKENS, use_cache=False).logits)
    assert ours.dtype == getattr(torch, dtype)


def test_spread_by_accelerate_it_is_the_same_model(folder: Path) -> None:
    """All on the CPU, the one device that is always there."""
    pytest.importorskip("accelerate")
    module: nn.Module = seqprobe.load(folder).module
    before = module(TOKENS)
    placed = spread(module, {"cpu": "1GiB"})
    assert set(placed.hf_device_map.values()) == {"cpu"}
    assert torch.equal(placed(TOKENS), before)
