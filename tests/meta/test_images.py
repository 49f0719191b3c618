# SPDX-License-Identifier: Apache-2.0
"""What holds for every recipe of contrib/images without building it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from notebookd.config.load import load_config

RECIPES = Path(__file__).parents[2] / "contrib" / "images"
NAMES = sorted(each.parent.name for each in RECIPES.glob("*/Containerfile"))


def test_there_is_a_recipe_for_each_framework_and_for_vscode() -> None:
    assert NAMES == ["huggingface", "jupyterlab", "pytorch", "sklearn", "tensorflow", "vscode"]


def test_all_catalogues_together_are_one_that_can_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue.d"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(RECIPES / name / "catalogue.toml", folder / f"{name}.toml")
    config = tmp_path / "notebookd.toml"
    config.touch()
    entries = load_config(config).images.entries
    assert {entry.image for entry in entries} == {f"localhost/notebookd/{name}:1" for name in NAMES}
    frameworks = {(entry.editor, entry.framework) for entry in entries}
    wanted = ("conda", "huggingface", "pytorch", "sklearn", "tensorflow")
    assert frameworks == {(editor, framework) for editor in ("jupyterlab", "vscode") for framework in wanted}
    for entry in entries:
        assert (entry.uid, entry.probe) == (42420, "/healthz" if entry.editor == "vscode" else "/api")


@pytest.mark.parametrize("lock", sorted(RECIPES.glob("*/*.lock")), ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_every_package_is_pinned_by_hash_and_none_by_address(lock: Path) -> None:
    text = "\n".join(line for line in lock.read_text().splitlines() if not line.startswith("#"))
    requirements = re.split(r"(?m)^(?=\S)", text)
    assert len(requirements) > 1
    for requirement in filter(str.strip, requirements):
        assert re.match(r"[a-z0-9-]+==\S+", requirement)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement
    assert "://" not in text


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vscode"])
def test_an_example_is_kept_without_outputs(name: str) -> None:
    example = json.loads((RECIPES / name / "example.ipynb").read_text())
    code = [cell for cell in example["cells"] if cell["cell_type"] == "code"]
    assert code
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert example["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vscode"])
def test_an_example_is_in_the_image(name: str) -> None:
    recipe = (RECIPES / name / "Containerfile").read_text()
    assert f" example.ipynb /usr/local/share/notebookd/examples/{name}.ipynb\n" in recipe


def test_recipes_stand_on_each_other_and_on_nothing_else() -> None:
    bases = {
        name: re.search(r"(?m)^ARG BASE=localhost/notebookd/(\S+):1$", (RECIPES / name / "Containerfile").read_text())
        for name in NAMES
    }
    assert {found[1] for found in bases.values() if found} <= {"base", *NAMES}
    assert all(bases.values())
