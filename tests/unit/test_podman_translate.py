# SPDX-License-Identifier: Apache-2.0
"""Podman's words in the port's: answers recorded from Podman 4.3.1."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from notebookd.adapters.podman.spec import create_body
from notebookd.adapters.podman.streams import LineJoiner, event_of, message_of, parse_header, parsed
from notebookd.adapters.podman.translate import (
    Inspected,
    error_of,
    image_of,
    info_of,
    is_mapping_race,
    network_command_of,
    parse_time,
)
from notebookd.errors import (
    ContainerMissing,
    DeviceUnresolvable,
    EngineError,
    ImageMissing,
    NameTaken,
)
from notebookd.ports.engine import ContainerSpec, ContainerStatus, Mount

STARTED = "2026-11-22T21:22:08.222911009Z"
YEAR_ONE = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("localhost/nope:1: image not known", ImageMissing),
        ('creating container storage: the container name "e1" is already in use by d162.', NameTaken),
        ("that name is already in use", NameTaken),
        ("setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=nope", DeviceUnresolvable),
        (
            'setting up CDI devices: failed to inject devices: failed to stat CDI host device "/dev/x"',
            DeviceUnresolvable,
        ),
        ('no container with name or ID "nope" found: no such container', ContainerMissing),
        ("statfs /nonexist: no such file or directory", EngineError),
    ],
)
def test_error_is_known_by_its_text(text: str, kind: type[EngineError]) -> None:
    error = error_of("create container x", text)
    assert type(error) is kind
    assert error.message == f"cannot create container x: {text}"


@pytest.mark.parametrize(
    "text",
    [
        "setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=nope",
        "crun: error stat'ing file `/usr/lib/libcuda.so.535.1`: No such file or directory: OCI runtime error",
        "crun: cannot stat `/usr/lib/libcuda.so.535.1`: No such file or directory: OCI runtime attempted to invoke",
        'crun: {"msg":"error executing hook `/usr/bin/nvidia-ctk` (exit code: 1)"}: OCI runtime error',
    ],
)
def test_what_a_cdi_spec_may_have_caused_names_the_doctor(text: str) -> None:
    assert "notebookd doctor" in (error_of("start container x", text).hint or "")
    assert error_of("start container x", "crun: no space left on device").hint is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (None, None),
        ("", None),
        (YEAR_ONE, None),
        ("2026-11-22T21:22:08Z", datetime(2026, 11, 22, 21, 22, 8, tzinfo=UTC)),
        (STARTED, datetime(2026, 11, 22, 21, 22, 8, 222911, tzinfo=UTC)),
        ("2026-11-22T22:22:08.5+01:00", datetime(2026, 11, 22, 21, 22, 8, 500000, tzinfo=UTC)),
    ],
)
def test_time_is_read(text: str | None, time: datetime | None) -> None:
    assert parse_time(text) == time


def inspected(state: str, *, started: str = STARTED, finished: str = YEAR_ONE, code: int = 0) -> Inspected:
    return Inspected.of(
        {
            "Id": "ab" * 32,
            "Name": "notebookd-x",
            "Image": "cd" * 32,
            "Config": {"Labels": None},
            "State": {
                "Status": state,
                "Pid": 7,
                "ConmonPid": 6,
                "StartedAt": started,
                "FinishedAt": finished,
                "ExitCode": code,
            },
        }
    )


@pytest.mark.parametrize(
    ("said", "alive", "status"),
    [
        (inspected("created", started=YEAR_ONE), False, ContainerStatus.CREATED),
        (inspected("initialized", started=YEAR_ONE), False, ContainerStatus.CREATED),
        (inspected("exited", started=YEAR_ONE, finished=STARTED, code=137), False, ContainerStatus.CREATED),
        (inspected("initialized", finished=STARTED), False, ContainerStatus.LOST),
        (inspected("created"), False, ContainerStatus.LOST),  # after an unclean reboot
        (inspected("running"), True, ContainerStatus.RUNNING),
        (inspected("paused"), True, ContainerStatus.RUNNING),
        (inspected("running"), False, ContainerStatus.LOST),
        (inspected("stopping"), False, ContainerStatus.LOST),
        (inspected("exited", finished=STARTED, code=3), False, ContainerStatus.EXITED),
        (inspected("stopped", finished=STARTED, code=3), False, ContainerStatus.EXITED),
        (inspected("exited"), False, ContainerStatus.LOST),
        (inspected("unknown"), False, ContainerStatus.LOST),
    ],
)
def test_state_is_what_podman_says_and_the_process_shows(said: Inspected, alive: bool, status: ContainerStatus) -> None:
    container = said.as_container(alive=alive)
    assert container.status is status
    assert (container.pid is not None) == (status is ContainerStatus.RUNNING)
    assert (container.exit_code == 3) == (status is ContainerStatus.EXITED)
    assert container.image_digest == "sha256:" + "cd" * 32


def test_container_that_was_made_ready_to_start_again_has_ended_before() -> None:
    ready = inspected("initialized", finished=STARTED).as_container(alive=True)
    assert (ready.status, ready.pid, ready.exit_code) == (ContainerStatus.EXITED, None, None)
    assert ready.finished_at == parse_time(STARTED)


def test_info_names_the_controllers_that_are_missing() -> None:
    body: dict[str, Any] = {
        "version": {"Version": "5.4.0"},
        "host": {
            "cgroupControllers": ["cpu", "io", "pids"],
            "rootlessNetworkCmd": "pasta",
        },
    }
    info = info_of(body, storage_known=False)
    assert info.missing_controllers == {"memory"}
    assert network_command_of(body) == "pasta"
    body["host"]["slirp4netns"] = {"executable": ""}
    assert network_command_of(body) == "pasta"
    body["host"]["slirp4netns"] = {"executable": "/usr/bin/slirp4netns"}
    assert network_command_of(body) == "slirp4netns"
    body["host"] = {"cgroupControllers": None}
    assert info_of(body, storage_known=False).missing_controllers == {"cpu", "memory", "pids"}
    assert network_command_of(body) == "slirp4netns"


def test_text_of_the_engine_that_is_not_utf8_is_replaced() -> None:
    assert parsed(b'{"Names": ["a\xff"]}') == {"Names": ["a\ufffd"]}
    assert message_of(b'{"message": "no such \xf8"}') == "no such \ufffd"
    assert message_of(b"\xf8, not JSON") == "\ufffd, not JSON"


def test_image_without_a_name_is_read() -> None:
    assert image_of({"Id": "ab", "RepoTags": None, "Size": 3}).names == ()


SPEC = ContainerSpec(
    name="notebookd-x",
    image="i",
    command=("jupyter", "lab"),
    env={},
    labels={},
    mounts=(Mount(source="/s", target="/t", read_only=True),),
    cpus=1.5,
    memory_bytes=2**30,
)


def test_limits_are_set_where_there_are_controllers() -> None:
    body = create_body(SPEC, controllers=frozenset({"cpu", "memory", "pids"}), network_command="slirp4netns")
    assert body["resource_limits"] == {
        "pids": {"limit": 4096},
        "cpu": {"quota": 150_000, "period": 100_000},
        "memory": {"limit": 2**30, "swap": 2**30},
    }


def test_limits_are_left_out_where_there_are_none() -> None:
    body = create_body(SPEC, controllers=frozenset({"io"}), network_command="slirp4netns")
    assert body["resource_limits"] == {"pids": {"limit": 0}}


@pytest.mark.parametrize(
    ("program", "option"), [("slirp4netns", "allow_host_loopback=false"), ("pasta", "--no-map-gw")]
)
def test_network_keeps_the_hosts_loopback_off_explicitly(program: str, option: str) -> None:
    body = create_body(SPEC, controllers=frozenset(), network_command=program)
    assert body["netns"] == {"nsmode": program}
    assert option in body["network_options"][program]


def test_images_entrypoint_and_health_check_are_set_aside() -> None:
    body = create_body(SPEC, controllers=frozenset(), network_command="pasta")
    assert (body["entrypoint"], body["command"]) == (["jupyter"], ["lab"])
    assert body["healthconfig"] == {"Test": ["NONE"]}
    assert "ro" in body["mounts"][0]["options"]


def test_frames_are_joined_into_lines() -> None:
    joiner = LineJoiner()
    assert parse_header(b"\x02\0\0\0\0\0\x01\x04") == (2, 260)
    assert joiner.feed("stdout", b"2026-11-22T21:22:08Z beg") is None
    other = joiner.feed("stderr", b"2026-11-22T21:22:09Z x y\n")
    assert other is not None
    assert (other.stream, other.content, other.at.second) == ("stderr", "x y", 9)
    line = joiner.feed("stdout", b"2026-11-22T21:22:10Z in\n")
    assert line is not None
    assert (line.content, line.at.second) == ("begin", 8)
    assert joiner.rest() == []
    assert joiner.feed("stdout", b"2026-11-22T21:22:10Z open") is None
    assert [rest.content for rest in joiner.rest()] == ["open"]


def test_line_without_an_end_does_not_grow_for_ever() -> None:
    joiner = LineJoiner()
    piece = b"2026-11-22T21:22:08Z " + b"x" * 8192
    lines = [line for _ in range(8) if (line := joiner.feed("stdout", piece))]
    assert [len(line.content) for line in lines] == [65536]


@pytest.mark.parametrize("length", [9_000, 60_000])
@pytest.mark.parametrize("character", ["é", "漢", "🙂"])
def test_no_character_is_cut_in_two(character: str, length: int) -> None:
    text = ("x" + character * length).encode()
    joiner = LineJoiner()
    pieces = [text[at : at + 8192] for at in range(0, len(text), 8192)]
    fed = [joiner.feed("stdout", b"2026-11-22T21:22:08Z " + piece) for piece in pieces]
    fed.append(joiner.feed("stdout", b"2026-11-22T21:22:09Z \n"))
    assert "".join(line.content for line in fed if line) == "x" + character * length


def test_what_is_not_utf8_is_replaced_and_not_waited_for() -> None:
    joiner = LineJoiner()
    line = joiner.feed("stdout", b"2026-11-22T21:22:08Z a\xffb\xe6\xbc\n")
    assert line is not None
    assert line.content == "a\ufffdb\ufffd"
    piece = b"2026-11-22T21:22:08Z " + b"\xff" * 65536
    assert (joiner.feed("stdout", piece) or line).content == "\ufffd" * 65536


def test_event_keeps_our_labels_only() -> None:
    event = event_of(
        {
            "Action": "died",
            "Actor": {"Attributes": {"name": "notebookd-x", "image": "i", "io.notebookd.run": "r", "other": "o"}},
        }
    )
    assert (event.container, event.kind, dict(event.labels)) == ("notebookd-x", "died", {"io.notebookd.run": "r"})


def test_a_spoilt_reading_of_the_subordinate_ids_is_told_from_other_refusals() -> None:
    text = "keep-id requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid: %!w(<nil>)"
    assert is_mapping_race(error_of("create container x", text))
    assert not is_mapping_race(error_of("create container x", "image not known"))
