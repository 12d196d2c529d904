"""What a run looked like: one self-contained page, charts made here, nothing fetched."""

from .page import write_page as write_page
