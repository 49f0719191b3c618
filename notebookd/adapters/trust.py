# SPDX-License-Identifier: Apache-2.0
"""What a container trusts where the configuration names certificates of its own: these, and the usual ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from notebookd import nofollow
from notebookd.domain.environment import CA_BUNDLE
from notebookd.errors import WorkspaceFault
from notebookd.ports.engine import Mount
from notebookd.ports.files import BUNDLES

LARGEST_BYTES = 8 * 1024 * 1024
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def lay_bundle(folder: Path, name: str, ca_file: Path, usual: bytes | None) -> Mount:
    """Write ``usual`` (by default, what this machine trusts) and the certificates of ``ca_file`` into one file below
    ``folder``, and tell how it is mounted. Waits for the disk. Raises OSError, and WorkspaceFault when ``ca_file`` is
    of no use."""
    text = bundle(ca_file, usual)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with nofollow.open_directory(folder) as opened:
        nofollow.replace_file(opened, name, text, mode=0o644)
    return Mount(source=str(folder / name), target=CA_BUNDLE, read_only=True)


def bundle(ca_file: Path, usual: bytes | None) -> bytes:
    """``usual`` (by default, what this machine trusts) and the certificates of ``ca_file``. Raises as above."""
    own = _read_ca(ca_file)
    known = usual if usual is not None else next(_readable(map(Path, BUNDLES)), b"")
    return known.rstrip(b"\n") + b"\n" + own.strip(b"\n") + b"\n"


def ca_fault(ca_file: Path) -> str | None:
    """What is wrong with a file of certificates."""
    try:
        text = ca_file.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    return None if _BEGIN in text else "it has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"


def _read_ca(ca_file: Path) -> bytes:
    if (fault := ca_fault(ca_file)) is not None:
        raise WorkspaceFault(f"cannot use {ca_file}, which ca_file of [notebooks] names: {fault}")
    return ca_file.read_bytes()


def _readable(files: Iterable[Path]) -> Iterator[bytes]:
    for file in files:
        try:
            yield file.read_bytes()
        except OSError:
            continue
