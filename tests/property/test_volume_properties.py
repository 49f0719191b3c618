# SPDX-License-Identifier: Apache-2.0
"""The grammar of volumes: what is written is read again, and nothing breaks it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from notebookd import wire
from notebookd.api import data_shapes
from notebookd.api.volume_wishes import read_volumes
from notebookd.domain.spec import Fault
from notebookd.domain.volumes import (
    ALIAS,
    CONTAINER,
    GitSource,
    Permission,
    ScratchSource,
    Source,
    StoreSource,
    Volume,
    format_volume,
    normalised,
    parse_volume,
    volume_faults,
    volume_id,
)

SCHEMES = ("https", "http")
NOTEBOOK = "00000000-0000-4000-8000-000000000000"

part = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=12)
odd = st.sampled_from(["a:", ":ro", "x:/y", "@", "cache"])
sources: st.SearchStrategy[Source] = st.one_of(
    st.builds(
        StoreSource,
        alias=st.from_regex(ALIAS, fullmatch=True),
        container=st.one_of(st.just(""), st.from_regex(CONTAINER, fullmatch=True)),
        prefix=st.lists(st.one_of(part, odd), max_size=4).map("/".join),
    ),
    st.builds(
        GitSource,
        git_url=st.builds("{}://{}{}/{}.git".format, st.sampled_from(SCHEMES), st.sampled_from(["h.org", "[::1]"]),
                          st.sampled_from(["", ":8443"]), st.text("abc:@~%+-_./", max_size=20)),
    ),
    st.just(ScratchSource()),
)  # fmt: skip
mounts = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=12), min_size=1
).map(lambda parts: "/" + "/".join(parts))
volumes = st.builds(
    lambda source, mount, permission, cache: Volume.of(source, mount, permission, cache=cache),
    sources,
    mounts,
    st.sampled_from(Permission),
    st.booleans(),
).filter(lambda volume: not list(volume_faults([volume], SCHEMES)))


@given(volumes)
def test_what_is_written_is_read_again(volume: Volume) -> None:
    assert parse_volume(format_volume(volume)) == volume
    assert normalised(volume) == volume


@given(volumes, st.sampled_from([str.upper, str.title]), st.booleans())
def test_options_are_read_in_any_case_and_order(volume: Volume, case: Callable[[str], str], swapped: bool) -> None:
    options = [case(volume.permission.lower()), case("cache" if volume.cache else "no-cache")]
    text = ":".join([str(volume.source), volume.mount_path, *(reversed(options) if swapped else options)])
    assert parse_volume(text) == volume


@given(volumes)
def test_the_shape_on_the_wire_says_the_same(volume: Volume) -> None:
    sent = wire.decode(wire.Volume, wire.encode(data_shapes.volume(volume)))
    faults: list[Fault] = []
    assert read_volumes([sent], faults) == read_volumes([format_volume(volume)], faults) == (volume,)
    assert faults == []


@given(st.text())
@example("")
@example(":")
@example("a@b:/c:ro:ro")
@example("https://[:/x")
@example("@:/\0")
@example("\ud800@\ud800/\ud800:/\ud800")
@example("standalone:/x:cache:RWD")
def test_any_text_is_a_volume_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        _survives(parse_volume(text))


words = st.sampled_from(
    ["a", "@", ":", "/", "ro", "rwd", "cache", "no-cache", "https://", "standalone", ".", "..", " "]
)


@given(st.lists(words).map("".join))
def test_any_order_of_the_grammars_own_words_is_a_volume_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        _survives(parse_volume(text))


def _survives(volume: Volume) -> None:
    """Whatever it is: it can be put in order, judged, named, and written if nothing is wrong with it."""
    plain = normalised(volume)
    assert normalised(plain) == plain
    if str(plain).isprintable():
        UUID(volume_id(NOTEBOOK, plain))
    for index, field, message in volume_faults([plain], SCHEMES):
        assert (index, bool(field), bool(message)) == (0, True, True)
    if not list(volume_faults([plain], SCHEMES)):
        assert parse_volume(format_volume(plain)) == plain
