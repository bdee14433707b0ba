"""Reference data, and positions. Describing the same thing twice is describing it once."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Unpack

from durable_oms.models import Account, AccountGroup, Instrument, Portfolio, Position, Price
from durable_oms.models.record import listed, named, page
from durable_oms.operation import Every, operation
from durable_oms.requests import Content, Number, Repeatable, asked, encode, told


class Reference:
    """What orders refer to, and what follows from their fills."""

    @operation("POST /v1/instruments", Instrument.model_validate)
    def create_instrument(
        self,
        symbol: str,
        *,
        instrument_id: str | None = None,
        sec_type: str | None = None,
        exchange: str | None = None,
        primary_exchange: str | None = None,
        currency: str | None = None,
        conid: int | None = None,
        multiplier: Number | None = None,
        tick_size: Number | None = None,
        lot_size: Number | None = None,
        expiry: str | date | None = None,
        contract_month: str | None = None,
        strike: Number | None = None,
        right: str | None = None,
        issuer: str | None = None,
        sector: str | None = None,
        country: str | None = None,
        mic: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Describe an instrument (STK, FUT, OPT, CASH). One that is known keeps its id and takes the new terms."""
        return told(
            options,
            symbol=symbol,
            instrument_id=instrument_id,
            sec_type=sec_type,
            exchange=exchange,
            primary_exchange=primary_exchange,
            currency=currency,
            conid=conid,
            multiplier=multiplier,
            tick_size=tick_size,
            lot_size=lot_size,
            expiry=expiry,
            contract_month=contract_month,
            strike=strike,
            right=right,
            issuer=issuer,
            sector=sector,
            country=country,
            mic=mic,
        )

    @operation("POST /v1/instruments/resolve", Instrument.model_validate)
    def resolve_instrument(
        self,
        symbol: str,
        *,
        sec_type: str | None = None,
        exchange: str | None = None,
        primary_exchange: str | None = None,
        currency: str | None = None,
        conid: int | None = None,
        multiplier: Number | None = None,
        expiry: str | date | None = None,
        strike: Number | None = None,
        right: str | None = None,
        mic: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """The one instrument that fits the terms: one that is known, else the one that the broker knows, kept."""
        return told(
            options,
            symbol=symbol,
            sec_type=sec_type,
            exchange=exchange,
            primary_exchange=primary_exchange,
            currency=currency,
            conid=conid,
            multiplier=multiplier,
            expiry=expiry,
            strike=strike,
            right=right,
            mic=mic,
        )

    @operation("GET /v1/instruments/{instrument_id}", Instrument.model_validate)
    def get_instrument(self, instrument_id: str) -> Content:
        """One instrument."""
        return asked()

    @operation("GET /v1/instruments", page(Instrument.model_validate))
    def list_instruments(
        self, symbol: str | None = None, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """Instruments, newest first."""
        return asked(symbol=symbol, limit=limit, offset=offset, cursor=cursor)

    iterate_instruments = Every(list_instruments)

    @operation("POST /v1/portfolios", Portfolio.model_validate)
    def create_portfolio(
        self,
        portfolio_id: str,
        name: str,
        default_account_id: str,
        base_currency: str | None = None,
        net_asset_value: Number | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Describe a portfolio. One that is known takes the new description."""
        return told(
            options,
            portfolio_id=portfolio_id,
            name=name,
            default_account_id=default_account_id,
            base_currency=base_currency,
            net_asset_value=net_asset_value,
        )

    @operation("GET /v1/portfolios/{portfolio_id}", Portfolio.model_validate)
    def get_portfolio(self, portfolio_id: str) -> Content:
        """One portfolio."""
        return asked()

    @operation("GET /v1/portfolios", page(Portfolio.model_validate))
    def list_portfolios(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """The portfolios that the key may touch, newest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/accounts", Account.model_validate)
    def create_account(
        self,
        account_id: str,
        name: str,
        broker_account: str,
        custodian: str | None = None,
        venue: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Describe an account. One that is known takes the new description."""
        return told(
            options,
            account_id=account_id,
            name=name,
            broker_account=broker_account,
            custodian=custodian,
            venue=venue,
        )

    @operation("GET /v1/accounts/{account_id}", Account.model_validate)
    def get_account(self, account_id: str) -> Content:
        """One account."""
        return asked()

    @operation("GET /v1/accounts", page(Account.model_validate))
    def list_accounts(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """The accounts that the key may touch, newest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("PUT /v1/prices", listed("items", Price.model_validate))
    def put_prices(self, prices: Iterable[Mapping[str, Any]]) -> Content:
        """Quote prices, each {"instrument_id", "price", "as_of"?}; the later `as_of` stays. What is kept."""
        body = encode({"prices": list(prices)})
        return Content(body=body, headers={"Content-Type": "application/json"})

    @operation("GET /v1/positions", page(Position.model_validate))
    def get_positions(
        self,
        portfolio_id: str | None = None,
        account_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Content:
        """What is held, by portfolio, account and instrument."""
        return asked(
            portfolio_id=portfolio_id, account_id=account_id, limit=limit, offset=offset, cursor=cursor
        )

    iterate_positions = Every(get_positions)

    @operation("POST /v1/account-groups", named("group_id"))
    def create_account_group(
        self,
        name: str,
        members: Iterable[Mapping[str, Any]],
        group_id: str | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Describe a group for allocation by hierarchy; its id. One that is known takes the new description.

        A member names `account_id` and `portfolio_id`, or `group_id`; and its `weight`.
        """
        return told(options, name=name, members=list(members), group_id=group_id)

    @operation("GET /v1/account-groups/{group_id}", AccountGroup.model_validate)
    def get_account_group(self, group_id: str) -> Content:
        """One account group."""
        return asked()

    @operation("GET /v1/account-groups", page(AccountGroup.model_validate))
    def list_account_groups(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """The account groups whose accounts the key may touch, newest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)
