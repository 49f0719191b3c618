# SPDX-License-Identifier: Apache-2.0
"""What becomes of the engine's seccomp profile. That it holds is tried in a container: tests/engine/test_set_id.py."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.podman.seccomp import UNSEEN, Profile, narrowed
from notebookd.errors import EngineError, EngineUnavailable

CAPS = {"caps": ["CAP_SYS_ADMIN"]}
BASE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        {
            "names": ["read", "chmod", "fchmodat", "open", "openat", "openat2", "creat", "mknod", "mkdir"],
            "action": "SCMP_ACT_ALLOW",
        },
        {"names": ["io_uring_setup", "setns", "fsopen"], "action": "SCMP_ACT_ALLOW", "includes": CAPS},
        {"names": ["mount", "clone"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["move_mount"], "action": "SCMP_ACT_ERRNO", "excludes": CAPS, "errnoRet": 38},
    ],
}
ALLOW = "SCMP_ACT_ALLOW"


def verdict(profile: Mapping[str, Any], name: str, *arguments: int) -> str:
    """What a filter of that profile says of a call, as libseccomp reads it."""
    said = {
        rule["action"] if rule["action"] == ALLOW else str(rule.get("errno"))
        for rule in profile["syscalls"]
        if name in rule["names"]
        and all(arguments[arg["index"]] & arg["value"] == arg["valueTwo"] for arg in rule.get("args") or ())
    }
    assert len(said) <= 1, f"{name}{arguments} can be read in two ways: {said}"
    return said.pop() if said else "default"


@pytest.mark.parametrize("bits", [0o4000, 0o2000, 0o6000])
@pytest.mark.parametrize("garbage", [0, 0x7FFF_0000_0000_0000])
def test_no_call_with_a_mode_sets_the_bits(bits: int, garbage: int) -> None:
    profile = narrowed(BASE)
    bad, good = 0o755 | bits | garbage, 0o1777 | garbage
    new, unnamed = os.O_CREAT | os.O_WRONLY, os.O_TMPFILE | os.O_RDWR
    for name, before in {"chmod": (0,), "creat": (0,), "mknod": (0,), "fchmodat": (3, 0)}.items():
        assert verdict(profile, name, *before, bad) == "EPERM"
        assert verdict(profile, name, *before, good) == ALLOW
    for name, before in {"open": (0,), "openat": (3, 0)}.items():
        for flags in (new, unnamed):
            assert verdict(profile, name, *before, flags, bad) == "EPERM"
            assert verdict(profile, name, *before, flags, good) == ALLOW
        # without one of these flags the kernel looks at no mode, and what stands there is anything
        assert verdict(profile, name, *before, os.O_RDONLY | os.O_DIRECTORY, bad) == ALLOW


def test_nothing_is_allowed_that_the_engines_own_refuses_and_nothing_else_is_lost() -> None:
    profile = narrowed(BASE)
    assert {key: profile[key] for key in BASE if key != "syscalls"} == {
        key: BASE[key] for key in BASE if key != "syscalls"
    }
    assert [verdict(profile, name) for name in ("read", "mkdir", "setns")] == [ALLOW] * 3
    (setns,) = [rule for rule in profile["syscalls"] if "setns" in rule["names"]]
    assert setns["includes"] == CAPS
    assert verdict(profile, "fchmodat2", 3, 0, 0o755) == "default"
    assert verdict(profile, "fchmod", 3, 0o755) == "default"
    assert BASE["syscalls"][0] in profile["syscalls"]


def test_nothing_is_mounted_whatever_the_engines_own_says() -> None:
    profile = narrowed(BASE)
    assert [verdict(profile, name) for name in ("mount", "fsopen", "move_mount")] == ["EPERM"] * 3
    assert verdict(profile, "clone") == ALLOW
    for name in ("mount", "fsopen", "move_mount"):
        (rule,) = [rule for rule in profile["syscalls"] if name in rule["names"]]
        assert not rule["args"], "without a condition"


def test_calls_whose_mode_lies_in_memory_are_as_if_the_kernel_had_them_not() -> None:
    assert [verdict(narrowed(BASE), name) for name in UNSEEN] == ["ENOSYS"] * len(UNSEEN)


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_ALLOW"},
        {"syscalls": [{"names": ["chmod"], "action": ALLOW, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
    ],
)
def test_a_profile_that_cannot_be_narrowed_for_sure_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"SCMP_ACT_ALLOW|some arguments"):
        narrowed(BASE | change)


# the file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.json"
    file.write_text(json.dumps(BASE))
    return file


def security(own: Path) -> dict[str, Any]:
    return {"seccompEnabled": True, "seccompProfilePath": str(own)}


def test_the_file_is_there_when_a_container_is_made_and_follows_the_engines_own(tmp_path: Path, own: Path) -> None:
    profile = Profile(tmp_path / "ours.json")
    file = profile.ready(security(own), "create")
    assert json.loads(file.read_text()) == narrowed(BASE)
    first = file.stat()
    assert profile.ready(security(own), "create").stat().st_ino == first.st_ino
    assert first.st_mode & 0o777 == 0o644
    file.unlink()
    assert profile.ready(security(own), "create").exists()
    own.write_text(json.dumps(BASE | {"syscalls": BASE["syscalls"][:1]}))
    assert "mkdir" not in profile.ready(security(own), "create").read_text()


@pytest.mark.parametrize("words", [None, "[]", "{}", "no JSON", json.dumps(BASE | {"defaultAction": ALLOW})])
def test_without_a_profile_of_the_engines_no_container_is_made(tmp_path: Path, own: Path, words: str | None) -> None:
    own.unlink() if words is None else own.write_text(words)
    with pytest.raises(EngineError, match=r"cannot create container x: cannot (read|use) the seccomp") as caught:
        Profile(tmp_path / "ours.json").ready(security(own), "create container x")
    assert "containers-common" in (caught.value.hint or "")


@pytest.mark.parametrize("change", [{"seccompEnabled": False}, {"seccompProfilePath": ""}])
def test_an_engine_without_seccomp_makes_no_container(tmp_path: Path, own: Path, change: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="has no seccomp profile"):
        Profile(tmp_path / "ours.json").ready(security(own) | change, "create")


def test_a_file_that_cannot_be_written_is_tried_again_later(tmp_path: Path, own: Path) -> None:
    profile = Profile(tmp_path / "absent" / "ours.json")
    with pytest.raises(EngineUnavailable, match="cannot write"):
        profile.ready(security(own), "create")
    (tmp_path / "absent").mkdir()
    assert profile.ready(security(own), "create").exists()
