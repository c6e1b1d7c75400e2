"""Which tests share a worker: those of one file. The long ones begin first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.athena_local.server import LocalAthena


# First, as the workers read the groups when they collect: later, none was heeded.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name != "pipeline")
    for item in items:
        folder = item.path.parent.name
        group = folder if folder == "browser" else str(item.path.relative_to(item.config.rootpath))
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def athena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAthena]:
    """Moto and the server on free ports of 127.0.0.1, and the environment that leads there.

    One for all folders, since there is one environment.
    """
    # Imported here: most workers never ask it.
    from tests.athena_local.server import running

    with running(tmp_path_factory.mktemp("athena")) as started, pytest.MonkeyPatch.context() as env:
        for name, value in started.environment.items():
            env.setenv(name, value)
        yield started
