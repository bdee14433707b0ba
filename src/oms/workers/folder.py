"""The data folder of the embedded stack: one owner at a time, ports that stay, a key for each role."""

import fcntl
import json
import os
import secrets
import socket
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

from oms.domain.programs.tenants import DEFAULT_TENANT, Tenant
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role
from oms.store import Store, Taken
from oms.workers.errors import CannotStart

KEY_ROLES = tuple(role for role in Role if role is not Role.SYSTEM)


class DataFolder:
    """`DIR` of `oms dev`. Used as a context manager: it is locked inside the block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.keys_file = path / "keys.json"
        self.secret_file = path / "envelope.secret"
        self.children_file = path / "children.json"
        self._lock: int | None = None

    def __enter__(self) -> "DataFolder":
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise CannotStart(f"cannot write to the data folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise CannotStart(f"another `oms dev` is running on {self.path}") from error
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def lasting_ports(self, names: tuple[str, ...]) -> dict[str, int]:
        """A free port for each name, the same as last time where that is still free."""
        file = self.path / "ports.json"
        known: dict[str, int] = _read(file)
        taken: set[int] = set()
        for name in names:
            port = known.get(name, 0)
            if port in taken or not is_free("127.0.0.1", port):
                port = free_port(taken)
            known[name] = port
            taken.add(port)
        _write(file, known)
        return {name: known[name] for name in names}

    def envelope_secret(self) -> str:
        """The secret that signs commands where nobody gave one; made once, for its owner's eyes only."""
        try:
            kept = self.secret_file.read_text().strip()
        except FileNotFoundError:
            kept = ""
        if not kept:
            kept = secrets.token_urlsafe(32)
            _replace(self.secret_file, f"{kept}\n")
        return kept

    def keys(self, store: Store) -> dict[str, str]:
        """A usable key for each role, made and stored where there is none. keys.json is for its owner's eyes only."""
        known: dict[str, str] = _read(self.keys_file)
        kept = {**known, **{role.value: _usable_key(store, role, known.get(role)) for role in KEY_ROLES}}
        _write(self.keys_file, kept)
        return kept


def _usable_key(store: Store, role: Role, known: str | None) -> str:
    """The known secret while it works, else a new one: a revoked key is never brought back. Raises CannotStart."""
    secret = known or _new_secret(role)
    if store.keys.find(secret) is not None:
        return secret
    for name, candidate in (
        (role.value, secret),
        (f"{role.value}-{secrets.token_hex(3)}", _new_secret(role)),
    ):
        try:
            store.keys.create(name, [role], candidate)
        except Taken:
            continue
        return candidate
    raise CannotStart(f"no key could be made for the role {role}")


def _new_secret(role: Role) -> str:
    return f"oms_{role}_{secrets.token_urlsafe(24)}"


def _read(file: Path) -> dict[str, Any]:
    """What `file` holds; nothing where it is not there."""
    try:
        known: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise CannotStart(f"{file} is not JSON: {error}") from error
    return known


def _write(file: Path, content: dict[str, Any]) -> None:
    _replace(file, json.dumps(content, indent=2))


def _replace(file: Path, text: str) -> None:
    """Replace `file` in one step, so that a kill leaves the old or the new one; for its owner's eyes only."""
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    fresh.replace(file)


def seed(store: Store, broker_account: str) -> None:
    """The portfolio, the account and the tenant that the embedded stack knows at once; later changes are kept."""
    if store.reference.account("ACCT-001") is None:
        store.reference.put_account(
            Account(account_id="ACCT-001", name="Paper account", broker_account=broker_account)
        )
    if store.reference.portfolio("PORT-001") is None:
        store.reference.put_portfolio(
            Portfolio(
                portfolio_id="PORT-001",
                name="Paper portfolio",
                net_asset_value=Decimal(10_000_000),
                default_account_id="ACCT-001",
            )
        )
    if store.tenants.get(DEFAULT_TENANT) is None and store.tenants.of_portfolio("PORT-001") is None:
        store.tenants.put(Tenant(tenant=DEFAULT_TENANT, portfolio_id="PORT-001"))


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on the port (0 is nobody's port and not free)."""
    if port == 0:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(avoid: set[int]) -> int:
    """Any port that is free now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port
