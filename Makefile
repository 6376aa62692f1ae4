# The front door: `make demo` and `make test` need Python 3.11 and make, nothing else.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := .demo
MODELS := smollm2-135m qwen2.5-coder-0.5b
SHELL := bash
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo models test lint audit bench docs pictures format clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Smart Router needs Python 3.11 or newer"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

models: $(INSTALLED)  ## Fetch the two small local models of the demo
	@for model in $(MODELS); do SMARTROUTER_HOME=$(CURDIR)/$(DEMO)/home $(BIN)/smartrouter local pull $$model || exit 1; done

demo: $(INSTALLED) models  ## Route and battle in a real notebook on local models; no key, no server
	SMARTROUTER_HOME=$(CURDIR)/$(DEMO)/home $(BIN)/jupyter nbconvert --log-level=ERROR --execute \
	    --to notebook --output-dir $(DEMO) examples/first_steps.ipynb
	$(BIN)/jupyter nbconvert --log-level=ERROR --to html --output-dir $(DEMO) $(DEMO)/first_steps.ipynb
	@$(BIN)/python examples/show_result.py $(DEMO)/first_steps.ipynb
	@echo "The notebook with its answers: $(DEMO)/first_steps.ipynb (as a page: $(DEMO)/first_steps.html)"

test: $(INSTALLED) models  ## Run every test, with coverage; ends with pytest's closing line
	$(BIN)/coverage erase
	SMARTROUTER_TEST_MODELS=$(CURDIR)/$(DEMO)/home $(BIN)/coverage run -m pytest $(ARGS) | tee .pytest.log; exit $${PIPESTATUS[0]}
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report > coverage.txt || { cat coverage.txt; exit 1; }
	@echo "coverage of lines: $$($(BIN)/coverage report --format=total) %, see coverage.txt"
	@tail -n 1 .pytest.log

lint: $(INSTALLED)  ## Check format, lint, types, rooms, spelling and security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-timing 2>/dev/null || $(BIN)/lint-imports
	$(BIN)/codespell smartrouter_serve docs README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/bandit --quiet --recursive smartrouter_serve --severity-level medium

audit: $(INSTALLED)  ## Look for known holes in what is installed
	$(BIN)/pip-audit --skip-editable

bench: $(INSTALLED)  ## Measure every promise beside its peer
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.run $(ARGS)

docs: $(INSTALLED)  ## Write the generated pages and build the site
	$(BIN)/python -m docs.generate
	$(BIN)/mkdocs build --strict --quiet

pictures: $(INSTALLED)  ## Take the pictures of the docs anew, from real cells in a browser
	SMARTROUTER_PICTURES=$(CURDIR)/docs/pictures $(BIN)/python -m pytest tests/browser/test_pictures.py

format: $(INSTALLED)  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what was built; the environment stays
	rm -rf $(DEMO) site dist htmlcov coverage.txt .coverage*
