"""The order book: journal, projections, reference data, keys, inbox, intents, gateways."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Numeric(56, 18), "postgresql")
INSTANT = sa.DateTime().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _journal()
    _orders()
    _fills()
    _order_parts()
    _reference()
    _rules_and_access()
    _inbox()
    _intents()
    _gateways()


def downgrade() -> None:
    for table in (
        "leases",
        "gateways",
        "broker_order_ids",
        "intent_perm_ids",
        "intents",
        "inbox",
        "idempotency",
        "keys",
        "rules",
        "prices",
        "accounts",
        "portfolios",
        "instruments",
        "order_exceptions",
        "allocations",
        "placements",
        "fills",
        "order_claims",
        "orders",
        "journal",
        "stream_head",
    ):
        op.drop_table(table)


def _journal() -> None:
    op.create_table(
        "stream_head",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_stream_head"),
    )
    op.execute("INSERT INTO stream_head (name, position) VALUES ('journal', 0)")
    op.create_table(
        "journal",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("basket_id", sa.String(), nullable=True),
        sa.Column("order_created_at", INSTANT, nullable=False),
        sa.Column("ts_init_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "seq", name="pk_journal"),
        sa.UniqueConstraint("position", name="uq_journal_position"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("basket_id", sa.String(), nullable=True),
        sa.Column("client_order_id", sa.String(), nullable=True),
        sa.Column("default_account_id", sa.String(), nullable=False),
        sa.Column("ordered_quantity", EXACT, nullable=False),
        sa.Column("executed_quantity", EXACT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
    )
    op.create_index("ix_orders_basket", "orders", ["basket_id", "created_at", "order_id"], unique=False)
    op.create_index(
        "ix_orders_holdings",
        "orders",
        ["portfolio_id", "instrument_id", "direction", "executed_quantity"],
        unique=False,
    )
    op.create_index(
        "ix_orders_instrument", "orders", ["instrument_id", "created_at", "order_id"], unique=False
    )
    op.create_index(
        "ix_orders_instrument_state",
        "orders",
        ["instrument_id", "state", "created_at", "order_id"],
        unique=False,
    )
    op.create_index("ix_orders_newest", "orders", ["created_at", "order_id"], unique=False)
    op.create_index("ix_orders_portfolio", "orders", ["portfolio_id", "created_at", "order_id"], unique=False)
    op.create_index(
        "ix_orders_portfolio_instrument",
        "orders",
        ["portfolio_id", "instrument_id", "created_at", "order_id"],
        unique=False,
    )
    op.create_index(
        "ix_orders_portfolio_state",
        "orders",
        ["portfolio_id", "state", "created_at", "order_id"],
        unique=False,
    )
    op.create_index("ix_orders_state", "orders", ["state", "created_at", "order_id"], unique=False)
    op.create_table(
        "order_claims",
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("client_order_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("portfolio_id", "client_order_id", name="pk_order_claims"),
    )


def _fills() -> None:
    op.create_table(
        "fills",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("execution", sa.String(), nullable=False),
        sa.Column("exec_id", sa.String(), nullable=False),
        sa.Column("placement_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("venue", sa.String(), nullable=False),
        sa.Column("commission", EXACT, nullable=True),
        sa.Column("commission_currency", sa.String(), nullable=True),
        sa.Column("ts_event_ns", sa.BigInteger(), nullable=False),
        sa.Column("ts_init_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name="fk_fills_order_id_orders", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("order_id", "execution", name="pk_fills"),
    )
    op.create_index("ix_fills_portfolio", "fills", ["portfolio_id", "instrument_id"], unique=False)


def _order_parts() -> None:
    op.create_table(
        "placements",
        sa.Column("placement_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("venue", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name="fk_placements_order_id_orders", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("placement_id", name="pk_placements"),
    )
    op.create_index("ix_placements_order_id", "placements", ["order_id"], unique=False)
    op.create_table(
        "allocations",
        sa.Column("allocation_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("order_portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("moved", sa.Boolean(), nullable=False),
        sa.Column("quantity", EXACT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name="fk_allocations_order_id_orders", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("allocation_id", name="pk_allocations"),
    )
    op.create_index("ix_allocations_moved_in", "allocations", ["portfolio_id", "moved"], unique=False)
    op.create_index("ix_allocations_moved_out", "allocations", ["order_portfolio_id", "moved"], unique=False)
    op.create_index("ix_allocations_order_id", "allocations", ["order_id"], unique=False)
    op.create_table(
        "order_exceptions",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name="fk_order_exceptions_order_id_orders", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("order_id", "code", "subject", name="pk_order_exceptions"),
    )
    op.create_index("ix_order_exceptions_newest", "order_exceptions", ["since", "order_id"], unique=False)


def _reference() -> None:
    op.create_table(
        "instruments",
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("natural_key", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("sec_type", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("strike", EXACT, nullable=True),
        sa.Column("option_right", sa.String(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("instrument_id", name="pk_instruments"),
        sa.UniqueConstraint("natural_key", name="uq_instruments_natural_key"),
    )
    op.create_index("ix_instruments_newest", "instruments", ["created_at", "instrument_id"], unique=False)
    op.create_index("ix_instruments_symbol", "instruments", ["symbol", "sec_type"], unique=False)
    op.create_table(
        "portfolios",
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("portfolio_id", name="pk_portfolios"),
    )
    op.create_index("ix_portfolios_newest", "portfolios", ["created_at", "portfolio_id"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
    )
    op.create_index("ix_accounts_newest", "accounts", ["created_at", "account_id"], unique=False)
    op.create_table(
        "prices",
        sa.Column("instrument_id", sa.String(), nullable=False),
        sa.Column("price", EXACT, nullable=False),
        sa.Column("as_of", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("instrument_id", name="pk_prices"),
    )


def _rules_and_access() -> None:
    op.create_table(
        "rules",
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name="pk_rules"),
    )
    op.create_index("ix_rules_active", "rules", ["active"], unique=False)
    op.create_index("ix_rules_newest", "rules", ["created_at", "rule_id"], unique=False)
    op.create_table(
        "keys",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_keys_secret_hash"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key_name", "idempotency_key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("natural_key", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("fact", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("ts_init_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("gateway", "natural_key", name="uq_inbox_gateway_natural_key"),
    )
    op.create_index("ix_inbox_status", "inbox", ["status", "id"], unique=False)
    op.create_index("ix_inbox_waiting", "inbox", ["gateway", "status", "id"], unique=False)


def _intents() -> None:
    op.create_table(
        "intents",
        sa.Column("placement_id", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("broker_order_id", sa.BigInteger(), nullable=False),
        sa.Column("order_ref", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("placement_id", name="pk_intents"),
        sa.UniqueConstraint(
            "gateway", "client_id", "broker_order_id", name="uq_intents_gateway_client_id_broker_order_id"
        ),
    )
    op.create_index("ix_intents_broker", "intents", ["client_id", "broker_order_id"], unique=False)
    op.create_index("ix_intents_order_ref", "intents", ["order_ref"], unique=False)
    op.create_index("ix_intents_state", "intents", ["client_id", "state"], unique=False)
    op.create_table(
        "intent_perm_ids",
        sa.Column("placement_id", sa.String(), nullable=False),
        sa.Column("perm_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["placement_id"],
            ["intents.placement_id"],
            name="fk_intent_perm_ids_placement_id_intents",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("placement_id", "perm_id", name="pk_intent_perm_ids"),
    )
    op.create_index("ix_intent_perm_ids_perm_id", "intent_perm_ids", ["perm_id"], unique=False)
    op.create_table(
        "broker_order_ids",
        sa.Column("gateway_key", sa.String(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway_key", name="pk_broker_order_ids"),
    )


def _gateways() -> None:
    op.create_table(
        "gateways",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_gateways"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
