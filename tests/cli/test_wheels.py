# SPDX-License-Identifier: Apache-2.0
"""The wheels that packaging/build-wheels makes, installed as somebody elsewhere does it."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from notebookd.testing.house import make_world
from tests.api.fuzzing import served
from tests.api.test_readme import script
from tests.meta.test_architecture import imports

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)  # pip fetches


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Their paths by what they are of."""
    folder = tmp_path_factory.mktemp("dist")
    command = [ROOT / "packaging/build-wheels", "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(line).name.partition("-")[0]: Path(line) for line in done.stdout.splitlines()}


def environment(folder: Path, *wheels: Path) -> Path:
    """A fresh environment with these wheels; its folder of programs."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True)
    done = subprocess.run([folder / "bin/pip", "install", *wheels], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def installed(programs: Path) -> set[str]:
    said = subprocess.run([programs / "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    return {each["name"] for each in json.loads(said)} - {"pip", "setuptools"}


def test_the_readmes_script_runs_with_the_client_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    programs = environment(tmp_path / "env", wheels["notebookd_client"])
    assert installed(programs) == {"notebookd-client", "msgspec"}
    with served(make_world(tmp_path), tmp_path) as house:
        env = {"NOTEBOOKD_SOCKET": str(house.api.socket), "PATH": os.environ["PATH"]}
        command = [programs / "python", "-c", script()]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "token=" in done.stdout.splitlines()[0]


@pytest.mark.long
def test_the_command_line_comes_with_what_it_wants(wheels: dict[str, Path], tmp_path: Path) -> None:
    programs = environment(tmp_path / "env", wheels["notebookd_client"], wheels["notebookctl"])
    with served(make_world(tmp_path), tmp_path) as house:
        env = {"NOTEBOOKD_SOCKET": str(house.api.socket), "PATH": os.environ["PATH"]}
        for words in (["run", "conda", "jupyterlab"], ["list"], ["top", "--once"], ["me", "-o", "yaml"]):
            command = [programs / "notebookctl", *words]
            done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
            assert (done.returncode, done.stderr) == (0, ""), words
            assert done.stdout


def test_the_same_sources_give_the_same_bytes(wheels: dict[str, Path], tmp_path: Path) -> None:
    again = subprocess.run(
        [ROOT / "packaging/build-wheels", "--output", tmp_path], capture_output=True, text=True, check=True
    )
    for line in again.stdout.splitlines():
        assert Path(line).read_bytes() == wheels[Path(line).name.partition("-")[0]].read_bytes()


def test_the_modules_are_split_with_nothing_twice(wheels: dict[str, Path]) -> None:
    names = {
        name: {each for each in zipfile.ZipFile(path).namelist() if each.startswith("notebookd/")}
        for name, path in wheels.items()
    }
    assert not names["notebookd_client"] & names["notebookctl"]
    everything = {
        str(file.relative_to(ROOT))
        for folder in ("cli", "client", "wire")
        for file in (ROOT / "notebookd" / folder).rglob("*.py")
    }
    assert everything <= names["notebookd_client"] | names["notebookctl"]


def test_what_they_import_of_ours_is_in_them(wheels: dict[str, Path]) -> None:
    there = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in wheels.values()
        for name in zipfile.ZipFile(path).namelist()
    }
    for module in sorted(each for each in there if f"{each}.".startswith("notebookd.")):
        file = ROOT / module.replace(".", "/")
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        for name in imports(file):
            if name.startswith("notebookd."):
                assert name in there or name.rpartition(".")[0] in there, (module, name)
