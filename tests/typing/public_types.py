"""What type checkers see of the public interface; checked by mypy, never run."""

from typing import assert_type

import pandas
from matplotlib.figure import Figure
from torch import nn

import seqprobe

model = seqprobe.load("model.pt")
assert_type(model, seqprobe.SequenceModel)
report = seqprobe.analyze(nn.Linear(1, 1), data="stdlib", distance=100)
assert_type(report, seqprobe.Report)
assert_type(report["gradient-decay"].metrics["half_life"], seqprobe.Estimate)
assert_type(report.to_pandas(), pandas.DataFrame)
assert_type(report.table("gradient-decay").to_pandas(), pandas.DataFrame)
assert_type(report.figure("gradient-decay"), Figure)
assert_type(seqprobe.compare("a.pt", "b.pt"), seqprobe.Comparison)
