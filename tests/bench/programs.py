# SPDX-License-Identifier: Apache-2.0
"""The editors that are started by hand: ours, with the catalogue's very words, and JupyterLab as pip installs it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
IMAGES = CHECKOUT / "contrib" / "images"
LOCK = IMAGES / "jupyterlab" / "requirements.lock"
STOCK_RECIPE = Path(__file__).parent / "stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What runs in a container, and where it answers when it is there."""

    image: str
    command: tuple[str, ...]
    probe: str


def of_catalogue(path: Path) -> Program:
    """The first image of a catalogue."""
    image = tomllib.loads(path.read_text(encoding="utf-8"))["image"][0]
    return Program(image=image["image"], command=tuple(image["command"]), probe=image["probe"])


JUPYTERLAB = of_catalogue(CHECKOUT / "notebookd" / "catalogue.toml")
VSCODE = of_catalogue(IMAGES / "vscode" / "catalogue.toml")
# All its defaults, but for the socket: a port would have to be published, which takes Podman longer.
STOCK = Program(
    image="localhost/notebookd/stock:1",
    command=("jupyter", "lab", "--ServerApp.sock=/run/editor/editor.sock"),
    probe="/api",
)
