"""What one probed forward gives."""

from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from seqprobe.errors import NotApplicable
from seqprobe.models.recurrence import LayerRun
from seqprobe.models.refusals import NO_EMBEDDING


@dataclass(frozen=True)
class Observed:
    """Outputs, per-step states, and the embeddings they depend on.

    `layers` are the recurrent layers by the names of their states; `cuts` the outputs of
    recurrences that were taken out of the graph, by the path of their module.
    """

    outputs: Float[Tensor, "batch time classes"]
    states: dict[str, Float[Tensor, "batch time _"]]
    embeddings: Float[Tensor, "batch time _"] | None
    layers: dict[str, LayerRun] = field(default_factory=dict)
    cuts: dict[str, Float[Tensor, "batch time _"]] = field(default_factory=dict)

    @property
    def leaf(self) -> Float[Tensor, "batch time _"]:
        """The embeddings, where there are any."""
        if self.embeddings is None:
            raise NotApplicable(NO_EMBEDDING)
        return self.embeddings

    def differentiable(self) -> dict[str, Float[Tensor, "batch time _"]]:
        """The outputs, and the states that a gradient can be taken of."""
        sites = {"output": self.outputs, **self.states}
        return {name: state for name, state in sites.items() if state.requires_grad}

    def without_graph(self) -> "Observed":
        """The same numbers, and nothing of what led to them."""
        return replace(
            self,
            outputs=self.outputs.detach(),
            states={name: state.detach() for name, state in self.states.items()},
            embeddings=None if self.embeddings is None else self.embeddings.detach(),
            layers={name: run.without_graph() for name, run in self.layers.items()},
        )
