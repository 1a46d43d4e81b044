"""What the reference models are taught: inputs and targets, symbol by symbol."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from seqprobe.errors import UsageError
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import IGNORED, Copy, Induction, NextByte, Recall, task_named


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_copy() -> None:
    task = Copy(distance=3, symbols=8)
    inputs, targets = task.batch(50, seeded())
    assert inputs.shape == targets.shape == (50, task.context) == (50, 6)
    assert task.vocab_size == 9
    for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
        seen = row[:3]
        assert row[3] == 8, "the marker"
        assert wanted[:3] == [IGNORED] * 3
        assert wanted[3:] == seen, "from the marker on, the symbols again"
        assert row[4:] == seen[:-1], "what was said so far"
        assert max(seen) < 8


def test_the_copied_symbol_lies_distance_back() -> None:
    """At t the target is the input at t - distance."""
    inputs, targets = Copy(distance=5).batch(20, seeded())
    assert torch.equal(targets[:, 5:], inputs[:, :5])


def test_recall() -> None:
    task = Recall(distance=4, symbols=4)
    inputs, targets = task.batch(50, seeded())
    assert inputs.shape == targets.shape == (50, task.context) == (50, 5)
    assert (inputs[:, 0] < 4).all()
    assert set(inputs[:, 0].tolist()) == {0, 1, 2, 3}
    assert (inputs[:, 1:] == 4).all(), "blanks"
    assert (targets[:, :-1] == IGNORED).all()
    assert torch.equal(targets[:, -1], inputs[:, 0])


class TestManyDistances:
    def test_copy_says_it_again_and_again(self) -> None:
        task = Copy(9, shortest=3)
        inputs, targets = task.batch(300, seeded())
        assert inputs.shape == targets.shape == (300, 18)
        found = set()
        for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
            distance = row.index(8)
            found.add(distance)
            period = distance + 1
            assert row == (row[:period] * 18)[:18]
            for step in range(18):
                due = (row[:period] * 18)[step + 1]
                asked = step >= distance and due != 8
                assert wanted[step] == (row[step - distance] if asked else IGNORED)
                assert not asked or wanted[step] == due
        assert found == {*range(3, 10)}

    def test_recall_asks_for_the_symbol_before(self) -> None:
        task = Recall(9, symbols=5, shortest=3)
        inputs, targets = task.batch(300, seeded())
        assert inputs.shape == targets.shape == (300, 10)
        several = 0
        for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
            places = [step for step, symbol in enumerate(row) if symbol != 5]
            assert places[0] == 0
            assert all(4 <= b - a <= 10 for a, b in pairwise(places))
            several += len(places) > 1
            for step in range(10):
                last = max(place for place in places if place <= step)
                assert wanted[step] == (row[last] if step - last >= 3 else IGNORED)
        assert 0 < several < 300

    @pytest.mark.parametrize("kind", [Copy, Recall])
    def test_one_distance_is_the_plain_task(self, kind: type[Copy | Recall]) -> None:
        plain, same = kind(7).batch(20, seeded()), kind(7, shortest=7).batch(20, seeded())
        assert all(map(torch.equal, plain, same))

    def test_as_many_in_every_octave(self) -> None:
        """P(k) = log(1 + 1/k) / log(2 distance / shortest), and one octave for the longest."""
        inputs, _ = Copy(64, shortest=4).batch(20_000, seeded())
        distances = (inputs == 8).int().argmax(1)
        share = torch.bincount(distances, minlength=65) / 20_000
        assert len(share) == 65
        for low, high in [(4, 8), (8, 16), (16, 32), (32, 64), (64, 65)]:
            assert float(share[low:high].sum()) == pytest.approx(1 / 5, abs=0.012), "four sigma"
        assert float(share[4]) == pytest.approx(math.log(5 / 4) / math.log(32), abs=0.008)

    def test_plain_tasks_of_doubled_distances(self) -> None:
        found = Recall(100, symbols=6, shortest=16).by_distance()
        assert found == {k: Recall(k, symbols=6, shortest=k) for k in (16, 32, 64, 100)}
        assert found[100].context == 101
        assert list(Copy(64, shortest=16).by_distance()) == [16, 32, 64]
        assert Copy(5).by_distance() == {5: Copy(5)}

    def test_the_wrong_way_round(self) -> None:
        with pytest.raises(UsageError, match="shortest distance is longer than the") as said:
            Copy(16, shortest=32)
        said.match("got shortest=32 and distance=16; expected shortest at most distance. Set both")


def test_induction_repeats_after_a_period_of_its_own() -> None:
    task = Induction(longest=6, symbols=50)
    inputs, targets = task.batch(200, seeded())
    assert inputs.shape == targets.shape == (200, task.context) == (200, 12)
    periods = [wanted.count(IGNORED) for wanted in targets.tolist()]
    assert {*periods} == {3, 4, 5, 6}
    for row, wanted, period in zip(inputs.tolist(), targets.tolist(), periods, strict=True):
        assert row[period:] == row[:-period]
        assert wanted[period:-1] == row[period + 1 :]
        assert wanted[-1] == row[12 - period], "the symbol after the last one"


def test_induction_is_held_out_at_its_longest_period() -> None:
    _, targets = Induction(longest=6).held_out(20)
    assert (targets == IGNORED).sum(1).tolist() == [6] * 20


def test_next_byte(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(bytes(i % 251 for i in range(1000)))
    task = NextByte(read_corpus(str(tmp_path / "book.txt")), context=16)
    inputs, targets = task.batch(30, seeded())
    assert inputs.shape == targets.shape == (30, 16)
    assert torch.equal(targets[:, :-1], inputs[:, 1:])
    assert torch.equal(targets, (inputs + 1) % 251)


def test_held_out_is_from_the_other_part(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"a" * 900 + b"b" * 100)
    task = NextByte(read_corpus(str(tmp_path / "book.txt")), context=16)
    inputs, targets = task.held_out(1000)
    assert set(inputs.flatten().tolist()) == set(targets.flatten().tolist()) == {ord("b")}
    assert len(inputs) == 84, "each place once, however many are asked for"
    assert set(task.batch(50, seeded())[0].flatten().tolist()) == {ord("a")}


@pytest.mark.parametrize(
    "task", [Copy(4), Recall(4), Recall(9, shortest=2)], ids=["copy", "recall", "recall-2-9"]
)
def test_equal_generators_give_equal_batches(task: Copy | Recall) -> None:
    assert all(map(torch.equal, task.batch(9, seeded(3)), task.batch(9, seeded(3))))
    assert not torch.equal(task.batch(9, seeded(3))[0], task.batch(9, seeded(4))[0])
    assert all(map(torch.equal, task.held_out(9), task.held_out(9)))


def test_held_out_symbols_are_never_drawn_in_training() -> None:
    task = Copy(12)
    held_out = {tuple(row) for row in task.held_out(64)[0].tolist()}
    for seed, step in [(0, 0), (0, 1), (1, 0), (3, 2000)]:
        batch = task.batch(64, generator(seed, step))[0]
        assert not held_out & {tuple(row) for row in batch.tolist()}


def test_by_name(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"x" * 1000)
    assert task_named("copy", context=9, distance=3) == Copy(3)
    assert task_named("recall", context=9, distance=3) == Recall(3)
    assert task_named("copy", context=9, distance=8, shortest=2) == Copy(8, shortest=2)
    assert task_named(str(tmp_path / "book.txt"), context=9, distance=3).context == 9


@pytest.mark.parametrize("context", [100, 900])
def test_a_text_shorter_than_the_context_is_refused_before_training(
    tmp_path: Path, context: int
) -> None:
    (tmp_path / "book.txt").write_bytes(b"x" * 1000)
    corpus = read_corpus(str(tmp_path / "book.txt"))
    NextByte(corpus, context=99)
    with pytest.raises(UsageError, match=r"^book.txt: the text is shorter than one train") as said:
        NextByte(corpus, context=context)
    said.match(f"got 900 bytes to train on and 100 held out; expected at least {context + 1}")
    said.match("a smaller context: --set context=")
