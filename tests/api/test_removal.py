# SPDX-License-Identifier: Apache-2.0
"""DELETE /v1/notebook/{id}/archive: what goes, and what has to stay whoever asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.api.caller import NOWHERE, Api, Said
from tests.api.people import People


@pytest.fixture
async def notebook(api: Api) -> str:
    """One that runs."""
    return await api.create()


@pytest.fixture
def workspace(api: Api, notebook: str) -> Path:
    return api.world.config.paths.workspaces / notebook


async def remove(api: Api, notebook: str, path: str) -> Said:
    return await api.call("DELETE", f"/v1/notebook/{notebook}/archive?path={path}")


@pytest.mark.parametrize("path", ["a/b", "/workspace/a/b", "./a//b/"])
@pytest.mark.parametrize("stopped", [False, True])
async def test_a_folder_goes_with_all_that_is_in_it(
    api: Api, notebook: str, workspace: Path, path: str, stopped: bool
) -> None:
    (workspace / "a/b/c/d").mkdir(parents=True)
    (workspace / "a/b/c/file").write_text("x")
    (workspace / "a/b/c").chmod(0o500)
    (workspace / "a/other").write_text("x")
    if stopped:
        await api.order(notebook, "stop")
    assert (await remove(api, notebook, path)).status == 204
    assert [each.name for each in (workspace / "a").iterdir()] == ["other"]
    assert (await remove(api, notebook, path)).status == 404


async def test_a_link_goes_and_not_what_it_points_to(api: Api, notebook: str, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (workspace / "link").symlink_to(outside)
    (workspace / "folder").mkdir()
    (workspace / "folder/inner").symlink_to(outside)
    refused = await remove(api, notebook, "link/file")
    assert (refused.status, refused.code) == (409, "conflict")
    assert "a link" in refused.body["message"]
    for path in ("link", "folder"):
        assert (await remove(api, notebook, path)).status == 204
    assert (outside / "file").exists()
    assert not os.path.lexists(workspace / "link")


@pytest.mark.parametrize("path", ["", ".", "/workspace", "/workspace/", ".workspace.initialized"])
async def test_what_a_notebook_needs_stays(api: Api, notebook: str, workspace: Path, path: str) -> None:
    (workspace / "file").write_text("x")
    said = await remove(api, notebook, path)
    assert (said.status, said.code) == (409, "conflict")
    assert "notebookctl delete" in said.body["hint"]
    assert {"file", ".workspace.initialized"} <= {each.name for each in workspace.iterdir()}


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc/passwd", "a%00b", "x" * 5000])
async def test_a_path_that_leads_elsewhere_is_refused(api: Api, notebook: str, path: str) -> None:
    said = await remove(api, notebook, path)
    assert (said.status, set(said.faults)) == (400, {"$query.path"})


@pytest.mark.parametrize("path", ["deep", "deep/scratch", "deep/scratch/below"])
async def test_a_mounted_volume_is_not_taken_away(api: Api, path: str) -> None:
    notebook = await api.create(volumes=["standalone:/workspace/deep/scratch"])
    (api.world.config.paths.workspaces / notebook / "deep/beside").mkdir(parents=True)
    said = await remove(api, notebook, path)
    assert (said.status, said.code) == (409, "conflict")
    assert "/workspace/deep/scratch" in said.body["message"]
    assert (await remove(api, notebook, "deep/beside")).status == 204


async def test_files_are_their_owners(api: Api, notebook: str, workspace: Path, people: People) -> None:
    (workspace / "file").write_text("x")
    said = await api.ask_as(people.alice, "DELETE", f"/v1/notebook/{notebook}/archive?path=file")
    assert said.status == 403
    assert (await remove(api, NOWHERE, "file")).status == 404
    assert (workspace / "file").exists()
