"""Which checks apply to which model families, and what comes of them?

    python benchmarks/families.py [NAME ...] > docs/families.md

Tiny random models of transformers and of torch go through all checks. Exits with 1 if any check
fails. Takes some minutes on two cores; with names, only those models are measured.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
import transformers
from torch import Tensor, nn

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.report import Report
from seqprobe.runner.registry import chosen

SYMBOLS, WIDTH, CHUNK = 32, 32, 16
LENGTH, SEQUENCES, DISTANCE = 64, 8, 20
LONG = 512
CHECKS = tuple(probe.id for probe in chosen(None))
MARKS = {"not applicable": "–", "error": "**error**", "not run": "**not run**"}
COMMON = {
    "vocab_size": SYMBOLS, "hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 64,
    "num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
MAMBA2 = {
    "mamba_d_state": 8, "mamba_d_head": 16, "mamba_n_heads": 4, "mamba_n_groups": 1,
    "mamba_chunk_size": CHUNK,
}  # fmt: skip
DELTA = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 2,
    "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
CONFIGURED: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 4},
    "mamba2": {
        "state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": CHUNK
    },
    "falcon_mamba": {"state_size": 4},
    "rwkv": {"attention_hidden_size": WIDTH, "intermediate_size": None, "context_length": LONG},
    "xlstm": {"num_heads": 2, "chunk_size": CHUNK},
    "recurrent_gemma": {
        "num_hidden_layers": 3, "lru_width": WIDTH, "attention_window_size": LENGTH // 2
    },
    "jamba": {
        "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
        "mamba_d_state": 4, "use_mamba_kernels": False, **EXPERTS,
    },
    "bamba": {"attn_layer_indices": [1], **MAMBA2},
    "zamba2": {
        "num_hidden_layers": 3, "num_key_value_heads": 2, "hybrid_layer_ids": [1],
        "layers_block_type": ["mamba", "hybrid", "mamba"], "mamba_d_state": 8,
        "mamba_headdim": 16, "n_mamba_heads": 4, "mamba_ngroups": 1, "chunk_size": CHUNK,
    },
    "falcon_h1": {"mamba_d_ssm": 64, **MAMBA2},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "qwen3_next": {
        "head_dim": 16, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
        **DELTA, **EXPERTS,
    },
    "olmo_hybrid": {"num_key_value_heads": 2, **DELTA},
    "minimax": {
        "head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1, "block_size": CHUNK,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "llama": {},
    "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": LONG},
    "bert": {"max_position_embeddings": LONG},
}  # fmt: skip


class Logits(nn.Module):
    """A model of transformers without its cache."""

    def __init__(self, name: str) -> None:
        super().__init__()
        config = transformers.AutoConfig.for_model(name, **COMMON | CONFIGURED[name])
        masked = name == "bert"
        kind: Any = (
            transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        )
        self.model, self.given = kind.from_config(config), {} if masked else {"use_cache": False}

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model(tokens, **self.given).logits
        return logits


class Around(nn.Module):
    """Embedding, something that mixes positions, head."""

    def __init__(self, mixing: nn.Module, width: int = WIDTH) -> None:
        super().__init__()
        self.embedding, self.mixing = nn.Embedding(SYMBOLS, WIDTH), mixing
        self.head = nn.Linear(width, SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.mixing(self.embedding(tokens))
        logits: Tensor = self.head(mixed[0] if isinstance(mixed, tuple) else mixed)
        return logits


class Convolutions(nn.Module):
    """Two steps each, twice as far apart with every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 2, dilation=2**n) for n in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x.mT
        for layer in self.layers:
            assert isinstance(layer, nn.Conv1d)
            x = x + layer(nn.functional.pad(x, (layer.dilation[0], 0))).relu()
        return x.mT


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, batch_first=True)
    return Around(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


MODELS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(Logits, name) for name in CONFIGURED},
    "nn.TransformerEncoder": encoder,
    "nn.LSTM both ways": lambda: Around(
        nn.LSTM(WIDTH, WIDTH, 2, batch_first=True, bidirectional=True), 2 * WIDTH
    ),
    "dilated convolutions": lambda: Around(Convolutions()),
}


@dataclass(frozen=True)
class Measured:
    """A model, its report, its depth at long sequences, and how long the report took."""

    name: str
    kinds: dict[str, int]
    report: Report
    depth: str
    seconds: float


def measured(name: str) -> Measured:
    """All checks of one model."""
    torch.manual_seed(0)
    started = perf_counter()
    model = SequenceModel(MODELS[name](), vocab_size=SYMBOLS)
    kinds = [mixer.kind for mixer in model.kinds]
    asked: dict[str, Any] = {"length": LENGTH, "limit": SEQUENCES, "distance": DISTANCE}
    report = seqprobe.analyze(model, data="synthetic:iid", **asked)
    seconds = perf_counter() - started
    form = seqprobe.analyze(
        model, data="synthetic:iid", probes=("sequential-depth",), length=LONG, limit=1
    )
    counted: dict[str, int] = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return Measured(name, counted, report, form["sequential-depth"].headline, seconds)


def table(found: Iterable[Measured]) -> Iterator[str]:
    """A mark per model and check, with the reasons below."""
    reasons: dict[str, int] = {}
    yield "| model | " + " | ".join(f"`{check}`" for check in CHECKS) + " |"
    yield "|---" * (len(CHECKS) + 1) + "|"
    for each in found:
        cells = []
        for name in CHECKS:
            check = each.report[name]
            mark = MARKS.get(check.status, "✓")
            if mark != "✓":
                number = reasons.setdefault(f"`{name}`: {check.headline}", len(reasons) + 1)
                mark += f" {number}"
            cells.append(mark)
        yield f"| {each.name} | " + " | ".join(cells) + " |"
    yield ""
    yield from (f"{number}. {reason}" for reason, number in reasons.items())


def families(found: Iterable[Measured]) -> Iterator[str]:
    """What each model was taken for, and in which form it was executed."""
    yield "| model | family | modules that mix positions | sequential depth | seconds |"
    yield "|---|---|---|---|---|"
    for each in found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in each.kinds.items())
        depth = each.depth.removesuffix(".")
        family = each.report.model.family
        yield f"| {each.name} | {family} | {kinds} | {depth} | {each.seconds:.0f} |"


def main(names: list[str]) -> int:
    logging.disable(logging.WARNING)
    quiet: Callable[[], None] = transformers.logging.set_verbosity_error
    quiet()
    found = []
    for name in names or MODELS:
        found.append(measured(name))
        print(f"{name}: {found[-1].seconds:.0f} s", file=sys.stderr)
    print("# Checks and model families\n")
    print(
        f"Made by `python benchmarks/families.py` with torch {torch.__version__} and transformers "
        f"{transformers.__version__}: tiny models with random weights, {SEQUENCES} sequences of "
        f"{LENGTH} independent symbols.\n"
    )
    print("## Families, and the form of execution\n")
    print(
        f"The form is that of this run, up to {LONG} tokens: pure PyTorch on a CPU. The same "
        "weights may be executed otherwise by other kernels.\n"
    )
    print("\n".join(families(found)))
    print("\n## Checks\n\n✓ measured; – not applicable, for the reason below the table.\n")
    print("\n".join(table(found)))
    failed = [c for each in found for c in each.report.checks if c.status in ("error", "not run")]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
