"""Files that a training leaves beside its weights, named when one is given instead of them."""

from pathlib import Path
from typing import Any

from seqprobe.checkpoints.pickles.opaque import Object
from seqprobe.errors import FileError

_KEYS = (  # all of them are there
    ({"python", "numpy", "cpu"}, "the states of random number generators"),
    ({"last_epoch", "_step_count"}, "the state of a learning-rate schedule"),
    ({"scale", "growth_factor", "backoff_factor"}, "the state of a gradient scaler"),
)
_ARGUMENTS = ("TrainingArguments", "SFTConfig", "DPOConfig", "GRPOConfig")
_PADDLE = "StructuredToParameterName@@"
_BESIDE = "Give the weights that lie in the same folder, or the folder."


def refuse_aside(tree: Any, path: Path) -> None:
    """Let pass what may hold a model.

    Raises:
        FileError: it is something else of a training, or of another framework.
    """
    if isinstance(tree, Object) and tree.kind.endswith(_ARGUMENTS):
        raise FileError(f"the arguments of a training ({tree.kind})", where=path.name, do=_BESIDE)
    if not isinstance(tree, dict):
        return
    for keys, what in _KEYS:
        if keys <= tree.keys():
            raise FileError(f"{what}, without weights", where=path.name, do=_BESIDE)
    if _PADDLE in tree:
        raise FileError(
            "a checkpoint of PaddlePaddle",
            where=path.name,
            do="Convert it: torch.save({name: torch.from_numpy(value.numpy()) for name, value in "
            "paddle.load(file).items()}, 'weights.pt').",
        )
