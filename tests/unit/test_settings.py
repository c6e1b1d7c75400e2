import pytest

from cdp_assets.settings import GateBudget, SettingsError, load_settings


def test_the_gate_budget_changes_only_what_is_named():
    budget = load_settings({"CDP_GATE_BUDGET": "merged=0.5, floor=20"}).gate
    assert budget == GateBudget(merged=0.5, floor=20)


@pytest.mark.parametrize("text", ["merged", "merged=", "merge=0.1", "merged=x", "split=1.5"])
def test_a_gate_budget_that_cannot_be_meant_is_refused(text: str):
    with pytest.raises(SettingsError, match="CDP_GATE_BUDGET"):
        load_settings({"CDP_GATE_BUDGET": text})


@pytest.mark.parametrize("text", ["", "9", "86401", "-60", "1e3", "soon", "٣٠"])
def test_a_pause_between_listings_that_cannot_be_meant_is_refused(text: str):
    with pytest.raises(SettingsError, match="CDP_LISTING_SECONDS"):
        load_settings({"CDP_LISTING_SECONDS": text})


def test_a_queue_that_is_set_to_nothing_is_none():
    assert load_settings({"CDP_LANDING_QUEUE_URL": ""}).landing_queue_url is None


@pytest.mark.parametrize(
    "key",
    [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "alias/acme/lake",
        "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-cn:kms:cn-north-1:123456789012:alias/acme",
    ],
)
def test_a_key_is_named_by_id_alias_or_arn(key: str):
    assert load_settings({"CDP_KMS_KEY": key}).kms_key == key


@pytest.mark.parametrize(
    "key", ["alias/", "a b", "it's", "arn:aws:s3:::bucket", "schlüssel", "a\n"]
)
def test_what_cannot_name_a_key_is_refused(key: str):
    with pytest.raises(SettingsError, match="CDP_KMS_KEY"):
        load_settings({"CDP_KMS_KEY": key})


@pytest.mark.parametrize("text", ["", "-1", "86401", "an hour", "1e3"])
def test_a_patience_that_cannot_be_meant_is_refused(text: str):
    with pytest.raises(SettingsError, match="CDP_LEASE_PATIENCE"):
        load_settings({"CDP_LEASE_PATIENCE": text})


def test_a_key_that_is_set_to_nothing_is_none():
    assert load_settings({"CDP_KMS_KEY": ""}).kms_key is None
