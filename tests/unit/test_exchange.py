# SPDX-License-Identifier: Apache-2.0
"""HTTP as the client speaks it: whatever comes is a whole answer, or is said to be broken."""

from __future__ import annotations

import socket
import threading
import urllib.parse

import pytest

from notebookd.client.exchange import Broken, Exchange, quoted


class Far:
    """The other end of an exchange."""

    def __init__(self):
        near, self.link = socket.socketpair()
        near.settimeout(10)
        self.exchange = Exchange(near)

    def says(self, data, *, over=False):
        self.link.sendall(data)
        if over:
            self.link.shutdown(socket.SHUT_WR)


@pytest.fixture
def far():
    far = Far()
    yield far
    far.exchange.close()
    far.link.close()


def test_a_request_is_sent_whole(far):
    far.exchange.begin("PUT", "/v1/x?a=b", {"Content-Length": "2", "If-Match": '"3"'}, b"{}")
    sent = far.link.recv(65536)
    assert sent == b'PUT /v1/x?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nIf-Match: "3"\r\n\r\n{}'


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\u00e4", "", "v1"])
def test_no_target_is_more_than_a_target(far, target):
    with pytest.raises(ValueError, match="percent-encoded"):
        far.exchange.begin("GET", target, {})


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\ncontent-length:5\n\nhello", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n003;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_a_body_ends_where_it_says(far, said, body):
    far.says(said, over=True)
    answer = far.exchange.answer()
    assert answer.read() == body
    assert answer.read(1) == b""


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_whole_answer_is_broken(far, said):
    # Sent from a thread of its own: nobody reads all of what is too long.
    sender = threading.Thread(target=lambda: far.says(said, over=True))
    sender.start()
    with pytest.raises(Broken):
        far.exchange.answer().read()
    far.exchange.close()
    sender.join()


def test_what_is_here_is_read_before_the_next_is_waited_for(far):
    far.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer = far.exchange.answer()
    for line in (b"one\n", b"two\n"):
        far.says(b"%x\r\n%s\r\n" % (len(line), line))
        assert answer.readline() == line
    far.says(b"0\r\n\r\n")
    assert answer.readline() == b""


@pytest.mark.parametrize("text", ["plain-1_2.3~", "a b+c", "a/../b?&=#%", "\u00e4\u20ac", "\x00\r\n", ""])
def test_words_are_encoded_as_everybody_does(text):
    assert quoted(text) == urllib.parse.quote(text, safe="")
