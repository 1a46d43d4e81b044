"""Break the code in a copy of the repository, one line at a time, and see the tests fail.

    python benchmarks/broken_on_purpose.py [WORD ...]

Each line of BREAKS is a fault that an instrument of this kind could have. A fault that its tests
do not notice is printed as MISSED, and the command then exits with 1. With words, only breaks
whose file or fault contains one of them are tried. A fault whose line is not there, or more than
once, is refused at the start.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "src",
    "tests",
    "cli",
    "reports",
    "data",
    "examples",
    "benchmarks",
    "pyproject.toml",
    "README.md",
)


class Break(NamedTuple):
    """A fault: in which file, what stands there, what it becomes, and who should notice."""

    file: str
    old: str
    new: str
    tests: str


def _probe(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/probes/{name}.py", old, new, f"tests/probes/test_{name}.py")


EVIDENCE = {
    "attention": ("heads", "head_tables", "repeated"),
    "bottleneck": ("kept", "recorded"),
    "carry_over": ("boundary", "chunks", "leaks", "washout"),
    "context": ("changes", "copying"),
    "gradient_decay": ("decay_metrics", "gates"),
    "position": ("replaced",),
    "window": ("extrapolation", "oldest", "predicting", "refused"),
}


def _evidence(name: str, old: str, new: str) -> Break:
    probe = next(probe for probe, parts in EVIDENCE.items() if name in parts)
    file = f"src/seqprobe/probes/evidence/{name}.py"
    return Break(file, old, new, f"tests/probes/test_{probe}.py")


def _estimator(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/estimators/{name}.py", old, new, f"tests/estimators/test_{name}.py")


def _in(file: str, tests: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/{file}", old, new, f"tests/{tests}.py")


def _model(name: str, old: str, new: str, tests: str | None = None) -> Break:
    return Break(
        f"src/seqprobe/models/{name}.py", old, new, f"tests/models/test_{tests or name}.py"
    )


def _information(name: str, old: str, new: str, tests: str) -> Break:
    return Break(
        f"src/seqprobe/estimators/information/{name}.py",
        old,
        new,
        f"tests/estimators/information/test_{tests}.py",
    )


def _both(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/probes/{name}.py", old, new, "tests/probes/test_both_directions.py")


def _held(old: str, new: str) -> Break:
    file = "src/seqprobe/estimators/information/decoded.py"
    return Break(file, old, new, "tests/probes/test_bottleneck.py")


REREAD = "interventions"


def _reference(name: str, old: str, new: str, tests: str = "linear_recurrences") -> Break:
    return Break(f"src/seqprobe/reference/{name}.py", old, new, f"tests/reference/test_{tests}.py")


def _grid(name: str, old: str, new: str) -> Break:
    return Break(f"src/seqprobe/{name}.py", old, new, "tests/probes/test_grid.py")


GRADIENT = "tests/probes/test_gradient_decay.py"
BREAKS = (
    _evidence("decay_metrics", '0.5 * evidence["ahead"].max()', '-0.5 * evidence["ahead"].max()'),
    _probe("gradient_decay", "squares.logsumexp(2) - (", "squares.logsumexp(2) - 9 * ("),
    _evidence("decay_metrics", "curves[:, 1:] - curves[:, 1:2]", "curves[:, 1:] - curves[:, :1]"),
    _probe("gradient_decay", "chances - one_hot", "chances + one_hot"),
    _probe("gradient_decay", "interval.high - interval.low > 2 * self.precision * value", "False"),
    _probe("gradient_decay", "interval.high - interval.low > 2 * self.precision * value", "True"),
    _evidence("gates", "torch.exp(-1 / torch", "torch.exp(-2 / torch"),
    _probe("jacobian_spectrum", "burn_in + step)", "step)"),
    _probe("jacobian_spectrum", "norm[:, -1] - median", "norm[:, 0] - median"),
    _probe("weights", "max(radii)", "min(radii)"),
    _model("cells", "return torch.cosh(a).pow_(-2)", "return 1 - torch.tanh(a).square()", "sweep"),
    _model("cells", "torch.sigmoid(-keep)", "(1 - torch.sigmoid(keep))", "sweep"),
    _model(
        "cells",
        "torch.mul(before[1], df,",
        "torch.mul(states[1], df,",
        "sweep",
    ),
    _model("cells", "(inner > 0).to(inner)", "(inner >= 0).to(inner)", "sweep"),
    _model("cells", "from_cell = slopes[..., 4, :, :] * kept", "from_cell = kept", "stack"),
    _model("cells", "hidden = hidden @ self.projection.T", "pass", "stack"),
    _model("cells", "f * cell, i,", "i * cell, i,", "recurrence_replay"),
    Break(
        "src/seqprobe/models/cells.py",
        "return self.bias_ih + self.bias_hh",
        "return self.bias_ih",
        "tests/probes/test_weights.py",
    ),
    _model("stack", "driven = after[0]", "driven = driven"),
    _model(
        "stack",
        "hidden = whole[:, start : start + widths[0], :stop]",
        "hidden = whole[:, stop - widths[0] : stop, :stop]",
    ),
    _model("sweep", "scale[live] += size.double().log()", "pass"),
    _model("sweep", "EVERY, SMALL, LARGE = 8, 1e-12, 1e12", "EVERY, SMALL, LARGE = 8, 1e-38, 1e38"),
    _model("sweep", "here = (here[0] + dx, *here[1:])", "here = (dx, *here[1:])"),
    _model("sweep", "dx = dx + rows.direct", "pass"),
    _model("sweep", "min(window, steps[-1]) + 1", "min(window, steps[-1])"),
    _model("sweep", "bisect_left(steps, distance)", "bisect_left(steps, distance + 1)"),
    _model("sweep", "len(steps) == last - first + 1 and", "True or"),
    _model(
        "rerun",
        "except Exception:  # whatever",
        "except KeyError:  # whatever",
        "caches_of_transformers",
    ),
    _model("sweep", "if any(part[:, :step].any()", "if any(part[:, :0].any()"),
    _model(
        "recurrence",
        "torch.cat([first.unsqueeze(0), state[:-1]])",
        "torch.cat([torch.zeros_like(state[:1]), state[:-1]])",
        "sweep",
    ),
    _model("recurrence", "torch.cat(self.states, dim=-1)", "self.states[0]", "recurrence_replay"),
    _model("sequence_model", "if chained(observed) and cut_out(observed):", "if True:", "sweep"),
    _model("autograd", "not self._causal or length", "length"),
    _model("autograd", "2 * back[:, :1] - back", "back"),
    _both("gradient_decay", "time - 1 - steps, vectors", "steps, vectors"),
    _both("gradient_decay", "Gradients(mirrored.ahead, mirrored.log_squares)", "mirrored"),
    _both("evidence/replaced", "steps[..., None] - distances", "steps[..., None] + distances"),
    _both("evidence/replaced", "pieces if observation.causal", "pieces if True"),
    _grid(
        "estimators/grid",
        "np.divmod(np.arange(float(rows * columns)), columns)",
        "np.divmod(np.arange(float(rows * columns)), rows)",
    ),
    _grid("estimators/grid", "(-offset).clip(0)", "offset.clip(0)"),
    _grid("estimators/grid", "np.where(seen, mean, 0.0)", "np.where(seen, 1.0, 0.0)"),
    _grid("probes/evidence/on_grid", "np.divide(norms, mean, out=norms, where=mean > 0)", "norms"),
    _grid("probes/evidence/on_grid", "np.rint", "np.floor"),
    _grid("probes/gradient_decay", "logs[np.arange(time) > places[..., None]]", "logs[:0]"),
    _grid("models/sequence_model", "self.causal and self.grid is None", "self.causal"),
    _grid("runner/plan", "replace(needs, length=length) if whole", "needs if whole"),
    _both("locality", "np.divide(sums[:, 1]", "np.divide(sums[:, 0]"),
    _both("path_length", "trace.operations[::-1], time - 1 - sources", "trace.operations, sources"),
    _both("path_length", "changed[row, step::-1]", "changed[row, : step + 1]"),
    _both("path_length", "if _beyond(hops, operators)", "if False"),
    _both("evidence/recorded", "inputs=observation.inputs.flip(1)", "inputs=observation.inputs"),
    _in("diagnosis/verdict.py", "diagnosis/test_verdict", "ahead or _kept", "_kept"),
    _model("by_prefix", "[*self._answers(inputs)][::-1]", "[*self._answers(inputs)]"),
    _model("embedding", "steps < before.shape[1] and", "False and", "by_prefix"),
    _model("outputs", "return found[head]", "return next(iter(found.values()))", "heads"),
    _model("untrained", "flat[torch.randperm(flat.numel())]", "torch.randn_like(flat)"),
    _estimator(
        "projection", "shape = vectors * half_degrees(variance)", "shape = half_degrees(variance)"
    ),
    _estimator("curve", "rows - bias)", "rows)"),
    _estimator(
        "curve",
        "shift = np.where(np.isfinite(largest), largest, 0.0)",
        "shift = np.zeros_like(largest)",
    ),
    _estimator(
        "lyapunov", "tangents = push(tangents, step)", "tangents = push(tangents, steps - 1 - step)"
    ),
    _estimator("spectrum", "log_scale = log_scale + log_factor", "log_scale = log_scale"),
    _estimator("decay", "kept[..., 0] = False", "kept[..., 0] = True"),
    _estimator("decay", "2 * free * n / spare", "0 * free * n / spare"),
    _probe("path_length", "np.maximum(found[: len(ahead)], reachable)", "reachable"),
    _probe("path_length", "ahead = column[source:]", "ahead = column"),
    _probe("sequential_depth", 'depth[-1]), "operators"', 'depth[0]), "operators"'),
    _probe("memory", "carried.state + carried.per_token * length", "carried.state + 0 * length"),
    _probe("throughput", "medians / length)", "medians)"),
    _probe("throughput", "stepwise = carried.per_token == 0", "stepwise = True"),
    _model("costs", "(inputs[:1].clone())", "(inputs[:1])"),
    _model("costs", "if key not in own", "if True"),
    _model("costs", "key.nbytes + value.nbytes", "key.nbytes"),
    _model("costs", "caches[1] != state + per_token * lengths[1]", "False"),
    _model("costs", "min(t.nbytes, t.untyped_storage().nbytes())", "t.nbytes"),
    _model("costs", "t.numel() > 1 or t.is_floating_point()", "True"),
    _model("costs", "if not seen.inside[path]", "if not seen.bytes"),
    _model("costs", "part.num_layers * (hidden + cell)", "hidden + cell"),
    _estimator("growth", "/ scale / values[:, None]", "/ scale"),
    _estimator("growth", "low <= root.real <= high", "True"),
    Break(
        "src/seqprobe/diagnosis/crossovers.py",
        "(first.low, second.high), (first.high, second.low)",
        "(first.low, second.low), (first.high, second.high)",
        "tests/diagnosis/test_crossovers.py",
    ),
    Break(
        "src/seqprobe/diagnosis/demands.py",
        "per_token.value * tokens",
        "0 * tokens",
        "tests/diagnosis/test_demands.py",
    ),
    _model("paths", "rows + prices, over", "rows + price, over", "trace"),
    _model("paths", "self.price + toll", "self.price", "trace"),
    _model("paths", "self.price[CHAIN] = -1", "self.price[CHAIN] = 1", "trace"),
    _model("paths", "math.gcd(block, run, offset, *outer.values()) != run", "False", "operators"),
    _model(
        "operators", "return None if value else torch.tensor(False)", "return None", "operators"
    ),
    _model("operators", "given[0].isfinite() if given else None", "None", "operators"),
    _model(
        "operators", '{"self": ~mask, "value": mask}', '{"self": mask, "value": mask}', "operators"
    ),
    _model(
        "operators",
        "passes.any(-2, keepdim=True) if rows",
        "passes.all(-2, keepdim=True) if rows",
        "operators",
    ),
    _model(
        "operators",
        'weighs = _narrow(call.out != (-math.inf if "log" in call.name else 0))',
        "weighs = None",
        "operators",
    ),
    _model("operators", "dtype=torch.bool).triu()", "dtype=torch.bool).tril()", "operators"),
    _model("operators", "rows = torch.where(inside, seen, math.inf)", "rows = seen", "operators"),
    _model(
        "operators",
        'if computed or call.arguments.get("accumulate") or',
        "if computed or",
        "operators",
    ),
    _model("trace", "mkldnn.flags(enabled=False), ", "mkldnn.flags(enabled=True), ", "trace"),
    _model("trace", "least = rows.amin(3)", "least = rows.amax(3)", "trace"),
    _model("trace", "self._hand_out(kind.name, given[0], out)", "pass", "operators"),
    _model("trace", "if kind.factor and followed else None", "if False else None", "operators"),
    _estimator("decay", "before + (upper - level)", "before + 1 + (upper - level)"),
    Break(
        "src/seqprobe/runner/rounds.py",
        "(first or not outcome.probe.settled)",
        "first",
        "tests/runner",
    ),
    Break(
        "src/seqprobe/runner/rounds.py",
        'fresh = self.each.baseline == "untrained"',
        "fresh = False",
        "tests/runner/test_plan.py",
    ),
    Break(
        "src/seqprobe/runner/rounds.py",
        'if self.each.baseline == "untrained":',
        "if False:",
        "tests/runner/test_rounds.py",
    ),
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
    _model("rerun", "there = gradient != 0", "there = gradient.abs() > 1e-3", "architectures"),
    _model(
        "rerun", "return output.flatten(1), *seen", "return (output.flatten(1),)", "transformers"
    ),
    _model(
        "rerun",
        "_each_changed(next(returned, out), change)",
        "next(returned, out)",
        "architectures",
    ),
    _model(
        "rerun",
        "if axis is None else edited.select",
        "[:0] if axis is None else edited.select",
        "architectures",
    ),
    _model("rerun", "    doubt = doubt or bool(", "    return bool(", "architectures"),
    _model("rerun", "if (probed & ~found[:, self._probed]).any():", "if False:", "architectures"),
    _model("rerun", "else unwritten(value)", "else value", "transformers"),
    _model("mixers", "if each.module not in inside), part]", "), part]", "transformers"),
    _model(
        "mixers",
        "- {path for part in self.inner for path in part.call.attention}",
        "",
        "architectures",
    ),
    _model(
        "state_space",
        '(each.__module__.split(".")[0], each.__name__) in CLASSES',
        "False",
        "transformers",
    ),
    _in(
        "estimators/form.py",
        "estimators/test_form",
        "if told == rises[first:]:",
        "if told[-1] == rises[-1]:",
    ),
    _in("estimators/form.py", "estimators/test_form", "lengths[first])", "lengths[0])"),
    _in("estimators/form.py", "estimators/test_form", "(_mixed, FEWEST_MIXED)):", "):"),
    _probe(
        "sequential_depth",
        'form.per_token if each == "token"',
        'form.per_doubling if each == "token"',
    ),
    _evidence("replaced", "* weights.to(read)[..., None, None]", "* 1.0"),
    _evidence("replaced", "rest[present] = 0.0", "pass"),
    _evidence("replaced", "inputs[:, 0] = others", "inputs[:, 1] = others"),
    _evidence(
        "replaced", "np.arange(time - NEAR, time) - self", "np.arange(time - NEAR, time) - 1 - self"
    ),
    _evidence("replaced", "return sums / np.diff(bounds)", "return sums"),
    _evidence("replaced", "min(PLACES, last)", "PLACES"),
    _evidence("replaced", "min(PLACES, last)", "min(8, last)"),
    _probe("position", "np.minimum(_first(rows)", "np.maximum(_first(rows)"),
    _probe("locality", "found.by_distance[..., KL]", "found.by_distance[..., LOSS]"),
    _estimator("spread", "(within < share)", "(within <= share)"),
    _estimator("spread", "curves @ np.arange(curves", "curves @ np.arange(1, 1 + curves"),
    _estimator("effects", "(change.expm1() - change)", "-change"),
    _estimator("effects", "told > -math.inf, now.exp()", "told > -math.inf, 0.0"),
    _model(
        "continuation", "edited[rows[inside], at[inside]]", "edited[rows, at.clamp(max=9)]", REREAD
    ),
    _model("from_states", "torch.cat([first.unsqueeze(0), states])", "states", REREAD),
    _model("from_states", "bisect_right(lengths, step)", "bisect_right(lengths, step + 1)", REREAD),
    _model(
        "from_states", "drive = cell.driven(after[-1][0])", "drive = cell.driven(drive)", REREAD
    ),
    _model("from_cache", "seen.tril(keys - queries)", "seen.tril()", REREAD),
    _model(
        "from_cache",
        "kept[self.sequences, :, : self",
        "kept[: len(self.sequences), :, : self",
        REREAD,
    ),
    _model("interventions", "[order.argsort(), first:]", "[:, first:]", REREAD),
    _model("interventions", ".max() <= allowed", ".max() >= 0", REREAD),
    _model("interventions", "slice(step, min(step", "slice(0, min(step", REREAD),
    _model("interventions", "slice(first + when.start", "slice(first", REREAD),
    _model("autograd", "            self._graph = None\n", "", "autograd"),
    _in("probes/evidence/recorded.py", "probes/test_recorded", "manual_seed(width)", "seed()"),
    _in("runner/memory.py", "runner/test_rounds", "<= HALF *", "<= 2 *"),
    _in(
        "checkpoints/placing.py",
        "checkpoints/test_placing",
        "parameter.data.to(dtype)",
        "parameter.data",
    ),
    _probe("context", "steps - length + 1, length", "steps - length, length"),
    _probe("context", "for kind in (LOSS, KL)", "for kind in (LOSS, LOSS)"),
    _evidence("changes", "inputs.roll(-1, dims=1)", "inputs"),
    _evidence("changes", "compared.kl(before, after)", "compared.kl(after, before)"),
    _evidence("changes", "if not observation.causal", "if False"),
    _evidence(
        "copying", "_without(losses) - losses[..., COPY]", "losses[..., COPY] - _without(losses)"
    ),
    _evidence("copying", "gap = distance + 1 - length", "gap = distance + 2 - length"),
    _evidence(
        "copying", "torch.cat([piece, other, another])", "torch.cat([other, other, another])"
    ),
    _estimator("enough", "curves <= allowed, 0, np.arange(1,", "curves > allowed, 0, np.arange(1,"),
    _estimator("enough", "curves <= allowed, 0,", "~(curves > allowed), 0,"),
    _probe("order", "torch.full_like(self.places, distance - 1)", "self.places * 0 + distance"),
    _probe("order", "self._run.continued(shuffled", "self._run.fresh(shuffled"),
    _probe("order", "self._edited(whole, self.places,", "self._edited(whole, self.places - 1,"),
    _probe("order", "- SHARE * drop", "- drop"),
    _probe("order", "sign * shuffle", "shuffle"),
    _probe("order", "[distance - 1 for distance in distances]", "[*range(len(distances))]"),
    Break(
        "src/seqprobe/diagnosis/context.py",
        "or not above(worth, 0.0)",
        "",
        "tests/diagnosis/test_context_rules.py",
    ),
    _evidence("recorded", "[:, None] - back]", "[:, None] - back.clamp(min=1)]"),
    _evidence("recorded", "[:, None] - back]", "[:, None] - back - 1]"),
    _evidence("recorded", "state[:, -steps:]", "state[:, :steps]"),
    _evidence(
        "recorded",
        ".layers.get(site)",
        ".layers.get(site); state = state.roll(state.shape[2] // 2, 2)",
    ),
    _evidence("kept", "float(self.bits.entropy.sum()), self.different)", "math.inf, math.inf)"),
    _evidence("kept", "few = count < len(rows) // 10", "few = True"),
    _evidence("kept", "few = count < len(rows) // 10", "few = False"),
    _held("~(curve > self.band)", "~(curve > -1)"),
    _held("float(inside[0])", "float(inside[-1])"),
    _evidence("kept", "total(1 / self.width, self._most", "total(1.0, self._most"),
    _probe("bottleneck_on_data", "-np.log2(shares)", "np.log2(shares)"),
    _probe("bottleneck_on_data", "(before >= COMMON) & (before < RARE)", "(before < RARE)"),
    _probe("bottleneck_on_data", "] = read.flatten()", "] = tokens.classes.flatten()"),
    _probe("bottleneck_on_data", 'kinds[-1] = "all other tokens"', "pass"),
    _probe("bottleneck_on_data", "int((counts >= FEWEST).sum()) + 1)", "CLASSES)"),
    _probe("bottleneck_on_data", "{tokens.lost:.2f}", "{0:.2f}"),
    _probe("window", "oldest.furthest + 2", "oldest.furthest + 1"),
    _probe("window", "told or time)),", "time)),"),
    _evidence(
        "refused", "while longest < FURTHER * length and not", "while longest < length and not"
    ),
    _evidence("refused", "range(longest + 1, 2 * longest)", "range(longest + 2, 2 * longest)"),
    _evidence("refused", "if errors[first]:", "if True:"),
    _evidence("oldest", "_another(observation, edited[0, :1], generator)", "edited[0, :1]"),
    _evidence("oldest", "np.flatnonzero(self.change)", "np.flatnonzero(self.change > 1e-4)"),
    _evidence("oldest", "not again.any()", "True"),
    _evidence("extrapolation", "[:, half:] for start", "for start"),
    _evidence("extrapolation", "loss[:, start + half :", "loss[:, start + half - 1 :"),
    _evidence("extrapolation", '"within": trained // 2', '"within": trained'),
    _evidence("boundary", "lost - carried[:, start :", "lost - carried[:, start + 1 :"),
    _evidence("boundary", "(run.continued if kept else run.fresh)", "run.continued"),
    _evidence("boundary", "more.abs() > rounding, 0.0", "more.abs() > 9, 0.0"),
    _evidence("washout", "boundary - 1 :", "boundary:"),
    _evidence("washout", "0.5 * np.log(apart)", "np.log(apart)"),
    _evidence("washout", "math.log(WASHED)", "0.5 * math.log(WASHED)"),
    _evidence("leaks", "others[kept] = inputs[kept]", "others = inputs"),
    _evidence("leaks", "run(inputs.flip(0)).flip(0)", "run(inputs)"),
    _evidence("leaks", '"call_leak": _largest(plain, run(inputs))', '"call_leak": 0 * rows'),
    _evidence("chunks", "np.maximum.reduceat(apart, starts)", "apart[starts]"),
    _evidence(
        "chunks", '_estimate(evidence, "apart_singly")', '_estimate(evidence, "apart_chunked")'
    ),
    _evidence("chunks", "inputs.split(1)]", "[inputs]]"),
    _probe("carry_over", 'if not evidence["causal"].all()', "if False"),
    _evidence("predicting", "if outputs != tokens:", "if False:"),
    _model("carrying", "if torch.equal(after, alone):", "if False:"),
    _model("carrying", "if (after - whole).abs().max() <= allowed:", "if True:"),
    _model("carrying", "torch.arange(read, read + time", "torch.arange(0, time"),
    _model("carrying", "{ASKED: True}", "{ASKED: False}"),
    _model("carrying", "any(word in name for word in STATES)", "True"),
    _model("carrying", "if not _is(part, outputs)", ""),
    _model("carrying", "state = {argument:", "_ = {argument:"),
    _model("attempts", "if not is_out_of_memory(error):", "if True:"),
    _model("attempts", "cause = error.__cause__", "cause = None"),
    _estimator("spans", "edges < most], most]", "edges < most]]"),
    _estimator("spans", "(np.arange(-below,", "(0.5 + np.arange(-below,"),
    _probe("capacity", "found.lower.cumsum()", "found.lower"),
    _probe("capacity", "(sequences, sequences // 2)", "(sequences, sequences)"),
    _probe("capacity", "8 * state.element_size()", "32"),
    _held("self.entry(self.low)", "self.entry(self.entropy)"),
    _probe("capacity", "found.total(1 / width, precision)", "found.total(1.0, precision)"),
    _information("linear", "total - own)", "total)", "decoder"),
    _information("cross_fit", "best(total - each[index])", "best(-total)", "decoder"),
    _information(
        "decoder", "decoded(standardised(states)", "decoded(states.flatten(0, 1)", "decoder"
    ),
    _information("decoder", "labels[..., some].roll(1, dims=0)", "labels[..., some]", "decoder"),
    _information(
        "decoder",
        "[plain.held_out, together.held_out]",
        "[plain.held_out, plain.held_out]",
        "decoder",
    ),
    _information("decoded", "self.low > self.band, guess", "self.low < 9, guess", "decoder"),
    _information("decoded", "(lower + self.seen.clip(0)) / 2", "lower", "decoder"),
    _information("decoded", "np.fmax(middle, self.second)", "middle", "decoder"),
    _information(
        "decoded",
        "resampled_means(self.held_out, ",
        "resampled_means(self.held_out + 0.2, ",
        "decoder",
    ),
    _information("decoded", "few and not any_", "few", "refusals"),
    _information("decoded", "np.maximum(null, 0.0)", "null - 1", "decoder"),
    _information(
        "conditional", "ADJACENT, RECENT, NULLS = 2", "ADJACENT, RECENT, NULLS = 0", "conditional"
    ),
    _information("discriminant", "whitened[..., :known] = 0", "pass", "conditional"),
    _information("conditional", ".roll(1, dims=0)", ".roll(0, dims=0)", "conditional"),
    _information(
        "conditional", "Discriminant.fit(total - own,", "Discriminant.fit(total,", "conditional"
    ),
    _information(
        "regression",
        "torch.linalg.cholesky(products.squares / count)",
        "torch.eye(products.squares.shape[-1]).double().expand_as(products.squares)",
        "regression",
    ),
    _information("regression", "((squared - noise) / (1 - noise))", "squared", "regression"),
    _information(
        "regression", "_Prediction.fit(total - own)", "_Prediction.fit(total)", "regression"
    ),
    _information("regression", "inputs.roll(1, dims=0)", "inputs", "regression"),
    _information("recall", "recall(rows, of,", "recall(of.to(rows), of,", "recall"),
    _information("recall", "labels.roll(1, dims=0)", "labels", "recall"),
    _information(
        "critic", "self(together) + 1 -", "self.scale * together - self.offset + 1 -", "critic"
    ),
    _information("critic", "clip(apart).exp().mean().log()", "0", "critic"),
    _information("critic", "inside[fold] = True", "pass", "critic"),
    _information("critic", "kinds = [held_out,", "kinds = [seen,", "critic"),
    _information("contrast", ".diagonal() + math.log(len(scores))", ".diagonal()", "contrast"),
    _information("contrast", "folds[:number] + folds[number + 1 :]", "folds", "contrast"),
    _information("density_ratio", "F.softplus(-together)", "F.softplus(together)", "critic"),
    _information("density_ratio", "lerp_(weight, 1 - AVERAGE)", "lerp_(weight, 0)", "critic"),
    _information("density_ratio", "y.at(of_another(sequences, generator))", "y", "critic"),
    _information("tied", "sum(cross.shape) / pairs.count", "0.0", "embedded"),
    _information("tied", "-0.5 * tokens.square()", "0 * tokens.square()", "embedded"),
    _information("tied", "gram += embedded.T", "gram = embedded.T", "embedded"),
    _information("tied", "- torch.outer(states.mean, mean)", "", "embedded"),
    _information("transmission", "pairwise(starts[:-1]):", "pairwise(starts[1:]):", "online_code"),
    _information("transmission", "else before + own", "else own", "online_code"),
    _information(
        "transmission", "rest = before - self._moments(last)", "rest = before", "online_code"
    ),
    _information("transmission", "1 / (rows + 2)", "1e-12", "online_code"),
    _information(
        "transmission", "losses.amin(1).argmin(0)", "losses.amin(1).argmax(0)", "online_code"
    ),
    _information("entropy", "-shares.gather", "shares.gather", "decoder"),
    _information(
        "folds", "part[:, None] * steps + within", "part[:, None] + within * sequences", "decoder"
    ),
    _information("temperature", "losses.argmin(0)", "losses.argmax(0)", "decoder"),
    _information("discriminant", "/ (1 - noise)).clamp(0,", "/ (1 - noise)).clamp(0.5,", "decoder"),
    _information("discriminant", "bias.to(whitened)", "0 * bias.to(whitened)", "decoder"),
    _information("discriminant", "weight, bias, share.log()", "weight, bias, 0 * share", "decoder"),
    _information("moments", "gram += some.T", "gram = some.T", "moments"),
    _information("moments", "a - b for", "a + b for", "moments"),
    _information("moments", "self.class_counts + 0.5", "self.class_counts", "moments"),
    _information(
        "moments", "argsort(stable=True) // lags", "argsort(stable=True) % lags", "moments"
    ),
    _information("joint", "total - own", "total", "joint"),
    _information("joint", "known / moments.count)", "width / moments.count)", "joint"),
    _information("joint", "-rows.sum(0", "rows.sum(0", "joint"),
    _information("joint", "bias - weights[", "bias + weights[", "joint"),
    _information("joint", "GUESSES = 8", "GUESSES = 1", "joint"),
    _information("joint", "chances.log_softmax(1)", "chances", "joint"),
    _information("joint", "scores(states) + added", "scores(states) + 0 * added", "joint"),
    _information("joint", "joint.logsumexp(1).gather", "joint.amax(1).gather", "joint"),
    _information(
        "neighbours",
        "others = folds.others(index)",
        "others = torch.arange(len(states))",
        "neighbours",
    ),
    _information("neighbours", "(-away / width)", "(away / width)", "neighbours"),
    _information("neighbours", "torch.digamma(rank)", "torch.log(rank)", "neighbours"),
    _information("neighbours", "same.shape[1] + 1 / share", "torch.ones_like(share)", "neighbours"),
    _information(
        "perceptron", "train = folds.others(index)", "train = torch.cat(folds.parts)", "perceptron"
    ),
    _information("perceptron", "folds.parts[(index + 1) % len(folds)]", "part", "perceptron"),
    _information("perceptron", "nn.GELU()", "nn.Identity()", "perceptron"),
    _information("perceptron", "seeded(seed), ", "", "perceptron"),
    _information("refusals", "sequences < FEWEST_SEQUENCES", "False", "refusals"),
    _information("refusals", "not torch.isfinite(states).all()", "False", "refusals"),
    _information("refusals", "(states == states[0, 0]).all()", "False", "refusals"),
    _information("refusals", "or different < len(marks) // 10", "", "refusals"),
    _information("refusals", "<= COPIES * len(marks)", "<= len(marks)", "refusals"),
    _information("refusals", "len(labels) < classes", "False", "refusals"),
    _information("refusals", "& (expected > 0).cpu()", "", "refusals"),
    _model("fused", "> rows[:, None]", "< rows[:, None]", "attended"),
    _model("fused", "hidden = ~mask if", "hidden = mask if", "attended"),
    _model("fused", "repeat_interleave(groups, dim=-3)", "repeat(1, groups, 1, 1)", "attended"),
    _model("fused", "usual = query.shape[-1] ** -0.5", "usual = 1.0", "attended"),
    _model("attended", "or difference <= math", "or difference <= 99 + math"),
    _model("attended", "and lowest >= 0", ""),
    _model("fused", "* ~hidden.all(-1, keepdim=True)", "", "attended"),
    _model("attended", 'if asked["need_weights"]:', "if False:"),
    _model(
        "sequence_model",
        "few = inputs[:, :length]",
        "few, length = inputs, inputs.shape[1]",
        "attended",
    ),
    _estimator("attention_statistics", "all_.ahead.any()", "True"),
    _estimator("attention_statistics", "total.log() + constant", "constant"),
    _estimator(
        "attention_statistics", "constant = scores.amax(-1) - weights", "constant = -weights"
    ),
    _estimator("attention_statistics", "by_norm[..., 0] / torch", "1.0 / torch"),
    _estimator(
        "attention_statistics", "right=True) - 1\n    summed", "right=False) - 1\n    summed"
    ),
    _estimator(
        "attention_statistics",
        "mixed.sum(-1, keepdim=True) @ rolled",
        "mixed.sum(-1, keepdim=True) + 0 * rolled",
    ),
    _estimator("attention_statistics", "(weights + identity) if residual else weights", "weights"),
    _evidence("repeated", "asked = [period - 1,", "asked = [period,"),
    _evidence("repeated", "(steps < 2 * period[:, None])", "(steps < 3 * period[:, None])"),
    _evidence("repeated", "replace=len(known) < period", "replace=True"),
    _evidence("repeated", "g.integers(longest // 2, longest, endpoint=True)", "39"),
    _in("estimators/head_rows.py", "probes/test_attention", "2**k for k in", "3**k for k in"),
    _in("probes/evidence/heads.py", "probes/test_attention", "(heads > SINK)", "(heads > 0)"),
    _probe("attention", "float(equal.first > SINK)", "0.0"),
    Break(
        "src/seqprobe/diagnosis/attention.py",
        "rate.null.value:",
        "False:",
        "tests/diagnosis",
    ),
    _estimator("bootstrap", "stats.norm.sf(wide)", "(1 - level) / 2"),
    Break(
        "src/seqprobe/diagnosis/case.py",
        "estimate.exact else estimate.high",
        "True else estimate.high",
        "tests/diagnosis",
    ),
    Break(
        "src/seqprobe/runner/rounds.py",
        "self.size = len(numbers) // 2",
        "self.size = len(numbers) // 2; start += 1",
        "tests/runner",
    ),
    Break(
        "src/seqprobe/contracts.py",
        'key=lambda batch: int(batch["sequence"].min())',
        "key=id",
        "tests/test_contracts.py",
    ),
    _in(
        "checkpoints/pickles/storages.py",
        "checkpoints/test_attacks",
        "if count and (offset + last + 1) * BYTES[kind] > storage.span.bytes:",
        "if count and (offset + last) * BYTES[kind] > storage.span.bytes:",
    ),
    _in(
        "checkpoints/pickles/opaque.py",
        "checkpoints/test_attacks",
        "    return Object(callee.kind, args)",
        "    import pydoc\n    return pydoc.locate(f'{callee.module}.{callee.name}')(*args)",
    ),
    _in(
        "checkpoints/trees/modules.py",
        "checkpoints/test_torch_save_files",
        "if not (isinstance(hidden, set) and name in hidden)",
        "if True",
    ),
    _in(
        "checkpoints/formats/legacy.py",
        "checkpoints/test_torch_save_files",
        "Span(span.path, span.start + offset * size, count * size)",
        "Span(span.path, span.start + offset, count * size)",
    ),
    _in(
        "checkpoints/formats/torch_zip.py",
        "checkpoints/test_attacks",
        ".decompress(packed, most + 1)",
        ".decompress(packed)",
    ),
    _in(
        "checkpoints/trees/plain.py",
        "checkpoints/test_inert_reader",
        "self._count(self.known[id(value)][1])",
        "self._count(1)",
    ),
    _in(
        "checkpoints/trees/search.py",
        "checkpoints/test_torch_save_files",
        "return 2 * sum(isinstance(value, TensorSpec) for value in leaves) >= len(leaves)",
        "return True",
    ),
    _in(
        "checkpoints/fetch.py",
        "checkpoints/test_fetch",
        "return numbers.as_strided(spec.shape, spec.stride, spec.offset)",
        "return numbers.as_strided(spec.shape, spec.stride)",
    ),
    _in("checkpoints/fetch.py", "checkpoints/test_fetch", "whole.fill_(torch.nan)", "pass"),
    _in(
        "checkpoints/loadable.py",
        "checkpoints/test_fetch",
        "for spec in set(weights.values())",
        "for spec in weights.values()",
    ),
    _in(
        "checkpoints/formats/sharded.py",
        "checkpoints/test_folders",
        'Path(file).name != file or file in {"", ".."}',
        "False",
    ),
    _in(
        "checkpoints/formats/safetensors.py",
        "checkpoints/test_container_kinds",
        "if start + first != end:",
        "if start + first < 0:",
    ),
    _in(
        "checkpoints/formats/safetensors.py",
        "checkpoints/test_formats",
        'return {"state_dict": weights | _tied(weights, metadata), _METADATA: metadata}',
        'return {"state_dict": weights, _METADATA: metadata}',
    ),
    _in(
        "checkpoints/formats/torch_zip.py",
        "checkpoints/test_formats",
        "end = part.start + part.bytes",
        "end = path.stat().st_size",
    ),
    _in(
        "checkpoints/container.py",
        "checkpoints/test_container_kinds",
        "if not stat.S_ISREG(status.st_mode):",
        "if False:",
    ),
    _in(
        "checkpoints/layouts/gpt_names.py",
        "checkpoints/test_gpt_layouts",
        "frozenset(file for file, name in self.names.items() if self.conv1d and _linear(name))",
        "frozenset()",
    ),
    _in(
        "checkpoints/layouts/gpt_names.py",
        "checkpoints/test_gpt_layouts",
        "shapes != _expected(sizes, tables)",
        "shapes.keys() != _expected(sizes, tables).keys()",
    ),
    _in(
        "checkpoints/layouts/hyperparameters.py",
        "checkpoints/test_gpt_layouts",
        "return found[0] if all(value == found[0] for value in found) else None",
        "return found[0]",
    ),
    _in(
        "checkpoints/layouts/cover.py",
        "checkpoints/test_gpt_layouts",
        "return whole if once and everything else None",
        "return whole",
    ),
    _in(
        "checkpoints/layouts/transformer_encoder.py",
        "checkpoints/test_encoder_layouts",
        '"embedding_scale": (math.sqrt(width),)',
        '"embedding_scale": (1.0,)',
    ),
    _in(
        "checkpoints/templates/pooling.py",
        "checkpoints/test_encoder_layouts",
        "outputs[:, :1].repeat",
        "outputs[:, -1:].repeat",
    ),
    _in(
        "checkpoints/templates/pooling.py",
        "checkpoints/test_pooling",
        "backward[:, :1].expand_as(backward)",
        "backward[:, -1:].expand_as(backward)",
    ),
    _in(
        "checkpoints/templates/pooling.py",
        "checkpoints/test_pooling",
        "outputs.cummax(dim=1).values",
        "outputs.amax(dim=1, keepdim=True).expand_as(outputs)",
    ),
    _in(
        "checkpoints/templates/recurrent.py",
        "checkpoints/test_recurrent_layouts",
        "hidden = hidden + outputs if residual else outputs",
        "hidden = outputs",
    ),
    _in(
        "checkpoints/layouts/recurrences.py",
        "checkpoints/test_recurrent_layouts",
        "return layer if dict(layer.shapes()) == shapes else None",
        "return layer",
    ),
    _in(
        "checkpoints/layouts/recurrent.py",
        "checkpoints/test_recurrent_layouts",
        "tuple(sorted(layers, key=_number))",
        "layers",
    ),
    _in(
        "checkpoints/layouts/without_parameters.py",
        "checkpoints/test_recurrent_layouts",
        '(stated == "last" and not both_ways)',
        'stated == "last"',
    ),
    _in(
        "checkpoints/templates/rotary.py",
        "checkpoints/test_litgpt_layout",
        "dtype=steps.dtype)",
        "dtype=x.dtype)",
    ),
    _in(
        "checkpoints/templates/litgpt.py",
        "checkpoints/test_litgpt_layout",
        "groups.split((each, 1, 1), dim=3)",
        "groups.split((1, 1, each), dim=3)",
    ),
    _in(
        "checkpoints/templates/mamba.py",
        "checkpoints/test_mamba_layout",
        "torch.promote_types(x.dtype, torch.float32)",
        "x.dtype",
    ),
    _in(
        "checkpoints/templates/mamba.py",
        "checkpoints/test_mamba_layout",
        "F.pad(x.mT, (before, 0))",
        "F.pad(x.mT, (0, before))",
    ),
    _in(
        "checkpoints/templates/mamba.py",
        "checkpoints/test_mamba_layout",
        "padded[..., :before] = kept.seen",
        "pass",
    ),
    _in(
        "checkpoints/templates/mamba.py",
        "checkpoints/test_mamba_layout",
        "kept.states = state",
        "pass",
    ),
    _in(
        "checkpoints/templates/huggingface.py",
        "models/test_caches_of_transformers",
        '"position_ids": position_ids',
        '"position_ids": None',
    ),
    _in(
        "checkpoints/templates/huggingface.py",
        "checkpoints/test_huggingface_folders",
        "self.model.score(said.last_hidden_state)",
        "self.model.score(said.last_hidden_state[:, -1:].expand_as(said.last_hidden_state))",
    ),
    _in(
        "checkpoints/resolve.py",
        "checkpoints/test_resolve",
        "losses[:, losses.mean(0).argmin()]",
        "losses[:, 0]",
    ),
    _in(
        "checkpoints/rival.py",
        "checkpoints/test_resolve",
        "return self.scaled.z > CERTAIN or",
        "return self.scaled.z > 1 or",
    ),
    _in(
        "checkpoints/rival.py",
        "checkpoints/test_resolve",
        "abs(self.plain.mean) + 2 * self.plain.error < NOTHING",
        "abs(self.plain.mean) < NOTHING",
    ),
    _in(
        "checkpoints/resolve.py",
        "checkpoints/test_resolve",
        "            count = max(FIRST, 2 * count)\n",
        "            return nearest\n",
    ),
    _in(
        "checkpoints/resolve.py",
        "checkpoints/test_resolve",
        "if rival.harmless:",
        "if False:",
    ),
    _in(
        "checkpoints/resolve.py",
        "checkpoints/test_resolve",
        "if rival.harmless:",
        "if True:",
    ),
    _in(
        "checkpoints/settle.py",
        "checkpoints/test_settle",
        "    if not loss < floor and unknowns:\n",
        "    if False:\n",
    ),
    _in(
        "checkpoints/settle.py",
        "checkpoints/test_settle",
        "        raise _loses(",
        "        _loses(",
    ),
    _in(
        "checkpoints/settle.py",
        "checkpoints/test_settle",
        "return found.nan_to_num(math.inf)",
        "return found.nan_to_num(0.0)",
    ),
    _in("checkpoints/settle.py", "checkpoints/test_settle", 'if (c != "none") == pooled', "if c"),
    _in(
        "checkpoints/rebuild.py",
        "checkpoints/test_state_dicts",
        '"other numbers under two names of one tensor": _torn(wanted, given, common),',
        "",
    ),
    _in(
        "checkpoints/rebuild.py",
        "checkpoints/test_state_dicts",
        "if wanted > numbers * MOST_TIES:",
        "if False:",
    ),
    _in(
        "checkpoints/rebuild.py",
        "checkpoints/test_whole_way",
        "tensors[name].t() if name in layout.transposed else tensors[name]",
        "tensors[name]",
    ),
    _in(
        "checkpoints/examples.py",
        "checkpoints/test_examples",
        "module(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:]",
        "module(tokens)[:, :-1].transpose(1, 2), tokens[:, :-1]",
    ),
    _in(
        "checkpoints/examples.py",
        "checkpoints/test_examples",
        "module(t[None].to(self.device))[0, -1]",
        "module(t[None].to(self.device))[0, 0]",
    ),
    _in(
        "checkpoints/verification.py",
        "checkpoints/test_verification",
        'if each.alternatives_are == "possible"',
        'if each.decided_by == "nobody"',
    ),
    _in(
        "checkpoints/verification.py",
        "checkpoints/test_verification",
        "layout.recorded_loss / math.log(2)",
        "layout.recorded_loss",
    ),
    _in(
        "checkpoints/load.py",
        "checkpoints/test_state_dicts",
        "    if model(model.example(1)).isfinite().all():",
        "    if True:",
    ),
    _in(
        "checkpoints/factory.py",
        "checkpoints/test_state_dicts",
        "given = {**literal, **settings}",
        "given = {**settings, **literal}",
    ),
    _in(
        "estimators/bigram.py",
        "estimators/test_bigram",
        "chance = (single[token] + distinct / vocab_size) / (single.sum() + distinct)",
        "chance = single[token] / single.sum()",
    ),
    _in(
        "sequences/streams.py",
        "checkpoints/test_examples",
        "counts = torch.bincount(self.others, minlength=self.vocab_size) + 1.0",
        "counts = torch.bincount(self.tokens, minlength=self.vocab_size) + 1.0",
    ),
    _in(
        "sequences/tokenizers/words.py",
        "sequences/test_tokenizers",
        "for line in io.StringIO(text):",
        "for line in text.splitlines():",
    ),
    _in(
        "sequences/tokenizers/tokenizer.py",
        "sequences/test_tokenizers",
        'encoding="utf-8").read()',
        'encoding="utf-8", newline="").read()',
    ),
    _in(
        "sequences/named_split.py",
        "sequences/test_named_splits",
        'ORDER = ("train", "valid", "val", "test")',
        'ORDER = ("test", "train", "val", "valid")',
    ),
    _in(
        "sequences/corpus.py",
        "sequences/test_candidates",
        "return [text[begun.end() :] if begun else text.lstrip(_CONTINUES)]",
        "return [text.lstrip(_CONTINUES)]",
    ),
    _model("mixers", "if kernels and not beyond.any()", "if kernels", "architectures"),
    _in(
        "sequences/tokenizers/held_out.py",
        "sequences/test_labelled",
        "torch.cat([none, *(tokenizer.encode(text) for text in texts)])",
        'torch.cat([none, tokenizer.encode(b"\\n".join(texts))])',
    ),
    _in(
        "sequences/corpus.py",
        "sequences/test_labelled",
        "yield from self.separate",
        "yield from [*self.other_texts, *self.held_out_texts]",
    ),
    _in(
        "sequences/corpus.py",
        "sequences/test_labelled",
        "return [self.separate[number] for number in self.measured]",
        "return list(self.separate)",
    ),
    _in(
        "analysis.py",
        "checkpoints/test_whole_way",
        "if self.loaded.stream:",
        "if False:",
    ),
    _in(
        "checkpoints/load.py",
        "checkpoints/test_whole_way",
        "nonfinite({name: tensor for name, tensor in tensors.items() if name not in unused})",
        "nonfinite(tensors)",
    ),
    _in(
        "training/jsonl.py",
        "training/test_jsonl",
        'data = (b"\\n" if self._torn else b"") + line.encode()',
        "data = line.encode()",
    ),
    _in(
        "training/reading.py",
        "training/test_jsonl",
        "if line.step < training.start]",
        "if line.step <= training.start]",
    ),
    _in(
        "training/reading.py",
        "training/test_jsonl",
        "if self._torn and not begins:",
        "if self._torn:",
    ),
    _in(
        "training/reading.py",
        "training/test_story",
        "parse_constant=_refused, ",
        "",
    ),
    _in(
        "analysis.py",
        "checkpoints/test_one_training",
        "same = replace(asked, data=None,",
        "same = replace(asked,",
    ),
    _in(
        "models/own_record.py",
        "models/test_own_passes",
        "if self.open is None and within_backward():",
        "if self.open is None and False:",
    ),
    _in(
        "models/own_record.py",
        "models/test_own_passes",
        "seen.scale = self.scaler.get_scale()",
        "seen.scale = 1.0",
    ),
    _in(
        "models/own_record.py",
        "models/test_own_passes",
        "if call is not None and call.gradient is None:",
        "if call is not None:",
    ),
    _in(
        "models/own_pass.py",
        "models/test_own_passes",
        "dim=-1, dtype=torch.float64",
        "dim=-1, dtype=torch.float32",
    ),
    _in(
        "models/loop_sites.py",
        "models/test_own_passes",
        "time_first=len(shape) == 3 and shape[0] != batch",
        "time_first=False",
    ),
    _in(
        "models/own_passes.py",
        "models/test_own_passes",
        "given[place].detach().requires_grad_().clone()",
        "given[place].requires_grad_()",
    ),
    _in(
        "models/own_gates.py",
        "models/test_own_passes",
        "(input[:1] if rnn.batch_first else input[:, :1])",
        "(input[:, :1] if rnn.batch_first else input[:1])",
    ),
    _in(
        "models/own_hook.py",
        "models/test_own_passes",
        "return Hook, ()",
        "return Hook, (self._whose, self._seen)",
    ),
    _in(
        "probes/evidence/positions.py",
        "probes/test_loss_gradient",
        "constant_values=np.nan",
        "constant_values=0.0",
    ),
    _in(
        "probes/evidence/positions.py",
        "probes/test_loss_gradient",
        'norms[evidence["finite"]]',
        "norms",
    ),
    _in(
        "models/attended.py",
        "models/test_attending",
        '"training": False}',
        "}",
    ),
    _in(
        "models/attending.py",
        "models/test_attending",
        "if count > self._known[site]",
        "if False",
    ),
    _in(
        "training/alarms.py",
        "training/test_alarms",
        "{rule: before.get(rule, 0) + 1 for rule in fired}",
        "before | {rule: before.get(rule, 0) + 1 for rule in fired}",
    ),
    _in(
        "models/unnoticed.py",
        "models/test_unnoticed",
        "random.setstate(python)",
        "pass",
    ),
    _in(
        "models/unnoticed.py",
        "models/test_unnoticed",
        "part._buffers.clear()",
        "pass",
    ),
    _in(
        "probes/gradient_draw.py",
        "probes/test_gradient_draw",
        'found = derivatives.gradients("output", steps, vectors, window)',
        'found = derivatives.gradients("output", steps - 1, vectors, window)',
    ),
    _in(
        "training/session.py",
        "training/test_session",
        "self.updates += 1\n",
        "self.updates += 2\n",
    ),
    _in(
        "training/held_out.py",
        "training/test_session",
        "if result.cut_short:",
        "if False:",
    ),
    _in(
        "runner/cut.py",
        "runner/test_cut",
        "min(start + self.size, stop, block)",
        "min(start + self.size, stop)",
    ),
    _in(
        "runner/journal.py",
        "runner/test_journal",
        "if first in numbers:",
        "if True:",
    ),
    _in(
        "runner/part_files.py",
        "runner/test_journal",
        "np.load(file, allow_pickle=False)",
        "np.load(file, allow_pickle=True)",
    ),
    _in(
        "runner/rounds.py",
        "runner/test_rounds",
        "1 if needs.costs else self.ranks.size",
        "self.ranks.size",
    ),
    _in(
        "runner/life.py",
        "runner/test_torchrun",
        "> self._patience",
        "> 1e9",
    ),
    _in(
        "probes/evidence/leaks.py",
        "runner/test_rounds",
        "if few == 1:",
        "if False:",
    ),
    _in(
        "sequences/streams.py",
        "sequences/test_numbered_streams",
        "together = range(block * self.sequences, (block + 1) * self.sequences)",
        "together = missing",
    ),
    _in(
        "views.py",
        "test_views",
        "    page = re.sub(",
        "    _ = re.sub(",
    ),
    _in(
        "views.py",
        "test_views",
        'return shell if getattr(shell, "kernel", None) is not None else None',
        "return shell",
    ),
    Break(
        "reports/seqprobe_reports/markdown.py",
        '_LINKING.sub(rf"\\g<0>{_APART}", text)',
        "text",
        "tests/reports/test_markdown.py",
    ),
    Break(
        "reports/seqprobe_reports/markdown.py",
        'kept[: kept.rfind("\\n") + 1]',
        "kept",
        "tests/reports/test_markdown.py",
    ),
    Break(
        "src/seqprobe/results.py",
        '"attention": ("problem", "attention"),',
        '"attention": ("attention",),',
        "tests/reports/test_junit.py",
    ),
    Break(
        "reports/seqprobe_reports/junit.py",
        "for check in _checks(report)]",
        "for check in report.checks]",
        "tests/reports/test_junit.py",
    ),
    Break(
        "cli/seqprobe_cli/main.py",
        "except BrokenPipeError:",
        "except ZeroDivisionError:",
        "tests/cli/test_processes.py",
    ),
    Break(
        "cli/seqprobe_cli/main.py",
        "            _hush()\n",
        "",
        "tests/cli/test_processes.py",
    ),
    Break(
        "reports/seqprobe_reports/notebook.py",
        'id=f"{drawing.id}-{digest}"',
        "id=drawing.id",
        "tests/reports/test_notebook.py",
    ),
    Break(
        "reports/seqprobe_reports/figures/drawing.py",
        '"pdf.fonttype": 42',
        '"pdf.fonttype": 3',
        "tests/reports/test_paper.py",
    ),
    Break(
        "cli/seqprobe_cli/report.py",
        "return exit_code(reports, fail_on) if fail_on else 0",
        "return 0",
        "tests/reports/test_report_command.py",
    ),
    _in(
        "estimators/differences.py",
        "estimators/test_differences",
        "np.square(second - first)",
        "np.square(second + first)",
    ),
    _in(
        "estimators/differences.py",
        "estimators/test_differences",
        "chance > (1 - LEVEL) / (len(tested) - rank)",
        "chance > 1 - LEVEL",
    ),
    _in(
        "estimators/differences.py",
        "estimators/test_differences",
        "< SMOOTH * found.spread**2",
        "< 0",
    ),
    _in(
        "estimators/differences.py",
        "estimators/test_differences",
        "sure = found.exact or found.spread == 0",
        "sure = True",
    ),
    _in(
        "estimators/bootstrap.py",
        "estimators/test_bootstrap",
        "centred.T @ centred + np.ones",
        "draws.T @ draws + np.ones",
    ),
    _in(
        "embedded.py",
        "test_embedded",
        "self.inside = data and named.get",
        "self.inside = named.get",
    ),
    Break(
        "reports/seqprobe_reports/expectation.py",
        '"as expected" if sides[self.side] else "not as expected"',
        '"as expected"',
        "tests/reports/test_paradigm.py",
    ),
    Break(
        "reports/seqprobe_reports/assets.py",
        "sha256(self.text.encode())",
        "sha256(self.text.encode()[1:])",
        "tests/reports/test_page.py",
    ),
    _in(
        "results.py",
        "test_contracts",
        "kept = {sites[number] for number in (0, 1, *between)}",
        "kept = {sites[number] for number in between}",
    ),
    Break(
        "reports/seqprobe_reports/figures/axes.py",
        "if ceiling <= FLAT * top}",
        "}",
        "tests/reports/test_figures.py",
    ),
    _in(
        "diagnosis/storage.py",
        "diagnosis/test_rules",
        "or not above(density, FULL):",
        "or below(density, 0):",
    ),
    _in(
        "diagnosis/attention.py",
        "diagnosis/test_rules",
        "keys <= 2 ** (bits / 2):",
        "keys <= 2**bits:",
    ),
    _in(
        "diagnosis/verdict.py",
        "diagnosis/test_verdict",
        "if _used(case):",
        "if False:",
    ),
    _in(
        "diagnosis/reach.py",
        "diagnosis/test_rules",
        "return above(there, 0.0) and below(there, DEAD)",
        "return False",
    ),
    _in(
        "diagnosis/training.py",
        "diagnosis/test_broken_models",
        '    partial(gates_saturated, check="gradient-decay"),\n',
        "",
    ),
    _in(
        "estimators/decay.py",
        "estimators/test_decay",
        "beyond = distance - along[..., None] * power",
        "beyond = distance + 0 * along[..., None] * power",
    ),
    _in(
        "analysis.py",
        "diagnosis/test_broken_models",
        "    if bad:",
        "    if False:",
    ),
    _in(
        "diagnosis/gradients.py",
        "diagnosis/test_broken_models",
        "if not below(rate, -EXPLODING) or not below(steady, -EXPLODING):",
        "if not below(rate, -EXPLODING):",
    ),
    _in(
        "runner/ranks.py",
        "runner/test_cut",
        "(end * self.size - 1) // total",
        "int((end - len(batch) / 2) * self.size / total)",
    ),
    _in(
        "runner/rounds.py",
        "runner/test_rounds",
        "tuple((batch.start, batch.stop) for batch in left)",
        "tuple((batch.start, batch.stop - 1) for batch in left)",
    ),
    _in(
        "probes/states.py",
        "probes/test_states",
        "if site not in AT_THE_INPUT",
        "if site",
    ),
    _reference("linear_recurrences", "a = a * _later(a, shift)", "a = a * a"),
    _reference("linear_recurrences", "shift *= 2", "shift *= 3"),
    _reference("linear_recurrences", "(away >= 0)", "(away > 0)"),
    _reference("linear_recurrences", "[np.imag(own) != 0]", "[np.imag(own) > 9]"),
    _reference("min_recurrences", "sigmoid / (sigmoid + 0.5)", "sigmoid"),
    _reference("min_recurrences", "FORMS[self.form](1 - new,", "FORMS[self.form](new,"),
    _reference("convolutions", "(self.before, 0)", "(0, self.before)", "convolutions"),
    _reference("convolutions", "dilation=dilation)", "dilation=1)", "convolutions"),
    _in(
        "diagnosis/carry_over.py",
        "probes/test_carry_over",
        '"carry-over.chunk_error"',
        '"carry-over.equivalence_error"',
    ),
    *(
        _in(f"{file}.py", test, old, new)
        for file, test, old, new in (
            (
                "probes/evidence/predicting",
                "probes/test_forecasters",
                "(apart / self.noise.to(apart))",
                "(apart / self.noise.to(apart).mean())",
            ),
            (
                "probes/evidence/predicting",
                "probes/test_forecasters",
                ".where(apart != 0, 0.0)",
                "",
            ),
            (
                "probes/evidence/predicting",
                "probes/test_forecasters",
                "(2 * math.log(2))",
                "math.log(2)",
            ),
            (
                "probes/evidence/replaced",
                "probes/test_forecasters",
                "values[torch.from_numpy(generator.integers(len(values), size=count))]",
                "values[:count]",
            ),
            (
                "probes/order",
                "probes/test_forecasters",
                "tokens[torch.from_numpy(generator.permutation(len(tokens)))]",
                "tokens",
            ),
            (
                "runner/observe",
                "probes/test_forecasters",
                "range(min(SOME, self.needs.sequences))",
                "range(1)",
            ),
            (
                "estimators/readout",
                "estimators/test_readout",
                "inputs[:, half + 1 :]",
                "inputs[:, half:-1]",
            ),
            ("estimators/readout", "estimators/test_readout", "low > EXPLAINED", "explained > 0"),
            (
                "estimators/information/regression",
                "estimators/information/test_regression",
                "(1 - adjusted).maximum((1 - told) / (1 - noise))",
                "(1 - adjusted)",
            ),
            ("sequences/lagged", "sequences/test_lagged", "math.sqrt(1 - PHI**2) * new", "new"),
            (
                "sequences/labelled",
                "sequences/test_labelled",
                "self.targets[:, :-1, None] == self.inputs[:, 1:]",
                "self.targets[:, 1:, None] == self.inputs[:, 1:]",
            ),
            ("checkpoints/load", "checkpoints/test_whole_way", "predicts=made.predicts", ""),
            (
                "diagnosis/look_back",
                "diagnosis/test_look_back",
                "min(steps or 0, given)",
                "(steps or 0)",
            ),
            (
                "diagnosis/look_back",
                "diagnosis/test_look_back",
                'case.family != "memoryless"',
                "True",
            ),
            (
                "diagnosis/context",
                "diagnosis/test_look_back",
                "if case.real or needed is None",
                "if needed is None",
            ),
            ("diagnosis/wording", "diagnosis/test_look_back", "b([Tt])oken(s?)", "([Tt])oken(s?)"),
        )
    ),
    *(
        Break(f"benchmarks/claims/{file}.py", old, new, f"tests/benchmarks/test_{tests}.py")
        for file, tests, old, new in (
            ("decoding", "decoding", "position.weight[self.length]", "position.weight[0]"),
            ("decoding", "decoding", "(1 - new) * self.states", "new * self.states"),
            ("decoding", "decoding", "self.state = after if", "self.state = self.state if"),
            ("decoding", "decoding", ": self.length + 1]", ": self.length + 2]"),
            ("models", "decoding", "repeat(self.batch, 1)", "repeat(1, 1)"),
            ("costs", "decoding", "values, rtol=1e-6", "values, rtol=1"),
            ("costs", "kept", "if not warm:", "if warm:"),
            ("kept", "kept", "if not self.has(name):", "if True:"),
            ("curves", "curves", "[len(curve.lengths) // 2 :]", "[:]"),
            ("curves", "curves", "* a / (a - b)", "* b / (b - a)"),
            ("curves", "curves", "sign = 1 - 2 * cheaper", "sign = 1"),
            ("curves", "verdicts", ' * setting["batch"]', ""),
            ("small_data", "verdicts", "both[few] - both[many]", "both[many] - both[few]"),
            ("verdicts", "verdicts", 'return "cannot be told" if', 'return "holds" if'),
            (
                "verdicts",
                "verdicts",
                '"training", "attention", kind',
                '"training", kind, "attention"',
            ),
        )
    ),
    _in("contracts.py", "test_analysis", "length: int = sys.maxsize", "length: int = 256"),
    Break(
        "src/seqprobe/reference/language_models.py",
        "widths[max(above - 1, 0) : above + 1]",
        "widths[above : above + 1]",
        "tests/reference/test_width_for.py",
    ),
    *(
        _in(f"{name}.py", tests, old, new)
        for name, tests, old, new in (
            (
                "sequences/tasks",
                "sequences/test_learning_tasks",
                "since >= self.shortest",
                "since >= 1",
            ),
            (
                "sequences/tasks",
                "sequences/test_learning_tasks",
                "steps % (distances + 1)",
                "steps % (self.distance + 1)",
            ),
            (
                "sequences/tasks",
                "sequences/test_learning_tasks",
                "math.log(2 * self.distance)",
                "math.log(self.distance + 1)",
            ),
            (
                "sequences/corpus",
                "sequences/test_corpus_split",
                "shuffled[: round(share",
                "corpus.train[: round(share",
            ),
            ("sequences/asked", "sequences/test_asked", "_UNSEEN + n", "n"),
            (
                "reference/held_out",
                "reference/test_held_out",
                "logits.argmax(-1)",
                "logits.argmin(-1)",
            ),
            ("reference/held_out", "reference/test_held_out", " / math.log(2)", ""),
            (
                "reference/training",
                "sequences/test_reference_training",
                "self.best_step, self.best = self.step,",
                "self.best_step, self.best = self.step - 1,",
            ),
            (
                "reference/training",
                "sequences/test_reference_training",
                "time.monotonic() - saved >= SAVE_SECONDS",
                "False",
            ),
            (
                "reference/card",
                "sequences/test_reference_training",
                "self.model.load_state_dict(self.best)",
                "",
            ),
            (
                "probes/evidence/predicting",
                "cli/test_references",
                "if not observation.next_token",
                "if False",
            ),
            (
                "checkpoints/load",
                "cli/test_references",
                "made.stream, obstacle, made.data",
                "made.stream",
            ),
            (
                "analysis",
                "cli/test_references",
                "self.source != self.asked.data else",
                "False else",
            ),
        )
    ),
    _in("models/paths.py", "models/test_ledger", "last >= self.period", "False"),
    _in("models/paths.py", "models/test_ledger", "same is not None or last", "last"),
    _in("models/machine.py", "models/test_machine", "2 * size**3", "size**3"),
    _in(
        "models/machine.py",
        "models/test_machine",
        "set_flush_denormal(before)",
        "set_flush_denormal(True)",
    ),
    _in("runner/plan.py", "runner/test_budget", "max(fewest, round(", "max(1, round("),
    _in(
        "runner/budget.py",
        "runner/test_budget",
        'precision=0.02, exact=True, effort="full"',
        "precision=0.02",
    ),
    _in(
        "assembly.py",
        "test_analysis",
        "per_octave=PER_OCTAVE, also=(distance,)",
        "per_octave=PER_OCTAVE",
    ),
    _in("estimators/spaced.py", "estimators/test_spaced", "range(dense + 1)", "range(dense // 2)"),
    _evidence("kept", "float(self.lags[first - 1] + 1)", "float(self.lags[first] + 1)"),
    _evidence("kept", "float(self.lags[first])", "float(self.lags[first - 1])"),
    _evidence("recorded", "else torch.tensor(lags)", "else torch.arange(len(lags))"),
    _in("probes/jacobian_spectrum.py", "gpu/test_same_numbers", ", device=found.device)", ")"),
    _in(
        "models/untrained.py",
        "gpu/test_mixed_devices",
        'copied(_again(model.module), repeat(torch.device("cpu")))',
        "_again(model.module)",
    ),
    _in(
        "models/untrained.py",
        "gpu/test_mixed_devices",
        "copied(module, [each.device for each in model.tensors()])",
        "module",
    ),
    _in(
        "models/rerun.py",
        "gpu/test_mixed_devices",
        "differ(a, b).any(1).cpu()",
        "differ(a, b).any(1)",
    ),
    _in(
        "models/sequence_model.py",
        "gpu/test_mixed_devices",
        "return outputs.to(inputs.device)",
        "return outputs",
    ),
    _in("models/sequence_model.py", "gpu/test_mixed_devices", " and len(devices) == 1", ""),
    _in("models/embedding.py", "gpu/test_mixed_devices", "args[0].to(tokens.device)", "args[0]"),
    _in(
        "models/copied.py",
        "gpu/test_mixed_devices",
        'each.execution_device = torch.device("cpu")',
        "pass",
    ),
    _in(
        "models/random_state.py",
        "gpu/test_mixed_devices",
        "if device.type not in WITHOUT:",
        'if device.type == "cuda":',
    ),
    _in(
        "models/unnoticed.py",
        "gpu/test_mixed_devices",
        "for kind in kinds:",
        'for kind in {"cpu"}:',
    ),
    _in(
        "probes/evidence/repeated.py",
        "gpu/test_mixed_devices",
        "there = call.norms.device",
        "there = inputs.device",
    ),
    _in("models/precision.py", "gpu/test_precisions", "math.sqrt(spacing(dtype, device))", "0.0"),
    _in(
        "models/calling.py",
        "models/test_compiled",
        "slow_attention_path(), _uncompiled()",
        "slow_attention_path()",
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
        file.write_text(file.read_text().replace(broken.old, broken.new))
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


def refuse_what_is_not_there_once() -> None:
    """A fault has one place; all of BREAKS are looked at, whichever are tried."""
    counts = [(b, (ROOT / b.file).read_text().count(b.old)) for b in BREAKS]
    wrong = [f"{b.file} holds {b.old!r} {count} times" for b, count in counts if count != 1]
    if wrong:
        raise SystemExit("\n".join([*wrong, "Each should be there once: bring BREAKS up to date."]))


def main(words: list[str]) -> int:
    """Try all breaks, or those that a word names."""
    refuse_what_is_not_there_once()
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
