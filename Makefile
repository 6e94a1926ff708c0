# Two commands do everything on a machine with Python 3.11 and a package registry:
#   make demo   runs the main job on drawn faces
#   make test   passes the tests
# make test-core passes those of the small install, without PyTorch, at the lowest versions that it promises to run with.
PYTHON ?= python3
VENV   ?= .venv
CORE   ?= .venv-core
BIN    := $(VENV)/bin
DEMO   ?= demo

# Test files are compiled once, not anew by every worker and every command that the tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-core check install clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Mien needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The demo needs no more than training does; the tests and linters need all, and leave nothing to install for the demo.
$(VENV)/installed-demo: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (PyTorch is large; this takes a few minutes once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train]'
	@touch $@

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (PyTorch is large; this takes a few minutes once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,timm,label,serve,dev]'
	@touch $@ $(VENV)/installed-demo

install: $(VENV)/installed

demo: $(VENV)/installed-demo
	@$(BIN)/mien demo --out $(DEMO) --force

# More workers than cores: some tests wait for a server or a browser. conftest.py puts the longest files first.
test: install
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

$(CORE)/installed: pyproject.toml
	@rm -rf $(CORE)
	@$(PYTHON) -m venv $(CORE)
	@$(CORE)/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	@$(CORE)/bin/uv pip install --quiet --python $(CORE)/bin/python --resolution lowest-direct -e .
	@$(CORE)/bin/uv pip install --quiet --python $(CORE)/bin/python 'pytest>=8' 'pytest-xdist>=3.8' 'hypothesis>=6' \
	  'fairlearn>=0.11' 'onnx>=1.16'
	@touch $@

# Old versions warn of what newer ones beside them will no longer do: that is not ours to mend.
test-core: $(CORE)/installed
	@$(CORE)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -W default

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_architecture.py

clean:
	rm -rf $(VENV) $(CORE) $(DEMO) .pytest_cache .mypy_cache .ruff_cache
