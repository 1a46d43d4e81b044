"""Which rules of the diagnosis find what is broken, and how often do they blame what is not?

    python benchmarks/diagnosis.py [SEEDS] > docs/diagnosis.md

Every model is made anew for each seed and measured by all probes but `throughput`. Takes about
ten minutes on two cores.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context

import torch

import seqprobe
from seqprobe.contracts import Status
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import broken, zoo
from seqprobe.reference.language_models import Kind, build
from seqprobe.runner.registry import chosen

SEEDS, PROCESSES = 4, 2
LENGTH, SEQUENCES, ENOUGH = 64, 16, 128
PROBES = tuple(probe.id for probe in chosen(None) if probe.id != "throughput")
GRAVE: tuple[Status, ...] = ("problem", "attention")
ALWAYS = frozenset(
    {"reads-on", "order-claim-invalid", "capacity-limited-by-read-out", "unused-beyond"}
    | {"reachable-not-copied", "quadratic-cost", "cache-larger-than-state", "length-refused"}
    | {"state-thrown-away", "stored-unused", "order-unused", "context-unused", "state-forgets"}
    | {"used-together"}
)
"""Not judged on models without a task: what they use or forget is for their draw to say."""


@dataclass(frozen=True)
class Model:
    """How it is made, at which distance it is asked about, and which rules have to speak.

    `right`: what is besides true of it. `data` as in `analyze`.
    """

    make: Callable[[], SequenceModel]
    distance: int
    rule: str = ""
    right: frozenset[str] = ALWAYS
    data: str | None = "synthetic:iid"
    sequences: int | None = SEQUENCES
    length: int = LENGTH


def small(kind: Kind) -> SequenceModel:
    return SequenceModel(build(kind, vocab_size=8, width=16, layers=2, context=LENGTH))


def uniform_in_half() -> SequenceModel:
    return SequenceModel(zoo.uniform_attention().module.bfloat16())


def sharp_queries() -> SequenceModel:
    made = small("attention")
    for name, weight in made.module.named_parameters():
        if name.endswith("query_key_value.weight"):
            weight.data[:16] *= 1e5
    return made


def with_nan() -> SequenceModel:
    made = small("lstm")
    made.module.get_parameter("rnn.weight_ih_l0").data[0, 0] = torch.nan
    return made


def reads_the_newest() -> SequenceModel:
    """A shift register whose head looks at nothing but the present symbol."""
    made = zoo.shift_register(10)
    made.module.get_parameter("head.weight").data[:, 8:] = 0
    return made


ARRIVES = ALWAYS | {"gradient-arrives"}
HEALTHY = {
    "memoryless": Model(zoo.memoryless, 20, right=ALWAYS | {"out-of-reach"}),
    "equal weights on all keys": Model(zoo.uniform_attention, 20, right=ARRIVES),
    "a window of 32": Model(lambda: zoo.window_attention(32), 20, right=ARRIVES),
    "attention without positions, two layers": Model(
        lambda: zoo.content_attention(2), 20, right=ARRIVES
    ),
    "oracle of lag 7": Model(
        lambda: zoo.lag_oracle(7), 7, right=frozenset({"copies", "reads-on", "order-claim-invalid"})
    ),
    "shift register of 10": Model(lambda: zoo.shift_register(10), 5, right=ARRIVES),
    "random replacement, 0.05": Model(lambda: zoo.random_replacement(0.05), 5, right=ARRIVES),
    "orthogonal, 0.95, numbers": Model(
        lambda: zoo.carried_rnn(0.95), 20, right=ARRIVES, data=None
    ),
    "leaky, 0.9, numbers": Model(lambda: zoo.leaky(0.9), 20, right=ARRIVES, data=None),
    "LSTM, forget bias 2": Model(lambda: broken.forget_bias(2.0), 4, right=ARRIVES),
    "GRU, two layers": Model(lambda: small("gru"), 2, right=ARRIVES),
    "ReLU RNN, identity": Model(
        lambda: broken.recurrent_gain(1.0), 20,
        right=ARRIVES | {"trainable-not-stored", "harmful-beyond-trained"},
    ),
    "attention, untrained": Model(lambda: small("attention"), 20, right=ARRIVES),
    "three stacked integrators, numbers": Model(
        lambda: zoo.leaky(1.0, layers=3), 20, right=ARRIVES, data=None
    ),
    "LSTM, forget bias 20, two layers": Model(
        lambda: broken.forget_bias(20.0, layers=2), 20,
        right=ARRIVES | {"gates-saturated", "trainable-not-stored"},
    ),
    "LSTM of 32 that learned to delay by 4": Model(
        lambda: broken.learned_to_delay(32, 600), 4, right=frozenset(
            {"gradient-arrives", "copies", "reads-on", "order-claim-invalid",
             "capacity-limited-by-read-out"}
        ), sequences=ENOUGH,
    ),
}  # fmt: skip
BROKEN = {
    "LSTM, forget bias -3": Model(lambda: broken.forget_bias(-3.0), 20, "gradient-vanished"),
    "tanh RNN, gain 0.3": Model(
        lambda: broken.recurrent_gain(0.3, "tanh"), 20, "gradient-vanished"
    ),
    "GRU as drawn, asked about 80": Model(
        lambda: small("gru"), 80, "gradient-absent-at-start", length=128
    ),
    "leaky, 0.6, numbers": Model(
        lambda: zoo.leaky(0.6), 20, "reachable-but-vanished", data=None
    ),
    "ReLU RNN, 1.2 times the identity": Model(
        lambda: broken.recurrent_gain(1.2), 20, "gradient-explodes"
    ),
    "tanh RNN, gain 3": Model(
        lambda: broken.recurrent_gain(3.0, "tanh"), 20, "state-chaotic"
    ),
    "LSTM, gates stuck open": Model(lambda: broken.forget_bias(20.0), 20, "gates-saturated"),
    "LSTM, gates stuck closed": Model(lambda: broken.forget_bias(-20.0), 20, "gates-saturated"),
    "attention, huge queries": Model(sharp_queries, 20, "entropy-collapse"),
    "equal weights, bfloat16": Model(uniform_in_half, 20, "low-precision-collapse"),
    "twelve layers of equal weights": Model(lambda: zoo.uniform_attention(12), 20, "primacy"),
    "LSTM of 4 that had to delay by 4": Model(
        lambda: broken.learned_to_delay(4, 400), 4, "state-too-small", sequences=ENOUGH
    ),
    "LSTM of 8 that had to delay by 4": Model(
        lambda: broken.learned_to_delay(8, 400), 4, "state-too-small", sequences=ENOUGH
    ),
    "LSTM, forget bias 20, storage": Model(
        lambda: broken.forget_bias(20.0, layers=2), 20, "trainable-not-stored"
    ),
    "shift register, only its newest read": Model(reads_the_newest, 5, "stored-unused"),
    "a window of 4": Model(lambda: zoo.window_attention(4), 20, "out-of-reach"),
    "shift register of 10, asked about 20": Model(
        lambda: zoo.shift_register(10), 20, "out-of-reach"
    ),
    "oracle of lag 7 on its own text, asked about 40": Model(
        lambda: zoo.lag_oracle(7), 40, "context-unused", data=None, length=128
    ),
    "Polya urn (a bag of words) on its own text": Model(
        broken.bag, 20, "order-unused", data=None, sequences=64, length=128
    ),
    "state reset every 8 steps": Model(lambda: broken.restarting(8), 20, "out-of-reach"),
    "state not reset between calls": Model(broken.leaking, 20, "call-leakage"),
    "cell state lost between calls": Model(broken.half_carried, 20, "chunks-differ"),
    "state thrown away between calls": Model(
        broken.bag, 20, "state-thrown-away", data=None, sequences=64, length=128
    ),
    "LSTM with a NaN": Model(with_nan, 20, "weights-not-finite"),
}  # fmt: skip
MODELS = HEALTHY | BROKEN


def run(job: tuple[str, int]) -> tuple[str, dict[str, Status], list[str]]:
    """What was found, and which checks failed."""
    torch.set_num_threads(1)
    name, seed = job
    torch.manual_seed(seed)
    model = MODELS[name]
    report = seqprobe.analyze(
        model.make(), data=model.data, probes=PROBES, distance=model.distance,
        length=model.length, limit=model.sequences, seed=seed,
    )  # fmt: skip
    failed = [check.id for check in report.checks if check.status == "error"]
    return name, {found.rule: found.status for found in report.findings}, failed


def false_alarms(found: dict[str, list[dict[str, Status]]]) -> Iterator[str]:
    """A line per rule: how often it spoke where it must not."""
    rules = sorted({rule for each in found.values() for one in each for rule in one} - ALWAYS)
    for rule in rules:
        silent = [name for name, model in HEALTHY.items() if rule not in model.right]
        rung = {name: sum(rule in one for one in found[name]) for name in silent}
        count = sum(len(found[name]) for name in silent)
        where = ", ".join(f"{name} ({times})" for name, times in rung.items() if times)
        yield f"| {rule} | {sum(rung.values())} of {count} | {where} |"


def detections(found: dict[str, list[dict[str, Status]]]) -> Iterator[str]:
    """A line per broken model: how often its rule spoke, and what else did."""
    for name, model in BROKEN.items():
        runs = found[name]
        grave = {rule for one in runs for rule, status in one.items() if status in GRAVE}
        others = ", ".join(
            f"{rule} {sum(rule in one for one in runs)}" for rule in sorted(grave - {model.rule})
        )
        hits = sum(model.rule in one for one in runs)
        yield f"| {name} | {model.distance} | {model.rule} | {hits} of {len(runs)} | {others} |"


def table(head: str, rows: Iterable[str]) -> None:
    print(f"\n{head}\n{'|---' * head.count(' | ')}|---|")
    print("\n".join(rows))


def main(seeds: int) -> None:
    """Print both tables."""
    print(
        f"# What the diagnosis finds\n\nMade by `python benchmarks/diagnosis.py` with torch "
        f"{torch.__version__}: {seeds} draws of every model, all probes but `throughput`, "
        f"sequences of {LENGTH} steps or more."
    )
    found: dict[str, list[dict[str, Status]]] = defaultdict(list)
    failed: Counter[str] = Counter()
    jobs = [(name, seed) for name in MODELS for seed in range(seeds)]
    with get_context("spawn").Pool(PROCESSES) as pool:
        for count, (name, rules, errors) in enumerate(pool.imap_unordered(run, jobs), 1):
            found[name].append(rules)
            for check in errors:
                failed[f"{check} on {name}"] += 1
            print(f"{count} of {len(jobs)}: {name}", file=sys.stderr)
    print("\n## What is whole is not blamed\n\nHow often each rule spoke of models that it is "
          f"not true of, of {len(HEALTHY)} that do what they are made for.")  # fmt: skip
    table("| rule | false alarms | on |", false_alarms(found))
    print("\n## What is broken is found\n\nThe rule that has to speak, and the other findings "
          "called a problem or worth attention.")  # fmt: skip
    table("| broken model | distance | rule | found | also found |", detections(found))
    for what, times in failed.items():
        print(f"\nThe check {what} failed in {times} runs.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
