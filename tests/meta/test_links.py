# SPDX-License-Identifier: Apache-2.0
"""Every link within the pages leads somewhere, the part of a page that it names too."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_IN_AN_IMAGE = "contrib/images/jupyterlab/README.md"  # what it links to is in the image
PAGES = tuple(
    page
    for page in subprocess.check_output(["git", "ls-files", "--", "*.md"], cwd=ROOT, text=True).split()
    if page != _IN_AN_IMAGE
)
_FENCE = re.compile(r"^```.*?^```[^\S\n]*$|^(?: {4}|\t).*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def links(page: str) -> Iterator[str]:
    """What a page links to, but for what lies elsewhere. Code holds no links."""
    text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for inline, reference in _LINK.findall(text):
        target = inline or reference
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


@cache
def anchors(page: Path) -> frozenset[str]:
    """The parts of a page, as GitHub names them: a heading that comes again has a number."""
    text = re.sub(r"^```.*?^```[^\S\n]*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = found.get(name, 0)
        found[name] = again + 1
        names.add(f"{name}-{again}" if again else name)
    return frozenset(names)


def fault(page: str, target: str) -> str | None:
    """What is wrong with a link; None when it leads somewhere."""
    path, _, part = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    if not there.exists():
        return f"{page}: {target}: there is no such file"
    if not there.resolve().is_relative_to(ROOT):
        return f"{page}: {target}: outside of the repository"
    if part and part not in anchors(there):
        return f"{page}: {target}: that page has no such part"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert [each for target in links(page) if (each := fault(page, target))] == []


def test_there_are_links() -> None:
    assert sum(len(list(links(page))) for page in PAGES) > 100


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.md", "no such file"),
        ("README.md#no-such-part", "no such part"),
        ("#no-such-part", "no such part"),
        ("../elsewhere", "no such file"),
        ("README.md#try-it", None),
        ("docs/", None),
    ],
)
def test_a_link_that_leads_nowhere_is_seen(target: str, words: str | None) -> None:
    found = fault("README.md", target)
    assert (found is None) if words is None else (found is not None and words in found)
