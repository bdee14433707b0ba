"""A Flex statement of the paper broker as XML, laid out as IBKR's Activity Flex Query has it.

Corrections are shown as IBKR shows them: the execution as it was, a line that takes it back, and the execution under
its higher revision, with commissions that add up to what was charged in the end.
"""

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from oms.paper.flex_book import BookedTrade, FlexBook, HeldPosition
from oms.paper.instruments import Instrument

NEW_YORK = ZoneInfo("US/Eastern")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a statement, both included, as New York counts them; ``period`` is what the query calls them."""

    first: date
    last: date
    period: str

    def have(self, moment: datetime) -> bool:
        return self.first <= moment.astimezone(NEW_YORK).date() <= self.last


def statement_document(
    book: FlexBook, accounts: Sequence[str], query_id: str, days: Days, made_at: datetime
) -> bytes:
    """The FlexQueryResponse of all accounts for these days."""
    root = ET.Element("FlexQueryResponse", {"queryName": f"paper {query_id}", "type": "AF"})
    statements = ET.SubElement(root, "FlexStatements", {"count": str(len(accounts))})
    for account in accounts:
        about = {
            "accountId": account,
            "fromDate": f"{days.first:%Y%m%d}",
            "toDate": f"{days.last:%Y%m%d}",
            "period": days.period,
            "whenGenerated": _moment(made_at),
        }
        _fill(ET.SubElement(statements, "FlexStatement", about), book, account, days)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _fill(statement: ET.Element, book: FlexBook, account: str, days: Days) -> None:
    mine = [trade for trade in book.trades if trade.account == account]
    shown = ET.SubElement(statement, "Trades")
    for line in _lines(mine, days):
        ET.SubElement(shown, "Trade", line)
    open_positions = ET.SubElement(statement, "OpenPositions")
    # Currencies are cash and stand in another section.
    held = [p for p in book.positions if p.account == account and p.instrument.security_type != "CASH"]
    for position in held:
        later = _later(mine, position.instrument, days.last)
        if position.quantity != later:
            ET.SubElement(
                open_positions, "OpenPosition", _position(position, position.quantity - later, days.last)
            )
    cash = ET.SubElement(statement, "CashReport")
    if account in book.cash:
        line = {"accountId": account, "currency": "USD", "endingCash": str(book.cash[account])}
        ET.SubElement(cash, "CashReportCurrency", line)


def _later(trades: Iterable[BookedTrade], instrument: Instrument, last: date) -> Decimal:
    """What was traded after the statement's last day."""
    after = (
        trade.quantity
        for trade in trades
        if trade.instrument is instrument
        and not trade.replaced
        and trade.time.astimezone(NEW_YORK).date() > last
    )
    return sum(after, ZERO)


def _lines(trades: Iterable[BookedTrade], days: Days) -> Iterator[dict[str, str]]:
    """What happened in these days; what is taken back may be of an earlier one."""
    groups: dict[str, list[BookedTrade]] = defaultdict(list)
    for trade in trades:
        groups[trade.base].append(trade)
    for revisions in groups.values():
        trade_id, paid = revisions[0].number, ZERO
        for before, trade in zip([None, *revisions], revisions, strict=False):
            lines = [] if before is None else [_taking_back(before, trade_id)]
            if trade.quantity:
                lines.append(_line(trade, trade_id, paid - trade.commission))
                paid = trade.commission
            if days.have(trade.time):
                yield from lines


def _line(trade: BookedTrade, trade_id: int, commission: Decimal) -> dict[str, str]:
    return {
        **_traded(trade),
        "tradeID": str(trade_id),
        "transactionType": "ExchTrade",
        "exchange": trade.instrument.exchange,
        "quantity": str(trade.quantity),
        "ibCommission": str(commission),
        "buySell": "BUY" if trade.quantity > 0 else "SELL",
        "notes": "",
        "transactionID": str(trade.number * 2),
        "ibExecID": trade.exec_id,
        "orderReference": trade.order_ref,
        "origTradeID": "",
    }


def _taking_back(trade: BookedTrade, trade_id: int) -> dict[str, str]:
    side = "BUY" if trade.quantity > 0 else "SELL"
    return {
        **_traded(trade),
        "tradeID": "",
        "transactionType": "TradeCancel",
        "exchange": "--",
        "quantity": str(-trade.quantity),
        "ibCommission": "0",
        "buySell": f"{side} (Ca.)",
        "notes": "Ca",
        "transactionID": str(trade.number * 2 + 1),
        "ibExecID": "",
        "orderReference": "",
        "origTradeID": str(trade_id),
    }


def _traded(trade: BookedTrade) -> dict[str, str]:
    return {
        "accountId": trade.account,
        **_contract(trade.instrument),
        "tradeDate": f"{trade.time.astimezone(NEW_YORK):%Y%m%d}",
        "dateTime": _moment(trade.time),
        "tradePrice": str(trade.price),
        "ibCommissionCurrency": "USD",
        "ibOrderID": str(trade.order_id),
        "levelOfDetail": "EXECUTION",
    }


def _position(position: HeldPosition, quantity: Decimal, day: date) -> dict[str, str]:
    return {
        "accountId": position.account,
        **_contract(position.instrument),
        "reportDate": f"{day:%Y%m%d}",
        "position": str(quantity),
        "costBasisPrice": str(position.average),
        "side": "Long" if quantity > 0 else "Short",
        "levelOfDetail": "SUMMARY",
    }


def _contract(instrument: Instrument) -> dict[str, str]:
    is_derivative = instrument.security_type in ("FUT", "OPT")
    return {
        "currency": instrument.currency,
        "assetCategory": instrument.security_type,
        "symbol": instrument.name,
        "conid": str(instrument.con_id),
        "underlyingSymbol": instrument.symbol if is_derivative else "",
        "multiplier": str(instrument.multiplier),
        "strike": str(instrument.strike or ""),
        "expiry": instrument.last_trade_date,
        "putCall": instrument.right,
    }


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%Y%m%d;%H%M%S}"
