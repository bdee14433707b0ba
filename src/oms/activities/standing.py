"""What a signed command may touch at the moment it is carried out, and whether it was carried out before."""

from dataclasses import dataclass
from datetime import UTC, datetime

from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.programs.envelopes import Envelope, digest
from oms.domain.programs.judging import no_tenant
from oms.domain.programs.outcomes import CommandInput, CommandOutcome, CommandRecord, CommandStatus
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, Portfolio
from oms.store import Store
from oms.store.keys import KeyRecord


@dataclass(frozen=True)
class Standing:
    """Whose a command's orders are, and the account that they go to."""

    tenant: Tenant
    portfolio: Portfolio
    account: Account


def place_of(store: Store, name: str) -> Standing:
    """Where a tenant's orders go. Blocks. Raises Refused: INVALID_TENANT, INVALID_PORTFOLIO, INVALID_ACCOUNT."""
    tenant = store.tenants.get(name)
    if tenant is None:
        raise no_tenant(name)
    portfolio = store.reference.portfolio(tenant.portfolio_id)
    if portfolio is None:
        raise Refused(
            Code.INVALID_PORTFOLIO, f"There is no portfolio {tenant.portfolio_id!r}.", tenant=tenant.tenant
        )
    account = store.reference.account(portfolio.default_account_id)
    if account is None:
        raise Refused(
            Code.INVALID_ACCOUNT,
            f"The default account {portfolio.default_account_id!r} of {portfolio.portfolio_id} is not known.",
            account_id=portfolio.default_account_id,
        )
    return Standing(tenant, portfolio, account)


def standing_of(store: Store, asked: CommandInput, envelope: Envelope) -> Standing:
    """The same, where the key that handed the command in may still act for the tenant. Blocks.

    Raises Refused as `place_of`, and NOT_AUTHORIZED where the key has ended or lost a role. A key that is not in the
    store comes from the environment: of it nothing more is known than what the command says.
    """
    standing = place_of(store, envelope.tenant)
    record = store.keys.get(asked.actor.key)
    if record is not None:
        _check_usable(record, asked.actor)
    portfolios = None if record is None else record.portfolios
    accounts = asked.reach if record is None else record.accounts
    portfolio = standing.portfolio
    has_portfolio = portfolios is None or portfolio.portfolio_id in portfolios
    has_account = accounts is None or portfolio.default_account_id in accounts
    if not (has_portfolio and has_account):
        raise no_tenant(envelope.tenant)
    return standing


def accounts_within(store: Store, asked: CommandInput) -> frozenset[str] | None:
    """The accounts that the key might touch when it handed the command in, and may touch now; None is all. Blocks."""
    record = store.keys.get(asked.actor.key)
    limits = [asked.reach, None if record is None else record.accounts]
    given = [frozenset(accounts) for accounts in limits if accounts is not None]
    return frozenset.intersection(*given) if given else None


def kept_before(store: Store, asked: CommandInput, envelope: Envelope) -> CommandOutcome | None:
    """What became of the command, where that is known already. Blocks.

    Raises Refused: IDEMPOTENCY_CONFLICT where the key stands for another command.
    """
    kept = store.commands.get(asked.idem_key)
    if kept is None:
        return None
    if (kept.digest, kept.message_id) != (_digest(envelope), asked.message_id):
        raise Refused(
            Code.IDEMPOTENCY_CONFLICT,
            f"{kept.idem_key!r} stands for another command, and does so for ever.",
            idem_key=kept.idem_key,
        )
    if kept.status in (CommandStatus.ENQUEUED, CommandStatus.WORKING):
        return None
    return CommandOutcome(
        message_id=kept.message_id,
        idem_key=kept.idem_key,
        status=kept.status,
        orders=kept.orders,
        refusal=kept.refusal,
        detail=kept.detail,
    )


def keep(store: Store, asked: CommandInput, envelope: Envelope, now_ns: int) -> None:
    """Keep a command that came to Temporal past the API, so that its key stands for it too. Blocks. Twice is once."""
    record = CommandRecord(
        idem_key=asked.idem_key,
        message_id=asked.message_id,
        tenant=envelope.tenant,
        kind=envelope.kind,
        digest=_digest(envelope),
        key_name=asked.actor.key,
        status=CommandStatus.ENQUEUED,
        payload=envelope.payload,
        received_ns=asked.received_ns,
        updated_ns=now_ns,
    )
    store.commands.claim(record, window_ns=None)


def _check_usable(record: KeyRecord, actor: Actor) -> None:
    lost = sorted(set(actor.roles) - set(record.roles))
    if not record.is_usable(datetime.now(UTC)):
        why = "has expired or was revoked"
    elif lost:
        why = f"has not the role {' and '.join(lost)}"
    else:
        return
    raise Refused(Code.NOT_AUTHORIZED, f"Key {record.name!r} {why}; nothing was done.")


def _digest(envelope: Envelope) -> str:
    return digest(envelope.tenant, envelope.kind, envelope.payload)
