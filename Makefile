# `make demo` and `make test` need Debian's python3.11 with venv, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo setup test test-fast lint format screenshots clean

demo: $(VENV)/.demo-setup  ## the web demo on http://127.0.0.1:7860, with the bundled model
	$(BIN)/python app.py

setup: $(VENV)/.setup  ## create .venv and install what the project needs

test: $(VENV)/.test-setup  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.test-setup  ## those that need no browser, no launcher and no served app
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: $(VENV)/.test-setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test-setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(VENV)/.test-setup  ## the README's images, of phantoms
	SCREENSHOT=tests/browser/screenshots $(BIN)/python -m pytest tests/browser -k reads_a_label

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: Python's venv module is missing; on Debian: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps make the second run fast, and a changed requirements file installs again.
$(VENV)/.demo-setup: space/requirements.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r space/requirements.txt
	@touch $@

$(VENV)/.setup: requirements.txt $(VENV)/.demo-setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# What gradio's MCP server needs lies apart: it wants an older pydantic than everything else here runs with.
$(VENV)/.test-setup: tests/requirements.txt tests/requirements-mcp.txt $(VENV)/.setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	rm -rf $(VENV)/mcp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(VENV)/mcp -r tests/requirements-mcp.txt
	@touch $@
