# SPDX-License-Identifier: Apache-2.0
"""When a notebook is idle, signal by signal; what doubt does; and what steps of the wall clock do not do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from notebookd.domain.activity import (
    ActivityApi,
    CpuTime,
    EditorActivity,
    GatewayUse,
    GpuLoad,
    Heartbeat,
    Kernel,
    Moment,
    Signals,
    Terminal,
    cpu_load,
)
from notebookd.domain.idleness import (
    IDLE_STOP_LABEL,
    IdleRecord,
    IdleRule,
    IdleState,
    Signal,
    Since,
    Verdict,
    idle_window,
    longest_blink_s,
    look,
    look_every_s,
    parse_window,
)
from notebookd.domain.observed import Known, Unknown
from tests.values import NOW, after

HOUR = 3600.0
RULE = IdleRule(window_s=HOUR)
NOBODY = Known(GatewayUse(connections=0, last_used_at=None))
BARE = Signals(browser=NOBODY, editor=Known(EditorActivity()), gpus=Known(()))


def kernel(state: str = "idle", last_s: float = 0.0, *, name: str = "python3", kernel_id: str = "k1") -> Kernel:
    return Kernel(id=kernel_id, name=name, state=state, last_activity_at=after(last_s))


def kernels(*each: Kernel) -> Signals:
    return replace(BARE, editor=Known(EditorActivity(kernels=each)))


def terminal(last_s: float, name: str = "1") -> Signals:
    return replace(BARE, editor=Known(EditorActivity(terminals=(Terminal(name=name, last_activity_at=after(last_s)),))))


def browser(connections: int, last_s: float | None = None) -> Signals:
    last_used_at = None if last_s is None else after(last_s)
    return replace(BARE, browser=Known(GatewayUse(connections=connections, last_used_at=last_used_at)))


def gpus(*utilisations: float | None) -> Signals:
    each = tuple(GpuLoad(index=index, utilisation=used) for index, used in enumerate(utilisations))
    return replace(BARE, gpus=Known(each))


def code_server(last_s: float | None = None, cpus: float | None = 0.0) -> Signals:
    heartbeat = Heartbeat(last_at=None if last_s is None else after(last_s))
    load = Unknown("nobody looked") if cpus is None else Known(cpus)
    return replace(BARE, editor=Known(heartbeat), cpus=load, api=ActivityApi.CODE_SERVER)


def unseen(what: str) -> Signals:
    return replace(BARE, **{what: Unknown("nobody answers")})


@dataclass
class Watch:
    """Looks at one notebook that has been RUNNING since second 0, with clocks that can be set apart."""

    rule: IdleRule = RULE
    record: IdleRecord = field(default_factory=IdleRecord)
    since_s: float = 0.0
    stepped_s: float = 0.0
    """How far the wall clock was set forward."""

    def at(self, seconds: float, signals: Signals = BARE) -> Verdict:
        self.record, verdict = look(
            self.record,
            signals,
            self.rule,
            Since(moment=Moment(at=after(self.since_s), boot_s=1000 + self.since_s)),
            Moment(at=after(seconds + self.stepped_s), boot_s=1000 + seconds),
        )
        return verdict

    def every(self, step_s: float, until_s: float, signals: Signals = BARE) -> Verdict:
        """Looks all the time; what was found last."""
        seconds, verdict = 0.0, self.at(0.0, signals)
        while seconds < until_s:
            seconds = min(seconds + step_s, until_s)
            verdict = self.at(seconds, signals)
        return verdict


def finding(verdict: Verdict, signal: Signal) -> str:
    return next(each.sentence for each in verdict.findings if each.signal is signal)


def test_idle_is_quiet_on_every_signal_for_the_whole_window() -> None:
    watch = Watch()
    assert watch.at(HOUR - 1).state is IdleState.ACTIVE
    verdict = watch.at(HOUR)
    assert verdict.state is IdleState.IDLE
    assert verdict.since.at == NOW
    assert verdict.stops_at == after(HOUR)


def test_the_reason_names_every_signal_with_when_it_was_seen_last() -> None:
    seen = Signals(
        browser=Known(GatewayUse(connections=0, last_used_at=after(-180))),
        editor=Known(
            EditorActivity(kernels=(kernel("idle", -60),), terminals=(Terminal(name="1", last_activity_at=after(0)),))
        ),
        gpus=Known((GpuLoad(index=0, utilisation=0.03),)),
    )
    watch = Watch(since_s=-600)
    verdict = watch.every(100, HOUR, seen)
    assert verdict.state is IdleState.IDLE
    assert verdict.reason == (
        "idle for 1h and more, since 09:00 UTC: no browser connection since 08:57 UTC; no kernel busy since 08:59 UTC;"
        " terminal '1' quiet since 09:00 UTC; GPU 0 at 3 %, none over 5 % since 09:00 UTC"
    )


def test_another_day_is_named() -> None:
    assert finding(Watch().at(86400), Signal.BROWSER) == "no browser connection since 2026-03-02 09:00 UTC"


@pytest.mark.parametrize(
    ("signals", "signal", "sentence"),
    [
        (browser(1), Signal.BROWSER, "1 browser connection open now"),
        (browser(2), Signal.BROWSER, "2 browser connections open now"),
        (kernels(kernel("busy")), Signal.KERNELS, "kernel 'python3' busy now"),
        (
            kernels(kernel("busy"), kernel(kernel_id="k2"), kernel("busy", kernel_id="k3")),
            Signal.KERNELS,
            "kernel 'python3' and 1 more busy now",
        ),
        (gpus(0.03, 0.37), Signal.GPUS, "GPU 1 at 37 %"),
        (gpus(None, 1.0), Signal.GPUS, "GPU 1 at 100 %"),
    ],
)
def test_what_is_busy_now_keeps_it_for_ever(signals: Signals, signal: Signal, sentence: str) -> None:
    verdict = Watch().every(60, 10 * HOUR, signals)
    assert verdict.state is IdleState.ACTIVE
    assert sentence in verdict.reason
    assert finding(verdict, signal) == sentence
    assert verdict.stops_at is None or verdict.stops_at == after(11 * HOUR)


@pytest.mark.parametrize("make", [lambda at: kernels(kernel("idle", at)), terminal, lambda at: browser(0, at)])
def test_a_stamp_that_moves_starts_the_window_anew(make: object) -> None:
    watch = Watch()
    watch.at(30, make(10))  # type: ignore[operator]
    watch.at(1800, make(10))  # type: ignore[operator]
    watch.at(1830, make(1805))  # type: ignore[operator]
    assert watch.at(1805 + HOUR - 1, make(1805)).state is IdleState.ACTIVE  # type: ignore[operator]
    verdict = watch.at(1805 + HOUR, make(1805))  # type: ignore[operator]
    assert (verdict.state, verdict.since.at) == (IdleState.IDLE, after(1805))


@pytest.mark.parametrize("state", ["idle", "starting", "dead", "restarting"])
def test_a_kernel_that_is_not_busy_is_quiet(state: str) -> None:
    assert Watch().every(60, HOUR, kernels(kernel(state))).state is IdleState.IDLE


def test_a_gpu_at_the_threshold_is_quiet_and_above_it_is_not() -> None:
    rule = IdleRule(window_s=HOUR, gpu_threshold=0.1)
    assert Watch(rule=rule).every(30, HOUR, gpus(0.1)).state is IdleState.IDLE
    assert Watch(rule=rule).every(30, HOUR, gpus(0.11)).state is IdleState.ACTIVE


def test_a_single_busy_sample_counts() -> None:
    watch = Watch()
    watch.every(30, 1800, gpus(0.0))
    watch.at(1830, gpus(0.5))
    for seconds in range(1860, 1830 + 3600, 30):
        assert watch.at(seconds, gpus(0.0)).state is IdleState.ACTIVE
    assert watch.at(1830 + HOUR, gpus(0.0)).state is IdleState.IDLE


def test_a_heartbeat_that_moves_is_activity_and_an_old_one_is_not() -> None:
    watch = Watch()
    watch.every(30, HOUR / 2, code_server())
    watch.at(HOUR / 2 + 30, code_server(HOUR / 2 + 10))
    assert watch.every(30, HOUR - 30, code_server(HOUR / 2 + 10)).state is IdleState.ACTIVE
    verdict = Watch().every(30, HOUR + 10, code_server(-60))
    assert verdict.state is IdleState.IDLE
    assert "no heartbeat since" in verdict.reason


def test_an_unreachable_code_server_is_not_idle() -> None:
    silent = replace(code_server(), editor=Unknown("the editor did not answer in time"))
    verdict = Watch().every(30, 2 * HOUR, silent)
    assert verdict.state is IdleState.UNKNOWN
    assert "cannot see heartbeat: the editor did not answer in time" in verdict.reason
    assert "kernels" not in verdict.reason


def test_a_heartbeat_in_the_future_is_unknown() -> None:
    verdict = Watch().every(30, 2 * HOUR, code_server(3 * HOUR))
    assert verdict.state is IdleState.UNKNOWN
    assert "lies in the future" in verdict.reason


def test_programs_that_use_the_cpu_keep_a_notebook_without_a_browser() -> None:
    watch = Watch()
    assert watch.every(30, HOUR, code_server(cpus=0.06)).state is IdleState.ACTIVE
    verdict = watch.at(HOUR + 30, code_server(cpus=1.97))
    assert "its programs use 197 % of a CPU" in verdict.reason


def test_programs_that_hardly_use_the_cpu_do_not_keep_it() -> None:
    verdict = Watch().every(30, HOUR, code_server(cpus=0.05))
    assert verdict.state is IdleState.IDLE
    assert "its programs use 5 % of a CPU, not over 5 % since" in verdict.reason


def test_programs_that_nobody_saw_may_have_been_busy_until_now() -> None:
    watch = Watch()
    watch.every(30, HOUR - 60, code_server())
    assert watch.at(HOUR, code_server(cpus=None)).state is IdleState.UNKNOWN
    assert watch.at(HOUR + 30, code_server()).state is IdleState.ACTIVE


@pytest.mark.parametrize(
    ("before", "load"),
    [
        (CpuTime(pid=7, used_s=10.0, boot_s=100.0), Known(0.5)),
        (None, Unknown("its programs have been looked at only once")),
        (CpuTime(pid=8, used_s=10.0, boot_s=100.0), Unknown("its programs have been looked at only once")),
        (CpuTime(pid=7, used_s=10.0, boot_s=110.0), Unknown("its programs have been looked at only once")),
        (
            CpuTime(pid=7, used_s=15.1, boot_s=100.0),
            Unknown("a program ended and took its count of CPU time with it"),
        ),
    ],
    ids=["half", "first", "another container", "no time", "fell"],
)
def test_a_load_is_what_was_used_between_two_readings_of_one_container(
    before: CpuTime | None, load: Known[float] | Unknown
) -> None:
    assert cpu_load(before, CpuTime(pid=7, used_s=15.0, boot_s=110.0)) == load


def test_a_kernel_that_comes_or_goes_is_activity() -> None:
    watch = Watch()
    watch.at(30, kernels(kernel(), kernel(kernel_id="k2")))
    assert watch.at(1800, kernels(kernel())).since.at == after(1800)
    assert watch.at(3000, kernels(kernel(), kernel("idle", 2990, kernel_id="k3"))).since.at == after(2990)


def test_of_several_that_moved_the_latest_counts() -> None:
    watch = Watch()
    watch.at(30, kernels(kernel(), kernel(kernel_id="k2"), kernel(kernel_id="k3")))
    moved = kernels(kernel("idle", 100), kernel("idle", 300, kernel_id="k2"), kernel("idle", 200, kernel_id="k3"))
    assert watch.at(400, moved).since.at == after(300)


def test_a_stamp_from_before_the_last_look_that_only_shows_now_is_of_now() -> None:
    """The gateway writes traffic down some seconds late; an editor may say anything."""
    watch = Watch()
    watch.at(30, browser(0, 10))
    assert watch.at(60, browser(0, 29)).since.at == after(60)


# What nobody can see


@pytest.mark.parametrize("what", ["browser", "editor", "gpus"])
def test_a_signal_that_cannot_be_read_stops_nothing(what: str) -> None:
    verdict = Watch().every(30, 100 * HOUR, unseen(what))
    assert (verdict.state, verdict.stops_at) == (IdleState.UNKNOWN, None)
    assert "nobody answers" in verdict.reason


def test_an_unreachable_editor_is_not_idle_however_quiet_the_rest_is() -> None:
    watch = Watch()
    watch.every(30, HOUR - 30)
    assert watch.at(HOUR, unseen("editor")).state is IdleState.UNKNOWN


def test_use_outranks_doubt() -> None:
    verdict = Watch().at(2 * HOUR, replace(unseen("editor"), browser=browser(1).browser))
    assert verdict.state is IdleState.ACTIVE
    assert verdict.stops_at is None


def test_an_unchanged_stamp_speaks_for_the_time_in_which_nobody_saw() -> None:
    watch = Watch()
    watch.at(30, kernels(kernel()))
    for seconds in range(60, 3600, 60):
        watch.at(seconds, unseen("editor"))
    assert watch.at(HOUR, kernels(kernel())).state is IdleState.IDLE


def test_a_stamp_that_moved_in_the_dark_counts_from_where_it_stands() -> None:
    watch = Watch()
    watch.at(30, kernels(kernel()))
    watch.at(60, unseen("editor"))
    verdict = watch.at(2 * HOUR, kernels(kernel("idle", 1.5 * HOUR)))
    assert (verdict.state, verdict.since.at) == (IdleState.ACTIVE, after(1.5 * HOUR))


def test_a_gpu_that_nobody_saw_may_have_been_busy_until_now() -> None:
    watch = Watch()
    watch.every(30, 1800, gpus(0.0))
    watch.at(1830, unseen("gpus"))
    watch.at(1860, gpus(0.0))
    for seconds in range(1890, 1830 + 3600, 30):
        assert watch.at(seconds, gpus(0.0)).state is IdleState.ACTIVE
    assert watch.at(1830 + HOUR, gpus(0.0)).state is IdleState.IDLE


@pytest.mark.parametrize("silent", [gpus(None), gpus(0.0, None)])
def test_a_gpu_that_does_not_tell_is_not_idle(silent: Signals) -> None:
    verdict = Watch().every(30, 2 * HOUR, silent)
    assert verdict.state is IdleState.UNKNOWN
    assert "does not tell how busy it is" in verdict.reason


def test_a_gpu_between_two_far_looks_may_have_been_busy() -> None:
    watch = Watch()
    watch.every(30, 1800, gpus(0.0))
    assert watch.at(1800 + longest_blink_s(HOUR), gpus(0.0)).since.at == NOW
    late = 1800 + 2 * longest_blink_s(HOUR) + 1
    assert watch.at(late, gpus(0.0)).since.at == after(late)


def test_without_a_record_stamps_are_read_and_gpus_count_as_busy() -> None:
    assert Watch().at(2 * HOUR, kernels(kernel("idle", 100))).since.at == after(100)
    assert Watch().at(2 * HOUR, kernels(kernel("idle", 100))).state is IdleState.IDLE
    assert Watch().at(2 * HOUR, gpus(0.0)).state is IdleState.ACTIVE


def test_an_editor_without_an_api_leaves_browsers_and_gpus() -> None:
    verdict = Watch().every(30, HOUR, replace(gpus(0.0), editor=Known(None)))
    assert verdict.state is IdleState.IDLE
    assert {each.signal for each in verdict.findings} == {Signal.PERSON, Signal.BROWSER, Signal.GPUS}


def test_a_kernel_in_a_state_that_nobody_knows_is_unknown() -> None:
    verdict = Watch().every(30, 2 * HOUR, kernels(kernel("\x1b[31mzen" + "z" * 1000)))
    assert verdict.state is IdleState.UNKNOWN
    assert "\x1b" not in verdict.reason
    assert len(verdict.reason) < 300


# Persons


def test_what_a_person_does_starts_the_window_anew() -> None:
    watch = Watch()
    watch.at(30)
    watch.since_s = 3000
    assert watch.at(3000 + HOUR - 1).state is IdleState.ACTIVE
    verdict = watch.at(3000 + HOUR)
    assert (verdict.state, verdict.since.at) == (IdleState.IDLE, after(3000))


def test_a_persons_act_is_said() -> None:
    moment = Moment(at=NOW, boot_s=1000)
    _, verdict = look(
        IdleRecord(), BARE, RULE, Since(moment=moment, why="extended by alice at"), replace(moment, boot_s=1001)
    )
    assert verdict.reason.startswith("not idle for 1h yet: extended by alice at 09:00 UTC; ")


# The wall clock


def test_a_clock_set_an_hour_ahead_stops_nothing_early() -> None:
    watch = Watch()
    watch.at(30, kernels(kernel("idle", 10)))
    watch.stepped_s = HOUR
    assert watch.at(60, kernels(kernel("idle", 10))).state is IdleState.ACTIVE
    assert watch.at(HOUR - 60, kernels(kernel("idle", 10))).state is IdleState.ACTIVE
    assert watch.at(HOUR + 10, kernels(kernel("idle", 10))).state is IdleState.IDLE


def test_a_clock_set_ahead_while_nobody_looked_makes_no_stamp_older() -> None:
    watch = Watch(stepped_s=HOUR)
    verdict = watch.at(2 * HOUR, kernels(kernel("idle", 1.5 * HOUR)))
    assert verdict.state is IdleState.ACTIVE
    assert verdict.since.boot_s == pytest.approx(1000 + 1.5 * HOUR)


def test_activity_after_the_clock_was_set_back_is_seen() -> None:
    """Its stamp is older than the one before it, and still the newer one."""
    watch = Watch()
    watch.at(1800, kernels(kernel("idle", 1790)))
    watch.stepped_s = -HOUR
    verdict = watch.at(3000, kernels(kernel("idle", 2990 - HOUR)))
    assert verdict.since.boot_s == 1000 + 2990


def test_a_stamp_in_the_future_is_now_and_not_for_ever() -> None:
    watch = Watch()
    future = kernels(kernel("idle", 100 * HOUR))
    assert watch.at(60, future).since.at == after(60)
    assert watch.at(60 + HOUR, future).state is IdleState.IDLE


def test_a_stamp_of_the_year_1_is_none() -> None:
    ancient = replace(kernel(), last_activity_at=datetime(1, 1, 1, tzinfo=UTC))
    assert Watch().at(60, kernels(ancient)).since.at == NOW
    assert Watch().at(60, kernels(replace(ancient, last_activity_at=datetime.max.replace(tzinfo=UTC)))).since.at == (
        after(60)
    )


# The window


@pytest.mark.parametrize(
    ("labels", "default_s", "window_s"),
    [
        ({}, None, None),
        ({}, 60.0, 60.0),
        ({}, 5.0, 5.0),
        ({IDLE_STOP_LABEL: ""}, 60.0, 60.0),
        ({IDLE_STOP_LABEL: "off"}, 60.0, None),
        ({IDLE_STOP_LABEL: "4h"}, None, 4 * HOUR),
        ({IDLE_STOP_LABEL: "1h30m"}, 60.0, 1.5 * HOUR),
        ({IDLE_STOP_LABEL: "30s"}, 60.0, None),
        ({IDLE_STOP_LABEL: "99999999999d"}, 60.0, None),
        ({"idle-stop": "4h"}, 60.0, 60.0),
    ],
)
def test_the_label_outranks_the_configuration(
    labels: dict[str, str], default_s: float | None, window_s: float | None
) -> None:
    assert idle_window(labels, default_s) == window_s


def test_a_window_is_a_minute_at_least() -> None:
    assert parse_window("1m") == 60
    assert parse_window("off") is None
    for text in ("59s", "0s", "soon", "-4h", "", "4"):
        with pytest.raises(ValueError, match=r"is not a duration|is too short"):
            parse_window(text)


def test_looks_are_a_small_part_of_the_window() -> None:
    assert [look_every_s(window_s) for window_s in (5, 60, HOUR, 24 * HOUR)] == [1, 6, 30, 30]
    assert all(longest_blink_s(window_s) < window_s for window_s in (5, 60, HOUR))


def test_a_look_for_a_sample_alone_changes_nothing_else() -> None:
    watch = Watch()
    seen = replace(gpus(0.0), editor=kernels(kernel("idle", 10)).editor)
    before = watch.at(30, seen).since
    blind = Unknown("not asked")
    for seconds in range(60, 3600, 30):
        watch.at(seconds, Signals(browser=blind, editor=blind, gpus=gpus(0.0).gpus))
    verdict = watch.at(HOUR + 10, seen)
    assert (verdict.state, verdict.since) == (IdleState.IDLE, before)


def test_a_look_is_the_same_each_time() -> None:
    watch, again = Watch(), Watch()
    assert watch.every(600, HOUR, gpus(0.2)) == again.every(600, HOUR, gpus(0.2))
    assert watch.record == again.record
