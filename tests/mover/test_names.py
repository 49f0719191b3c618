# SPDX-License-Identifier: Apache-2.0
"""Names that a bucket has and no disk can have, and objects that nobody can read: the rest comes in, and it is said."""

from __future__ import annotations

import re

import pytest

from tests.mover.conftest import MakeLab, Remotes
from tests.mover.lab import Lab
from tests.mover.proxies import judged


@pytest.mark.parametrize(
    ("keys", "comes", "lost"),
    [
        ({"logs": "o", "logs/x": "x", "b": "b"}, {"logs/x", "b"}, ["logs"]),
        ({"a": "1", "a/b": "2", "a/b/c": "3"}, {"a/b/c"}, ["a", "a/b"]),
        ({"d/": "", "d/x": "x"}, {"d/x"}, []),
        ({"empty/": "", "b": "b"}, {"b"}, []),
        ({"d/": "not empty", "d/x": "x"}, {"d/x"}, ["d/"]),
    ],
)
@pytest.mark.parametrize("cache", [False, True])
def test_an_object_that_is_a_folder_too_is_named(
    lab: Lab, keys: dict[str, str], comes: set[str], lost: list[str], *, cache: bool
) -> None:
    lab.put(keys)
    said = lab.pull(cache=cache)
    assert said["ok"], said
    assert came(lab, said, cache=cache) == comes
    for name in lost:
        assert f"'{name}'" in said["message"]
    assert bool(said["message"]) is bool(lost)
    assert said["progress"]["failed"] == len(lost)


def came(lab: Lab, said: dict[str, object], *, cache: bool) -> set[str]:
    if not cache:
        return set(lab.local_files())
    version = lab.volume / "versions" / str(said["facts"]["version"])  # type: ignore[index]
    return {str(each.relative_to(version)) for each in version.rglob("*") if each.is_file()}


DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
FROZEN = b"<Error><Code>InvalidObjectState</Code><Message>It is not valid here</Message></Error>"
MISSING = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


@pytest.mark.parametrize(("status", "answer"), [(403, DENIED), (403, FROZEN), (404, MISSING)])
@pytest.mark.parametrize("cache", [False, True])
def test_one_object_that_cannot_be_read_does_not_end_a_start(
    remotes: Remotes, make_lab: MakeLab, status: int, answer: bytes, *, cache: bool
) -> None:
    def verdict(method: str, path: str) -> tuple[int, bytes] | None:
        return (status, answer) if method == "GET" and "locked" in path.partition("?")[0] else None

    with judged(remotes.s3_port, verdict) as port:
        lab = make_lab("s3", config=re.sub(r"127\.0\.0\.1:\d+\nregion", f"127.0.0.1:{port}\nregion", remotes.config))
        lab.put({"locked.bin": "secret", "open": "o", "d/open": "o"})
        said = lab.pull(cache=cache)
        assert said["ok"], said
        assert came(lab, said, cache=cache) == {"open", "d/open"}
        assert "'locked.bin'" in said["message"]
        assert lab.pull(cache=cache)["ok"], "nor the next one, which has nothing else to bring in"


LISTED = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated><Contents>
<Key>pre fix/{}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>4</Size>
</Contents></ListBucketResult>"""


@pytest.mark.parametrize(
    "key", ["../out", "../../out", "a/../../../out", "..", ".", "/out", "a//out", "a/./out", "x" * 10**6]
)
def test_no_name_in_a_listing_leads_out_of_the_volume(remotes: Remotes, make_lab: MakeLab, key: str) -> None:
    """A server lists what it likes."""

    def verdict(method: str, path: str) -> tuple[int, bytes] | None:
        if method != "GET":
            return (404, b"")
        return (200, LISTED.format(key).encode() if "prefix=" in path else b"evil")

    with judged(remotes.s3_port, verdict) as port:
        lab = make_lab("s3", config=re.sub(r"127\.0\.0\.1:\d+\nregion", f"127.0.0.1:{port}\nregion", remotes.config))
        said = lab.pull()
    came_in = [each for each in lab.folder.rglob("*") if each.is_file() and each.read_bytes() == b"evil"]
    assert {each.relative_to(lab.folder).parts[0] for each in came_in} <= {"volume"}
    assert said["message"], "it is said that something did not come"
    assert len(said["message"]) <= 1000
    assert not set(lab.local_files()) & {"out", "a/out"}
