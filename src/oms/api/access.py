"""Who calls, in which roles, and what they may touch."""

import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.terms import Role
from oms.store import Store
from oms.store.keys import KeyRecord

TOKEN_ROLES = (Role.PM, Role.TRADER, Role.OPS, Role.COMPLIANCE, Role.VIEWER, Role.OPERATOR)
"""The roles of a token from the environment: everything but `admin`, and all portfolios and accounts."""
_MAX_CACHED = 10_000


@dataclass(frozen=True)
class Reach:
    """The portfolios and accounts a key may touch; None is all."""

    portfolios: frozenset[str] | None = None
    accounts: frozenset[str] | None = None

    def has_portfolio(self, portfolio_id: str) -> bool:
        return self.portfolios is None or portfolio_id in self.portfolios

    def has_account(self, account_id: str) -> bool:
        return self.accounts is None or account_id in self.accounts

    @property
    def portfolio_ids(self) -> tuple[str, ...] | None:
        """The portfolios for a query, None for all."""
        return None if self.portfolios is None else tuple(sorted(self.portfolios))

    @property
    def account_ids(self) -> tuple[str, ...] | None:
        """The accounts for a query, None for all."""
        return None if self.accounts is None else tuple(sorted(self.accounts))


EVERYTHING = Reach()


@dataclass(frozen=True)
class Caller:
    """The key behind a request."""

    name: str
    roles: tuple[Role, ...]
    reach: Reach = EVERYTHING

    @property
    def actor(self) -> Actor:
        return Actor(key=self.name, roles=self.roles)

    def needs(self, what: str, *roles: Role) -> None:
        """Raise Refused: NOT_AUTHORIZED unless the key has one of `roles`."""
        if not set(self.roles).intersection(roles):
            raise Refused(
                Code.NOT_AUTHORIZED,
                f"{what} is for {' or '.join(roles)}; key {self.name!r} has {', '.join(self.roles) or 'no role'}.",
                roles=list(roles),
            )


class KeyRing:
    """Finds the caller behind a secret. A key that was found is remembered for a second at most."""

    def __init__(self, store: Store, tokens: Iterable[str] = (), cache_seconds: float = 1.0) -> None:
        self._store = store
        self._tokens = [_hashed(token) for token in tokens if token]
        self._cache_seconds = min(cache_seconds, 1.0)
        self._cache: dict[bytes, tuple[float, KeyRecord]] = {}

    def remembered(self, secret: str) -> Caller | None:
        """The caller, where no look into the store is needed."""
        digest = _hashed(secret)
        for token in self._tokens:
            if hmac.compare_digest(token, digest):
                return Caller(f"env-{digest.hex()[:8]}", TOKEN_ROLES)
        until, record = self._cache.get(digest, (0.0, None))
        fresh = record is not None and time.monotonic() < until and record.is_usable(datetime.now(UTC))
        return _caller(record) if fresh and record is not None else None

    def find(self, secret: str) -> Caller | None:
        """The caller from the store; None where no usable key has this secret. Blocks."""
        record = self._store.keys.find(secret)
        if record is None:
            return None
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        if record.accounts is not None:
            record = record.model_copy(update={"portfolios": self._in_reach(record)})
        self._cache[_hashed(secret)] = (time.monotonic() + self._cache_seconds, record)
        return _caller(record)

    def _in_reach(self, record: KeyRecord) -> tuple[str, ...]:
        """The portfolios a key for some accounts may see: its own, of those whose default account it may touch."""
        wanted, own = set(record.accounts or ()), record.portfolios
        found: list[str] = []
        cursor = None
        while True:
            page = self._store.reference.portfolios(limit=500, cursor=cursor, portfolio_ids=own)
            found += [p.portfolio_id for p in page.items if p.default_account_id in wanted]
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found)


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _caller(record: KeyRecord) -> Caller:
    reach = Reach(
        None if record.portfolios is None else frozenset(record.portfolios),
        None if record.accounts is None else frozenset(record.accounts),
    )
    return Caller(record.name, record.roles, reach)
