"""Voting roles that one person alone gave wait for a second one from now on.

Excepted are those given while an organization had two people at the most: there was
nobody to ask. What somebody gave themselves waits always. May run again.
"""

from django.db import migrations

FORWARD = """
WITH joined AS (
    SELECT m.organization_id, m.user_id, min(m.granted_at) AS at
    FROM governance_membership m JOIN governance_user u ON u.id = m.user_id
    WHERE NOT u.is_service
    GROUP BY 1, 2
)
UPDATE governance_membership m SET needs_confirmation = true
WHERE role IN ('validator', 'compliance_officer')
    AND confirmed_at IS NULL
    AND granted_by_id IS NOT NULL
    AND (granted_by_id = user_id OR 2 < (
        SELECT count(*) FROM joined j
        WHERE j.organization_id = m.organization_id AND j.at <= m.granted_at
    ))
"""


class Migration(migrations.Migration):

    dependencies = [
        ("governance", "0006_memberships_end"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
    ]
