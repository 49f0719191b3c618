# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import grp
import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from notebookd.adapters.api_socket import listen
from notebookd.errors import ConfigError

OWN_GROUP = grp.getgrgid(os.getgid()).gr_name


def dial(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(path))


def test_members_may_connect_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    group = "games" if os.geteuid() == 0 else OWN_GROUP
    with closing(listen(path, group)):
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert found.st_gid == grp.getgrnam(group).gr_gid
        dial(path)


def test_the_umask_is_as_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        listen(tmp_path / "api.sock", OWN_GROUP).close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_without_the_group_it_serves_the_service_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(listen(tmp_path / "api.sock", "no-such-group")):
        assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o660
    assert "no-such-group" in caplog.text


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    listen(path, OWN_GROUP).close()
    assert path.exists()
    with closing(listen(path, OWN_GROUP)):
        dial(path)


def test_a_live_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with closing(listen(path, OWN_GROUP)):
        with pytest.raises(ConfigError, match="another notebookd serves it"):
            listen(path, OWN_GROUP)
        dial(path)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("elsewhere.sock")])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, make: object) -> None:
    path = tmp_path / "api.sock"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="something that is no socket"):
        listen(path, OWN_GROUP)
    assert os.path.lexists(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen on") as caught:
        listen(tmp_path / "no" / "api.sock", OWN_GROUP)
    assert "must exist" in (caught.value.hint or "")
