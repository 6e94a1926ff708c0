# Two commands do everything on a machine with Python 3.11 and a package registry:
#   make demo   runs the main job on drawn faces
#   make test   passes the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo

.PHONY: demo test check install clean

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Mien needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (PyTorch is large; this takes a few minutes once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,label,dev]'
	@touch $@

install: $(VENV)/installed

demo: install
	@$(BIN)/mien demo --out $(DEMO) --force

test: install
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_architecture.py

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache
