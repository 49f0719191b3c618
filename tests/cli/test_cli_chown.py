# SPDX-License-Identifier: Apache-2.0
"""notebookctl chown: what it asks for, and what it prints."""

from __future__ import annotations

import json

from notebookd import wire

MADE = wire.encode(wire.Handover(from_="CORP\\al ice", to="bob@corp", uid=1002, notebooks=3, tokens=2))


def test_it_names_both_and_says_what_went(notebookctl, toy):
    toy.on("POST /v1/account/chown", MADE)
    result = notebookctl("chown", "CORP\\al ice", "bob@corp")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "bob@corp (uid 1002) has 3 notebooks of CORP\\al ice now; 2 app tokens ended\n"
    (sent,) = toy.sent("POST /v1/account/chown")
    assert json.loads(sent.body) == {"from": "CORP\\al ice", "to": "bob@corp"}
    assert json.loads(notebookctl("chown", "a", "b", "-o", "json").stdout) == json.loads(MADE)
    header, row = notebookctl("chown", "a", "b", "-o", "csv").stdout.splitlines()
    assert (header, row) == ("FROM,TO,UID,NOTEBOOKS,TOKENS ENDED", "CORP\\al ice,bob@corp,1002,3,2")


def test_a_refusal_says_what_to_do(notebookctl, toy):
    refusal = wire.Refusal(message="cannot give what is a's to b: x", code="conflict", hint="stop them")
    toy.on("POST /v1/account/chown", wire.encode(refusal), status=409)
    result = notebookctl("chown", "a", "b")
    assert result.exit_code == 1
    assert result.stderr == "notebookctl: cannot give what is a's to b: x (conflict)\nhint: stop them\n"
    assert notebookctl("chown", "a").exit_code == 2
