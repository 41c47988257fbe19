"""The database refuses what the deeds refuse; what was given is never deleted."""

from django.db import migrations, models
from django.db.models import F, Q

CONSTRAINTS = {
    "membership_confirmed_by_somebody": Q(
        Q(("confirmed_at", None), ("confirmed_by", None)),
        Q(
            ("confirmed_at__gte", F("granted_at")),
            ("confirmed_at__isnull", False),
            ("confirmed_by__isnull", False),
            ("needs_confirmation", True),
        ),
        _connector="OR",
    ),
    "membership_confirmed_by_second_person": Q(
        Q(("confirmed_by", F("user")), _negated=True),
        Q(("confirmed_by", F("granted_by")), _negated=True),
    ),
    "membership_own_grant_never_votes": Q(
        Q(
            ("needs_confirmation", False),
            ("confirmed_at__isnull", False),
            _connector="OR",
        ),
        ("granted_by", F("user")),
        ("role__in", ("validator", "compliance_officer")),
        _negated=True,
    ),
    "membership_ended_after_begun": Q(
        Q(("ended_at", None), ("ended_by", None)),
        Q(("ended_at__gte", F("granted_at")), ("ended_at__isnull", False)),
        _connector="OR",
    ),
}


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0007_second_persons"),
    ]

    operations = [
        *(
            migrations.AddConstraint(
                model_name="membership",
                constraint=models.CheckConstraint(condition=condition, name=name),
            )
            for name, condition in CONSTRAINTS.items()
        ),
        migrations.RunSQL(
            "REVOKE DELETE, TRUNCATE ON governance_membership FROM driftguard_app",
            "GRANT DELETE ON governance_membership TO driftguard_app",
        ),
    ]
