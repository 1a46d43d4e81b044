"""Models of transformers, built from a configuration in memory; nothing is looked up anywhere."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seqprobe.checkpoints.templates.with_cache import WithCache
from seqprobe.errors import ModelError
from seqprobe.models.by_prefix import ByPrefix
from seqprobe.models.carrying import CACHES

Task = Literal["next token", "tokens", "sequence"]


class HuggingFace(nn.Module):
    """Tokens to outputs per step, of a model that transformers has the code for.

    For sequence classifiers the output at a step is what the model answers when its text ends
    there, so that the last one is the answer to the whole text.

    Args:
        config: as in `config.json`.
        architecture: the class named there.
        task: what that class is for.

    Raises:
        ModelError: transformers is not there, does not know the model, or cannot build it.
    """

    def __init__(self, config: Mapping[str, Any], architecture: str, task: Task) -> None:
        super().__init__()
        self.model = _built(config, architecture, task)
        self.answers_once = task == "sequence"

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        cache: Any = None,
        use_cache: bool = False,
        position_ids: Int[Tensor, "1 time"] | None = None,
    ) -> Float[Tensor, "batch time outputs"] | WithCache:
        """With `use_cache`, what transformers keeps of the tokens comes beside the outputs, and
        goes on as `cache`; some models do not count on by themselves and need `position_ids`.
        """
        part = self.model.base_model if self.answers_once else self.model
        asked = _taken(part, cache, position_ids) if use_cache else {}
        said = part(input_ids=tokens, **asked)
        outputs: Tensor = (
            self.model.score(said.last_hidden_state) if self.answers_once else said.logits
        )
        if not use_cache:
            return outputs
        kept = (getattr(said, name, None) for name in CACHES)
        return WithCache(outputs, next((each for each in kept if each is not None), None))


def _taken(part: nn.Module, cache: Any, position_ids: Tensor | None) -> dict[str, Any]:
    """Whatever of it the model has an argument for."""
    given = {"use_cache": True, "position_ids": position_ids, **dict.fromkeys(CACHES, cache)}
    names = inspect.signature(part.forward).parameters
    return {name: value for name, value in given.items() if name in names and value is not None}


class Classifier(ByPrefix):
    """Tokens to what an encoder answers when its text ends at a step, read anew up to there.

    Arguments and errors as for `HuggingFace`. No token that closes a text is put behind it.
    """

    def __init__(self, config: Mapping[str, Any], architecture: str, task: Task) -> None:
        super().__init__(_built(config, architecture, task))


def _built(config: Mapping[str, Any], architecture: str, task: Task) -> Any:
    try:
        import transformers
        from transformers.initialization import no_init_weights
    except ImportError as error:
        raise ModelError(
            "this model needs transformers",
            got=str(error),
            do="Install it: pip install 'seqprobe[hf]'.",
        ) from error
    auto: Any = {
        "next token": transformers.AutoModelForCausalLM,
        "tokens": transformers.AutoModelForTokenClassification,
        "sequence": transformers.AutoModelForSequenceClassification,
    }[task]
    try:
        with no_init_weights():  # all of them are about to be loaded
            model = auto.from_config(_read(config), dtype=torch.get_default_dtype())
        model.tie_weights()
    except Exception as error:  # a configuration can be wrong in any way
        raise ModelError(
            "transformers cannot build the model that config.json describes",
            where=architecture,
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            do="Check config.json, update transformers, or give --model.",
        ) from error
    if type(model).__name__ != architecture:
        raise ModelError(
            "config.json contradicts itself",
            got=f"the architecture {architecture} with the model type {config['model_type']!r}",
            expected=type(model).__name__,
            do="Give the config.json that was saved with the weights.",
        )
    return model


def _read(config: Mapping[str, Any]) -> Any:
    """By transformers' own reader of `config.json`, which knows its older forms."""
    from transformers import AutoConfig

    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps({**config, "use_cache": False}))
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
