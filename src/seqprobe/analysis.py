"""The main job: one model in, one report out; or several, side by side."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqprobe.assembly import assemble
from seqprobe.checkpoints.fetch import nonfinite
from seqprobe.checkpoints.load import Given, Loaded, describe, finite
from seqprobe.checkpoints.load import load as load_checkpoint
from seqprobe.checkpoints.one_training import OneTraining, one_training
from seqprobe.checkpoints.settle import TOKENIZER, Task
from seqprobe.contracts import Baseline, Probe
from seqprobe.contracts import Stream as StreamName
from seqprobe.diagnosis.case import Demands
from seqprobe.diagnosis.comparison import over_steps, place_of, side_by_side
from seqprobe.diagnosis.demands import demands
from seqprobe.errors import ModelError, UsageError
from seqprobe.estimators.information import Effort
from seqprobe.fingerprint import fingerprint
from seqprobe.models.calling import is_out_of_memory
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.names import distinct
from seqprobe.report import Comparison, Report
from seqprobe.runner.forecast import Forecast, forecast
from seqprobe.runner.journal import Journal, Pages
from seqprobe.runner.plan import plan
from seqprobe.runner.ranks import ALONE, Ranks
from seqprobe.runner.registry import chosen
from seqprobe.runner.run import Progress, Run, refused, run, silent
from seqprobe.sequences.choose import alphabet_of, independent, noise_for, stream_for
from seqprobe.sequences.streams import IidStream, NoiseStream, SampledStream, Stream

LENGTH, DISTANCE, SHORTEST = 256, 100, 16

Analysable = SequenceModel | nn.Module | str | Path


@dataclass(frozen=True)
class Request:
    """What the user asks for, apart from the model.

    `data`: a text file or folder, `stdlib`, `synthetic:iid`, `synthetic:copy`, or None for the
    task that a reference checkpoint says it was trained on, or text that the model itself writes;
    series of numbers for models of real values. `tokenizer`: of the
    text: bytes, char, word, ints, hf, a vocabulary file, or None for what fits the model.
    `probes`: ids, or None for all. `distance`: the distance that matters to the user. `length`:
    of the sequences; None for the longest useful one that the model takes. `limit`: sequences per
    probe, in place of each probe's own number. `precision`, `exact`, `effort` and `attribution`
    go to the probes that know them. `need`: what the model has to be fit for, such as
    `length=8192`, `streaming`, `memory=2GiB`. For checkpoints: `device`, `dtype`, and what their
    file does not say, as in `seqprobe.checkpoints.load.Given`. `command` is kept in the report.
    """

    data: str | None = None
    tokenizer: str | None = None
    probes: tuple[str, ...] | None = None
    distance: int | None = None
    length: int | None = None
    limit: int | None = None
    precision: float = 0.05
    exact: bool = False
    effort: Effort = "ensemble"
    attribution: str | None = None
    need: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    task: Task | None = None
    factory: str | None = None
    settings: Mapping[str, Any] | None = None
    weights: str | None = None
    assume_defaults: bool = False
    command: tuple[str, ...] = ()


def load(path: str | Path, **request: Any) -> SequenceModel:
    """The model in a checkpoint.

    Args:
        path: of the file or folder.
        **request: the fields of `Request` that are for checkpoints, such as `device`, `factory`,
            `settings`, and `data` to find out by what the file does not say.

    Raises:
        SeqProbeError: one line that says what is wrong and what to do.
    """
    loaded = _loaded(path, Request(**request))
    if loaded.obstacle:
        raise ModelError("nothing can be measured", where=Path(path).name, got=loaded.obstacle)
    return loaded.model


def analyze(
    model: Analysable,
    *,
    progress: Progress = silent,
    announce: Callable[[Forecast], None] | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    **request: Any,
) -> Report:
    """Measure one model.

    Args:
        model: a checkpoint's path, a live `nn.Module`, or a `SequenceModel`.
        progress: called with a label, and how many of how many sequences are done.
        announce: called before anything is measured, with what that will take; fitting decoders
            comes on top of its time.
        journal: a folder to keep finished batches in, until somebody removes it; nothing is
            written without one.
        resume: go on from what the journal holds, if there is anything.
        ranks: the processes that share the work, as `seqprobe.runner.torchrun.joined` gives them;
            each calls this in the same way and gets the same report. This process alone
            otherwise, whatever torch.distributed is used for around it.
        **request: the fields of `Request`: data, tokenizer, probes, distance, length, limit,
            precision, exact, effort, attribution, need, seed, and for checkpoints device, dtype,
            task, factory, settings, weights, assume_defaults.

    Raises:
        SeqProbeError: one line that says what is wrong and what to do.

    Example:
        >>> from seqprobe.reference import zoo
        >>> report = analyze(zoo.memoryless(), data="synthetic:iid", length=64, limit=8)
        >>> report["gradient-decay"].headline
        'No gradient arrives from any input before the present one.'
    """
    asked = Request(**request)
    analysis = _Analysis(_loaded(model, asked), asked)
    kept = _journal([analysis], journal, resume, ranks)
    if announce and ranks.first and not analysis.loaded.obstacle:
        announce(forecast(analysis.model, analysis.passes, ranks.size))
    with kept.tidied() if ranks.first else nullcontext():
        return analysis.report(progress, ranks, partial(kept.of_pass, 0))


def compare(
    *models: Analysable,
    progress: Progress = silent,
    journal: str | Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    baseline: str | None = None,
    **request: Any,
) -> Comparison:
    """Measure several models in the same way; arguments as for `analyze`.

    One folder with the checkpoints of a training is measured over its steps, on the same sequences.
    Differences are those from `baseline`, a file's name; from the first model without one.
    """
    asked = Request(**request)
    training = _one_training(models)
    loaded = _of_one(training, asked) if training else [_loaded(model, asked) for model in models]
    place_of(baseline, distinct(each.record.name for each in loaded[: 1 if training else None]))

    def part(index: int) -> Progress:
        def show(label: str, done: int, total: int) -> None:
            name = loaded[index].record.name
            progress(f"{name}: {label}", index * total + done, len(loaded) * total)

        return show

    analyses = _alike(loaded, asked) if training else [_Analysis(each, asked) for each in loaded]
    kept = _journal(analyses, journal, resume, ranks)
    with kept.tidied() if ranks.first else nullcontext():
        reports = [
            each.report(part(index), ranks, partial(kept.of_pass, index))
            for index, each in enumerate(analyses)
        ]
    return over_steps(reports, training.steps) if training else side_by_side(reports, baseline)


def _loaded(model: Analysable, asked: Request) -> Loaded:
    if isinstance(model, str | Path):
        said = {field.name: getattr(asked, field.name) for field in fields(Given)}
        return load_checkpoint(model, Given(**said))
    return _alive(model if isinstance(model, SequenceModel) else SequenceModel(model))


def _alive(model: SequenceModel) -> Loaded:
    """A live model; outputs may be infinite on purpose, but not where weights are."""
    weights = dict(model.module.named_parameters())
    bad, name, obstacle = nonfinite(weights), type(model.module).__name__, ""
    if bad:
        model, obstacle = finite(model, bad, len(weights))
    return Loaded(model, replace(describe(model, name), nonfinite=bad), obstacle=obstacle)


def _journal(
    analyses: Sequence["_Analysis"], folder: str | Path | None, resume: bool, ranks: Ranks
) -> Journal:
    """The first process looks after it; the others only put their batches into the folder."""
    if folder is None or not ranks.first:
        return Journal(None if folder is None else Path(folder))
    started = [analysis.fingerprint() for analysis in analyses]
    return Journal.opened(Path(folder), started, resume=resume)


def _one_training(models: Sequence[Analysable]) -> OneTraining | None:
    paths = [Path(model) for model in models if isinstance(model, str | Path)]
    return one_training(paths[0]) if len(models) == len(paths) == 1 else None


def _of_one(training: OneTraining, asked: Request) -> list[Loaded]:
    """What the data say about the last one holds for all: one that has learned nothing yet would
    be refused, or be taken for another model.
    """
    last = _loaded(training.paths[-1], asked)
    decided = {
        each.name: each.setting
        for each in last.record.assumptions
        if each.decided_by in ("likelihood", "default") and each.name != TOKENIZER
    }
    same = replace(asked, data=None, settings={**(asked.settings or {}), **decided})
    earlier = [_loaded(path, same) for path in training.paths[:-1]]
    assumptions = last.record.assumptions
    return [
        *(replace(each, record=replace(each.record, assumptions=assumptions)) for each in earlier),
        last,
    ]


def _alike(loaded: Sequence[Loaded], asked: Request) -> list["_Analysis"]:
    """All read what the last one reads: the data, or text that it writes itself."""
    last = _Analysis(loaded[-1], asked)
    if isinstance(last.data, SampledStream):
        last.data = replace(last.data, source=f"text sampled from {last.record.name}")
    return [*(_Analysis(each, asked, last.data) for each in loaded[:-1]), last]


def _without_a_loop(probe: Probe) -> Probe:
    if probe.needs.stream == "loop":
        raise UsageError(
            f"probe {probe.id!r} sees the passes of a training loop, and there is none here",
            do="Use seqprobe.attach(model, ...) in the loop.",
        )
    return probe


def _of_whole_images(stream: Stream, grid: tuple[int, int] | None) -> Stream:
    """Windows of longer series would begin anywhere on an image."""
    if grid is None or stream.longest in (None, math.prod(grid)):
        return stream
    raise UsageError(
        "the sequences are not the images of the grid",
        where=stream.source,
        got=f"{stream.longest} steps",
        expected=f"{grid[0]} x {grid[1]} = {math.prod(grid)} patches in each",
        do="Give the patches of one image per sequence: .npy of (images, patches, features).",
    )


class _Analysis:
    """One model and one request, settled: how long, how far, on what."""

    def __init__(self, loaded: Loaded, asked: Request, data: Stream | None = None) -> None:
        self.loaded, self.asked = loaded, asked
        self.model, self.record = loaded.model, loaded.record
        self.source = asked.data or loaded.data
        self.needed = demands(asked.need)  # a wrong one is refused at once
        self.length = self._settled_length()
        self.distance = asked.distance or min(DISTANCE, self.length // 2 - 1)
        probes = [_without_a_loop(self._built(probe)) for probe in chosen(asked.probes)]
        self.order = [probe.id for probe in probes]
        self.data = self._data(probes) if data is None else data
        self.alphabet = alphabet_of(self.data)
        self.passes = plan(
            probes,
            self.length,
            asked.limit,
            self._baselines(),
            whole=self.model.grid is not None,
            usual=self.length,
        )

    def _built(self, probe: type[Probe]) -> Probe:
        """With whatever of the request the probe has a field for."""
        known = {field.name for field in fields(probe)} & {field.name for field in fields(Request)}
        given = {name: getattr(self.asked, name) for name in known}
        return probe(**{**given, "distance": self.distance})

    def _baselines(self) -> tuple[Baseline, ...]:
        """Independent inputs and the data are the same where the data are independent."""
        independent = isinstance(self.data, IidStream | NoiseStream)
        return ("untrained",) if independent else ("untrained", "iid", "data")

    def _settled_length(self) -> int:
        """What was asked for; else the longest useful length that the model takes."""
        asked = self.asked
        if self.model.grid:
            return self._whole_image(self.model.grid)
        wanted = asked.length or max(self._usual_length(), 2 * (asked.distance or 0) + 2)
        if wanted < SHORTEST or (asked.distance or 0) >= wanted:
            raise UsageError(
                "the sequences are too short for what is asked",
                got=f"length {wanted} and distance {asked.distance or DISTANCE}",
                expected=f"a length of at least {SHORTEST}, and above the distance",
                do="Raise --length or lower --distance.",
            )
        while True:
            try:
                self.model(self.model.example(1, wanted))
            except ModelError:
                if asked.length or wanted // 2 < SHORTEST:
                    raise
                wanted //= 2
                if wanted <= (asked.distance or 0):
                    raise
            else:
                return wanted

    def _usual_length(self) -> int:
        """A task that its file tells has an end."""
        trained = self.model.trained_length
        return min(LENGTH, trained) if trained and self.source != self.asked.data else LENGTH

    def _whole_image(self, grid: tuple[int, int]) -> int:
        """Its patches; a grid has no other length."""
        asked, patches = self.asked, math.prod(grid)
        if asked.length in (None, patches) and SHORTEST <= patches > (asked.distance or 0):
            return patches
        raise UsageError(
            "the grid does not fit what is asked",
            got=f"length {asked.length or patches}, distance {asked.distance or 'not given'} and "
            f"{grid[0]} x {grid[1]} = {patches} patches",
            expected=f"at least {SHORTEST} patches, no other length, and a smaller distance",
            do="Leave --length out, or give the grid of the patches.",
        )

    def _data(self, probes: list[Probe]) -> Stream:
        asked, model = self.asked, self.model
        if model.features:
            stream = noise_for(asked.data, model.features, model.dtype, asked.seed)
            return _of_whole_images(stream, model.grid)
        assert model.vocab_size is not None
        if self.loaded.obstacle:  # it cannot write a text of its own
            return IidStream(torch.arange(model.vocab_size), model.vocab_size, asked.seed)
        if self.loaded.stream:
            return self.loaded.stream
        return stream_for(
            self.source,
            lambda tokens: model(tokens.to(model.device)),
            vocab_size=model.vocab_size,
            sequences=asked.limit or max((p.needs.sequences for p in probes), default=1),
            length=self.length,
            seed=asked.seed,
            tokenizer=asked.tokenizer,
        )

    def _demands(self) -> Demands:
        """What the user needs, and whether the model takes the length."""
        needed = self.needed
        if needed.length is None or needed.length <= self.length:
            return needed
        try:
            self.model(self.model.example(1, needed.length))
        except ModelError as error:
            return replace(needed, refused=str(error).removesuffix(f" {error.do}").rstrip("."))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return replace(needed, refused="it runs out of memory on this device")
        return needed

    def fingerprint(self) -> dict[str, str]:
        """What decides the numbers."""
        return fingerprint(self.model, self.record, self.data, self.passes, self.asked)

    def report(self, progress: Progress, ranks: Ranks, pages: Callable[[int], Pages]) -> Report:
        """The same one in every process."""
        started = time.monotonic()
        symbols = independent(
            self.alphabet,
            vocab_size=self.model.vocab_size,
            features=self.model.features,
            dtype=self.model.dtype,
            seed=self.asked.seed,
        )
        sources: dict[StreamName, Stream] = {"data": self.data, "iid": symbols}
        if self.loaded.obstacle:
            result = refused(self.passes, self.loaded.obstacle)
        else:
            result = run(self.model, self.passes, sources, self.alphabet, progress, ranks, pages)
        return ranks.told(Report, partial(self._assembled, result, started))

    def _assembled(self, result: Run, started: float) -> Report:
        result.outcomes.sort(key=lambda outcome: self.order.index(outcome.probe.id))
        return assemble(
            self.model,
            self.record,
            self.data,
            result,
            distance=self.distance,
            length=self.length,
            seed=self.asked.seed,
            command=self.asked.command,
            seconds=time.monotonic() - started,
            demands=self._demands(),
        )
