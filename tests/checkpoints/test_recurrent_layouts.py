"""State dicts of recurrent models: rebuilt, they give the original's outputs; others are left."""

from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.layouts import awd_lstm, flair, recurrent, word_language_model
from seqprobe.checkpoints.layouts.layout import Layout, Named, Unknown
from seqprobe.checkpoints.tensors import Span, TensorSpec, contiguous
from seqprobe.errors import UsageError

VOCAB, WIDTH, HIDDEN, CLASSES, TIME = 11, 5, 7, 3, 9
TOKENS = torch.randint(VOCAB, (4, TIME), generator=torch.Generator().manual_seed(1))
SERIES = torch.randn(4, TIME, WIDTH, generator=torch.Generator().manual_seed(2))
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def contents(state: Mapping[str, Tensor], **more: Any) -> Contents:
    """As if read from a file in which each storage lies at its own address."""
    specs = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        span = Span(Path("model.pt"), storage.data_ptr(), storage.nbytes())
        dtype = str(tensor.dtype).removeprefix("torch.")
        specs[name] = TensorSpec(
            dtype, tuple(tensor.shape), tensor.stride(), span, int(tensor.storage_offset())
        )
    return Contents(Path("model.pt"), "torch.save (zip)", 1, specs, **more)


def alphabetical(state: Mapping[str, Tensor]) -> Contents:
    """As safetensors holds them: by name, tied tensors once."""
    once: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if all(tensor.data_ptr() != other.data_ptr() for other in once.values()):
            once[name] = tensor
    return contents({name: once[name] for name in sorted(once)})


def claimed(found: Layout | Named | None) -> Layout:
    assert isinstance(found, Layout), found
    return found


def filled(layout: Layout, state: Mapping[str, Tensor], **chosen: Any) -> nn.Module:
    """The template with every tensor of the file in its place, tied ones once."""
    module, kind = layout.template.split(":")
    usual = {unknown.name: unknown.candidates[0] for unknown in layout.unknowns}
    built = getattr(import_module(module), kind)(
        **layout.settings, **{**layout.stated, **usual, **chosen}
    )
    assert layout.names.keys() | layout.ignored == state.keys()
    given = {place: state[name] for name, place in layout.names.items()}
    wanted = built.state_dict()
    missing, unexpected = built.load_state_dict(given, strict=False)
    assert not unexpected
    tied = {wanted[name].data_ptr() for name in given}
    assert all(wanted[name].data_ptr() in tied for name in missing)
    return built.eval()


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
    layout = claimed(recurrent.recognise(contents(twin.state_dict())))
    assert layout.name == f"{kind.upper()} model"
    assert (layout.vocab_size, layout.features) == (VOCAB, None)
    same(filled(layout, twin.state_dict(), pooling="none")(TOKENS), twin(TOKENS))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_projected_states(layers: int, bidirectional: bool) -> None:
    twin = Tagger("lstm", layers, proj_size=2, bidirectional=bidirectional)
    layout = claimed(recurrent.recognise(contents(twin.state_dict())))
    same(filled(layout, twin.state_dict(), pooling="none")(TOKENS), twin(TOKENS))


def test_as_many_outputs_as_tokens_are_logits_of_the_next() -> None:
    state = Tagger("gru", classes=VOCAB).state_dict()
    layout = claimed(recurrent.recognise(contents(state)))
    assert layout.name == "GRU language model"
    assert (layout.stated, layout.unknowns) == ({"pooling": "none"}, ())


def test_what_no_tensor_shows_is_asked() -> None:
    both = Tagger("rnn", bidirectional=True).state_dict()
    assert claimed(recurrent.recognise(contents(both))).unknowns == (
        Unknown("pooling", ("final", "final_backward_first", "last", "mean", "max", "none")),
        Unknown("nonlinearity", ("tanh", "relu")),
    )
    one = Tagger("gru").state_dict()
    assert claimed(recurrent.recognise(contents(one))).unknowns == (
        Unknown("pooling", ("last", "mean", "max", "none")),
    )


def test_what_the_file_tells_is_not_asked() -> None:
    beside = {"hyper_parameters": {"pooling": "max", "nonlinearity": "relu", "seq_len": 35}}
    state = Tagger("rnn", nonlinearity="relu").state_dict()
    layout = claimed(recurrent.recognise(contents(state, beside=beside)))
    assert layout.stated == {"pooling": "max", "nonlinearity": "relu"}
    assert (layout.unknowns, layout.trained_length) == ((), 35)


def test_the_last_of_two_directions_has_two_meanings() -> None:
    state = Tagger("gru", bidirectional=True).state_dict()
    layout = claimed(recurrent.recognise(contents(state, beside={"args": {"pooling": "last"}})))
    assert "pooling" not in layout.stated


@pytest.mark.parametrize("order", [contents, alphabetical])
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
    layout = claimed(recurrent.recognise(contents(state)))
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
    ("bias", "order"), [(True, contents), (True, alphabetical), (False, contents)]
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
    rebuilt = filled(claimed(recurrent.recognise(contents(state))), state)
    same(rebuilt(TOKENS), gru(embedding(TOKENS))[0] @ embedding.weight.T)


@pytest.mark.parametrize("order", [contents, alphabetical])
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
    layout = claimed(recurrent.recognise(contents(bare)))
    same(filled(layout, bare, pooling="none")(TOKENS), twin(TOKENS))
    own = twin.state_dict() | {"criterion.weight": torch.ones(CLASSES)}
    layout = claimed(recurrent.recognise(contents(own)))
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
    for order, modules in ((contents, whole), (alphabetical, {})):
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


def test_other_names_are_not_the_example() -> None:
    assert word_language_model.recognise(contents(TiedLM(True).state_dict())) is None
    assert awd_lstm.recognise(contents(TiedLM(True).state_dict())) is None
    assert flair.recognise(contents(ExampleLM("LSTM", 1, False).state_dict())) is None


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
    layout = claimed(awd_lstm.recognise(contents(twin.state_dict())))
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
    layout = claimed(recurrent.recognise(contents(state)))
    same(filled(layout, state)(TOKENS), twin.expected.transpose(0, 1))


def test_awd_variants_that_are_only_named() -> None:
    state = AWD("lstm", 2, True, False, False).state_dict()
    found = awd_lstm.recognise(
        contents(state | {"rnns.0.linear.module.weight_raw": torch.ones(3, 5)})
    )
    assert isinstance(found, Named)
    assert "QRNN" in found.name
    wide = contents(state).weights | {
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
        "nout": None,
        "dropout": 0.1,
    }
    return known | more


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("nout", [None, 4, HIDDEN])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_flair(kind: str, nout: int | None, forward: bool) -> None:
    twin = Flair(kind, nout)
    beside = beside_flair(is_forward_lm=forward, nout=nout)
    layout = claimed(flair.recognise(contents(twin.state_dict(), beside=beside)))
    assert (layout.name, layout.unknowns) == ("flair language model", ())
    assert layout.vocabulary == (b"<unk>", *(bytes([97 + i]) for i in range(VOCAB - 1)))
    assert layout.reversed is not forward
    same(filled(layout, twin.state_dict())(TOKENS), twin(TOKENS.T).transpose(0, 1))


def test_flair_without_a_decoder_or_with_a_strange_dictionary() -> None:
    state = Flair("lstm", None).state_dict()
    bare = {name: tensor for name, tensor in state.items() if "decoder" not in name}
    found = flair.recognise(contents(bare, beside=beside_flair()))
    assert isinstance(found, Named)
    assert "its decoder" in found.missing
    for items in ([b"a"], ["a"] * (VOCAB - 1) + [3], None):
        beside = beside_flair(dictionary={"idx2item": items})
        assert claimed(flair.recognise(contents(state, beside=beside))).vocabulary is None


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
    for order in (contents, alphabetical):
        found = recurrent.recognise(order(build().state_dict()))
        if missing is None:
            assert found is None
        else:
            assert isinstance(found, Named), found
            if order is contents:
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
    layout = claimed(recurrent.recognise(contents(twin.state_dict())))
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
    ],
)
def test_shapes_that_no_layer_has(name: str, shape: tuple[int, ...]) -> None:
    state = nn.ModuleDict(_parts()).state_dict() | {name: torch.zeros(shape)}
    assert not isinstance(recurrent.recognise(contents(state)), Layout)


@pytest.mark.parametrize("name", ["pooling", "nonlinearity", "activation"])
def test_a_choice_that_does_not_exist(name: str) -> None:
    state = Tagger("rnn").state_dict()
    layout = claimed(recurrent.recognise(contents(state)))
    with pytest.raises(UsageError, match=f"unknown {name} 'no'; expected one of .*--set {name}="):
        filled(layout, state, **{name: "no"})
