"""What an order book of the first release holds is there after an upgrade."""

from decimal import Decimal

from alembic import command as command_line
from tests.store import limits
from tests.store.building import Tale, straight_through
from tests.store.commanding import command

from oms.domain import commands as cmd
from oms.domain.terms import Direction
from oms.store import Store, rebuild
from oms.store.migrating import _config


def test_orders_in_flight_hold_their_limits_and_rules_have_a_version(store: Store) -> None:
    """The first release kept neither; its orders and rules are carried over when its schema is upgraded."""
    rule = limits.rule(store, "max_position", max_quantity="1000000")
    tales = [
        Tale().waiting().do(cmd.PassPreTradeCompliance()),
        Tale(order_type="Limit", limit_price=Decimal("10.123456789012345678")).placed(),
        Tale(ordered_quantity=Decimal("12345678901234567890.123456789012345678"))
        .placed()
        .filled(Decimal("0.1")),
        Tale().placed().filled(),
        Tale(),
        straight_through(),
    ]
    for tale in tales:
        tale.recorded(store)
    before = limits.reservations(store)
    assert len(before) == 3
    with store.database.write() as connection:
        command_line.downgrade(_config(connection), "0001")
    store.migrate()
    assert limits.reservations(store) == before
    assert rebuild(store, write=False).is_clean
    (version,) = store.rules.versions(rule.rule_id)
    assert (version.rule, version.changed_by, version.changed_at) == (rule, "risk", rule.created_at)
    assert store.control.head() == 0


def test_a_book_from_before_the_programs_counts_for_their_targets(store: Store) -> None:
    """What was placed and executed before is held and works; what programs had is gone with a downgrade."""
    tales = [
        Tale().placed().filled(40),
        Tale(direction=Direction.SELL).placed().filled(15),
        straight_through(),
    ]
    for tale in tales:
        tale.recorded(store)
    store.commands.claim(command(), window_ns=None)
    before = store.targets.exposure("DU1", "INS-AAPL")
    assert (before.booked, [one.pending for one in before.working]) == (125, [60, -85])
    with store.database.write() as connection:
        command_line.downgrade(_config(connection), "0006")
    assert "revision 0006" in (store.check() or "")
    store.migrate()
    assert store.check() is None
    assert store.targets.exposure("DU1", "INS-AAPL") == before
    assert store.commands.list() == ()
    assert rebuild(store, write=False).is_clean
