# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration again: what changes, what waits for a restart, and what a broken file does."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.directory import SystemDirectory
from notebookd.config import Config, load_config, parse_config
from notebookd.config.reload import differences, reloaded
from notebookd.reload import Absences, Reload
from notebookd.testing.clock import FakeClock

OLD = parse_config({}, source=None)
AT_ONCE: Mapping[str, Any] = {
    "lifecycle": {
        "max_running": "1d",
        "max_extension": "2d",
        "stop_grace": "1s",
        "start_timeout": "1m",
        "queue_timeout": "1d",
        "warn_before": ["5m"],
        "idle_stop": "4h",
        "start_after_boot": False,
        "keep_workspace_on_delete": True,
    },
    "quota": {
        "gpus": 1,
        "notebooks": 2,
        "gpu_minutes_month": 3,
        "user": {"alice": {"gpus": 2}},
        "group": {"lab": {"gpus": 1}},
    },
    "gpus": {
        "foreign_memory": "1GiB",
        "ignore_processes": ["gnome-shell"],
        "leftover_memory": "2GiB",
        "lease_leftover": False,
        "xid": {"94": "quarantine"},
        "poll": "7s",
    },
    "billing": {"rates": {"h100-1-gpu": "2.80"}},
    "store": {"min_free": "2GiB", "min_free_inodes": 5},
    "events": {"keep": "30d"},
    "transfers": {
        "at_once": 2,
        "bandwidth": "1MiB",
        "max_files": 5,
        "git_schemes": ["https", "http"],
        "git_max_size": "1GiB",
        "git_timeout": "1m",
        "cache_keep": "1h",
        "push_exclude": ["*.tmp"],
    },
    "snapshots": {"at_stop": False, "exclude_caches": False, "keep": 3},
    "workspace": {"quota": "1GiB", "measure_every": "1m"},
    "notebooks": {"ca_file": "/etc/ssl/lab.pem", "env": {"http_proxy": "http://proxy:3128"}},
    "datastore": [{"alias": "DATA", "path": "/srv/data"}],
    "images": {"recipes": "/srv/recipes"},
    "image": [{"editor": "jupyterlab", "framework": "conda", "version": "9", "image": "mine:1", "command": ["x"]}],
    "editor": [{"id": "vscode", "name": "VS Code"}],
    "framework": [{"id": "mine", "name": "Mine"}],
    "flavor": [{"id": "cpu", "max": 3}],
}
AFTER_A_RESTART: Mapping[str, Any] = {
    "paths": {"state": "/srv/state", "runtime": "/srv/run"},
    "api": {"socket": "/srv/api.sock", "group": "them", "admin_group": "those"},
    "engine": {"socket": "/srv/engine.sock"},
    "gpus": {"driver": "simulated", "simulated": 3},
    "gateway": {"listen": "127.0.0.2:9", "domain": "lan", "api": True, "trusted_proxies": ["www-data"]},
    "billing": {"states": ["PENDING"], "currency": "CHF"},
    "store": {"ballast": "1MiB"},
    "snapshots": {"repository": "/srv/snapshots", "config": "/srv/rclone.conf"},
}


def parsed(*parts: Mapping[str, Any]) -> Config:
    values: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_config(values, source=None)


def test_what_can_change_changes_and_the_rest_stays() -> None:
    fresh = parsed(AT_ONCE, AFTER_A_RESTART)
    going_on = reloaded(OLD, fresh)
    assert differences(going_on, parsed(AT_ONCE)) == ()
    assert differences(going_on, fresh) == differences(OLD, parsed(AFTER_A_RESTART))


@pytest.mark.parametrize("values", [AT_ONCE, AFTER_A_RESTART])
def test_every_key_is_named_as_it_stands_in_the_file(values: Mapping[str, Any]) -> None:
    named = differences(OLD, parsed(values))
    for section, keys in values.items():
        if isinstance(keys, dict):
            assert {f"{section}.{key}" for key, value in keys.items() if not isinstance(value, dict)} <= set(named)
        else:
            assert any(name.startswith(section) for name in named)


def leaves(value: Any, path: str = "") -> list[str]:
    """The fields of a configuration that say something."""
    if not is_dataclass(value):
        return [path]
    return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name), f"{path}.{field.name}")]


def test_the_two_lists_leave_no_key_out() -> None:
    """Whoever adds a key says here whether a reload has it."""
    both = parsed(AT_ONCE, AFTER_A_RESTART)
    same = [
        leaf
        for leaf in leaves(OLD)
        if not leaf.startswith((".source", ".given")) and value_at(OLD, leaf) == value_at(both, leaf)
    ]
    assert same == []


def value_at(config: Config, leaf: str) -> Any:
    value: Any = config
    for name in leaf.split(".")[1:]:
        value = getattr(value, name)
    return value


class Daemon:
    """Somebody who runs on a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.applied: list[Config] = []
        self.reload = Reload(load_config(file), lambda: load_config(file), self.applied.append)

    def read(self, text: str) -> None:
        self.file.write_text(text)
        self.reload()


@pytest.fixture
def daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Daemon:
    caplog.set_level(logging.INFO)
    file = tmp_path / "notebookd.toml"
    file.write_text("")
    return Daemon(file)


def test_a_change_is_put_in_force_and_named(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    daemon.read('[lifecycle]\nmax_running = "2h"\n[quota]\ngpus = 1\n')
    (applied,) = daemon.applied
    assert (applied.lifecycle.max_running_s, applied.quota.default.gpus) == (7200, 1)
    assert caplog.messages == ["the configuration was read again; changed: lifecycle.max_running, quota.gpus"]


def test_what_waits_for_a_restart_is_named_each_time_it_is_read(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        daemon.read('[paths]\nstate = "/srv"\n[gpus]\npoll = "9s"\ndriver = "simulated"\n')
    waiting = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(waiting) == 2
    assert waiting[0] == waiting[1]
    assert waiting[0].startswith("restart to have these changes of the configuration: paths.state, gpus.driver")
    assert [(one.gpus.poll_s, one.gpus.driver, str(one.paths.state)) for one in daemon.applied] == [
        (9, "nvml", "/var/lib/notebookd")
    ], "the second reading found nothing new"


def test_a_broken_file_changes_nothing_and_every_fault_is_logged(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.read('[lifecycle]\nmax_running = "often"\nstop_grace = "1s"\n[quotas]\ngpus = 1\n')
    assert daemon.applied == []
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    for fault in ("the configuration stays as it was", "lifecycle.max_running", "quotas"):
        assert fault in record.getMessage()
    daemon.read('[lifecycle]\nstop_grace = "1s"\n')
    assert [one.lifecycle.stop_grace_s for one in daemon.applied] == [1]


def test_a_file_that_is_gone_changes_nothing(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    daemon.file.unlink()
    daemon.reload()
    assert daemon.applied == []
    assert "there is no such file" in caplog.text


NAMES = {
    "api": {"group": "root", "admin_group": "root"},
    "quota": {"user": {"newc-bob": {"gpus": 1}, "root": {"gpus": 1}}, "group": {"studnets": {"gpus": 1}, "root": {}}},
    "billing": {"rates": {"h10-1-gpu": "1", "cpu": "1"}},
    "datastore": [
        {"alias": "A", "type": "directory", "path": "/srv/no-such", "read": ["*", "@stuff", "@root"]},
        {"alias": "B", "type": "directory", "path": "/etc", "read": ["carrol", "root"]},
    ],
    "notebooks": {"ca_file": "/etc/no-such.pem"},
}
ABSENT = [
    "the configuration: quota.user.newc-bob: there is no user newc-bob (`getent passwd` lists the accounts)",
    "the configuration: quota.group.studnets: there is no group studnets (`getent group` lists the groups)",
    "the configuration: datastore[0].path: there is no folder /srv/no-such (make it, or name another)",
    "the configuration: datastore[0].read: there is no group stuff (`getent group` lists the groups)",
    "the configuration: datastore[1].read: there is no user carrol (`getent passwd` lists the accounts)",
    "the configuration: billing.rates.h10-1-gpu: there is no flavor h10-1-gpu (did you mean 'h100-1-gpu'?)",
    "the configuration: notebooks.ca_file: there is no file /etc/no-such.pem (make it, or name another)",
]


@pytest.mark.parametrize(
    ("flavors", "absent"),
    [(["h100-1-gpu", "cpu"], ABSENT), (None, [each for each in ABSENT if "flavor" not in each])],
    ids=["known", "GPUs not seen"],
)
async def test_what_is_named_and_not_there_is_logged_each_time_it_is_read(
    flavors: list[str] | None, absent: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await Absences(SystemDirectory(FakeClock()), lambda: flavors).tell(parsed(NAMES))
    assert [each for each in caplog.messages if each.startswith("the configuration: ")] == absent


async def test_what_is_there_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fine = {"api": NAMES["api"], "quota": {"user": {"root": {"gpus": 1}, "4033": {}}, "group": {"root": {"gpus": 1}}}}
    await Absences(SystemDirectory(FakeClock()), lambda: ["cpu"]).tell(parsed(fine))
    assert caplog.messages == []
