"""From a checkpoint file to a SequenceModel and the record of what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprobe.checkpoints.factory import build_from
from seqprobe.checkpoints.layouts import reference
from seqprobe.checkpoints.weights import Contents, read, stripped
from seqprobe.errors import ModelError, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.records import ModelRecord, Verification

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Loaded:
    """A model ready to be measured, and where it came from."""

    model: SequenceModel
    record: ModelRecord


def load(
    path: str | Path,
    *,
    factory: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> Loaded:
    """Read a checkpoint, rebuild its module and load every tensor exactly once.

    Args:
        path: a file written by `seqprobe train`, or any state dict together with `factory`.
        factory: `pkg.module:factory`, which returns the module for a state dict.
        settings: keyword arguments of the factory.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: in which precision to measure.

    Raises:
        FileError: the file cannot be read.
        ModelError: the module cannot be rebuilt, or does not take these weights.
    """
    target, precision = device_named(device), _dtype(dtype)
    contents = read(Path(path))
    module = _rebuilt(contents, factory, settings or {})
    _fill(module, contents)
    module.to(target, precision).eval()
    model = _wrapped(module, contents)
    return Loaded(model, _record(model, contents, factory))


def _rebuilt(contents: Contents, factory: str | None, settings: Mapping[str, Any]) -> nn.Module:
    if factory:
        return build_from(factory, settings)
    if reference.matches(contents.extra):
        return reference.rebuild(contents.extra, contents.name)
    raise ModelError(
        "weights without their architecture",
        where=contents.name,
        got=f"{len(contents.weights)} tensors, the first {next(iter(contents.weights))}",
        expected="a file of `seqprobe train`, or --model",
        do="Say what builds the model: --model pkg.module:factory [--set name=value].",
    )


def _fill(module: nn.Module, contents: Contents) -> None:
    wanted, given = module.state_dict(), contents.weights
    if wanted.keys() != given.keys():
        given = stripped(given)
    found = [_named(what, names) for what, names in _misfits(wanted, given).items() if names]
    if found:
        raise ModelError(
            "the weights do not fit the model",
            where=contents.name,
            got="; ".join(found),
            expected="every tensor used exactly once",
            do="Check the factory and its --set arguments.",
        )
    module.load_state_dict(given, strict=False)


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """By kind of misfit; a tied tensor may be missing, for safetensors keeps one of each."""
    common = [name for name in wanted if name in given]
    filled = {wanted[name].data_ptr() for name in common}
    return {
        "missing": [n for n in wanted if n not in given and wanted[n].data_ptr() not in filled],
        "not in the model": [name for name in given if name not in wanted],
        "other shape": [
            f"{name} {tuple(given[name].shape)} for {tuple(wanted[name].shape)}"
            for name in common
            if given[name].shape != wanted[name].shape
        ],
        "other kind of number": [
            f"{name} {given[name].dtype} for {wanted[name].dtype}"
            for name in common
            if given[name].is_floating_point() != wanted[name].is_floating_point()
        ],
    }


def _named(what: str, names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{rest}"


def device_named(name: str) -> torch.device:
    """`auto` is the GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.empty(1, device=name).isfinite().device.type != "meta":
            return torch.device(name)
    except Exception as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        if "device type at start" in reason:  # a list of all that torch was ever ported to
            reason = "a kind of device that torch does not know"
    else:
        reason = "a device that holds no numbers"
    raise UsageError(
        f"no device {name!r} here",
        got=reason,
        expected="auto, cpu, or cuda where there is a GPU",
        do="Use --device auto, or see `seqprobe doctor`.",
    )


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise UsageError(
            f"unknown dtype {name!r}",
            expected=f"one of {', '.join(DTYPES)}",
            do="Choose one of them; the file itself may hold any.",
        )
    return DTYPES[name]


def _wrapped(module: nn.Module, contents: Contents) -> SequenceModel:
    model = SequenceModel(module)
    if reference.matches(contents.extra):
        model.trained_length = reference.trained_length(contents.extra)
    if not model(model.example(1)).isfinite().all():
        bad = contents.nonfinite
        raise ModelError(
            "the outputs are not finite, so nothing can be measured",
            where=contents.name,
            got=f"NaN or infinity in {len(bad)} of {len(contents.weights)} tensors"
            + (f", the first {bad[0]}" if bad else ""),
            expected="finite numbers",
            do="Give a checkpoint from before the training diverged.",
        )
    return model


def _record(model: SequenceModel, contents: Contents, factory: str | None) -> ModelRecord:
    cover = Verification(
        "every tensor used exactly once", "passed", f"{len(contents.weights)} tensors"
    )
    return replace(
        describe(model, contents.name),
        source="factory" if factory else "state_dict",
        container=contents.container,
        layout="own factory" if factory else "seqprobe train",
        sha256=contents.sha256,
        bytes=contents.bytes,
        nonfinite=contents.nonfinite,
        verification=(cover,),
    )


def describe(model: SequenceModel, name: str) -> ModelRecord:
    """What was recognised in a live model."""
    parameters = list(model.module.parameters())
    return ModelRecord(
        name=name,
        family=model.family,
        parameters=sum(parameter.numel() for parameter in parameters),
        dtypes=tuple(sorted({str(p.dtype).removeprefix("torch.") for p in parameters})),
        plan={
            "module": type(model.module).__name__,
            "vocabulary": model.vocab_size,
            "embedding": model.embedding,
            "mixers": [f"{mixer.path or '(root)'}: {mixer.kind}" for mixer in model.kinds],
            "states": list(model.sites),
            "reads": "the past only" if model.causal else "both directions",
            "time first": model.time_first,
        },
    )
