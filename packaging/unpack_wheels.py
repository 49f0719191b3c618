# SPDX-License-Identifier: Apache-2.0
"""``unpack_wheels.py WHEELS SITE``: what there is to import in each wheel, and nothing about this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile


def unpack(wheel: Path, site: Path) -> None:
    """Its modules and its metadata; scripts, headers and data files stay out, for nothing here uses any."""
    data = "-".join(wheel.name.split("-")[:2]) + ".data/"
    with ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(data) and not name.startswith((f"{data}purelib/", f"{data}platlib/")):
                continue
            if name.startswith(data) or name.endswith((".c", ".h", ".pyx", ".pxd")):
                continue
            archive.extract(name, site)


def main(wheels: str, site: str) -> None:
    """All of them, by name."""
    for wheel in sorted(Path(wheels).glob("*.whl")):
        unpack(wheel, Path(site))


if __name__ == "__main__":
    main(*sys.argv[1:])
