"""State dicts of recurrent models: rebuilt, they give the original's outputs; others are left."""

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from twins import claimed, contents_of, in_place

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.layouts import awd_lstm, flair, recurrent, word_language_model
from seqprobe.checkpoints.layouts.layout import Layout, Named, Unknown
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.tensors import Span, TensorSpec, contiguous
from seqprobe.errors import UsageError

VOCAB, WIDTH, HIDDEN, CLASSES, TIME = 11, 5, 7, 3, 9
TOKENS = torch.randint(VOCAB, (4, TIME), generator=torch.Generator().manual_seed(1))
SERIES = torch.randn(4, TIME, WIDTH, generator=torch.Generator().manual_seed(2))
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def alphabetical(state: Mapping[str, Tensor]) -> Contents:
    """As safetensors holds them: by name, tied tensors once."""
    once: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if all(tensor.data_ptr() != other.data_ptr() for other in once.values()):
            once[name] = tensor
    return contents_of({name: once[name] for name in sorted(once)})


def filled(layout: Layout, state: Mapping[str, Tensor], **chosen: Any) -> nn.Module:
    """What is neither stated nor chosen is what is usual."""
    usual = {unknown.name: unknown.candidates[0] for unknown in layout.unknowns}
    return in_place(layout, state, **{**usual, **chosen})


def same(mine: Tensor, original: Tensor) -> None:
    torch.testing.assert_close(mine, original, atol=1e-6, rtol=1e-5)


class Tagger(nn.Module):
    """Names that say nothing; an output per step, or for the whole text."""

    def __init__(self, kind: str, layers: int = 1, classes: int = CLASSES, **options: Any) -> None:
        super().__init__()
        self.i2v = nn.Embedding(VOCAB, WIDTH)
        self.core = KINDS[kind](WIDTH, HIDDEN, layers, **options)
        size = options.get("proj_size") or HIDDEN
        self.v2o = nn.Linear(size * (1 + self.core.bidirectional), classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Time first, as PyTorch's layers are unless told."""
        outputs, _ = self.core(self.i2v(tokens.T))
        return self.v2o(outputs).transpose(0, 1)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_each_kind(kind: str, layers: int, bias: bool, bidirectional: bool) -> None:
    twin = Tagger(kind, layers, bias=bias, bidirectional=bidirectional)
    layout = claimed(recurrent.recognise(contents_of(twin.state_dict())))
    assert layout.name == f"{kind.upper()} model"
    assert (layout.vocab_size, layout.features) == (VOCAB, None)
    same(filled(layout, twin.state_dict(), pooling="none")(TOKENS), twin(TOKENS))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_projected_states(layers: int, bidirectional: bool) -> None:
    twin = Tagger("lstm", layers, proj_size=2, bidirectional=bidirectional)
    layout = claimed(recurrent.recognise(contents_of(twin.state_dict())))
    same(filled(layout, twin.state_dict(), pooling="none")(TOKENS), twin(TOKENS))


def test_as_many_outputs_as_tokens_are_logits_of_the_next() -> None:
    state = Tagger("gru", classes=VOCAB).state_dict()
    layout = claimed(recurrent.recognise(contents_of(state)))
    assert layout.name == "GRU language model"
    assert (layout.stated, layout.unknowns) == ({"pooling": "none"}, ())


def test_what_no_tensor_shows_is_asked() -> None:
    both = Tagger("rnn", bidirectional=True).state_dict()
    assert claimed(recurrent.recognise(contents_of(both))).unknowns == (
        Unknown("pooling", ("final", "final_backward_first", "last", "mean", "max", "none")),
        Unknown("nonlinearity", ("tanh", "relu")),
    )
    one = Tagger("gru").state_dict()
    assert claimed(recurrent.recognise(contents_of(one))).unknowns == (
        Unknown("pooling", ("last", "mean", "max", "none")),
    )


def test_what_the_file_tells_is_not_asked() -> None:
    beside = {"hyper_parameters": {"pooling": "max", "nonlinearity": "relu", "seq_len": 35}}
    state = Tagger("rnn", nonlinearity="relu").state_dict()
    layout = claimed(recurrent.recognise(contents_of(state, **beside)))
    assert layout.stated == {"pooling": "max", "nonlinearity": "relu"}
    assert (layout.unknowns, layout.trained_length) == ((), 35)


def test_the_last_of_two_directions_has_two_meanings() -> None:
    state = Tagger("gru", bidirectional=True).state_dict()
    layout = claimed(recurrent.recognise(contents_of(state, args={"pooling": "last"})))
    assert "pooling" not in layout.stated


@pytest.mark.parametrize("order", [contents_of, alphabetical])
def test_real_valued_series(order: Any) -> None:
    class Regressor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.widen = nn.Linear(WIDTH, 6)
            self.gru = nn.GRU(6, HIDDEN, 2, batch_first=True)
            self.fc1 = nn.Linear(HIDDEN, 4)
            self.fc2 = nn.Linear(4, 2, bias=False)

        def forward(self, series: Tensor) -> Tensor:
            _, hidden = self.gru(self.widen(series).relu())
            return self.fc2(self.fc1(hidden[-1]).tanh())

    twin = Regressor()
    layout = claimed(recurrent.recognise(order(twin.state_dict())))
    assert (layout.vocab_size, layout.features) == (None, WIDTH)
    rebuilt = filled(layout, twin.state_dict(), projection_activation="relu", activation="tanh")
    same(rebuilt(SERIES)[:, -1], twin(SERIES))


class Stack(nn.Module):
    """Layers in modules of their own, ten and more, with a sum around each or without."""

    def __init__(self, layers: int, residual: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(nn.GRU(WIDTH, WIDTH) for _ in range(layers))
        self.out = nn.Linear(WIDTH, VOCAB)
        self.residual = residual

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embed(tokens.T)
        for layer in self.layers:
            hidden = layer(hidden)[0] + (hidden if self.residual else 0)
        return self.out(hidden).transpose(0, 1)


@pytest.mark.parametrize("residual", [False, True])
def test_modules_in_the_order_of_their_numbers(residual: bool) -> None:
    twin = Stack(11, residual)
    state = {name: twin.state_dict()[name] for name in sorted(twin.state_dict())}
    layout = claimed(recurrent.recognise(contents_of(state)))
    assert layout.unknowns == (Unknown("residual", (False, True)),)
    same(filled(layout, state, residual=residual)(TOKENS), twin(TOKENS))


class TiedLM(nn.Module):
    """The head is the embedding, through a narrower layer; with a bias of its own or without."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.drop = nn.Dropout()
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.narrow = nn.Linear(HIDDEN, WIDTH)
        self.decoder = nn.Linear(WIDTH, VOCAB, bias=bias)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.embedding(tokens))
        return self.decoder(self.narrow(outputs))


@pytest.mark.parametrize(
    ("bias", "order"), [(True, contents_of), (True, alphabetical), (False, contents_of)]
)
def test_tied_heads(bias: bool, order: Any) -> None:
    twin = TiedLM(bias)
    file = order(twin.state_dict())
    layout = claimed(recurrent.recognise(file))
    assert layout.settings["tied"]
    state = {name: twin.state_dict()[name] for name in file.weights}
    same(filled(layout, state)(TOKENS), twin(TOKENS))


def test_a_head_that_is_the_embedding_and_nothing_more() -> None:
    embedding, gru = nn.Embedding(VOCAB, HIDDEN), nn.GRU(HIDDEN, HIDDEN, batch_first=True)
    state = nn.ModuleDict({"emb": embedding, "gru": gru}).state_dict()
    rebuilt = filled(claimed(recurrent.recognise(contents_of(state))), state)
    same(rebuilt(TOKENS), gru(embedding(TOKENS))[0] @ embedding.weight.T)


@pytest.mark.parametrize("order", [contents_of, alphabetical])
def test_equal_tables_are_told_apart_by_name(order: Any) -> None:
    """Both fit as an embedding and as a head; in alphabetical order the head comes first."""
    twin = nn.ModuleDict(
        {
            "encoder": nn.Embedding(VOCAB, HIDDEN),
            "rnn": nn.LSTM(HIDDEN, HIDDEN, batch_first=True),
            "decoder": nn.Linear(HIDDEN, VOCAB, bias=False),
        }
    )
    layout = claimed(recurrent.recognise(order(twin.state_dict())))
    expected = twin["decoder"](twin["rnn"](twin["encoder"](TOKENS))[0])
    same(filled(layout, twin.state_dict())(TOKENS), expected)


@pytest.mark.parametrize(
    "wrapped", ["module.{}", "model.{}", "module._orig_mod.net.{}"], ids=["ddp", "lightning", "all"]
)
def test_wrappers_and_weights_of_the_loss(wrapped: str) -> None:
    twin = Tagger("lstm")
    state = {wrapped.format(name): tensor for name, tensor in twin.state_dict().items()}
    state["criterion.weight"] = torch.ones(CLASSES)
    bare = {name: tensor for name, tensor in state.items() if name != "criterion.weight"}
    layout = claimed(recurrent.recognise(contents_of(bare)))
    same(filled(layout, bare, pooling="none")(TOKENS), twin(TOKENS))
    own = twin.state_dict() | {"criterion.weight": torch.ones(CLASSES)}
    layout = claimed(recurrent.recognise(contents_of(own)))
    assert layout.ignored == {"criterion.weight"}


class ExampleLM(nn.Module):
    """The names and the forward of PyTorch's example: time first, flat log-probabilities."""

    def __init__(self, rnn_type: str, layers: int, tied: bool) -> None:
        super().__init__()
        width = HIDDEN if tied else WIDTH
        self.encoder = nn.Embedding(VOCAB, width)
        if rnn_type.startswith("RNN"):
            nonlinearity = rnn_type.removeprefix("RNN_").lower()
            self.rnn: nn.RNNBase = nn.RNN(width, HIDDEN, layers, nonlinearity=nonlinearity)
        else:
            self.rnn = KINDS[rnn_type.lower()](width, HIDDEN, layers)
        self.decoder = nn.Linear(HIDDEN, VOCAB)
        if tied:
            self.decoder.weight = self.encoder.weight
        self.rnn_type = rnn_type

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.rnn(self.encoder(tokens))
        return F.log_softmax(self.decoder(outputs).view(-1, VOCAB), dim=1)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("rnn_type", ["RNN_TANH", "RNN_RELU", "LSTM", "GRU"])
def test_word_language_model(rnn_type: str, layers: int, tied: bool) -> None:
    twin = ExampleLM(rnn_type, layers, tied)
    attributes = {"rnn_type": rnn_type, "nhid": HIDDEN, "nlayers": layers}
    whole = {"": Module("model.RNNModel", attributes), "rnn": Module("torch.nn.RNN", {})}
    for order, modules in ((contents_of, whole), (alphabetical, {})):
        file = order(twin.state_dict())
        file = Contents(file.path, file.container, 1, file.weights, modules=modules)
        layout = claimed(word_language_model.recognise(file))
        assert layout.name == "word_language_model RNN"
        asked = {"nonlinearity": rnn_type.removeprefix("RNN_").lower()}
        chosen = asked if layout.unknowns else {}
        assert bool(chosen) == (not modules and "RNN" in rnn_type)
        state = {name: twin.state_dict()[name] for name in file.weights}
        mine = filled(layout, state, **chosen)(TOKENS).log_softmax(-1)
        same(mine.transpose(0, 1).reshape(-1, VOCAB), twin(TOKENS.T))


@pytest.mark.parametrize(
    "changed",
    [
        {"decoder": nn.Linear(HIDDEN, CLASSES)},
        {
            "rnn": nn.LSTM(WIDTH, HIDDEN, bidirectional=True),
            "decoder": nn.Linear(2 * HIDDEN, VOCAB),
        },
        {"decoder": nn.Linear(4, VOCAB), "narrow": nn.Linear(HIDDEN, 4)},
    ],
    ids=["tagger", "both directions", "one layer more"],
)
def test_the_names_of_the_example_on_another_model(changed: dict[str, nn.Module]) -> None:
    parts = {"encoder": nn.Embedding(VOCAB, WIDTH), "rnn": nn.LSTM(WIDTH, HIDDEN)}
    file = contents_of(nn.ModuleDict(parts | changed).state_dict())
    claimed(recurrent.recognise(file))
    assert word_language_model.recognise(file) is None


def test_other_names_are_not_the_example() -> None:
    assert word_language_model.recognise(contents_of(TiedLM(True).state_dict())) is None
    assert awd_lstm.recognise(contents_of(TiedLM(True).state_dict())) is None
    assert flair.recognise(contents_of(ExampleLM("LSTM", 1, False).state_dict())) is None


class Dropped(nn.Module):
    """What weight drop makes of a layer: the weight itself under another name."""

    def __init__(self, module: nn.Module, keeps: bool) -> None:
        super().__init__()
        self.module = module
        weight = module._parameters.pop("weight_hh_l0")
        module.register_parameter("weight_hh_l0_raw", weight)
        if keeps:  # what the last training step left there
            module.register_parameter("weight_hh_l0", nn.Parameter(torch.zeros_like(weight)))


class AWD(nn.Module):
    """The names of the original; the last layer is as wide as the embedding if tied."""

    def __init__(self, kind: str, layers: int, tied: bool, drop: bool, keeps: bool) -> None:
        super().__init__()
        last = WIDTH if tied else HIDDEN
        sizes = [WIDTH, *[HIDDEN] * (layers - 1), last]
        self.encoder = nn.Embedding(VOCAB, WIDTH)
        self.plain = [KINDS[kind](*pair) for pair in pairwise(sizes)]
        self.rnns = nn.ModuleList(self.plain)
        self.decoder = nn.Linear(last, VOCAB)
        if tied:
            self.decoder.weight = self.encoder.weight
        with torch.no_grad():
            self.expected = self(TOKENS.T)
        if drop:
            self.rnns = nn.ModuleList(Dropped(layer, keeps) for layer in self.plain)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.encoder(tokens)
        for layer in self.plain:
            hidden, _ = layer(hidden)
        return self.decoder(hidden)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("kind", "layers"), [("lstm", 1), ("lstm", 3), ("gru", 2)])
def test_awd_lstm(kind: str, layers: int, tied: bool, drop: bool, keeps: bool) -> None:
    twin = AWD(kind, layers, tied, drop, keeps)
    layout = claimed(awd_lstm.recognise(contents_of(twin.state_dict())))
    assert (layout.name, layout.unknowns) == ("AWD-LSTM", ())
    assert len(layout.ignored) == (layers if drop and keeps else 0)
    same(filled(layout, twin.state_dict())(TOKENS), twin.expected.transpose(0, 1))


def test_awd_lstm_of_fastai() -> None:
    """The raw weight stands beside the wrapped layer, and the embedding once more."""
    twin = AWD("lstm", 2, True, False, False)
    state = {f"0.{name}": tensor for name, tensor in twin.state_dict().items()}
    state["0.encoder_dp.emb.weight"] = state["0.encoder.weight"]
    for name in ("weight", "bias"):
        state[f"1.decoder.{name}"] = state.pop(f"0.decoder.{name}")
    for name in [name for name in state if "rnns" in name]:
        wrapped = name.replace(".weight", ".module.weight").replace(".bias", ".module.bias")
        state[wrapped] = state.pop(name)
        if "weight_hh" in name:
            state[f"{name}_raw"], state[wrapped] = state[wrapped], torch.zeros(1)
            state[wrapped] = torch.zeros_like(state[f"{name}_raw"])
    layout = claimed(recurrent.recognise(contents_of(state)))
    same(filled(layout, state)(TOKENS), twin.expected.transpose(0, 1))


def test_awd_variants_that_are_only_named() -> None:
    state = AWD("lstm", 2, True, False, False).state_dict()
    found = awd_lstm.recognise(
        contents_of(state | {"rnns.0.linear.module.weight_raw": torch.ones(3, 5)})
    )
    assert isinstance(found, Named)
    assert "QRNN" in found.name
    wide = contents_of(state).weights | {
        name: TensorSpec("float32", shape, contiguous(shape), Span(Path("model.pt"), 0, 10**7), 0)
        for name, shape in {
            "encoder.weight": (80_000, WIDTH),
            "decoder.weight": (80_000, WIDTH),
            "decoder.bias": (80_000,),
        }.items()
    }
    found = awd_lstm.recognise(Contents(Path("model.pt"), "", 1, wide))
    assert isinstance(found, Named)
    assert "80,000 tokens" in found.missing


class Flair(nn.Module):
    """The names of flair's LanguageModel."""

    def __init__(self, kind: str, nout: int | None, layers: int = 1) -> None:
        super().__init__()
        self.encoder = nn.Embedding(VOCAB, WIDTH)
        self.rnn = KINDS[kind](WIDTH, HIDDEN, layers)
        self.proj = nn.Linear(HIDDEN, nout) if nout else None
        self.decoder = nn.Linear(nout or HIDDEN, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.rnn(self.encoder(tokens))
        return self.decoder(outputs if self.proj is None else self.proj(outputs))


def beside_flair(**more: Any) -> dict[str, Any]:
    items = [b"<unk>", *(chr(97 + i).encode() for i in range(VOCAB - 1))]
    known: dict[str, Any] = {
        "dictionary": {"idx2item": items, "item2idx": {}, "multi_label": False},
        "is_forward_lm": True,
        "hidden_size": HIDDEN,
        "nlayers": 1,
        "embedding_size": WIDTH,
        "dropout": 0.1,
    }
    return known | more


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("nout", [None, 4, HIDDEN])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_flair(kind: str, nout: int | None, forward: bool) -> None:
    twin = Flair(kind, nout)
    beside = beside_flair(is_forward_lm=forward, nout=nout)
    layout = claimed(flair.recognise(contents_of(twin.state_dict(), **beside)))
    assert (layout.name, layout.unknowns) == ("flair language model", ())
    assert layout.vocabulary == (b"<unk>", *(bytes([97 + i]) for i in range(VOCAB - 1)))
    assert layout.reversed is not forward
    same(filled(layout, twin.state_dict())(TOKENS), twin(TOKENS.T).transpose(0, 1))


def test_flair_without_a_decoder_or_with_a_strange_dictionary() -> None:
    state = Flair("lstm", None).state_dict()
    bare = {name: tensor for name, tensor in state.items() if "decoder" not in name}
    found = flair.recognise(contents_of(bare, **beside_flair()))
    assert isinstance(found, Named)
    assert "its decoder" in found.missing
    for items in ([b"a"], ["a"] * (VOCAB - 1) + [3], None):
        beside = beside_flair(dictionary={"idx2item": items})
        assert claimed(flair.recognise(contents_of(state, **beside))).vocabulary is None


def attention_pooling() -> nn.Module:
    return nn.ModuleDict({**_parts(), "att": nn.Linear(HIDDEN, HIDDEN)})


def seq2seq() -> nn.Module:
    side = lambda: nn.ModuleDict({"rnn": nn.GRU(WIDTH, WIDTH)})  # noqa: E731
    return nn.ModuleDict(
        {
            "emb": nn.Embedding(VOCAB, WIDTH),
            "encoder": side(),
            "decoder": side(),
            "out": nn.Linear(WIDTH, VOCAB),
        }
    )


def _parts() -> dict[str, nn.Module]:
    return {
        "emb": nn.Embedding(VOCAB, WIDTH),
        "rnn": nn.LSTM(WIDTH, HIDDEN),
        "out": nn.Linear(HIDDEN, CLASSES),
    }


def extra_parameter() -> nn.Module:
    model = nn.ModuleDict(_parts())
    model.register_parameter("transitions", nn.Parameter(torch.ones(CLASSES, CLASSES)))
    return model


def hand_written() -> nn.Module:
    return nn.ModuleDict(
        {
            "emb": nn.Embedding(VOCAB, WIDTH),
            "i2h": nn.Linear(WIDTH + HIDDEN, HIDDEN),
            "h2o": nn.Linear(HIDDEN, VOCAB),
        }
    )


def ensemble() -> nn.Module:
    """Two directions in modules of their own, equally wide: no stack."""
    parts = {"forwards": nn.GRU(WIDTH, WIDTH), "backwards": nn.GRU(WIDTH, WIDTH)}
    emb = nn.Embedding(VOCAB, WIDTH)
    return nn.ModuleDict({"emb": emb, **parts, "out": nn.Linear(WIDTH, CLASSES)})


STRANGE: dict[str, tuple[Any, str | None]] = {
    "attention": (attention_pooling, "how att.weight, att.bias attend"),
    "seq2seq": (seq2seq, "how encoder.rnn, decoder.rnn work together"),
    "two directions apart": (ensemble, "how forwards, backwards work together"),
    "convolution": (
        lambda: nn.ModuleDict({**_parts(), "conv": nn.Conv1d(WIDTH, WIDTH, 3)}),
        "conv.weight",
    ),
    "two embeddings": (
        lambda: nn.ModuleDict({"kind": nn.Embedding(4, WIDTH), **_parts()}),
        "kind.weight, emb.weight, out.weight and 1 more",
    ),
    "cell": (
        lambda: nn.ModuleDict({**_parts(), "rnn": nn.LSTMCell(WIDTH, HIDDEN)}),
        "how rnn.weight_hh step",
    ),
    "norm": (lambda: nn.ModuleDict({**_parts(), "norm": nn.LayerNorm(HIDDEN)}), "norm.weight"),
    "extra": (extra_parameter, "transitions"),
    "headless": (lambda: nn.ModuleDict({"rnn": nn.LSTM(WIDTH, HIDDEN)}), "what gives its outputs"),
    "hand-written": (hand_written, None),
}


@pytest.mark.parametrize("name", STRANGE)
def test_others_are_not_claimed(name: str) -> None:
    build, missing = STRANGE[name]
    for order in (contents_of, alphabetical):
        found = recurrent.recognise(order(build().state_dict()))
        if missing is None:
            assert found is None
        else:
            assert isinstance(found, Named), found
            if order is contents_of:
                assert missing in found.missing
                assert "--model" in found.do


def test_two_orders_that_a_file_sorted_by_name_does_not_tell_apart() -> None:
    """A square layer before the recurrence or behind it."""
    found = recurrent.recognise(alphabetical(square("enter", "gru", "head").state_dict()))
    assert isinstance(found, Named)
    assert found.missing == "in which order enter, head follow each other"


@pytest.mark.parametrize("names", [("widen", "core", "answer"), ("core", "widen", "answer")])
def test_order_in_the_file_decides_where_widths_do_not(names: tuple[str, ...]) -> None:
    twin = square(*names)
    layout = claimed(recurrent.recognise(contents_of(twin.state_dict())))
    hidden = SERIES
    for name in names:
        hidden = twin[name](hidden)
        hidden = hidden[0] if name == "core" else hidden
    rebuilt = filled(
        layout,
        twin.state_dict(),
        **{unknown.name: "none" for unknown in layout.unknowns if "activation" in unknown.name},
    )
    same(rebuilt(SERIES), hidden)


def square(*names: str) -> nn.ModuleDict:
    """Layers that all are as wide as the series, but for the last one."""
    layers = {name: nn.Linear(WIDTH, WIDTH) for name in names[:-1]}
    layers |= {
        name: nn.GRU(WIDTH, WIDTH, batch_first=True) for name in names if name in ("core", "gru")
    }
    return nn.ModuleDict({**layers, names[-1]: nn.Linear(WIDTH, 2)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("rnn.weight_hh_l0", (4 * HIDDEN, 0)),
        ("rnn.weight_hh_l0", (5 * HIDDEN, HIDDEN)),
        ("rnn.weight_hh_l0", (HIDDEN,)),
        ("rnn.weight_hr_l0", (3,)),
        ("rnn.bias_hh_l0", ()),
        ("rnn.weight_ih_l7", (4 * HIDDEN, HIDDEN)),
        ("rnn.weight_ih_l0_reverse", (4 * HIDDEN, WIDTH)),
        ("emb.weight", (VOCAB, 0)),
        ("out.bias", (CLASSES + 1,)),
    ],
)
def test_shapes_that_no_layer_has(name: str, shape: tuple[int, ...]) -> None:
    state = nn.ModuleDict(_parts()).state_dict() | {name: torch.zeros(shape)}
    assert not isinstance(recurrent.recognise(contents_of(state)), Layout)


def test_only_an_lstm_has_projected_states() -> None:
    state = nn.ModuleDict(_parts()).state_dict()
    state |= {f"rnn.{name}": torch.zeros(3 * HIDDEN) for name in ("bias_ih_l0", "bias_hh_l0")}
    state["rnn.weight_ih_l0"] = torch.zeros(3 * HIDDEN, WIDTH)
    state["rnn.weight_hh_l0"] = torch.zeros(3 * HIDDEN, 2)
    state |= {"rnn.weight_hr_l0": torch.zeros(2, HIDDEN), "out.weight": torch.zeros(CLASSES, 2)}
    assert recurrent.recognise(contents_of(state)) is None


@pytest.mark.parametrize("order", [contents_of, alphabetical])
def test_equal_layers_of_a_head_come_in_the_order_of_the_file(order: Any) -> None:
    head = nn.Sequential(*(nn.Linear(HIDDEN, HIDDEN) for _ in range(3)), nn.Linear(HIDDEN, 2))
    twin = nn.ModuleDict({"gru": nn.GRU(WIDTH, HIDDEN, batch_first=True), "head": head})
    layout = claimed(recurrent.recognise(order(twin.state_dict())))
    mine = filled(layout, twin.state_dict(), pooling="none", activation="none")(SERIES)
    same(mine, head(twin["gru"](SERIES)[0]))


@pytest.mark.parametrize("order", [contents_of, alphabetical])
def test_as_many_classes_as_the_embedding_is_wide_are_no_tied_head(order: Any) -> None:
    parts = {"rnn": nn.LSTM(WIDTH, HIDDEN), "dense": nn.Linear(HIDDEN, WIDTH)}
    twin = nn.ModuleDict({"emb": nn.Embedding(VOCAB, WIDTH), **parts})
    layout = claimed(recurrent.recognise(order(twin.state_dict())))
    assert layout.settings["head"] == ((HIDDEN, WIDTH, True),)
    assert not layout.settings["tied"]


@pytest.mark.parametrize(
    ("name", "shape"), [("other.bias", (HIDDEN,)), ("criterion.weight", (CLASSES, HIDDEN))]
)
def test_tensors_without_a_layer(name: str, shape: tuple[int, ...]) -> None:
    """A bias as wide as a square layer, and a loss with a matrix of its own."""
    square = {"inner": nn.Linear(HIDDEN, HIDDEN, bias=False)}
    parts = {name: part for name, part in _parts().items() if name != "out"}
    state = nn.ModuleDict({**parts, **square}).state_dict()
    claimed(recurrent.recognise(contents_of(state)))
    assert isinstance(recurrent.recognise(contents_of(state | {name: torch.ones(shape)})), Named)


@pytest.mark.parametrize("name", ["pooling", "nonlinearity", "activation"])
def test_a_choice_that_does_not_exist(name: str) -> None:
    state = Tagger("rnn").state_dict()
    layout = claimed(recurrent.recognise(contents_of(state)))
    with pytest.raises(UsageError, match=f"unknown {name} 'no'; expected one of .*--set {name}="):
        filled(layout, state, **{name: "no"})


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Contents]:
    """Save with torch, and read it back without running anything."""

    def save_and_read(content: Any, **options: Any) -> Contents:
        path = tmp_path / "model.pt"
        torch.save(content, path, **options)
        return read(path)

    return save_and_read


def from_file(layout: Layout, file: Contents, **chosen: Any) -> nn.Module:
    return filled(layout, fetch_all(file.weights), **chosen)


def test_a_whole_example_model_in_a_file(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type("RNNModel", (ExampleLM,), {"__module__": "model"})
    monkeypatch.setitem(sys.modules, "model", SimpleNamespace(RNNModel=kind))
    twin = kind("RNN_RELU", 2, tied=True)
    file = saved(twin)
    assert file.modules[""].kind == "model.RNNModel"
    layout = claimed(word_language_model.recognise(file))
    assert (layout.stated["nonlinearity"], layout.unknowns) == ("relu", ())
    mine = from_file(layout, file)(TOKENS).log_softmax(-1)
    same(mine.transpose(0, 1).reshape(-1, VOCAB), twin(TOKENS.T))


@pytest.mark.parametrize("drop", [False, True])
def test_the_list_that_awd_lstm_saves(drop: bool, saved: Any) -> None:
    twin = AWD("lstm", 3, True, drop, False)
    file = saved([twin, nn.CrossEntropyLoss(), {"state": {}, "param_groups": []}])
    layout = claimed(awd_lstm.recognise(file))
    same(from_file(layout, file)(TOKENS), twin.expected.transpose(0, 1))


class Dictionary:
    """As flair's, with its attributes."""

    def __init__(self) -> None:
        self.idx2item = beside_flair()["dictionary"]["idx2item"]
        self.multi_label = False


@pytest.mark.parametrize("nout", [None, 4])
def test_a_file_of_flair(nout: int | None, saved: Any) -> None:
    twin = Flair("lstm", nout, 2)
    known = beside_flair(dictionary=Dictionary(), nout=nout, is_forward_lm=False)
    file = saved({"state_dict": twin.state_dict(), **known}, pickle_protocol=4)
    layout = claimed(flair.recognise(file))
    assert layout.reversed
    assert layout.vocabulary == tuple(Dictionary().idx2item)
    same(from_file(layout, file)(TOKENS), twin(TOKENS.T).transpose(0, 1))


def test_a_lightning_checkpoint(saved: Any) -> None:
    twin = Tagger("rnn", 2, bidirectional=True, nonlinearity="relu")
    state = {f"model.{name}": tensor for name, tensor in twin.state_dict().items()}
    known = Namespace(pooling="mean", nonlinearity="relu")
    file = saved({"state_dict": state, "hyper_parameters": known, "epoch": 3})
    layout = claimed(recurrent.recognise(file))
    assert layout.stated == {"pooling": "mean", "nonlinearity": "relu"}
    same(from_file(layout, file, pooling="none")(TOKENS), twin(TOKENS))


def test_a_pickled_model_shows_its_activation(saved: Any) -> None:
    head = nn.Sequential(nn.Linear(HIDDEN, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    file = saved(nn.ModuleDict({**_parts(), "out": head}))
    assert claimed(recurrent.recognise(file)).stated["activation"] == "tanh"
