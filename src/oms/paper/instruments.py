"""The instruments the paper market trades.

Real, liquid US stocks with the contract ids the TWS API gives them, plus symbols that exist for one
behaviour each: THIN (100 shares shown, never replenished), HALTD (every order is rejected), BRICK
(a price of five figures). Prices are starting points of a model, not quotations.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable contract. ``display`` is the size shown at the best bid and offer, in units."""

    con_id: int
    symbol: str
    long_name: str
    exchange: str
    industry: str
    category: str
    price: Decimal
    display: Decimal
    tick: Decimal = Decimal("0.01")
    security_type: str = "STK"
    currency: str = "USD"
    multiplier: int = 1
    last_trade_date: str = ""
    local_symbol: str = ""
    trading_class: str = "NMS"
    replenishes: bool = True
    refusal: str = ""

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Where an order may be routed."""
        return ("SMART", self.exchange, "IBKRATS") if self.security_type == "STK" else (self.exchange,)

    def on_tick(self, price: Decimal) -> bool:
        """Whether a price conforms to the minimum variation."""
        return price % self.tick == 0


# contract id, symbol, name, primary exchange, industry, category, price, displayed size
_STOCKS = """
265598|AAPL|APPLE INC|NASDAQ|Technology|Computers|228.50|1200
272093|MSFT|MICROSOFT CORP|NASDAQ|Technology|Software|431.20|800
3691937|AMZN|AMAZON.COM INC|NASDAQ|Communications|Internet|201.40|1000
208813719|GOOGL|ALPHABET INC-CL A|NASDAQ|Communications|Internet|177.10|900
107113386|META|META PLATFORMS INC-CLASS A|NASDAQ|Communications|Internet|556.30|500
4815747|NVDA|NVIDIA CORP|NASDAQ|Technology|Semiconductors|141.90|3000
76792991|TSLA|TESLA INC|NASDAQ|Consumer, Cyclical|Auto Manufacturers|338.70|1500
15124833|NFLX|NETFLIX INC|NASDAQ|Communications|Internet|880.00|200
4391|AMD|ADVANCED MICRO DEVICES|NASDAQ|Technology|Semiconductors|137.60|1400
270639|INTC|INTEL CORP|NASDAQ|Technology|Semiconductors|24.35|4000
268084|CSCO|CISCO SYSTEMS INC|NASDAQ|Communications|Telecommunications|57.80|2000
272800|ORCL|ORACLE CORP|NYSE|Technology|Software|190.25|700
8314|IBM|INTL BUSINESS MACHINES CORP|NYSE|Technology|Computers|214.60|400
1520593|JPM|JPMORGAN CHASE & CO|NYSE|Financial|Banks|246.80|600
10098|BAC|BANK OF AMERICA CORP|NYSE|Financial|Banks|46.75|3500
10375|C|CITIGROUP INC|NYSE|Financial|Banks|69.40|1800
49462172|V|VISA INC-CLASS A SHARES|NYSE|Financial|Diversified Financial Services|309.10|400
4721|AXP|AMERICAN EXPRESS CO|NYSE|Financial|Diversified Financial Services|292.30|300
13977|XOM|EXXON MOBIL CORP|NYSE|Energy|Oil&Gas|120.30|1500
5684|CVX|CHEVRON CORP|NYSE|Energy|Oil&Gas|161.70|800
8719|JNJ|JOHNSON & JOHNSON|NYSE|Consumer, Non-cyclical|Pharmaceuticals|153.90|700
11031|PFE|PFIZER INC|NYSE|Consumer, Non-cyclical|Pharmaceuticals|25.10|4000
70101545|MRK|MERCK & CO. INC.|NYSE|Consumer, Non-cyclical|Pharmaceuticals|97.60|1000
11017|PG|PROCTER & GAMBLE CO/THE|NYSE|Consumer, Non-cyclical|Cosmetics/Personal Care|171.20|600
8894|KO|COCA-COLA CO/THE|NYSE|Consumer, Non-cyclical|Beverages|62.90|2500
13824|WMT|WALMART INC|NYSE|Consumer, Cyclical|Retail|86.60|1500
7930|HD|HOME DEPOT INC|NYSE|Consumer, Cyclical|Retail|408.30|300
9408|MCD|MCDONALD'S CORP|NYSE|Consumer, Cyclical|Retail|291.40|300
6459|DIS|WALT DISNEY CO/THE|NYSE|Communications|Media|113.20|1200
4762|BA|BOEING CO/THE|NYSE|Industrial|Aerospace/Defense|143.50|700
5437|CAT|CATERPILLAR INC|NYSE|Industrial|Machinery-Constr&Mining|384.90|300
756733|SPY|SPDR S&P 500 ETF TRUST|ARCA|Funds|Equity Fund|590.40|3000
"""


@cache
def catalogue() -> dict[int, Instrument]:
    """Every instrument by contract id."""
    listed = [_stock(line) for line in _STOCKS.strip().splitlines()]
    listed += [
        Instrument(
            990000001,
            "THIN",
            "THINLY TRADED HOLDINGS INC",
            "NYSE",
            "Industrial",
            "Miscellaneous Manufacturing",
            Decimal("12.00"),
            Decimal(100),
            replenishes=False,
        ),
        Instrument(
            990000002,
            "HALTD",
            "HALTED INDUSTRIES INC",
            "NYSE",
            "Industrial",
            "Miscellaneous Manufacturing",
            Decimal("8.00"),
            Decimal(1000),
            refusal="The contract is not available for trading.",
        ),
        Instrument(
            990000003,
            "BRICK",
            "BRICK BY BRICK HOLDINGS INC",
            "NYSE",
            "Financial",
            "Real Estate",
            Decimal("31250.00"),
            Decimal(40),
        ),
        Instrument(
            649180695,
            "ES",
            "E-mini S&P 500",
            "CME",
            "Indices",
            "Broad Range Equity Index",
            Decimal("5950.00"),
            Decimal(60),
            tick=Decimal("0.25"),
            security_type="FUT",
            multiplier=50,
            last_trade_date="20270319",
            local_symbol="ESH7",
            trading_class="ES",
        ),
        Instrument(
            12087792,
            "EUR",
            "European Monetary Union Euro",
            "IDEALPRO",
            "",
            "",
            Decimal("1.05500"),
            Decimal(1_000_000),
            tick=Decimal("0.00005"),
            security_type="CASH",
            local_symbol="EUR.USD",
            trading_class="EUR.USD",
        ),
    ]
    return {instrument.con_id: instrument for instrument in listed}


def find(
    con_id: int = 0,
    *,
    symbol: str = "",
    security_type: str = "",
    exchange: str = "",
    currency: str = "",
    last_trade_date: str = "",
    local_symbol: str = "",
) -> list[Instrument]:
    """The instruments a contract description fits; an empty argument fits all, a con_id decides alone."""
    if con_id:
        hit = catalogue().get(con_id)
        return [hit] if hit and exchange in {"", *hit.exchanges} else []
    if not (symbol or local_symbol):
        return []
    return [
        i
        for i in catalogue().values()
        if symbol in {"", i.symbol}
        and security_type in {"", i.security_type}
        and exchange in {"", *i.exchanges}
        and currency in {"", i.currency}
        and i.last_trade_date.startswith(last_trade_date)
        and local_symbol in {"", i.local_symbol or i.symbol}
    ]


def _stock(line: str) -> Instrument:
    con_id, symbol, name, exchange, industry, category, price, display = line.split("|")
    trading_class = "NMS" if exchange == "NASDAQ" else symbol
    return Instrument(
        int(con_id),
        symbol,
        name,
        exchange,
        industry,
        category,
        Decimal(price),
        Decimal(display),
        trading_class=trading_class,
    )
