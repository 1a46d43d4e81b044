"""Throw mutated checkpoints at all that `seqprobe inspect` does, guided by what they reach.

Seeds are small files of torch.save in all its forms, of safetensors and of pickle. atheris
(libFuzzer) mutates them; the first byte of an input says what the others are put into, so that a
pickle is reached through an intact archive too. Per input there are 5 seconds and 512 MB, and only
a FileError or ModelError may come out. It stops at the first fault and prints where the input lies.

Usage: python benchmarks/fuzz.py [MINUTES]   (needs: pip install --group fuzz)
"""

import contextlib
import importlib.util
import io
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES, LONGEST = 5, 512, 2**15
NUMBERS = struct.pack("<8f", *range(8))
HEAD = b"".join(
    pickle.dumps(part, 2)
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
)


def zipped(content: bytes) -> bytes:
    """As `data.pkl` of an archive with two storages."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in (("data.pkl", content), ("data/0", NUMBERS), ("data/1", NUMBERS[:8])):
            archive.writestr(f"m/{name}", member)
    return buffer.getvalue()


def legacy(content: bytes) -> bytes:
    """As the tree of an old file with two storages."""
    tail = struct.pack("<q", 8) + NUMBERS + struct.pack("<q", 2) + NUMBERS[:8]
    return HEAD + content + pickle.dumps(["0", "1"], 2) + tail


WRAPPINGS: tuple[Callable[[bytes], bytes], ...] = (bytes, zipped, legacy)


def file_of(data: bytes) -> bytes:
    """The file that an input stands for."""
    return WRAPPINGS[data[0] % len(WRAPPINGS)](data[1:]) if data else b""


def write_seeds(folder: Path) -> None:
    """Inputs to begin with, and the words that pickles are made of."""
    import safetensors.torch
    import torch
    from torch import nn

    from seqprobe.checkpoints.pickles.objects import MEANINGS

    state = {"w": torch.arange(6.0).view(2, 3), "b": torch.zeros(2, dtype=torch.int8)}
    whole = nn.Sequential(nn.Embedding(3, 2), nn.GRU(2, 2))
    training = {"model": state, "args": {"lr": 0.1, "path": Path("a")}, "ema": state, "step": 3}
    for number, tree in enumerate((state, whole, training, [whole, None])):
        for old in (False, True):
            buffer = io.BytesIO()
            torch.save(tree, buffer, _use_new_zipfile_serialization=not old)
            (folder / f"{number} {old}").write_bytes(b"\0" + buffer.getvalue())
            if not old:
                with zipfile.ZipFile(buffer) as archive:
                    inner = archive.read("archive/data.pkl")
                for wrapping in (1, 2):
                    (folder / f"{number} in {wrapping}").write_bytes(bytes([wrapping]) + inner)
        for protocol in range(6):
            content = pickle.dumps(tree, protocol)
            (folder / f"{number} pickle {protocol}").write_bytes(b"\0" + content)
    (folder / "safetensors").write_bytes(b"\0" + safetensors.torch.save(state))
    words = {part for name in MEANINGS for part in (name, "c" + "\\x0a".join(name.rsplit(".", 1)))}
    lines = [f'"{word}\\x0a"' for word in sorted(words)]
    (folder.parent / "words").write_text("\n".join(lines) + "\n")


def fuzz(folder: Path, minutes: float) -> None:
    """In a process of its own, which never imports torch: libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["seqprobe.checkpoints", "zipfile", "pickletools"]):
        from seqprobe.checkpoints.read import read
        from seqprobe.checkpoints.recognise import recognise
    from seqprobe.errors import FileError, ModelError

    path = folder / "model.pt"

    def one(data: bytes) -> None:
        path.write_bytes(file_of(data))
        with contextlib.suppress(FileError, ModelError):
            recognise(read(path))

    options: dict[str, Any] = {
        "max_total_time": int(60 * minutes),
        "timeout": SECONDS,
        "rss_limit_mb": MEGABYTES,
        "max_len": LONGEST,
        "print_final_stats": 1,
        "dict": folder / "words",
        "artifact_prefix": f"{folder}/fault-",
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(folder / "corpus")], one)
    atheris.Fuzz()


def main(minutes: float) -> int:
    """Print how much was tried, what it reached, and the verdict."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris is missing; it fuzzes for us. Install it: pip install --group fuzz")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="seqprobe-fuzz-"))
    (folder / "corpus").mkdir()
    write_seeds(folder / "corpus")
    command = [sys.executable, __file__, str(minutes), str(folder)]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    (folder / "log").write_text(run.stderr)
    executions = re.findall(r"number_of_executed_units:\s*(\d+)", run.stderr)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", run.stderr)
    faults = sorted(folder.glob("fault-*"))
    print(f"{int(executions[-1]) if executions else 0:,} executions in {minutes:g} minutes")
    if reached:
        print(f"{reached[-1][0]} branches and {reached[-1][1]} features reached")
    if run.returncode or faults:
        print(run.stderr[-3000:])
        print(f"FAULT: {faults[0] if faults else folder / 'log'}")
        return 1
    print("no fault")
    return 0


if __name__ == "__main__":
    given = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    if len(sys.argv) > 2:
        fuzz(Path(sys.argv[2]), given)
    sys.exit(main(given))
