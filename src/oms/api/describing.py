"""What has to hold before reference data is kept, one by one or by the file. Everything here blocks."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from oms.api.access import Reach
from oms.api.bodies import InstrumentBody
from oms.api.validation import UtcInstant
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Price
from oms.domain.reference import Account, Currency, Instrument, InstrumentTerms, Portfolio, QuotedPrice
from oms.domain.terms import SecType
from oms.store import Store, Taken


class PriceLine(Model):
    """A price of an instrument by its id, or by terms that fit one known instrument. Without `as_of` it is of now."""

    instrument_id: Name | None = None
    symbol: Name | None = None
    sec_type: SecType = SecType.STOCK
    exchange: Name | None = None
    currency: Currency | None = None
    price: Annotated[Price, Field(examples=["150.25"])]
    as_of: UtcInstant | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.instrument_id is None) == (self.symbol is None):
            raise ValueError("give either instrument_id or symbol, and not both")
        return self


def keep_instrument(store: Store, body: InstrumentBody, minted: str) -> Instrument:
    """The instrument, under `minted` where it is new and has no id of its own. Raises Refused: VALIDATION_FAILED."""
    terms = InstrumentTerms.model_construct(**body.model_dump(exclude={"instrument_id"}))
    try:
        return store.reference.put_instrument(terms, body.instrument_id or minted)
    except Taken as taken:
        raise Refused(Code.VALIDATION_FAILED, f"instrument_id: {taken}", field="instrument_id") from taken


def keep_portfolio(store: Store, body: Portfolio, reach: Reach) -> Portfolio:
    """Raises Refused: INVALID_PORTFOLIO, INVALID_ACCOUNT."""
    if not reach.has_portfolio(body.portfolio_id):
        raise Refused(
            Code.INVALID_PORTFOLIO, f"There is no portfolio {body.portfolio_id!r}.", field="portfolio_id"
        )
    known = store.reference.account(body.default_account_id) is not None
    if not known or not reach.has_account(body.default_account_id):
        raise Refused(
            Code.INVALID_ACCOUNT,
            f"There is no account {body.default_account_id!r}.",
            field="default_account_id",
        )
    return store.reference.put_portfolio(body)


def keep_account(store: Store, body: Account, reach: Reach) -> Account:
    """Raises Refused: INVALID_ACCOUNT."""
    if not reach.has_account(body.account_id):
        raise Refused(Code.INVALID_ACCOUNT, f"There is no account {body.account_id!r}.", field="account_id")
    return store.reference.put_account(body)


def keep_price(store: Store, body: PriceLine) -> str:
    """The id of the instrument; a newer price of it stays. Raises Refused: INVALID_INSTRUMENT."""
    if body.instrument_id is not None:
        found, field = store.reference.instrument(body.instrument_id), "instrument_id"
    else:
        symbol, field = body.symbol or "", "symbol"
        found = store.reference.find_instrument(symbol, body.sec_type, body.exchange, body.currency)
    if found is None:
        told = body.instrument_id or body.symbol
        raise Refused(Code.INVALID_INSTRUMENT, f"{told!r} is not one known instrument.", field=field)
    quoted = QuotedPrice(
        instrument_id=found.instrument_id, price=body.price, as_of=body.as_of or datetime.now(UTC)
    )
    store.reference.put_prices([quoted])
    return found.instrument_id
