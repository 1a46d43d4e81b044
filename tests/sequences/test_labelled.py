"""Texts and series with labels: which are read, which are measured on, and what is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seqprobe.errors import FileError, UsageError
from seqprobe.sequences.choose import corpus_named, stream_for
from seqprobe.sequences.labelled import LabelledSeries, LabelledText, read_labelled
from seqprobe.sequences.streams import CorpusStream
from seqprobe.sequences.tokenizers.candidates import candidates
from seqprobe.sequences.tokenizers.characters import Characters
from seqprobe.sequences.tokenizers.integers import Integers
from seqprobe.sequences.tokenizers.raw_bytes import Bytes
from seqprobe.sequences.tokenizers.tokenizer import Tokenizer
from seqprobe.sequences.tokenizers.words import Words


def text(tmp_path: Path, name: str, content: str | bytes) -> LabelledText:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read_labelled(path)
    assert isinstance(found, LabelledText)
    return found


class TestText:
    def test_tables(self, tmp_path: Path) -> None:
        comma = '\ufeffid,text,label\r\n1,"good, ""really""\r\ngood",1\r\n2,bad,0\r\n'
        tab = 'label\ttext\n1\t"good, ""really""\ngood"\n0\tbad\n'
        for name, content in {"a.csv": comma, "a.tsv": tab}.items():
            found = text(tmp_path, name, content)
            assert found.texts == [b'good, "really"\ngood', b"bad"]
            assert found.targets.tolist() == [1, 0]
            assert found.classes == ("0", "1")
            assert found.source == f"{name}, 2 labelled texts (all)"

    def test_json_lines(self, tmp_path: Path) -> None:
        rows = [{"text": "schön", "label": 2, "more": []}, {"text": "b", "label": "0"}]
        found = text(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
        assert found.texts == ["schön".encode(), b"b"]
        assert found.targets.tolist() == [2, 0]
        assert found.classes == ("0", "1", "2")

    def test_names_are_classes_in_sorted_order(self, tmp_path: Path) -> None:
        found = text(tmp_path, "a.csv", "text,label\nx,pos\ny,neg\nz,pos\nw,7\n")
        assert found.classes == ("7", "neg", "pos")
        assert found.targets.tolist() == [2, 1, 2, 0]
        assert found.source.endswith("4 labelled texts (all); classes in sorted order: 7, neg, pos")

    def test_real_numbers_are_targets(self, tmp_path: Path) -> None:
        found = text(tmp_path, "a.csv", "text,label\nx,1\ny,-2.5\n")
        assert found.classes == ()
        assert found.targets.dtype == torch.float64
        assert found.targets.tolist() == [1, -2.5]

    def test_of_many_every_tenth_is_held_out(self, tmp_path: Path) -> None:
        rows = [f"t{number} of many,{number % 7}" for number in range(1003)]
        found = text(tmp_path, "a.csv", "text,label\n" + "\n".join(rows))
        expected = [number for number in range(1003) if number % 10 == 9]
        assert found.texts == [f"t{number} of many".encode() for number in expected]
        assert found.targets.tolist() == [number % 7 for number in expected]
        assert found.source == "a.csv, 100 labelled texts (held out)"
        assert list(found.corpus.texts()) == [row.split(",")[0].encode() for row in rows]
        assert {*found.corpus.texts()} == {*found.texts, *found.corpus.other_texts}
        assert len(found.corpus.other_texts) == 903
        assert len(text(tmp_path, "b.csv", "text,label\n" + "\n".join(rows[:999])).texts) == 999

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", "text,label\nx,1\ny\n", "a.csv: line 3 is no .*got too many or too few col"),
            ("a.csv", "text,label\nx,1,2\n", "a.csv: line 2 is no labelled text; got too many or"),
            ("a.csv", 'text,label\n"a\nb",1\n"x"y,1\n', "line 4 is no labelled text; got ',' exp"),
            ("a.csv", "text,label\nx,\n", "line 2 is no labelled text; got no text, or no label"),
            ("a.csv", "text,label\n,1\n", "line 2 is no labelled text; got no text, or no label"),
            ("a.csv", "text,label\n", "line 2 is no labelled text; got no text, or no label"),
            ("a.csv", "text,label\nx,1\ny,-1\n", "line 3 is no labelled text; got label -1; expec"),
            ("a.csv", "text,label\nx,1\ny,9999999\n", "line 3 is no labelled text; got label 999"),
            ("a.csv", "text,label\nx,1.5\ny,inf\n", "line 3 is no labelled text; got label inf"),
            ("a.csv", b"text,label\n\xe9,1\n", "a.csv: the text is not UTF-8; got byte 0xe9"),
            ("a.jsonl", '{"text": "x", "label": 1}\n{"text"', "line 2 is no .*no object with a "),
            ("a.jsonl", '{"text": "x", "label": 1}\n{"text": 3, "label": 1}', "line 2 is .*no obj"),
            ("a.jsonl", '{"text": "x", "label": 1}\n{"text": "x"}', "line 2 is no .*no `label` th"),
            ("a.jsonl", '{"text": "x", "label": [1]}', "line 1 is no .*no `label` that is a name"),
        ],
    )  # fmt: skip
    def test_damaged(self, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
        with pytest.raises(FileError, match=message):
            text(tmp_path, name, content)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.csv", "x,y\n1,2\n"),
            ("a.csv", ""),
            ("a.csv", "x" * 200_000),
            ("a.jsonl", '{"text": "unlabelled"}\n'),
            ("a.jsonl", "prose"),
            ("a.txt", "text,label\nx,1\n"),
        ],
    )
    def test_other_files(self, tmp_path: Path, name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        assert read_labelled(tmp_path / name) is None
        assert read_labelled(tmp_path / "missing.csv") is None

    def test_models_are_fed_the_texts_without_their_labels(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text,label\nto be,1\nor not,0\n")
        stream = stream_for(
            str(tmp_path / "a.csv"), lambda x: x, vocab_size=7, sequences=1, length=9, seed=0
        )
        assert isinstance(stream, CorpusStream)
        assert "".join(stream.texts[token] for token in stream.tokens.tolist()) == "to beor not"
        assert stream.source == "a.csv, all text as characters"
        assert stream.split == "all of it"
        with pytest.raises(UsageError, match=r"shorter than one sequence; got 11 characters; "):
            stream.take([0], 13)

    @pytest.mark.parametrize("tokenizer", [
        Bytes(), Characters(tuple("01 "), "three"), Words(("0", "1"), "two"), Integers(2),
    ])  # fmt: skip
    def test_each_text_is_read_by_itself(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        """Between them stands nothing that a vocabulary may not hold, and no word goes on."""
        texts = [f"{number % 2} 1" for number in range(1003)]
        found = text(tmp_path, "a.csv", "text,label\n" + "\n".join(f"{t},0" for t in texts))
        stream = CorpusStream(found.corpus, 256, 0, tokenizer)
        measured = texts[9::10]
        others = [t for number, t in enumerate(texts) if number % 10 != 9]
        for tokens, part in ((stream.tokens, measured), (stream.others, others)):
            assert tokens.tolist() == [n for t in part for n in tokenizer.encode(t.encode())]

    def test_words_are_numbered_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        """Held-out texts, too, as training code knows nothing of the choice made here."""
        rows = "\n".join(f"w{number},0" for number in range(1000))
        found = text(tmp_path, "a.csv", f"text,label\n{rows}")
        (words,) = candidates("word", found.corpus, vocab_size=1001)
        assert words.encode(b"w0 w9 w10 w999").tolist() == [0, 10, 11, 1000, 1]

    def test_no_more_than_some_of_what_is_not_measured_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = "\n".join(f"{number:04},0" for number in range(1000))
        monkeypatch.setattr("seqprobe.sequences.corpus.MOST_OTHER_TEXT", 11)
        found = text(tmp_path, "a.csv", f"text,label\n{rows}")
        assert found.corpus.other_texts == [b"0997", b"0998"]


class TestSeries:
    def save(self, path: Path, inputs: np.ndarray, targets: np.ndarray) -> LabelledSeries:
        np.savez(path, inputs=inputs, targets=targets)
        found = read_labelled(path)
        assert isinstance(found, LabelledSeries)
        return found

    @pytest.mark.parametrize(
        ("targets", "dtype"),
        [
            (np.array([1, 0, 2], dtype=np.uint8), torch.int64),
            (np.zeros((3, 5), dtype=np.int32), torch.int64),
            (np.array([[0.5, 1], [2, 3], [4, 5]], dtype=np.float32), torch.float64),
            (np.array([True, False, True]), torch.int64),
        ],
    )
    def test_arrays(self, tmp_path: Path, targets: np.ndarray, dtype: torch.dtype) -> None:
        inputs = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
        found = self.save(tmp_path / "a.npz", inputs, targets)
        assert found.inputs.tolist() == inputs.tolist()
        assert found.targets.dtype == dtype
        assert found.targets.tolist() == targets.tolist()
        assert found.series.whole

    @pytest.mark.parametrize(
        ("targets", "predicts"),
        [
            (np.array([1, 0, 2]), "classes"),
            (np.zeros((3, 5), dtype=np.int32), "classes"),
            (np.linspace(0, 1, 15).reshape(3, 5), "values"),
            (np.arange(3, 33, 2.0).reshape(3, 5), None),  # the second feature, one step on
            (np.add(np.arange(2, 32, 2.0).reshape(3, 5), [0, 0, 0, 0, 9]), None),
            (np.add(np.arange(2, 32, 2.0).reshape(3, 5), [0, 0, 0, 9, 0]), "values"),
            (np.array([0.5, 1, 2]), None),
            (np.array([[0.5, 1], [2, 3], [4, 5]]), None),
        ],
    )
    def test_what_is_predicted(
        self, tmp_path: Path, targets: np.ndarray, predicts: str | None
    ) -> None:
        inputs = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
        assert self.save(tmp_path / "a.npz", inputs, targets).predicts == predicts

    def test_of_many_every_tenth_is_held_out(self, tmp_path: Path) -> None:
        inputs, targets = np.arange(2010.0).reshape(1005, 2, 1), np.arange(1005)
        found = self.save(tmp_path / "a.npz", inputs, targets)
        assert found.targets.tolist() == list(range(9, 1005, 10))
        assert found.inputs[:, 0, 0].tolist() == [2.0 * number for number in range(9, 1005, 10)]
        assert not found.series.whole

    @pytest.mark.parametrize(
        ("arrays", "got"),
        [
            ({"x": np.zeros(3)}, "arrays x"),
            ({}, r"arrays \(none\)"),
            ({"inputs": np.zeros((2, 3)), "targets": np.zeros(2)}, r"inputs \(2, 3\) and targets"),
            ({"inputs": np.zeros((2, 3, 1)), "targets": np.zeros(3)}, r"inputs .* and targets \(3"),
            (
                {"inputs": np.zeros((2, 3, 1)), "targets": np.array(["a", "b"])},
                "targets of <U1, or",
            ),
            ({"inputs": np.zeros((2, 3, 1)), "targets": np.array([0, np.nan])}, "not finite"),
            ({"inputs": np.zeros((2, 3, 1)), "targets": np.array([None, 1])}, "a damaged file, or"),
        ],
    )
    def test_damaged(self, tmp_path: Path, arrays: dict[str, np.ndarray], got: str) -> None:
        np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
        with pytest.raises(FileError, match=rf"^a.npz: no labelled series; got .*{got}"):
            read_labelled(tmp_path / "a.npz")

    def test_numbers_that_are_not_finite(self, tmp_path: Path) -> None:
        inputs = np.zeros((2, 3, 1))
        inputs[1, 2, 0] = np.inf
        with pytest.raises(
            FileError, match=r"^a.npz: no series of numbers; got inf at \[1, 2, 0\]"
        ):
            self.save(tmp_path / "a.npz", inputs, np.zeros(2))

    def test_cut_off(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", inputs=np.zeros((2, 3, 1)), targets=np.zeros(2))
        whole = (tmp_path / "a.npz").read_bytes()
        for size in (0, 3, 100, len(whole) - 30):
            (tmp_path / "a.npz").write_bytes(whole[:size])
            with pytest.raises(FileError, match=r"got a damaged file, or one with Python objects"):
                read_labelled(tmp_path / "a.npz")

    def test_are_nothing_for_models_of_tokens(self, tmp_path: Path) -> None:
        self.save(tmp_path / "a.npz", np.zeros((2, 3, 1)), np.zeros(2))
        with pytest.raises(UsageError, match=r"the model reads tokens, not real-valued features"):
            corpus_named(str(tmp_path / "a.npz"))
