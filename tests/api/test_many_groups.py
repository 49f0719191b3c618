# SPDX-License-Identifier: Apache-2.0
"""A peer in more groups than the kernel can tell Python of at once: then the accounts say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.access.voice import Said, voice_of
from tests.api.caller import Api
from tests.api.people import People, Person

FEW, MANY = range(70_000, 70_200), range(70_000, 70_400)


async def me(api: Api, person: Person, groups: Sequence[int]) -> Said:
    api.socket.chmod(0o666)
    async with voice_of(person.name, str(api.socket), [*groups]) as voice:
        return await voice.ask("GET", "/v1/me")


@pytest.mark.parametrize("groups", [FEW, MANY])
async def test_a_stranger_is_one_in_however_many_groups(api: Api, people: People, groups: Sequence[int]) -> None:
    assert (await me(api, people.stranger, groups)).status == 403


async def test_the_kernels_word_counts_as_long_as_it_can_be_had(api: Api, people: People) -> None:
    """A member's process that gave its groups up is no member's; one that has too many is known by its account."""
    assert (await me(api, people.alice, FEW)).status == 403
    said = await me(api, people.alice, MANY)
    assert (said.status, said.body["role"]) == (200, "ai_training_operator")
    assert (await me(api, people.boss, MANY)).body["role"] == "administrator"
