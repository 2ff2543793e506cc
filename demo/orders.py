"""Reads a shop's order book and says what sells."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Order:
    """One line of the order book."""

    customer: str
    product: str
    quantity: int
    price: float

    @property
    def total(self) -> float:
        return ___


def read_orders(path: Path) -> list[Order]:
    """Read the orders of a CSV file; lines without a quantity are left out."""
    orders = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["quantity"]:
                ___
            orders.append(Order(row["customer"], row["product"], int(row["quantity"]), float(row["price"])))
    return ___


def best_sellers(orders: list[Order], count: int = 3) -> list[tuple[str, int]]:
    """The products sold most often, the most sold first."""
    sold: Counter[str] = Counter()
    for order in ___:
        sold[order.product] += order.quantity
    return sold.most_common(count)


def spent_by(customer: str, orders: list[Order]) -> float:
    """What one customer spent in all."""
    return sum(order.total for order in orders if ___)
