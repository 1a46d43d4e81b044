"""What is only named: each by its own signs, and nothing that can be rebuilt."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.layouts import named, recurrent
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.layouts.signs import Evidence
from seqprobe.checkpoints.layouts.unknown import unknown
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates import gpt, mamba
from seqprobe.checkpoints.tensors import Span, TensorSpec, contiguous

Shape = tuple[int, ...]
MATRIX: Shape = (4, 4)
PLAIN = ["layers.0.norm.weight", "layers.0.out.weight", "layers.0.out.bias"]


def contents(names: Iterable[str] | dict[str, Shape], **more: Any) -> Contents:
    shapes = names if isinstance(names, dict) else dict.fromkeys(names, MATRIX)
    weights = {
        name: TensorSpec("float32", shape, contiguous(shape), Span(Path("model.pt"), at, 64))
        for at, (name, shape) in enumerate(shapes.items())
    }
    return Contents(Path("model.pt"), "torch.save (zip)", 1, weights, **more)


SIGNS: dict[str, list[str]] = {
    "quantised weights": ["layers.0.q.qweight", "layers.0.q.scales"],
    "adapter (LoRA or the like)": ["layers.0.q.lora_A.weight", "layers.0.q.lora_B.weight"],
    "OpenNMT-py checkpoint": ["encoder.embeddings.make_embedding.emb_luts.0.weight"],
    "speechbrain checkpoint": ["embedding.Embedding.weight", "rnn.rnn.weight_ih_l0"],
    "ELMo (AllenNLP)": ["forward_layer_0.input_linearity.weight"],
    "AllenNLP model": ["_text_field_embedder.token_embedder_tokens.weight"],
    "RNN transducer (torchaudio, icefall, ..)": ["transcriber.input_linear.weight", "joiner.w"],
    "x-transformers model": ["attn_layers.layers.0.0.g", "attn_layers.layers.0.1.to_q.weight"],
    "RWKV-7": ["blocks.0.att.x_r", "blocks.0.att.r_k", "blocks.0.ffn.x_k"],
    "RWKV-6": ["blocks.0.att.time_maa_x", "blocks.0.att.time_faaaa"],
    "RWKV-5": ["blocks.0.att.time_decay", "blocks.0.att.time_faaaa"],
    "RWKV-4": ["blocks.0.att.time_decay", "blocks.0.att.time_first"],
    "Mamba-2": ["backbone.layers.0.mixer.A_log", "backbone.layers.0.mixer.dt_bias"],
    "Mamba with other parts (Jamba, Vim, ..)": ["layers.0.mamba.A_log"],
    "S4 or S4D": ["layers.0.kernel.log_dt", "layers.0.kernel.C"],
    "Llama in Meta's own format": ["tok_embeddings.weight", "layers.0.attention.wq.weight"],
    "T5 or a relative": ["encoder.block.0.layer.0.SelfAttention.q.weight"],
    "BART or a relative (Marian, M2M, fairseq)": ["decoder.layers.0.encoder_attn.k_proj.weight"],
    "encoder and decoder of attention": ["decoder.layers.0.multihead_attn.in_proj_weight"],
    "diffusion model": ["down_blocks.0.resnets.0.conv1.weight", "unet.up_blocks.0.x.weight"],
    "Transformer of images": ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"],
    "wav2vec 2.0 or a relative": ["feature_extractor.conv_layers.0.conv.weight"],
    "BERT or a relative": [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.0.attention.self.query.weight",
    ],
    "Transformer with the names of transformers": [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "lm_head.weight",
    ],
    "weights of Keras or Flax": ["lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0"],
    "AWD-LSTM of QRNN layers": ["rnns.0.module.linear.weight_raw", "rnns.0.linear.bias"],
    "pytorch-forecasting model": ["static_variable_selection.flattened_grn.fc1.weight"],
    "encoder and decoder of recurrent layers": [
        "encoder.rnn.weight_ih_l0",
        "decoder.rnn.weight_ih_l0",
    ],
}
STANDING_BESIDE: dict[str, dict[str, Any]] = {
    "adapter (LoRA or the like)": {"adapter_config.json": {"peft_type": "PREFIX"}},
    "fairseq checkpoint": {"args": {"arch": "lstm_lm"}, "extra_state": {"epoch": 3}},
    "speechbrain checkpoint": {"CKPT.yaml": {"WER": 2.5}},
    "darts forecaster": {"hyper_parameters": {"input_chunk_length": 24}},
    "pytorch-forecasting model": {"hyper_parameters": {"dataset_parameters": {}}},
}
SHAPES: dict[str, dict[str, Shape]] = {
    "model of images": {"conv1.weight": (64, 3, 7, 7), "fc.weight": (10, 64)},
    "convolutions over time (as in wav2letter or a TCN)": {
        "acoustic_model.0.weight": (250, 1, 48),
        "acoustic_model.2.weight": (250, 250, 7),
    },
}


def asked(name: str) -> Named:
    return next(entry for _, entry in named.KNOWN if entry.name == name)


def test_every_entry_is_tested() -> None:
    tested = {*SIGNS, *STANDING_BESIDE, *SHAPES, "DeepSpeed checkpoint"}
    assert {entry.name for _, entry in named.KNOWN} == tested


@pytest.mark.parametrize("name", SIGNS)
def test_known_by_the_names_of_tensors(name: str) -> None:
    found = named.recognise(contents([*PLAIN, *SIGNS[name]]))
    assert found is not None
    assert found.name == name
    assert found.missing
    assert found.do.endswith(".")


@pytest.mark.parametrize("name", SIGNS)
def test_also_within_another_module(name: str) -> None:
    """As a LightningModule or DistributedDataParallel holds them."""
    found = named.recognise(contents([f"module.model.{each}" for each in [*PLAIN, *SIGNS[name]]]))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", STANDING_BESIDE)
def test_known_by_what_stands_beside(name: str) -> None:
    assert named.recognise(contents(PLAIN)) is None
    found = named.recognise(contents(PLAIN, beside=STANDING_BESIDE[name]))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", SHAPES)
def test_known_by_shapes(name: str) -> None:
    found = named.recognise(contents(SHAPES[name]))
    assert found is not None
    assert found.name == name


def test_shards_of_deepspeed_hold_no_numbers() -> None:
    beside = {"ds_version": "0.16", "dp_world_size": 4}
    hollow = named.recognise(contents({"layers.0.weight": (0,)}, beside=beside))
    assert hollow is not None
    assert "zero_to_fp32.py" in hollow.do
    assert named.recognise(contents(PLAIN, beside=beside)) is None


def test_quantised_kinds_of_tensors() -> None:
    spec = TensorSpec("qint8", MATRIX, contiguous(MATRIX), Span(Path("model.pt"), 0, 16))
    found = named.recognise(Contents(Path("model.pt"), "torch.save (zip)", 1, {"fc.weight": spec}))
    assert found is not None
    assert found.name == "quantised weights"


@pytest.mark.parametrize("name", [name for name in SIGNS if "config.json" in asked(name).missing])
def test_a_configuration_that_is_there_is_not_asked_for(name: str) -> None:
    assert named.recognise(contents(SIGNS[name], beside={"config.json": {}})) is None


def test_masks_and_positions_are_no_convolutions() -> None:
    positions: dict[str, Shape] = {"pos_encoder.pe": (64, 1, 16), "positions": (1, 64, 16)}
    assert named.recognise(contents({**positions, "embedding.weight": (31, 16)})) is None
    masks = {f"h.{n}.attn.bias": (1, 1, 64, 64) for n in range(12)}
    assert named.recognise(contents({**masks, "wte.weight": (31, 16)})) is None


def test_a_name_of_a_million_letters_is_not_searched() -> None:
    long = contents(["encoder." * 200_000, *PLAIN], beside={"args." * 200_000: 1})
    assert max(map(len, f"{Evidence(long).names} {Evidence(long).beside}".split())) == 200
    assert named.recognise(long) is None


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(31, 8)
        self.rnn = nn.LSTM(8, 8, 2)
        self.decoder = nn.Linear(8, 31)


class Forecaster(nn.Module):
    """As in darts."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 8)
        self.V = nn.Linear(8, 1)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", torch.zeros(64, 1, 8))
        self.embedding = nn.Embedding(31, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.decoder = nn.Linear(8, 31)


GPT = gpt.GPT(vocab_size=31, n_positions=8, n_embd=8, n_layer=2, n_head=2)
MAMBA = mamba.Mamba(vocab_size=31, width=8, layers=2, inner=8, state=2, kernel=3, rank=1)
LITGPT = [
    "lm_head.weight", "transformer.wte.weight", "transformer.h.0.norm_1.weight",
    "transformer.h.0.attn.qkv.weight", "transformer.h.0.attn.proj.weight",
    "transformer.h.0.mlp.fc_1.weight", "transformer.ln_f.weight",
]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        [f"model.{name}" for name in Encoder().state_dict()],
        list(GPT.state_dict()),
        [f"_orig_mod.transformer.{name}" for name in GPT.state_dict()],
        LITGPT,
        ["encoder.weight", "rnns.0.module.weight_hh_l0_raw", "rnns.0.weight_ih_l0", "decoder.bias"],
        ["encoder.weight", "rnn.weight_ih_l0", "proj.weight", "decoder.weight"],
        ["embedding.weight", "lstm.weight_ih_l0_reverse", "attention.weight", "fc.weight"],
        ["tok_emb.weight", "blocks.0.attn.c_attn.weight", "blocks.0.mlp.0.weight", "head.weight"],
    ],
    ids=lambda names: next(iter(names)),
)
def test_what_can_be_rebuilt_is_not_caught(names: Iterable[str]) -> None:
    assert named.recognise(contents(names)) is None


@pytest.mark.parametrize(
    "model", [Recurrent(), Forecaster(), Encoder(), MAMBA], ids=lambda model: type(model).__name__
)
def test_shapes_of_what_can_be_rebuilt(model: nn.Module) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert named.recognise(contents(shapes)) is None


def test_real_files(tmp_path: Path) -> None:
    """A Transformer of two parts is named; a recurrent model is left to its layout."""
    torch.save(nn.Transformer(8, 2, 1, 1, 16, batch_first=True).state_dict(), tmp_path / "two.pt")
    found = named.recognise(read(tmp_path / "two.pt"))
    assert found is not None
    assert found.name == "encoder and decoder of attention"
    torch.save({"state_dict": Recurrent().state_dict()}, tmp_path / "one.pt")
    assert named.recognise(read(tmp_path / "one.pt")) is None
    assert isinstance(recurrent.recognise(read(tmp_path / "one.pt")), Layout)


def test_the_last_resort_says_what_was_seen() -> None:
    found = unknown(contents({"emb.weight": (31, 8), "rnn.weight_hh": (8, 8), "z": (3,), "y": ()}))
    assert found == Named(
        "unknown model with recurrent layers and an embedding",
        "its architecture (4 tensors, the first emb.weight (31, 8), rnn.weight_hh (8, 8), z (3,))",
        "Say what builds it: --model pkg.module:factory [--set name=value].",
    )
    assert unknown(contents(["w"])).name == "unknown model"


def test_the_last_resort_names_the_class_of_a_pickled_model() -> None:
    found = unknown(contents(["w"], modules={"": Module("own.models.Net", {})}))
    assert found.name == "pickled own.models.Net"
    assert "--model own.models:Net [--set name=value]" in found.do


def test_recognition_needs_neither_torch_nor_numpy() -> None:
    layouts = "litgpt, mamba, huggingface, named, unknown"
    code = (
        f"import sys; from seqprobe.checkpoints.layouts import {layouts}; "
        "print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
