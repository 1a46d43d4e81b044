"""Break the code in a copy of the repository, one line at a time, and see the tests fail.

    python benchmarks/broken_on_purpose.py [WORD ...]

Each line of BREAKS is a fault that an instrument of this kind could have. A fault that its tests
do not notice is printed as MISSED, and the command then exits with 1. With words, only breaks
whose file or fault contains one of them are tried.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "cli", "reports", "data", "pyproject.toml", "README.md")


class Break(NamedTuple):
    """A fault: in which file, what stands there, what it becomes, and who should notice."""

    file: str
    old: str
    new: str
    tests: str


def _probe(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/probes/{name}.py", old, new, f"tests/probes/test_{name}.py")


def _estimator(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/estimators/{name}.py", old, new, f"tests/estimators/test_{name}.py")


GRADIENT = "tests/probes/test_gradient_decay.py"
BREAKS = (
    _probe("gradient_decay", "back = steps[:, None] -", "back = steps[:, None] - 1 -"),
    _probe("gradient_decay", "np.sqrt(squares / squares[..., :1])", "squares / squares[..., :1]"),
    _probe("gradient_decay", "(chosen * signs.to(chosen)).sum()", "chosen.sum()"),
    _probe(
        "gradient_decay", "gradient.double().square().sum(-1)", "gradient.double().abs().sum(-1)"
    ),
    Break(
        "src/seqprobe/models/recurrence.py",
        "torch.cat(states, dim=-1)",
        "states[0]",
        "tests/models",
    ),
    Break("src/seqprobe/models/recurrence.py", "new + keep *", "new - keep *", "tests/models"),
    Break(
        "src/seqprobe/models/recurrence.py", "f.sigmoid() * cell", "i.sigmoid() * cell", GRADIENT
    ),
    _estimator("decay", "after - 1 + float((upper", "after + float((upper"),
    _estimator("decay", "(distance >= 1) & (curve > floor)", "(distance >= 1) & (curve > 0)"),
    _estimator("decay", "2 * parameters * n /", "0 * parameters * n /"),
    _probe("path_length", 'step_by_step=mixer.kind == "recurrent"', "step_by_step=False"),
    _probe("path_length", "changed[row, step:]", "changed[row, :time - step]"),
    _probe(
        "path_length",
        "(observation.rerun(edited) != plain)",
        "(observation.rerun(edited) - plain > 1)",
    ),
    _estimator("paths", "np.min(costs + column, axis=1)", "np.max(costs + column, axis=1)"),
    _estimator("paths", "modules[1:]", "modules[2:]"),
    _estimator("paths", "hops.max(initial=-np.inf)", "hops.min(initial=np.inf)"),
    Break(
        "src/seqprobe/models/mixers.py",
        "(gradient.movedim(axis, 0) != 0)",
        "(gradient.movedim(axis, 0).abs() > 1e-3)",
        "tests/probes/test_path_length.py",
    ),
    _probe("position", "* weights[:, None]", "* 1.0"),
    _probe("position", "(plain - changed), 0.0", "(changed - plain), 0.0"),
    _probe("position", "index = steps[:, None] +", "index = steps[:, None] + 1 +"),
    _probe("position", "chances[present] = 0.0", "pass"),
    _probe("bottleneck", "[:, None] - lags]", "[:, None] - lags.clamp(min=1)]"),
    _probe("bottleneck", "np.maximum(self.null_high, 0)", "np.full_like(self.null_high, -1.0)"),
    _estimator("information", "total.minus(own)", "total"),
    _estimator("information", "/ (1 - noise)).clamp(0,", "/ (1 - noise)).clamp(0.5,"),
    _estimator("information", "held_out[index] * temperature[:, None]", "held_out[index]"),
    _estimator(
        "information", "states = _standardised(states)", "states = states - states.mean((0, 1))"
    ),
    _estimator("information", "bias.to(whitened) + share.log()", "share.log()"),
    _estimator("bootstrap", "stats.norm.sf(wide)", "(1 - level) / 2"),
    Break(
        "src/seqprobe/diagnosis/case.py",
        "estimate.exact else estimate.high",
        "True else estimate.high",
        "tests/diagnosis",
    ),
    Break(
        "src/seqprobe/runner/run.py",
        "size //= 2",
        "size //= 2; start += 1",
        "tests/runner",
    ),
    Break(
        "src/seqprobe/contracts.py",
        "values[order] for name",
        "values for name",
        "tests/test_contracts.py",
    ),
)


def noticed(broken: Break) -> bool:
    """Whether the tests fail on a copy that holds the fault."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        file = copy / broken.file
        text = file.read_text()
        if text.count(broken.old) == 0:
            raise SystemExit(
                f"{broken.file} no longer holds {broken.old!r}: bring BREAKS up to date"
            )
        file.write_text(text.replace(broken.old, broken.new))
        paths = os.pathsep.join(str(copy / root) for root in ("src", "cli", "reports", "data"))
        tests = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", broken.tests]
        run = subprocess.run(
            tests,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            check=False,
        )
        return run.returncode == 1


def main(words: list[str]) -> int:
    """Try all breaks, or those that a word names."""
    chosen = [b for b in BREAKS if not words or any(w in b.file or w in b.old for w in words)]
    missed = 0
    for broken in chosen:
        caught = noticed(broken)
        missed += not caught
        print(
            f"{'noticed' if caught else 'MISSED '}  {broken.file}: {broken.old} -> {broken.new}",
            flush=True,
        )
    print(f"{len(chosen) - missed} of {len(chosen)} faults noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
