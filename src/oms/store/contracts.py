"""Which instruments are one contract: described twice, it is one position at the broker all the same."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, select

from oms.store import tables

_I = tables.instruments.c
_DESCRIPTION = (_I.symbol, _I.sec_type, _I.currency, _I.expiry, _I.strike, _I.option_right)
_MEMBER: tuple[ColumnElement[Any], ...] = (_I.instrument_id, _I.conid, _I.created_at, *_DESCRIPTION)


class Contract(NamedTuple):
    """The instruments that are one contract. conid: the broker's number, None where nobody knows it.

    instrument_ids: the oldest first. names: symbol and kind of those that have no expiry, and so are named by these.
    """

    instrument_ids: tuple[str, ...]
    conid: int | None = None
    names: frozenset[tuple[str, str]] = frozenset()


def contract_of(connection: Connection, instrument_id: str) -> Contract:
    """The contract behind an instrument, which is among those of the answer.

    A contract is known by the broker's number. An instrument without one is the contract that is described alike
    (symbol, kind, currency, expiry, strike, right), unless numbers of several are: then it stands apart from these.
    The gateway matches what the broker holds by the same rule.
    """
    mine = connection.execute(select(*_MEMBER).where(_I.instrument_id == instrument_id)).one_or_none()
    if mine is None:
        return Contract((instrument_id,))
    alike = _alike(connection, mine)
    conid = mine.conid or _only_number(alike)
    if conid is None:
        members = [row for row in alike if row.conid is None]
    else:
        numbered = connection.execute(select(*_MEMBER).where(_I.conid == conid)).all()
        members = [*numbered, *_described_as(connection, numbered, conid)]
    members.sort(key=lambda row: (row.created_at, row.instrument_id))
    return Contract(
        instrument_ids=tuple(row.instrument_id for row in members),
        conid=conid,
        names=frozenset((row.symbol, row.sec_type) for row in members if row.expiry is None),
    )


def _described_as(connection: Connection, numbered: Sequence[Row[Any]], conid: int) -> list[Row[Any]]:
    """The instruments without a number whose description only this contract has."""
    found = []
    for one in {_description(row): row for row in numbered}.values():
        alike = _alike(connection, one)
        if _only_number(alike) == conid:
            found += [row for row in alike if row.conid is None]
    return found


def _alike(connection: Connection, one: Row[Any]) -> Sequence[Row[Any]]:
    """The instruments that are described as this one."""
    terms = zip(_DESCRIPTION, _description(one), strict=True)
    same = (column.is_(None) if value is None else column == value for column, value in terms)
    return connection.execute(select(*_MEMBER).where(*same)).all()


def _description(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(row)[-len(_DESCRIPTION) :]


def _only_number(rows: Sequence[Row[Any]]) -> int | None:
    """The one contract number among the rows; None where there is none, or more than one."""
    conids = {row.conid for row in rows if row.conid is not None}
    return conids.pop() if len(conids) == 1 else None
