"""How one IBKR session is configured."""

from dataclasses import dataclass
from datetime import time


def name_lease(name: str) -> str:
    """What only one process may do: be the gateway of this name."""
    return f"ibkr/name/{name}"


@dataclass(frozen=True, slots=True)
class IBKRSettings:
    """One session with one IB Gateway. All times are seconds.

    name: of the gateway, in its reports, intents and inbox; two sessions never share one. client_id: fixed and
    above 0; one process only may use it. accounts: those that this session may trade;
    empty means all that the login manages. messages_per_second: our own pace; IBKR takes 50 from one client
    (TWS API, "Pacing Limitations"), so more is for a paper gateway only.
    acknowledge_seconds: how long a placement or a cancel waits for the first word about it.
    grace_seconds: pause between two looks at the broker's lists before an order counts as absent.
    backoff_seconds: longest pause between two attempts to connect.
    lease_seconds: how long a process that died keeps others from this client id.
    timezone: zone of times that IB sends without one. end_of_day: when the day's completed orders and
    executions are read for the last time. daily_restart: when IB Gateway restarts itself; the gate is closed
    from restart_margin_seconds before to as long after. Both are times of day in `timezone`; None: not at all.
    compare_rounds: every so many reconciliations the positions are compared too.
    """

    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 1
    accounts: tuple[str, ...] = ()
    name: str = "ibkr"
    messages_per_second: int = 40
    acknowledge_seconds: float = 5.0
    grace_seconds: float = 2.0
    heartbeat_seconds: float = 5.0
    reconcile_seconds: float = 30.0
    connect_timeout_seconds: float = 10.0
    request_timeout_seconds: float = 10.0
    backoff_seconds: float = 30.0
    lease_seconds: float = 10.0
    timezone: str = "US/Eastern"
    end_of_day: time | None = time(16, 30)
    daily_restart: time | None = None
    restart_margin_seconds: float = 120.0
    compare_rounds: int = 10

    def __post_init__(self) -> None:
        if self.client_id <= 0:
            raise ValueError("client_id must be above 0: client 0 binds the orders that people enter in TWS")
        if self.messages_per_second <= 0:
            raise ValueError("messages_per_second must be above 0")

    @property
    def order_ids_key(self) -> str:
        """The sequence of order ids of this client; it goes on when the broker's gateway moves."""
        return f"{self.name}/{self.client_id}"

    @property
    def lease_key(self) -> str:
        """What only one process may use: this client id at this gateway."""
        return f"ibkr/{self.host}:{self.port}/{self.client_id}"

    @property
    def lease_keys(self) -> tuple[str, ...]:
        """Everything that only one process may be: a gateway of this name, and this client."""
        return (name_lease(self.name), self.lease_key)

    @property
    def library_limit(self) -> int:
        """ib_async's own limit: always wider than ours, so that its queue stays empty."""
        return max(45, self.messages_per_second + 5)
