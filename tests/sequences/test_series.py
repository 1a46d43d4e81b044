"""The user's own series of numbers, for models that read real values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import seqprobe
from seqprobe.errors import FileError, UsageError
from seqprobe.reference import zoo
from seqprobe.sequences.choose import noise_for
from seqprobe.sequences.series import SeriesStream
from seqprobe.sequences.streams import NoiseStream, Stream


def stream(path: Path, features: int = 2, seed: int = 0) -> SeriesStream:
    found = noise_for(str(path), features, torch.float32, seed)
    assert isinstance(found, SeriesStream)
    assert isinstance(found, Stream)
    return found


class TestFiles:
    def test_arrays(self, tmp_path: Path) -> None:
        values = np.arange(24, dtype=np.int16)
        for shape in ((3, 4, 2), (12, 2)):
            np.save(tmp_path / "a.npy", values.reshape(shape))
            found = stream(tmp_path / "a.npy").series.values
            assert (
                found.tolist() == values.reshape(shape if len(shape) == 3 else (1, *shape)).tolist()
            )

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("a.csv", "1,2\n3,4.5\n-1e3,0\n"),
            ("a.csv", "\ufeff1,2\n3,4.5\n-1e3,0\n"),
            ("a.csv", "\ufefftemperature,pressure\r\n1,2\r\n3,4.5\r\n\r\n-1e3,0"),
            ("a.csv", '"a, b","#"\n1,2\n3, 4.5\n-1000,0\n'),
            ("a.tsv", "a\tb\n1\t2\n3\t4.5\n-1000\t0\n"),
        ],
    )
    def test_tables(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_bytes(text.encode())
        assert stream(tmp_path / name).series.values.tolist() == [[[1, 2], [3, 4.5], [-1000, 0]]]

    def test_labelled(self, tmp_path: Path) -> None:
        inputs = np.random.default_rng(0).normal(size=(3, 5, 2))
        np.savez(tmp_path / "a.npz", inputs=inputs, targets=np.arange(3))
        assert np.array_equal(stream(tmp_path / "a.npz").series.values.numpy(), inputs)

    @pytest.mark.parametrize(
        ("name", "content", "got"),
        [
            ("a.csv", b"a,b\n1,2\n3,x\n", "'3,x' in line 3"),
            ("a.csv", b"\n1,2\n\n3\n", "'3' in line 4"),
            ("a.csv", b"1,2\n3,nan\n", r"nan at \[1, 1\]"),
            ("a.csv", b"1,2\ntotal,sum\n", "'total,sum' in line 2"),
            ("a.csv", b"date,value\n", r"an array of float64 with shape \(0,\)"),
            ("a.csv", b"1\n" + b"1" * 200_000, "field larger than field limit .* in line 2"),
            ("a.csv", b"", r"an array of float64 with shape \(0,\)"),
            ("a.npy", b"", "a damaged file, or one with Python objects"),
            ("a.npy", b"\x93NUMPY\x01\x00", "a damaged file, or one with Python objects"),
        ],
    )
    def test_damaged(self, tmp_path: Path, name: str, content: bytes, got: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=f"^{name}: no series of numbers; got {got}; expected"):
            stream(tmp_path / name)

    @pytest.mark.parametrize("shape", [(4,), (1, 2, 3, 2), (0, 2), (3, 0, 2)])
    def test_other_shapes(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        np.save(tmp_path / "a.npy", np.zeros(shape))
        with pytest.raises(FileError, match=r"got an array of float64 with shape"):
            stream(tmp_path / "a.npy")

    def test_other_kinds(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros((3, 2), dtype=complex))
        with pytest.raises(FileError, match=r"got an array of complex128 with shape"):
            stream(tmp_path / "a.npy")
        (tmp_path / "a.csv").write_text("text,label\nx,1\n")
        for data in (tmp_path / "a.csv", Path("stdlib"), Path("synthetic:iid")):
            with pytest.raises(UsageError, match=r"^the model reads real-valued features, not tok"):
                stream(data)
        with pytest.raises(
            FileError, match=r"missing.npy: the data cannot be read; got No such fi"
        ):
            stream(tmp_path / "missing.npy")

    def test_other_features(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros((9, 2)))
        with pytest.raises(
            UsageError, match=r"^a.npy: .* number of features .*; got 2 features; ex"
        ):
            stream(tmp_path / "a.npy", features=3)


class TestStream:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        np.save(tmp_path / "a.npy", np.arange(5 * 30 * 2).reshape(5, 30, 2))
        return tmp_path / "a.npy"

    def test_windows_are_parts_of_the_sequences(self, path: Path) -> None:
        values, firsts = stream(path).series.values, set()
        for window in stream(path).take(range(400), 10):
            first = int(window[0, 0])
            sequence, start = divmod(first // 2, 30)
            assert torch.equal(window, values[sequence, start : start + 10].float())
            firsts.add((sequence, start))
        assert {sequence for sequence, _ in firsts} == set(range(5))
        assert {start for _, start in firsts} == set(range(21))

    def test_numbered(self, path: Path) -> None:
        together = stream(path).take([3, 17, 4], 12)
        assert torch.equal(together[1], stream(path).take([17], 12)[0])
        assert not torch.equal(together, stream(path, seed=1).take([3, 17, 4], 12))

    def test_what_it_is(self, path: Path) -> None:
        found = stream(path)
        assert found.source == "a.npy, 5 series of 30 x 2 numbers"
        assert (found.tokenization, found.split, found.longest) == ("none", "all of it", 30)
        assert len(found.sha256) == 64
        with pytest.raises(
            UsageError, match=r"^a.npy: the series are shorter than one sequence; g"
        ):
            found.take([0], 31)


def test_without_data_noise_is_fed() -> None:
    assert isinstance(noise_for(None, 2, torch.float32, 0), NoiseStream)


def test_models_are_measured_on_them_and_on_noise_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, noise = NoiseStream.take, []

    def take(self: NoiseStream, numbers: Sequence[int], length: int) -> Tensor:
        noise.append(self.features)
        return original(self, numbers, length)

    monkeypatch.setattr(NoiseStream, "take", take)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(2, 80, 4)))
    report = seqprobe.analyze(
        zoo.leaky(0.5),
        data=str(tmp_path / "a.npy"),
        probes=("gradient-decay", "jacobian-spectrum", "position"),
        length=64,
        limit=8,
        distance=4,
    )
    assert report.data.source == "a.npy, 2 series of 80 x 4 numbers"
    assert (report.data.tokenizer, report.data.split) == ("none", "all of it")
    assert report["gradient-decay"].metrics["at_distance"].value == pytest.approx(0.5**4, rel=1e-5)
    assert set(noise) == {4}, "independent inputs, for comparison"
    assert not [check.error for check in report.checks if check.status == "error"]
