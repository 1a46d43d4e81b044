"""Text in two parts that share nothing, split in the same way for ever."""

import hashlib
from pathlib import Path

import pytest
import torch

from seqprobe.errors import FileError
from seqprobe.sequences.corpus import PIECE, Corpus, corpus_of, read_corpus, share_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "books"
    for number in range(60):
        file = root / f"part{number % 3}" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<{number}>")
    return root


def held_out_files(folder: Path) -> set[str]:
    return set(bytes(read_corpus(str(folder)).held_out.tolist()).decode().split("\n"))


def train_files(folder: Path) -> set[str]:
    return set(bytes(read_corpus(str(folder)).train.tolist()).decode().split("\n"))


def test_folders_are_split_by_file(folder: Path) -> None:
    train, held_out = train_files(folder), held_out_files(folder)
    assert not train & held_out
    assert train | held_out == {f"<{number}>" for number in range(60)}
    assert 2 <= len(held_out) <= 14, "about a tenth"


def test_the_split_is_that_of_the_first_release(folder: Path) -> None:
    """Never change it: published numbers depend on it."""
    by_rule = {
        f"<{n}>"
        for n in range(60)
        if hashlib.sha256(f"part{n % 3}/{n}.txt".encode()).digest()[0] < 26
    }
    assert held_out_files(folder) == by_rule


def test_files_that_are_added_move_no_other(folder: Path) -> None:
    train, held_out = train_files(folder), held_out_files(folder)
    (folder / "new.txt").write_text("<new>")
    assert train <= train_files(folder)
    assert held_out <= held_out_files(folder)


def test_the_place_of_the_folder_does_not_matter(folder: Path, tmp_path: Path) -> None:
    before = read_corpus(str(folder))
    folder.rename(tmp_path / "elsewhere")
    after = read_corpus(str(tmp_path / "elsewhere"))
    assert after.sha256 == before.sha256
    assert after.source == "elsewhere"


def test_the_hash_changes_with_a_byte(folder: Path) -> None:
    before = read_corpus(str(folder)).sha256
    assert read_corpus(str(folder)).sha256 == before
    (folder / "part0" / "0.txt").write_text("<?>")
    assert read_corpus(str(folder)).sha256 != before


def test_what_is_no_text_is_left_out(folder: Path) -> None:
    before = read_corpus(str(folder)).sha256
    (folder / "picture").write_bytes(b"a\0b")
    (folder / ".git").mkdir()
    (folder / ".git" / "object").write_text("hidden")
    (folder / "broken").symlink_to(folder / "nowhere")
    assert read_corpus(str(folder)).sha256 == before


def test_folders_named_test_count_in_the_users_text(folder: Path) -> None:
    before = read_corpus(str(folder)).sha256
    (folder / "part0").rename(folder / "test")
    assert read_corpus(str(folder)).sha256 != before
    assert len(train_files(folder) | held_out_files(folder)) == 60


def test_the_present_folder_has_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert read_corpus(".").source == "books"


def test_a_single_file_is_cut_in_two(tmp_path: Path) -> None:
    text = bytes(i % 251 for i in range(1000))
    (tmp_path / "book.txt").write_bytes(text)
    corpus = read_corpus(str(tmp_path / "book.txt"))
    assert bytes(corpus.train.tolist()) == text[:900]
    assert bytes(corpus.held_out.tolist()) == text[900:]
    assert corpus.source == "book.txt"
    assert corpus.train.dtype == torch.uint8


def test_the_standard_library() -> None:
    corpus = read_corpus("stdlib")
    assert len(corpus.train) > 5 * len(corpus.held_out) > 500_000
    assert b"site-packages" not in corpus.source.encode()


@pytest.mark.parametrize("size", [0, 3])
def test_too_little_text(tmp_path: Path, size: int) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(b"x" * size)
    with pytest.raises(FileError, match=f"^book.txt: no text to read; got {size} bytes, none held"):
        read_corpus(str(path))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no text to read; .* larger text file or folder"):
        read_corpus(str(tmp_path))


def test_missing() -> None:
    with pytest.raises(
        FileError, match=r"no/such/book.txt: no such data; expected a text file"
    ) as e:
        read_corpus("no/such/book.txt")
    assert e.value.exit_code == 4


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "book.txt").touch()
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(FileError, match="the data cannot be read; got Permission denied"):
        read_corpus(str(tmp_path / "book.txt"))


class TestShare:
    TEXT = torch.randint(256, (100_000,), generator=torch.Generator().manual_seed(0)).byte()

    def corpus(self) -> Corpus:
        text = self.TEXT.numpy().tobytes()
        return corpus_of("noise", text[:90_000], text[90_000:])

    def test_all_of_it(self) -> None:
        whole = self.corpus()
        assert share_of(whole, 1.0) is whole

    def test_pieces_of_the_training_part(self) -> None:
        whole = self.corpus()
        some = share_of(whole, 0.5)
        assert len(some.train) == 45_000
        assert torch.equal(some.held_out, whole.held_out)
        assert some.sha256 == whole.sha256
        pieces = [each.numpy().tobytes() for each in whole.train.split(PIECE)]
        starts = [pieces.index(each) for each in _cut(some.train.numpy().tobytes(), pieces)]
        assert len({*starts}) == len(starts) >= 2
        assert starts != sorted(starts), "from all over the text"

    def test_a_share_begins_with_all_smaller_ones(self) -> None:
        least, more = share_of(self.corpus(), 0.01).train, share_of(self.corpus(), 0.4).train
        assert len(least) == 900
        assert torch.equal(more[:900], least)


def _cut(text: bytes, pieces: list[bytes]) -> list[bytes]:
    """Into whole pieces, as long as there are any."""
    found = []
    while piece := next((each for each in pieces if text.startswith(each)), None):
        found.append(piece)
        text = text[len(piece) :]
    return found
