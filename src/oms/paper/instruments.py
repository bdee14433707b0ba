"""The instruments the paper market trades.

Real, liquid US stocks with the contract ids the TWS API gives them, a small chain of options on two of them,
a future with all its quarters and currency pairs, plus symbols that exist for one behaviour each: THIN (100 shares
shown, never replenished), HALTD (every order is rejected), BRICK (a price of five figures), DIME (below 1, where the
tick is finer), and Q0001 to Q1000 for whoever needs many. Prices are starting points of a model, not quotations;
contract ids from 990000001 on are our own.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache

Bands = tuple[tuple[Decimal, Decimal], ...]
"""(lowest price, tick from there on), lowest first."""


def _bands(*pairs: tuple[str, str]) -> Bands:
    return tuple((Decimal(low), Decimal(tick)) for low, tick in pairs)


MARKET_RULES: dict[int, Bands] = {
    26: _bands(("0", "0.0001"), ("1", "0.01")),
    59: _bands(("0", "0.00005")),
    60: _bands(("0", "0.005")),
    67: _bands(("0", "0.25")),
    239: _bands(("0", "0.01"), ("3", "0.05")),
}
"""By the number under which reqMarketRule tells them."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable contract. ``display`` is the size shown at the best bid and offer, in units.

    ``tick`` is the smallest of all price variations; ``market_rule`` gives them by price. ``strike`` and ``right``
    (C or P) are an option's, ``underlying`` the contract id of what it is on. ``usd``: what one unit of
    ``currency`` is worth, the same all the time. ``by_month``: only who names its month or local symbol finds it.
    """

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
    market_rule: int = 26
    strike: Decimal = Decimal(0)
    right: str = ""
    underlying: int = 0
    usd: Decimal = Decimal(1)
    by_month: bool = False

    @property
    def name(self) -> str:
        """What only this contract is called: its local symbol."""
        return self.local_symbol or self.symbol

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Where an order may be routed."""
        routes = {"STK": ("SMART", self.exchange, "IBKRATS"), "OPT": ("SMART", self.exchange, "AMEX")}
        return routes.get(self.security_type, (self.exchange,))

    @property
    def unit_value(self) -> Decimal:
        """What one unit at a price of 1 is worth in USD."""
        return self.multiplier * self.usd

    def tick_at(self, price: Decimal) -> Decimal:
        """The price variation that holds at a price."""
        tick = self.tick
        for low, step in MARKET_RULES[self.market_rule]:
            if price >= low:
                tick = step
        return tick

    def on_tick(self, price: Decimal) -> bool:
        """Whether a price conforms to the minimum variation."""
        return price % self.tick_at(price) == 0

    def rounded(self, price: Decimal, rounding: str) -> Decimal:
        """A price on the tick; ``rounding`` as the decimal module names it."""
        tick = self.tick_at(price)
        return (price / tick).quantize(Decimal(1), rounding) * tick


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


# contract id, symbol, underlying, expiry, strike, right, price, displayed size
_OPTIONS = """
990100001|AAPL|265598|20270115|220|C|14.35|60
990100002|AAPL|265598|20270115|220|P|4.90|60
990100003|AAPL|265598|20270115|230|C|8.40|120
990100004|AAPL|265598|20270115|230|P|8.95|120
990100005|AAPL|265598|20270115|240|C|2.74|80
990100006|AAPL|265598|20270115|240|P|14.60|80
990100007|AAPL|265598|20270319|230|C|12.15|40
990100008|AAPL|265598|20270319|230|P|11.80|40
990100011|SPY|756733|20270115|580|C|19.80|150
990100012|SPY|756733|20270115|580|P|8.15|150
990100013|SPY|756733|20270115|590|C|12.90|200
990100014|SPY|756733|20270115|590|P|11.45|200
990100015|SPY|756733|20270115|600|C|7.35|150
990100016|SPY|756733|20270115|600|P|16.20|150
"""

# contract id, symbol, currency, name, price, tick, market rule, USD for one unit of the currency
_PAIRS = """
12087792|EUR|USD|European Monetary Union Euro|1.05500|0.00005|59|1
12087797|GBP|USD|British pound|1.26500|0.00005|59|1
15016059|USD|JPY|US dollar|154.500|0.005|60|0.0065
"""

_THIN = Instrument(
    990000001,
    "THIN",
    "THINLY TRADED HOLDINGS INC",
    "NYSE",
    "Industrial",
    "Miscellaneous Manufacturing",
    Decimal("12.00"),
    Decimal(100),
    replenishes=False,
)
_HALTED = Instrument(
    990000002,
    "HALTD",
    "HALTED INDUSTRIES INC",
    "NYSE",
    "Industrial",
    "Miscellaneous Manufacturing",
    Decimal("8.00"),
    Decimal(1000),
    refusal="The contract is not available for trading.",
)
_BRICK = Instrument(
    990000003,
    "BRICK",
    "BRICK BY BRICK HOLDINGS INC",
    "NYSE",
    "Financial",
    "Real Estate",
    Decimal("31250.00"),
    Decimal(40),
)
_DIME = Instrument(
    990000004,
    "DIME",
    "SMALL CHANGE MINING INC",
    "NYSE",
    "Basic Materials",
    "Mining",
    Decimal("0.8450"),
    Decimal(5000),
    tick=Decimal("0.0001"),
)
_ES = Instrument(
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
    market_rule=67,
)
_MANY = 1000
"""So many stocks of one sort, Q0001 and on, for a book or a batch of many symbols."""
_QUARTERS = {3: "H", 6: "M", 9: "U", 12: "Z"}
"""The months of an equity index future and their letters."""
_YEARS = range(2024, 2034)
"""Ten years, so that a local symbol, which has one digit of its year, stands for one contract."""


@cache
def catalogue() -> dict[int, Instrument]:
    """Every instrument by contract id."""
    listed = [_stock(line) for line in _STOCKS.strip().splitlines()]
    listed += [_THIN, _HALTED, _BRICK, _DIME, _ES]
    listed += [_one_of_many(number) for number in range(1, _MANY + 1)]
    listed += [_pair(line) for line in _PAIRS.strip().splitlines()]
    listed += [_option(line) for line in _OPTIONS.strip().splitlines()]
    listed += [_future(year, month) for year in _YEARS for month in _QUARTERS if (year, month) != (2027, 3)]
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
    strike: Decimal | None = None,
    right: str = "",
    multiplier: str = "",
) -> list[Instrument]:
    """The instruments a contract description fits; an empty argument fits all, a con_id decides alone.

    ``last_trade_date`` is a day or a month. ``right`` is C or CALL, P or PUT. ``multiplier`` is not looked at for
    stocks and currencies.
    """
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
        and (last_trade_date or local_symbol or not i.by_month)
        and local_symbol in {"", i.name}
        and (not strike or strike == i.strike)
        and right[:1] in {"", "?", "0", i.right}
        and (i.multiplier == 1 or multiplier in {"", str(i.multiplier)})
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


def _one_of_many(number: int) -> Instrument:
    return Instrument(
        990_200_000 + number,
        f"Q{number:04d}",
        f"QUANTITY HOLDINGS {number} INC",
        "NYSE",
        "Financial",
        "Diversified Financial Services",
        Decimal(20 + number % 80),
        Decimal(2000),
        trading_class=f"Q{number:04d}",
    )


def _option(line: str) -> Instrument:
    con_id, symbol, underlying, expiry, strike, right, price, display = line.split("|")
    on = next(stock for stock in map(_stock, _STOCKS.strip().splitlines()) if stock.con_id == int(underlying))
    return Instrument(
        int(con_id),
        symbol,
        on.long_name,
        "CBOE",
        on.industry,
        on.category,
        Decimal(price),
        Decimal(display),
        security_type="OPT",
        multiplier=100,
        last_trade_date=expiry,
        # Root padded to 6, yymmdd, right, strike in thousandths: the symbology of the Options Clearing Corporation.
        local_symbol=f"{symbol:<6}{expiry[2:]}{right}{int(strike) * 1000:08d}",
        trading_class=symbol,
        market_rule=239,
        strike=Decimal(strike),
        right=right,
        underlying=int(underlying),
    )


def _future(year: int, month: int) -> Instrument:
    """Another month of the same future; it is traded until the third Friday, or until the day before a holiday."""
    day = 21 - (date(year, month, 1).weekday() + 2) % 7
    # June 19, or the Friday before it where it is a Saturday.
    holiday = month == 6 and day in {18, 19}
    return replace(
        _ES,
        con_id=990_000_000 + year * 100 + month,
        last_trade_date=f"{year}{month:02d}{day - holiday:02d}",
        local_symbol=f"ES{_QUARTERS[month]}{year % 10}",
        by_month=True,
    )


def _pair(line: str) -> Instrument:
    con_id, symbol, currency, name, price, tick, rule, usd = line.split("|")
    return Instrument(
        int(con_id),
        symbol,
        name,
        "IDEALPRO",
        "",
        "",
        Decimal(price),
        Decimal(1_000_000),
        tick=Decimal(tick),
        security_type="CASH",
        currency=currency,
        local_symbol=f"{symbol}.{currency}",
        trading_class=f"{symbol}.{currency}",
        market_rule=int(rule),
        usd=Decimal(usd),
    )
