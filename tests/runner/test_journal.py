"""What is kept of a run comes back as it was; what is damaged or foreign is named, not trusted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from seqprobe.errors import FileError, UsageError
from seqprobe.probes.position import Position
from seqprobe.runner.cut import Cut
from seqprobe.runner.journal import MANIFEST, Journal
from seqprobe.runner.outcome import Outcome, Part

STARTED = {"seed": "0", "torch": "2.10", "parameters of the model": "f" * 64}
ROWS = {
    "sequence": np.arange(4, 8),
    "state rnn/h ä": np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32),
    "half": np.ones((4, 2), np.float16),
    "logs": np.array([[-np.inf], [np.nan], [0.0], [np.inf]]),
    "flags": np.array([True, False, True, True]),
    "words": np.array([["naïve", ""], ["\x00 a", "tab\t"], ["", ""], ["b" * 300, "'"]]),
    "refused": np.full(4, ""),
    "alphabet": np.tile([], (4, 1)),
    "of the first alone": np.arange(6.0).reshape(1, 2, 3),
    "none of these": np.zeros((0, 5)),
    "file": np.array([2**62] * 4),
}


def outcomes(*evidence):
    probe = replace(Position(5), evidence=evidence)
    return [
        Outcome(probe, seconds=0.1 + 0.2),
        Outcome(Position(7), "untrained", not_applicable="no such thing", seconds=1.0),
        Outcome(Position(9), "iid", error="ValueError: what\nnext"),
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "r.progress"


@pytest.fixture
def begun(folder):
    """A run that was cut short after one batch."""
    pages = Journal(folder, [STARTED]).of_pass(0, 2)
    assert pages.cut(lambda: Cut(4, 2)) == Cut(4, 2)
    pages.keep(Part(range(4, 8), outcomes(ROWS), 1e-7))
    return folder


def resumed(folder, started=STARTED):
    return Journal.opened(folder, [started], resume=True)


def test_every_kind_of_evidence_comes_back_bit_for_bit(begun):
    (part,) = resumed(begun).of_pass(0, 2).parts(outcomes(), range(32))
    assert part.numbers == range(4, 8)
    assert part.difference == 1e-7
    (rows,) = part.outcomes[0].probe.evidence
    assert list(rows) == list(ROWS)
    for name, array in ROWS.items():
        assert rows[name].dtype == array.dtype, name
        assert rows[name].shape == array.shape, name
        assert rows[name].tobytes() == array.tobytes(), name
    for outcome, was in zip(part.outcomes, outcomes(), strict=True):
        assert replace(outcome, probe=was.probe) == was
        assert outcome.probe == was.probe


def test_only_what_belongs_to_the_pass_and_to_the_sequences_comes_back(begun):
    journal = resumed(begun)
    assert journal.of_pass(0, 2).parts(outcomes(), range(8, 32)) == []
    assert journal.of_pass(0, 1).parts(outcomes(), range(32)) == []
    assert journal.of_pass(1, 2).parts(outcomes(), range(32)) == []
    journal.of_pass(0, 21).keep(Part(range(2), outcomes()))
    assert len(journal.of_pass(0, 2).parts(outcomes(), range(32))) == 1


def test_batches_come_in_the_order_of_their_sequences(folder):
    pages = Journal(folder).of_pass(0, 0)
    for start in (8, 0, 100, 16):
        rows = {"sequence": np.arange(start, start + 2)}
        pages.keep(Part(range(start, start + 2), outcomes(rows)))
    starts = [part.numbers.start for part in pages.parts(outcomes(), range(200))]
    assert starts == [0, 8, 16, 100]


def test_a_resumed_run_is_cut_as_it_was(begun):
    assert resumed(begun).of_pass(0, 2).cut(lambda: Cut(1, 1)) == Cut(4, 2)
    assert resumed(begun).of_pass(0, 3).cut(lambda: Cut(1, 1)) == Cut(1, 1)


def test_without_resume_an_old_run_is_replaced_once_there_is_something_new(begun):
    old = sorted(path.name for path in begun.iterdir())
    journal = Journal.opened(begun, [STARTED | {"seed": "1"}], resume=False)
    assert sorted(path.name for path in begun.iterdir()) == old
    journal.of_pass(0, 0).cut(lambda: Cut(3, 1))
    assert sorted(path.name for path in begun.iterdir()) == [MANIFEST, "model-0-pass-0.json"]
    assert resumed(begun, STARTED | {"seed": "1"}).begun


def test_nothing_to_resume_is_a_new_start(folder):
    assert not resumed(folder).begun
    assert not folder.exists()
    (folder / "inside").parent.mkdir()
    (folder / ".model-0-pass-0-0-4.npz.17.tmp").write_bytes(b"PK")  # killed while writing
    assert not resumed(folder).begun


def test_what_is_made_of_objects_is_not_kept(folder):
    rows = {"sequence": np.arange(2), "own": np.array([{}, None])}
    Journal(folder).of_pass(0, 0).keep(Part(range(2), outcomes(rows)))
    assert not folder.exists()


def test_without_a_folder_nothing_is_kept():
    journal = Journal.opened(None, [], resume=True)
    pages = journal.of_pass(0, 0)
    assert pages.cut(lambda: Cut(5, 1)) == Cut(5, 1)
    pages.keep(Part(range(2), outcomes()))
    assert pages.parts(outcomes(), range(9)) == []
    journal.remove()


def test_removed_when_done(begun):
    (begun / ".manifest.json.12.tmp").touch()
    Journal(begun).remove()
    assert not begun.exists()
    Journal(begun).remove()


class TestRefused:
    def test_a_run_that_was_started_with_something_else(self, begun):
        other = STARTED | {"seed": "3", "parameters of the model": "0" * 64}
        said = r"r\.progress: .*another one; got a start with another parameters of the model, seed"
        with pytest.raises(UsageError, match=said + r" \(0\).*Give the same command again"):
            resumed(begun, other)
        with pytest.raises(UsageError, match=r"another 1 models"):
            Journal.opened(begun, [STARTED, STARTED], resume=True)
        with pytest.raises(UsageError, match="another limit"):
            resumed(begun, STARTED | {"limit": "None"})

    def test_another_version(self, begun):
        manifest = {"schema": "seqprobe.progress/2", "started": 5}
        (begun / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(FileError, match=r"another version.*got seqprobe.progress/2"):
            resumed(begun)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "seqprobe.progress/1"}', "0"])
    def test_a_damaged_manifest(self, begun, content):
        (begun / MANIFEST).write_text(content)
        with pytest.raises(FileError, match=r"manifest\.json: .*progress is damaged"):
            resumed(begun)

    @pytest.mark.parametrize("resume", [True, False])
    def test_a_folder_that_holds_something_else(self, folder, resume):
        folder.mkdir()
        (folder / "thesis.tex").touch()
        (folder / MANIFEST).touch()
        with pytest.raises(FileError, match=r"in the way.*got thesis\.tex.*Move it away"):
            Journal.opened(folder, [STARTED], resume=resume)
        assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "thesis.tex"]

    def test_a_file_in_its_place(self, folder):
        folder.touch()
        with pytest.raises(FileError, match="in the way"):
            resumed(folder)

    def test_a_damaged_batch(self, begun):
        """Cut anywhere, or with any byte changed, a file is refused or says what it said."""
        path = begun / "model-0-pass-2-4-8.npz"
        whole = path.read_bytes()
        pages = resumed(begun).of_pass(0, 2)
        for place in range(0, len(whole), 97):
            path.write_bytes(whole[:place])
            with pytest.raises(FileError, match=r"pass-2-4-8\.npz: .*damaged.*Remove the file"):
                pages.parts(outcomes(), range(32))
        for place in range(0, len(whole), 61):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
            try:
                (part,) = pages.parts(outcomes(), range(32))
            except FileError:
                continue
            rows = part.outcomes[0].probe.evidence[0]
            assert all(rows[name].tobytes() == ROWS[name].tobytes() for name in ROWS)

    def test_rows_of_other_sequences_or_of_other_probes(self, begun):
        (begun / "model-0-pass-2-4-8.npz").rename(begun / "model-0-pass-2-0-4.npz")
        pages = resumed(begun).of_pass(0, 2)
        with pytest.raises(FileError, match="rows of other sequences"):
            pages.parts(outcomes(), range(32))
        with pytest.raises(FileError, match="damaged, or no such part"):
            pages.parts(outcomes()[:2], range(32))

    def test_objects_are_never_loaded(self, begun):
        canary = begun.parent / "canary"

        class Bomb:
            def __reduce__(self):
                return canary.touch, ()

        path = begun / "model-0-pass-2-4-8.npz"
        with path.open("wb") as file:
            np.savez(file, words=np.array([Bomb()]), allow_pickle=True)
        with pytest.raises(FileError, match="damaged"):
            resumed(begun).of_pass(0, 2).parts(outcomes(), range(32))
        assert not canary.exists()

    @pytest.mark.parametrize("content", ["{}", '{"size": 0, "shares": 1}', '{"size": "a"}'])
    def test_a_damaged_cut(self, begun, content):
        (begun / "model-0-pass-2.json").write_text(content)
        with pytest.raises(FileError, match=r"pass-2\.json: .*damaged"):
            resumed(begun).of_pass(0, 2).cut(lambda: Cut(1, 1))

    def test_a_folder_that_cannot_be_written(self, folder):
        folder.parent.joinpath("r.progress").touch()
        with pytest.raises(FileError, match=r"cannot be written.*--resume"):
            Journal(folder).of_pass(0, 0).keep(Part(range(2), outcomes()))
