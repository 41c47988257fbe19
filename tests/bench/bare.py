"""What the single predictions are measured against: granian, Django and an INSERT.

No authentication, no middleware, no validation beyond msgspec's types, no receipts;
but the same group commit: requests that arrive together share a transaction.
"""

import os
import threading
from collections import deque
from typing import Any

import msgspec
import psycopg2
import psycopg2.extras
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from governance.identifiers import uuid7

settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[]
)


class Body(msgspec.Struct):
    model_id: int
    input_features: msgspec.Raw
    prediction: float
    timestamp: str


decoder = msgspec.json.Decoder(Body)
INSERT = (
    "INSERT INTO monitoring_prediction (id, organization_id, model_id, version_id, "
    'receipt_id, "timestamp", features, prediction, verdict) VALUES %s'
)
ROW = "(%s::uuid, 1, %s, 1, %s::uuid, %s, %s, %s, 'APPROVED')"


class Group:
    def __init__(self) -> None:
        self.arrived = threading.Condition()
        self.queue: deque[tuple[tuple[Any, ...], threading.Lock]] = deque()
        self.thread: threading.Thread | None = None

    def add(self, row: tuple[Any, ...]) -> None:
        done = threading.Lock()
        done.acquire()
        with self.arrived:
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, daemon=True)
                self.thread.start()
            self.queue.append((row, done))
            self.arrived.notify()
        done.acquire()

    def run(self) -> None:
        connection = psycopg2.connect(os.environ["BARE_DSN"])
        while True:
            with self.arrived:
                while not self.queue:
                    self.arrived.wait()
                taken = list(self.queue)
                self.queue.clear()
            with connection.cursor() as cursor:
                psycopg2.extras.execute_values(
                    cursor, INSERT, [row for row, _ in taken], ROW
                )
            connection.commit()
            for _, done in taken:
                done.release()


group = Group()


def log(request: HttpRequest) -> HttpResponse:
    body = decoder.decode(request.body)
    pk = str(uuid7())
    features = bytes(body.input_features).decode()
    group.add((pk, body.model_id, pk, body.timestamp, features, str(body.prediction)))
    answer = msgspec.json.encode({"id": pk})
    return HttpResponse(
        answer,
        status=201,
        content_type="application/json",
        headers={"Content-Length": str(len(answer))},
    )


urlpatterns = [path("api/logs/prediction", log)]
application = get_wsgi_application()
