"""The user's data as a rebuilt model may read it, once for each tokenizer that fits."""

from dataclasses import dataclass
from pathlib import Path

import torch

from seqprobe.checkpoints.examples import Examples, Labels, NextTokens, Targets
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.sequences.choose import corpus_named
from seqprobe.sequences.corpus import Corpus
from seqprobe.sequences.labelled import LabelledSeries, LabelledText, read_labelled
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.candidates import candidates
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer

LENGTH = 128


@dataclass(frozen=True)
class Reading:
    """A tokenizer, and the examples that it makes of the data, if a model can be judged by them."""

    tokenizer: Tokenizer | None = None
    examples: Examples | None = None

    @property
    def name(self) -> str:
        """Of the tokenizer; empty where there is none."""
        return self.tokenizer.name if self.tokenizer else ""


def readings(
    layout: Layout,
    data: str | None,
    tokenizer: str | None,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
) -> list[Reading]:
    """One for each tokenizer that fits; noise and invented symbols are no evidence.

    `folder`: where the checkpoint lies.
    """
    if data is None or data.startswith("synthetic:"):
        return [Reading()]
    labelled = read_labelled(Path(data))
    if layout.vocab_size is None:
        if not isinstance(labelled, LabelledSeries):
            return [Reading()]
        return [Reading(None, Targets(labelled.inputs, labelled.targets, device))]
    corpus = corpus_named(data)
    fitting = candidates(
        tokenizer,
        corpus,
        vocab_size=layout.vocab_size,
        vocabulary=layout.vocabulary,
        folder=folder,
    )
    if isinstance(labelled, LabelledText):
        return [Reading(each, _labels(labelled, each, device)) for each in fitting]
    if not layout.predicts_tokens:
        return [Reading(each) for each in fitting]
    return [Reading(each, _next_tokens(layout, corpus, each, seed, device)) for each in fitting]


def _labels(labelled: LabelledText, tokenizer: Tokenizer, device: torch.device) -> Labels:
    texts = tuple(tokenizer.encode(text) for text in labelled.texts)
    return Labels(texts, labelled.targets, device)


def _next_tokens(
    layout: Layout, corpus: Corpus, tokenizer: Tokenizer, seed: int, device: torch.device
) -> NextTokens:
    assert layout.vocab_size is not None
    stream = CorpusStream(corpus, layout.vocab_size, seed, tokenizer, layout.reversed)
    length = min(LENGTH, layout.trained_length or LENGTH, stream.longest)
    return NextTokens(stream, length, device)
