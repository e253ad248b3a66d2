"""The map holds: imports point downwards, importing is light, files stay small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import noizenet

PACKAGE = Path(noizenet.__file__).parent
RUNGS = {
    "base": 0, "course": 0, "kernels": 1, "audio": 2, "corpus": 3, "representation": 3, "views": 3, "model": 4, "store": 5,
    "training": 6, "generation": 6, "evaluation": 6, "figures": 6, "export": 7, "api": 8, "bench": 8, "studio": 9, "cli": 10,
}  # fmt: skip
FREE = {"__init__", "__main__", "_version"}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "noizenet":
                names = [f"noizenet.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("noizenet.")}
    return found - FREE


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    here = layer(path)
    if here in FREE:
        return
    assert here in RUNGS, f"{here} has no rung: add it to the map"
    for other in imported_layers(path) - {here}:
        assert other in RUNGS
        assert other != "course" or here == "figures", "the course is read and drawn, not used"
        assert RUNGS[other] < RUNGS[here], f"{path} (rung {RUNGS[here]}) imports {other} (rung {RUNGS[other]})"
        if here == "model":
            assert other in ("base", "kernels"), "the model layer never sees audio"
        if here == "cli" and other not in ("api", "base", "studio"):
            # Thin: beyond the API, commands may only name types, units, tables and errors.
            assert other in ("audio", "corpus", "training", "generation", "bench", "model")


def test_base_needs_only_the_standard_library() -> None:
    # Small, and imported where used; tomllib is of the standard library from Python 3.11 on.
    allowed = {"filelock", "platformdirs", "tomli", "tomllib", "tomli_w", "noizenet"}
    for path in (PACKAGE / "base").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or top in allowed, f"{path} imports {top}"


def test_importing_is_light_and_changes_nothing() -> None:
    code = (
        "import sys, logging, warnings; before = (len(warnings.filters), logging.root.level); import noizenet;"
        "heavy = {'torch', 'librosa', 'matplotlib', 'numba', 'pandas', 'scipy', 'numpy', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy; assert before == (len(warnings.filters), logging.root.level)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_public_is_reachable() -> None:
    for name in noizenet.__all__:
        assert getattr(noizenet, name) is not None
    with pytest.raises(AttributeError):
        noizenet.nothing  # noqa: B018


def test_files_stay_small() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := len(p.read_text().splitlines())) > 480}
    assert not long


def test_one_version() -> None:
    import importlib.metadata

    assert importlib.metadata.version("noizenet") == noizenet.__version__


def test_the_lists_of_test_files_name_files_that_exist() -> None:
    from conftest import LONG_FILES, NUMERICAL_FILES

    assert not (LONG_FILES | NUMERICAL_FILES) - {p.stem for p in Path(__file__).parent.glob("test_*.py")}


MOST_LINES, MOST_PARAMETERS = 60, 12
LONGER = re.compile(r"# Over 60 lines: \S")


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]), node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a body's lines without the docstring and without nested functions and classes."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    nested = [n for n in ast.walk(node) if n is not node and isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    outermost = [n for n in nested if not any(m is not n and n in ast.walk(m) for m in nested)]
    lines = {i for part in body for i in range(part.lineno, (part.end_lineno or 0) + 1)}
    return len(lines - {i for n in outermost for i in range(n.lineno, (n.end_lineno or 0) + 1)})


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_stay_short(path: Path) -> None:
    """At most 60 lines (longer ones give the reason), and 12 parameters but for commands, where each is an option."""
    command = path.relative_to(PACKAGE).parts[0] == "cli"
    for text, node in functions(path):
        assert body_lines(node) <= MOST_LINES or LONGER.search(text), node.name
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        assert command or len([n for n in names if n != "self"]) <= MOST_PARAMETERS, node.name


def test_no_import_cycle() -> None:
    """Imports inside functions count, those for type checkers do not."""
    graph: dict[str, set[str]] = {}
    names = {
        ".".join(("noizenet", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in FILES
    }
    for name, path in names.items():
        found = set[str]()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {m for a in node.names if (m := f"{node.module}.{a.name}") in names} or {node.module}
            elif isinstance(node, ast.Import):
                found |= {a.name for a in node.names}
        graph[name] = (found & names.keys()) - {name}
    assert not cycle(graph)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the names of one cycle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := visit(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert not cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
