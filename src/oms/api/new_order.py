"""A new order as callers describe it, and what it refers to: portfolio, instrument, account, route."""

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from oms.api.access import Reach
from oms.api.handling import PLAIN_BODY, HandlingBody, check_fit
from oms.api.validation import UtcInstant, json_numbers, of_validation
from oms.domain.commands import CreateOrder, Metadata, Route, check_prices
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Price, Quantity
from oms.domain.reference import Account, Currency, Instrument
from oms.domain.terms import (
    Automation,
    ComplianceMode,
    Direction,
    OrderType,
    SecType,
    State,
    TimeInForce,
    Venue,
)
from oms.store import Store
from oms.store.baskets import Basket

ExactMetadata = Annotated[Metadata, BeforeValidator(json_numbers)]


class InstrumentRef(Model):
    """An instrument by its terms, for a caller who has no id. It must fit exactly one known instrument."""

    symbol: Name = Field(examples=["AAPL"])
    sec_type: SecType = SecType.STOCK
    exchange: Name | None = Field(None, examples=["SMART"])
    currency: Currency | None = None
    expiry: date | None = None
    strike: Price | None = None
    right: Annotated[str, Field(pattern=r"^[CP]$")] | None = None
    primary_exchange: Name | None = None
    conid: Annotated[int, Field(gt=0, le=2**53)] | None = None
    multiplier: Quantity | None = None
    mic: Name | None = None


class NewOrder(Model):
    """What CreateOrder takes. Either `instrument_id` or `instrument` names the instrument."""

    portfolio_id: Name = Field(examples=["PORT-001"])
    instrument_id: Name | None = Field(None, examples=["INS-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"])
    instrument: InstrumentRef | None = None
    direction: Direction = Field(examples=["Buy"])
    ordered_quantity: Quantity = Field(examples=["100"])
    order_type: OrderType = Field(examples=["Limit"])
    time_in_force: TimeInForce = Field(examples=["Day"])
    limit_price: Price | None = Field(None, examples=["150.25"])
    stop_price: Price | None = None
    expires_at: UtcInstant | None = None
    basket_id: Name | None = None
    client_order_id: Name | None = Field(None, examples=["desk-7-0001"])
    route: Route | None = None
    automation: Automation = Automation.MANUAL
    compliance: ComplianceMode = ComplianceMode.BUILTIN
    metadata: ExactMetadata = {}
    handling: HandlingBody = PLAIN_BODY


def resolve(store: Store, new: NewOrder, reach: Reach, by: str) -> tuple[CreateOrder, Instrument, str]:
    """The domain's request, the instrument and the default account's id. Blocks.

    Raises Refused: INVALID_PORTFOLIO, INVALID_INSTRUMENT, INVALID_ACCOUNT, INVALID_VENUE, INVALID_ORDER_TYPE,
    BASKET_NOT_FOUND, VALIDATION_FAILED.
    """
    _check_terms(new)
    portfolio = store.reference.portfolio(new.portfolio_id) if reach.has_portfolio(new.portfolio_id) else None
    if portfolio is None:
        raise Refused(
            Code.INVALID_PORTFOLIO,
            f"There is no portfolio {new.portfolio_id!r}.",
            portfolio_id=new.portfolio_id,
        )
    account = store.reference.account(portfolio.default_account_id)
    if account is None:
        raise Refused(
            Code.INVALID_ACCOUNT,
            f"The default account {portfolio.default_account_id!r} of {portfolio.portfolio_id} is not known.",
            account_id=portfolio.default_account_id,
        )
    if new.basket_id is not None:
        known_basket(store, new.basket_id, reach, by)
    instrument = _instrument(store, new)
    route = _route(store, new.route, account, reach)
    if new.automation is Automation.STRAIGHT_THROUGH:
        check_served(store, route.venue, route.account)
    terms = new.model_dump(exclude={"instrument", "instrument_id", "route"})
    try:
        request = CreateOrder(**terms, instrument_id=instrument.instrument_id, route=route)
    except ValidationError as error:
        raise of_validation(error.errors()) from error
    return request, instrument, account.account_id


def known_basket(
    store: Store, basket_id: str, reach: Reach, by: str
) -> tuple[Basket, tuple[tuple[str, State], ...]]:
    """The basket and those of its orders that a key named `by` may see. Blocks. Raises Refused: BASKET_NOT_FOUND."""
    seen = reach.portfolio_ids
    basket = store.baskets.get(basket_id)
    members = store.baskets.members(basket_id, seen) if basket else ()
    hidden = seen is not None and not members and basket is not None and basket.created_by != by
    if basket is None or hidden:
        raise Refused(Code.BASKET_NOT_FOUND, f"There is no basket {basket_id!r}.", basket_id=basket_id)
    return basket, members


def _check_terms(new: NewOrder) -> None:
    """What the domain would refuse as a whole, with the field that is wrong."""
    try:
        check_prices(new.order_type, new.limit_price, new.stop_price)
    except ValueError as error:
        field = str(error).split(" ", 1)[0]
        raise Refused(Code.INVALID_ORDER_TYPE, f"{error}.", field=field, order_type=new.order_type) from error
    check_fit(new.order_type, new.handling, new.expires_at)
    if new.time_in_force is TimeInForce.GTD and new.expires_at is None:
        raise Refused(Code.VALIDATION_FAILED, "expires_at is required for a GTD order.", field="expires_at")


def _instrument(store: Store, new: NewOrder) -> Instrument:
    if (new.instrument_id is None) == (new.instrument is None):
        raise Refused(
            Code.VALIDATION_FAILED,
            "instrument_id: give either instrument_id or instrument, and not both.",
            field="instrument_id",
        )
    if new.instrument_id is not None:
        found, told = store.reference.instrument(new.instrument_id), new.instrument_id
    else:
        found, told = _by_terms(store, new.instrument), new.instrument.symbol if new.instrument else ""
    if found is None:
        raise Refused(
            Code.INVALID_INSTRUMENT,
            f"{told!r} is not one known instrument; POST it to /v1/instruments first.",
        )
    return found


def _by_terms(store: Store, ref: InstrumentRef | None) -> Instrument | None:
    if ref is None:
        return None
    found = store.reference.find_instrument(
        ref.symbol, ref.sec_type, ref.exchange, ref.currency, ref.expiry, ref.strike, ref.right
    )
    given = ref.model_dump(exclude_none=True)
    if found is None or any(getattr(found, name) != value for name, value in given.items()):
        return None
    return found


def _route(store: Store, route: Route | None, default: Account, reach: Reach) -> Route:
    """Where the order goes: the default account's venue and broker account where the caller leaves them out."""
    if route is None:
        return Route(venue=default.venue, account=default.broker_account)
    if route.venue not in set(Venue):
        raise Refused(
            Code.INVALID_VENUE,
            f"{route.venue!r} is not a venue; there are {', '.join(Venue)}.",
            venue=route.venue,
            allowed=list(Venue),
        )
    if route.account is None:
        return route.model_copy(update={"account": default.broker_account})
    return route.model_copy(update={"account": broker_account(store, route.account, reach)})


def check_served(store: Store, venue: str, account: str | None) -> None:
    """Raise Refused INVALID_ACCOUNT where gateways of `venue` have reported and none of them serves `account`. Blocks.

    A placement for such an account would wait for a gateway that does not exist.
    """
    served = [report.accounts for report in store.gateways.all() if report.venue == venue]
    if served and not any(account in accounts for accounts in served):
        raise Refused(
            Code.INVALID_ACCOUNT,
            f"No gateway at {venue} serves account {account!r}.",
            account=account,
            served=sorted({one for accounts in served for one in accounts}),
        )


def broker_account(store: Store, named: str, reach: Reach) -> str:
    """The broker's name of an account, given by its own id or by the broker's. Blocks.

    Raises Refused: INVALID_ACCOUNT for one that is not known or that the key may not touch.
    """
    account = account_of(store, named)
    if account is None or not reach.has_account(account.account_id):
        raise Refused(Code.INVALID_ACCOUNT, f"There is no account {named!r}.", account=named)
    return account.broker_account


def account_of(store: Store, named: str) -> Account | None:
    """The account with this id, or the one that the broker calls so. Blocks."""
    return store.reference.account(named) or _at_the_broker(store, named)


def _at_the_broker(store: Store, named: str) -> Account | None:
    cursor = None
    while True:
        page = store.reference.accounts(limit=500, cursor=cursor)
        found = next((account for account in page.items if account.broker_account == named), None)
        cursor = page.next_cursor
        if found is not None or cursor is None:
            return found
