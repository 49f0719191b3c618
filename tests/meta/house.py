# SPDX-License-Identifier: Apache-2.0
"""The house in figures: ``python -m tests.meta.house`` prints who imports whom and how large modules and functions are.

Rooms stand in floors: each above all that it imports. An import from a room to one that is above it would be a circle;
there is none. Sizes are lines of a module, and of a function from its ``def`` to its end.
"""

from __future__ import annotations

import ast
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "notebookd"


def room_of(module: str) -> str:
    """The room that a module stands in: a folder, or a file that stands in the package's own."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def modules() -> Mapping[str, ast.Module]:
    """Every module of the package, parsed."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module, known: Iterable[str]) -> set[str]:
    """The modules of the package that a module imports."""
    names: set[str] = set()
    every = set(known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {each if each in every else node.module for each in whole}
    return names & every


def rooms(found: Mapping[str, ast.Module]) -> Mapping[str, set[str]]:
    """Each room with the rooms that it imports."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module, tree in found.items():
        graph[room_of(module)] |= {room_of(each) for each in imported(tree, found)} - {room_of(module), "notebookd"}
    return dict(graph)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of imports, empty where there is none."""
    done: set[str] = set()

    def walk(node: str, road: list[str]) -> list[str]:
        if node in road:
            return [*road[road.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := walk(following, [*road, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def floors(graph: Mapping[str, set[str]]) -> Mapping[str, int]:
    """The floor of each room: 1 for one that imports none."""
    known: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in known:
            known[room] = 1 + max((floor(each) for each in graph.get(room, ())), default=0)
        return known[room]

    for room in graph:
        floor(room)
    return known


def sizes(found: Mapping[str, ast.Module]) -> tuple[list[int], list[int]]:
    """Lines of every module that has some, and of every function."""
    files = [PACKAGE.parent / (name.replace(".", "/") + ".py") for name in found]
    whole = [each if each.exists() else each.with_suffix("") / "__init__.py" for each in files]
    lengths = [len(each.read_text(encoding="utf-8").splitlines()) for each in whole]
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in found.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return lengths, functions


def quantile(values: Sequence[int], share: float) -> int:
    """The value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(values: Sequence[int]) -> str:
    """A line of them."""
    shares = "  ".join(
        f"{name} {quantile(values, share)}" for name, share in (("median", 0.5), ("p90", 0.9), ("p95", 0.95))
    )
    return f"{len(values)}: {shares}  largest {max(values)}"


def main() -> int:
    """Print it; 1 when there is a circle."""
    found = modules()
    graph = rooms(found)
    tangle = circle(graph) or circle({name: imported(tree, found) - {name} for name, tree in found.items()})
    if tangle:
        print("a circle:", " -> ".join(tangle))
        return 1
    standing = floors(graph)
    for room in sorted(graph, key=lambda each: (-standing[each], each)):
        print(f"{standing[room]:>3}  {room:<12} -> {', '.join(sorted(graph[room])) or '-'}")
    lengths, functions = sizes(found)
    print("no circle, between rooms or modules")
    print(f"modules   {figures(lengths)} lines")
    print(f"functions {figures(functions)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
