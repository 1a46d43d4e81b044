"""Files of Mamba: the outputs are those of transformers; the scan has closed forms."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import MambaConfig, MambaForCausalLM
from twins import filled

from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import mamba
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates.mamba import scan
from seqprobe.models.carrying import Carrying
from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel

State = dict[str, Tensor]
VOCAB = 31
TOKENS = torch.randint(VOCAB, (2, 40), generator=torch.Generator().manual_seed(1))


def original(**options: Any) -> MambaForCausalLM:
    config = MambaConfig(
        vocab_size=VOCAB, hidden_size=12, state_size=5, num_hidden_layers=2, conv_kernel=3,
        time_step_rank=2, **options,
    )  # fmt: skip
    model = MambaForCausalLM(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(state: State, config: dict[str, Any] | None = None) -> Path:
        torch.save(state, tmp_path / "pytorch_model.bin")
        if config:
            (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write


def claimed(path: Path) -> Layout:
    layout = mamba.recognise(read(path))
    assert isinstance(layout, Layout), layout
    assert (layout.name, layout.vocab_size, layout.unknowns) == ("Mamba", VOCAB, ())
    return layout


def rebuilt(path: Path) -> nn.Module:
    return filled(claimed(path), fetch_all(read(path).weights))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": True, "use_conv_bias": False, "expand": 3},
        {"tie_word_embeddings": False, "layer_norm_epsilon": 0.1},
    ],
    ids=str,
)
def test_outputs_of_the_original(options: dict[str, Any], written: Callable[..., Path]) -> None:
    model = original(**options)
    module = rebuilt(written(model.state_dict(), model.config.to_dict()))
    with torch.no_grad():
        wanted = model(TOKENS).logits
        torch.testing.assert_close(
            module(TOKENS), wanted, atol=1e-6 * float(wanted.abs().max()), rtol=0
        )


def test_the_names_of_its_authors(written: Callable[..., Path]) -> None:
    """Without a configuration; the head is tied, in the file or by being left out."""
    model = original()
    state = {
        name.replace("embeddings", "embedding"): tensor
        for name, tensor in model.state_dict().items()
    }
    with torch.no_grad():
        wanted = model(TOKENS).logits
        assert claimed(written(state)).settings["tied"]
        torch.testing.assert_close(rebuilt(written(state))(TOKENS), wanted, atol=2e-6, rtol=1e-5)
        state.pop("lm_head.weight")
        torch.testing.assert_close(rebuilt(written(state))(TOKENS), wanted, atol=2e-6, rtol=1e-5)


def test_what_has_no_head_is_without_the_prefix(written: Callable[..., Path]) -> None:
    model = original()
    state = model.backbone.state_dict()
    torch.testing.assert_close(
        rebuilt(written(state))(TOKENS), model(TOKENS).logits, atol=2e-6, rtol=1e-5
    )


def test_layer_norms(written: Callable[..., Path]) -> None:
    state = original().state_dict()
    norms = [name for name in state if "norm" in name]
    state |= {name.replace("weight", "bias"): torch.ones(12) for name in norms}
    module = rebuilt(written(state))
    assert isinstance(module.backbone["norm_f"], nn.LayerNorm)


def test_other_models_with_these_names_are_left(written: Callable[..., Path]) -> None:
    state = original().state_dict()
    assert claimed(written(state, {"model_type": "mamba"}))
    others: list[dict[str, Any]] = [
        {"model_type": "falcon_mamba"},
        {"hidden_act": "gelu"},
        {"layer_norm_epsilon": "small"},
    ]
    for config in others:
        assert mamba.recognise(read(written(state, config))) is None, config
    state["backbone.layers.0.mixer.dt_layernorm.weight"] = torch.ones(2)
    assert mamba.recognise(read(written(state))) is None


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


def test_a_state_that_decays_is_a_geometric_series() -> None:
    steps, step, rate = 50, 0.3, 0.7
    ones = torch.ones(1, steps, 1, dtype=torch.float64)
    read_out = scan(ones, step * ones, numbers(-rate)[0], 2 * ones, 5 * ones)
    kept = math.exp(-step * rate)
    wanted = [10 * step * (1 - kept ** (t + 1)) / (1 - kept) for t in range(steps)]
    torch.testing.assert_close(read_out, numbers(*wanted))


def test_a_step_of_its_own_for_each_input() -> None:
    """The first input, seen at the third step, has decayed by both steps after it."""
    x, step = numbers(1, 0, 0), numbers(0.1, 0.2, 0.4)
    into, out_of = numbers(3, 9, 9), numbers(1, 1, 7)
    read_out = scan(x, step, numbers(-1)[0], into, out_of)
    wanted = [0.3, 0.3 * math.exp(-0.2), 7 * 0.3 * math.exp(-0.6)]
    torch.testing.assert_close(read_out, numbers(*wanted))


def test_half_precision_adds_up_in_single() -> None:
    """A thousand steps of 1 are 1,000; a sum in bfloat16 would stop at 256."""
    ones = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    read_out = scan(ones, ones, torch.zeros(1, 1, dtype=torch.bfloat16), ones, ones)
    assert read_out.dtype == torch.bfloat16
    assert read_out[0, -1, 0] == 1000


def test_nothing_comes_from_later(written: Callable[..., Path]) -> None:
    module = rebuilt(written(original().state_dict()))
    changed = TOKENS.clone()
    changed[:, 20] = (changed[:, 20] + 1) % VOCAB
    before, after = module(TOKENS), module(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20], after[:, 20])


def test_what_is_kept_goes_on_in_chunks_of_any_size(written: Callable[..., Path]) -> None:
    """Of each layer, the inputs that its kernel still sees, and the states of all channels."""
    model = SequenceModel(rebuilt(written(original().state_dict())))
    carrying = Carrying(model)
    assert (carrying.argument, carrying.singly) == ("cache", False)
    tokens = model.example(2, 12)
    chunked = carrying.chunked(tokens, [1, 2, 5, 1, 3])
    assert (chunked - model(tokens)).abs().max() < 1e-5
    mixer = model.module.backbone["layers"][0].mixer
    (inner, state), kernel = mixer.A_log.shape, mixer.conv1d.kernel_size[0]
    carried = Costs(model).carried(model.example(1, 16))
    layers = len(model.module.backbone["layers"])
    assert (carried.state, carried.per_token) == (4 * layers * inner * (state + kernel - 1), 0)
