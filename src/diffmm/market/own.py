"""What happened to our own orders, as the encoder takes it: six kinds of change, exact integers.

They are tagged arrays, so that a journal holds them and a replay of it makes the same rows.
"""

import msgspec


class Placed(msgspec.Struct, frozen=True, array_like=True, tag="placed"):
    """An order was sent for a slot."""

    id: str
    side: int
    slot: int
    price: int
    size: int


class Rested(msgspec.Struct, frozen=True, array_like=True, tag="rested"):
    """It stands on the book since this exchange time."""

    id: str
    exchange_ms: int


class Pulled(msgspec.Struct, frozen=True, array_like=True, tag="pulled"):
    """Its cancel was sent: it leaves its slot, and may still stand and be filled."""

    id: str


class Filled(msgspec.Struct, frozen=True, array_like=True, tag="filled"):
    """So much of it was taken; the size may come before we hear that it rests."""

    id: str
    side: int
    price: int
    size: int


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """It does not stand any more since this exchange time; 0 when it never did."""

    id: str
    exchange_ms: int


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """The ledger after it: position in size units, account value in 1e-8 USD."""

    position: int
    value_1e8: int


Own = Placed | Rested | Pulled | Filled | Gone | Held
WAKES = (Rested, Filled, Gone)
"""Acks, fills and ends wake; what we did ourselves does not."""
