"""Tenants: whom a signed command is for, and what it may touch."""

from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import Field

from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.reference import Account
from oms.domain.terms import Venue

TenantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["nts"])]
DEFAULT_TENANT = "nts"


class Tenant(Model):
    """Whose orders a command's are: they are opened in `portfolio_id`, which no other tenant has.

    accounts: the accounts (our own ids) that its commands may name; the portfolio's default account always is one.
    """

    tenant: TenantName
    portfolio_id: Name
    accounts: tuple[Name, ...] = ()


def account_of(
    tenant: Tenant,
    own: str,
    named: str | None,
    known: Callable[[str], Account | None],
    reach: Collection[str] | None,
) -> Account:
    """The account at IBKR that a command of the tenant means: the one `named` by our id or the broker's, else `own`.

    own: the default account of the tenant's portfolio, which no other takes the place of. known: the account of an id
    of ours. reach: the ids that the key may touch, None for all. Raises Refused: INVALID_ACCOUNT.
    """
    for account_id in (own,) if named is None else dict.fromkeys((own, *tenant.accounts)):
        account = known(account_id)
        if account is None or account.venue is not Venue.IBKR:
            continue
        is_in_reach = reach is None or account.account_id in reach
        if is_in_reach and named in (None, account.account_id, account.broker_account):
            return account
    what = "The default account" if named is None else repr(named)
    raise Refused(
        Code.INVALID_ACCOUNT,
        f"{what} is no account at IBKR that tenant {tenant.tenant!r} and the key may touch.",
        field="account",
    )
