"""An account that no gateway serves is refused before an order can wait for it for ever."""

import time
from pathlib import Path

import pytest

from oms.api.new_order import check_served
from oms.domain.errors import Code, Refused
from oms.domain.terms import Venue
from oms.store import GatewayReport, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    store.migrate()
    return store


def report(*accounts: str) -> GatewayReport:
    return GatewayReport(
        name="ibkr/17",
        venue=Venue.IBKR,
        accounts=accounts,
        connected=True,
        gate_open=True,
        updated_ns=time.time_ns(),
    )


def test_before_any_gateway_has_reported_nothing_is_known(store: Store) -> None:
    check_served(store, Venue.IBKR, "DU999")


def test_a_served_account_passes_and_another_is_refused_with_those_that_are(store: Store) -> None:
    store.gateways.report(report("DU1", "DU2"))
    check_served(store, Venue.IBKR, "DU2")
    with pytest.raises(Refused) as refused:
        check_served(store, Venue.IBKR, "DU999")
    assert refused.value.code is Code.INVALID_ACCOUNT
    assert refused.value.facts["served"] == ["DU1", "DU2"]
