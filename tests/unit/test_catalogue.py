# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.config import Config, load_config, parse_config
from notebookd.config.images import parse_reference
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


@pytest.mark.parametrize("command", [[], [""], [" ", "x"]])
def test_a_command_begins_with_a_program(command: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"command: must begin with a program"):
        catalogue(TORCH | {"command": command})


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
    assert ("vscode", "vscode") in [(each.id, each.name) for each in catalogue(VSCODE).editors]


def test_a_described_editor_without_an_image_is_not_on_offer() -> None:
    offer = catalogue(editor=[{"id": "rstudio", "name": "RStudio"}])
    assert "rstudio" not in [each.id for each in offer.editors]


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


def test_an_image_named_as_one_below_changes_only_what_it_says() -> None:
    key = {"editor": "jupyterlab", "framework": "conda", "version": "py311"}
    old, new = catalogue().get("jupyterlab", "conda"), catalogue(key | {"uid": 1000}).get("jupyterlab", "conda")
    assert (new.image, new.command, new.uid) == (old.image, old.command, 1000)


def test_an_editor_or_a_framework_named_as_one_below_changes_only_what_it_says() -> None:
    offer = catalogue(
        editor=[{"id": "jupyterlab", "version": "4.6"}], framework=[{"id": "conda", "name": "Python 3.11"}]
    )
    (editor,), (framework,) = offer.editors, offer.frameworks
    assert (editor.name, editor.version, editor.doc_url is None) == ("JupyterLab", "4.6", False)
    assert (framework.name, framework.description != "") == ("Python 3.11", True)


def test_a_deprecated_version_is_found_by_its_name_and_never_by_default() -> None:
    old = OLD_TORCH | {"deprecated": "take pytorch 2.5"}
    offer = catalogue(old, TORCH)
    assert offer.get("jupyterlab", "pytorch").version == "2.5"
    assert offer.get("jupyterlab", "pytorch", "2.4").deprecated == "take pytorch 2.5"
    assert [each.version for each in offer.versions("pytorch")] == ["2.5"]
    assert offer.deprecated_versions("pytorch") == {"2.4": "take pytorch 2.5"}


def test_what_is_deprecated_altogether_is_still_there_and_compatible_with_nothing() -> None:
    offer = catalogue(VSCODE | {"deprecated": "take jupyterlab"})
    assert "vscode" in [each.id for each in offer.editors]
    assert offer.deprecation("vscode") == "take jupyterlab"
    assert offer.deprecation("jupyterlab") is None
    assert offer.compatible_frameworks("vscode") == ()
    assert offer.find("vscode", "conda", "py311") is not None


def test_an_editor_may_be_called_incompatible_with_a_framework_that_it_has_an_image_with() -> None:
    editor: dict[str, object] = {"id": "vscode", "name": "VS Code", "incompatible_with": ["conda"]}
    offer = catalogue(VSCODE, VSCODE | {"framework": "pytorch"}, editor=[editor])
    assert offer.find("vscode", "conda") is None
    assert offer.incompatible_with("vscode") == ("conda",)


def test_saved_paths_lie_in_the_workspace_and_labels_are_nobody_elses() -> None:
    offer = catalogue(TORCH | {"saved_paths": ["/workspace", "/workspace/.conda"], "labels": {"team": "lab"}})
    assert offer.saved_paths("pytorch") == ("/workspace", "/workspace/.conda")
    assert offer.get("jupyterlab", "pytorch").labels == {"team": "lab"}
    for saved in ("/home", "/workspace/../etc", "workspace", "/workspaces"):
        with pytest.raises(ConfigError, match="saved_paths"):
            catalogue(TORCH | {"saved_paths": [saved]})
    for label in ({"ovh/id": "x"}, {"a b": "x"}, {"a": "x" * 256}):
        with pytest.raises(ConfigError, match="labels"):
            catalogue(TORCH | {"labels": label})


NAMES = ("mine:2", "lab/torch:2.5", "docker.io/library/debian:bookworm-slim", "127.0.0.1:5000/a__b/c-d.e_f:T-1_x")
HOSTILE = (
    *(
        "",
        " ",
        "A",
        "a:",
        "a:/etc",
        "oci-archive:/etc/shadow",
        "dir:/etc",
        "docker://a",
        "../a",
        "a/../b",
        "a//b",
        "/a",
    ),
    *(
        "a b",
        "a\n",
        "-a",
        "--privileged",
        "a@b",
        "a@sha256:00",
        "a?x=1",
        "a%2fb",
        "a;b",
        "$a",
        "a" * 256,
        "h:99999999/a",
    ),
)


@pytest.mark.parametrize("name", [*NAMES, f"a@sha256:{'0' * 64}", f"h:5/a:1@sha256:{'a' * 64}"])
def test_names_of_images(name: str) -> None:
    assert parse_reference(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_of_an_image(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of an image"):
        parse_reference(name)


# The folder catalogue.d


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "catalogue.d").mkdir()
    return tmp_path


def drop(etc: Path, name: str, text: str) -> None:
    (etc / "catalogue.d" / name).write_text(text)


def loaded(etc: Path, own: str = "") -> Config:
    (etc / "notebookd.toml").write_text(own)
    return load_config(etc / "notebookd.toml")


def faults(etc: Path, own: str = "") -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        loaded(etc, own)
    problems = caught.value.details["problems"]
    return [(Path(each["file"]).name, each["key"], each["message"]) for each in problems]


def image(version: str, name: str, *, framework: str = "pytorch", more: str = "") -> str:
    head = f'[[image]]\neditor = "jupyterlab"\nframework = "{framework}"\nversion = "{version}"\nimage = "{name}"\n'
    return head + more + "\n"


def test_files_of_the_folder_add_to_the_catalogue_by_name(etc: Path) -> None:
    drop(etc, "20-new.toml", image("2.6", "lab/torch:2.6"))
    drop(etc, "10-old.toml", image("2.5", "lab/torch:2.5") + '[[framework]]\nid = "pytorch"\nname = "PyTorch"\n')
    offer = Catalogue.of(loaded(etc).images)
    assert [each.version for each in offer.versions("pytorch")] == ["2.5", "2.6"]
    assert offer.get("jupyterlab", "conda").version == "py311"
    assert ("pytorch", "PyTorch") in [(each.id, each.name) for each in offer.frameworks]


def test_the_folder_goes_over_the_built_in_and_the_configuration_over_both(etc: Path) -> None:
    drop(etc, "a.toml", image("py311", "lab/conda:7", framework="conda", more='probe = "/a"') + image("2.5", "b:1"))
    config = loaded(etc, image("py311", "mine:1", framework="conda"))
    entry = Catalogue.of(config.images).get("jupyterlab", "conda")
    assert (entry.image, entry.probe) == ("mine:1", "/a")
    assert [each.image for each in config.images.entries] == ["mine:1", "b:1"]
    assert {"image[0]", "image[1]"} <= config.given
    assert "image[2]" not in config.given


def test_every_fault_of_every_file_is_named_with_its_file(etc: Path) -> None:
    drop(etc, "a.toml", image("2.5", "a:1", more='prob = "/x"\nuid = 0'))
    drop(etc, "b.toml", "[[image]\n")
    drop(etc, "c.toml", "[lifecycle]\n")
    (etc / "catalogue.d" / "d.toml").write_bytes(b"# caf\xe9")
    (etc / "catalogue.d" / "e.toml").symlink_to("nowhere")
    (etc / "catalogue.d" / "f.toml").mkdir()
    found = faults(etc, "x = 1")
    assert {(file, key) for file, key, _ in found} == {
        ("a.toml", "image[0].prob"),
        ("a.toml", "image[0].uid"),
        ("b.toml", ""),
        ("c.toml", "lifecycle"),
        ("d.toml", ""),
        ("e.toml", ""),
        ("f.toml", ""),
        ("notebookd.toml", "x"),
    }


def test_the_message_names_the_file_of_a_fault(etc: Path) -> None:
    drop(etc, "a.toml", "x = 1")
    with pytest.raises(ConfigError) as caught:
        loaded(etc)
    assert caught.value.message == (
        f"cannot use {etc}/notebookd.toml: {etc}/catalogue.d/a.toml: x: is not a known key "
        "(known: editor, framework, image)"
    )


def test_a_broken_configuration_does_not_hide_the_faults_of_the_folder(etc: Path) -> None:
    drop(etc, "a.toml", "no toml")
    assert [file for file, _, _ in faults(etc, "nor this")] == ["a.toml", "notebookd.toml"]


def test_two_files_may_say_the_same_and_not_contradict_each_other(etc: Path) -> None:
    editor = '[[editor]]\nid = "jupyterlab"\nname = "Lab"\n'
    drop(etc, "a.toml", editor + image("2.5", "a:1"))
    drop(etc, "b.toml", editor + image("2.5", "a:1"))
    assert [each.image for each in loaded(etc).images.entries][:1] == ["a:1"]
    drop(etc, "b.toml", editor.replace("Lab", "Lob") + image("2.5", "a:2"))
    assert [(file, key) for file, key, _ in faults(etc)] == [("b.toml", "editor[0].id"), ("b.toml", "image[0]")]


def test_what_stands_twice_in_one_file_is_a_fault(etc: Path) -> None:
    drop(etc, "a.toml", image("2.5", "a:1") + image("2.5", "a:1"))
    assert faults(etc) == [("a.toml", "image[1]", "jupyterlab pytorch 2.5 is there twice")]


def test_other_files_of_the_folder_are_not_read(etc: Path) -> None:
    drop(etc, "a.toml.dpkg-old", "no toml")
    drop(etc, ".a.toml", "no toml")
    assert len(loaded(etc).images.entries) == 1


def test_who_has_no_use_for_the_catalogue_does_not_read_the_folder(etc: Path) -> None:
    drop(etc, "a.toml", "no toml")
    (etc / "notebookd.toml").write_text("")
    assert load_config(etc / "notebookd.toml", catalogue=False).images.added == 0


def test_who_has_no_use_for_the_catalogue_is_not_held_up_by_what_leans_on_the_folder(etc: Path) -> None:
    editor = '[[editor]]\nid = "lab"\nincompatible_with = ["pytorch"]\n'
    drop(etc, "a.toml", image("1", "a:1", more='command = ["x"]').replace("jupyterlab", "lab"))
    assert loaded(etc, editor + image("2", "a:2").replace("jupyterlab", "lab")).images.added == 2
    assert load_config(etc / "notebookd.toml", catalogue=False).images.added == 0


# What an editor is not offered with

APART = '[[editor]]\nid = "jupyterlab"\nincompatible_with = ["conda", "pytorsh"]\n'


def test_an_editor_is_kept_apart_from_frameworks_that_there_are(etc: Path) -> None:
    drop(etc, "a.toml", APART)
    drop(etc, "b.toml", image("2.5", "b:1"))
    with pytest.raises(ConfigError) as caught:
        loaded(etc)
    assert caught.value.message.endswith(
        "catalogue.d/a.toml: editor[0].incompatible_with[1]: there is no framework 'pytorsh' (did you mean 'pytorch'?)"
    )


def test_the_frameworks_that_there_are_are_those_of_every_file(etc: Path) -> None:
    drop(etc, "a.toml", APART + '[[framework]]\nid = "pytorsh"\n')
    drop(etc, "b.toml", image("2.5", "b:1"))
    assert loaded(etc).images.editors[0].incompatible_with == ("conda", "pytorsh")


def test_an_editor_may_be_kept_apart_from_a_framework_that_is_not_there_yet(etc: Path) -> None:
    drop(etc, "a.toml", APART.replace("pytorsh", "tensorflow"))
    assert loaded(etc).images.editors[0].incompatible_with == ("conda", "tensorflow")


def test_who_says_an_editor_anew_is_not_blamed_for_what_the_file_below_keeps_it_apart_from(etc: Path) -> None:
    drop(etc, "a.toml", APART + image("2.5", "b:1"))
    assert len(faults(etc, '[[editor]]\nid = "jupyterlab"\nname = "Lab"\n')) == 1
