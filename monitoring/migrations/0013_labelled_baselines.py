"""Tell governance which versions' baselines have outcomes. May run again."""

from django.db import migrations

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def public_id(number):
    digits = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
    return f"baseline_{digits}"


def tell(apps, schema_editor):
    Baseline = apps.get_model("monitoring", "Baseline")
    ModelVersion = apps.get_model("governance", "ModelVersion")
    labelled = Baseline.objects.filter(labeled__isnull=False).values_list("pk", flat=True)
    for pk in labelled.iterator(chunk_size=1000):
        ModelVersion.objects.filter(baseline_ref=public_id(pk.int)).update(
            baseline_labelled=True
        )


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0019_deployment_guard"),
        ("monitoring", "0012_day_views"),
    ]

    operations = [
        migrations.RunPython(tell, migrations.RunPython.noop),
    ]
