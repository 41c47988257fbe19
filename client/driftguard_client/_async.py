"""The calls of `client.py`, awaited; made from it by tools/make_async.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Union

import httpx

from driftguard_client._protocol import (
    Call,
    Settings,
    answer_of,
    part,
    wait_before,
)
from driftguard_client.errors import UnavailableError, UnreachableError

Reference = Union[int, str]  # a model's number or slug
Json = dict[str, Any]
Moment = Union[datetime, str]


def _text(moment: date | Moment | None) -> str | None:
    return moment.isoformat() if isinstance(moment, date) else moment


class AsyncDriftGuard:
    """A client of one DriftGuard server.

    Parameters
    ----------
    url : str, optional
        Where the server is; else the environment's DRIFTGUARD_URL.
    api_key : str, optional
        An API key or an access token; else the environment's DRIFTGUARD_API_KEY.
    timeout : float
        Seconds that one attempt may take.
    retries : int
        How often a request is repeated while the server can't be reached or can't
        answer. Repetitions carry the same Idempotency-Key: what is stored is stored
        once.

    Every method raises `ApiError` where the server refuses, and `UnreachableError`
    where no answer came. A client may be shared by tasks of one event loop.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = Settings.of(url, api_key, timeout, retries)
        self._http = httpx.AsyncClient(
            base_url=self.settings.url,
            headers=self.settings.headers,
            timeout=timeout,
            transport=transport,
        )

    async def __aenter__(self) -> AsyncDriftGuard:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call) -> Any:
        """Send a request, again while that may help, and return its decoded answer."""
        for attempt in range(self.settings.attempts):
            try:
                return answer_of(await self._http.request(**call.arguments), call.raw)
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                failure: Exception = UnreachableError(
                    f"{self.settings.url} gave no answer: {reason}"
                )
                failure.__cause__ = error
            except UnavailableError as error:
                failure = error
            if attempt + 1 < self.settings.attempts:
                await asyncio.sleep(wait_before(attempt, failure))
        raise failure

    async def download(
        self, path: str, target: Path, query: Mapping[str, Any] | None = None
    ) -> None:
        """Write an answer to a file as it comes, whatever its size.

        The file is there only once it is whole.
        """
        draft = target.with_name(target.name + ".part")
        try:
            async with self._http.stream("GET", path, params=query) as response:
                if not response.is_success:
                    await response.aread()
                    answer_of(response)
                with draft.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
            draft.replace(target)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{path} broke off: {error}") from error
        finally:
            draft.unlink(missing_ok=True)

    # Registration and sign-in

    async def register_organization(self, name: str) -> Json:
        """Make an organization; `api_key` of the answer is shown this once."""
        return await self.send(Call("POST", "/auth/register", body={"name": name}))

    async def register_user(self, email: str, password: str, name: str) -> Json:
        """Make a user with an organization of their own."""
        body = {"email": email, "password": password, "name": name}
        return await self.send(Call("POST", "/api/auth/register", body=body))

    async def login(
        self, username: str, password: str, organization: str | None = None
    ) -> Json:
        """Return tokens; pass `access_token` as the `api_key` of another client."""
        body = {
            "username": username,
            "password": password,
            "organization": organization,
        }
        return await self.send(Call("POST", "/api/auth/login", body=body))

    async def refresh(self, refresh_token: str) -> Json:
        """Return new tokens for a refresh token, which then is used up."""
        body = {"refresh_token": refresh_token}
        return await self.send(Call("POST", "/api/auth/refresh", body=body))

    async def logout(self, refresh_token: str) -> None:
        """End the session that a refresh token belongs to."""
        body = {"refresh_token": refresh_token}
        await self.send(Call("POST", "/api/auth/logout", body=body))

    # The registry

    async def register_model(
        self, model_name: str, version: str, **fields: Any
    ) -> Json:
        """Register a model or a new version; `fields` as in POST /api/models."""
        body = {"model_name": model_name, "version": version, **fields}
        return await self.send(Call("POST", "/api/models", body=body))

    async def quick_register_model(
        self,
        name: str,
        version: str,
        features: Sequence[Mapping[str, Any]] = (),
        **fields: Any,
    ) -> Json:
        """Register a model in the Quick start's words."""
        body = {"name": name, "version": version, "features": list(features), **fields}
        return await self.send(Call("POST", "/models", body=body))

    async def models(self, **filters: Any) -> Json:
        """Return a page of models; `cursor=` of the answer's `next` leads on."""
        return await self.send(Call("GET", "/api/models", query=filters))

    async def model(self, model: Reference) -> Json:
        """Return a model with its shown version."""
        return await self.send(Call("GET", f"/api/models/{part(model)}"))

    async def update_model(self, model: Reference, **fields: Any) -> Json:
        """Change a model's own fields."""
        return await self.send(Call("PATCH", f"/api/models/{part(model)}", body=fields))

    async def versions(
        self, model: Reference, *, limit: int = 100, offset: int = 0
    ) -> Json:
        """Return the versions of a model, newest first."""
        query = {"limit": limit, "offset": offset}
        return await self.send(
            Call("GET", f"/api/models/{part(model)}/versions", query=query)
        )

    # Predictions and outcomes

    async def log_prediction(
        self,
        model: Reference,
        input_features: Mapping[str, Any],
        prediction: Any,
        *,
        timestamp: Moment | None = None,
        **fields: Any,
    ) -> Json:
        """Log one prediction; when this returns, it is on the server's disk."""
        body = {
            "model_id": model,
            "input_features": input_features,
            "prediction": prediction,
            "timestamp": _text(timestamp),
            **fields,
        }
        return await self.send(Call("POST", "/api/logs/prediction", body=body))

    async def log_predictions(
        self,
        predictions: Iterable[Mapping[str, Any]],
        *,
        model: Reference | None = None,
        on_error: str = "fail",
        idempotency_key: str | None = None,
    ) -> Json:
        """Log up to 10,000 rows: all or none, or with ``on_error="skip"`` the good."""
        call = Call(
            "POST",
            "/api/logs/prediction/batch",
            query={"on_error": on_error},
            body={"model_id": model, "predictions": list(predictions)},
            key=idempotency_key,
        )
        return await self.send(call)

    async def upload_predictions(
        self, model: Reference, content: bytes, media: str, *, on_error: str = "fail"
    ) -> Json:
        """Log the rows of a file: `text/csv` or `application/vnd.apache.parquet`."""
        call = Call(
            "POST",
            "/api/logs/prediction/batch",
            query={"model_id": model, "on_error": on_error},
            content=content,
            media=media,
        )
        return await self.send(call)

    async def quick_log_predictions(
        self, model: Reference, predictions: Iterable[Mapping[str, Any]]
    ) -> Json:
        """Log predictions in the Quick start's words; answers their ids."""
        call = Call(
            "POST",
            f"/api/v1/models/{part(model)}/predictions",
            body={"predictions": list(predictions)},
        )
        return await self.send(call)

    async def drift_log_prediction(
        self,
        model: Reference,
        features: Mapping[str, Any],
        prediction: Any,
        **fields: Any,
    ) -> Json:
        """Log one prediction in the Drift dialect's words (`entityId`, …)."""
        body = {
            "modelId": model,
            "features": features,
            "prediction": str(prediction),
            **fields,
        }
        return await self.send(Call("POST", "/api/v1/drift/predictions", body=body))

    async def prediction(self, prediction_id: str) -> Json:
        """Return a logged prediction."""
        return await self.send(
            Call("GET", f"/api/logs/prediction/{part(prediction_id)}")
        )

    async def set_label(
        self,
        prediction_id: str,
        actual_label: Any,
        *,
        known_at: Moment | None = None,
    ) -> Json:
        """Tell what really happened, by the prediction's id; a later one corrects."""
        body = {
            "actual_label": actual_label,
            "timestamp_actual_known": _text(known_at),
        }
        return await self.send(
            Call("PUT", f"/api/logs/prediction/{part(prediction_id)}", body=body)
        )

    async def predictions(
        self,
        model: Reference,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        has_ground_truth: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Json:
        """Return logged predictions, newest first, with their `total`."""
        query = {
            "modelId": model,
            "startDate": _text(start),
            "endDate": _text(end),
            "hasGroundTruth": has_ground_truth,
            "limit": limit,
            "offset": offset,
        }
        return await self.send(Call("GET", "/api/v1/drift/predictions", query=query))

    async def unmatched_predictions(
        self, model: Reference, *, limit: int = 100
    ) -> list[Json]:
        """Return predictions that still wait for their outcome."""
        query = {"modelId": model, "limit": limit}
        found = await self.send(
            Call("GET", "/api/v1/drift/predictions/unmatched", query=query)
        )
        return list(found["predictions"])

    async def log_ground_truth(
        self, model: Reference, entity_id: str, actual_outcome: Any, **fields: Any
    ) -> Json:
        """Tell one outcome by its entity; `predictionId` in `fields` beats it."""
        body = {
            "modelId": model,
            "entityId": entity_id,
            "actualOutcome": str(actual_outcome),
            **fields,
        }
        return await self.send(Call("POST", "/api/v1/drift/ground-truth", body=body))

    async def log_ground_truths(
        self,
        model: Reference,
        records: Iterable[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
    ) -> Json:
        """Tell up to 10,000 outcomes (`entityId`, `actualOutcome`, …)."""
        call = Call(
            "POST",
            "/api/v1/drift/ground-truth/batch",
            body={"modelId": model, "records": list(records)},
            key=idempotency_key,
        )
        return await self.send(call)

    # Baselines

    async def create_baseline(
        self,
        model: Reference,
        version: str,
        feature_data: Mapping[str, Sequence[Any]],
        **sections: Any,
    ) -> Json:
        """Send what the model's inputs looked like when all was well."""
        body = {
            "modelId": model,
            "version": version,
            "featureData": feature_data,
            **sections,
        }
        return await self.send(Call("POST", "/api/v1/drift/baselines", body=body))

    async def upload_baseline(
        self,
        model: Reference,
        version: str,
        content: bytes,
        media: str,
        *,
        model_version: str | None = None,
    ) -> Json:
        """Send a baseline as a file: `text/csv` or `application/vnd.apache.parquet`."""
        query = {"modelId": model, "version": version, "modelVersion": model_version}
        call = Call(
            "POST", "/api/v1/drift/baselines", query=query, content=content, media=media
        )
        return await self.send(call)

    async def baselines(self, model: Reference) -> list[Json]:
        """Return a model's baselines, newest first."""
        found = await self.send(
            Call("GET", "/api/v1/drift/baselines", query={"modelId": model})
        )
        return list(found["baselines"])

    async def active_baseline(self, model: Reference) -> Json:
        """Return the baseline that predictions are compared with."""
        return await self.send(
            Call("GET", "/api/v1/drift/baselines/active", query={"modelId": model})
        )

    async def activate_baseline(self, model: Reference, baseline_id: str) -> Json:
        """Compare with this baseline from now on."""
        path = f"/api/v1/drift/baselines/{part(baseline_id)}/activate"
        return await self.send(Call("PUT", path, body={"modelId": model}))

    # What was measured

    async def status(self, model: Reference) -> Json:
        """Return the model's health, risk and the reasons."""
        return await self.send(Call("GET", f"/api/models/{part(model)}/status"))

    async def drift(self, model: Reference) -> Json:
        """Return the live drift, column by column."""
        return await self.send(Call("GET", f"/api/models/{part(model)}/drift"))

    async def quick_drift(self, model: Reference) -> Json:
        """Return the live drift under the Quick start's address."""
        return await self.send(Call("GET", f"/models/{part(model)}/drift/current"))

    async def risk_history(self, model: Reference, *, limit: int = 100) -> list[Json]:
        """Return the risk scores, newest first."""
        query = {"limit": limit}
        return list(
            await self.send(
                Call("GET", f"/api/models/{part(model)}/risk-history", query=query)
            )
        )

    async def performance(
        self,
        model: Reference,
        *,
        window_days: int = 30,
        granularity: str = "daily",
    ) -> list[Json]:
        """Return realized and estimated performance over time."""
        query = {
            "modelId": model,
            "windowDays": window_days,
            "granularity": granularity,
        }
        found = await self.send(Call("GET", "/api/v1/drift/performance", query=query))
        return list(found["history"])

    async def fairness(self, model: Reference) -> Json:
        """Return fairness by protected attribute and group."""
        return await self.send(Call("GET", f"/api/models/{part(model)}/fairness"))

    async def analyze(
        self,
        model: Reference,
        *,
        window_days: int | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> Json:
        """Start an analysis with the whole registry of algorithms; answers its job."""
        body = {
            "modelId": model,
            "windowDays": window_days,
            "windowStart": _text(start),
            "windowEnd": _text(end),
        }
        return await self.send(Call("POST", "/api/v1/drift/analyze", body=body))

    async def analysis(self, model: Reference, job_id: str) -> Json:
        """Return how far an analysis is."""
        path = f"/api/v1/drift/analyze/{part(job_id)}/status"
        return await self.send(Call("GET", path, query={"modelId": model}))

    async def latest_result(self, model: Reference) -> Json:
        """Return the newest drift result."""
        return await self.send(
            Call("GET", "/api/v1/drift/results/latest", query={"modelId": model})
        )

    async def results(
        self, model: Reference, *, status: str | None = None, limit: int = 50
    ) -> list[Json]:
        """Return drift results, newest first."""
        query = {"modelId": model, "status": status, "limit": limit}
        found = await self.send(Call("GET", "/api/v1/drift/results", query=query))
        return list(found["results"])

    async def algorithms(self) -> Json:
        """Return every algorithm with what its score means and its defaults."""
        return await self.send(Call("GET", "/api/v1/drift/algorithms"))

    async def alerts(self, model: Reference) -> Json:
        """Return the model's alert configuration."""
        return await self.send(
            Call("GET", "/api/v1/drift/alerts", query={"modelId": model})
        )

    async def set_alerts(self, model: Reference, **configuration: Any) -> Json:
        """Replace the model's alert configuration."""
        body = {"modelId": model, **configuration}
        return await self.send(Call("PUT", "/api/v1/drift/alerts", body=body))

    async def preview_alerts(self, model: Reference, **configuration: Any) -> Json:
        """Tell how often a configuration would have alerted over the last 90 days."""
        body = {"modelId": model, **configuration}
        return await self.send(Call("POST", "/api/v1/drift/alerts/preview", body=body))

    # Governance and inference

    async def gate(
        self,
        model: Reference,
        *,
        version: str | None = None,
        environment: str | None = None,
    ) -> Json:
        """Ask the deployment gate, without deploying; answers its `gate` either way."""
        return await self._deploy(model, version, environment, dry_run=True)

    async def deploy(
        self,
        model: Reference,
        *,
        version: str | None = None,
        environment: str | None = None,
        override: bool = False,
    ) -> Json:
        """Deploy a version; raises `ConflictError` with the failed rules if denied."""
        return await self._deploy(model, version, environment, override=override)

    async def _deploy(
        self,
        model: Reference,
        version: str | None,
        environment: str | None,
        *,
        override: bool = False,
        dry_run: bool | None = None,
    ) -> Json:
        call = Call(
            "POST",
            f"/api/models/{part(model)}/deploy",
            query={"dry_run": dry_run},
            body={
                "version": version,
                "environment": environment,
                "override": override,
            },
        )
        return await self.send(call)

    async def permit(self, model: Reference) -> Json:
        """Return a signed permit, which `driftguard_client.permit` checks offline."""
        return await self.send(Call("GET", f"/api/models/{part(model)}/permit"))

    async def predict(
        self, model: Reference, instances: Sequence[Mapping[str, Any]]
    ) -> Json:
        """Let the deployed artifact predict; refused while the model is blocked."""
        call = Call(
            "POST",
            f"/api/v1/models/{part(model)}/predict",
            body={"instances": list(instances)},
        )
        return await self.send(call)
