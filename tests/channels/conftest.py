"""Lets the assertions of the shared kit explain themselves."""

import pytest

pytest.register_assert_rewrite("tests.support.channel_kit")
