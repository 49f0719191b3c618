# SPDX-License-Identifier: Apache-2.0
"""Any sequence of edits at both ends, of pulls and pushes, each killed between any two operations on files.

Whatever happens: no file is there in part, nothing is deleted that was not to be, nobody's edit is lost, and a few
undisturbed transfers later both ends agree.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from tests.mover.world import MEMORY, NAMES, Step, World

names = st.sampled_from(NAMES)
deaths = st.one_of(st.none(), st.integers(0, 60))
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "save", "remove", "others write", "others remove"]), names, st.none()),
        st.tuples(st.sampled_from(["pull", "push RW", "push RWD"]), st.just(""), deaths),
    ),
    max_size=14,
)
remotes = st.sampled_from(
    [(True, "md5", True), (True, "", True), (False, "", True), (False, "", False), (False, "md5", True)]
)


def run(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    whole, digest, renames_over = remote
    if currently_in_test_context():
        note(f"{sequence} {remote}")
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        world = World(Path(folder), whole=whole, digest=digest, renames_over=renames_over)
        for each in sequence:
            world.take(each)
        world.converge()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=steps, remote=remotes)
def test_nothing_is_lost_whatever_happens(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    run(sequence, remote)


@pytest.mark.long
@pytest.mark.timeout(1200)
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=steps, remote=remotes)
def test_nothing_is_lost_whatever_happens_for_long(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    run(sequence, remote)


@pytest.mark.parametrize("remote", [(True, "md5", True), (False, "", True), (False, "", False)])
@pytest.mark.parametrize("kind", ["pull", "push RWD"])
def test_death_before_every_single_operation(kind: str, remote: tuple[bool, str, bool]) -> None:
    """One transfer that does everything, killed at each of its operations in turn."""
    before: list[Step] = [("others write", name, None) for name in NAMES]
    before += [("pull", "", None), ("write", "a", None), ("save", "d/c", None), ("remove", "b.txt", None)]
    before += [("others write", "a", None), ("write", "d/new", None), ("others write", "d/e/f", None)]
    for death in range(70):
        run([*before, (kind, "", death), ("write", "d/c", None)], remote)
