"""The paper Flex service: the two steps, its codes, and a statement laid out as IBKR's."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.flexing import ACCOUNT, NOON, QUERY, TOKEN, Broker, service, serving

from oms.gateways.flex.answers import parsed
from oms.paper.flex import ERRORS, FlexPlan, FlexService


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "paper.db")


def asked(**changes: Any) -> dict[str, str]:
    return {"t": TOKEN, "q": QUERY, "v": "3", **changes}


def code(answer: bytes) -> tuple[str, int]:
    root = parsed(answer)
    return root.findtext("Status") or "", int(root.findtext("ErrorCode") or 0)


def fetched(flex: FlexService, **changes: Any) -> ET.Element:
    reference = parsed(flex.send(asked(**changes))).findtext("ReferenceCode")
    return parsed(flex.get(asked(q=reference)))


def test_a_statement_is_asked_for_and_then_fetched(broker: Broker) -> None:
    exec_id = broker.trades("100", order_ref="0a1b")
    (statement,) = fetched(service(broker.file)).iter("FlexStatement")
    about = (statement.get("accountId"), statement.get("fromDate"), statement.get("toDate"))
    assert about == (ACCOUNT, "20260225", "20260303")
    assert statement.get("whenGenerated") == "20260303;115959"
    (trade,) = statement.iter("Trade")
    shown = {
        name: trade.get(name) for name in ("ibExecID", "quantity", "tradePrice", "ibCommission", "buySell")
    }
    assert shown == {
        "ibExecID": exec_id,
        "quantity": "100",
        "tradePrice": "150.25",
        "ibCommission": "-1.05",
        "buySell": "BUY",
    }
    assert (trade.get("dateTime"), trade.get("tradeDate"), trade.get("conid")) == (
        "20260302;120000",
        "20260302",
        "265598",
    )
    assert (trade.get("orderReference"), trade.get("ibOrderID")) == ("0a1b", "1")
    (position,) = statement.iter("OpenPosition")
    assert (position.get("position"), position.get("symbol")) == ("100", "AAPL")
    (cash,) = statement.iter("CashReportCurrency")
    assert cash.get("endingCash") == "1000000.00"


def test_days_are_those_of_new_york_and_holdings_those_of_the_last(broker: Broker) -> None:
    broker.now = datetime(2026, 3, 2, 4, 59, tzinfo=UTC)  # the evening before, in New York
    broker.trades("5")
    broker.now = NOON
    broker.trades("7", symbol="MSFT")
    statement = fetched(service(broker.file), fd="20260301", td="20260301").find(".//FlexStatement")
    assert statement is not None
    assert [trade.get("quantity") for trade in statement.iter("Trade")] == ["5"]
    assert [(p.get("symbol"), p.get("position")) for p in statement.iter("OpenPosition")] == [("AAPL", "5")]


def test_a_correction_is_a_line_that_takes_back_and_a_line_anew(broker: Broker) -> None:
    first = broker.trades("-100", commission="2")
    second = broker.corrects(first, "90", "150.20", commission="1.80")
    trades = list(fetched(service(broker.file)).iter("Trade"))
    assert [(t.get("ibExecID"), t.get("quantity"), t.get("transactionType")) for t in trades] == [
        (first, "-100", "ExchTrade"),
        ("", "100", "TradeCancel"),
        (second, "-90", "ExchTrade"),
    ]
    assert [t.get("ibCommission") for t in trades] == ["-2", "0", "0.20"]
    assert trades[1].get("origTradeID") == trades[0].get("tradeID") == trades[2].get("tradeID")
    broker.corrects(second, "0", "150.20", commission="0")
    assert [t.get("transactionType") for t in fetched(service(broker.file)).iter("Trade")][
        -1
    ] == "TradeCancel"
    assert list(fetched(service(broker.file)).iter("OpenPosition")) == []


def test_it_is_in_progress_for_as_long_as_planned(broker: Broker) -> None:
    broker.trades("1")
    flex = service(broker.file, plan=FlexPlan(in_progress=2))
    reference = parsed(flex.send(asked())).findtext("ReferenceCode")
    assert [code(flex.get(asked(q=reference))) for _ in range(2)] == [("Warn", 1019)] * 2
    assert parsed(flex.get(asked(q=reference))).tag == "FlexQueryResponse"


@pytest.mark.parametrize(
    ("changes", "refused"),
    [({"t": "another"}, 1015), ({"q": "7"}, 1014), ({"v": "2"}, 1020), ({"fd": "today"}, 1020)],
)
def test_what_is_wrong_has_its_code(broker: Broker, changes: dict[str, str], refused: int) -> None:
    assert code(service(broker.file).send(asked(**changes))) == ("Fail", refused)


def test_a_reference_of_another_life_is_unknown(broker: Broker) -> None:
    assert code(service(broker.file).get(asked(q="123"))) == ("Fail", 1017)


def test_a_broker_without_books_makes_no_statement(tmp_path: Path) -> None:
    flex = service(tmp_path / "none.db")
    reference = parsed(flex.send(asked())).findtext("ReferenceCode")
    assert code(flex.get(asked(q=reference))) == ("Fail", 1001)


def test_one_request_a_second_and_ten_a_minute(broker: Broker) -> None:
    seconds = [0.0]
    flex = service(broker.file, per_second=1, per_minute=10, monotonic=lambda: seconds[0])

    def answers(pause: float, count: int) -> list[int]:
        codes = []
        for _ in range(count):
            codes.append(code(flex.send(asked()))[1])
            seconds[0] += pause
        return codes

    assert answers(0.4, 3) == [0, 1018, 1018]
    seconds[0] = timedelta(minutes=2).total_seconds()
    assert answers(1.5, 12) == [0] * 10 + [1018] * 2
    seconds[0] += 60
    assert answers(0, 1) == [0]


async def test_a_plan_over_http_is_followed_request_by_request(broker: Broker) -> None:
    broker.trades("1")
    with serving(service(broker.file)) as at:
        async with httpx.AsyncClient(base_url=at.url.rpartition("/AccountManagement")[0]) as client:
            path = "/AccountManagement/FlexWebService/SendRequest"
            put = await client.put("/plan", json={"send": [1009, 0, 1012]})
            assert put.status_code == 204
            answers = [(await client.get(path, params=asked())).content for _ in range(4)]
            assert [code(answer)[1] for answer in answers] == [1009, 0, 1012, 0]
            assert ERRORS[1012] in answers[2].decode()
            assert (await client.put("/plan", json={"sned": [1]})).status_code == 422
            assert (await client.get("/healthz")).json() == {"status": "ok"}
