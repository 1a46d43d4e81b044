"""What gradients over distance cost, beside what else one could run, and how exact they are.

    python benchmarks/gradients.py [WORD ...] > docs/gradients.md

FB is one plain forward and backward of the same batch of 8. Everything of one table is timed in
one run, round by round in changing order; the table has medians, and the spread of the rounds.
Peers that would take minutes are timed on a few targets or steps and scaled. With words, only
sections whose name contains one of them are run.
"""

import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise

import torch
from captum.attr import Saliency
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from race import race
from seqprobe.estimators.lyapunov import lyapunov_exponents, orthonormal
from seqprobe.models.autograd import Autograd, denormals_flushed
from seqprobe.models.recurrence import unrolled
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import AttentionLM, RecurrentLM
from seqprobe.sequences.corpus import read_corpus
from seqprobe.sequences.streams import CorpusStream
from where import DEVICE, HARDWARE

WIDTH, BATCH, STEPS, ROUNDS, SAMPLED = 256, 8, 150, 3, 4
CORPUS = CorpusStream(read_corpus("stdlib"), 256)
Work = Callable[[], object]


def trained(kind: str) -> SequenceModel:
    """Two recurrent layers or four of attention, trained for a short while on source text."""
    torch.manual_seed(0)
    module: nn.Module = (
        AttentionLM(256, WIDTH, layers=4, heads=4, context=1024)
        if kind == "attention"
        else RecurrentLM(kind, 256, WIDTH, layers=2)  # type: ignore[arg-type]
    )
    module.to(DEVICE)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3 if kind == "attention" else 2e-3)
    for step in range(STEPS):
        tokens = CORPUS.take(range(16 * step, 16 * step + 16), 97).to(DEVICE)
        loss = cross_entropy(module(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    print(f"{kind}: loss {loss.item():.2f} nats after {STEPS} steps", file=sys.stderr)
    return SequenceModel(module.eval())


def inputs(time: int) -> Tensor:
    """Held-out text."""
    return CORPUS.take(range(BATCH), time + 1).to(DEVICE)


def plain(model: SequenceModel, tokens: Tensor) -> Work:
    """One forward and backward, as in training."""

    def work() -> None:
        model.module.zero_grad(set_to_none=True)
        outputs = model.module(tokens[:, :-1])
        cross_entropy(outputs.flatten(0, 1), tokens[:, 1:].flatten()).backward()

    return work


def ratios(
    seconds: Mapping[str, list[float]], base: str, times: Mapping[str, float]
) -> dict[str, str]:
    """Medians in units of the base; `times` scales what was run in part."""
    unit = statistics.median(seconds[base])
    found = {}
    for name, measured in seconds.items():
        factor = times.get(name, 1.0) / unit
        low, middle, high = (f(measured) * factor for f in (min, statistics.median, max))
        found[name] = f"{middle:.3g} ({low:.3g} .. {high:.3g})"
    return found


def next_token_logits(tokens: Tensor) -> Tensor:
    """The direction of each step's own next token."""
    return torch.eye(256, device=DEVICE)[tokens[:, 1:]].unsqueeze(2)


def all_pairs(model: SequenceModel, tokens: Tensor) -> Work:
    """Norms of d logit_t / d e_s for every pair, exactly."""
    time = tokens.shape[1] - 1
    steps = torch.arange(time).expand(BATCH, time)

    def work() -> object:
        derivatives = model.derivatives(tokens[:, :-1])
        return derivatives.gradients("output", steps, next_token_logits(tokens), time - 1)

    return work


def naive_pairs(model: SequenceModel, tokens: Tensor, targets: list[int]) -> Work:
    """One backward per target on a retained graph of the user's own module."""

    def work() -> None:
        embedded = embedding(model)(tokens[:, :-1]).detach().requires_grad_()
        outputs = from_embeddings(model, embedded)
        for target in targets:
            chosen = outputs[torch.arange(BATCH), target, tokens[:, target + 1]].sum()
            torch.autograd.grad(chosen, embedded, retain_graph=True)[0].norm(dim=-1)

    return work


def saliency(model: SequenceModel, tokens: Tensor, targets: list[int]) -> Work:
    """Captum, which runs forward and backward for each target."""
    embedded = embedding(model)(tokens[:, :-1]).detach()

    def work() -> None:
        for target in targets:
            attribution = Saliency(partial(output_at, model, target))
            attribution.attribute(embedded.requires_grad_(), target=tokens[:, target + 1])

    return work


def embedding(model: SequenceModel) -> nn.Embedding:
    """The user's own embedding."""
    found = model.module.get_submodule("embedding")
    assert isinstance(found, nn.Embedding)
    return found


def output_at(model: SequenceModel, target: int, embedded: Tensor) -> Tensor:
    """The logits of one step."""
    return from_embeddings(model, embedded)[:, target]


def from_embeddings(model: SequenceModel, embedded: Tensor) -> Tensor:
    """The user's own forward behind the embedding."""
    module = model.module
    if isinstance(module, RecurrentLM):
        recurrent: Tensor = module.head(module.rnn(embedded)[0])
        return recurrent
    assert isinstance(module, AttentionLM)
    x = embedded + module.position.weight[: embedded.shape[1]]
    for block in module.blocks:
        x = block(x)
    attended: Tensor = module.head(module.norm(x))
    return attended


def exact(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """All pairs at T = 256."""
    time = 256
    yield f"Exact norms of all pairs (s, t), T = {time}, in FB per target"
    yield "| model | seqprobe | naive loop | captum Saliency | faster than the loop | than captum |"
    for kind, model in models.items():
        tokens, few = inputs(time), [time // 4, time // 2, 3 * time // 4, time - 1]
        with denormals_flushed():
            seconds = race(
                {
                    "FB": plain(model, tokens),
                    "ours": all_pairs(model, tokens),
                    "loop": naive_pairs(model, tokens, few),
                    "captum": saliency(model, tokens, few),
                },
                ROUNDS,
            )
        per_target = {"ours": 1 / time, "loop": 1 / len(few), "captum": 1 / len(few)}
        cells = ratios(seconds, "FB", per_target)
        middle = {
            name: statistics.median(s) * per_target.get(name, 1) for name, s in seconds.items()
        }
        yield (
            f"| {kind} | {cells['ours']} | {cells['loop']} | {cells['captum']} "
            f"| {middle['loop'] / middle['ours']:.1f}x | {middle['captum'] / middle['ours']:.1f}x |"
        )


def draws(model: SequenceModel, tokens: Tensor, targets: int, vectors: int, window: int) -> Work:
    """Random projections at targets spread over the end of each sequence, each its own."""
    time = tokens.shape[1] - 1

    def work() -> object:
        derivatives = model.derivatives(tokens[:, :-1])
        edges = torch.linspace(window, time, targets + 1).long()
        steps = torch.stack(
            [torch.randint(a, b, (BATCH,)) for a, b in pairwise(edges.tolist())],
            dim=1,
        )
        signs = torch.randint(2, (BATCH, targets, vectors, 256)) * 2.0 - 1
        return derivatives.gradients("output", steps, signs, window)

    return work


def curve(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """The decay curve by projections."""
    yield "Decay curve over 128 distances, in FB"
    yield "| model | T | 8 draws | 128 draws |"
    for kind, model in models.items():
        for time in (256, 512):
            tokens = inputs(time)
            candidates = {
                "FB": plain(model, tokens),
                "8": draws(model, tokens, 1, 1, 128),
                "128": draws(model, tokens, 8, 2, 128),
            }
            with denormals_flushed():
                cells = ratios(race(candidates, ROUNDS), "FB", {})
            yield f"| {kind} | {time} | {cells['8']} | {cells['128']} |"


def growth(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """The same curve as the sequence grows."""
    yield "128 draws as T grows: milliseconds per step, and the largest tensor"
    yield "| model | T | milliseconds per step | largest tensor, floats | T x T x d x d |"
    for kind, model in models.items():
        if kind == "attention":
            continue
        for time in (256, 512, 1024):
            work = draws(model, inputs(time), 8, 2, 128)
            (seconds,) = race({"ours": work}, ROUNDS).values()
            with _Largest() as largest:
                work()
            yield (
                f"| {kind} | {time} | {1e3 * statistics.median(seconds) / time:.2f} "
                f"| {largest.numel:,} | {time**2 * WIDTH**2:,} |"
            )


class _Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operator made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def far(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """Distances at T = 1024 that are off by more than one per cent, against float64."""
    time = 1024
    yield f"One target at T = {time}, 8 sequences, against float64: distances off by more than 1 %"
    yield "| model | sweep | median error | plain autograd in float32 |"
    for kind, model in models.items():
        if kind == "attention":
            continue
        tokens = inputs(time)[:, :-1]
        steps, direction = torch.full((BATCH, 1), time - 1), next_token_logits(inputs(time))[:, -1:]
        pull = partial(_norms, steps=steps, direction=direction, window=time - 1)
        ours = pull(model.derivatives(tokens))
        automatic = pull(Autograd(model.module, model.observe, tokens, causal=True))
        model.module.double()
        truth = pull(model.derivatives(tokens))
        model.module.float()
        error = (ours - truth).exp().sub(1).abs()
        naive = (automatic - truth).exp().sub(1).abs().nan_to_num(nan=1.0)
        yield (
            f"| {kind} | {(error > 0.01).double().mean():.1%} | {error.median():.1e} "
            f"| {(naive > 0.01).double().mean():.1%} |"
        )


def _norms(derivatives: object, steps: Tensor, direction: Tensor, window: int) -> Tensor:
    """Logarithms of the norms."""
    found = derivatives.gradients("output", steps, direction, window)  # type: ignore[attr-defined]
    logs: Tensor = found.log_squares / 2
    return logs


def denormal(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """What denormal numbers do to a plain backward."""
    yield "One target at T = 1024 by plain autograd, in FB"
    yield "| model | as it is | denormals flushed |"
    for kind, model in models.items():
        if kind == "attention":
            continue
        tokens = inputs(1024)
        one = naive_pairs(model, tokens, [1023])

        def flushed(work: Work = one) -> object:
            with denormals_flushed():
                return work()

        candidates = {"FB": plain(model, tokens), "as it is": one, "flushed": flushed}
        cells = ratios(race(candidates, ROUNDS), "FB", {})
        yield f"| {kind} | {cells['as it is']} | {cells['flushed']} |"


def spectrum(models: Mapping[str, SequenceModel]) -> Iterator[str]:
    """Sixteen Lyapunov exponents, and Jacobians of the whole state, of the LSTM at T = 256."""
    model, time = models["lstm"], 256
    tokens = inputs(time)
    observed = model.observe(tokens[:, :-1], gradients=False)
    step = _step(model, tokens)

    def sixteen() -> object:
        stack = model.recurrence(model.observe(tokens[:, :-1], gradients=False))
        assert stack is not None
        start = orthonormal(1, 16, stack.width, device=DEVICE).repeat(BATCH, 1, 1)
        return lyapunov_exponents(stack.push, start, time, burn_in=0)

    def naive(steps: int = SAMPLED) -> None:
        frame = torch.linalg.qr(torch.randn(4 * WIDTH, 16, device=DEVICE))[0]
        for _ in range(steps):
            jacobian = torch.autograd.functional.jacobian(step, _state(), vectorize=True)
            frame = torch.linalg.qr(jacobian @ frame)[0]

    def reverse(steps: int = SAMPLED) -> None:
        for _ in range(steps):
            torch.func.jacrev(step)(_state())

    stack = model.recurrence(observed)
    assert stack is not None
    closed = partial(stack.jacobians, slice(100, 116), 0)
    seconds = race(
        {"FB": plain(model, tokens), "16": sixteen, "naive": naive, "jacrev": reverse, "J": closed},
        ROUNDS,
    )
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    per_sample = middle["16"] / BATCH
    yield "Spectrum of a two-layer LSTM, state of 1024 numbers, T = 256"
    yield "| what | is |"
    yield f"| 16 exponents of 8 sequences, FB | {ratios(seconds, 'FB', {})['16']} |"
    yield (
        "| faster, per sequence, than autograd Jacobians with QR "
        f"| {middle['naive'] / SAMPLED * time / per_sample:.0f}x |"
    )
    yield f"| one Jacobian in closed form, ms | {1e3 * middle['J'] / 16:.1f} |"
    yield f"| by torch.func.jacrev, ms | {1e3 * middle['jacrev'] / SAMPLED:.1f} |"
    yield f"| faster | {middle['jacrev'] / SAMPLED / (middle['J'] / 16):.1f}x |"


def _state() -> Tensor:
    return torch.randn(4 * WIDTH, device=DEVICE)


def _step(model: SequenceModel, tokens: Tensor) -> Callable[[Tensor], Tensor]:
    """One step of the user's own recurrence, from state to state."""
    rnn = model.module.rnn
    assert isinstance(rnn, nn.LSTM)
    x = embedding(model)(tokens[:1, 100:101]).detach()

    def step(state: Tensor) -> Tensor:
        parts = state.view(2, 2, 1, WIDTH)
        _, (hidden, cell) = unrolled(rnn, x, (parts[:, 0], parts[:, 1]), lambda _run: None)
        return torch.stack([hidden, cell], dim=1).flatten()

    return step


SECTIONS = (exact, curve, growth, far, denormal, spectrum)


def main(words: list[str]) -> None:
    """Print the tables."""
    random.seed(0)
    models = {kind: trained(kind) for kind in ("lstm", "gru", "attention")}
    print("# What gradients cost, and how exact they are\n")
    print(f"Made by `python benchmarks/gradients.py` with {HARDWARE}.")
    print(f"Two recurrent layers or four of attention, width {WIDTH}, batch of")
    print(
        f"{BATCH}; FB is one plain forward and backward of that batch. Medians of {ROUNDS} rounds,"
    )
    print("with the fastest and the slowest.")
    for section in SECTIONS:
        if words and not any(word in section.__name__ for word in words):
            continue
        title, head, *rows = section(models)
        print(f"\n## {title}\n\n{head}\n{'|---' * (head.count('|') - 1)}|", flush=True)
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
