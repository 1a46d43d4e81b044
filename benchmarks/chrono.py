"""Does the gradient before training tell who will learn? One LSTM, started in five ways.

    python benchmarks/chrono.py [START | START:SEED ...] > docs/chrono.md

One of four symbols has to be said again 100 blanks later. Chrono starts forget gates at all time
scales up to that distance: Can recurrent neural networks warp time? (Tallec and Ollivier, 2018).
`forget-4` is the counter-example: a constant forget bias of 4, the input gates as PyTorch draws
them, to see whether a gradient that arrives is enough. The table of claims is counted from the
runs. Takes some minutes on two cores, two runs at a time.
"""

import copy
import math
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import NamedTuple

import torch
from torch import Tensor, nn

import seqprobe
from seqprobe import Estimate
from seqprobe.reference.language_models import RecurrentLM
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import Recall

TASK = Recall(distance=100)
WIDTH, BATCH, RATE, CLIP, STEPS = 64, 64, 3e-3, 1.0, 1150
IN_A_ROW = 10
SEQUENCES = 32
DEAD, WEAK = 1e-6, 1e-3
INPUT, FORGET = 0, 1
PROCESSES = 2


class Start(NamedTuple):
    """An initialisation: in words, on how many seeds, and as a change of both bias vectors.

    PyTorch adds two bias vectors; each comes as one row per gate.
    """

    words: str
    seeds: int
    fill: Callable[[Tensor, Tensor], None]


class Run(NamedTuple):
    """What was measured before and after one training; `steps` is None if it did not learn."""

    start: str
    seed: int
    forget_bias: float
    half_life: Estimate
    before: Estimate
    steps: int | None
    after: Estimate


def as_drawn(_first: Tensor, _second: Tensor) -> None:
    """PyTorch's own draw."""


def constant(bias: float) -> Callable[[Tensor, Tensor], None]:
    """The same bias in all forget gates."""

    def fill(first: Tensor, second: Tensor) -> None:
        first[FORGET], second[FORGET] = bias, 0.0

    return fill


def chrono(first: Tensor, second: Tensor) -> None:
    """Time scales in one of the two bias vectors, zeros in the other."""
    draw_time_scales(first)
    second[INPUT], second[FORGET] = 0.0, 0.0


def chrono_twice(first: Tensor, second: Tensor) -> None:
    """The fault of filling both, so that every bias is a sum of two draws."""
    draw_time_scales(first)
    draw_time_scales(second)


def draw_time_scales(bias: Tensor) -> None:
    """Forget bias ln U(1, T - 1), and its negative for the input gate."""
    bias[FORGET].uniform_(1, TASK.distance - 1).log_()
    bias[INPUT] = -bias[FORGET]


STARTS = {
    "default": Start("as PyTorch draws it", 4, as_drawn),
    "forget-1": Start("forget bias 1", 4, constant(1.0)),
    "chrono": Start("chrono", 4, chrono),
    "chrono-twice": Start("chrono, in both bias vectors", 2, chrono_twice),
    "forget-4": Start("forget bias 4", 2, constant(4.0)),
}


def started(start: str, seed: int) -> tuple[RecurrentLM, float]:
    """A new model, and the mean bias that its forget gates see."""
    torch.manual_seed(seed)
    model = RecurrentLM("lstm", TASK.vocab_size, WIDTH, layers=1)
    model.rnn.reset_parameters()
    with torch.no_grad():
        first, second = (
            model.rnn.get_parameter(name).unflatten(0, (4, -1))
            for name in ("bias_ih_l0", "bias_hh_l0")
        )
        STARTS[start].fill(first, second)
        return model, float((first + second)[FORGET].mean())


def measured(model: nn.Module, seed: int) -> tuple[Estimate, Estimate]:
    """Half-life of the gradient, and its value at the task's distance relative to distance 0."""
    report = seqprobe.analyze(
        copy.deepcopy(model).double(), data="synthetic:iid", probes=("gradient-decay",),
        distance=TASK.distance, length=2 * TASK.distance, limit=SEQUENCES, seed=seed,
    )  # fmt: skip
    check = report["gradient-decay"]
    if not check.metrics:
        raise RuntimeError(f"{check.status}: {check.headline}")
    return check.metrics["half_life"], check.metrics["at_distance"]


def steps_to_learn(model: nn.Module, seed: int) -> int | None:
    """Train until ten new batches in a row have no error, or give up."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    right = 0
    for step in range(STEPS):
        inputs, targets = TASK.batch(BATCH, generator(seed, step))
        logits, symbols = model(inputs)[:, -1], targets[:, -1]
        right = right + 1 if torch.equal(logits.argmax(-1), symbols) else 0
        if right == IN_A_ROW:
            return step
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, symbols).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    return None


def run(job: tuple[str, int]) -> Run:
    """Measure, train, and measure again, on one thread: small models gain nothing from more."""
    torch.set_num_threads(1)
    start, seed = job
    model, forget_bias = started(start, seed)
    half_life, before = measured(model, seed)
    steps = steps_to_learn(model, seed)
    _, after = measured(model, seed)
    return Run(start, seed, forget_bias, half_life, before, steps, after)


def number(estimate: Estimate, missing: float = math.nan) -> float:
    """The value; a half-life beyond the longest distance counts as infinite."""
    return missing if estimate.value is None else estimate.value


def half_life(done: Run) -> float:
    return number(done.half_life, math.inf)


def in_steps(value: float) -> str:
    """A half-life; none where the gradient does not fall to a half within what was measured."""
    return f"{value:.1f}" if math.isfinite(value) else "none"


def with_interval(estimate: Estimate) -> str:
    """A value with what bounds it."""
    low, high = ("?" if v is None else f"{v:.1e}" for v in (estimate.low, estimate.high))
    return f"{number(estimate):.1e} ({low} to {high})"


def row(done: Run) -> str:
    """One run as a line of the table."""
    learned = "no" if done.steps is None else f"yes, {done.steps} steps"
    before, after = with_interval(done.before), with_interval(done.after)
    return (
        f"| {done.start} | {done.seed} | {done.forget_bias:.1f} | {in_steps(half_life(done))} "
        f"| {before} | {learned} | {after} |"
    )


def summary(runs: list[Run]) -> Iterator[str]:
    """One line for each way to start."""
    for start, (words, *_) in STARTS.items():
        group = [done for done in runs if done.start == start]
        if group:
            half_lives = between([half_life(done) for done in group], in_steps)
            ratios = between([number(done.before) for done in group], "{:.1e}".format)
            learned = sum(done.steps is not None for done in group)
            yield f"| {start}: {words} | {half_lives} | {ratios} | {learned} of {len(group)} |"


def between(values: list[float], written: Callable[[float], str]) -> str:
    return f"{written(min(values))} to {written(max(values))}"


def claims(runs: list[Run]) -> Iterator[tuple[str, list[bool]]]:
    """Every claim with the cases that it speaks of: whether it holds there."""
    learned = [done for done in runs if done.steps is not None]
    failed = [done for done in runs if done.steps is None]
    pairs = [(good, bad) for good in learned for bad in failed]
    dead = [done for done in runs if number(done.before) < DEAD]
    yield (
        f"A run with a ratio below {DEAD:g} before training does not learn",
        [done.steps is None for done in dead],
    )
    yield (
        f"A run that does not learn had a ratio below {DEAD:g}",
        [number(done.before) < DEAD for done in failed],
    )
    yield (
        "Of a run that learns and one that does not, the first had the larger ratio",
        [number(good.before) > number(bad.before) for good, bad in pairs],
    )
    yield (
        "Of a run that learns and one that does not, the first had the longer half-life",
        [half_life(good) > half_life(bad) for good, bad in pairs],
    )
    yield (
        f"After training the ratio is above {WEAK:g} in a run that learned, and below in others",
        [(number(done.after) > WEAK) == (done.steps is not None) for done in runs],
    )


def chosen(words: list[str]) -> list[tuple[str, int]]:
    """All runs, or those that are named."""
    jobs = [(name, seed) for name, start in STARTS.items() for seed in range(start.seeds)]
    known = {word for name, seed in jobs for word in (name, f"{name}:{seed}")}
    if unknown := set(words) - known:
        raise SystemExit(f"no run {', '.join(sorted(unknown))}; there are {', '.join(STARTS)}")
    return [job for job in jobs if not words or {job[0], f"{job[0]}:{job[1]}"} & set(words)]


def finished(jobs: list[tuple[str, int]]) -> Iterator[Run]:
    """The runs in their order, two at a time."""
    with get_context("spawn").Pool(min(PROCESSES, len(jobs))) as pool:
        for count, done in enumerate(pool.imap(run, jobs), 1):
            print(f"{count} of {len(jobs)}: {done.start}:{done.seed}", file=sys.stderr)
            yield done


def main(words: list[str]) -> None:
    """Print the runs, the summary, and the claims."""
    jobs = chosen(words)
    command = " ".join(["python benchmarks/chrono.py", *words])
    print(
        f"# The gradient before training, and who learns\n\nMade by `{command}` with torch "
        f"{torch.__version__}: say one of {TASK.symbols} symbols again after {TASK.distance} "
        f"blanks; embedding and LSTM of {WIDTH}, batches of {BATCH}, Adam {RATE:g}, gradients "
        f"clipped at {CLIP:g}, at most {STEPS:,} steps, fewer when {IN_A_ROW} new batches in a row "
        f"have no error. The ratio is the norm of the gradient at distance {TASK.distance} "
        f"relative to distance 0, on {SEQUENCES} random sequences, with its 95 % interval.\n"
    )
    print(
        "| start | seed | mean forget bias | half-life before | ratio before | learned | ", end=""
    )
    print("ratio after |\n|---|---|---|---|---|---|---|")
    runs = []
    for done in finished(jobs):
        runs.append(done)
        print(row(done), flush=True)
    print("\n| start | half-life before | ratio before | learned |\n|---|---|---|---|")
    print("\n".join(summary(runs)))
    print("\n| claim | holds in | always |\n|---|---|---|")
    for claim, cases in claims(runs):
        always = ("yes" if all(cases) else "no") if cases else "no such case"
        print(f"| {claim} | {sum(cases)} of {len(cases)} | {always} |")


if __name__ == "__main__":
    main(sys.argv[1:])
