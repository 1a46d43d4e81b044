"""What interventions cost, and that they give what others give.

    python benchmarks/interventions.py > docs/interventions.md

F is one plain forward without gradients of the same batch; everything is measured in one process,
in shuffled rounds, in CPU time of one thread, or in seconds of a GPU. Captum's FeatureAblation,
which runs the whole batch for each position, is run at some positions and scaled to all of them.
"""

import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import process_time

import torch
from captum.attr import FeatureAblation
from torch import Tensor

from race import race
from seqprobe.contracts import Observation, Pieces
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.evidence.replaced import replaced
from seqprobe.reference.language_models import AttentionLM, RecurrentLM
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.streams import CorpusStream
from where import DEVICE, HARDWARE

WIDTH, BATCH, TIME, ROUNDS, ABLATED = 256, 8, 256, 5, 8
CORPUS = CorpusStream(read_corpus("stdlib"), 256)
Work = Callable[[], object]


def model_named(kind: str) -> SequenceModel:
    """Two recurrent layers or four of attention, not trained: costs do not depend on weights."""
    torch.manual_seed(0)
    if kind == "attention":
        attention = AttentionLM(256, WIDTH, layers=4, heads=4, context=TIME)
        return SequenceModel(attention.to(DEVICE).eval())
    recurrent = RecurrentLM(kind, 256, WIDTH, layers=2)  # type: ignore[arg-type]
    return SequenceModel(recurrent.to(DEVICE).eval())


def text() -> Tensor:
    """Held-out text."""
    return CORPUS.take(range(BATCH), TIME).to(DEVICE)


def every_ablation(model: SequenceModel, tokens: Tensor) -> Tensor:
    """Token 0 in every position: change of the logit of the next token, (position, batch, step).

    Steps count from the position; NaN beyond the end.
    """
    reruns, following = Interventions(model, tokens), tokens.roll(-1, 1)
    time = torch.arange(TIME, device=DEVICE)
    steps = time.repeat_interleave(BATCH)
    rows = torch.arange(BATCH, device=DEVICE).repeat(TIME)
    at = (steps[:, None] + time).clamp(max=TIME - 1)
    inputs = tokens[rows[:, None], at]
    inputs[:, 0] = 0
    plain = _next_logits(reruns.plain, following)

    def read(outputs: Tensor, sequences: Tensor, steps: Tensor) -> Tensor:
        at = sequences[:, None], steps
        return (_next_logits(outputs, following[at]) - plain[at]).unsqueeze(-1)

    return reruns.continued(Pieces(rows, steps, inputs), read).view(TIME, BATCH, TIME)


def _next_logits(outputs: Tensor, following: Tensor) -> Tensor:
    return outputs.gather(-1, following.unsqueeze(-1)).squeeze(-1)


def captum_ablation(model: SequenceModel, tokens: Tensor, positions: list[int]) -> Tensor:
    """The same by captum for some positions, with its sign: (batch x step, position)."""
    following = tokens.roll(-1, 1)

    def logits(edited: Tensor) -> Tensor:
        copies = len(edited) // BATCH
        return _next_logits(model(edited), following.repeat(copies, 1)).flatten()

    kept = torch.zeros(TIME, dtype=torch.long, device=DEVICE)
    kept[positions] = torch.arange(len(positions), device=DEVICE) + 1
    ablation = FeatureAblation(logits)
    features = torch.where(kept > 0, kept, 0).expand(1, -1)
    baselines = torch.where(kept > 0, 0, tokens)
    attributed: Tensor = ablation.attribute(tokens, baselines=baselines, feature_mask=features)
    return attributed


def sampled(model: SequenceModel, tokens: Tensor) -> Work:
    """The default of `position`: 16 edits in each sequence, with all effects."""

    def work() -> object:
        observation = Observation(
            range(BATCH), tokens, torch.empty(BATCH, TIME, 0, device=DEVICE),
            interventions=Interventions(model, tokens), frequencies=CORPUS.frequencies,
        )  # fmt: skip
        return replaced(observation, 0)

    return work


def largest_difference(model: SequenceModel, tokens: Tensor) -> float:
    """Between the fast ablation and captum's, relative to the largest change."""
    positions = list(range(3, TIME, TIME // ABLATED))
    ours = every_ablation(model, tokens)
    theirs = captum_ablation(model, tokens, positions).view(BATCH, TIME, TIME)
    largest, difference = float(ours.nan_to_num().abs().max()), 0.0
    for position in positions:
        fast = ours[position, :, : TIME - position]
        apart = theirs[:, position:, position] + fast  # captum takes the edited from the plain
        difference = max(difference, float(apart.abs().max()))
    return difference / largest


def cells(seconds: Mapping[str, list[float]], times: Mapping[str, float]) -> dict[str, float]:
    """Medians in F; `times` scales what was run in part."""
    unit = statistics.median(seconds["F"])
    return {
        name: statistics.median(each) * times.get(name, 1.0) / unit
        for name, each in seconds.items()
    }


def exact() -> Iterator[str]:
    """Every position ablated, the change at every later step."""
    yield f"Every position ablated, change at every later step, T = {TIME}, in T F"
    yield "| model | seqprobe | captum | faster | largest difference |"
    for kind in ("lstm", "gru", "attention"):
        model, tokens = model_named(kind), text()
        every = list(range(3, TIME, TIME // ABLATED))
        seconds = race(
            {
                "F": partial(model, tokens),
                "ours": partial(every_ablation, model, tokens),
                "captum": partial(captum_ablation, model, tokens, every),
            },
            ROUNDS,
            process_time,
        )
        found = cells(seconds, {"captum": (TIME + 1) / (len(every) + 2)})
        yield (
            f"| {kind} | {found['ours'] / TIME:.3f} | {found['captum'] / TIME:.3f} "
            f"| {found['captum'] / found['ours']:.2f} "
            f"| {largest_difference(model, tokens):.0e} |"
        )


def default() -> Iterator[str]:
    """What `position` does by default."""
    yield f"128 edits, all effects (KL, loss, top prediction) to the end, T = {TIME}, in F"
    yield "| model | seqprobe |"
    for kind in ("lstm", "gru", "attention"):
        model, tokens = model_named(kind), text()
        candidates: dict[str, Work] = {"F": partial(model, tokens), "ours": sampled(model, tokens)}
        seconds = race(candidates, 3 * ROUNDS, process_time)
        yield f"| {kind} | {cells(seconds, {})['ours']:.1f} |"


SECTIONS = (exact, default)


def main(words: list[str]) -> None:
    """Print the tables."""
    random.seed(0)
    torch.set_num_threads(1)
    print("# What interventions cost\n")
    print(f"Made by `python benchmarks/interventions.py` with {HARDWARE}.")
    print(f"Two recurrent layers or four of attention, width {WIDTH}, batch of {BATCH}; F is one")
    print(f"plain forward of that batch without gradients. Medians of {ROUNDS} rounds or more.")
    for section in SECTIONS:
        if words and section.__name__ not in words:
            continue
        title, head, *rows = section()
        print(f"\n## {title}\n\n{head}\n{'|---' * (head.count('|') - 1)}|", flush=True)
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
