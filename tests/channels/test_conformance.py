"""Every provider in the catalog keeps the contract."""

from typing import Any

import pytest

from channels.catalog import CATALOG, spec
from core.adapter import ChannelSpec
from core.errors import ConfigInvalid
from tests.channels.sms.specimens import SPECIMENS
from tests.support import channel_kit
from tests.support.channel_kit import Specimen


@pytest.fixture(params=SPECIMENS, ids=lambda specimen: specimen.name)
def specimen(request: pytest.FixtureRequest) -> Specimen:
    found: Specimen = request.param
    return found


class TestReceiving(channel_kit.Receiving):
    pass


class TestSending(channel_kit.Sending):
    pass


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_every_provider_has_a_specimen(entry: ChannelSpec[Any]) -> None:
    assert [specimen for specimen in SPECIMENS if specimen.spec is entry], f"add one for {entry.name}"


def test_a_provider_is_found_by_its_name() -> None:
    assert [spec(entry.name) for entry in CATALOG] == list(CATALOG)
    with pytest.raises(ConfigInvalid, match="there are sms"):
        spec("sms.pigeon")


def test_names_are_unique_and_begin_with_their_kind() -> None:
    assert len({entry.name for entry in CATALOG}) == len(CATALOG)
    assert all(entry.name.startswith(f"{entry.kind}.") for entry in CATALOG)
