# SPDX-License-Identifier: Apache-2.0
"""notebookctl from another machine: through the gateway's port, with a token. Every verb is tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notebookd.cli.main import VERBS, cli
from notebookd.gateway.patience import Patience
from tests.api.caller import Api
from tests.api.gateway_door import Door, door_of

FORBIDDEN = "(forbidden)"
HERE = "looks at the machine that it runs on"


@dataclass
class Afar:
    """The program at the other end of a tunnel."""

    door: Door

    async def __call__(self, *words: str, keys: str = "", token: str | None = None) -> Result:
        env = {"NOTEBOOKD_TOKEN": self.door.token if token is None else token, "BROWSER": "/nowhere"}
        address = f"http://localhost:{self.door.port}"
        done = await asyncio.to_thread(CliRunner().invoke, cli, ["--socket", address, *words], input=keys, env=env)
        await self.door.api.house.quiet()
        return done

    async def must(self, *words: str, keys: str = "") -> str:
        done = await self(*words, keys=keys)
        assert done.exit_code == 0, (words, done.output)
        return str(done.stdout)


@pytest.fixture
async def afar(api: Api, public_folder: Path) -> AsyncIterator[Afar]:
    async with door_of(api, public_folder, {"api": True}, Patience()) as door:
        yield Afar(door)


async def test_a_notebooks_whole_life(afar: Afar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no browser
    done: set[str] = set()

    async def must(*words: str) -> str:
        done.add(words[0])
        return await afar.must(*words)

    file, copy = tmp_path / "a", tmp_path / "b"
    file.write_text("hello")
    await must("run", "conda", "jupyterlab", "--name", "far", "--no-wait")
    assert "RUNNING" in await must("list")
    assert "http://" in await must("get", "far")
    assert "token=" in await must("url", "far")
    assert "token=" in await must("open", "far")
    assert "Its editor answers." in await must("why", "far")
    await must("logs", "far")
    assert await must("exec", "far", "--", "sh", "-c", "echo hello") == "hello\n"
    await must("cp", str(file), "far:a")
    await must("cp", "far:a", str(copy))
    assert copy.read_text() == "hello"
    await must("rm", "far:a")
    await must("label", "far", "team=vision")
    await must("extend", "far", "2d")
    await must("patch", "far", "--restart-on-timeout")
    await must("restart", "far", "--no-wait")
    await must("receipt", "far")
    await must("stop", "far", "--no-wait")
    await must("snapshot", "list", "far")
    await must("start", "far", "--no-wait")
    await must("rename", "far", "near")
    assert "notebook.changed" in await must("events")
    await must("queue")
    await must("gpu")
    assert "near" in await must("top", "--once")
    assert "total" in await must("usage")
    await must("capabilities")
    await must("datastore")
    await must("image")
    assert "root" in await must("me")
    await must("config", "show")
    await must("completion", "bash")
    await must("bugreport", str(tmp_path / "report.tar.gz"))
    await must("delete", "near", "--yes", "--force", "--no-wait")
    assert done | {verb.split()[0] for verb in NOT_BY_TOKEN} == set(VERBS)


# What a token may not do, or what is no matter of the daemon's, and what is said then.
NOT_BY_TOKEN = {
    "token": FORBIDDEN,
    "token create x": FORBIDDEN,
    "token renew 11111111-1111-4111-8111-111111111111": FORBIDDEN,
    "token delete x": FORBIDDEN,
    "gpu drain 0": FORBIDDEN,
    "gpu undrain 0": FORBIDDEN,
    "gpu clear 0": FORBIDDEN,
    "gpu release": FORBIDDEN,
    "gpu acquire": FORBIDDEN,
    "image build x": FORBIDDEN,
    "image pull x": FORBIDDEN,
    "image prepare x": FORBIDDEN,
    "image remove x": FORBIDDEN,
    "chown alice bob": FORBIDDEN,
    "backup FILE": FORBIDDEN,
    "doctor": HERE,
    "config check": HERE,
    "push-data 11111111-1111-4111-8111-111111111111": "(not-found)",
    "pull-data 11111111-1111-4111-8111-111111111111": "(not-found)",
}


@pytest.mark.parametrize("words", list(NOT_BY_TOKEN))
async def test_what_a_token_may_not_do_is_said(afar: Afar, tmp_path: Path, words: str) -> None:
    done = await afar(*words.replace("FILE", str(tmp_path / "copy")).split())
    assert done.exit_code in {1, 2}
    assert NOT_BY_TOKEN[words] in done.stderr
    assert ("hint: you act by the token in NOTEBOOKD_TOKEN" in done.stderr) == (FORBIDDEN in done.stderr)
    assert not (tmp_path / "copy").exists()


async def test_a_token_that_reads_is_told_so(api: Api, public_folder: Path) -> None:
    async with door_of(api, public_folder, {"api": True}, Patience(), role="ai_training_read") as door:
        afar = Afar(door)
        assert (await afar("list")).exit_code == 0
        done = await afar("run", "conda", "jupyterlab")
        assert (done.exit_code, "(forbidden)" in done.stderr) == (1, True)


async def test_without_a_token_the_way_to_one_is_said(afar: Afar) -> None:
    done = await afar("list", token="")
    assert done.exit_code == 1
    assert "hint: make one on the workstation, `notebookctl token create" in done.stderr


async def test_where_the_admin_has_not_opened_it_that_is_said(api: Api, public_folder: Path) -> None:
    async with door_of(api, public_folder, {}, Patience()) as door:
        done = await Afar(door)("list")
    assert done.exit_code == 1
    assert "is `[gateway] api = true` set there?" in done.stderr
