"""What the venue told us: typed messages in exact integers, instruments, and the Event record."""

from . import messages as messages
from .book import HostBook as HostBook
from .encoder import (
    AccountInputs as AccountInputs,
    Encoder as Encoder,
    EncoderConfig as EncoderConfig,
)
from .event import (
    Account as Account,
    ASK as ASK,
    BID as BID,
    Book as Book,
    Context as Context,
    Event as Event,
    Fill as Fill,
    Kind as Kind,
    Orders as Orders,
    Reference as Reference,
    Rules as Rules,
    SIDE_SIGN as SIDE_SIGN,
    Trade as Trade,
)
from .instrument import Instrument as Instrument, units as units
from .pack import Layout as Layout
from .tape import Tape as Tape
