"""What the README shows is what a user gets."""

import shlex
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from seqprobe_cli.main import main

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = [example for example in find_examples(str(README)) if example.prefix == "python"]
COMMANDS = [line[2:] for line in README.read_text().splitlines() if line.startswith("$ seqprobe ")]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_python_blocks_run(example: CodeExample, eval_example: EvalExample):
    eval_example.run(example)


def test_there_is_something_to_check():
    assert len(COMMANDS) >= 4
    assert len(EXAMPLES) >= 1


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line):
    name, *arguments = shlex.split(line)[1:]
    command = main.commands[name]
    with command.make_context(name, arguments) as context:
        assert context.params


def test_the_bundled_models_are_described_by_their_cards():
    from seqprobe_data import checkpoints

    for path, card in checkpoints():
        assert path.stat().st_size < 5_000_000
        if "trigram_bits" not in card:  # of a task, not of text
            continue
        assert card["held_out_bits"] < card["trigram_bits"] - 0.5
        assert f"{card['held_out_bits']:.2f} ({_called(card['name'])})" in README.read_text()
        assert f"{card['trigram_bits']:.2f}" in README.read_text()


def _called(name: str) -> str:
    return name if name == "attention" else name.upper()
