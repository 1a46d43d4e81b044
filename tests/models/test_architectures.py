"""Live modules of many kinds: same numbers, right kinds, sites, directions, and no trace left."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.templates.mamba import MambaMixer
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import AttentionLM

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
SYMBOLS, WIDTH = 7, 8
CLOSE = {torch.float32: 1e-6, torch.float64: 1e-12}


class Model(nn.Module):
    """Embedding, anything from (batch, time, width) to the same, head."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.core = core
        self.head = nn.LazyLinear(SYMBOLS)
        tokens = torch.zeros(2, 3, dtype=torch.long)
        with torch.no_grad():
            self(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.core(self.embedding(tokens))
        logits: Tensor = self.head(mixed[0] if isinstance(mixed, tuple) else mixed)
        return logits


class InitialState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.start = nn.Parameter(torch.randn(2, 1, 1, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        hidden, cell = self.start.expand(2, 1, len(x), WIDTH).contiguous()
        out: Tensor = self.rnn(x, (hidden, cell))[0]
        return out


class CellLoop(nn.Module):
    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, dim=1)


class Encoder(nn.Module):
    def __init__(self, *, norm_first: bool, causal: bool, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, 16, dropout=0.3, norm_first=norm_first, batch_first=batch_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.causal, self.axis = causal, int(batch_first)

    def forward(self, x: Tensor) -> Tensor:
        time = x.shape[self.axis]
        mask = nn.Transformer.generate_square_subsequent_mask(time, dtype=x.dtype)
        out: Tensor = self.encoder(x, mask=mask if self.causal else None)
        return out


class SoftmaxAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).mT
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        out: Tensor = x + scores.masked_fill(future, -torch.inf).softmax(-1) @ x
        return out


class CausalConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv(F.pad(x.mT, (2, 0))).mT.relu()
        return out


class ChompedConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x.mT)[..., : x.shape[1]].mT
        return out


class OwnCode(nn.Module):
    """A running mean: no class and no call tells that positions mix."""

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
        return x.cumsum(1) / steps[:, None]


class WithoutCore(nn.Module):
    """Mixes in the root's own code, and ends in a softmax over classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        chances: Tensor = self.embedding(tokens).cumsum(1).softmax(-1)
        return chances


def stack(*blocks: nn.Module) -> Model:
    return Model(nn.Sequential(*blocks))


def gpt() -> nn.Module:
    return AttentionLM(SYMBOLS, WIDTH, layers=2, heads=2, context=32)


Build = Callable[[], nn.Module]
RECURRENT: dict[str, tuple[Build, list[str]]] = {
    "rnn": (lambda: Model(nn.RNN(WIDTH, 6, batch_first=True)), ["core.state_l0"]),
    "relu rnn, 3 layers": (
        lambda: Model(nn.RNN(WIDTH, 6, 3, nonlinearity="relu", batch_first=True)),
        ["core.state_l0", "core.state_l1", "core.state_l2"],
    ),
    "gru without bias": (
        lambda: Model(nn.GRU(WIDTH, 6, bias=False, batch_first=True)),
        ["core.state_l0"],
    ),
    "lstm with dropout": (
        lambda: Model(nn.LSTM(WIDTH, 6, 2, dropout=0.5, batch_first=True)),
        ["core.state_l0", "core.state_l1"],
    ),
    "projected lstm": (
        lambda: Model(nn.LSTM(WIDTH, 6, proj_size=3, batch_first=True)),
        ["core.state_l0"],
    ),
    "initial state": (lambda: Model(InitialState()), ["core.rnn.state_l0"]),
    "lstm cells": (lambda: Model(CellLoop(nn.LSTMCell(WIDTH, WIDTH))), ["core.cell.state", "core"]),
    "gru cells": (lambda: Model(CellLoop(nn.GRUCell(WIDTH, WIDTH))), ["core.cell.state", "core"]),
}
BOTH_WAYS: dict[str, tuple[Build, list[str]]] = {
    "both ways": (
        lambda: Model(nn.LSTM(WIDTH, 6, bidirectional=True, batch_first=True)),
        ["core.state_l0", "core.state_l0_reverse"],
    ),
}
LAYERS = ["core.encoder.layers.0", "core.encoder.layers.1"]
ATTENTION: dict[str, tuple[Build, list[str]]] = {
    "post-norm, causal": (lambda: Model(Encoder(norm_first=False, causal=True)), LAYERS),
    "pre-norm, causal": (lambda: Model(Encoder(norm_first=True, causal=True)), LAYERS),
    "gpt": (gpt, ["blocks.0", "blocks.1"]),
    "own softmax": (lambda: stack(SoftmaxAttention(), SoftmaxAttention()), ["core.0", "core.1"]),
}
UNMASKED: dict[str, tuple[Build, list[str]]] = {
    "no mask, post-norm": (lambda: Model(Encoder(norm_first=False, causal=False)), LAYERS),
    "no mask, pre-norm": (lambda: Model(Encoder(norm_first=True, causal=False)), LAYERS),
}
CONVOLUTION: dict[str, tuple[Build, list[str]]] = {
    "causal convolutions": (lambda: stack(CausalConv(), CausalConv()), ["core.0", "core.1"]),
    "chomped convolutions": (lambda: stack(ChompedConv()), ["core.0"]),
}
UNKNOWN: dict[str, tuple[Build, list[str]]] = {
    "own code": (lambda: stack(OwnCode()), ["core.0"]),
    "in the root": (WithoutCore, []),
}
KINDS = {
    "recurrent": RECURRENT | BOTH_WAYS,
    "attention": ATTENTION | UNMASKED,
    "convolution": CONVOLUTION,
    "unknown": UNKNOWN,
}
EVERY = RECURRENT | BOTH_WAYS | ATTENTION | UNMASKED | CONVOLUTION | UNKNOWN
every = pytest.mark.parametrize("name", EVERY)


def built(name: str) -> nn.Module:
    return EVERY[name][0]()


@every
@pytest.mark.parametrize("dtype", CLOSE)
def test_probed_and_plain_forward_are_the_modules_own(name: str, dtype: torch.dtype) -> None:
    module = built(name).to(dtype)
    model = SequenceModel(module)
    tokens = model.example(4, 13)
    with torch.no_grad():
        theirs = copy.deepcopy(module).eval()(tokens)
    assert (model(tokens) - theirs).abs().max() <= CLOSE[dtype]
    assert (model.observe(tokens).outputs - theirs).abs().max() <= CLOSE[dtype]


@every
def test_kind_sites_and_direction(name: str) -> None:
    model = SequenceModel(built(name))
    kind = next(kind for kind, models in KINDS.items() if name in models)
    assert model.family == kind
    assert {mixer.kind for mixer in model.kinds} == {kind}
    assert list(model.sites) == EVERY[name][1]
    assert model.causal == (name not in BOTH_WAYS | UNMASKED)
    assert not model.time_first
    assert not model.mixes_batch_rows


@every
def test_states_are_per_step_and_depend_on_the_embeddings(name: str) -> None:
    model = SequenceModel(built(name))
    observed = model.observe(model.example(3, 13))
    assert observed.embeddings is not None
    for state in (*observed.states.values(), observed.outputs):
        assert state.shape[:2] == (3, 13)
        (gradient,) = torch.autograd.grad(
            state[:, 6].square().sum(), observed.embeddings, retain_graph=True
        )
        elsewhere = gradient[:, [5, 7]]
        assert (elsewhere != 0).any(), "nothing arrives from one step away"
        assert (gradient[:, 7:] == 0).all() or not model.causal


@every
def test_the_mixers_support_is_what_a_change_reaches(name: str) -> None:
    model = SequenceModel(built(name))
    for mixer in model.mixers(13):
        ahead = mixer.support.triu(1).any()
        assert bool(ahead) == (not model.causal)
        assert mixer.support.tril(-1).any()


@every
def test_the_module_is_left_as_it_was(name: str) -> None:
    module = built(name)
    module.train()
    frozen = next(module.parameters())
    frozen.requires_grad_(False)
    dropout = next((p for p in module.modules() if isinstance(p, nn.Dropout)), None)
    if dropout is not None:
        dropout.eval()
    before = [(dict(vars(part)), part.training) for part in module.modules()]
    wanted = [p.requires_grad for p in module.parameters()]
    weights = copy.deepcopy(module.state_dict())
    fast = torch.backends.mha.get_fastpath_enabled()

    model = SequenceModel(module)
    observed = model.observe(model.example(3, 13))
    observed.outputs.sum().backward()
    model.mixers(13)

    assert [(dict(vars(part)), part.training) for part in module.modules()] == before
    assert [p.requires_grad for p in module.parameters()] == wanted
    assert all(p.grad is None for p in module.parameters())
    assert all(not part._forward_hooks for part in module.modules())
    assert all(not part._forward_pre_hooks for part in module.modules())
    assert all(torch.equal(a, b) for a, b in zip(
        weights.values(), module.state_dict().values(), strict=True))  # fmt: skip
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_restored_also_when_the_module_fails() -> None:
    module = Model(nn.LSTM(WIDTH, 6, batch_first=True)).train()
    model = SequenceModel(module)
    before = dict(vars(module.core))
    with pytest.raises(Exception, match="cannot be run"):
        model.observe(torch.full((1, 13), SYMBOLS + 1))
    assert module.training
    assert dict(vars(module.core)) == before
    assert all(p.requires_grad for p in module.parameters())


def test_dropout_is_off_while_measuring() -> None:
    model = SequenceModel(built("lstm with dropout").train())
    tokens = model.example(3)
    assert torch.equal(model(tokens), model(tokens))
    first, second = (model.observe(tokens).outputs for _ in range(2))
    assert torch.equal(first, second)


class TestOrientation:
    @pytest.mark.parametrize(
        "core",
        [
            lambda: nn.LSTM(WIDTH, 6),
            lambda: nn.GRU(WIDTH, 6, bidirectional=True),
            lambda: Encoder(norm_first=False, causal=True, batch_first=False),
            lambda: Encoder(norm_first=False, causal=False, batch_first=False),
        ],
        ids=["lstm", "gru both ways", "encoder", "encoder without mask"],
    )
    def test_time_first(self, core: Callable[[], nn.Module]) -> None:
        module = Model(core())
        model = SequenceModel(module)
        assert model.time_first
        assert not model.mixes_batch_rows
        tokens = model.example(4, 13)
        with torch.no_grad():
            theirs = module.eval()(tokens.T).transpose(0, 1)
        assert (model(tokens) - theirs).abs().max() <= 1e-6
        observed = model.observe(tokens)
        assert (observed.outputs - theirs).abs().max() <= 1e-6
        assert all(state.shape[:2] == (4, 13) for state in observed.states.values())
        assert observed.embeddings is not None
        assert observed.embeddings.shape == (4, 13, WIDTH)

    def test_time_first_is_causal_along_time(self) -> None:
        assert SequenceModel(Model(nn.LSTM(WIDTH, 6))).causal
        assert not SequenceModel(Model(nn.LSTM(WIDTH, 6, bidirectional=True))).causal

    def test_batch_first_forgotten_in_one_layer_of_two(self) -> None:
        """The convolution reads time along axis 1, the recurrence along axis 0."""
        forgotten = stack(CausalConv(), _Output(nn.GRU(WIDTH, WIDTH)))
        model = SequenceModel(forgotten)
        assert model.mixes_batch_rows
        assert not model.time_first

    def test_a_model_that_normalises_over_the_batch(self) -> None:
        class OverBatch(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.cumsum(1) - x.mean(0)

        assert SequenceModel(stack(OverBatch())).mixes_batch_rows


class _Output(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rnn(x)[0]
        return out


class TestSites:
    def test_asked_for_by_name(self) -> None:
        model = SequenceModel(built("lstm with dropout"), sites=["embedding", "core"])
        assert set(model.sites) == {"core.state_l0", "core.state_l1", "embedding", "core"}

    def test_of_a_deep_model_a_few_and_those_asked_for(self) -> None:
        deep = nn.Sequential(*(CausalConv() for _ in range(22)))
        model = SequenceModel(Model(deep), sites=["core.1"])
        few = (0, 3, 6, 9, 12, 15, 18, 21)
        assert model.sites == ("core.0", "core.1", *(f"core.{place}" for place in few[1:]))
        assert len(model.blocks) == 22

    def test_a_cell_gives_hidden_and_cell_state(self) -> None:
        module = built("lstm cells")
        observed = SequenceModel(module, sites=["core.cell"]).observe(torch.zeros(3, 13).long())
        state = observed.states["core.cell.state"]
        assert state.shape == (3, 13, 2 * WIDTH)
        assert torch.equal(state[..., :WIDTH], observed.states["core"])
        assert torch.equal(state[..., :WIDTH], observed.states["core.cell"])


def test_several_kinds_are_a_hybrid() -> None:
    model = SequenceModel(stack(CausalConv(), SoftmaxAttention()))
    assert [mixer.kind for mixer in model.kinds] == ["convolution", "attention"]
    assert model.family == "hybrid (convolution, attention)"
    assert SequenceModel(Model(nn.Linear(WIDTH, 5))).family == "memoryless"


class TestFeatures:
    def test_real_valued_inputs_are_the_leaves(self) -> None:
        module = nn.Sequential(_Output(nn.GRU(3, 6, batch_first=True)), nn.Linear(6, 2))
        model = SequenceModel(module, features=3)
        inputs = model.example(4, 13)
        observed = model.observe(inputs)
        assert observed.embeddings is not None
        assert observed.embeddings.shape == inputs.shape == (4, 13, 3)
        assert (observed.outputs - model(inputs)).abs().max() <= 1e-6
        assert not inputs.requires_grad
        assert list(model.sites) == ["0.rnn.state_l0"]

    def test_one_hot_tokens_have_no_embedding(self) -> None:
        class OneHot(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = nn.RNN(5, 5, batch_first=True)

            def forward(self, tokens: Tensor) -> Any:
                return self.rnn(F.one_hot(tokens, 5).float())

        model = SequenceModel(OneHot(), vocab_size=5)
        observed = model.observe(model.example(2))
        assert observed.embeddings is None
        assert model.embedding is None
        assert model.family == "recurrent"


def test_the_token_embedding_is_found_among_others() -> None:
    model = SequenceModel(AttentionLM(40, WIDTH, layers=1, heads=2, context=16))
    assert model.embedding == "embedding"
    assert model.vocab_size == 40


class TestPartlyConvolution:
    """A block may hold a convolution and mix positions in another way as well."""

    def test_a_state_space_model_is_no_convolution(self) -> None:
        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(7, 6)
                self.mixer = MambaMixer(6, 12, 4, 3, 2, bias=False, conv_bias=True)

            def forward(self, tokens: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.mixer(self.embedding(tokens))
                return out

        assert SequenceModel(Model()).family == "state space"

    def test_stacked_and_dilated_convolutions_are(self) -> None:
        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(7, 6)
                self.block = Block()

            def forward(self, tokens: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = self.block(self.embedding(tokens))
                return out

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.two = nn.Conv1d(6, 6, 2), nn.Conv1d(6, 6, 3, dilation=2)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                padded = nn.functional.pad(x.mT, (5, 0))
                out: torch.Tensor = self.two(self.one(padded)).mT
                return out

        assert SequenceModel(Model()).family == "convolution"


def test_a_weight_of_1e_12_is_a_path() -> None:
    """A finite change of an input would disappear in the rounding; a derivative does not."""

    class Faint(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
            return x + 0.5 * before + 1e-12 * x.cumsum(1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.block = nn.Embedding(7, 6), Faint()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.block(self.embedding(tokens))
            return out

    (mixer,) = SequenceModel(Model()).kinds
    assert torch.equal(mixer.support, torch.ones_like(mixer.support).tril())


class Shifted(nn.Module):
    """A shift by one step in a module of its own, a running mean beside it in the block's code."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))

    def forward(self, *, hidden: Tensor, mean: bool = True) -> Tensor:
        steps = torch.arange(1, hidden.shape[1] + 1, dtype=hidden.dtype)
        past = hidden.cumsum(1) / steps[:, None] if mean else hidden
        out: Tensor = self.shift(hidden) + past
        return out


class ByKeyword(nn.Module):
    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.block, self.how = Shifted(), how

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(hidden=x, **self.how)
        return out


class Attended(nn.Module):
    """A recurrence, and attention over its outputs in the model's own code."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.rnn(x)[0]
        return states + (states @ states.mT).softmax(-1) @ states


class Averaged(nn.Module):
    """Attention, and a running mean of what comes out of it in the model's own code."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SoftmaxAttention()

    def forward(self, x: Tensor) -> Tensor:
        return OwnCode()(self.attention(x))


class FinalState(nn.Module):
    """The end of the sequence at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.rnn(x)
        out: Tensor = states + last[-1][:, None]
        return out


class TestMixersWithinMixers:
    """What a module does beside the mixers inside it, these cut out."""

    @staticmethod
    def found(core: nn.Module) -> dict[str, tuple[str, Tensor]]:
        mixers = SequenceModel(Model(core)).mixers(13)
        return {mixer.path: (mixer.kind, mixer.support) for mixer in mixers}

    def test_both_are_found_each_with_its_own_support(self) -> None:
        found = self.found(ByKeyword())
        assert [*found] == ["core.block.shift", "core.block"]
        everything = torch.ones(13, 13, dtype=torch.bool)
        assert found["core.block.shift"][0] == "convolution"
        assert torch.equal(found["core.block.shift"][1], everything.tril(-1).triu(-1))
        assert found["core.block"][0] == "unknown"
        assert torch.equal(found["core.block"][1], everything.tril())

    def test_a_module_that_only_holds_a_mixer_is_none(self) -> None:
        assert [*self.found(ByKeyword(mean=False))] == ["core.block.shift"]

    def test_attention_over_a_recurrence(self) -> None:
        model = SequenceModel(Model(Attended()))
        assert [(mixer.path, mixer.kind) for mixer in model.kinds] == [
            ("core.rnn", "recurrent"),
            ("core", "attention"),
        ]
        assert model.family == "hybrid (recurrent, attention)"
        assert not model.causal

    def test_what_holds_another_is_told_by_its_path(self) -> None:
        inner, outer = SequenceModel(Model(Attended())).kinds
        assert outer.holds((inner, outer))
        assert not inner.holds((inner, outer))
        assert replace(outer, path="").holds((inner,))
        assert not replace(outer, path="cor").holds((inner,))

    def test_what_surrounds_attention_is_none_itself(self) -> None:
        kinds = {path: kind for path, (kind, _) in self.found(Averaged()).items()}
        assert kinds == {"core.attention": "attention", "core": "unknown"}

    def test_a_summary_of_all_steps_that_is_handed_on_is_mixing(self) -> None:
        found = self.found(FinalState())
        assert [*found] == ["core.rnn", "core"]
        assert found["core"][1].all()


class Routed(nn.Module):
    """Every step alone, but rounded in a way that all steps choose together."""

    def forward(self, x: Tensor) -> Tensor:
        by = 2 + x.detach().sum().sin()
        return x + (x * by) / by


class Chosen(nn.Module):
    """All steps choose the sign together: a choice without a derivative."""

    def forward(self, x: Tensor) -> Tensor:
        positive = (x > 0).sum((1, 2), keepdim=True)
        return x * (1 - 2 * (positive % 2))


def test_rounding_that_depends_on_other_steps_is_no_mixing() -> None:
    model = SequenceModel(Model(nn.Sequential(Routed(), nn.LSTM(WIDTH, WIDTH, batch_first=True))))
    states = torch.randn(2, 11, WIDTH, generator=torch.Generator().manual_seed(0))
    edited = states.index_fill(1, torch.tensor(10), 0.5)
    assert (Routed()(edited) != Routed()(states))[:, :-1].any(), "the last bits do change"
    assert [mixer.path for mixer in model.kinds] == ["core.1"]
    assert model.family == "recurrent"


def test_a_choice_among_all_steps_is_mixing() -> None:
    (mixer,) = SequenceModel(Model(Chosen())).kinds
    assert mixer.support.triu(1).any()
    assert mixer.support.tril(-1).any()
