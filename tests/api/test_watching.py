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
from prometheus_client.parser import text_string_to_metric_families

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
    assert {name for name in watched_by_nobody if "_process_" not in name} == {"notebookd_snapshots"}


async def test_every_label_that_is_asked_for_is_one(api: Api) -> None:
    await api.create(resources={"gpu": 1})
    async with api.session.get("http://localhost/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    labels = {each.name: set(each.labels) for family in families for each in family.samples}
    labels |= {family.name: labels.get(family.name, set()) for family in families}
    counted = {"notebookd_api_request_duration_seconds", "notebookd_transfers_ended", "notebookd_transfer_bytes"}
    for title, query in queries():
        names = set(re.findall(r"\bnotebookd_\w+", query))
        if not names <= labels.keys():  # counted once it happens; its labels are those of the counter
            assert all(any(name.startswith(each) for each in counted) for name in names - labels.keys()), title
            continue
        known = {"instance", "job", "le"}.union(*(labels[name] for name in names))
        asked = re.findall(r"\b(?:by|on|group_left|without) \(([^)]*)\)", query)
        assert {word.strip() for words in asked for word in words.split(",") if word.strip()} <= known, title


def test_a_table_shows_columns_that_its_queries_have() -> None:
    tables = [panel for panel in panels() if panel["type"] == "table"]
    assert {panel["title"] for panel in tables} == {"The board", "Alerts"}
    (board,) = (panel for panel in tables if panel["title"] == "The board")
    grouped = {
        word.strip()
        for each in board["targets"]
        for word in re.findall(r"^max by \(([^)]*)\)", each["expr"])[0].split(",")
    }
    values = {f"Value #{each['refId']}" for each in board["targets"]}
    (organized,) = (each["options"] for each in board["transformations"] if each["id"] == "organize")
    assert set(organized["renameByName"]) == set(organized["indexByName"])
    assert set(organized["renameByName"]) | set(organized["excludeByName"]) == grouped | values | {"Time"}
    assert {"Name", "UUID", "User", "State"} <= set(organized["renameByName"].values())


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
