"""Folders written by save_pretrained: read, recognised, rebuilt, and equal to the original."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from twins import filled

from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import huggingface
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.templates.huggingface import HuggingFace
from seqprobe.errors import ModelError

VOCAB, LABELS = 31, 3
TOKENS = torch.randint(1, VOCAB, (2, 20), generator=torch.Generator().manual_seed(1))
GPT2 = {"vocab_size": VOCAB, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}
BERT = {
    "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
DISTILBERT = {
    "vocab_size": VOCAB, "dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
LLAMA = BERT | {"num_key_value_heads": 2}
MODELS = {
    "gpt2": ("gpt2", GPT2, "CausalLM"),
    "llama": ("llama", LLAMA, "CausalLM"),
    "llama, tied": ("llama", LLAMA | {"tie_word_embeddings": True}, "CausalLM"),
    "neox": ("gpt_neox", BERT, "CausalLM"),
    "mamba2": (
        "mamba2",
        {
            "vocab_size": VOCAB, "hidden_size": 16, "num_hidden_layers": 1, "num_heads": 4,
            "head_dim": 8, "n_groups": 1, "state_size": 4,
        },
        "CausalLM",
    ),
    "tags of words": ("bert", BERT, "TokenClassification"),
    "gpt2, one answer": ("gpt2", GPT2 | {"pad_token_id": 0}, "SequenceClassification"),
    "bert, one answer": ("bert", BERT, "SequenceClassification"),
    "distilbert, one answer": ("distilbert", DISTILBERT, "SequenceClassification"),
    "llama, one answer": ("llama", LLAMA | {"pad_token_id": 0}, "SequenceClassification"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def original(family: str, options: dict[str, Any], task: str) -> Any:
    config = transformers.AutoConfig.for_model(family, num_labels=LABELS, **options)
    model = getattr(transformers, f"AutoModelFor{task}").from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """The folder of a model; changes go into its config.json."""

    def save(model: Any, changes: dict[str, Any] | None = None, **options: Any) -> Path:
        model.save_pretrained(tmp_path, **options)
        file = tmp_path / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | (changes or {})))
        return tmp_path

    return save


def claimed(path: Path) -> Layout:
    layout = huggingface.recognise(read(path))
    assert isinstance(layout, Layout), layout
    assert (layout.vocab_size, layout.unknowns) == (VOCAB, ())
    return layout


def rebuilt(path: Path) -> nn.Module:
    return filled(claimed(path), fetch_all(read(path).weights))


def refused(path: Path) -> Named:
    found = huggingface.recognise(read(path))
    assert isinstance(found, Named), found
    return found


@pytest.mark.parametrize("kind", MODELS)
def test_outputs_of_the_original(kind: str, saved: Callable[..., Path]) -> None:
    """A classifier answers at every step as if the text ended there."""
    model = original(*MODELS[kind])
    module = rebuilt(saved(model))
    with torch.no_grad():
        outputs = module(TOKENS)
        if kind.endswith("one answer"):
            wanted = torch.stack([model(TOKENS[:, : t + 1]).logits for t in range(20)], dim=1)
        else:
            wanted = model(TOKENS).logits
    torch.testing.assert_close(outputs, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox"])
def test_shards_and_older_files(family: str, saved: Callable[..., Path], tmp_path: Path) -> None:
    model = original(*MODELS[family])
    sharded = saved(model, max_shard_size="5KB")
    assert (sharded / "model.safetensors.index.json").exists()
    assert torch.equal(rebuilt(sharded)(TOKENS), model(TOKENS).logits)
    older = tmp_path / "older"
    older.mkdir()
    torch.save(model.state_dict(), older / "pytorch_model.bin")
    (older / "config.json").write_text((sharded / "config.json").read_text())
    assert torch.equal(rebuilt(older)(TOKENS), model(TOKENS).logits)


def test_the_file_of_a_folder_sees_its_configuration(saved: Callable[..., Path]) -> None:
    model = original(*MODELS["llama"])
    file = saved(model) / "model.safetensors"
    assert torch.equal(rebuilt(file)(TOKENS), model(TOKENS).logits)


def older(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in the first files of GPT-2: without the base's name, with causal masks."""
    state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    state.pop("lm_head.weight")
    masks = {f"h.{n}.attn.bias": torch.ones(1, 1, 64, 64).tril() for n in range(2)}
    return state | masks | {"h.0.attn.masked_bias": torch.tensor(-1e4)}


def test_older_names(saved: Callable[..., Path]) -> None:
    gpt2 = original(*MODELS["gpt2"])
    folder = saved(gpt2)
    (folder / "model.safetensors").unlink()
    torch.save(older(gpt2.state_dict()), folder / "pytorch_model.bin")
    assert len(claimed(folder).ignored) == 3
    assert torch.equal(rebuilt(folder)(TOKENS), gpt2(TOKENS).logits)
    bert = original(*MODELS["tags of words"])
    bert.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in bert.state_dict().items()
    }
    torch.save(state, folder / "pytorch_model.bin")
    assert torch.equal(rebuilt(folder)(TOKENS), bert(TOKENS).logits)


def test_a_base_in_which_a_part_is_called_like_another_base(saved: Callable[..., Path]) -> None:
    options = {"vocab_size": VOCAB, "dim": 16, "n_layers": 1, "n_heads": 4, "hidden_dim": 24}
    model = original("distilbert", options, "TokenClassification")
    folder = saved(model)
    (folder / "model.safetensors").unlink()
    state = {n.removeprefix("distilbert."): tensor for n, tensor in model.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    assert any(name.startswith("transformer.") for name in state)
    assert torch.equal(rebuilt(folder)(TOKENS), model(TOKENS).logits)


def test_what_the_configuration_tells(saved: Callable[..., Path]) -> None:
    assert claimed(saved(original(*MODELS["gpt2"]))).trained_length == 64
    assert claimed(saved(original(*MODELS["gpt2"]))).name == "transformers GPT2LMHeadModel"
    roberta = original("roberta", BERT, "TokenClassification")
    assert claimed(saved(roberta)).trained_length == 62  # its positions start at 2


@pytest.mark.parametrize(
    ("changes", "missing", "do"),
    [
        ({"auto_map": {"AutoModel": "own.Model"}}, "nothing of a checkpoint is exec", "--model"),
        ({"quantization_config": {"bits": 4}}, "before quantisation", "dequantize"),
        ({"is_encoder_decoder": True}, "an encoder and a decoder", "--model"),
        ({"architectures": None}, "the class that it is of", "architectures"),
        ({"architectures": ["GPT2Model"]}, "outputs per step", "with its head"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "an encoder and a decoder", "--model"),
        ({"architectures": ["BertForMaskedLM"]}, "fills gaps", "--model"),
        ({"model_type": "bert"}, "fills gaps", "--model"),
        ({"vocab_size": None}, "number of its tokens", "vocab_size"),
        ({"vocab_size": 10**9}, "fits its weights", "same folder"),
        ({"n_embd": 10**9}, "fits its weights", "same folder"),
        ({"n_layer": 10**9}, "fits its weights", "same folder"),
        ({"n_layer": "two"}, "fits its weights", "same folder"),
    ],
    ids=str,
)  # fmt: skip
def test_refusals(
    changes: dict[str, Any], missing: str, do: str, saved: Callable[..., Path]
) -> None:
    found = refused(saved(original(*MODELS["gpt2"]), changes))
    assert missing in found.missing
    assert do in found.do


def test_mixtures_of_experts_are_named(saved: Callable[..., Path]) -> None:
    """Their tensors lie in another order in the file than in the model."""
    options = LLAMA | {"num_local_experts": 2}
    assert "experts" in refused(saved(original("mixtral", options, "CausalLM"))).missing


def test_other_configurations_are_left(saved: Callable[..., Path]) -> None:
    folder = saved(original(*MODELS["gpt2"]), {"model_type": None})
    assert huggingface.recognise(read(folder)) is None
    (folder / "config.json").unlink()
    assert huggingface.recognise(read(folder)) is None


def test_nothing_is_fetched_because_a_configuration_says_so(saved: Callable[..., Path]) -> None:
    """A name of a kernel with a slash would be looked up on a server."""
    kernel = {"_attn_implementation": "someone/kernel", "attn_implementation": "someone/kernel"}
    model = original(*MODELS["llama"])
    assert torch.equal(rebuilt(saved(model, kernel))(TOKENS), model(TOKENS).logits)


def test_the_precision_is_not_that_of_the_file(saved: Callable[..., Path]) -> None:
    layout = claimed(saved(original(*MODELS["gpt2"]).half()))
    kinds = {parameter.dtype for parameter in HuggingFace(**layout.settings).parameters()}
    assert kinds == {torch.float32}


def test_a_configuration_that_transformers_cannot_build(saved: Callable[..., Path]) -> None:
    settings = claimed(saved(original(*MODELS["gpt2"]), {"n_head": 3})).settings
    with pytest.raises(ModelError, match="transformers cannot build the model that config"):
        HuggingFace(**settings)
    settings = claimed(saved(original(*MODELS["gpt2"]), {"model_type": "future"})).settings
    with pytest.raises(ModelError, match=r"GPT2LMHeadModel: .* update transformers"):
        HuggingFace(**settings)
    settings = claimed(saved(original(*MODELS["llama"]), {"model_type": "mistral"})).settings
    with pytest.raises(ModelError, match="contradicts itself; got the architecture LlamaForCausal"):
        HuggingFace(**settings)


def test_without_transformers(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = claimed(saved(original(*MODELS["gpt2"]))).settings
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"needs transformers.* pip install 'seqprobe\[hf\]'"):
        HuggingFace(**settings)
