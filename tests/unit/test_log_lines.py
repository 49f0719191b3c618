# SPDX-License-Identifier: Apache-2.0
"""What others wrote, in the log and the doctor's report."""

from __future__ import annotations

import io
import logging

import pytest

from notebookd.adapters.logging import JournalFormatter, PeopleFormatter
from notebookd.doctor import Finding, Status, _report
from notebookd.log_lines import LineFormatter
from notebookd.neutral import neutral, one_line

HOSTILE = "calm\x1b]0;owned\x07\n2026-01-01 INFO notebookd: granted\u202e\x9b2J"
SHOWN = "calm^[]0;owned^G^J2026-01-01 INFO notebookd: granted\\u202e\\u009b2J"


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("notebookd.x").makeRecord(
        "notebookd.x", logging.WARNING, "f.py", 1, message, arguments, None, extra=extra
    )


@pytest.mark.parametrize("formatter", [PeopleFormatter(), LineFormatter("%(message)s")])
def test_a_line_of_the_log_steers_no_terminal(formatter: logging.Formatter) -> None:
    line = formatter.format(record("cannot start %s", HOSTILE, owner=HOSTILE))
    assert f"cannot start {SHOWN}" in line
    assert "\n" not in line
    assert "\x1b" not in line


def test_an_entry_of_the_journal_steers_no_terminal_and_each_line_has_its_priority() -> None:
    text = JournalFormatter().format(record("cannot start %s", HOSTILE))
    assert [line[:3] for line in text.splitlines()] == ["<4>", "<4>"]
    assert "\x1b" not in text


def test_a_traceback_keeps_its_lines_and_steers_none() -> None:
    error = ValueError(HOSTILE)
    made = record("it failed")
    made.exc_info = (type(error), error, None)
    text = LineFormatter("%(message)s").format(made)
    assert text.startswith("it failed\nValueError: calm^[")
    assert "\x1b" not in text


def test_the_doctor_steers_no_terminal() -> None:
    out = io.StringIO()
    _report([Finding(name="gpus", status=Status.OK, seen=HOSTILE, cure=HOSTILE)], json_output=False, out=out)
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


def test_the_whole_text_stays_readable() -> None:
    assert neutral("Gru\u00df\u00e9 \u6771\u4eac \U0001f600\t\n") == "Gru\u00df\u00e9 \u6771\u4eac \U0001f600\t\n"
    assert one_line(HOSTILE) == SHOWN
