"""What the HTTP interface is built from. The process that makes the client and the store also closes them."""

from dataclasses import dataclass, field
from functools import cached_property

from temporalio.client import Client

from oms.api.limits import RateLimit
from oms.store import Store


@dataclass(frozen=True)
class Settings:
    """The limits and habits of the HTTP interface.

    `api_tokens`: secrets from the environment; each is a key with the roles of `access.TOKEN_ROLES`.
    `development`: while there is no token and no key in the store, `/oms` and the tail are open (`api.open_door`).
    `envelope_secrets`: what signs commands (the first) and verifies them (each). `envelope_window_seconds`: how far an
    envelope's ts may be from now; `command_window_seconds`: how long a command without an idem_hint is the same one.
    `targets_account`: the broker's account of targets that name none; `targets_send_seconds`: how long after a batch
    was posted its orders may still be sent.
    `verdict_seconds`: how long a cancel or a close waits for its venue before the answer is 202.
    `answer_within_seconds`: how long an order workflow may take to answer before the caller gets 503; more than
    `verdict_seconds`. `gateway_patience_seconds`: the age at which a
    gateway's last report no longer counts as a sign of life. `requests_per_second`: how many a key may send, as
    many as fit `burst_seconds` at once; 0 is no limit.
    """

    api_tokens: tuple[str, ...] = field(default=(), repr=False)
    development: bool = False
    envelope_secrets: tuple[str, ...] = field(default=(), repr=False)
    envelope_window_seconds: float = 300.0
    command_window_seconds: float = 600.0
    targets_account: str = ""
    targets_send_seconds: float = 60.0
    max_body_bytes: int = 2_000_000
    requests_per_second: int = 0
    burst_seconds: int = 2
    verdict_seconds: float = 20.0
    answer_within_seconds: float = 30.0
    retry_after_seconds: int = 2
    gateway_patience_seconds: float = 30.0
    stream_keep_alive_seconds: int = 15
    stream_ring_events: int = 4096
    key_cache_seconds: float = 1.0


@dataclass(frozen=True)
class APIContext:
    """Everything an application needs from outside."""

    store: Store
    temporal: Client
    version: str
    settings: Settings = field(default_factory=Settings)

    @cached_property
    def rate_limit(self) -> RateLimit:
        """What every key has sent to this process."""
        return RateLimit(self.settings.requests_per_second, self.settings.burst_seconds)
