"""What candidates are judged by: losses against naive loops, guesses against closed forms."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seqprobe.checkpoints.examples import SCALES, Labels, NextTokens, Targets
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.checkpoints.readings import readings
from seqprobe.errors import UsageError
from seqprobe.estimators.bigram import bigram_nats
from seqprobe.sequences.corpus import corpus_of
from seqprobe.sequences.streams import CorpusStream

CPU = torch.device("cpu")
TEXT = b"to be or not to be, that is the question: whether it is nobler in the mind to suffer. " * 9


class Recurrent(nn.Module):
    def __init__(self, inputs: int | None, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(256, 4) if inputs is None else nn.Identity()
        self.rnn = nn.GRU(inputs or 4, 4, batch_first=True)
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(4, outputs)
        self.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.dropout(self.rnn(self.embedding(inputs))[0]))
        return out


@pytest.fixture
def next_tokens() -> NextTokens:
    cut = 2 * len(TEXT) // 3
    return NextTokens(CorpusStream(corpus_of("t", TEXT[:cut], TEXT[cut:]), 256), 20, CPU)


class TestNextTokens:
    def test_mean_bits_of_every_next_token(self, next_tokens: NextTokens) -> None:
        model = Recurrent(None, 256)
        found = next_tokens.losses(model, 3, 14)
        model.eval()
        for row, number in enumerate(range(3, 14)):
            (tokens,) = next_tokens.stream.take([number], 20)
            bits = [
                -math.log2(model(tokens[None, : t + 1])[0, -1].softmax(-1)[tokens[t + 1]])
                for t in range(19)
            ]
            assert float(found[row, 0]) == pytest.approx(sum(bits) / 19, rel=1e-5)

    def test_one_does_not_depend_on_the_others(self, next_tokens: NextTokens) -> None:
        model = Recurrent(None, 256)
        whole = next_tokens.losses(model, 0, 19)
        parts = [next_tokens.losses(model, first, first + 1) for first in range(19)]
        assert torch.allclose(torch.cat(parts), whole, rtol=1e-6)
        assert model.training, "its mode is left alone"

    def test_a_guess_is_counted_elsewhere(self, next_tokens: NextTokens) -> None:
        """Laplace's rule on the part of the text that is not measured on."""
        train = TEXT[: 2 * len(TEXT) // 3]
        tokens = next_tokens.stream.take(range(5), 20)[:, 1:]
        bits = [-math.log2((train.count(t) + 1) / (len(train) + 256)) for t in tokens.flatten()]
        assert next_tokens.floor(5) == pytest.approx(sum(bits) / len(bits))

    def test_pairs_are_counted_elsewhere(self, next_tokens: NextTokens) -> None:
        train = torch.tensor(list(TEXT[: 2 * len(TEXT) // 3]))
        tokens = next_tokens.stream.take(range(5), 20)
        expected = float(bigram_nats(train, tokens, 256).mean()) / math.log(2)
        assert next_tokens.pairs(5) == pytest.approx(expected)
        assert expected < next_tokens.floor(5)

    def test_without_another_part_there_are_no_pairs(self) -> None:
        whole = NextTokens(CorpusStream(corpus_of("t", b"", TEXT, whole=True), 256), 20, CPU)
        assert whole.pairs(5) is None
        assert math.isfinite(whole.floor(5))


class TestLabels:
    def test_bits_of_the_right_class_at_the_end(self) -> None:
        model = Recurrent(None, 3)
        texts = tuple(torch.randint(256, (length,)) for length in (5, 9, 3, 7))
        classes = torch.tensor([0, 2, 1, 2])
        labels = Labels(texts, classes, CPU)
        found = labels.losses(model, 1, 4)
        model.eval()
        for row, number in enumerate((1, 2, 3)):
            chances = model(texts[number][None])[0, -1].softmax(-1)
            assert float(found[row, 0]) == pytest.approx(-math.log2(chances[classes[number]]))
        assert labels.unit == "bits per text"
        assert labels.floor(4) == pytest.approx((2 + 1 + 2 + 1) / 4)

    def test_numbers_are_regressed_on(self) -> None:
        model = Recurrent(None, 1)
        texts = tuple(torch.randint(256, (length,)) for length in (5, 9))
        labels = Labels(texts, torch.tensor([0.5, 2.5]), CPU)
        found = labels.losses(model, 0, 2)
        model.eval()
        answers = [float(model(text[None])[0, -1, 0].detach()) for text in texts]
        expected = [(answers[0] - 0.5) ** 2, (answers[1] - 2.5) ** 2]
        assert found[:, 0].tolist() == pytest.approx(expected)
        assert labels.unit == "squared error"
        assert labels.floor(2) == pytest.approx(1.0)


class TestTargets:
    inputs = torch.randn(6, 7, 2, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize(
        ("shape", "outputs", "per_step"),
        [((6,), 1, False), ((6, 3), 3, False), ((6, 7), 1, True), ((6, 7, 3), 3, True)],
    )
    def test_squared_error(self, shape: tuple[int, ...], outputs: int, per_step: bool) -> None:
        model, wanted = Recurrent(2, outputs), torch.randn(shape)
        found = Targets(self.inputs, wanted, CPU).losses(model, 2, 6)
        answers = model.eval()(self.inputs[2:6])
        answers = answers if per_step else answers[:, -1]
        for row in range(4):
            errors = (answers[row].flatten() - wanted[2 + row].flatten()) ** 2
            assert float(found[row, 0]) == pytest.approx(float(errors.mean()), rel=1e-5)

    @pytest.mark.parametrize("shape", [(6,), (6, 7)])
    def test_classes(self, shape: tuple[int, ...]) -> None:
        model, wanted = Recurrent(2, 4), torch.randint(4, shape)
        found = Targets(self.inputs, wanted, CPU).losses(model, 0, 6)
        chances = model.eval()(self.inputs).softmax(-1)
        for row in range(6):
            steps = range(7) if len(shape) > 1 else [6]
            right = [
                chances[row, t, wanted[row].reshape(-1)[t if len(shape) > 1 else 0]] for t in steps
            ]
            assert float(found[row, 0]) == pytest.approx(
                sum(-math.log2(chance) for chance in right) / len(right), rel=1e-5
            )

    def test_the_guess_is_the_mean(self) -> None:
        wanted = torch.randn(6, 3)
        expected = float(((wanted - wanted.mean(0)) ** 2).mean())
        assert Targets(self.inputs, wanted, CPU).floor(6) == pytest.approx(expected)


def test_the_other_columns_are_of_scaled_outputs(next_tokens: NextTokens) -> None:
    model = Recurrent(None, 256)
    plain = next_tokens.losses(model, 0, 3)
    assert plain.shape == (3, len(SCALES))
    for column, scale in enumerate(SCALES):
        scaled = Recurrent(None, 256)
        scaled.head.weight *= scale
        scaled.head.bias *= scale
        assert torch.allclose(next_tokens.losses(scaled, 0, 3)[:, 0], plain[:, column], rtol=1e-5)


class TestReadings:
    layout = Layout("toy", "none:None", {}, {}, vocab_size=256)

    def read(self, data: str | None, layout: Layout = layout, **more: object) -> list:
        arguments = {"tokenizer": None, "folder": Path(), "seed": 0, "device": CPU, **more}
        return readings(layout, data, **arguments)

    @pytest.mark.parametrize("data", [None, "synthetic:iid", "synthetic:copy"])
    def test_noise_is_no_evidence(self, data: str | None) -> None:
        (reading,) = self.read(data)
        assert reading.examples is None
        assert reading.name == ""

    def test_text(self, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_bytes(TEXT)
        (reading,) = self.read(str(tmp_path / "text.txt"))
        assert reading.name == "bytes"
        assert isinstance(reading.examples, NextTokens)
        assert reading.examples.length == round(0.1 * len(TEXT)), "no longer than the text"

    def test_both_orders_of_characters(self, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_bytes(TEXT)
        layout = Layout("toy", "none:None", {}, {}, vocab_size=len(set(TEXT)))
        names = [reading.name for reading in self.read(str(tmp_path / "text.txt"), layout)]
        assert [name.split(", ")[1] for name in names] == ["sorted)", "by first appearance)"]

    def test_plain_text_says_nothing_about_a_classifier(self, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_bytes(TEXT)
        layout = Layout("toy", "none:None", {}, {}, vocab_size=256, predicts_tokens=False)
        (reading,) = self.read(str(tmp_path / "text.txt"), layout)
        assert reading.examples is None
        assert reading.name == "bytes"

    def test_labelled_texts(self, tmp_path: Path) -> None:
        (tmp_path / "texts.csv").write_text("text,label\ngood,1\nbad,0\nfine,1\n")
        layout = Layout("toy", "none:None", {}, {}, vocab_size=256, predicts_tokens=False)
        (reading,) = self.read(str(tmp_path / "texts.csv"), layout)
        assert isinstance(reading.examples, Labels)
        assert [bytes(text.tolist()) for text in reading.examples.texts] == [
            b"good",
            b"bad",
            b"fine",
        ]
        assert reading.examples.targets.tolist() == [1, 0, 1]

    def test_series_are_for_models_of_real_values(self, tmp_path: Path) -> None:
        import numpy as np

        np.savez(tmp_path / "series.npz", inputs=np.ones((4, 5, 2)), targets=np.zeros(4))
        layout = Layout("toy", "none:None", {}, {}, features=2)
        (reading,) = self.read(str(tmp_path / "series.npz"), layout)
        assert isinstance(reading.examples, Targets)
        with pytest.raises(UsageError, match="the model reads tokens, not real-valued features"):
            self.read(str(tmp_path / "series.npz"))
