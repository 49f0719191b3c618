# SPDX-License-Identifier: Apache-2.0
"""Run in a container: every way that we know to leave a file with the set-user-ID or set-group-ID bit in a folder.

``set_id_attempts.py FOLDER [--daily]`` prints one JSON object: what each attempt came to, ``done`` or an error. With
``--daily`` it does what people do with files, instead. The standard library alone.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW = -100, 0x1000, 0x400
BOTH = stat.S_ISUID | stat.S_ISGID
NUMBERS = {
    "x86_64": {"open": 2, "creat": 85, "chmod": 90, "mknod": 133, "openat": 257, "openat2": 437, "fchmodat": 268,
               "fchmodat2": 452, "io_uring_setup": 425, "mknodat": 259, "mkdirat": 258, "move_mount": 429,
               "fsopen": 430, "fsconfig": 431, "fsmount": 432},
    "aarch64": {"openat": 56, "openat2": 437, "fchmodat": 53, "fchmodat2": 452, "io_uring_setup": 425, "mknodat": 33,
                "mkdirat": 34, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432},
}[os.uname().machine]  # fmt: skip
PROGRAM = b"#!/bin/sh\nid\n"
GARBAGE = 0x7FFF_0000_0000_0000
"""Above what the kernel looks at of a mode."""


def call(name: str, *arguments: int | bytes) -> int:
    """The kernel's call itself, past the C library."""
    passed = [ctypes.c_char_p(each) if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *passed)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def made(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_bytes(PROGRAM)
    file.chmod(0o755)
    return file


def chmod(mode: int) -> Callable[[Path], None]:
    return lambda folder: made(folder, f"chmod-{mode:o}").chmod(mode)


def raw_chmod(folder: Path) -> None:
    call("chmod", os.fsencode(made(folder, "raw-chmod")), 0o4755 | GARBAGE)


def fchmod(folder: Path) -> None:
    with made(folder, "fchmod").open("rb") as file:
        os.fchmod(file.fileno(), 0o6755)


def fchmodat(folder: Path) -> None:
    call("fchmodat", AT_FDCWD, os.fsencode(made(folder, "fchmodat")), 0o4755)


def fchmodat2(folder: Path) -> None:
    call("fchmodat2", AT_FDCWD, os.fsencode(made(folder, "fchmodat2")), 0o4755, 0)


def fchmodat2_by_descriptor(folder: Path) -> None:
    with made(folder, "fchmodat2-fd").open("rb") as file:
        call("fchmodat2", file.fileno(), b"", 0o2755, AT_EMPTY_PATH)


def by_proc(folder: Path) -> None:
    with made(folder, "by-proc").open("rb") as file:
        Path(f"/proc/self/fd/{file.fileno()}").chmod(0o4755)


def opened(flags: int, mode: int) -> Callable[[Path], None]:
    return lambda folder: os.close(os.open(folder / f"open-{flags:o}-{mode:o}", flags | os.O_WRONLY, mode))


def raw_open(folder: Path) -> None:
    os.close(call("open", os.fsencode(folder / "raw-open"), os.O_CREAT | os.O_WRONLY, 0o4755 | GARBAGE))


def creat(folder: Path) -> None:
    os.close(call("creat", os.fsencode(folder / "creat"), 0o4755))


def unnamed(folder: Path) -> None:
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o4755)
    os.write(fd, PROGRAM)
    _name(fd, folder / "unnamed")


def unnamed_then_changed(folder: Path) -> None:
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o755)
    os.write(fd, PROGRAM)
    try:
        Path(f"/proc/self/fd/{fd}").chmod(0o4755)
    finally:
        _name(fd, folder / "unnamed-changed")


def _name(fd: int, target: Path) -> None:
    os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)  # src_dir_fd: by linkat, which follows
    os.close(fd)


def openat2(folder: Path) -> None:
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    os.close(call("openat2", AT_FDCWD, os.fsencode(folder / "openat2"), _address(how), len(how)))


def io_uring(folder: Path) -> None:
    os.close(call("io_uring_setup", 1, _address(bytes(120))))


_KEPT: list[ctypes.Array[ctypes.c_char]] = []


def _address(data: bytes) -> int:
    _KEPT.append(ctypes.create_string_buffer(data, len(data)))
    return ctypes.addressof(_KEPT[-1])


def mknod(folder: Path) -> None:
    os.mknod(folder / "mknod", stat.S_IFREG | 0o4755)


def raw_mknod(folder: Path) -> None:
    call("mknod", os.fsencode(folder / "raw-mknod"), stat.S_IFREG | 0o2755, 0)


def mkdir(folder: Path) -> None:
    """The kernel takes no such bit here: what comes of it is looked at by the folder."""
    call("mkdirat", AT_FDCWD, os.fsencode(folder / "mkdir"), 0o6755)


def inherited(folder: Path) -> None:
    """A program in a folder whose group is handed down."""
    if (folder / "shared").is_dir():
        file = made(folder / "shared", "program")
        file.chmod(0o755 | (file.parent.stat().st_mode & stat.S_ISGID))


def of_the_image(make: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    def attempt(folder: Path) -> None:
        found = next(path for path in map(Path, ("/usr/bin/su", "/usr/bin/passwd", "/bin/su")) if path.exists())
        assert found.stat().st_mode & stat.S_ISUID, f"{found} is no program to try it with"
        make(found, folder / f"image-{getattr(make, '__name__', 'copy')}")

    return attempt


def unpacked(folder: Path) -> None:
    archive = folder / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("unpacked")
        entry.size, entry.mode = 0, 0o6755
        tar.addfile(entry)
    subprocess.run(["tar", "-xpf", archive, "-C", folder], check=True, stderr=subprocess.PIPE)


def in_user_namespace(script: str) -> Callable[[Path], None]:
    """As root of a user namespace of its own, with a mount namespace."""

    def attempt(folder: Path) -> None:
        made(folder, "program")
        words = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--propagation=unchanged",
            "sh",
            "-ec",
            script,
            __file__,
            str(folder),
        ]
        ended = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(" ".join(ended.stderr.split()))

    return attempt


COPY_UP = """
mkdir -p "$1/up" "$1/work" /tmp/merged
mount -t overlay overlay -o "lowerdir=LOWER,upperdir=$1/up,workdir=$1/work,userxattr" /tmp/merged
touch /tmp/merged/PROGRAM
"""
"""Overlayfs copies a file that is changed to the folder on top, bits included, and asks no filter."""

INT_80 = bytes.fromhex("53 89f8 89f3 4189d0 89ca 4489c1 cd80 5b 4898 c3")
"""A function of a number and three arguments that asks the kernel as a program of 32 bits does, by ``int 0x80``."""
NUMBERS_OF_32_BITS = {"open": 5, "creat": 8, "mknod": 14, "chmod": 15, "fchmodat": 306, "fchmodat2": 452}
X32 = 0x4000_0000


def by_32_bits(name: str, *arguments: int | bytes) -> Callable[[Path], None]:
    """A call with the numbers of i386; bytes are a name in the folder."""

    def attempt(folder: Path) -> None:
        page = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)  # 0x40: below 2 GiB
        page.write(INT_80)
        at = ctypes.addressof(ctypes.c_char.from_buffer(page))
        passed = [each for each in arguments if isinstance(each, int)]
        (called,) = [each for each in arguments if isinstance(each, bytes)]
        if name not in {"open", "creat", "mknod"}:
            made(folder, called.decode())
        path = os.fsencode(folder / called.decode()) + b"\0"
        page[4096 : 4096 + len(path)] = path
        passed.insert(arguments.index(called), at + 4096)
        result = ctypes.CFUNCTYPE(*[ctypes.c_long] * 5)(at)(NUMBERS_OF_32_BITS[name], *[*passed, 0, 0][:3])
        if result < 0:
            raise OSError(-result, name)

    return attempt


def chmod_of_x32(folder: Path) -> None:
    NUMBERS["chmod of x32"] = X32 | 90
    call("chmod of x32", os.fsencode(made(folder, "x32")), 0o4755)


OF_X86 = {
    "32 bits: chmod": by_32_bits("chmod", b"i-chmod", 0o4755),
    "32 bits: chmod, garbage above": by_32_bits("chmod", b"i-chmod-garbage", 0x7FFF_0000 | 0o4755),
    "32 bits: fchmodat": by_32_bits("fchmodat", AT_FDCWD, b"i-fchmodat", 0o6755),
    "32 bits: fchmodat2": by_32_bits("fchmodat2", AT_FDCWD, b"i-fchmodat2", 0o4755),
    "32 bits: creat": by_32_bits("creat", b"i-creat", 0o4755),
    "32 bits: open O_CREAT": by_32_bits("open", b"i-open", os.O_CREAT | os.O_WRONLY, 0o6755),
    "32 bits: mknod": by_32_bits("mknod", b"i-mknod", stat.S_IFREG | 0o4755),
    "x32: chmod": chmod_of_x32,
} if os.uname().machine == "x86_64" else {}  # fmt: skip

ATTEMPTS: dict[str, Callable[[Path], object]] = {
    **{f"chmod {mode:o}": chmod(mode) for mode in (0o4755, 0o2755, 0o6755, 0o7777, 0o4000)},
    "raw chmod, garbage above": raw_chmod,
    **OF_X86,
    "fchmod": fchmod,
    "fchmodat": fchmodat,
    "fchmodat2": fchmodat2,
    "fchmodat2 of a descriptor": fchmodat2_by_descriptor,
    "chmod by /proc/self/fd": by_proc,
    "open O_CREAT 4755": opened(os.O_CREAT, 0o4755),
    "open O_CREAT|O_EXCL 2755": opened(os.O_CREAT | os.O_EXCL, 0o2755),
    "raw open, garbage above": raw_open,
    "creat": creat,
    "O_TMPFILE, link": unnamed,
    "O_TMPFILE, chmod, link": unnamed_then_changed,
    "openat2": openat2,
    "io_uring": io_uring,
    "mknod": mknod,
    "raw mknod": raw_mknod,
    "mkdir": mkdir,
    "inherited group": inherited,
    "link to the image's": of_the_image(lambda found, target: os.link(found, target)),
    "rename of the image's": of_the_image(lambda found, target: found.rename(target)),
    "copy of the image's": of_the_image(shutil.copy),
    "tar -xp": unpacked,
    "user namespace, chmod": in_user_namespace('cp "$1/program" "$1/ns-chmod"; chmod 4755 "$1/ns-chmod"'),
    "user namespace, tmpfs": in_user_namespace(
        'mount -t tmpfs tmpfs /tmp; cp "$1/program" /tmp/p; chmod 4755 /tmp/p; cp -p /tmp/p "$1/ns-tmpfs"'
    ),
    "user namespace, the image's copied up": in_user_namespace(
        COPY_UP.replace("LOWER", "/usr/bin").replace("PROGRAM", "passwd")
    ),
    "user namespace, one from before copied up": in_user_namespace(
        COPY_UP.replace("LOWER", "$1/before").replace("PROGRAM", "program").replace("$1/up", "$1/taken")
    ),
    "user namespace, one from before copied up by the newer calls": in_user_namespace(
        'exec /usr/bin/python3 "$0" "$1" --copy-up'
    ),
    "user namespace, file capabilities": in_user_namespace(
        'cp /usr/bin/grep "$1/capable"; exec /usr/bin/python3 "$0" "$1" --capable'
    ),
}


def make_capable(folder: Path) -> None:
    """cap_setuid and cap_dac_override, permitted and effective, as ``setcap`` writes them."""
    os.setxattr(folder / "capable", "security.capability", struct.pack("<5I", 0x0200_0001, 1 << 7 | 1 << 1, 0, 0, 0))


def copy_up(folder: Path) -> None:
    """Mount an overlay by the calls that are newer than ``mount``."""
    top, work, merged = folder / "newer", folder / "newer-work", Path("/tmp/newer")
    for each in (top, work, merged):
        each.mkdir()
    context = call("fsopen", b"overlay", 0)
    options = {"lowerdir": folder / "before", "upperdir": top, "workdir": work}
    for name, value in options.items():
        call("fsconfig", context, 1, name.encode(), os.fsencode(value), 0)
    call("fsconfig", context, 0, b"userxattr", 0, 0)
    call("fsconfig", context, 6, 0, 0, 0)
    mounted = call("fsmount", context, 0, 0)
    call("move_mount", mounted, b"", AT_FDCWD, os.fsencode(merged), 4)
    os.utime(merged / "program")


def command(script: str) -> Callable[[Path], None]:
    def attempt(folder: Path) -> None:
        subprocess.run(["sh", "-ec", script], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return attempt


DAILY: dict[str, Callable[[Path], object]] = {
    "modes": command(
        "touch m; chmod 755 m; chmod u+x,g-w m; chmod 0000 m; mkdir -m 1777 t; install -m 0755 /usr/bin/env env"
    ),
    "a shared folder": command("mkdir shared/a; touch shared/a/b; test -g shared/a"),
    "copies": command("mkdir c; touch c/f; chmod 640 c/f; cp -a c d; cp -rp c e; cp /usr/bin/passwd plain"),
    "archives": command(
        "tar -cf a.tar c; mkdir x; tar -xpf a.tar -C x; tar -cf s.tar -C /usr/bin passwd; tar -xf s.tar -C x"
    ),
    "git": command("HOME=$PWD git -c user.name=a -c user.email=a@b init -q g; cd g; touch f; git add f; git gc -q"),
    "git, shared, told not to set g+s": command(
        "git init -q r; cd r; git config core.sharedRepository group; touch f; git -c core.sharedRepository=umask add f"
    ),
    "a virtual environment": command("/usr/bin/python3 -m venv --without-pip v; v/bin/python -c 'import ssl'"),
    "copytree": lambda folder: shutil.copytree(folder / "c", folder / "k"),
    "temporary files": command('/usr/bin/python3 -c \'import tempfile; tempfile.TemporaryFile(dir=".").write(b"x")\''),
    "attributes": lambda folder: os.setxattr(folder / "env", "user.note", b"x"),
    "pipes and sockets": command("mkfifo p; /usr/bin/python3 -c 'import socket; socket.socket(1).bind(\"s\")'"),
}
"""What people do with files, which has to go on working."""


def attempted(attempt: Callable[[Path], object], folder: Path) -> str:
    try:
        attempt(folder)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except subprocess.CalledProcessError as error:
        return str(error.stderr.decode().strip().splitlines()[0])
    except (RuntimeError, KeyError, StopIteration, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if "--capable" in sys.argv:
        make_capable(place)
        sys.exit()
    if "--copy-up" in sys.argv:
        copy_up(place)
        sys.exit()
    os.umask(0)
    tried = DAILY if "--daily" in sys.argv else ATTEMPTS
    print(json.dumps({name: attempted(attempt, place) for name, attempt in tried.items()}))
