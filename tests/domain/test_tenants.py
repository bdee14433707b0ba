"""Which account a command of a tenant means."""

import pytest

from oms.domain.errors import Code, Refused
from oms.domain.programs.tenants import Tenant, account_of
from oms.domain.reference import Account
from oms.domain.terms import Venue

OWN = Account(account_id="ACCT-001", name="Own", broker_account="DU1")
SECOND = Account(account_id="ACCT-002", name="Second", broker_account="DU2")
ELSEWHERE = Account(account_id="ACCT-003", name="Elsewhere", broker_account="B3", venue=Venue.OPTIONS)
KNOWN = {account.account_id: account for account in (OWN, SECOND, ELSEWHERE)}
NTS = Tenant(tenant="nts", portfolio_id="PORT-001", accounts=("ACCT-002", "ACCT-003", "ACCT-404"))


def meant(named: str | None, reach: tuple[str, ...] | None = None, own: str = "ACCT-001") -> str:
    return account_of(NTS, own, named, KNOWN.get, reach).account_id


def test_its_own_or_one_of_its_others_by_either_name() -> None:
    names = (None, "ACCT-001", "DU1", "ACCT-002", "DU2")
    assert [meant(name) for name in names] == ["ACCT-001", "ACCT-001", "ACCT-001", "ACCT-002", "ACCT-002"]
    assert meant("DU2", reach=("ACCT-002",)) == "ACCT-002"


@pytest.mark.parametrize(
    ("named", "reach", "own"),
    [
        (None, ("ACCT-002",), "ACCT-001"),
        (None, None, "ACCT-003"),
        (None, None, "ACCT-404"),
        ("DU1", ("ACCT-002",), "ACCT-001"),
        ("B3", None, "ACCT-001"),
        ("DU9", None, "ACCT-001"),
    ],
    ids=["own out of reach", "own elsewhere", "own unknown", "out of reach", "elsewhere", "nobody's"],
)
def test_no_other_account_takes_the_place_of_the_one_that_is_meant(
    named: str | None, reach: tuple[str, ...] | None, own: str
) -> None:
    with pytest.raises(Refused) as raised:
        meant(named, reach, own)
    assert (raised.value.code, raised.value.facts["field"]) == (Code.INVALID_ACCOUNT, "account")
    assert (named or "The default account") in raised.value.message
