"""`python -m flow_operator.images`: see `program.py`."""

import sys

# httpx imports its own command line (click, rich, pygments) where those are installed: 190 ms of this program's
# 350. A None here is Python's way of saying "this module cannot be imported", which httpx is prepared for.
sys.modules["httpx._main"] = None  # type: ignore[assignment]

from flow_operator.images.program import main  # noqa: E402 - after the line above

if __name__ == "__main__":
    sys.exit(main())
