# SPDX-License-Identifier: Apache-2.0
"""What watches the machine asks for figures that there are: the alerts and the dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebookd.domain.gpu import GpuState
from notebookd.domain.run import NotebookState
from notebookd.domain.syncing import SyncState
from tests.api.caller import Api

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "notebookd.rules.yml"
STATES = {*map(str, NotebookState), *map(str, GpuState), *map(str, SyncState)}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((CONTRIB / "grafana" / "notebookd.json").read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


async def test_every_query_asks_for_what_there_is(api: Api) -> None:
    async with api.session.get("http://localhost/metrics") as answer:
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", await answer.text(), re.MULTILINE))
    parts = {f"{name}_{part}" for name, kind in kinds.items() if kind == "histogram" for part in ("bucket", "count")}
    asked = {name for _, query in queries() for name in re.findall(r"\bnotebookd_\w+", query)}
    assert asked - kinds.keys() - parts == set()
    watched_by_nobody = kinds.keys() - {name.removesuffix("_bucket").removesuffix("_count") for name in asked}
    assert {name for name in watched_by_nobody if "_process_" not in name} == {
        "notebookd_gpu_info",
        "notebookd_snapshots",
    }


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_a_query_asks_for_states_that_there_are(title: str, query: str) -> None:
    assert query.count("(") == query.count(")")
    asked = {state for states in re.findall(r'\bstate=~?"([^"]+)"', query) for state in states.split("|")}
    assert asked <= STATES, title


def test_every_alert_says_what_it_is_about() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_panels_stand_beside_each_other() -> None:
    places = [(cell, panel["title"]) for panel in panels() for cell in _cells(panel["gridPos"])]
    assert len({cell for cell, _ in places}) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(panels())


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        assert x < 24
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
def test_prometheus_takes_the_rules() -> None:
    checked = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
