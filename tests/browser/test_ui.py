"""What a visitor sees and does in the UI of `cdp dev`. Pictures go to artifacts/browser/."""

from __future__ import annotations

import re

import duckdb
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import picture
from tests.homes import NEW_CUSTOMER
from tests.stacks import Stack, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PUBLISH_SECONDS = 240
RUN_SECONDS = 240
AUTOMATION_SECONDS = 120
SIX_SOURCES = ("crm", "pos", "contact_center", "email", "web", "mobile")


def test_the_asset_graph_shows_the_four_layers_from_left_to_right(page: Page, stack: Stack):
    page.goto(f"{stack.url}/asset-groups")
    lefts = []
    for layer in ("sources", "cleansed", "identity", "profile"):
        box = page.locator("svg foreignObject", has_text=re.compile(f"^{layer}")).bounding_box()
        assert box is not None
        lefts.append(box["x"])
    expect(page.get_by_text("fetching statuses")).to_have_count(0)
    picture(page, "graph")
    assert lefts == sorted(lefts)


def test_all_six_sources_flow_to_the_customer_profiles(page: Page, stack: Stack):
    page.set_viewport_size({"width": 2000, "height": 2600})
    page.goto(
        f"{stack.url}/assets/profile/customer_profiles"
        "?view=lineage&lineageScope=upstream&lineageDepth=20"
    )
    nodes = page.locator("svg foreignObject")
    expect(nodes.filter(has_text="raw_")).to_have_count(7)
    expect(nodes.filter(has_text="clean_")).to_have_count(7)
    picture(page, "upstream_of_customer_profiles")
    # Every node of this page is upstream of customer_profiles; long names lose their middle.
    names = " ".join(nodes.all_text_contents())
    assert [source for source in SIX_SOURCES if f"raw_{source[:3]}" not in names] == []
    assert page.locator("svg path[marker-end]").count() >= nodes.count()


def test_an_asset_page_shows_description_columns_and_lineage(page: Page, stack: Stack):
    page.goto(f"{stack.url}/assets/profile/customer_profiles")
    expect(page.get_by_text("One row per customer")).to_be_visible()
    expect(page.get_by_role("link", name="profile / customer_attributes")).to_be_visible()
    expect(page.get_by_role("link", name="profile / published_profiles")).to_be_visible()
    columns = page.get_by_role("row")
    expect(columns.filter(has_text="customer_id").first).to_contain_text("varchar")
    expect(columns.filter(has_text="birth_date").first).to_contain_text("date")
    picture(page, "customer_profiles")


@pytest.mark.parametrize(
    ("asset", "plot"),
    [("profile/published_profiles", "completeness"), ("sources/raw_web__events", "volume")],
)
def test_an_asset_page_shows_a_plot(page: Page, stack: Stack, asset: str, plot: str):
    page.goto(f"{stack.url}/assets/{asset}")
    page.get_by_role("row").filter(has_text=plot).get_by_text("[Show Markdown]").click()
    image = page.locator("img[src^='data:image/png']")
    expect(image).to_be_visible()
    picture(page, f"plot_{plot}")
    assert image.evaluate("image => image.naturalWidth") > 300


def test_a_run_launched_in_the_ui_succeeds_and_what_is_downstream_follows_by_itself(
    page: Page, stack: Stack
):
    before = stack.runs()
    page.goto(f"{stack.url}/assets/profile/published_profiles")
    page.get_by_role("button", name="Materialize").click()
    page.get_by_text("Launched run").wait_for()
    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=RUN_SECONDS * 1000)
    expect(page.get_by_text("RUN_SUCCESS")).to_be_visible()
    picture(page, "launched_run")
    wait_until(
        lambda: list(stack.runs(since=before).values()) == ["SUCCESS", "SUCCESS"],
        seconds=AUTOMATION_SECONDS + RUN_SECONDS,
        what="the profile store has followed what was published",
    )
    assert stack.materialized_by("activation", "profile_store") == next(iter(stack.runs()))


def test_a_new_object_reaches_the_published_profiles_by_itself_in_one_run(
    page: Page, stack: Stack, capsys: pytest.CaptureFixture[str]
):
    before = stack.runs()
    stack.home.land_new_customer()
    seconds = wait_until(
        lambda: _is_published(stack, NEW_CUSTOMER),
        seconds=PUBLISH_SECONDS,
        what="the new customer is published",
    )
    with capsys.disabled():
        print(f"\nFrom landing to published profiles: {seconds:.1f} s")

    (run,) = stack.runs(since=before)
    wait_until(lambda: stack.runs()[run] == "SUCCESS", seconds=RUN_SECONDS, what="the run ends")
    location = stack.sensors()["landing_crm"]["location"]
    page.goto(f"{stack.url}/locations/{location}/sensors/landing_crm")
    expect(page.get_by_text(run[:8]).first).to_be_visible()
    picture(page, "landing_sensor")
    page.goto(f"{stack.url}/runs")
    expect(page.get_by_role("link", name="landing_crm").first).to_be_visible()
    picture(page, "runs")

    seen = stack.last_tick("follow_upstream")
    wait_until(
        lambda: stack.last_tick("follow_upstream") > seen,
        seconds=AUTOMATION_SECONDS,
        what="the automation conditions were looked at again",
    )
    # Dagster may look between the last two assets of the run, and bring the store up once more.
    others = [chosen for one, chosen in stack.selections(since=before).items() if one != run]
    assert [chosen for chosen in others if chosen != ["activation/profile_store"]] == []


def _is_published(stack: Stack, last_name: str) -> bool:
    with duckdb.connect(str(stack.home.published), read_only=True) as connection:
        (count,) = connection.execute(
            "select count(*) from profile.customer_profiles where last_name = ?", [last_name]
        ).fetchone() or (0,)
    return count == 1
