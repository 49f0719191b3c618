# SPDX-License-Identifier: Apache-2.0
"""Behind a proxy and a private CA: what notebooks, transfers and builds reach by the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd import wire
from tests.engine.live import Machine, quickstart
from tests.engine.walled import DAV, GIT, INDEX, Walled, walled

pytestmark = pytest.mark.engine

TRUSTED = "import ssl; print(len(ssl.create_default_context(cafile='/run/notebookd/ca-bundle.crt').get_ca_certs()))"


@pytest.fixture(scope="module")
def network() -> Iterator[Walled]:
    with walled() as served:
        yield served


@pytest.fixture(scope="module")
def machine(outer: Machine, network: Walled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    config = tmp_path_factory.mktemp("walled") / "notebookd.toml"
    config.write_text(network.settings)
    with quickstart("--gpus", "1", "--config", str(config)) as made:
        yield made


@pytest.fixture
def live(machine: Machine) -> Iterator[Machine]:
    yield machine
    print(machine.log()[-6000:])
    machine.clean_up()


def ask(live: Machine, *volumes: str, **env: str) -> str:
    spec = wire.NotebookSpec(
        env=wire.NotebookEnv(editor_id="jupyterlab", framework_id="conda"),
        env_vars=[wire.EnvVar(name=name, value=value) for name, value in env.items()],
        resources=wire.Resources(cpu=1),
        volumes=list(volumes),
    )
    notebook = live.client.create_notebook(spec).value.id
    live.made.append(notebook)
    live.await_state(notebook, "RUNNING")
    return notebook


def test_pip_installs_from_the_index_and_keeps_the_images_own_trust(live: Machine, network: Walled) -> None:
    notebook = ask(live)
    network.asked.clear()
    live.execute(notebook, "pip", "install", "--quiet", "teal")
    assert live.execute(notebook, "python3", "-c", "import teal; print(teal.COLOUR)") == "teal\n"
    assert set(network.asked) == {INDEX}
    own = live.execute(notebook, "grep", "-c", "BEGIN CERTIFICATE", "/etc/ssl/certs/ca-certificates.crt")
    assert int(live.execute(notebook, "python3", "-c", TRUSTED)) >= int(own) > 1
    bundle = live.execute(notebook, "grep", "-c", "BEGIN CERTIFICATE", "/run/notebookd/ca-bundle.crt")
    assert int(bundle) == int(own) + 1


def test_a_git_volume_and_a_datastore_come_and_go_by_the_proxy(live: Machine, network: Walled) -> None:
    (network.files / "in").mkdir(exist_ok=True)
    (network.files / "in" / "data").write_text("from the store\n")
    network.asked.clear()
    notebook = ask(live, f"https://{GIT}/code.git:/workspace/code:RO", "in@LAB:/workspace/in:RWD")
    assert live.execute(notebook, "cat", "/workspace/code/main.py") == "print('from git')\n"
    assert live.execute(notebook, "cat", "/workspace/in/data") == "from the store\n"
    live.execute(notebook, "sh", "-c", "echo back > /workspace/in/new")
    live.stop(notebook)
    assert Path(network.files, "in", "new").read_text() == "back\n"
    assert {GIT, DAV} <= set(network.asked)


def test_a_notebooks_own_proxy_goes_before_the_houses(live: Machine) -> None:
    notebook = ask(live, HTTPS_PROXY="http://mine:1")
    assert live.execute(notebook, "sh", "-c", "echo $HTTPS_PROXY-$https_proxy") == "http://mine:1-\n"


def test_an_image_is_built_by_the_proxy_and_keeps_nothing_of_it(live: Machine, network: Walled) -> None:
    network.asked.clear()
    done = live.ctl("image", "build", "walled", timeout_s=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert INDEX in network.asked
    told = live.ctl("config", "show").stdout
    assert "notebooks.env.https_proxy" in told
