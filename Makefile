# Two commands: `make demo` shows what seqprobe does, `make test` is what every change must pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CHECKPOINTS := $(addprefix data/seqprobe_data/checkpoints/,lstm.pt gru.pt attention.pt)

.PHONY: demo test clean

demo: $(VENV)/.installed
	$(BIN)/seqprobe compare $(CHECKPOINTS) --data stdlib -o demo/comparison.html

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt pip
	$(PIP) install $(shell grep '^torch==' constraints.txt)
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --group test
	touch $@

clean:
	rm -rf $(VENV) demo
