"""Reading on from stored states or caches against full runs."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqprobe.contracts import Pieces
from seqprobe.models import continuation, interventions
from seqprobe.models.continuation import FullRun
from seqprobe.models.from_cache import FromCache
from seqprobe.models.from_states import FromStates
from seqprobe.models.interventions import Interventions, quickest
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

TIME = 23


class Recurrent(nn.Module):
    """Variations of what people write around a recurrence."""

    def __init__(self, kind="LSTM", batch_first=True, tail=None, **options):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.rnn = getattr(nn, kind)(6, 8, 2, batch_first=batch_first, **options)
        width = options.get("proj_size") or 8
        self.head = nn.Linear(width * (2 if options.get("bidirectional") else 1), 11)
        self.tail = tail

    def forward(self, tokens):
        out, final = self.rnn(self.embedding(tokens))
        logits = self.head(out)
        if self.tail == "position":
            logits = logits + torch.arange(tokens.shape[1])[:, None] / 10
        if self.tail == "final":
            logits = logits + final[0][-1].sum(-1)[:, None, None]
        return (logits, final) if self.tail == "state" else logits


class Attention(nn.Module):
    """One layer of attention whose mask is made in one way or another."""

    def __init__(self, mask):
        super().__init__()
        self.embedding, self.place = nn.Embedding(11, 8), nn.Embedding(64, 8)
        self.blocks = nn.ModuleList([_Block(mask) for _ in range(2)])
        self.head, self.mask = nn.Linear(8, 11), mask

    def forward(self, tokens):
        time = tokens.shape[1]
        x = self.embedding(tokens) + self.place(torch.arange(time))
        given = torch.ones(time, time, dtype=torch.bool).tril() if self.mask == "given" else None
        for block in self.blocks:
            x = block(x, given)
        return self.head(x)


class _Block(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.qkv, self.out, self.mask = nn.Linear(8, 24), nn.Linear(8, 8), mask

    def forward(self, x, given=None):
        q, k, v = (p.unflatten(-1, (2, 4)).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        if self.mask == "causal":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.mask == "given":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=given)
        elif self.mask == "inside":
            time = x.shape[1]
            near = torch.ones(time, time, dtype=torch.bool).tril().triu(-5)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=near)
        elif self.mask == "softmax":
            scores = (q @ k.mT / 2).masked_fill(
                torch.ones(x.shape[1], x.shape[1]).triu(1) > 0, -1e9
            )
            y = scores.softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).flatten(2))


def hugging_face(kind):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 11, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "llama":
        config = transformers.LlamaConfig(
            hidden_size=8, intermediate_size=16, num_key_value_heads=1, **sizes
        )
        return transformers.LlamaForCausalLM(config).eval()
    config = transformers.GPT2Config(vocab_size=11, n_embd=8, n_layer=2, n_head=2, n_positions=64)
    return transformers.GPT2LMHeadModel(config).eval()


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    inner = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.inner, self.head = nn.Embedding(11, 8), inner, nn.Linear(8, 11)

        def forward(self, tokens):
            mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
            return self.head(self.inner(self.embedding(tokens), mask=mask, is_causal=True))

    return Encoder()


MODELS = {
    "lstm": (Recurrent, FromStates),
    "gru": (lambda: Recurrent("GRU"), FromStates),
    "rnn": (lambda: Recurrent("RNN", nonlinearity="relu"), FromStates),
    "without biases": (lambda: Recurrent("LSTM", bias=False), FromStates),
    "projected": (lambda: Recurrent("LSTM", proj_size=5), FromStates),
    "time-first": (lambda: Recurrent("GRU", batch_first=False), FromStates),
    "returns its state": (lambda: Recurrent(tail="state"), FromStates),
    "looks ahead": (lambda: Recurrent(bidirectional=True), FullRun),
    "adds positions": (lambda: Recurrent(tail="position"), FullRun),
    "uses its final state": (lambda: Recurrent(tail="final"), FullRun),
    "attention": (lambda: build("attention", vocab_size=11, width=8, layers=2, heads=2), FromCache),
    "mask given": (lambda: Attention("given"), FromCache),
    "mask made inside": (lambda: Attention("inside"), FullRun),
    "softmax written out": (lambda: Attention("softmax"), FullRun),
    "attends ahead": (lambda: Attention("none"), FullRun),
    "llama": (lambda: hugging_face("llama"), FromCache),
    "gpt2": (lambda: hugging_face("gpt2"), FromCache),
    "encoder layers": (encoder, FullRun),
}


def pieces(model, time=TIME, steps=9, rows=24):
    generator = torch.Generator().manual_seed(3)
    starts = torch.randint(time, (rows,), generator=generator)
    sequences = torch.randint(5, (rows,), generator=generator)
    return Pieces(sequences, starts, model.example(rows, steps).flip(0))


def every_output(outputs, *_):
    return outputs


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", MODELS)
def test_reading_on_equals_a_full_run(name):
    build_module, kind = MODELS[name]
    model = SequenceModel(build_module().eval(), vocab_size=11)
    assert quickest(model, TIME) is kind
    inputs, given = model.example(5, TIME), pieces(model)
    found = Interventions(model, inputs).continued(given, every_output)
    for row, start in enumerate(given.starts.tolist()):
        edited = inputs[given.sequences[row]].clone()
        length = min(9, TIME - start)
        edited[start : start + length] = given.inputs[row, :length]
        truth = model(edited[None])[0, start : start + length]
        assert torch.allclose(found[row, :length], truth, atol=2e-6)
        assert found[row, length:].isnan().all()


class Regressor(nn.Module):
    """Real values into recurrences, through a layer of their own or not, or into attention."""

    def __init__(self, kind="GRU", first=None):
        super().__init__()
        self.first, self.head = first or nn.Identity(), nn.Linear(8, 2)
        made = {"attention": lambda: _Block("causal"), "GRU": lambda: nn.GRU(3, 8, 2)}
        self.mixer = made.get(kind, lambda: getattr(nn, kind)(8 if first else 3, 8))()

    def forward(self, x):
        x = self.first(x)
        if isinstance(self.mixer, nn.RNNBase):
            return self.head(self.mixer(x.transpose(0, 1))[0].transpose(0, 1))
        return self.head(self.mixer(x))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Regressor, FromStates),
        (lambda: Regressor("LSTM"), FromStates),
        (lambda: Regressor("RNN", nn.Linear(3, 8)), FullRun),
        (lambda: Regressor("attention", nn.Linear(3, 8)), FromCache),
    ],
)
def test_real_valued_inputs_are_read_on_too(make, kind):
    model = SequenceModel(make().eval(), features=3)
    assert quickest(model, TIME) is kind
    inputs, given = model.example(5, TIME), pieces(model)
    found = Interventions(model, inputs).continued(given, every_output)
    truth = FullRun(model, inputs).outputs(given, 0)
    inside = given.starts[:, None] + torch.arange(9) < TIME
    assert torch.allclose(found[inside], next(truth).outputs[inside], atol=1e-6)


def test_a_piece_that_changes_nothing_gives_the_plain_outputs():
    model = SequenceModel(Recurrent())
    inputs = model.example(4, TIME)
    reruns = Interventions(model, inputs)
    same = Pieces(torch.arange(4), torch.full((4,), 5), inputs[:, 5:])
    found = reruns.continued(same, every_output)
    assert torch.allclose(found, reruns.plain[:, 5:], atol=1e-6)


@pytest.mark.parametrize("build_model", [lambda: SequenceModel(Recurrent()), zoo.memoryless])
def test_a_fresh_piece_has_nothing_before_it(build_model):
    model = build_model()
    inputs = model.example(4, TIME)
    part = Pieces(torch.arange(4), torch.tensor([0, 3, 6, 9]), model.example(4, 8).flip(1))
    found = Interventions(model, inputs).fresh(part, every_output)
    assert torch.equal(found, model(part.inputs))


def test_only_the_last_steps_are_read_where_that_is_asked():
    model = SequenceModel(Recurrent())
    reruns, given = Interventions(model, model.example(5, TIME)), pieces(model)
    whole = reruns.continued(given, every_output)
    seen = []

    def read(outputs, _sequences, steps):
        seen.append(steps)
        return outputs

    last = reruns.continued(given, read, last=2)
    assert torch.equal(last.nan_to_num(), whole[:, -2:].nan_to_num())
    assert torch.cat(seen).shape[1] == 2


def test_readers_are_told_where_they_are(monkeypatch):
    """In whatever blocks and parts the outputs come."""
    monkeypatch.setattr("seqprobe.models.interventions.BLOCK", 200)
    monkeypatch.setattr("seqprobe.models.from_states.STEPS", 4)
    monkeypatch.setattr("seqprobe.models.from_states.ROWS", 7)
    model = SequenceModel(Recurrent())
    given = pieces(model)

    def where(_outputs, sequences, steps):
        return torch.stack([sequences[:, None].expand_as(steps), steps], dim=-1).double()

    found = Interventions(model, model.example(5, TIME)).continued(given, where)
    at = given.starts[:, None] + torch.arange(9)
    inside = at < TIME
    assert (found[..., 1][inside] == at[inside]).all()
    assert (found[..., 0][inside] == given.sequences[:, None].expand_as(at)[inside]).all()


def test_work_is_done_once_for_all_who_ask():
    reruns, done = Interventions(zoo.memoryless(), torch.zeros(1, 4, dtype=torch.long)), []
    for _ in range(2):
        assert reruns.once("key", lambda: done.append(1) or math.pi) == math.pi
    assert done == [1]


def test_the_module_is_left_as_it_was():
    module = Recurrent()
    model = SequenceModel(module)
    Interventions(model, model.example(5, TIME)).continued(pieces(model), every_output)
    assert "forward" not in module.rnn.__dict__
    assert all(not part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("memory", ["rows", "steps"])
def test_small_blocks_read_the_same(memory, monkeypatch):
    """A few rows and steps at a time, and no more outputs than a little memory allows."""
    model = SequenceModel(Recurrent())
    inputs = model.example(3, TIME)
    starts = torch.tensor([0, 4, 9, 20])
    pieces = Pieces(torch.tensor([0, 1, 2, 1]), starts, model.example(4, TIME).flip(1))

    def found():
        seen = []

        def read(outputs, sequences, steps):
            seen.append(outputs[..., 0].numel())
            return torch.stack([outputs.sum(-1), 100.0 * sequences[:, None] + steps], -1)

        return Interventions(model, inputs).continued(pieces, read), max(seen)

    whole, largest = found()
    if memory == "steps":
        monkeypatch.setattr(interventions, "LARGEST", 5 * 11)
        monkeypatch.setattr(interventions, "BLOCK", 1)
    else:
        monkeypatch.setattr(continuation, "free_bytes", lambda _: 0)
    parts, most = found()
    assert largest > most == (5 if memory == "steps" else TIME)
    torch.testing.assert_close(parts, whole, equal_nan=True)
