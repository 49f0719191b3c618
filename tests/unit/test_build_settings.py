# SPDX-License-Identifier: Apache-2.0
"""What the configuration gives to a build of an image."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from notebookd.adapters.build_settings import build_settings
from notebookd.config import Surroundings

RECIPE = b'FROM base\nRUN set -eu; \\\n    echo RUN away\n  run echo two\nCMD ["RUN"]\n'


def packed(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def unpacked(context: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        return {entry.name: (file.read() if (file := archive.extractfile(entry)) else b"") for entry in archive}


def test_each_step_finds_pips_settings_and_the_certificates(tmp_path: Path) -> None:
    ca = tmp_path / "lab.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    env = {"PIP_INDEX_URL": "https://lab/simple", "https_proxy": "http://proxy:3128"}
    settings = build_settings(Surroundings(env=env, ca_file=ca))
    files = unpacked(settings.added_to(packed(Containerfile=RECIPE, other=b"RUN as it is\n")))
    mount = b"--mount=type=bind,source=.notebookd-build,target=/run/notebookd-build"
    assert files["Containerfile"] == RECIPE.replace(b"RUN set", b"RUN " + mount + b" set").replace(
        b"run echo", b"run " + mount + b" echo"
    )
    assert files["other"] == b"RUN as it is\n"
    assert b"index-url = https://lab/simple" in files[".notebookd-build/pip.conf"]
    assert b"cert = /run/notebookd-build/ca.crt" in files[".notebookd-build/pip.conf"]
    assert files[".notebookd-build/ca.crt"].endswith(b"-----BEGIN CERTIFICATE-----\n")
    assert settings.arguments["HTTPS_PROXY"] == "http://proxy:3128"


def test_a_configuration_that_says_nothing_leaves_the_context_as_it_is() -> None:
    context = packed(Containerfile=RECIPE)
    assert build_settings(Surroundings(env={}, ca_file=None)).added_to(context) is context
