"""Train a reference model: deterministic by seed, resumable, the recipe kept in the file."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.atomic import replacing
from seqprobe.errors import FileError, UsageError
from seqprobe.reference.card import Trained, card_of
from seqprobe.reference.held_out import held_out_bits, placed
from seqprobe.reference.language_models import RECURRENT, Kind, build, width_for
from seqprobe.reference.recipe import Recipe, learning_rate
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import IGNORED, Task, task_named

FORMAT = "seqprobe.reference/1"
SAVE_SECONDS = 30.0
CHECKS, CHECKED = 20, 64
SAVED = ("recipe", "step", "seconds", "checked", "best_step", "best", "model", "optimizer")
SHOWN_ON_GPU = 20
"""Steps; every look at a loss there waits for all that was asked of the GPU before it."""


def train(
    recipe: Recipe, output: Path, device: torch.device, progress: Callable[[int, float], None]
) -> dict[str, Any]:
    """Train, write the checkpoint and its card beside it, and return the card.

    An interrupted run leaves `output` with the ending `.partial`; the same call continues it.
    It is written every half minute too, so that little is lost when the process is killed.
    `progress` is called with the number of a step and its training loss in bits: after every step
    on the CPU, after every twentieth and the last one on a GPU.

    The weights are those of the last step. The card says besides how good they were at the best of
    twenty steps, by the loss on 64 of the held-out sequences: chosen by what they are measured on,
    such weights are not what is written.

    Raises:
        UsageError: the output's name is the card's, or the run to continue had another recipe.
        FileError: the text or the interrupted run cannot be read.
    """
    if output.suffix == ".json":
        raise UsageError(
            "the checkpoint would have the name of its card", got=output.name, do="Name it .pt."
        )
    task = task_named(
        recipe.data,
        context=recipe.context,
        distance=recipe.distance,
        shortest=recipe.shortest,
        share=recipe.share,
    )
    run = _Run(recipe, task, device)
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        run.load(partial)
    saved, every = time.monotonic(), 1 if device.type == "cpu" else SHOWN_ON_GPU
    try:
        while run.step < recipe.steps:
            with _uninterrupted():
                loss = run.update()
            if run.step % every == 0 or run.step == recipe.steps:
                progress(run.step, loss.item())
            if time.monotonic() - saved >= SAVE_SECONDS:
                run.save(partial)
                saved = time.monotonic()
    except KeyboardInterrupt:
        run.save(partial)
        raise
    card = _publish(run, output)
    partial.unlink(missing_ok=True)
    return card


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the step is whole, so that what is saved is a state between steps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


class _Run:
    """The state of one training run; what `.partial` files hold."""

    def __init__(self, recipe: Recipe, task: Task, device: torch.device) -> None:
        self.recipe, self.task, self.device = recipe, task, device
        torch.manual_seed(recipe.seed)
        self.architecture = _architecture(recipe, task)
        self.model = build(**self.architecture).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.precision = precision(recipe.kind, device)
        self.step, self.started = 0, time.monotonic()
        self.checks = {recipe.steps * number // CHECKS for number in range(1, CHECKS + 1)}
        self.checked: list[tuple[int, float]] = []
        self.best_step, self.best = 0, _copied(self.model)

    @property
    def seconds(self) -> float:
        """Since the first step; pauses of interrupted runs left out."""
        return time.monotonic() - self.started

    def update(self) -> Tensor:
        """One optimizer step; the batch is a function of the seed and the step number alone."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        loss = self._loss()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.step += 1
        if self.step in self.checks:
            self._check()
        return loss.detach()

    def _check(self) -> None:
        bits = held_out_bits(self.model, self.task, CHECKED, self.device)
        if all(bits < earlier for _, earlier in self.checked):
            self.best_step, self.best = self.step, _copied(self.model)
        self.checked.append((self.step, bits))

    def _loss(self) -> Tensor:
        """Mean bits of the targets that are asked for."""
        batch = self.task.batch(self.recipe.batch, generator(self.recipe.seed, self.step))
        inputs, targets = placed(batch, self.device)
        half = self.precision == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            logits = self.model(inputs).flatten(0, 1).float()
        return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED) / math.log(2)

    def save(self, path: Path) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "checked": self.checked,
            "best_step": self.best_step,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        state = _read_partial(path, self.device)
        if state["recipe"] != asdict(self.recipe):
            raise UsageError(
                "the interrupted run used another recipe",
                where=path.name,
                got=_differences(state["recipe"], asdict(self.recipe)),
                expected="the recipe it was started with",
                do="Repeat the first command to continue, or delete the file to start anew.",
            )
        self.step, self.checked = state["step"], state["checked"]
        self.best_step, self.best = state["best_step"], state["best"]
        self.started = time.monotonic() - state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half().cpu() for name, tensor in weights.items()}


def _read_partial(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        return {name: state[name] for name in SAVED}
    except Exception as error:
        raise FileError(
            "the interrupted run cannot be read",
            where=path.name,
            got=type(error).__name__,
            expected="a file that `seqprobe train` left when interrupted",
            do="Delete it to start anew.",
        ) from error


def precision(kind: Kind, device: torch.device) -> torch.dtype:
    """Of the products in training; weights and gradients are in float32.

    On a GPU `nn.LSTM`, `nn.GRU` and `nn.RNN` stay in float32 too: under autocast they would run in
    float16 whatever was asked for, and lose gradients that are small.
    """
    half = device.type == "cuda" and kind not in RECURRENT
    return torch.bfloat16 if half else torch.float32


def _architecture(recipe: Recipe, task: Task) -> dict[str, Any]:
    shape = {
        "vocab_size": task.vocab_size,
        "layers": recipe.layers,
        "heads": recipe.heads,
        "context": task.context,
    }
    width = width_for(recipe.kind, recipe.parameters, **shape)
    return {"kind": recipe.kind, "width": width, **shape}


def _publish(run: _Run, output: Path) -> dict[str, Any]:
    """Write weights in half precision with the card, which is measured on what is written."""
    seconds, weights = run.seconds, _halved(run.model.state_dict())
    run.model.load_state_dict(weights)
    trained = Trained(
        run.recipe,
        run.task,
        run.architecture,
        run.model,
        run.best_step,
        _halved(run.best),
        run.checked,
        run.device,
        run.precision,
        seconds,
    )
    card = card_of(trained, output.name)
    contents = {
        "format": FORMAT,
        "architecture": run.architecture,
        "card": card,
        "state_dict": weights,
    }
    with replacing(output) as temporary:
        torch.save(contents, temporary)
    with replacing(output.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n")
    return card


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(f"{k}={old.get(k)} then, {new[k]} now" for k in new if old.get(k) != new[k])
