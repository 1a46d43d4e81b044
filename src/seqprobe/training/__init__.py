"""Probes attached to a training loop, where their measurements go, and the story they tell."""

from seqprobe.training.jsonl import JSONL
from seqprobe.training.story import Story
from seqprobe.training.tensorboard import TensorBoard

__all__ = ["JSONL", "Story", "TensorBoard"]
