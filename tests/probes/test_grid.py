"""Patches of an image: distance is that on the image, whichever way the raster runs."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

import seqprobe
from seqprobe.errors import ModelError, SeqProbeError, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.path_length import PathLength
from seqprobe.probes.position import Position
from seqprobe.runner.plan import plan

ROWS, COLUMNS = GRID = 4, 6
PATCHES = ROWS * COLUMNS
PLACES = np.array([complex(row, column) for row in range(ROWS) for column in range(COLUMNS)])
APART = abs(PLACES[:, None] - PLACES)
EXAMPLE = Path(__file__).parents[2] / "examples" / "vision_patches.py"


class Linear(nn.Module):
    """Outputs are a matrix over patches, times the inputs."""

    def __init__(self, matrix):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float64))

    def forward(self, x):
        return self.weight @ x


class Convolutions(nn.Module):
    """3 x 3, all ones, one upon the other."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.kernel = layers, nn.Parameter(torch.ones(1, 1, 3, 3).double())

    def forward(self, x):
        image = x.unflatten(1, GRID).movedim(-1, 1)
        for _ in range(self.layers):
            image = conv2d(image, self.kernel, padding=1)
        return image.flatten(2).mT


def below(columns=COLUMNS):
    """Every output is the input one row above."""
    return np.eye(PATCHES, k=-columns)


def on_grid(module, features=1):
    return SequenceModel(module.double(), features=features, grid=GRID, predicts="values")


def table(found, name):
    (series,) = [each for each in found.series if each.id == name]
    return {column.name: np.array(series.column(column.name)) for column in series.columns}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("layers", [1, 2])
def test_convolutions_reach_as_far_as_their_kernels(show, layers):
    """Paths are counted by the powers of two tridiagonal matrices, one along each side."""
    found = show(on_grid(Convolutions(layers)), GradientDecay(targets=PATCHES), time=PATCHES)
    sides = (np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1) for n in GRID)
    gradient = np.linalg.matrix_power(np.kron(*sides), layers)
    relative = gradient / gradient.mean(1, keepdims=True)
    curve = table(found, "gradient-decay-grid")
    truth = [relative[np.rint(APART) == distance].mean() for distance in curve["distance"]]
    assert curve["relative"] == pytest.approx(truth, abs=1e-12)
    assert curve["distance"].tolist() == list(range(7))
    assert ((curve["relative"] > 0) == (curve["distance"] <= round(layers * 2**0.5))).all()
    mean = (relative * APART).mean()
    assert found.metrics["grid_mean_distance"].value == pytest.approx(mean)
    assert found.metrics["grid_mean_distance"].unit == "patches"


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("probe", [GradientDecay(targets=PATCHES), GradientDecay(), Position()])
def test_the_same_everywhere_is_the_null(show, probe, causal):
    ones = np.tri(PATCHES) if causal else np.ones((PATCHES, PATCHES))
    found = show(on_grid(Linear(ones)), probe, time=PATCHES)
    mean = found.metrics["grid_mean_distance"]
    assert mean.value == pytest.approx(mean.null.value)
    if getattr(probe, "targets", 0) == PATCHES:
        assert mean.value == pytest.approx(APART[ones > 0].mean())
        assert table(found, "gradient-decay-grid")["relative"] == pytest.approx(1)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("probe", [GradientDecay(), Position()])
@pytest.mark.parametrize("turned", [False, True])
def test_the_next_row_is_one_patch_away(show, probe, turned):
    matrix = below().T if turned else below()
    found = show(on_grid(Linear(matrix)), probe, time=PATCHES)
    assert found.metrics["grid_mean_distance"].value == pytest.approx(1)
    curve = table(found, f"{probe.id}-grid")
    column = "relative" if probe.id == "gradient-decay" else "kl_bits"
    assert ((curve[column] > 0) == (curve["distance"] == 1)).all()
    if probe.id == "position":
        raster = table(found, "position-ahead" if turned else "position")
        assert ((raster["kl_bits"] > 0) == (raster["distance"] == COLUMNS)).all()


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("probe", [GradientDecay(), Position()])
def test_nothing_has_no_mean_distance(show, probe):
    mean = show(on_grid(Linear(0 * below())), probe, time=PATCHES).metrics["grid_mean_distance"]
    assert mean.value is mean.null.value is None
    assert mean.reason == "nothing at any distance has influence"


@pytest.mark.usefixtures("double")
def test_an_effect_is_the_mean_over_what_was_seen(show, observe):
    """Every pair of a linear model by itself, over all edits."""
    weights = np.random.default_rng(0).normal(size=(PATCHES, PATCHES))
    model, probe = on_grid(Linear(weights)), Position(exact=True)
    found = table(show(model, probe, time=PATCHES), "position-grid")
    seen = observe(model, probe, range(16), PATCHES)
    x, pool, noise = seen.inputs[..., 0].numpy(), seen.values[:, 0].numpy(), seen.readout.noise
    bits: dict[int, list[float]] = {}
    for row in range(16):
        edits = PATCHES - 8
        others = pool[np.random.default_rng((0, row)).integers(len(pool), size=edits)]
        for step in range(edits):
            moved = weights[:, step] * (others[step] - x[row, step]) / noise.item()
            for place, kl in enumerate(moved**2 / 2 / np.log(2)):
                bits.setdefault(round(APART[step, place]), []).append(kl)
    assert found["kl_bits"] == pytest.approx([np.mean(bits[each]) for each in found["distance"]])
    assert (found["n"] == 16).all()


class Fixed(nn.Module):
    """Reads patches one by one, at positions of its own."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(PATCHES, 5))
        self.rnn, self.head = nn.GRU(5, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.rnn(x + self.places)[0])


def all_probes(module, features, grid):
    model = SequenceModel(module, features=features, grid=grid, predicts="classes")
    report = seqprobe.analyze(model, limit=8)
    failed = {check.id: check.headline for check in report.checks if check.status == "error"}
    assert not failed
    assert report["throughput"].headline == (
        f"needs sequences of several lengths; all images have {grid[0]} x {grid[1]} patches"
    )
    for id in ("gradient-decay", "position"):
        mean = report[id].metrics["grid_mean_distance"]
        assert 0 <= mean.low <= mean.value <= mean.high < mean.null.value * 1.5
    assert report["gradient-decay"].metrics["grid_mean_distance_untrained"].value > 0
    return report


def test_a_vision_transformer_is_measured_by_every_probe(capsys):
    vision = runpy.run_path(str(EXAMPLE))
    vision["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("gradient-decay: ")
    assert len(lines) == 2 + 7
    vit = vision["ViTModel"](vision["CONFIG"], add_pooling_layer=False)
    all_probes(vision["OfPatches"](vit), 48, (6, 4))


def test_a_recurrence_over_patches_is_measured_by_every_probe():
    torch.manual_seed(0)
    report = all_probes(Fixed(), 5, GRID)
    assert report["jacobian-spectrum"].status == "info"


def test_every_probe_sees_whole_images():
    asked = PathLength(100)
    lengths = [plan([asked], 400, None, (), whole=w)[0].needs.length for w in (True, False)]
    assert lengths == [400, asked.needs.length]


def test_a_grid_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no grid of patches; got grid=\(4, 0\); expected \(rows"):
        SequenceModel(Fixed(), features=5, grid=(4, 0))
    model = SequenceModel(Fixed(), features=5, grid=GRID)
    with pytest.raises(ModelError, match=r"^Fixed: the grid .*; got 23 steps; expected 4 x 6 = 24"):
        model(torch.randn(1, 23, 5))
    with pytest.raises(UsageError, match="got length 48, distance not given and 4 x 6 = 24 patc"):
        seqprobe.analyze(model, length=48)
    np.save(tmp_path / "long.npy", np.zeros((3, 48, 5)))
    with pytest.raises(SeqProbeError, match="not the images of the grid; got 48 steps; expected 4"):
        seqprobe.analyze(model, data=str(tmp_path / "long.npy"))
