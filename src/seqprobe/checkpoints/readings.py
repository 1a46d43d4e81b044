"""The user's data as a rebuilt model may read it, once for each tokenizer that fits."""

from dataclasses import dataclass
from pathlib import Path

import torch

from seqprobe.checkpoints.examples import Examples, Labels, NextTokens, Targets
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.models.sequence_model import Predicts
from seqprobe.sequences.choose import corpus_named
from seqprobe.sequences.labelled import LabelledSeries, LabelledText, read_labelled
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.candidates import candidates

LENGTH = 128


@dataclass(frozen=True)
class Reading:
    """The data in tokens, and examples made of them, if a model can be judged by such.

    `predicts`: what a model that knows examples of series says, where they tell it.
    """

    stream: CorpusStream | None = None
    examples: Examples | None = None
    predicts: Predicts | None = None

    @property
    def name(self) -> str:
        """Of the tokenizer; empty where there is none."""
        return self.stream.tokenization if self.stream else ""


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
        targets = Targets(labelled.inputs, labelled.targets, device)
        return [Reading(None, targets, labelled.predicts)]
    corpus = labelled.corpus if isinstance(labelled, LabelledText) else corpus_named(data)
    fitting = candidates(
        tokenizer,
        corpus,
        vocab_size=layout.vocab_size,
        vocabulary=layout.vocabulary,
        folder=folder,
    )
    streams = [
        CorpusStream(corpus, layout.vocab_size, seed, tokenizer, layout.reversed)
        for tokenizer in fitting
    ]
    if isinstance(labelled, LabelledText):
        return [Reading(stream, _labels(labelled, stream, device)) for stream in streams]
    if not layout.predicts_tokens:
        return [Reading(stream) for stream in streams]
    return [Reading(stream, _next_tokens(layout, stream, device)) for stream in streams]


def _labels(labelled: LabelledText, stream: CorpusStream, device: torch.device) -> Labels:
    texts = tuple(stream.tokenizer.encode(text) for text in labelled.texts)
    return Labels(texts, labelled.targets, device)


def _next_tokens(layout: Layout, stream: CorpusStream, device: torch.device) -> NextTokens:
    length = min(LENGTH, layout.trained_length or LENGTH, stream.longest)
    return NextTokens(stream, length, device)
