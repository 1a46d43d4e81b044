"""From a checkpoint to a SequenceModel and the record of what it is."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.digest import sha256
from seqprobe.checkpoints.factory import build_from
from seqprobe.checkpoints.fetch import fetch_all, nonfinite
from seqprobe.checkpoints.layouts.layout import Layout, Named
from seqprobe.checkpoints.loadable import check_loadable
from seqprobe.checkpoints.placing import built_in, placed_alike, placed_by_parameters
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.readings import Reading, readings
from seqprobe.checkpoints.rebuild import fill, placed, rebuilt
from seqprobe.checkpoints.recognise import recognise
from seqprobe.checkpoints.resolve import said
from seqprobe.checkpoints.settle import Settled, Task, settle
from seqprobe.checkpoints.verification import cover, verified
from seqprobe.errors import ModelError, UsageError
from seqprobe.models.device import device_named, dtype_named
from seqprobe.models.sequence_model import Predicts, SequenceModel
from seqprobe.records import Assumption, ModelRecord, Verification
from seqprobe.sequences.streams import CorpusStream


@dataclass(frozen=True)
class Given:
    """What the user says about a checkpoint.

    `factory`: `pkg.module:factory`, which builds the module; without it the file's layout has to
    be known. `settings`: keyword arguments of the factory, or properties of the model that its
    file does not tell. `weights`: which one of several state dicts. `data` and `tokenizer`: what
    the model reads, to find out by what nobody says. `task`: what the model is for.
    `assume_defaults`: take what is usual where there is nothing to find out by.
    """

    factory: str | None = None
    settings: Mapping[str, Any] | None = None
    weights: str | None = None
    data: str | None = None
    tokenizer: str | None = None
    task: Task | None = None
    assume_defaults: bool = False
    device: str = "auto"
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Loaded:
    """A model, the record of where it came from, and the user's text as it reads it.

    `stream` is None where no text was read to know the model. `data` is the task that the file says
    it was trained on, by the name that `--data` has for it. `obstacle` says why nothing can be
    measured on it, if so; `model` then has zeros in place of weights that are not finite.
    """

    model: SequenceModel
    record: ModelRecord
    stream: CorpusStream | None = None
    obstacle: str = ""
    data: str | None = None


def load(path: str | Path, given: Given) -> Loaded:
    """Read a checkpoint, rebuild its module and load every tensor exactly once.

    Raises:
        FileError: the file cannot be read.
        ModelError: the module cannot be rebuilt, or is not the model in the file.
        UsageError: what the user says does not fit the file.
    """
    device, dtype = device_named(given.device), dtype_named(given.dtype)
    contents = _chosen(read(Path(path)), given.weights)
    check_loadable(contents, given.dtype)
    layout = None if given.factory else _rebuildable(recognise(contents), contents)
    tensors = fetch_all(contents.weights)
    unused = layout.ignored if layout else frozenset()  # masks hold minus infinity
    bad = nonfinite({name: tensor for name, tensor in tensors.items() if name not in unused})

    if layout is None:
        made = _by_factory(
            contents, tensors, given, lambda module: placed_alike(module, device, dtype)
        )
    else:
        build = _builder(layout, contents, tensors, given)
        made = _by_layout(layout, contents, len(tensors), given, build, damaged=bool(bad))
    return _loaded(made, contents, bad)


def _chosen(contents: Contents, name: str | None) -> Contents:
    """With the state dict that the user wants, if there are several."""
    if name is None:
        return contents
    if name not in contents.others:
        raise UsageError(
            f"no other weights named {name!r} in the file",
            where=contents.name,
            expected=", ".join(contents.others) or "no name: there is only one state dict",
            do="See `seqprobe inspect`.",
        )
    return replace(contents, weights=contents.others[name])


def _rebuildable(found: Layout | Named, contents: Contents) -> Layout:
    if isinstance(found, Layout):
        return found
    raise ModelError(
        f"{found.name}, which cannot be rebuilt from the file alone; missing: {found.missing}",
        where=contents.name,
        do=found.do,
    )


@dataclass(frozen=True)
class _Made:
    """A module filled with the tensors of a file, and how it came about."""

    module: nn.Module
    source: Literal["state_dict", "hf", "factory"]
    layout: str
    verification: tuple[Verification, ...]
    assumptions: tuple[Assumption, ...]
    features: int | None = None
    trained_length: int | None = None
    data: str | None = None
    stream: CorpusStream | None = None
    predicts: Predicts | None = None


Ready = Callable[[nn.Module], nn.Module]
Build = Callable[[Mapping[str, Any]], nn.Module]


def _by_factory(
    contents: Contents, tensors: Mapping[str, Tensor], given: Given, ready: Ready
) -> _Made:
    assert given.factory
    settings = given.settings or {}
    module, taken = build_from(given.factory, settings, contents)
    fill(
        module,
        placed(module, tensors),
        where=contents.name,
        do="Check the factory and its --set arguments.",
    )
    return _Made(
        ready(module),
        source="factory",
        layout="own factory",
        verification=(cover(len(tensors)),),
        assumptions=(*said(taken, "file"), *said(settings, "user")),
    )


def _builder(
    layout: Layout, contents: Contents, tensors: Mapping[str, Tensor], given: Given
) -> Build:
    """Builds the module of a layout, filled and placed, for values of what is not known."""
    device, dtype = device_named(given.device), dtype_named(given.dtype)

    def build(values: Mapping[str, Any]) -> nn.Module:
        if not layout.of_transformers:
            return placed_alike(rebuilt(layout, values, tensors, contents.name), device, dtype)
        with built_in(dtype):
            module = rebuilt(layout, values, tensors, contents.name)
        anywhere = given.device == "auto" and device.index is None
        return placed_by_parameters(module, device, dtype, anywhere=anywhere)

    return build


def _by_layout(
    layout: Layout,
    contents: Contents,
    tensors: int,
    given: Given,
    build: Build,
    *,
    damaged: bool,
) -> _Made:
    """Where the data cannot or need not judge, what is not known is what is usual."""
    judge = not (damaged or layout.certain)
    found = readings(
        layout,
        None if layout.certain else given.data,
        given.tokenizer,
        folder=contents.path if contents.path.is_dir() else contents.path.parent,
        seed=given.seed,
        device=device_named(given.device),
    )
    settled = settle(
        layout,
        build,
        {each.name: each.examples for each in found if judge and each.examples},
        settings=given.settings or {},
        task=given.task,
        assume_defaults=given.assume_defaults or not judge,
        where=contents.name,
    )
    read_as = next(each for each in found if settled.tokenizer in (None, each.name))
    return _Made(
        settled.module,
        source="hf" if layout.of_transformers else "state_dict",
        layout=layout.name,
        verification=(cover(tensors, sorted(layout.ignored)), *verified(layout, settled)),
        assumptions=settled.assumptions,
        features=layout.features,
        trained_length=layout.trained_length,
        data=layout.data,
        stream=read_as.stream,
        predicts=_predicts(layout, settled, read_as),
    )


def _predicts(layout: Layout, settled: Settled, read_as: Reading) -> Predicts | None:
    """The answers of a task are no next tokens."""
    if layout.data:
        return "classes"
    return None if settled.loss is None else read_as.predicts


def _loaded(made: _Made, contents: Contents, bad: tuple[str, ...]) -> Loaded:
    """Ready to be measured, if its outputs are finite."""
    built = SequenceModel(made.module, features=made.features, predicts=made.predicts)
    model, obstacle = finite(built, bad, len(contents.weights))
    model.trained_length = made.trained_length
    return Loaded(model, _record(model, contents, made, bad), made.stream, obstacle, made.data)


def finite(model: SequenceModel, bad: Sequence[str], tensors: int) -> tuple[SequenceModel, str]:
    """The model, with zeros for weights that are not finite where that is why outputs are not.

    And what then keeps it from being measured; empty where nothing does.
    """
    if model(model.example(1)).isfinite().all():
        return model, ""
    zeros = SequenceModel(
        _with_zeros(model.module),
        vocab_size=model.vocab_size,
        features=model.features,
        sites=model.asked_sites,
        predicts=model.predicts,
    )
    said = f"The outputs are not finite: NaN or infinity in {len(bad)} of {tensors} tensors."
    return zeros, said


def _with_zeros(module: nn.Module) -> nn.Module:
    """A copy whose structure can be looked at."""
    copied = deepcopy(module)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.nan_to_num_(0.0, 0.0, 0.0)
    return copied


def _record(
    model: SequenceModel, contents: Contents, made: _Made, bad: tuple[str, ...]
) -> ModelRecord:
    described = describe(model, contents.name)
    pickled = {"class in the file": contents.modules[""].kind} if "" in contents.modules else {}
    return replace(
        described,
        plan={**pickled, **described.plan},
        source=made.source,
        container=contents.container,
        layout=made.layout,
        sha256=sha256(contents.path),
        bytes=contents.bytes,
        nonfinite=bad,
        stored=tuple(sorted({weight.dtype for weight in contents.weights.values()})),
        assumptions=made.assumptions,
        verification=made.verification,
    )


def describe(model: SequenceModel, name: str) -> ModelRecord:
    """What was recognised in a live model."""
    parameters, heads = list(model.module.parameters()), list(model.heads)
    outputs = {"measured output": heads[0], "all outputs": heads} if len(heads) > 1 else {}
    says = {"predicts": model.predicts} if model.predicts else {}
    unseen = len({*model.blocks} - {*model.hooked_sites})
    observed = [*model.sites, *([f"not those of {unseen} other blocks"] if unseen else [])]
    return ModelRecord(
        name=name,
        family=model.family,
        parameters=sum(parameter.numel() for parameter in parameters),
        dtypes=tuple(sorted({str(p.dtype).removeprefix("torch.") for p in parameters})),
        plan={
            "module": type(model.module).__name__,
            "vocabulary": model.vocab_size,
            "embedding": model.embedding,
            "mixers": list(dict.fromkeys(f"{m.path or '(root)'}: {m.kind}" for m in model.kinds)),
            "states": observed,
            **outputs,
            **says,
            "reads": "the past only" if model.causal else "both directions",
            "time first": model.time_first,
        },
    )
