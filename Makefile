# Two commands: `make demo` shows what seqprobe does, `make test` is what every change must pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
export PYTHONDONTWRITEBYTECODE :=# what is imported is compiled then, once
CHECKPOINTS := $(addprefix data/seqprobe_data/checkpoints/,lstm.pt gru.pt attention.pt)

.PHONY: demo test mypy pyright lint-imports clean

demo: $(VENV)/.installed
	$(BIN)/seqprobe compare $(CHECKPOINTS) --data stdlib -o demo/comparison.html

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --jobs 2 --output-sync mypy pyright lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

mypy pyright lint-imports:
	$(BIN)/$@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt pip
	$(INSTALL) $(shell grep '^torch==' constraints.txt)
	$(INSTALL) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(INSTALL) --constraint constraints.txt --group test
	touch $@

clean:
	rm -rf $(VENV) demo
