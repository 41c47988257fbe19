"""Watch what predicts: a decorator for functions, a wrapper for models."""

from __future__ import annotations

import copy
import functools
import inspect
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, TypeVar

from driftguard_client._encoding import Row
from driftguard_client.monitor import Monitor

F = TypeVar("F", bound=Callable[..., Any])


def watch(
    monitor: Monitor,
    *,
    features: Callable[..., Any] | None = None,
    prediction: Callable[[Any], Any] = lambda result: result,
    probabilities: Callable[[Any], Any] | None = None,
    entity_id: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Log every call of a function, which may be a coroutine, with its answer.

    `features` and `entity_id` are called with the function's own arguments,
    `prediction` and `probabilities` with its answer. Without `features` the first
    argument is taken if it is a mapping, else the arguments by their names. What goes
    wrong in logging never reaches the caller, and an exception of the function itself
    is not a prediction.
    """

    def decorate(function: F) -> F:
        read = features or _arguments_of(function)

        def log(args: Any, kwargs: Any, result: Any, begun: float) -> None:
            latency = (time.perf_counter() - begun) * 1000
            try:
                monitor.log(
                    read(*args, **kwargs),
                    prediction(result),
                    probabilities=probabilities and probabilities(result),
                    entity_id=entity_id and entity_id(*args, **kwargs),
                    latency_ms=latency,
                )
            except Exception as error:  # noqa: BLE001 (production goes on)
                monitor.refuse(1, f"a call can't be logged: {error}")

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                begun = time.perf_counter()
                result = await function(*args, **kwargs)
                log(args, kwargs, result, begun)
                return result

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            result = function(*args, **kwargs)
            log(args, kwargs, result, begun)
            return result

        return called  # type: ignore[return-value]

    return decorate


def _arguments_of(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    def read(*args: Any, **kwargs: Any) -> Any:
        if args and hasattr(args[0], "keys"):
            return args[0]
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {
            name: bound.arguments[name] for name in bound.arguments if name != "self"
        }

    return read


class WatchedModel:
    """A model with `predict`, as before, whose answers are logged.

    Parameters
    ----------
    model : object
        Anything with `predict` and, for classifiers, `predict_proba` and `classes_`.
    monitor : Monitor
        Where to log.
    on : {"predict", "predict_proba"}
        Which of the two is called in production: each of its calls is logged, calls of
        the other are not. With "predict" a classifier is asked for its probabilities
        too, which is a second pass; with "predict_proba" the likeliest class is logged.
    feature_names : sequence of str, optional
        The columns, where the model doesn't know them and the input doesn't say.
    entity_column : str, optional
        The column that names whom a row is about; it is no feature.

    All other attributes are the model's.
    """

    def __init__(
        self,
        model: Any,
        monitor: Monitor,
        *,
        on: str = "predict",
        feature_names: Sequence[str] | None = None,
        entity_column: str | None = None,
    ) -> None:
        if on not in ("predict", "predict_proba"):
            raise ValueError(f"on has to be predict or predict_proba, not {on!r}")
        self._model = model
        self._monitor = monitor
        self._on = on
        self._names = feature_names
        self._entity_column = entity_column

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803
        begun = time.perf_counter()
        answer = self._model.predict(self._inputs(X), *args, **kwargs)
        if self._on == "predict":
            latency = time.perf_counter() - begun
            self._log(X, answer, self._probabilities(X), latency)
        return answer

    def predict_proba(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803
        begun = time.perf_counter()
        answer = self._model.predict_proba(self._inputs(X), *args, **kwargs)
        if self._on == "predict_proba":
            latency = time.perf_counter() - begun
            self._log(X, None, answer, latency)
        return answer

    def _inputs(self, X: Any) -> Any:  # noqa: N803
        if self._entity_column is None or not hasattr(X, "drop"):
            return X
        return X.drop(columns=[self._entity_column])

    def _probabilities(self, X: Any) -> Any:  # noqa: N803
        try:
            return self._model.predict_proba(self._inputs(X))
        except Exception:  # noqa: BLE001 (a regression, or a classifier without them)
            return None

    def _log(self, X: Any, answer: Any, shares: Any, seconds: float) -> None:  # noqa: N803
        try:
            count = len(X)
            # The caller may go on to change its own; rows are made in the background.
            table, answer, shares = copy.copy(X), copy.copy(answer), copy.copy(shares)
            if hasattr(X, "copy"):
                table = X.copy()
            latency = seconds * 1000 / max(1, count)
            at = time.time()
            rows = functools.partial(self._rows, table, answer, shares, latency, at)
            self._monitor.log_many(count, rows)
        except Exception as error:  # noqa: BLE001 (production goes on)
            self._monitor.refuse(1, f"an input can't be logged: {error}")

    def _rows(
        self, table: Any, answer: Any, shares: Any, latency: float, at: float
    ) -> Iterator[Row]:
        if answer is None:
            classes = getattr(self._model, "classes_", range(len(shares[0])))
            answer = [
                classes[max(range(len(row)), key=row.__getitem__)] for row in shares
            ]
        for position, features in enumerate(self._features(table)):
            entity = features.pop(self._entity_column, None)
            yield Row(
                at,
                features,
                answer[position],
                None if shares is None else shares[position],
                None if entity is None else str(entity),
                latency,
                self._monitor.version,
            )

    def _features(self, table: Any) -> Iterable[Any]:
        if hasattr(table, "to_dict"):
            return list(table.to_dict("records"))
        if len(table) and hasattr(table[0], "keys"):
            return [dict(row) for row in table]
        names = self._columns(len(table[0]) if len(table) else 0)
        return [dict(zip(names, row)) for row in table]

    def _columns(self, width: int) -> list[str]:
        names = self._names
        if names is None:
            names = getattr(self._model, "feature_names_in_", None)
        if names is None:
            names = [f"x{number}" for number in range(width)]
        return [str(name) for name in names]
