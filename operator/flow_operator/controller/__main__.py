"""`python -m flow_operator.controller`."""

from .main import main

main()
