"""The data folder of the embedded stack: keys that work, files that are never half written, one owner."""

import json
from pathlib import Path

import pytest

from oms.domain.programs.tenants import Tenant
from oms.domain.terms import Role
from oms.store import Store
from oms.workers.errors import CannotStart
from oms.workers.folder import KEY_ROLES, DataFolder, seed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    store.migrate()
    return store


def test_keys_stay_the_same_over_starts_and_are_the_owners_alone(tmp_path: Path, store: Store) -> None:
    with DataFolder(tmp_path) as folder:
        keys = folder.keys(store)
        assert set(keys) == {role.value for role in KEY_ROLES}
        assert folder.keys(store) == keys
        assert json.loads(folder.keys_file.read_text()) == keys
        assert folder.keys_file.stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_is_replaced_and_never_brought_back(tmp_path: Path, store: Store) -> None:
    with DataFolder(tmp_path) as folder:
        before = folder.keys(store)
        store.keys.revoke("pm")
        after = folder.keys(store)
    assert after["pm"] != before["pm"]
    assert store.keys.find(before["pm"]) is None
    found = store.keys.find(after["pm"])
    assert found is not None
    assert found.roles == (Role.PM,)
    assert {role: key for role, key in after.items() if role != "pm"} == {
        role: key for role, key in before.items() if role != "pm"
    }


def test_a_lost_key_file_is_made_anew(tmp_path: Path, store: Store) -> None:
    with DataFolder(tmp_path) as folder:
        before = folder.keys(store)
        folder.keys_file.unlink()
        after = folder.keys(store)
        assert all(store.keys.find(key) is not None for key in after.values())
        assert not set(after.values()) & set(before.values())


def test_the_envelope_secret_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        secret = folder.envelope_secret()
        assert folder.secret_file.name == "envelope.secret"
        assert folder.secret_file.stat().st_mode & 0o777 == 0o600
    with DataFolder(tmp_path) as folder:
        assert folder.envelope_secret() == secret
        folder.secret_file.write_text("chosen by somebody\n")
        assert folder.envelope_secret() == "chosen by somebody"
        folder.secret_file.write_text("\n")
        assert len(folder.envelope_secret()) >= 40


def test_the_tenant_is_described_once_and_what_came_later_stays(store: Store) -> None:
    seed(store, "DU123456")
    assert store.tenants.get("nts") == Tenant(tenant="nts", portfolio_id="PORT-001")
    store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001", accounts=("ACCT-001",)))
    seed(store, "DU123456")
    assert store.tenants.list() == (Tenant(tenant="nts", portfolio_id="PORT-001", accounts=("ACCT-001",)),)


def test_a_portfolio_that_was_given_to_another_tenant_is_not_taken_back(store: Store) -> None:
    store.tenants.put(Tenant(tenant="desk", portfolio_id="PORT-001"))
    seed(store, "DU123456")
    assert [tenant.tenant for tenant in store.tenants.list()] == ["desk"]


def test_a_file_that_is_not_json_is_told_in_one_line(tmp_path: Path, store: Store) -> None:
    (tmp_path / "keys.json").write_text("{")
    with DataFolder(tmp_path) as folder, pytest.raises(CannotStart, match=r"keys\.json is not JSON"):
        folder.keys(store)


def test_ports_last_and_a_second_owner_is_refused(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        ports = folder.lasting_ports(("paper-ibkr", "paper-custodian"))
        assert len(set(ports.values())) == 2
        with pytest.raises(CannotStart, match="another `oms dev`"), DataFolder(tmp_path):
            pass
    with DataFolder(tmp_path) as folder:
        assert folder.lasting_ports(("paper-ibkr", "paper-custodian")) == ports
