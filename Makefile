# Penstock from a checkout. `make` alone prints what there is.
# Needs python3 (3.11 to 3.13, with venv) and make; everything else goes into .venv.

DATA   ?= ./data
LISTEN ?= 127.0.0.1:20004
KILLS  ?= 500
FUZZ   ?= 300
ARGS   ?=
BIN    := .venv/bin

# Given only when somebody asks for a certain Python: make PYTHON=python3.12 test
ifdef PYTHON
export PYTHON
endif

.DEFAULT_GOAL := help
.PHONY: help run test check setup setup-dev demo demo-dump faults fuzz bench bench-scale bench-dumps compatibility errors lock format clean

help: ## Print this
	@echo "make run    starts the server; make test checks everything. All targets:"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo 'Options: make run DATA=./data LISTEN=127.0.0.1:20004 ARGS="--limits relaxed"; make test ARGS="-k cursor";'
	@echo '         PYTHON=python3.12 with any of them, when .venv does not exist yet.'

run: setup ## Start the server on 127.0.0.1:20004 with its data in ./data
	@PENSTOCK_HINTS=1 exec $(BIN)/penstock serve --data $(DATA) --listen $(LISTEN) $(ARGS)

test: check ## Check style, types and import directions, then run all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

check: setup-dev ## Style, types and import directions only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: ## Make .venv with what the server needs
	@scripts/setup run

setup-dev: ## Make .venv with what tests, demo and benchmarks need too
	@scripts/setup dev

demo: setup-dev ## Stream 336,776 real flights through the official SDK, kill the server half-way, read all back
	@$(BIN)/python -m demo $(ARGS)

demo-dump: setup-dev ## Dump the flights into Parquet files and PostgreSQL, kill the dump process, compare both
	@$(BIN)/python -m demo.dumps $(ARGS)

faults: setup-dev ## The long run of the kill tests: make faults KILLS=500
	PENSTOCK_KILLS=$(KILLS) $(BIN)/python -m pytest tests/faults --timeout=0 $(ARGS)

fuzz: setup-dev ## Compare the two codecs on broken bodies, and libFuzzer where it is there: make fuzz FUZZ=300 (seconds)
	@scripts/fuzz $(FUZZ)

bench: setup-dev ## Measure puts and gets against Redis Streams, Kafka, kinesalite, moto and NATS JetStream
	@$(BIN)/python -m bench $(ARGS)

bench-scale: setup-dev ## Measure what growth costs: partitions, connections, consumers, retained data, streams; makes docs/plots
	@$(BIN)/python -m bench.scale $(ARGS)

bench-dumps: setup-dev ## Measure dump tasks into real servers, and what they cost the puts beside them
	@$(BIN)/python -m bench.dumps $(ARGS)

compatibility: setup-dev ## Run the tests and make docs/compatibility.md from what clients did in them
	@record=$$(mktemp -d) && PENSTOCK_TEST_RECORD=$$record $(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS); \
	$(BIN)/python -m tests.compatibility write $$record

errors: setup-dev ## Make docs/errors.md from the table of error codes
	@$(BIN)/python -c 'from penstock.errors import page; print(page(), end="")' >docs/errors.md

lock: ## Resolve requirements/*.txt again (UPGRADE=1: to the newest versions)
	@scripts/lock

format: setup-dev ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove .venv and caches; ./data stays
	rm -rf native/target native/fuzz/target native/fuzz/corpus
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests bench demo -name __pycache__ -type d -prune -exec rm -rf {} +
