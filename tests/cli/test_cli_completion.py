# SPDX-License-Identifier: Apache-2.0
"""What a TAB offers, in each shell that there is."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from notebookd import wire
from notebookd.cli.main import VERBS
from tests.cli import worlds
from tests.cli.verbs import verbs
from tests.cli.worlds import HOSTILE, A, B, me, notebook, page

FREE = {
    *("name", "new", "label", "labels", "envvar", "env", "volume", "reason", "command", "folder", "base", "prefix"),
    *("interval", "month", "start", "end", "since", "last", "until", "timeout", "after", "tail", "limit", "types"),
    *("gpu", "cpu", "run", "compatible_with", "label_selector", "arguments", "socket"),
}
"""Parameters whose values nobody can know before, or that are counts and times."""


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/me", me())
    toy.on(
        "GET /v1/notebook",
        page(notebook(), notebook(B, "brave", state="STOPPED"), notebook(worlds.C, "brave", user="bob")),
    )
    toy.on("GET /v1/capabilities/notebook/framework", worlds.FRAMEWORKS)
    toy.on("GET /v1/capabilities/notebook/editor", worlds.EDITORS)
    toy.on("GET /v1/capabilities/flavor", worlds.FLAVORS)
    toy.on("GET /v1/gpu", worlds.STATION)
    stores = [wire.Datastore(alias="DATA", type="directory", permission="RO")]
    toy.on("GET /v1/datastore", wire.encode(wire.DatastoreList(items=stores)))


@pytest.fixture
def offered(notebookctl):
    """What is offered for the last of these words, as bash is told."""

    def ask(line, shell="bash"):
        words = line.split(" ")
        env = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_NOTEBOOKCTL_COMPLETE": f"{shell}_complete"}
        if shell == "fish":
            env["COMP_CWORD"] = words[-1]
        done = notebookctl(env=env)
        assert done.exit_code == 0, done.output
        return [row.partition(",")[2] for row in done.stdout.split("\n") if row] if shell != "zsh" else done.stdout

    return ask


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("notebookctl st", ["start", "stop"]),
        ("notebookctl get ", ["calm", "alice/brave", "bob/brave"]),
        ("notebookctl get c", ["calm"]),
        ("notebookctl get bob/", ["bob/brave"]),
        ("notebookctl get 0a", [A, B]),
        ("notebookctl run c", ["conda"]),
        ("notebookctl run conda ", ["jupyterlab"]),
        ("notebookctl run conda jupyterlab --flavor ", ["h100-1-gpu", "cpu"]),
        ("notebookctl run conda jupyterlab --framework-version py31", ["py312", "py311"]),
        ("notebookctl run conda jupyterlab --fla", ["--flavor"]),
        ("notebookctl patch calm -f h", ["h100-1-gpu"]),
        ("notebookctl push-data calm /", ["/data"]),
        ("notebookctl rm c", ["calm:"]),
        ("notebookctl events --notebook c", ["calm"]),
        ("notebookctl list --columns NA", ["NAME"]),
        ("notebookctl list --columns NAME,", None),
        ("notebookctl list --columns NAME,u", ["NAME,URL"]),
        ("notebookctl list --states RUNNING,st", ["RUNNING,STARTING", "RUNNING,STOPPING", "RUNNING,STOPPED"]),
        ("notebookctl list --owner ", ["alice", "bob"]),
        ("notebookctl list --sort ", ["age", "name", "state", "updated"]),
        ("notebookctl stop --owner b", ["bob"]),
        ("notebookctl chown ali", ["alice"]),
        ("notebookctl usage --group-by user,", None),
        ("notebookctl usage --group-by user,mo", ["user,month"]),
        ("notebookctl usage --group-by user,la", ["user,label:team"]),
        ("notebookctl usage --group-by label :", ["team"]),
        ("notebookctl usage --group-by user,label : te", ["team"]),
        ("notebookctl usage --group-by label : team,us", ["team,user"]),
        ("notebookctl usage --group-by label : team,label : te", []),
        ("notebookctl gpu drain ", ["0", "1", "2", "3", "4", "5", "all"]),
        ("notebookctl gpu drain 0 5 a", ["all"]),
        ("notebookctl gpu undrain GPU-00000003", ["GPU-00000003-0000-0000-0000-000000000000"]),
        ("notebookctl gpu list ", []),
        ("notebookctl datastore objects ", ["DATA"]),
        ("notebookctl datastore list ", []),
        ("notebookctl capabilities framework get ", ["conda"]),
        ("notebookctl capabilities flavor get h", ["h100-1-gpu"]),
        ("notebookctl extend calm ", ["12h", "1d", "2d", "1w"]),
        ("notebookctl me -o ", ["table", "json", "yaml", "csv"]),
    ],
)
def test_what_is_offered(offered, line, found):
    answer = offered(line)
    if found is None:
        assert len(answer) > 4
        assert all(word.startswith(line.rpartition(" ")[2]) for word in answer)
        assert line.rpartition(" ")[2].rstrip(",") not in [word.rpartition(",")[2] for word in answer]
    else:
        assert answer == found


def test_tokens_and_snapshots_are_offered(offered, toy):
    spec = wire.TokenSpec(name="ci", role="ai_training_read")
    at = "2026-11-22T17:00:00.000Z"
    token = wire.Token(id=B, user="alice", created_at=at, updated_at=at, spec=spec, status=wire.TokenStatus(version=1))
    metadata = wire.Metadata(current_page=1, page_count=1, total=1, links=wire.Links())
    toy.on("GET /v1/token", wire.encode(wire.TokenList(items=[token], metadata=metadata)))
    assert offered("notebookctl token renew ") == ["ci"]
    assert offered("notebookctl token delete 0ab") == [B]
    assert offered("notebookctl token create c") == []
    taken = wire.NotebookBackup(
        id=worlds.C, backup_date=at, created_at=at, updated_at=at, mount_path="", comment="", files=1, size=1
    )
    toy.on(f"GET /v1/notebook/{A}/backup", wire.encode(wire.NotebookBackupList(items=[taken], metadata=metadata)))
    assert offered("notebookctl snapshot fork calm ") == [worlds.C]


def test_all_that_can_be_known_is_offered() -> None:
    lacking = []
    for verb, each in ((" ".join(words), each) for words, command in verbs() for each in command.params):
        known = isinstance(each.type, click.Choice | click.Path) or getattr(each, "is_flag", False)
        if not known and each.type is not click.BOOL and each.name not in FREE and each._custom_shell_complete is None:
            lacking.append(f"{verb}: {each.name}")
    assert lacking == []


def test_other_shells_read_what_more_there_is_to_say(offered):
    assert offered("notebookctl get ", "fish") == ["calm\tRUNNING", "alice/brave\tSTOPPED", "bob/brave\tRUNNING"]
    assert offered("notebookctl get c", "zsh") == "plain\ncalm\nRUNNING\n"
    assert "stop\tStop a notebook; its workspace stays." in offered("notebookctl st", "fish")


def test_nothing_that_steers_a_terminal_is_offered(offered, toy):
    toy.on("GET /v1/notebook", page(notebook(A, HOSTILE), notebook(B, "fine", state="\x1b[2J")))
    for shell in ("bash", "fish", "zsh"):
        assert "\x1b" not in str(offered("notebookctl get ", shell))


class TestRemembering:
    """The daemon is asked once in a while, and when something was changed."""

    def test_a_second_tab_asks_nobody(self, offered, toy):
        for line in ("notebookctl get ", "notebookctl get c", "notebookctl stop ", "notebookctl push-data calm "):
            assert offered(line)
        assert len(toy.asked) == 1

    def test_what_another_actor_was_told_is_not_offered(self, offered, toy, monkeypatch):
        assert offered("notebookctl get ")
        monkeypatch.setenv("NOTEBOOKD_TOKEN", "nbd_x")
        assert offered("notebookctl get ")
        assert [asked.headers.get("authorization") for asked in toy.asked] == [None, "Bearer nbd_x"]

    @pytest.mark.parametrize("words", [["rename", "calm", "new"], ["delete", "calm", "--yes"], ["run", "conda", "x"]])
    def test_a_change_is_seen_at_once(self, offered, notebookctl, toy, words):
        offered("notebookctl get ")
        toy.on(f"PUT /v1/notebook/{A}/rename", status=204)
        toy.on(f"DELETE /v1/notebook/{A}", status=204)
        notebookctl(*words)
        toy.on("GET /v1/notebook", page(notebook(A, "new")))
        assert offered("notebookctl get n") == ["new"]

    def test_it_is_forgotten_after_a_while(self, offered, toy, notebookctl):
        offered("notebookctl get ")
        (file,) = Path(notebookctl.cache, "notebookctl").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        os.utime(file, (time.time() - 60, time.time() - 60))
        offered("notebookctl get ")
        assert len(toy.asked) == 2

    @pytest.mark.parametrize("rubbish", [b"", b"{", b"[1]", b"[[]]", b"\xff", b'{"a": 1}'])
    def test_what_cannot_be_read_is_asked_for(self, offered, toy, notebookctl, rubbish):
        offered("notebookctl get ")
        (file,) = Path(notebookctl.cache, "notebookctl").iterdir()
        file.write_bytes(rubbish)
        assert offered("notebookctl get c") == ["calm"]

    def test_a_cache_of_somebody_elses_is_left_alone(self, offered, toy, notebookctl):
        if os.geteuid():
            pytest.skip("only root can make a folder somebody else's")
        folder = Path(notebookctl.cache, "notebookctl")
        folder.mkdir(parents=True)
        os.chown(folder, 65534, 65534)
        for _ in range(2):
            assert offered("notebookctl get c") == ["calm"]
        assert (len(toy.asked), list(folder.iterdir())) == (2, [])

    def test_without_a_home_nothing_is_kept_and_all_is_offered(self, offered, toy, notebookctl):
        notebookctl.cache = "/proc/nowhere"
        for _ in range(2):
            assert offered("notebookctl get c") == ["calm"]
        assert len(toy.asked) == 2

    def test_a_daemon_that_is_away_offers_nothing(self, offered, notebookctl):
        notebookctl.toy.path += "x"
        assert offered("notebookctl get ") == []


# Real shells.

PROGRAM = f"""#!{sys.executable}
from notebookd.cli.main import main
main()
"""


@pytest.fixture
def home(tmp_path, toy):
    """A folder with the program on its PATH, and the environment of somebody who lives there."""
    program = tmp_path / "bin" / "notebookctl"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}", "NOTEBOOKD_SOCKET": toy.path}
    return {**env, "TERM": "dumb", "PYTHONPATH": str(Path.cwd()), "LC_ALL": "C.UTF-8"}


def typed(command, env, setup, line, wanted, patience_s=60):
    """What a shell on a terminal has shown when ``wanted`` stands there after a line was typed and TAB pressed."""
    leader, follower = pty.openpty()
    shell = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=env, start_new_session=True)
    os.close(follower)
    shown = b""
    try:
        os.write(leader, setup.encode() + b"\n")
        for step, sign in ((None, "READY-NOW"), (line, wanted)):
            if step is not None:
                os.write(leader, step.encode() + b"\t")
            deadline = time.monotonic() + patience_s
            while sign not in shown.decode(errors="replace"):
                assert time.monotonic() < deadline, shown.decode(errors="replace")
                if select.select([leader], [], [], 0.2)[0]:
                    shown += os.read(leader, 4096)
            if step is None:
                shown = b""
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)
    return shown.decode(errors="replace")


def test_bash_completes(home):
    setup = 'source <(notebookctl completion bash); PS1="> "; echo READY-"NOW"'
    bash = ["bash", "--norc", "--noprofile", "-i"]
    assert typed(bash, home, setup, "notebookctl get ca", "notebookctl get calm ")
    assert typed(bash, home, setup, "notebookctl rm ca", "notebookctl rm calm:")
    shown = typed(bash, home, setup, "notebookctl rm ca", "calm:")
    assert "calm: " not in shown
    assert typed(bash, home, setup, "notebookctl usage --group-by user,mo", "user,month ")
    assert typed(bash, home, setup, "notebookctl usage --group-by user,la", "user,label:team ")
    assert typed(bash, home, setup, "notebookctl usage --group-by user,label:te", "user,label:team ")
    assert typed(bash, home, setup, "notebookctl usage --group-by label:", "label:team ")


@pytest.mark.skipif(not shutil.which("zsh"), reason="not installed: zsh (tests/run --long installs it)")
def test_zsh_completes(home):
    setup = "autoload -Uz compinit; compinit -u -D; source <(notebookctl completion zsh); PS1='> '; echo READY-\"NOW\""
    assert typed(["zsh", "-f", "-i"], home, setup, "notebookctl get ca", "notebookctl get calm")
    assert typed(["zsh", "-f", "-i"], home, setup, "notebookctl usage --by user,label:te", "user,label:team")


@pytest.mark.skipif(not shutil.which("fish"), reason="not installed: fish (tests/run --long installs it)")
def test_fish_completes(home):
    code = 'notebookctl completion fish | source; complete -C "notebookctl get "; complete -C "notebookctl st"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", code], env=home, capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.splitlines() == [
        *("alice/brave\tSTOPPED", "bob/brave\tRUNNING", "calm\tRUNNING"),
        *("start\tStart a notebook.", "stop\tStop a notebook; its workspace stays."),
    ]


def test_every_verb_is_offered(offered):
    assert offered("notebookctl ")[: len(VERBS)] == list(VERBS)
