"""The journal in virtual time: what was written, what is on the disk, what a crash leaves."""

import hashlib

import msgspec

from diffmm.live import recovery


LEFT_OUT = frozenset({"line", "decision", "time", "fault", "denied", "command"})
"""Kinds of records that the fold of a run does not read; they count in the hash."""
COMPACT = 1_500


class Disk:
    """Records of all processes of one run.

    **Attributes:**

    - `records`: those that a recovery reads, since the newest whole state.
    - `durable`: how many of them would survive a loss of power.
    - `written`: of every kind.
    """

    def __init__(self, instrument, user):
        self.records, self.durable, self.written = [], 0, 0
        self._at, self._user, self._hash = instrument, user, hashlib.sha256()
        self._intents = set()

    def write(self, record):
        encoded = msgspec.json.encode(record)
        self._hash.update(encoded)
        self.written += 1
        if record["t"] not in LEFT_OUT:
            self.records.append(msgspec.json.decode(encoded))

    def sync(self):
        for record in self.records[self.durable :]:
            if record["t"] == "sent":
                self._intents |= {one[0] for one in record["orders"]}
        self.durable = len(self.records)

    def is_durable(self, cloid):
        """Whether the intent of an order would survive."""
        return cloid in self._intents

    def digest(self):
        """Hash of everything ever written, in order."""
        return self._hash.hexdigest()

    def crash(self, draw):
        """Records that were not synced are lost, or not: a prefix stays."""
        kept = draw.randint(self.durable, len(self.records))
        del self.records[kept:]
        self.sync()

    def fold(self):
        """What a new process would know."""
        return recovery.fold(self.records, self._at)

    def compact(self, known, now_ns):
        """Begin a new segment once this one is long."""
        if len(self.records) > COMPACT:
            self.records = [
                msgspec.json.decode(msgspec.json.encode(recovery.state(known, now_ns, self._user)))
            ]
            self._intents = {x.cloid for x in known.blotter.working()}
            self.durable = 1
