"""Checkpoints that other projects' own training scripts write, analysed with a text file alone.

Trains small models with the scripts as they are, on the help texts of this Python, and gives what
they saved to `seqprobe analyze`. The scripts are not part of this project; clone them first:

    git clone https://github.com/karpathy/nanoGPT
    git clone https://github.com/pytorch/examples
    pip install lightning requests

Usage: python benchmarks/originals.py NANOGPT EXAMPLES [OUTPUT_FOLDER]
"""

import json
import os
import pydoc_data.topics
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

SEQPROBE = [sys.executable, "-m", "seqprobe"]
PROBES = ("gradient-decay", "path-length")
LIGHTNING = """
    import lightning as L
    import torch
    from torch import nn

    text = open("text.txt", encoding="utf-8").read()
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    data = torch.tensor([numbers[character] for character in text])

    class Characters(nn.Module):
        def __init__(self, vocab_size, hidden, layers):
            super().__init__()
            self.embed = nn.Embedding(vocab_size, hidden)
            self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True, dropout=0.1)
            self.fc = nn.Linear(hidden, vocab_size)

        def forward(self, tokens):
            return self.fc(self.lstm(self.embed(tokens))[0])

    class Task(L.LightningModule):
        def __init__(self, vocab_size, hidden=64, layers=2, lr=4e-3):
            super().__init__()
            self.save_hyperparameters()
            self.model = Characters(vocab_size, hidden, layers)
            self.loss = nn.CrossEntropyLoss()

        def training_step(self, batch, _):
            inputs, targets = batch
            return self.loss(self.model(inputs).flatten(0, 1), targets.flatten())

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), self.hparams.lr)

    class Windows(torch.utils.data.Dataset):
        def __len__(self):
            return 6400

        def __getitem__(self, _):
            start = int(torch.randint(int(0.9 * len(data)) - 65, ()))
            return data[start : start + 64], data[start + 1 : start + 65]

    trainer = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.fit(Task(len(numbers)), torch.utils.data.DataLoader(Windows(), batch_size=16))
"""


@dataclass(frozen=True)
class Original:
    """A training script, and what it leaves behind; `texts` are written before it runs."""

    name: str
    source: Path | None
    commands: tuple[tuple[str, ...], ...]
    texts: Mapping[str, str]
    checkpoint: str
    data: str


def originals(nanogpt: Path, examples: Path) -> list[Original]:
    """The scripts with the settings of a few minutes on a CPU."""
    text = "\n".join(topic for _, topic in sorted(pydoc_data.topics.topics.items()))
    lines = text.splitlines(keepends=True)
    ninth, tenth = (len(lines) * part // 10 for part in (8, 9))
    words = {
        "data/help/train.txt": "".join(lines[:ninth]),
        "data/help/valid.txt": "".join(lines[ninth:tenth]),
        "data/help/test.txt": "".join(lines[tenth:]),
    }
    language = ("--data", "data/help", "--nlayers", "2", "--dropout", "0.2")
    return [
        Original(
            "nanoGPT train.py",
            nanogpt,
            (
                ("data/shakespeare_char/prepare.py",),
                ("train.py", "config/train_shakespeare_char.py", "--device=cpu", "--dropout=0.0",
                 "--compile=False", "--eval_iters=20", "--block_size=64", "--batch_size=12",
                 "--n_layer=4", "--n_head=4", "--n_embd=128", "--max_iters=1500",
                 "--lr_decay_iters=1500", "--eval_interval=500"),
            ),
            {"data/shakespeare_char/input.txt": text},
            "out-shakespeare-char/ckpt.pt",
            "data/shakespeare_char/input.txt",
        ),
        Original(
            "word_language_model main.py, LSTM",
            examples / "word_language_model",
            (("main.py", *language, "--emsize", "128", "--nhid", "128", "--epochs", "12",
              "--tied", "--save", "model.pt"),),
            words,
            "model.pt",
            "data/help/test.txt",
        ),
        Original(
            "word_language_model main.py, Transformer",
            examples / "word_language_model",
            (("main.py", *language, "--model", "Transformer", "--emsize", "64", "--nhid", "128",
              "--nhead", "4", "--lr", "3", "--epochs", "12", "--save", "model.pt"),),
            words,
            "model.pt",
            "data/help/test.txt",
        ),
        Original(
            "Lightning Trainer.fit",
            None,
            (("train.py",),),
            {"train.py": dedent(LIGHTNING), "text.txt": text},
            "checkpoints/*.ckpt",
            "text.txt",
        ),
    ]  # fmt: skip


def trained(original: Original, folder: Path) -> Path:
    """Run the script in a copy of its folder, unless it was run there; returns the checkpoint."""
    if existing := sorted(folder.glob(original.checkpoint)):
        return existing[0]
    if original.source:
        shutil.copytree(original.source, folder, ignore=shutil.ignore_patterns(".git"))
    for name, text in original.texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for command in original.commands:
        subprocess.run(
            [sys.executable, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    return next(folder.glob(original.checkpoint))


def analysed(checkpoint: Path, data: Path) -> dict:
    """The report of the checkpoint with a text file alone."""
    report = checkpoint.with_suffix(".html")
    limits = [word for probe in PROBES for word in ("--probe", probe)]
    command = [*SEQPROBE, "analyze", str(checkpoint), "--data", str(data), "-o", str(report)]
    subprocess.run(
        [*command, *limits, "--limit", "8"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        cwd=checkpoint.parent,
    )
    found: dict = json.loads(report.with_suffix(".json").read_text())
    return found


def show(name: str, report: Mapping) -> None:
    """What was recognised, and how we know that it is the model."""
    model = report["model"]
    print(f"\n## {name}\n")
    print(f"{model['container']}, {model['layout']}, {model['parameters']:,} parameters; text as")
    print(f"{report['data']['tokenizer']}.\n")
    for step in model["verification"]:
        value = f": {step['value']}" if step["value"] else ""
        against = f" (compared with {step['reference']})" if step["reference"] else ""
        print(f"- {step['status']}: {step['step']}{value}{against}")
    for taken in model["assumptions"]:
        others = ", ".join(taken["alternatives"])
        margin = f" by {taken['margin']:.4f}, z = {taken['z']:.1f}" if taken["margin"] else ""
        print(f"- {taken['name']} = {taken['value']} ({taken['decided_by']})"
              + (f"; {taken['alternatives_are']}: {others}{margin}" if others else ""))  # fmt: skip


def main(nanogpt: Path, examples: Path, output: Path) -> None:
    """Train, analyse and print."""
    print("# Checkpoints of other projects' own training scripts")
    print("\n`python benchmarks/originals.py NANOGPT EXAMPLES` printed this.")
    for number, original in enumerate(originals(nanogpt, examples)):
        folder = output / str(number)
        checkpoint = trained(original, folder)
        show(original.name, analysed(checkpoint, folder / original.data))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    place = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp())
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), place.resolve())
