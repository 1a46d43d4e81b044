"""Whatever a forward returns, as (batch, time, classes)."""

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqprobe.errors import ModelError
from seqprobe.models.outputs import per_step_outputs
from seqprobe.models.sequence_model import SequenceModel

Wrap = Callable[[Tensor, Tensor], Any]
LOSS = torch.tensor(1.0)
Output = namedtuple("Output", "loss logits")
FORMS: dict[str, Wrap] = {
    "logits": lambda logits, hidden: logits,
    "(logits, loss)": lambda logits, hidden: (logits, LOSS),
    "(logits, None)": lambda logits, hidden: (logits, None),
    "(loss, logits)": lambda logits, hidden: (LOSS, logits),
    "(out, hidden)": lambda logits, hidden: (logits, hidden),
    "(out, (h, c))": lambda logits, hidden: (logits, (hidden, hidden)),
    "[out, hidden]": lambda logits, hidden: [logits, hidden],
    ".logits": lambda logits, hidden: SimpleNamespace(loss=LOSS, logits=logits, past=hidden),
    ".last_hidden_state": lambda logits, hidden: SimpleNamespace(last_hidden_state=logits),
    "named tuple": lambda logits, hidden: Output(LOSS, logits),
    "{logits}": lambda logits, hidden: {"hidden": hidden, "logits": logits},
    "{other name}": lambda logits, hidden: {"loss": LOSS, "scores": logits},
    "flattened": lambda logits, hidden: logits.flatten(0, 1),
    "(flattened, hidden)": lambda logits, hidden: (logits.flatten(0, 1), hidden),
}


class Returning(nn.Module):
    def __init__(self, wrap: Wrap, batch_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.rnn = nn.GRU(4, 4, batch_first=batch_first)
        self.head = nn.Linear(4, 5)
        self.wrap = wrap

    def forward(self, tokens: Tensor) -> Any:
        out, hidden = self.rnn(self.embedding(tokens))
        return self.wrap(self.head(out), hidden)


@pytest.mark.parametrize("batch_first", [True, False], ids=["batch-first", "time-first"])
@pytest.mark.parametrize("wrap", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_logits(wrap: Wrap, batch_first: bool) -> None:
    module = Returning(wrap, batch_first)
    model = SequenceModel(module)
    assert model.time_first == (not batch_first)
    tokens = model.example(3, 12)
    with torch.no_grad():
        embedded = module.embedding(tokens)
        if not batch_first:
            embedded = embedded.transpose(0, 1)
        logits = module.head(module.rnn(embedded)[0])
    logits = logits if batch_first else logits.transpose(0, 1)
    assert torch.allclose(model(tokens), logits, atol=1e-6)
    assert torch.allclose(model.observe(tokens).outputs, logits, atol=1e-6)


def test_log_softmax_outputs_stay_as_they_are() -> None:
    returned = torch.randn(2, 3, 5).log_softmax(-1)
    outputs = per_step_outputs(returned, 2, 3, time_first=False)
    assert torch.equal(outputs, returned)
    assert torch.allclose(outputs.log_softmax(-1), returned, atol=1e-6)


def test_flattened_rows_keep_the_order_of_the_inputs() -> None:
    logits = torch.randn(2, 3, 5)
    flat, steps = logits.flatten(0, 1), logits.transpose(0, 1)
    assert torch.equal(per_step_outputs(flat, 2, 3, time_first=False), logits)
    assert torch.equal(per_step_outputs(steps.flatten(0, 1), 2, 3, time_first=True), logits)


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (torch.zeros(2, 5), r"tensors of shape \[\(2, 5\)\]"),
        (torch.zeros(2, 3), r"tensors of shape \[\(2, 3\)\]"),
        (
            torch.zeros(2, 3, 5).long(),
            r"got only integers \(torch.int64\), such as",
        ),
        ({"loss": LOSS}, r"tensors of shape \[\(\)\]"),
        ("text", "got str"),
        (None, "got NoneType"),
    ],
    ids=["last step only", "labels", "integers", "only a loss", "text", "nothing"],
)
def test_no_output_per_step(returned: Any, got: str) -> None:
    with pytest.raises(ModelError, match="the module returns no output per step") as raised:
        per_step_outputs(returned, 2, 3, time_first=False)
    raised.match(got)
    raised.match(r"expected a floating-point tensor of shape \(2, 3, 'classes'\)\. Give a factory")
