# SPDX-License-Identifier: Apache-2.0
"""notebookctl usage and receipt: what they ask for, and what they make of the answer."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import yaml

from notebookd import wire
from notebookd.cli.money import money
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, me, notebook, page


def minutes(count):
    return wire.Minutes(unit="Minute", value=count)


def row(count, **changes):
    amounts = {"minutes": minutes(count), "gpu_minutes": minutes(count), "leased_gpu_seconds": count * 60.0}
    return wire.UsageRow(**(amounts | changes))


def euros(micros):
    return wire.Price(currency="EUR", micros=micros)


BUSY = {"used_gpu_seconds": 25_920.0, "energy_joules": 90_000_000.0, "peak_gpu_memory": 2**36}
REPORT = wire.encode(
    wire.Usage(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-12-01T00:00:00.000Z",
        group_by=["user"],
        items=[
            row(4320, user="alice", price=euros(201_600_000), **BUSY),
            row(540, user="bob\x1b[31m", price=euros(25_200_000)),
            row(1, user="carol", leased_gpu_seconds=0.0, gpu_minutes=minutes(0)),
        ],
        totals=row(4861, price=euros(226_800_000), other_prices=[wire.Price(currency="CHF", micros=9_990_000)], **BUSY),
    )
)
DISK = wire.encode(
    wire.DiskUsage(
        items=[
            wire.DiskRow(
                notebook=A,
                name="big",
                owner="alice",
                state="STOPPED",
                snapshots=7,
                used=3 * 2**40,
                measured_at="2026-11-22T19:00:00.000Z",
            ),
            wire.DiskRow(
                notebook=B,
                name="small",
                owner="bob",
                state="RUNNING",
                snapshots=0,
                used=2**20,
                measured_at="2026-11-22T19:58:00.000Z",
            ),
            wire.DiskRow(notebook=A, name="new", owner="alice", state="STARTING", snapshots=0),
        ],
        total=3 * 2**40 + 2**20,
        free=2**30,
    )
)
BY_NOTEBOOK = wire.encode(
    wire.Usage(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-11-22T20:00:00.000Z",
        group_by=["notebook", "day"],
        items=[row(90, notebook=A, name="calm", day="2026-11-02")],
        totals=row(90),
    )
)
EMPTY = wire.encode(
    wire.Usage(from_="2026-11-01T00:00:00.000Z", to="2026-12-01T00:00:00.000Z", group_by=[], items=[], totals=row(0))
)
RECEIPT = wire.encode(
    wire.Receipt(
        notebook=A,
        name="calm",
        user="alice",
        run=2,
        state="FAILED",
        flavor="h100-1-gpu",
        units=2,
        open=False,
        queued_at="2026-11-22T17:00:00.000Z",
        stays=[
            wire.ReceiptStay(
                state="RUNNING",
                started_at="2026-11-22T17:00:05.000Z",
                ended_at="2026-11-22T17:01:35.000Z",
                seconds=90.0,
                minutes=minutes(2),
                rate=euros(2_800_000),
                price=euros(186_666),
            )
        ],
        gpus=[
            wire.ReceiptGpu(
                uuid="GPU-1",
                leased_seconds=100.0,
                used_seconds=25.0,
                peak_utilisation=97,
                peak_memory=2**33,
                energy_joules=36_000.0,
            ),
            wire.ReceiptGpu(uuid="GPU-2", leased_seconds=100.0),
        ],
        totals=row(2, price=euros(186_666)),
        ended=wire.Ending(
            state="FAILED",
            code="JOB_FAILED_WITH_MESSAGE",
            message="the editor exited with status 1",
            actor="notebookd",
            exit_code=1,
        ),
    )
)


@pytest.fixture
def accounts(toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/usage", REPORT)
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(f"GET /v1/notebook/{A}/receipt", RECEIPT)
    return toy


def asked(toy, route="GET /v1/usage"):
    (sent,) = toy.sent(route)
    return sent.query


def test_by_itself_it_is_one_s_own_notebooks_of_this_month(notebookctl, accounts):
    assert notebookctl("usage").exit_code == 0
    assert asked(accounts) == {"groupBy": ["notebook,flavor"]}


def test_an_admin_is_shown_everybody_when_asked_to(notebookctl, toy, accounts):
    toy.on("GET /v1/me", me("root", "administrator"))
    notebookctl("usage")
    notebookctl("usage", "--all")
    notebookctl("usage", "--group-by", "user,month")
    assert [each.query.get("user") for each in accounts.sent("GET /v1/usage")] == [["root"], None, None]
    assert accounts.sent("GET /v1/usage")[-1].query["groupBy"] == ["user,month,flavor"]


@pytest.mark.parametrize(
    ("month", "start", "end"), [("2026-11", "2026-11-01", "2026-12-01"), ("2026-12", "2026-12-01", "2027-01-01")]
)
def test_a_month_is_whole(notebookctl, accounts, month, start, end):
    notebookctl("usage", "--month", month)
    assert asked(accounts) == {"from": [start], "to": [end], "groupBy": ["notebook,flavor"]}


def test_a_window_is_passed_on(notebookctl, accounts):
    notebookctl("usage", "--from", "2026-11-01", "--to", "2026-11-08T12:00:00Z")
    assert asked(accounts) == {
        "from": ["2026-11-01"],
        "to": ["2026-11-08T12:00:00.000Z"],
        "groupBy": ["notebook,flavor"],
    }


def test_days_are_named_as_people_name_them(notebookctl, accounts):
    notebookctl("usage", "--from", "yesterday", "--to", "18:00")
    window = {"from": ["2026-11-21"], "to": ["2026-11-22T18:00:00.000Z"]}
    assert asked(accounts) == {**window, "groupBy": ["notebook,flavor"]}
    assert notebookctl("usage", "--from", "2026-13-01").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--month", "2026-13"),
        ("--month", "November"),
        ("--month", "2026-11", "--to", "2026-12-01"),
        ("--group-by", "colour"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(notebookctl, accounts, words):
    assert notebookctl("usage", *words).exit_code == 2
    assert accounts.sent("GET /v1/usage") == []


def test_a_report_is_a_table(notebookctl, golden, accounts):
    result = notebookctl("usage", "--group-by", "user")
    assert (result.exit_code, result.stderr) == (0, "")
    golden("usage.txt", result.stdout)
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_a_row_has_a_bar_as_long_as_its_minutes(notebookctl, golden, accounts, width):
    notebookctl.terminal = FakeTerminal(width=width)
    result = notebookctl("usage", "--group-by", "user")
    golden(f"usage-{width}.txt", result.stdout)
    lines = result.stdout.splitlines()
    assert all(len(line) <= width for line in lines)
    bars = [line.count("█") for line in lines[2:5]]
    assert bars[0] > bars[1] >= bars[2]


MIXED = wire.encode(
    wire.Usage(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-11-04T00:00:00.000Z",
        group_by=["user", "day", "flavor"],
        items=[
            row(60, user="alice", day="2026-11-01", flavor="h100-1-gpu", price=euros(2_800_000)),
            row(30, user="alice", day="2026-11-01", flavor="cpu", gpu_minutes=minutes(0), leased_gpu_seconds=0.0),
            row(10, user="alice", day="2026-11-03", flavor="cpu", gpu_minutes=minutes(0), leased_gpu_seconds=0.0),
        ],
        totals=row(100, gpu_minutes=minutes(60), leased_gpu_seconds=3600.0, price=euros(2_800_000)),
    )
)


def test_minutes_of_gpus_and_of_cpus_stand_apart(notebookctl, accounts):
    accounts.on("GET /v1/usage", MIXED)
    head, alice, total = notebookctl("usage", "--by", "user", "--no-chart").stdout.splitlines()[1:]
    assert head.split()[:5] == ["USER", "GPU", "MIN", "CPU", "MIN"]
    assert alice.split()[:3] == ["alice", "60", "40"]
    assert total.split()[:3] == ["total", "60", "40"]
    csv = notebookctl("usage", "--by", "user,day", "-o", "csv")
    assert accounts.sent("GET /v1/usage")[-1].query["groupBy"] == ["user,day"], "programs are given what they ask for"
    assert csv.exit_code == 0


def test_over_time_it_is_drawn_with_both_axes(notebookctl, accounts):
    accounts.on("GET /v1/usage", MIXED)
    notebookctl.terminal = FakeTerminal(width=60)
    lines = notebookctl("usage", "--by", "user,day").stdout.splitlines()
    assert lines[0] == "from 2026-11-01 to 2026-11-04, GPU minutes per day"
    assert lines[2] == "alice  60"
    assert lines[3] == "     60 ┤█████"
    assert lines[7] == "      0 └──────────────────"
    assert lines[8] == "         11-01       11-03"
    assert max(map(len, lines)) <= 60
    listed = notebookctl("usage", "--by", "user,day", "--no-chart").stdout
    assert "2026-11-03" in listed
    assert "┤" in notebookctl("usage", "--by", "user,day", "--chart").stdout
    assert notebookctl("usage", "--by", "user", "--chart").exit_code == 2


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("days", [1, 31, 400])
def test_a_chart_is_as_wide_as_its_terminal(notebookctl, accounts, width, days):
    begun = wire.parse_rfc3339("2026-01-01T00:00:00Z")
    until = begun + timedelta(days=days)
    items = [
        row(number + 1, user=f"{'u' * 40}{who}", day=(begun + timedelta(days=number)).date().isoformat())
        for number in range(days)
        for who in range(14)
    ]
    usage = wire.Usage(
        from_=wire.rfc3339(begun), to=wire.rfc3339(until), group_by=["user", "day"], items=items, totals=row(1)
    )
    accounts.on("GET /v1/usage", wire.encode(usage))
    notebookctl.terminal = FakeTerminal(width=width)
    lines = notebookctl("usage", "--by", "user,day").stdout.splitlines()
    assert "and 2 more" in lines
    assert max(map(len, lines[1:])) <= max(width, 32)


def test_a_chart_of_nothing_says_so(notebookctl, accounts):
    accounts.on("GET /v1/usage", EMPTY)
    shown = notebookctl("usage", "--by", "day", "--chart").stdout
    assert shown.splitlines()[-1] == "nothing was used"


def test_columns_that_nothing_is_known_of_are_left_out(notebookctl, golden, accounts):
    accounts.on("GET /v1/usage", BY_NOTEBOOK)
    golden("usage-notebook.txt", notebookctl("usage", "--group-by", "notebook,day").stdout)


def test_a_report_of_nothing_is_a_total_of_nothing(notebookctl, accounts):
    accounts.on("GET /v1/usage", EMPTY)
    assert notebookctl("usage", "--group-by", "").stdout == "from 2026-11-01 to 2026-12-01\nGPU MIN\n      0\n"


def test_a_report_is_csv_json_and_yaml(notebookctl, golden, accounts):
    golden("usage.csv", notebookctl("usage", "--group-by", "user", "-o", "csv").stdout)
    assert notebookctl("usage", "-o", "json").stdout_bytes == REPORT + b"\n"
    assert yaml.safe_load(notebookctl("usage", "-o", "yaml").stdout) == json.loads(REPORT)


BY_LABEL = wire.encode(
    wire.Usage(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-11-04T00:00:00.000Z",
        group_by=["label:course", "label:Course", "day", "flavor"],
        items=[
            row(7, labels={}, day="2026-11-01", flavor="cpu", gpu_minutes=minutes(0), leased_gpu_seconds=0.0),
            row(60, labels={"course": "db\x1b[31m", "Course": "x"}, day="2026-11-01", flavor="h100-1-gpu"),
            row(30, labels={"course": "ml"}, day="2026-11-01", flavor="h100-1-gpu"),
            row(30, labels={"course": "ml"}, day="2026-11-03", flavor="h100-1-gpu"),
        ],
        totals=row(127, gpu_minutes=minutes(120)),
    )
)


def test_usage_is_shown_by_a_label(notebookctl, golden, accounts):
    accounts.on("GET /v1/usage", BY_LABEL)
    golden("usage-label.txt", notebookctl("usage", "--by", "label:course,label:Course", "--all").stdout)
    assert asked(accounts) == {"groupBy": ["label:course,label:Course,flavor"]}
    golden("usage-label.csv", notebookctl("usage", "--by", "label:course,label:Course,day", "-o", "csv").stdout)
    assert notebookctl("usage", "--by", "label:course", "-o", "json").stdout_bytes == BY_LABEL + b"\n"
    assert yaml.safe_load(notebookctl("usage", "--by", "label:course", "-o", "yaml").stdout) == json.loads(BY_LABEL)


def test_labels_are_drawn_over_time(notebookctl, golden, accounts):
    accounts.on("GET /v1/usage", BY_LABEL)
    notebookctl.terminal = FakeTerminal(width=60)
    golden("usage-label-60.txt", notebookctl("usage", "--by", "label:course,day").stdout)


def test_a_long_label_is_cut_on_a_narrow_terminal(notebookctl, accounts):
    usage = wire.Usage(
        from_="2026-11-01T00:00:00.000Z",
        to="2026-12-01T00:00:00.000Z",
        group_by=["label:course", "flavor"],
        items=[row(60, labels={"course": "x" * 200}, flavor="h100-1-gpu")],
        totals=row(60),
    )
    accounts.on("GET /v1/usage", wire.encode(usage))
    notebookctl.terminal = FakeTerminal(width=60)
    assert max(map(len, notebookctl("usage", "--by", "label:course").stdout.splitlines())) <= 60


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("label:", "label: is followed by a label's name, as label:course"),
        ("label:a b", "label: is followed by a label's name, as label:course"),
        ("label:x=y", "label: is followed by a label's name, as label:course"),
        ("course", "for a label of that name: label:course"),
        ("a b", "label:NAME"),
    ],
)
def test_what_names_no_label_is_a_usage_error_with_an_example(notebookctl, accounts, key, hint):
    result = notebookctl("usage", "--by", f"user,{key}")
    assert result.exit_code == 2
    assert hint in " ".join(result.stderr.split())
    assert accounts.sent("GET /v1/usage") == []


def test_a_receipt_is_text_and_everything_else(notebookctl, golden, accounts):
    golden("receipt.txt", notebookctl("receipt", "calm").stdout)
    golden("receipt.csv", notebookctl("receipt", "calm", "-o", "csv").stdout)
    assert notebookctl("receipt", A, "-o", "json").stdout_bytes == RECEIPT + b"\n"
    assert yaml.safe_load(notebookctl("receipt", A, "-o", "yaml").stdout) == json.loads(RECEIPT)


def test_a_deleted_notebook_s_receipt_is_had_by_its_id(notebookctl, accounts):
    accounts.on(f"GET /v1/notebook/{B}/receipt", RECEIPT)
    assert notebookctl("receipt", B, "--run", "1").exit_code == 0
    assert asked(accounts, f"GET /v1/notebook/{B}/receipt") == {"run": ["1"]}
    assert accounts.sent("GET /v1/notebook") == []


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (0, "0.00 EUR"),
        (3_332, "0.003332 EUR"),
        (9_000, "0.009 EUR"),
        (14_999, "0.01 EUR"),
        (15_000, "0.02 EUR"),
        (1_234_567_890_000, "1,234,567.89 EUR"),
    ],
)
def test_money_is_rounded_to_the_cent_and_shown_in_full_below_one(micros, words):
    assert money(euros(micros)) == words


def test_the_disk_is_shown_by_notebook_and_by_owner(notebookctl, toy):
    toy.on("GET /v1/usage/disk", DISK)
    result = notebookctl("usage", "disk")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["USED", "OWNER", "NAME", "STATE", "SNAPSHOTS", "MEASURED"]
    assert lines[3][0] == "?"
    assert lines[3][-1] == "never"
    assert result.stdout.splitlines()[-1].endswith("1.0 GiB free")
    owners = notebookctl("usage", "disk", "--group-by", "user").stdout.splitlines()
    assert [line.split()[-2:] for line in owners[1:3]] == [["alice", "2"], ["bob", "1"]]
    sheet = notebookctl("usage", "disk", "-o", "csv").stdout.splitlines()
    assert sheet[1].split(",")[1:6] == ["big", "alice", "STOPPED", "7", str(3 * 2**40)]
    assert sheet[3].split(",")[5:] == ["", ""]
    assert json.loads(notebookctl("usage", "disk", "-o", "json").stdout) == json.loads(DISK)


@pytest.mark.parametrize(
    "words", [("--month", "2026-11"), ("--from", "2026-11-01"), ("--group-by", "gpu"), ("--group-by", "day")]
)
def test_what_goes_not_with_the_disk_is_refused(notebookctl, toy, words):
    result = notebookctl("usage", "disk", *words)
    assert result.exit_code == 2
