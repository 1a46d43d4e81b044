"""train.txt, valid.txt and test.txt in one folder; and files that are cut within a word."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seqprobe.errors import FileError
from seqprobe.sequences.corpus import Corpus, read_corpus
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.integers import Integers

TEXTS = {"train": b"one two\n", "valid": b"two three\n", "test": b"three four\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "wikitext"
    root.mkdir()
    for name, text in TEXTS.items():
        (root / f"{name}.txt").write_bytes(text)
    (root / "README.md").write_text("about")
    return root


def held_out(path: Path) -> bytes:
    return bytes(read_corpus(str(path)).held_out.tolist())


class TestText:
    def test_the_folder(self, folder: Path) -> None:
        corpus = read_corpus(str(folder))
        assert bytes(corpus.train.tolist()) == TEXTS["train"]
        assert held_out(folder) == TEXTS["test"]
        assert list(corpus.texts()) == list(TEXTS.values())
        assert corpus.source == "wikitext"

    def test_a_file_of_it(self, folder: Path) -> None:
        for name, part, source in (
            ("train", "test", "train.txt and test.txt"),
            ("valid", "valid", "valid.txt"),
            ("test", "test", "test.txt"),
        ):
            corpus = read_corpus(str(folder / f"{name}.txt"))
            assert held_out(folder / f"{name}.txt") == TEXTS[part]
            assert bytes(corpus.train.tolist()) == TEXTS["train"]
            assert list(corpus.texts()) == list(TEXTS.values())
            assert corpus.source == source

    def test_without_a_test_file(self, folder: Path) -> None:
        (folder / "test.txt").unlink()
        assert held_out(folder) == TEXTS["valid"]
        (folder / "valid.txt").rename(folder / "val.txt")
        assert held_out(folder / "train.txt") == TEXTS["valid"]
        (folder / "val.txt").unlink()
        assert held_out(folder / "train.txt") == b"\n", "a file like others, the last tenth"

    def test_another_file_shares_the_vocabulary(self, folder: Path) -> None:
        (folder / "more.txt").write_bytes(b"two one " * 20)
        corpus = read_corpus(str(folder / "more.txt"))
        assert bytes([*corpus.train.tolist(), *corpus.held_out.tolist()]) == b"two one " * 20
        assert list(corpus.texts()) == list(TEXTS.values())

    def test_an_empty_test_file(self, folder: Path) -> None:
        (folder / "test.txt").write_bytes(b"")
        with pytest.raises(
            FileError, match=r"^wikitext: no text to read; got 8 bytes, none held out"
        ):
            read_corpus(str(folder))


class TestIntegers:
    def write(self, folder: Path, **numbers: list[int]) -> None:
        for name, values in numbers.items():
            np.array(values, dtype=np.uint16).tofile(folder / f"{name}.bin")

    def tokens(self, corpus: Corpus) -> list[int]:
        return CorpusStream(corpus, 1000, 0, Integers(1000)).tokens.tolist()

    def test_train_and_val(self, tmp_path: Path) -> None:
        self.write(tmp_path, train=[1, 2, 3], val=[4, 500, 6])
        (tmp_path / "input.txt").write_text("text")
        for path in (tmp_path, tmp_path / "train.bin", tmp_path / "val.bin"):
            corpus = read_corpus(str(path))
            assert corpus.integers
            assert self.tokens(corpus) == [4, 500, 6]
        assert read_corpus(str(tmp_path / "train.bin")).source == "train.bin and val.bin"

    def test_one_file_is_cut_between_numbers(self, tmp_path: Path) -> None:
        numbers = list(range(997))
        self.write(tmp_path, all=numbers)
        np.save(tmp_path / "all.npy", np.array(numbers))
        for name in ("all.bin", "all.npy"):
            held_out = self.tokens(read_corpus(str(tmp_path / name)))
            assert held_out == numbers[-len(held_out) :]
            assert 99 <= len(held_out) <= 102

    def test_as_text(self, tmp_path: Path) -> None:
        numbers = list(range(100, 997))
        (tmp_path / "all.txt").write_text(",".join(map(str, numbers)))
        held_out = self.tokens(read_corpus(str(tmp_path / "all.txt")))
        assert held_out == numbers[-len(held_out) :]
        assert 85 <= len(held_out) <= 90


class TestCut:
    """The last tenth of a file begins anywhere; its tokens do not."""

    @pytest.mark.parametrize(
        "text",
        ["ab cd" * 40, "水火木" * 30, "x\r\n" * 67, "é " * 33],
        ids=["words", "no words", "lines", "characters of two bytes"],
    )
    def test_within_a_word_or_character(self, tmp_path: Path, text: str) -> None:
        for more in range(8):
            whole = "-" * more + text
            (tmp_path / "a.txt").write_bytes(whole.encode())
            corpus = read_corpus(str(tmp_path / "a.txt"))
            kept = corpus.held_out_texts[0].decode()
            assert whole.endswith(kept)
            assert len(kept.encode()) >= len(whole.encode()) * 0.1 - 10
            before = whole.removesuffix(kept)[-1]
            assert before.isspace() or not any(map(str.isspace, whole))
            assert [*corpus.texts()] == [whole.encode()]

    def test_one_endless_word(self, tmp_path: Path) -> None:
        (tmp_path / "dna.txt").write_text("ACGT" * 1000 + "\n")
        assert len(read_corpus(str(tmp_path / "dna.txt")).held_out_texts[0]) == 400


def test_bytes_are_fed_as_they_always_were(tmp_path: Path) -> None:
    """Published numbers depend on it: the rule, written again."""
    text = np.random.default_rng(0).integers(256, size=5003, dtype=np.uint8).tobytes()
    (tmp_path / "text.txt").write_bytes(text)
    stream = CorpusStream(read_corpus(str(tmp_path / "text.txt")), 256, seed=3)
    part = text[round(len(text) * 0.9) :]
    for number in (0, 1, 17):
        generator = torch.Generator().manual_seed(3 * 1_000_003 + number)
        start = int(torch.randint(len(part) - 40 + 1, (), generator=generator))
        assert stream.take([number], 40)[0].tolist() == list(part[start : start + 40])
    assert stream.longest == len(part)
    assert stream.source == "text.txt, held-out text as bytes"
    assert (stream.tokenization, stream.split) == ("bytes", "held out")
    assert stream.texts == [chr(byte) for byte in range(256)]
    counts = np.bincount(list(part), minlength=256)
    assert np.array_equal(stream.frequencies.numpy(), counts / len(part))
