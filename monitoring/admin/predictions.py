"""What was logged: predictions, what really happened, and the receipts over both."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from governance.admin.addresses import change
from governance.admin.display import (
    EMPTY,
    NBSP,
    Badge,
    at,
    code,
    count,
    figure,
    health,
    link,
    outcome,
    span,
)
from governance.admin.tenancy import (
    TenantAdmin,
    TenantFilter,
    choices_for,
    is_integer,
)
from governance.identifiers import decode
from governance.models import GovernanceStatus, RegisteredModel
from monitoring.models import GroundTruth, Prediction, Receipt


class OneModelFilter(TenantFilter):
    """Always one model: without it the newest rows of a tenant can't be found fast.

    The big table is indexed by model and time. Unless the address names a model, the
    one with the newest traffic is meant.
    """

    model = RegisteredModel
    column = "model"
    title = "model"
    parameter_name = "model"

    def value(self) -> str | None:
        asked = super().value()
        if asked:
            return str(asked)
        return str(self.newest.pk) if self.newest else None

    @property
    def chosen(self) -> RegisteredModel | None:
        """The model whose rows are listed, for the line above the list."""
        if not super().value():
            return self.newest
        value = self.value() or ""
        return self.rows.filter(pk=value).first() if is_integer(value) else None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.rows = choices_for(request, RegisteredModel)
        self.newest = self.rows.order_by(
            F("current_version__last_prediction_at").desc(nulls_last=True), "name"
        ).first()
        names = self.rows.order_by("name").values_list("pk", "name")
        return [(str(pk), name) for pk, name in names[: self.most]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # An id names one row, of whichever model.
        wanted = request.GET.get(SEARCH_VAR, "").strip()
        if not super().value() and any(
            identifier_of(wanted, prefix) for prefix in ("pred", "gt")
        ):
            return queryset
        return super().queryset(request, queryset)


class LoggedAdmin(TenantAdmin):
    """Rows that come by the million: never counted, found by id or entity."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_before_template = "admin/parts/one_model.html"
    sortable_by = ()
    search_fields = ("entity_id",)
    id_prefix = ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a row by its public id, its UUID or its entity; never by a part of it.

        A part would have to be looked for in every row.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        identifier = identifier_of(term, self.id_prefix)
        if identifier is not None:
            return queryset.filter(pk=identifier), False
        if "\0" in term:
            return queryset.none(), False
        return queryset.filter(entity_id=term), False


def identifier_of(text: str, prefix: str) -> uuid.UUID | None:
    try:
        if text.startswith(f"{prefix}_"):
            return decode(prefix, text)
        return uuid.UUID(text)
    except ValueError:
        return None


NOT_ASSESSED_THEN = (
    "Not assessed means that the version had not been judged yet at the time of the "
    "prediction; what was found of it later changes no earlier prediction."
)


@admin.register(Prediction)
class PredictionAdmin(LoggedAdmin):
    list_before_template = "admin/parts/predictions.html"
    list_display = (
        "public_id",
        "when",
        "shown_version",
        "shown_prediction",
        "shown_probability",
        "shown_entity",
        "shown_verdict",
    )
    list_filter = (OneModelFilter, ("timestamp", RangeDateTimeFilter))
    list_select_related = ("version",)
    search_help_text = "pred_… or the whole entity id"
    ordering = ("-timestamp",)
    id_prefix = "pred"
    fields = (
        "public_id",
        "model_link",
        "version_link",
        "receipt_link",
        "when",
        "shown_entity",
        "shown_prediction",
        "shown_probabilities",
        "latency",
        "shown_verdict",
        "verdict_note",
        "labels",
        "shown_features",
    )
    readonly_fields = fields

    @display(description="Prediction")
    def public_id(self, prediction: Prediction) -> Any:
        return code(prediction.public_id)

    @display(description="Event time")
    def when(self, prediction: Prediction) -> str:
        return f"{prediction.timestamp:%Y-%m-%d %H:%M:%S} UTC"

    @display(description="Version")
    def shown_version(self, prediction: Prediction) -> str:
        return prediction.version.version

    @display(description="Answer")
    def shown_prediction(self, prediction: Prediction) -> Any:
        return outcome(prediction.prediction)

    @display(description="Probability")
    def shown_probability(self, prediction: Prediction) -> str:
        return figure(prediction.probability_of_prediction)

    @display(description="Entity")
    def shown_entity(self, prediction: Prediction) -> Any:
        return code(prediction.entity_id, 40)

    @display(description="Health then")
    def shown_verdict(self, prediction: Prediction) -> Badge:
        return health(prediction.verdict)

    @display(description="About its health")
    def verdict_note(self, prediction: Prediction) -> str:
        if prediction.verdict == GovernanceStatus.NOT_ASSESSED:
            return NOT_ASSESSED_THEN
        return EMPTY

    @display(description="Model")
    def model_link(self, prediction: Prediction) -> Any:
        return link(prediction.model)

    @display(description="Version")
    def version_link(self, prediction: Prediction) -> Any:
        return link(prediction.version)

    @display(description="Receipt")
    def receipt_link(self, prediction: Prediction) -> Any:
        return link(prediction.receipt)

    @display(description="Probabilities")
    def shown_probabilities(self, prediction: Prediction) -> str:
        return ", ".join(figure(p, 4) for p in prediction.probabilities or ()) or EMPTY

    @display(description="Latency")
    def latency(self, prediction: Prediction) -> str:
        value = prediction.latency_ms
        return EMPTY if value is None else f"{figure(value)}{NBSP}ms"

    @display(description="What really happened")
    def labels(self, prediction: Prediction) -> Any:
        # Every label that ever came for it: a correction keeps the old one visible.
        labels = GroundTruth.objects.for_organization(
            prediction.organization_id
        ).filter(prediction_id=prediction.pk)
        rows = [
            (
                change(label),
                outcome(label.outcome),
                at(label.outcome_timestamp),
                ", replaced" if label.superseded else "",
            )
            for label in labels[:20]
        ]
        if not rows:
            return "not known yet"
        return format_html_join(
            "",
            '<div><a href="{}">{}</a> ({}{})</div>',
            rows,
        )

    @display(description="Features")
    def shown_features(self, prediction: Prediction) -> Any:
        features = prediction.decoded_features
        cells = format_html_join(
            "",
            '<tr><th scope="row">{}</th><td class="dg-number">{}</td></tr>',
            ((name, code(str(value), 200)) for name, value in features.items()),
        )
        return format_html('<table class="dg-table dg-dense">{}</table>', cells)


@admin.register(GroundTruth)
class GroundTruthAdmin(LoggedAdmin):
    list_display = (
        "public_id",
        "when",
        "shown_entity",
        "shown_outcome",
        "shown_match",
        "prediction_link",
        "state",
    )
    list_filter = (
        OneModelFilter,
        ("match", ChoicesDropdownFilter),
        ("outcome_timestamp", RangeDateTimeFilter),
    )
    search_help_text = "gt_… or the whole entity id"
    ordering = ("-id",)
    id_prefix = "gt"
    fields = (
        "public_id",
        "model",
        "receipt",
        "when",
        "prediction_timestamp",
        "shown_entity",
        "shown_outcome",
        "shown_match",
        "prediction_link",
        "state",
        "supersedes",
        "created_at",
    )
    readonly_fields = fields

    @display(description="Label")
    def public_id(self, label: GroundTruth) -> Any:
        return code(label.public_id)

    @display(description="Outcome time")
    def when(self, label: GroundTruth) -> str:
        return at(label.outcome_timestamp)

    @display(description="Entity")
    def shown_entity(self, label: GroundTruth) -> Any:
        return code(label.entity_id, 40)

    @display(description="Outcome")
    def shown_outcome(self, label: GroundTruth) -> Any:
        return outcome(label.outcome)

    @display(description="Match")
    def shown_match(self, label: GroundTruth) -> Badge:
        return MATCHES[GroundTruth.Match(label.match)]

    @display(description="State")
    def state(self, label: GroundTruth) -> Badge:
        if label.superseded:
            return Badge("calm", "history", "Replaced")
        return Badge("good", "check_circle", "Current")

    @display(description="Prediction")
    def prediction_link(self, label: GroundTruth) -> Any:
        if label.prediction_id is None:
            return EMPTY
        prediction = Prediction(id=label.prediction_id)
        return link(prediction)


MATCHES = {
    GroundTruth.Match.MATCHED: Badge("good", "link", "Matched"),
    GroundTruth.Match.AFTER_OUTCOME: Badge("warn", "history", "After the outcome"),
    GroundTruth.Match.AMBIGUOUS: Badge("warn", "call_split", "Ambiguous"),
    GroundTruth.Match.WAITING: Badge("calm", "hourglass_empty", "Waiting"),
}


@admin.register(Receipt)
class ReceiptAdmin(TenantAdmin):
    list_display = (
        "shown_id",
        "received",
        "shown_version",
        "kind",
        "shown_rows",
        "events",
        "sender_name",
        "state",
    )
    list_filter = (
        OneModelFilter,
        ("kind", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("received_at", RangeDateTimeFilter),
    )
    list_select_related = ("model", "version", "api_key", "user")
    paginator = InfinitePaginator
    show_full_result_count = False
    list_before_template = "admin/parts/one_model.html"
    sortable_by = ()
    fields = (
        "shown_id",
        "received",
        "model_link",
        "version_link",
        "kind",
        "channel",
        "environment",
        "shown_rows",
        "events",
        "sender",
        "state",
        "shown_digest",
        "shown_root",
    )
    readonly_fields = fields

    @display(description="Receipt")
    def shown_id(self, receipt: Receipt) -> Any:
        return code(receipt.public_id)

    @display(description="Received")
    def received(self, receipt: Receipt) -> str:
        return f"{receipt.received_at:%Y-%m-%d %H:%M:%S} UTC"

    @display(description="Version")
    def shown_version(self, receipt: Receipt) -> str:
        return receipt.version.version if receipt.version else "any"

    @display(description="Model")
    def model_link(self, receipt: Receipt) -> Any:
        return link(receipt.model, length=40)

    @display(description="Version")
    def version_link(self, receipt: Receipt) -> Any:
        return link(receipt.version, length=40)

    @display(description="Rows")
    def shown_rows(self, receipt: Receipt) -> str:
        return count(receipt.rows)

    @display(description="Events")
    def events(self, receipt: Receipt) -> str:
        return span(receipt.first_event, receipt.last_event)

    @display(description="Sent by")
    def sender(self, receipt: Receipt) -> str:
        return str(receipt.api_key or receipt.user or EMPTY)

    @display(description="Sent by")
    def sender_name(self, receipt: Receipt) -> str:
        return receipt.api_key.name if receipt.api_key else self.sender(receipt)

    @display(description="State")
    def state(self, receipt: Receipt) -> Badge:
        if receipt.quarantine_id is not None:
            return Badge("warn", "front_hand", "Quarantined")
        if receipt.pending:
            return Badge("calm", "hourglass_empty", "Waiting")
        return Badge("good", "check_circle", "Counted")

    @display(description="SHA-256 over the rows")
    def shown_digest(self, receipt: Receipt) -> Any:
        return code(bytes(receipt.digest).hex())

    @display(description="Merkle root over the rows")
    def shown_root(self, receipt: Receipt) -> Any:
        return code(bytes(receipt.merkle_root).hex())
