"""One server of moto's on loopback, shared by every test that talks to AWS over HTTP.

Moto answers requests on several threads without locks: two additions to one number may both give
the same, which DynamoDB and S3 never do. Here requests are answered one after another. Moto also
keeps every object that it ever made, overwritten ones and the copies that it makes of a table for
each transaction included: gigabytes after some runs of the platform. Here it lets go of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server


class _OneAtATime:
    """A WSGI application that answers whole requests, each before the next begins."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        with self._lock:
            answer = list(self._application(environ, start_response))
            reset_model_data()
            return answer


@contextmanager
def moto_server() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1 and give its address; stop it at the end."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="moto")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
