# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from notebookd.config import parse_config
from notebookd.domain.catalogue import Catalogue
from notebookd.errors import ConfigError, NotFound

TORCH: dict[str, object] = {"editor": "jupyterlab", "framework": "pytorch", "version": "2.5", "image": "lab/torch:2.5"}
OLD_TORCH = TORCH | {"version": "2.4", "image": "lab/torch:2.4"}
VSCODE: dict[str, object] = {
    "editor": "vscode",
    "framework": "conda",
    "version": "py311",
    "image": "lab/code:1",
    "command": ["code-server", "--socket", "/run/editor/editor.sock"],
    "probe": "/healthz",
}


def catalogue(*images: dict[str, object], **tables: list[dict[str, object]]) -> Catalogue:
    return Catalogue.of(parse_config({"image": list(images), **tables}, source=None).images)


def test_without_configuration_there_is_jupyterlab_with_conda() -> None:
    entry = catalogue().get("jupyterlab", "conda")
    assert (entry.version, entry.image, entry.uid) == ("py311", "localhost/notebookd/jupyterlab:1", 42420)
    assert entry.probe == "/api"
    assert entry.command[:2] == ("jupyter-lab", "--no-browser")
    assert "--ServerApp.sock=/run/editor/editor.sock" in entry.command
    assert "--ServerApp.sock_mode=0660" in entry.command


def test_an_image_of_the_configuration_takes_the_rest_from_the_built_in_one_of_its_editor() -> None:
    offer = catalogue(TORCH)
    entry = offer.get("jupyterlab", "pytorch", "2.5")
    assert entry.image == "lab/torch:2.5"
    assert entry.command == offer.get("jupyterlab", "conda").command


def test_an_image_of_the_configuration_replaces_the_built_in_one_of_the_same_name() -> None:
    offer = catalogue({"editor": "jupyterlab", "framework": "conda", "version": "py311", "image": "mine:2"})
    assert [entry.image for entry in offer.entries] == ["mine:2"]


def test_what_an_editor_tells_of_itself_is_said_by_its_image_and_never_guessed_to_be_nothing() -> None:
    offer = catalogue(TORCH, VSCODE, VSCODE | {"version": "py312", "activity": "none"})
    assert offer.get("jupyterlab", "pytorch").activity == "jupyter"
    assert offer.get("vscode", "conda", "py311").activity == "jupyter"
    assert offer.get("vscode", "conda", "py312").activity == "none"
    with pytest.raises(ConfigError, match="activity"):
        catalogue(TORCH | {"activity": "some"})


def test_the_first_version_is_the_default_and_the_configuration_comes_first() -> None:
    offer = catalogue(TORCH, OLD_TORCH, TORCH | {"framework": "conda", "version": "py312", "image": "mine:3"})
    assert offer.get("jupyterlab", "pytorch").version == "2.5"
    assert [each.version for each in offer.versions("pytorch")] == ["2.5", "2.4"]
    assert offer.get("jupyterlab", "conda").version == "py312"
    assert offer.get("jupyterlab", "conda", "py311").image == "localhost/notebookd/jupyterlab:1"


def test_compatible_means_that_there_is_an_image() -> None:
    offer = catalogue(TORCH, VSCODE)
    assert {each.id for each in offer.compatible_editors("conda")} == {"jupyterlab", "vscode"}
    assert [each.id for each in offer.compatible_editors("pytorch")] == ["jupyterlab"]
    assert [each.id for each in offer.compatible_frameworks("vscode")] == ["conda"]
    assert offer.incompatible_with("vscode") == ("pytorch",)
    assert offer.versions("conda", editor="vscode")[0].editors == ("vscode", "jupyterlab")
    assert offer.versions("pytorch", editor="vscode") == ()


def test_an_editor_that_only_an_image_names_goes_by_its_id() -> None:
    editor = catalogue(VSCODE).find_editor("vscode")
    assert editor is not None
    assert editor.name == "vscode"


def test_a_described_editor_without_an_image_is_not_on_offer() -> None:
    offer = catalogue(editor=[{"id": "rstudio", "name": "RStudio"}])
    assert offer.find_editor("rstudio") is None


@pytest.mark.parametrize(
    ("asked", "part", "hint"),
    [
        (("jupiterlab", "conda", None), "editor", "'jupyterlab'"),
        (("jupyterlab", "pytorsh", None), "framework", "'pytorch'"),
        (("vscode", "pytorch", None), "framework", "conda"),
        (("jupyterlab", "pytorch", "2.6"), "version", "'2.5'"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(asked: tuple[str, str, str | None], part: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        catalogue(TORCH, VSCODE).get(*asked)
    assert caught.value.details["part"] == part
    assert hint in (caught.value.hint or "")
    assert catalogue(TORCH, VSCODE).find(*asked) is None


def test_each_image_is_listed_once() -> None:
    shared = TORCH | {"framework": "both"}
    assert catalogue(TORCH, shared).image_names() == ("lab/torch:2.5", "localhost/notebookd/jupyterlab:1")
