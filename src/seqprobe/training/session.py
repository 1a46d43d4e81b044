"""Probes attached to a training loop: what its own passes show, and a few extra ones."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn

from seqprobe.contracts import Finding, Observation, Probe
from seqprobe.models.own_passes import OwnPasses
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.runner.registry import chosen
from seqprobe.training.entry import Entry, Logger
from seqprobe.training.measuring import UNSEEN, Measuring, needs, of_the_loop
from seqprobe.training.schedule import OFTEN, schedule
from seqprobe.training.trained import trained, watches

PATIENCE = 3
DEFAULT = ("loss-gradient", "states", "heads", "gradient-decay")
_log = logging.getLogger("seqprobe")


def attach(
    model: nn.Module | SequenceModel,
    probes: Sequence[str | Probe] = DEFAULT,
    *,
    every: int | Mapping[str, int] = OFTEN,
    loggers: Sequence[Logger] = (),
    held_out: Tensor | None = None,
    distance: int | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    patience: int = PATIENCE,
    scaler: torch.amp.GradScaler | None = None,
    start: int = 0,
    seed: int = 0,
) -> "Session":
    """Watch a model while it trains; the training itself stays the same, bit for bit.

    Call `session.step()` after every optimizer step. Probes of the loop's own passes
    (`loss-gradient`, `states`, `heads`) need no pass of their own; all others run extra passes on a
    batch that stays the same. Where several processes train one model, the first one watches.

    Args:
        model: the module that trains, as it is before `torch.compile`; a `SequenceModel` of it
            where the number of tokens or features has to be said.
        probes: ids as in `seqprobe probe list`, or probes with parameters of their own.
        every: updates between two measurements, of all checks or by id (100 for the others).
        loggers: each is called with every `Entry`.
        held_out: inputs (batch, time) or (batch, time, features) for extra passes; without it the
            first batch of the training.
        distance: the distance that the task needs, in steps; at most half the length by default.
        on_finding: called with every early warning; it may raise to end the training. Without it
            warnings go to the logger `seqprobe` of Python.
        patience: how many measurements in a row have to agree before a warning is given.
        scaler: of the gradients, so that their true values can be told.
        start: updates done before, when a training goes on.
        seed: of every random draw; the generators of the training are left alone.

    Raises:
        SeqProbeError: one line that says what is wrong and what to do.

    Example:
        >>> from seqprobe.reference import zoo
        >>> with attach(zoo.leaky(0.9, 4), every=10) as session:
        ...     session.step()
        >>> session.updates
        1
    """
    watched = trained(model)
    asked = [each if isinstance(each, Probe) else chosen([each])[0] for each in probes]
    measuring = partial(
        Measuring,
        watched,
        asked,
        every=schedule(every, [probe.id for probe in asked]),
        distance=distance,
        patience=patience,
        start=start,
        seed=seed,
    )
    own = [needs(probe) for probe in asked if of_the_loop(probe)]
    passes = OwnPasses(watched, own, scaler)
    return Session(measuring, passes, loggers, held_out, on_finding or _warn, start)


class Session:
    """What `attach` gives: a context manager, and a handle with `step` and `remove`.

    `updates` counts the optimizer steps, those before the session included. An entry of step n
    belongs to the weights after n updates.
    """

    def __init__(
        self,
        measuring_on: Callable[..., Measuring],
        passes: OwnPasses,
        loggers: Sequence[Logger],
        held_out: Tensor | None,
        on_finding: Callable[[Finding], None],
        start: int,
    ) -> None:
        self.updates, self._passes = start, passes
        self._loggers, self._on_finding = list(loggers), on_finding
        self._measuring: Measuring | None = None
        self._measuring_on = measuring_on  # a batch, once there is one
        self._watching = watches()
        if self._watching and held_out is not None:
            self._settle(held_out, "held out")
        if self._watching:
            self._passes.arm()

    def step(self) -> None:
        """Count one update of the weights; call it after every optimizer step."""
        if self._passes.armed:
            self._look(self._passes.taken())
        self.updates += 1
        if self._watching and self._measuring is not None:
            self._tell(self._measuring.extra(self.updates))
            if self._measuring.due(self.updates, own=True):
                self._passes.arm()

    def remove(self) -> None:
        """Take all hooks off the model, and close the loggers."""
        self._watching = False
        self._passes.remove()
        for logger in self._loggers:
            _close(logger)
        self._loggers = []

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.remove()

    def _look(self, observations: Sequence[Observation]) -> None:
        """The passes of the weights as they were before this update."""
        if self._measuring is None and observations:
            self._settle(observations[0].inputs, "first batch of the training")
        if self._measuring is None:
            _log.warning("step %d: %s", self.updates, UNSEEN)
            self._passes.arm()
        else:
            self._tell(self._measuring.own(observations, self.updates))

    def _settle(self, batch: Tensor, name: str) -> None:
        self._measuring = self._measuring_on(batch, name=name)
        self._tell(self._measuring.extra(self.updates))

    def _tell(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for logger in tuple(self._loggers):
                self._log(logger, entry)
            for finding in entry.findings:
                self._on_finding(finding)

    def _log(self, logger: Logger, entry: Entry) -> None:
        """A logger that fails is dropped: it may not end a training."""
        try:
            logger(entry)
        except Exception as error:
            self._loggers.remove(logger)
            name = getattr(logger, "__name__", type(logger).__name__)
            _log.warning("logger %s gets no more entries, because of %r", name, error)


def _close(logger: Logger) -> None:
    close = getattr(logger, "close", None)
    if callable(close):
        close()


def _warn(finding: Finding) -> None:
    _log.warning("%s %s", finding.statement, finding.remedy)
