"""What clients send, typed. The order of the fields is the order in which they are signed.

The venue hashes its own canonical form of an action, not the client's bytes: an action with keys in
another order, a zero too many or `f: false` recovers to a stranger, here as there.
"""

from typing import Annotated, Any, Literal

import msgspec

from .listing import normal


Cloid = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{32}$")]


class _Canonical(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Optional keys are left out instead of null or false."""


class Limit(_Canonical, frozen=True, kw_only=True):
    tif: Literal["Alo", "Ioc", "Gtc", "FrontendMarket"]


class OrderType(_Canonical, frozen=True, kw_only=True):
    limit: Limit | None = None
    trigger: dict[str, Any] | None = None


class Order(_Canonical, frozen=True, kw_only=True):
    a: int
    b: bool
    p: str
    s: str
    r: bool
    t: OrderType
    c: Cloid | None = None


class ByOid(_Canonical, frozen=True, kw_only=True):
    a: int
    o: int


class ByCloid(_Canonical, frozen=True, kw_only=True):
    asset: int
    cloid: Cloid


class Change(_Canonical, frozen=True, kw_only=True):
    oid: int | Cloid
    order: Order


class Place(_Canonical, frozen=True, kw_only=True, tag="order"):
    orders: list[Order]
    grouping: str | dict[str, int]
    builder: dict[str, Any] | None = None


class Cancel(_Canonical, frozen=True, kw_only=True, tag="cancel"):
    cancels: list[ByOid]
    f: bool = False


class CancelByCloid(_Canonical, frozen=True, kw_only=True, tag="cancelByCloid"):
    cancels: list[ByCloid]
    f: bool = False


class Modify(_Canonical, frozen=True, kw_only=True, tag="modify"):
    oid: int | Cloid
    order: Order
    a: bool = False


class BatchModify(_Canonical, frozen=True, kw_only=True, tag="batchModify"):
    modifies: list[Change]
    a: bool = False


class ScheduleCancel(_Canonical, frozen=True, kw_only=True, tag="scheduleCancel"):
    time: int | None = None


class UpdateLeverage(_Canonical, frozen=True, kw_only=True, tag="updateLeverage"):
    asset: int
    isCross: bool
    leverage: int


class Noop(_Canonical, frozen=True, kw_only=True, tag="noop"):
    pass


Action = (
    Place | Cancel | CancelByCloid | Modify | BatchModify | ScheduleCancel | UpdateLeverage | Noop
)


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `/exchange`, and payload of a posted action."""

    action: Action
    nonce: int
    signature: dict[str, Any]
    vaultAddress: str | None = None
    expiresAfter: int | None = None


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """The request inside a websocket post."""

    type: Literal["info", "action"]
    payload: msgspec.Raw


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Any frame from a client."""

    method: Literal["subscribe", "unsubscribe", "ping", "post"]
    subscription: dict[str, Any] | None = None
    id: int | None = None
    request: Posted | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `/info`: every key that any type of request has."""

    type: str
    user: str = ""
    coin: str = ""
    dex: str = ""
    oid: int | str | None = None
    startTime: int = 0
    endTime: int | None = None
    nSigFigs: int | None = None


decode_signed = msgspec.json.Decoder(Signed).decode
decode_frame = msgspec.json.Decoder(Frame).decode
decode_asked = msgspec.json.Decoder(Asked).decode


def canonical(action: Action) -> dict[str, Any]:
    """The form that is signed: keys in order, numbers without trailing zeros, lower case."""
    return _lower(msgspec.to_builtins(action))


def _lower(value: Any, key: str = "") -> Any:
    """Numbers and names within an action in their one form."""
    if isinstance(value, dict):
        return {k: _lower(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_lower(x) for x in value]
    if not isinstance(value, str):
        return value
    if key in ("p", "s"):
        return normal(value)
    return value.lower() if key in ("c", "cloid", "oid", "b") else value
