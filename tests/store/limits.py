"""Portfolios, instruments and rules for the tests of compliance over a real order book."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.store.building import APPLE, NOON

from oms.domain.reference import Instrument, InstrumentTerms, Portfolio, QuotedPrice
from oms.domain.rules.rule import Rule
from oms.store import Store, tables

NVIDIA = Instrument(instrument_id="INS-NVDA", symbol="NVDA", issuer="Nvidia", sector="Chips", country="US")
SIEMENS = Instrument(instrument_id="INS-SIE", symbol="SIE", currency="EUR", exchange="IBIS")


def portfolio(store: Store, portfolio_id: str = "PORT-001", **given: Any) -> Portfolio:
    terms = {"name": portfolio_id, "net_asset_value": "1000000", "default_account_id": "ACCT-001"}
    return store.reference.put_portfolio(Portfolio(portfolio_id=portfolio_id, **{**terms, **given}))


def instruments(store: Store, *wanted: Instrument, price: str | None = "10") -> None:
    for instrument in wanted or (APPLE, NVIDIA):
        terms = InstrumentTerms.model_validate(instrument.model_dump(exclude={"instrument_id"}))
        store.reference.put_instrument(terms, instrument.instrument_id)
        if price is not None:
            quote(store, instrument, price)


def quote(store: Store, instrument: Instrument, price: str, at: datetime = NOON) -> None:
    quoted = QuotedPrice(instrument_id=instrument.instrument_id, price=Decimal(price), as_of=at)
    store.reference.put_prices([quoted])


def pair(store: Store, symbol: str, currency: str, price: str, at: datetime = NOON) -> None:
    """A currency pair and its price: EUR, USD is what one EUR costs in USD."""
    terms = InstrumentTerms(symbol=symbol, sec_type="CASH", exchange="IDEALPRO", currency=currency)
    kept = store.reference.put_instrument(terms, f"INS-{symbol}{currency}")
    quote(store, kept, price, at)


def rule(store: Store, rule_type: str, rule_id: str | None = None, **given: Any) -> Rule:
    """A rule of this type with these parameters; severity, target_accounts and the like are the rule's own."""
    own = {name: given.pop(name) for name in ("severity", "target_accounts", "version") if name in given}
    return store.rules.put(
        Rule(
            rule_id=rule_id or f"R-{rule_type}",
            rule_type=rule_type,
            name=rule_type,
            parameters=given,
            created_by="risk",
            created_at=NOON,
            **own,
        )
    )


def reserved(store: Store) -> dict[tuple[str, str], Decimal]:
    """What is held, by order and portfolio."""
    return {(row.order_id, row.portfolio_id): row.quantity for row in reservations(store)}


def reservations(store: Store) -> Sequence[Any]:
    rows = tables.reservations
    with store.database.read() as connection:
        return connection.execute(rows.select().order_by(rows.c.order_id, rows.c.portfolio_id)).all()
