"""Token numbers exactly as the training scripts of each kind would have made them."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.tokenizers.characters import Characters
from seqprobe.sequences.tokenizers.hugging_face import hugging_face, is_hugging_face
from seqprobe.sequences.tokenizers.integers import Integers, is_list
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer
from seqprobe.sequences.tokenizers.vocabulary import entries_of, tokenizer_of
from seqprobe.sequences.tokenizers.words import Words

TEXT = "Zwölf Boxkämpfer\r\njagen  Viktor\tquer\n\nüber den Sylter Deich.\rZwölf? 水 𝄞 end"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_bytes(TEXT.encode())
    return tmp_path / "text.txt"


def ids(tokenizer: Tokenizer, text: str | bytes) -> list[int]:
    return tokenizer.encode(text.encode() if isinstance(text, str) else text).tolist()


def opened(path: Path) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


class TestCharacters:
    def test_sorted_as_nanogpt_and_mingpt_do(self, file: Path) -> None:
        data = opened(file)
        chars = sorted(list(set(data)))  # noqa: C414
        stoi = {ch: i for i, ch in enumerate(chars)}
        tokenizer = Characters.sorted([data[:20], data[20:]])
        assert ids(tokenizer, file.read_bytes()) == [stoi[c] for c in data]
        assert list(tokenizer.texts) == chars
        assert tokenizer.name == f"characters ({len(chars)}, sorted)"

    def test_by_first_appearance(self) -> None:
        tokenizer = Characters.by_first_appearance(["bab", "cad"])
        assert tokenizer.texts == ("b", "a", "c", "d")
        assert ids(tokenizer, "dabc") == [3, 1, 0, 2]
        assert tokenizer.name == "characters (4, by first appearance)"

    def test_unknown_ones(self) -> None:
        tokenizer = Characters.sorted(["abc"])
        with pytest.raises(
            UsageError, match=r"^characters .3, sorted.: the text holds what the"
        ) as e:
            tokenizer.encode(b"axbyx")
        e.match("got 3 unknown characters, the first 'x'; expected known .* token <unk> or .UNK.")

    def test_the_way_back(self, file: Path) -> None:
        text = TEXT.replace("\r\n", "\n").replace("\r", "\n")
        for tokenizer in (Characters.sorted([text]), Characters.by_first_appearance([text])):
            assert "".join(tokenizer.texts[i] for i in ids(tokenizer, TEXT)) == text


class Dictionary:
    """As word_language_model of pytorch/examples counts its words, naively."""

    def __init__(self, *paths: Path) -> None:
        self.ids: dict[str, int] = {}
        for path in paths:
            for word in self.words(path):
                self.ids.setdefault(word, len(self.ids))

    def words(self, path: Path) -> Iterator[str]:
        with open(path, encoding="utf8") as file:
            for line in file:
                yield from [*line.split(), "<eos>"]

    def tokens(self, path: Path) -> list[int]:
        return [self.ids[word] for word in self.words(path)]


class TestWords:
    def test_as_word_language_model_does(self, file: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.txt"
        other.write_text("\nend of line\x0b\u2028still the same\n \nquer\n", encoding="utf-8")
        twin = Dictionary(file, other)
        tokenizer = Words.by_first_appearance([opened(file), opened(other)])
        assert list(tokenizer.texts) == list(twin.ids)
        assert tokenizer.name == f"words ({len(twin.ids)}, by first appearance)"
        for path in (file, other):
            assert ids(tokenizer, path.read_bytes()) == twin.tokens(path)

    def test_counting_stops_where_there_are_too_many(self) -> None:
        assert Words.by_first_appearance(["a b c d e"], most=2).size == 3
        assert Words.by_first_appearance(["a b c d e"], most=9).size == 6

    def test_unknown_ones(self) -> None:
        assert ids(Words(("a", "<unk>"), "mine"), "a b a c") == [0, 1, 0, 1]
        with pytest.raises(UsageError, match=r"mine: .* got 2 unknown words, the first 'b'; "):
            Words(("a", "<eos>"), "mine").encode(b"a b\nc a")

    def test_nothing(self) -> None:
        assert ids(Words.by_first_appearance(["a"]), "") == []


class TestTextThatIsNoUtf8:
    @pytest.mark.parametrize(
        ("text", "got"),
        [(b"caf\xe9 au lait", "byte 0xe9"), ("café".encode("utf-16"), "UTF-16")],
    )
    def test_is_refused_but_as_bytes(self, text: bytes, got: str) -> None:
        for tokenizer in (Characters.sorted(["abc"]), Words(("a", "<unk>"), "")):
            with pytest.raises(FileError, match=f"the text is not UTF-8; got {got}; expected") as e:
                tokenizer.encode(text)
            e.match("Convert it, for example with `iconv -t UTF-8`, or use --tokenizer bytes")
        assert ids(Bytes(), text) == list(text)

    def test_a_mark_at_the_beginning_is_a_character_as_for_open(self, tmp_path: Path) -> None:
        path = tmp_path / "marked.txt"
        path.write_bytes("\ufeffab".encode())
        tokenizer = Characters(tuple(sorted(set(opened(path)))), "")
        assert ids(tokenizer, path.read_bytes()) == [2, 0, 1]


class TestIntegers:
    def test_as_text(self) -> None:
        assert ids(Integers(1000), "12, 7\n0,999\t5\r\n") == [12, 7, 0, 999, 5]
        assert is_list(b"1 2,3\n")
        for text in (b"1 -2", b"1.5", b"1 a", "１".encode()):
            assert not is_list(text)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", ">i4", "int64"])
    def test_as_an_array(self, dtype: str, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([[3, 0], [99, 7]], dtype=dtype).reshape(-1))
        assert ids(Integers(100), (tmp_path / "a.npy").read_bytes()) == [3, 0, 99, 7]

    @pytest.mark.parametrize(
        ("size", "dtype"),
        [
            (65, np.uint16),
            (50304, np.uint16),
            (5, np.uint16),
            (50304, np.uint32),
            (128256, np.uint32),
        ],
    )
    def test_as_nanogpt_writes_them(self, size: int, dtype: type, tmp_path: Path) -> None:
        for count in (600, 601):
            numbers = np.random.default_rng(0).integers(size, size=count).astype(dtype)
            numbers.tofile(tmp_path / "val.bin")
            assert ids(Integers(size), (tmp_path / "val.bin").read_bytes()) == numbers.tolist()

    def test_wide_numbers_that_the_model_does_not_know_are_not_taken_for_narrow_ones(self) -> None:
        numbers = np.array([70_000, 12, 65_600, 3], dtype=np.uint32)
        assert ids(Integers(50_257), numbers.tobytes()) == numbers.tolist()

    @pytest.mark.parametrize(
        ("text", "got"),
        [
            (b"\xff\xff\xff", "an odd number of bytes"),
            (b"some words of prose are even", "text of another kind"),
            ("prosaïque".encode(), "text of another kind"),
            (b"1 1234567890 21", "an odd number of bytes"),
            (b"1 1234567890 2", "text of another kind"),
        ],
    )
    def test_something_else(self, text: bytes, got: str) -> None:
        with pytest.raises(
            FileError, match=rf"the data are no tokens; got {got}; expected integers"
        ):
            Integers(2**31).encode(text)

    def test_nothing(self) -> None:
        assert ids(Integers(10), b"") == []
        assert not is_list(b"")
        assert not is_list(b", \n")

    @pytest.mark.parametrize(
        ("array", "got"),
        [(np.zeros(3), "an array of float64"), (np.array([3, -1]), "numbers from -1 to 3")],
    )
    def test_an_array_of_something_else(self, array: np.ndarray, got: str, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(FileError, match=f"the data are no tokens; got {got}; expected an arr"):
            Integers(10).encode((tmp_path / "a.npy").read_bytes())

    def test_python_objects_are_never_unpickled(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        np.save(tmp_path / "a.npy", np.array([Payload(canary)], dtype=object))
        with pytest.raises(FileError, match=r"got a damaged file, or one with Python objects"):
            Integers(10).encode((tmp_path / "a.npy").read_bytes())
        assert not canary.exists()
        np.load(tmp_path / "a.npy", allow_pickle=True)
        assert canary.exists(), "it would have worked"


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def test_bytes() -> None:
    tokenizer = Bytes()
    assert ids(tokenizer, bytes(range(256))) == list(range(256)) == list(range(tokenizer.size))
    assert ids(tokenizer, b"") == []
    assert "".join(tokenizer.texts) == bytes(range(256)).decode("latin-1")


class TestVocabularies:
    def test_characters_with_special_entries(self) -> None:
        tokenizer = tokenizer_of((b"<unk>", b"b", "ü".encode(), "a", "[PAD]", "<"), "its own")
        assert isinstance(tokenizer, Characters)
        assert ids(tokenizer, "aüb<x") == [3, 2, 1, 5, 0]
        assert tokenizer.name == "its own"

    def test_words(self) -> None:
        tokenizer = tokenizer_of(("<unk>", "b", "to"), "its own")
        assert isinstance(tokenizer, Words)
        assert ids(tokenizer, "to b\nor to") == [2, 1, 0, 2]
        ending = tokenizer_of(("<unk>", "b", "to", "<eos>"), "its own")
        assert ids(ending, "to b\nor to") == [2, 1, 3, 0, 2, 3]

    def test_bytes_that_are_no_text_are_never_met(self) -> None:
        assert ids(tokenizer_of((b"\xff", b"a", b"<unk>"), "x"), "aÿ") == [1, 2]

    def test_one_per_line(self) -> None:
        assert entries_of(Path("v.txt"), b"the\r\n<unk>\r\ncat\r\n") == ("the", "<unk>", "cat")
        assert entries_of(Path("v.txt"), b" \nb\n#") == (" ", "b", "#")

    def test_json(self) -> None:
        text = json.dumps({"b": 1, "\n": 0, "a": 2}).encode()
        assert entries_of(Path("vocab.json"), text) == ("\n", "b", "a")

    @pytest.mark.parametrize(
        ("name", "text", "got"),
        [
            ("v.txt", b"a\nb\na\n", "line 1: 'a' 2 times"),
            ("v.txt", b"a\n\nb\n", "line 2: an empty line"),
            ("v.json", b"[1", "no JSON"),
            ("v.json", b"[" * 100_000, "no JSON"),
            ("v.json", b"[1]", "JSON of another kind"),
            ("v.json", b'{"a": "b"}', "JSON of another kind"),
            ("v.json", b'{"a": true}', "JSON of another kind"),
            ("v.json", b'{"a": 0, "b": 2}', "numbers other than 0 to 1, each once"),
            ("v.json", b'{"a": 0, "b": 0}', "numbers other than 0 to 1, each once"),
        ],
    )
    def test_damaged(self, name: str, text: bytes, got: str) -> None:
        with pytest.raises(FileError, match=f"^{name}: not a vocabulary; got {got}; expected one "):
            entries_of(Path(name), text)

    @pytest.mark.parametrize(
        ("entries", "kind"),
        [
            (("[UNK]", "the", "##ing", "##s"), "word pieces such as '##ing'"),
            (("a", "Ġthe", "Ġcat"), "byte pairs such as 'Ġthe'"),
            (("<unk>", "▁the", "s"), "SentencePiece's pieces such as '▁the'"),
        ],
    )
    def test_pieces_of_words(self, entries: tuple[str, ...], kind: str) -> None:
        with pytest.raises(UsageError, match=r"does not say how to cut a text") as error:
            tokenizer_of(entries, "vocab.txt")
        error.match(f"^vocab.txt: .*{kind}; expected whole words, or characters. Give its tokeniz")


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, tokenizers.Tokenizer]:
    """Byte pairs, with special tokens around a text, cut to four tokens and padded."""
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator([TEXT, "the cat sat on the mat " * 5], trainer)
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    plain = tokenizers.Tokenizer.from_str(library.to_str())
    library.enable_truncation(4)
    library.enable_padding(length=50)
    library.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json", plain


class TestHuggingFace:
    def test_as_the_library_encodes_whole_texts(
        self, trained: tuple[Path, tokenizers.Tokenizer]
    ) -> None:
        path, library = trained
        tokenizer = hugging_face(path)
        text = "the mat and Zwölf 水\nthe end"
        assert ids(tokenizer, text) == library.encode(text, add_special_tokens=False).ids
        assert library.decode(ids(tokenizer, text)) == text
        assert tokenizer.size == library.get_vocab_size()
        assert tokenizer.name == "tokenizer.json (Hugging Face)"
        assert is_hugging_face(path.read_bytes())

    def test_tokens_are_shown_as_text(self, trained: tuple[Path, tokenizers.Tokenizer]) -> None:
        path, library = trained
        tokenizer = hugging_face(path)
        assert tokenizer.texts[library.token_to_id("Ġthe")] == " the"
        assert tokenizer.texts[library.token_to_id("<s>")] == "<s>"
        assert tokenizer.texts[library.token_to_id("Ã")] == "Ã", "half a character is no text"

    def test_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text('{"model": {}}')
        with pytest.raises(
            FileError, match=r"^tokenizer.json: not a tokenizer of Hugging Face; got"
        ):
            hugging_face(tmp_path / "tokenizer.json")
        for text in (b'{"a": 1}', b"[]", b"no json"):
            assert not is_hugging_face(text)

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(UsageError, match=r"needs the tokenizers library. Install it: pip") as e:
            hugging_face(tmp_path / "tokenizer.json")
        e.match(r"pip install 'seqprobe\[hf\]'")


def test_all_are_tokenizers(trained: tuple[Path, tokenizers.Tokenizer]) -> None:
    every: list[Tokenizer] = [
        Bytes(), Integers(300), Characters.sorted(["ab"]), Words.by_first_appearance(["1 2"]),
        hugging_face(trained[0]),
    ]  # fmt: skip
    for tokenizer in every:
        assert isinstance(tokenizer, Tokenizer)
        assert len(tokenizer.texts) == tokenizer.size
        text = {"characters": "ab", "words": "1 2"}.get(tokenizer.unit, "12")
        tokens = tokenizer.encode(text.encode())
        assert tokens.dtype == torch.int32
        assert int(tokens.max()) < tokenizer.size
