# SPDX-License-Identifier: Apache-2.0
"""What movers are rooted in: a skeleton of folders to mount things at, and the few files that every program wants."""

from __future__ import annotations

from pathlib import Path

from notebookd import nofollow
from notebookd.ports.engine import Mount

MOVER_UID = 42420
PROGRAM = "/program/notebookd/mover"
CERTIFICATES = ("/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki")
"""Where distributions keep what TLS trusts."""

_FOLDERS = (
    "dev", "proc", "sys", "run/notebookd", "tmp", "usr", "var/tmp", "etc",
    "job", "volume", "workspace", "repository", "secrets", PROGRAM, *CERTIFICATES,
)  # fmt: skip
_FILES = {
    "passwd": f"mover:x:{MOVER_UID}:{MOVER_UID}::/tmp:/bin/sh\n",
    "group": f"mover:x:{MOVER_UID}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "hostname": "mover\n",
    "resolv.conf": "",
}


def ensure_rootfs(root: Path) -> None:
    """Make it, or what of it is not there."""
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in _FOLDERS:
        here = root
        for part in Path(name.strip("/")).parts:
            here /= part
            here.mkdir(mode=0o755, exist_ok=True)
            here.chmod(0o755)  # whatever the umask is
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/usr", name).is_dir() and not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    with nofollow.open_directory(root, "etc") as etc:
        for name, text in _FILES.items():
            nofollow.replace_file(etc, name, text.encode(), mode=0o644)


def usual_mounts(program: Path, *, network: bool) -> tuple[Mount, ...]:
    """The mounts that every mover has: the host's programs, its own, and for a network what TLS trusts."""
    trusted = [Path(name) for name in CERTIFICATES if network and Path(name).is_dir()]
    return (
        Mount(source="/usr", target="/usr", read_only=True),
        Mount(source=str(program), target=PROGRAM, read_only=True),
        *(Mount(source=str(each), target=str(each), read_only=True) for each in trusted),
    )
