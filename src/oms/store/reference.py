"""Instruments, portfolios, accounts and prices: what orders refer to."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Table, select, update
from sqlalchemy.exc import IntegrityError

from oms.domain.numbers import plain
from oms.domain.reference import (
    Account,
    Instrument,
    InstrumentQuestion,
    InstrumentTerms,
    Portfolio,
    QuotedPrice,
)
from oms.domain.terms import SecType
from oms.store import tables
from oms.store.contracts import contract_of
from oms.store.database import Database
from oms.store.errors import Taken
from oms.store.page import Page, page_of, paged

Named = TypeVar("Named", bound=BaseModel)


class Reference:
    """Reference data. Putting the same thing twice is putting it once; the later description replaces the earlier."""

    def __init__(self, database: Database) -> None:
        self._database = database
        prices = database.insert(tables.prices)
        self._price = database.upsert(tables.prices, unless=tables.prices.c.as_of > prices.excluded.as_of)

    def put_instrument(self, terms: InstrumentTerms, instrument_id: str) -> Instrument:
        """The instrument these terms name. One known by its natural key keeps its id and takes the new terms.

        Raises Taken when `instrument_id` stands for another instrument.
        """
        natural_key = _natural_key(terms)
        instruments = tables.instruments.c
        body = terms.model_dump_json(include=set(InstrumentTerms.model_fields))
        known = update(tables.instruments).where(instruments.natural_key == natural_key)
        known = known.values(body=body, conid=terms.conid)
        statement = self._database.insert(tables.instruments)
        statement = statement.on_conflict_do_update(
            index_elements=["natural_key"], set_={"body": body, "conid": terms.conid}
        )
        row = {
            "instrument_id": instrument_id,
            "natural_key": natural_key,
            "symbol": terms.symbol,
            "sec_type": terms.sec_type.value,
            "exchange": terms.exchange,
            "currency": terms.currency,
            "expiry": terms.expiry,
            "strike": terms.strike,
            "option_right": terms.right,
            "conid": terms.conid,
            "created_at": datetime.now(UTC),
            "body": body,
        }
        try:
            with self._database.write() as connection:
                kept = connection.execute(known.returning(instruments.instrument_id)).scalar()
                if kept is None:
                    # Somebody may put it between the two statements: theirs is the id then.
                    kept = connection.execute(
                        statement.returning(instruments.instrument_id), row
                    ).scalar_one()
        except IntegrityError as error:
            raise Taken(f"{instrument_id} is another instrument's id.") from error
        return _instrument(kept, body)

    def instrument(self, instrument_id: str) -> Instrument | None:
        body = self._body(tables.instruments, instrument_id)
        return None if body is None else _instrument(instrument_id, body)

    def find_instrument(
        self,
        symbol: str,
        sec_type: SecType = SecType.STOCK,
        exchange: str | None = None,
        currency: str | None = None,
        expiry: date | None = None,
        strike: Decimal | None = None,
        right: str | None = None,
    ) -> Instrument | None:
        """The one known instrument that fits everything given; None where none fits, or more than one does."""
        columns = tables.instruments.c
        conditions: list[ColumnElement[bool]] = [columns.symbol == symbol, columns.sec_type == sec_type.value]
        conditions += [
            column == value
            for column, value in (
                (columns.exchange, exchange),
                (columns.currency, currency),
                (columns.expiry, expiry),
                (columns.strike, strike),
                (columns.option_right, right),
            )
            if value is not None
        ]
        with self._database.read() as connection:
            query = select(columns.instrument_id, columns.body).where(*conditions).limit(2)
            found = connection.execute(query).all()
        return _instrument(found[0].instrument_id, found[0].body) if len(found) == 1 else None

    def fitting(self, question: InstrumentQuestion) -> Instrument | None:
        """The one known instrument that fits the question in everything; None where none does, or more than one."""
        columns = tables.instruments.c
        query = select(columns.instrument_id, columns.body).where(
            columns.symbol == question.symbol, columns.sec_type == question.sec_type.value
        )
        with self._database.read() as connection:
            known = [_instrument(row.instrument_id, row.body) for row in connection.execute(query)]
        found = [instrument for instrument in known if question.fits(instrument)]
        return found[0] if len(found) == 1 else None

    def one_contract(self, instrument_id: str) -> tuple[str, ...]:
        """The ids of the instruments that are the same contract as this one, the oldest first; it is among them."""
        with self._database.snapshot() as connection:
            return contract_of(connection, instrument_id).instrument_ids

    def same_contract(self, instrument_id: str | None, conid: int | None) -> tuple[Instrument, ...]:
        """The instruments that are one contract with this one, or have this number at the broker, the oldest first."""
        columns = tables.instruments.c
        with self._database.snapshot() as connection:
            first = instrument_id
            if first is None and conid:
                numbered = select(columns.instrument_id).where(columns.conid == conid).limit(1)
                first = connection.execute(numbered).scalar()
            ids = () if first is None else contract_of(connection, first).instrument_ids
            query = select(columns.instrument_id, columns.body).where(columns.instrument_id.in_(ids))
            rows = connection.execute(query.order_by(columns.created_at, columns.instrument_id)).all()
        return tuple(_instrument(row.instrument_id, row.body) for row in rows)

    def instruments(
        self, limit: int = 100, offset: int = 0, cursor: str | None = None, symbol: str | None = None
    ) -> Page[Instrument]:
        """Instruments, newest first. Raises BadCursor."""
        conditions = [] if symbol is None else [tables.instruments.c.symbol == symbol]
        return self._page(_instrument, tables.instruments, conditions, limit, offset, cursor)

    def put_portfolio(self, portfolio: Portfolio) -> Portfolio:
        return self._put(portfolio, tables.portfolios, portfolio.portfolio_id)

    def portfolio(self, portfolio_id: str) -> Portfolio | None:
        return self._get(Portfolio, tables.portfolios, portfolio_id)

    def portfolios(
        self,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        portfolio_ids: Sequence[str] | None = None,
    ) -> Page[Portfolio]:
        """Portfolios, newest first; `portfolio_ids` are the only ones the caller may see. Raises BadCursor."""
        conditions = [] if portfolio_ids is None else [tables.portfolios.c.portfolio_id.in_([*portfolio_ids])]
        return self._page(_as(Portfolio), tables.portfolios, conditions, limit, offset, cursor)

    def put_account(self, account: Account) -> Account:
        return self._put(account, tables.accounts, account.account_id)

    def account(self, account_id: str) -> Account | None:
        return self._get(Account, tables.accounts, account_id)

    def accounts(
        self,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        account_ids: Sequence[str] | None = None,
    ) -> Page[Account]:
        """Accounts, newest first; `account_ids` are the only ones the caller may see. Raises BadCursor."""
        conditions = [] if account_ids is None else [tables.accounts.c.account_id.in_([*account_ids])]
        return self._page(_as(Account), tables.accounts, conditions, limit, offset, cursor)

    def put_prices(self, prices: Iterable[QuotedPrice]) -> None:
        """Keep each price unless a newer one (by `as_of`) is known. Raises ValueError for an `as_of` without a zone."""
        # One order of rows for everybody, so that two writers cannot wait for each other.
        rows = [price.model_dump() for price in sorted(prices, key=lambda price: price.instrument_id)]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._price, rows)

    def price(self, instrument_id: str) -> QuotedPrice | None:
        return self.prices([instrument_id]).get(instrument_id)

    def prices(self, instrument_ids: Iterable[str] | None = None) -> dict[str, QuotedPrice]:
        """The known prices of these instruments, or of all, by instrument id."""
        query = select(tables.prices)
        if instrument_ids is not None:
            query = query.where(tables.prices.c.instrument_id.in_([*instrument_ids]))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {row.instrument_id: QuotedPrice.model_validate(row._asdict()) for row in rows}

    def _put(self, thing: Named, table: Table, key: str) -> Named:
        name = next(iter(table.primary_key)).name
        statement = self._database.insert(table)
        statement = statement.on_conflict_do_update(
            index_elements=[name], set_={"body": statement.excluded.body}
        )
        row = {name: key, "created_at": datetime.now(UTC), "body": thing.model_dump_json()}
        with self._database.write() as connection:
            connection.execute(statement, row)
        return thing

    def _get(self, kind: type[Named], table: Table, key: str) -> Named | None:
        body = self._body(table, key)
        return None if body is None else kind.model_validate_json(body)

    def _body(self, table: Table, key: str) -> str | None:
        query = select(table.c.body).where(next(iter(table.primary_key)) == key)
        with self._database.read() as connection:
            body: str | None = connection.execute(query).scalar()
        return body

    def _page(
        self,
        read: Callable[[str, str], Named],
        table: Table,
        conditions: Sequence[ColumnElement[bool]],
        limit: int,
        offset: int,
        cursor: str | None,
    ) -> Page[Named]:
        key = next(iter(table.primary_key))
        query = select(table.c.created_at, key, table.c.body).where(*conditions)
        query = paged(query, table.c.created_at, key, limit, offset, cursor)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return page_of(rows, limit, lambda row: read(row[1], row.body))


def _instrument(instrument_id: str, body: str) -> Instrument:
    return Instrument(instrument_id=instrument_id, **dict(InstrumentTerms.model_validate_json(body)))


def _as(kind: type[Named]) -> Callable[[str, str], Named]:
    return lambda _key, body: kind.model_validate_json(body)


def _natural_key(terms: InstrumentTerms) -> str:
    """The natural key with the strike in plain notation: 100 and 100.00 are one strike."""
    if terms.strike is None:
        return terms.natural_key
    return terms.model_copy(update={"strike": Decimal(plain(terms.strike))}).natural_key
