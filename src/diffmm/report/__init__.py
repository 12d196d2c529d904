"""What a run looked like: one self-contained page, charts made here, nothing fetched.

`write_page` loads the engine's packages, so it is found on first use; the live page does not.
"""

from typing import Any, TYPE_CHECKING

from . import live_page as live_page


if TYPE_CHECKING:
    from .page import write_page as write_page


def __getattr__(name: str) -> Any:
    if name != "write_page":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .page import write_page

    return write_page
