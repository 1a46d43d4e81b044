"""What a layout says about a file: which template takes its tensors, and what is not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Unknown:
    """A property of the model that its file does not tell.

    Candidates are values of a keyword argument of the template; the usual one comes first.
    """

    name: str
    candidates: tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """A file that can be rebuilt.

    Attributes:
        name: of the layout, as users know it: "nanoGPT", "word_language_model RNN".
        template: "module:Class" of an `nn.Module` that maps (batch, time) tokens or
            (batch, time, features) to (batch, time, outputs). It is imported only when needed.
        settings: its keyword arguments that follow from shapes.
        stated: further ones that are no matter of shapes and that the file states: heads,
            activation, ..; the user may overrule them.
        unknowns: further ones that nobody states.
        names: from each tensor of the file (its name in `Contents.weights`) to its place in the
            template's state dict.
        transposed: those of them that lie transposed in the file.
        ignored: tensors that are no part of the model's function: masks, tables that the
            template makes itself, weights of a loss.
        features: width of real-valued inputs; None for tokens.
        vocab_size: how many tokens there are; None for real-valued inputs.
        predicts_tokens: its outputs are scores of the next token.
        vocabulary: what each token stands for, where the file says so.
        trained_length: tokens of the sequences in training, if the file tells.
        data: what `--data` calls the task that it was trained on, where the file says it.
        recorded_loss: nats per token that the training recorded on its own held-out data.
        certain: the file names the very code that is used, so that nothing can be mistaken: a bad
            loss is that of the model.
        reversed: the model reads its text backwards.
    """

    name: str
    template: str
    settings: Mapping[str, Any]
    names: Mapping[str, str]
    stated: Mapping[str, Any] = field(default_factory=dict)
    unknowns: tuple[Unknown, ...] = ()
    transposed: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    features: int | None = None
    vocab_size: int | None = None
    predicts_tokens: bool = True
    vocabulary: tuple[str | bytes, ...] | None = None
    trained_length: int | None = None
    data: str | None = None
    recorded_loss: float | None = None
    certain: bool = False
    reversed: bool = False

    @property
    def of_transformers(self) -> bool:
        """Whether the code of the model is that of transformers."""
        return self.template.partition(":")[0].endswith("huggingface")


@dataclass(frozen=True)
class Named:
    """A file that is recognised and cannot be rebuilt: what it is, what is missing, what to do."""

    name: str
    missing: str
    do: str
