"""Tell governance which baseline each version is measured against. May run again."""

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
    own = {}
    for pk, version, kind in Baseline.objects.filter(active=True).values_list(
        "pk", "version_id", "kind"
    ):
        own[version] = (public_id(pk.int), kind)
    given = {}  # model → the newest given baseline so far
    versions = ModelVersion.objects.order_by("pk").values_list("pk", "model_id")
    for pk, model in versions.iterator(chunk_size=1000):
        ref, kind = own.get(pk, ("", ""))
        if kind == "given":
            given[model] = ref
        elif model in given:
            ref, kind = given[model], "inherited"
        else:
            ref = ""
        if kind:
            ModelVersion.objects.filter(pk=pk).update(
                baseline_ref=ref, baseline_kind=kind
            )


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0013_last_editors"),
        ("monitoring", "0006_analysis_runs"),
    ]

    operations = [
        migrations.RunPython(tell, migrations.RunPython.noop),
    ]
