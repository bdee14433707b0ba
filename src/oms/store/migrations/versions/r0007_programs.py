"""The two ways in for programs: signed commands with their tenants and events, and target positions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "tenants",
    "commands",
    "command_orders",
    "command_windows",
    "nonces",
    "venue_events",
    "target_batches",
    "aims",
)


def upgrade() -> None:
    _commands()
    _what_commands_are_told_apart_by()
    _venue_events()
    _targets()
    _contracts()
    op.create_index("ix_fills_held", "fills", ["instrument_id", "placement_id", "direction", "quantity"])
    op.create_index("ix_foreign_orders_account", "foreign_orders", ["account", "working", "key"])
    op.create_index("ix_placements_working", "placements", ["account", "status", "order_id"])


def downgrade() -> None:
    op.drop_index("ix_placements_working", "placements")
    op.drop_index("ix_fills_held", "fills")
    op.drop_index("ix_foreign_orders_account", "foreign_orders")
    op.drop_index("ix_instruments_conid", "instruments")
    op.drop_column("instruments", "conid")
    for table in reversed(_TABLES):
        op.drop_table(table)


def _commands() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_tenants"),
        sa.UniqueConstraint("portfolio_id", name="uq_tenants_portfolio_id"),
    )
    op.create_table(
        "commands",
        sa.Column("idem_key", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("orders", sa.Text(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("idem_key", name="pk_commands"),
        sa.UniqueConstraint("message_id", name="uq_commands_message_id"),
    )
    op.create_index("ix_commands_tenant", "commands", ["tenant", "message_id"])
    op.create_table(
        "command_orders",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("order_index", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_command_orders"),
    )
    op.create_index("ix_command_orders_message", "command_orders", ["message_id", "order_index"])


def _what_commands_are_told_apart_by() -> None:
    op.create_table(
        "command_windows",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("idem_key", sa.String(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "digest", name="pk_command_windows"),
    )
    op.create_table(
        "nonces",
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("claimed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_nonces"),
    )


def _venue_events() -> None:
    op.create_table(
        "venue_events",
        sa.Column("position", ROW_NUMBER, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("natural_key", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("portfolio_id", sa.String(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("order_index", sa.Integer(), nullable=True),
        sa.Column("ts_init_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_venue_events"),
        sa.UniqueConstraint("gateway", "natural_key", name="uq_venue_events_gateway_natural_key"),
    )
    op.create_index("ix_venue_events_portfolio", "venue_events", ["portfolio_id", "position"])
    op.create_index("ix_venue_events_order", "venue_events", ["order_id", "position"])
    op.create_index("ix_venue_events_message", "venue_events", ["message_id", "position"])


def _targets() -> None:
    op.create_table(
        "target_batches",
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("submitted_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_target_batches"),
    )
    op.create_index("ix_target_batches_newest", "target_batches", ["submitted_at", "batch_id"])
    op.create_index("ix_target_batches_account", "target_batches", ["account_id", "submitted_at", "batch_id"])
    op.create_table(
        "aims",
        sa.Column("aim_id", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("turn", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("aim_id", name="pk_aims"),
    )
    op.create_index("ix_aims_batch_id", "aims", ["batch_id"])
    op.create_index("ix_aims_target", "aims", ["target", "turn"])


def _contracts() -> None:
    """By the broker's number several descriptions of one contract are known as one."""
    op.add_column("instruments", sa.Column("conid", sa.BigInteger(), nullable=True))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    number = "(body::json->>'conid')::bigint" if is_postgresql else "json_extract(body, '$.conid')"
    instruments = sa.table("instruments", sa.column("conid"))
    op.execute(instruments.update().values(conid=sa.literal_column(number)))
    op.create_index("ix_instruments_conid", "instruments", ["conid"])
