"""One home, loaded by `cdp run`, served by `cdp dev`, seen through headless Chromium.

Here: what has to be up before a page can be looked at, and its end. Not here: what pages show.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cdp_assets.sample.generate import SampleSize, generate
from cdp_assets.settings import PROJECT_ROOT
from tests.homes import SEED, Home
from tests.stacks import Stack, running

PICTURES = PROJECT_ROOT / "artifacts" / "browser"
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real webserver and daemon over a tiny company, ended with every process they started."""
    home = Home(tmp_path_factory.mktemp("browser") / "home")
    truth = home.path / "sample" / "truth.parquet"
    truth.parent.mkdir(parents=True)
    generate(home.landing, truth, SampleSize.tiny(), seed=SEED)
    home.cdp("run")

    with running(home) as stack:
        yield stack


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium with a profile of its own."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail(
            "Chromium is missing: install it as root with `apt-get install chromium`.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=list(CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A visitor's first page; afterwards: nothing was fetched from outside this machine."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(60_000)
    page = context.new_page()
    strangers: list[str] = []
    page.on("request", lambda request: strangers.extend(_foreign(request.url)))
    yield page
    context.close()
    assert strangers == []


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like under artifacts/browser/."""
    page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


def _foreign(url: str) -> list[str]:
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    return [] if url.startswith(local) else [url]
