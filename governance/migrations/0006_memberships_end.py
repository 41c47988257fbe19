"""Roles end instead of being deleted, and some wait for a second person."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

PERSON = {
    "editable": False,
    "null": True,
    "on_delete": django.db.models.deletion.PROTECT,
    "related_name": "+",
    "to": settings.AUTH_USER_MODEL,
}


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0005_names"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="membership", name="membership_unique"
        ),
        migrations.AddField(
            model_name="membership",
            name="needs_confirmation",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name="membership",
            name="confirmed_by",
            field=models.ForeignKey(**PERSON),
        ),
        migrations.AddField(
            model_name="membership",
            name="confirmed_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="membership", name="ended_by", field=models.ForeignKey(**PERSON)
        ),
        migrations.AddField(
            model_name="membership",
            name="ended_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)),
                fields=("organization", "user", "role"),
                name="membership_held_once",
            ),
        ),
    ]
