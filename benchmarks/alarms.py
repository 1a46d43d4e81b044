"""How often does each alarm ring, on what is broken and on what is not, and when in a training?

    python benchmarks/alarms.py [SEEDS] > docs/alarms.md

Every model is trained for some updates by a rate at which it stays what it is, and every probe of a
session measures at each of them. Then one LSTM learns, or does not, to say a symbol again after 100
blanks, from the starts of `benchmarks/chrono.py`. Takes some minutes on two cores.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import chrono
import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.gradient_draw import GradientDraw
from seqprobe.probes.heads import Heads
from seqprobe.probes.loss_gradient import LossGradient
from seqprobe.probes.states import States
from seqprobe.reference import zoo
from seqprobe.reference.language_models import Kind, build
from seqprobe.sequences.generator import generator
from seqprobe.training.entry import Entry

SEEDS, PROCESSES = 20, 2
SYMBOLS, WIDTH, BATCH, TIME = 16, 32, 8, 64
UPDATES, RATE, PATIENCE = 5, 1e-4, 3
SHORT, LONG = 4, 30
EVERY, STEPS = 25, 600
RULES = (
    "gradient-vanished", "gradient-explodes", "gates-saturated", "entropy-collapse",
    "loss-gradient-grows", "loss-gradient-not-finite",
)  # fmt: skip
Make = Callable[[], SequenceModel]


def model(kind: Kind) -> SequenceModel:
    return SequenceModel(build(kind, vocab_size=SYMBOLS, width=WIDTH, layers=2, context=TIME))


def with_forget_bias(bias: float) -> SequenceModel:
    made = model("lstm")
    for layer in range(2):
        made.module.get_parameter(f"rnn.bias_ih_l{layer}").data[WIDTH : 2 * WIDTH] = bias
    return made


def relu(start: Callable[[Tensor], Tensor]) -> SequenceModel:
    """A network of rectified units with these recurrent weights."""
    memory = nn.RNN(WIDTH, WIDTH, batch_first=True, nonlinearity="relu")
    start(memory.get_parameter("weight_hh_l0").data)
    head = nn.Linear(WIDTH, SYMBOLS)
    return SequenceModel(zoo.Stack(nn.Embedding(SYMBOLS, WIDTH), memory, head))


def with_queries(factor: float) -> SequenceModel:
    made = model("attention")
    for name, weight in made.module.named_parameters():
        if name.endswith("query_key_value.weight"):
            weight.data[:WIDTH] *= factor
    return made


def with_nan() -> SequenceModel:
    made = model("lstm")
    made.module.get_parameter("head.weight").data[0, 0] = torch.nan
    return made


HEALTHY: dict[str, tuple[Make, int]] = {
    "LSTM, forget bias 2": (lambda: with_forget_bias(2.0), SHORT),
    "GRU": (lambda: model("gru"), SHORT),
    "ReLU RNN, identity": (lambda: relu(nn.init.eye_), SHORT),
    "attention": (lambda: model("attention"), LONG),
    "equal weights": (lambda: zoo.uniform_attention(2, SYMBOLS), LONG),
}
BROKEN: dict[str, tuple[Make, int]] = {
    "memoryless": (lambda: zoo.memoryless(SYMBOLS, WIDTH), LONG),
    "LSTM, forget bias -3": (lambda: with_forget_bias(-3.0), LONG),
    "LSTM, forget bias 20": (lambda: with_forget_bias(20.0), LONG),
    "ReLU RNN, 1.2 times the identity": (lambda: relu(lambda w: nn.init.eye_(w).mul_(1.2)), LONG),
    "attention, huge queries": (lambda: with_queries(1e5), LONG),
    "LSTM with a NaN": (with_nan, LONG),
}
MODELS = HEALTHY | BROKEN


def trained(
    watched: SequenceModel,
    batches: Iterator[tuple[Tensor, Tensor]],
    *,
    distance: int,
    every: int,
    rate: float,
    held_out: Tensor | None = None,
) -> Iterator[tuple[list[tuple[int, str]], bool]]:
    """For every update: which rules rang after how many, and whether all was right before it."""
    rung: list[tuple[int, str]] = []

    def note(entry: Entry) -> None:
        rung.extend((entry.step, found.rule) for found in entry.findings)

    probes = [
        LossGradient(distance), States(distance), Heads(distance),
        GradientDraw(distance, draws=BATCH), GradientDecay(distance, whole=False),
    ]  # fmt: skip
    optimizer = torch.optim.Adam(watched.module.parameters(), lr=rate)
    with seqprobe.attach(
        watched, probes, every=every, loggers=[note], distance=distance, patience=PATIENCE,
        held_out=held_out, on_finding=lambda _: None,
    ) as session:  # fmt: skip
        for inputs, targets in batches:
            outputs, known = watched.module(inputs), targets >= 0
            optimizer.zero_grad()
            cross_entropy(outputs[known], targets[known]).backward()
            nn.utils.clip_grad_norm_(watched.module.parameters(), 1.0)
            optimizer.step()
            session.step()
            yield list(rung), _right(outputs, targets)
            rung.clear()


def _right(outputs: Tensor, targets: Tensor) -> bool:
    known = targets >= 0
    return torch.equal(outputs.argmax(-1)[known], targets[known])


def rings(job: tuple[str, int]) -> tuple[str, set[str]]:
    """Which rules ring in a short training of a model."""
    torch.set_num_threads(1)
    name, seed = job
    torch.manual_seed(seed)
    make, distance = MODELS[name]
    tokens = torch.randint(SYMBOLS, (UPDATES, BATCH, TIME + 1))
    batches = ((each[:, :-1], each[:, 1:]) for each in tokens)
    found: set[str] = set()
    for rung, _ in trained(make(), batches, distance=distance, every=1, rate=RATE):
        found.update(rule for _, rule in rung)
    return name, found


def story(start: str) -> str:
    """When alarms ring in one training of the recall task, and when it has learned."""
    torch.set_num_threads(1)
    model, _ = chrono.started(start, 0)
    batches = (chrono.TASK.batch(chrono.BATCH, generator(0, step)) for step in range(STEPS))
    longer = torch.randint(chrono.TASK.vocab_size, (BATCH, 2 * chrono.TASK.distance))
    said: list[str] = []
    in_a_row, learned = 0, "no"
    steps = trained(
        SequenceModel(model), batches, distance=chrono.TASK.distance, every=EVERY,
        rate=chrono.RATE, held_out=longer,
    )  # fmt: skip
    for step, (rung, right) in enumerate(steps):
        said += [f"{rule} {updates}" for updates, rule in rung]
        in_a_row = in_a_row + 1 if right else 0
        if in_a_row == chrono.IN_A_ROW:
            learned = f"yes, {step} steps"
            break
    return f"| {start} | {', '.join(said) or 'none'} | {learned} |"


def main(words: list[str]) -> None:
    """Print both tables."""
    seeds = int(words[0]) if words else SEEDS
    command = " ".join(["python benchmarks/alarms.py", *words])
    print(
        f"# When alarms ring\n\nMade by `{command}` with torch {torch.__version__}. Of {seeds} "
        f"trainings of {UPDATES} updates, how many set off each alarm: Adam {RATE:g}, {BATCH} "
        f"random sequences of {TIME} steps, all probes at each update, patience {PATIENCE}.\n"
    )
    print(f"| model | distance | {' | '.join(RULES)} |\n|---{'|---' * (len(RULES) + 1)}|")
    with get_context("spawn").Pool(PROCESSES) as pool:
        counts: dict[str, Counter[str]] = {name: Counter() for name in MODELS}
        jobs = [(name, seed) for name in MODELS for seed in range(seeds)]
        for name, found in pool.imap(rings, jobs):
            counts[name].update(found)
        for name, count in counts.items():
            assert set(count) <= set(RULES), count
            print(f"| {name} | {MODELS[name][1]} | {' | '.join(str(count[r]) for r in RULES)} |")
        alarms = sum(sum(counts[name].values()) for name in HEALTHY)
        print(
            f"\nFalse alarms, in the first {len(HEALTHY)} rows: {alarms} in "
            f"{seeds * len(HEALTHY)} trainings.\n\nOne symbol has to be said again after "
            f"{chrono.TASK.distance} blanks, from the starts of docs/chrono.md; measured every "
            f"{EVERY} updates, for at most {STEPS}.\n"
        )
        print("| start | alarms, and after how many updates | learned |\n|---|---|---|")
        for line in pool.imap(story, chrono.STARTS):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
