"""A fresh order book for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.domain.reference import Portfolio
from oms.store import Store
from tests.domain.orders import AAPL


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    made.migrate()
    made.reference.put_instrument(AAPL, AAPL.instrument_id)
    made.reference.put_portfolio(
        Portfolio(
            portfolio_id="PORT-001", name="One", net_asset_value="100000", default_account_id="ACCT-001"
        )
    )
    yield made
    made.close()
