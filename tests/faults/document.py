"""docs/what-happens-if.md, made of the catalogue of faults and of the marks of the tests.

    python -m tests.faults.document

Not here: what a fault does (`catalogue.py`). A test compares the page with what is made here.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.faults.catalogue import FAULTS, Fault

_ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = _ROOT / "docs" / "what-happens-if.md"

_HEAD: Final = """# What happens if …

Faults that the platform is built to survive, with what it does and the tests that show it. This
page is made by `python -m tests.faults.document` from the tests themselves, and a test fails when
it is out of date. `make test-faults` kills, breaks and shuffles for half an hour and prints
what it tried; a quick part of it runs in `make test`.
"""


def marks() -> dict[str, Counter[str]]:
    """By fault number, the files of the tests that name it, with the number of these tests."""
    found: dict[str, Counter[str]] = {}
    for path in sorted((_ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(_ROOT).as_posix()
        for number in _numbers(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(number, Counter())[name] += 1
    return found


def page() -> str:
    """The page as it should be."""
    shown = marks()
    lines = [_HEAD]
    for heading, faults in FAULTS.items():
        lines += [f"## {heading}", "", "| | What happens | What the platform does | Shown by |"]
        lines += ["|---|---|---|---|"]
        lines += [_row(fault, shown.get(fault.number, Counter())) for fault in faults]
        lines.append("")
    return "\n".join(lines)


def _row(fault: Fault, files: Counter[str]) -> str:
    links = [
        f"[{Path(name).stem.removeprefix('test_')}](../{name})"
        + (f" ×{count}" if count > 1 else "")
        for name, count in sorted(files.items())
    ]
    shown = ", ".join(links) + (" " if links and fault.gap else "") + fault.gap
    return f"| {fault.number} | {fault.what} | {fault.answer} | {shown} |"


def _numbers(module: ast.AST, inherited: Sequence[str] = ()) -> Iterator[str]:
    """The faults that each test of a module or a class names, once per test."""
    for node in ast.iter_child_nodes(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            named = [*inherited, *(each for mark in node.decorator_list for each in _named(mark))]
            if isinstance(node, ast.ClassDef):
                yield from _numbers(node, named)
            elif node.name.startswith("test_"):
                yield from named


def _named(decorator: ast.expr) -> Iterator[str]:
    """The faults of a mark, or of the marks of the cases of a parametrized test."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
