"""A paper broker's book written by hand, and the paper Flex service over HTTP on it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvicorn

from oms.gateways.flex import FlexPace, FlexSettings
from oms.paper.accounts import Position
from oms.paper.flex import PATH, FlexPlan, FlexService, create_flex
from oms.paper.instruments import Instrument, find
from oms.paper.ledger import Ledger
from oms.paper.orders import Execution

ACCOUNT = "DU123456"
TOKEN = "528191644107458877539776"
QUERY = "800969"
NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
HURRIED = FlexPace(pauses=(0.01,), crowded=0.01, patience=5, timeout=5)


@dataclass
class Broker:
    """The paper broker's books: each call is committed. ``now`` is the time of the next execution."""

    file: Path
    now: datetime = NOON
    made: dict[str, Execution] = field(default_factory=dict)

    def trades(
        self,
        quantity: str,
        price: str = "150.25",
        *,
        symbol: str = "AAPL",
        order_ref: str = "",
        account: str = ACCOUNT,
        commission: str = "1.05",
        exec_id: str | None = None,
    ) -> str:
        """One execution; a negative quantity sells. Answers its id."""
        name = exec_id or f"00025b46.63f8f39c.{len(self.made) + 1:02d}.01"
        (instrument,) = find(symbol=symbol, security_type="STK")
        execution = Execution(
            exec_id=name,
            client_id=17,
            order_id=len(self.made) + 1,
            perm_id=900 + len(self.made),
            account=account,
            instrument=instrument,
            side="SELL" if quantity.startswith("-") else "BUY",
            quantity=abs(Decimal(quantity)),
            price=Decimal(price),
            time=self.now,
            cumulative=abs(Decimal(quantity)),
            average_price=Decimal(price),
            commission=Decimal(commission),
            order_ref=order_ref,
        )
        self._keep(execution, "")
        return name

    def corrects(self, exec_id: str, quantity: str, price: str, commission: str = "1.05") -> str:
        """The execution under its next revision; quantity 0 takes it back."""
        base, _, number = exec_id.rpartition(".")
        name = f"{base}.{int(number) + 1:02d}"
        values: dict[str, Any] = {
            "exec_id": name,
            "quantity": abs(Decimal(quantity)),
            "price": Decimal(price),
            "commission": Decimal(commission),
        }
        before = self.made[exec_id]
        known = {name: getattr(before, name) for name in before.__slots__}
        self._keep(Execution(**{**known, **values}), exec_id)
        return name

    def _keep(self, execution: Execution, replaces: str) -> None:
        self.made[execution.exec_id] = execution
        ledger = Ledger(self.file)
        try:
            before = self.made.get(replaces)
            change = execution.signed_quantity - (before.signed_quantity if before else 0)
            held = {(p.account, p.instrument.con_id): p for p in ledger.positions()}
            key = (execution.account, execution.instrument.con_id)
            position = held.get(key, Position(execution.account, execution.instrument))
            ledger.put_execution(execution, replaces)
            ledger.put_position(_with(position, position.quantity + change, execution.price))
            ledger.put_cash(execution.account, Decimal("1000000.00"))
        finally:
            ledger.close()


def _with(position: Position, quantity: Decimal, price: Decimal) -> Position:
    instrument: Instrument = position.instrument
    return Position(position.account, instrument, quantity, price)


def service(file: Path, **settings: Any) -> FlexService:
    """The service a day after NOON; any number of requests, statements made at once, unless a test says otherwise."""
    given: dict[str, Any] = {
        "token": TOKEN,
        "query_id": QUERY,
        "per_second": 1000,
        "per_minute": 1000,
        "plan": FlexPlan(in_progress=0),
        "clock": lambda: datetime(2026, 3, 3, 17, 0, tzinfo=UTC),
    }
    return FlexService(file, (ACCOUNT,), **{**given, **settings})


@contextmanager
def serving(flex: FlexService) -> Iterator[FlexSettings]:
    """The service on a port of its own; gives what a client needs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(create_flex(flex), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield FlexSettings(f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}", QUERY, TOKEN)
        finally:
            server.should_exit = True
            thread.join()
