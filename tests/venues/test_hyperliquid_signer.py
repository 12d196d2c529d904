"""Our signatures are those of the venue's own SDK, bit for bit; and the key stays where it is."""

import base64
import copy
import json
import pickle

import pytest
from eth_account import Account
from hyperliquid.utils import signing as sdk
from hypothesis import given, settings, strategies as st

from diffmm.venues.hyperliquid.signer import (
    action_hash,
    recover,
    Signer,
    SigningError,
    throwaway,
)


KEY = "22" * 32
ADDRESS = "0x1563915e194d8cfba1943570603f7606a3115508"
ORDER = {
    "type": "order",
    "orders": [
        {
            "a": 0,
            "b": True,
            "p": "60000",
            "s": "0.001",
            "r": False,
            "t": {"limit": {"tif": "Alo"}},
            "c": "0x00000000000000000000000000000007",
        }
    ],
    "grouping": "na",
}

cloids = st.integers(0, 2**128 - 1).map(lambda x: f"0x{x:032x}")
numbers = st.integers(1, 10**12).map(str) | st.decimals("0.0001", "99999", places=4).map(str)
assets = st.integers(0, 10) | st.integers(110_000, 120_000)
orders = st.builds(
    lambda a, b, p, s, r, tif, c: {
        **{"a": a, "b": b, "p": p, "s": s, "r": r, "t": {"limit": {"tif": tif}}},
        **({"c": c} if c else {}),
    },
    *(assets, st.booleans(), numbers, numbers, st.booleans()),
    st.sampled_from(["Alo", "Ioc", "Gtc"]),
    st.none() | cloids,
)
listed = lambda kind, name, one: st.lists(one, min_size=1, max_size=5).map(
    lambda many: {"type": kind, name: many}
)
oids = st.integers(0, 2**48)
actions = st.one_of(
    listed("order", "orders", orders).map(lambda x: {**x, "grouping": "na"}),
    listed("cancel", "cancels", st.fixed_dictionaries({"a": assets, "o": oids})),
    listed("cancelByCloid", "cancels", st.fixed_dictionaries({"asset": assets, "cloid": cloids})),
    listed(
        "batchModify", "modifies", st.fixed_dictionaries({"oid": oids | cloids, "order": orders})
    ),
    st.builds(lambda t: {"type": "scheduleCancel", "time": t}, st.integers(0, 2**45)),
    st.just({"type": "scheduleCancel"}),
    st.just({"type": "noop"}),
)
keys = st.integers(1, 2**255).map(lambda x: f"{x:064x}")
vaults = st.none() | st.integers(0, 2**160 - 1).map(lambda x: f"0x{x:040x}")
stamps = st.integers(0, 2**63)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(keys, actions, vaults, stamps, st.none() | stamps, st.booleans())
def test_a_signature_is_the_sdks_to_the_last_bit(key, action, vault, nonce, expires, is_mainnet):
    ours = Signer(key, is_mainnet).sign(action, nonce, vault, expires)
    wallet = Account.from_key("0x" + key)
    assert ours == sdk.sign_l1_action(wallet, action, vault, nonce, expires, is_mainnet)
    told = recover(action, ours, nonce, vault, expires, is_mainnet)
    assert told == wallet.address.lower() == Signer(key).address


@pytest.mark.parametrize(
    ("vault", "expires", "hashed", "r"),
    [
        (
            None,
            None,
            "738c8893efd296de64ce310c1b4ab1c01e3d7bbe0d70f8750b88b255ce23ea04",
            "4ca8bc79",
        ),
        (
            "ab" * 20,
            None,
            "5ea5b815b823eaae386da0ce04f5481fb190f7ce2059d0f6f60d32ec7e808014",
            "c1b7",
        ),
        (
            None,
            1800000000000,
            "ce84e0ee8386dce326bede2e4163a8846d8895b5d294b657971783a8f8218189",
            "7",
        ),
    ],
)
def test_known_vectors_are_reproduced(vault, expires, hashed, r):
    nonce, vault = 1790000000000, vault and "0x" + vault
    assert action_hash(ORDER, nonce, vault, expires).hex() == hashed
    made = Signer(KEY).sign(ORDER, nonce, vault, expires)
    assert made["r"].startswith("0x" + r)
    assert Signer(KEY).address == ADDRESS


def test_another_byte_is_another_address():
    made = Signer(KEY).sign(ORDER, 5)
    assert recover(ORDER, made, 5) == ADDRESS
    assert recover(ORDER, made, 6) != ADDRESS
    assert recover(ORDER, made, 5, is_mainnet=True) != ADDRESS


@pytest.mark.parametrize(
    "change", [{"r": "0x0"}, {"s": "0x" + "f" * 64}, {"v": 29}, {"r": "no"}, {"r": None}]
)
def test_a_signature_that_no_key_made_is_refused_in_words(change):
    made = {**Signer(KEY).sign(ORDER, 5), **change}
    with pytest.raises(SigningError, match="Unable to recover signer"):
        recover(ORDER, made, 5)


@pytest.mark.parametrize("kind", ["usdSend", "withdraw3", "approveAgent", "vaultTransfer", None])
def test_nothing_that_moves_money_is_signed(kind):
    with pytest.raises(SigningError, match="only batchModify, cancel"):
        Signer(KEY).sign({"type": kind, "amount": "1"}, 5)


def test_the_key_is_in_no_text_and_in_no_copy():
    signer = Signer("0x" + KEY)
    raw = bytes.fromhex(KEY)
    seen = "".join([repr(signer), str(signer), f"{signer!r}", json.dumps(signer.address)])
    for form in (KEY, base64.b64encode(raw).decode(), str(int(KEY, 16)), repr(raw)):
        assert form not in seen
    assert not hasattr(signer, "__dict__")
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            copied(signer)


@pytest.mark.parametrize("wrong", ["", "22", "zz" * 32, "00" * 32, "22" * 33, b"2" * 31])
def test_what_is_no_key_is_refused_without_repeating_it(wrong):
    with pytest.raises(SigningError) as refused:
        Signer(wrong)
    assert refused.value.__cause__ is None
    assert not wrong or str(wrong) not in str(refused.value)


def test_a_throwaway_key_is_its_entropys():
    assert Signer(throwaway(b"a")).address == Signer(throwaway(b"a")).address
    assert Signer(throwaway(b"a")).address != Signer(throwaway(b"b")).address
