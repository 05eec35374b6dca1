from decimal import Decimal as D

from engine.accounting.ledger import reverse
from engine.composition.readings import protection_sales
from engine.model.portfolio import Sleeve
from tests.engine.accounting.builders import BOOK, NOW, bought, make_rates

PUT, HEDGE = "SPX_20251219_P_4800", Sleeve.CRISIS_ALPHA.value


def test_sales_of_protection_are_counted_at_their_price_and_purchases_are_not() -> None:
    entries = [
        bought(PUT, "-2", "30", "e1.01", HEDGE),  # 2 × 30 × 100 = 6,000 USD
        bought(PUT, "-1", "31.5", "e2.01", HEDGE),  # 3,150 USD
        bought(PUT, "5", "28", "e3.01", HEDGE),
        bought(PUT, "-1", "30", "e4.01", Sleeve.UNASSIGNED.value),
        bought("FESX_20251219", "-1", "5000", "e5.01", HEDGE),
    ]
    assert protection_sales(entries, BOOK, make_rates()) == {"SPX": D(9_150)}


def test_reversed_sale_and_reversed_purchase_bring_nothing() -> None:
    sale, purchase = bought(PUT, "-2", "30", "e1.01", HEDGE), bought(PUT, "2", "30", "e2.01", HEDGE)
    entries = [sale, reverse(sale, NOW), purchase, reverse(purchase, NOW)]
    assert protection_sales(entries, BOOK, make_rates()) == {"SPX": D(0)}
