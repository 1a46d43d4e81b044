"""Which tokenizers are tried for a model, and what is said when none fits."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.choose import stream_for
from seqprobe.sequences.corpus import Corpus, read_corpus
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.candidates import candidates

TEXT = "to be or not to be\n" * 100
SORTED = "characters (8, sorted)"
APPEARING = "characters (8, by first appearance)"
WORDS = "words (5, by first appearance)"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text(TEXT)
    return tmp_path / "book.txt"


@pytest.fixture
def corpus(book: Path) -> Corpus:
    return read_corpus(str(book))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a checkpoint, with a tokenizer of nine tokens."""
    vocabulary = {"[UNK]": 0, "to": 1, "be": 2, "or": 3, "not": 4, "x": 5, "y": 6, "z": 7, "w": 8}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (tmp_path / "saved").mkdir()
    library.save(str(tmp_path / "saved" / "tokenizer.json"))
    return tmp_path / "saved"


def names(asked: str | None, corpus: Corpus, vocab_size: int, **more: object) -> list[str]:
    found = candidates(asked, corpus, vocab_size=vocab_size, **more)  # type: ignore[arg-type]
    return [tokenizer.name for tokenizer in found]


class TestNothingAsked:
    def test_exactly_as_many_tokens(self, corpus: Corpus) -> None:
        assert names(None, corpus, 256) == ["bytes"]
        assert names(None, corpus, 8) == [SORTED, APPEARING]
        assert names(None, corpus, 5) == [WORDS]

    def test_several_of_one_size(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a b c " * 20)
        assert names(None, read_corpus(str(tmp_path / "a.txt")), 4) == [
            "characters (4, sorted)",
            "characters (4, by first appearance)",
            "words (4, by first appearance)",
        ]

    def test_bytes_of_a_small_vocabulary(self, corpus: Corpus) -> None:
        for size in (117, 128, 512):
            assert names(None, corpus, size) == ["bytes"]

    @pytest.mark.parametrize("size", [116, 513])
    def test_nothing_fits(self, corpus: Corpus, size: int) -> None:
        with pytest.raises(UsageError, match=r"^book.txt: the data is in another vocabulary") as e:
            candidates(None, corpus, vocab_size=size)
        e.match(f"got bytes 256, characters 8, words 5; expected {size} tokens. Give --tokenizer")

    def test_padded_byte_pairs(self, corpus: Corpus) -> None:
        with pytest.raises(UsageError, match=r"expected 50,304 tokens .GPT-2's byte pairs, padded"):
            candidates(None, corpus, vocab_size=50_304)

    def test_the_checkpoints_vocabulary_first(self, corpus: Corpus, folder: Path) -> None:
        stated = ("<unk>", b"t", "o", "b", "e", " ", "r", "n")
        found = candidates(None, corpus, vocab_size=8, vocabulary=stated, folder=folder)
        assert [each.name for each in found] == ["vocabulary of the checkpoint"]
        assert found[0].encode(b"to be\n").tolist() == [1, 2, 5, 3, 4, 0]

    def test_then_the_tokenizer_beside_it_unless_it_is_too_large(
        self, corpus: Corpus, folder: Path, tmp_path: Path
    ) -> None:
        assert names(None, corpus, 9, folder=folder) == ["tokenizer.json (Hugging Face)"]
        assert names(None, corpus, 16, folder=folder) == ["tokenizer.json (Hugging Face)"]
        assert names(None, corpus, 8, folder=folder) == [SORTED, APPEARING]
        assert names(None, corpus, 8, folder=tmp_path) == [SORTED, APPEARING]

    def test_lists_of_integers(self, tmp_path: Path) -> None:
        (tmp_path / "ids.txt").write_text("0 1\n2 3\n" * 50)
        corpus = read_corpus(str(tmp_path / "ids.txt"))
        assert names(None, corpus, 100) == ["integers"]
        assert names(None, corpus, 6)[0] == "integers"
        assert names(None, corpus, 6)[1] == "characters (6, sorted)"
        (tmp_path / "high.txt").write_text("0 10 1" * 50)
        assert (
            names(None, read_corpus(str(tmp_path / "high.txt")), 3)[0] == "characters (3, sorted)"
        )

    def test_long_numbers_are_characters(self, tmp_path: Path) -> None:
        (tmp_path / "pi.txt").write_text("31415926535897932384626433832795028841971693993751\n" * 9)
        corpus = read_corpus(str(tmp_path / "pi.txt"))
        assert names(None, corpus, 11)[0] == "characters (11, sorted)"
        assert names(None, corpus, 100) == ["bytes"]

    def test_binary_integers_are_nothing_else(self, tmp_path: Path) -> None:
        np.save(tmp_path / "ids.npy", np.arange(100))
        corpus = read_corpus(str(tmp_path / "ids.npy"))
        assert names(None, corpus, 256) == ["integers"]
        with pytest.raises(
            UsageError, match=r"^ids.npy: .* got token 99 of integers; expected tok"
        ):
            CorpusStream(corpus, 50, 0, candidates(None, corpus, vocab_size=50)[0])


class TestAsked:
    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ("bytes", ["bytes"]),
            ("char", [SORTED, APPEARING]),
            ("word", [WORDS]),
        ],
    )
    def test_by_name(self, corpus: Corpus, asked: str, found: list[str]) -> None:
        assert names(asked, corpus, 1000) == found

    def test_the_checkpoints_vocabulary_where_it_is_of_this_kind(self, corpus: Corpus) -> None:
        characters, words = tuple(sorted(set(TEXT))), ("to", "be", "or", "not", "<eos>")
        for vocabulary, kind, other in ((characters, "char", "word"), (words, "word", "char")):
            assert names(kind, corpus, 9, vocabulary=vocabulary) == ["vocabulary of the checkpoint"]
            assert "vocabulary of the checkpoint" not in names(
                other, corpus, 9, vocabulary=vocabulary
            )

    def test_files(self, corpus: Corpus, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "vocab.txt").write_text("to\nbe\n<unk>\n")
        (tmp_path / "stoi.json").write_text(json.dumps({c: i for i, c in enumerate("tobern \n")}))
        for path, name in {
            tmp_path / "vocab.txt": "vocabulary vocab.txt",
            tmp_path / "stoi.json": "vocabulary stoi.json",
            folder / "tokenizer.json": "tokenizer.json (Hugging Face)",
            folder: "tokenizer.json (Hugging Face)",
        }.items():
            assert names(str(path), corpus, 100) == [name]

    def test_beside_the_checkpoint(self, corpus: Corpus, folder: Path, tmp_path: Path) -> None:
        assert names("hf", corpus, 9, folder=folder) == ["tokenizer.json (Hugging Face)"]
        for where in (None, tmp_path):
            with pytest.raises(
                UsageError, match=r"no tokenizer.json beside the checkpoint. Say whe"
            ):
                candidates("hf", corpus, vocab_size=9, folder=where)

    def test_nothing_of_this_name(self, corpus: Corpus, tmp_path: Path) -> None:
        for asked in ("chars", str(tmp_path)):
            with pytest.raises(
                UsageError, match=r"^no tokenizer '.*'; expected one of bytes, char"
            ):
                candidates(asked, corpus, vocab_size=9)

    def test_more_tokens_than_the_model(self, corpus: Corpus) -> None:
        with pytest.raises(
            UsageError, match=r"knows more tokens than the model; got bytes, of"
        ) as e:
            candidates("bytes", corpus, vocab_size=100)
        e.match("of which the text uses token 116; expected tokens below 100")
        assert names("bytes", corpus, 117) == ["bytes"], "the text uses no higher ones"
        with pytest.raises(UsageError, match=r"got words .5, by first appearance., of which"):
            candidates("word", corpus, vocab_size=4)

    def test_text_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "latin.txt").write_bytes("café ".encode("latin-1") * 50)
        corpus = read_corpus(str(tmp_path / "latin.txt"))
        assert names(None, corpus, 256) == ["bytes"]
        with pytest.raises(FileError, match=r"^latin.txt: the text is not UTF-8; got byte 0xe9"):
            candidates("char", corpus, vocab_size=256)
        with pytest.raises(UsageError, match=r"got bytes 256 \(no UTF-8 text\); expected 70 "):
            candidates(None, corpus, vocab_size=70)


class TestStream:
    def stream(self, book: Path, vocab_size: int, **more: object) -> CorpusStream:
        found = stream_for(
            str(book), lambda tokens: tokens, vocab_size=vocab_size, sequences=4, length=12, seed=0,
            **more,  # type: ignore[arg-type]
        )  # fmt: skip
        assert isinstance(found, CorpusStream)
        return found

    def test_of_what_fits(self, book: Path) -> None:
        stream = self.stream(book, 8)
        held_out = "".join(stream.texts[token] for token in stream.tokens.tolist())
        assert TEXT.endswith(held_out)
        assert 0.09 < len(held_out) / len(TEXT) < 0.1
        assert stream.source == "book.txt, held-out text as characters"
        assert (stream.tokenization, stream.split) == (SORTED, "held out")

    def test_of_what_is_asked(self, book: Path) -> None:
        stream = self.stream(book, 9, tokenizer="word")
        assert stream.source == "book.txt, held-out text as words"
        assert [*stream.texts] == ["to", "be", "or", "not", "<eos>", "<5>", "<6>", "<7>", "<8>"]
        expected = np.bincount(stream.tokens.numpy(), minlength=9) / len(stream.tokens)
        assert np.allclose(stream.frequencies.numpy(), expected)

    def test_backwards(self, corpus: Corpus) -> None:
        (tokenizer, _) = candidates("char", corpus, vocab_size=8)
        forward = CorpusStream(corpus, 8, 0, tokenizer)
        backward = CorpusStream(corpus, 8, 0, tokenizer, reversed=True)
        assert backward.tokens.tolist() == forward.tokens.tolist()[::-1]
        assert backward.source == "book.txt, held-out text as characters, backwards"

    def test_too_short(self, book: Path) -> None:
        with pytest.raises(UsageError, match=r"than one sequence; got 69 held-out words; expect"):
            self.stream(book, 5).take([0], 100)
