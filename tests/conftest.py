"""Which tests share a worker: those of one file, and all that look at the one shared home."""

from __future__ import annotations

import pytest


# First, as the workers read the groups when they collect: later, none was heeded.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.parent.name
        group = (
            folder
            if folder in ("pipeline", "browser")
            else str(item.path.relative_to(item.config.rootpath))
        )
        item.add_marker(pytest.mark.xdist_group(group))
