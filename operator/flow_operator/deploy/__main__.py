"""`python -m flow_operator.deploy`: the same as `kubectl flow`."""

from .cli import main

if __name__ == "__main__":
    main()
