# make demo | test | test-e2e | check | pictures | bench | bench-gpu | bench-model | bench-versus — each sets up its own virtual environment first. Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Folder with HumanEval-SingleLineInfilling.jsonl.gz; without it the benchmarks cut their holes from this project's own files.
DATA ?=
# A folder made by lacuna-export corpus.
CORPUS ?= runs/corpus
TORCH := 2.13.0

.PHONY: demo test test-e2e check check-client bench bench-gpu bench-model bench-versus picture pictures clean

DEMO := -n 3 --seed 1

demo: $(VENV)/.base
	$(BIN)/lacuna fill demo/orders.py $(DEMO)

# The README's picture, drawn from what the demo prints.
picture: $(VENV)/.dev
	$(BIN)/python docs/picture.py $(DEMO)

# Pictures of VS Code at work, for the pages. Needs what the tests in VS Code need, and ImageMagick.
pictures: $(VENV)/.dev
	node tests/e2e/vscode/pictures.mjs $(BIN)/python docs/images

# Files side by side, on as many cores as there are; the tests of one file one after another, as they share what they set up.
test: check
	$(BIN)/python -m pytest -q -n auto --dist loadfile

# The real editors alone: VS Code, Neovim, Emacs.
test-e2e: $(VENV)/.dev
	$(BIN)/python -m pytest -q tests/e2e

check: $(VENV)/.dev check-client
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The extension for VS Code: types, lint and unit tests.
check-client:
	@if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null; then \
		cd vscode-client && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund; } \
			&& npm run --silent check && NODE_OPTIONS=--test-reporter=dot npm test --silent \
			&& node_modules/.bin/prettier --check --config .prettierrc.json '../tests/e2e/vscode/**/*.{mjs,cjs}'; \
	else \
		echo "left out: the checks of vscode-client, which need Node.js 20 or newer with npm"; \
	fi

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.passes
	$(BIN)/python -m benchmarks.decoders $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.cache $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.growth

# Against llama.cpp, which is compiled first.
bench-versus: $(VENV)/.dev
	CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" $(BIN)/python -m pip install -q --disable-pip-version-check -e '.[versus]'
	$(BIN)/python -m benchmarks.versus_llamacpp
	$(BIN)/python -m benchmarks.versus_llamacpp --shape base

# What an NVIDIA card gives. `python -m benchmarks.gpu --device cpu --quick` tries it without one.
bench-gpu: $(VENV)/.dev
	$(BIN)/python -m benchmarks.gpu

# What the default model is worth. Needs DATA and CORPUS.
bench-model: $(VENV)/.dev
	$(BIN)/python -m benchmarks.humaneval_infilling --data $(DATA) --alternatives 8
	$(BIN)/python -m benchmarks.calibration --corpus $(CORPUS)
	$(BIN)/python -m benchmarks.whole_fill

clean:
	rm -rf $(VENV) .vscode-test build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lacuna needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# What a user of the commands installs: no torch, so that a newcomer's first `make demo` waits little.
$(VENV)/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	touch $@

# torch comes first and by version: where the index or --find-links offers a CPU build (2.13.0+cpu) that one is taken, while a
# plain requirement may bring gigabytes of CUDA. To point at one: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check torch==$(TORCH)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[export,languages,dev]'
	touch $@ $(VENV)/.base
