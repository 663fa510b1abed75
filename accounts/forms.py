"""The forms of people: they sign in by e-mail, and their groups say what they may do."""

from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, Permission
from django.forms import CheckboxSelectMultiple, ModelMultipleChoiceField

from accounts.models import User
from audit.admin.fields import ConsoleForm

GROUPS_HELP = {"groups": "What they may do comes from these."}
# Whose permissions mean something at the console; the rest are tables of Django and of libraries.
OURS = ["accounts", "agents", "audit", "auth", "campaigns", "content", "metrics"]


class InvitationForm(ConsoleForm[User]):
    """No password: whoever is invited chooses it."""

    class Meta:
        model = User
        fields = ["email", "display_name", "groups"]
        help_texts = {
            **GROUPS_HELP,
            "email": "The invitation goes there, and it is what this person signs in with.",
            "display_name": "The name that others see; the person can change it.",
        }


class PersonChangeForm(ConsoleForm[User], UserChangeForm[User]):
    class Meta:
        model = User
        fields = ["email", "display_name", "is_active", "groups"]
        help_texts = GROUPS_HELP


class PermissionField(ModelMultipleChoiceField):  # type: ignore[type-arg]
    widget = CheckboxSelectMultiple

    def label_from_instance(self, obj: Permission) -> str:
        return f"{obj.content_type.app_label}: {obj.name}"


class GroupForm(ConsoleForm[Group]):
    permissions = PermissionField(
        queryset=Permission.objects.filter(content_type__app_label__in=OURS)
        .exclude(codename__startswith="delete_")  # nothing is ever deleted
        .select_related("content_type")
        .order_by("content_type__app_label", "content_type__model", "codename"),
        required=False,
    )

    class Meta:
        model = Group
        fields = ["name", "permissions"]
