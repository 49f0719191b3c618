# SPDX-License-Identifier: Apache-2.0
"""Checks of the CDI specs, by which GPUs reach containers: that Podman finds each GPU, and that what they name exists.

Podman reads them at every start, as the service's account, and passes over a file that it cannot use without a word.
What makes it do so was seen on Podman 4.3: a mode that shuts the account out, broken text, a spec version above 0.5,
and a device that two files of one folder name. Of two folders the later one in :data:`CDI_FOLDERS` wins.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig

KIND = "nvidia.com/gpu"
CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
SPEC_FILE = f"{CDI_FOLDERS[0]}/nvidia.yaml"
SPEC_LIMIT_BYTES = 1024 * 1024
OLDEST_TOOLKIT = (1, 12)  # the first that names devices by UUID (its changelog, v1.12.0-rc.4)
PODMAN_WITHOUT_RUN = (5, 5)  # reads CDI_FOLDERS[0] alone (containers/common issue 2460)
PODMAN_OF_OLD_SPECS, OLD_SPECS = (4, 3), (0, 5)
NAMED = 3

Devices = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A file that is about GPUs, or cannot be read and may be.

    ``devices`` has the files of the host that each device wants, those wanted by all included. ``trouble`` is why
    Podman does not use the file, with the cure."""

    path: str
    devices: Devices = field(default_factory=dict)
    trouble: tuple[str, str] | None = None

    @property
    def folder(self) -> str:
        """Where it lies."""
        return self.path.rpartition("/")[0]


def check_cdi(patient: Patient, uuids: Sequence[str]) -> Iterator[Finding]:
    """Podman finds every GPU by its UUID, and what the spec hands to a container exists."""
    specs = [spec for folder in CDI_FOLDERS for spec in _specs(patient, folder)]
    usable = [spec for spec in specs if spec.trouble is None]
    names = {name for spec in usable for name in spec.devices}
    absent = [uuid for uuid in uuids if uuid not in names]
    lacking = bool(absent) or not any(_is_uuid(name) for name in names)
    report = fail if lacking else warn
    for spec in specs:
        if spec.trouble is not None and (lacking or spec.folder != CDI_FOLDERS[1]):
            seen, cure = spec.trouble
            yield report("cdi", f"{spec.path}: {seen}", cure)
    if not specs:
        yield fail("cdi", f"no spec for {KIND} in {' or '.join(CDI_FOLDERS)}", _generate(patient))
    elif usable and lacking:
        yield fail("cdi", _lack(usable, names, absent), _generate(patient, usable[-1].path))
    spoilt = False
    for finding in (*_clashes(usable, uuids), *_stale(patient, usable, uuids)):
        spoilt = True
        yield finding
    if usable and not lacking and not spoilt:
        paths = ", ".join(spec.path for spec in usable)
        if any(spec.folder == CDI_FOLDERS[0] for spec in usable):
            yield ok("cdi", f"spec in {paths}")
        else:
            yield warn("cdi", f"the spec is in {paths} only, which podman 5.5 does not read", _generate(patient))


def _lack(usable: Sequence[Spec], names: set[str], absent: Sequence[str]) -> str:
    paths = ", ".join(spec.path for spec in usable)
    if any(_is_uuid(name) for name in names):
        return f"the spec in {paths} does not name {', '.join(absent)}: it was made for other GPUs"
    shown = ", ".join(sorted(names)[:NAMED]) or "nothing"
    return f"the spec in {paths} does not name any GPU by its UUID, only {shown}"


def _clashes(usable: Sequence[Spec], uuids: Sequence[str]) -> Iterator[Finding]:
    """Two files of a folder that name one device: Podman then knows it by neither."""
    for uuid in uuids:
        holders = _holders(usable, uuid)
        if len(holders) > 1:
            paths = [spec.path for spec in holders]
            spare = [path for path in paths if path != SPEC_FILE] if SPEC_FILE in paths else paths[1:]
            yield fail(
                "cdi", f"{uuid} is named by {' and '.join(paths)}: podman takes neither", f"rm {' '.join(spare)}"
            )
            return


def _stale(patient: Patient, usable: Sequence[Spec], uuids: Sequence[str]) -> Iterator[Finding]:
    """Specs that want files which are no longer there, as after a driver upgrade."""
    wanted: dict[str, set[str]] = {}
    for uuid in uuids or sorted({name for spec in usable for name in spec.devices}):
        for spec in _holders(usable, uuid):
            wanted.setdefault(spec.path, set()).update(spec.devices[uuid])
    for path, files in wanted.items():
        gone = sorted(file for file in files if _is_gone(patient.machine.root / file.lstrip("/")))
        if gone:
            more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
            seen = f"{path} is stale: it names {', '.join(gone[:NAMED])}{more}, not on this host (an older driver's?)"
            yield fail("cdi", seen, _generate(patient, path))


def _holders(usable: Sequence[Spec], name: str) -> list[Spec]:
    """The files that a device is taken from: those of the last folder that names it."""
    for folder in reversed(CDI_FOLDERS):
        if found := [spec for spec in usable if spec.folder == folder and name in spec.devices]:
            return found
    return []


def _generate(patient: Patient, path: str = SPEC_FILE) -> str:
    """The command that makes the spec, with what it wants first."""
    command = f"nvidia-ctk cdi generate --device-name-strategy=uuid --output={path} && chmod 644 {path}"
    install = "apt-get install nvidia-container-toolkit (NVIDIA's own package source has it)"
    if patient.machine.find_program("nvidia-ctk") is None:
        return f"{install}, then: {command}"
    try:
        version = patient.machine.program_output(["nvidia-ctk", "--version"])
    except (OSError, SubprocessError):
        return command
    numbers = _numbers(version)
    if numbers and numbers < OLDEST_TOOLKIT:
        return f"{install}, since {'.'.join(map(str, numbers))} here cannot name GPUs by UUID, then: {command}"
    return command


# Reading


def _specs(patient: Patient, folder: str) -> Iterator[Spec]:
    place = patient.machine.root / folder.lstrip("/")
    try:
        files = sorted(file for file in place.iterdir() if file.suffix in {".json", ".yaml", ".yml"})
        shut = place.stat().st_mode & 0o005 != 0o005
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Spec(path=folder, trouble=(why(error), "sudo notebookd doctor"))
        return
    for file in files:
        spec = _spec(patient, f"{folder}/{file.name}", file)
        if spec is not None and shut and spec.trouble is None:
            spec = Spec(path=spec.path, trouble=("the service may not enter its folder", f"chmod 755 {folder}"))
        if spec is not None:
            yield spec


def _spec(patient: Patient, path: str, file: Path) -> Spec | None:
    """What a file says, None when it is about something else than GPUs."""
    try:
        text = _text(file)
    except (OSError, NotSeen) as error:
        cure = "sudo notebookd doctor" if isinstance(error, PermissionError) else f"rm {path}"
        return Spec(path=path, trouble=(why(error), cure))
    if KIND not in text:
        return None
    try:
        body = _parsed(text, json.loads if file.suffix == ".json" else _yaml)
    except NotSeen as error:
        return Spec(path=path, trouble=(f"no CDI spec: {error}", _generate(patient, path)))
    if body.get("kind") != KIND:
        return None
    return Spec(path=path, devices=_devices(body), trouble=_trouble(patient, path, file, body))


def _text(file: Path) -> str:
    if not file.is_file():
        raise NotSeen("not a file")
    with file.open("rb") as opened:
        data = opened.read(SPEC_LIMIT_BYTES + 1)
    if len(data) > SPEC_LIMIT_BYTES:
        raise NotSeen(f"more than {SPEC_LIMIT_BYTES} bytes: not a CDI spec")
    return data.decode("utf-8", "replace")


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise NotSeen("PyYAML is not installed, so that it cannot be looked at") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise NotSeen(f"broken YAML{where}") from error


def _parsed(text: str, parse: Callable[[str], Any]) -> dict[Any, Any]:
    try:
        body = parse(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotSeen(str(error).partition("\n")[0] or type(error).__name__) from error
    if not isinstance(body, dict):
        raise NotSeen("it is not an object")
    return body


def _trouble(patient: Patient, path: str, file: Path, body: Mapping[Any, Any]) -> tuple[str, str] | None:
    if file.suffix == ".yml":
        return "podman reads .yaml and .json alone", f"mv {path} {path.removesuffix('.yml')}.yaml"
    if not file.stat().st_mode & stat.S_IROTH:
        return "the service may not read it", f"chmod 644 {path}"
    podman = _podman(patient)
    if podman == PODMAN_WITHOUT_RUN and path.startswith(f"{CDI_FOLDERS[1]}/"):
        return f"podman 5.5 reads {CDI_FOLDERS[0]} alone", _generate(patient)
    version = str(body.get("cdiVersion"))
    if podman == PODMAN_OF_OLD_SPECS and _numbers(version) > OLD_SPECS:
        lower = f"sed -i -E 's/(cdiVersion\"?: *\"?)[0-9.]+/\\10.5.0/' {path}"
        return f"podman 4.3 does not read CDI version {version}", lower
    return None


def _podman(patient: Patient) -> tuple[int, ...]:
    """Major and minor version of the engine; empty when it does not say."""
    info = patient.engine
    return () if isinstance(info, NotSeen) else _numbers(str(dig(info, "version", "Version")))


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"([0-9]{1,6})\.([0-9]{1,6})", version)
    return () if found is None else (int(found[1]), int(found[2]))


def _devices(body: Mapping[Any, Any]) -> dict[str, frozenset[str]]:
    shared = _host_files(body)
    return {str(device.get("name")): shared | _host_files(device) for device in _objects(body.get("devices"))}


def _host_files(holder: Mapping[Any, Any]) -> frozenset[str]:
    edits = holder.get("containerEdits")
    if not isinstance(edits, dict):
        return frozenset()
    nodes = [node.get("hostPath") or node.get("path") for node in _objects(edits.get("deviceNodes"))]
    mounts = [mount.get("hostPath") for mount in _objects(edits.get("mounts"))]
    hooks = [hook.get("path") for hook in _objects(edits.get("hooks"))]
    return frozenset(path for path in (*nodes, *mounts, *hooks) if isinstance(path, str) and path.startswith("/"))


def _objects(value: object) -> list[dict[Any, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _is_uuid(name: str) -> bool:
    return name.startswith("GPU-")


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
