"""Sequence 17 is the same one in every batch, run and process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.choose import alphabet_of, noise_for, stream_for
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.streams import (
    CopyStream,
    CorpusStream,
    IidStream,
    NoiseStream,
    SampledStream,
    Stream,
)

SYMBOLS = 5
TABLE = torch.randn(SYMBOLS, SYMBOLS, generator=torch.Generator().manual_seed(0)) * 3


def bigram(tokens: Tensor) -> Tensor:
    return TABLE[tokens]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_bytes(bytes(i % 251 for i in range(3000)))
    return tmp_path / "book.txt"


def iid() -> IidStream:
    return IidStream(torch.tensor([1, 3, 4]), vocab_size=SYMBOLS)


def sampled(sequences: int = 32, length: int = 12) -> SampledStream:
    return SampledStream(bigram, SYMBOLS, seed=1, sequences=sequences, length=length)


STREAMS: dict[str, Callable[[], Stream]] = {
    "iid": iid,
    "copy": lambda: CopyStream(iid()),
    "noise": lambda: NoiseStream(3, torch.float32),
    "sampled": sampled,
}


@pytest.mark.parametrize("build", STREAMS.values(), ids=STREAMS)
def test_a_sequence_does_not_depend_on_its_batch(build: Callable[[], Stream]) -> None:
    together = build().take([3, 17, 4], 12)
    assert torch.equal(together[1], build().take([17], 12)[0])
    assert torch.equal(together[[2, 1]], build().take([4, 17], 12))
    assert not torch.equal(together[0], together[1])


def test_corpus_windows_neither(book: Path) -> None:
    stream = CorpusStream(read_corpus(str(book)), 256)
    assert torch.equal(stream.take([3, 17], 12)[1], stream.take([17], 12)[0])
    window = stream.take([5], 12)[0]
    assert torch.equal(window[1:], (window[:-1] + 1) % 251)


@pytest.mark.parametrize("kind", ["iid", "noise", "corpus", "sampled"])
def test_another_seed_gives_other_sequences(kind: str, book: Path) -> None:
    def taken(seed: int) -> list[Tensor]:
        streams: dict[str, Stream] = {
            "iid": IidStream(iid().alphabet, SYMBOLS, seed),
            "noise": NoiseStream(3, torch.float32, seed),
            "corpus": CorpusStream(read_corpus(str(book)), 256, seed),
            "sampled": SampledStream(bigram, SYMBOLS, seed, length=40),
        }
        return list(streams[kind].take(range(5), 40))

    every = [*taken(0), *taken(1), *taken(2)]
    same = sum(torch.equal(a, b) for i, a in enumerate(every) for b in every[:i])
    assert same <= (1 if kind == "corpus" else 0), "windows of a short text may coincide once"
    assert all(map(torch.equal, taken(1), taken(1)))


def test_copy_repeats_its_first_half() -> None:
    for length in (8, 9):
        tokens = CopyStream(iid()).take(range(6), length)
        half = (length + 1) // 2
        assert tokens.shape == (6, length)
        assert torch.equal(tokens[:, half:], tokens[:, : length - half])


def test_iid_symbols_come_from_the_alphabet_equally_often() -> None:
    tokens = iid().take(range(200), 60)
    shares = torch.bincount(tokens.flatten(), minlength=SYMBOLS) / tokens.numel()
    assert (shares[[0, 2]] == 0).all()
    assert (shares[[1, 3, 4]] - 1 / 3).abs().max() < 0.02
    assert torch.equal(iid().frequencies, torch.tensor([0, 1, 0, 1, 1]).double() / 3)


class TestSampled:
    def test_tokens_follow_the_models_predictions(self) -> None:
        text = sampled(sequences=800, length=20).take(range(800), 20)
        for token in range(SYMBOLS):
            after = text[:, 1:][text[:, :-1] == token]
            shares = torch.bincount(after, minlength=SYMBOLS) / len(after)
            tolerance = 4 * (0.25 / len(after)) ** 0.5
            assert (shares - TABLE[token].softmax(-1)).abs().max() < tolerance

    def test_how_many_are_asked_for_does_not_matter(self) -> None:
        assert torch.equal(sampled(4).take([2], 12), sampled(32).take([2], 12))

    def test_more_may_be_taken_than_was_announced(self) -> None:
        few = sampled(2)
        assert few.take(range(8), 12).shape == (8, 12)
        assert few.take([0], 30).shape == (1, 30)
        assert torch.equal(few.take([0], 30)[:, :12], sampled().take([0], 12))

    def test_nothing_is_written_twice(self) -> None:
        calls = []

        def counting(tokens: Tensor) -> Tensor:
            calls.append(len(tokens))
            return bigram(tokens)

        stream = SampledStream(counting, SYMBOLS, sequences=4, length=12)
        stream.take(range(4), 12)
        before = len(calls)
        stream.take([1, 2], 8)
        assert len(stream.frequencies) == SYMBOLS
        assert len(calls) == before == 11

    def test_a_model_that_does_not_predict_tokens(self) -> None:
        stream = SampledStream(lambda tokens: torch.zeros(*tokens.shape, 3), SYMBOLS)
        with pytest.raises(UsageError, match="does not predict tokens, so it cannot write") as said:
            stream.take([0], 12)
        said.match("got 3 outputs per step for 5 tokens; .* `--data synthetic:iid`")


class TestChoice:
    def named(self, data: str | None, vocab_size: int = SYMBOLS) -> Stream:
        return stream_for(data, bigram, vocab_size=vocab_size, sequences=4, length=12, seed=0)

    def test_by_name(self, book: Path) -> None:
        assert isinstance(self.named(None), SampledStream)
        assert isinstance(self.named("synthetic:iid"), IidStream)
        assert isinstance(self.named("synthetic:copy"), CopyStream)
        assert isinstance(self.named(str(book), 256), CorpusStream)

    def test_unknown(self) -> None:
        with pytest.raises(UsageError, match="no stream 'synthetic:wave'; expected one of synthet"):
            self.named("synthetic:wave")

    def test_missing_file(self) -> None:
        with pytest.raises(FileError, match=r"missing.txt: no such data"):
            self.named("missing.txt")

    def test_another_vocabulary(self, book: Path) -> None:
        with pytest.raises(UsageError, match=r"^book.txt: the data is in another vocabulary") as e:
            self.named(str(book), 10)
        e.match(r"got bytes 256 \(no UTF-8 text\); expected 10 tokens\. Give --tokenizer")
        assert e.value.exit_code == 2
        with pytest.raises(UsageError, match=r"^book.txt: the data is in another vocab") as e:
            CorpusStream(read_corpus(str(book)), 10)
        e.match(r"got token 250 of bytes; expected tokens below 10\. Give data in the model's own")

    def test_too_short(self, book: Path) -> None:
        stream = self.named(str(book), 256)
        assert stream.take([0], 300).shape == (1, 300)
        with pytest.raises(UsageError, match="shorter than one sequence; got 300 held-out bytes; "):
            stream.take([0], 301)

    def test_features_take_no_data(self) -> None:
        with pytest.raises(UsageError, match="reads real-valued features, not tokens; got data"):
            noise_for("x", 3, torch.float32, 0)
        assert noise_for(None, 3, torch.float64, 0).take([0], 9).dtype == torch.float64

    def test_the_alphabet_is_what_the_model_knows(self, book: Path) -> None:
        text = book.with_name("skewed.txt")
        text.write_bytes(b"abcdefgh" * 500 + b"xyz")
        found = alphabet_of(self.named(str(text), 256))
        assert found is not None
        assert bytes(found.tolist()) == b"abcdefgh"
        everything = alphabet_of(self.named(None))
        assert everything is not None
        assert everything.tolist() == list(range(SYMBOLS))
        assert alphabet_of(NoiseStream(3, torch.float32)) is None


def test_written_text_does_not_depend_on_what_else_is_asked_for():
    """Of a model whose predictions depend on the size of the batch, as last bits do."""

    def predict(text):
        odd = torch.zeros(*text.shape, 8)
        odd[..., len(text) % 8] = 5.0
        return odd

    def stream():
        return SampledStream(predict, 8, sequences=3, length=16)

    together = stream().take(range(9), 16)
    for numbers in ([4], [8, 3], [7, 8]):
        assert torch.equal(stream().take(numbers, 16), together[numbers])
