"""The room that builds and pushes images: layers on top of a base, without a daemon, root or privilege.

`build.Builder` is the interface, `build.LayersBuilder` the default kind, `python -m flow_operator.images` the
program of the builder pod. Importing this package loads nothing else.
"""
