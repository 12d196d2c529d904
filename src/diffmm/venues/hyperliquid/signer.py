"""Signatures of trading actions, and the address that made one.

    data   = msgpack(action) || nonce (8 bytes) || 00, or 01 || vault || [00 || expires_after]
    digest = keccak(19 01 || domain || keccak(type || keccak(source) || keccak(data)))

An L1 action is signed as an EIP-712 `Agent(string source, bytes32 connectionId)`; `source` is "a"
on the main network and "b" everywhere else, a loopback venue included. The order of an action's
keys is part of the digest. Source: the venue's documentation; equal to its own SDK bit for bit.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import coincurve
import msgpack
from Crypto.Hash import keccak


CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
RECOVERY_BASE = 27
"""`v` of a signature is this plus the parity of the curve point."""
KEY_BYTES = 32
TRADING = frozenset(
    {
        "order",
        "cancel",
        "cancelByCloid",
        "modify",
        "batchModify",
        "scheduleCancel",
        "noop",
    }
)
"""Actions that the signer signs. None of them moves money out of the account."""

Signature = dict[str, str | int]
"""`{"r": hex, "s": hex, "v": 27 or 28}` as it goes over the wire."""


class SigningError(ValueError):
    """What must not or cannot be signed, or a signature that no key made; says which."""


def keccak256(data: bytes) -> bytes:
    """The hash of the chain: Keccak with 256 bits, which is not NIST's SHA-3."""
    return keccak.new(digest_bits=256, data=data).digest()


_DOMAIN = keccak256(
    keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak256(b"Exchange")
    + keccak256(b"1")
    + (1337).to_bytes(32, "big")
    + bytes(32)
)
_AGENT = keccak256(b"Agent(string source,bytes32 connectionId)")
_SOURCE = {True: keccak256(b"a"), False: keccak256(b"b")}


def action_hash(
    action: Mapping[str, Any], nonce: int, vault: str | None = None, expires_ms: int | None = None
) -> bytes:
    """`connectionId` of an action.

    Args:
        action: as it goes over the wire, keys in the venue's order.
        nonce: ms, unique per signer.
        vault: address that is traded for, `None` for the account itself.
        expires_ms: time after which the venue refuses the action.

    Raises:
        SigningError: for a nonce or time outside 64 bits, or a vault that is no address.
    """
    try:
        data = bytes(msgpack.packb(action) or b"") + nonce.to_bytes(8, "big")
        data += b"\x00" if vault is None else b"\x01" + _address_bytes(vault)
        if expires_ms is not None:
            data += b"\x00" + expires_ms.to_bytes(8, "big")
    except (OverflowError, ValueError, TypeError) as error:
        raise SigningError(f"an action that cannot be packed: {error}") from error
    return keccak256(data)


def digest(connection_id: bytes, is_mainnet: bool) -> bytes:
    """What the key signs."""
    agent = keccak256(_AGENT + _SOURCE[is_mainnet] + connection_id)
    return keccak256(b"\x19\x01" + _DOMAIN + agent)


def recover(
    action: Mapping[str, Any],
    signature: Mapping[str, Any],
    nonce: int,
    vault: str | None = None,
    expires_ms: int | None = None,
    is_mainnet: bool = False,
) -> str:
    """Address whose key made a signature, lower case.

    Recovery is not proof: any wrong byte gives another address, so the caller looks it up.

    Raises:
        SigningError: for a signature that no key can have made.
    """
    try:
        # The SDK drops leading zeros, so both are read as numbers.
        r, s, v = int(signature["r"], 16), int(signature["s"], 16), int(signature["v"])
        if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and v - RECOVERY_BASE in (0, 1)):
            raise ValueError(f"r, s or v out of range (v is {v})")
        packed = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v - RECOVERY_BASE])
        signed = digest(action_hash(action, nonce, vault, expires_ms), is_mainnet)
        public = coincurve.PublicKey.from_signature_and_message(packed, signed, hasher=None)
    # The curve library raises a bare Exception for a point that is not on the curve.
    except Exception as error:
        raise SigningError(f"Unable to recover signer: {error}") from error
    return address(public)


def address(public: coincurve.PublicKey) -> str:
    """The account of a public key, lower case: the last 20 bytes of its hash."""
    return "0x" + keccak256(public.format(compressed=False)[1:])[-20:].hex()


def throwaway(entropy: bytes) -> bytes:
    """A key for play money on a local venue; the same entropy gives the same one."""
    return keccak256(b"diffmm throwaway" + entropy)


class Signer:
    """The only holder of the key; it shows an address and signs trading actions, nothing else.

    **Attributes:**

    - `address`: of the key, lower case.
    - `is_mainnet`: which network its signatures are for.
    """

    __slots__ = ("__key", "address", "is_mainnet")

    def __init__(self, key: bytes | str, is_mainnet: bool = False):
        """Take a key of 32 bytes, or its hex with or without `0x`.

        Raises:
            SigningError: for anything else; the message does not repeat what was given.
        """
        try:
            raw = bytes.fromhex(key.strip().removeprefix("0x")) if isinstance(key, str) else key
            if len(raw) != KEY_BYTES:
                raise ValueError
            self.__key = coincurve.PrivateKey(raw)
        except Exception:
            # Neither the text nor a chained error may carry the key.
            raise SigningError("found no private key, expected 32 bytes as hex") from None
        self.address = address(self.__key.public_key)
        self.is_mainnet = is_mainnet

    def sign(
        self,
        action: Mapping[str, Any],
        nonce: int,
        vault: str | None = None,
        expires_ms: int | None = None,
    ) -> Signature:
        """Sign one trading action.

        Raises:
            SigningError: for any other kind of action.
        """
        if action.get("type") not in TRADING:
            known = ", ".join(sorted(TRADING))
            raise SigningError(f"action {action.get('type')!r} is not signed here; only {known}")
        signed = digest(action_hash(action, nonce, vault, expires_ms), self.is_mainnet)
        made = self.__key.sign_recoverable(signed, hasher=None)
        r, s = (int.from_bytes(part, "big") for part in (made[:32], made[32:64]))
        return {"r": hex(r), "s": hex(s), "v": made[64] + RECOVERY_BASE}

    def __repr__(self) -> str:
        """The address alone."""
        return f"Signer({self.address})"

    def __reduce__(self) -> NoReturn:
        """A key does not leave the process."""
        raise TypeError("a signer is not copied or stored")


def _address_bytes(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"address {text!r} has {len(raw)} bytes, expected 20")
    return raw
