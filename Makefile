# The project's commands. `make up` and `make test` are all that a newcomer needs.
.PHONY: help up down install install-dev test test-vm check format protos lock

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

up: install  ## install, start a cluster of three nodes, run the quick start
	@.venv/bin/orch cluster up --nodes 3
	@deploy/quickstart.sh

down:  ## stop the cluster and remove all that it made
	@[ ! -x .venv/bin/orch ] || .venv/bin/orch cluster down

install:  ## what running needs: system packages, .venv, generated code
	@deploy/install.sh run

install-dev:  ## what tests and checks need as well
	@deploy/install.sh dev

test: install-dev  ## run all tests (as root; they clean up after themselves)
	@deploy/kubectl.sh
	@.venv/bin/pytest

test-vm: install-dev  ## run what depends on cgroups on pure v2, in an emulated virtual machine
	@deploy/vm/test.sh
	@deploy/vm/test.sh shutdown

check: install-dev  ## ruff, mypy --strict, import-linter, generated code
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@deploy/check-protos.sh

format:  ## let ruff format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

protos:  ## generate the code of protos/ anew
	@deploy/protos.sh .

lock: install-dev  ## write down the versions of all Python packages in .venv
	@.venv/bin/python deploy/lock.py
