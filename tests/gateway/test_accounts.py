# SPDX-License-Identifier: Apache-2.0
"""A token and a session are good for whose they are, over connections that real accounts make."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.gateway.auth import Allow, Facts, Refuse, Why, decide, mint_session
from notebookd.gateway.peer import ELSEWHERE, PROXY, UNKNOWN, Account, Peer
from notebookd.gateway.sock_diag import Kernel, open_netlink
from notebookd.routes import Route

from .accounts import ask_as, socket_of
from .conftest import ALICE, Deck, ToyEditor, hash_of

OWNER, OTHER, WEB_SERVER = 4001, 4002, 4033
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as other accounts")


async def log_in_as(uid: int, deck: Deck) -> str:
    answer = await ask_as(uid, deck, "/?token=secret-a")
    assert answer.status == 303
    [cookie] = [line for line in answer.head.splitlines() if line.lower().startswith("set-cookie:")]
    return "Cookie: " + cookie.partition(":")[2].partition(";")[0].strip()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection over the loopback: the end that connected, and the one that accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket_of(os.geteuid()) as theirs:
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            yield theirs, ours


@needs_root
async def test_a_session_is_worth_nothing_to_another_account(deck: Deck, editor: ToyEditor) -> None:
    deck.publish(owner_uid=OWNER)
    session = await log_in_as(OWNER, deck)
    assert (await ask_as(OWNER, deck, "/lab", session)).status == 200
    asked = len(editor.seen)
    for thief in (OTHER, 0):
        assert (await ask_as(thief, deck, "/lab", session)).status == 403
        websocket = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        fields = (session, f"Origin: {deck.origin()}", "Connection: upgrade", *websocket)
        assert (await ask_as(thief, deck, "/ws", *fields)).status == 403
        assert (await ask_as(thief, deck, "/x", session, f"Origin: {deck.origin()}", method="DELETE")).status == 403
    assert len(editor.seen) == asked


@needs_root
@pytest.mark.parametrize(("uid", "status"), [(OWNER, 200), (0, 200), (OTHER, 403), (WEB_SERVER, 403)])
async def test_the_token_is_good_for_its_owner_and_root(deck: Deck, editor: ToyEditor, uid: int, status: int) -> None:
    deck.publish(owner_uid=OWNER)
    answer = await ask_as(uid, deck, "/", "Authorization: Bearer secret-a")
    assert answer.status == status
    if status == 403:
        assert f"This connection is made by uid {uid}." in answer.page
        assert "trusted_proxies" in answer.page
        assert "alices-book" not in answer.page
        refused = await ask_as(uid, deck, "/?token=secret-a")
        assert (refused.status, "set-cookie" in refused.head.lower()) == (403, False)
        assert editor.seen == []


@needs_root
async def test_where_the_owners_account_is_gone_the_token_opens_for_root_alone(deck: Deck, editor: ToyEditor) -> None:
    deck.publish(owner_uid=None)
    assert (await ask_as(OWNER, deck, "/", "Authorization: Bearer secret-a")).status == 403
    assert (await ask_as(0, deck, "/", "Authorization: Bearer secret-a")).status == 200


@needs_root
async def test_an_unsecured_notebook_opens_for_everybody(deck: Deck, editor: ToyEditor) -> None:
    deck.publish(owner_uid=OWNER, unsecure_http=True)
    for fields in ((), ("Authorization: Bearer secret-a",)):
        assert (await ask_as(OTHER, deck, "/lab", *fields)).status == 200


class TestBehindAProxy:
    @pytest.fixture
    def settings(self) -> dict[str, object]:
        return {"trusted_proxies": [str(WEB_SERVER), "no-such-account"]}

    @needs_root
    async def test_token_and_session_are_good_through_it_and_the_session_nowhere_else(
        self, deck: Deck, editor: ToyEditor
    ) -> None:
        deck.publish(owner_uid=OWNER)
        through = await log_in_as(WEB_SERVER, deck)
        directly = await log_in_as(OWNER, deck)
        for uid, session, status in (
            (WEB_SERVER, through, 200),
            (OTHER, through, 403),
            (OWNER, directly, 200),
            (WEB_SERVER, directly, 403),
        ):
            assert (await ask_as(uid, deck, "/lab", session)).status == status


@pytest.mark.parametrize(
    ("listen", "connect"), [("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")]
)
@needs_root
def test_the_kernel_tells_whose_each_end_is(listen: str, connect: str) -> None:
    six = ":" in connect
    listening_family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with (
        socket.create_server((listen, 0), family=listening_family, dualstack_ipv6=listen == "::") as listener,
        socket_of(OTHER, socket.AF_INET6 if six else socket.AF_INET) as theirs,
        open_netlink() as netlink,
    ):
        theirs.connect((connect, listener.getsockname()[1]))
        ours, _ = listener.accept()
        kernel = Kernel(netlink)
        assert kernel.peer_of(ours.getsockname()[:2], ours.getpeername()[:2]) == Account(uid=OTHER)
        theirs.shutdown(socket.SHUT_WR)
        assert kernel.peer_of(ours.getsockname()[:2], ours.getpeername()[:2]) == Account(uid=OTHER)
        ends = ours.getsockname()[:2], ours.getpeername()[:2]
        theirs.close()  # the kernel says uid 0 of a socket that no process has any more
        assert kernel.peer_of(*ends) == UNKNOWN
        ours.close()


def test_answers_that_nobody_waited_for_are_not_taken_for_ours(pair: tuple[socket.socket, socket.socket]) -> None:
    _, ours = pair
    ends = ours.getsockname(), ours.getpeername()
    with open_netlink() as netlink:
        earlier = Kernel(netlink)
        earlier.peer_of(("127.0.0.1", 9), ("127.0.0.1", 9))
        question = bytes.fromhex("480000001400010307000000000000000206000000000000") + bytes(48)
        netlink.sendto(question, (0, 0))
        assert Kernel(netlink).peer_of(*ends) == Account(uid=os.geteuid())


def test_a_port_that_somebody_listens_on_is_no_connection_of_theirs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, open_netlink() as netlink:
        kernel = Kernel(netlink)
        assert kernel.peer_of(("127.0.0.1", 8421), listener.getsockname()) == UNKNOWN
        assert kernel.peer_of(("192.0.2.7", 8421), ("198.51.100.9", listener.getsockname()[1])) == UNKNOWN
        assert kernel.peer_of(("192.0.2.7", 8421), ("192.0.2.7", 40000)) == UNKNOWN


@pytest.fixture
def outward() -> Iterator[str]:
    """An address of this machine that is none of the loopback's."""
    address = "192.0.2.77"
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    yield address
    subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


@needs_root
@pytest.mark.parametrize("ending", ["close", "reset", "close, and data that does not get through"])
def test_who_connects_from_an_address_of_the_machine_and_is_gone_is_from_no_other_machine(
    outward: str, ending: str
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket_of(OTHER) as theirs,
        open_netlink() as netlink,
    ):
        theirs.bind((outward, 0))
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            kernel = Kernel(netlink)
            ends = ours.getsockname(), ours.getpeername()
            assert kernel.peer_of(*ends) == Account(uid=OTHER)
            theirs.setblocking(False)
            theirs.send(b"POST / HTTP/1.1\r\n\r\n" + bytes(64_000_000 * ("data" in ending)))
            if ending == "reset":
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            assert kernel.peer_of(*ends) == UNKNOWN
            assert ours.recv(4) == b"POST", "what they sent can be read all the same"


@needs_root
def test_an_open_connection_whose_other_end_is_not_here_is_another_machines() -> None:
    """The other end is in a network of its own."""
    link = f"nb{os.getpid()}"
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as elsewhere, socket.socket() as listener:
        try:
            while Path(f"/proc/{elsewhere.pid}/ns/net").samefile("/proc/self/ns/net"):
                pass
            inside = ["nsenter", f"--net=/proc/{elsewhere.pid}/ns/net"]
            add = ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(elsewhere.pid)]
            subprocess.run(add, check=True)
            for words in (
                ["ip", "address", "add", "192.0.2.129/30", "dev", link],
                ["ip", "link", "set", link, "up"],
                [*inside, "ip", "address", "add", "192.0.2.130/30", "dev", "eth0"],
                [*inside, "ip", "link", "set", "eth0", "up"],
            ):
                subprocess.run(words, check=True)
            listener.bind(("192.0.2.129", 0))
            listener.listen()
            port = listener.getsockname()[1]
            wait = f"import socket; s = socket.create_connection(('192.0.2.129', {port})); s.recv(1)"
            with subprocess.Popen([*inside, sys.executable, "-c", wait]) as client, open_netlink() as netlink:
                listener.settimeout(10)
                ours, _ = listener.accept()
                ends = ours.getsockname(), ours.getpeername()
                assert Kernel(netlink).peer_of(*ends) == ELSEWHERE
                ours.close()
                client.wait(10)
        finally:
            elsewhere.kill()


def test_a_kernel_that_does_not_answer_lets_nobody_in(pair: tuple[socket.socket, socket.socket]) -> None:
    _, ours = pair
    netlink = open_netlink()
    netlink.close()
    assert Kernel(netlink).peer_of(ours.getsockname(), ours.getpeername()) == UNKNOWN


PEERS = [Account(uid=0), Account(uid=OWNER), Account(uid=OTHER), PROXY, ELSEWHERE, UNKNOWN]


@pytest.mark.parametrize("shown_by", PEERS)
@pytest.mark.parametrize("begun_by", PEERS)
def test_a_session_is_bound_to_who_began_it(deck_route: Route, begun_by: Peer, shown_by: Peer) -> None:
    session = mint_session(deck_route, begun_by, nonce="ab", expires_at=2)
    facts = Facts(method="GET", host=f"{ALICE}.localhost", target="/", peer=shown_by, sessions=(session,))
    welcome = begun_by == shown_by and shown_by is not UNKNOWN
    assert isinstance(decide(facts, deck_route, now_s=1), Allow if welcome else Refuse)


@pytest.mark.parametrize("peer", PEERS)
def test_who_may_use_the_token(deck_route: Route, peer: Peer) -> None:
    facts = Facts(method="GET", host=f"{ALICE}.localhost", target="/", peer=peer, authorization="Bearer secret-a")
    decision = decide(facts, deck_route, now_s=1)
    if peer in {Account(uid=OTHER), UNKNOWN}:
        assert decision == Refuse(why=Why.OTHER_ACCOUNT)
    else:
        assert isinstance(decision, Allow)


@pytest.fixture
def deck_route() -> Route:
    return Route(
        notebook=ALICE,
        name="n",
        owner="alice",
        owner_uid=OWNER,
        state="RUNNING",
        token_hash=hash_of("secret-a"),
        session_key=hash_of("key"),
    )
