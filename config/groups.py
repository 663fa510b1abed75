"""The four groups of people, and what each may do.

Assigned after each migration: permissions do not exist while migrations run. Only what is named here is set, so that
an Administrator's own groups stay as they are.
"""

from django.contrib.auth.models import Group, Permission

REVIEWER, OPERATOR, AUDITOR, ADMINISTRATOR = "Reviewer", "Operator", "Auditor", "Administrator"

# What everybody at the console can look at: the work, and its trail.
WORK = [
    f"{app}.view_{model}"
    for app, models in {
        "agents": ["agent"],
        "campaigns": ["campaign", "task", "systemcontrol"],
        "content": ["artifact", "videoasset", "reviewdecision", "reviewitem", "publishrecord"],
        "metrics": ["metricevent", "metriccounter", "metriccorrection", "metricarchive"],
        "audit": ["auditlog"],
    }.items()
    for model in models
]
PEOPLE = ["accounts.view_user", "auth.view_group", "agents.view_apitoken"]

GROUPS = {
    REVIEWER: [*WORK, "content.decide_reviewitem"],
    OPERATOR: [
        *WORK,
        "campaigns.operate_task",
        "campaigns.control_campaign",
        "campaigns.change_systemcontrol",
        "content.settle_publishrecord",
        "campaigns.add_campaign",
        "campaigns.change_campaign",
        "campaigns.add_task",
        "agents.add_agent",
        "agents.change_agent",
    ],
    AUDITOR: [*WORK, *PEOPLE],
}
ADMINISTRATION = [
    *PEOPLE,
    "content.decide_escalation",
    "accounts.add_user",
    "accounts.change_user",
    "auth.add_group",
    "auth.change_group",
    "agents.add_apitoken",
    "agents.change_apitoken",
    "axes.view_accessattempt",
    "axes.view_accesslog",
]
GROUPS[ADMINISTRATOR] = [*dict.fromkeys([*GROUPS[REVIEWER], *GROUPS[OPERATOR], *ADMINISTRATION])]


def assign_permissions(using: str) -> None:
    """Make the four groups, with exactly these permissions; a misspelt name here fails the migration."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.using(using).select_related("content_type")
    }
    for name, permissions in GROUPS.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.set([known[permission] for permission in permissions])
