"""Frames of features to a class for each of them, as in audio: from a file to every number."""

import numpy as np
import pytest
import torch
from torch import nn

import seqprobe
from seqprobe.reference.zoo import Stack

FEATURES, LATE, SMALL = 3, 3, 1e-3


def register():
    """Keeps the last LATE + 1 frames side by side, and gives the oldest of them as scores.

    Frames are so small inside that tanh does nothing to them.
    """
    width = FEATURES * (LATE + 1)
    rnn, head = nn.RNN(FEATURES, width, batch_first=True, bias=False), nn.Linear(width, FEATURES)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(SMALL * torch.eye(width, FEATURES))
        rnn.weight_hh_l0.copy_(torch.eye(width).roll(FEATURES, 0).tril())
        head.weight.copy_(torch.eye(width).flip(0)[:FEATURES].flip(0) / SMALL)
        head.bias.zero_()
    return Stack(nn.Identity(), rnn, head)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "frames.npy"
    np.save(path, np.random.default_rng(0).normal(size=(40, 64, FEATURES)))
    return seqprobe.analyze(
        seqprobe.SequenceModel(register(), features=FEATURES, predicts="classes"),
        data=str(path),
        probes=("position", "context", "order", "bottleneck"),
        length=64,
        limit=32,
        distance=LATE,
    )


def test_a_class_depends_on_the_frame_that_it_was_made_of(report):
    table = report.table("position")
    bits = np.array(table.column("kl_bits"))
    elsewhere = np.arange(len(bits)) != LATE
    assert (bits[elsewhere] < 1e-6).all()
    frames = np.random.default_rng(1).normal(size=(2, 100_000, FEATURES))
    logs = frames - np.log(np.exp(frames).sum(-1, keepdims=True))
    truth = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(-1).mean() / np.log(2)
    assert bits[LATE] == pytest.approx(truth, rel=0.15)
    assert "KL divergence" in report["position"].method
    assert report["position"].metrics["horizon"].value == LATE


def test_so_many_frames_are_needed_and_stored(report):
    assert report["context"].metrics["effective_length_kl"].value == LATE + 1
    stored = report["bottleneck"].metrics["bits_at_distance"]
    assert stored.low > 10
    table = report.table("bottleneck")
    bits = dict(zip(table.column("distance"), table.column("lower_bound"), strict=True))
    assert min(value for distance, value in bits.items() if distance <= LATE) > 10
    assert max(value for distance, value in bits.items() if distance > LATE) < 0.05


def test_without_a_next_class_there_is_no_order(report):
    assert report["order"].status == "not applicable"
    assert "its outputs are scores of classes" in report["order"].headline
