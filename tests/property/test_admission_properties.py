# SPDX-License-Identifier: Apache-2.0
"""Whatever somebody asks for and however things stand: no admission breaks a bound, and each refusal has its cause."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from notebookd.config import CatalogueEntry
from notebookd.domain.actor import Actor, Role
from notebookd.domain.admission import (
    Admitted,
    Create,
    Refusal,
    Request,
    Restart,
    Room,
    Standing,
    Start,
    Update,
    When,
    admit,
)
from notebookd.domain.entry import ACTIVE, STOPPED, Entry
from notebookd.domain.ids import NotebookId, TokenId
from notebookd.domain.notebook import ResourceRequest
from notebookd.domain.quota import UNBOUND, QuotaRule
from notebookd.domain.resources import GIB, Flavor
from notebookd.domain.run import NotebookState, RunState
from notebookd.domain.token import LabelSelector, Token
from notebookd.errors import (
    Conflict,
    DirectoryUnavailable,
    Forbidden,
    GpusUnavailable,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
)
from tests.values import MODEL, NOTEBOOK_ID, NOW, notebook, run

OTHER = NotebookId("33333333-3333-4333-8333-333333333333")
bounds = st.one_of(st.none(), st.integers(0, 4))


def token(selector: LabelSelector | None) -> Token:
    made = TokenId("44444444-4444-4444-8444-444444444444")
    return Token(
        id=made,
        owner="alice",
        name="ci",
        role=str(Role.OPERATOR),
        selector=selector,
        digest="",
        created_at=NOW,
        updated_at=NOW,
    )


actors = st.builds(
    lambda name, role, with_token, picks, groups: Actor(
        name=name,
        role=role,
        groups=groups,
        token=token(LabelSelector(name="team", value="a") if picks else None) if with_token else None,
    ),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(list(Role)),
    st.booleans(),
    st.booleans(),
    st.frozensets(st.sampled_from(["vision", "speech"])),
)
specs = st.builds(
    lambda units, gpu, labels: replace(
        notebook().spec,
        resources=ResourceRequest(flavor="fake-80gb-1-gpu" if gpu else "cpu", units=units, gpu=gpu),
        labels=labels,
    ),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from([{}, {"team": "a"}, {"team": "b"}]),
)
entries = st.builds(
    lambda spec, state, deleting, held: Entry(
        notebook=notebook(deleting_at=NOW if deleting else None, labels=spec.labels, resources=spec.resources),
        run=replace(run(state), granted_at=NOW, gpus=("GPU-0",), released_at=None) if held else run(state),
    ),
    specs,
    st.sampled_from(list(RunState)),
    st.booleans(),
    st.booleans(),
)
rooms = st.builds(
    Room,
    free_bytes=st.integers(0, 4 * GIB),
    free_inodes=st.one_of(st.none(), st.integers(0, 2000)),
    kept_bytes=st.just(GIB),
    kept_inodes=st.just(1000),
)
FLAVOR = Flavor(id="fake-80gb-1-gpu", description="", limit=8, cpus=4, memory_bytes=GIB, gpu_model=MODEL)
IMAGE = CatalogueEntry(
    editor="jupyterlab", framework="conda", version="py311", image="localhost/x:1", command=("x",), uid=1, probe="/api"
)
standings = st.builds(
    Standing,
    actor=actors,
    entry=st.one_of(st.none(), entries),
    room=rooms,
    quota=st.one_of(
        st.just(UNBOUND),
        st.just(DirectoryUnavailable("cannot look up the groups")),
        st.builds(QuotaRule, gpus=bounds, notebooks=bounds, gpu_minutes_month=bounds),
    ),
    spent_minutes=st.integers(0, 5),
    notebooks=st.integers(0, 5),
    namesake=st.one_of(st.none(), st.tuples(st.just(OTHER), st.booleans())),
    workspace_bytes=st.integers(0, 2 * GIB),
    most_workspace_bytes=st.one_of(st.none(), st.just(GIB)),
    flavor=st.one_of(st.none(), st.just(FLAVOR), st.just(replace(FLAVOR, groups=("vision",)))),
    image=st.one_of(st.none(), st.just(IMAGE)),
    answer=st.one_of(st.none(), entries, st.just(Conflict("cannot reuse"))),
)
# Facts none of which refuses but the few that a test is about: a refusal for another cause would hide them.
alike = st.builds(
    Standing,
    actor=st.sampled_from(
        [
            Actor(name="alice", role=Role.OPERATOR),
            Actor(name="alice", role=Role.OPERATOR, token=token(LabelSelector(name="team", value="a"))),
        ]
    ),
    entry=st.builds(
        lambda state, held: Entry(
            notebook=notebook(labels={"team": "a"}),
            run=replace(run(state), granted_at=NOW, gpus=("GPU-0",), released_at=None) if held else run(state),
        ),
        st.sampled_from(list(RunState)),
        st.booleans(),
    ),
    room=st.one_of(st.just(Room(free_bytes=2 * GIB, kept_bytes=GIB)), rooms),
    quota=st.builds(QuotaRule, gpus=st.integers(0, 8), notebooks=st.integers(1, 4), gpu_minutes_month=st.just(5)),
    spent_minutes=st.integers(0, 5),
    notebooks=st.integers(0, 3),
    workspace_bytes=st.sampled_from([0, GIB, GIB + 1]),
    most_workspace_bytes=st.one_of(st.none(), st.just(GIB)),
    flavor=st.just(FLAVOR),
    image=st.just(IMAGE),
)
creations = st.builds(Create, id=st.just(NOTEBOOK_ID), spec=specs)
starts = st.builds(Start, id=st.just(NOTEBOOK_ID), discard=st.booleans())
forks = st.builds(
    Create, id=st.just(NOTEBOOK_ID), spec=specs, forked=st.just(OTHER), snapshot_bytes=st.integers(0, 2 * GIB)
)
requests: st.SearchStrategy[Request] = st.one_of(
    creations,
    forks,
    starts,
    st.builds(Update, id=st.just(NOTEBOOK_ID), spec=specs),
    st.builds(Restart, id=st.just(NOTEBOOK_ID)),
)
EXPECTED = (
    Conflict,
    DirectoryUnavailable,
    Forbidden,
    GpusUnavailable,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
)


@given(requests, standings)
def test_the_same_facts_decide_the_same_and_a_refusal_says_what_cannot_be(request: Request, standing: Standing) -> None:
    decision, again = admit(request, standing), admit(request, standing)
    if isinstance(decision, Refusal):
        assert isinstance(again, Refusal)
        assert (type(decision.fault), decision.fault.message) == (type(again.fault), again.fault.message)
        assert isinstance(decision.fault, EXPECTED)
        assert decision.fault.message.startswith("cannot ")
    else:
        assert decision == again


@given(requests, standings)
def test_nothing_is_done_to_a_notebook_that_does_not_exist_for_its_caller(request: Request, standing: Standing) -> None:
    entry, actor = standing.entry, standing.actor
    mine = entry is not None and actor.may_see(entry.notebook.owner, entry.notebook.spec.labels)
    if not isinstance(request, Create) and not mine:
        decision = admit(request, standing)
        assert isinstance(decision, Refusal)
        assert isinstance(decision.fault, NotFound | Forbidden | StoreUnavailable)
        if actor.token is not None:
            assert not isinstance(decision.fault, Forbidden)


def begins(decision: Admitted | Refusal) -> bool:
    """Whether a run is to be made."""
    return isinstance(decision, Admitted) and decision.when is not When.ALREADY


@settings(max_examples=400)
@given(st.one_of(creations, starts), alike)
def test_no_run_begins_over_a_bound(request: Create | Start, standing: Standing) -> None:
    decision = admit(request, standing)
    if not begins(decision):
        return
    assert isinstance(decision, Admitted)
    assert decision.spec is not None
    assert decision.made_of is not None
    flavor, actor = decision.made_of.flavor, standing.actor
    assert actor.admin or not flavor.groups or actor.groups & set(flavor.groups)
    assert standing.room is not None
    assert standing.room.free_bytes >= standing.room.kept_bytes
    assert standing.room.free_inodes is None or standing.room.free_inodes >= standing.room.kept_inodes
    assert isinstance(standing.quota, QuotaRule)
    gpus = decision.spec.resources.units if decision.spec.resources.gpu else 0
    assert standing.quota.gpus is None or gpus <= standing.quota.gpus
    if gpus and standing.quota.gpu_minutes_month is not None:
        assert standing.spent_minutes < standing.quota.gpu_minutes_month
    if isinstance(request, Create):
        assert standing.quota.notebooks is None or standing.notebooks < standing.quota.notebooks
        assert standing.namesake is None
    else:
        assert standing.most_workspace_bytes is None or standing.workspace_bytes <= standing.most_workspace_bytes


@settings(max_examples=200)
@given(starts, alike)
def test_no_run_begins_in_a_workspace_over_its_bound(request: Start, standing: Standing) -> None:
    assert not begins(admit(request, replace(standing, workspace_bytes=GIB + 1, most_workspace_bytes=GIB)))


@given(starts, st.one_of(standings, alike))
def test_a_start_begins_a_run_only_where_none_goes_on_or_after_it(request: Start, standing: Standing) -> None:
    decision = admit(request, standing)
    if isinstance(decision, Refusal):
        return
    assert standing.entry is not None
    state = standing.entry.state
    match decision.when:
        case When.ALREADY:
            assert state in ACTIVE | {NotebookState.STOPPING}
        case When.STOPPED:
            assert state is NotebookState.STOPPING
        case When.NOW:
            assert state in STOPPED
            assert not standing.entry.run.holds
            assert request.discard or state is not NotebookState.SYNC_FAILED


@given(requests, st.one_of(standings, alike))
def test_what_a_token_makes_or_changes_goes_on_existing_for_it(request: Request, standing: Standing) -> None:
    decision = admit(request, standing)
    selector = standing.actor.selector
    if isinstance(decision, Admitted) and selector is not None and decision.spec is not None and begins(decision):
        assert selector.picks(decision.spec.labels)


@given(forks, st.one_of(standings, alike))
def test_no_fork_is_larger_than_a_workspace_may_be(request: Create, standing: Standing) -> None:
    decision = admit(request, standing)
    if begins(decision):
        assert standing.most_workspace_bytes is None or request.snapshot_bytes <= standing.most_workspace_bytes


@given(st.builds(Update, id=st.just(NOTEBOOK_ID), spec=specs), standings)
def test_what_runs_keeps_its_resources(request: Update, standing: Standing) -> None:
    decision = admit(request, standing)
    if isinstance(decision, Admitted):
        assert standing.entry is not None
        stored = standing.entry.notebook.spec
        assert standing.entry.state in STOPPED or request.spec.resources == stored.resources
