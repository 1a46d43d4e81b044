"""A module that answers once per sequence, asked again at every step."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.models.outputs import single_answer


class ByPrefix(nn.Module):
    """What a module answers if its text ends at a step: (batch, time, classes).

    The answer at step t is `module(inputs[:, : t + 1])`, exactly; that at the last step is the
    module's own. No answer has seen a later input, whatever the module is: distances count back
    from the end of the text. Each sequence costs a forward per step, so keep them short.

    Args:
        module: maps inputs (batch, time, ..) to one answer (batch, classes), of any length.
        head: which answer, where the module returns several, as in `SequenceModel`.

    Raises:
        ModelError: the module returns no such answer.
    """

    def __init__(self, module: nn.Module, head: str | None = None) -> None:
        super().__init__()
        self.module, self.head = module, head

    def forward(
        self, inputs: Int[Tensor, "batch time"] | Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time classes"]:
        """The whole text comes first, so that its parts are known again."""
        return torch.stack([*self._answers(inputs)][::-1], dim=1)

    def _answers(self, inputs: Tensor) -> Iterator[Float[Tensor, "batch classes"]]:
        for length in range(inputs.shape[1], 0, -1):
            yield single_answer(self.module(inputs[:, :length]), len(inputs), self.head)
