"""The API for code that is not asynchronous: `flow.deploy` in a script or a notebook, and `kubectl flow`."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .api import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from .api import Api

T = TypeVar("T")


class Session:
    """A connection, and a loop of its own in a thread: it works where a loop runs already, as in a notebook.

        with connected(context="kind-dev") as session:
            run = session.call(session.api.get("flow-operator.io/v1alpha1", "FlowRun", session.namespace, "first"))

    Attributes:
        api: its methods are coroutines, for `call`.
        namespace: that of the kubeconfig's context.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, api: Api) -> None:
        self._loop = loop
        self.api = api
        self.namespace = api.namespace

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something and return what comes of it; an interrupt here ends it there."""
        return _call(self._loop, work)

    def collect(self, items: AsyncIterator[T]) -> list[T]:
        """Return all of a list that comes page by page."""

        async def all_of_them() -> list[T]:
            return [each async for each in items]

        return self.call(all_of_them())


@contextmanager
def connected(*, kubeconfig: str | None = None, context: str | None = None) -> Iterator[Session]:
    """Connect for the length of a block.

    Raises:
        NotConfigured: there is no usable kubeconfig.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kubernetes", daemon=True)
    thread.start()
    try:
        api = _call(loop, connect(kubeconfig=kubeconfig, context=context))
        try:
            yield Session(loop, api)
        finally:
            _call(loop, _finish(api))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _call(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _finish(api: Api) -> None:
    """End what an interrupt left behind, then hang up."""
    await _turns()  # a watch that was left half-way closes its answer in a task of its own: not to be cancelled below
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await api.close()
    await _turns()  # TLS takes a few turns to say goodbye; a loop that stops before leaves a socket open


async def _turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)
