# Everything runs in .venv, made here: `make demo` and `make test` need python >= 3.11, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: demo test lint format types clean

# An editable install so that the command, the tests and a checkout under edit are one thing.
.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("kallima needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + ": make PYTHON=python3.12") if not (3, 11) <= sys.version_info[:2] < (3, 14) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch>=2.11,<2.14"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

# Four and a half minutes on two idle cores. The settings are those of a small machine; without them sngan is larger and slower.
demo: .venv/installed
	rm -rf $(DEMO)
	$(BIN)/kallima train sngan --data glyphs --width 32 --learning-rate 2e-3 --batch-size 64 --steps 3600 \
		--sample-every 250 --log-every 50 --out $(DEMO)
	$(BIN)/kallima evaluate $(DEMO) --metrics fid,kid,precision,recall,density,coverage
	$(BIN)/kallima sample $(DEMO) -n 64 --seed 1 --out $(DEMO)/new.png
	$(BIN)/kallima report $(DEMO)
	@echo
	@echo "Look at $(DEMO)/new.png (64 characters that nobody drew) and open $(DEMO)/report.html in a browser."

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: .venv/installed
	$(BIN)/python -m pytest -n auto

clean:
	rm -rf .venv runs .pytest_cache .ruff_cache .mypy_cache
