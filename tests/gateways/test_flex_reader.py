"""A Flex document as statements: exact numbers, sections that are absent, and every way it can be unreadable."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.flexing import ACCOUNT, QUERY, Broker, service

from oms.domain.statements import Statement
from oms.gateways.flex import FlexRefused, FlexUnreadable, read_statements
from oms.gateways.flex.answers import Document, document_of, parsed, reference_of
from oms.gateways.flex.reader import identity, read_statement
from oms.paper.flex import FlexService

ZONE = "US/Eastern"
TRADE = {
    "accountId": ACCOUNT,
    "ibExecID": "00025b44.6a6836df.01.01",
    "orderReference": "",
    "conid": "835947148",
    "symbol": "AA    260717C00047000",
    "underlyingSymbol": "AA",
    "assetCategory": "OPT",
    "currency": "USD",
    "quantity": "-1",
    "tradePrice": "1.37",
    "tradeDate": "20260716",
    "dateTime": "20260716;135242",
    "tradeID": "1785797699",
    "ibCommission": "-0.7934122",
    "ibCommissionCurrency": "USD",
    "expiry": "20260717",
    "strike": "47",
    "putCall": "C",
    "multiplier": "100",
    "levelOfDetail": "EXECUTION",
}


def line(tag: str, attributes: dict[str, str]) -> str:
    given = " ".join(f'{name}="{text}"' for name, text in attributes.items())
    return f"<{tag} {given} />"


def document(*sections: str, about: str = "", kind: str = "AF") -> Document:
    given = (
        about
        or f'accountId="{ACCOUNT}" fromDate="20260716" toDate="20260716" whenGenerated="20260717;063607"'
    )
    body = f"<FlexStatement {given}>{''.join(sections)}</FlexStatement>"
    text = f'<FlexQueryResponse queryName="q" type="{kind}"><FlexStatements>{body}</FlexStatements></FlexQueryResponse>'
    return document_of(text.encode())


def read(*sections: str, **given: Any) -> Statement:
    ((statement, _),) = read_statements(document(*sections, **given), QUERY, ZONE)
    return statement


def trades(**changes: str | None) -> str:
    given = {name: text for name, text in {**TRADE, **changes}.items() if text is not None}
    return f"<Trades>{line('Trade', given)}</Trades>"


def of_paper(flex: FlexService) -> Document:
    asked = {"t": flex._token, "v": "3"}
    return document_of(flex.get({**asked, "q": reference_of(flex.send({**asked, "q": QUERY}))}))


def test_a_statement_of_the_paper_service_reads_as_its_book(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "paper.db")
    exec_id = broker.trades("0.1", "150.2500000001", commission="1.0439432", order_ref="0a")
    ((statement, _),) = read_statements(of_paper(service(broker.file)), QUERY, ZONE)
    assert (statement.source, statement.account) == (f"flex/{QUERY}", ACCOUNT)
    assert statement.generated_at == datetime(2026, 3, 3, 16, 59, 59, tzinfo=UTC)
    assert statement.trades is not None
    (trade,) = statement.trades
    assert (trade.exec_id, trade.order_ref) == (exec_id, "0a")
    assert (str(trade.quantity), str(trade.price)) == ("0.1", "150.2500000001")
    assert (trade.commission, trade.commission_currency) == (Decimal("1.0439432"), "USD")
    assert trade.ts_event_ns == int(broker.now.timestamp()) * 1_000_000_000
    assert statement.positions is not None
    assert [(p.contract.named, p.quantity) for p in statement.positions] == [
        ("AAPL STK USD 265598", Decimal("0.1"))
    ]


def test_a_correction_of_the_paper_service_is_one_execution(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "paper.db")
    second = broker.corrects(broker.trades("100", commission="2"), "90", "150", commission="1.80")
    broker.corrects(broker.trades("5"), "0", "1", commission="0")
    ((statement, body),) = read_statements(of_paper(service(broker.file)), QUERY, ZONE)
    told = [(t.exec_id, t.quantity, t.commission, t.canceled) for t in statement.trades or ()]
    assert (second, Decimal(90), Decimal("1.80"), False) in told
    assert [gone for *_, gone in told].count(True) == 1
    assert read_statement(body, QUERY, ZONE) == statement


def test_an_option_has_its_terms() -> None:
    (trade,) = read(trades()).trades or ()
    contract = trade.contract
    assert (contract.conid, contract.underlying, contract.sec_type) == (835947148, "AA", "OPT")
    assert (contract.expiry, contract.strike, contract.right) == (date(2026, 7, 17), 47, "C")
    assert (trade.quantity, trade.commission) == (-1, Decimal("0.7934122"))


@pytest.mark.parametrize(
    ("shown", "hour"),
    [
        ("20260716;135242", 17),
        ("2026-07-16;13:52:42 EDT", 17),
        ("20260716,135242", 17),
        ("20260716 135242 Europe/Berlin", 11),
        ("20260716", 4),
    ],
)
def test_times_are_read_however_the_query_shows_them(shown: str, hour: int) -> None:
    (trade,) = read(trades(dateTime=shown)).trades or ()
    assert datetime.fromtimestamp(trade.ts_event_ns / 1e9, UTC).hour == hour


def test_a_section_that_is_absent_is_not_an_empty_one() -> None:
    assert (read().trades, read().positions) == (None, None)
    empty = read("<Trades />", "<OpenPositions />")
    assert (empty.trades, empty.positions) == ((), ())


@pytest.mark.parametrize("name", ["ibExecID", "orderReference", "tradeID", "ibCommission", "dateTime"])
def test_a_field_that_is_not_ticked_is_named(name: str) -> None:
    with pytest.raises(FlexRefused, match="the query's section Trades lacks fields: tick "):
        read(trades(**{name: None}))


def test_orders_and_summaries_beside_executions_are_passed_over() -> None:
    lines = [
        line("Trade", {**TRADE, "levelOfDetail": level}) for level in ("EXECUTION", "ORDER", "SYMBOL_SUMMARY")
    ]
    assert len(read(f"<Trades>{''.join(lines)}</Trades>").trades or ()) == 1
    with pytest.raises(FlexRefused, match="tick Executions"):
        read(f"<Trades>{lines[1]}</Trades>")


@pytest.mark.parametrize(
    "mark", [{"transactionType": "TradeCancel"}, {"buySell": "BUY (Ca.)"}, {"notes": "P;Ca"}]
)
def test_a_line_that_takes_back_is_known_by_any_of_its_marks(mark: dict[str, str]) -> None:
    back = {**TRADE, "ibExecID": "", "tradeID": "", "origTradeID": TRADE["tradeID"], "quantity": "1", **mark}
    (trade,) = read(f"<Trades>{line('Trade', TRADE)}{line('Trade', back)}</Trades>").trades or ()
    assert trade.canceled


def test_lots_add_up_where_there_are_no_summaries() -> None:
    held = {"conid": "1", "symbol": "X", "assetCategory": "STK", "currency": "USD", "position": "3"}
    lots = [line("OpenPosition", {**held, "levelOfDetail": "LOT"})] * 2
    whole = line("OpenPosition", {**held, "position": "6", "levelOfDetail": "SUMMARY"})
    assert [p.quantity for p in read(f"<OpenPositions>{''.join(lots)}</OpenPositions>").positions or ()] == [
        3,
        3,
    ]
    both = read(f"<OpenPositions>{whole}{''.join(lots)}</OpenPositions>")
    assert [p.quantity for p in both.positions or ()] == [6]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": "ten"}, "'ten' is no number"),
        ({"quantity": "1E+999"}, "no number that can be kept"),
        ({"tradePrice": "NaN"}, "no number"),
        ({"tradeDate": "16/07/2026"}, "choose the date format yyyyMMdd"),
        ({"dateTime": "20260716;1:52 PM"}, "choose the time format"),
        ({"dateTime": "20260716;135242 Mars/Base"}, "Mars/Base"),
        ({"conid": "abc"}, "invalid literal"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_nothing_is_guessed(
    changes: dict[str, str], said: str
) -> None:
    with pytest.raises(FlexUnreadable) as raised:
        read(trades(**changes))
    assert f"trade {TRADE['ibExecID']} cannot be read" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ('fromDate="20260716"', "names no account"),
        (f'accountId="{ACCOUNT}" fromDate="20260716"', "has no toDate"),
        (f'accountId="{ACCOUNT}" fromDate="x" toDate="y" whenGenerated="z"', "'x' is no day"),
    ],
)
def test_a_statement_without_its_days_is_unreadable(about: str, said: str) -> None:
    with pytest.raises(FlexUnreadable, match=said):
        read(about=about)


def test_a_document_of_another_kind_or_without_statements_is_told() -> None:
    with pytest.raises(FlexRefused, match="no Activity Flex Query"):
        read(kind="TCF")
    with pytest.raises(FlexUnreadable, match="no statement in it"):
        read_statements(document_of(b"<FlexQueryResponse />"), QUERY, ZONE)


def test_accounts_of_one_document_are_apart(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "paper.db")
    broker.trades("1")
    broker.trades("2", account="DU2")
    flex = service(broker.file)
    flex._accounts = (ACCOUNT, "DU2")
    statements = read_statements(of_paper(flex), QUERY, ZONE)
    assert [s.account for s, _ in statements] == [ACCOUNT, "DU2"]
    assert [[t.quantity for t in s.trades or ()] for s, _ in statements] == [[1], [2]]


def test_the_same_statement_made_later_has_the_same_identity(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "paper.db")
    broker.trades("1")
    moments = iter(range(100))

    def later() -> datetime:
        return datetime(2026, 3, 3, 17, 0, next(moments), tzinfo=UTC)

    flex = service(broker.file, clock=later)
    first, second = (read_statements(of_paper(flex), QUERY, ZONE)[0][1] for _ in range(2))
    assert first != second
    assert identity(first) == identity(second)
    broker.trades("1")
    assert identity(read_statements(of_paper(flex), QUERY, ZONE)[0][1]) != identity(first)


def test_a_document_of_its_own_declarations_is_never_built() -> None:
    with pytest.raises(FlexUnreadable, match="document type declaration"):
        parsed(b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 100 + b'">]><a>&b;</a>')
    with pytest.raises(FlexUnreadable, match="more than"):
        parsed(b" " * (64 * 1024 * 1024 + 1))
