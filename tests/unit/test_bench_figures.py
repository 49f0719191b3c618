# SPDX-License-Identifier: Apache-2.0
"""What the bench says of what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.figures import Figure, Verdict, moved, ratio
from tests.bench.parts import PARTS, Part
from tests.bench.report import Result, failed, table

CALM = (10.0, 10.5, 9.8, 10.1)
WILD = (10.0, 20.0, 9.8, 19.0)


def _figure(*values: float, unit: str = "s") -> Figure:
    return Figure(name="a figure", values=values, unit=unit)


def _result(*figures: Figure, pulses: tuple[float, ...] = (10.0, 10.1), fault: str = "") -> Result:
    return Result(name="part", about="a part", seconds=1.0, pulses_ms=pulses, figures=figures, fault=fault)


def test_a_target_is_only_for_a_ratio_to_something_measured_beside_it() -> None:
    with pytest.raises(ValueError, match="a ratio"):
        Figure(name="absolute", values=(1.0,), unit="ms", target=5.0)
    with pytest.raises(ValueError, match="beside it"):
        Figure(name="beside nothing", values=(1.0,), unit="x", target=5.0)
    assert Figure(name="a ratio", values=(1.0,), unit="x", target=5.0, beside=(1.0,)).bound == "≤ 5.000"


def test_a_ratio_of_turns_is_the_median_of_their_quotients() -> None:
    assert ratio("r", _figure(2, 40, 6), _figure(1, 10, 3)).median == 2


def test_a_ratio_of_what_took_no_turns_is_that_of_the_medians() -> None:
    assert ratio("r", _figure(8), _figure(1, 4, 100)).median == 2


@pytest.mark.parametrize(
    ("ours", "theirs", "machine_moved", "verdict"),
    [
        (12.0, CALM, False, Verdict.OK),
        (12.0, WILD, True, Verdict.OK),
        (30.0, CALM, False, Verdict.MISSED),
        (30.0, CALM, True, Verdict.NOISY),
        (60.0, WILD, False, Verdict.NOISY),
    ],
)
def test_a_missed_target_is_noisy_where_a_control_moved(
    ours: float, theirs: tuple[float, ...], machine_moved: bool, verdict: Verdict
) -> None:
    figure = ratio("r", _figure(*[ours] * len(theirs)), _figure(*theirs), target=1.5)
    assert figure.verdict(machine_moved=machine_moved) is verdict


def test_what_shall_be_at_least_is_missed_from_below() -> None:
    assert ratio("r", _figure(5), _figure(10), target=0.7, at_least=True).verdict(machine_moved=False) == "MISSED"
    assert ratio("r", _figure(8), _figure(10), target=0.7, at_least=True).verdict(machine_moved=False) == "ok"


@pytest.mark.parametrize(
    ("control", "did"),
    [
        ((10.0,), False),
        ((10.0, 13.0), False),
        ((10.0, 14.0), True),
        ((10.0, 10.0, 10.0, 10.0, 90.0), False),
        ((10.0, 10.0, 14.0, 14.0, 14.0), True),
    ],
)
def test_a_control_moves_by_more_than_a_third(control: tuple[float, ...], did: bool) -> None:
    assert moved(control) is did


def test_a_run_fails_by_what_is_missed_or_ended_with_a_fault_and_not_by_noise() -> None:
    missed = ratio("r", _figure(30), _figure(10), target=1.5)
    assert failed([_result(), _result(missed)])
    assert failed([_result(fault="RuntimeError: no")])
    assert not failed([_result(missed, pulses=(10.0, 14.0))])


def test_the_table_says_all_of_it() -> None:
    missed = ratio("  over that", _figure(30), _figure(10), target=1.5)
    text = table([_result(_figure(1, 2, 3), missed), _result(missed, pulses=(10.0, 20.0)), _result(fault="no disk")])
    assert "over that 3.00 1 x ≤ 1.50 MISSED" in " ".join(text.split())
    assert "a part (1 s - the machine moved)" in text
    assert "FAILED: no disk" in text
    assert "2 targets, 0 ok, 1 missed, 1 noisy" in text.splitlines()[-1]
    assert "1 parts failed; the calibrated loop took 10.0 to 20.0 ms" in text.splitlines()[-1]


def test_a_part_that_fails_leaves_the_others_and_every_value_is_kept(tmp_path: Path) -> None:
    def broken() -> list[Figure]:
        raise RuntimeError("the engine is away")

    good = ratio("  of that", _figure(1, 2), _figure(1, 1), target=5)
    file = tmp_path / "folder" / "values.json"
    parts = [Part("broken", "ends early", broken), Part("good", "goes well", lambda: [_figure(1, 2), good])]
    assert bench.measure_all(parts, file) == 1
    said = json.loads(file.read_text())
    assert {"cpu", "cores", "kernel", "podman", "disk_sync_ms"} <= said["machine"].keys()
    first, second = said["parts"]
    assert (first["fault"], first["figures"]) == ("RuntimeError: the engine is away", [])
    assert second["figures"][0] | {"median": 1.5, "values": [1, 2], "verdict": ""} == second["figures"][0]
    assert second["figures"][1] | {"target": 5, "beside": [1, 1], "verdict": "ok"} == second["figures"][1]
    assert len(second["loop_ms"]) == 2


def test_the_parts_have_names_of_their_own() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
