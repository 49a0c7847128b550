"""The hub's own key: digests and tokens that only this hub can make, apart by purpose."""

import hashlib
import hmac
from typing import Self

from core.secrets import Secrets


class HubKey:
    """Makes keyed digests (HMAC-SHA-256). One purpose's digest proves nothing for another.

    The purposes in use are stored history: `erasure` digests, for one, must match for ever.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, secrets: Secrets) -> Self:
        """The key that the hub keeps; made at the first start, and needed again after a restore."""
        return cls(bytes.fromhex(secrets.resolve("keep:hub")))

    def __repr__(self) -> str:
        return "HubKey()"

    def mac(self, purpose: str, message: bytes) -> bytes:
        subkey = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        return hmac.digest(subkey, message, hashlib.sha256)

    def is_valid(self, purpose: str, message: bytes, mac: bytes) -> bool:
        return hmac.compare_digest(self.mac(purpose, message), mac)
