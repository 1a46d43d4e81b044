"""How often the data decide rightly what a file does not say about its model.

    python benchmarks/unknowns.py [SEEDS] > docs/unknowns.md

Trains small models whose properties are known, forgets them, and lets the search find them again
by the likelihood of held-out text: number of heads, activation, order of norms, scale of the
embedding, non-linearity, pooling. Counts how often the true value was chosen, how often all
others were ruled out (z > 4), and how often the true value was ruled out, which must never happen.
"""

import pydoc_data.topics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.examples import Examples, Labels, NextTokens
from seqprobe.checkpoints.layouts.layout import Unknown
from seqprobe.checkpoints.resolve import Search, assumptions
from seqprobe.checkpoints.templates.encoder import Encoder
from seqprobe.checkpoints.templates.gpt import GPT
from seqprobe.checkpoints.templates.recurrent import RecurrentModel
from seqprobe.sequences.corpus import corpus_of
from seqprobe.sequences.generator import generator
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.characters import Characters

LENGTH, BATCH, WIDTH, CLASSES, SYMBOLS = 64, 16, 32, 2, 8
CPU = torch.device("cpu")
HEADS = (1, 2, 4, 8)
POOLINGS = ("final", "final_backward_first", "last", "mean", "max")


@dataclass(frozen=True)
class Study:
    """Models of one kind: each of `truths` is trained, and forgotten."""

    name: str
    template: Callable[..., nn.Module]
    settings: Mapping[str, Any]
    unknowns: tuple[Unknown, ...]
    truths: tuple[Mapping[str, Any], ...]
    steps: int
    labelled: bool = False


def studies(characters: int) -> Iterator[Study]:
    """What the layouts of this project leave open, on models of a minute or less."""
    gpt = {"vocab_size": characters, "n_positions": LENGTH, "n_embd": WIDTH, "n_layer": 2}
    for steps in (100, 400):
        yield Study(
            "GPT, heads and activation",
            GPT,
            gpt,
            (Unknown("n_head", HEADS), Unknown("activation", ("gelu", "gelu_tanh"))),
            tuple({"n_head": heads, "activation": "gelu"} for heads in HEADS),
            steps,
        )
    encoder = {
        "inputs": characters, "outputs": characters, "width": WIDTH, "layers": 2, "inner": 64,
        "positions": "sinusoidal",
    }  # fmt: skip
    scales = (WIDTH**0.5, 1.0)
    yield Study(
        "Encoder, heads, norms, activation, scale, mask",
        Encoder,
        encoder,
        (
            Unknown("nhead", HEADS),
            Unknown("norm_first", (False, True)),
            Unknown("activation", ("relu", "gelu")),
            Unknown("embedding_scale", scales),
            Unknown("causal", (True, False)),
        ),
        tuple(
            {"nhead": heads, "norm_first": first, "activation": activation, "causal": True,
             "embedding_scale": scale}
            for heads, first, activation, scale in (
                (4, False, "relu", scales[0]), (2, True, "gelu", scales[1]),
                (8, True, "relu", scales[0]), (1, False, "gelu", scales[1]),
            )
        ),
        400,
    )  # fmt: skip
    layer = {"kind": "rnn", "input_size": WIDTH, "hidden_size": WIDTH, "num_layers": 1,
             "bias": True, "bidirectional": False}  # fmt: skip
    rnn = {"recurrences": (layer,), "embedding": (characters, WIDTH)}
    yield Study(
        "RNN, non-linearity",
        RecurrentModel,
        {**rnn, "head": ((WIDTH, characters, True),)},
        (Unknown("nonlinearity", ("tanh", "relu")),),
        ({"nonlinearity": "tanh"}, {"nonlinearity": "relu"}),
        400,
    )
    both = {**layer, "kind": "lstm", "hidden_size": 16, "bidirectional": True}
    yield Study(
        "Classifier on a bidirectional LSTM, pooling",
        RecurrentModel,
        {"recurrences": (both,), "embedding": (SYMBOLS, WIDTH), "head": ((32, CLASSES, True),)},
        (Unknown("pooling", POOLINGS),),
        tuple({"pooling": pooling} for pooling in POOLINGS),
        300,
        labelled=True,
    )


def text_windows(train: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and next tokens."""
    draw = generator(seed, 0)
    while True:
        starts = torch.randint(len(train) - LENGTH - 1, (BATCH,), generator=draw)
        windows = torch.stack([train[start : start + LENGTH + 1] for start in starts])
        yield windows[:, :-1], windows[:, 1:]


def labelled(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Is symbol 0 more frequent than symbol 1?"""
    texts = torch.randint(SYMBOLS, (count, 24), generator=generator(seed, 1))
    return texts, ((texts == 0).sum(1) > (texts == 1).sum(1)).long()


def label_batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Texts and their classes; only the last step is trained."""
    for number in range(10**6):
        yield labelled(4 * BATCH, 10**6 * (seed + 1) + number)


def trained(
    study: Study, truth: Mapping[str, Any], batches: Iterator[tuple[Tensor, Tensor]], seed: int
) -> nn.Module:
    """A model with these properties."""
    torch.manual_seed(seed)
    module = study.template(**study.settings, **truth)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _, (inputs, targets) in zip(range(study.steps), batches, strict=False):
        scores = module(inputs)
        scores = scores[:, -1] if study.labelled else scores.flatten(0, 1)
        optimizer.zero_grad()
        F.cross_entropy(scores, targets.flatten()).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    return module


def found(
    study: Study, module: nn.Module, truth: Mapping[str, Any], examples: Examples
) -> Iterator[tuple[str, tuple[bool, str, float]]]:
    """For each property: whether the truth was chosen, what the others are, and z."""
    state = module.state_dict()

    def losses(values: Mapping[str, Any], first: int, last: int) -> Tensor:
        candidate = study.template(**study.settings, **values)
        candidate.load_state_dict(state)
        return examples.losses(candidate, first, last)

    search = Search(study.unknowns, losses, examples.most)
    values = search.best()
    pairs = examples.pairs(search.first)
    weak = pairs is not None and search.mean(values, search.first) >= pairs
    for taken in assumptions(search, values, examples.unit, weak=weak):
        right = values[taken.name] == truth[taken.name]
        yield taken.name, (right, taken.alternatives_are, taken.z or 0.0)


def main(seeds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    text = "\n".join(topic for _, topic in sorted(pydoc_data.topics.topics.items())).encode()
    cut = 9 * len(text) // 10
    corpus = corpus_of("help texts", text[:cut], text[cut:])
    tokenizer = Characters.sorted([text.decode()])
    train = tokenizer.encode(text[:cut]).long()
    print("# What the data decide about a model\n")
    print("`python benchmarks/unknowns.py` printed this.\n")
    print("| models | training steps | property | true value chosen | others ruled out | "
          "no different | still possible | truth ruled out | least z |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    stream = CorpusStream(corpus, tokenizer.size, 0, tokenizer)
    for study in studies(tokenizer.size):
        rows: dict[str, list[tuple[bool, str, float]]] = {u.name: [] for u in study.unknowns}
        for seed in range(seeds):
            for truth in study.truths:
                batches = label_batches(seed) if study.labelled else text_windows(train, seed)
                module = trained(study, truth, batches, seed)
                examples: Examples = NextTokens(stream, LENGTH, CPU)
                if study.labelled:
                    texts, classes = labelled(512, 0)
                    examples = Labels(tuple(texts), classes, CPU)
                for name, verdict in found(study, module, truth, examples):
                    rows[name].append(verdict)
        for name, verdicts in rows.items():
            show(study, name, verdicts)


def show(study: Study, name: str, verdicts: list[tuple[bool, str, float]]) -> None:
    """One row."""
    standing = [sum(v[1] == word for v in verdicts) for word in
                ("ruled out", "no different", "possible")]  # fmt: skip
    wrong = sum(not right and word == "ruled out" for right, word, _ in verdicts)
    right = sum(v[0] for v in verdicts)
    least = min(v[2] for v in verdicts)
    print(f"| {study.name} | {study.steps} | {name} | {right} of {len(verdicts)} | {standing[0]} | "
          f"{standing[1]} | {standing[2]} | {wrong} | {least:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
