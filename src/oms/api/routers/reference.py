"""Reference data: instruments, portfolios, accounts, prices. Posting the same thing twice is posting it once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
from fastapi import Path, Query
from starlette.responses import Response

from oms.api.asking import Ask, Context, Who
from oms.api.bodies import InstrumentBody, PricesBody
from oms.api.describing import PriceLine, keep_account, keep_instrument, keep_portfolio, keep_price
from oms.api.importing import FileRoute, ImportView, csv_body, file_of, import_file
from oms.api.new_order import InstrumentRef
from oms.api.paging import Paging
from oms.api.problems import refusals
from oms.api.resolving import question_of, resolve_symbol, serving_account
from oms.api.routers.shared import book_router
from oms.api.routing import new_uuid
from oms.api.views import ListView, answer
from oms.api.waking import wake_the_monitor
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import INSTRUMENT, Name, identifier
from oms.domain.reference import Account, Instrument, Portfolio, QuotedPrice
from oms.domain.terms import Role
from oms.store import Store
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
    kept = keep_instrument(context.store, body, asking.mint(INSTRUMENT))
    return answer(kept, 201, Location=f"/v1/instruments/{kept.instrument_id}")


@router.post(
    "/instruments/resolve",
    operation_id="ResolveInstrument",
    status_code=201,
    response_model=Instrument,
    responses={
        200: {"model": Instrument, "description": "It was known."},
        **refusals(Code.INVALID_INSTRUMENT, Code.IDEMPOTENCY_CONFLICT),
    },
)
async def resolve_instrument(context: Context, caller: Who, body: InstrumentRef) -> Response:
    """The one instrument that fits the terms: one that is known, else the one that IBKR knows, described and kept."""
    caller.needs("Describing an instrument", *_DESCRIBERS)
    known = await anyio.to_thread.run_sync(context.store.reference.fitting, question_of(body))
    if known is not None:
        return answer(known, 200, Location=f"/v1/instruments/{known.instrument_id}")
    account = await anyio.to_thread.run_sync(serving_account, context.store)
    found = await resolve_symbol(context.temporal, context.store, body, account)
    return answer(found, 201, Location=f"/v1/instruments/{found.instrument_id}")


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
    was_known = context.store.reference.portfolio(body.portfolio_id) is not None
    return answer(
        keep_portfolio(context.store, body, caller.reach),
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
    was_known = context.store.reference.account(body.account_id) is not None
    return answer(
        keep_account(context.store, body, caller.reach),
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
    wake_the_monitor(context.temporal)
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


# Imports: these routes take files

router.route_class = FileRoute


@router.post(
    "/instruments/import",
    operation_id="ImportInstruments",
    response_model=ImportView,
    responses=refusals(Code.IDEMPOTENCY_CONFLICT),
    openapi_extra=csv_body("symbol,currency,sector\nAAPL,USD,Technology\n"),
)
def import_instruments(context: Context, caller: Who, file: file_of(InstrumentBody)) -> Response:  # type: ignore[valid-type]  # a dependency made for the body
    """Describe many instruments: an array, or CSV with the same names as columns. Each line is kept or told why not."""
    caller.needs("Describing an instrument", *_DESCRIBERS)

    def keep(body: InstrumentBody) -> str:
        return keep_instrument(context.store, body, identifier(INSTRUMENT, new_uuid())).instrument_id

    return answer(import_file(file, InstrumentBody, keep))


@router.post(
    "/portfolios/import",
    operation_id="ImportPortfolios",
    response_model=ImportView,
    responses=refusals(Code.IDEMPOTENCY_CONFLICT),
    openapi_extra=csv_body("portfolio_id,name,default_account_id\nPORT-001,Growth,ACCT-001\n"),
)
def import_portfolios(context: Context, caller: Who, file: file_of(Portfolio)) -> Response:  # type: ignore[valid-type]  # a dependency made for the body
    """Describe many portfolios. The accounts they name come first, in a file of their own."""
    caller.needs("Describing a portfolio", *_KEEPERS)

    def keep(body: Portfolio) -> str:
        return keep_portfolio(context.store, body, caller.reach).portfolio_id

    return answer(import_file(file, Portfolio, keep))


@router.post(
    "/accounts/import",
    operation_id="ImportAccounts",
    response_model=ImportView,
    responses=refusals(Code.IDEMPOTENCY_CONFLICT),
    openapi_extra=csv_body("account_id,name,broker_account\nACCT-001,Main,DU123456\n"),
)
def import_accounts(context: Context, caller: Who, file: file_of(Account)) -> Response:  # type: ignore[valid-type]  # a dependency made for the body
    """Describe many accounts."""
    caller.needs("Describing an account", *_KEEPERS)

    def keep(body: Account) -> str:
        return keep_account(context.store, body, caller.reach).account_id

    return answer(import_file(file, Account, keep))


@router.post(
    "/prices/import",
    operation_id="ImportPrices",
    response_model=ImportView,
    responses=refusals(Code.IDEMPOTENCY_CONFLICT),
    openapi_extra=csv_body("symbol,price,as_of\nAAPL,150.25,2026-03-02T15:00:00Z\n"),
)
def import_prices(context: Context, caller: Who, file: file_of(PriceLine)) -> Response:  # type: ignore[valid-type]  # a dependency made for the body
    """Quote many prices, by instrument_id or by symbol; the later `as_of` of an instrument stays."""
    caller.needs("Quoting prices", *_QUOTERS)

    def keep(body: PriceLine) -> str:
        return keep_price(context.store, body)

    return answer(import_file(file, PriceLine, keep))
