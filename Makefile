# Everything below sets itself up: nothing needs installing by hand.
BIN := .venv/bin

.PHONY: setup demo test test-slow validate studies bench format clean

setup:
	@.ci/setup

demo: setup
	$(BIN)/bridge demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/bridge validate --quick

# Every printed number by every engine; goes on where it was stopped, and writes
# validation/report.html and report.md. The README shows its counts, also where numbers are not
# reached and the command says so by its exit code.
validate: setup
	$(BIN)/bridge validate --out validation; code=$$?; $(BIN)/python validation/summary.py; exit $$code

# The outcome, with date and versions, goes to validation/slow_tests.md.
test-slow: setup
	$(BIN)/python -m pytest -m slow --record-slow

# Table 1 of Leckie et al. (2014) by simulation, beside print: validation/studies/table1.md. Goes on
# where it was stopped.
studies: setup
	$(BIN)/bridge simulate validation/studies/table1.toml --out studies/table1
	$(BIN)/bridge simulate validation/studies/large.toml --out studies/large
	$(BIN)/python validation/studies/compare.py studies/table1 studies/large

# agq against targets and peers in R; the tables go to validation/benchmarks/agq.md.
bench: setup
	$(BIN)/python validation/benchmarks/agq.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find bridge tests -name __pycache__ -type d -prune -exec rm -rf {} +
