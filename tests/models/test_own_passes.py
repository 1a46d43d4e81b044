"""What is seen of a training loop's own passes, against gradients that the loop itself retains."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seqprobe.contracts import Needs
from seqprobe.models.own_passes import OwnPasses
from seqprobe.models.sequence_model import SequenceModel

VOCAB, WIDTH, BATCH, TIME = 7, 6, 4, 9
NEEDS = [Needs(stream="loop", states=True, gradients=True)]


class Model(nn.Module):
    """Keeps what its own parts gave, with their gradients."""

    def __init__(self, middle: nn.Module, first: nn.Module | None = None) -> None:
        super().__init__()
        self.embedding = first or nn.Embedding(VOCAB, WIDTH)
        self.blocks, self.head = nn.ModuleList([middle]), nn.Linear(WIDTH, VOCAB)
        self.mode, self.kept = "plain", list[Tensor]()

    def forward(self, inputs: Tensor) -> Tensor:
        embedded = self.embedding(inputs)
        self.kept.append(embedded)
        if embedded.requires_grad:
            embedded.retain_grad()
        reentrant = self.mode == "reentrant"
        block = self.blocks[0]
        mixed = block(embedded) if self.mode == "plain" else checkpoint(
            block, embedded, use_reentrant=reentrant
        )  # fmt: skip
        mixed = mixed[0] if isinstance(mixed, tuple) else mixed
        self.kept.append(mixed)
        if mixed.requires_grad:
            mixed.retain_grad()
        return self.head(mixed)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, -1)
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True)


def tokens(batch: int = BATCH, time: int = TIME) -> Tensor:
    return torch.randint(VOCAB, (batch, time))


def loss_of(model: nn.Module, inputs: Tensor) -> Tensor:
    return model(inputs).square().sum()


def watched(model: nn.Module, scaler: torch.amp.GradScaler | None = None) -> OwnPasses:
    passes = OwnPasses(SequenceModel(model.eval()), NEEDS, scaler)
    model.train()
    if isinstance(model, Model):
        passes.model.blocks  # noqa: B018
        model.kept = []
    passes.arm()
    if isinstance(model, Model):
        model.kept = []
    return passes


def norms(tensors: Tensor) -> Tensor:
    return tensors.detach().float().norm(dim=-1)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


@pytest.fixture(params=["rnn", "attention"])
def model(request: pytest.FixtureRequest) -> Model:
    rnn = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)
    return Model(rnn if request.param == "rnn" else Attention())


@pytest.mark.parametrize("mode", ["plain", "reentrant", "not reentrant"])
def test_norms_are_those_of_the_loop_and_checkpoints_run_forwards_twice(
    model: Model, mode: str
) -> None:
    passes, model.mode = watched(model), mode
    given = tokens()
    loss_of(model, given).backward()
    embedded, mixed = model.kept
    (seen,) = passes.taken()
    assert list(seen.loss_gradients) == ["embedding", "blocks.0"]
    assert torch.equal(seen.inputs, given)
    same(seen.loss_gradients["embedding"], norms(embedded.grad))
    same(seen.loss_gradients["blocks.0"], norms(mixed.grad))
    same(seen.state_norms["embedding"], norms(embedded))
    same(seen.state_norms["blocks.0"], norms(mixed))


def test_forwards_without_a_backward_are_not_counted(model: Model) -> None:
    passes = watched(model)
    with torch.no_grad():
        model(tokens())
    assert passes._record.passes == []
    model(tokens())
    loss_of(model, tokens()).backward()
    assert len(passes.taken()) == 1


def test_accumulated_gradients_give_one_observation_each_whatever_their_order(
    model: Model,
) -> None:
    passes = watched(model)
    given = [tokens(), tokens(batch=2, time=5), tokens()]
    loss_of(model, given[0]).backward()
    (3 * loss_of(model, given[1]) + loss_of(model, given[2])).backward()
    seen = passes.taken()
    assert [list(each.sequences) for each in seen] == [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]]
    for each, inputs, embedded in zip(seen, given, model.kept[::2], strict=True):
        assert torch.equal(each.inputs, inputs)
        same(each.loss_gradients["embedding"], norms(embedded.grad))


def test_nothing_is_hooked_but_between_arm_and_taken(model: Model) -> None:
    def hooks() -> int:
        return sum(
            len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()
        )

    passes = watched(model)
    assert hooks() == 4
    passes.taken()
    assert hooks() == 0
    assert passes.taken() == []
    loss_of(model, tokens()).backward()
    assert passes.taken() == []
    passes.arm()
    passes.remove()
    assert hooks() == 0


def test_gradients_are_divided_by_the_scale_that_the_backward_had(model: Model) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    passes = watched(model, scaler)
    scaler.scale(loss_of(model, tokens())).backward()
    scaler.update(7.0)
    (seen,) = passes.taken()
    same(seen.loss_gradients["embedding"], norms(model.kept[0].grad) / 1024)


def test_half_precision_is_measured_in_single() -> None:
    passes = watched(model := Model(Attention()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(model, tokens())
    loss.backward()
    (seen,) = passes.taken()
    assert seen.loss_gradients["blocks.0"].dtype == torch.float32
    same(seen.loss_gradients["blocks.0"], norms(model.kept[1].grad))


def test_gradients_too_small_for_squares_in_single_precision(model: Model) -> None:
    passes = watched(model)
    (1e-30 * loss_of(model, tokens())).backward()
    (seen,) = passes.taken()
    same(seen.loss_gradients["embedding"], model.kept[0].grad.double().norm(dim=-1).float())
    assert (seen.loss_gradients["embedding"] > 0).all()


class Cells(nn.Module):
    """One step after the other, time first, and embedded one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(VOCAB, WIDTH), nn.GRUCell(WIDTH, WIDTH)
        self.kept: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        state, states = inputs.new_zeros(inputs.shape[1], WIDTH, dtype=torch.float32), []
        self.kept = []
        for step in inputs:
            embedded = self.embedding(step)
            state = self.cell(embedded, state)
            self.kept.append(embedded)
            if embedded.requires_grad:
                embedded.retain_grad()
            states.append(state)
        return torch.stack(states)


def test_steps_are_joined_and_batches_come_first() -> None:
    model = Cells()
    passes, given = watched(model), tokens().T
    model(given)[: TIME - 2].sum().backward()
    (seen,) = passes.taken()
    assert torch.equal(seen.inputs, given.T)
    assert list(seen.loss_gradients) == ["embedding", "cell"]
    expected = [
        norms(each.grad) if each.grad is not None else torch.zeros(BATCH) for each in model.kept
    ]
    same(seen.loss_gradients["embedding"], torch.stack(expected, 1))
    assert not seen.loss_gradients["cell"][:, TIME - 2 :].any()


def test_real_valued_inputs_get_a_gradient_and_stay_what_they_are() -> None:
    module = nn.Sequential(nn.Linear(3, WIDTH), Attention())
    passes = OwnPasses(SequenceModel(module, features=3), NEEDS, None)
    passes.arm()
    given = torch.randn(BATCH, TIME, 3)
    loss_of(module, given).backward()
    leaf = given.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss_of(module, leaf), leaf)
    (seen, *_) = passes.taken()
    assert not given.requires_grad
    same(seen.loss_gradients["inputs"], norms(expected))
    same(seen.state_norms["inputs"], norms(given))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_forward_that_fails_leaves_nothing_open(model: Model, error: type[BaseException]) -> None:
    passes = watched(model)

    def fail(*_: object) -> None:
        raise error

    handle = model.head.register_forward_pre_hook(fail)
    with pytest.raises(error):
        model(tokens())
    handle.remove()
    model.kept = []
    loss_of(model, tokens()).backward()
    (seen,) = passes.taken()
    same(seen.loss_gradients["embedding"], norms(model.kept[0].grad))


def test_what_goes_wrong_while_watching_ends_no_training(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched(model)

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("seqprobe.models.own_pass.norms", fail)
    loss_of(model, tokens()).backward()
    assert "a pass was not seen in full: MemoryError: no room" in caplog.text


def test_copies_and_saved_models_are_not_watched(model: Model) -> None:
    passes = watched(model)
    twin = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (twin, torch.load(file, weights_only=False)):
        loss_of(other, tokens()).backward()
    assert passes.taken() == []


def test_gates_are_those_of_the_first_sequence_before_the_update() -> None:
    model = Model(nn.LSTM(WIDTH, WIDTH, 2, batch_first=True))
    passes, given = watched(model), tokens()
    loss_of(model, given).backward()
    model.kept = []
    twin = SequenceModel(copy.deepcopy(model).eval())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    (seen,) = passes.taken()
    expected = twin.observe(given[:1], gradients=False).layers
    assert list(seen.layers) == list(expected) == ["blocks.0.state_l0", "blocks.0.state_l1"]
    for name, layer in seen.layers.items():
        same(layer.retention, expected[name].retention)


class TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.transpose(0, 1))[0].transpose(0, 1)


def test_a_batch_as_long_as_it_is_wide_is_not_turned_round() -> None:
    passes, given = watched(model := Model(TimeFirst())), tokens(batch=TIME)
    loss_of(model, given).backward()
    (seen,) = passes.taken()
    same(seen.loss_gradients["blocks.0.rnn"], norms(model.kept[1].grad))


def test_of_two_backward_passes_through_one_forward_the_first_counts(model: Model) -> None:
    passes, loss = watched(model), loss_of(model, tokens())
    loss.backward(retain_graph=True)
    first = norms(model.kept[0].grad)
    (5 * loss).backward()
    (seen,) = passes.taken()
    same(seen.loss_gradients["embedding"], first)
