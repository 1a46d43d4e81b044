"""Endless numbered sequences: sequence 17 is the same one in every batch, run and process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.errors import UsageError
from seqprobe.records import OWN_TEXT
from seqprobe.sequences.corpus import Corpus
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tokenizers.held_out import held_out_tokens, other_tokens
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer


@runtime_checkable
class Stream(Protocol):
    """Where sequences come from."""

    @property
    def source(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def sha256(self) -> str:
        """Of the text behind it, if there is one."""
        ...

    @property
    def tokenization(self) -> str:
        """What made its tokens: the name of a tokenizer, "tokens", or "none"."""
        ...

    @property
    def split(self) -> str:
        """Which part of the text behind it is used, if there is one."""
        ...

    @property
    def frequencies(self) -> Float[Tensor, " vocab"] | None:
        """How often each token occurs; None for real-valued inputs."""
        ...

    @property
    def guess(self) -> Float[Tensor, " vocab"] | None:
        """Chances of the next token for those who know only how often each one occurs; None for
        invented symbols, of which no model knows the frequencies.
        """
        ...

    @property
    def texts(self) -> Sequence[str] | None:
        """What each token stands for; None where that is not known."""
        ...

    @property
    def longest(self) -> int | None:
        """How long its sequences may be; None where there is no end to them."""
        ...

    def take(self, numbers: Sequence[int], length: int) -> Tensor:
        """The sequences with these numbers, (batch, length) or (batch, length, features)."""
        ...


@dataclass(frozen=True)
class CorpusStream:
    """Windows of held-out text, in tokens; `reversed` feeds the text backwards."""

    corpus: Corpus
    vocab_size: int
    seed: int = 0
    tokenizer: Tokenizer = field(default_factory=Bytes)
    reversed: bool = False
    tokens: Int[Tensor, " tokens"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = held_out_tokens(self.corpus, self.tokenizer)
        object.__setattr__(self, "tokens", tokens.flip(0) if self.reversed else tokens)
        highest = int(tokens.max()) if len(tokens) else 0
        if highest >= self.vocab_size:
            raise UsageError(
                "the data is in another vocabulary than the model's",
                where=self.corpus.source,
                got=f"token {highest:,} of {self.tokenizer.name}",
                expected=f"tokens below {self.vocab_size:,}",
                do="Give data in the model's own tokens, or `--data synthetic:iid`.",
            )

    @property
    def sha256(self) -> str:
        return self.corpus.sha256

    @property
    def source(self) -> str:
        backwards = ", backwards" if self.reversed else ""
        part = "all" if self.corpus.whole else "held-out"
        return f"{self.corpus.source}, {part} text as {self.tokenizer.unit}{backwards}"

    @property
    def tokenization(self) -> str:
        return self.tokenizer.name

    @property
    def split(self) -> str:
        return "all of it" if self.corpus.whole else "held out"

    @property
    def frequencies(self) -> Float[Tensor, " vocab"]:
        counts = torch.bincount(self.tokens, minlength=self.vocab_size)
        return counts.double() / counts.sum()

    @cached_property
    def others(self) -> Int[Tensor, " others"]:
        """Tokens of the part of the text that is not fed, from which predictions are counted."""
        tokens = other_tokens(self.corpus, self.tokenizer).long()
        return tokens[tokens < self.vocab_size]

    @property
    def guess(self) -> Float[Tensor, " vocab"]:
        """Counted in the other part; one more for each token, as some are not there (Laplace)."""
        if not len(self.others):
            return self.frequencies
        counts = torch.bincount(self.others, minlength=self.vocab_size) + 1.0
        return counts.double() / counts.sum()

    @property
    def texts(self) -> Sequence[str]:
        """Tokens that the tokenizer does not know go by their numbers."""
        known = self.tokenizer.texts[: self.vocab_size]
        return [*known, *(f"<{token}>" for token in range(len(known), self.vocab_size))]

    @property
    def longest(self) -> int:
        return len(self.tokens)

    def take(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        last = len(self.tokens) - length
        if last < 0:
            held_out = "" if self.corpus.whole else "held-out "
            raise UsageError(
                "the data is shorter than one sequence",
                where=self.corpus.source,
                got=f"{len(self.tokens)} {held_out}{self.tokenizer.unit}",
                expected=f"at least {length}",
                do="Use more text, or a smaller --length.",
            )
        starts = [
            int(torch.randint(last + 1, (), generator=generator(self.seed, n))) for n in numbers
        ]
        return torch.stack([self.tokens[s : s + length] for s in starts]).long()


@dataclass(frozen=True)
class IidStream:
    """Independent, equally likely symbols from a sorted alphabet of tokens."""

    alphabet: Int[Tensor, " symbols"]
    vocab_size: int
    seed: int = 0
    guess: None = None
    sha256: str = ""
    tokenization: str = "tokens"
    split: str = ""
    texts: None = None
    longest: None = None

    @property
    def source(self) -> str:
        return f"{len(self.alphabet)} independent, equally likely symbols"

    @property
    def frequencies(self) -> Float[Tensor, " vocab"]:
        chances = torch.zeros(self.vocab_size, dtype=torch.float64)
        chances[self.alphabet] = 1 / len(self.alphabet)
        return chances

    def take(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        size = len(self.alphabet)
        drawn = [torch.randint(size, (length,), generator=generator(self.seed, n)) for n in numbers]
        return self.alphabet[torch.stack(drawn)]


@dataclass(frozen=True)
class CopyStream:
    """Independent symbols that come twice: the second half repeats the first."""

    symbols: IidStream
    guess: None = None
    sha256: str = ""
    tokenization: str = "tokens"
    split: str = ""
    texts: None = None
    longest: None = None

    @property
    def source(self) -> str:
        return f"{self.symbols.source}, the second half repeating the first"

    @property
    def frequencies(self) -> Float[Tensor, " vocab"]:
        return self.symbols.frequencies

    def take(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        half = self.symbols.take(numbers, (length + 1) // 2)
        return torch.cat([half, half], dim=1)[:, :length]


@dataclass(frozen=True)
class NoiseStream:
    """Independent standard normal features, for models that take no tokens."""

    features: int
    dtype: torch.dtype
    seed: int = 0
    frequencies: None = None
    guess: None = None
    sha256: str = ""
    tokenization: str = "none"
    split: str = ""
    texts: None = None
    longest: None = None

    @property
    def source(self) -> str:
        return f"independent standard normal noise, {self.features} features"

    def take(self, numbers: Sequence[int], length: int) -> Float[Tensor, "batch length features"]:
        drawn = [
            torch.randn(length, self.features, generator=generator(self.seed, n), dtype=self.dtype)
            for n in numbers
        ]
        return torch.stack(drawn)


@dataclass
class SampledStream:
    """Text that the model wrote itself, token after token, each from its own prediction.

    `sequences` and `length` say how much will be asked for. So many are always written together:
    the last bits of a prediction depend on what else is in its batch.
    """

    predict: Callable[[Int[Tensor, "batch time"]], Float[Tensor, "batch time vocab"]]
    vocab_size: int
    seed: int = 0
    sequences: int = 32
    length: int = 256
    source: str = OWN_TEXT
    sha256: str = ""
    tokenization: str = "tokens"
    split: str = ""
    texts: None = None
    _written: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def take(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        longest = max(length, self.length)
        missing = [n for n in numbers if len(self._written.get(n, ())) < length]
        for block in dict.fromkeys(n // self.sequences for n in missing):
            together = range(block * self.sequences, (block + 1) * self.sequences)
            self._written |= zip(together, self._write(together, longest), strict=True)
        return torch.stack([self._written[n][:length] for n in numbers])

    @property
    def longest(self) -> int:
        """What was announced: every further token takes a run of the model."""
        return self.length

    @property
    def frequencies(self) -> Float[Tensor, " vocab"]:
        text = self.take(range(self.sequences), self.length)
        counts = torch.bincount(text.flatten(), minlength=self.vocab_size)
        return counts.double() / counts.sum()

    @property
    def guess(self) -> Float[Tensor, " vocab"]:
        return self.frequencies

    def _write(self, numbers: Sequence[int], length: int) -> Int[Tensor, "batch length"]:
        """Each sequence has its own random numbers, so that it does not depend on the others."""
        draws = torch.stack(
            [
                torch.rand(length, generator=generator(self.seed, n), dtype=torch.float64)
                for n in numbers
            ]
        )
        text = (draws[:, :1] * self.vocab_size).long()
        while text.shape[1] < length:
            reached = self._chances(text).cumsum(-1)
            drawn = draws[:, text.shape[1], None] * reached[:, -1:]
            next_token = torch.searchsorted(reached, drawn, right=True)
            text = torch.cat([text, next_token.clamp(max=self.vocab_size - 1)], dim=1)
        return text

    def _chances(self, text: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocab"]:
        outputs = self.predict(text)
        if outputs.shape[-1] != self.vocab_size:
            raise UsageError(
                "the model does not predict tokens, so it cannot write the text to measure on",
                got=f"{outputs.shape[-1]} outputs per step for {self.vocab_size} tokens",
                expected="as many outputs as tokens",
                do="Give --data, for example `--data synthetic:iid`.",
            )
        return outputs[:, -1].double().softmax(-1).cpu()
