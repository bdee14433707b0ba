"""Reference data: instruments, portfolios, accounts, prices. Posting the same thing twice is posting it once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from oms.api.asking import Ask, Context, Who
from oms.api.bodies import InstrumentBody, PricesBody
from oms.api.paging import Paging
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ListView, answer
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import INSTRUMENT, Name
from oms.domain.reference import Account, Instrument, InstrumentTerms, Portfolio, QuotedPrice
from oms.domain.terms import Role
from oms.store import Store, Taken
from oms.store.page import Page

router = book_router("/v1", "reference data")
_DESCRIBERS = (Role.ADMIN, Role.PM, Role.TRADER, Role.OPS, Role.OPERATOR)
_KEEPERS = (Role.ADMIN, Role.PM, Role.OPS)
_QUOTERS = (Role.ADMIN, Role.OPS, Role.OPERATOR, Role.PM)


def _page(page: Page[Instrument] | Page[Portfolio] | Page[Account]) -> Response:
    return answer(ListView[Any].model_construct(items=list(page.items), next_cursor=page.next_cursor))


@router.post(
    "/instruments",
    operation_id="CreateInstrument",
    status_code=201,
    response_model=Instrument,
    responses={
        **refusals(Code.IDEMPOTENCY_CONFLICT),
    },
)
def create_instrument(context: Context, asking: Ask, body: InstrumentBody) -> Response:
    """Describe an instrument. One that is known keeps its id and takes the new terms."""
    asking.caller.needs("Describing an instrument", *_DESCRIBERS)
    reference = context.store.reference
    minted = body.instrument_id or asking.mint(INSTRUMENT)
    terms = InstrumentTerms.model_construct(**body.model_dump(exclude={"instrument_id"}))
    try:
        kept = reference.put_instrument(terms, minted)
    except Taken as taken:
        raise Refused(Code.VALIDATION_FAILED, f"instrument_id: {taken}", field="instrument_id") from taken
    return answer(kept, 201, Location=f"/v1/instruments/{kept.instrument_id}")


@router.get(
    "/instruments", operation_id="ListInstruments", response_model=ListView[Instrument], responses=refusals()
)
def list_instruments(
    context: Context, window: Paging, symbol: Annotated[Name | None, Query()] = None
) -> Response:
    """Instruments, newest first."""
    return _page(context.store.reference.instruments(window.limit, window.offset, window.cursor, symbol))


@router.get(
    "/instruments/{instrument_id}",
    operation_id="GetInstrument",
    response_model=Instrument,
    responses=refusals(Code.INSTRUMENT_NOT_FOUND),
)
def get_instrument(context: Context, instrument_id: Annotated[Name, Path()]) -> Response:
    """One instrument."""
    found = context.store.reference.instrument(instrument_id)
    if found is None:
        raise Refused(
            Code.INSTRUMENT_NOT_FOUND,
            f"There is no instrument {instrument_id!r}.",
            instrument_id=instrument_id,
        )
    return answer(found)


@router.post(
    "/portfolios",
    operation_id="CreatePortfolio",
    status_code=201,
    response_model=Portfolio,
    responses={
        200: {"model": Portfolio, "description": "The portfolio was known; it is as it was sent."},
        **refusals(Code.INVALID_PORTFOLIO, Code.INVALID_ACCOUNT, Code.IDEMPOTENCY_CONFLICT),
    },
)
def create_portfolio(context: Context, caller: Who, body: Portfolio) -> Response:
    """Describe a portfolio. One that is known takes the new description."""
    caller.needs("Describing a portfolio", *_KEEPERS)
    reference = context.store.reference
    if not caller.reach.has_portfolio(body.portfolio_id):
        raise Refused(Code.INVALID_PORTFOLIO, f"There is no portfolio {body.portfolio_id!r}.")
    known_account = reference.account(body.default_account_id) is not None
    if not known_account or not caller.reach.has_account(body.default_account_id):
        raise Refused(Code.INVALID_ACCOUNT, f"There is no account {body.default_account_id!r}.")
    was_known = reference.portfolio(body.portfolio_id) is not None
    return answer(
        reference.put_portfolio(body),
        200 if was_known else 201,
        Location=f"/v1/portfolios/{body.portfolio_id}",
    )


@router.get(
    "/portfolios", operation_id="ListPortfolios", response_model=ListView[Portfolio], responses=refusals()
)
def list_portfolios(context: Context, caller: Who, window: Paging) -> Response:
    """The portfolios the key may touch, newest first."""
    reach = caller.reach.portfolio_ids
    return _page(context.store.reference.portfolios(window.limit, window.offset, window.cursor, reach))


@router.get(
    "/portfolios/{portfolio_id}",
    operation_id="GetPortfolio",
    response_model=Portfolio,
    responses=refusals(Code.PORTFOLIO_NOT_FOUND),
)
def get_portfolio(context: Context, caller: Who, portfolio_id: Annotated[Name, Path()]) -> Response:
    """One portfolio."""
    found = context.store.reference.portfolio(portfolio_id)
    if found is None or not caller.reach.has_portfolio(portfolio_id):
        raise Refused(
            Code.PORTFOLIO_NOT_FOUND, f"There is no portfolio {portfolio_id!r}.", portfolio_id=portfolio_id
        )
    return answer(found)


@router.post(
    "/accounts",
    operation_id="CreateAccount",
    status_code=201,
    response_model=Account,
    responses={
        200: {"model": Account, "description": "The account was known; it is as it was sent."},
        **refusals(Code.INVALID_ACCOUNT, Code.IDEMPOTENCY_CONFLICT),
    },
)
def create_account(context: Context, caller: Who, body: Account) -> Response:
    """Describe an account. One that is known takes the new description."""
    caller.needs("Describing an account", *_KEEPERS)
    if not caller.reach.has_account(body.account_id):
        raise Refused(Code.INVALID_ACCOUNT, f"There is no account {body.account_id!r}.")
    was_known = context.store.reference.account(body.account_id) is not None
    return answer(
        context.store.reference.put_account(body),
        200 if was_known else 201,
        Location=f"/v1/accounts/{body.account_id}",
    )


@router.get("/accounts", operation_id="ListAccounts", response_model=ListView[Account], responses=refusals())
def list_accounts(context: Context, caller: Who, window: Paging) -> Response:
    """The accounts the key may touch, newest first."""
    reach = caller.reach.account_ids
    return _page(context.store.reference.accounts(window.limit, window.offset, window.cursor, reach))


@router.get(
    "/accounts/{account_id}",
    operation_id="GetAccount",
    response_model=Account,
    responses=refusals(Code.ACCOUNT_NOT_FOUND),
)
def get_account(context: Context, caller: Who, account_id: Annotated[Name, Path()]) -> Response:
    """One account."""
    found = context.store.reference.account(account_id)
    if found is None or not caller.reach.has_account(account_id):
        raise Refused(Code.ACCOUNT_NOT_FOUND, f"There is no account {account_id!r}.", account_id=account_id)
    return answer(found)


@router.put(
    "/prices",
    operation_id="PutPrices",
    response_model=ListView[QuotedPrice],
    responses=refusals(Code.INVALID_INSTRUMENT),
)
def put_prices(context: Context, caller: Who, body: PricesBody) -> Response:
    """Quote prices; the later `as_of` of an instrument stays. Answers what is kept."""
    caller.needs("Quoting prices", *_QUOTERS)
    _check_known(context.store, (quoted.instrument_id for quoted in body.prices))
    now = datetime.now(UTC)
    prices = [
        QuotedPrice(instrument_id=quoted.instrument_id, price=quoted.price, as_of=quoted.as_of or now)
        for quoted in body.prices
    ]
    context.store.reference.put_prices(prices)
    kept = context.store.reference.prices({price.instrument_id for price in prices})
    return answer(ListView[QuotedPrice](items=sorted(kept.values(), key=lambda price: price.instrument_id)))


def _check_known(store: Store, instrument_ids: Iterable[str]) -> None:
    unknown = [name for name in sorted(set(instrument_ids)) if store.reference.instrument(name) is None]
    if unknown:
        raise Refused(
            Code.INVALID_INSTRUMENT,
            f"{unknown[0]!r} is not a known instrument; no price was kept.",
            unknown=unknown[:20],
        )
