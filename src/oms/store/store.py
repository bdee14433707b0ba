"""The one way into the database: a facade with a room for each kind of thing."""

from decimal import Decimal

from oms.store import positions
from oms.store.baskets import Baskets
from oms.store.booked import Booked
from oms.store.breaks import Breaks
from oms.store.commanded import Commands
from oms.store.compliance import ComplianceBook
from oms.store.control import ControlJournal
from oms.store.database import Database
from oms.store.evidence import EvidenceBook
from oms.store.findings import Findings
from oms.store.foreign import Foreign
from oms.store.gateways import Gateways, Leases
from oms.store.groups import Groups
from oms.store.halts import Halts
from oms.store.held import HeldAtBroker
from oms.store.idempotency import Idempotency
from oms.store.inbox import Inbox
from oms.store.intents import Intents
from oms.store.journal import Journal
from oms.store.keys import Keys
from oms.store.migrating import migrate, reason_not_usable
from oms.store.nonces import Nonces
from oms.store.orders import Orders
from oms.store.positions import Position
from oms.store.reference import Reference
from oms.store.rules import Rules
from oms.store.statements import Statements
from oms.store.targets import Targets
from oms.store.tenants import Tenants
from oms.store.venue_events import VenueEvents


class Store:
    """The order book's database: `sqlite:////path/oms.db` or `postgresql://user:password@host/name`.

    Calls block; call from threads, of any number. Nothing is opened before the first call. Raises ValueError
    for a URL of another database, sqlalchemy.exc.OperationalError from any call while the database is away.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.journal = Journal(self.database)
        self.orders = Orders(self.database)
        self.reference = Reference(self.database)
        self.groups = Groups(self.database)
        self.baskets = Baskets(self.database)
        self.rules = Rules(self.database)
        self.compliance = ComplianceBook(self.database)
        self.control = ControlJournal(self.database)
        self.halts = Halts(self.database)
        self.findings = Findings(self.database)
        self.keys = Keys(self.database)
        self.idempotency = Idempotency(self.database)
        self.inbox = Inbox(self.database)
        self.intents = Intents(self.database)
        self.gateways = Gateways(self.database)
        self.leases = Leases(self.database)
        self.statements = Statements(self.database)
        self.booked = Booked(self.database)
        self.evidence = EvidenceBook(self.database)
        self.foreign = Foreign(self.database)
        self.breaks = Breaks(self.database)
        self.held = HeldAtBroker(self.database)
        self.tenants = Tenants(self.database)
        self.commands = Commands(self.database)
        self.nonces = Nonces(self.database)
        self.venue_events = VenueEvents(self.database)
        self.targets = Targets(self.database)

    def migrate(self) -> None:
        """Bring the schema up to date, from nothing or from any earlier revision. Twice is once."""
        migrate(self.database)

    def check(self) -> str | None:
        """Why the database is not usable, in a sentence, or None where it is."""
        return reason_not_usable(self.database)

    def positions(self, portfolio_id: str | None = None, account_id: str | None = None) -> list[Position]:
        """What is held, derived from fills: of one portfolio or all, in one account or all."""
        return positions.positions(self.database, portfolio_id, account_id)

    def holdings(self, portfolio_id: str, exclude_order_id: str | None = None) -> dict[str, Decimal]:
        """The portfolio's signed quantity by instrument, without one order's part if so asked. Fast."""
        return positions.holdings(self.database, portfolio_id, exclude_order_id)

    def close(self) -> None:
        """Close every connection. Closing twice is closing once."""
        self.database.close()
