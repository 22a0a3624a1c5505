"""What can be wrong with a flow before any of its code runs."""


class FlowInvalid(ValueError):
    """A flow that cannot run as it is written: no tasks, a cycle, a signature that JSON parameters cannot fill."""


class ParameterError(TypeError):
    """Parameters that do not fit the flow: unknown, missing, or of another type."""
