"""Train a reference model: deterministic by seed, resumable, the recipe kept in the file."""

import json
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from seqprobe.atomic import replacing
from seqprobe.errors import FileError, UsageError
from seqprobe.estimators.ngram import ngram_bits
from seqprobe.reference.language_models import build, width_for
from seqprobe.reference.recipe import Recipe, command, learning_rate
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import IGNORED, Batch, NextByte, Task, task_named

FORMAT = "seqprobe.reference/1"
SAVE_EVERY = 200
HELD_OUT_SEQUENCES = 1024


def train(
    recipe: Recipe, output: Path, device: torch.device, progress: Callable[[int, float], None]
) -> dict[str, Any]:
    """Train, write the checkpoint and its card beside it, and return the card.

    An interrupted run leaves `output` with the ending `.partial`; the same call continues it.
    `progress` is called after every step with its number and the training loss in bits.

    Raises:
        UsageError: the output's name is the card's, or the run to continue had another recipe.
        FileError: the text or the interrupted run cannot be read.
    """
    if output.suffix == ".json":
        raise UsageError(
            "the checkpoint would have the name of its card", got=output.name, do="Name it .pt."
        )
    task = task_named(recipe.data, context=recipe.context, distance=recipe.distance)
    run = _Run(recipe, task, device)
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        run.load(partial)
    try:
        while run.step < recipe.steps:
            with _uninterrupted():
                loss = run.update()
            progress(run.step, loss)
            if run.step % SAVE_EVERY == 0:
                run.save(partial)
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
        self.step, self.seconds = 0, 0.0

    def update(self) -> float:
        """One optimizer step; the batch is a function of the seed and the step number alone."""
        started = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        batch = self.task.batch(self.recipe.batch, generator(self.recipe.seed, self.step))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = _token_bits(self.model, batch, self.device).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.monotonic() - started
        return loss.item()

    def save(self, path: Path) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
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
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def _read_partial(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        return {name: state[name] for name in ("recipe", "step", "seconds", "model", "optimizer")}
    except Exception as error:
        raise FileError(
            "the interrupted run cannot be read",
            where=path.name,
            got=type(error).__name__,
            expected="a file that `seqprobe train` left when interrupted",
            do="Delete it to start anew.",
        ) from error


def _architecture(recipe: Recipe, task: Task) -> dict[str, Any]:
    shape = {
        "vocab_size": task.vocab_size,
        "layers": recipe.layers,
        "heads": recipe.heads,
        "context": task.context,
    }
    width = width_for(recipe.kind, recipe.parameters, **shape)
    return {"kind": recipe.kind, "width": width, **shape}


def _token_bits(model: nn.Module, batch: Batch, device: torch.device) -> torch.Tensor:
    inputs, targets = (part.to(device) for part in batch)
    logits = model(inputs).flatten(0, 1).float()
    kept = targets.flatten() != IGNORED
    return F.cross_entropy(logits[kept], targets.flatten()[kept], reduction="none") / math.log(2)


@torch.no_grad()
def held_out_bits(model: nn.Module, task: Task, device: torch.device) -> float:
    """Mean bits per predicted token on sequences that training never saw."""
    model.eval()
    inputs, targets = task.held_out(HELD_OUT_SEQUENCES)
    batches = zip(inputs.split(32), targets.split(32), strict=True)
    return torch.cat([_token_bits(model, batch, device) for batch in batches]).mean().item()


def _publish(run: _Run, output: Path) -> dict[str, Any]:
    """Write weights in half precision with the card, which is measured on what is written."""
    weights = {name: tensor.half().cpu() for name, tensor in run.model.state_dict().items()}
    run.model.load_state_dict(weights)
    card = _card(run, output.name)
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


def _card(run: _Run, name: str) -> dict[str, Any]:
    task = run.task
    recipe = replace(run.recipe, data=Path(run.recipe.data).name)  # no folders of the user's
    card: dict[str, Any] = {
        "name": Path(name).stem,
        "command": command(recipe, name),
        "recipe": asdict(recipe),
        "architecture": run.architecture,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "tokens": recipe.steps * recipe.batch * task.context,
        "held_out_bits": round(held_out_bits(run.model, task, run.device), 4),
        "held_out_sequences": HELD_OUT_SEQUENCES,
        "hardware": _hardware(run.device),
        "torch": str(torch.__version__),
        "seconds": round(run.seconds),
    }
    if isinstance(task, NextByte):
        card["corpus"] = {"source": task.corpus.source, "sha256": task.corpus.sha256}
        card["python"] = platform.python_version()
        card["trigram_bits"] = round(_trigram_bits(task), 4)
    return card


def _trigram_bits(task: NextByte) -> float:
    """The byte trigram of the same training text on the same held-out targets."""
    inputs, targets = task.held_out(HELD_OUT_SEQUENCES)
    windows = torch.cat([inputs, targets[:, -1:]], dim=1).byte().numpy()
    return float(ngram_bits(task.corpus.train.numpy(), windows).mean())


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(f"{k}={old.get(k)} then, {new[k]} now" for k in new if old.get(k) != new[k])
