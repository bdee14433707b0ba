"""Tenants: whom a signed command is for, and what it may touch."""

from typing import Annotated

from pydantic import Field

from oms.domain.identifiers import Name
from oms.domain.model import Model

TenantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["nts"])]
DEFAULT_TENANT = "nts"


class Tenant(Model):
    """Whose orders a command's are: they are opened in `portfolio_id`, which no other tenant has.

    accounts: the accounts (our own ids) that its commands may name; the portfolio's default account always is one.
    """

    tenant: TenantName
    portfolio_id: Name
    accounts: tuple[Name, ...] = ()
