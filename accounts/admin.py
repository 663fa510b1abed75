"""People and groups in the console."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.forms import GroupForm, PersonAddForm, PersonChangeForm
from accounts.models import User
from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin

admin.site.unregister([Group, TOTPDevice, StaticDevice])  # a second factor is its person's own, on a page of its own


@admin.register(User)
class PersonAdmin(ConsoleAdmin[User], UserAdmin[User]):
    """Only a superuser makes, sees the switch of, or changes a superuser: an Administrator must not become one."""

    form = PersonChangeForm
    add_form = PersonAddForm
    add_form_template = "admin/change_form.html"
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105
    list_display = [
        "display_name_or_email",
        "address",
        "in_groups",
        "standing",
        columns.when("last_login", "last seen"),
    ]
    list_filter = ["is_active", "groups"]
    search_fields = ["display_name", "email"]
    search_help_text = "Name or e-mail"
    ordering = ["display_name", "email"]
    readonly_fields = ["last_login", "created_at"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["email", "display_name", "password"]}),
        ("What they may do", {"fields": ["is_active", "groups"]}),
        ("When", {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "display_name"]}),
        ("Password", {"fields": ["password1", "password2"]}),
        ("What they may do", {"fields": ["groups"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "widget": CheckboxSelectMultiple})

    @admin.display(description="person", ordering="display_name")
    def display_name_or_email(self, person: User) -> str:
        return str(person)

    @admin.display(description="e-mail", ordering="email")
    def address(self, person: User) -> str:
        return person.email

    @admin.display(description="groups")
    def in_groups(self, person: User) -> str:
        names = sorted(group.name for group in person.groups.all())
        return ", ".join(["Superuser", *names] if person.is_superuser else names) or cells.EMPTY

    @admin.display(description="account", ordering="is_active")
    def standing(self, person: User) -> str:
        return cells.badge("active", "good") if person.is_active else cells.badge("switched off")


@admin.register(Group)
class GroupsAdmin(ConsoleAdmin[Group]):
    form = GroupForm
    list_display = ["name", "members"]
    search_fields = ["name"]
    search_help_text = "Name"
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("user_set")

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        people = [str(person) for person in group.user_set.all()]
        return ", ".join(people[:5]) + (f" and {len(people) - 5} more" if len(people) > 5 else "") or cells.EMPTY
