# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd as PID 1, booted in a second on any machine where we are root.

A base file system is made once by mmdebstrap and kept outside the checkout; each machine is an overlay over it, in
namespaces and a cgroup of its own, with no network but its loopback, and leaves nothing behind. It is not a virtual
machine: the kernel is the host's, and so are the cgroup controllers it can have.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path("/var/cache/notebookd-machine")
# What the package depends on, so that it installs without a network, and what its tests use.
PACKAGES = (
    "apt-utils,ca-certificates,catatonit,crun,curl,dbus,dbus-user-session,debconf,git,init-system-helpers,"
    "libnss-myhostname,libpam-systemd,man-db,nginx,openssh-client,openssh-server,openssl,passt,passwd,podman,procps,"
    "python3,rclone,restic,slirp4netns,systemd,systemd-sysv,uidmap"
)
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root")
_PROGRAMS = ("mmdebstrap", "systemd-nspawn", "unshare", "nsenter", "setpriv")
_BOOT_S = 30.0
_SHUTDOWN_S = 150.0


class Unable(Exception):
    """This host cannot boot a machine; the text says why."""


def why_not() -> str | None:
    """Why this host cannot boot a machine; None when it can."""
    if os.geteuid() != 0:
        return "a machine is booted by root alone"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def ensure_base(suite: str = "bookworm") -> Path:
    """The base file system of a Debian release; made the first time, in half a minute, from Debian's archive."""
    if (reason := why_not()) is not None:
        raise Unable(reason)
    hooks = (
        # These would set the host's kernel.
        'ln -s /dev/null "$1/etc/systemd/system/systemd-sysctl.service"',
        'ln -s /dev/null "$1/etc/sysctl.d/60-notebookd.conf"',
        # Each boot has a log of its own, and a name.
        'rm -f "$1/etc/machine-id" && echo uninitialized >"$1/etc/machine-id"',
        'echo workstation >"$1/etc/hostname"',
        'printf "127.0.0.1 localhost workstation\\n::1 localhost\\n" >"$1/etc/hosts"',
        'chroot "$1" systemctl disable nginx ssh podman.service podman.socket podman-restart.service',
        'chroot "$1" systemctl disable podman-auto-update.timer podman-auto-update.service',
    )
    recipe = "\n".join((suite, PACKAGES, *hooks))
    base = CACHE / f"base-{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "base.lock"):
        if not base.is_dir():
            half = CACHE / "base.half"
            shutil.rmtree(half, ignore_errors=True)
            options = [f"--customize-hook={hook}" for hook in hooks]
            command = [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={PACKAGES}",
                *options,
                suite,
                str(half),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise Unable(f"cannot make a base of {suite}: {done.stderr[-2000:]}")
            half.rename(base)
            if not any(CACHE.glob("notebookd-machine-*")):  # else somebody may stand on an old one
                for old in CACHE.glob(f"base-{suite}-*"):
                    if old != base:
                        shutil.rmtree(old, ignore_errors=True)
    return base


class Machine:
    """A machine, booted or not. Its disk lasts as long as this object; see :func:`booted`."""

    def __init__(self, base: Path, scratch: Path, *, online: bool = False) -> None:
        self._base = base
        self._scratch = scratch
        self._online = online
        self._name = scratch.name
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0
        subprocess.run(["cp", "-a", str(base / "var"), str(scratch / "var")], check=True)

    # Power

    def start(self) -> None:
        """Boot, and wait until every unit that starts at boot has."""
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        with (self._scratch / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [*command, str(HERE / "nspawn"), str(self._base), str(self._scratch), self._name, *self._network()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._init = self._await(self._find_init, _BOOT_S, "the machine does not start")
        self._await(self._is_up, _BOOT_S, "the machine does not come up")

    def _network(self) -> Iterator[str]:
        yield "host" if self._online else "private"
        if self._online:
            yield from (f"--bind-ro={path}" for path in _trusted())

    def power_off(self) -> None:
        """Shut down as an admin would, and wait for the end of it."""
        assert self._process is not None
        self.run("systemctl", "poweroff", "--no-block")
        self._process.wait(timeout=_SHUTDOWN_S)
        self._end()

    def cut_power(self) -> None:
        """Every process is gone at once; what was written stays written."""
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        _end_cgroup(self._name)

    def _find_init(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Unable(f"the machine ended: {self.console()[-2000:]}")
        for nspawn in _children(self._process.pid):
            for child in _children(nspawn):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return child
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def _await(self, look: Callable[[], int], within_s: float, what: str) -> int:
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(OSError):
                if seen := look():
                    return seen
            if time.monotonic() > deadline:
                raise Unable(f"{what} in {within_s:.0f} s: {self.console()[-2000:]}")
            time.sleep(0.05)

    def console(self) -> str:
        """What the machine wrote on its console."""
        return (self._scratch / "console.log").read_text(errors="replace")

    # Inside

    def command(self, *argv: str, user: str | None = None) -> list[str]:
        """The argument list that runs a program inside, as root or as a user with their groups."""
        environment = (*ENVIRONMENT, *(_ways_out() if self._online else ()))
        enter = ["nsenter", "--target", str(self._init), "--all", "env", "-i", "--chdir=/", *environment]
        return [*enter, *(("runuser", "-u", user, "--") if user else ()), *argv]

    def run(
        self,
        *argv: str,
        user: str | None = None,
        check: bool = True,
        timeout_s: float = 60,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside. ``check`` makes a failure an assertion with what it said."""
        done = subprocess.run(
            self.command(*argv, user=user), capture_output=True, text=True, timeout=timeout_s, input=text, check=False
        )
        assert not check or done.returncode == 0, (
            f"{argv} as {user or 'root'}: {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
        )
        return done

    def popen(self, *argv: str, user: str | None = None) -> subprocess.Popen[str]:
        """Start a program inside, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*argv, user=user), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def beside(self, *argv: str) -> list[str]:
        """The argument list that runs a program of the host's on the machine's network."""
        return ["nsenter", "--target", str(self._init), "--net", "--", *argv]

    def put(self, source: Path, folder: str = "/var/cache/brought") -> str:
        """Bring a file in; its path inside. The folder is below /var, which is the host's disk."""
        target = self._scratch / folder.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return f"{folder}/{source.name}"


@contextmanager
def booted(suite: str = "bookworm", *, online: bool = False) -> Iterator[Machine]:
    """A machine that is up; at the end of the block nothing of it is left, however it ended.

    ``online`` gives it the host's network, proxies and trusted authorities, so that it can install more.
    """
    base = ensure_base(suite)
    _sweep()
    scratch = Path(tempfile.mkdtemp(prefix="notebookd-machine-", dir=CACHE))
    with locked(scratch / "lock"):
        machine = Machine(base, scratch, online=online)
        try:
            machine.start()
            yield machine
        finally:
            machine.cut_power()
            shutil.rmtree(scratch, ignore_errors=True)


def _ways_out() -> list[str]:
    """The settings of the host's environment by which programs reach package registries."""
    names = {
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    }
    return [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_") or name in names]


def _trusted() -> set[str]:
    """The files of authorities that those settings name."""
    values = (setting.partition("=")[2] for setting in _ways_out())
    return {value for value in values if value.startswith("/etc/ssl/") and Path(value).is_file()}


def _sweep() -> None:
    """Take away what a test run left that was killed: its lock is nobody's."""
    for scratch in CACHE.glob("notebookd-machine-*"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), locked(scratch / "lock", wait=False):
            _end_cgroup(scratch.name)
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """While this block lasts nobody else has the file, in another process neither. Raises BlockingIOError."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _end_cgroup(name: str) -> None:
    """End every process of a machine, and remove its cgroups."""
    script = """
        mount --make-rprivate /
        if [[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]]; then
            umount -R -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
        fi
        own=/sys/fs/cgroup/$1
        [[ -d $own ]] || exit 0
        echo 1 >"$own/cgroup.kill"
        for ((i = 0; i < 200; i++)); do
            find "$own" -depth -type d -exec rmdir {} \\; 2>/dev/null
            [[ -d $own ]] || exit 0
            sleep 0.05
        done
        exit 1
    """
    subprocess.run(["unshare", "--mount", "bash", "-c", script, "bash", name], check=True, timeout=30)


def _children(pid: int) -> Sequence[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
