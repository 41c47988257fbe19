"""How the admin looks and what its navigation lists (django-unfold's settings)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy


def style_sheet(_request: HttpRequest) -> str:
    return static("driftguard/admin.css")


def favicon(_request: HttpRequest) -> str:
    return static("driftguard/favicon.svg")


def organization_name(request: HttpRequest) -> str:
    # Models can't be imported while the settings are being read.
    from governance.admin.tenancy import seat_of

    seat = seat_of(request) if hasattr(request, "user") else None
    return seat.organization.name if seat else ""


def switcher(request: HttpRequest) -> list[dict[str, Any]]:
    """Offer the switcher only to whoever belongs to several organizations."""
    from governance.admin.tenancy import seat_of

    seat = seat_of(request) if hasattr(request, "user") else None
    if seat is None or len(seat.organizations) < 2:
        return []
    return [
        {
            "icon": "swap_horiz",
            "title": "Switch organization",
            "link": reverse("admin:organizations"),
        }
    ]


def may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    """Show an entry of the navigation to those who may open it."""

    def permission(request: HttpRequest) -> bool:
        from django.apps import apps
        from django.contrib import admin

        model_admin = admin.site.get_model_admin(apps.get_model(app, model))
        return bool(model_admin.has_view_permission(request))

    return permission


def page(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": may_view(app, model),
    }


NAVIGATION = [
    {
        "title": "",
        "items": [
            {
                "title": "Command center",
                "icon": "monitoring",
                "link": reverse_lazy("admin:index"),
            },
            {
                "title": "Portfolio",
                "icon": "deployed_code",
                "link": reverse_lazy("dashboard"),
            },
            {
                "title": "Approvals",
                "icon": "how_to_vote",
                "link": reverse_lazy("approvals"),
            },
            page("Findings", "flag", "governance", "finding"),
            page("Deployments", "rocket_launch", "governance", "deployment"),
            page("Overrides", "lock_open", "governance", "override"),
        ],
    },
    {
        "title": "Traffic",
        "separator": True,
        "items": [
            page("Predictions", "online_prediction", "monitoring", "prediction"),
            page("Ground truth", "fact_check", "monitoring", "groundtruth"),
            page("Receipts", "receipt_long", "monitoring", "receipt"),
        ],
    },
    {
        "title": "Evidence",
        "separator": True,
        "items": [
            page("Versions", "account_tree", "governance", "modelversion"),
            page("Baselines", "straighten", "monitoring", "baseline"),
            page("Analyses", "science", "monitoring", "analysisrun"),
            page("Drift results", "query_stats", "monitoring", "driftresult"),
            page("Risk history", "timeline", "governance", "riskscore"),
            page("Status changes", "swap_vert", "governance", "statuschange"),
            {
                **page("Audit trail", "history", "governance", "auditentry"),
                "link": reverse_lazy("trail"),
            },
        ],
    },
    {
        "title": "Settings",
        "separator": True,
        "items": [
            page("Policies", "policy", "governance", "policyversion"),
            page("Members", "group", "governance", "membership"),
            page("Invitations", "mail", "governance", "invitation"),
            page("API keys", "key", "governance", "apikey"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "DriftGuard",
    "SITE_HEADER": "DriftGuard",
    "SITE_SUBHEADER": organization_name,
    "SITE_DROPDOWN": switcher,
    "SITE_SYMBOL": "shield",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": favicon},
    ],
    "STYLES": [style_sheet],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .013 236.62)",
            "100": "oklch(95.1% .026 236.824)",
            "200": "oklch(90.1% .058 230.902)",
            "300": "oklch(82.8% .111 230.318)",
            "400": "oklch(74.6% .16 232.661)",
            "500": "oklch(68.5% .169 237.323)",
            "600": "oklch(53% .14 241.966)",
            "700": "oklch(48% .126 242.749)",
            "800": "oklch(42% .11 240.79)",
            "900": "oklch(37% .09 240.876)",
            "950": "oklch(29.3% .066 243.157)",
        },
    },
    "SIDEBAR": {"show_search": False, "navigation": NAVIGATION},
    "LOGIN": {"form": "driftguard.site.LoginForm"},
}
