# SPDX-License-Identifier: Apache-2.0
"""The few pages that the gateway shows itself.

Self-contained HTML under a policy that lets nothing run or load. To a caller who has proved nothing a page says
nothing that the address did not say already: no name, no owner, no reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

from notebookd.gateway.peer import Peer
from notebookd.neutral import one_line
from notebookd.routes import Route

__all__ = [
    "HEADERS",
    "Page",
    "bad_request",
    "foreign_origin",
    "not_yours",
    "other_account",
    "state",
    "unknown",
    "unreachable",
]

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

STARTING: Final = frozenset({"STARTING", "RESTARTING"})
STOPPING: Final = frozenset({"STOPPING", "DELETING"})

_ELSEWHERE: Final = "Each start makes a new token; notebookctl url prints the address that carries it."
_SIGNED_IN: Final = (
    "A browser that is signed in stays so: reload this page then. notebookctl url prints the new address."
)
_STARTING_REFRESH_S: Final = 2
_STOPPING_REFRESH_S: Final = 5

_FRAME: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$refresh<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6575; --paper: #f5f6f8; --card: #fff; --line: #dfe3e9;
  --code: #eef1f5; --accent: #2f6feb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b5; --paper: #12151b; --card: #1b2029;
  --line: #2c3340; --code: #262d39; --accent: #79a7ff; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 34rem; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 2rem 2.25rem; }
h1 { font-size: 1.3rem; margin: 0 0 .75rem; display: flex; gap: .75rem; align-items: center; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
pre { background: var(--code); border-radius: 8px; padding: .7rem .9rem; margin: .9rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere;
  font: .92rem/1.4 ui-monospace, monospace; user-select: all; }
.turning { width: 1rem; height: 1rem; flex: none; border: 2px solid var(--line); border-top-color: var(--accent);
  border-radius: 50%; animation: turn 1s linear infinite; }
@keyframes turn { to { transform: rotate(1turn); } }
@media (prefers-reduced-motion: reduce) { .turning { animation: none; } }
</style>
</head>
<body><main>
<h1>$mark$title</h1>
$body
</main></body>
</html>
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page with its HTTP status; ``retry_after_s`` makes browser and program come back."""

    status: int
    html: str
    retry_after_s: int | None = None


def state(route: Route, *, proven: bool) -> Page:
    """What is to be said of a notebook that is not running. Names are shown to a ``proven`` caller only."""
    name = route.name if proven else route.notebook
    subject = f"Notebook {_shown(name)}"
    reason = _soft(route.reason) if proven and route.reason else ""
    if route.state in STARTING:
        waits = _text(route.reason) if proven and route.reason else ""
        body = waits + _soft("This page goes on to the editor by itself as soon as it answers.")
        return _page(503, f"{subject} is starting", body, refresh_s=_STARTING_REFRESH_S)
    if route.state in STOPPING:
        body = _text("What it has to save is being saved.") + reason
        return _page(503, f"{subject} is stopping", body, refresh_s=_STOPPING_REFRESH_S)
    body = (
        _text("Its workspace is kept. Start it with:")
        + _command(f"notebookctl start {name}")
        + _soft(_SIGNED_IN if proven else _ELSEWHERE)
        + reason
    )
    return _page(503, f"{subject} is stopped", body)


def not_yours(notebook: str, *, status: int) -> Page:
    """For a caller without the notebook's token, or with one of yesterday."""
    body = (
        _text("This address opens only with the notebook's token. If it is yours, get the address that carries it:")
        + _command(f"notebookctl url {notebook}")
        + _soft("Tokens change at each start, so an address from before the last start no longer opens.")
    )
    return _page(status, "Not yours, or not any more", body)


def other_account(peer: Peer) -> Page:
    """For the right token, shown by an account of this machine that is not the owner's."""
    body = (
        _text(f"On this machine a notebook opens for its owner's account alone. This connection is made by {peer}.")
        + _text("If the notebook is yours, open its address as yourself, or through ssh -L under your own account.")
        + _soft(
            "If a reverse proxy made the connection, the admin names the proxy's account: trusted_proxies in [gateway]."
        )
    )
    return _page(403, "This notebook belongs to another account", body)


def foreign_origin() -> Page:
    """For a websocket, a changing request or a part of a page that did not come from a page of this notebook."""
    body = _text("The request came from a page of another origin, or did not say where it came from.") + _soft(
        "Programs: send the notebook's token as Authorization: Bearer, and no Origin."
    )
    return _page(403, "Refused: another origin", body)


def unknown(*, status: int, domain: str) -> Page:
    """For a host name that is no notebook's. ``domain`` is that of notebooks, with the port."""
    body = (
        _text(f"Notebooks live at http://<id>.{domain}. List yours, with their addresses:")
        + _command("notebookctl list")
        + _soft("A deleted notebook has no address any more.")
    )
    return _page(status, "No such notebook here", body)


def unreachable(*, refresh: bool) -> Page:
    """For a running notebook whose editor does not answer."""
    body = _text("The notebook is running, and its editor does not answer.") + _soft(
        "It may be busy or restarting. notebookctl logs and notebookctl why say more."
    )
    return _page(502, "The editor does not answer", body, refresh_s=_STOPPING_REFRESH_S if refresh else None)


def bad_request(status: int, why: str) -> Page:
    """For a request that no browser sends."""
    return _page(status, "This request makes no sense here", _text(why))


def _page(status: int, title: str, body: str, *, refresh_s: int | None = None) -> Page:
    """``title`` and ``body`` are HTML already."""
    refresh = f'<meta http-equiv="refresh" content="{refresh_s}">\n' if refresh_s else ""
    mark = '<span class="turning"></span>' if refresh_s else ""
    html = _FRAME.substitute(refresh=refresh, title=title, mark=mark, body=body)
    return Page(status=status, html=html, retry_after_s=refresh_s)


def _shown(text: str) -> str:
    """Text for HTML: neither tags nor what turns the direction of writing is obeyed."""
    return escape(one_line(text))


def _text(text: str) -> str:
    return f"<p>{_shown(text)}</p>\n"


def _soft(text: str) -> str:
    return f'<p class="soft">{_shown(text)}</p>\n'


def _command(command: str) -> str:
    return f"<pre>{_shown(command)}</pre>\n"
