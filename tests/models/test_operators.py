"""Rules of operators against what perturbations and Jacobians show, element by element."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from seqprobe.contracts import Trace
from seqprobe.models import operators
from seqprobe.models.operators import RULES
from seqprobe.models.trace import taken_apart, trace

pytestmark = [
    pytest.mark.usefixtures("double"),
    pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter"),
]
TIME, WIDTH = 5, 4
aten = torch.ops.aten
Function = Callable[[Tensor], Tensor]


def followed(function: Function, x: Tensor) -> Trace:
    """Of every element of the output, from every position of the input (1, time, ..)."""
    run: Function = lambda inputs: function(inputs).reshape(1, -1, 1).double()  # noqa: E731
    return trace(nn.Identity(), x, run, range(x.shape[1]))[1]


def paths(function: Function, x: Tensor) -> np.ndarray:
    found = followed(function, x)
    assert (np.isfinite(found.operations) == np.isfinite(found.crossings)).all()
    return np.isfinite(found.operations)


def changes(function: Function, x: Tensor, draws: int = 12) -> np.ndarray:
    """Which elements of the output change with which positions of the input."""
    plain = function(x.clone()).flatten()
    changed = torch.zeros(plain.numel(), x.shape[1], dtype=torch.bool)
    for position in range(x.shape[1]):
        for _ in range(draws):
            edited = x.clone()
            edited[0, position] = other(x[0, position])
            out = function(edited).flatten()
            changed[:, position] |= ~torch.isclose(out, plain, rtol=0, atol=0, equal_nan=True)
    return changed.numpy()


def other(step: Tensor) -> Tensor:
    if step.is_floating_point():
        return torch.randn_like(step) * 3
    return torch.randint_like(step, 0, WIDTH)


def features() -> Tensor:
    return torch.randn(1, TIME, WIDTH)


def sparse(*shape: int) -> Tensor:
    """Numbers of which half are zero."""
    return torch.randn(shape) * (torch.rand(shape) < 0.5)


def written(x: Tensor) -> Tensor:
    out = torch.zeros(1, TIME, WIDTH)
    for t in range(1, TIME):
        out[:, t] = x[:, t - 1] + out[:, t - 1]
    return out


def one_by_one(x: Tensor) -> Tensor:
    out = torch.zeros(1, TIME, WIDTH)
    for t in range(TIME):
        for i in range(WIDTH):
            out[0, t, i] = x[0, t - i, i]
    return out


def rotated(x: Tensor) -> Tensor:
    turns = torch.polar(torch.ones(TIME, WIDTH // 2), torch.randn(TIME, WIDTH // 2))
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turns
    return torch.view_as_real(turned).flatten(2)


def gates_in_place(x: Tensor) -> Tensor:
    gates = x.cumsum(1)
    first, second = gates.chunk(2, dim=-1)
    first.sigmoid_()
    second[:, 2:].mul_(x[:, :-2, :2]).add_(1)
    return gates


def turned_in_place(x: Tensor) -> Tensor:
    out = x.roll(1, 1)
    torch.view_as_complex(out.unflatten(-1, (-1, 2)))[:, 1:].mul_(1j)
    return out


def written_across_blocks(x: Tensor) -> Tensor:
    out = x @ torch.ones(WIDTH, WIDTH)
    out[..., 1:3] = 0
    out[:, ::2, 3:] = x[:, :3, :1]
    return out


def causal_attention(x: Tensor) -> Tensor:
    scores = x @ x.mT
    future = torch.ones(TIME, TIME, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ x


def added_mask(x: Tensor) -> Tensor:
    mask = torch.full((TIME, TIME), -math.inf).triu(1)
    return (x @ x.mT + mask).softmax(-1) @ x


def by_hand(x: Tensor) -> Tensor:
    scores = x @ x.mT + torch.full((TIME, TIME), -math.inf).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return (weights / weights.sum(-1, keepdim=True)) @ x


def shared_memory(x: Tensor) -> Tensor:
    buffer = torch.zeros(1, TIME, WIDTH)
    buffer.mT.copy_(x.mT)
    turned = buffer.flip(1)
    buffer.mul_(0)
    return torch.cat([turned, buffer, x[:, :0]], dim=1)


FUTURE = torch.ones(TIME, TIME, dtype=torch.bool).triu(1)
EYE = torch.eye(WIDTH, dtype=torch.float64)
ORDER = torch.tensor([3, 0, 0, 4, 2])
EXACT: dict[str, Function] = {
    "add, broadcast": lambda x: x + x[:, :1] + x[..., :1],
    "mul": lambda x: x * x.flip(1),
    "mul by zeros": lambda x: x * sparse(TIME, WIDTH),
    "mul in place by zeros": lambda x: x.clone().mul_(sparse(TIME, 1)),
    "mul in place by its own zeros": lambda x: x.clone().mul_(x.roll(1, 1).relu()),
    "mul by itself in place": lambda x: (y := x.clone()).mul_(y),
    "zeros times": lambda x: x.roll(1, 1) * (x * sparse(TIME, WIDTH)),
    "addcmul": lambda x: torch.addcmul(x, x.roll(1, 1), sparse(TIME, WIDTH)),
    "addcmul in place": lambda x: (y := x.flip(1)).addcmul_(y, sparse(TIME, WIDTH)),
    "where": lambda x: torch.where(sparse(TIME, WIDTH) > 0, x, x.roll(2, 1)),
    "where of its own": lambda x: torch.where(x > 0, x.roll(1, 1), 0 * x.roll(2, 1) - 7),
    "masked_fill": lambda x: x.masked_fill(FUTURE[:, :WIDTH], 3.0),
    "masked_fill by a number": lambda x: x.masked_fill(FUTURE[:, :WIDTH], x[0, 2, 1]),
    "masked_fill in place": lambda x: (x + 1).masked_fill_(FUTURE[:, :WIDTH], -math.inf),
    "mm": lambda x: x[0] @ sparse(WIDTH, 6),
    "mm from the left": lambda x: sparse(3, TIME) @ x[0],
    "mm of a block": lambda x: sparse(3, TIME) @ (x[0] @ torch.ones(WIDTH, WIDTH)),
    "mm both": lambda x: (x[0] * sparse(TIME, WIDTH)) @ (x[0].mT * sparse(WIDTH, TIME)),
    "addmm": lambda x: torch.addmm(x[0, :, :2], x[0].roll(1, 0), sparse(WIDTH, 2)),
    "addmm of a vector": lambda x: torch.addmm(x[0, 1], x[0].roll(1, 0), sparse(WIDTH, WIDTH)),
    "bmm": lambda x: x.reshape(TIME, 2, 2) @ sparse(TIME, 2, 3),
    "bmm by itself": lambda x: x @ (x * sparse(TIME, 1)).mT,
    "baddbmm": lambda x: torch.baddbmm(x[0, :, None], x.reshape(TIME, 2, 2), sparse(TIME, 2, 4)),
    "mv": lambda x: x[0] @ sparse(WIDTH),
    "mv of a state": lambda x: sparse(3, WIDTH) @ x[0, 2],
    "addmv": lambda x: torch.addmv(x[0, :, 0], x[0].roll(1, 0), sparse(WIDTH)),
    "dot": lambda x: x[0, :, 0].dot(sparse(TIME)),
    "sums": lambda x: torch.cat([x.sum(-1).flatten(), x.mean(1).flatten(), x.mean()[None]]),
    "extremes": lambda x: torch.cat([x.amax(1), x.amin(1), x.max(1)[0], x.min(1)[0]]),
    "extremes of two": lambda x: torch.max(x, x.flip(1)) + torch.min(x, x.roll(1, 1)),
    "all extremes": lambda x: torch.stack([x[:, :3].max(), x[:, 2:].min(), x[0, 1:2].median()]),
    "products": lambda x: torch.stack([x[..., :2].prod(), x[:, :2].prod(1)[0, 0]]),
    "spread": lambda x: torch.cat([x.var(-1), x.std(-1), *torch.var_mean(x, -1)]),
    "spread with the mean": lambda x: torch.cat(torch.std_mean(x, 2, keepdim=True), dim=2),
    "norms": lambda x: torch.cat([x.norm(dim=-1), torch.linalg.vector_norm(x, dim=-1)]),
    "old norm": lambda x: aten.norm.ScalarOpt_dim(x, 2, [-1]),
    "logsumexp": lambda x: x.logsumexp(-1),
    "counts": lambda x: torch.stack([(x > 1).any(-1), (x > -1).all(-1)]),
    "aminmax": lambda x: torch.stack(torch.aminmax(x, dim=-1)),
    "nonzeros": lambda x: x.relu().count_nonzero(-1),
    "sort": lambda x: x.sort(dim=1)[0],
    "argsort": lambda x: x.argsort(1),
    "topk": lambda x: x.topk(2, dim=1)[0],
    "fft": lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=2), dim=2),
    "complex fft": lambda x: torch.view_as_real(torch.fft.fft(torch.complex(x, -x))),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(2),
    "log_softmax of a mask": lambda x: x.masked_fill(FUTURE[:, :WIDTH], -math.inf).log_softmax(1),
    "safe softmax": lambda x: aten._safe_softmax(
        x.masked_fill(ORDER[:, None] > torch.tensor([9, -1, 2, 0]), -math.inf), 1
    ),
    "cumsum": lambda x: x.cumsum(1),
    "cumsum backwards": lambda x: x.flip(1).cumsum(-2).flip(1),
    "cumulations": lambda x: torch.cat([x.cumprod(1), x.logcumsumexp(1)]),
    "layer_norm": lambda x: F.layer_norm(x, (WIDTH,)),
    "layer_norm of two axes": lambda x: F.layer_norm(x, (TIME, WIDTH)),
    "rms_norm": lambda x: F.rms_norm(x, (WIDTH,), torch.ones(WIDTH)),
    "group_norm": lambda x: F.group_norm(x[:, :4], 2),
    "group_norm of blocks": lambda x: F.group_norm(x.mT @ torch.ones(TIME, 3), 2),
    "group_norm per step": lambda x: F.group_norm(x[0], 2),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(TIME), torch.ones(TIME)),
    "batch_norm without": lambda x: aten._native_batch_norm_legit_no_training(
        x, None, None, torch.zeros(TIME), torch.ones(TIME), 0.1, 1e-5
    )[0],
    "conv1d": lambda x: F.conv1d(F.pad(x.mT, (2, 0)), sparse(3, WIDTH, 3), torch.randn(3)),
    "conv1d of blocks": lambda x: F.conv1d(
        (x @ torch.ones(WIDTH, WIDTH)).mT, sparse(3, WIDTH, 2), stride=2, padding=1
    ),
    "conv1d without a weight": lambda x: F.conv1d(x.mT, torch.zeros(3, WIDTH, 1)),
    "dilated conv1d": lambda x: F.conv1d(x.mT, torch.randn(2, WIDTH, 2), dilation=3, padding=3),
    "depthwise conv1d": lambda x: F.conv1d(x.mT, sparse(WIDTH, 1, 3), padding=2, groups=WIDTH),
    "grouped conv1d": lambda x: F.conv1d(x.mT, torch.randn(6, 2, 2), groups=2),
    "grouped conv1d with zeros": lambda x: F.conv1d(x.mT, sparse(6, 2, 2), groups=2),
    "conv2d": lambda x: F.conv2d(x[None], sparse(2, 1, 2, 3), padding=(1, 0), stride=(1, 2)),
    "cat": lambda x: torch.cat([x.flip(1), torch.ones(1, 2, WIDTH), x[:, 2:]], dim=-2),
    "cat of blocks": lambda x: torch.cat([x @ torch.ones(WIDTH, 2), x], dim=2),
    "stack": lambda x: torch.stack([x[:, 1], torch.zeros(1, WIDTH), x[:, 0]], dim=-1),
    "index": lambda x: x[:, ORDER],
    "index by two": lambda x: x[:, ORDER[:, None], torch.tensor([[1, 3]])],
    "index apart": lambda x: x[None][:, [0], :, [1]],
    "index by a mask": lambda x: x[:, ORDER > 1],
    "index_select": lambda x: x.index_select(1, ORDER),
    "gather": lambda x: x.gather(1, torch.randint(TIME, (1, 3, WIDTH))),
    "gather of its own": lambda x: torch.randn(1, 9, WIDTH).gather(1, x.flip(1).long().abs() % 9),
    "roll": lambda x: x.roll((1, -1), (1, 2)),
    "flip": lambda x: x.flip(1),
    "pad": lambda x: F.pad(x, (1, -1, 2, 0), value=0.5),
    "reflection": lambda x: F.pad(x.mT, (2, 1), mode="reflect"),
    "replication": lambda x: F.pad(x.mT, (2, 1), mode="replicate"),
    "repeat": lambda x: x.repeat(1, 2, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(1),
    "diag_embed": lambda x: torch.diag_embed(x[0, :, 0]),
    "unfold": lambda x: x.unfold(1, 3, 2) + 1,
    "unfold_copy": lambda x: aten.unfold_copy(x, 1, 3, 1),
    "slice_scatter": lambda x: torch.zeros_like(x).slice_scatter(x[:, 1:3], 1, 0, 2),
    "select_scatter": lambda x: x.select_scatter(x[:, 4], 1, 0),
    "index_put": lambda x: x.index_put((torch.tensor([0]), torch.tensor([2])), x[0, 4]),
    "index_put in place": lambda x: torch.zeros(1, TIME, WIDTH).index_put_(
        (torch.tensor([0]), torch.tensor([1, 3])), x[0, 1:3]
    ),
    "index_copy": lambda x: x.index_copy(1, torch.tensor([0, 1]), x[:, 3:]),
    "scatter": lambda x: torch.zeros(1, 9, WIDTH).scatter(1, ORDER[None, :1, None], x[:, 1:]),
    "scatter a number": lambda x: x.scatter(1, ORDER[None, :, None].expand(1, TIME, 2), 1.0),
    "scatter in place": lambda x: x.clone().scatter_(1, ORDER[None, :2, None], x[:, 3:]),
    "copies": lambda x: x.clone().float().double() + torch.zeros_like(x).copy_(x.flip(1)),
    "fresh": lambda x: torch.cat([torch.zeros_like(x), x.new_ones(1, 1, WIDTH), x.detach()], 1),
    "fill": lambda x: torch.stack([torch.full_like(x[0, 0], 2.0), x[0, 1].clone().fill_(1.0)]),
    "fill with a number of its own": lambda x: torch.zeros(3).fill_(x[0, 2, 0]),
    "zero": lambda x: torch.cat([(x + 1).zero_(), x], dim=-1),
    "rest of fresh": lambda x: torch.stack(
        [
            torch.ones_like(x),
            torch.empty_like(x).zero_(),
            x.new_zeros(x.shape),
            x.new_full(x.shape, 1.0),
            x.new_empty(x.shape).zero_(),
            x.new_empty_strided(x.shape, x.stride()).zero_(),
            torch.rand_like(x) * 0,
            torch.randn_like(x) * 0,
            torch.empty_like(x).uniform_() * 0,
        ]
    ),
    "shifts": lambda x: (x * 100).long() >> 1 << 2,
    "polar": lambda x: torch.view_as_real(torch.polar(x.exp(), x.roll(1, 1))),
    "glu": lambda x: torch.cat([F.glu(x), F.glu(x[:, 1:], 1).reshape(1, 4, 2)], 1),
    "glu of blocks": lambda x: F.glu(x @ torch.ones(WIDTH, 6)),
    "hardswish": lambda x: F.hardswish(x + 4),
    "log_sigmoid": F.logsigmoid,
    "prelu": lambda x: F.prelu(x.mT, torch.rand(WIDTH)),
    "floor_divide": lambda x: (x * 100) // 1,
    "written step by step": written,
    "written one by one": one_by_one,
    "rotated": rotated,
    "turned in place": turned_in_place,
    "written across blocks": written_across_blocks,
    "inference mode": torch.inference_mode()(lambda x: F.linear(x.mT.reshape(1, TIME, WIDTH), EYE)),
    "gates in place": gates_in_place,
    "causal attention": causal_attention,
    "added mask": added_mask,
    "masked by hand": by_hand,
    "shared memory": shared_memory,
    "complex numbers of an odd buffer": lambda x: torch.view_as_complex(
        torch.cat([x.flatten(), x[0, 0, :1]])[:6].view(3, 2)
    ).abs(),
    "bits": lambda x: x.view(torch.int32).to(x),
    "nothing": lambda x: torch.cat([x[:, :0] + 1, x * 2], dim=1),
    "einsum": lambda x: torch.einsum("btd,de,bte->bt", x, sparse(WIDTH, WIDTH), x),
}
TOKENS: dict[str, Function] = {
    "embedding": lambda x: F.embedding(x, torch.randn(WIDTH, 3)),
    "index of a table": lambda x: torch.randn(WIDTH, 3)[x],
    "index of two": lambda x: torch.randn(WIDTH, WIDTH)[x, x.flip(1)],
    "index apart": lambda x: torch.randn(2, WIDTH, 3, WIDTH)[:, x, :, x.flip(1)],
    "one_hot": lambda x: F.one_hot(x, WIDTH),
    "comparison": lambda x: x == x.roll(1, 1),
    "own places": lambda x: (x * 10).gather(1, x),
}
COVERED: dict[str, Function] = {
    "argmax": lambda x: torch.stack([x.argmax(-1), x.argmin(-1)]),
    "cummax": lambda x: torch.cat([x.cummax(1)[0], x.cummin(1)[0]]),
    "scattered at its own places": lambda x: torch.zeros(1, 9, 2).scatter(
        1, x[..., :2].long() % 9, 1.0
    ),
    "scattered from its own": lambda x: x.scatter(1, x.long() % TIME, x.flip(1)),
    "scattered over its own": lambda x: x.scatter(1, x[..., :1].long() % TIME, 1.0),
    "scattered at the place of one": lambda x: x.scatter(1, x[:, :1, :1].long() % TIME, 1.0),
    "indexed by its own mask": lambda x: (x[0, :, 0] > 9).nonzero().new_zeros(1) + x[x > -99].sum(),
    "hypernetwork": lambda x: F.layer_norm(torch.randn(WIDTH), (WIDTH,), x[0, 1], x[0, 2]),
    "conv with its own kernel": lambda x: F.conv1d(torch.randn(1, TIME, 9), x[:, :, :3]),
    "conv with its own bias": lambda x: F.conv1d(x.mT, torch.randn(2, WIDTH, 1), x[0, 1, :2]),
    "transposed conv": lambda x: F.conv_transpose1d(x.mT, torch.randn(WIDTH, 2, 2)),
    "training batch_norm": lambda x: F.batch_norm(x[0], None, None, training=True),
    "accumulated": lambda x: torch.zeros(3).index_put(
        (torch.tensor([1, 1]),), x[0, :2, 0], accumulate=True
    ),
    "scattered and added": lambda x: x.scatter(
        1, ORDER[None, :, None] * 0, x.flip(1), reduce="add"
    ),
    "out=": lambda x: torch.mm(x[0], torch.randn(WIDTH, 2), out=torch.zeros(TIME, 2)),
    "factor in out=": lambda x: torch.mul(x, (y := x.flip(1)), out=y),
    "inverse": lambda x: torch.linalg.inv(x[:, :4]),
    "drawn": lambda x: torch.bernoulli(x.sigmoid(), generator=torch.Generator().manual_seed(0)),
    "bilinear": lambda x: F.bilinear(x, x.flip(1), torch.randn(2, WIDTH, WIDTH)),
}
WITHOUT_RULE = {
    "scattered from its own": ("scatter",),
    "indexed by its own mask": ("nonzero", "index"),
    "hypernetwork": ("native_layer_norm",),
    "conv with its own kernel": ("convolution",),
    "conv with its own bias": ("convolution",),
    "transposed conv": ("convolution",),
    "training batch_norm": ("native_batch_norm",),
    "accumulated": ("index_put",),
    "scattered and added": ("scatter",),
    "out=": ("mm",),
    "factor in out=": ("mul",),
    "inverse": ("linalg_inv_ex",),
    "drawn": ("bernoulli",),
    "bilinear": ("_trilinear",),
}


def seeded(function: Function) -> Function:
    """The same random numbers in every run."""

    def run(x: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return function(x)

    return run


@pytest.mark.parametrize("name", EXACT)
def test_paths_are_where_changes_arrive(name: str) -> None:
    x, function = features(), seeded(EXACT[name])
    assert followed(function, x).without_rule == ()
    np.testing.assert_array_equal(paths(function, x), changes(function, x))


@pytest.mark.parametrize("name", TOKENS)
def test_paths_of_tokens_are_where_changes_arrive(name: str) -> None:
    x, function = torch.randint(WIDTH, (1, TIME)), seeded(TOKENS[name])
    assert followed(function, x).without_rule == ()
    np.testing.assert_array_equal(paths(function, x), changes(function, x, 30))


@pytest.mark.parametrize("name", COVERED)
def test_no_change_arrives_without_a_path(name: str) -> None:
    x, function = features(), seeded(COVERED[name])
    assert followed(function, x).without_rule == WITHOUT_RULE.get(name, ())
    assert (paths(function, x) >= changes(function, x)).all()


@pytest.mark.parametrize("name", ["mm both", "bmm by itself", "causal attention", "cumsum"])
def test_sums_too_large_for_memory_are_joined_in_parts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, function = features(), seeded(EXACT[name])
    whole = followed(function, x)
    monkeypatch.setattr(operators, "LARGEST", 2 * 2 * TIME**2)
    parts = followed(function, x)
    np.testing.assert_array_equal(parts.operations, whole.operations)
    np.testing.assert_array_equal(parts.crossings, whole.crossings)


def test_a_number_that_python_goes_on_with_is_named() -> None:
    assert followed(lambda x: x * x.mean().item(), features()).without_rule == (
        "_local_scalar_dense",
    )


def test_an_operator_without_a_rule_reads_everything_and_takes_a_crossing() -> None:
    found = followed(lambda x: torch.linalg.inv(x[:, :4]).sum(), features())
    np.testing.assert_array_equal(found.crossings, [[1, 1, 1, 0, np.inf]])
    np.testing.assert_array_equal(found.operations, [[2, 2, 2, 2, np.inf]])


class _Met(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.names |= {name, name if name.endswith("__") else name.rstrip("_")}
        return func(*args, **(kwargs or {}))


def test_every_rule_is_met_by_an_exact_case_or_a_covered_one() -> None:
    x, tokens = features(), torch.randint(WIDTH, (1, TIME))
    with taken_apart(), _Met() as met:
        for function in (EXACT | COVERED).values():
            function(x.clone())
        for function in TOKENS.values():
            function(tokens)
    assert set(RULES) - met.names == set()


@dataclass
class Naive:
    """A matrix, and for each element what the rows say of it, by looking at every element."""

    values: Tensor
    latest: np.ndarray
    chain: np.ndarray
    operators: np.ndarray
    hops: np.ndarray


def at_the_inputs(x: Tensor) -> Naive:
    position = np.repeat(np.arange(SIZE), SIZE)
    paths = np.where(position[:, None] == np.arange(SIZE), 0.0, np.inf)
    return Naive(x, position, np.zeros(SIZE**2), paths, paths)


def naively(function: Callable[..., Tensor], cost: np.ndarray, given: Sequence[Naive]) -> Naive:
    """An element reads those that its derivative is not zero for."""
    slopes = jacobian(function, tuple(each.values for each in given))
    reads = [slope.reshape(SIZE**2, SIZE**2).numpy() != 0 for slope in slopes]
    rows = []
    for element in range(SIZE**2):
        read = [(each, mask[element]) for each, mask in zip(given, reads, strict=True)]
        latest = max(np.max(each.latest[mask], initial=-1) for each, mask in read)
        chain = max(np.max(each.chain[mask], initial=-np.inf) for each, mask in read)
        operators = [each.operators[mask].min(0, initial=np.inf) for each, mask in read]
        hops = [
            (each.hops[mask] + (each.latest[mask] < latest)[:, None]).min(0, initial=np.inf)
            for each, mask in read
        ]
        price = cost[element]
        rows.append((latest, chain + price, np.min(operators, 0) + price, np.min(hops, 0)))
    found = function(*[each.values for each in given])
    return Naive(found, *(np.stack(column) for column in zip(*rows, strict=True)))


SIZE = 6
HALF = np.tile(np.arange(SIZE) < SIZE // 2, SIZE)


def turned(a: Tensor, constant: Tensor) -> Tensor:
    turns = torch.complex(constant[:, :3], constant[:, 3:])
    return torch.view_as_real(
        torch.view_as_complex(a.contiguous().unflatten(1, (3, 2))) * turns
    ).flatten(1)


def half_in_place(a: Tensor) -> Tensor:
    out = a.clone()
    out[:, : SIZE // 2].sigmoid_()
    return out


def pieced_together(a: Tensor, b: Tensor) -> Tensor:
    out = torch.zeros(SIZE, SIZE)
    out[2:] = a[:4]
    out[:, 1] = b[:, 0]
    out.mT[3:5, :2].copy_(b[2:4, 4:].mT)
    return out


def attended(a: Tensor) -> Tensor:
    return a.sin().masked_fill(torch.ones(SIZE, SIZE).triu(2) > 0, -math.inf).softmax(-1)


# every step: operands, operators, and what is done with a random constant of half zeros
STEPS: dict[str, tuple[int, float | np.ndarray, Callable[..., Tensor]]] = {
    "sin": (1, 1, lambda c, a: a.sin()),
    "add": (2, 1, lambda c, a, b: a + b),
    "mul": (2, 1, lambda c, a, b: a * b),
    "mask": (1, 1, lambda c, a: a * c),
    "addcmul": (2, 1, lambda c, a, b: torch.addcmul(a, b, c)),
    "linear": (1, 1, lambda c, a: a @ c),
    "mix": (1, 1, lambda c, a: c @ a),
    "dense": (1, 1, lambda c, a: a @ (c + 9)),
    "addmm": (2, 1, lambda c, a, b: torch.addmm(a, b, c)),
    "product": (2, 1, lambda c, a, b: a @ b),
    "all of three": (3, 1, lambda c, a, b, d: torch.addmm(d, a, b)),
    "attention": (1, 2, lambda c, a: attended(a)),
    "cumsum": (1, 1, lambda c, a: a.cumsum(0)),
    "sum": (1, 1, lambda c, a: a.sum(1, keepdim=True).expand(SIZE, SIZE)),
    "norm": (1, 1, lambda c, a: F.layer_norm(a, (SIZE,))),
    "conv": (1, 1, lambda c, a: F.conv1d(F.pad(a.mT, (2, 0)), c.view(SIZE, 2, 3), groups=3).mT),
    "turn": (1, 1, lambda c, a: turned(a, c + 9)),
    "half": (1, HALF, lambda c, a: half_in_place(a)),
    "roll": (1, 0, lambda c, a: a.roll((1, 2), (0, 1))),
    "flip": (1, 0, lambda c, a: a.flip(0)),
    "tril": (1, 0, lambda c, a: a.tril()),
    "transpose": (1, 0, lambda c, a: a.mT),
    "where": (2, 0, lambda c, a, b: torch.where(c > 0, a, b)),
    "cat": (2, 0, lambda c, a, b: torch.cat([a[3:], torch.ones(1, SIZE), b[1:3]])),
    "index": (1, 0, lambda c, a: a[c[0].argsort()]),
    "gather": (1, 0, lambda c, a: a.gather(0, c.argsort(0))),
    "piece": (2, 0, lambda c, a, b: pieced_together(a, b)),
}


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_have_the_paths_of_a_naive_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = random.choice(list(STEPS), 7)
    program = [(STEPS[n], sparse(SIZE, SIZE), random.integers(-3, 0, 3)) for n in names]

    def run(x: Tensor) -> Tensor:
        made = [x[0].sin(), x[0] * 1, x[0].cos()]
        for (count, _, step), constant, operands in program:
            made.append(step(constant, *[made[i] for i in operands[:count]]))
        return made[-1]

    x = torch.randn(1, SIZE, SIZE)
    one = np.ones(SIZE**2)
    start = [at_the_inputs(x[0])]
    made = [naively(f, one, start) for f in (torch.sin, lambda a: a * 1, torch.cos)]
    for (count, cost, step), constant, operands in program:
        apply: Callable[..., Tensor] = lambda *given, c=constant, s=step: s(c, *given)  # noqa: E731
        made.append(naively(apply, one * cost, [made[i] for i in operands[:count]]))
    found, last = followed(run, x), made[-1]
    moved = last.latest < np.arange(SIZE**2)
    assert found.without_rule == ()
    np.testing.assert_array_equal(found.operations, last.operators)
    np.testing.assert_array_equal(found.crossings, last.hops + moved[:, None])
    assert found.depth == max(last.chain.max(), 0)
