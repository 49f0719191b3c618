# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from notebookd.adapters import recipes
from notebookd.adapters.recipes import RecipeFolder
from notebookd.config import load_config
from notebookd.domain.catalogue import Catalogue
from notebookd.errors import EngineError
from notebookd.ports.images import Recipe

SHIPPED = Path(__file__).parents[2] / "contrib" / "images"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny = tmp_path / "tiny"
    (tiny / "sub").mkdir(parents=True)
    (tiny / "Containerfile").write_text('ARG BASE="debian:12"\nFROM ${BASE}\nCOPY . /x\n')
    (tiny / "catalogue.toml").write_text('[[image]]\nimage = "localhost/t:1"\n[[image]]\nimage = "localhost/t:1"\n')
    (tiny / "sub" / "run").write_text("#!/bin/sh\n")
    (tiny / "sub" / "run").chmod(0o755)
    (tiny / "link").symlink_to("/etc/shadow")
    return tmp_path


async def test_a_recipe_names_its_images_once_and_its_base(folder: Path) -> None:
    assert await RecipeFolder(folder).list_recipes() == [
        Recipe(name="tiny", images=("localhost/t:1",), base="debian:12")
    ]


async def test_the_archive_holds_the_folder_and_follows_no_link(folder: Path) -> None:
    archive = await RecipeFolder(folder).read(Recipe(name="tiny"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = {each.name: each for each in tar.getmembers()}
    assert set(members) == {"Containerfile", "catalogue.toml", "link", "sub", "sub/run"}
    assert (members["link"].issym(), members["link"].linkname) == (True, "/etc/shadow")
    assert members["sub/run"].mode & 0o111
    assert {each.uid for each in members.values()} == {0}


async def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    shelf = RecipeFolder(folder)
    assert await shelf.read(Recipe(name="tiny")) == await shelf.read(Recipe(name="tiny"))


async def test_what_is_too_large_or_gone_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = RecipeFolder(folder)
    monkeypatch.setattr(recipes, "LARGEST_BYTES", 10)
    with pytest.raises(EngineError, match="larger than"):
        await shelf.read(Recipe(name="tiny"))
    (folder / "tiny" / "sub" / "run").unlink()
    (folder / "tiny" / "sub").rmdir()
    with pytest.raises(EngineError, match="cannot read recipe tiny"):
        await shelf.read(Recipe(name="tiny"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "it has no catalogue.toml"),
        ("no toml", "cannot be read"),
        ("", "names no image"),
        ('[[image]]\neditor = "x"\n', "names no image"),
        ('[[image]]\nimage = "../x"\n', "not the name of an image"),
        ("image = 3\n", "names no image"),
    ],
)
async def test_what_is_wrong_with_a_recipe_is_said(folder: Path, text: str | None, fault: str) -> None:
    file = folder / "tiny" / "catalogue.toml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    (recipe,) = await RecipeFolder(folder).list_recipes()
    assert recipe.images == ()
    assert fault in (recipe.fault or "")


async def test_other_folders_and_no_folder_are_no_recipes(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "UPPER").mkdir()
    (folder / "UPPER" / "Containerfile").write_text("FROM x")
    assert [each.name for each in await RecipeFolder(folder).list_recipes()] == ["tiny"]
    assert await RecipeFolder(folder / "nothing").list_recipes() == []


async def test_the_recipes_that_we_ship_have_no_fault() -> None:
    shipped = await RecipeFolder(SHIPPED).list_recipes()
    assert "jupyterlab" in [each.name for each in shipped]
    assert [each for each in shipped if each.fault or not each.images or not each.base] == []


def test_all_that_we_ship_can_be_offered_at_once(tmp_path: Path) -> None:
    (tmp_path / "catalogue.d").mkdir()
    for file in SHIPPED.glob("*/catalogue.toml"):
        (tmp_path / "catalogue.d" / f"{file.parent.name}.toml").symlink_to(file)
    (tmp_path / "notebookd.toml").touch()
    offer = Catalogue.of(load_config(tmp_path / "notebookd.toml").images)
    assert offer.find("jupyterlab", "conda") is not None
    assert all(entry.image.startswith("localhost/notebookd/") for entry in offer.entries)
