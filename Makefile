# SPDX-License-Identifier: Apache-2.0
# For developers. Everything here is a plain script or a tool of .venv, which `make prepare` fills.

bin := .venv/bin
scripts := contrib/quickstart contrib/gpu-check contrib/lib/service contrib/lib/engine-namespace tests/run .ci/run docs/build \
	$(addprefix contrib/images/,build $(addprefix jupyterlab/,build rootfs trim add-packages settle welcome) \
	$(addprefix vscode/,code-server build-editor add-extensions)) systemd/notebookd-engine systemd/stop-containers \
	packaging/build packaging/build-wheels $(addprefix packaging/debian/,config preinst postinst prerm postrm) tests/machine/nspawn

.PHONY: run test test-fast check bench bench-peers deb wheels docs prepare

run:
	contrib/quickstart

test:
	tests/run

# As any user, with no engine and nothing installed: what a change of the house is tried with again and again.
test-fast:
	tests/run --fast

check: prepare
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy
	$(bin)/lint-imports
	shellcheck --external-sources --exclude=SC2034,SC2154 $(scripts)

# make bench ONLY="one crowd" measures some of it; `.venv/bin/python -m tests.bench --help` lists the parts.
bench: prepare
	contrib/quickstart --gpus 10 --image vscode -- $(bin)/python -m tests.bench $(ONLY)

# Beside JupyterHub with its simple spawner, which PyPI and npm give, in .cache/peers.
bench-peers: prepare
	contrib/quickstart --gpus 10 -- $(bin)/python -m tests.bench peers

docs: prepare
	$(bin)/python -m tests.meta.lifecycle_doc
	$(bin)/python -m tests.meta.api_doc
	docs/build

deb:
	packaging/build

wheels:
	packaging/build-wheels

prepare:
	@tests/run --prepare
