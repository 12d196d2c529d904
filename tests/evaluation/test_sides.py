"""Two-sidedness, and each reason for a missing side produced on purpose."""

import dataclasses

import numpy as np
import pytest

from diffmm.evaluation import sides
from diffmm.evaluation.costs import costs_bp, take
from diffmm.pricing import TERMS


def without_orders(surface, ours):
    """The surface as if we had no order yet: every quote is a message."""
    return dataclasses.replace(surface, is_valid=surface.is_valid & ~ours)


@pytest.fixture(scope="module")
def stacked(run):
    """Event, risk, surface, allocation, targets of decisions that pay on both sides."""
    tape, record = run
    index, _ = tape.frame_index()
    q = record.quotes
    stages = (
        tape.layout.unpack(tape.rows[index[:, -1]]),
        q.risk,
        q.surface,
        q.allocation,
        q.targets,
    )
    columns = q.surface.ticks.shape[2] - q.targets.lots.shape[2]
    ours = np.arange(q.surface.ticks.shape[2]) >= columns
    stages = (*stages[:2], without_orders(q.surface, ours), *stages[3:])
    pays = (q.surface.epnl_usd * q.surface.is_valid)[:, :, :columns].max(axis=2).min(axis=1)
    return tuple(take(x, np.flatnonzero(pays > 1e-3)[:5]) for x in stages)


def reasons(stacked, **changes):
    names = ("event", "risk", "surface", "allocation", "targets")
    parts = [
        dataclasses.replace(part, **changes.get(name, {}))
        for name, part in zip(names, stacked, strict=True)
    ]
    got = {sides.REASONS[i] for i in np.unique(sides.reasons(*parts))}
    assert len(got) == 1, got
    return got.pop()


def test_every_reason_is_found_where_it_is_the_only_one(stacked):
    _, risk, surface, allocation, _ = stacked
    n, zero = len(surface.size_usd), np.zeros_like
    free = {
        "message_usd": zero(allocation.message_usd),
        "gamma_dual": zero(allocation.gamma_dual),
        "cap_dual_bp": zero(allocation.cap_dual_bp),
        "cap_is_kelly": np.zeros((n, 2), bool),
    }
    flat = {"position_usd": zero(risk.position_usd), "room_usd": zero(risk.room_usd) + 1e4}
    ask = lambda **changes: reasons(
        stacked,
        **{
            "allocation": free | changes.pop("allocation", {}),
            "risk": flat | changes.pop("risk", {}),
            **changes,
        },
    )
    assert ask() == "min_notional"
    assert ask(allocation={"message_usd": allocation.message_usd + 1e6}) == "message"
    short = {"gamma_bp": surface.gamma_bp + 1}
    tight = {"gamma_dual": allocation.gamma_dual + 1e6}
    assert ask(allocation=tight, surface=short) == "gamma_limit"
    dual = allocation.cap_dual_bp + 1e6
    assert ask(allocation={"cap_dual_bp": dual}) == "inventory_room"
    kelly = {"cap_dual_bp": dual, "cap_is_kelly": np.ones((n, 2), bool)}
    assert ask(allocation=kelly) == "kelly"
    assert ask(risk={"room_usd": risk.room_usd * 0 + 1.0}) == "inventory_room"
    tight = {"kelly_usd": risk.kelly_usd * 0 + 1.0}
    assert ask(allocation={"cap_is_kelly": kelly["cap_is_kelly"]}, risk=tight) == "kelly"
    assert ask(targets={"is_valid": np.zeros(n, bool)}) == "health"
    # A quote that pays by its rebate alone would not pay without any fee either.
    costs = costs_bp(surface)
    others = costs.sum(axis=-1) - costs[..., TERMS.index("fee")]
    paid = surface.is_valid & (surface.fill * surface.edge_bp > others)
    fee = {"fee_bp": surface.fee_bp + 1e3, "epnl_usd": surface.epnl_usd - 1e3, "is_valid": paid}
    assert ask(surface=fee | {"net_bp": surface.net_bp - 1e3}) == "fee"


def test_an_order_that_stands_already_pays_no_message(stacked):
    event, risk, surface, allocation, targets = stacked
    dear = dataclasses.replace(
        allocation,
        message_usd=allocation.message_usd + 1e6,
        gamma_dual=0 * allocation.gamma_dual,
        cap_dual_bp=0 * allocation.cap_dual_bp,
    )
    slots = targets.lots.shape[2]
    cut = surface.ticks.shape[2] - slots
    valid = surface.is_valid.copy()
    ticks = surface.ticks.copy()
    epnl = np.where(valid, surface.epnl_usd, -np.inf)[:, :, :cut]
    valid[:, :, cut] = True
    ticks[:, :, cut] = np.take_along_axis(ticks, epnl.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    held = dataclasses.replace(surface, is_valid=valid, ticks=ticks)
    got = sides.reasons(event, risk, held, dear, targets)
    assert "message" not in {sides.REASONS[i] for i in np.unique(got)}
    got = sides.reasons(event, risk, surface, dear, targets)
    assert {"message"} == {sides.REASONS[i] for i in np.unique(got)}


def test_a_side_without_room_for_an_order_is_the_one_that_adds_inventory(stacked):
    risk, n = stacked[1], len(stacked[1].room_usd)
    allocation = dataclasses.replace(
        stacked[3],
        message_usd=np.zeros(n, np.float32),
        gamma_dual=np.zeros(n, np.float32),
        cap_dual_bp=np.zeros((n, 2), np.float32),
        cap_is_kelly=np.zeros((n, 2), bool),
    )
    long = dataclasses.replace(risk, position_usd=risk.room_usd)
    got = sides.reasons(stacked[0], long, stacked[2], allocation, stacked[4])
    assert {sides.REASONS[i] for i in got[:, 0]} == {"inventory_room"}
    assert {sides.REASONS[i] for i in got[:, 1]} == {"min_notional"}


def test_the_fraction_counts_targets_on_both_sides_below_half_the_room(stacked):
    event, risk, surface, allocation, targets = stacked
    n = len(risk.room_usd)
    lots = np.ones_like(targets.lots)
    lots[0, 1] = 0
    lots[1] = 0
    position = np.zeros_like(risk.position_usd)
    position[2] = risk.room_usd[2] / 2
    risk = dataclasses.replace(risk, position_usd=position)
    targets = dataclasses.replace(targets, lots=lots)
    got = sides.two_sided(event, risk, surface, allocation, targets)
    assert got.n == n - 1
    assert got.fraction == pytest.approx((n - 3) / (n - 1))
    assert sum(got.missing["bid"].values()) == 1
    assert sum(got.missing["ask"].values()) == 2
    assert got.main_reason in sides.REASONS


def test_without_a_two_sided_book_nothing_is_counted(stacked):
    event, *rest = stacked
    book = dataclasses.replace(event.book, is_valid=np.zeros_like(event.book.is_valid))
    got = sides.two_sided(dataclasses.replace(event, book=book), *rest)
    assert (got.n, got.fraction, got.main_reason) == (0, None, None)
