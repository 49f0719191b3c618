# SPDX-License-Identifier: Apache-2.0
"""What the help of every verb ends with: examples, and what its exit codes mean. The man pages have them from here."""

from __future__ import annotations

__all__ = ["EXAMPLES", "examples_of", "exit_codes_of"]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "run conda jupyterlab --name mine",
        "run pytorch vscode --gpu 2 -v sets@DATA/images:/data --timeout 10m",
        "run conda jupyterlab --cpu 2 -e SEED=1 -l team=vision --no-wait",
    ),
    "list": (
        "list --states RUNNING --sort name",
        "list --columns NAME,LABELS --label team=vision",
        "list -q --states STOPPED | xargs -n 1 notebookctl delete --yes",
    ),
    "get": ("get mine", "get mine -o json | jq -r .status.state"),
    "start": ("start mine --wait", "start mine --discard"),
    "stop": ("stop mine", "stop mine --now", "stop --owner bob --yes"),
    "restart": ("restart mine",),
    "extend": ("extend mine 2d", 'extend mine --until "fri 18:00"'),
    "delete": ("delete mine", "delete mine --force --yes"),
    "patch": ("patch mine --restart-on-timeout", "patch mine --gpu 2 -v standalone:/scratch"),
    "rename": ("rename mine better",),
    "push-data": ("push-data mine", "push-data mine /data"),
    "pull-data": ("pull-data mine /data",),
    "cp": ("cp results.csv mine:out/", "cp mine:out .", "cp mine:out - | tar -t", "cp bob/mine:out ."),
    "rm": ("rm mine:checkpoints",),
    "snapshot list": ("snapshot list mine",),
    "snapshot fork": ("snapshot fork mine",),
    "snapshot check": ("snapshot check mine",),
    "datastore": ("datastore", "datastore objects S3 results"),
    "label": ("label mine team=vision", "label mine notebookd/idle-stop=4h", "label mine team="),
    "logs": ("logs -f mine", "logs mine --since 18:00 --tail 100"),
    "exec": ("exec mine -it -- bash", "exec mine -w out -e SEED=1 -- python train.py"),
    "url": ("url mine", "url --renew mine"),
    "open": ("open mine",),
    "why": ("why mine",),
    "events": ("events -f", "events --last 2h --type gpu", "events --since yesterday --notebook mine -o csv"),
    "gpu": ("gpu", "gpu drain 3 --reason 'new fans'", "gpu undrain all"),
    "top": ("top", "top --once"),
    "queue": ("queue",),
    "usage": (
        "usage --group-by day",
        "usage --by label:course,user --all",
        "usage disk",
        "usage --group-by user --month 2026-11 -o csv",
        "usage --from yesterday",
    ),
    "receipt": ("receipt mine", "receipt mine --run 1"),
    "image": ("image", "image build pytorch", "image pull registry.example.org/lab/torch:2.6"),
    "capabilities": ("capabilities", "capabilities framework list --compatible-with vscode"),
    "backup": ("backup /srv/backup/notebookd.db", "backup - | gzip > notebookd.db.gz"),
    "chown": ("chown bob carol",),
    "token": (
        "token create ci",
        "token create nightly --role operator --label-selector team=vision",
        "token delete ci",
    ),
    "me": ("me",),
    "config show": ("config show",),
    "config check": ("config check /tmp/notebookd.toml",),
    "doctor": ("doctor",),
    "bugreport": ("bugreport", "bugreport report.tar.gz"),
    "completion": ("completion bash",),
}
"""By the verb, each without the program's name."""

_CODES = (
    ("0", "it is done"),
    ("1", "refused: the reason is on stderr, with what to do about it"),
    ("2", "not understood, or not meant: nothing was asked of the daemon, or nothing changed"),
    ("3", "the daemon is not reachable"),
)
_WAITED = ("4", "what was waited for ended badly, or not in time")
_INTERRUPTED = ("130", "Ctrl-C: what was asked for goes on")
_WAITING = frozenset({"run", "start", "stop", "restart", "delete", "push-data", "pull-data", "snapshot fork"})
_OWN = {
    "exec": (("N", "the status of the command itself, once it ran"),),
    "doctor": (("0", "nothing keeps notebooks from starting"), ("1", "something does, or lets in who should not be")),
    "config check": (("0", "it can be used, whatever it warns of"), ("1", "it has faults")),
}


def examples_of(verb: str) -> tuple[str, ...]:
    """The lines to type."""
    return tuple(f"notebookctl {line}" for line in EXAMPLES.get(verb, ()))


def exit_codes_of(verb: str) -> tuple[tuple[str, str], ...]:
    """Each code that the verb ends with, and its meaning; of no verb, those of all."""
    if verb in _OWN and verb != "exec":
        return (*_OWN[verb], _CODES[2])
    waited = (_WAITED,) if verb in _WAITING or not verb else ()
    return (*_CODES, *waited, *_OWN.get(verb, ()), _INTERRUPTED)
