"""A portfolio's book as the rules look at it, read inside somebody else's transaction."""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ARRAY, ColumnElement, Connection, Text, and_, any_, bindparam, func, or_, select

from oms.domain.numbers import ZERO, add, multiply, ratio, total
from oms.domain.reference import Instrument, InstrumentTerms, Portfolio
from oms.domain.rules.book import Book, Line, Recent
from oms.domain.rules.rule_type import Needs
from oms.domain.terms import Direction, SecType
from oms.store import tables
from oms.store.database import Database
from oms.store.exposure import Exposures, Holding, Traded

PRE_TRADE = "pre_trade"
POST_TRADE = "post_trade"


class Books:
    """Reads books. Safe for any number of threads."""

    def __init__(self, database: Database) -> None:
        self._exposures = Exposures(database)
        self._is_sqlite = database.is_sqlite
        instruments, prices = tables.instruments, tables.prices
        self._describe = (
            select(instruments.c.instrument_id, instruments.c.body, prices.c.price)
            .outerjoin_from(instruments, prices, prices.c.instrument_id == instruments.c.instrument_id)
            .where(_is_named(instruments.c.instrument_id, is_sqlite=database.is_sqlite))
        )
        self._parsed: dict[str, tuple[str, Instrument]] = {}
        self._lines: dict[str, tuple[Holding, Line]] = {}

    def lock(self, connection: Connection, portfolio_ids: Collection[str]) -> dict[str, Portfolio]:
        """The portfolios that are known, locked until the transaction ends: whoever locks one of them next waits.

        Rows are locked in the order of their ids, so that two who lock several cannot wait for each other for ever.
        On SQLite a write transaction is alone already.
        """
        portfolios = tables.portfolios.c
        query = (
            select(portfolios.body)
            .where(portfolios.portfolio_id.in_(portfolio_ids))
            .order_by(portfolios.portfolio_id)
            .with_for_update()
        )
        found = [Portfolio.model_validate_json(body) for body in connection.scalars(query)]
        return {portfolio.portfolio_id: portfolio for portfolio in found}

    def portfolio(self, connection: Connection, portfolio_id: str) -> Portfolio | None:
        query = select(tables.portfolios.c.body).where(tables.portfolios.c.portfolio_id == portfolio_id)
        body = connection.execute(query).scalar()
        return None if body is None else Portfolio.model_validate_json(body)

    def read(
        self,
        connection: Connection,
        portfolio: Portfolio,
        needs: Needs,
        now: datetime,
        *,
        instruments: Iterable[Instrument] = (),
        without: str | None = None,
    ) -> Book:
        """The book of `portfolio` at `now`, with a line for each of `instruments`, without the order `without`.

        The day of the turnover begins at midnight UTC. A price or a rate that nobody knows is left out.
        """
        exposure = self._exposures.read(
            connection, portfolio.portfolio_id, now, turnover=needs.turnover, without=without
        )
        asked = {instrument.instrument_id: instrument for instrument in instruments}
        held = {*exposure.holdings, *asked}
        traded = exposure.traded.keys()
        known, prices = self._described(connection, {*held, *traded, *needs.instrument_ids})
        known = {**{each: _nameless(each) for each in held | traded}, **known, **asked}
        book = Book(
            portfolio_id=portfolio.portfolio_id,
            base_currency=portfolio.base_currency,
            net_asset_value=portfolio.net_asset_value,
            lines={
                each: self._line(
                    known[each],
                    exposure.holdings.get(each, Holding()),
                    prices.get(each),
                )
                for each in held
            },
            rates=_rates(
                connection, portfolio.base_currency, {known[each].currency for each in held | traded}
            ),
            recent=_recent(connection, portfolio.portfolio_id, needs.window_seconds, now),
            issuers={
                each: issuer
                for each in needs.instrument_ids
                if each in known and (issuer := known[each].issuer) is not None
            },
            at=now,
        )
        return book.model_copy(update={"turnover": _turnover(exposure.traded, known, prices, book.rates)})

    def _line(self, instrument: Instrument, held: Holding, price: Decimal | None) -> Line:
        """The line, the one of the last look where that was the same: a portfolio has many, and few change.

        Constructed, not validated: the numbers are the store's own.
        """
        last = self._lines.get(instrument.instrument_id)
        if last is not None:
            known, line = last
            if known == held and line.price == price and line.instrument is instrument:
                return line
        line = Line.model_construct(
            instrument=instrument,
            position=held.position,
            buying=held.buying,
            selling=held.selling,
            price=price,
        )
        self._lines[instrument.instrument_id] = (held, line)
        return line

    def _described(
        self, connection: Connection, instrument_ids: Collection[str]
    ) -> tuple[dict[str, Instrument], dict[str, Decimal]]:
        """The instruments that are known and their last prices. A description is parsed when it is new or changed."""
        ids = [*instrument_ids]
        rows = connection.execute(self._describe, {"ids": json.dumps(ids) if self._is_sqlite else ids})
        known: dict[str, Instrument] = {}
        priced: dict[str, Decimal] = {}
        for instrument_id, body, price in rows.all():
            last = self._parsed.get(instrument_id)
            if last is None or last[0] != body:
                terms = dict(InstrumentTerms.model_validate_json(body))
                last = (body, Instrument(instrument_id=instrument_id, **terms))
                self._parsed[instrument_id] = last
            known[instrument_id] = last[1]
            if price is not None:
                priced[instrument_id] = price
        return known, priced


def _is_named(column: ColumnElement[str], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether `column` is one of the bound `ids`. One parameter, however many: the statement stays the same."""
    if is_sqlite:
        ids = func.json_each(bindparam("ids", type_=Text)).table_valued("value")
        return column.in_(select(ids.c.value))
    return column == any_(bindparam("ids", type_=ARRAY(Text)))


def _nameless(instrument_id: str) -> Instrument:
    """What is held and nobody described: it has no price, so the rules that value it fail."""
    return Instrument(instrument_id=instrument_id, symbol=instrument_id)


def _turnover(
    traded: Mapping[str, Traded],
    known: Mapping[str, Instrument],
    prices: Mapping[str, Decimal],
    rates: Mapping[str, Decimal],
) -> Decimal | None:
    """The value of what was traded in the base currency; None where the value of a part of it is not known."""
    values = []
    for instrument_id, trade in traded.items():
        instrument = known[instrument_id]
        price, rate = prices.get(instrument_id), rates.get(instrument.currency)
        if rate is None or (price is None and trade.unpriced):
            return None
        notional = add(trade.notional, multiply(trade.unpriced, price or ZERO))
        values.append(multiply(notional, multiply(instrument.multiplier, rate)))
    return total(values)


def _rates(connection: Connection, base: str, currencies: Collection[str]) -> dict[str, Decimal]:
    """What one unit of each currency is worth in `base`, where a CASH instrument's price says so.

    EUR.USD (symbol EUR, currency USD) is the price of one EUR in USD; the opposite pair's price is turned round, to 12
    places, where there is no direct one. Of several the newest price counts.
    """
    foreign = {*currencies} - {base}
    rates = {base: Decimal(1)}
    if not foreign:
        return rates
    instruments, prices = tables.instruments.c, tables.prices.c
    query = (
        select(instruments.symbol, instruments.currency, prices.price)
        .join_from(tables.instruments, tables.prices, prices.instrument_id == instruments.instrument_id)
        .where(
            instruments.sec_type == SecType.CASH.value,
            or_(
                and_(instruments.symbol.in_(foreign), instruments.currency == base),
                and_(instruments.symbol == base, instruments.currency.in_(foreign)),
            ),
        )
        .order_by(prices.as_of, instruments.instrument_id)
    )
    direct, turned = {}, {}
    for symbol, currency, price in connection.execute(query):
        if currency == base:
            direct[symbol] = price
        else:
            turned[currency] = ratio(Decimal(1), price)
    return {**turned, **direct, **rates}


def _recent(connection: Connection, portfolio_id: str, seconds: int, now: datetime) -> tuple[Recent, ...]:
    """The orders that were checked before they trade, in the last `seconds`."""
    if not seconds:
        return ()
    verdicts = tables.verdicts.c
    query = select(
        verdicts.order_id,
        verdicts.instrument_id,
        verdicts.direction,
        verdicts.quantity,
        verdicts.limit_price,
        verdicts.at,
    ).where(
        verdicts.portfolio_id == portfolio_id,
        verdicts.at > now - timedelta(seconds=seconds),
        verdicts.gate == PRE_TRADE,
    )
    return tuple(
        Recent.model_construct(
            order_id=row.order_id,
            instrument_id=row.instrument_id,
            direction=Direction(row.direction),
            quantity=row.quantity,
            limit_price=row.limit_price,
            at=row.at,
        )
        for row in connection.execute(query).all()
    )
