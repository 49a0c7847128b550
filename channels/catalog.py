"""Every provider that the hub can speak to, one line each."""

from typing import Any

from channels.sms import gateway, simulator, twilio
from core.adapter import ChannelSpec
from core.errors import ConfigInvalid

CATALOG: tuple[ChannelSpec[Any], ...] = (
    twilio.SPEC,
    gateway.SPEC,
    simulator.SPEC,
)

_BY_NAME = {entry.name: entry for entry in CATALOG}


def spec(name: str) -> ChannelSpec[Any]:
    """Raises ConfigInvalid, which lists what there is."""
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(sorted(_BY_NAME))
        raise ConfigInvalid(f"There is no provider {name!r}; there are {known}.", provider=name) from None
