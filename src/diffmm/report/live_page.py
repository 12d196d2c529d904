"""The page of a run that is going on: one file that asks its own server for the state.

It holds no figure itself. Whatever the state says is put in as text, never as markup.
"""

import base64
import hashlib
import importlib.resources


STYLES = ("page.css", "live.css")
SCRIPT = "live.js"
BODY = """<main><h1><span class="mode" id="mode">-</span><span id="title">waiting</span></h1>
<p class="lead" id="lead"></p><div id="notices"></div><div id="controls" hidden></div>
<div class="tiles" id="tiles"></div><div id="charts"></div><div class="facts" id="facts"></div>
<h2>What was said</h2><pre id="recent"></pre></main>"""


def render() -> str:
    """The page as text; the same for every run."""
    style, script = "".join(map(_read, STYLES)), _read(SCRIPT)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>diffmm</title><style>{style}</style></head>"
        f"<body>{BODY}<script>{script}</script></body></html>\n"
    )


def policy() -> str:
    """What the page may do: run its own script, ask its own server, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_read(SCRIPT).encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _read(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")
