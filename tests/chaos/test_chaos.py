"""Every fault once, under load: what was acknowledged is in the log exactly once, and the house recovers."""

import os

import pytest

from tests.chaos.experiment import Found, run
from tests.chaos.faults import FAULTS
from tests.chaos.judging import house_problems, row_problems

pytestmark = pytest.mark.chaos

LASTS = 3.0  # seconds that each fault lasts; `make chaos` takes longer


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """One run with all faults. Where it fails, house.log beside the test's folder holds what the processes said."""
    return run(tmp_path_factory.mktemp("chaos"), lasts=LASTS)


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_nothing_is_lost_or_doubled_and_the_house_heals(found: Found, name: str) -> None:
    row = next(row for row in found.rows if row.name == name)
    skip_unless_ci(row.left_out)
    assert row_problems(row) == []


def test_what_was_under_way_comes_to_rest_and_consoles_that_stayed_open_are_right(found: Found) -> None:
    assert house_problems(found) == []


def skip_unless_ci(left_out: str) -> None:
    """A developer's machine may not allow a fault; where changes are judged, all of them are tried."""
    if left_out and os.environ.get("CI") == "true":
        pytest.fail(left_out)
    if left_out:
        pytest.skip(left_out)
