"""How exact decoded bits are, what they cost, and whether their limits hold.

    python benchmarks/information.py [WORD ...] > docs/information.md

One thread; all times are CPU seconds, so that a busy machine does not count. Accuracy is against
channels whose information is known; peers see the same rows. What is compared in time is timed in
one run, round by round in changing order; tables have medians.
With words, only sections whose name contains one of them are run.
"""

import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import process_time

import numpy as np
import torch
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from seqprobe.estimators.bootstrap import curve_interval, resampled_means
from seqprobe.estimators.information import decodable_bits, temperature
from seqprobe.estimators.information.discriminant import Discriminant
from seqprobe.estimators.information.entropy import surprisal
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.linear import linear
from seqprobe.estimators.information.moments import Moments
from seqprobe.reference.channels import Drawn, EnumeratedLSTM, FadingRegister

SEQUENCES, STEPS = 1000, 10
SEEDS, ROUNDS = 5, 5
SYMBOLS, DISTANCES = 16, 64
TOPICS, CLASSES, LAGS, WIDTH, REPLICATES = 0.3, 8, 8, 64, 60
Channel = FadingRegister | EnumeratedLSTM
Work = Callable[[], object]


def channels() -> dict[str, tuple[Channel, float, tuple[int, ...]]]:
    """Each with its goal, and the distances that peers are asked for."""
    return {
        "fade: register, linear": (FadingRegister(), 0.02, (0, 5, 13)),
        "LSTM, noise .03": (EnumeratedLSTM(0.03), 0.15, (0, 3, 5)),
        "LSTM, noise .1": (EnumeratedLSTM(0.1), 0.05, (0, 3, 5)),
    }


def uniform(classes: int) -> Tensor:
    """Chances of symbols that we draw."""
    return torch.full((classes,), 1 / classes)


def race(candidates: Mapping[str, Work], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of every candidate; one round to warm up if there are several."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + (rounds > 1)):
        for name in random.sample(list(candidates), len(candidates)):
            started = process_time()
            candidates[name]()
            if turn or rounds == 1:
                seconds[name].append(process_time() - started)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def accuracy() -> None:
    """The ensemble against the truth."""
    print(f"## Accuracy\n\nErrors in bits over all distances, means of {SEEDS} seeds (range).\n")
    print("| channel | bound, MAE | estimate, MAE | goal | limit above truth | s per distance |")
    print("|---|---|---|---|---|---|")
    for name, (channel, goal, _) in channels().items():
        truth, lower, estimate, above, seconds = channel.bits().numpy(), [], [], [], []
        for seed in range(SEEDS):
            drawn, started = channel.draw(SEQUENCES, STEPS, seed), process_time()
            found = decodable_bits(*drawn, channel.symbols, chances=uniform(channel.symbols))
            seconds.append((process_time() - started) / len(truth))
            lower.append(np.abs(found.lower - truth).mean())
            estimate.append(np.abs(found.estimate - truth).mean())
            above.append(found.low > truth + 1e-3)
        share = f"{np.sum(above)} of {np.size(above)}"
        print(
            f"| {name} | {spread(lower)} | {spread(estimate)} | {goal} | {share} "
            f"| {statistics.median(seconds):.2f} |",
            flush=True,
        )
    print(
        "\nThe limit may lie above the truth at 5 % of the distances (by more than 0.001 bits).\n"
    )


def spread(errors: list[float]) -> str:
    """Mean, and the range."""
    return f"{np.mean(errors):.3f} ({min(errors):.3f} .. {max(errors):.3f})"


def peers() -> None:
    """Others at a few distances of the same rows, one seed."""
    print("## Peers\n\nMean absolute error in bits at a few distances, seed 0; s per distance.\n")
    print("| channel | distances | bound | estimate | logistic regression | per feature, max |")
    print("|---|---|---|---|---|---|")
    for name, (channel, _, lags) in channels().items():
        truth, drawn = channel.bits().numpy()[list(lags)], channel.draw(SEQUENCES, STEPS)
        started = process_time()
        found = decodable_bits(*drawn, channel.symbols, chances=uniform(channel.symbols))
        ours = (process_time() - started) / channel.bits(100).numel()
        cells = [
            f"{np.abs(found.lower[list(lags)] - truth).mean():.3f}",
            f"{np.abs(found.estimate[list(lags)] - truth).mean():.3f}, {ours:.2g} s",
        ]
        for peer in (logistic_regression, per_feature):
            started = process_time()
            told = np.array([peer(drawn, lag, channel.symbols) for lag in lags])
            seconds = (process_time() - started) / len(lags)
            cells.append(f"{np.abs(told.clip(0) - truth).mean():.3f}, {seconds:.2g} s")
        print(f"| {name} | {', '.join(map(str, lags))} | {' | '.join(cells)} |", flush=True)
    print(
        "\nLogistic regression: scikit-learn, C = 0.1, fitted to four fifths of the sequences and"
        "\nscored on the rest, negative bits set to 0. Per feature: `mutual_info_classif`, the"
        "\nlargest of all features. InfoNCE stands in pairs.md.\n"
    )


def logistic_regression(drawn: Drawn, lag: int, classes: int) -> float:
    """Bits of a held-out scikit-learn classifier."""
    train = len(drawn.states) * 4 // 5
    fitted = LogisticRegression(C=0.1, max_iter=200).fit(
        drawn.states[:train].flatten(0, 1).numpy(), drawn.labels[:train, :, lag].flatten().numpy()
    )
    told = fitted.predict_log_proba(drawn.states[train:].flatten(0, 1).numpy())
    right = told[np.arange(len(told)), drawn.labels[train:, :, lag].flatten().numpy()]
    return math.log2(classes) + float(right.mean()) / math.log(2)


def per_feature(drawn: Drawn, lag: int, classes: int) -> float:  # noqa: ARG001
    """Bits of the feature that tells most."""
    labels = drawn.labels[..., lag].flatten().numpy()
    told = mutual_info_classif(drawn.states.flatten(0, 1).numpy(), labels, random_state=0)
    return float(told.max()) / math.log(2)


def speed() -> None:
    """One distance of ours, at width 256."""
    drawn = FadingRegister().draw(SEQUENCES, STEPS)
    states, labels = drawn.states.flatten(0, 1), drawn.labels.flatten(0, 1)
    labels = torch.cat([labels.roll(7 * i, dims=0) for i in range(4)], dim=1)
    many = labels.unflatten(0, (SEQUENCES, STEPS))
    folds = Folds.of(SEQUENCES, STEPS, 0, states.device)
    chances = uniform(SYMBOLS)
    seconds = race(
        {
            "closed form": partial(linear, states, labels, SYMBOLS, folds),
            "closed form with its null and limits": lambda: (
                decodable_bits(
                    drawn.states, many, SYMBOLS, chances=chances, effort="linear"
                ).reasons
            ),
        }
    )
    few = {
        f'`effort="{effort}"`, {drawn.labels.shape[2]} distances': partial(
            decodable_bits, *drawn, SYMBOLS, chances=chances, effort=effort
        )
        for effort in ("ensemble", "full")
    }
    print("## Speed\n\nWidth 256, 16 symbols, 64 distances unless said.\n")
    print("| what | ms per distance | goal |\n|---|---|---|")
    for name, took in seconds.items():
        print(f"| {name} | {1e3 * took / DISTANCES:.1f} | 5 |")
    for (name, took), goal in zip(race(few, 1).items(), ("300", ""), strict=True):
        print(f"| {name} | {1e3 * took / drawn.labels.shape[2]:.0f} | {goal} |", flush=True)
    print()


def curve() -> None:
    """64 distances against one forward pass that made the states."""
    print("## A curve against one forward pass\n")
    print(
        f"{DISTANCES} distances of {SYMBOLS} symbols by `linear`, and one layer of `nn.LSTM` over"
    )
    print("the same 10,000 rows (200 sequences of 50). At 4096 the layer reads 4 steps, and its")
    print("time is scaled; each is run once.\n")
    print("| width | LSTM layer, s | curve, s | ratio | goal |\n|---|---|---|---|---|")
    for width, steps, rounds, goal in ((256, 50, 5, 3), (1024, 50, 3, 0.5), (4096, 4, 1, 0.3)):
        torch.manual_seed(0)
        lstm, inputs = nn.LSTM(width, width, batch_first=True), torch.randn(200, steps, width)
        states = torch.randn(10_000, width)
        labels = torch.randint(SYMBOLS, (10_000, DISTANCES))
        folds = Folds.of(200, 50, 0, states.device)
        with torch.no_grad():
            seconds = race(
                {
                    "lstm": partial(lstm, inputs),
                    "curve": partial(linear, states, labels, SYMBOLS, folds),
                },
                rounds,
            )
        forward = seconds["lstm"] * 50 / steps
        print(
            f"| {width} | {forward:.3g} | {seconds['curve']:.3g} "
            f"| {seconds['curve'] / forward:.2f} | {goal} |",
            flush=True,
        )
    print()


class Topics:
    """A random LSTM on sequences that each have their own symbols: steps are alike."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.embedding = nn.Embedding(CLASSES, 32)
        self.lstm = nn.LSTM(32, WIDTH, batch_first=True)

    @torch.no_grad()
    def draw(self, sequences: int, steps: int, seed: int) -> Drawn:
        """States with noise of 0.05, and the symbols up to `LAGS` steps before."""
        chance = np.random.default_rng(seed).dirichlet([TOPICS] * CLASSES, sequences)
        generator = torch.Generator().manual_seed(seed)
        symbols = torch.multinomial(
            torch.tensor(chance), steps + LAGS, replacement=True, generator=generator
        )
        states = self.lstm(self.embedding(symbols))[0][:, LAGS:]
        noise = torch.randn(states.shape, generator=generator)
        labels = [symbols[:, LAGS - lag : LAGS - lag + steps] for lag in range(LAGS)]
        return Drawn(states + 0.05 * noise, torch.stack(labels, dim=-1))


def same_size(drawn: Drawn, fresh: Drawn) -> np.ndarray:
    """Bits on fresh sequences of a decoder of four fifths of those drawn."""
    train = len(drawn.states) * 4 // 5
    states, labels = (part[:train].flatten(0, 1) for part in drawn)
    decoder = Discriminant.fit(Moments.of(states, labels, CLASSES))
    rest, told = (part[train:].flatten(0, 1) for part in drawn)
    losses = temperature.mean_losses(decoder.scores(rest), decoder.log_share, told)
    states, labels = (part.flatten(0, 1) for part in fresh)
    found = temperature.log_likelihood(
        decoder.scores(states), temperature.best(losses), decoder.log_share, labels
    )
    entropy = surprisal(labels, CLASSES, None).mean(0).numpy()
    bits: np.ndarray = entropy + found.mean(0).numpy() / math.log(2)
    return bits


def limits() -> None:
    """Lower limits on sequences whose steps are alike, and false positives."""
    model = Topics()
    fresh = model.draw(1000, 100, seed=10_000)
    target, low, one_sided, positives = [], [], [], []
    for seed in range(REPLICATES):
        drawn = model.draw(40, 100, seed)
        found = decodable_bits(*drawn, CLASSES, effort="linear")
        target.append(same_size(drawn, fresh))
        low.append(found.low)
        one_sided.append(curve_interval(resampled_means(found.held_out), 40, level=0.9)[0])
        if seed < 200 // LAGS:
            moved = drawn.labels.roll(1, dims=0)
            null = decodable_bits(drawn.states, moved, CLASSES, effort="linear")
            positives.append(null.low > null.band)
    heads = np.size(target)
    print("## Limits\n")
    print(f"Random LSTM of width {WIDTH}, {CLASSES} symbols; each sequence has its own chances of")
    print(f"them. 40 sequences of 100 steps, {REPLICATES} replicates, {LAGS} distances: {heads}")
    print("limits. The target is what a decoder of as many sequences finds in 1,000 fresh ones.\n")
    print("| what | share | goal |\n|---|---|---|")
    for name, limit in (("one-sided 95 %", one_sided), ("`low`, 97.5 %", low)):
        each = np.array(limit) <= np.array(target)
        print(f"| {name} limit holds | {each.mean():.3f} | at least 0.95 |")
        print(f"| — at the worst distance | {each.mean(0).min():.3f} | |")
    print(f"| false positives | {np.sum(positives)} of {np.size(positives)} | at most 5 % |\n")


def main(words: list[str]) -> None:
    """Print the tables."""
    random.seed(0)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("# Bits decoded from states: how exact, how fast, how sure\n")
    print(f"Made by `python benchmarks/information.py` with torch {torch.__version__}; one thread,")
    print("10,000 rows unless said; all times are CPU seconds.\n")
    for section in (accuracy, peers, speed, curve, limits):
        if not words or any(word in section.__name__ for word in words):
            section()


if __name__ == "__main__":
    main(sys.argv[1:])
