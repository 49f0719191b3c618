# SPDX-License-Identifier: Apache-2.0
"""What real notebooks are billed when nobody was there to see them end."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from notebookd import wire
from tests.engine.live import Machine, eventually, root

pytestmark = pytest.mark.engine

DOWN_S = 8.0
SOON = timedelta(seconds=2)


def receipt(live: Machine, notebook: str) -> wire.Receipt:
    """The bill, once the run is over."""
    return eventually(
        lambda: live.client.receipt(notebook).value, lambda found: bool(found.ended), what="the receipt of an ended run"
    )


def only_stay(found: wire.Receipt) -> wire.ReceiptStay:
    (stay,) = found.stays
    return stay


def moment(text: str | wire.UnsetType) -> datetime:
    assert isinstance(text, str)
    return wire.parse_rfc3339(text)


def test_a_container_that_ended_while_the_daemon_was_dead_is_billed_to_its_own_end(live: Machine) -> None:
    notebook = live.run()
    pid = live.container(notebook)["State"]["Pid"]
    live.kill_daemon()
    root("kill", "-KILL", str(pid))
    finished = eventually(
        lambda: live.container(notebook)["State"], lambda state: state["Status"] == "exited", what="the container"
    )["FinishedAt"]
    time.sleep(DOWN_S)
    live.service("start", "daemon")
    found = receipt(live, notebook)
    assert found.ended
    stay = only_stay(found)
    assert abs(moment(stay.ended_at) - moment(finished)) < timedelta(milliseconds=10)
    assert stay.minutes.value == 1
    assert stay.seconds < DOWN_S


def test_a_container_that_ended_nobody_knows_when_is_billed_to_where_it_was_last_seen(live: Machine) -> None:
    notebook = live.run()
    state = live.container(notebook)["State"]
    live.kill_daemon()
    died = time.time()
    root("kill", "-KILL", str(state["ConmonPid"]))
    root("kill", "-KILL", str(state["Pid"]))
    time.sleep(DOWN_S)
    live.service("start", "daemon")
    found = receipt(live, notebook)
    assert found.ended
    stay = only_stay(found)
    assert moment(stay.ended_at).timestamp() < died
    assert stay.minutes.value == 1
    assert only_stay(live.client.receipt(notebook).value) == stay, "a receipt is final"
    assert moment(stay.ended_at) - moment(stay.started_at) == timedelta(seconds=stay.seconds)


def test_a_stop_by_hand_is_billed_to_the_moment_it_was_asked_for(live: Machine) -> None:
    notebook = live.run()
    asked = time.time()
    live.stop(notebook)
    stay = only_stay(receipt(live, notebook))
    assert abs(moment(stay.ended_at).timestamp() - asked) < SOON.total_seconds()
    (usage,) = (row for row in live.client.usage(group_by=["notebook"]).value.items if row.notebook == notebook)
    assert usage.minutes == stay.minutes
