"""From the file that a training script writes, and a text, to the model that was trained."""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.load import Given, Loaded, load
from seqprobe.errors import ModelError, UsageError
from seqprobe_cli.main import main

WORDS = (
    "the", "cat", "sat", "on", "a", "mat", "and", "then", "it", "ran", "home", "to", "eat", "some",
    "fish", "by", "old", "red", "door",
)  # fmt: skip
LENGTH = 32


def written_text() -> str:
    """Lines of words in an order that a model can learn: each calls for one of two others."""
    draw, line, lines = random.Random(0), "the", []
    for _ in range(1200):
        at = WORDS.index(line.rsplit(maxsplit=1)[-1])
        line += " " + WORDS[(at + draw.choice((1, 3))) % len(WORDS)]
        if len(line) > 60:
            lines.append(line)
            line = line.split()[-1]
    return "\n".join(lines) + "\n"


TEXT = written_text()
CHARACTERS = sorted(set(TEXT))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, dim=-1)
        )
        weights = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        ahead = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        mixed = weights.masked_fill(ahead, -torch.inf).softmax(-1) @ value
        return self.c_proj(mixed.transpose(1, 2).flatten(2))


class NanoGPT(nn.Module):
    """The names and the arithmetic of nanoGPT, written anew."""

    def __init__(self, vocab: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        blocks = [
            nn.ModuleDict(
                {
                    "ln_1": nn.LayerNorm(width),
                    "attn": Attention(width, heads),
                    "ln_2": nn.LayerNorm(width),
                    "mlp": nn.ModuleDict(
                        {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
                    ),
                }
            )
            for _ in range(layers)
        ]
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, width),
                "wpe": nn.Embedding(LENGTH, width),
                "h": nn.ModuleList(blocks),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight

    def forward(self, tokens: Tensor) -> Tensor:
        parts: Any = self.transformer
        x = parts["wte"](tokens) + parts["wpe"](torch.arange(tokens.shape[1]))
        for block in parts["h"]:
            x = x + block["attn"](block["ln_1"](x))
            x = x + block["mlp"]["c_proj"](F.gelu(block["mlp"]["c_fc"](block["ln_2"](x))))
        logits: Tensor = self.lm_head(parts["ln_f"](x))
        return logits


class RNNModel(nn.Module):
    """The names of word_language_model, time-first, with log-softmax outputs."""

    def __init__(self, ntoken: int, width: int) -> None:
        super().__init__()
        self.ntoken = ntoken
        self.drop = nn.Dropout(0.1)
        self.encoder = nn.Embedding(ntoken, width)
        self.rnn = nn.GRU(width, width, 2)
        self.decoder = nn.Linear(width, ntoken)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.rnn(self.encoder(tokens.t()))
        return F.log_softmax(self.decoder(hidden), dim=-1).transpose(0, 1)


class Residual(nn.Module):
    """Two layers with sums around them: the same names as without, and another function."""

    def __init__(self, vocab: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(2))
        self.head = nn.Linear(width, vocab)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = 3 * x - 5 * layer(x)[0]
        logits: Tensor = self.head(x)
        return logits


def trained(model: nn.Module, ids: Tensor, steps: int = 120) -> nn.Module:
    """Long enough to beat the frequencies of tokens."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH - 1, (16,), generator=draw)
        windows = torch.stack([ids[start : start + LENGTH + 1] for start in starts])
        loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def character_ids() -> Tensor:
    return torch.tensor([CHARACTERS.index(character) for character in TEXT])


def word_ids() -> tuple[Tensor, int]:
    numbers: dict[str, int] = {}
    words = [word for line in TEXT.splitlines() for word in [*line.split(), "<eos>"]]
    ids = [numbers.setdefault(word, len(numbers)) for word in words]
    return torch.tensor(ids), len(numbers)


@pytest.fixture(scope="module")
def gpt() -> nn.Module:
    torch.manual_seed(0)
    return trained(NanoGPT(len(CHARACTERS), 16, 2, 2), character_ids())


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def analyze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        limits = ("--probe", "path-length", "--limit", "1", "--length", "32")
        return CliRunner().invoke(main, ["analyze", *words, *limits, "-o", "report.html"])

    return run


def same(loaded: Loaded, model: nn.Module) -> bool:
    tokens = torch.randint(5, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mine, original = loaded.model(tokens).log_softmax(-1), model(tokens).log_softmax(-1)
    return bool((mine - original).abs().max() < 1e-5)


def deciders(loaded: Loaded) -> dict[str, tuple[str, str, str]]:
    return {a.name: (a.value, a.decided_by, a.alternatives_are) for a in loaded.record.assumptions}


def steps(loaded: Loaded) -> Iterator[tuple[str, str]]:
    for step in loaded.record.verification:
        yield step.step, step.status


def test_nanogpt(gpt: nn.Module, text: str, tmp_path: Path, analyze: Callable[..., Result]) -> None:
    """As its train.py writes ckpt.pt, compiled."""
    arguments = {
        "n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": LENGTH, "bias": True,
        "vocab_size": len(CHARACTERS), "dropout": 0.0,
    }  # fmt: skip
    checkpoint = {
        "model": {f"_orig_mod.{name}": tensor for name, tensor in gpt.state_dict().items()},
        "optimizer": torch.optim.AdamW(gpt.parameters()).state_dict(),
        "model_args": arguments,
        "iter_num": 120,
        "best_val_loss": torch.tensor(1.0),
        "config": {"out_dir": "out", "device": "cpu"},
    }
    torch.save(checkpoint, tmp_path / "ckpt.pt")
    result = analyze("ckpt.pt", "--data", text)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["model"]["layout"] == "nanoGPT"
    assert report["data"]["tokenizer"] == f"characters ({len(CHARACTERS)}, sorted)"
    loaded = load(tmp_path / "ckpt.pt", Given(data=text))
    assert same(loaded, gpt)
    assert loaded.model.trained_length == LENGTH
    decided = deciders(loaded)
    assert decided["n_head"][:2] == ("2", "file")
    assert decided["tokenizer"][1:] == ("likelihood", "ruled out")
    assert dict(steps(loaded))["predicts the data better than token frequencies alone"] == "passed"
    assert any("as recorded in training" in step for step, _ in steps(loaded))


def test_heads_by_likelihood(gpt: nn.Module, text: str, tmp_path: Path) -> None:
    """A state dict alone: of 1, 2, 4, 8 and 16 heads two fit the text best."""
    torch.save(gpt.state_dict(), tmp_path / "weights.pt")
    loaded = load(tmp_path / "weights.pt", Given(data=text))
    assert deciders(loaded)["n_head"] == ("2", "likelihood", "ruled out")
    assert same(loaded, gpt)
    with pytest.raises(ModelError, match=r"does not say everything .* n_head \(") as raised:
        load(tmp_path / "weights.pt", Given())
    assert raised.value.exit_code == 3
    told = load(tmp_path / "weights.pt", Given(settings={"n_head": 2, "activation": "gelu"}))
    assert same(told, gpt)
    assert deciders(told)["n_head"][1] == "user"
    usual = load(tmp_path / "weights.pt", Given(assume_defaults=True))
    assert deciders(usual)["n_head"][1:] == ("default", "possible")
    verdicts = dict(steps(usual))
    assert "failed" in verdicts.values(), "what is only assumed is not verified"


def test_word_language_model(
    text: str, tmp_path: Path, analyze: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole module, pickled, as its main.py writes model.pt; its class cannot be imported."""
    torch.manual_seed(0)
    ids, vocabulary = word_ids()
    model = trained(RNNModel(vocabulary, 16), ids)
    torch.save(model, tmp_path / "model.pt")
    monkeypatch.delattr(f"{__name__}.RNNModel", raising=False)
    monkeypatch.delattr("seqprobe.analysis.stream_for")  # the text that judged is measured on
    result = analyze("model.pt", "--data", text)
    assert result.exit_code == 0, result.output
    loaded = load(tmp_path / "model.pt", Given(data=text))
    assert loaded.record.layout == "word_language_model RNN"
    assert loaded.stream is not None
    assert loaded.stream.tokenization.startswith(f"words ({vocabulary}")
    assert same(loaded, model)


def test_lightning(text: str, tmp_path: Path, analyze: Callable[..., Result]) -> None:
    """State dict under an attribute, hyper-parameters beside it, a namespace among them."""
    torch.manual_seed(0)
    network = nn.Module()
    network.embed = nn.Embedding(len(CHARACTERS), 16)
    network.rnn = nn.LSTM(16, 16, batch_first=True)
    network.fc = nn.Linear(16, len(CHARACTERS))
    network.forward = lambda tokens: network.fc(network.rnn(network.embed(tokens))[0])  # type: ignore[method-assign]
    model = trained(network, character_ids(), 200)
    checkpoint = {
        "epoch": 1,
        "global_step": 200,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {},
        "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "hidden": 16,
            "args": argparse.Namespace(lr=0.01),
            "out": Path("runs"),
        },
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    result = analyze("last.ckpt", "--data", text)
    assert result.exit_code == 0, result.output
    loaded = load(tmp_path / "last.ckpt", Given(data=text))
    assert loaded.record.layout == "LSTM language model"
    assert same(loaded, model)


def test_the_same_names_and_another_function(
    text: str, tmp_path: Path, analyze: Callable[..., Result]
) -> None:
    """Exact cover is not enough: what is rebuilt does not know the text."""
    torch.manual_seed(0)
    model = trained(Residual(len(CHARACTERS), 16), character_ids(), 200)
    torch.save(model.state_dict(), tmp_path / "residual.pt")
    result = analyze("residual.pt", "--data", text)
    assert result.exit_code == 3, result.output
    assert "what was rebuilt is not your model, or the data is not of its kind" in result.output
    assert "bits per token" in result.output
    assert "--model pkg.module:factory" in result.output
    assert not (tmp_path / "report.html").exists()


def test_the_wrong_text(gpt: nn.Module, tmp_path: Path) -> None:
    torch.save(gpt.state_dict(), tmp_path / "weights.pt")
    other = tmp_path / "other.txt"
    other.write_text("0123456789" * 300)
    with pytest.raises(UsageError, match=f"words 2; expected {len(CHARACTERS)} tokens"):
        load(tmp_path / "weights.pt", Given(data=str(other)))


def test_pooling_by_labelled_texts(tmp_path: Path, analyze: Callable[..., Result]) -> None:
    """Is there an x anywhere? A maximum over the steps answers, with both directions read."""
    torch.manual_seed(0)
    letters = "abcdefgx"
    texts = torch.randint(7, (600, 12))
    labels = torch.randint(2, (600,))
    rows = torch.arange(600)
    texts[rows, torch.randint(12, (600,))] = torch.where(labels == 1, 7, texts[rows, 0])
    embedding, rnn = nn.Embedding(8, 8), nn.GRU(8, 8, batch_first=True, bidirectional=True)
    head = nn.Linear(16, 2)
    parts = nn.ModuleDict({"embedding": embedding, "rnn": rnn, "classifier": head})
    optimizer = torch.optim.Adam(parts.parameters(), lr=1e-2)
    for _ in range(150):
        scores = head(rnn(embedding(texts[:400]))[0].amax(1))
        optimizer.zero_grad()
        F.cross_entropy(scores, labels[:400]).backward()
        optimizer.step()
    torch.save(parts.state_dict(), tmp_path / "classifier.pt")
    (tmp_path / "vocab.txt").write_text("\n".join(letters))
    table = ["text,label"]
    for row, label in zip(texts[400:], labels[400:], strict=True):
        table.append("".join(letters[token] for token in row) + f",{label}")
    (tmp_path / "texts.csv").write_text("\n".join(table) + "\n")
    given = Given(data=str(tmp_path / "texts.csv"), tokenizer=str(tmp_path / "vocab.txt"))
    loaded = load(tmp_path / "classifier.pt", given)
    value, decided_by, others = deciders(loaded)["pooling"]
    assert (value, decided_by, others) == ("max", "likelihood", "ruled out")
    answers = loaded.model(texts[400:])[:, -1]
    with torch.no_grad():
        original = head(rnn(embedding(texts[400:]))[0].amax(1))
    assert torch.allclose(answers, original, atol=1e-6)
    result = analyze("classifier.pt", "--data", "texts.csv", "--tokenizer", "vocab.txt")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["data"]["tokenizer"] == "vocabulary vocab.txt"
    assert report["data"]["source"] == "texts.csv, all text as characters"


@pytest.mark.parametrize("predicts", ["classes", "values"])
def test_series_with_targets_tell_what_the_outputs_are(tmp_path: Path, predicts: str) -> None:
    """As many outputs as features, which without targets may be taken for the next inputs."""
    torch.manual_seed(0)
    features = 2 if predicts == "classes" else 1
    parts = nn.ModuleDict({"rnn": nn.GRU(features, 8, batch_first=True)})
    parts["head"] = nn.Linear(8, features)
    inputs = torch.randn(64, 20, features)
    with torch.no_grad():
        parts["head"].weight.mul_(20)
        outputs = parts["head"](parts["rnn"](inputs)[0])
    targets = outputs.argmax(2) if predicts == "classes" else outputs[..., 0]
    torch.save(parts.state_dict(), tmp_path / "model.pt")
    np.savez(tmp_path / "series.npz", inputs=inputs.numpy(), targets=targets.numpy())
    settings = {"pooling": "none"}
    loaded = load(
        tmp_path / "model.pt", Given(data=str(tmp_path / "series.npz"), settings=settings)
    )
    assert torch.allclose(loaded.model(inputs), outputs, atol=1e-5)
    assert loaded.model.predicts == loaded.record.plan["predicts"] == predicts
    alone = load(tmp_path / "model.pt", Given(settings=settings, assume_defaults=True))
    assert alone.model.predicts is None


def test_infinity_in_a_mask_is_no_damage(gpt: nn.Module, text: str, tmp_path: Path) -> None:
    """What nobody states is judged by the data all the same."""
    mask = torch.full((1, 1, LENGTH, LENGTH), -torch.inf).triu(1)
    masks = {f"transformer.h.{block}.attn.bias": mask for block in range(2)}
    torch.save(gpt.state_dict() | masks, tmp_path / "masked.pt")
    loaded = load(tmp_path / "masked.pt", Given(data=text))
    assert deciders(loaded)["n_head"] == ("2", "likelihood", "ruled out")
    assert loaded.record.nonfinite == ()
    assert loaded.record.stored == ("float32",)


def test_averaged_weights_only_when_asked(gpt: nn.Module, text: str, tmp_path: Path) -> None:
    averaged = {name: 0.9 * tensor for name, tensor in gpt.state_dict().items()}
    torch.save({"model": gpt.state_dict(), "ema": averaged}, tmp_path / "both.pt")
    plain = load(tmp_path / "both.pt", Given(data=text))
    asked = load(tmp_path / "both.pt", Given(data=text, weights="ema"))
    assert same(plain, gpt)
    assert not same(asked, gpt)
    with pytest.raises(UsageError, match=r"no other weights named 'avg' in the file; expected ema"):
        load(tmp_path / "both.pt", Given(data=text, weights="avg"))


def test_safetensors_with_one_of_two_tied_tensors(
    gpt: nn.Module, text: str, tmp_path: Path
) -> None:
    save_model(gpt, str(tmp_path / "model.safetensors"))
    assert same(load(tmp_path / "model.safetensors", Given(data=text)), gpt)


def test_a_folder_of_gpt2(tmp_path: Path) -> None:
    """Its linear maps lie transposed in the file."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=11, n_positions=LENGTH, n_embd=12, n_layer=2, n_head=3)
    original = GPT2LMHeadModel(config).eval()
    original.save_pretrained(tmp_path / "gpt2")
    loaded = load(tmp_path / "gpt2", Given())
    tokens = torch.randint(11, (2, LENGTH))
    with torch.no_grad():
        assert torch.allclose(loaded.model(tokens), original(tokens).logits, atol=1e-5)
    assert deciders(loaded)["n_head"][:2] == ("3", "file")
