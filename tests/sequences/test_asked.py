"""Copy and recall as something to feed: the sequences of the task, none of those of a training."""

import pytest
import torch

from seqprobe.errors import UsageError
from seqprobe.sequences.asked import AskedStream, task_in
from seqprobe.sequences.choose import stream_for
from seqprobe.sequences.generator import generator
from seqprobe.sequences.streams import Stream
from seqprobe.sequences.tasks import Copy, Distances, Recall


def named(name: str, vocab_size: int = 5, seed: int = 0) -> Stream:
    return stream_for(
        name, lambda tokens: tokens, vocab_size=vocab_size, sequences=4, length=16, seed=seed
    )


@pytest.mark.parametrize(
    ("name", "task", "source"),
    [
        ("recall-16-1024", Recall(1024, symbols=4, shortest=16), "recall over 16 to 1024 steps"),
        ("recall-100", Recall(100, symbols=4), "recall over 100 steps"),
        ("copy-4-32", Copy(32, symbols=4, shortest=4), "copy over 4 to 32 steps"),
    ],
)
def test_by_name(name: str, task: Distances, source: str) -> None:
    stream = named(f"synthetic:{name}")
    assert isinstance(stream, AskedStream)
    assert stream.task == task
    assert stream.source == source
    assert stream.longest == task.context


@pytest.mark.parametrize(
    "name", ["recall", "copy-0", "copy-4-", "recall-4-5-6", "recall--4", "lag-4"]
)
def test_other_names(name: str) -> None:
    assert task_in(f"synthetic:{name}", 5) is None


def test_it_is_the_task() -> None:
    tokens = named("synthetic:recall-3-20").take(range(50), 21)
    assert (tokens[:, 0] < 4).all()
    gaps = [torch.nonzero(row < 4).flatten().diff() for row in tokens]
    assert min(int(gap.min()) for gap in gaps if len(gap)) == 4, "three blanks between symbols"
    copied = named("synthetic:copy-6").take([3], 12)[0]
    assert copied[6] == 4, "the marker"
    assert torch.equal(copied[7:], copied[:5])


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    stream = named("synthetic:recall-3-20")
    together = stream.take([3, 17, 4], 12)
    assert torch.equal(together[1], stream.take([17], 21)[0, :12])
    assert not torch.equal(together, named("synthetic:recall-3-20", seed=1).take([3, 17, 4], 12))


def test_no_training_saw_it() -> None:
    task = Copy(12)
    fed = {tuple(row) for row in named("synthetic:copy-12", 9).take(range(64), 24).tolist()}
    for step in range(64):
        assert not fed & {tuple(row) for row in task.batch(64, generator(0, step))[0].tolist()}


def test_frequencies() -> None:
    """Of a copy every seventh token is the marker, but for the twelfth; symbols share the rest."""
    found = named("synthetic:copy-6").frequencies
    assert found is not None
    assert found.sum() == pytest.approx(1)
    assert found[4] == pytest.approx(1 / 12)
    assert found[:4].tolist() == pytest.approx([11 / 48] * 4, abs=0.04)


def test_there_is_no_more_of_it() -> None:
    with pytest.raises(
        UsageError, match=r"^recall over 20 steps: the task is shorter than"
    ) as said:
        named("synthetic:recall-20").take([0], 22)
    said.match("got 21 steps; expected at least 22. Use a smaller --length.")


def test_the_wrong_way_round() -> None:
    with pytest.raises(UsageError, match="shortest distance is longer than the longest one"):
        named("synthetic:copy-64-16")
