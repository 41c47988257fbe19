"""Who registered what there is counts as its last editor. May run again."""

from django.db import migrations

FORWARD = """
UPDATE governance_modelversion SET edited_by_id = created_by_id
WHERE edited_by_id IS NULL;
UPDATE governance_policyversion SET edited_by_id = created_by_id
WHERE edited_by_id IS NULL AND created_by_id IS NOT NULL;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0012_approvals"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
    ]
