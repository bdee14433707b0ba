"""A Flex document as statements. ib_async's FlexReport finds the lines; every number is read from its text.

A section that the query does not have is None; a field that is missing from it is said by name.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ib_async.flexreport import FlexReport

from oms.domain.numbers import fits, plain
from oms.domain.statements import Contract, Statement, StatementPosition, TradeRow, standing_trades
from oms.gateways.flex.answers import Document, FlexRefused, FlexUnreadable, parsed

T = TypeVar("T")
_Line = Mapping[str, str]
_TRADE_FIELDS = {
    "ibExecID": "IB Execution ID",
    "orderReference": "Order Reference",
    "conid": "Conid",
    "symbol": "Symbol",
    "assetCategory": "Asset Class",
    "currency": "Currency",
    "quantity": "Quantity",
    "tradePrice": "Trade Price",
    "tradeDate": "Trade Date",
    "dateTime": "Date/Time",
    "tradeID": "Trade ID",
    "ibCommission": "IB Commission",
    "ibCommissionCurrency": "IB Commission Currency",
}
_POSITION_FIELDS = {
    "conid": "Conid",
    "symbol": "Symbol",
    "assetCategory": "Asset Class",
    "currency": "Currency",
    "position": "Quantity",
}
_DAYS = ("%Y%m%d", "%Y-%m-%d")
_CLOCKS = ("%H%M%S", "%H:%M:%S")
_ZONES = {"EST": "US/Eastern", "EDT": "US/Eastern"}


def source_of(query_id: str) -> str:
    """What a break calls the other book: `flex/` and the query."""
    return f"flex/{query_id}"


def read_statements(document: Document, query_id: str, zone: str) -> list[tuple[Statement, bytes]]:
    """Each account's statement and its part of the document. `zone`: of the times, which Flex gives without one.

    Raises FlexUnreadable, and FlexRefused where the query has to be changed.
    """
    if document.root.get("type", "AF") != "AF":
        raise FlexRefused(f"query {query_id} is no Activity Flex Query; only that has trades and positions")
    elements = list(document.root.iter("FlexStatement"))
    if not elements:
        raise FlexUnreadable(f"the document of query {query_id} has no statement in it")
    return [(_statement(element, query_id, zone), _alone(element, query_id)) for element in elements]


def read_statement(body: bytes, query_id: str, zone: str) -> Statement:
    """The one statement of a part that `read_statements` gave. Raises FlexUnreadable, FlexRefused."""
    ((statement, _),) = read_statements(Document(body, parsed(body)), query_id, zone)
    return statement


def identity(body: bytes) -> bytes:
    """The part without the moment it was made: the same statement asked for twice has the same."""
    root = parsed(body)
    for element in root.iter("FlexStatement"):
        element.attrib.pop("whenGenerated", None)
    told: str = ET.canonicalize(ET.tostring(root, encoding="unicode"))
    return told.encode()


def _alone(element: ET.Element, query_id: str) -> bytes:
    root = ET.Element("FlexQueryResponse", {"queryName": query_id, "type": "AF"})
    ET.SubElement(root, "FlexStatements", {"count": "1"}).append(element)
    part: bytes = ET.tostring(root, encoding="utf-8")
    return part


def _statement(element: ET.Element, query_id: str, zone: str) -> Statement:
    about = element.attrib
    account = about.get("accountId", "")
    if not account:
        raise FlexUnreadable(f"a statement of query {query_id} names no account")
    trades = _lines(element, "Trades", "Trade")
    positions = _lines(element, "OpenPositions", "OpenPosition")
    try:
        return Statement(
            source=source_of(query_id),
            account=account,
            from_date=_day(about["fromDate"]),
            to_date=_day(about["toDate"]),
            generated_at=_moment(about["whenGenerated"], zone),
            zone=zone,
            trades=None if trades is None else standing_trades(_trades(trades, account, zone)),
            positions=None if positions is None else _positions(positions, account),
        )
    except KeyError as missing:
        raise FlexUnreadable(f"the statement of account {account} has no {missing.args[0]}") from None
    except (ValueError, InvalidOperation, ArithmeticError, ZoneInfoNotFoundError) as error:
        raise FlexUnreadable(f"the statement of account {account}: {error}") from None


def _lines(element: ET.Element, section: str, topic: str) -> list[_Line] | None:
    """The attributes of a section's lines as text; None where the query does not have the section."""
    if element.find(section) is None:
        return None
    report = FlexReport()  # type: ignore[no-untyped-call]  # the library has no types here
    report.root = element
    return [dict(vars(line)) for line in report.extract(topic, parseNumbers=False)]


# Trades


def _trades(lines: list[_Line], account: str, zone: str) -> list[TradeRow]:
    executions = [line for line in lines if line.get("levelOfDetail", "") in ("", "EXECUTION")]
    if lines and not executions:
        raise FlexRefused("the query's Trades section has no executions: tick Executions among its options")
    _all_there(executions, _TRADE_FIELDS, "Trades")
    return _each(executions, lambda line: _trade(line, account, zone), "trade", "ibExecID")


def _trade(line: _Line, account: str, zone: str) -> TradeRow:
    commission = _optional_number(line["ibCommission"])
    trade_day = _day(line["tradeDate"])
    return TradeRow(
        account=line.get("accountId") or account,
        contract=_contract(line),
        trade_id=line["tradeID"],
        transaction_id=line.get("transactionID", ""),
        exec_id=line["ibExecID"],
        order_ref=line["orderReference"],
        quantity=_number(line["quantity"]),
        price=_number(line["tradePrice"]),
        # Flex shows what was paid as a negative amount.
        commission=None if commission is None else Decimal(plain(-commission)),
        commission_currency=line["ibCommissionCurrency"],
        trade_date=trade_day,
        ts_event_ns=_ns(_moment(line["dateTime"] or line["tradeDate"], zone)),
        cancels=line.get("origTradeID", "") if _takes_back(line) else "",
    )


def _takes_back(line: _Line) -> bool:
    """A cancellation is marked in three places, of which a query may have any."""
    return (
        line.get("transactionType") == "TradeCancel"
        or line.get("buySell", "").endswith("(Ca.)")
        or "Ca" in line.get("notes", "").split(";")
    )


# Positions


def _positions(lines: list[_Line], account: str) -> tuple[StatementPosition, ...]:
    """The summary lines; where the query shows lots only, those add up to the same."""
    summaries = [line for line in lines if line.get("levelOfDetail", "") in ("", "SUMMARY")]
    shown = summaries or lines
    _all_there(shown, _POSITION_FIELDS, "Open Positions")
    return tuple(_each(shown, lambda line: _position(line, account), "position", "symbol"))


def _position(line: _Line, account: str) -> StatementPosition:
    return StatementPosition(
        account=line.get("accountId") or account,
        contract=_contract(line),
        quantity=_number(line["position"]),
    )


def _contract(line: _Line) -> Contract:
    expiry, strike = line.get("expiry", ""), _optional_number(line.get("strike", ""))
    return Contract(
        conid=int(line["conid"] or 0),
        symbol=line["symbol"],
        sec_type=line["assetCategory"],
        currency=line["currency"],
        underlying=line.get("underlyingSymbol", ""),
        expiry=_day(expiry) if expiry else None,
        strike=strike or None,
        right=line.get("putCall", ""),
    )


# Texts


def _all_there(lines: Iterable[_Line], wanted: Mapping[str, str], section: str) -> None:
    for line in lines:
        missing = [title for name, title in wanted.items() if name not in line]
        if missing:
            raise FlexRefused(f"the query's section {section} lacks fields: tick {', '.join(missing)}")


def _each(lines: Iterable[_Line], read: Callable[[_Line], T], what: str, name: str) -> list[T]:
    found = []
    for line in lines:
        try:
            found.append(read(line))
        except (ValueError, ArithmeticError, ZoneInfoNotFoundError) as error:
            raise FlexUnreadable(f"{what} {line.get(name) or '?'} cannot be read: {error}") from None
    return found


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    if not fits(number):
        raise ValueError(f"{text!r} is no number that can be kept")
    return number


def _optional_number(text: str) -> Decimal | None:
    return _number(text) if text.strip() else None


def _day(text: str) -> date:
    for layout in _DAYS:
        try:
            return datetime.strptime(text, layout).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no day: choose the date format yyyyMMdd or yyyy-MM-dd in the query")


def _moment(text: str, zone: str) -> datetime:
    """`20260727;123544`, with `;`, `,` or a space between, with or without colons and a zone; a day alone is its midnight."""
    day, *rest = text.replace(";", " ").replace(",", " ").split()
    name = _ZONES.get(rest[1], rest[1]) if len(rest) > 1 else zone
    return datetime.combine(_day(day), _clock(rest[0]) if rest else time(), ZoneInfo(name))


def _clock(text: str) -> time:
    for layout in _CLOCKS:
        try:
            return datetime.strptime(text, layout).time()  # noqa: DTZ007 - the zone is the caller's
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time: choose the time format HHmmss or HH:mm:ss in the query")


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000
