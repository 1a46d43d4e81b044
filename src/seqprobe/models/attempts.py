"""Which lengths a model takes, and what it says to one that it does not take."""

from functools import cached_property

from seqprobe.contracts import Attempt
from seqprobe.errors import ModelError
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.sequence_model import SequenceModel

WORDS = 300


class Attempts:
    """Runs of one sequence.

    On a GPU an index beyond the end of a table would end all further work there, so the CPU goes
    first.
    """

    def __init__(self, model: SequenceModel) -> None:
        self.model = model

    def __call__(self, length: int) -> Attempt:
        """What comes of a sequence of this length."""
        inputs = self.model.example(1, length)
        try:
            if self.model.device.type != "cpu":
                self._on_the_cpu(inputs.cpu())
            self.model(inputs)
        except ModelError as error:
            return Attempt(length, _own_words(error))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return Attempt(length, out_of_memory=True)
        return Attempt(length)

    @cached_property
    def _on_the_cpu(self) -> SequenceModel:
        return self.model.on_the_cpu()


def _own_words(error: ModelError) -> str:
    """What the module raised, on one line."""
    cause = error.__cause__
    text = f"{type(cause).__name__}: {cause}" if cause else error.said
    return " ".join(text.split())[:WORDS]
