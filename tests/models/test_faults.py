"""Faults planted in known places, and the paths that are named."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqprobe.models.embedding import leaf_at
from seqprobe.models.faults import (
    where_changed_in_place,
    where_gradient_is_not_finite,
    where_graph_is_cut,
    where_rows_mix,
)
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH, BATCH, TIME = 7, 8, 5, 11
TOKENS = torch.arange(BATCH * TIME).reshape(BATCH, TIME) % SYMBOLS
EXACTLY: dict[str, Any] = {"rtol": 0, "atol": 0, "equal_nan": True}
Code = Callable[[Tensor], Any]


class Does(nn.Module):
    """A module whose whole forward is the given code."""

    def __init__(self, code: Code) -> None:
        super().__init__()
        self.code = code

    def forward(self, x: Tensor) -> Any:
        return self.code(x)


class Adds(nn.Module):
    """A module that takes two tensors, one of them by name."""

    def __init__(self, code: Code = lambda x: x) -> None:
        super().__init__()
        self.code = code

    def forward(self, x: Tensor, *, other: Tensor) -> Any:
        return self.code(x + other)


class Block(nn.Module):
    """Two children; `between` is the block's own code."""

    def __init__(self, inner: nn.Module, between: Code = lambda x: x) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.inner = inner
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(self.between(self.linear(x)))
        return out


class Model(nn.Module):
    """Embedding, blocks, head; `between` is the model's own code."""

    def __init__(self, *blocks: nn.Module, between: Code = lambda x: x) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(WIDTH, SYMBOLS)
        self.between = between

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.between(self.embedding(tokens))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


class Forwards(nn.Module):
    """Children by name, and a forward over them."""

    def __init__(self, forward: Callable[[Any, Any], Any], **children: nn.Module) -> None:
        super().__init__()
        self.code = forward
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Any) -> Any:
        return self.code(self, x)


def inside(code: Code) -> Model:
    """The code is that of blocks.1.inner."""
    return Model(Block(nn.Tanh()), Block(Does(code)), Block(nn.Tanh()))


def in_a_block(code: Code) -> Model:
    return Model(Block(nn.Tanh()), Block(nn.Tanh(), between=code), Block(nn.Tanh()))


def in_the_model(code: Code) -> Model:
    return Model(Block(nn.Tanh()), Block(nn.Tanh()), between=code)


def cells(cell: Callable[[Any, Tensor, Tensor], Tensor], **children: nn.Module) -> Model:
    """A cell that is called once per step."""

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2 * WIDTH, WIDTH)
            for name, child in children.items():
                self.add_module(name, child)

        def forward(self, x: Tensor, *, state: Tensor) -> Tensor:
            return cell(self, x, state)

    def loop(self: Any, x: Tensor) -> Tensor:
        states = [x.new_zeros(len(x), WIDTH)]
        for step in x.unbind(1):
            states.append(self.cell(step, state=states[-1]))
        return torch.stack(states[1:], dim=1)

    return Model(Forwards(loop, cell=Cell()))


def plain_cell(self: Any, x: Tensor, state: Tensor) -> Tensor:
    out: Tensor = self.linear(torch.cat([x, state], dim=-1)).tanh()
    return out


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
    return Model(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


class Named(NamedTuple):
    loss: None
    hidden: Tensor


@dataclass(slots=True)
class Record:
    hidden: Tensor
    step: int


FORMS: dict[str, tuple[Code, Code]] = {
    "tuple": (lambda x: (3, x), lambda out: out[1]),
    "nested": (lambda x: [None, (x, x)], lambda out: out[1][0]),
    "dict": (lambda x: {"hidden": x}, lambda out: out["hidden"]),
    "named tuple": (lambda x: Named(None, x), lambda out: out.hidden),
    "dataclass": (lambda x: Record(x, 3), lambda out: out.hidden),
    "namespace": (lambda x: SimpleNamespace(hidden=x), lambda out: out.hidden),
}


def returning(form: str, code: Code) -> Model:
    """A module that applies the code and wraps what it returns, between healthy ones that do."""
    wrap, unwrap = FORMS[form]

    def forward(self: Any, x: Tensor) -> Tensor:
        for part in (self.before, self.faulty, self.after):
            x = unwrap(part(x))
        return x

    def wrapping(code: Code) -> nn.Module:
        return Does(lambda x: wrap(code(x)))

    return Model(
        Forwards(
            forward, before=wrapping(torch.tanh), faulty=wrapping(code), after=wrapping(torch.tanh)
        )
    )


HEALTHY: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: build("lstm", vocab_size=SYMBOLS, width=WIDTH, layers=2),
    "attention": lambda: build("attention", vocab_size=SYMBOLS, width=WIDTH, layers=2),
    "transformer": transformer,
    "cells": lambda: cells(plain_cell),
    "identities": lambda: Model(nn.Identity(), Block(nn.Identity()), nn.Dropout(0.5)),
    **{form: lambda form=form: returning(form, torch.tanh) for form in FORMS},  # type: ignore[misc]
}
healthy = pytest.mark.parametrize("name", HEALTHY)
forms = pytest.mark.parametrize("form", FORMS)


@contextmanager
def left_alone(module: nn.Module) -> Iterator[None]:
    """Nothing of a module may change: hooks, modes, buffers, parameters, random numbers."""

    def state() -> list[Any]:
        parts = list(module.modules())
        wants = [(p.requires_grad, p.grad, p._version) for p in module.parameters()]
        hooks = [(dict(p._forward_hooks), dict(p._forward_pre_hooks)) for p in parts]
        return [wants, hooks, [p.training for p in parts], [dict(vars(p)) for p in parts]]

    before, values, random = state(), copy.deepcopy(module.state_dict()), torch.get_rng_state()
    yield
    assert state() == before
    torch.testing.assert_close(dict(module.state_dict()), dict(values), **EXACTLY)
    assert torch.equal(torch.get_rng_state(), random)


class TestCut:
    @staticmethod
    def found(module: nn.Module) -> str | None:
        with left_alone(module):
            return where_graph_is_cut(module, lambda: module(TOKENS))

    @pytest.mark.parametrize(
        "code",
        [
            lambda x: x.detach(),
            lambda x: x.data * 2,
            torch.no_grad()(torch.tanh),
            torch.inference_mode()(torch.tanh),
            lambda x: torch.from_numpy(x.detach().numpy() + 1),
            lambda x: F.one_hot(x.argmax(-1), WIDTH).float(),
            torch.sign,
        ],
        ids=["detach", "data", "no_grad", "inference", "numpy", "argmax", "sign"],
    )
    def test_every_way_to_cut_in_every_place(self, code: Code) -> None:
        differentiable = code is torch.sign
        expected = ("blocks.1.inner", "blocks.1", "")
        found = [self.found(place(code)) for place in (inside, in_a_block, in_the_model)]
        assert found == ([None] * 3 if differentiable else list(expected))

    def test_integers_are_a_cut(self) -> None:
        quantise = Forwards(
            lambda self, x: self.codes(self.nearest(x)),
            nearest=Does(lambda x: x.argmax(-1)),
            codes=nn.Embedding(WIDTH, WIDTH),
        )
        assert self.found(Model(quantise)) == "blocks.0.nearest"

    def test_the_earliest_of_two(self) -> None:
        module = Model(Block(nn.Tanh()), Block(Does(torch.detach)), Block(Does(torch.detach)))
        assert self.found(module) == "blocks.1.inner"

    @healthy
    def test_healthy(self, name: str) -> None:
        assert self.found(HEALTHY[name]()) is None

    @forms
    def test_whatever_is_returned(self, form: str) -> None:
        assert self.found(returning(form, torch.detach)) == "blocks.0.faulty"

    def test_a_cell_that_is_called_once_per_step(self) -> None:
        def cell(self: Any, x: Tensor, state: Tensor) -> Tensor:
            return self.gate(plain_cell(self, x, state))  # type: ignore[no-any-return]

        assert self.found(cells(cell, gate=nn.Sigmoid())) is None
        assert self.found(cells(cell, gate=Does(torch.detach))) == "blocks.0.cell.gate"

    def test_gradients_switched_off_around_a_child_are_the_parents_fault(self) -> None:
        @torch.no_grad()
        def forward(self: Any, x: Tensor) -> Any:
            return self.inner(x)

        module = Model(Block(nn.Tanh()), Forwards(forward, inner=Block(nn.Tanh())))
        assert self.found(module) == "blocks.1"

    def test_a_residual_hides_no_cut(self) -> None:
        residual = Forwards(lambda self, x: x + self.inner(x), inner=Block(Does(torch.detach)))
        assert self.found(Model(residual)) == "blocks.0.inner.inner"

    @pytest.mark.parametrize(
        "table",
        [
            lambda x: torch.arange(float(x.shape[1]))[:, None],
            lambda x: {"not a tensor": x.shape},
            lambda x: None,
            lambda x: (x.new_ones(()), x.shape[0]),
        ],
        ids=["positions", "shapes", "nothing", "constant"],
    )
    def test_what_does_not_depend_on_the_numbers_cuts_nothing(self, table: Code) -> None:
        def forward(self: Any, x: Tensor) -> Any:
            self.table(x)
            return self.inner(x)

        whole = Model(Forwards(forward, table=Does(table), inner=nn.Tanh()))
        assert self.found(whole) is None
        cut = Model(Forwards(forward, table=Does(table), inner=Does(torch.detach)))
        assert self.found(cut) == "blocks.0.inner"

    def test_an_opaque_output_is_not_known_to_be_cut(self) -> None:
        class Opaque:
            def __init__(self, hidden: Tensor) -> None:
                self.hidden = hidden

        parts = {"embedding": nn.Embedding(SYMBOLS, WIDTH)}
        assert self.found(Forwards(lambda self, x: Opaque(self.embedding(x)), **parts)) is None

    def test_rotations_depend_on_positions_alone(self) -> None:
        class Rotary(nn.Module):
            def forward(self, x: Tensor, *, places: Tensor) -> tuple[Tensor, Tensor]:
                return places.to(x).cos(), places.to(x).sin()

        def forward(self: Any, x: Tensor) -> Any:
            cos, sin = self.rotary(x, places=torch.arange(TIME)[:, None])
            return x * cos + x.flip(-1) * sin

        assert self.found(Model(Block(Forwards(forward, rotary=Rotary())))) is None

    @forms
    @pytest.mark.parametrize("named", [True, False])
    def test_whatever_is_given(self, form: str, named: bool) -> None:
        wrap, unwrap = FORMS[form]
        taking = Forwards(lambda self, x: unwrap(x).detach())

        def forward(self: Any, x: Tensor) -> Any:
            return x + (self.taking(x=wrap(x)) if named else self.taking(wrap(x)))

        assert self.found(Model(Forwards(forward, taking=taking))) == "blocks.0.taking"

    def test_dropout_is_no_dependence_on_the_input(self) -> None:
        table = Does(lambda x: F.dropout(torch.ones(x.shape), 0.5))
        assert self.found(Model(Forwards(lambda self, x: x + self.table(x), table=table))) is None

    def test_a_module_that_refuses_other_numbers_is_believed_to_depend(self) -> None:
        given: list[Tensor] = []

        def refusing(x: Tensor) -> Tensor:
            given.append(x.detach().clone())
            if not torch.equal(given[0], given[-1]):
                raise ValueError
            return torch.zeros(x.shape)

        assert self.found(inside(refusing)) == "blocks.1.inner"

    def test_tied_weights_do_not_hide_it(self) -> None:
        module = in_the_model(torch.detach)
        module.head.weight = module.embedding.weight
        assert self.found(module) == ""

    def test_parameters_of_the_models_own_do_not_hide_it(self) -> None:
        module = Forwards(lambda self, x: self.embedding(x).detach() * self.scale)
        module.embedding = nn.Embedding(SYMBOLS, WIDTH)
        module.scale = nn.Parameter(torch.ones(WIDTH))
        assert self.found(module) == ""

    def test_frozen_parameters_stay_frozen(self) -> None:
        module = inside(torch.detach).requires_grad_(False)
        assert self.found(module) == "blocks.1.inner"
        given = iter([TOKENS, TOKENS + SYMBOLS])
        with left_alone(module), pytest.raises(IndexError):
            where_graph_is_cut(module, lambda: module(next(given)))

    def test_real_valued_inputs(self) -> None:
        x = torch.randn(BATCH, TIME, WIDTH)
        module = nn.Sequential(Does(torch.detach), nn.Linear(WIDTH, 3))
        assert where_graph_is_cut(module, lambda: module(x.clone().requires_grad_())) == "0"
        module = nn.Sequential(nn.Linear(WIDTH, WIDTH), Does(torch.detach))
        assert where_graph_is_cut(module, lambda: module(x)) == "1"
        assert not x.requires_grad

    def test_the_path_may_start_at_a_leaf_of_the_runs_own(self) -> None:
        """Positions, whose gradient is no one's concern, must not hide the cut of the tokens."""

        def forward(self: Any, tokens: Tensor) -> Any:
            places = self.position(torch.arange(TIME))
            return self.head(self.embedding(tokens).detach() + places)

        table, head = nn.Embedding(SYMBOLS, WIDTH), nn.Linear(WIDTH, SYMBOLS)
        position = nn.Embedding(TIME, WIDTH)
        module = Forwards(forward, position=position, embedding=table, head=head)

        def run() -> None:
            with leaf_at(table, False, lambda _leaf: None):
                module(TOKENS)

        with left_alone(module):
            assert where_graph_is_cut(module, run) == ""

    def test_gradients_are_switched_on(self) -> None:
        with torch.no_grad():
            assert self.found(inside(torch.detach)) == "blocks.1.inner"


class TestInPlace:
    @staticmethod
    def found(module: nn.Module) -> str | None:
        with left_alone(module):
            return where_changed_in_place(module, lambda: module(TOKENS))

    @staticmethod
    def norm_tanh(change: Callable[[Tensor, Tensor, Tensor], Any]) -> Model:
        def forward(self: Any, x: Tensor) -> Any:
            normed = self.norm(x)
            y = self.tanh(normed)
            change(x, normed, y)
            return self.out(y)

        parts = {"norm": nn.LayerNorm(WIDTH), "tanh": nn.Tanh(), "out": nn.Linear(WIDTH, WIDTH)}
        return Model(Forwards(forward, **parts))

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            (lambda x, normed, y: y.add_(1), "blocks.0.tanh"),
            (lambda x, normed, y: y[:, 0].zero_(), "blocks.0.tanh"),
            (lambda x, normed, y: normed.add_(1), "blocks.0.norm"),
            (lambda x, normed, y: x.add_(1), "embedding"),
            (lambda x, normed, y: y.add(1), None),
        ],
        ids=["output", "view of an output", "earlier output", "of the model", "copy"],
    )
    def test_names_whose_output_it_was(self, change: Any, path: str | None) -> None:
        assert self.found(self.norm_tanh(change)) == path

    def test_an_input_that_no_module_returned(self) -> None:
        def forward(self: Any, x: Tensor) -> Any:
            own = x * 2
            out = self.linear(own)
            own.add_(1)
            return out

        module = Model(Forwards(forward, linear=nn.Linear(WIDTH, WIDTH)))
        assert self.found(module) == "blocks.0.linear"

    def test_in_the_models_own_code(self) -> None:
        assert self.found(in_the_model(lambda x: x.mul_(2))) == "embedding"
        assert self.found(in_the_model(lambda x: (x * 2).mul_(2))) is None

    def test_a_module_may_change_what_it_made_itself(self) -> None:
        assert self.found(inside(lambda x: (x + 1).relu_())) is None

    def test_a_module_that_changes_its_input(self) -> None:
        assert self.found(Model(Block(nn.ReLU(inplace=True)))) == "blocks.0.linear"

    def test_a_state_that_is_overwritten_at_every_step(self) -> None:
        def cell(self: Any, x: Tensor, state: Tensor) -> Tensor:
            return self.gate(state).add_(x)  # type: ignore[no-any-return]

        assert self.found(cells(cell, gate=nn.Identity())) == "blocks.0.cell.gate"
        assert self.found(cells(cell, gate=nn.Tanh())) == "blocks.0.cell.gate"
        assert self.found(cells(plain_cell)) is None

    @healthy
    def test_healthy(self, name: str) -> None:
        assert self.found(HEALTHY[name]()) is None

    @forms
    def test_whatever_is_returned(self, form: str) -> None:
        module = returning(form, torch.tanh)

        def changing(code: Code) -> Code:
            def forward(x: Tensor) -> Any:
                x.add_(1)
                return code(x)

            return forward

        after = module.blocks[0].after
        assert isinstance(after, Does)
        after.code = changing(after.code)
        assert self.found(module) == "blocks.0.faulty"

    def test_what_raises_counts_until_then(self) -> None:
        module = self.norm_tanh(lambda x, normed, y: y.add_(1))
        with left_alone(module):
            assert where_changed_in_place(module, lambda: self.backward(module)) == "blocks.0.tanh"
        module = in_a_block(lambda x: [x.add_(1), 1 / 0])
        with left_alone(module):
            found = where_changed_in_place(module, lambda: module(TOKENS))
        assert found == "blocks.1.linear"

    @staticmethod
    def backward(module: nn.Module) -> None:
        loss = module(TOKENS).sum()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(loss, list(module.parameters()))
        raise RuntimeError

    def test_in_inference_mode_nothing_is_known(self) -> None:
        module = self.norm_tanh(lambda x, normed, y: y.add_(1))
        with torch.inference_mode():
            assert self.found(module) is None

        def forward(self: Any, x: Tensor) -> Any:
            self.watches(x)
            return self.inner(x)

        parts = {"watches": Does(torch.inference_mode()(torch.tanh)), "inner": module.blocks[0]}
        assert self.found(Model(Forwards(forward, **parts))) == "blocks.0.inner.tanh"


def nan_at_zero(x: Tensor) -> Tensor:
    """Its values are all finite, its gradient at 0 is 0 / 0."""
    return (x * 0).square().sum(-1, keepdim=True).sqrt() + x


class TestNotFinite:
    @staticmethod
    def found(module: nn.Module) -> str | None:
        def run() -> Tensor:
            loss: Tensor = -module(TOKENS).log_softmax(-1)[..., 0].mean()
            return loss

        with left_alone(module):
            return where_gradient_is_not_finite(module, run)

    @pytest.mark.parametrize(
        "code",
        [
            nan_at_zero,
            lambda x: x + (x - x).abs().sqrt(),
            lambda x: torch.where(x > 9, (x - 9).sqrt(), x),
            lambda x: x + (x - x).abs().pow(0.5),
            lambda x: x + (x * 0 + 1).acos(),
        ],
        ids=["norm at 0", "sqrt at 0", "where", "power", "angle of 1"],
    )
    def test_every_kind_in_every_place(self, code: Code) -> None:
        assert torch.isfinite(code(torch.randn(3, WIDTH))).all()
        found = [self.found(place(code)) for place in (inside, in_a_block, in_the_model)]
        assert found == ["blocks.1.inner", "blocks.1", ""]

    @pytest.mark.parametrize(
        "code",
        [lambda x: x * 0 * (x * 0).log(), lambda x: x + (x - x) / (x - x), lambda x: x * torch.nan],
        ids=["0 log 0", "0 / 0", "nan"],
    )
    def test_what_is_not_a_number_already(self, code: Code) -> None:
        """Its gradient arises in the first module after it that is not linear."""
        found = [self.found(place(code)) for place in (inside, in_a_block, in_the_model)]
        assert found == ["blocks.1.inner", "blocks.1", ""]

    def test_weights_that_are_not_numbers(self) -> None:
        module = inside(torch.tanh)
        nn.init.constant_(module.blocks[1].linear.bias, torch.nan)
        assert self.found(module) == "blocks.1.linear"

    def test_nan_that_reaches_nothing_is_no_fault(self) -> None:
        def forward(self: Any, x: Tensor) -> Any:
            self.unused(x)
            return self.inner(x)

        nan = Block(Does(lambda x: x * torch.nan))
        module = Model(Forwards(forward, unused=nan, inner=Block(nn.Tanh())))
        assert self.found(module) is None

    def test_minus_infinity_in_a_mask_is_no_fault(self) -> None:
        def forward(self: Any, x: Tensor) -> Any:
            return self.scores(x).softmax(-1) @ x

        future = torch.ones(TIME, TIME, dtype=torch.bool).triu(1)
        scores = Does(lambda x: (x @ x.mT).masked_fill(future, -torch.inf))
        assert self.found(Model(Forwards(forward, scores=scores))) is None
        bad = Does(lambda x: nan_at_zero(scores(x)))
        assert self.found(Model(Forwards(forward, scores=bad))) == "blocks.0.scores"

    def test_the_loss_is_no_module(self) -> None:
        module = Model(Block(nn.Tanh()))
        with left_alone(module):
            found = where_gradient_is_not_finite(module, lambda: nan_at_zero(module(TOKENS)).sum())
        assert found is None

    @healthy
    def test_healthy(self, name: str) -> None:
        assert self.found(HEALTHY[name]()) is None

    @forms
    def test_whatever_is_returned(self, form: str) -> None:
        assert self.found(returning(form, nan_at_zero)) == "blocks.0.faulty"

    def test_a_cell_that_is_called_once_per_step(self) -> None:
        def cell(self: Any, x: Tensor, state: Tensor) -> Tensor:
            return plain_cell(self, x, self.norm(state))

        assert self.found(cells(cell, norm=nn.Tanh())) is None
        assert self.found(cells(cell, norm=Does(nan_at_zero))) == "blocks.0.cell.norm"

    @pytest.mark.parametrize("first", [True, False])
    def test_another_user_of_the_same_tensor_is_not_to_blame(self, first: bool) -> None:
        """x goes to both; the gradient of x is NaN, though `good` gives a finite part of it."""

        def forward(self: Any, x: Tensor) -> Any:
            parts = (self.good, self.bad) if first else (self.bad, self.good)
            return sum(part(x) for part in parts)

        both = Forwards(forward, good=nn.Tanh(), bad=Does(nan_at_zero))
        assert self.found(Model(Block(both))) == "blocks.0.inner.bad"

    def test_an_input_computed_from_another_is_not_the_modules_fault(self) -> None:
        own = Forwards(lambda self, x: self.add(x, other=nan_at_zero(x)), add=Adds())
        assert self.found(Model(Block(own))) == "blocks.0.inner"

    def test_infinity_that_reaches_nothing_is_no_fault(self) -> None:
        masked = Forwards(
            lambda self, x: self.root(torch.where(x > 0, x, 0.0)), root=Does(torch.sqrt)
        )
        assert self.found(Model(Block(masked))) is None

    def test_code_on_both_sides_of_a_child(self) -> None:
        both = Forwards(
            lambda self, x: nan_at_zero(self.inner(x * 2)), inner=nn.Linear(WIDTH, WIDTH)
        )
        assert self.found(Model(Block(both))) == "blocks.0.inner"

    def test_infinity_that_stays_inside_does_not_hide_the_fault(self) -> None:
        def forward(self: Any, x: Tensor) -> Any:
            return self.masked(x) + self.bad(x)

        def masked(self: Any, x: Tensor) -> Any:
            return self.inner(torch.where(x > 0, x, 0.0).sqrt())

        parts = {"masked": Forwards(masked, inner=nn.Tanh()), "bad": Does(nan_at_zero)}
        assert self.found(Model(Forwards(forward, **parts))) == "blocks.0.bad"

    def test_gradients_are_switched_on(self) -> None:
        with torch.no_grad():
            assert self.found(inside(nan_at_zero)) == "blocks.1.inner"

    def test_what_a_module_gives_to_its_own_parameter(self) -> None:
        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.zeros(()))

            def forward(self, x: Tensor) -> Tensor:
                return x * (1 + self.scale.sqrt())

        assert self.found(Model(Block(Scaled()))) == "blocks.0.inner"

    def test_own_functions(self) -> None:
        class Bad(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor, times: int) -> Tensor:  # type: ignore[override]
                return x * times

            @staticmethod
            def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
                return gradient / 0, None

        assert self.found(inside(lambda x: Bad.apply(x, 2))) == "blocks.1.inner"

    def test_from_a_leaf_of_the_runs_own(self) -> None:
        module = in_the_model(nan_at_zero).requires_grad_(False)

        def run() -> Tensor:
            with leaf_at(module.embedding, False, lambda _leaf: None):
                return module(TOKENS).sum()  # type: ignore[no-any-return]

        with left_alone(module):
            assert where_gradient_is_not_finite(module, run) == ""

    def test_sparse_gradients(self) -> None:
        module = inside(torch.tanh)
        module.embedding.sparse = True
        assert self.found(module) is None
        module = inside(nan_at_zero)
        module.embedding.sparse = True
        assert self.found(module) == "blocks.1.inner"

    def test_the_graph_stays_alive_and_unwatched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module, scalars = inside(torch.tanh), list[Tensor]()

        def run() -> Tensor:
            scalars.append(module(TOKENS).sum())
            return scalars[0]

        assert where_gradient_is_not_finite(module, run) is None
        monkeypatch.delattr("seqprobe.models.faults._is_finite")  # a hook left behind would fail
        scalars[0].backward()
        assert module.embedding.weight.grad is not None

    def test_nothing_to_differentiate(self) -> None:
        assert self.found(in_the_model(nan_at_zero).requires_grad_(False)) is None


class OverBatch(nn.Module):
    """Attention whose sequence axis is the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.attention(x, x, x)[0]
        return out


class Recurrent(nn.Module):
    def __init__(self, *, batch_first: bool, packed: bool = False) -> None:
        super().__init__()
        self.rnn = nn.LSTM(WIDTH, WIDTH, batch_first=batch_first)
        self.packed = packed

    def forward(self, x: Tensor) -> Tensor:
        if not self.packed:
            return self.rnn(x)[0]  # type: ignore[no-any-return]
        packed = pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


def flattened(inner: nn.Module) -> nn.Module:
    """(batch, time, width) -> (batch x time, width) and back."""
    return Forwards(lambda self, x: self.inner(x.flatten(0, 1)).view(x.shape), inner=inner)


class TestRows:
    @staticmethod
    def found(module: nn.Module, *, time_first: bool = False) -> str | None:
        def run(changed: bool) -> None:
            tokens = TOKENS.clone()
            tokens[0, 6] += changed  # 6 is no multiple of the batch
            module((tokens % SYMBOLS).T if time_first else tokens % SYMBOLS)

        with left_alone(module):
            return where_rows_mix(module, run, BATCH)

    @pytest.mark.parametrize(
        "code",
        [
            lambda x: x - x.mean(0),
            lambda x: x.cumsum(0),
            lambda x: x.flip(0),
            lambda x: F.batch_norm(x.mT, None, None, training=True).mT,
        ],
        ids=["mean", "sum", "flip", "norm"],
    )
    def test_every_kind_in_every_place(self, code: Code) -> None:
        found = [self.found(place(code)) for place in (inside, in_a_block, in_the_model)]
        assert found == ["blocks.1.inner", "blocks.1", ""]

    def test_batch_norm_in_training_mode(self) -> None:
        norm = Forwards(lambda self, x: self.norm(x.mT).mT, norm=nn.BatchNorm1d(WIDTH))
        module = Model(Block(nn.Tanh()), Block(norm))
        assert self.found(module.train()) == "blocks.1.inner.norm"
        assert self.found(module.eval()) is None

    def test_attention_over_the_batch(self) -> None:
        assert self.found(Model(Block(nn.Tanh()), OverBatch())) == "blocks.1.attention"
        assert self.found(Model(OverBatch()), time_first=True) is None

    def test_a_recurrence_that_takes_the_batch_for_time(self) -> None:
        wrong, right = Recurrent(batch_first=False), Recurrent(batch_first=True)
        assert self.found(Model(right, Block(wrong))) == "blocks.1.inner.rnn"
        assert self.found(Model(right, Block(right))) is None
        assert self.found(Model(wrong), time_first=True) is None
        assert self.found(Model(right), time_first=True) == "blocks.0.rnn"

    def test_packed_sequences(self) -> None:
        assert self.found(Model(Recurrent(batch_first=True, packed=True))) is None

    @healthy
    def test_healthy(self, name: str) -> None:
        assert self.found(HEALTHY[name]()) is None

    @forms
    def test_whatever_is_returned(self, form: str) -> None:
        assert self.found(returning(form, lambda x: x.cumsum(0))) == "blocks.0.faulty"

    def test_a_cell_that_is_called_once_per_step(self) -> None:
        def cell(self: Any, x: Tensor, state: Tensor) -> Tensor:
            return plain_cell(self, x, self.norm(state))

        norm = Does(lambda state: state - state.mean(0))
        assert self.found(cells(cell, norm=norm)) == "blocks.0.cell.norm"

    def test_flattened_rows(self) -> None:
        assert self.found(Model(flattened(nn.BatchNorm1d(WIDTH)))) == "blocks.0.inner"
        assert self.found(Model(flattened(nn.BatchNorm1d(WIDTH))), time_first=True) == (
            "blocks.0.inner"
        )
        assert self.found(Model(flattened(nn.LayerNorm(WIDTH)))) is None
        assert self.found(Model(flattened(nn.LayerNorm(WIDTH))), time_first=True) is None

    def test_what_has_no_rows_mixes_none(self) -> None:
        """A mean over the batch alone is no fault; to give it to every row is."""
        pooled = Forwards(lambda self, x: (self.pool(x), x)[1], pool=Does(lambda x: x.mean(0)))
        assert self.found(Model(pooled)) is None

    @pytest.mark.parametrize("mean", [lambda x: x.mean(0), lambda x: x.mean()])
    def test_what_is_mixed_already_is_not_the_receivers_fault(self, mean: Code) -> None:
        parts = {"pool": Does(mean), "add": Adds()}
        spread = Forwards(lambda self, x: self.add(x, other=self.pool(x)), **parts)
        assert self.found(Model(spread)) == "blocks.0"

    def test_a_constant_beside_the_rows(self) -> None:
        table = torch.randn(TIME, WIDTH)

        def model(code: Code) -> Model:
            return Model(Forwards(lambda self, x: (self.add(x, other=table), x)[1], add=Adds(code)))

        assert self.found(model(lambda x: x)) is None
        assert self.found(model(lambda x: x.flip(0))) == "blocks.0.add"
        assert self.found(model(lambda x: x.mean(0))) is None

    def test_rows_that_move_to_the_second_axis(self) -> None:
        def model(code: Code) -> Model:
            moves = Does(lambda x: code(x.transpose(0, 1)))
            return Model(Forwards(lambda self, x: (self.moves(x), x)[1], moves=moves))

        assert self.found(model(lambda x: x.cumsum(0))) is None
        assert self.found(model(lambda x: x.cumsum(1))) == "blocks.0.moves"

    def test_shapes_that_depend_on_the_numbers(self) -> None:
        chosen = Does(lambda x: x[x > x.mean()])
        module = Forwards(lambda self, x: (self.chosen(x), x.flip(0))[1], chosen=chosen)
        assert self.found(Model(module)) == "blocks.0"

    def test_the_first_is_named_and_not_those_that_pass_it_on(self) -> None:
        module = Model(Block(nn.Tanh()), Block(Does(lambda x: x.flip(0))), Block(nn.Tanh()))
        assert self.found(module) == "blocks.1.inner"

    def test_dropout_draws_the_same_in_both_runs(self) -> None:
        assert self.found(Model(Block(nn.Dropout(0.5)))) is None

    def test_what_is_written_to_later_is_compared_as_it_was(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            y = self.good(x)
            return y.copy_(y.flip(0))  # type: ignore[no-any-return]

        def overwriting(self: Any, x: Tensor) -> Tensor:
            y: Tensor = self.bad(x)
            x.copy_(x.flip(0))
            return y

        with torch.no_grad():
            assert self.found(Model(Forwards(forward, good=nn.Tanh()))) == "blocks.0"
            bad = Does(lambda x: x.cumsum(0))
            assert self.found(Model(Forwards(overwriting, bad=bad))) == "blocks.0.bad"

    def test_nan_is_nan_in_both_runs(self) -> None:
        assert self.found(inside(lambda x: x * torch.nan)) is None

    def test_only_as_far_as_both_runs_call_the_same(self) -> None:
        def forward(self: Any, tokens: Tensor) -> Any:
            part = self.odd if tokens[0, 6] > 0 else self.even
            return self.mixes(part(self.embedding(tokens)))

        parts = {"odd": nn.Tanh(), "even": nn.Tanh(), "mixes": Does(lambda x: x.flip(0))}
        module = Forwards(forward, embedding=nn.Embedding(SYMBOLS, WIDTH), **parts)
        assert self.found(module) is None


@pytest.mark.parametrize(
    "find",
    [
        where_graph_is_cut,
        where_gradient_is_not_finite,
        lambda module, run: where_rows_mix(module, lambda _changed: run(), BATCH),
    ],
    ids=["cut", "not finite", "rows"],
)
def test_what_run_raises_is_passed_on_and_the_module_restored(find: Any) -> None:
    module = Model(Block(nn.BatchNorm1d(TIME)))
    with left_alone(module), pytest.raises(ZeroDivisionError):
        find(module, lambda: (module(TOKENS), 1 / 0))


def test_a_call_that_raised_within_one_that_went_on() -> None:
    def fails(x: Tensor) -> Tensor:
        raise ValueError

    def forward(self: Any, x: Tensor) -> Any:
        with suppress(ValueError):
            self.fails(x)
        return self.inner(x).detach()

    module = Model(Forwards(forward, fails=Does(fails), inner=Block(nn.Tanh())))
    with left_alone(module):
        assert where_graph_is_cut(module, lambda: module(TOKENS)) == "blocks.0"


def test_buffers_are_put_back() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("last", torch.zeros(BATCH, TIME, WIDTH))
            self.register_buffer("nothing", None)

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            self.last = x.detach()
            return x

    module = Model(Counts())
    last = module.blocks[0].last
    with left_alone(module):
        assert where_graph_is_cut(module, lambda: module(TOKENS)) is None
    with left_alone(module):
        assert where_changed_in_place(module, lambda: module(TOKENS)) is None
    with left_alone(module):
        assert where_gradient_is_not_finite(module, lambda: module(TOKENS).sum()) is None
    with left_alone(module):
        assert where_rows_mix(module, lambda _changed: module(TOKENS), BATCH) is None
    assert module.blocks[0].last is last
